//! Which faults come, in which order, against whom: everything that the seed decides.

use locktest_history::{
    ClientId, FaultKind, NodeId, PartitionShape, PlannedFault, PlannedPartition, Side,
};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

/// Who can be separated from whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parties {
    /// Servers that need each other. They are split, and each client reaches all of them.
    Cluster {
        /// How many there are.
        servers: u16,
    },
    /// Servers that know nothing of each other, so that nothing is cut unless clients are split
    /// from them. None of them leads.
    Independent {
        /// How many servers there are.
        servers: u16,
        /// How many clients there are.
        clients: u16,
    },
}

impl Parties {
    fn servers(self) -> u16 {
        match self {
            Parties::Cluster { servers } | Parties::Independent { servers, .. } => servers,
        }
    }

    fn split_clients(self) -> u16 {
        match self {
            Parties::Cluster { .. } => 0,
            Parties::Independent { clients, .. } => clients,
        }
    }

    /// The shapes that such parties can be split in.
    fn shapes(self) -> &'static [PartitionShape] {
        match self {
            Parties::Cluster { .. } => {
                &[PartitionShape::Halves, PartitionShape::One, PartitionShape::Leader]
            }
            Parties::Independent { .. } => &[PartitionShape::Halves, PartitionShape::One],
        }
    }

    /// Whether there is anything to cut.
    fn can_be_split(self) -> bool {
        match self {
            Parties::Cluster { servers } => servers >= 2,
            Parties::Independent { servers, clients } => servers >= 1 && clients >= 1,
        }
    }
}

/// Why a planned fault has no sides to separate. The fault is skipped, and the history says so.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// The shape needs a leader.
    #[error("no server is known to lead, so there is no leader to cut off")]
    NoLeader,
    /// The leader is not among the servers of the plan.
    #[error("the leader, server {}, is not among the planned servers", .0.0)]
    UnknownLeader(NodeId),
    /// One side would be empty.
    #[error("{servers} servers cannot be split into a side of {minority} and a larger one")]
    TooFewServers {
        /// How many servers the plan has.
        servers: usize,
        /// How many the smaller side should have.
        minority: u16,
    },
    /// Clients are to be split, and each would still reach every server.
    #[error(
        "{minority} of {servers} servers with {client_minority} of {clients} clients against the \
         rest cuts no client off from any server"
    )]
    CutsNoClient {
        /// How many servers the plan has.
        servers: usize,
        /// How many of them the smaller side should have.
        minority: u16,
        /// How many clients the plan has.
        clients: usize,
        /// How many of them the smaller side should have.
        client_minority: u16,
    },
}

/// The faults of a run, the same for the same arguments.
///
/// Without a `shape` each round has every shape that makes sense once, in random order, so that a
/// short run meets all of them. If nobody can be cut off from anybody the schedule is empty.
pub fn plan_schedule(
    seed: u64,
    parties: Parties,
    shape: Option<PartitionShape>,
    faults: usize,
) -> Vec<PlannedFault> {
    if !parties.can_be_split() {
        return Vec::new();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut round = Vec::new();
    let mut schedule = Vec::with_capacity(faults);
    for _ in 0..faults {
        if round.is_empty() {
            round = parties.shapes().to_vec();
            round.shuffle(&mut rng);
        }
        let mixed = round.pop().unwrap_or(PartitionShape::Halves);
        let servers = parties.servers();
        let mut order: Vec<NodeId> = (0..servers).map(NodeId).collect();
        order.shuffle(&mut rng);
        let shape = shape.unwrap_or(mixed);
        let minority = match shape {
            // A lone server is with the larger side, cut off from the clients of the smaller one.
            _ if servers == 1 => 0,
            PartitionShape::One => 1,
            PartitionShape::Halves | PartitionShape::Leader => ((servers - 1) / 2).max(1),
        };
        let clients = parties.split_clients();
        let mut client_order: Vec<ClientId> = (0..clients.into()).map(ClientId).collect();
        client_order.shuffle(&mut rng);
        let client_minority = match clients {
            0 | 1 => clients,
            _ => rng.random_range(1..clients),
        };
        schedule.push(PlannedFault {
            kind: FaultKind::Partition,
            partition: PlannedPartition { shape, order, minority, client_order, client_minority },
        });
    }
    schedule
}

/// The two sides of a planned partition, the one with fewer servers first, each in the plan's
/// order. If clients are split each side may have them alone, or none.
pub fn resolve(planned: &PlannedFault, leader: Option<NodeId>) -> Result<Vec<Side>, ResolveError> {
    let PlannedPartition { shape, order, minority, client_order, client_minority } =
        &planned.partition;
    let mut order = order.clone();
    if *shape == PartitionShape::Leader {
        let leader = leader.ok_or(ResolveError::NoLeader)?;
        let at = order
            .iter()
            .position(|node| *node == leader)
            .ok_or(ResolveError::UnknownLeader(leader))?;
        order[..=at].rotate_right(1);
    }
    let (servers, clients) = (order.len(), client_order.len());
    let split = usize::from(*minority).min(servers);
    let client_split = usize::from(*client_minority).min(clients);
    if clients > 0 {
        let cuts = (split > 0 && client_split < clients) || (split < servers && client_split > 0);
        if !cuts {
            let (minority, client_minority) = (*minority, *client_minority);
            return Err(ResolveError::CutsNoClient { servers, minority, clients, client_minority });
        }
    } else if split == 0 || split == servers {
        return Err(ResolveError::TooFewServers { servers, minority: *minority });
    }
    let (small, large) = order.split_at(split);
    let (with_small, with_large) = client_order.split_at(client_split);
    let sides = [(small, with_small), (large, with_large)];
    Ok(sides
        .into_iter()
        .map(|(servers, clients)| {
            let mut side = Side { servers: servers.to_vec(), clients: clients.to_vec() };
            side.servers.sort_unstable();
            side.clients.sort_unstable();
            side
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: Parties = Parties::Cluster { servers: 5 };

    fn shapes(schedule: &[PlannedFault]) -> Vec<PartitionShape> {
        schedule.iter().map(|fault| fault.partition.shape).collect()
    }

    fn independent(servers: u16, clients: u16) -> Parties {
        Parties::Independent { servers, clients }
    }

    /// The numbers of all servers and all clients of the sides.
    fn everybody(sides: &[Side]) -> (Vec<u16>, Vec<u32>) {
        let mut servers: Vec<u16> =
            sides.iter().flat_map(|side| &side.servers).map(|node| node.0).collect();
        let mut clients: Vec<u32> =
            sides.iter().flat_map(|side| &side.clients).map(|client| client.0).collect();
        servers.sort_unstable();
        clients.sort_unstable();
        (servers, clients)
    }

    #[test]
    fn a_seed_decides_the_whole_schedule() {
        assert_eq!(plan_schedule(1, FIVE, None, 20), plan_schedule(1, FIVE, None, 20));
        assert_ne!(plan_schedule(1, FIVE, None, 20), plan_schedule(2, FIVE, None, 20));
    }

    #[test]
    fn a_seed_keeps_its_meaning_from_version_to_version() {
        let partitions: Vec<(PartitionShape, Vec<u16>, u16)> = plan_schedule(1, FIVE, None, 3)
            .into_iter()
            .map(|PlannedFault { partition, .. }| {
                let order = partition.order.iter().map(|node| node.0).collect();
                (partition.shape, order, partition.minority)
            })
            .collect();
        assert_eq!(
            partitions,
            [
                (PartitionShape::One, vec![1, 2, 0, 3, 4], 1),
                (PartitionShape::Halves, vec![0, 1, 4, 3, 2], 2),
                (PartitionShape::Leader, vec![0, 3, 1, 2, 4], 2),
            ]
        );
    }

    #[test]
    fn a_longer_schedule_begins_with_the_shorter_one() {
        assert_eq!(plan_schedule(7, FIVE, None, 9)[..4], plan_schedule(7, FIVE, None, 4));
    }

    #[test]
    fn a_mixed_schedule_has_every_shape_in_each_round_of_three() {
        for seed in 0..50 {
            for round in shapes(&plan_schedule(seed, FIVE, None, 12)).chunks(3) {
                for shape in FIVE.shapes() {
                    assert!(round.contains(shape), "seed {seed}: {round:?}");
                }
            }
        }
    }

    #[test]
    fn a_named_shape_is_the_only_one_and_has_the_same_orders_as_the_mix() {
        let mixed = plan_schedule(3, FIVE, None, 9);
        let leader = plan_schedule(3, FIVE, Some(PartitionShape::Leader), 9);
        assert!(shapes(&leader).iter().all(|shape| *shape == PartitionShape::Leader));
        for (a, b) in mixed.iter().zip(&leader) {
            assert_eq!(a.partition.order, b.partition.order);
        }
    }

    #[test]
    fn the_smaller_side_is_a_minority_of_at_least_one() {
        for (servers, halves) in [(2, 1), (3, 1), (4, 1), (5, 2), (6, 2), (7, 3)] {
            for fault in plan_schedule(5, Parties::Cluster { servers }, None, 3) {
                let expected =
                    if fault.partition.shape == PartitionShape::One { 1 } else { halves };
                assert_eq!(fault.partition.minority, expected, "{servers} servers");
                let sides = resolve(&fault, Some(NodeId(0))).expect("two sides");
                assert_eq!(sides[0].servers.len(), usize::from(expected));
                assert_eq!(everybody(&sides), ((0..servers).collect(), vec![]));
            }
        }
    }

    #[test]
    fn whoever_leads_is_on_the_smaller_side() {
        for fault in plan_schedule(9, FIVE, Some(PartitionShape::Leader), 20) {
            for leader in (0..5).map(NodeId) {
                let sides = resolve(&fault, Some(leader)).expect("two sides");
                assert!(sides[0].servers.contains(&leader), "{sides:?} without {leader:?}");
                assert_eq!(sides[0].servers.len(), 2);
            }
        }
    }

    #[test]
    fn a_leader_fault_without_a_known_leader_is_refused() {
        let fault = &plan_schedule(9, FIVE, Some(PartitionShape::Leader), 1)[0];
        assert_eq!(resolve(fault, None), Err(ResolveError::NoLeader));
        let stranger = NodeId(9);
        assert_eq!(resolve(fault, Some(stranger)), Err(ResolveError::UnknownLeader(stranger)));
        let halves = &plan_schedule(9, FIVE, Some(PartitionShape::Halves), 1)[0];
        assert!(resolve(halves, None).is_ok());
    }

    #[test]
    fn a_plan_that_leaves_a_side_empty_is_refused() {
        let mut fault = plan_schedule(9, Parties::Cluster { servers: 2 }, None, 1).remove(0);
        for minority in [0, 2, 3] {
            fault.partition.minority = minority;
            let refusal = ResolveError::TooFewServers { servers: 2, minority };
            assert_eq!(resolve(&fault, Some(NodeId(0))), Err(refusal));
        }
    }

    #[test]
    fn one_server_of_a_cluster_cannot_be_split() {
        assert!(plan_schedule(1, Parties::Cluster { servers: 1 }, None, 5).is_empty());
        assert!(plan_schedule(1, Parties::Cluster { servers: 0 }, None, 5).is_empty());
    }

    #[test]
    fn a_cluster_splits_no_clients() {
        for fault in plan_schedule(1, FIVE, None, 9) {
            assert_eq!(fault.partition.client_order, []);
            assert_eq!(fault.partition.client_minority, 0);
            let sides = resolve(&fault, Some(NodeId(0))).expect("two sides");
            assert!(sides.iter().all(|side| side.clients.is_empty()), "{sides:?}");
        }
    }

    #[test]
    fn independent_servers_are_split_with_some_clients_on_each_side() {
        let mut minorities = std::collections::BTreeSet::new();
        for seed in 0..20 {
            for fault in plan_schedule(seed, independent(5, 4), None, 4) {
                let sides = resolve(&fault, None).expect("nobody leads");
                let expected = if fault.partition.shape == PartitionShape::One { 1 } else { 2 };
                assert_eq!(sides[0].servers.len(), expected);
                assert_eq!(everybody(&sides), ((0..5).collect(), (0..4).collect()));
                assert!(sides.iter().all(|side| !side.clients.is_empty()), "{sides:?}");
                minorities.insert(fault.partition.client_minority);
            }
        }
        assert_eq!(minorities, [1, 2, 3].into(), "the seed decides how many");
    }

    #[test]
    fn a_mixed_schedule_of_independent_servers_has_both_shapes_in_each_round_and_no_leader() {
        for seed in 0..50 {
            for round in shapes(&plan_schedule(seed, independent(5, 4), None, 12)).chunks(2) {
                assert!(round.contains(&PartitionShape::Halves), "seed {seed}: {round:?}");
                assert!(round.contains(&PartitionShape::One), "seed {seed}: {round:?}");
            }
        }
    }

    #[test]
    fn each_of_few_clients_and_servers_is_cut_off_from_some_other() {
        for (servers, clients) in [(1, 1), (1, 2), (1, 5), (2, 1), (3, 1), (5, 1), (2, 2)] {
            for fault in plan_schedule(3, independent(servers, clients), None, 8) {
                let sides = resolve(&fault, None).expect("two sides");
                let all = ((0..servers).collect(), (0..clients.into()).collect());
                assert_eq!(everybody(&sides), all);
                assert!(!sides[0].clients.is_empty(), "{sides:?}");
                assert!(!sides[1].servers.is_empty(), "{sides:?}");
            }
        }
    }

    #[test]
    fn nothing_is_planned_without_a_client_or_a_server_to_cut_off() {
        assert!(plan_schedule(1, independent(5, 0), None, 5).is_empty());
        assert!(plan_schedule(1, independent(0, 5), None, 5).is_empty());
    }

    #[test]
    fn a_plan_that_cuts_no_client_off_is_refused() {
        let mut fault = plan_schedule(9, independent(3, 2), None, 1).remove(0);
        for (minority, client_minority) in [(0, 0), (3, 2), (9, 9)] {
            fault.partition.minority = minority;
            fault.partition.client_minority = client_minority;
            let refusal =
                ResolveError::CutsNoClient { servers: 3, minority, clients: 2, client_minority };
            assert_eq!(resolve(&fault, None), Err(refusal));
        }
        for (minority, client_minority) in [(0, 1), (0, 2), (3, 0), (3, 1)] {
            fault.partition.minority = minority;
            fault.partition.client_minority = client_minority;
            assert!(resolve(&fault, None).is_ok(), "{minority} {client_minority}");
        }
    }
}
