//! Deadlock-freedom and fault tolerance: for each rule a history that it must reject and the nearest
//! that it must accept.

mod common;

use common::*;
use locktest_analyzer::{PropertyOutcome, RunOutcome, Verdict, Warning};
use locktest_history::{Detail, FaultKind, FixedFault, Function, Milestone, Phase, PlannedFault};

/// c1 gives the lock up at 100; c2 waits from 50 on and is granted it `wait` ms later, if ever.
fn free_key(wait: Option<u64>) -> Story {
    let mut s = Story::new();
    s.probes(0..5, 0..10_000, true);
    s.held(1, 0..10, 90..100, 1);
    match wait {
        Some(wait) => {
            s.granted_with(2, 50..100 + wait, lease(100 + wait, TTL_MS, None));
        }
        None => {
            s.asks(2, 50);
        }
    }
    s
}

#[test]
fn a_free_key_that_nobody_gets_is_deadlocked_once_the_bound_has_passed() {
    for (wait, expected) in [(BOUND_MS, vec![]), (BOUND_MS + 1, vec!["deadlock x1"])] {
        assert_eq!(found(&free_key(Some(wait)).end(9000)), expected, "after {wait} ms");
    }
    let verdict = free_key(None).end(9000);
    assert_eq!(found(&verdict), ["deadlock x1"]);
    assert_eq!(verdict.properties.deadlock_free.outcome, PropertyOutcome::Violated);
    let violation = &verdict.violations[0];
    assert_eq!(violation.time_ns, (100 + BOUND_MS) * MS);
    assert!(violation.why.contains("while c2 waited"), "{}", violation.why);
    assert!(violation.why.contains("c1 gave it up by 0.100 s"), "{}", violation.why);
}

#[test]
fn the_clock_does_not_run_while_nobody_asks() {
    let mut s = Story::new();
    s.probes(0..5, 0..10_000, true);
    s.held(1, 0..10, 90..100, 1);
    s.granted(2, 8000..8010);
    assert_eq!(found(&s.end(9000)), nothing());
}

#[test]
fn the_clock_does_not_run_while_somebody_holds() {
    let mut s = Story::new();
    s.probes(0..5, 0..10_000, true);
    let a = s.granted(1, 0..10);
    for n in 1..16 {
        s.renew(a, 500 * n..500 * n + 10);
    }
    s.granted(2, 50..8010);
    s.release(a, 8000..8010);
    assert_eq!(found(&s.end(9000)), nothing());
}

#[test]
fn a_holder_that_was_killed_has_the_bound_from_its_death() {
    for (wait, expected) in [(BOUND_MS, vec![]), (BOUND_MS + 1, vec!["deadlock x1"])] {
        let mut s = Story::new();
        s.probes(0..5, 0..10_000, true);
        s.granted(1, 0..10);
        // After that instant a death is no sign of trouble from outside.
        s.milestone(1999, Milestone::TimeUp);
        s.killed(1, 2000);
        s.granted(2, 50..2000 + wait);
        let verdict = s.end(9000);
        assert_eq!(found(&verdict), expected, "after {wait} ms");
        if wait == BOUND_MS {
            let why = verdict.properties.deadlock_free.why;
            assert!(why.starts_with("1 holder vanished; "), "{why}");
            assert!(
                why.contains("3.000 s after its holder had vanished (bound 3.000 s, 1 measured)"),
                "{why}"
            );
        }
    }
}

#[test]
fn a_release_of_unknown_outcome_has_the_bound_from_its_timeout() {
    for (wait, expected) in [(BOUND_MS, vec![]), (BOUND_MS + 1, vec!["deadlock x1"])] {
        let mut s = Story::new();
        s.probes(0..5, 0..10_000, true);
        let a = s.granted(1, 0..10);
        s.release_unknown(a, 90..1090);
        s.granted(2, 50..1090 + wait);
        assert_eq!(found(&s.end(9000)), expected, "after {wait} ms");
    }
}

#[test]
fn a_release_that_surely_did_not_happen_frees_nothing() {
    for (wait, expected) in [(BOUND_MS, vec![]), (BOUND_MS + 1, vec!["deadlock x1"])] {
        let mut s = Story::new();
        s.probes(0..5, 0..10_000, true);
        let a = s.granted(1, 0..10);
        s.event(a, 900, 90, Function::Release, Phase::Invoke, Detail::None);
        s.event(a, 900, 95, Function::Release, Phase::Fail, Detail::None);
        s.release_unknown(a, 96..1090);
        s.granted(2, 50..1090 + wait);
        let verdict = s.end(9000);
        assert_eq!(found(&verdict), expected, "after {wait} ms");
    }
}

#[test]
fn a_renewal_that_was_dropped_has_the_bound_from_its_timeout() {
    for (wait, expected) in [(BOUND_MS, vec![]), (BOUND_MS + 1, vec!["deadlock x1"])] {
        let mut s = Story::new();
        s.probes(0..5, 0..10_000, true);
        let a = s.granted(1, 0..10);
        s.event(a, 900, 1000, Function::Renew, Phase::Invoke, Detail::None);
        s.lost(a, 1010);
        s.granted(2, 50..1500 + wait);
        assert_eq!(found(&s.end(9000)), expected, "after {wait} ms");
    }
}

#[test]
fn an_acquire_of_unknown_outcome_that_was_never_revoked_has_the_bound_from_its_end() {
    for (wait, expected) in [(BOUND_MS, vec![]), (BOUND_MS + 1, vec!["deadlock x1"])] {
        let mut s = free_key(None);
        s.unknown(3, 60..1000);
        s.granted(1, 70..1000 + wait);
        assert_eq!(found(&s.end(9000)), expected, "after {wait} ms");
    }
}

#[test]
fn a_revoked_acquire_of_unknown_outcome_stops_the_clock_and_does_not_restart_it() {
    // It may have held from one operation timeout before its end until it was revoked: 510 ms.
    for (wait, expected) in [(BOUND_MS + 510, vec![]), (BOUND_MS + 511, vec!["deadlock x1"])] {
        let mut s = free_key(Some(wait));
        let b = s.unknown(3, 60..2000);
        s.release(b, 2001..2010);
        assert_eq!(found(&s.end(9000)), expected, "after {wait} ms");
    }
}

#[test]
fn waiters_that_time_out_in_turn_do_not_hide_a_deadlock() {
    let mut s = Story::new();
    s.probes(0..5, 0..40_000, true);
    s.held(1, 0..10, 90..100, 1);
    for n in 0..12 {
        let at = 50 + 3000 * n;
        let b = s.unknown(2 + (n % 2) as u32, at..at + 2990);
        s.release(b, at + 2992..at + 2995);
    }
    assert_eq!(found(&s.end(40_000)), ["deadlock x1"]);
}

#[test]
fn whoever_never_asked_for_the_lock_did_not_wait_for_it() {
    for (why, expected, gap_ms) in
        [(not_asked(), vec![], None), (refused(), vec!["deadlock x1"], Some(4000.0))]
    {
        let mut s = Story::new();
        s.probes(0..5, 0..10_000, true);
        for client in 1..=3 {
            s.failed(client, 50..4050, why.clone());
        }
        let verdict = s.end(9000);
        assert_eq!(found(&verdict), expected, "{why:?}");
        assert_eq!(verdict.longest_gap_ms, gap_ms, "{why:?}");
        if expected.is_empty() {
            assert_eq!(verdict.properties.deadlock_free.outcome, PropertyOutcome::Undecided);
            assert_eq!(verdict.summary, "no acquire was granted");
        }
    }
}

#[test]
fn attempts_that_never_asked_do_not_add_up_to_a_wait() {
    for (why, expected) in [(not_asked(), vec![]), (refused(), vec!["deadlock x1"])] {
        let mut s = Story::new();
        s.probes(0..5, 0..62_000, true);
        s.held(1, 0..10, 90..100, 1);
        for n in 0..35 {
            s.failed(2, 150 + 1700 * n..250 + 1700 * n, why.clone());
        }
        s.held(2, 61_000..61_010, 61_090..61_100, 2);
        assert_eq!(found(&s.end(62_000)), expected, "{why:?}");
    }
}

#[test]
fn a_grant_that_trouble_kept_from_its_owner_may_have_been_a_hold_already() {
    // c1 gives the lock up while n1 and n2 are cut off, and c3 waits on the other side.
    for (server, at, expected) in [
        // c2's server is cut off while it waits, and tells it after the fault.
        (0, 50..6010, vec![]),
        (0, 2300..5900, vec![]),
        // The reply may have got lost when the fault came.
        (2, 50..5900, vec![]),
        (2, 2012..5900, vec!["deadlock x1"]),
        // Or when it went; but by then the bound had passed.
        (2, 2012..6010, vec!["deadlock x1"]),
    ] {
        let mut s = Story::new();
        s.probes(2..5, 0..10_000, true);
        s.probes(0..2, 0..2000, true);
        s.probes(0..2, 2000..6000, false);
        s.probes(0..2, 6000..10_000, true);
        s.fault(1, 2000..6000);
        let a = s.granted_through((1, 2), 0..10, 0);
        s.release(a, 2200..2205);
        let (invoke, ok) = (at.start, at.end);
        let b = s.granted_through((2, server), at, ok - 10);
        s.release(b, ok + 10..ok + 15);
        s.granted_through((3, 2), 2300..ok + 50, ok + 5);
        let verdict = s.end(9000);
        assert_eq!(found(&verdict), expected, "n{} at {invoke} ms", server + 1);
        if expected.is_empty() {
            let deadlock_free = verdict.properties.deadlock_free;
            assert_eq!(deadlock_free.outcome, PropertyOutcome::Undecided);
            assert!(deadlock_free.why.contains("gone unheard"), "{}", deadlock_free.why);
        }
    }
}

#[test]
fn a_wait_that_unknown_holders_may_explain_is_undecided() {
    let mut s = free_key(None);
    // Each of these may have held, and none was revoked.
    for n in 0..8 {
        s.unknown(3, 200 + 1000 * n..1100 + 1000 * n);
    }
    let verdict = s.end(9000);
    assert_eq!(found(&verdict), nothing());
    assert_eq!(verdict.properties.deadlock_free.outcome, PropertyOutcome::Undecided);
}

#[test]
fn a_change_of_leader_starts_the_clock_again() {
    for (leader, expected) in [(2, vec![]), (1, vec!["deadlock x1"])] {
        let mut s = free_key(Some(BOUND_MS + 500));
        s.leader(20, 0, 1);
        s.leader(1000, 3, leader);
        let verdict = s.end(9000);
        assert_eq!(found(&verdict), expected, "leader {leader}");
        assert_eq!(verdict.leader_changes.len(), usize::from(leader == 2));
    }
}

#[test]
fn a_fault_starts_the_clock_again_at_its_begin_and_its_end() {
    let mut s = free_key(None);
    s.fault(1, 2000..4500);
    assert_eq!(found(&s.end(4500 + BOUND_MS)), nothing());
    // The same, but here the bound elapses after the fault.
    let mut s = Story::new();
    s.probes(0..5, 0..10_000, true);
    s.held(1, 0..10, 90..100, 1);
    s.fault(1, 2000..4500);
    let b = s.unknown(2, 50..5000);
    s.release(b, 5001..5005);
    s.asks(2, 5006);
    let verdict = s.end(5006 + BOUND_MS + 500);
    assert_eq!(found(&verdict), nothing());
    assert_eq!(verdict.properties.deadlock_free.outcome, PropertyOutcome::Undecided);
    let mut s = Story::new();
    s.probes(0..5, 0..10_000, true);
    s.held(1, 0..10, 90..100, 1);
    s.fault(1, 2000..4500);
    let b = s.unknown(2, 50..5000);
    s.release(b, 5001..5005);
    s.asks(2, 5006);
    let verdict = s.end(5006 + BOUND_MS + 501);
    assert_eq!(found(&verdict), ["deadlock x1"]);
    assert_eq!(verdict.violations[0].time_ns, (5006 + BOUND_MS) * MS);
}

#[test]
fn a_key_that_is_never_free_of_faults_long_enough_is_undecided() {
    let mut s = free_key(None);
    for n in 0..4 {
        let at = 1000 + 2000 * u64::from(n);
        s.fault(n + 1, at..at + 1000);
    }
    let verdict = s.end(9000);
    assert_eq!(found(&verdict), nothing());
    assert_eq!(verdict.properties.deadlock_free.outcome, PropertyOutcome::Undecided);
    assert_eq!(verdict.outcome, RunOutcome::Undecided);
}

#[test]
fn a_wait_through_the_minority_side_shows_nothing() {
    for (server, expected) in [(1, vec![]), (2, vec!["deadlock x1"])] {
        let mut s = Story::new();
        s.probes(0..5, 0..10_000, true);
        s.held(1, 0..10, 90..100, 1);
        let mut b = s.owner(2);
        b.server = server;
        s.event(b, 900, 250, Function::Acquire, Phase::Invoke, Detail::None);
        s.fault_begins(1, 200);
        let verdict = s.end(8000);
        assert_eq!(found(&verdict), expected, "n{}", server + 1);
        if server == 2 {
            let during = verdict.violations[0].during.as_deref();
            assert_eq!(during, Some("fault 1: partition n1 n2 | n3 n4 n5"));
        }
    }
}

#[test]
fn no_deadlock_is_claimed_while_the_store_does_not_answer() {
    let mut s = Story::new();
    s.held(1, 0..10, 90..100, 1);
    s.granted(2, 50..100 + BOUND_MS + 1);
    let verdict = s.end(9000);
    assert_eq!(found(&verdict), nothing());
    assert_eq!(verdict.properties.deadlock_free.outcome, PropertyOutcome::Undecided);
}

#[test]
fn a_healthy_majority_that_answers_no_write_is_unavailable_once_the_bound_has_passed() {
    for (until, expected) in [(BOUND_MS + 200, vec![]), (BOUND_MS + 201, vec!["unavailable x1"])] {
        let mut s = Story::new();
        s.probes(0..5, 0..200, true);
        s.probe(0, 200..until, false);
        s.probes(1..5, 200..until, false);
        s.probe(0, until..until, true);
        let verdict = s.end(9000);
        assert_eq!(found(&verdict), expected, "until {until} ms");
        if !expected.is_empty() {
            assert_eq!(verdict.properties.fault_tolerance.outcome, PropertyOutcome::Violated);
            let why = &verdict.violations[0].why;
            assert!(why.contains("5 of 5 servers"), "{why}");
            assert_eq!(verdict.violations[0].time_ns, (BOUND_MS + 200) * MS);
        }
    }
}

#[test]
fn a_grant_shows_that_the_store_is_available() {
    let mut s = Story::new();
    s.probes(0..5, 0..200, true);
    s.probes(0..5, 200..5000, false);
    s.held(1, 2000..2010, 2050..2060, 1);
    s.probes(0..5, 5000..9000, true);
    assert_eq!(found(&s.end(9000)), nothing());
}

#[test]
fn two_faults_in_a_row_that_leave_too_few_healthy_servers_excuse_the_store() {
    // n1 and n2 never answered after the first fault; with n3 cut off as well no majority counts.
    for (second, expected) in [(true, vec![]), (false, vec!["unavailable x1"])] {
        let mut s = Story::new();
        s.probes(0..5, 0..200, true);
        s.probes(0..5, 200..9000, false);
        s.fault(1, 200..400);
        if second {
            s.begins(2, 600, partition([(&[3], &[]), (&[1, 2, 4, 5], &[])]));
        }
        assert_eq!(found(&s.end(9000)), expected, "second fault: {second}");
    }
}

/// Twenty orderly handovers, a partition in the middle that bites or does not.
fn run_with_fault(bit: bool) -> Verdict {
    let mut s = Story::new();
    s.probes(2..5, 0..5000, true);
    s.probes(0..2, 0..1000, true);
    s.probes(0..2, 1000..3000, false);
    s.probes(0..2, 3300..5000, true);
    for n in 0..20 {
        let at = n * 200;
        s.held(1 + (n % 2) as u32, at.max(60) - 60..at + 10, at + 190..at + 195, n + 1);
    }
    s.fault_begins(1, 1000);
    s.fault_ends(1, 3000, (bit, true));
    s.end(5000)
}

#[test]
fn grants_while_a_fault_leaves_a_majority_show_tolerance() {
    let verdict = run_with_fault(true);
    assert_eq!(found(&verdict), nothing());
    let tolerance = &verdict.properties.fault_tolerance;
    assert_eq!(tolerance.outcome, PropertyOutcome::Held);
    assert!(tolerance.why.starts_with("10 grants while"), "{}", tolerance.why);
    assert_eq!(verdict.warnings, []);
    let fault = &verdict.faults[0];
    assert_eq!(
        (fault.targets.join(" "), fault.description.as_str()),
        ("n1 n2".into(), "n1 n2 | n3 n4 n5")
    );
    assert_eq!(fault.servers_recovered_ms, Some(305.0));
    assert_eq!(fault.next_grant_ms, Some(10.0));
    let acquire = &verdict.latency.acquire;
    assert_eq!((acquire.quiet.n, acquire.fault.n, acquire.recovery.n), (9, 10, 1));
    assert_eq!(acquire.fault.max_ms, Some(70.0));
}

#[test]
fn a_fault_that_did_not_bite_tests_nothing() {
    let verdict = run_with_fault(false);
    assert_eq!(verdict.properties.fault_tolerance.outcome, PropertyOutcome::NotTested);
    assert_eq!(verdict.warnings, [Warning::FaultDidNotBite { fault: 1 }]);
    assert!(verdict.properties.safety.why.ends_with("0 faults that bit"));
}

#[test]
fn a_fault_whose_end_is_not_recorded_lasts_to_the_end_and_is_not_called_toothless() {
    let mut s = Story::new();
    s.held(1, 0..10, 90..100, 1);
    s.fault_begins(1, 1000);
    s.probe(0, 1500..2000, false);
    let verdict = s.cut();
    let fault = &verdict.faults[0];
    assert_eq!((fault.end_ns, fault.undone, fault.bit), (2000 * MS, false, false));
    assert!(fault.proof[0].contains("the run was cut short"), "{}", fault.proof[0]);
    assert!(verdict.warnings.contains(&Warning::FaultNotUndone { fault: 1 }));
    assert!(!verdict.warnings.contains(&Warning::FaultDidNotBite { fault: 1 }));
}

#[test]
fn planned_faults_that_never_came_are_missed() {
    let mut s = Story::new();
    let fault = done_to(FaultKind::Kill, &[1]);
    s.plan().schedule = vec![PlannedFault::Fixed(FixedFault { at_ms: 10, fault })];
    let verdict = s.end(100);
    assert!(verdict.warnings.contains(&Warning::NoFault));
    assert_eq!(verdict.properties.fault_tolerance.outcome, PropertyOutcome::NotTested);
}
