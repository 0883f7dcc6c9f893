//! A lease mutex whose acquires start the lease: from left to right, each hold as early as it can.
//!
//! A hold ends by its release, or from its deadline on by itself. With `x` the instant of the
//! acquire it ends no earlier than
//! - its ok release was invoked;
//! - else `max(x, the last ok renewal's invoke) + lease`, or the info release's invoke if that is
//!   less (and then not before `x` or that renewal).
//!
//! If every acquire took less than the lease, a hold that ends by itself does so after its acquire
//! returned, as a released one does. So each hold has a core from the completion of its acquire to
//! the least such end, the cores give the order of the holds, and what is left is to choose the
//! instants: the earliest is best for all that follow, so the greedy choice is exact.

use super::cores::NONE;
use super::prefix::Prefix;
use super::processes::{Clock, Processes};
use super::tied_process;
use crate::decision::{Certificate, Conflict, Counterexample, Decision};
use crate::operation::{Action, Operation, Outcome, Process};

/// Decides in O(n log n) time.
pub(super) fn decide(
    lease_ns: u64,
    prefix: &Prefix<'_>,
    certificate: bool,
) -> Result<Decision, String> {
    let mut holds = Holds { lease_ns, ..Holds::default() };
    let mut owners: Processes<Owner> = Processes::new(prefix.len());
    let mut has_denials = false;
    let mut renewals: Vec<(u32, u32)> = Vec::new();
    for (index, operation) in prefix.iter() {
        let process = operation.process;
        let owner = owners.get_mut(process);
        if owner.clock.follow(&operation)? {
            holds.tied = Some(process);
        }
        match (operation.action, operation.outcome) {
            (Action::Acquire(_) | Action::TryAcquire(_), Outcome::Ok) => {
                if owner.had_info_release {
                    holds.doubt = Some(process);
                }
                owner.open = holds.list.len() as u32;
                holds.list.push(Lease::new(index, &operation));
            }
            (Action::Release, Outcome::Ok) => {
                if owner.had_info_acquire {
                    holds.doubt = Some(process);
                }
                let open = std::mem::replace(&mut owner.open, NONE);
                match holds.list.get_mut(open as usize) {
                    Some(lease) => lease.release = index,
                    None => holds.not_held(index),
                }
            }
            (Action::Renew, Outcome::Ok) => {
                if owner.had_info_acquire {
                    holds.doubt = Some(process);
                }
                match holds.list.get_mut(owner.open as usize) {
                    Some(lease) => {
                        lease.renewal = index;
                        if certificate {
                            renewals.push((lease.acquire, index));
                        }
                    }
                    None => holds.not_held(index),
                }
            }
            (Action::Acquire(_) | Action::TryAcquire(_), Outcome::Info) => {
                owner.had_info_acquire = true;
            }
            (Action::Release, Outcome::Info) => {
                owner.had_info_release = true;
                if let Some(lease) = holds.list.get_mut(owner.open as usize)
                    && lease.release == NONE
                {
                    lease.release = index;
                }
            }
            (Action::TryAcquire(_), Outcome::Fail) => has_denials = true,
            (Action::Renew, Outcome::Info) => {}
            (action, Outcome::Fail) if !action.refusal_tells() => {}
            (action, _) => return Err(format!("a lease mutex does not know {action:?}")),
        }
    }
    if let Some(index) = holds.first_not_held {
        let conflict = Conflict::NotHeld(prefix.involved(index));
        return holds.reject(Counterexample::new(prefix.get(index).complete, conflict));
    }
    holds.sort(prefix)?;
    let taken = match holds.take_in_turn(prefix) {
        Ok(taken) => taken,
        Err(counterexample) => return holds.reject(*counterexample),
    };
    if has_denials {
        return Err("a lease mutex with denied tries has no fast rule".to_owned());
    }
    Ok(Decision::Linearizable(certificate.then(|| holds.linearization(&taken, renewals))))
}

#[derive(Clone, Copy)]
struct Owner {
    clock: Clock,
    /// The position of its last hold, unless an ok release ended it.
    open: u32,
    had_info_acquire: bool,
    had_info_release: bool,
}

impl Default for Owner {
    fn default() -> Owner {
        Owner {
            clock: Clock::default(),
            open: NONE,
            had_info_acquire: false,
            had_info_release: false,
        }
    }
}

/// A hold by its operations.
#[derive(Clone, Copy)]
struct Lease {
    invoke: u64,
    complete: u64,
    acquire: u32,
    /// The last ok renewal, or [`NONE`].
    renewal: u32,
    /// The ok release, else the first info release, or [`NONE`].
    release: u32,
}

/// When a hold ends at the earliest.
struct End {
    instant: u64,
    by_release: bool,
    /// Whether it would be the same if the acquire had taken effect earlier.
    is_fixed: bool,
}

impl Lease {
    fn new(acquire: u32, operation: &Operation) -> Lease {
        let &Operation { invoke, complete, .. } = operation;
        Lease { invoke, complete, acquire, renewal: NONE, release: NONE }
    }

    /// The earliest end if the acquire takes effect at this instant.
    fn end(&self, prefix: &Prefix<'_>, acquired: u64, lease_ns: u64) -> End {
        let invoke = |index: u32| if index == NONE { 0 } else { prefix.get(index).invoke };
        let renewed = invoke(self.renewal);
        let held_until = acquired.max(renewed);
        let expires = held_until.saturating_add(lease_ns);
        if self.release == NONE {
            return End { instant: expires, by_release: false, is_fixed: renewed >= acquired };
        }
        let released = invoke(self.release).max(held_until);
        let by_release = self.is_released(prefix) || released <= expires;
        let is_fixed = if by_release { released > acquired } else { renewed >= acquired };
        End { instant: if by_release { released } else { expires }, by_release, is_fixed }
    }

    fn is_released(&self, prefix: &Prefix<'_>) -> bool {
        self.release != NONE && prefix.get(self.release).outcome == Outcome::Ok
    }
}

#[derive(Default)]
struct Holds {
    lease_ns: u64,
    list: Vec<Lease>,
    first_not_held: Option<u32>,
    tied: Option<Process>,
    /// The process of which infos leave open which hold it had when.
    doubt: Option<Process>,
}

impl Holds {
    fn not_held(&mut self, index: u32) {
        self.first_not_held = self.first_not_held.or(Some(index));
    }

    /// Puts the holds in the order of their cores.
    fn sort(&mut self, prefix: &Prefix<'_>) -> Result<(), String> {
        let lease_ns = self.lease_ns;
        let least_end = |lease: &Lease| lease.end(prefix, lease.invoke, lease_ns);
        for lease in &self.list {
            let End { instant, by_release, .. } = least_end(lease);
            if !by_release && instant <= lease.complete {
                return Err(format!(
                    "acquire {} took {} ns, no less than the lease of {lease_ns} ns",
                    lease.acquire,
                    lease.complete - lease.invoke
                ));
            }
        }
        if !self.list.is_sorted_by(|lease, next| lease.complete < next.complete) {
            self.list.sort_unstable_by_key(|lease| {
                (lease.complete, least_end(lease).instant, lease.acquire)
            });
        }
        Ok(())
    }

    /// Gives each hold its instants; whether its release ends it.
    fn take_in_turn(&self, prefix: &Prefix<'_>) -> Result<Vec<bool>, Box<Counterexample>> {
        let mut taken = Vec::with_capacity(self.list.len());
        let mut free_from = 0;
        // The first of the holds of which each began later since the one before it ended late.
        let mut chain = 0;
        for (position, lease) in self.list.iter().enumerate() {
            let acquired = lease.invoke.max(free_from);
            if free_from <= lease.invoke {
                chain = position;
            }
            if acquired > lease.complete {
                return Err(Box::new(self.too_late(prefix, &self.list[chain..=position])));
            }
            let end = lease.end(prefix, acquired, self.lease_ns);
            if end.is_fixed {
                chain = position;
            }
            free_from = end.instant;
            taken.push(end.by_release);
        }
        Ok(taken)
    }

    fn too_late(&self, prefix: &Prefix<'_>, chain: &[Lease]) -> Counterexample {
        // Renewals and releases that had not returned need not have happened.
        let known_at = |lease: &Lease| {
            let known = [lease.renewal, lease.release].into_iter().filter(|index| *index != NONE);
            let known =
                known.map(|index| prefix.get(index)).filter(|known| known.outcome == Outcome::Ok);
            known.map(|known| known.complete).fold(lease.complete, u64::max)
        };
        let at = chain.iter().map(known_at).max().unwrap_or(0);
        let hold = |lease: &Lease| {
            prefix.hold(lease.acquire, (lease.release != NONE).then_some(lease.release))
        };
        let holds = chain.iter().map(hold).collect();
        let is_overlap = chain.len() == 2 && chain[0].is_released(prefix);
        let conflict = if is_overlap {
            Conflict::Overlap(holds)
        } else {
            Conflict::Leases { chain: holds, lease_ns: self.lease_ns }
        };
        Counterexample::new(at, conflict)
    }

    /// Hold after hold: the acquire, the renewals, and the release if it ends it.
    fn linearization(&self, by_release: &[bool], mut renewals: Vec<(u32, u32)>) -> Certificate {
        renewals.sort_unstable();
        let mut order = Vec::with_capacity(2 * self.list.len() + renewals.len());
        for (lease, by_release) in self.list.iter().zip(by_release) {
            order.push(lease.acquire);
            let first = renewals.partition_point(|(acquire, _)| *acquire < lease.acquire);
            let own = renewals[first..].iter().take_while(|(acquire, _)| *acquire == lease.acquire);
            order.extend(own.map(|(_, renewal)| *renewal));
            if *by_release {
                order.push(lease.release);
            }
        }
        order
    }

    fn reject(&self, counterexample: Counterexample) -> Result<Decision, String> {
        if let Some(process) = self.doubt {
            return Err(format!("process {process} went on with the lock after an info"));
        }
        match self.tied {
            Some(process) => Err(tied_process(process)),
            None => Ok(Decision::NotLinearizable(counterexample)),
        }
    }
}
