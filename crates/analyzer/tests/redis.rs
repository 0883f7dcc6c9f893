//! Redis: what its recipes promise, and whose "not yours" is the word of the service.

mod common;

use common::*;
use locktest_analyzer::{PropertyOutcome, RunOutcome};
use locktest_history::{Answer, Backend, Recipe, RoundPurpose};

fn redis(recipe: Recipe) -> Story {
    let mut s = Story::new();
    s.on(Backend::Redis, recipe);
    s
}

#[test]
fn redlock_promises_less_than_its_ttl_and_the_others_all_of_it() {
    // Of 1000 ms, redlock takes 10 and 2 off.
    for (recipe, promised_ms) in [(Recipe::Redlock, 988), (Recipe::Single, 1000)] {
        for (granted, expected) in
            [(promised_ms - 1, vec!["double-grant x1"]), (promised_ms, vec!["lease-overrun x1"])]
        {
            let mut s = redis(recipe);
            let a = s.granted(1, 0..10);
            let b = s.granted_with(2, 20..granted, lease(granted - 5, TTL_MS, None));
            s.release(b, 1100..1105);
            s.release(a, 1200..1205);
            assert_eq!(found(&s.end(2000)), expected, "{recipe}, granted at {granted} ms");
        }
    }
}

#[test]
fn the_drift_of_the_clocks_comes_on_top() {
    let mut s = redis(Recipe::Redlock);
    s.plan().clock_drift_ppm = 1000;
    let a = s.granted(1, 0..10);
    s.release(a, 1200..1205);
    assert_eq!(s.holds()[0].contract_end_ns, 987_012_000);
}

#[test]
fn an_overrun_without_a_token_violates_safety() {
    let mut s = redis(Recipe::Sentinel);
    let a = s.granted(1, 0..10);
    s.granted_with(2, 20..1100, lease(1090, TTL_MS, None));
    s.release(a, 1200..1205);
    let verdict = s.end(2000);
    assert_eq!(found(&verdict), ["lease-overrun x1"]);
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
    assert_eq!(verdict.properties.fencing.outcome, PropertyOutcome::Unsupported);
}

#[test]
fn a_key_that_is_gone_from_the_one_server_expired_early() {
    for recipe in [Recipe::Single, Recipe::Sentinel] {
        // A read, a renewal and a release; each may come too late, or after a release.
        for (known, expected) in [(999, vec!["early-expiry x1"]), (1000, vec![])] {
            let mut s = redis(recipe);
            let a = s.granted(1, 0..10);
            s.not_ours(a, 900..known, None);
            assert_eq!(found(&s.end(2000)), expected, "{recipe}: read at {known}");

            let mut s = redis(recipe);
            let a = s.granted(1, 0..10);
            s.renew_refused(a, 900..known);
            assert_eq!(found(&s.end(2000)), expected, "{recipe}: renewal at {known}");

            let mut s = redis(recipe);
            let a = s.granted(1, 0..10);
            s.release_failed(a, 900..known, refused());
            assert_eq!(found(&s.end(2000)), expected, "{recipe}: release at {known}");
        }
        let mut s = redis(recipe);
        let a = s.granted(1, 0..10);
        s.release_unknown(a, 100..600);
        s.release_failed(a, 610..620, refused());
        s.renew_refused(a, 630..640);
        s.not_ours(a, 650..660, None);
        assert_eq!(found(&s.end(2000)), nothing(), "{recipe}: the first release may have happened");
    }
}

/// c1 wins n1, n2 and n3 at 0, and is told at 500 by a release, a renewal or a read what the servers
/// have.
fn told(purpose: RoundPurpose, votes: &str, round_at: u64, before: Option<&str>) -> Vec<String> {
    let mut s = redis(Recipe::Redlock);
    let (a, op) = s.asks(1, 0);
    if let Some(before) = before {
        s.round(a, 1, RoundPurpose::Release, before);
    }
    s.round(a, 5, RoundPurpose::Acquire, "yyy??");
    use locktest_history::{Function, Phase};
    s.event(a, op, 10, Function::Acquire, Phase::Ok, lease(5, TTL_MS, None));
    s.round(a, round_at, purpose, votes);
    match purpose {
        RoundPurpose::Extend => s.renew_refused(a, 500..510),
        RoundPurpose::Release => s.release_failed(a, 500..510, refused()),
        _ => s.not_ours(a, 500..510, None),
    }
    found(&s.end(2000))
}

#[test]
fn independent_servers_speak_by_majority() {
    for purpose in [RoundPurpose::Extend, RoundPurpose::Release, RoundPurpose::Read] {
        let early = ["early-expiry x1"];
        assert_eq!(told(purpose, "nynny", 502, None), early, "{purpose:?}");
        assert_eq!(told(purpose, "nnn??", 502, None), early, "{purpose:?}");
        // Two servers never had the key.
        assert_eq!(told(purpose, "yyynn", 502, None), nothing(), "{purpose:?}");
        assert_eq!(told(purpose, "n??nn", 502, None), early, "{purpose:?}");
        assert_eq!(told(purpose, "n???n", 502, None), nothing(), "{purpose:?}");
        // What another operation was told is not what this one was told.
        assert_eq!(told(purpose, "nnnnn", 499, None), nothing(), "{purpose:?}");
    }
}

#[test]
fn a_round_that_gave_up_before_spoils_the_proof_if_a_server_may_yet_carry_it_out() {
    for purpose in [RoundPurpose::Extend, RoundPurpose::Release, RoundPurpose::Read] {
        assert_eq!(told(purpose, "nnnnn", 502, Some("yynny")), ["early-expiry x1"]);
        assert_eq!(told(purpose, "nnnnn", 502, Some("yynn?")), nothing());
    }
}

#[test]
fn a_double_grant_shows_what_each_server_said() {
    let mut s = redis(Recipe::Redlock);
    let a = s.granted(1, 0..10);
    s.round(a, 1, RoundPurpose::Acquire, "nyynn");
    s.round(a, 5, RoundPurpose::Acquire, "yyynn");
    let b = s.granted(2, 20..30);
    s.round(b, 25, RoundPurpose::Acquire, "nnyyy");
    s.release(b, 100..105);
    s.release(a, 200..205);
    let verdict = s.end(2000);
    assert_eq!(found(&verdict), ["double-grant x1"]);
    assert_eq!(verdict.outcome, RunOutcome::Violated);
    let [first, second] = &verdict.violations[0].operations[..] else { panic!("two owners") };
    let answers = |operation: &locktest_analyzer::Involved| -> Vec<Answer> {
        let [round] = &operation.rounds[..] else { panic!("the round that won") };
        round.votes.iter().map(|vote| vote.answer.clone()).collect()
    };
    assert_eq!(answers(first)[..3], [Answer::Yes, Answer::Yes, Answer::Yes]);
    assert_eq!(answers(second)[2..], [Answer::Yes, Answer::Yes, Answer::Yes]);
    assert_eq!(first.rounds[0].votes[4].server, "n5");
}

#[test]
fn rounds_alone_decide_nothing() {
    let mut s = redis(Recipe::Redlock);
    let a = s.granted(1, 0..10);
    s.round(a, 5, RoundPurpose::Acquire, "nnnnn");
    s.round(a, 12, RoundPurpose::Read, "nnnnn");
    s.release(a, 200..205);
    let stray = s.owner(2);
    s.round(stray, 300, RoundPurpose::Release, "yyyyy");
    let verdict = s.end(2000);
    assert_eq!(found(&verdict), nothing());
    assert_eq!(verdict.outcome, RunOutcome::Held);
}
