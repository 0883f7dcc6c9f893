//! The truth about small histories: every order is tried, by rules that are written afresh.

use std::collections::HashSet;

use crate::operation::{Action, Operation, Outcome, Process};
use crate::specification::Specification;

/// What the object is and remembers. One type for all objects; each uses a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    /// Who holds, once for each permit, in order; for an anonymous mutex nobody in particular.
    holders: Vec<Process>,
    readers: Vec<Process>,
    largest_token: u64,
    now: u64,
    deadline: u64,
}

/// Whether some order of the operations explains them all.
pub fn is_linearizable(specification: Specification, operations: &[Operation]) -> bool {
    let operations: Vec<Operation> = operations
        .iter()
        .filter(|operation| operation.outcome != Outcome::Fail || operation.action.refusal_tells())
        .copied()
        .collect();
    let mut visited = HashSet::new();
    explore(specification, &operations, 0, State::default(), &mut visited)
}

fn explore(
    specification: Specification,
    operations: &[Operation],
    done: u32,
    state: State,
    visited: &mut HashSet<(u32, State)>,
) -> bool {
    let left = |index: usize| done & 1 << index == 0;
    let is_settled = |(index, operation): (usize, &Operation)| {
        !left(index) || operation.outcome == Outcome::Info
    };
    if operations.iter().enumerate().all(is_settled) {
        return true;
    }
    if !visited.insert((done, state.clone())) {
        return false;
    }
    let first_return =
        (0..operations.len()).filter(|index| left(*index)).map(|index| operations[index].complete);
    let first_return = first_return.min().unwrap_or(u64::MAX);
    (0..operations.len()).filter(|index| left(*index)).any(|index| {
        operations[index].invoke <= first_return
            && step(specification, &state, &operations[index]).is_some_and(|next| {
                explore(specification, operations, done | 1 << index, next, visited)
            })
    })
}

/// What is wrong with an order, if anything is.
pub fn fault(
    specification: Specification,
    operations: &[Operation],
    order: &[u32],
) -> Option<String> {
    let mut state = State::default();
    for (position, index) in order.iter().enumerate() {
        let operation = &operations[*index as usize];
        if order[..position].contains(index) {
            return Some(format!("{index} is there twice"));
        }
        for earlier in &order[..position] {
            if operation.complete < operations[*earlier as usize].invoke {
                return Some(format!("{index} was over before {earlier} began"));
            }
        }
        match step(specification, &state, operation) {
            Some(next) => state = next,
            None => return Some(format!("{index} is illegal in {state:?}")),
        }
    }
    let is_missing = |(index, operation): &(usize, &Operation)| {
        let must = match operation.outcome {
            Outcome::Ok => true,
            Outcome::Fail => operation.action.refusal_tells(),
            Outcome::Info => false,
        };
        must && !order.contains(&(*index as u32))
    };
    operations.iter().enumerate().find(is_missing).map(|(index, _)| format!("{index} is missing"))
}

fn step(specification: Specification, state: &State, operation: &Operation) -> Option<State> {
    let mut next = state.clone();
    let process = match specification {
        Specification::Mutex => 0,
        _ => operation.process,
    };
    let refused = operation.outcome == Outcome::Fail;
    let legal = match operation.action {
        Action::Acquire(token) | Action::TryAcquire(token) => {
            let free = match specification {
                Specification::Semaphore { permits } => state.holders.len() < permits as usize,
                Specification::ReentrantMutex { depth } => {
                    state.holders.iter().all(|holder| *holder == process)
                        && state.holders.len() < depth as usize
                }
                Specification::ReadWriteLock => {
                    state.holders.is_empty() && state.readers.is_empty()
                }
                _ => state.holders.is_empty(),
            };
            if let Specification::LeaseMutex { lease_ns } = specification {
                next.now = next.now.max(operation.invoke);
                if refused {
                    return (!free && next.now <= operation.complete).then_some(next);
                }
                if !free {
                    next.now = next.now.max(state.deadline);
                    next.holders.clear();
                }
                next.deadline = next.now + lease_ns;
                next.holders.push(process);
                return (next.now <= operation.complete).then_some(next);
            }
            if refused {
                return (!free).then_some(next);
            }
            next.holders.push(process);
            next.holders.sort_unstable();
            if specification == Specification::FencedMutex && token != 0 {
                next.largest_token = token;
                free && token > state.largest_token
            } else {
                free
            }
        }
        Action::Release => {
            next.now = next.now.max(operation.invoke);
            let held = next.holders.iter().position(|holder| *holder == process);
            held.map(|held| next.holders.remove(held));
            let timed = matches!(specification, Specification::LeaseMutex { .. });
            held.is_some() && (!timed || next.now <= operation.complete)
        }
        Action::Renew => {
            let Specification::LeaseMutex { lease_ns } = specification else { return None };
            next.now = next.now.max(operation.invoke);
            next.deadline = next.deadline.max(next.now + lease_ns);
            next.holders.contains(&process) && next.now <= operation.complete
        }
        Action::AcquireShared | Action::TryAcquireShared => {
            if refused {
                return (!state.holders.is_empty()).then_some(next);
            }
            next.readers.push(process);
            next.readers.sort_unstable();
            state.holders.is_empty()
        }
        Action::ReleaseShared => {
            let held = next.readers.iter().position(|reader| *reader == process);
            held.map(|held| next.readers.remove(held));
            held.is_some()
        }
        Action::GuardedRead(token) | Action::GuardedWrite(token) => {
            if refused {
                return (token < state.largest_token).then_some(next);
            }
            next.largest_token = token;
            token >= state.largest_token
        }
        _ => false,
    };
    if !matches!(specification, Specification::LeaseMutex { .. }) {
        next.now = 0;
    }
    legal.then_some(next)
}

/// Whether these operations, in this order, can all have happened.
pub fn happens(specification: Specification, operations: &[Operation], order: &[u32]) -> bool {
    let mut state = State::default();
    order.iter().all(|index| match step(specification, &state, &operations[*index as usize]) {
        Some(next) => {
            state = next;
            true
        }
        None => false,
    })
}
