//! The names, addresses and paths of one lab: everything that follows from its id and its size.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::spec::LabId;
use crate::{MAX_CLIENTS, MAX_SERVERS, Subnet};

/// Where a node sees its own files: `packages` (the package cache, read-only), `data`, `run` and
/// `log`.
pub const NODE_BASE: &str = "/mnt/locktest";

/// The port of each node's sshd.
pub const SSH_PORT: u16 = 22;

const CONTROL_HOST: u8 = 254;
const FIRST_CLIENT_HOST: u8 = 101;

/// The names, addresses and paths of one lab.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Layout {
    pub id: LabId,
    pub subnet: Subnet,
    pub servers: u8,
    pub clients: u8,
}

impl Layout {
    /// Whether there is an address for each host.
    pub fn fits(&self) -> bool {
        (1..=MAX_SERVERS).contains(&self.servers.into()) && u16::from(self.clients) <= MAX_CLIENTS
    }

    /// The control node's end of the lab's network.
    pub fn link(&self) -> String {
        link(&self.id)
    }

    /// The namespace that holds the bridge.
    pub fn switch_namespace(&self) -> String {
        format!("{}sw", namespace_prefix(&self.id))
    }

    /// The servers, from `n1`.
    pub fn server_hosts(&self) -> impl Iterator<Item = Host> + '_ {
        (1..=self.servers).map(|n| self.host(format!("n{n}"), n))
    }

    /// The clients, from `c1`.
    pub fn client_hosts(&self) -> impl Iterator<Item = Host> + '_ {
        (0..self.clients).map(|n| self.host(format!("c{}", n + 1), FIRST_CLIENT_HOST + n))
    }

    /// The namespace of a client, counted from zero.
    pub fn client_namespace(&self, client: usize) -> String {
        format!("{}c{}", namespace_prefix(&self.id), client.saturating_add(1))
    }

    pub fn control_address(&self) -> Ipv4Addr {
        self.subnet.host(CONTROL_HOST)
    }

    fn host(&self, name: String, last: u8) -> Host {
        Host {
            namespace: format!("{}{name}", namespace_prefix(&self.id)),
            address: self.subnet.host(last),
            name,
        }
    }
}

/// A server or a client of a lab.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// Such as `n1` or `c1`; also the name of its port on the bridge.
    pub name: String,
    pub namespace: String,
    pub address: Ipv4Addr,
}

/// The control node's end of a lab's network.
pub(crate) fn link(id: &LabId) -> String {
    format!("lt-{id}")
}

fn namespace_prefix(id: &LabId) -> String {
    format!("lt-{id}-")
}

/// The lab that a namespace belongs to, if its name is one that a lab gives.
pub(crate) fn lab_of_namespace(name: &str) -> Option<LabId> {
    let (id, member) = name.strip_prefix("lt-")?.split_once('-')?;
    let number = member.strip_prefix(['n', 'c']);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if member != "sw" && !number.is_some_and(is_number) {
        return None;
    }
    LabId::parse(id).ok()
}

/// The files of one lab on the host.
#[derive(Clone, Debug)]
pub(crate) struct LabPaths {
    root: PathBuf,
}

impl LabPaths {
    /// `labs` holds one directory for each lab.
    pub fn new(labs: &Path, id: &LabId) -> LabPaths {
        LabPaths { root: labs.join(id.as_str()) }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the lab is and which processes it started.
    pub fn state(&self) -> PathBuf {
        self.root.join("lab.json")
    }

    /// The one private key that the nodes accept.
    pub fn client_key(&self) -> PathBuf {
        self.root.join("client_key")
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.root.join("known_hosts")
    }

    /// Locked by the run that uses the lab.
    pub fn claim(&self) -> PathBuf {
        self.root.join("claim")
    }

    /// The sockets of the control masters.
    pub fn ssh_control(&self) -> PathBuf {
        self.root.join("ssh-control")
    }

    /// What a node sees as its base.
    pub fn node(&self, name: &str) -> NodePaths {
        NodePaths { root: self.root.join("nodes").join(name) }
    }
}

/// The files of one node on the host; the node sees `root` as [`NODE_BASE`].
#[derive(Clone, Debug)]
pub(crate) struct NodePaths {
    pub root: PathBuf,
}

impl NodePaths {
    pub fn host_key(&self) -> PathBuf {
        self.root.join("ssh/host_key")
    }

    pub fn sshd_config(&self) -> PathBuf {
        self.root.join("ssh/sshd_config")
    }

    pub fn authorized_keys(&self) -> PathBuf {
        self.root.join("ssh/authorized_keys")
    }

    pub fn sshd_log(&self) -> PathBuf {
        self.root.join("log/sshd.log")
    }
}

/// The file that stands beside a private key.
pub(crate) fn public_half(key: &Path) -> PathBuf {
    key.with_extension("pub")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout {
            id: LabId::parse("zzzzzz").unwrap(),
            subnet: Subnet::FIRST_CANDIDATE,
            servers: 99,
            clients: 150,
        }
    }

    #[test]
    fn no_two_hosts_of_the_largest_lab_share_a_name_or_an_address() {
        let layout = layout();
        let hosts: Vec<Host> = layout.server_hosts().chain(layout.client_hosts()).collect();
        let mut addresses: Vec<_> = hosts.iter().map(|host| host.address).collect();
        addresses.push(layout.control_address());
        let mut names: Vec<_> = hosts.iter().map(|host| &host.namespace).collect();
        addresses.sort();
        addresses.dedup();
        names.sort();
        names.dedup();
        assert_eq!((addresses.len(), names.len()), (250, 249));
    }

    #[test]
    fn names_of_links_fit_the_kernel() {
        assert!(layout().link().len() <= 15);
    }

    #[test]
    fn a_namespace_names_its_lab_and_foreign_ones_name_none() {
        let layout = layout();
        let mut own = vec![layout.switch_namespace()];
        own.extend(layout.server_hosts().chain(layout.client_hosts()).map(|host| host.namespace));
        for name in own {
            assert_eq!(lab_of_namespace(&name), Some(layout.id.clone()), "{name}");
        }
        for name in
            ["lt-", "lt-ab", "lt-ab-", "lt-ab-x1", "lt-ab-n", "lt-AB-n1", "xlt-ab-n1", "lt-ab-n1-2"]
        {
            assert_eq!(lab_of_namespace(name), None, "{name}");
        }
    }
}
