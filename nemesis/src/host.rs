//! Hosts as the nemesis sees them: servers, and what it has to know of clients.

use std::net::Ipv4Addr;

use locktest_cluster::{Service, SshTarget};
use locktest_history::ClientId;

/// A server node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How to reach it; its name is the node's.
    pub ssh: SshTarget,
    /// The address that clients and the other servers use.
    pub address: Ipv4Addr,
    /// A TCP port on which the server takes connections.
    pub probe_port: u16,
    /// Its server processes.
    pub services: Vec<Service>,
}

/// Where a client runs: on the control node, in a network of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEndpoint {
    /// Its address.
    pub address: Ipv4Addr,
    /// The words before a command that is to run where the client does.
    pub enter: Vec<String>,
}

/// The process of a client, on the control node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientProcess {
    /// Which client.
    pub client: ClientId,
    /// Its process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot: a later process may get its id.
    pub start_ticks: u64,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn endpoints(count: u8) -> Vec<Endpoint> {
        (1..=count)
            .map(|n| Endpoint {
                ssh: SshTarget {
                    name: format!("n{n}"),
                    host: format!("10.1.0.{n}"),
                    port: 22,
                    user: "root".into(),
                    identity_file: None,
                    known_hosts_file: None,
                },
                address: Ipv4Addr::new(10, 1, 0, n),
                probe_port: 2380,
                services: Vec::new(),
            })
            .collect()
    }

    pub(crate) fn clients(count: u8) -> Vec<ClientEndpoint> {
        let client = |n| ClientEndpoint {
            address: Ipv4Addr::new(10, 1, 0, 100 + n),
            enter: vec!["enter".into(), format!("c{n}")],
        };
        (1..=count).map(client).collect()
    }
}
