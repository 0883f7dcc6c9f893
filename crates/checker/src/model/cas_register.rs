//! A register with read, write and compare-and-set.

use super::{DependsOn, Model};
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
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, knows_only};
    use super::*;
    use Action::*;
    use Outcome::*;

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
}
