//! Commands on nodes: the boundary that faults and server automation speak to.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The name of the control node's own host, where the clients are. No server node has this name.
pub const CONTROL: &str = "control";

/// The control node waits this much longer than the host itself for a command to end.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// How to reach a node by SSH. It is part of the undo journal, so that `heal` needs nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshTarget {
    /// The node's name in the plan.
    pub name: String,
    /// Its address.
    pub host: String,
    /// The port of its sshd.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
    /// The private key; `None` leaves the choice to ssh.
    pub identity_file: Option<PathBuf>,
    /// The known hosts to check against; `None` leaves the choice to ssh.
    pub known_hosts_file: Option<PathBuf>,
}

/// A shell script to run on a node, as root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCommand {
    /// What it is for, in a few words; for the audit log and for errors.
    pub purpose: String,
    /// The script, run by `sh -c`. It must be idempotent: a cut connection may hide that it ran.
    pub script: String,
    /// What its standard input holds.
    pub stdin: Vec<u8>,
    /// The node itself kills it after this long.
    pub timeout: Duration,
}

impl RemoteCommand {
    /// A script without input, with ten seconds to run.
    pub fn new(purpose: impl Into<String>, script: impl Into<String>) -> RemoteCommand {
        RemoteCommand {
            purpose: purpose.into(),
            script: script.into(),
            stdin: Vec::new(),
            timeout: Duration::from_secs(10),
        }
    }

    /// The same with another limit.
    pub fn timeout(mut self, timeout: Duration) -> RemoteCommand {
        self.timeout = timeout;
        self
    }

    /// The same with input.
    pub fn stdin(mut self, stdin: impl Into<Vec<u8>>) -> RemoteCommand {
        self.stdin = stdin.into();
        self
    }
}

/// What a command that ran to its end left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteOutput {
    /// The exit status; 124 or 137 if the node's `timeout` ended it.
    pub status: i32,
    /// Standard output, lossily decoded.
    pub stdout: String,
    /// Standard error, lossily decoded.
    pub stderr: String,
}

/// Why a command is not known to have run to a successful end.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// No connection could be made; the command did not run.
    #[error("cannot reach {node} by ssh to {purpose}: {reason}")]
    Unreachable {
        /// The node's name.
        node: String,
        /// What the command was for.
        purpose: String,
        /// What ssh says.
        reason: String,
    },
    /// The connection broke or the time ran out; the command may have run.
    #[error("lost {node} while trying to {purpose}: {reason}")]
    Lost {
        /// The node's name.
        node: String,
        /// What the command was for.
        purpose: String,
        /// What is known.
        reason: String,
    },
    /// The command ran and failed.
    #[error("{node} failed to {purpose} (exit {status}): {stderr}")]
    Failed {
        /// The node's name.
        node: String,
        /// What the command was for.
        purpose: String,
        /// Its exit status.
        status: i32,
        /// The end of its standard error.
        stderr: String,
    },
}

/// Runs commands on the nodes of one cluster, and on the control node's own host, which goes by the
/// name of [`CONTROL`]. The product's implementation is [`SshCluster`](crate::SshCluster); tests of
/// the nemesis record commands instead.
pub trait Remote: Send + Sync {
    /// Runs `command` on the node named `node`, to its end. A status other than zero is an `Ok`.
    fn run(
        &self,
        node: &str,
        command: &RemoteCommand,
    ) -> impl Future<Output = Result<RemoteOutput, RemoteError>> + Send;

    /// Like [`run`](Remote::run); a status other than zero is an error.
    fn run_ok(
        &self,
        node: &str,
        command: &RemoteCommand,
    ) -> impl Future<Output = Result<RemoteOutput, RemoteError>> + Send {
        async move {
            let output = self.run(node, command).await?;
            if output.status == 0 {
                return Ok(output);
            }
            let stderr = output.stderr.trim();
            let text = if stderr.is_empty() { output.stdout.trim() } else { stderr };
            Err(RemoteError::Failed {
                node: node.to_owned(),
                purpose: command.purpose.clone(),
                status: output.status,
                stderr: text.to_owned(),
            })
        }
    }
}
