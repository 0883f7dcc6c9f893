//! Semaphores and read-write locks: who may not hold together with whom.
//!
//! As with a mutex there is an order iff the cores, each from an acquire's ok to its release's
//! invoke, exclude nobody who shares an instant with them: they are then all that needs to be held.
//! Of a denied try this says nothing, and with several holders no greedy rule does.

use super::decider::Stop;
use super::processes::{Processes, Step, StreamEvent, alarm, held_since, needs, unknown_action};
use crate::decision::{Conflict, Involved};
use crate::operation::{Action, Operation, Outcome};

/// The online decider. It assumes that a process does nothing more after an operation whose outcome
/// is unknown, and one thing at a time; and that no try was denied.
#[derive(Debug)]
pub(super) struct Exclusion {
    rule: Rule,
    processes: Processes<Held>,
    /// How many cores last.
    held: u64,
    /// How many of them exclude readers.
    writers: u64,
    /// How many holds were ever granted.
    granted: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Permits(u32),
    ReadersOrWriter,
}

/// What one process holds.
#[derive(Clone, Debug, Default)]
struct Held {
    /// The acquires of what it has not begun to give up.
    acquires: Vec<Involved>,
    leaving: Option<Leaving>,
}

/// What a process is giving up.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    acquire: Involved,
    /// How many holds had been granted when it began to.
    granted: u64,
}

impl Exclusion {
    pub(super) fn permits(permits: u32) -> Exclusion {
        Exclusion::new(Rule::Permits(permits))
    }

    pub(super) fn readers_or_writer() -> Exclusion {
        Exclusion::new(Rule::ReadersOrWriter)
    }

    fn new(rule: Rule) -> Exclusion {
        Exclusion { rule, processes: Processes::default(), held: 0, writers: 0, granted: 0 }
    }

    pub(super) fn event(&mut self, event: &StreamEvent) -> Result<(), Stop> {
        let side = Side::of(event.action).ok_or_else(|| unknown_action(event))?;
        if side == Side::Shared && self.rule != Rule::ReadersOrWriter {
            return Err(unknown_action(event));
        }
        let releases = matches!(event.action, Action::Release | Action::ReleaseShared);
        match (event.step, releases) {
            (Step::Invoke, false) => self.processes.invoke(event).map(|_| ()),
            (Step::Invoke, true) => self.release_invoked(event, side),
            (Step::Complete(outcome), false) => {
                let (acquire, held) = self.processes.complete(event, outcome)?;
                self.acquire_completed(event.stamp, acquire, held, side)
            }
            (Step::Complete(outcome), true) => {
                let (release, held) = self.processes.complete(event, outcome)?;
                self.release_completed(event.stamp, release, held, side)
            }
        }
    }

    fn acquire_completed(
        &mut self,
        now: u64,
        acquire: Involved,
        mut held: Held,
        side: Side,
    ) -> Result<(), Stop> {
        let Operation { process, action, outcome, .. } = acquire.operation;
        if outcome == Outcome::Fail && action.refusal_tells() {
            return Err(needs(format!(
                "a try of process {process} was denied, and the lock has several holders"
            )));
        }
        if outcome != Outcome::Ok {
            self.keep(&acquire, held);
            return Ok(());
        }
        if side == Side::Shared && held.acquires.iter().any(|held| Side::is(held, side)) {
            return Err(needs(format!("process {process} holds the read side twice at {now}")));
        }
        held.acquires.push(acquire);
        self.keep(&acquire, held);
        self.count(side, 1);
        self.granted += 1;
        let excluded = match (self.rule, side) {
            (Rule::Permits(permits), _) => self.held > u64::from(permits),
            (Rule::ReadersOrWriter, Side::Shared) => self.writers > 0,
            (Rule::ReadersOrWriter, Side::Exclusive) => self.held > 1,
        };
        if excluded { Err(alarm(now, self.overlap(acquire, side))) } else { Ok(()) }
    }

    fn release_invoked(&mut self, event: &StreamEvent, side: Side) -> Result<(), Stop> {
        let (_, held) = self.processes.invoke(event)?;
        if let Some(at) = held.acquires.iter().rposition(|held| Side::is(held, side)) {
            let acquire = held.acquires.remove(at);
            held.leaving = Some(Leaving { acquire, granted: self.granted });
            self.count(side, -1);
        }
        Ok(())
    }

    fn release_completed(
        &mut self,
        now: u64,
        release: Involved,
        mut held: Held,
        side: Side,
    ) -> Result<(), Stop> {
        match (release.operation.outcome, held.leaving.take()) {
            (Outcome::Ok, None) => return Err(alarm(now, Conflict::NotHeld(release))),
            // It did not happen: its hold goes on as if it had never been asked.
            (Outcome::Fail, Some(leaving)) if leaving.granted == self.granted => {
                held.acquires.push(leaving.acquire);
                self.count(side, 1);
            }
            (Outcome::Fail, Some(_)) => {
                let process = release.operation.process;
                return Err(needs(format!(
                    "a release of process {process} failed after another had been granted the lock"
                )));
            }
            _ => {}
        }
        self.keep(&release, held);
        Ok(())
    }

    fn keep(&mut self, completed: &Involved, held: Held) {
        if !held.acquires.is_empty() {
            self.processes.keep(completed, held);
        }
    }

    fn count(&mut self, side: Side, change: i64) {
        self.held = self.held.saturating_add_signed(change);
        if side == Side::Exclusive {
            self.writers = self.writers.saturating_add_signed(change);
        }
    }

    /// The holds that exclude each other now that this acquire was granted.
    fn overlap(&self, acquire: Involved, side: Side) -> Conflict {
        let cores = self.processes.held().flat_map(|held| &held.acquires);
        let others = cores.filter(|held| held.index != acquire.index).copied();
        let mut together: Vec<Involved> = match self.rule {
            Rule::Permits(_) => others.collect(),
            Rule::ReadersOrWriter => others
                .filter(|other| side == Side::Exclusive || Side::is(other, Side::Exclusive))
                .min_by_key(|other| other.index)
                .into_iter()
                .collect(),
        };
        together.push(acquire);
        together.sort_unstable_by_key(|acquire| acquire.index);
        Conflict::Overlap(together.into_iter().map(held_since).collect())
    }
}

/// The side of a lock that an operation is of; of a semaphore all permits are exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Exclusive,
    Shared,
}

impl Side {
    fn of(action: Action) -> Option<Side> {
        match action {
            Action::Acquire(_) | Action::TryAcquire(_) | Action::Release => Some(Side::Exclusive),
            Action::AcquireShared | Action::TryAcquireShared | Action::ReleaseShared => {
                Some(Side::Shared)
            }
            _ => None,
        }
    }

    fn is(involved: &Involved, side: Side) -> bool {
        Side::of(involved.operation.action) == Some(side)
    }
}
