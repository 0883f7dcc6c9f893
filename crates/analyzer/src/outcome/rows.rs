//! The four rows.

use super::{Evidence, plural, property};
use crate::faults::Unrecovered;
use crate::liveness::bound_ns;
use crate::time::seconds;
use crate::verdict::{Property, PropertyOutcome, ViolationClass};

/// Why a run without locks has no word on what is about locks.
const NO_LOCKS: &str = "the workload takes no locks";

impl Evidence<'_, '_, '_> {
    /// A fault of the service violates safety. An overrun alone does so only where no token could
    /// have made it harmless. A lost update counts as the overrun that it follows from; if the
    /// tokens should have prevented it, or no record explains it, it stands for itself: an update
    /// was lost, and nothing in the history clears the service.
    pub(super) fn safety(&self) -> Property {
        use ViolationClass::*;
        let faults_of_service =
            [DoubleGrant, StaleGrant, EarlyExpiry, TokenNotMonotone, StaleRead, NotLinearizable];
        let by_service = faults_of_service.iter().any(|class| self.count(*class) > 0)
            || self.resource.lost_behind_fence > 0
            || self.resource.lost_unexplained > 0;
        let by_lease = self.count(LeaseOverrun) > 0 || self.resource.lost_to_overlap > 0;
        let all = [&faults_of_service[..], &[LostUpdate, LeaseOverrun]].concat();
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
        if by_lease && !self.has_tokens() {
            return property(
                PropertyOutcome::Violated,
                format!(
                    "{} {}: holders acted after their leases had ended, and this recipe returns no fencing token that would make that harmless",
                    self.listed(&all),
                    self.scope()
                ),
            );
        }
        if let Some(nothing) = self.nothing_served() {
            return property(PropertyOutcome::Undecided, nothing);
        }
        if let Some(undecided) = &self.registers.undecided {
            return property(PropertyOutcome::Undecided, undecided.clone());
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
        let found = match self.counts.registers {
            Some(_) => "linearizable: no violation found",
            None => "no violation found",
        };
        property(PropertyOutcome::Held, format!("{found} {}", self.scope()))
    }

    fn has_tokens(&self) -> bool {
        self.observed.plan.recipe.has_fencing_tokens()
    }

    pub(super) fn deadlock_free(&self) -> Property {
        if !self.workload().takes_locks() {
            return property(PropertyOutcome::NotTested, NO_LOCKS);
        }
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
        if let Some(nothing) = self.nothing_served() {
            return property(PropertyOutcome::Undecided, nothing);
        }
        if let Some(unrecovered) = self.unrecovered.filter(|unrecovered| !unrecovered.has_majority)
        {
            return property(PropertyOutcome::Undecided, self.not_recovered(unrecovered));
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
        if self.contention.waited == 0 && liveness.freed_after_vanishing == 0 {
            let why = if self.contention.met > 0 {
                "nobody waited for a lock: an attempt that does not wait is denied by a lock that is stuck as by one that is held"
            } else {
                "nobody ever waited for a lock that another held"
            };
            return property(PropertyOutcome::NotTested, why);
        }
        let longest = seconds(liveness.longest_to_free_ns);
        let vanished = match liveness.vanished {
            0 => "no holder vanished".to_owned(),
            vanished => format!("{} vanished", plural(vanished, "holder")),
        };
        let why = match liveness.freed_after_vanishing {
            0 => format!(
                "{} went to a waiting client, the longest time to free was {longest} (bound {bound}); {vanished}",
                plural(self.contention.waited, "lock")
            ),
            freed => format!(
                "{vanished}; a lock was granted again at the latest {} after its holder had vanished (bound {bound}, {freed} measured), and {longest} after a release",
                seconds(liveness.longest_after_vanishing_ns)
            ),
        };
        property(PropertyOutcome::Held, why)
    }

    pub(super) fn fault_tolerance(&self) -> Property {
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
        if let Some(unrecovered) = self.unrecovered {
            return property(PropertyOutcome::Undecided, self.not_recovered(unrecovered));
        }
        if self.faults.that_servers_felt().next().is_none() {
            let why = "the faults that bit were aimed at clients: no server was missing";
            return property(PropertyOutcome::NotTested, why);
        }
        if let Some(nothing) = self.nothing_served() {
            return property(PropertyOutcome::Undecided, nothing);
        }
        if self.count(ViolationClass::Deadlock) > 0 {
            return property(
                PropertyOutcome::Undecided,
                "the store answered, but a key was deadlocked",
            );
        }
        let takes_locks = self.workload().takes_locks();
        match self.served_under_faults {
            None => property(
                PropertyOutcome::NotTested,
                "no fault that bit left clients a majority of the servers that was up and connected",
            ),
            Some(0) => property(
                PropertyOutcome::NotTested,
                format!(
                    "nothing was {} while a fault was in force, and none lasted long enough to call that a violation (bound {bound})",
                    if takes_locks { "granted" } else { "written" },
                ),
            ),
            Some(written) if !takes_locks => property(
                PropertyOutcome::Held,
                format!(
                    "{} answered while faults left a majority up and connected; no write was without an answer for longer than {bound}",
                    plural(written, "write"),
                ),
            ),
            Some(granted) => property(
                PropertyOutcome::Held,
                format!(
                    "{} while faults left a majority up and connected; the longest wait without a grant was {} (bound {bound} for a free key)",
                    plural(granted, "grant"),
                    seconds(self.longest_gap_ns)
                ),
            ),
        }
    }

    fn not_recovered(&self, unrecovered: Unrecovered) -> String {
        let Unrecovered { fault, silent_ns, has_majority } = unrecovered;
        format!(
            "{} not seen to answer a write for {} after fault {fault} had been undone (bound {})",
            if has_majority { "a server was" } else { "a majority of the servers was" },
            seconds(silent_ns),
            seconds(bound_ns(self.observed))
        )
    }

    pub(super) fn fencing(&self) -> Property {
        if !self.workload().takes_locks() {
            return property(PropertyOutcome::NotTested, NO_LOCKS);
        }
        let lost = self.resource.lost_behind_fence;
        let is_guarded = self.workload().keeps_values_in_store();
        if self.count(ViolationClass::TokenNotMonotone) > 0 || lost > 0 {
            let lost = plural(lost, "update");
            let lost = match is_guarded {
                true => format!(
                    "{lost} lost although the store checked the lock's entry with each write"
                ),
                false => format!("{lost} lost behind the fence"),
            };
            let grants = plural(self.count(ViolationClass::TokenNotMonotone), "grant");
            let why = match self.has_tokens() {
                true => format!(
                    "{grants} with a token that is not larger than an earlier one's; {lost}"
                ),
                false => format!("this recipe returns no fencing token; {lost}"),
            };
            return property(PropertyOutcome::Violated, why);
        }
        let refused = self.resource.rejections;
        let guard = format!(
            "the store took {} that came with a check of the lock's entry, refused {refused}, and lost no update",
            plural(self.resource.guarded, "write")
        );
        let has_guarded = self.resource.guarded + refused > 0;
        if !self.has_tokens() {
            let why = "this recipe returns no fencing token";
            let why = if has_guarded { format!("{why}; {guard}") } else { why.to_owned() };
            return property(PropertyOutcome::Unsupported, why);
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
        let resource = match is_guarded {
            true => guard,
            false => format!(
                "the fenced resource refused {refused} stale {} and lost no update",
                if refused == 1 { "access" } else { "accesses" }
            ),
        };
        property(
            PropertyOutcome::Held,
            format!(
                "the tokens of {} grow with each grant; {resource}",
                plural(self.tokens.tokens, "grant")
            ),
        )
    }
}
