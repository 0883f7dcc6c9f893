//! Which faults come, in which order, against whom: everything that the seed decides.

use locktest_history::{FaultKind, NodeId, PartitionShape, PlannedFault, PlannedPartition};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

const SHAPES: [PartitionShape; 3] =
    [PartitionShape::Halves, PartitionShape::One, PartitionShape::Leader];

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
}

/// The faults of a run, the same for the same arguments.
///
/// Without a `shape` each round of three faults has every shape once, in random order, so that a
/// short run meets all of them. Fewer than two servers cannot be split: the schedule is empty.
pub fn plan_schedule(
    seed: u64,
    node_count: u16,
    shape: Option<PartitionShape>,
    faults: usize,
) -> Vec<PlannedFault> {
    if node_count < 2 {
        return Vec::new();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut round = Vec::new();
    let mut schedule = Vec::with_capacity(faults);
    for _ in 0..faults {
        if round.is_empty() {
            round = SHAPES.to_vec();
            round.shuffle(&mut rng);
        }
        let mixed = round.pop().unwrap_or(PartitionShape::Halves);
        let mut order: Vec<NodeId> = (0..node_count).map(NodeId).collect();
        order.shuffle(&mut rng);
        let shape = shape.unwrap_or(mixed);
        let minority = match shape {
            PartitionShape::One => 1,
            PartitionShape::Halves | PartitionShape::Leader => ((node_count - 1) / 2).max(1),
        };
        schedule.push(PlannedFault {
            kind: FaultKind::Partition,
            partition: PlannedPartition { shape, order, minority },
        });
    }
    schedule
}

/// The two sides of a planned partition, the smaller first, each in node order.
pub fn resolve(
    planned: &PlannedFault,
    leader: Option<NodeId>,
) -> Result<Vec<Vec<NodeId>>, ResolveError> {
    let PlannedPartition { shape, order, minority } = &planned.partition;
    let mut order = order.clone();
    if *shape == PartitionShape::Leader {
        let leader = leader.ok_or(ResolveError::NoLeader)?;
        let at = order
            .iter()
            .position(|node| *node == leader)
            .ok_or(ResolveError::UnknownLeader(leader))?;
        order[..=at].rotate_right(1);
    }
    let split = usize::from(*minority);
    if split == 0 || split >= order.len() {
        return Err(ResolveError::TooFewServers { servers: order.len(), minority: *minority });
    }
    let mut sides = vec![order[..split].to_vec(), order[split..].to_vec()];
    for side in &mut sides {
        side.sort_unstable();
    }
    Ok(sides)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(schedule: &[PlannedFault]) -> Vec<PartitionShape> {
        schedule.iter().map(|fault| fault.partition.shape).collect()
    }

    #[test]
    fn a_seed_decides_the_whole_schedule() {
        assert_eq!(plan_schedule(1, 5, None, 20), plan_schedule(1, 5, None, 20));
        assert_ne!(plan_schedule(1, 5, None, 20), plan_schedule(2, 5, None, 20));
    }

    #[test]
    fn a_longer_schedule_begins_with_the_shorter_one() {
        assert_eq!(plan_schedule(7, 5, None, 9)[..4], plan_schedule(7, 5, None, 4));
    }

    #[test]
    fn a_mixed_schedule_has_every_shape_in_each_round_of_three() {
        for seed in 0..50 {
            for round in shapes(&plan_schedule(seed, 5, None, 12)).chunks(3) {
                for shape in SHAPES {
                    assert!(round.contains(&shape), "seed {seed}: {round:?}");
                }
            }
        }
    }

    #[test]
    fn a_named_shape_is_the_only_one_and_has_the_same_orders_as_the_mix() {
        let mixed = plan_schedule(3, 5, None, 9);
        let leader = plan_schedule(3, 5, Some(PartitionShape::Leader), 9);
        assert!(shapes(&leader).iter().all(|shape| *shape == PartitionShape::Leader));
        for (a, b) in mixed.iter().zip(&leader) {
            assert_eq!(a.partition.order, b.partition.order);
        }
    }

    #[test]
    fn the_smaller_side_is_a_minority_of_at_least_one() {
        for (servers, halves) in [(2, 1), (3, 1), (4, 1), (5, 2), (6, 2), (7, 3)] {
            for fault in plan_schedule(5, servers, None, 3) {
                let expected =
                    if fault.partition.shape == PartitionShape::One { 1 } else { halves };
                assert_eq!(fault.partition.minority, expected, "{servers} servers");
                let sides = resolve(&fault, Some(NodeId(0))).expect("two sides");
                assert_eq!(sides[0].len(), usize::from(expected));
                let mut all: Vec<NodeId> = sides.concat();
                all.sort_unstable();
                assert_eq!(all, (0..servers).map(NodeId).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn whoever_leads_is_on_the_smaller_side() {
        for fault in plan_schedule(9, 5, Some(PartitionShape::Leader), 20) {
            for leader in (0..5).map(NodeId) {
                let sides = resolve(&fault, Some(leader)).expect("two sides");
                assert!(sides[0].contains(&leader), "{sides:?} without {leader:?}");
                assert_eq!(sides[0].len(), 2);
            }
        }
    }

    #[test]
    fn a_leader_fault_without_a_known_leader_is_refused() {
        let fault = &plan_schedule(9, 5, Some(PartitionShape::Leader), 1)[0];
        assert_eq!(resolve(fault, None), Err(ResolveError::NoLeader));
        let stranger = NodeId(9);
        assert_eq!(resolve(fault, Some(stranger)), Err(ResolveError::UnknownLeader(stranger)));
        let halves = &plan_schedule(9, 5, Some(PartitionShape::Halves), 1)[0];
        assert!(resolve(halves, None).is_ok());
    }

    #[test]
    fn a_plan_that_leaves_a_side_empty_is_refused() {
        let mut fault = plan_schedule(9, 2, None, 1).remove(0);
        for minority in [0, 2, 3] {
            fault.partition.minority = minority;
            let refusal = ResolveError::TooFewServers { servers: 2, minority };
            assert_eq!(resolve(&fault, Some(NodeId(0))), Err(refusal));
        }
    }

    #[test]
    fn one_server_cannot_be_split() {
        assert!(plan_schedule(1, 1, None, 5).is_empty());
        assert!(plan_schedule(1, 0, None, 5).is_empty());
    }
}
