use locktest_checker::{
    Action, Checked, Conflict, Counterexample, Hold, Involved, NEVER, Operation, Undecided,
};

use super::*;
use crate::Style;
use crate::testing::on_terminals;

const PLAIN: Style = Style { width: 100, colour: false };

fn involved(index: u64, process: u32, action: Action, invoke: u64, complete: u64) -> Involved {
    let outcome = if complete == NEVER {
        locktest_checker::Outcome::Info
    } else {
        locktest_checker::Outcome::Ok
    };
    Involved { index, operation: Operation { invoke, complete, action, process, outcome } }
}

fn violated(at: u64, conflict: Conflict) -> Checked {
    Checked {
        decision: Decision::NotLinearizable(Counterexample { at, shortest: true, conflict }),
        algorithm: Algorithm::Decider,
    }
}

fn overlap() -> Checked {
    let first = Hold {
        acquire: involved(0, 0, Action::Acquire(0), 1, 2),
        release: Some(involved(2, 0, Action::Release, 9, 10)),
    };
    let second = Hold { acquire: involved(1, 4, Action::Acquire(7), 3, 5), release: None };
    violated(5, Conflict::Overlap(vec![first, second]))
}

fn report(decisions: &[(&str, Checked)], specification: &str) -> CheckReport {
    let mut values = Values::default();
    values.number("a long\u{1b} value");
    let subject = Subject {
        file: "history.txt",
        format: "events",
        specification: specification.parse().expect("a model"),
        stamps: Stamps::Line,
        values: Some(&values),
        process: &|process| format!("p{process}"),
        operations: 12,
        unknown: 1,
        skipped: 0,
        first_skipped: &[],
        verified: None,
        elapsed_ms: 0.25,
    };
    CheckReport::new(&subject, decisions.iter().map(|(key, checked)| (*key, checked)))
}

fn snapshot(name: &str, report: &CheckReport) {
    for (name, text) in on_terminals(name, |style| render_check(report, style)) {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn two_holds_that_overlap_are_told_with_their_lines() {
    let report = report(&[("", overlap())], "owner-mutex");
    snapshot("overlap", &report);
}

#[test]
fn a_violation_outranks_what_is_undecided_and_names_its_key() {
    let undecided = Checked {
        decision: Decision::Undecided(Undecided {
            why: Exhausted::Time,
            decided_until: 40,
            suspected: true,
        }),
        algorithm: Algorithm::Search { because: Some("a process acquired twice".into()) },
    };
    let report = report(&[("a", undecided), ("b", overlap())], "owner-mutex");
    assert_eq!(report.outcome, CheckOutcome::Violated);
    snapshot("two_keys", &report);
}

#[test]
fn a_search_tells_what_was_open_and_shows_values_harmlessly() {
    let stuck = involved(3, 1, Action::Read(locktest_checker::Value(1)), 7, 8);
    let write = involved(2, 2, Action::Write(locktest_checker::Value::NIL), 6, NEVER);
    let checked = Checked {
        decision: Decision::NotLinearizable(Counterexample {
            at: 8,
            shortest: true,
            conflict: Conflict::NoOrder { stuck, open: vec![write, stuck] },
        }),
        algorithm: Algorithm::Search { because: None },
    };
    let report = report(&[("x", checked)], "cas-register");
    assert_eq!(report.shown[0].operations.len(), 2);
    snapshot("search", &report);
}

#[test]
fn long_names_and_late_stamps_hang_in_their_columns() {
    let mut report = report(&[("x", overlap())], "owner-mutex");
    report.stamps = Stamps::Nanosecond;
    report.skipped = 3;
    report.first_skipped = vec!["a record of which nobody knows what it is ".repeat(4)];
    for object in &mut report.shown {
        object.key = "a key with a name that is longer than there is room for ".repeat(2);
        object.violated_at = Some(u64::MAX);
        for operation in &mut object.operations {
            operation.process = "the process of a tool that names them at length".into();
            operation.action = "an action with a value that is long as well, and on it goes".into();
            operation.complete = Some(u64::MAX);
        }
    }
    snapshot("long", &report);
}

#[test]
fn a_contradiction_that_may_not_be_the_first_is_not_called_so() {
    let mut checked = overlap();
    if let Decision::NotLinearizable(counterexample) = &mut checked.decision {
        counterexample.shortest = false;
    }
    let text = render_check(&report(&[("", checked)], "owner-mutex"), PLAIN);
    assert!(text.contains("\n contradiction by line 5\n"), "{text}");
}

#[test]
fn at_most_a_handful_of_objects_is_described_and_the_rest_counted() {
    let decisions: Vec<(&str, Checked)> = (0..9).map(|_| ("k", overlap())).collect();
    let report = report(&decisions, "owner-mutex");
    assert_eq!((report.shown.len(), report.violated), (5, 9));
    assert!(render_check(&report, PLAIN).contains("in all, 9 objects not linearizable"));
}

#[test]
fn the_json_names_outcomes_in_snake_case_and_stamps_by_their_unit() {
    let json = report(&[("", overlap())], "owner-mutex").to_json();
    assert!(json.contains(r#""outcome": "violated""#) && json.contains(r#""stamps": "line""#));
    assert!(json.ends_with("}\n"));
}
