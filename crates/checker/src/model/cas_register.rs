//! A register with read, write and compare-and-set.

use std::collections::HashMap;

use super::{DependsOn, Model, Needs, Passage};
use crate::operation::{Action, Operation, Outcome, Value};

/// One value, [`Value::NIL`] at first.
#[derive(Clone, Copy, Debug)]
pub struct CasRegister;

impl Model for CasRegister {
    /// What it holds.
    type State = Value;

    fn initial(&self) -> Value {
        Value::NIL
    }

    fn step(&self, value: &Value, operation: &Operation) -> Option<Value> {
        match (operation.action, operation.outcome) {
            (Action::Read(read), _) => (read == *value).then_some(read),
            (Action::Write(written), _) => Some(written),
            (Action::Cas { expected, .. }, Outcome::Fail) => (expected != *value).then_some(*value),
            (Action::Cas { expected, new }, _) => (expected == *value).then_some(new),
            _ => None,
        }
    }

    fn is_read_only(&self, operation: &Operation) -> bool {
        match operation.action {
            Action::Read(_) => true,
            Action::Cas { expected, new } => operation.outcome == Outcome::Fail || expected == new,
            _ => false,
        }
    }

    fn knows(&self, action: Action) -> bool {
        matches!(action, Action::Read(_) | Action::Write(_) | Action::Cas { .. })
    }

    fn effect_depends_on(&self) -> DependsOn {
        DependsOn::Action
    }

    fn passage(&self, operation: &Operation) -> Option<Passage<Value>> {
        let needs = match (operation.action, operation.outcome) {
            (Action::Write(_), _) => Needs::Anything,
            (Action::Cas { expected, .. }, Outcome::Fail) => Needs::AnythingBut(expected),
            (Action::Read(value) | Action::Cas { expected: value, .. }, _) => Needs::Only(value),
            _ => return None,
        };
        let leads_to = match operation.action {
            Action::Write(new) | Action::Cas { new, .. } if !self.is_read_only(operation) => {
                Some(new)
            }
            _ => None,
        };
        Some(Passage { needs, leads_to })
    }

    /// Of the values that nobody reads and no compare-and-set expects, answered or not, one stands
    /// for all: every operation does in each of them what it does in any other. A refused
    /// compare-and-set tells its value from others, and so does one of unknown outcome.
    fn simplify(&self, operations: &mut [Operation]) {
        let asked_for = |operation: &Operation| match operation.action {
            Action::Read(value) | Action::Cas { expected: value, .. } => Some(value),
            _ => None,
        };
        let mut told_apart: Vec<Value> = operations.iter().filter_map(asked_for).collect();
        told_apart.push(Value::NIL);
        told_apart.sort_unstable();
        let mut stand_in = None;
        for operation in operations {
            if let Action::Write(value) | Action::Cas { new: value, .. } = &mut operation.action
                && told_apart.binary_search(value).is_err()
            {
                *value = *stand_in.get_or_insert(*value);
            }
        }
    }

    /// The first completion by which it is clear that somebody saw what nobody wrote. Usually that
    /// is the completion of the read; but a write that fails later may explain it until then.
    fn plainly_bad(&self, operations: &[Operation]) -> Option<usize> {
        // Of all that saw one value, the first to complete has the fewest writes to explain it. By
        // value: that one, and the last completion that is needed to see that nothing does.
        let mut seen: HashMap<Value, (usize, usize)> = HashMap::new();
        for (number, operation) in operations.iter().enumerate() {
            let (Action::Read(value) | Action::Cas { expected: value, .. }) = operation.action
            else {
                continue;
            };
            if operation.outcome == Outcome::Ok && value != Value::NIL {
                let first = seen.entry(value).or_insert((number, number));
                if operation.complete < operations[first.0].complete {
                    *first = (number, number);
                }
            }
        }
        for (number, operation) in operations.iter().enumerate() {
            let value = match operation.action {
                Action::Write(written) => written,
                // One that writes what it expects brings nothing new.
                Action::Cas { expected, new } if expected != new => new,
                _ => continue,
            };
            let Some((first, last)) = seen.get_mut(&value) else { continue };
            if operation.invoke > operations[*first].complete {
                continue;
            }
            if operation.outcome != Outcome::Fail {
                seen.remove(&value);
            } else if operation.complete > operations[*last].complete {
                *last = number;
            }
        }
        let completions = seen.into_values().map(|(_, last)| last);
        completions.min_by_key(|number| (operations[*number].complete, *number))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, knows_only};
    use super::*;
    use Action::*;
    use Outcome::*;

    use crate::operation::NEVER;

    const NIL: Value = Value::NIL;
    const ONE: Value = Value(1);
    const TWO: Value = Value(2);

    #[test]
    fn a_cas_writes_if_the_register_holds_what_it_expects_and_fails_otherwise() {
        check(
            &CasRegister,
            &[
                (0, Read(NIL), Ok, true),
                (0, Read(ONE), Ok, false),
                (0, Cas { expected: ONE, new: TWO }, Fail, true),
                (0, Write(ONE), Ok, true),
                (0, Cas { expected: ONE, new: TWO }, Fail, false),
                (0, Cas { expected: ONE, new: ONE }, Ok, true),
                (0, Cas { expected: ONE, new: TWO }, Ok, true),
                (0, Cas { expected: ONE, new: TWO }, Info, false),
                (0, Read(TWO), Ok, true),
                (0, Write(NIL), Info, true),
                (0, Read(NIL), Ok, true),
            ],
        );
        let cas = Cas { expected: NIL, new: NIL };
        knows_only(&CasRegister, &[Read(NIL), Write(NIL), cas]);
    }

    #[test]
    fn what_nobody_wrote_before_it_was_seen_is_plainly_bad() {
        let plainly_bad = |lines: &[(u64, u64, Action, Outcome)]| {
            let operation = |&(invoke, complete, action, outcome)| Operation {
                invoke,
                complete,
                action,
                process: 0,
                outcome,
            };
            let operations: Vec<Operation> = lines.iter().map(operation).collect();
            CasRegister.plainly_bad(&operations)
        };
        let swap = |expected, new| Cas { expected, new };
        let read = (5, 9, Read(ONE), Ok);
        assert_eq!(plainly_bad(&[read]), Some(0));
        assert_eq!(plainly_bad(&[(5, 9, swap(ONE, TWO), Ok)]), Some(0));
        assert_eq!(plainly_bad(&[(5, 9, swap(ONE, ONE), Ok)]), Some(0));
        assert_eq!(plainly_bad(&[(5, 9, Read(NIL), Ok)]), None);
        assert_eq!(plainly_bad(&[(5, 9, swap(ONE, TWO), Fail)]), None);
        assert_eq!(plainly_bad(&[(5, NEVER, swap(ONE, TWO), Info)]), None);
        for writes in [Write(ONE), swap(NIL, ONE)] {
            assert_eq!(plainly_bad(&[read, (9, 20, writes, Ok)]), None);
            assert_eq!(plainly_bad(&[(9, NEVER, writes, Info), read]), None);
            assert_eq!(plainly_bad(&[read, (10, 20, writes, Ok)]), Some(0));
            assert_eq!(plainly_bad(&[read, (9, 20, writes, Fail)]), Some(1), "not before it fails");
            assert_eq!(plainly_bad(&[read, (1, 8, writes, Fail)]), Some(0));
            assert_eq!(plainly_bad(&[read, (10, 20, writes, Fail)]), Some(0));
            assert_eq!(plainly_bad(&[(9, 20, writes, Fail), read, (1, 2, writes, Ok)]), None);
        }
        let later = (6, 10, Read(ONE), Ok);
        assert_eq!(plainly_bad(&[later, read, (10, 20, Write(ONE), Ok)]), Some(1));
        assert_eq!(plainly_bad(&[later, (1, 7, Read(TWO), Ok)]), Some(1), "the first of both");
    }
}
