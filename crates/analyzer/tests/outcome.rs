//! The rows, the whole run, the warnings, and the shape of verdict.json.

mod common;

use common::*;
use locktest_analyzer::{PropertyOutcome, RunOutcome, Verdict, Warning};
use locktest_history::{Detail, ExitCause, Function, Milestone, Phase, Resource};

/// Orderly handovers between two clients, each of which waits for the other.
fn contended(s: &mut Story, handovers: u64) {
    for n in 0..handovers {
        let at = n * 100;
        s.held(1 + (n % 2) as u32, at.max(50) - 50..at + 10, at + 90..at + 95, n + 1);
    }
}

#[test]
fn a_contended_run_without_faults_holds_and_says_what_it_did_not_test() {
    let mut s = Story::new();
    s.probes(0..5, 0..5000, true);
    contended(&mut s, 20);
    let verdict = s.end(5000);
    assert_eq!(verdict.outcome, RunOutcome::Held);
    assert_eq!(
        verdict.summary,
        "no violation found in 20 acquires, 19 contended, 0 faults that bit"
    );
    assert_eq!(verdict.properties.deadlock_free.outcome, PropertyOutcome::Held);
    let why = &verdict.properties.deadlock_free.why;
    assert!(why.contains("no holder vanished"), "{why}");
    assert_eq!(verdict.properties.fault_tolerance.outcome, PropertyOutcome::NotTested);
    assert_eq!(verdict.properties.fencing.outcome, PropertyOutcome::Held);
    assert_eq!(verdict.warnings, []);
    assert!(verdict.not_tested.contains(&"fault tolerance: no fault was injected".to_owned()));
    assert_eq!(verdict.longest_gap_ms, Some(60.0));
}

#[test]
fn a_client_alone_tests_no_deadlock() {
    let mut s = Story::new();
    s.held(1, 0..10, 90..95, 1);
    let verdict = s.end(100);
    assert_eq!(verdict.properties.deadlock_free.outcome, PropertyOutcome::NotTested);
    assert_eq!(verdict.properties.fencing.outcome, PropertyOutcome::NotTested);
    assert_eq!(verdict.outcome, RunOutcome::Held);
}

#[test]
fn without_any_grant_nothing_is_decided() {
    let mut s = Story::new();
    s.unknown(1, 0..10);
    let verdict = s.end(100);
    assert_eq!(verdict.outcome, RunOutcome::Undecided);
    assert_eq!(verdict.summary, "no acquire was granted");
    assert_eq!(verdict.longest_gap_ms, Some(10.0));
    assert!(verdict.warnings.contains(&Warning::ManyUnknown { unknown: 1, acquires: 1 }));
}

#[test]
fn acquires_that_the_end_of_the_run_cut_off_are_not_held_against_it() {
    for (time_up, expected) in [(2500, 0), (2501, 4)] {
        let mut s = Story::new();
        contended(&mut s, 20);
        for client in [1, 2, 3, 1] {
            s.unknown(client, 2100..2500);
        }
        s.milestone(time_up, Milestone::TimeUp);
        let warnings = s.end(5000).warnings;
        let unknown = warnings.iter().map(|warning| match warning {
            Warning::ManyUnknown { unknown, .. } => *unknown,
            other => panic!("{other:?}"),
        });
        assert_eq!(unknown.sum::<u64>(), expected, "time up at {time_up} ms");
    }
}

#[test]
fn little_contention_is_worded_by_what_is_little() {
    let words =
        |contended, acquires_ok| Warning::LittleContention { contended, acquires_ok }.to_string();
    assert!(words(7, 8).starts_with("only 7 acquires had to wait for another holder; "));
    assert!(words(1, 8).starts_with("only 1 acquire had to wait for another holder; "));
    assert!(words(30, 301).starts_with("only 30 of 301 acquires had to wait; "));
}

#[test]
fn a_violation_is_not_hidden_by_what_is_undecided() {
    let mut s = Story::new();
    let (a, _) = s.asks(1, 0);
    s.renew(a, 10..20);
    s.renew_refused(a, 30..40);
    let verdict = s.end(100);
    assert_eq!(verdict.outcome, RunOutcome::Violated);
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
    assert_eq!(verdict.properties.deadlock_free.outcome, PropertyOutcome::Undecided);
}

#[test]
fn a_history_without_records_is_undecided() {
    let mut s = Story::new();
    s.history.records.clear();
    let verdict = s.cut();
    assert_eq!(verdict.outcome, RunOutcome::Undecided);
    assert_eq!((verdict.end_ns, verdict.longest_gap_ms), (0, None));
}

#[test]
fn events_that_contradict_the_rules_are_left_out_and_leave_the_run_undecided() {
    let mut s = Story::new();
    contended(&mut s, 20);
    let stray = s.owner(3);
    s.event(stray, 700, 40, Function::Renew, Phase::Ok, Detail::None);
    s.event(stray, 701, 50, Function::Validate, Phase::Invoke, Detail::None);
    s.event(stray, 702, 60, Function::Lost, Phase::Info, Detail::None);
    let verdict = s.end(5000);
    assert_eq!(found(&verdict), nothing());
    let [Warning::Malformed { records, first }] = &verdict.warnings[..] else {
        panic!("{:?}", verdict.warnings);
    };
    assert_eq!(*records, 3);
    assert!(first.contains("c3's operation 700"), "{first}");
    assert_eq!(verdict.outcome, RunOutcome::Undecided);
    for property in [&verdict.properties.safety, &verdict.properties.fencing] {
        assert_eq!(property.outcome, PropertyOutcome::Undecided);
        let why =
            "3 records left out for contradicting the rest of the history: c3's operation 700";
        assert!(property.why.starts_with(why), "{}", property.why);
    }
    assert_eq!(verdict.summary, verdict.properties.safety.why);
}

#[test]
fn a_single_contradiction_keeps_an_overrun_from_being_called_harmless() {
    for contradicts in [false, true] {
        let mut s = Story::new();
        let a = s.granted(1, 0..10);
        s.granted(2, 1100..1110);
        s.release(a, 1200..1210);
        if contradicts {
            s.event(a, 700, 1300, Function::Renew, Phase::Ok, Detail::None);
        }
        let verdict = s.end(5000);
        let (safety, run) = match contradicts {
            false => (PropertyOutcome::NeedsFencing, RunOutcome::Held),
            true => (PropertyOutcome::Undecided, RunOutcome::Undecided),
        };
        assert_eq!((verdict.properties.safety.outcome, verdict.outcome), (safety, run));
    }
}

#[test]
fn a_violation_stands_although_records_contradict_each_other() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    s.granted(2, 20..30);
    s.event(a, 700, 40, Function::Renew, Phase::Ok, Detail::None);
    let verdict = s.end(5000);
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
    assert_eq!(verdict.outcome, RunOutcome::Violated);
}

#[test]
fn an_answer_of_the_resource_is_no_word_of_its_client() {
    let story = |heard: bool| {
        let mut s = Story::new();
        let a = s.granted(1, 0..10);
        s.read(a, 50..500, Resource::Fenced, 1, 0);
        if heard {
            s.renew(a, 490..500);
        }
        s.granted(2, 100..400);
        s.killed(2, 600);
        s
    };
    // The records of client 1 break off: it may have released after its read began.
    assert_eq!(found(&story(false).cut()), nothing());
    assert_eq!(found(&story(true).cut()), ["double-grant x1"]);
}

#[test]
fn the_end_of_a_run_is_no_end_of_a_client() {
    for exits in [false, true] {
        let mut s = Story::new();
        s.granted(1, 0..10);
        s.granted(2, 100..400);
        if exits {
            s.exit(1, 600, ExitCause::Finished);
        }
        s.exit(2, 600, ExitCause::Finished);
        s.milestone(600, Milestone::End);
        let expected = if exits { vec!["double-grant x1".to_owned()] } else { nothing() };
        assert_eq!(found(&s.cut()), expected);
    }
}

#[test]
fn damage_is_passed_on() {
    let mut s = Story::new();
    contended(&mut s, 20);
    s.history.damage.push("the block at byte 90 is cut short".into());
    let verdict = s.end(5000);
    let what = "the block at byte 90 is cut short".to_owned();
    assert_eq!(verdict.warnings, [Warning::Interrupted, Warning::Damaged { what }]);
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let mut s = Story::new();
    s.probes(0..5, 0..5000, true);
    contended(&mut s, 20);
    let a = s.granted(3, 300..333);
    s.release(a, 340..345);
    let forward = s.end(5000);
    s.history.records.reverse();
    assert_eq!(s.cut(), forward);
    assert!(!forward.violations.is_empty());
}

#[test]
fn a_verdict_survives_json() {
    let mut s = Story::new();
    contended(&mut s, 3);
    s.granted(3, 100..105);
    let verdict = s.end(5000);
    let json = serde_json::to_value(&verdict).expect("a verdict is JSON");
    assert_eq!(json["outcome"], "violated");
    assert_eq!(json["violation_counts"]["double-grant"], 2);
    assert_eq!(json["violations"][0]["class"], "double-grant");
    assert!(json["latency"]["acquire"]["fault"]["p90_ms"].is_null());
    let back: Verdict = serde_json::from_value(json).expect("its own JSON");
    assert_eq!(back, verdict);
}
