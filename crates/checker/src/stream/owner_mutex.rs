//! The owner mutex, with operations of unknown outcome and denied tries.
//!
//! The core of a hold lasts from its acquire's ok to its release's invoke: whatever the order, the
//! lock was held then. Cores that share an instant have no order; disjoint ones are their own. In
//! the gap between two cores the hold before may last until its release completed, the hold after
//! may begin when its acquire was invoked, and after the last core any acquire that is not known to
//! have failed may have taken the lock for good. A denied try needs one of these.
//!
//! Of a gap's denials that the hold before cannot explain only the first to complete matters: what
//! comes after explains all of them or not that one.

use super::decider::Stop;
use super::processes::{Processes, Step, StreamEvent, alarm, held_since, unknown_action};
use crate::decision::{Conflict, Hold, Involved};
use crate::operation::{Action, Outcome, Process};

/// The online decider. It assumes that a process does nothing more after an operation whose outcome
/// is unknown, and one thing at a time.
#[derive(Debug, Default)]
pub(super) struct OwnerMutex {
    /// Each with the acquire of the hold that it has not surely given up.
    processes: Processes<Option<Involved>>,
    /// The hold that was granted last.
    last: Option<Hold>,
    /// The acquire of unknown outcome that was invoked first.
    unknown: Option<Involved>,
    /// The first denial after the last core that the last hold does not explain.
    unexplained: Option<Unexplained>,
}

#[derive(Clone, Copy, Debug)]
struct Unexplained {
    denial: Involved,
    /// Whose open acquire may explain it; `None` if one of unknown outcome does.
    by: Option<Process>,
}

impl OwnerMutex {
    pub(super) fn event(&mut self, event: &StreamEvent) -> Result<(), Stop> {
        match (event.step, event.action) {
            (Step::Invoke, Action::Acquire(_) | Action::TryAcquire(_)) => {
                self.processes.invoke(event).map(|_| ())
            }
            (Step::Invoke, Action::Release) => {
                let (release, held) = self.processes.invoke(event)?;
                if let Some(last) = granted_by(&mut self.last, *held) {
                    last.release = Some(release);
                }
                Ok(())
            }
            (Step::Complete(outcome), Action::Acquire(_) | Action::TryAcquire(_)) => {
                let (acquire, held) = self.processes.complete(event, outcome)?;
                self.acquire_completed(event.stamp, acquire, held)
            }
            (Step::Complete(outcome), Action::Release) => {
                let (release, held) = self.processes.complete(event, outcome)?;
                self.release_completed(event.stamp, release, held)
            }
            _ => Err(unknown_action(event)),
        }
    }

    fn acquire_completed(
        &mut self,
        now: u64,
        acquire: Involved,
        held: Option<Involved>,
    ) -> Result<(), Stop> {
        let process = acquire.operation.process;
        match acquire.operation.outcome {
            Outcome::Ok => {
                self.processes.keep(&acquire, Some(acquire));
                return self.granted(now, acquire);
            }
            Outcome::Fail if held.is_some() => self.processes.keep(&acquire, held),
            Outcome::Fail => {}
            Outcome::Info => self.may_hold_for_good(acquire),
        }
        // One that is no longer open cannot have taken the lock from here on.
        if self.unexplained.is_some_and(|unexplained| unexplained.by == Some(process)) {
            self.explain_again(now)?;
        }
        if acquire.operation.outcome == Outcome::Fail && acquire.operation.action.refusal_tells() {
            return self.denied(now, acquire);
        }
        Ok(())
    }

    fn granted(&mut self, now: u64, acquire: Involved) -> Result<(), Stop> {
        let after = held_since(acquire);
        if let Some(last) = self.last.filter(|last| last.release.is_none()) {
            return Err(alarm(now, Conflict::Overlap(vec![last, after])));
        }
        if let Some(Unexplained { denial, .. }) = self.unexplained.take()
            && denial.operation.complete < acquire.operation.invoke
        {
            let (before, after) = (self.last, Some(after));
            return Err(alarm(now, Conflict::UnexplainedDenial { denial, before, after }));
        }
        self.last = Some(after);
        Ok(())
    }

    fn release_completed(
        &mut self,
        now: u64,
        release: Involved,
        held: Option<Involved>,
    ) -> Result<(), Stop> {
        let outcome = release.operation.outcome;
        let Some(acquire) = held else {
            return match outcome {
                Outcome::Ok => Err(alarm(now, Conflict::NotHeld(release))),
                Outcome::Fail | Outcome::Info => Ok(()),
            };
        };
        // What did not happen is as if it had never been asked: the hold goes on.
        let happened = outcome != Outcome::Fail;
        if !happened {
            self.processes.keep(&release, held);
        }
        match (granted_by(&mut self.last, held), happened) {
            (Some(last), _) => last.release = happened.then_some(release),
            (None, true) => {}
            (None, false) => {
                let holds = [Some(held_since(acquire)), self.last].into_iter().flatten().collect();
                return Err(alarm(now, Conflict::Overlap(holds)));
            }
        }
        Ok(())
    }

    fn denied(&mut self, now: u64, denial: Involved) -> Result<(), Stop> {
        let by_last = self.last.is_some_and(|last| match last.release {
            None => true,
            // Of a release that is open or of unknown outcome this is never.
            Some(release) => denial.operation.invoke <= release.operation.complete,
        });
        if by_last || self.unexplained.is_some() {
            return Ok(());
        }
        self.unexplained = Some(Unexplained { denial, by: None });
        self.explain_again(now)
    }

    /// Finds an acquire that may have taken the lock for good before the denial was over.
    fn explain_again(&mut self, now: u64) -> Result<(), Stop> {
        let Some(Unexplained { denial, .. }) = self.unexplained else { return Ok(()) };
        let in_time = |acquire: &Involved| acquire.operation.invoke <= denial.operation.complete;
        let by = if self.unknown.is_some_and(|unknown| in_time(&unknown)) {
            None
        } else {
            let is_acquire = |open: &&Involved| !matches!(open.operation.action, Action::Release);
            let open = self.processes.open().filter(is_acquire).find(|open| in_time(open));
            let Some(open) = open else {
                let (before, after) = (self.last, None);
                return Err(alarm(now, Conflict::UnexplainedDenial { denial, before, after }));
            };
            Some(open.operation.process)
        };
        self.unexplained = Some(Unexplained { denial, by });
        Ok(())
    }

    fn may_hold_for_good(&mut self, acquire: Involved) {
        let first = self.unknown.get_or_insert(acquire);
        if acquire.operation.invoke < first.operation.invoke {
            *first = acquire;
        }
    }
}

/// The hold that was granted last, if this acquire began it.
fn granted_by(last: &mut Option<Hold>, acquire: Option<Involved>) -> Option<&mut Hold> {
    let acquire = acquire?;
    last.as_mut().filter(|last| last.acquire.index == acquire.index)
}
