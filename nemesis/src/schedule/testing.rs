//! What the tests of this folder share.

use locktest_history::{DrawnFault, FaultKind, PlannedFault};

use super::{Menu, Parties};

/// A cluster of five servers with a leader, and four clients.
pub const FIVE: Parties = Parties::Cluster { servers: 5, clients: 4, has_leader: true };

/// Five servers that know nothing of each other, and four clients.
pub const REDLOCK: Parties = Parties::Independent { servers: 5, clients: 4 };

/// Cluster with a leader, and four clients.
pub fn cluster(servers: u16) -> Parties {
    Parties::Cluster { servers, clients: 4, has_leader: true }
}

/// Every way of these kinds.
pub fn menu(parties: Parties, kinds: &[FaultKind]) -> Menu {
    Menu {
        kinds: kinds.to_vec(),
        parties,
        has_holders: true,
        shape: None,
        target: None,
        direction: None,
        packets: None,
        between: None,
        clock: None,
        clock_offset_ms: None,
        max_affected: None,
        interval_ms: 10_000,
        lease_bound_ms: 2000,
    }
}

/// The first faults of a menu, of a schedule that was drawn.
pub fn drawn(seed: u64, menu: &Menu, faults: usize) -> Vec<DrawnFault> {
    let schedule = super::plan_schedule(seed, menu, faults);
    let drawn = schedule.into_iter().map(|planned| match planned {
        PlannedFault::Drawn(drawn) => drawn,
        PlannedFault::Fixed(fixed) => panic!("{fixed:?} was not drawn"),
    });
    drawn.collect()
}
