//! A reentrant mutex: an owner mutex of the outermost pairs.
//!
//! The lock is a process's own from the outermost acquire to the outermost release, so the cores
//! of these have to be disjoint, and no process may go deeper than allowed or release more than it
//! took; that is enough, since the inner operations take effect inside. A denied try is explained
//! by a hold of *another* process, by the rule of the owner mutex, or by the process itself being
//! as deep as it may.
//!
//! An info leaves open how deep its process is. If it is the last of its process, no more depends
//! on that than in an owner mutex; if the process goes on, the obvious reading may still give an
//! order, but no negative verdict.

use std::collections::HashMap;

use super::cores::{Core, NONE};
use super::owner_mutex::{self, no_longer_possible_at};
use super::permits;
use super::prefix::Prefix;
use super::processes::{Clock, Processes};
use super::tied_process;
use crate::decision::{Certificate, Conflict, Counterexample, Decision};
use crate::operation::{Action, NEVER, Operation, Outcome, Process};

/// Decides in O(n log n) time; in linear time if the cores are disjoint.
pub(super) fn decide(
    depth: u32,
    prefix: &Prefix<'_>,
    certificate: bool,
) -> Result<Decision, String> {
    if depth == 1 {
        return owner_mutex::decide(prefix, certificate);
    }
    let mut holds = Holds { depth, certificate, ..Holds::default() };
    let mut owners: Processes<Owner> = Processes::new(prefix.len());
    for (index, operation) in prefix.iter() {
        let owner = owners.get_mut(operation.process);
        if owner.clock.follow(&operation)? {
            holds.tied = Some(operation.process);
        }
        holds.take(prefix, owner, index, &operation)?;
    }
    for owner in owners.iter().filter(|owner| owner.depth > 0) {
        let ends = owner.depth == 1;
        holds.end(prefix, owner.outermost, if ends { owner.info_release } else { NONE });
    }
    if let Some(counterexample) = holds.broken.take().or_else(|| holds.sort(prefix)) {
        return holds.reject(counterexample);
    }
    match holds.explain_denials(prefix) {
        Ok(places) => Ok(Decision::Linearizable(certificate.then(|| holds.linearization(&places)))),
        Err(counterexample) => holds.reject(*counterexample),
    }
}

#[derive(Clone, Copy)]
struct Owner {
    clock: Clock,
    depth: u32,
    outermost: u32,
    /// An info release of which nothing is known yet.
    info_release: u32,
    had_info: bool,
}

impl Default for Owner {
    fn default() -> Owner {
        Owner {
            clock: Clock::default(),
            depth: 0,
            outermost: NONE,
            info_release: NONE,
            had_info: false,
        }
    }
}

/// A denied try, and how deep its process was, if that is known.
struct Denial {
    index: u32,
    depth: Option<u32>,
    outermost: u32,
}

/// An operation inside a hold, which the outermost acquire names.
struct Place {
    outermost: u32,
    index: u32,
}

#[derive(Default)]
struct Holds {
    depth: u32,
    certificate: bool,
    cores: Vec<Core>,
    denials: Vec<Denial>,
    /// The operations inside holds; for the certificate.
    inner: Vec<Place>,
    last_acquire: Option<u32>,
    broken: Option<Counterexample>,
    tied: Option<Process>,
    /// The process that went on after an info.
    doubt: Option<Process>,
}

impl Holds {
    fn take(
        &mut self,
        prefix: &Prefix<'_>,
        owner: &mut Owner,
        index: u32,
        operation: &Operation,
    ) -> Result<(), String> {
        let counts = operation.outcome != Outcome::Fail || operation.action.refusal_tells();
        if owner.had_info && counts {
            self.doubt = Some(operation.process);
        }
        match (operation.action, operation.outcome) {
            (Action::Acquire(_) | Action::TryAcquire(_), Outcome::Ok) => {
                if owner.info_release != NONE {
                    let release = std::mem::replace(&mut owner.info_release, NONE);
                    self.release(prefix, owner, release);
                }
                if owner.depth == self.depth {
                    self.break_off(operation, self.too_deep(prefix, index));
                } else if owner.depth == 0 {
                    owner.outermost = index;
                    owner.depth = 1;
                } else {
                    self.inner(index, owner);
                    owner.depth += 1;
                }
            }
            (Action::Release, Outcome::Ok) => {
                // An info release before it may not have happened, or later.
                owner.info_release = NONE;
                if owner.depth == 0 {
                    self.break_off(operation, Conflict::NotHeld(prefix.involved(index)));
                } else {
                    self.release(prefix, owner, index);
                }
            }
            (Action::TryAcquire(_), Outcome::Fail) => {
                let Owner { depth, outermost, info_release, .. } = *owner;
                let depth = (info_release == NONE).then_some(depth);
                self.denials.push(Denial { index, depth, outermost });
            }
            (Action::Acquire(_) | Action::TryAcquire(_), Outcome::Info) => {
                owner.had_info = true;
                self.last_acquire = self.last_acquire.or(Some(index));
            }
            (Action::Release, Outcome::Info) => {
                owner.had_info = true;
                if owner.depth > 0 && owner.info_release == NONE {
                    owner.info_release = index;
                }
            }
            (action, Outcome::Fail) if !action.refusal_tells() => {}
            (action, _) => return Err(format!("a reentrant mutex does not know {action:?}")),
        }
        Ok(())
    }

    fn release(&mut self, prefix: &Prefix<'_>, owner: &mut Owner, release: u32) {
        owner.depth -= 1;
        if owner.depth == 0 {
            self.end(prefix, owner.outermost, release);
        } else {
            self.inner(release, owner);
        }
    }

    fn end(&mut self, prefix: &Prefix<'_>, outermost: u32, release: u32) {
        self.cores.push(Core::new(prefix, outermost, release));
    }

    fn inner(&mut self, index: u32, owner: &Owner) {
        if self.certificate {
            self.inner.push(Place { outermost: owner.outermost, index });
        }
    }

    fn break_off(&mut self, operation: &Operation, conflict: Conflict) {
        let at = operation.complete;
        if self.broken.as_ref().is_none_or(|broken| at < broken.at) {
            self.broken = Some(Counterexample::new(at, conflict));
        }
    }

    /// The open acquires of the process, and the one that is too deep.
    fn too_deep(&self, prefix: &Prefix<'_>, too_deep: u32) -> Conflict {
        let process = prefix.get(too_deep).process;
        let mut open = Vec::new();
        for (index, operation) in prefix.iter().take(too_deep as usize) {
            match (operation.action, operation.outcome) {
                _ if operation.process != process => {}
                (Action::Acquire(_) | Action::TryAcquire(_), Outcome::Ok) => open.push(index),
                (Action::Release, Outcome::Ok) => {
                    open.pop();
                }
                _ => {}
            }
        }
        open.push(too_deep);
        Conflict::Overlap(open.into_iter().map(|acquire| prefix.hold(acquire, None)).collect())
    }

    /// Puts the cores in order, and the first two that overlap.
    fn sort(&mut self, prefix: &Prefix<'_>) -> Option<Counterexample> {
        if !self.cores.is_sorted_by(|core, next| core.end <= next.start) {
            self.cores.sort_unstable_by_key(permits::order);
        }
        let both = self.cores.windows(2).find(|pair| pair[1].start < pair[0].end)?;
        let conflict = both.iter().map(|core| prefix.hold(core.acquire, core.release())).collect();
        Some(Counterexample::new(both[1].start, Conflict::Overlap(conflict)))
    }

    /// The denials, each with the hold that explains it.
    fn explain_denials(&mut self, prefix: &Prefix<'_>) -> Result<Vec<Place>, Box<Counterexample>> {
        let mut places = Vec::with_capacity(self.denials.len());
        if self.denials.is_empty() {
            return Ok(places);
        }
        let sure = self.cores.len();
        let may_end = self.cores.last().is_none_or(|core| core.end < NEVER);
        if let Some(acquire) = self.last_acquire.filter(|_| may_end) {
            self.end(prefix, acquire, NONE);
        }
        let cores = &self.cores;
        // The first core that does not end before the denial.
        let mut near = 0;
        for &Denial { index, depth, outermost } in &self.denials {
            let denial = prefix.get(index);
            while cores.get(near).is_some_and(|core| core.end < denial.invoke) {
                near += 1;
            }
            let before = near.checked_sub(1).map(|before| &cores[before]);
            let next = cores.get(near);
            let of_another = |core: &&Core| prefix.get(core.acquire).process != denial.process;
            let outermost = if depth == Some(self.depth) {
                Some(outermost)
            } else if depth != Some(0) {
                None
            } else {
                let meets = next.filter(|next| next.start <= denial.invoke).filter(of_another);
                // A hold that was over when the next one began explains nothing after that.
                let may_last = next.is_none_or(|next| denial.invoke <= next.start);
                let stretched = before.filter(|_| may_last).filter(of_another).filter(|before| {
                    before
                        .release()
                        .is_some_and(|release| prefix.get(release).complete >= denial.invoke)
                });
                let early = next
                    .filter(of_another)
                    .filter(|next| prefix.get(next.acquire).invoke <= denial.complete);
                meets.or(stretched).or(early).map(|core| core.acquire)
            };
            let Some(outermost) = outermost else {
                let hold = |core: &Core| prefix.hold(core.acquire, core.release());
                let next = cores[..sure].get(near);
                let denied_at = denial.complete;
                let next_at = next.map_or(NEVER, |next| next.start);
                let at = no_longer_possible_at(prefix, denied_at, next_at);
                let conflict = Conflict::UnexplainedDenial {
                    denial: prefix.involved(index),
                    before: before.map(hold),
                    after: next.map(hold),
                };
                let at = at.min(next_at.max(denied_at));
                return Err(Box::new(Counterexample::new(at, conflict)));
            };
            places.push(Place { outermost, index });
        }
        Ok(places)
    }

    /// Hold after hold: the outermost acquire, what is inside in the order of the invokes, and the
    /// last release.
    fn linearization(&self, places: &[Place]) -> Certificate {
        let mut positions: HashMap<u32, (u32, &Core)> = HashMap::new();
        for (position, core) in (0..).zip(&self.cores) {
            positions.insert(core.acquire, (position, core));
        }
        let mut order: Vec<(u32, u8, u32)> = Vec::new();
        for Place { outermost, index } in self.inner.iter().chain(places) {
            if let Some((position, _)) = positions.get(outermost) {
                order.push((*position, 1, *index));
            }
        }
        for (position, core) in positions.values() {
            // An info acquire after all cores is there for denials alone.
            let is_sure = core.start < NEVER;
            if is_sure || places.iter().any(|place| place.outermost == core.acquire) {
                order.push((*position, 0, core.acquire));
            }
            order.extend(core.release().map(|release| (*position, 2, release)));
        }
        order.sort_unstable();
        order.into_iter().map(|(.., index)| index).collect()
    }

    fn reject(&self, counterexample: Counterexample) -> Result<Decision, String> {
        if let Some(process) = self.doubt {
            return Err(format!("process {process} went on after an info"));
        }
        match self.tied {
            Some(process) => Err(tied_process(process)),
            None => Ok(Decision::NotLinearizable(counterexample)),
        }
    }
}
