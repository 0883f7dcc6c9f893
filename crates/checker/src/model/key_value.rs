//! One key of a store with get, put and append.

use super::prefix_tree::{Place, PrefixTree};
use super::{DependsOn, Model};
use crate::operation::{Action, Operation, Value};
use crate::values::Values;

/// A text, empty at first.
///
/// Of the text no more is remembered than what a get of the history can tell: its place in the
/// tree of all texts that were got, or that it has left the tree. Then no get can be answered, and
/// no append brings it back; only a put does.
#[derive(Clone, Debug, Default)]
pub struct KeyValue {
    /// The texts of the gets.
    tree: PrefixTree,
    /// By the number of the value: its text and the place of that text in the tree.
    values: Vec<Option<(Box<str>, Option<Place>)>>,
}

impl KeyValue {
    /// The model for these operations, whose values are in `values`.
    pub fn new(operations: &[Operation], values: &Values) -> KeyValue {
        let got = operations.iter().filter_map(|operation| match operation.action {
            Action::Get(value) => values.text(value),
            _ => None,
        });
        let mut model = KeyValue { tree: PrefixTree::new(got), values: Vec::new() };
        for operation in operations {
            if let Action::Get(value) | Action::Put(value) | Action::Append(value) =
                operation.action
                && let Some(text) = values.text(value)
            {
                let number = value.0 as usize;
                if model.values.len() <= number {
                    model.values.resize(number + 1, None);
                }
                if model.values[number].is_none() {
                    let place = model.tree.extend(PrefixTree::ROOT, text);
                    model.values[number] = Some((text.into(), place));
                }
            }
        }
        model
    }

    fn value(&self, value: Value) -> Option<&(Box<str>, Option<Place>)> {
        self.values.get(value.0 as usize)?.as_ref()
    }
}

impl Model for KeyValue {
    /// Where in the tree the text is; `None` if it has left the tree.
    type State = Option<Place>;

    fn initial(&self) -> Option<Place> {
        Some(PrefixTree::ROOT)
    }

    fn step(&self, place: &Option<Place>, operation: &Operation) -> Option<Option<Place>> {
        match operation.action {
            Action::Get(value) => {
                let (_, got) = self.value(value)?;
                (place.is_some() && place == got).then_some(*place)
            }
            Action::Put(value) => Some(self.value(value)?.1),
            Action::Append(value) => {
                let (text, _) = self.value(value)?;
                Some(place.and_then(|place| self.tree.extend(place, text)))
            }
            _ => None,
        }
    }

    fn is_read_only(&self, operation: &Operation) -> bool {
        matches!(operation.action, Action::Get(_))
    }

    fn knows(&self, action: Action) -> bool {
        matches!(action, Action::Get(_) | Action::Put(_) | Action::Append(_))
    }

    fn effect_depends_on(&self) -> DependsOn {
        DependsOn::Action
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, knows_only};
    use super::*;
    use crate::operation::Outcome::*;
    use Action::*;

    /// The model of a history with gets of these texts and puts and appends of those.
    fn model(got: &[&str], written: &[&str], values: &mut Values) -> KeyValue {
        let mut operations = Vec::new();
        for text in got {
            operations.push(Get(values.number(text)));
        }
        for text in written {
            operations.push(Put(values.number(text)));
        }
        let operation =
            |action| Operation { invoke: 0, complete: 1, action, process: 0, outcome: Ok };
        let operations: Vec<Operation> = operations.into_iter().map(operation).collect();
        KeyValue::new(&operations, values)
    }

    #[test]
    fn a_get_is_answered_with_the_last_put_and_all_appends_since() {
        let mut values = Values::default();
        let got = ["", "a", "ab", "abc", "b", "bab"];
        let model = model(&got, &["a", "b", "c", "ab"], &mut values);
        let mut value = |text| values.number(text);
        check(
            &model,
            &[
                (0, Get(value("")), Ok, true),
                (0, Append(value("a")), Ok, true),
                (0, Get(value("a")), Ok, true),
                (0, Get(value("ab")), Ok, false),
                (0, Append(value("b")), Info, true),
                (0, Get(value("ab")), Ok, true),
                (0, Put(value("ab")), Ok, true),
                (0, Append(value("c")), Ok, true),
                (0, Get(value("abc")), Ok, true),
                (0, Put(value("b")), Ok, true),
                (0, Get(value("b")), Ok, true),
                (0, Append(value("ab")), Ok, true),
                (0, Get(value("bab")), Ok, true),
                (0, Append(value("a")), Ok, true),
                (0, Get(value("bab")), Ok, false),
                (0, Put(value("")), Ok, true),
                (0, Get(value("")), Ok, true),
            ],
        );
        knows_only(&model, &[Get(Value::NIL), Put(Value::NIL), Append(Value::NIL)]);
    }

    #[test]
    fn a_text_that_nobody_gets_is_forgotten() {
        let mut values = Values::default();
        let model = model(&["ab"], &["a", "b", "c"], &mut values);
        let mut put = |text| Operation {
            invoke: 0,
            complete: 1,
            action: Put(values.number(text)),
            process: 0,
            outcome: Ok,
        };
        let (a, b, c) = (put("a"), put("b"), put("c"));
        let after = |operation| model.step(&model.initial(), operation);
        assert_eq!(after(&b), after(&c));
        assert_ne!(after(&a), after(&b));
    }

    #[test]
    fn a_value_without_a_text_is_never_legal() {
        check(
            &KeyValue::default(),
            &[(0, Get(Value(9)), Ok, false), (0, Put(Value(9)), Ok, false)],
        );
    }
}
