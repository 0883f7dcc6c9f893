//! What differs between the plan of a run and that of its replay, or of any other.

use std::collections::BTreeSet;

use locktest_history::Plan;
use serde::Serialize;
use serde_json::{Map, Value};

/// What may differ: the faults, which now are fixed, and the machine and the program that run them.
const MAY_DIFFER: [&str; 3] = ["schedule", "kernel", "locktest_version"];

/// Each thing that was one way and now is another, in words.
pub fn differences(then: &Plan, now: &Plan) -> Vec<String> {
    differences_but_for(&MAY_DIFFER, then, now)
}

/// The same of two of anything, but for some of its fields.
pub fn differences_but_for<T: Serialize>(may_differ: &[&str], then: &T, now: &T) -> Vec<String> {
    let (then, now) = (fields(then), fields(now));
    let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let names = names.into_iter().filter(|name| !may_differ.contains(&name.as_str()));
    let differ = names.filter(|name| then.get(*name) != now.get(*name));
    differ.map(|name| in_words(name, then.get(name), now.get(name))).collect()
}

fn fields(of: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(of) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn in_words(name: &str, then: Option<&Value>, now: Option<&Value>) -> String {
    let is_short = |value: Option<&Value>| !value.is_some_and(|v| v.is_array() || v.is_object());
    let text = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
    match is_short(then) && is_short(now) {
        true => format!("{name} was {} and is {}", text(then), text(now)),
        false => format!("{name} is not what it was"),
    }
}

#[cfg(test)]
mod tests {
    use locktest_history::Backend;

    use super::*;

    #[test]
    fn a_plan_differs_from_another_in_what_was_asked_for() {
        let then = Plan::of(Backend::Consul);
        assert_eq!(differences(&then, &then), Vec::<String>::new());
        let now = Plan { hold_ms: 7, client_seeds: vec![1, 2], kernel: "k".into(), ..then.clone() };
        let expected = ["client_seeds is not what it was", "hold_ms was 50 and is 7"];
        assert_eq!(differences(&then, &now), expected);
    }
}
