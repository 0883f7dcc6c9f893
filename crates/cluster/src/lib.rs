//! SSH, nodes, and the automation of each server.
//!
//! Only this crate and the lab start processes or open SSH. Faults go through [`Remote`].

mod audit;
mod cluster;
mod consul;
mod etcd;
mod member;
mod remote;
mod service;
mod ssh;
mod store;

pub use audit::{AuditLog, NowNs};
pub use cluster::{Cluster, ClusterError, PROBE_TIMEOUT, binary_version, upload_binary};
pub use member::Member;
pub use remote::{Remote, RemoteCommand, RemoteError, RemoteOutput, SshTarget};
pub use service::{NodeLayout, Service, quote};
pub use ssh::SshCluster;
pub use store::{Package, Store};
