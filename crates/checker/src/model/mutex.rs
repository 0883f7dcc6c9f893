//! A lock that anybody may release.

use super::{DependsOn, Model, is_of_a_lock};
use crate::operation::{Action, Operation, Outcome};

/// Locked or not; nobody owns it.
#[derive(Clone, Copy, Debug)]
pub struct Mutex;

impl Model for Mutex {
    /// Whether it is locked.
    type State = bool;

    fn initial(&self) -> bool {
        false
    }

    fn step(&self, locked: &bool, operation: &Operation) -> Option<bool> {
        match (operation.action, operation.outcome) {
            (Action::TryAcquire(_), Outcome::Fail) => locked.then_some(true),
            (Action::Acquire(_) | Action::TryAcquire(_), _) => (!locked).then_some(true),
            (Action::Release, _) => locked.then_some(false),
            _ => None,
        }
    }

    fn knows(&self, action: Action) -> bool {
        is_of_a_lock(action)
    }

    fn effect_depends_on(&self) -> DependsOn {
        DependsOn::Action
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, knows_only};
    use super::*;
    use Action::*;
    use Outcome::*;

    #[test]
    fn anybody_releases_it_and_a_denial_needs_it_locked() {
        check(
            &Mutex,
            &[
                (0, Release, Ok, false),
                (0, TryAcquire(0), Fail, false),
                (0, Acquire(0), Ok, true),
                (1, Acquire(0), Ok, false),
                (0, TryAcquire(0), Fail, true),
                (1, Release, Ok, true),
                (1, TryAcquire(0), Ok, true),
                (2, Release, Info, true),
                (2, Acquire(0), Info, true),
            ],
        );
        knows_only(&Mutex, &[Acquire(0), TryAcquire(0), Release]);
    }
}
