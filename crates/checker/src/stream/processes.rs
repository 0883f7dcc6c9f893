//! Events, and what each process is doing.

use std::collections::hash_map::Entry;

use super::decider::Stop;
use super::merge::Kind;
use super::process_map::{ProcessMap, ProcessSet};
use crate::decision::{Conflict, Counterexample, Hold, Involved};
use crate::operation::{Action, NEVER, Operation, Outcome, Process};

/// Which end of an operation an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// It begins.
    Invoke,
    /// It ends so.
    Complete(Outcome),
}

/// One end of one operation on one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamEvent {
    /// When, as in [`Operation`].
    pub stamp: u64,
    /// Who.
    pub process: Process,
    /// What was asked; at the completion with what only the answer told, such as a token. A try
    /// that the lock never judged fails as an [`Action::Acquire`], which tells nothing.
    pub action: Action,
    /// Which end.
    pub step: Step,
}

/// Pairs the ends of the operations. A process is remembered in full only while it has an operation
/// open or holds something (`H`), and by one bit after an operation of unknown outcome.
#[derive(Debug, Default)]
pub(super) struct Processes<H> {
    busy: ProcessMap<Busy<H>>,
    gone: ProcessSet,
    invoked: u64,
    now: Option<(u64, Kind)>,
}

#[derive(Clone, Debug, Default)]
struct Busy<H> {
    open: Option<Involved>,
    held: H,
}

impl<H: Default> Processes<H> {
    /// Opens an operation, and gives what its process holds. Until the operation completes it is
    /// one that never does.
    pub(super) fn invoke(&mut self, event: &StreamEvent) -> Result<(Involved, &mut H), Stop> {
        let StreamEvent { stamp, process, action, .. } = *event;
        self.advance(stamp, Kind::Invoke)?;
        let busy = match self.busy.entry(process) {
            Entry::Occupied(busy) => busy.into_mut(),
            Entry::Vacant(_) if self.gone.contains(process) => {
                return Err(needs(format!(
                    "process {process} goes on at {stamp} after an operation of unknown outcome"
                )));
            }
            Entry::Vacant(vacant) => vacant.insert(Busy::default()),
        };
        if let Some(open) = busy.open {
            let Operation { invoke, .. } = open.operation;
            return Err(needs(format!(
                "process {process} goes on at {stamp} while what it asked at {invoke} may still happen"
            )));
        }
        let (complete, outcome) = (NEVER, Outcome::Info);
        let operation = Operation { invoke: stamp, complete, action, process, outcome };
        let invoked = Involved { index: self.invoked, operation };
        self.invoked += 1;
        busy.open = Some(invoked);
        Ok((invoked, &mut busy.held))
    }

    /// Closes an operation, and takes from its process what it holds: see
    /// [`keep`](Processes::keep).
    pub(super) fn complete(
        &mut self,
        event: &StreamEvent,
        outcome: Outcome,
    ) -> Result<(Involved, H), Stop> {
        let StreamEvent { stamp, process, action, .. } = *event;
        self.advance(stamp, Kind::Completion)?;
        let Some(Busy { open: Some(mut completed), held }) = self.busy.remove(&process) else {
            return Err(needs(format!(
                "process {process} completes at {stamp} what it never invoked"
            )));
        };
        if !may_complete(completed.operation.action, action) {
            return Err(needs(format!(
                "process {process} completes at {stamp} another operation than it invoked"
            )));
        }
        completed.operation.action = action;
        completed.operation.outcome = outcome;
        match outcome {
            Outcome::Info => self.gone.insert(process),
            Outcome::Ok | Outcome::Fail => completed.operation.complete = stamp,
        }
        Ok((completed, held))
    }

    /// What the process holds after the operation that it has just completed. Not needed if it is
    /// nothing.
    pub(super) fn keep(&mut self, completed: &Involved, held: H) {
        let Operation { process, outcome, .. } = completed.operation;
        // An operation of unknown outcome stays open.
        let open = (outcome == Outcome::Info).then_some(*completed);
        self.busy.insert(process, Busy { open, held });
    }

    /// The operations that are open.
    pub(super) fn open(&self) -> impl Iterator<Item = &Involved> {
        self.busy.values().filter_map(|busy| busy.open.as_ref())
    }

    /// What the processes hold.
    pub(super) fn held(&self) -> impl Iterator<Item = &H> {
        self.busy.values().map(|busy| &busy.held)
    }

    fn advance(&mut self, stamp: u64, kind: Kind) -> Result<(), Stop> {
        if self.now.is_some_and(|now| (stamp, kind) < now) {
            return Err(needs(format!("the events are not in order of time at {stamp}")));
        }
        self.now = Some((stamp, kind));
        Ok(())
    }
}

fn may_complete(invoked: Action, completed: Action) -> bool {
    match (invoked, completed) {
        (Action::TryAcquire(_), Action::Acquire(_)) => true,
        (Action::TryAcquireShared, Action::AcquireShared) => true,
        _ => std::mem::discriminant(&invoked) == std::mem::discriminant(&completed),
    }
}

pub(super) fn needs(because: String) -> Stop {
    Stop::NeedsWholeHistory(because)
}

pub(super) fn unknown_action(event: &StreamEvent) -> Stop {
    needs(format!("this lock knows no {:?}, which process {} asks", event.action, event.process))
}

pub(super) fn alarm(at: u64, conflict: Conflict) -> Stop {
    Stop::Alarm(Box::new(Counterexample { at, shortest: true, conflict }))
}

/// A hold that nothing has ended.
pub(super) fn held_since(acquire: Involved) -> Hold {
    Hold { acquire, release: None }
}
