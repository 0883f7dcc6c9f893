//! Mutual exclusion and tokens: for each rule a history that it must reject and the nearest
//! that it must accept.

mod common;

use common::*;
use locktest_analyzer::{Property, PropertyOutcome, RunOutcome, ViolationClass, Warning};
use locktest_history::{Backend, ExitCause, Function, Milestone, Phase, Recipe};

#[test]
fn two_promises_that_overlap_are_a_double_grant() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    s.release(a, 50..55);
    let b = s.granted(2, 5..49);
    s.release(b, 60..65);
    let verdict = s.end(100);
    assert_eq!(found(&verdict), ["double-grant x1"]);
    assert_eq!(verdict.outcome, RunOutcome::Violated);
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
    let violation = &verdict.violations[0];
    assert_eq!((violation.class, violation.key.as_str()), (ViolationClass::DoubleGrant, "lock-0"));
    assert_eq!(violation.time_ns, 49 * MS);
    assert!(violation.why.contains("c1 was granted lock-0 by n1 at 0.010 s"), "{}", violation.why);
    let clients: Vec<&str> = violation.operations.iter().map(|o| o.client.as_str()).collect();
    assert_eq!(clients, ["c1", "c2"]);
    assert_eq!(violation.operations[0].belief_end_ns, Some(50 * MS));
    assert_eq!(violation.operations[1].contract_end_ns, Some(60 * MS));
}

#[test]
fn holds_that_touch_do_not_overlap() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    s.release(a, 50..55);
    let b = s.granted(2, 5..50);
    s.release(b, 60..65);
    assert_eq!(found(&s.end(100)), nothing());
}

#[test]
fn holds_of_different_keys_do_not_overlap() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    s.release(a, 50..55);
    let mut b = s.owner(2);
    b.key = 1;
    s.event(b, 900, 5, Function::Acquire, Phase::Invoke, locktest_history::Detail::None);
    s.event(b, 900, 20, Function::Acquire, Phase::Ok, lease(5, TTL_MS, None));
    s.release(b, 60..65);
    assert_eq!(found(&s.end(100)), nothing());
}

#[test]
fn a_hold_released_in_the_instant_of_its_grant_still_excludes_another() {
    for (instant, expected) in [(30, vec!["double-grant x1"]), (50, vec![]), (10, vec![])] {
        let mut s = Story::new();
        let a = s.granted(1, 0..10);
        s.release(a, 50..55);
        let b = s.granted(2, 5..instant);
        s.release(b, instant..instant + 3);
        assert_eq!(found(&s.end(100)), expected, "at {instant} ms");
    }
}

#[test]
fn each_pair_is_counted_once_and_five_are_shown() {
    let mut s = Story::new();
    // One long hold, and seven short ones inside it.
    let a = s.granted(1, 0..10);
    for n in 0..7 {
        let b = s.granted(2, 20 + 10 * n..25 + 10 * n);
        s.release(b, 27 + 10 * n..28 + 10 * n);
    }
    s.release(a, 500..505);
    let verdict = s.end(600);
    assert_eq!(found(&verdict), ["double-grant x7"]);
    let times: Vec<u64> = verdict.violations.iter().map(|v| v.time_ns / MS).collect();
    assert_eq!(times, [25, 35, 45, 55, 65]);
}

#[test]
fn a_holder_that_outlives_its_lease_is_an_overrun_and_needs_fencing() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    let b = s.granted(2, 5..TTL_MS);
    s.release(b, 1100..1105);
    s.release(a, 1050..1055);
    let verdict = s.end(2000);
    assert_eq!(found(&verdict), ["lease-overrun x1"]);
    assert_eq!(verdict.outcome, RunOutcome::Held);
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::NeedsFencing);
    assert!(verdict.warnings.contains(&Warning::NeedsFencing { overruns: 1 }));
    let why = &verdict.violations[0].why;
    assert!(why.contains("c1's lease on lock-0 ended at 1.000 s"), "{why}");
    assert!(why.contains("as the holder until 1.050 s"), "{why}");
}

#[test]
fn the_same_one_instant_before_the_lease_ends_is_a_double_grant() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    let b = s.granted(2, 5..TTL_MS - 1);
    s.release(b, 1100..1105);
    s.release(a, 1050..1055);
    assert_eq!(found(&s.end(2000)), ["double-grant x1"]);
}

#[test]
fn an_overrun_without_tokens_violates_safety() {
    let mut s = Story::new();
    s.on(Backend::Redis, Recipe::Single);
    let a = s.granted(1, 0..10);
    let b = s.granted(2, 5..TTL_MS);
    s.release(b, 1100..1105);
    s.release(a, 1050..1055);
    let verdict = s.end(2000);
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
    assert_eq!(verdict.properties.fencing.outcome, PropertyOutcome::Unsupported);
}

#[test]
fn a_drifting_clock_lets_the_service_drop_the_lease_a_little_earlier() {
    for (drift_ppm, expected) in [(0, "double-grant x1"), (1000, "lease-overrun x1")] {
        let mut s = Story::new();
        s.plan().clock_drift_ppm = drift_ppm;
        let a = s.granted(1, 0..10);
        let b = s.granted(2, 5..TTL_MS - 1);
        s.release(b, 1100..1105);
        s.release(a, 1050..1055);
        assert_eq!(found(&s.end(2000)), [expected], "{drift_ppm} ppm");
    }
}

#[test]
fn a_renewal_extends_the_promise() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    s.renew(a, 600..610);
    let b = s.granted_with(2, 5..1200, lease(1190, TTL_MS, None));
    s.release(b, 1300..1305);
    s.release(a, 1250..1255);
    assert_eq!(found(&s.end(2000)), ["double-grant x1"]);
}

#[test]
fn a_renewal_whose_reply_comes_late_still_promised_from_its_invoke_on() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    s.renew(a, 900..1300);
    let b = s.granted_with(2, 5..1200, lease(1190, TTL_MS, None));
    s.release(b, 1400..1405);
    s.release(a, 1350..1355);
    let verdict = s.end(2000);
    assert_eq!(found(&verdict), ["double-grant x1"]);
    assert_eq!(verdict.violations[0].time_ns, 1300 * MS, "the renewal's reply shows it");
}

#[test]
fn what_nobody_promised_between_a_lease_end_and_a_later_renewal_is_not_held_against_the_service() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    // The promise ended at 1000; the service says at 1500 that the lease still lives.
    s.renew(a, 1500..1510);
    let b = s.granted_with(2, 5..1100, lease(1090, TTL_MS, None));
    s.release(b, 1400..1405);
    s.release(a, 1800..1805);
    let verdict = s.end(3000);
    assert_eq!(found(&verdict), ["lease-overrun x1"]);
    assert_eq!(s.holds()[0].contract_end_ns, 1800 * MS);
    assert_eq!(s.holds()[0].lease_start_ns, 1500 * MS);
}

#[test]
fn a_renewal_of_a_dead_lease_is_a_double_grant_where_it_promises() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    s.renew(a, 1500..1510);
    let b = s.granted(2, 5..1100);
    s.renew(b, 1400..1410);
    s.release(b, 1600..1605);
    s.release(a, 1800..1805);
    assert_eq!(found(&s.end(3000)), ["double-grant x1"]);
}

#[test]
fn an_acquire_of_unknown_outcome_is_no_hold() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    let b = s.unknown(2, 20..30);
    s.release(b, 31..35);
    s.release(a, 50..55);
    let verdict = s.end(100);
    assert_eq!(found(&verdict), nothing());
    assert_eq!((verdict.counts.acquires_ok, verdict.counts.acquires_unknown), (1, 1));
}

#[test]
fn a_release_of_unknown_outcome_ends_both_views() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    s.release_unknown(a, 20..500);
    let b = s.granted(2, 5..20);
    s.release(b, 60..65);
    assert_eq!(found(&s.end(1000)), nothing());
}

#[test]
fn the_promise_to_a_killed_client_outlives_it() {
    for (granted, expected) in [(999, vec!["double-grant x1"]), (1000, vec![])] {
        let mut s = Story::new();
        s.granted(1, 0..10);
        s.killed(1, 100);
        let b = s.granted(2, 5..granted);
        s.release(b, 1100..1105);
        assert_eq!(found(&s.end(2000)), expected, "granted at {granted} ms");
        let holds = s.holds();
        assert_eq!((holds[0].belief_end_ns, holds[0].contract_end_ns), (100 * MS, 1000 * MS));
    }
}

#[test]
fn a_loss_that_the_client_noticed_ends_its_belief() {
    for (lost, expected) in [(1100, vec![]), (1101, vec!["lease-overrun x1"])] {
        let mut s = Story::new();
        let a = s.granted(1, 0..10);
        s.lost(a, lost);
        let b = s.granted(2, 5..1100);
        s.release(b, 1200..1205);
        assert_eq!(found(&s.end(2000)), expected, "lost at {lost} ms");
    }
}

#[test]
fn a_history_cut_short_promises_nothing_beyond_the_last_event_of_a_client() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    s.renew(a, 20..30);
    // c1's release is among what was not written; c2's grant is not.
    s.granted(2, 5..40);
    let verdict = s.cut();
    assert_eq!(found(&verdict), nothing());
    assert!(verdict.warnings.contains(&Warning::Interrupted));
    // The same, had c1 gone on: the release was surely not invoked.
    s.renew(a, 41..45);
    assert_eq!(found(&s.cut()), ["double-grant x1"]);
}

#[test]
fn a_later_grant_needs_a_larger_token() {
    for (second, expected) in [(5, vec![]), (4, vec!["token-not-monotone x1"])] {
        let mut s = Story::new();
        s.held(1, 0..10, 20..25, 4);
        s.held(2, 11..30, 40..45, second);
        let verdict = s.end(100);
        assert_eq!(found(&verdict), expected, "token {second}");
        let violated = verdict.properties.fencing.outcome == PropertyOutcome::Violated;
        assert_eq!(violated, second == 4);
    }
}

#[test]
fn waiting_grants_are_ordered_by_their_disjoint_promises() {
    let mut s = Story::new();
    s.held(1, 0..10, 20..25, 7);
    // Invoked before the first returned, so only the promises order them.
    s.held(2, 5..30, 40..45, 6);
    assert_eq!(found(&s.end(100)), ["token-not-monotone x1"]);
}

#[test]
fn a_grant_that_arrives_after_its_lease_ended_orders_nothing() {
    let mut s = Story::new();
    // Granted first, told last: its small token is right.
    let late = s.granted_with(1, 0..1500, lease(0, TTL_MS, None));
    s.ours(late, 1500..1501, 6);
    s.lost(late, 1501);
    s.held(2, 5..1100, 1400..1405, 7);
    assert_eq!(found(&s.end(2000)), nothing());
}

#[test]
fn a_grant_that_arrives_late_still_precedes_what_was_asked_for_after_it() {
    for (invoke, expected) in [(1500, vec![]), (1501, vec!["token-not-monotone x1"])] {
        let mut s = Story::new();
        let late = s.granted_with(1, 0..1500, lease(0, TTL_MS, None));
        s.ours(late, 1502..1503, 7);
        s.release(late, 1504..1505);
        s.held(2, invoke..1600, 1700..1705, 6);
        assert_eq!(found(&s.end(2000)), expected, "asked for at {invoke} ms");
    }
}

#[test]
fn equal_tokens_are_never_right() {
    let mut s = Story::new();
    s.held(1, 0..10, 20..25, 4);
    let late = s.granted_with(2, 0..1500, lease(0, TTL_MS, None));
    s.ours(late, 1500..1501, 4);
    s.lost(late, 1501);
    assert_eq!(found(&s.end(2000)), ["token-not-monotone x1"]);
}

#[test]
fn a_grant_is_contended_if_another_held_while_it_waited() {
    let mut s = Story::new();
    s.held(1, 0..10, 20..25, 1);
    s.held(2, 19..30, 40..45, 2);
    s.held(3, 40..50, 60..65, 3);
    let verdict = s.end(100);
    assert_eq!(verdict.counts.contended, 1);
    let little = Warning::LittleContention { contended: 1, acquires_ok: 3 };
    assert!(verdict.warnings.contains(&little));
    let Property { outcome, why } = verdict.properties.safety;
    assert_eq!(outcome, PropertyOutcome::Held);
    assert_eq!(why, "no violation found in 3 acquires, 1 contended, 0 faults that bit");
}

#[test]
fn a_denial_is_spurious_if_nobody_may_have_held() {
    let mut s = Story::new();
    s.denied(3, 0..4);
    s.held(1, 5..10, 20..25, 1);
    s.denied(3, 25..30);
    s.denied(3, 26..30);
    s.unknown(2, 31..40);
    s.denied(3, 500..1040);
    let unheard = s.owner(3);
    s.operation(unheard, 2000..2005, Function::TryAcquire, Phase::Fail, not_asked());
    // A blocking acquire is not denied by a holder.
    s.failed(2, 3000..3010, refused());
    let verdict = s.end(4000);
    assert_eq!((verdict.counts.acquires_denied, verdict.counts.spurious_denials), (6, 2));
    assert_eq!(found(&verdict), nothing());
}

#[test]
fn a_client_that_failed_stops_believing() {
    let mut s = Story::new();
    s.plan().backend = Backend::Consul;
    s.granted(1, 0..10);
    s.exit(1, 50, ExitCause::Failed(1));
    s.milestone(60, Milestone::TimeUp);
    assert_eq!(found(&s.end(100)), nothing());
    assert_eq!(s.holds()[0].belief_end_ns, 50 * MS);
}
