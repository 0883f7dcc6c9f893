//! Small random histories: of an object that works, and then spoilt.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::operation::{Action, NEVER, Operation, Outcome};
use crate::specification::Specification;

/// A history of up to ten operations of up to five processes, in order of their invokes. About half
/// of the processes go on after an info.
pub fn history(specification: Specification, rng: &mut ChaCha8Rng) -> Vec<Operation> {
    let mut operations = service(specification, rng);
    let most = if matches!(specification, Specification::Semaphore { .. }) { 12 } else { 8 };
    let spoilt = if rng.random_bool(0.3) { 0 } else { rng.random_range(1..=most) };
    for _ in 0..spoilt {
        spoil(specification, &mut operations, rng);
    }
    operations.sort_by_key(|operation| operation.invoke);
    operations
}

/// Whether the next acquire does not wait; less often where a denial has no fast rule.
fn tries(specification: Specification, rng: &mut ChaCha8Rng) -> bool {
    rng.random_bool(match specification {
        Specification::Mutex | Specification::Semaphore { .. } => 0.15,
        Specification::LeaseMutex { .. } => 0.15,
        _ => 0.4,
    })
}

/// What a process does next, given what it believes to hold.
fn next_action(specification: Specification, held: &[Action], rng: &mut ChaCha8Rng) -> Action {
    let token = rng.random_range(0..4);
    match specification {
        Specification::FencedResource if rng.random() => Action::GuardedRead(token),
        Specification::FencedResource => Action::GuardedWrite(token),
        Specification::LeaseMutex { .. } if !held.is_empty() && rng.random_bool(0.4) => {
            Action::Renew
        }
        _ => {
            let more = match specification {
                Specification::Semaphore { .. } => 0.7,
                Specification::ReentrantMutex { .. } => 0.4,
                Specification::LeaseMutex { .. } => 0.3,
                _ => 0.05,
            };
            match held.last() {
                Some(last) if !rng.random_bool(more) => match last {
                    Action::AcquireShared => Action::ReleaseShared,
                    _ => Action::Release,
                },
                _ => {
                    let shared = specification == Specification::ReadWriteLock && rng.random();
                    match (shared, tries(specification, rng)) {
                        (true, true) => Action::TryAcquireShared,
                        (true, false) => Action::AcquireShared,
                        (false, true) => Action::TryAcquire(0),
                        (false, false) => Action::Acquire(0),
                    }
                }
            }
        }
    }
}

/// An object that works, asked by several processes. It is the oracle's sequential object: each
/// operation takes effect at a random instant while it is open.
fn service(specification: Specification, rng: &mut ChaCha8Rng) -> Vec<Operation> {
    let processes = rng.random_range(1..=5_u32);
    let count = rng.random_range(2..=10);
    // In half of the histories no two events have one stamp.
    let gap = rng.random_range(1..=4_u64);
    let least_gap = rng.random_range(0..=1);
    let with_infos = rng.random_bool(0.6);
    let mut operations: Vec<Operation> = Vec::new();
    let mut order: Vec<u32> = Vec::new();
    let mut open: Vec<Option<usize>> = vec![None; processes as usize];
    let mut held: Vec<Vec<Action>> = vec![Vec::new(); processes as usize];
    let mut names: Vec<u32> = (0..processes).collect();
    let (mut now, mut token) = (rng.random_range(0..3), 0);
    for _ in 0..200 {
        now += rng.random_range(least_gap..=gap);
        let slot = rng.random_range(0..processes as usize);
        let Some(index) = open[slot] else {
            if operations.len() < count {
                let action = next_action(specification, &held[slot], rng);
                open[slot] = Some(operations.len());
                operations.push(Operation {
                    invoke: now,
                    complete: NEVER,
                    action,
                    process: names[slot],
                    outcome: Outcome::Info,
                });
            }
            continue;
        };
        let mut asked = operations[index];
        if let Action::Acquire(given) | Action::TryAcquire(given) = &mut asked.action
            && specification == Specification::FencedMutex
            && rng.random_bool(0.8)
        {
            *given = token + rng.random_range(1..3);
        }
        asked.complete = now;
        // The order so far with this one at its end: does the object let it happen now?
        let happens = |outcome, order: &[u32], operations: &mut Vec<Operation>| {
            let before = operations[index];
            operations[index] = Operation { outcome, ..asked };
            let mut order = order.to_vec();
            order.push(index as u32);
            let happens = super::oracle::happens(specification, operations, &order);
            if !happens {
                operations[index] = before;
            }
            happens
        };
        let loses_answer = with_infos && rng.random_bool(0.25);
        if loses_answer && rng.random() {
            // It is lost before it takes effect.
        } else if happens(Outcome::Ok, &order, &mut operations) {
            order.push(index as u32);
            match asked.action {
                Action::Acquire(given) | Action::TryAcquire(given) => {
                    token = token.max(given);
                    held[slot].push(Action::Acquire(0));
                }
                Action::AcquireShared | Action::TryAcquireShared => {
                    held[slot].push(Action::AcquireShared);
                }
                Action::Release | Action::ReleaseShared => {
                    held[slot].pop();
                }
                _ => {}
            }
        } else if asked.action.refusal_tells() && happens(Outcome::Fail, &order, &mut operations) {
            order.push(index as u32);
        } else if rng.random_bool(0.1) {
            operations[index] = Operation { outcome: Outcome::Fail, ..asked };
        } else if !loses_answer {
            continue;
        }
        if loses_answer && operations[index].outcome != Outcome::Fail {
            let action = match operations[index].action {
                Action::Acquire(_) => Action::Acquire(0),
                Action::TryAcquire(_) => Action::TryAcquire(0),
                action => action,
            };
            operations[index] =
                Operation { action, complete: NEVER, outcome: Outcome::Info, ..operations[index] };
            if rng.random() {
                names[slot] += processes;
                held[slot].clear();
            } else if rng.random() {
                held[slot].push(Action::Acquire(0));
            }
        }
        open[slot] = None;
    }
    operations
}

/// Changes something, so that the history may become bad.
fn spoil(specification: Specification, operations: &mut Vec<Operation>, rng: &mut ChaCha8Rng) {
    if operations.is_empty() {
        return;
    }
    let index = rng.random_range(0..operations.len());
    let other = rng.random_range(0..operations.len());
    match rng.random_range(0..9) {
        0 => {
            operations.remove(index);
        }
        1 => {
            let (left, right) = (operations[index], operations[other]);
            operations[index] = Operation { action: right.action, ..left };
            operations[other] = Operation { action: left.action, ..right };
        }
        2 => {
            let shift = rng.random_range(0..8);
            let later = rng.random_bool(0.7);
            let operation = &mut operations[index];
            operation.invoke = if later {
                (operation.invoke + shift).min(operation.complete.min(1_000))
            } else {
                operation.invoke.saturating_sub(shift)
            };
        }
        3 => {
            let operation = &mut operations[index];
            if operation.complete < NEVER {
                operation.complete =
                    operation.complete.saturating_sub(rng.random_range(0..8)).max(operation.invoke);
            }
        }
        4 => {
            let operation = &mut operations[index];
            match operation.outcome {
                Outcome::Info => {}
                Outcome::Ok if operation.action.refusal_tells() => {
                    operation.outcome = Outcome::Fail;
                }
                Outcome::Ok => {
                    (operation.outcome, operation.complete) = (Outcome::Info, NEVER);
                }
                Outcome::Fail => operation.outcome = Outcome::Ok,
            }
        }
        5 => operations[index].process = operations[other].process,
        6 => operations[index].action = next_action(specification, &[], rng),
        7 => {
            // The shortest acquire and the latest release: the longest core.
            let operation = &mut operations[index];
            match operation.action {
                _ if operation.outcome != Outcome::Ok => {}
                Action::Release | Action::ReleaseShared => operation.invoke = operation.complete,
                _ => operation.complete = operation.invoke,
            }
        }
        _ => {
            let newcomers =
                if matches!(specification, Specification::Semaphore { .. }) { 3 } else { 1 };
            for process in 20..20 + newcomers {
                if operations.len() < 10 {
                    let invoke = operations[index].invoke + rng.random_range(0..3);
                    operations.push(Operation {
                        invoke,
                        complete: invoke + rng.random_range(0..6),
                        action: next_action(specification, &[], rng),
                        process,
                        outcome: Outcome::Ok,
                    });
                }
            }
        }
    }
}
