//! Turns good histories into ones that may be bad, and makes up others from nothing.

use locktest_checker::{Action, NEVER, Operation, Outcome, Process, Specification, Value};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::history::History;
use crate::simulate::{random_action, values};

/// Changes a history here and there.
pub fn mutate(history: &mut History, rng: &mut ChaCha8Rng) {
    // What anybody may do takes more to go wrong.
    let most = match history.specification {
        Specification::Mutex
        | Specification::FencedResource
        | Specification::CasRegister
        | Specification::KeyValue => 8,
        _ => 4,
    };
    for _ in 0..rng.random_range(1..=most) {
        let count = history.operations.len();
        if count == 0 {
            return;
        }
        let index = rng.random_range(0..count);
        let other = rng.random_range(0..count);
        match rng.random_range(0..11) {
            0 => swap(&mut history.operations, index, other, |operation| &mut operation.invoke),
            1 => swap(&mut history.operations, index, other, |operation| &mut operation.complete),
            2 => {
                let operation = &mut history.operations[index];
                operation.invoke = shifted(operation.invoke, rng);
            }
            3 | 4 => {
                let operation = &mut history.operations[index];
                operation.complete = shifted(operation.complete, rng);
            }
            5 => {
                history.operations.remove(index);
            }
            6 | 7 => change_outcome(&mut history.operations[index], rng),
            8 | 9 => {
                let known =
                    (0..).take_while(|number| history.values.text(Value(*number)).is_some());
                let value = Value(rng.random_range(0..known.count() as u32));
                let operation = &mut history.operations[index];
                change_argument(operation, history.specification, value, rng);
            }
            _ => history.operations[index].process = rng.random_range(0..5),
        }
        repair_ends(&mut history.operations);
        repair_processes(&mut history.operations);
    }
}

/// A history that no object need ever have had.
pub fn random_history(specification: Specification, rng: &mut ChaCha8Rng) -> History {
    let processes = rng.random_range(1..=5);
    let span = rng.random_range(4..=30);
    let mut operations = Vec::new();
    for _ in 0..rng.random_range(1..=9) {
        let invoke = rng.random_range(1..=span);
        let outcome = [Outcome::Ok, Outcome::Ok, Outcome::Ok, Outcome::Fail, Outcome::Info]
            [rng.random_range(0..5)];
        operations.push(Operation {
            invoke,
            complete: invoke + rng.random_range(0..=8),
            action: random_action(specification, rng),
            process: rng.random_range(0..processes),
            outcome,
        });
    }
    repair_ends(&mut operations);
    // A few are no possible recordings; the search takes them all the same.
    if rng.random_bool(0.9) {
        repair_processes(&mut operations);
    }
    History { specification, operations, values: values() }
}

/// Makes many answers of a register unknown, gives some writes values that nobody else writes, and
/// adds refusals.
pub fn obscure(history: &mut History, rng: &mut ChaCha8Rng) {
    for number in 0..history.operations.len() {
        let own = history.values.number(&format!("w{number}"));
        let operation = &mut history.operations[number];
        match &mut operation.action {
            Action::Write(new) | Action::Cas { new, .. } => {
                if rng.random_bool(0.35) {
                    *new = own;
                }
                if operation.outcome == Outcome::Ok && rng.random_bool(0.35) {
                    (operation.outcome, operation.complete) = (Outcome::Info, NEVER);
                }
            }
            Action::Read(value) if rng.random_bool(0.3) => {
                operation.action = Action::Cas { expected: *value, new: own };
                operation.outcome = if rng.random_bool(0.8) { Outcome::Fail } else { Outcome::Ok };
            }
            _ => {}
        }
    }
    // Some of the refusals are of what somebody may have written.
    let written: Vec<Value> = history
        .operations
        .iter()
        .filter_map(|operation| match operation.action {
            Action::Write(new) => Some(new),
            _ => None,
        })
        .collect();
    for operation in &mut history.operations {
        if let (Action::Cas { expected, .. }, false) = (&mut operation.action, written.is_empty())
            && rng.random_bool(0.3)
        {
            *expected = written[rng.random_range(0..written.len())];
        }
    }
}

fn swap(
    operations: &mut [Operation],
    index: usize,
    other: usize,
    stamp: fn(&mut Operation) -> &mut u64,
) {
    let theirs = *stamp(&mut operations[other]);
    let mine = std::mem::replace(stamp(&mut operations[index]), theirs);
    *stamp(&mut operations[other]) = mine;
}

fn shifted(stamp: u64, rng: &mut ChaCha8Rng) -> u64 {
    if stamp == NEVER {
        return stamp;
    }
    let by = rng.random_range(1..=6);
    if rng.random_bool(0.5) { stamp + by } else { stamp.saturating_sub(by) }
}

fn change_outcome(operation: &mut Operation, rng: &mut ChaCha8Rng) {
    let outcomes = [Outcome::Ok, Outcome::Ok, Outcome::Fail, Outcome::Fail, Outcome::Info];
    operation.outcome = outcomes[rng.random_range(0..5)];
    if operation.outcome != Outcome::Info && operation.complete == NEVER {
        operation.complete = operation.invoke + rng.random_range(0..=10);
    }
}

fn change_argument(
    operation: &mut Operation,
    specification: Specification,
    value: Value,
    rng: &mut ChaCha8Rng,
) {
    let token = rng.random_range(0..6);
    operation.action = match operation.action {
        Action::Acquire(_) => Action::Acquire(token),
        Action::TryAcquire(_) => Action::TryAcquire(token),
        Action::GuardedRead(_) => Action::GuardedRead(token),
        Action::GuardedWrite(_) => Action::GuardedWrite(token),
        Action::Read(_) => Action::Read(value),
        Action::Write(_) => Action::Write(value),
        Action::Get(_) => Action::Get(value),
        Action::Put(_) => Action::Put(value),
        Action::Append(_) => Action::Append(value),
        _ => random_action(specification, rng),
    };
}

/// No operation ends before it begins, what ended has an end, and a read has an answer.
fn repair_ends(operations: &mut Vec<Operation>) {
    for operation in operations.iter_mut() {
        let (first, last) = (operation.invoke, operation.complete);
        (operation.invoke, operation.complete) = (first.min(last), first.max(last));
        match operation.outcome {
            Outcome::Info => operation.complete = NEVER,
            _ if operation.complete == NEVER => operation.outcome = Outcome::Info,
            _ => {}
        }
    }
    operations.retain(|operation| {
        let is_read = matches!(operation.action, Action::Read(_) | Action::Get(_));
        operation.outcome != Outcome::Info || !is_read
    });
    operations.sort_by_key(|operation| operation.invoke);
}

/// A process has one operation at a time, but for those that it gave up: an operation of one that
/// is busy becomes another's.
fn repair_processes(operations: &mut Vec<Operation>) {
    let mut busy_until = [0; 6];
    operations.retain_mut(|operation| {
        let free = (0..6)
            .map(|next| (operation.process as usize + next) % 6)
            .find(|process| busy_until[*process] <= operation.invoke);
        let Some(process) = free else { return false };
        operation.process = process as Process;
        if operation.outcome != Outcome::Info {
            busy_until[process] = operation.complete;
        }
        true
    });
}
