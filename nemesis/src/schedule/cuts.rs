//! The links that a partition cuts.

use locktest_history::{Between, ClientId, Cut, Direction, NodeId, Party};

/// Two sides with nobody in common, the smaller one first: servers, and the clients with them.
pub(super) struct Sides<'a> {
    pub servers: [&'a [NodeId]; 2],
    pub clients: [&'a [ClientId]; 2],
}

impl Sides<'_> {
    /// Separates the servers of one side from those of the other, or the clients of each side from
    /// the servers of the other.
    pub fn cuts(&self, between: Between, direction: Direction) -> Vec<Cut> {
        let [small, large] = self.servers.map(servers);
        match between {
            Between::Servers => cut(&small, &large, direction),
            Between::Clients => {
                let [with_small, with_large] = self.clients.map(clients);
                let mut cuts = cut(&small, &with_large, direction);
                cuts.extend(cut(&with_small, &large, direction));
                cuts
            }
        }
    }
}

/// Cuts clients off from all servers.
pub(super) fn of_clients(of: &[ClientId], from: &[NodeId], direction: Direction) -> Vec<Cut> {
    cut(&clients(of), &servers(from), direction)
}

/// Places the servers on a ring. Each keeps the links to its nearest neighbours, as many on one side
/// as on the other, and as few as leave it in reach of a majority, itself included.
///
/// Of 4, 5, 8 or 9 servers each then reaches no more than a majority, of 6 or 7 one server more:
/// there is no ring of seven that looks the same from each server and has fewer links. Fewer than
/// four servers lose no link.
pub(super) fn ring(order: &[NodeId], direction: Direction) -> Vec<Cut> {
    let count = order.len();
    let neighbours_on_a_side = (count / 2).div_ceil(2);
    let mut cuts = Vec::new();
    for (at, server) in order.iter().enumerate() {
        let is_far = |ahead: usize| ahead.min(count - ahead) > neighbours_on_a_side;
        let later = order[at + 1..].iter().zip(1..);
        let far: Vec<NodeId> =
            later.filter(|(_, ahead)| is_far(*ahead)).map(|(other, _)| *other).collect();
        cuts.extend(cut(&servers(&[*server]), &servers(&far), direction));
    }
    cuts
}

/// The first server reaches all others, which are in two halves; the smaller half comes next.
pub(super) fn bridge(order: &[NodeId], smaller: usize, direction: Direction) -> Vec<Cut> {
    let rest = order.get(1..).unwrap_or_default();
    let (small, large) = rest.split_at(smaller.min(rest.len()));
    cut(&servers(small), &servers(large), direction)
}

/// Cuts the links of the smaller of two sides; none if there is nobody on a side.
fn cut(smaller: &[Party], larger: &[Party], direction: Direction) -> Vec<Cut> {
    if smaller.is_empty() || larger.is_empty() {
        return Vec::new();
    }
    let [from_smaller, to_smaller] = Cut::both_ways(smaller, larger);
    match direction {
        Direction::Both => vec![from_smaller, to_smaller],
        Direction::In => vec![to_smaller],
        Direction::Out => vec![from_smaller],
    }
}

fn servers(nodes: &[NodeId]) -> Vec<Party> {
    sorted(nodes.iter().copied().map(Party::Server))
}

fn clients(clients: &[ClientId]) -> Vec<Party> {
    sorted(clients.iter().copied().map(Party::Client))
}

fn sorted(parties: impl Iterator<Item = Party>) -> Vec<Party> {
    let mut parties: Vec<Party> = parties.collect();
    parties.sort_unstable();
    parties
}

#[cfg(test)]
mod tests {
    use locktest_history::{Aim, Fault, FaultKind, PartitionShape};

    use super::*;

    fn nodes(count: u16) -> Vec<NodeId> {
        (0..count).map(NodeId).collect()
    }

    fn fault(cuts: Vec<Cut>) -> Fault {
        let aim = Aim::Shape(PartitionShape::MajorityRing);
        Fault { cuts, ..Fault::new(FaultKind::Partition, aim, 1) }
    }

    /// How many servers each one reaches, itself included.
    fn reach(fault: &Fault, count: u16) -> Vec<usize> {
        let reaches = |a: &NodeId, b: &NodeId| {
            a == b || !fault.separates(Party::Server(*a), Party::Server(*b))
        };
        let all = nodes(count);
        all.iter().map(|a| all.iter().filter(|b| reaches(a, b)).count()).collect()
    }

    #[test]
    fn each_server_of_a_ring_reaches_the_same_number_which_is_a_majority() {
        for (count, expected) in [(2, 2), (3, 3), (4, 3), (5, 3), (6, 5), (7, 5), (8, 5), (9, 5)] {
            let fault = fault(ring(&nodes(count), Direction::Both));
            assert_eq!(reach(&fault, count), vec![expected; count.into()], "{count} servers");
        }
    }

    #[test]
    fn no_two_servers_of_a_ring_reach_the_same_ones() {
        let fault = fault(ring(&nodes(5), Direction::Both));
        let reached = |a: u16| {
            let near = |b: &u16| {
                !fault.separates(Party::Server(NodeId(a)), Party::Server(NodeId(*b))) || a == *b
            };
            (0..5).filter(near).collect::<Vec<u16>>()
        };
        assert_eq!(reached(0), [0, 1, 4]);
        let all: std::collections::BTreeSet<_> = (0..5).map(reached).collect();
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn a_bridge_reaches_both_halves_and_they_do_not_reach_each_other() {
        for (count, smaller, expected) in
            [(3, 1, vec![3, 2, 2]), (4, 1, vec![4, 2, 3, 3]), (5, 2, vec![5, 3, 3, 3, 3])]
        {
            let fault = fault(bridge(&nodes(count), smaller, Direction::Both));
            assert_eq!(reach(&fault, count), expected, "{count} servers");
        }
        assert_eq!(bridge(&nodes(2), 0, Direction::Both), [], "nobody is on one side");
        assert_eq!(bridge(&[], 0, Direction::Both), []);
    }

    #[test]
    fn packets_of_one_direction_get_lost_to_or_from_the_smaller_side() {
        let [small, large] = [0, 1].map(|node| Party::Server(NodeId(node)));
        let sides = Sides { servers: [&[NodeId(0)], &[NodeId(1)]], clients: [&[], &[]] };
        for (direction, to_small, to_large) in [
            (Direction::Both, true, true),
            (Direction::In, true, false),
            (Direction::Out, false, true),
        ] {
            let fault = fault(sides.cuts(Between::Servers, direction));
            assert_eq!(fault.cuts(large, small), to_small, "{direction:?}");
            assert_eq!(fault.cuts(small, large), to_large, "{direction:?}");
        }
    }

    #[test]
    fn a_pair_of_a_ring_loses_packets_to_the_one_that_comes_first_in_the_order() {
        let order = [3, 1, 4, 0, 2].map(NodeId);
        let fault = fault(ring(&order, Direction::In));
        let [first, third] = [order[0], order[2]].map(Party::Server);
        assert!(fault.cuts(third, first) && !fault.cuts(first, third));
    }

    #[test]
    fn split_clients_lose_the_servers_of_the_other_side_and_servers_lose_nobody() {
        let small = [NodeId(1)];
        let large = [NodeId(0), NodeId(2)];
        let (with_small, with_large) = ([ClientId(0)], [ClientId(1), ClientId(2)]);
        let sides = Sides { servers: [&small, &large], clients: [&with_small, &with_large] };
        let fault = fault(sides.cuts(Between::Clients, Direction::Both));
        assert_eq!(reach(&fault, 3), [3, 3, 3]);
        for (client, reached) in [(0, vec![1]), (1, vec![0, 2]), (2, vec![0, 2])] {
            let servers: Vec<u16> =
                (0..3).filter(|node| fault.reaches(ClientId(client), NodeId(*node))).collect();
            assert_eq!(servers, reached, "client {client}");
        }
    }
}
