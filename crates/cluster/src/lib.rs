//! SSH, nodes, and the automation of each server.
//!
//! Only this crate and the lab start processes or open SSH. Faults go through [`Remote`], on server
//! nodes as on the control node's own host.

mod audit;
mod cluster;
mod consul;
mod deployment;
mod elections;
mod etcd;
mod installation;
mod leadership;
mod local;
mod member;
mod probe;
mod redis;
mod redis_connection;
mod release;
mod remote;
mod sentinel;
mod service;
mod ssh;
mod store;
mod stream;
mod upload;
mod usage;
mod zookeeper;

pub use audit::{AuditLog, NowNs, SentCommand, read_audit_log};
pub use cluster::{Cluster, ClusterError};
pub use deployment::{Deployment, settings};
pub use elections::elections;
pub use installation::Installation;
pub use member::Member;
pub use probe::PROBE_TIMEOUT;
pub use release::{HostProgram, Launch, PackageFile, Release};
pub use remote::{CONTROL, Remote, RemoteCommand, RemoteError, RemoteOutput, SshTarget};
pub use service::{NodeLayout, STATE_FUNCTION, Service, ServiceClock, TellsTime, quote};
pub use ssh::SshCluster;
pub use store::Store;
pub use stream::LineStream;
pub use upload::{binary_version, upload};
pub use usage::Usages;
