//! Outcomes: from what was found to the four rows, the warnings, and the whole run.

use locktest_history::{Function, Outcome};

use crate::faults::Faults;
use crate::findings::Findings;
use crate::hold::Tenure;
use crate::liveness::{Liveness, bound_ns};
use crate::observed::Observed;
use crate::resource::ResourceSeen;
use crate::time::seconds;
use crate::tokens::TokensSeen;
use crate::verdict::{
    Counts, Properties, Property, PropertyOutcome, RunOutcome, ViolationClass, Warning,
    is_small_share,
};

/// Fewer contended acquires than this, or a small share of all, hardly test safety.
const ENOUGH_CONTENDED: u64 = 10;

/// Everything that the outcomes rest on.
pub(crate) struct Evidence<'e, 'a, 'h> {
    pub(crate) observed: &'e Observed<'h>,
    pub(crate) faults: &'e Faults<'h>,
    pub(crate) findings: &'e Findings<'a, 'h>,
    pub(crate) counts: Counts,
    pub(crate) tokens: TokensSeen,
    pub(crate) resource: ResourceSeen,
    pub(crate) liveness: Liveness,
    pub(crate) longest_gap_ns: u64,
    /// Grants while a fault that bit left a majority connected; `None` if none did.
    pub(crate) granted_under_faults: Option<u64>,
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
        let ok = |operations: &[crate::operation::Operation]| {
            operations.iter().filter(|operation| operation.ok_ns().is_some()).count() as u64
        };
        counts.releases_ok += ok(&attempt.releases);
        counts.renewals_ok += ok(&attempt.renewals);
    }
    counts.probes_failed = observed.probes.iter().filter(|p| p.error.is_some()).count() as u64;
    counts.probes_ok = observed.probes.len() as u64 - counts.probes_failed;
    counts
}

/// Grants while a fault that bit was in force and left a majority of the servers connected.
pub(crate) fn granted_under_faults(
    observed: &Observed,
    faults: &Faults,
    tenures: &[Tenure],
) -> Option<u64> {
    let servers = observed.plan.nodes.len();
    let granted_before = |time_ns: u64| tenures.partition_point(|t| t.hold.ok_ns < time_ns);
    faults
        .iter()
        .filter(|fault| fault.bit() && fault.majority_side(servers).is_some())
        .map(|fault| {
            let until_ns = fault.ended.map_or(fault.end_ns, |ended| ended.heal_begin_ns);
            let (from, to) = (granted_before(fault.begun.in_force_ns), granted_before(until_ns));
            to.saturating_sub(from) as u64
        })
        .reduce(|a, b| a + b)
}

fn property(outcome: PropertyOutcome, why: impl Into<String>) -> Property {
    Property { outcome, why: why.into() }
}

/// `2 holds`, `1 hold`.
fn plural(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

const NO_GRANT: &str = "no acquire was granted";

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
        format!(
            "in {}, {} contended, {} that bit",
            plural(self.counts.acquires_ok, "acquire"),
            self.counts.contended,
            plural(self.faults.bit(), "fault"),
        )
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

    /// A fault of the service violates safety. An overrun alone does so only where no token could
    /// have made it harmless. A lost update counts as the overrun that it follows from; if the
    /// tokens should have prevented it, or no record explains it, it stands for itself: an update
    /// was lost, and nothing in the history clears the service.
    fn safety(&self) -> Property {
        use ViolationClass::*;
        let faults_of_service = [DoubleGrant, StaleGrant, EarlyExpiry, TokenNotMonotone];
        let by_service = faults_of_service.iter().any(|class| self.count(*class) > 0)
            || self.resource.lost_behind_fence > 0
            || self.resource.lost_unexplained > 0;
        let by_lease = self.count(LeaseOverrun) > 0 || self.resource.lost_to_overlap > 0;
        let all =
            [DoubleGrant, StaleGrant, EarlyExpiry, TokenNotMonotone, LostUpdate, LeaseOverrun];
        if by_service {
            let unexplained = match self.resource.lost_unexplained {
                0 => String::new(),
                lost => format!(
                    "; {} cannot be explained by any two clients known to have been inside",
                    plural(lost, "lost update")
                ),
            };
            return property(
                PropertyOutcome::Violated,
                format!("{} {}{unexplained}", self.listed(&all), self.scope()),
            );
        }
        if by_lease && !self.observed.plan.fencing_tokens {
            return property(
                PropertyOutcome::Violated,
                format!(
                    "{} {}: holders acted after their leases had ended, and this backend returns no fencing token that would make that harmless",
                    self.listed(&all),
                    self.scope()
                ),
            );
        }
        if self.counts.acquires_ok == 0 {
            return property(PropertyOutcome::Undecided, NO_GRANT);
        }
        if by_lease {
            return property(
                PropertyOutcome::NeedsFencing,
                format!(
                    "{}: holders acted after their leases had ended, which a resource that checks the fencing token refuses; no fault of the service found {}",
                    self.listed(&all),
                    self.scope()
                ),
            );
        }
        property(PropertyOutcome::Held, format!("no violation found {}", self.scope()))
    }

    fn deadlock_free(&self) -> Property {
        let liveness = &self.liveness;
        let bound = seconds(bound_ns(self.observed));
        if self.count(ViolationClass::Deadlock) > 0 {
            return property(
                PropertyOutcome::Violated,
                format!(
                    "{}: a free key was granted to nobody who waited for longer than {bound}",
                    self.listed(&[ViolationClass::Deadlock])
                ),
            );
        }
        if let Some(disturbance) = self.observed.disturbance() {
            return property(
                PropertyOutcome::Undecided,
                format!("{disturbance}; a grant that is missing from then on shows nothing"),
            );
        }
        if self.counts.acquires_ok == 0 {
            return property(PropertyOutcome::Undecided, NO_GRANT);
        }
        if let Some((key, waited_ns)) = liveness.unclear {
            return property(
                PropertyOutcome::Undecided,
                format!(
                    "{} was granted to nobody for {} while somebody waited (bound {bound}), but not undisturbed: faults, changes of leader, outages, or grants that may have gone unheard excuse it in part",
                    self.observed.plan.key_name(key),
                    seconds(waited_ns)
                ),
            );
        }
        if self.counts.contended == 0 && liveness.freed_after_vanishing == 0 {
            return property(
                PropertyOutcome::NotTested,
                "nobody ever waited for a lock that another held",
            );
        }
        let longest = seconds(liveness.longest_to_free_ns);
        let why = match liveness.freed_after_vanishing {
            0 => format!(
                "{} went to a waiting client, the longest time to free was {longest} (bound {bound}); no holder vanished",
                plural(self.counts.contended, "lock")
            ),
            vanished => format!(
                "{} that vanished, the longest time to free after one was {} (bound {bound}), after a release {longest}",
                plural(vanished, "holder"),
                seconds(liveness.longest_after_vanishing_ns)
            ),
        };
        property(PropertyOutcome::Held, why)
    }

    fn fault_tolerance(&self) -> Property {
        let bound = seconds(bound_ns(self.observed));
        if self.count(ViolationClass::Unavailable) > 0 {
            return property(
                PropertyOutcome::Violated,
                format!(
                    "{}: a majority of the servers was up and connected, and no write was answered for longer than {bound}",
                    self.listed(&[ViolationClass::Unavailable])
                ),
            );
        }
        if let Some(disturbance) = self.observed.disturbance() {
            return property(
                PropertyOutcome::Undecided,
                format!("{disturbance}; an answer that is missing from then on shows nothing"),
            );
        }
        if self.faults.is_empty() {
            return property(PropertyOutcome::NotTested, "no fault was injected");
        }
        if self.faults.bit() == 0 {
            return property(PropertyOutcome::NotTested, "no fault is known to have bitten");
        }
        if self.counts.acquires_ok == 0 {
            return property(PropertyOutcome::Undecided, NO_GRANT);
        }
        if self.count(ViolationClass::Deadlock) > 0 {
            return property(
                PropertyOutcome::Undecided,
                "the store answered, but a key was deadlocked",
            );
        }
        match self.granted_under_faults {
            None => property(
                PropertyOutcome::NotTested,
                "no fault that bit left a majority of the servers connected",
            ),
            Some(0) => property(
                PropertyOutcome::NotTested,
                format!(
                    "nothing was granted while a fault was in force, and none lasted long enough to call that a violation (bound {bound})"
                ),
            ),
            Some(granted) => property(
                PropertyOutcome::Held,
                format!(
                    "{} while faults left a majority connected; the longest wait without a grant was {} (bound {bound} for a free key)",
                    plural(granted, "grant"),
                    seconds(self.longest_gap_ns)
                ),
            ),
        }
    }

    fn fencing(&self) -> Property {
        let lost = self.resource.lost_behind_fence;
        if self.count(ViolationClass::TokenNotMonotone) > 0 || lost > 0 {
            return property(
                PropertyOutcome::Violated,
                format!(
                    "{} with a token that is not larger than an earlier one's; {} lost behind the fence",
                    plural(self.count(ViolationClass::TokenNotMonotone), "grant"),
                    plural(lost, "update")
                ),
            );
        }
        if !self.observed.plan.fencing_tokens {
            return property(PropertyOutcome::Unsupported, "this backend returns no fencing token");
        }
        if self.tokens.compared == 0 {
            return property(
                PropertyOutcome::NotTested,
                format!(
                    "{} seen, none to compare with another",
                    plural(self.tokens.tokens, "token")
                ),
            );
        }
        property(
            PropertyOutcome::Held,
            format!(
                "the tokens of {} grow with each grant; the fenced resource refused {} and lost no update",
                plural(self.tokens.tokens, "grant"),
                plural(self.resource.rejections, "stale access").replace("accesss", "accesses"),
            ),
        )
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

    pub(crate) fn warnings(&self, damage: &[String]) -> Vec<Warning> {
        let Counts { acquires_ok, acquires_denied, acquires_unknown, contended, .. } = self.counts;
        let acquires = acquires_ok + acquires_denied + acquires_unknown;
        let mut warnings = Vec::new();
        for fault in self.faults.iter() {
            if fault.ended.is_some_and(|ended| !ended.bit) {
                warnings.push(Warning::FaultDidNotBite { fault: fault.begun.id });
            }
            if !fault.ended.is_some_and(|ended| ended.undone) {
                warnings.push(Warning::FaultNotUndone { fault: fault.begun.id });
            }
        }
        // A run that was to end at its first violation needed no more of anything.
        let stopped = self.observed.stopped_ns.is_some();
        if self.faults.is_empty() && !self.observed.plan.schedule.is_empty() && !stopped {
            warnings.push(Warning::NoFault);
        }
        let little = contended < ENOUGH_CONTENDED || is_small_share(contended, acquires_ok);
        if acquires_ok > 0 && little && !stopped {
            warnings.push(Warning::LittleContention { contended, acquires_ok });
        }
        // What was under way when the time was up says nothing about the store.
        let unfinished = self.observed.unfinished_acquires();
        let (unknown, acquires) = (acquires_unknown - unfinished, acquires - unfinished);
        if unknown.saturating_mul(10) > acquires && !stopped {
            warnings.push(Warning::ManyUnknown { unknown, acquires });
        }
        let overruns = self.count(ViolationClass::LeaseOverrun);
        if overruns > 0 && self.observed.plan.fencing_tokens {
            warnings.push(Warning::NeedsFencing { overruns });
        }
        if let Some(what) = self.observed.disturbance() {
            warnings.push(Warning::Disturbed { what });
        }
        if self.observed.cut_short {
            warnings.push(Warning::Interrupted);
        }
        warnings.extend(damage.iter().map(|what| Warning::Damaged { what: what.clone() }));
        let malformed = &self.observed.malformed;
        if let Some(first) = &malformed.first {
            warnings.push(Warning::Malformed { records: malformed.count, first: first.clone() });
        }
        warnings
    }

    /// What the run did not put to the test, a sentence each.
    pub(crate) fn not_tested(&self, properties: &Properties, leader_changes: usize) -> Vec<String> {
        let mut not_tested = Vec::new();
        if let Some(stopped_ns) = self.observed.stopped_ns {
            let begun_ns = self.observed.ready_ns.unwrap_or(0);
            let limit_ns = crate::time::ms_to_ns(self.observed.plan.time_limit_ms);
            not_tested.push(format!(
                "the last {} of the run: it was to stop at its first violation, and did at {}",
                seconds(begun_ns.saturating_add(limit_ns).saturating_sub(stopped_ns)),
                seconds(stopped_ns)
            ));
        }
        let Properties { safety: _, deadlock_free, fault_tolerance, fencing } = properties;
        for (name, property) in [
            ("deadlock-freedom", deadlock_free),
            ("fault tolerance", fault_tolerance),
            ("fencing", fencing),
        ] {
            if property.outcome == PropertyOutcome::NotTested {
                not_tested.push(format!("{name}: {}", property.why));
            }
        }
        let overruns = self.count(ViolationClass::LeaseOverrun);
        if self.liveness.freed_after_vanishing == 0 && overruns == 0 {
            not_tested.push("the lock of a holder that vanishes: none did".to_owned());
        }
        if !self.observed.leader_views.is_empty() && leader_changes == 0 {
            not_tested.push("a change of leader: there was none".to_owned());
        }
        if self.observed.probes.is_empty() {
            not_tested.push(
                "deadlock and unavailability: no health probe tells them from a slow store"
                    .to_owned(),
            );
        }
        let lease_ns = crate::time::ms_to_ns(self.observed.plan.bounds.lease_bound_ms);
        if let Some((key, waited_ns)) = self.liveness.cut_off.filter(|(_, ns)| *ns > lease_ns) {
            not_tested.push(format!(
                "the last wait for {}: it ended ungranted after {} (bound {})",
                self.observed.plan.key_name(key),
                seconds(waited_ns),
                seconds(bound_ns(self.observed))
            ));
        }
        let tried = self
            .observed
            .attempts
            .iter()
            .any(|attempt| attempt.acquire.invoke.function == Function::TryAcquire);
        if tried {
            not_tested.push("whether denials are right: they are only counted".to_owned());
        }
        not_tested
    }
}
