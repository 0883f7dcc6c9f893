//! The registers of a run: their operations as the checker takes them.

use locktest_checker::{Action, NEVER, Operation, Outcome, Value, Values};
use locktest_history::{Detail, Event, Function, Phase};

/// What an operation tells of its register, if anything. What surely did not happen tells nothing,
/// unless it is a compare-and-set that found another value; nor does a read without an answer.
pub(crate) fn register_operation(
    invoke: &Event,
    completion: Option<&Event>,
    values: &mut Values,
) -> Option<Operation> {
    let Detail::Register { expected, value } = invoke.detail else { return None };
    let answer = completion.and_then(|event| match event.detail {
        Detail::Register { value, .. } => Some(value),
        _ => None,
    });
    let outcome = match completion.map(|event| event.phase) {
        Some(Phase::Ok) => Outcome::Ok,
        Some(Phase::Fail) if invoke.function == Function::Cas && answer.is_some() => Outcome::Fail,
        Some(Phase::Fail) => return None,
        _ => Outcome::Info,
    };
    let mut number = |value: Option<u64>| match value {
        Some(value) => values.number(&value.to_string()),
        None => Value::NIL,
    };
    let action = match (invoke.function, outcome, answer) {
        (Function::Read, Outcome::Ok, Some(read)) => Action::Read(number(read)),
        (Function::Write, _, _) => Action::Write(number(value)),
        (Function::Cas, _, _) => Action::Cas { expected: number(expected), new: number(value) },
        _ => return None,
    };
    let complete = match (outcome, completion) {
        (Outcome::Ok | Outcome::Fail, Some(event)) => event.time_ns,
        _ => NEVER,
    };
    Some(Operation { invoke: invoke.time_ns, complete, action, process: 0, outcome })
}
