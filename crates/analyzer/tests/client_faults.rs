//! Clients that are paused, killed or cut off: for each rule a history that it must reject and the
//! nearest that it must accept.

mod common;

use common::*;
use locktest_analyzer::{PropertyOutcome, Verdict, Warning};
use locktest_history::{Cut, Detail, ExitCause, Fault, FaultKind, Function, Phase};

/// How long a request can be under way.
const TIMEOUT_MS: u64 = 500;

/// Beside the overruns, which are inherent in leases.
fn blamed(verdict: &Verdict) -> Vec<String> {
    found(verdict).into_iter().filter(|class| !class.starts_with("lease-overrun")).collect()
}

fn pause(clients: &[u32]) -> Fault {
    done_to_clients(FaultKind::ClientPause, clients)
}

#[test]
fn a_paused_client_waits_for_nothing() {
    for (paused, expected) in [(2, vec![]), (3, vec!["deadlock x1"])] {
        let mut s = Story::new();
        s.probes(0..5, 0..10_000, true);
        s.held(1, 0..10, 90..100, 1);
        s.in_force(1, 200..8000, pause(&[paused]));
        s.failed(2, 150..8010, refused());
        assert_eq!(found(&s.end(9000)), expected, "c{paused} is paused");
    }
}

#[test]
fn whoever_took_the_place_of_a_paused_client_is_not_paused() {
    let mut s = Story::new();
    s.probes(0..5, 0..10_000, true);
    s.held(1, 0..10, 90..100, 1);
    s.in_force(1, 200..8000, pause(&[2]));
    s.failed(5, 300..7900, refused());
    assert_eq!(found(&s.end(9000)), ["deadlock x1"]);
}

/// c1 holds from 10 on and falls silent by `fault` from 200 to 8000, in force 10 ms later. c2 waits
/// from 50 on and is granted the lock at `granted`.
fn silent_holder(fault: Fault, granted: u64) -> Story {
    let mut s = Story::new();
    s.probes(0..5, 0..10_000, true);
    let a = s.granted(1, 0..10);
    s.renew(a, 150..160);
    s.in_force(1, 200..8000, fault);
    let b = s.granted_with(2, 50..granted, lease(granted - 5, TTL_MS, None));
    s.release(b, granted + 50..granted + 60);
    s.lost(a, 8050);
    s.release(a, 8051..8060);
    s
}

#[test]
fn a_holder_that_fell_silent_has_the_bound_from_its_last_request() {
    let bound = 210 + TIMEOUT_MS + BOUND_MS;
    for fault in [pause(&[1]), cut_off(&[1])] {
        let verdict = silent_holder(fault.clone(), bound).end(9000);
        assert_eq!(blamed(&verdict), nothing(), "{fault:?}");
        let why = &verdict.properties.deadlock_free.why;
        assert!(why.starts_with("1 holder vanished; "), "{why}");
        assert!(why.contains("3.500 s after its holder had vanished"), "{why}");
        assert!(!verdict.not_tested.iter().any(|not| not.contains("vanishes")));

        let verdict = silent_holder(fault.clone(), bound + 1).end(9000);
        assert_eq!(blamed(&verdict), ["deadlock x1"], "{fault:?}");
        let violation = &verdict.violations[0];
        assert_eq!(violation.time_ns, bound * MS);
        let why = "its last holder c1 was paused or cut off and could not renew from 0.710 s on";
        assert!(violation.why.ends_with(why), "{}", violation.why);
    }
}

/// c1 holds from 10 on and is paused from 200 until it goes on at `woken` and gives the lock up, for
/// which c2 waits all the time.
fn kept_while_paused(woken: u64) -> Verdict {
    let mut s = Story::new();
    s.probes(0..5, 0..woken + 1000, true);
    let a = s.granted(1, 0..10);
    s.renew(a, 150..160);
    s.in_force(1, 200..woken, pause(&[1]));
    s.renew(a, woken + 10..woken + 20);
    s.release(a, woken + 30..woken + 40);
    s.held(2, 50..woken + 45, woken + 90..woken + 95, 2);
    s.end(woken + 1000)
}

#[test]
fn a_lock_that_a_silent_holder_keeps_beyond_its_lease_is_told_before_it_is_a_violation() {
    let told = |verdict: &Verdict| {
        let not_tested = verdict.not_tested.iter();
        not_tested.filter(|not| not.starts_with("the lock of a silent holder")).count()
    };
    // Silent from 710 on, as far as anybody can be sure.
    let beyond = kept_while_paused(210 + TIMEOUT_MS + TTL_MS + 50);
    assert_eq!(blamed(&beyond), nothing());
    assert_eq!(told(&beyond), 1, "{:?}", beyond.not_tested);
    assert!(!beyond.not_tested.iter().any(|not| not.contains("vanishes")));
    let within = kept_while_paused(210 + TIMEOUT_MS + TTL_MS - 50);
    assert_eq!(told(&within), 0, "{:?}", within.not_tested);
    assert_eq!(blamed(&kept_while_paused(8000)), ["deadlock x1"]);
}

#[test]
fn whoever_was_let_in_while_the_holder_was_silent_is_the_only_one_who_shows_it() {
    // What c1 still tries to give up, once it goes on, was freed long ago.
    let mut s = Story::new();
    s.probes(0..5, 0..10_000, true);
    let a = s.granted(1, 0..10);
    s.in_force(1, 200..3000, pause(&[1]));
    s.held(2, 50..1500, 1590..1600, 2);
    s.lost(a, 3050);
    s.release_failed(a, 3051..3060, refused());
    s.held(3, 3040..3100, 3190..3200, 3);
    let why = s.end(9000).properties.deadlock_free.why;
    assert!(why.starts_with("1 holder vanished; "), "{why}");
    assert!(why.contains("at the latest 1.290 s after"), "{why}");
    assert!(why.contains("1 measured"), "{why}");
}

#[test]
fn a_holder_that_can_still_send_holds() {
    // Its requests arrive, and only the answers get lost.
    let [to_servers, to_client] = [cut_off(&[1]).cuts[0].clone(), cut_off(&[1]).cuts[1].clone()];
    let one_way = |cut: Cut| Fault { cuts: vec![cut], ..cut_off(&[1]) };
    assert_eq!(to_servers.from, [client(1)]);
    assert_eq!(blamed(&silent_holder(one_way(to_client), 7000).end(9000)), nothing());
    assert_eq!(blamed(&silent_holder(one_way(to_servers), 7000).end(9000)), ["deadlock x1"]);
    // One server is left.
    let most = partition([(&[], &[1]), (&[1, 2, 3, 4], &[])]);
    assert_eq!(blamed(&silent_holder(most, 7000).end(9000)), nothing());
    // Another client is meant.
    assert_eq!(blamed(&silent_holder(pause(&[3]), 7000).end(9000)), nothing());
}

#[test]
fn a_holder_is_silent_only_if_the_fault_bit_and_is_over() {
    for (bit, ended, expected) in
        [(true, true, vec!["deadlock x1"]), (false, true, vec![]), (true, false, vec![])]
    {
        let mut s = Story::new();
        s.probes(0..5, 0..10_000, true);
        s.granted(1, 0..10);
        s.begins(1, 200, pause(&[1]));
        if ended {
            s.fault_ends(1, 8000, (bit, true));
        }
        s.granted_with(2, 50..7000, lease(6990, TTL_MS, None));
        assert_eq!(blamed(&s.end(9000)), expected, "bit: {bit}, ended: {ended}");
    }
}

#[test]
fn what_a_client_did_shows_that_it_was_not_silent() {
    // An invoke of a paused client, which no answer followed; an answer to one that is cut off.
    for (fault, answered, expected) in [
        (pause(&[1]), false, vec![]),
        (cut_off(&[1]), false, vec!["deadlock x1"]),
        (cut_off(&[1]), true, vec![]),
    ] {
        let mut s = silent_holder(fault.clone(), 7000);
        let a = common::Owner { client: 1, attempt: 1, key: 0, server: 0 };
        let (phase, detail) = match answered {
            true => (Phase::Ok, lease(600, TTL_MS, None)),
            false => (Phase::Info, Detail::Reason("timeout".into())),
        };
        s.operation(a, 600..1100, Function::Renew, phase, detail);
        assert_eq!(blamed(&s.end(9000)), expected, "{:?}, answered: {answered}", fault.kind);
    }
}

#[test]
fn a_paused_holder_may_be_woken_by_the_undo_of_another_pause() {
    for (undo, expected) in [(3000, vec![]), (7500, vec!["deadlock x1"])] {
        let mut s = silent_holder(pause(&[1]), 7000);
        s.in_force(2, 1000..undo, pause(&[1]));
        assert_eq!(blamed(&s.end(9000)), expected, "undone at {undo} ms");
    }
}

#[test]
fn what_a_client_sent_before_its_pause_may_arrive_late_where_its_links_were_cut() {
    // Two seconds are lost, and two more may pass until all has arrived.
    for (begin, expected) in [(1000, vec!["deadlock x1"]), (1011, vec![])] {
        let mut s = Story::new();
        s.probes(0..5, 0..20_000, true);
        s.in_force(1, begin..begin + 2000, partition([(&[], &[1]), (&[1], &[])]));
        let a = s.granted_through((1, 2), 4000..4010, 4000);
        s.renew(a, 4900..4910);
        s.in_force(2, 4990..14_000, pause(&[1]));
        s.granted_with(2, 4500..13_000, lease(12_990, TTL_MS, None));
        assert_eq!(blamed(&s.end(19_000)), expected, "cut at {begin} ms");
    }
}

#[test]
fn a_holder_that_goes_on_holds_again() {
    let mut s = Story::new();
    s.probes(0..5, 0..10_000, true);
    let a = s.granted(1, 0..10);
    s.in_force(1, 200..1000, pause(&[1]));
    for n in 2..16 {
        s.renew(a, 500 * n..500 * n + 10);
    }
    s.release(a, 8000..8010);
    let b = s.granted_with(2, 50..8020, lease(8015, TTL_MS, None));
    s.release(b, 8050..8060);
    let verdict = s.end(9000);
    assert_eq!(blamed(&verdict), nothing());
    assert!(
        verdict.properties.deadlock_free.why.contains("no holder vanished"),
        "{:?}",
        verdict.properties.deadlock_free.why
    );
}

#[test]
fn a_waiter_that_was_paused_may_hold_until_its_lease_is_over() {
    // c1 gives the lock up while c2, which waits, is paused; c3 waits, too.
    for (length, expected) in
        [(TIMEOUT_MS + BOUND_MS, vec![]), (TIMEOUT_MS + BOUND_MS + 20, vec!["deadlock x1"])]
    {
        let mut s = Story::new();
        s.probes(0..5, 0..10_000, true);
        let a = s.granted(1, 0..10);
        s.release(a, 300..310);
        s.asks_through((2, 0), 50);
        s.in_force(1, 200..220 + length + 1000, pause(&[2]));
        let at = 210 + length;
        s.granted_with(3, 60..at, lease(at - 5, TTL_MS, None));
        assert_eq!(blamed(&s.end(9000)), expected, "{length} ms");
    }
}

#[test]
fn what_a_client_asks_for_while_it_is_cut_off_hides_no_deadlock() {
    let mut s = Story::new();
    s.probes(0..5, 0..20_000, true);
    s.held(1, 0..10, 90..100, 1);
    s.in_force(1, 200..12_000, cut_off(&[2]));
    for n in 1..12 {
        s.unknown(2, 1000 * n..1000 * n + 900);
    }
    s.failed(3, 150..11_000, refused());
    assert_eq!(blamed(&s.end(19_000)), ["deadlock x1"]);
}

fn disturbed(verdict: &Verdict) -> bool {
    verdict.warnings.iter().any(|warning| matches!(warning, Warning::Disturbed { .. }))
}

#[test]
fn a_client_that_a_fault_killed_disturbs_nothing() {
    for (killed, begin, cause, expected) in [
        (1, 2000, ExitCause::Killed(9), false),
        // Somebody else, earlier, or by another hand.
        (3, 2000, ExitCause::Killed(9), true),
        (1, 2011, ExitCause::Killed(9), true),
        (1, 2000, ExitCause::Killed(15), true),
        (1, 2000, ExitCause::Failed(1), true),
    ] {
        let mut s = Story::new();
        s.probes(0..5, 0..10_000, true);
        s.granted(1, 0..10);
        s.exit(1, 2010, cause.clone());
        s.in_force(1, begin..2100, done_to_clients(FaultKind::ClientKill, &[killed]));
        s.granted_with(2, 50..5000, lease(4990, TTL_MS, None));
        let verdict = s.end(9000);
        assert_eq!(blamed(&verdict), nothing());
        assert_eq!(disturbed(&verdict), expected, "c{killed} at {begin} ms, {cause:?}");
        let outcome = verdict.properties.deadlock_free.outcome;
        assert_eq!(outcome == PropertyOutcome::Undecided, expected);
    }
}

#[test]
fn the_lock_of_a_client_that_a_fault_killed_has_to_be_free_within_the_bound() {
    // The fault is over at 2100, and the clock starts again there.
    for (wait, expected) in [(BOUND_MS, vec![]), (BOUND_MS + 1, vec!["deadlock x1"])] {
        let mut s = Story::new();
        s.probes(0..5, 0..10_000, true);
        s.granted(1, 0..10);
        s.killed(1, 2010);
        s.in_force(1, 2000..2100, done_to_clients(FaultKind::ClientKill, &[1]));
        s.granted_with(2, 50..2100 + wait, lease(2090 + wait, TTL_MS, None));
        assert_eq!(blamed(&s.end(9000)), expected, "after {wait} ms");
    }
}
