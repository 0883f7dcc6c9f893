//! The truth about small histories of an owner mutex, by trying every order.

use std::collections::HashSet;

use locktest_checker::{Action, NEVER, Operation, Outcome, Process};

/// The stamp of the completion that ends the shortest prefix that no order explains.
pub(crate) fn first_conflict(operations: &[Operation]) -> Option<u64> {
    let mut ends: Vec<u64> =
        operations.iter().map(|o| o.complete).filter(|end| *end < NEVER).collect();
    ends.sort_unstable();
    ends.into_iter().find(|end| !is_explained(&prefix(operations, *end)))
}

fn prefix(operations: &[Operation], end: u64) -> Vec<Operation> {
    let begun = operations.iter().filter(|operation| operation.invoke <= end);
    begun
        .map(|operation| match operation.complete <= end {
            true => *operation,
            false => Operation { complete: NEVER, outcome: Outcome::Info, ..*operation },
        })
        .collect()
}

fn is_explained(operations: &[Operation]) -> bool {
    assert!(operations.len() <= 32, "too long for this");
    explore(operations, 0, None, &mut HashSet::new())
}

fn explore(
    operations: &[Operation],
    done: u32,
    owner: Option<Process>,
    seen: &mut HashSet<(u32, Option<Process>)>,
) -> bool {
    let open = |index: &usize| done & (1 << index) == 0;
    let left: Vec<usize> = (0..operations.len()).filter(open).collect();
    if left.iter().all(|index| operations[*index].outcome == Outcome::Info) {
        return true;
    }
    if !seen.insert((done, owner)) {
        return false;
    }
    let horizon = left.iter().map(|index| operations[*index].complete).min().unwrap_or(NEVER);
    left.iter().filter(|index| operations[**index].invoke <= horizon).any(|index| {
        let operation = &operations[*index];
        let next = match (operation.action, operation.outcome, owner) {
            (Action::TryAcquire(_), Outcome::Fail, Some(_)) => owner,
            (Action::TryAcquire(_), Outcome::Fail, None) => return false,
            (Action::Acquire(_) | Action::TryAcquire(_), _, None) => Some(operation.process),
            (Action::Release, _, Some(owner)) if owner == operation.process => None,
            _ => return false,
        };
        explore(operations, done | 1 << index, next, seen)
    })
}
