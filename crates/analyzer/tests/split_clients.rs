//! Faults that come between clients and servers that know nothing of each other.

mod common;

use common::*;
use locktest_analyzer::PropertyOutcome;
use locktest_history::{Backend, Recipe};

/// c1 gives the lock up at 100. From 200 to 8000 the servers n1 and n2 and the client c2 are cut off
/// from the rest; `waiter` waits from 300 to 7900 in vain.
fn waits(waiter: u32) -> Vec<String> {
    let mut s = Story::new();
    s.on(Backend::Redis, Recipe::Redlock);
    s.probes(0..5, 0..9000, true);
    s.held(1, 0..10, 90..100, 1);
    s.split(1, 200..8000, [(&[1, 2], &[2]), (&[3, 4, 5], &[1, 3])]);
    s.failed(waiter, 300..7900, refused());
    found(&s.end(9000))
}

#[test]
fn a_client_without_a_majority_is_no_waiter_and_one_with_it_is() {
    assert_eq!(waits(2), nothing());
    assert_eq!(waits(3), ["deadlock x1"]);
}

#[test]
fn a_client_that_took_the_place_of_another_is_where_that_one_was() {
    assert_eq!(waits(5), nothing());
    assert_eq!(waits(6), ["deadlock x1"]);
}

#[test]
fn a_wait_counts_again_once_the_servers_have_answered_after_the_fault() {
    for (answered, expected) in [(8500, vec!["deadlock x1"]), (11_000, vec![])] {
        let mut s = Story::new();
        s.on(Backend::Redis, Recipe::Redlock);
        s.probes(0..5, 0..8000, true);
        // Those that c2 had reached all the time are no majority.
        s.probes(0..2, 8000..answered, true);
        s.probes(0..5, answered..12_500, true);
        s.held(1, 0..10, 90..100, 1);
        s.split(1, 200..8000, [(&[1, 2], &[2]), (&[3, 4, 5], &[1, 3])]);
        s.failed(2, 300..12_000, refused());
        assert_eq!(found(&s.end(13_000)), expected, "answered at {answered} ms");
    }
}

#[test]
fn a_client_can_be_cut_off_from_the_only_server() {
    let mut s = Story::new();
    s.on(Backend::Redis, Recipe::Single);
    s.plan().nodes.truncate(1);
    s.probes(0..1, 0..9000, true);
    s.held(1, 0..10, 90..100, 1);
    s.split(1, 200..8000, [(&[], &[2]), (&[1], &[1, 3])]);
    s.failed(2, 300..7900, refused());
    let a = s.granted(3, 4000..4010);
    s.release(a, 4100..4105);
    let verdict = s.end(9000);
    assert_eq!(found(&verdict), nothing());
    let fault = &verdict.faults[0];
    assert_eq!(fault.description, "c2 | n1 c1 c3");
    assert_eq!(fault.targets, ["c2"]);
    assert_eq!(verdict.properties.fault_tolerance.outcome, PropertyOutcome::Held);
}

#[test]
fn a_majority_that_no_client_reaches_serves_nobody() {
    for (clients, expected) in
        [([1, 2, 3], PropertyOutcome::NotTested), ([1, 2, 2], PropertyOutcome::Held)]
    {
        let mut s = Story::new();
        s.on(Backend::Redis, Recipe::Redlock);
        s.probes(0..5, 0..9000, true);
        let rest: Vec<u32> = (1..=3).filter(|client| !clients.contains(client)).collect();
        s.split(1, 200..2000, [(&[1, 2], &clients), (&[3, 4, 5], &rest)]);
        for n in 0..12 {
            let at = 300 * n;
            s.held(3, at..at + 10, at + 90..at + 100, n + 1);
        }
        let verdict = s.end(9000);
        assert_eq!(found(&verdict), nothing());
        assert_eq!(verdict.properties.fault_tolerance.outcome, expected);
    }
}

#[test]
fn a_violation_says_that_the_partition_was_one_of_clients_from_servers() {
    let mut s = Story::new();
    s.on(Backend::Redis, Recipe::Redlock);
    s.split(1, 5..2000, [(&[1, 2], &[2]), (&[3, 4, 5], &[1, 3])]);
    s.granted(1, 0..10);
    s.granted(2, 20..30);
    let verdict = s.end(3000);
    assert_eq!(
        verdict.violations[0].during.as_deref(),
        Some("fault 1: partition of clients from servers: n1 n2 c2 | n3 n4 n5 c1 c3")
    );
    assert_eq!(verdict.faults[0].description, "n1 n2 c2 | n3 n4 n5 c1 c3");
}

#[test]
fn one_answer_of_a_minority_does_not_make_independent_servers_available() {
    for (answering, expected) in [(2, vec!["unavailable x1"]), (3, vec![])] {
        let mut s = Story::new();
        s.on(Backend::Redis, Recipe::Redlock);
        s.probes(0..5, 0..200, true);
        s.probes(0..answering, 200..9000, true);
        s.probes(answering..5, 200..9000, false);
        s.held(1, 0..10, 90..100, 1);
        assert_eq!(found(&s.end(9000)), expected, "{answering} servers answer");
    }
}
