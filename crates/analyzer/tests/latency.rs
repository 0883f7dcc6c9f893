//! Latency by phase, by fault and by client, from the actual and from the intended start.

mod common;

use common::{MS, Owner, Story, TTL_MS, lease};
use locktest_analyzer::{Percentiles, Phases, Verdict, Warning};
use locktest_history::{Detail, Function, Phase, Recipe};

/// How many samples, and the greatest in whole milliseconds.
fn of(percentiles: &Percentiles) -> (u64, Option<u64>) {
    (percentiles.n, percentiles.max_ms.map(|ms| ms as u64))
}

fn by_phase(phases: &Phases) -> [(u64, Option<u64>); 3] {
    [&phases.quiet, &phases.fault, &phases.recovery].map(of)
}

fn intended(verdict: &Verdict) -> &Phases {
    verdict.latency.acquire_intended.as_ref().expect("a client said when it meant to begin")
}

/// An acquire from `began` to `ok` that was meant to begin at `meant`, and its release.
fn meant(s: &mut Story, client: u32, [meant, began, ok]: [u64; 3]) -> Owner {
    let owner = s.owner(client);
    let op = 10_000 + owner.attempt;
    let start = Detail::Intended { start_ns: meant * MS };
    s.event(owner, op, began, Function::Acquire, Phase::Invoke, start);
    s.event(owner, op, ok, Function::Acquire, Phase::Ok, lease(began, TTL_MS, None));
    s.release(owner, ok..ok + 1);
    owner
}

#[test]
fn an_acquire_that_began_late_counts_from_when_it_was_meant_to_begin() {
    let mut s = Story::new();
    meant(&mut s, 1, [100, 700, 710]);
    meant(&mut s, 2, [720, 720, 725]);
    let verdict = s.end(5000);
    assert_eq!(by_phase(&verdict.latency.acquire), [(2, Some(10)), (0, None), (0, None)]);
    assert_eq!(by_phase(intended(&verdict)), [(2, Some(610)), (0, None), (0, None)]);
    assert_eq!(intended(&verdict).quiet.min_ms, Some(5.0));
}

#[test]
fn an_acquire_that_a_fault_kept_from_beginning_counts_against_the_fault() {
    let mut s = Story::new();
    s.probes(0..5, 0..5000, true);
    s.fault(1, 1000..2000);
    meant(&mut s, 1, [1500, 2500, 2510]);
    let verdict = s.end(5000);
    assert_eq!(by_phase(&verdict.latency.acquire), [(1, Some(10)), (0, None), (0, None)]);
    assert_eq!(by_phase(intended(&verdict)), [(0, None), (1, Some(1010)), (0, None)]);
}

#[test]
fn a_clients_first_acquire_was_meant_to_begin_when_it_did() {
    let mut s = Story::new();
    s.held(1, 10..40, 50..55, 1);
    meant(&mut s, 1, [60, 80, 90]);
    let verdict = s.end(5000);
    assert_eq!(of(&intended(&verdict).quiet), (2, Some(30)));
    assert_eq!(of(&verdict.latency.acquire.quiet), (2, Some(30)));
    assert_eq!(verdict.latency.acquire.quiet.min_ms, Some(10.0));
}

#[test]
fn an_intention_after_the_fact_is_none() {
    let mut s = Story::new();
    meant(&mut s, 1, [90, 10, 40]);
    let verdict = s.end(5000);
    assert_eq!(of(&intended(&verdict).quiet), (1, Some(30)));
}

#[test]
fn a_history_that_knows_no_intentions_makes_none_up() {
    let mut s = Story::new();
    s.held(1, 10..40, 50..55, 1);
    assert_eq!(s.end(5000).latency.acquire_intended, None);
}

#[test]
fn each_fault_has_the_acquires_that_began_in_it_and_in_its_recovery() {
    let mut s = Story::new();
    s.probes(0..5, 0..900, true);
    s.fault(1, 1000..2000);
    // Every server answers again at 2305, and after the second fault never.
    s.probes(0..5, 2300..2400, true);
    s.fault(2, 3000..4000);
    let mut token = 0;
    let mut held = |s: &mut Story, at: std::ops::Range<u64>| {
        token += 1;
        let ok = at.end;
        s.held(1, at, ok + 5..ok + 6, token);
    };
    held(&mut s, 100..101);
    held(&mut s, 999..1010);
    held(&mut s, 1020..1042);
    held(&mut s, 1900..2050);
    held(&mut s, 2100..2133);
    held(&mut s, 2500..2544);
    held(&mut s, 3500..3555);
    held(&mut s, 4100..4166);
    let verdict = s.end(6000);
    let faults: Vec<_> = verdict
        .latency
        .acquire_by_fault
        .iter()
        .map(|fault| (fault.fault, of(&fault.in_force), of(&fault.recovery)))
        .collect();
    assert_eq!(faults, [(1, (2, Some(150)), (1, Some(33))), (2, (1, Some(55)), (1, Some(66)))]);
    assert_eq!(by_phase(&verdict.latency.acquire), [(3, Some(44)), (3, Some(150)), (2, Some(66))]);
}

#[test]
fn a_recovery_that_the_next_fault_cuts_off_ends_there() {
    let mut s = Story::new();
    s.fault(1, 1000..2000);
    s.fault(2, 3000..4000);
    s.held(1, 2500..2511, 2520..2521, 1);
    s.held(1, 3500..3522, 3530..3531, 2);
    let verdict = s.end(6000);
    let [first, second] = &verdict.latency.acquire_by_fault[..] else { panic!("two faults") };
    assert_eq!((of(&first.in_force), of(&first.recovery)), ((0, None), (1, Some(11))));
    assert_eq!((of(&second.in_force), of(&second.recovery)), ((1, Some(22)), (0, None)));
}

#[test]
fn each_client_has_its_own_acquires_and_one_that_was_never_granted_has_none() {
    let mut s = Story::new();
    s.held(1, 10..20, 30..31, 1);
    s.held(2, 40..60, 70..71, 2);
    s.held(1, 80..95, 99..100, 3);
    s.denied(3, 200..201);
    let verdict = s.end(5000);
    let clients: Vec<_> = verdict
        .latency
        .acquire_by_client
        .iter()
        .map(|client| (client.client.as_str(), of(&client.whole_run)))
        .collect();
    assert_eq!(clients, [("c1", (2, Some(15))), ("c2", (1, Some(20))), ("c3", (0, None))]);
}

#[test]
fn the_attempt_alone_is_what_is_left_of_an_acquire_without_its_wait() {
    // etcd queues lock requests itself, so that only the history knows who waited for whom.
    let mut s = Story::new();
    s.held(1, 10..20, 100..105, 1);
    s.held(2, 50..112, 200..205, 2);
    // Nobody held when it asked.
    s.held(3, 300..307, 350..355, 3);
    let verdict = s.end(5000);
    let alone = &verdict.latency.acquire_alone.quiet;
    assert_eq!(by_phase(&verdict.latency.acquire)[0], (3, Some(62)));
    assert_eq!(of(alone), (3, Some(12)));
    assert_eq!(alone.min_ms, Some(7.0));
    assert_eq!(verdict.latency.acquires_that_waited, 1);
}

#[test]
fn a_client_that_knows_how_long_it_waited_is_believed() {
    let mut s = Story::new();
    s.plan().recipe = Recipe::Session;
    let owner = s.owner(1);
    s.event(owner, 1, 100, Function::Acquire, Phase::Invoke, Detail::None);
    let waited = Detail::Lease {
        lease_start_ns: 100 * MS,
        lease_ttl_ms: TTL_MS,
        revision: None,
        session_ns: MS,
        wait_ns: 40 * MS,
    };
    s.event(owner, 1, 150, Function::Acquire, Phase::Ok, waited);
    s.release(owner, 160..161);
    let verdict = s.end(5000);
    assert_eq!(of(&verdict.latency.acquire_alone.quiet), (1, Some(10)));
    assert_eq!(verdict.latency.acquires_that_waited, 1);
}

#[test]
fn a_rate_that_was_not_kept_is_a_warning_with_the_rate_that_was() {
    let with = |acquires: u64, rate_per_s: u32| {
        let mut s = Story::new();
        s.plan().rate_per_s = Some(rate_per_s);
        for n in 0..acquires {
            s.held(1, n * 10..n * 10 + 2, n * 10 + 3..n * 10 + 4, n + 1);
        }
        s.end(4000)
    };
    let is_behind = |verdict: &Verdict| {
        verdict.warnings.iter().any(|warning| matches!(warning, Warning::RateNotKept { .. }))
    };
    let kept = with(300, 75);
    assert!(!is_behind(&kept), "{:?}", kept.warnings);
    let behind = with(300, 150);
    assert!(is_behind(&behind), "{:?}", behind.warnings);
    let load = behind.load.expect("a rate");
    assert_eq!(load.intended_per_s, 150.0);
    assert!((70.0..80.0).contains(&load.begun_per_s), "{load:?}");
    assert_eq!(s_without_rate().load, None);
}

fn s_without_rate() -> Verdict {
    Story::new().end(4000)
}
