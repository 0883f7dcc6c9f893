//! Whether a fault took effect: decided by what was observed while it was in force.

mod links;
mod processes;
mod skews;

use std::collections::BTreeMap;

use locktest_history::{NodeId, PacketFate, Party, Skew};

use crate::links::Link;
use crate::probe::Probed;
use crate::process::{Deed, ProcessState};
use crate::skew::Clock;

pub(crate) use links::{LinkEvidence, Stopped};
pub(crate) use processes::ProcessEvidence;
pub(crate) use skews::{Found as FoundClocks, SkewEvidence};

/// What one look found on all hosts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    pub(crate) probes: Vec<(Link, Probed)>,
    pub(crate) stopped: BTreeMap<NodeId, Stopped>,
    /// Why the control node could not look, if it was to.
    pub(crate) unseen: Option<String>,
    /// By host and name: the process id and its state; the reason if a host could not be asked.
    pub(crate) processes: BTreeMap<(String, String), Result<(u32, ProcessState), String>>,
    /// Likewise, the clocks of servers.
    pub(crate) clocks: FoundClocks,
}

/// Everything observed of one fault.
#[derive(Debug)]
pub(crate) enum Evidence {
    Links(LinkEvidence),
    Processes(ProcessEvidence),
    Clocks(SkewEvidence),
}

impl Evidence {
    /// Begins with what was found before the fault.
    pub(crate) fn of_links(fate: PacketFate, before: &Look) -> Evidence {
        Evidence::Links(LinkEvidence::new(fate, &before.probes))
    }

    pub(crate) fn of_processes(deed: Deed, before: Look) -> Evidence {
        Evidence::Processes(ProcessEvidence::new(deed, before.processes))
    }

    pub(crate) fn of_clocks(clock: Clock, skew: Skew, before: Look) -> Evidence {
        Evidence::Clocks(SkewEvidence::new(clock, skew, before.clocks))
    }

    /// Adds what was found while the fault was in force.
    pub(crate) fn record(&mut self, look: Look) {
        match self {
            Evidence::Links(links) => links.record(look),
            Evidence::Processes(processes) => processes.record(look.processes),
            Evidence::Clocks(clocks) => clocks.record(look.clocks),
        }
    }

    /// Whether the fault is known to have bitten, and the observations behind that, a sentence
    /// each.
    pub(crate) fn judge(&self, name: impl Fn(Party) -> String) -> (bool, Vec<String>) {
        match self {
            Evidence::Links(links) => links.judge(name),
            Evidence::Processes(processes) => processes.judge(),
            Evidence::Clocks(clocks) => clocks.judge(),
        }
    }
}
