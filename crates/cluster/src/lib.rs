//! SSH, nodes, and the automation of each server.

mod remote;

pub use remote::{Remote, RemoteCommand, RemoteError, RemoteOutput, SshTarget};
