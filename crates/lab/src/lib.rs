//! A cluster on this machine: every server a network namespace with its own sshd, every client a
//! network namespace with its own address; and the server packages for it.
//!
//! A node is reached by SSH exactly as a real host is. It has its own network, firewall, process
//! tree, hostname, `/run`, `/tmp` and `/root`; it shares the kernel, the disk and the wall clock.
//! A [`Lab`] outlives the process that made it, so that nodes can heal themselves; [`down_all`]
//! removes what a killed control node left, and nothing that somebody uses.
//!
//! Everything that a lab makes carries its id: the link `lt-ID`, the namespaces `lt-ID-…`, and the
//! directory `STATE/labs/ID`; the link's alias names `STATE`. The bridge lives in a namespace of its own, so that the firewall of
//! the host never sees the traffic between nodes. No mount is made outside the nodes.

mod command;
mod dirs;
mod error;
mod lab;
mod layout;
mod lock;
mod network;
mod node;
mod ownership;
pub mod packages;
mod preflight;
mod process;
mod spec;
mod ssh;
mod standing;
mod state;
mod subnet;
mod teardown;

pub use command::CommandError;
pub use dirs::LabDirs;
pub use error::LabError;
pub use lab::{Lab, LabNode};
pub use layout::{NODE_BASE, SSH_PORT};
pub use lock::LockFile;
pub use ownership::LabUser;
pub use preflight::preflight;
pub use spec::{LabSpec, MAX_CLIENTS, MAX_SERVERS};
pub use standing::{LabStatus, NodeStatus, exists, list};
pub use subnet::Subnet;
pub use teardown::{RemovedLabs, SkippedLab, down_all, down_id};
