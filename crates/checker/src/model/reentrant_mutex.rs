//! A lock that its owner may take again.

use super::{DependsOn, Model, is_of_a_lock};
use crate::operation::{Action, Operation, Outcome, Process};

/// Free, or taken up to `depth` times by one process.
#[derive(Clone, Copy, Debug)]
pub struct ReentrantMutex {
    /// How many acquires of one owner may be open at once.
    pub depth: u32,
}

impl ReentrantMutex {
    fn grants(self, state: Option<(Process, u32)>, process: Process) -> bool {
        match state {
            None => self.depth > 0,
            Some((owner, count)) => owner == process && count < self.depth,
        }
    }
}

impl Model for ReentrantMutex {
    /// Who has it and how many times, at least once.
    type State = Option<(Process, u32)>;

    fn initial(&self) -> Self::State {
        None
    }

    fn step(&self, state: &Self::State, operation: &Operation) -> Option<Self::State> {
        let process = operation.process;
        match (operation.action, operation.outcome) {
            (Action::TryAcquire(_), Outcome::Fail) => {
                (!self.grants(*state, process)).then_some(*state)
            }
            (Action::Acquire(_) | Action::TryAcquire(_), _) => {
                let count = state.map_or(0, |(_, count)| count);
                self.grants(*state, process).then_some(Some((process, count + 1)))
            }
            (Action::Release, _) => match *state {
                Some((owner, 1)) if owner == process => Some(None),
                Some((owner, count)) if owner == process => Some(Some((owner, count - 1))),
                _ => None,
            },
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
    fn the_owner_takes_it_up_to_the_depth_and_frees_it_with_the_last_release() {
        let model = ReentrantMutex { depth: 2 };
        check(
            &model,
            &[
                (0, Release, Ok, false),
                (0, TryAcquire(0), Fail, false),
                (0, Acquire(0), Ok, true),
                (0, TryAcquire(0), Fail, false),
                (1, TryAcquire(0), Fail, true),
                (1, Acquire(0), Ok, false),
                (0, TryAcquire(0), Ok, true),
                (0, Acquire(0), Ok, false),
                (0, TryAcquire(0), Fail, true),
                (1, Release, Ok, false),
                (0, Release, Ok, true),
                (1, Acquire(0), Ok, false),
                (0, Release, Ok, true),
                (1, Acquire(0), Ok, true),
            ],
        );
        knows_only(&model, &[Acquire(0), TryAcquire(0), Release]);
    }
}
