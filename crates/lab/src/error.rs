//! Why a lab could not be made, used or removed.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::{CommandError, MAX_CLIENTS, MAX_SERVERS, Subnet};

/// Why a lab could not be made, used or removed.
#[derive(Debug, Error)]
pub enum LabError {
    /// The user is not root.
    #[error(
        "a lab needs root for network namespaces, mounts and firewalls: run the same command with sudo"
    )]
    NotRoot,
    /// Programs that a lab needs are not installed.
    #[error("not installed: {}; run: apt-get install {}", .programs.join(", "), .packages.join(" "))]
    MissingPrograms {
        /// The programs.
        programs: Vec<String>,
        /// The Debian packages that have them.
        packages: Vec<String>,
    },
    /// A child command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file or directory could not be used.
    #[error("cannot {action} {}: {error}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// A directory lies where a node mounts its own files.
    #[error(
        "{} cannot hold a lab's files, since nodes hide {}; choose another directory",
        .dir.display(), .hidden.display()
    )]
    HiddenDirectory {
        /// The directory.
        dir: PathBuf,
        /// What nodes hide.
        hidden: PathBuf,
    },
    /// The id is not one.
    #[error("'{id}' cannot be a lab's id; use 1 to 6 characters of a-z and 0-9")]
    BadId {
        /// What was given.
        id: String,
    },
    /// A lab with this id stands.
    #[error("a lab with the id '{id}' stands already; choose another id, or remove it first")]
    TakenId {
        /// The id.
        id: String,
    },
    /// The numbers of servers and clients are out of range.
    #[error(
        "a lab has 1 to {MAX_SERVERS} servers and at most {MAX_CLIENTS} clients, not {servers} and {clients}"
    )]
    BadSize {
        /// Servers asked for.
        servers: u16,
        /// Clients asked for.
        clients: u16,
    },
    /// The text is not a subnet that a lab can have.
    #[error(
        "'{text}' cannot be a lab's subnet; give a private IPv4 range of 256 addresses, such as 10.213.7.0/24"
    )]
    BadSubnet {
        /// What was given.
        text: String,
    },
    /// The subnet is in use.
    #[error("the subnet {subnet} overlaps {with}, which this machine uses; choose another subnet")]
    OverlappingSubnet {
        /// The subnet asked for.
        subnet: Subnet,
        /// The address or route that it meets.
        with: String,
    },
    /// Every candidate subnet is in use.
    #[error("this machine uses every range that a lab tries by itself; give one with a subnet")]
    NoFreeSubnet,
    /// The addresses and routes of this machine could not be understood.
    #[error("cannot read what `ip -json` says about this machine's addresses and routes: {error}")]
    UnreadableNetwork {
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// Another process held a lock file for too long.
    #[error("another locktest has held {} for {limit_s} s; wait for it, or end it", .path.display())]
    LockTimeout {
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        limit_s: u64,
    },
    /// A node's sshd does not answer.
    #[error(
        "the sshd of {node} does not answer at {address}: {reason}; the end of its log:\n{log}"
    )]
    NodeNotReady {
        /// The node's name.
        node: String,
        /// The address tried.
        address: String,
        /// What was seen.
        reason: String,
        /// The last lines of its log.
        log: String,
    },
    /// No lab has this id.
    #[error("no lab with the id '{id}' stands")]
    NoSuchLab {
        /// The id.
        id: String,
    },
    /// The lab was made with another state directory.
    #[error(
        "lab {id} belongs to the state directory {0}; use or remove it with LOCKTEST_STATE_DIR={0}",
        .state_dir.display()
    )]
    OtherStateDir {
        /// The id.
        id: String,
        /// That state directory.
        state_dir: PathBuf,
    },
    /// Somebody else uses the lab.
    #[error("lab {id} is in use by another run; wait for it, or raise another lab")]
    InUse {
        /// The id.
        id: String,
    },
    /// The lab has no such node.
    #[error("lab {lab} has no node '{node}'; its nodes are {}", .nodes.join(" "))]
    NoSuchNode {
        /// The lab's id.
        lab: String,
        /// What was asked for.
        node: String,
        /// The names of its nodes.
        nodes: Vec<String>,
    },
    /// The state file of a lab is damaged, or the lab is only half made.
    #[error("{} is damaged or of another version ({reason}); remove the lab", .path.display())]
    BadState {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The nodes of a lab have ended, as they do when the machine is restarted.
    #[error("lab {id} no longer runs: {} ended; remove it and make another", .nodes.join(" "))]
    NotRunning {
        /// The lab's id.
        id: String,
        /// The nodes that ended.
        nodes: Vec<String>,
    },
    /// Something of a lab could not be removed.
    #[error("lab {id} is not gone: {what}; try again")]
    Remains {
        /// The lab's id.
        id: String,
        /// What is still there.
        what: String,
    },
    /// Making the lab failed, and so did removing what was made.
    #[error("{failure}; then it could not be removed: {removal}")]
    NotRemoved {
        /// The first failure.
        failure: Box<LabError>,
        /// The second.
        removal: Box<LabError>,
    },
}

impl LabError {
    /// Whether the caller asked for what cannot be: a wrong id, size, subnet or node. False for
    /// whatever stands in the way on this machine.
    pub fn is_usage(&self) -> bool {
        use LabError::*;
        match self {
            BadId { .. }
            | TakenId { .. }
            | BadSize { .. }
            | BadSubnet { .. }
            | NoSuchLab { .. }
            | NoSuchNode { .. }
            | OtherStateDir { .. } => true,
            NotRoot
            | MissingPrograms { .. }
            | Command(_)
            | Io { .. }
            | HiddenDirectory { .. }
            | OverlappingSubnet { .. }
            | NoFreeSubnet
            | UnreadableNetwork { .. }
            | LockTimeout { .. }
            | NodeNotReady { .. }
            | InUse { .. }
            | BadState { .. }
            | NotRunning { .. }
            | Remains { .. }
            | NotRemoved { .. } => false,
        }
    }
}

/// Names the path of a failed file operation.
pub(crate) fn io_at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LabError {
    let path = path.to_owned();
    move |error| LabError::Io { action, path, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LabSpec;
    use crate::spec::LabId;

    #[test]
    fn a_wrong_request_is_told_apart_from_a_machine_that_cannot() {
        let no_servers = LabSpec { id: None, servers: 0, clients: 0, subnet: None };
        assert!(LabId::parse("../x").unwrap_err().is_usage());
        assert!(no_servers.size().unwrap_err().is_usage());
        assert!("8.8.8.0/24".parse::<Subnet>().unwrap_err().is_usage());
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(!io_at("read", Path::new("/x"))(denied).is_usage());
        assert!(!LabError::NotRoot.is_usage());
    }
}
