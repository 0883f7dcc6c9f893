//! A lock with several permits.

use super::{DependsOn, Model, is_of_a_lock};
use crate::operation::{Action, Operation, Outcome, Process};

/// So many permits; a process may hold several and gives back only its own.
#[derive(Clone, Copy, Debug)]
pub struct Semaphore {
    /// How many.
    pub permits: u32,
}

impl Model for Semaphore {
    /// Who holds the permits, in order; a process once for each of its own.
    type State = Vec<Process>;

    fn initial(&self) -> Vec<Process> {
        Vec::new()
    }

    fn step(&self, holders: &Vec<Process>, operation: &Operation) -> Option<Vec<Process>> {
        let free = holders.len() < self.permits as usize;
        match (operation.action, operation.outcome) {
            (Action::TryAcquire(_), Outcome::Fail) => (!free).then(|| holders.clone()),
            (Action::Acquire(_) | Action::TryAcquire(_), _) => {
                free.then(|| with(holders, operation.process))
            }
            (Action::Release, _) => without(holders, operation.process),
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

/// The same holders in order, and this process once more.
pub(super) fn with(holders: &[Process], process: Process) -> Vec<Process> {
    let position = holders.partition_point(|holder| *holder < process);
    let mut more = Vec::with_capacity(holders.len() + 1);
    more.extend_from_slice(&holders[..position]);
    more.push(process);
    more.extend_from_slice(&holders[position..]);
    more
}

/// The same holders and this process once less; `None` if it is not among them.
pub(super) fn without(holders: &[Process], process: Process) -> Option<Vec<Process>> {
    let position = holders.binary_search(&process).ok()?;
    let mut fewer = holders.to_vec();
    fewer.remove(position);
    Some(fewer)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, knows_only};
    use super::*;
    use Action::*;
    use Outcome::*;

    #[test]
    fn there_are_so_many_permits_and_each_gives_back_its_own() {
        let model = Semaphore { permits: 2 };
        check(
            &model,
            &[
                (1, Acquire(0), Ok, true),
                (2, TryAcquire(0), Fail, false),
                (0, Release, Ok, false),
                (1, TryAcquire(0), Ok, true),
                (0, Acquire(0), Ok, false),
                (0, TryAcquire(0), Fail, true),
                (1, Release, Ok, true),
                (0, Acquire(0), Ok, true),
                (1, Release, Ok, true),
                (1, Release, Ok, false),
                (0, Release, Ok, true),
            ],
        );
        knows_only(&model, &[Acquire(0), TryAcquire(0), Release]);
    }

    #[test]
    fn the_order_in_which_they_came_is_forgotten() {
        assert_eq!(with(&with(&[], 2), 1), with(&with(&[], 1), 2));
    }
}
