//! Runs that something outside disturbed: what is missing afterwards is not the store's fault.

mod common;

use common::*;
use locktest_analyzer::{PropertyOutcome, RunOutcome, Verdict, Warning};
use locktest_history::{ExitCause, Milestone};

fn disturbances(verdict: &Verdict) -> Vec<&str> {
    let told = verdict.warnings.iter().filter_map(|warning| match warning {
        Warning::Disturbed { what } => Some(what.as_str()),
        _ => None,
    });
    told.collect()
}

/// c1 gives the lock up at 100, and c2 waits for it from 50 on in vain. c3 ends at `death`.
fn deadlock(cause: ExitCause, death: u64) -> Story {
    let mut s = Story::new();
    s.probes(0..5, 0..10_000, true);
    s.held(1, 0..10, 90..100, 1);
    s.asks(2, 50);
    s.exit(3, death, cause);
    s
}

/// No probe is answered after 200. c3 is killed at `death`.
fn outage(death: u64) -> Story {
    let mut s = Story::new();
    s.probes(0..5, 0..200, true);
    s.probes(0..5, 200..9000, false);
    s.held(1, 0..10, 90..100, 1);
    s.killed(3, death);
    s
}

#[test]
fn no_deadlock_is_claimed_after_a_client_died_before_its_time() {
    let alarm = 100 + BOUND_MS;
    for cause in [ExitCause::Killed(9), ExitCause::Failed(1)] {
        let verdict = deadlock(cause.clone(), alarm + 1).end(9000);
        assert_eq!(found(&verdict), ["deadlock x1"], "{cause:?} after it");
        assert_eq!(verdict.properties.deadlock_free.outcome, PropertyOutcome::Violated);
        assert_eq!(disturbances(&verdict).len(), 1);

        let verdict = deadlock(cause.clone(), alarm).end(9000);
        assert_eq!(found(&verdict), nothing(), "{cause:?} before it");
        let deadlock_free = &verdict.properties.deadlock_free;
        assert_eq!(deadlock_free.outcome, PropertyOutcome::Undecided);
        assert!(deadlock_free.why.starts_with("client c3 "), "{}", deadlock_free.why);
        assert_eq!(verdict.outcome, RunOutcome::Undecided);
    }
    let verdict = deadlock(ExitCause::Finished, 200).end(9000);
    assert_eq!(found(&verdict), ["deadlock x1"], "a client that ended in order");
    assert_eq!(disturbances(&verdict), Vec::<&str>::new());
}

#[test]
fn no_outage_is_claimed_after_a_client_died_before_its_time() {
    let alarm = 200 + BOUND_MS;
    let verdict = outage(alarm + 1).end(9000);
    assert_eq!(found(&verdict), ["unavailable x1"]);
    assert_eq!(verdict.properties.fault_tolerance.outcome, PropertyOutcome::Violated);
    let verdict = outage(alarm).end(9000);
    assert_eq!(found(&verdict), nothing());
    let tolerance = &verdict.properties.fault_tolerance;
    assert_eq!(tolerance.outcome, PropertyOutcome::Undecided);
    assert!(tolerance.why.contains("c3 was killed by signal 9 at 3.200 s"), "{}", tolerance.why);
}

#[test]
fn the_first_death_is_named_with_its_cause() {
    let mut s = deadlock(ExitCause::Failed(70), 2500);
    s.killed(2, 2480);
    let verdict = s.end(9000);
    assert_eq!(
        disturbances(&verdict),
        ["client c2 was killed by signal 9 at 2.480 s, which no fault explains"]
    );
    let mut s = deadlock(ExitCause::Failed(70), 2500);
    assert_eq!(
        disturbances(&s.end(9000)),
        ["client c3 ended with exit code 70 at 2.500 s, which no fault explains"]
    );
}

#[test]
fn a_client_that_dies_once_the_run_is_over_disturbs_nothing() {
    for over in [Milestone::TimeUp, Milestone::Interrupted] {
        for (at, expected) in [(2000, vec!["deadlock x1"]), (2001, vec![])] {
            let mut s = deadlock(ExitCause::Killed(9), 2000);
            s.milestone(at, over);
            let verdict = s.end(9000);
            assert_eq!(found(&verdict), expected, "{over:?} at {at} ms");
            assert_eq!(disturbances(&verdict).is_empty(), !expected.is_empty());
        }
    }
}

#[test]
fn a_disturbance_excuses_no_double_grant() {
    let mut s = Story::new();
    s.killed(3, 1);
    let a = s.granted(1, 5..10);
    let b = s.granted(2, 5..20);
    s.release(b, 30..35);
    s.release(a, 40..45);
    let verdict = s.end(100);
    assert_eq!(found(&verdict), ["double-grant x1"]);
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
    assert_eq!(verdict.outcome, RunOutcome::Violated);
}
