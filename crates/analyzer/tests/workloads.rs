//! What is particular to the workloads crash, try, cancel and different-keys.

mod common;

use common::*;
use locktest_analyzer::{PropertyOutcome, RunOutcome, Warning};
use locktest_history::{ClientExit, ClientId, Detail, ExitCause, Function, Milestone, Phase};
use locktest_history::{Record, Workload};

/// c1 dies at 100 while it holds; c2 waits from 50 on and is granted the lock `wait` ms later. The
/// dead client's place is taken by c4.
fn crash(workload: Workload, cause: ExitCause, wait: u64) -> Story {
    let mut s = Story::new();
    s.plan().workload = workload;
    s.probes(0..5, 0..10_000, true);
    s.granted(1, 0..10);
    s.exit(1, 100, cause);
    let b = s.granted_with(2, 50..100 + wait, lease(90 + wait, TTL_MS, None));
    s.release(b, 110 + wait..115 + wait);
    s.held(4, 120 + wait..200 + wait, 210 + wait..215 + wait, 9);
    let finished =
        ClientExit { time_ns: 9500 * MS, client: ClientId(3), cause: ExitCause::Finished };
    s.record(Record::ClientExit(finished));
    s.milestone(9000, Milestone::TimeUp);
    s
}

#[test]
fn a_client_that_the_workload_killed_disturbs_nothing() {
    for (workload, cause, undisturbed) in [
        (Workload::Crash, ExitCause::Killed(9), true),
        (Workload::Crash, ExitCause::Killed(11), false),
        (Workload::Crash, ExitCause::Failed(70), false),
        (Workload::Mutex, ExitCause::Killed(9), false),
    ] {
        let verdict = crash(workload, cause.clone(), 1500).end(10_000);
        assert_eq!(found(&verdict), nothing());
        let disturbed = verdict.warnings.iter().any(|w| matches!(w, Warning::Disturbed { .. }));
        assert_eq!(disturbed, !undisturbed, "{workload}, {cause:?}");
        let outcome = verdict.properties.deadlock_free.outcome;
        let expected = if undisturbed { PropertyOutcome::Held } else { PropertyOutcome::Undecided };
        assert_eq!(outcome, expected, "{workload}, {cause:?}");
    }
}

#[test]
fn the_row_tells_how_many_vanished_how_long_it_took_and_the_bound() {
    let verdict = crash(Workload::Crash, ExitCause::Killed(9), 1500).end(10_000);
    assert_eq!(
        verdict.properties.deadlock_free.why,
        "1 holder vanished; a lock was granted again at the latest 1.500 s after its holder had vanished (bound 3.000 s, 1 measured), and 0.080 s after a release"
    );
    assert!(!verdict.not_tested.iter().any(|what| what.contains("vanishes")));
}

#[test]
fn a_killed_holder_whose_lock_stays_taken_is_a_deadlock() {
    for (wait, expected) in [(BOUND_MS, vec![]), (BOUND_MS + 1, vec!["deadlock x1"])] {
        let verdict = crash(Workload::Crash, ExitCause::Killed(9), wait).end(10_000);
        assert_eq!(found(&verdict), expected, "after {wait} ms");
    }
}

#[test]
fn a_lock_that_is_granted_while_a_dead_holders_lease_runs_is_a_double_grant() {
    let mut s = crash(Workload::Crash, ExitCause::Killed(9), 800);
    assert_eq!(found(&s.end(10_000)), ["double-grant x1"]);
}

#[test]
fn a_try_meets_a_holder_if_one_held_at_any_time_of_it() {
    // c1 holds from 10 to 90.
    for (tried, met) in [(0..10, 0), (0..11, 1), (89..100, 1), (90..100, 0), (20..30, 1)] {
        let mut s = Story::new();
        s.plan().workload = Workload::Try;
        let a = s.owner(1);
        s.operation(a, 0..10, Function::TryAcquire, Phase::Ok, lease(0, TTL_MS, None));
        s.release(a, 90..95);
        s.denied(2, tried.clone());
        let verdict = s.end(200);
        assert_eq!(verdict.counts.contended, met, "{tried:?}");
    }
}

#[test]
fn a_try_that_never_reached_the_store_met_nobody() {
    let mut s = Story::new();
    s.plan().workload = Workload::Try;
    let a = s.owner(1);
    s.operation(a, 0..10, Function::TryAcquire, Phase::Ok, lease(0, TTL_MS, None));
    let b = s.owner(2);
    s.operation(b, 20..30, Function::TryAcquire, Phase::Fail, not_asked());
    s.release(a, 90..95);
    assert_eq!(s.end(200).counts.contended, 0);
}

#[test]
fn attempts_that_do_not_wait_show_no_deadlock() {
    let mut s = Story::new();
    s.plan().workload = Workload::Try;
    s.probes(0..5, 0..9000, true);
    let a = s.owner(1);
    s.operation(a, 0..10, Function::TryAcquire, Phase::Ok, lease(0, TTL_MS, None));
    s.release(a, 90..95);
    for n in 0..80 {
        s.denied(2, 100 * n + 20..100 * n + 25);
    }
    let verdict = s.end(9000);
    assert_eq!(found(&verdict), nothing());
    assert_eq!(verdict.properties.deadlock_free.outcome, PropertyOutcome::NotTested);
    assert_eq!(verdict.outcome, RunOutcome::Held);
    // c1's lease may explain those of the first second and no more.
    assert_eq!(verdict.counts.spurious_denials, 79);
    assert_eq!(verdict.latency.try_acquire.expect("tries").quiet.n, 1);
    assert_eq!(verdict.latency.acquire.quiet.n, 0);
}

/// c2 gives up waiting nine times in ten.
fn cancelled(detail: &Detail) -> Story {
    let mut s = Story::new();
    s.plan().workload = Workload::Cancel;
    s.probes(0..5, 0..9000, true);
    for n in 0..20 {
        let at = 200 * n;
        s.held(1, at..at + 10, at + 150..at + 155, n + 1);
        let b = s.owner(2);
        s.operation(b, at + 20..at + 60, Function::Acquire, Phase::Info, detail.clone());
        s.release(b, at + 61..at + 65);
        s.held(3, at + 30..at + 160, at + 170..at + 175, 100 + n);
    }
    s
}

#[test]
fn a_wait_that_a_client_chose_to_end_is_no_unknown_of_the_services_making() {
    let unknown = |detail: &Detail| {
        let verdict = cancelled(detail).end(9000);
        assert_eq!(verdict.counts.acquires_unknown, 20);
        assert_ne!(verdict.outcome, RunOutcome::Undecided);
        let many = |warning: &Warning| matches!(warning, Warning::ManyUnknown { .. });
        (verdict.counts.acquires_cancelled, verdict.warnings.iter().any(many))
    };
    assert_eq!(unknown(&Detail::Cancelled), (20, false));
    assert_eq!(unknown(&Detail::Reason("timeout".into())), (0, true));
}

#[test]
fn clients_with_a_lock_of_their_own_each_need_not_meet() {
    for (workload, warned) in [(Workload::DifferentKeys, false), (Workload::Mutex, true)] {
        let mut s = Story::new();
        s.plan().workload = workload;
        s.probes(0..5, 0..9000, true);
        for n in 0..20 {
            s.held(1, 100 * n..100 * n + 10, 100 * n + 50..100 * n + 55, n + 1);
        }
        let verdict = s.end(9000);
        let little = |warning: &Warning| matches!(warning, Warning::LittleContention { .. });
        assert_eq!(verdict.warnings.iter().any(little), warned, "{workload}");
        assert_eq!(verdict.properties.deadlock_free.outcome, PropertyOutcome::NotTested);
        assert_eq!(verdict.outcome, RunOutcome::Held);
    }
}
