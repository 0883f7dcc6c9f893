//! A lock that only its owner may release.

use super::{DependsOn, Model, is_of_a_lock};
use crate::operation::{Action, Operation, Outcome, Process};

/// Free or owned by one process, which cannot take it twice.
#[derive(Clone, Copy, Debug)]
pub struct OwnerMutex;

impl Model for OwnerMutex {
    /// Who has it.
    type State = Option<Process>;

    fn initial(&self) -> Option<Process> {
        None
    }

    fn step(&self, owner: &Option<Process>, operation: &Operation) -> Option<Option<Process>> {
        match (operation.action, operation.outcome) {
            (Action::TryAcquire(_), Outcome::Fail) => owner.is_some().then_some(*owner),
            (Action::Acquire(_) | Action::TryAcquire(_), _) => {
                owner.is_none().then_some(Some(operation.process))
            }
            (Action::Release, _) => (*owner == Some(operation.process)).then_some(None),
            _ => None,
        }
    }

    fn knows(&self, action: Action) -> bool {
        is_of_a_lock(action)
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
    fn only_the_owner_releases_it_and_a_denial_needs_an_owner() {
        check(
            &OwnerMutex,
            &[
                (0, Release, Ok, false),
                (0, TryAcquire(0), Fail, false),
                (0, Acquire(7), Ok, true),
                (0, Acquire(0), Ok, false),
                (0, TryAcquire(0), Fail, true),
                (1, TryAcquire(0), Fail, true),
                (1, Release, Ok, false),
                (0, Release, Ok, true),
                (1, TryAcquire(1), Ok, true),
            ],
        );
        knows_only(&OwnerMutex, &[Acquire(0), TryAcquire(0), Release]);
    }
}
