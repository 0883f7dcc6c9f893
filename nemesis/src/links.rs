//! The cut links of a fault, from names to addresses: what each server stops, and who tries which
//! connection to see it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use locktest_history::{ClientId, Fault, NodeId, Party};
use thiserror::Error;

use crate::host::{ClientEndpoint, Endpoint};

/// Links that cannot be cut.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LinksError {
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
    /// Two parties that share an address, or one and itself.
    #[error("{0} and {1} have the same address, so nothing can come between them")]
    SameAddress(String, String),
    /// No link between a server and anybody is cut.
    #[error("the partition cuts no link of any server")]
    CutsNothing,
}

/// Whose packets a server stops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The senders of packets that it does not take.
    pub(crate) from: Vec<Ipv4Addr>,
    /// The receivers of packets that it does not send.
    pub(crate) to: Vec<Ipv4Addr>,
}

impl Rules {
    /// Every address in them, once.
    pub(crate) fn addresses(&self) -> BTreeSet<Ipv4Addr> {
        self.from.iter().chain(&self.to).copied().collect()
    }

    fn is_empty(&self) -> bool {
        self.from.is_empty() && self.to.is_empty()
    }
}

/// A connection that is tried, from a server or a client to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    pub(crate) from: Party,
    pub(crate) to: NodeId,
}

/// A server on which links are cut.
#[derive(Debug)]
pub(crate) struct CutServer<'a> {
    pub(crate) node: NodeId,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) rules: Rules,
    /// The connections that it tries, to every server from which it is separated.
    pub(crate) tries: Vec<(Link, SocketAddrV4)>,
}

/// A client that is separated from servers. Rules are on servers alone, since clients may share a
/// machine with the control node; but it tries its connections itself.
#[derive(Debug)]
pub(crate) struct CutClient<'a> {
    pub(crate) endpoint: &'a ClientEndpoint,
    pub(crate) tries: Vec<(Link, SocketAddrV4)>,
}

/// All servers and clients that there are.
#[derive(Clone, Copy)]
pub(crate) struct Parties<'a> {
    pub(crate) servers: &'a [Endpoint],
    pub(crate) clients: &'a [ClientEndpoint],
}

/// Every server and every client that a fault's cuts concern, in their order.
pub(crate) fn locate<'a>(
    parties: Parties<'a>,
    fault: &Fault,
) -> Result<(Vec<CutServer<'a>>, Vec<CutClient<'a>>), LinksError> {
    let named: BTreeSet<Party> =
        fault.cuts.iter().flat_map(|cut| cut.from.iter().chain(&cut.to)).copied().collect();
    for party in &named {
        parties.address(*party)?;
    }
    let separated =
        |one: Party| named.iter().copied().filter(move |other| fault.separates(one, *other));
    let mut servers = Vec::new();
    let mut clients = Vec::new();
    for one in named.iter().copied() {
        let mut tries = Vec::new();
        let mut rules = Rules::default();
        for other in separated(one) {
            let (own, address) = (parties.address(one)?, parties.address(other)?);
            if own == address {
                return Err(LinksError::SameAddress(parties.name(one), parties.name(other)));
            }
            rules.from.extend(fault.cuts(other, one).then_some(address));
            rules.to.extend(fault.cuts(one, other).then_some(address));
            if let Party::Server(to) = other {
                let port = parties.server(to)?.probe_port;
                tries.push((Link { from: one, to }, SocketAddrV4::new(address, port)));
            }
        }
        match one {
            Party::Server(node) if !rules.is_empty() => {
                servers.push(CutServer { node, endpoint: parties.server(node)?, rules, tries });
            }
            Party::Client(client) if !tries.is_empty() => {
                clients.push(CutClient { endpoint: parties.client(client)?, tries });
            }
            _ => {}
        }
    }
    if servers.is_empty() {
        return Err(LinksError::CutsNothing);
    }
    Ok((servers, clients))
}

impl<'a> Parties<'a> {
    pub(crate) fn server(self, node: NodeId) -> Result<&'a Endpoint, LinksError> {
        let endpoints = self.servers.len();
        let endpoint = self.servers.get(usize::from(node.0));
        endpoint.ok_or(LinksError::UnknownNode { node, endpoints })
    }

    /// A client that replaces another one has its place.
    fn client(self, client: ClientId) -> Result<&'a ClientEndpoint, LinksError> {
        let unknown = || LinksError::UnknownClient(client);
        let index = (client.0 as usize).checked_rem(self.clients.len()).ok_or_else(unknown)?;
        self.clients.get(index).ok_or_else(unknown)
    }

    fn address(self, party: Party) -> Result<Ipv4Addr, LinksError> {
        Ok(match party {
            Party::Server(node) => self.server(node)?.address,
            Party::Client(client) => self.client(client)?.address,
        })
    }

    /// Such as `n1` or `c1`.
    pub(crate) fn name(self, party: Party) -> String {
        match party {
            Party::Client(client) => client.to_string(),
            Party::Server(node) => match self.server(node) {
                Ok(endpoint) => endpoint.ssh.name.clone(),
                Err(_) => format!("node#{}", node.0),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use locktest_history::{Aim, Cut, FaultKind, PartitionShape};

    use super::*;
    use crate::host::tests::{clients, endpoints};

    fn party(name: &str) -> Party {
        let number: u32 = name[1..].parse().expect("a number");
        match name.starts_with('n') {
            true => Party::Server(NodeId(number as u16 - 1)),
            false => Party::Client(ClientId(number - 1)),
        }
    }

    fn group(names: &str) -> Vec<Party> {
        names.split_whitespace().map(party).collect()
    }

    fn fault(cuts: Vec<Cut>) -> Fault {
        let aim = Aim::Shape(PartitionShape::Halves);
        Fault { cuts, ..Fault::new(FaultKind::Partition, aim, 1000) }
    }

    fn one_way(from: &str, to: &str) -> Fault {
        fault(vec![Cut { from: group(from), to: group(to) }])
    }

    fn both_ways(one: &str, other: &str) -> Fault {
        fault(Cut::both_ways(&group(one), &group(other)).into())
    }

    /// For each server: its name, whom it does not hear, to whom it does not send, and whom it
    /// tries to reach; then for each client the same.
    fn located(fault: &Fault) -> Result<Vec<String>, LinksError> {
        let (servers, clients) = (endpoints(5), clients(3));
        let parties = Parties { servers: &servers, clients: &clients };
        let (servers, clients) = locate(parties, fault)?;
        let last = |addresses: &[Ipv4Addr]| {
            let last = addresses.iter().map(|address| address.octets()[3].to_string());
            last.collect::<Vec<_>>().join(" ")
        };
        let tried = |tries: &[(Link, SocketAddrV4)]| {
            last(&tries.iter().map(|(_, address)| *address.ip()).collect::<Vec<_>>())
        };
        let mut words: Vec<String> = (servers.iter())
            .map(|server| {
                let Rules { from, to } = &server.rules;
                let name = &server.endpoint.ssh.name;
                format!("{name} from {} to {} tries {}", last(from), last(to), tried(&server.tries))
            })
            .collect();
        words.extend(clients.iter().map(|client| {
            format!("{} tries {}", client.endpoint.address.octets()[3], tried(&client.tries))
        }));
        Ok(words)
    }

    #[test]
    fn each_server_cuts_off_the_other_side_and_nobody_of_its_own() {
        assert_eq!(
            located(&both_ways("n2 n4", "n1 n3 n5")).expect("two sides"),
            [
                "n1 from 2 4 to 2 4 tries 2 4",
                "n2 from 1 3 5 to 1 3 5 tries 1 3 5",
                "n3 from 2 4 to 2 4 tries 2 4",
                "n4 from 1 3 5 to 1 3 5 tries 1 3 5",
                "n5 from 2 4 to 2 4 tries 2 4",
            ]
        );
    }

    #[test]
    fn a_cut_one_way_is_made_at_both_ends_and_tried_from_both() {
        assert_eq!(
            located(&one_way("n1", "n2")).expect("a link"),
            ["n1 from  to 2 tries 2", "n2 from 1 to  tries 1"]
        );
    }

    #[test]
    fn clients_are_cut_off_by_the_servers_and_try_the_connections_themselves() {
        let partition = both_ways("c1 c3", "n2");
        assert_eq!(
            located(&partition).expect("a side"),
            ["n2 from 101 103 to 101 103 tries ", "101 tries 2", "103 tries 2"]
        );
    }

    #[test]
    fn a_client_that_replaces_another_has_its_address() {
        let located = located(&both_ways("c5", "n1")).expect("c5 is where c2 was");
        assert_eq!(located, ["n1 from 102 to 102 tries ", "102 tries 1"]);
    }

    #[test]
    fn what_separates_nothing_is_refused() {
        assert_eq!(located(&fault(vec![])), Err(LinksError::CutsNothing));
        assert_eq!(located(&one_way("n1", "")), Err(LinksError::CutsNothing));
        assert_eq!(located(&one_way("c1", "c2")), Err(LinksError::CutsNothing));
        let unknown = LinksError::UnknownNode { node: NodeId(5), endpoints: 5 };
        assert_eq!(located(&both_ways("n1", "n6")), Err(unknown));
        let same = LinksError::SameAddress("n1".into(), "n1".into());
        assert_eq!(located(&both_ways("n1", "n2 n1")), Err(same));
    }

    #[test]
    fn hosts_that_share_an_address_are_not_separated() {
        let servers = endpoints(2);
        let clients = [ClientEndpoint { address: servers[1].address, enter: Vec::new() }];
        let parties = Parties { servers: &servers, clients: &clients };
        let refusal = locate(parties, &both_ways("c1", "n1 n2")).expect_err("c1 lives on n2");
        assert_eq!(refusal, LinksError::SameAddress("n2".into(), "c1".into()));
        let nobody = Parties { servers: &servers, clients: &[] };
        let refusal = locate(nobody, &both_ways("c1", "n1")).expect_err("no address is known");
        assert_eq!(refusal, LinksError::UnknownClient(ClientId(0)));
    }
}
