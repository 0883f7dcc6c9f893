//! What the service itself admits: for each rule a history that it must reject and the nearest that it
//! must accept.

mod common;

use common::*;
use locktest_analyzer::PropertyOutcome;
use locktest_history::{Backend, Function, Phase, Recipe};

#[test]
fn etcd_11456_is_a_stale_grant_and_no_double_grant() {
    let mut s = Story::new();
    let a = s.held(1, 0..10, 6000..6005, 3);
    s.renew(a, 5500..5510);
    // c2's lease of 2 s was not renewed while it waited.
    let b = s.granted_with(2, 100..6006, lease(100, 2000, Some(9)));
    let c = s.granted_with(3, 6000..6008, lease(6000, 2000, Some(10)));
    s.not_ours(b, 6007..6010, Some(9));
    s.lost(b, 6010);
    s.ours(c, 6008..6012, 10);
    s.release(c, 6100..6105);
    s.release(b, 6011..6015);
    let verdict = s.end(7000);
    assert_eq!(found(&verdict), ["stale-grant x1"]);
    let hold = &s.holds()[1];
    assert_eq!(hold.contract_end_ns, 2100 * MS, "the promise ended before the grant");
    let why = &verdict.violations[0].why;
    assert!(why.contains("at revision 9, that of the reply itself"), "{why}");
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
}

#[test]
fn a_read_of_another_revision_is_no_evidence() {
    let mut s = Story::new();
    let a = s.granted_with(1, 0..10, lease(0, TTL_MS, Some(9)));
    s.not_ours(a, 11..15, Some(8));
    s.release(a, 20..25);
    assert_eq!(found(&s.end(100)), nothing());
}

#[test]
fn a_later_read_is_evidence_only_while_the_lease_is_promised() {
    for (known, expected) in [(999, vec!["stale-grant x1"]), (1000, vec![])] {
        let mut s = Story::new();
        let a = s.granted(1, 0..10);
        s.not_ours(a, 900..known, None);
        s.lost(a, known);
        s.release(a, known + 1..known + 5);
        assert_eq!(found(&s.end(2000)), expected, "read at {known} ms");
    }
}

#[test]
fn a_later_read_is_no_evidence_once_the_owner_gave_the_lock_up() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    s.release(a, 15..40);
    s.not_ours(a, 11..15, None);
    let b = s.granted(2, 41..45);
    s.lost(b, 46);
    s.not_ours(b, 45..47, None);
    assert_eq!(found(&s.end(1100)), nothing());
}

#[test]
fn a_lease_that_is_gone_while_promised_expired_early() {
    for (gone, expected) in [(999, vec!["early-expiry x1"]), (1000, vec![])] {
        let mut s = Story::new();
        let a = s.granted(1, 0..10);
        s.renew_refused(a, 900..gone);
        s.renew_refused(a, 1001..1002);
        assert_eq!(found(&s.end(2000)), expected, "gone at {gone} ms");
    }
}

#[test]
fn a_lease_that_its_owner_released_did_not_expire_early() {
    for (release, expected) in [(910, vec![]), (911, vec!["early-expiry x1"])] {
        let mut s = Story::new();
        let a = s.granted(1, 0..10);
        s.renew_refused(a, 900..910);
        s.release_unknown(a, release..1400);
        assert_eq!(found(&s.end(2000)), expected, "released at {release} ms");
    }
}

#[test]
fn a_promise_that_was_not_yet_known_is_no_evidence_of_early_expiry() {
    for (known, expected) in [(1100, vec!["early-expiry x1"]), (1101, vec![])] {
        let mut s = Story::new();
        let a = s.granted(1, 0..10);
        s.renew(a, 900..known);
        s.renew_refused(a, 950..1100);
        assert_eq!(found(&s.end(2000)), expected, "known at {known} ms");
    }
}

#[test]
fn a_lease_that_is_gone_while_its_owner_waits_expired_early_only_if_it_was_known_to_live() {
    let mut s = Story::new();
    let (a, op) = s.asks(1, 0);
    s.renew_refused(a, 100..110);
    s.event(a, op, 120, Function::Acquire, Phase::Info, locktest_history::Detail::None);
    let (b, _) = s.asks(2, 0);
    s.renew(b, 200..210);
    s.renew_refused(b, 1190..1199);
    let verdict = s.end(2000);
    assert_eq!(found(&verdict), ["early-expiry x1"]);
    let why = &verdict.violations[0].why;
    assert!(why.contains("c2's lease ran to 1.200 s, yet n1 said at 1.199 s"), "{why}");
}

#[test]
fn a_release_that_the_store_refuses_while_the_lease_is_promised_is_evidence() {
    // Once a read had shown the entry, the service took the lock away; else the grant was stale.
    for (seen, known, expected) in [
        (false, 999, vec!["stale-grant x1"]),
        (false, 1000, vec![]),
        (true, 999, vec!["early-expiry x1"]),
        (true, 1000, vec![]),
    ] {
        for recipe in [
            Recipe::Session,
            Recipe::EphemeralSequential,
            Recipe::Sim,
            Recipe::Single,
            Recipe::Sentinel,
        ] {
            let mut s = Story::new();
            s.on(store_of(recipe), recipe);
            let a = s.granted(1, 0..10);
            if seen {
                s.ours(a, 10..12, 5);
            }
            s.release_failed(a, 900..known, refused());
            s.release(a, known..known + 5);
            let verdict = s.end(2000);
            // What grants makes the entry: there the grant is never stale.
            let stale = ["stale-grant x1"] == expected[..];
            let is_entry = matches!(store_of(recipe), Backend::Redis | Backend::Sim);
            let expected =
                if stale && is_entry { vec!["early-expiry x1"] } else { expected.clone() };
            assert_eq!(found(&verdict), expected, "{recipe}, seen: {seen}, known at {known} ms");
            if let Some(violation) = verdict.violations.first() {
                assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
                assert_eq!(violation.time_ns, 999 * MS);
                assert!(violation.why.contains("1.000 s"), "{}", violation.why);
            }
        }
    }
}

#[test]
fn a_lease_that_expired_early_is_counted_once() {
    let mut s = Story::new();
    s.plan().backend = Backend::Consul;
    let a = s.granted(1, 0..10);
    s.ours(a, 10..12, 5);
    s.renew_refused(a, 20..25);
    s.release_failed(a, 30..35, refused());
    assert_eq!(found(&s.end(2000)), ["early-expiry x1"]);
}

#[test]
fn a_release_that_the_store_never_judged_is_no_evidence() {
    let mut s = Story::new();
    s.plan().backend = Backend::Consul;
    let a = s.granted(1, 0..10);
    s.release_failed(a, 20..25, not_asked());
    s.release(a, 30..35);
    assert_eq!(found(&s.end(100)), nothing());
}

#[test]
fn a_store_whose_releases_do_not_tell_gives_no_evidence_by_them() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    s.release_failed(a, 20..25, refused());
    assert_eq!(found(&s.end(100)), nothing());
}

#[test]
fn a_refused_release_is_no_evidence_if_the_owner_had_given_up_or_noticed_its_loss() {
    let consul = || {
        let mut s = Story::new();
        s.plan().backend = Backend::Consul;
        let a = s.granted(1, 0..10);
        (s, a)
    };
    let (mut s, a) = consul();
    s.release_unknown(a, 20..500);
    s.release_failed(a, 501..505, refused());
    assert_eq!(found(&s.end(2000)), nothing(), "an earlier release may have happened");
    let (mut s, a) = consul();
    s.lost(a, 20);
    s.release_failed(a, 21..25, refused());
    assert_eq!(found(&s.end(2000)), nothing(), "a loss was noticed");
    let (mut s, _) = consul();
    let b = s.unknown(2, 5..500);
    s.release_failed(b, 501..505, refused());
    assert_eq!(found(&s.end(2000)), nothing(), "nothing was granted");
}

#[test]
fn an_entry_that_is_gone_after_it_was_seen_expired_early() {
    for (seen, expected) in [(10..12, "early-expiry x1"), (19..22, "stale-grant x1")] {
        let mut s = Story::new();
        let a = s.granted(1, 0..10);
        s.ours(a, seen.clone(), 5);
        s.not_ours(a, 20..23, None);
        s.lost(a, 23);
        let verdict = s.end(2000);
        assert_eq!(found(&verdict), [expected], "seen at {seen:?} ms");
    }
}

#[test]
fn a_renewal_that_the_store_never_judged_is_no_evidence() {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    s.operation(a, 20..25, Function::Renew, Phase::Fail, not_asked());
    assert_eq!(found(&s.end(2000)), nothing());
}
