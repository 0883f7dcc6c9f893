//! Outcomes: from what was found to the four rows, the warnings, and the whole run.

mod doubts;
mod rows;

use locktest_history::{Outcome, Workload};

use crate::faults::{Faults, Unrecovered};
use crate::findings::Findings;
use crate::liveness::Liveness;
use crate::observed::Observed;
use crate::overlap::Contention;
use crate::register::RegistersSeen;
use crate::resource::ResourceSeen;
use crate::tokens::TokensSeen;
use crate::verdict::{
    Counts, Properties, Property, PropertyOutcome, RegisterCounts, RunOutcome, ViolationClass,
};

/// Everything that the outcomes rest on.
pub(crate) struct Evidence<'e, 'a, 'h> {
    pub(crate) observed: &'e Observed<'h>,
    pub(crate) faults: &'e Faults<'h>,
    pub(crate) findings: &'e Findings<'a, 'h>,
    pub(crate) counts: Counts,
    pub(crate) tokens: TokensSeen,
    pub(crate) resource: ResourceSeen,
    pub(crate) registers: RegistersSeen,
    pub(crate) contention: Contention,
    pub(crate) liveness: Liveness,
    pub(crate) longest_gap_ns: u64,
    /// Grants, or writes of registers, while faults that bit left clients a majority; `None` if none
    /// did.
    pub(crate) served_under_faults: Option<u64>,
    /// A fault whose servers were not seen to recover.
    pub(crate) unrecovered: Option<Unrecovered>,
}

/// How much was tried. `contended` and `spurious_denials` are for their own rules to fill in.
pub(crate) fn counts(observed: &Observed) -> Counts {
    let mut counts = Counts::default();
    for attempt in &observed.attempts {
        match attempt.acquire.outcome() {
            Outcome::Ok => counts.acquires_ok += 1,
            Outcome::Fail => counts.acquires_denied += 1,
            Outcome::Info => counts.acquires_unknown += 1,
        }
        counts.acquires_cancelled += u64::from(attempt.acquire.is_cancelled());
        let ok = |operations: &[crate::operation::Operation]| {
            operations.iter().filter(|operation| operation.ok_ns().is_some()).count() as u64
        };
        counts.releases_ok += ok(&attempt.releases);
        counts.renewals_ok += ok(&attempt.renewals);
    }
    counts.acquires_unfinished = observed.unfinished_acquires();
    counts.probes_failed = observed.probes.iter().filter(|p| p.error.is_some()).count() as u64;
    counts.probes_ok = observed.probes.len() as u64 - counts.probes_failed;
    counts
}

/// How often the store served somebody while faults that bit were in force and left a majority of
/// the servers.
pub(crate) fn served_under_faults(
    observed: &Observed,
    faults: &Faults,
    served_ns: &[u64],
) -> Option<u64> {
    let served_before = |time_ns: u64| served_ns.partition_point(|ns| *ns < time_ns);
    let left = faults.left_a_majority(observed.plan)?;
    let served = left.iter().map(|(from, to)| served_before(to) - served_before(from));
    Some(served.sum::<usize>() as u64)
}

fn property(outcome: PropertyOutcome, why: impl Into<String>) -> Property {
    Property { outcome, why: why.into() }
}

/// `2 holds`, `1 hold`.
fn plural(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

impl Evidence<'_, '_, '_> {
    fn count(&self, class: ViolationClass) -> u64 {
        self.findings.count(class)
    }

    /// Such as `double-grant x7, lost-update x2`: those of `classes` that were found.
    fn listed(&self, classes: &[ViolationClass]) -> String {
        let found = classes.iter().filter(|class| self.count(**class) > 0);
        found.map(|class| format!("{class} x{}", self.count(*class))).collect::<Vec<_>>().join(", ")
    }

    fn scope(&self) -> String {
        let faults = plural(self.faults.bit(), "fault");
        format!("in {}, {faults} that bit", self.counts.in_words(self.workload()))
    }

    fn workload(&self) -> Workload {
        self.observed.plan.workload
    }

    /// Whether the service did anything at all for anybody, and if not, what.
    fn nothing_served(&self) -> Option<&'static str> {
        match &self.counts.registers {
            Some(registers) if registers.answered() == 0 => Some("no operation was answered"),
            Some(_) => None,
            None if self.counts.acquires_ok == 0 => Some("no acquire was granted"),
            None => None,
        }
    }

    pub(crate) fn properties(&self) -> Properties {
        Properties {
            safety: self.unless_contradicted(self.safety()),
            deadlock_free: self.unless_contradicted(self.deadlock_free()),
            fault_tolerance: self.unless_contradicted(self.fault_tolerance()),
            fencing: self.unless_contradicted(self.fencing()),
        }
    }

    /// Records that contradict each other are left out, and what they hid may be a violation: only
    /// what was found stands.
    fn unless_contradicted(&self, found: Property) -> Property {
        let malformed = &self.observed.malformed;
        match (&malformed.first, found.outcome) {
            (Some(first), PropertyOutcome::Held | PropertyOutcome::NeedsFencing) => property(
                PropertyOutcome::Undecided,
                format!(
                    "{} left out for contradicting the rest of the history: {first}",
                    plural(malformed.count, "record"),
                ),
            ),
            _ => found,
        }
    }

    /// Violated over undecided over held; without any grant nothing is decided.
    pub(crate) fn run(&self, properties: &Properties) -> RunOutcome {
        let Properties { safety, deadlock_free, fault_tolerance, fencing } = properties;
        let any = |outcome| {
            [safety, deadlock_free, fault_tolerance, fencing].iter().any(|p| p.outcome == outcome)
        };
        if any(PropertyOutcome::Violated) {
            RunOutcome::Violated
        } else if any(PropertyOutcome::Undecided) {
            RunOutcome::Undecided
        } else {
            RunOutcome::Held
        }
    }

    pub(crate) fn summary(&self, run: RunOutcome, properties: &Properties) -> String {
        let found: Vec<ViolationClass> = self.findings.counts().keys().copied().collect();
        match run {
            RunOutcome::Violated => format!("{} {}", self.listed(&found), self.scope()),
            RunOutcome::Undecided => {
                let Properties { safety, deadlock_free, fault_tolerance, fencing } = properties;
                let rows = [safety, deadlock_free, fault_tolerance, fencing];
                let undecided = rows.iter().find(|p| p.outcome == PropertyOutcome::Undecided);
                undecided.map_or_else(String::new, |property| property.why.clone())
            }
            RunOutcome::Held => properties.safety.why.clone(),
        }
    }
}

impl Counts {
    /// What was tried, and how often another owner was in the way: `812 acquires, 700 contended`;
    /// of attempts that do not wait `432 tries, 9 granted, 423 contended`; of registers as
    /// [`RegisterCounts::in_words`].
    pub fn in_words(&self, workload: Workload) -> String {
        let Counts { acquires_ok, acquires_denied, acquires_unknown, contended, .. } = *self;
        match &self.registers {
            Some(registers) => registers.in_words(),
            None if workload == Workload::Try => {
                let tries = [acquires_denied, acquires_unknown]
                    .into_iter()
                    .fold(acquires_ok, u64::saturating_add);
                let tries = if tries == 1 { "1 try".to_owned() } else { format!("{tries} tries") };
                format!("{tries}, {acquires_ok} granted, {contended} contended")
            }
            None => format!("{}, {contended} contended", plural(acquires_ok, "acquire")),
        }
    }
}

impl RegisterCounts {
    /// How many operations were answered, with yes or no.
    pub(crate) fn answered(&self) -> u64 {
        self.reads_ok + self.writes_ok + self.cas_ok + self.cas_refused
    }

    /// Such as `812 reads, 400 writes, 395 compare-and-sets`, of those that were answered.
    pub fn in_words(&self) -> String {
        format!(
            "{}, {}, {}",
            plural(self.reads_ok, "read"),
            plural(self.writes_ok, "write"),
            plural(self.cas_ok + self.cas_refused, "compare-and-set"),
        )
    }
}
