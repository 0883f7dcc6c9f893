//! Doubts: the warnings, and what the run did not put to the test.

use locktest_history::Function;

use super::Evidence;
use crate::liveness::bound_ns;
use crate::load;
use crate::time::{ms_to_ns, seconds};
use crate::verdict::{
    Counts, Load, Properties, PropertyOutcome, ViolationClass, Warning, is_small_share,
};

/// Fewer contended acquires than this, or a small share of all, hardly test safety.
const ENOUGH_CONTENDED: u64 = 10;

impl Evidence<'_, '_, '_> {
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
        if self.workload().contends() && acquires_ok > 0 && little && !stopped {
            warnings.push(Warning::LittleContention { contended, acquires_ok });
        }
        // What was under way when the time was up says nothing about the store.
        let unfinished = self.observed.unfinished_acquires();
        let (unknown, acquires) = (acquires_unknown - unfinished, acquires - unfinished);
        if unknown.saturating_mul(10) > acquires && !stopped {
            warnings.push(Warning::ManyUnknown { unknown, acquires });
        }
        let behind = load::behind(self.observed).filter(|_| !stopped);
        if let Some(Load { intended_per_s, begun_per_s }) = behind {
            let [intended_per_s, begun_per_s] =
                [intended_per_s, begun_per_s].map(|rate| rate.round() as u64);
            warnings.push(Warning::RateNotKept { intended_per_s, begun_per_s });
        }
        let overruns = self.count(ViolationClass::LeaseOverrun);
        if overruns > 0 && self.observed.plan.recipe.has_fencing_tokens() {
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
            let limit_ns = ms_to_ns(self.observed.plan.time_limit_ms);
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
        let takes_locks = self.workload().takes_locks();
        let kept = self.liveness.kept_by_silent;
        if let Some((key, waited_ns)) = kept {
            not_tested.push(format!(
                "the lock of a silent holder: {} was granted to nobody for {} while its holder was silent, longer than the lease bound of {}; only {} would be a violation",
                self.observed.plan.key_name(key),
                seconds(waited_ns),
                seconds(ms_to_ns(self.observed.plan.bounds.lease_bound_ms)),
                seconds(bound_ns(self.observed))
            ));
        }
        let none_vanished = self.liveness.freed_after_vanishing == 0 && kept.is_none();
        if takes_locks && none_vanished && overruns == 0 {
            not_tested.push(
                match self.liveness.vanished {
                    0 => "the lock of a holder that vanishes: none did",
                    _ => "the lock of a holder that vanishes: it went to nobody who waited for it",
                }
                .to_owned(),
            );
        }
        if !self.observed.leader_views.is_empty() && leader_changes == 0 {
            not_tested.push("a change of leader: there was none".to_owned());
        }
        if self.observed.probes.is_empty() {
            not_tested.push(
                match takes_locks {
                    true => {
                        "deadlock and unavailability: no health probe tells them from a slow store"
                    }
                    false => "unavailability: no health probe tells it from a slow store",
                }
                .to_owned(),
            );
        }
        let lease_ns = ms_to_ns(self.observed.plan.bounds.lease_bound_ms);
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
