//! A register's operations as the checker takes them.

use locktest_checker::{Action, NEVER, Operation as Checked, Outcome as CheckedOutcome, Values};
use locktest_history::{Detail, Event, Function, Outcome, Phase};

use crate::operation::Operation;

/// What an answer says of the value that the register held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A read returned it.
    Value(Option<u64>),
    /// A compare-and-set found another one than it expected.
    Another,
    /// Nothing.
    Nothing,
}

/// What was asked for.
pub(super) fn asked<'h>(operation: &Operation<'h>) -> &'h Detail {
    &operation.invoke.detail
}

pub(super) fn found(operation: &Operation) -> Found {
    let Some(Event { phase, detail: Detail::Register { value, .. }, .. }) = operation.completion
    else {
        return Found::Nothing;
    };
    match (operation.invoke.function, phase) {
        (Function::Read, Phase::Ok) => Found::Value(*value),
        (Function::Cas, Phase::Fail) => Found::Another,
        _ => Found::Nothing,
    }
}

/// What it wrote or may have written; `None` if it wrote nothing.
pub(super) fn written(operation: &Operation) -> Option<Option<u64>> {
    match (operation.invoke.function, operation.outcome(), asked(operation)) {
        (_, Outcome::Fail, _) | (Function::Read, _, _) => None,
        (_, _, Detail::Register { value, .. }) => Some(*value),
        _ => None,
    }
}

/// The operations that tell something, and the index of each in `operations`. What surely did not
/// happen tells nothing, unless it is a compare-and-set that found another value; nor does a read
/// without an answer.
pub(super) fn checkable(
    operations: &[&Operation],
    values: &mut Values,
) -> (Vec<Checked>, Vec<usize>) {
    let mut number = |value: Option<u64>| match value {
        Some(value) => values.number(&value.to_string()),
        None => locktest_checker::Value::NIL,
    };
    let (mut checkable, mut indices) = (Vec::new(), Vec::new());
    for (index, operation) in operations.iter().enumerate() {
        let Detail::Register { expected, value } = asked(operation) else { continue };
        let action = match (operation.invoke.function, found(operation)) {
            (Function::Read, Found::Value(value)) => Action::Read(number(value)),
            (Function::Read, _) => continue,
            (Function::Cas, _) => Action::Cas { expected: number(*expected), new: number(*value) },
            _ => Action::Write(number(*value)),
        };
        let outcome = match (operation.outcome(), found(operation)) {
            (Outcome::Ok, _) => CheckedOutcome::Ok,
            (Outcome::Fail, Found::Another) => CheckedOutcome::Fail,
            (Outcome::Fail, _) => continue,
            (Outcome::Info, _) => CheckedOutcome::Info,
        };
        let complete = match outcome {
            CheckedOutcome::Info => NEVER,
            _ => operation.complete_ns().unwrap_or(NEVER),
        };
        let invoke = operation.invoke_ns();
        let process = operation.invoke.client.0;
        checkable.push(Checked { invoke, complete, action, process, outcome });
        indices.push(index);
    }
    (checkable, indices)
}
