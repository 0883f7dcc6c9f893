//! The sentences that the terminal and the page share.

use locktest_analyzer::{
    FaultSummary, Properties, Property, PropertyOutcome, RunOutcome, Verdict, ViolationClass,
};
use locktest_history::{FaultKind, History, PartitionShape};

use crate::text::{count, duration, seconds};

/// How a line is to be taken. Only `Good` may be green.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Something is broken.
    Bad,
    /// Something calls for a decision or a second look.
    Doubt,
    /// Tested, and nothing found.
    Good,
    /// Not tested, or not applicable.
    Quiet,
}

/// The first line of every report.
pub(crate) struct Headline {
    /// The word that stands out; empty when nothing was found.
    pub word: &'static str,
    /// The rest of the line.
    pub rest: String,
    /// How to take it.
    pub tone: Tone,
}

/// What a person must know if they read one line only.
pub(crate) fn headline(verdict: &Verdict) -> Headline {
    let safety = verdict.properties.safety.outcome;
    match verdict.outcome {
        RunOutcome::Violated => {
            Headline { word: "VIOLATED", rest: violated_by(verdict), tone: Tone::Bad }
        }
        RunOutcome::Undecided => {
            Headline { word: "UNDECIDED", rest: verdict.summary.clone(), tone: Tone::Doubt }
        }
        RunOutcome::Held if safety == PropertyOutcome::NeedsFencing => Headline {
            word: "NEEDS FENCING",
            rest: format!(
                "{} in {}",
                count(overruns(verdict), "lease-overrun"),
                count(verdict.counts.acquires_ok, "acquire")
            ),
            tone: Tone::Doubt,
        },
        RunOutcome::Held => Headline {
            word: "",
            rest: format!("no violation found in {}", amount(verdict)),
            tone: if safety == PropertyOutcome::Held { Tone::Good } else { Tone::Doubt },
        },
    }
}

/// The verdict's summary, where the headline does not already say it.
pub(crate) fn summary(verdict: &Verdict) -> Option<&str> {
    let said = match verdict.outcome {
        RunOutcome::Violated => false,
        RunOutcome::Undecided => true,
        RunOutcome::Held => verdict.properties.safety.outcome != PropertyOutcome::NeedsFencing,
    };
    (!said).then_some(&verdict.summary)
}

fn overruns(verdict: &Verdict) -> u64 {
    verdict.violation_counts.get(&ViolationClass::LeaseOverrun).copied().unwrap_or(0)
}

fn violated_by(verdict: &Verdict) -> String {
    let classes: Vec<String> = verdict
        .violation_counts
        .iter()
        .filter(|(_, n)| **n > 0)
        .map(|(class, n)| format!("{class} x{n}"))
        .collect();
    if classes.is_empty() { verdict.summary.clone() } else { classes.join(", ") }
}

/// How much the run tried: `812 acquires, 700 contended, 3 faults that bit`.
pub(crate) fn amount(verdict: &Verdict) -> String {
    let bit = verdict.faults.iter().filter(|fault| fault.bit).count();
    format!(
        "{}, {} contended, {} that bit",
        count(verdict.counts.acquires_ok, "acquire"),
        verdict.counts.contended,
        count(bit as u64, "fault")
    )
}

/// What was tested, in one line: `consul 1.8.7 (session), 5 nodes, 5 clients, 60.02 s, seed 1`.
pub(crate) fn subject(verdict: &Verdict, history: &History) -> String {
    let plan = &history.run.plan;
    format!(
        "{} {} ({}), {}, {}, {}, {}, seed {}",
        verdict.backend,
        verdict.version,
        verdict.recipe,
        count(verdict.nodes.len() as u64, "node"),
        count(plan.client_seeds.len() as u64, "client"),
        count(plan.keys.len() as u64, "key"),
        seconds(verdict.end_ns),
        verdict.seed
    )
}

/// The four rows, in the order in which every report shows them.
pub(crate) fn rows(properties: &Properties) -> [(&'static str, &Property); 4] {
    [
        ("SAFETY", &properties.safety),
        ("DEADLOCK-FREE", &properties.deadlock_free),
        ("FAULT TOLERANCE", &properties.fault_tolerance),
        ("FENCING", &properties.fencing),
    ]
}

/// A row's outcome in words; capitals where somebody has to act.
pub(crate) fn outcome_word(outcome: PropertyOutcome) -> &'static str {
    match outcome {
        PropertyOutcome::Held => "held",
        PropertyOutcome::Violated => "VIOLATED",
        PropertyOutcome::NeedsFencing => "NEEDS FENCING",
        PropertyOutcome::Undecided => "UNDECIDED",
        PropertyOutcome::NotTested => "not tested",
        PropertyOutcome::Unsupported => "none",
    }
}

/// How to take a row's outcome.
pub(crate) fn outcome_tone(outcome: PropertyOutcome) -> Tone {
    match outcome {
        PropertyOutcome::Held => Tone::Good,
        PropertyOutcome::Violated => Tone::Bad,
        PropertyOutcome::NeedsFencing | PropertyOutcome::Undecided => Tone::Doubt,
        PropertyOutcome::NotTested | PropertyOutcome::Unsupported => Tone::Quiet,
    }
}

/// What a class means, for a reader who meets it for the first time.
pub(crate) fn class_meaning(class: ViolationClass) -> &'static str {
    match class {
        ViolationClass::DoubleGrant => {
            "The service granted one lock to two owners whose leases were both valid."
        }
        ViolationClass::StaleGrant => {
            "The service said that the lock was granted when its own entry was already gone."
        }
        ViolationClass::EarlyExpiry => {
            "The service dropped a lease before the time that it had promised."
        }
        ViolationClass::TokenNotMonotone => {
            "A later grant carries a fencing token that is not larger than an earlier one."
        }
        ViolationClass::LeaseOverrun => {
            "A client went on acting after its lease had ended, while another one held the lock."
        }
        ViolationClass::LostUpdate => {
            "Two writers were inside the critical section; one overwrote what the other wrote."
        }
        ViolationClass::Deadlock => {
            "The store answered, yet nobody who asked for the lock was granted it."
        }
        ViolationClass::Unavailable => {
            "The store did not answer although a healthy, connected majority was up."
        }
    }
}

/// A fault's kind and shape: `partition (leader)`.
pub(crate) fn fault_kind(kind: FaultKind, shape: PartitionShape) -> String {
    let FaultKind::Partition = kind;
    let shape = match shape {
        PartitionShape::Halves => "halves",
        PartitionShape::One => "one",
        PartitionShape::Leader => "leader",
    };
    format!("partition ({shape})")
}

/// What came after a fault: `all servers wrote again after 3.20 s, next grant after 412.0 ms`.
pub(crate) fn recovery(fault: &FaultSummary) -> String {
    let servers = match fault.servers_recovered_ms {
        Some(ms) => format!("all servers wrote again after {}", duration(ms)),
        None => "not all servers were seen to write again".to_owned(),
    };
    let grant = match fault.next_grant_ms {
        Some(ms) => format!("next grant after {}", duration(ms)),
        None => "no grant was seen after it".to_owned(),
    };
    format!("{servers}, {grant}")
}
