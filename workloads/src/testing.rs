//! What the unit tests share.

use locktest_history::{Backend, Plan};

/// The plan of a run with one client of the sim.
pub(crate) fn plan() -> Plan {
    Plan { renew_while_waiting: false, ..Plan::of(Backend::Sim) }
}
