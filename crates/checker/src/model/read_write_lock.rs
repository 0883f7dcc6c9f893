//! Many readers or one writer.

use super::semaphore::{with, without};
use super::{DependsOn, Model};
use crate::operation::{Action, Operation, Outcome, Process};

/// `Acquire` and `Release` are the write side, the shared ones the read side.
#[derive(Clone, Copy, Debug)]
pub struct ReadWriteLock;

/// Who is inside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Inside {
    /// These read, in order, a process once for each of its acquires; or nobody is inside.
    Readers(Vec<Process>),
    /// This one writes.
    Writer(Process),
}

impl Model for ReadWriteLock {
    type State = Inside;

    fn initial(&self) -> Inside {
        Inside::Readers(Vec::new())
    }

    fn step(&self, inside: &Inside, operation: &Operation) -> Option<Inside> {
        let process = operation.process;
        match (operation.action, operation.outcome, inside) {
            (Action::TryAcquire(_), Outcome::Fail, _) => {
                (*inside != self.initial()).then(|| inside.clone())
            }
            (Action::TryAcquireShared, Outcome::Fail, Inside::Writer(_)) => Some(inside.clone()),
            (Action::TryAcquireShared, Outcome::Fail, Inside::Readers(_)) => None,
            (Action::Acquire(_) | Action::TryAcquire(_), _, _) => {
                (*inside == self.initial()).then_some(Inside::Writer(process))
            }
            (Action::Release, _, Inside::Writer(writer)) => {
                (*writer == process).then(|| self.initial())
            }
            (Action::AcquireShared | Action::TryAcquireShared, _, Inside::Readers(readers)) => {
                Some(Inside::Readers(with(readers, process)))
            }
            (Action::ReleaseShared, _, Inside::Readers(readers)) => {
                without(readers, process).map(Inside::Readers)
            }
            _ => None,
        }
    }

    fn knows(&self, action: Action) -> bool {
        matches!(
            action,
            Action::Acquire(_)
                | Action::TryAcquire(_)
                | Action::Release
                | Action::AcquireShared
                | Action::TryAcquireShared
                | Action::ReleaseShared
        )
    }

    fn effect_depends_on(&self) -> DependsOn {
        DependsOn::Process
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, knows_only};
    use super::*;
    use Action::*;
    use Outcome::*;

    #[test]
    fn readers_share_it_and_a_writer_is_alone() {
        check(
            &ReadWriteLock,
            &[
                (0, TryAcquire(0), Fail, false),
                (0, TryAcquireShared, Fail, false),
                (0, AcquireShared, Ok, true),
                (1, TryAcquireShared, Ok, true),
                (1, TryAcquireShared, Fail, false),
                (2, Acquire(0), Ok, false),
                (2, TryAcquire(0), Fail, true),
                (0, Release, Ok, false),
                (2, ReleaseShared, Ok, false),
                (0, ReleaseShared, Ok, true),
                (1, Acquire(0), Ok, false),
                (1, ReleaseShared, Ok, true),
                (2, Acquire(0), Ok, true),
                (1, TryAcquireShared, Fail, true),
                (1, AcquireShared, Ok, false),
                (1, TryAcquire(0), Fail, true),
                (1, Release, Ok, false),
                (2, ReleaseShared, Ok, false),
                (2, Release, Ok, true),
                (1, AcquireShared, Ok, true),
            ],
        );
        knows_only(
            &ReadWriteLock,
            &[Acquire(0), TryAcquire(0), Release, AcquireShared, TryAcquireShared, ReleaseShared],
        );
    }
}
