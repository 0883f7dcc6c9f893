//! The sides of a partition, from names to addresses: whom each server drops, and who can show it.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use locktest_history::{ClientId, NodeId, Side};
use thiserror::Error;

use crate::commands::Endpoint;

/// Nobody listens there (it is `discard`), so that a client's host refuses, which shows that
/// packets cross. The kernel takes no port so low for a client's own connections.
const CLIENT_PROBE_PORT: u16 = 9;

/// Sides that name no partition.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SidesError {
    /// An index beyond the endpoints.
    #[error("there is no server {}: the cluster has {endpoints}", node.0)]
    UnknownNode {
        /// The index.
        node: NodeId,
        /// How many there are.
        endpoints: usize,
    },
    /// A client whose address nobody knows.
    #[error("client {0} cannot be cut off: no address of a client is known")]
    UnknownClient(ClientId),
    /// Somebody who is on two sides, or twice on one, if only by sharing an address.
    #[error("the address of {0} is among the sides more than once")]
    Repeated(String),
    /// Nothing would be separated.
    #[error("a partition needs at least two sides, and somebody on each")]
    TooFew,
    /// There are clients on the sides, and each of them still reaches every server.
    #[error("no client is on another side than some server, so the partition would cut nothing")]
    CutsNoClient,
}

/// A server or a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Server(NodeId),
    Client(ClientId),
}

/// Somebody on another side, and where a connection to it is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Across {
    pub(crate) party: Party,
    pub(crate) address: SocketAddrV4,
}

/// A server on a side.
#[derive(Debug)]
pub(crate) struct PlacedServer<'a> {
    pub(crate) node: NodeId,
    pub(crate) endpoint: &'a Endpoint,
    /// The addresses of everybody on the other sides.
    pub(crate) cut_off: Vec<Ipv4Addr>,
    /// Those of them who show whether the partition is in force. If clients are split these are
    /// clients alone, since such servers have nothing to say to each other.
    pub(crate) across: Vec<Across>,
}

/// Every server of the sides, in node order.
pub(crate) fn locate<'a>(
    endpoints: &'a [Endpoint],
    clients: &[Ipv4Addr],
    sides: &[Side],
) -> Result<Vec<PlacedServer<'a>>, SidesError> {
    let hosts = Hosts { endpoints, clients };
    let sides: Vec<Vec<Across>> =
        sides.iter().map(|side| hosts.on(side)).collect::<Result<_, _>>()?;
    if sides.len() < 2 || sides.iter().any(Vec::is_empty) {
        return Err(SidesError::TooFew);
    }
    let mut seen = HashSet::new();
    for somebody in sides.iter().flatten() {
        if !seen.insert(*somebody.address.ip()) {
            return Err(SidesError::Repeated(somebody.party.name(endpoints)));
        }
    }
    let is_client = |somebody: &Across| matches!(somebody.party, Party::Client(_));
    let splits_clients = sides.iter().flatten().any(is_client);
    let mut placed = Vec::new();
    for (index, side) in sides.iter().enumerate() {
        let others: Vec<&Across> = sides
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .flat_map(|(_, side)| side)
            .collect();
        for somebody in side {
            let Party::Server(node) = somebody.party else { continue };
            placed.push(PlacedServer {
                node,
                endpoint: hosts.endpoint(node)?,
                cut_off: others.iter().map(|other| *other.address.ip()).collect(),
                across: others
                    .iter()
                    .filter(|other| is_client(other) == splits_clients)
                    .map(|other| (*other).clone())
                    .collect(),
            });
        }
    }
    if placed.iter().all(|server| server.across.is_empty()) {
        return Err(SidesError::CutsNoClient);
    }
    placed.sort_by_key(|server| server.node);
    Ok(placed)
}

/// All servers and clients that there are.
struct Hosts<'a, 'c> {
    endpoints: &'a [Endpoint],
    clients: &'c [Ipv4Addr],
}

impl<'a> Hosts<'a, '_> {
    fn on(&self, side: &Side) -> Result<Vec<Across>, SidesError> {
        let servers = side.servers.iter().map(|node| {
            let Endpoint { address, probe_port, .. } = self.endpoint(*node)?;
            let address = SocketAddrV4::new(*address, *probe_port);
            Ok(Across { party: Party::Server(*node), address })
        });
        let clients = side.clients.iter().map(|client| {
            let address = SocketAddrV4::new(self.client(*client)?, CLIENT_PROBE_PORT);
            Ok(Across { party: Party::Client(*client), address })
        });
        servers.chain(clients).collect()
    }

    fn endpoint(&self, node: NodeId) -> Result<&'a Endpoint, SidesError> {
        let endpoints = self.endpoints.len();
        let endpoint = self.endpoints.get(usize::from(node.0));
        endpoint.ok_or(SidesError::UnknownNode { node, endpoints })
    }

    /// A client that replaces another one has its address.
    fn client(&self, client: ClientId) -> Result<Ipv4Addr, SidesError> {
        let unknown = || SidesError::UnknownClient(client);
        let index = (client.0 as usize).checked_rem(self.clients.len()).ok_or_else(unknown)?;
        self.clients.get(index).copied().ok_or_else(unknown)
    }
}

impl Party {
    /// Such as `n1` or `c1`.
    pub(crate) fn name(self, endpoints: &[Endpoint]) -> String {
        match self {
            Party::Client(client) => client.to_string(),
            Party::Server(node) => match endpoints.get(usize::from(node.0)) {
                Some(endpoint) => endpoint.ssh.name.clone(),
                None => format!("node#{}", node.0),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::tests::endpoints;

    fn side(servers: &[u16], clients: &[u32]) -> Side {
        Side {
            servers: servers.iter().copied().map(NodeId).collect(),
            clients: clients.iter().copied().map(ClientId).collect(),
        }
    }

    fn client_addresses() -> Vec<Ipv4Addr> {
        (101..=103).map(|last| Ipv4Addr::new(10, 1, 0, last)).collect()
    }

    /// For each server: its number, whom it cuts off, and by whom that is shown, all by the last
    /// part of an address.
    type Placed = Vec<(u16, Vec<u8>, Vec<u8>)>;

    fn placed(sides: &[Side]) -> Result<Placed, SidesError> {
        let last = |address: &Ipv4Addr| address.octets()[3];
        let (endpoints, clients) = (endpoints(5), client_addresses());
        let placed = locate(&endpoints, &clients, sides)?;
        let plain = placed.iter().map(|server| {
            let across = server.across.iter().map(|across| last(across.address.ip()));
            (server.node.0, server.cut_off.iter().map(last).collect(), across.collect())
        });
        Ok(plain.collect())
    }

    #[test]
    fn each_server_cuts_off_the_other_side_and_nobody_of_its_own() {
        let placed = placed(&[side(&[1, 3], &[]), side(&[0, 2, 4], &[])]).expect("two sides");
        let (small, large) = (vec![2, 4], vec![1, 3, 5]);
        for (node, cut_off, across) in placed {
            let expected = if [1, 3].contains(&node) { &large } else { &small };
            assert_eq!((&cut_off, &across), (expected, expected), "server {node}");
        }
    }

    #[test]
    fn a_server_on_no_side_is_left_alone() {
        let placed = placed(&[side(&[0], &[]), side(&[1], &[])]).expect("two sides");
        assert_eq!(placed, [(0, vec![2], vec![2]), (1, vec![1], vec![1])]);
    }

    #[test]
    fn clients_are_cut_off_from_the_servers_of_the_other_side_and_they_alone_show_it() {
        let sides = [side(&[0], &[0, 2]), side(&[1, 2], &[1])];
        assert_eq!(
            placed(&sides).expect("two sides"),
            [
                (0, vec![2, 3, 102], vec![102]),
                (1, vec![1, 101, 103], vec![101, 103]),
                (2, vec![1, 101, 103], vec![101, 103]),
            ]
        );
    }

    #[test]
    fn a_side_of_clients_alone_cuts_them_off_from_every_server() {
        let placed = placed(&[side(&[], &[1]), side(&[0], &[0, 2])]).expect("two sides");
        assert_eq!(placed, [(0, vec![102], vec![102])]);
    }

    #[test]
    fn a_client_that_replaces_another_has_its_address() {
        let replaced = [side(&[], &[4]), side(&[0], &[])];
        assert_eq!(placed(&replaced), Ok(vec![(0, vec![102], vec![102])]));
        let on_both_sides = [side(&[0], &[1]), side(&[1], &[4])];
        assert_eq!(placed(&on_both_sides), Err(SidesError::Repeated("c5".into())));
    }

    #[test]
    fn sides_that_separate_nothing_are_refused() {
        assert_eq!(placed(&[]), Err(SidesError::TooFew));
        assert_eq!(placed(&[side(&[0, 1], &[])]), Err(SidesError::TooFew));
        assert_eq!(placed(&[side(&[0, 1], &[]), side(&[], &[])]), Err(SidesError::TooFew));
        let repeated = [side(&[0], &[]), side(&[1, 0], &[])];
        assert_eq!(placed(&repeated), Err(SidesError::Repeated("n1".into())));
        let unknown = SidesError::UnknownNode { node: NodeId(5), endpoints: 5 };
        assert_eq!(placed(&[side(&[0], &[]), side(&[5], &[])]), Err(unknown));
    }

    #[test]
    fn a_partition_that_cuts_no_client_from_any_server_is_refused() {
        let clients_alone = [side(&[], &[0]), side(&[], &[1])];
        assert_eq!(placed(&clients_alone), Err(SidesError::CutsNoClient));
        let nobody_apart = [side(&[0, 1], &[0]), side(&[], &[])];
        assert_eq!(placed(&nobody_apart), Err(SidesError::TooFew));
    }

    #[test]
    fn a_client_without_an_address_is_refused() {
        let endpoints = endpoints(2);
        let sides = [side(&[0], &[0]), side(&[1], &[])];
        let refusal = locate(&endpoints, &[], &sides).expect_err("no address is known");
        assert_eq!(refusal, SidesError::UnknownClient(ClientId(0)));
    }

    #[test]
    fn hosts_that_share_an_address_are_not_separated() {
        let endpoints = endpoints(2);
        let clients = [endpoints[1].address];
        let sides = [side(&[0, 1], &[]), side(&[], &[0])];
        let refusal = locate(&endpoints, &clients, &sides).expect_err("c1 lives on n2");
        assert_eq!(refusal, SidesError::Repeated("c1".into()));
    }
}
