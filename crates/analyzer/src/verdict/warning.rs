//! Doubts about an experiment.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A doubt about the experiment, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Warning {
    /// A fault shows no effect.
    FaultDidNotBite {
        /// Which.
        fault: u32,
    },
    /// A fault could not be shown to be gone.
    FaultNotUndone {
        /// Which.
        fault: u32,
    },
    /// Faults were asked for and none came to be.
    NoFault,
    /// So few acquires had to wait that safety was hardly tested.
    LittleContention {
        /// Contended acquires.
        contended: u64,
        /// Ok acquires.
        acquires_ok: u64,
    },
    /// So many outcomes are unknown that a violation could hide among them.
    ManyUnknown {
        /// Acquires of unknown outcome, without those that the end of the run cut off.
        unknown: u64,
        /// All acquires but those.
        acquires: u64,
    },
    /// The safety of the service's own users rests on fencing.
    NeedsFencing {
        /// Lease overruns.
        overruns: u64,
    },
    /// The clients began fewer acquires than they were to.
    RateNotKept {
        /// How many were meant to begin in a second.
        intended_per_s: u64,
        /// How many did.
        begun_per_s: u64,
    },
    /// Something outside the run disturbed it: a client died, and no fault explains it.
    Disturbed {
        /// Who, how and when.
        what: String,
    },
    /// The history ends before the run did.
    Interrupted,
    /// Part of the history could not be read.
    Damaged {
        /// Which part, and why.
        what: String,
    },
    /// Records contradict the rules of a history and were left out.
    Malformed {
        /// How many.
        records: u64,
        /// The first of them, in words.
        first: String,
    },
}

/// Whether less than a tenth of the acquires were contended.
pub(crate) fn is_small_share(contended: u64, acquires_ok: u64) -> bool {
    contended.saturating_mul(10) < acquires_ok
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::FaultDidNotBite { fault } => {
                write!(f, "fault {fault} shows no effect; do not count it")
            }
            Warning::FaultNotUndone { fault } => {
                write!(f, "fault {fault} could not be shown to be gone; run `locktest heal`")
            }
            Warning::NoFault => write!(
                f,
                "no fault was applied; give the run a longer --time-limit or a shorter --nemesis-interval"
            ),
            Warning::LittleContention { contended, acquires_ok }
                if is_small_share(*contended, *acquires_ok) =>
            {
                write!(
                    f,
                    "only {contended} of {acquires_ok} acquires had to wait; use more --clients or fewer --keys"
                )
            }
            Warning::LittleContention { contended, .. } => write!(
                f,
                "only {contended} {} had to wait for another holder; give the run more time or more --clients",
                if *contended == 1 { "acquire" } else { "acquires" }
            ),
            Warning::ManyUnknown { unknown, acquires } => write!(
                f,
                "{unknown} of {acquires} acquires have an unknown outcome; a longer --time-limit gives more that are known"
            ),
            Warning::NeedsFencing { overruns } => write!(
                f,
                "{overruns} holds outlived their lease; pass the fencing token to whatever the lock protects"
            ),
            Warning::RateNotKept { intended_per_s, begun_per_s } => write!(
                f,
                "{intended_per_s} acquires a second were to begin and {begun_per_s} did; use more --clients or --owners-per-client, or a lower --rate"
            ),
            Warning::Disturbed { what } => write!(
                f,
                "{what}: something outside the run disturbed it, and deadlock-freedom and fault tolerance are not decided from then on; run it again and leave its lab and its processes alone"
            ),
            Warning::Interrupted => {
                write!(f, "the run was cut short; the verdict covers its first part")
            }
            Warning::Damaged { what } => write!(f, "part of the history could not be read: {what}"),
            Warning::Malformed { records, first } => write!(
                f,
                "{records} records contradict the rest and were left out, the first: {first}"
            ),
        }
    }
}
