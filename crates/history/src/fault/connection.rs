//! Who still reaches whom while a fault is in force.

use super::{Cut, Fault, FaultKind, Party};
use crate::{ClientId, NodeId};

/// More servers than this are not told apart in a set of bits.
const MOST_SERVERS: usize = 128;

impl Cut {
    /// The two cuts that separate two sides both ways.
    pub fn both_ways(one: &[Party], other: &[Party]) -> [Cut; 2] {
        let cut = |from: &[Party], to: &[Party]| Cut { from: from.to_vec(), to: to.to_vec() };
        [cut(one, other), cut(other, one)]
    }
}

impl Fault {
    /// Whether packets from one party to another get lost.
    pub fn cuts(&self, from: Party, to: Party) -> bool {
        self.cuts.iter().any(|cut| cut.from.contains(&from) && cut.to.contains(&to))
    }

    /// Whether packets between two parties get lost one way at least: no connection works.
    pub fn separates(&self, one: Party, other: Party) -> bool {
        self.cuts(one, other) || self.cuts(other, one)
    }

    /// Whether the processes of a server are dead or paused.
    pub fn takes_down(&self, server: NodeId) -> bool {
        self.servers.contains(&server)
    }

    /// Whether the process of a client is paused. One that was killed has another in its place.
    pub fn pauses(&self, client: ClientId) -> bool {
        self.kind == FaultKind::ClientPause && self.clients.contains(&client)
    }

    /// Whether some link between a client and a server is cut.
    pub fn splits_clients(&self) -> bool {
        let is_client = |party: &Party| matches!(party, Party::Client(_));
        self.cuts.iter().any(|cut| cut.from.iter().chain(&cut.to).any(is_client))
    }

    /// Whether a client and a server reach each other, and the server is up. `client` has to be one
    /// of those that the run began with.
    pub fn reaches(&self, client: ClientId, server: NodeId) -> bool {
        !self.takes_down(server) && !self.separates(Party::Client(client), Party::Server(server))
    }

    /// Those of `servers` servers that are up and all reach each other, if they are more than half
    /// of all. If several such groups exist, those that are in each of them, if they still are more
    /// than half: whoever is in one alone may find the others with another leader.
    ///
    /// The groups are the maximal cliques of the graph of working links (Bron and Kerbosch, with
    /// Tomita's pivot).
    pub fn connected_majority(&self, servers: usize) -> Option<Vec<NodeId>> {
        let servers = servers.min(MOST_SERVERS);
        let nodes: Vec<NodeId> =
            (0..servers).filter_map(|index| u16::try_from(index).ok().map(NodeId)).collect();
        let up = |node: NodeId| !self.takes_down(node);
        let linked = |a: NodeId, b: NodeId| {
            a != b && up(a) && up(b) && !self.separates(Party::Server(a), Party::Server(b))
        };
        let neighbours: Vec<u128> = nodes
            .iter()
            .map(|a| nodes.iter().filter(|b| linked(*a, **b)).map(|b| bit(*b)).sum())
            .collect();
        let all_up: u128 = nodes.iter().filter(|node| up(**node)).map(|node| bit(*node)).sum();
        let mut common: Option<u128> = None;
        cliques(&neighbours, 0, all_up, 0, &mut |clique| {
            if clique.count_ones() as usize * 2 > servers {
                common = Some(common.unwrap_or(u128::MAX) & clique);
            }
        });
        let common = common.filter(|common| common.count_ones() as usize * 2 > servers)?;
        Some(nodes.into_iter().filter(|node| common & bit(*node) != 0).collect())
    }
}

fn bit(node: NodeId) -> u128 {
    1 << node.0
}

/// Calls `found` with every maximal clique that holds all of `chosen`, some of `candidates`, and
/// none of `excluded`.
fn cliques(
    neighbours: &[u128],
    chosen: u128,
    mut candidates: u128,
    mut excluded: u128,
    found: &mut impl FnMut(u128),
) {
    if candidates == 0 && excluded == 0 {
        found(chosen);
        return;
    }
    let pivot = ones(candidates | excluded)
        .max_by_key(|node| (candidates & neighbours[*node]).count_ones())
        .map_or(0, |node| neighbours[node]);
    for node in ones(candidates & !pivot) {
        let (this, near) = (1 << node, neighbours[node]);
        cliques(neighbours, chosen | this, candidates & near, excluded & near, found);
        candidates &= !this;
        excluded |= this;
    }
}

fn ones(set: u128) -> impl Iterator<Item = usize> {
    (0..MOST_SERVERS).filter(move |index| set & (1 << index) != 0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fault, servers};
    use super::*;

    fn majority(fault: &Fault) -> Option<Vec<u16>> {
        Some(fault.connected_majority(5)?.into_iter().map(|node| node.0).collect())
    }

    fn cut(sides: &[(&[u16], &[u16])]) -> Fault {
        let both_ways = |(one, other): &(&[u16], &[u16])| {
            Cut::both_ways(&servers(one.iter().copied()), &servers(other.iter().copied()))
        };
        Fault { cuts: sides.iter().flat_map(both_ways).collect(), ..fault(FaultKind::Partition) }
    }

    #[test]
    fn without_a_fault_all_servers_are_the_majority() {
        assert_eq!(majority(&fault(FaultKind::Partition)), Some(vec![0, 1, 2, 3, 4]));
    }

    #[test]
    fn the_larger_of_two_sides_is_the_majority() {
        assert_eq!(majority(&cut(&[(&[0, 3], &[1, 2, 4])])), Some(vec![1, 2, 4]));
        let fault = cut(&[(&[0, 1], &[2, 3])]);
        assert_eq!(fault.connected_majority(4), None, "two equal halves");
    }

    #[test]
    fn a_link_that_is_cut_one_way_connects_nobody() {
        let one_way = Cut { from: servers([0]), to: servers([1, 2, 3, 4]) };
        let fault = Fault { cuts: vec![one_way], ..fault(FaultKind::Partition) };
        assert_eq!(majority(&fault), Some(vec![1, 2, 3, 4]));
    }

    #[test]
    fn servers_that_are_down_are_in_no_majority() {
        for kind in [FaultKind::Kill, FaultKind::Pause, FaultKind::RestartAll] {
            let down = |nodes: &[u16]| {
                let servers = nodes.iter().copied().map(NodeId).collect();
                majority(&Fault { servers, ..fault(kind) })
            };
            assert_eq!(down(&[1, 2]), Some(vec![0, 3, 4]));
            assert_eq!(down(&[1, 2, 3]), None);
        }
    }

    #[test]
    fn a_ring_and_a_bridge_have_no_majority_that_is_the_only_one() {
        let ring = cut(&[(&[0], &[2, 3]), (&[1], &[3, 4]), (&[2], &[4])]);
        assert_eq!(majority(&ring), None);
        let bridge = cut(&[(&[0, 1], &[3, 4])]);
        assert_eq!(majority(&bridge), None);
    }

    #[test]
    fn a_single_cut_link_leaves_those_whom_it_does_not_concern() {
        assert_eq!(majority(&cut(&[(&[0], &[1])])), Some(vec![2, 3, 4]));
    }

    #[test]
    fn ninety_nine_servers_in_a_ring_are_decided() {
        let near = |a: i32, b: i32| (a - b).rem_euclid(99).min((b - a).rem_euclid(99)) <= 24;
        let cuts = (0..99).flat_map(|a| {
            let far = (0..99).filter(move |b| !near(a, *b)).map(|b| b as u16);
            Cut::both_ways(&servers([a as u16]), &servers(far))
        });
        let fault = Fault { cuts: cuts.collect(), ..fault(FaultKind::Partition) };
        assert_eq!(fault.connected_majority(99), None);
    }
}
