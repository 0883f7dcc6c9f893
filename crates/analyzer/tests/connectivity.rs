//! Which servers count while faults are in force, and who reaches them: for each rule a history that
//! it must reject and the nearest that it must accept.

mod common;

use std::slice::from_ref;

use common::*;
use locktest_analyzer::{PropertyOutcome, RunOutcome, Verdict};
use locktest_history::{Backend, Cut, Detail, Fault, FaultKind, Function, Phase, Recipe, Record};

/// c1 gives the lock up at 100. The faults are in force, each from 200 and a little later on and to
/// the end, while c2 waits in vain through a server, counted from 1, from 300 to 7900.
fn story(faults: &[Fault], waits_through: u16) -> Story {
    let mut s = Story::new();
    s.probes(0..5, 0..10_000, true);
    s.held(1, 0..10, 90..100, 1);
    for (id, fault) in (1..).zip(faults) {
        s.in_force(id, 190 + 10 * u64::from(id)..8000, fault.clone());
    }
    let mut b = s.owner(2);
    b.server = waits_through - 1;
    s.operation(b, 300..7900, Function::Acquire, Phase::Fail, refused());
    s
}

fn waits(faults: &[Fault], waits_through: u16) -> Vec<String> {
    found(&story(faults, waits_through).end(9000))
}

/// The same on Redis, where c2 asks all servers at once.
fn waits_for_a_majority(faults: &[Fault]) -> Vec<String> {
    let mut s = story(faults, 1);
    s.on(Backend::Redis, Recipe::Redlock);
    for record in &mut s.history.records {
        if let Record::Event(event) = record {
            event.server = None;
        }
    }
    found(&s.end(9000))
}

fn cut(sides: &[(&[u16], &[u16])]) -> Fault {
    let both_ways = |(one, other): &(&[u16], &[u16])| partition([(*one, &[]), (*other, &[])]).cuts;
    Fault { cuts: sides.iter().flat_map(both_ways).collect(), ..fault(FaultKind::Partition) }
}

fn one_way(from: &[u16], to: &[u16]) -> Fault {
    let parties = |numbers: &[u16]| numbers.iter().map(|n| server(*n)).collect();
    let cut = Cut { from: parties(from), to: parties(to) };
    Fault { cuts: vec![cut], ..fault(FaultKind::Partition) }
}

const DEADLOCK: [&str; 1] = ["deadlock x1"];

#[test]
fn a_wait_through_a_server_that_is_down_shows_nothing() {
    for kind in [FaultKind::Kill, FaultKind::Pause] {
        assert_eq!(waits(&[done_to(kind, &[1, 2])], 1), nothing(), "{kind}");
        assert_eq!(waits(&[done_to(kind, &[1, 2])], 3), DEADLOCK, "{kind}");
    }
}

#[test]
fn nobody_can_expect_a_lock_while_no_majority_is_up() {
    for kind in [FaultKind::Kill, FaultKind::Pause] {
        assert_eq!(waits(&[done_to(kind, &[1, 2, 3])], 4), nothing(), "{kind}");
    }
    assert_eq!(waits(&[done_to(FaultKind::RestartAll, &[1, 2, 3, 4, 5])], 4), nothing());
}

#[test]
fn a_ring_and_a_bridge_promise_nothing_and_a_single_cut_link_does() {
    let ring: Fault = cut(&[(&[1], &[3, 4]), (&[2], &[4, 5]), (&[3], &[5])]);
    let bridge = cut(&[(&[1, 2], &[4, 5])]);
    for n in 1..=5 {
        assert_eq!(waits(from_ref(&ring), n), nothing(), "ring, n{n}");
        assert_eq!(waits(from_ref(&bridge), n), nothing(), "bridge, n{n}");
        let expected = if n < 3 { nothing() } else { DEADLOCK.map(Into::into).into() };
        assert_eq!(waits(&[cut(&[(&[1], &[2])])], n), expected, "one link, n{n}");
    }
}

#[test]
fn a_server_that_is_only_heard_or_only_hears_is_cut_off() {
    for fault in [one_way(&[1], &[2, 3, 4, 5]), one_way(&[2, 3, 4, 5], &[1])] {
        assert_eq!(waits(from_ref(&fault), 1), nothing());
        assert_eq!(waits(&[fault], 2), DEADLOCK);
    }
}

#[test]
fn faults_that_each_leave_a_majority_can_leave_none_together() {
    let (kill, cut) = (done_to(FaultKind::Kill, &[1, 2]), cut(&[(&[3], &[1, 2, 4, 5])]));
    assert_eq!(waits(from_ref(&kill), 4), DEADLOCK);
    assert_eq!(waits(from_ref(&cut), 4), DEADLOCK);
    assert_eq!(waits(&[kill.clone(), cut.clone()], 4), nothing());
    // The same server twice is no other.
    let same = done_to(FaultKind::Pause, &[2]);
    assert_eq!(waits(&[kill, same], 4), DEADLOCK);
}

#[test]
fn a_majority_that_has_not_recovered_when_the_next_fault_comes_is_none() {
    for (recovered, expected) in [(false, vec![]), (true, vec!["deadlock x1"])] {
        let mut s = Story::new();
        s.probes(2..5, 0..10_000, true);
        s.probes(0..2, 0..200, true);
        s.probes(0..2, 1000..10_000, recovered);
        s.held(1, 0..10, 90..100, 1);
        s.in_force(1, 200..1000, done_to(FaultKind::Kill, &[1, 2]));
        s.in_force(2, 1500..9000, done_to(FaultKind::Kill, &[3]));
        let mut b = s.owner(2);
        b.server = 3;
        s.event(b, 900, 1600, Function::Acquire, Phase::Invoke, Detail::None);
        assert_eq!(found(&s.end(8900)), expected, "recovered: {recovered}");
    }
}

#[test]
fn a_fault_that_could_not_be_shown_to_be_gone_may_last() {
    for (undone, expected) in [(false, vec![]), (true, vec!["deadlock x1"])] {
        let mut s = Story::new();
        s.probes(0..5, 0..10_000, true);
        s.held(1, 0..10, 90..100, 1);
        s.begins(1, 200, partition([(&[1], &[]), (&[2, 3, 4, 5], &[])]));
        s.fault_ends(1, 1000, (true, undone));
        s.asks(2, 1100);
        assert_eq!(found(&s.end(8900)), expected, "undone: {undone}");
    }
}

#[test]
fn a_client_waits_only_through_a_server_that_it_reaches() {
    let cut_off = partition([(&[1], &[]), (&[], &[2])]);
    assert_eq!(waits(from_ref(&cut_off), 1), nothing());
    assert_eq!(waits(from_ref(&cut_off), 2), DEADLOCK);
    let other = partition([(&[1], &[]), (&[], &[3])]);
    assert_eq!(waits(&[other], 1), DEADLOCK);
    let Cut { from, to } = cut_off.cuts[0].clone();
    let deaf = Fault { cuts: vec![Cut { from, to }], ..fault(FaultKind::Partition) };
    assert_eq!(waits(&[deaf], 1), nothing(), "one way is enough");
}

#[test]
fn whoever_does_not_reach_every_server_may_not_reach_the_primary() {
    let cut_off = partition([(&[5], &[]), (&[], &[2])]);
    let mut s = story(from_ref(&cut_off), 1);
    s.on(Backend::Redis, Recipe::Sentinel);
    assert_eq!(found(&s.end(9000)), nothing());
    assert_eq!(waits(&[cut_off], 1), DEADLOCK);
}

#[test]
fn servers_that_know_nothing_of_each_other_need_no_links_and_a_majority_that_is_up() {
    let split = cut(&[(&[1, 2], &[3, 4, 5])]);
    assert_eq!(waits_for_a_majority(&[cut(&[(&[1, 2], &[4, 5])]), split]), DEADLOCK);
    for kind in [FaultKind::Kill, FaultKind::Pause] {
        assert_eq!(waits_for_a_majority(&[done_to(kind, &[1, 2])]), DEADLOCK, "{kind}");
        assert_eq!(waits_for_a_majority(&[done_to(kind, &[1, 2, 3])]), nothing(), "{kind}");
    }
}

#[test]
fn what_is_down_and_what_is_cut_off_add_up() {
    let cut_off = |n: u32| partition([(&[4, 5], &[]), (&[], &[n])]);
    let kill = done_to(FaultKind::Kill, &[1]);
    assert_eq!(waits_for_a_majority(&[cut_off(2)]), DEADLOCK);
    assert_eq!(waits_for_a_majority(&[cut_off(2), kill.clone()]), nothing());
    assert_eq!(waits_for_a_majority(&[cut_off(3), kill]), DEADLOCK);
    let same = done_to(FaultKind::Kill, &[5]);
    assert_eq!(waits_for_a_majority(&[cut_off(2), same]), DEADLOCK);
}

/// Writes go unanswered from 200 on, while `fault` is in force.
fn outage(fault: Fault) -> Vec<String> {
    let mut s = Story::new();
    s.probes(0..5, 0..200, true);
    s.probes(0..5, 200..8000, false);
    s.in_force(1, 200..8000, fault);
    found(&s.end(9000))
}

#[test]
fn an_outage_is_held_against_a_store_only_while_a_majority_is_up_and_connected() {
    let unavailable = ["unavailable x1"];
    for kind in [FaultKind::Kill, FaultKind::Pause] {
        assert_eq!(outage(done_to(kind, &[1, 2])), unavailable, "{kind}");
        assert_eq!(outage(done_to(kind, &[1, 2, 3])), nothing(), "{kind}");
    }
    assert_eq!(outage(one_way(&[1, 2], &[3, 4, 5])), unavailable);
    assert_eq!(outage(cut(&[(&[1, 2], &[4, 5])])), nothing());
    assert_eq!(outage(cut_off(&[1, 2, 3])), unavailable);
    assert_eq!(outage(done_to_clients(FaultKind::ClientPause, &[1, 2, 3])), unavailable);
}

/// A handover every 200 ms, and faults in force from 1000 and from 2000 to 3000.
fn tolerance(faults: &[Fault]) -> Verdict {
    let mut s = Story::new();
    for n in 0..20 {
        let at = n * 200;
        s.held(1 + (n % 2) as u32, at.max(60) - 60..at + 10, at + 190..at + 195, n + 1);
    }
    for (id, fault) in (1..).zip(faults) {
        s.in_force(id, 1000 * u64::from(id)..3000, fault.clone());
    }
    s.end(5000)
}

#[test]
fn grants_count_as_tolerance_while_all_faults_together_leave_some_client_a_majority() {
    let kill = |nodes: &[u16]| done_to(FaultKind::Kill, nodes);
    for (faults, grants) in [
        (vec![kill(&[1, 2])], Some("10 grants")),
        (vec![kill(&[1, 2]), kill(&[3])], Some("5 grants")),
        // Seen twice, a grant counts once.
        (vec![kill(&[1, 2]), kill(&[1])], Some("10 grants")),
        (vec![kill(&[1, 2, 3])], None),
        (vec![done_to(FaultKind::RestartAll, &[1, 2, 3, 4, 5])], None),
        // Beside them a fault of clients counts in what it leaves, and alone it shows nothing.
        (vec![kill(&[1]), cut_off(&[1, 2])], Some("10 grants")),
        (vec![kill(&[1]), cut_off(&[1, 2, 3])], Some("5 grants")),
        (vec![kill(&[1]), done_to_clients(FaultKind::ClientPause, &[1, 2, 3])], Some("5 grants")),
        (vec![cut_off(&[1, 2])], None),
        (vec![done_to_clients(FaultKind::ClientPause, &[1])], None),
        (vec![done_to_clients(FaultKind::ClientKill, &[1])], None),
    ] {
        let tolerance = tolerance(&faults).properties.fault_tolerance;
        match grants {
            Some(grants) => {
                let expected = format!("{grants} while faults left a majority up and connected; ");
                assert!(tolerance.why.starts_with(&expected), "{faults:?}: {}", tolerance.why);
            }
            None => assert_eq!(tolerance.outcome, PropertyOutcome::NotTested, "{faults:?}"),
        }
    }
}

/// Servers answer until 1000, when all of them are killed; the fault is undone at 1200, and from 1300
/// on only the first `recovered` of them answer, to `end`.
fn after_a_power_cut(recovered: u16, end: u64) -> Verdict {
    let mut s = Story::new();
    s.probes(0..5, 0..1000, true);
    s.held(1, 0..10, 90..100, 1);
    s.held(2, 50..110, 190..200, 2);
    s.in_force(1, 1000..1200, done_to(FaultKind::RestartAll, &[1, 2, 3, 4, 5]));
    s.probes(0..recovered, 1300..end, true);
    s.probes(recovered..5, 1300..end, false);
    s.end(end)
}

#[test]
fn a_store_that_does_not_come_back_after_a_fault_has_not_held() {
    // Until the bound has passed, it may still come back.
    let soon = after_a_power_cut(0, 1200 + BOUND_MS).properties;
    assert_eq!(soon.deadlock_free.outcome, PropertyOutcome::Held, "{soon:?}");
    assert_ne!(soon.fault_tolerance.outcome, PropertyOutcome::Undecided, "{soon:?}");

    let never = after_a_power_cut(2, 9000);
    for row in [&never.properties.deadlock_free, &never.properties.fault_tolerance] {
        assert_eq!(row.outcome, PropertyOutcome::Undecided, "{row:?}");
        assert!(row.why.starts_with("a majority of the servers was not seen to answer"), "{row:?}");
        assert!(row.why.contains("after fault 1 had been undone"), "{row:?}");
    }
    assert_eq!(never.outcome, RunOutcome::Undecided);

    // One that stays away is told, and the others can be judged.
    let one = after_a_power_cut(4, 9000).properties;
    assert_eq!(one.deadlock_free.outcome, PropertyOutcome::Held, "{one:?}");
    assert_eq!(one.fault_tolerance.outcome, PropertyOutcome::Undecided, "{one:?}");
}

#[test]
fn a_violation_names_all_faults_that_were_in_force() {
    let mut s = story(&[done_to(FaultKind::Kill, &[2]), one_way(&[1], &[2])], 4);
    assert_eq!(
        s.end(9000).violations[0].during.as_deref(),
        Some("fault 1: kill of n2, and fault 2: partition n1 > n2")
    );
}
