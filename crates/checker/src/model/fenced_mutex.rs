//! An owner mutex whose grants carry growing tokens.

use super::{DependsOn, Model, is_of_a_lock};
use crate::operation::{Action, Operation, Outcome, Process, Token};

/// Free or owned by one process; each grant with a token larger than all before.
#[derive(Clone, Copy, Debug)]
pub struct FencedMutex;

/// Who has it, and the largest token so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FencedMutexState {
    owner: Option<Process>,
    largest: Token,
}

impl Model for FencedMutex {
    type State = FencedMutexState;

    fn initial(&self) -> FencedMutexState {
        FencedMutexState { owner: None, largest: 0 }
    }

    fn step(&self, state: &FencedMutexState, operation: &Operation) -> Option<FencedMutexState> {
        match (operation.action, operation.outcome) {
            (Action::TryAcquire(_), Outcome::Fail) => state.owner.is_some().then_some(*state),
            (Action::Acquire(token) | Action::TryAcquire(token), _) => {
                let legal = state.owner.is_none() && (token == 0 || token > state.largest);
                let largest = state.largest.max(token);
                legal.then_some(FencedMutexState { owner: Some(operation.process), largest })
            }
            (Action::Release, _) => (state.owner == Some(operation.process))
                .then_some(FencedMutexState { owner: None, ..*state }),
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
    fn a_grant_needs_a_larger_token_and_an_unknown_one_is_any() {
        check(
            &FencedMutex,
            &[
                (0, Acquire(5), Ok, true),
                (1, TryAcquire(9), Fail, true),
                (0, Release, Ok, true),
                (1, Acquire(5), Ok, false),
                (1, TryAcquire(4), Ok, false),
                (1, TryAcquire(4), Fail, false),
                (1, Acquire(0), Ok, true),
                (1, Release, Ok, true),
                (0, Acquire(5), Ok, false),
                (0, Acquire(6), Ok, true),
                (1, Release, Ok, false),
            ],
        );
        knows_only(&FencedMutex, &[Acquire(0), TryAcquire(0), Release]);
    }
}
