//! What a verdict tells of its faults: when they came into force, and whether they hit whom they were
//! aimed at.

mod common;

use common::*;
use locktest_analyzer::{FaultTiming, Verdict};
use locktest_history::*;

/// From when until when a host may have come into force or been undone.
type Spans<'a> = &'a [(u64, u64)];

fn hosts(spans: Spans) -> Vec<TookEffect> {
    let host = |(n, (from, until)): (usize, &(u64, u64))| TookEffect {
        host: format!("n{}", n + 1),
        from_ns: from * MS,
        until_ns: until * MS,
    };
    spans.iter().enumerate().map(host).collect()
}

/// Faults one after the other, each with its hosts at its begin and at its end.
fn timed(faults: &[(Spans, Spans)]) -> Verdict {
    let mut s = Story::new();
    for (id, (begun, ended)) in (1..).zip(faults) {
        s.fault(id, 1000 * u64::from(id)..1000 * u64::from(id) + 500);
        for record in &mut s.history.records {
            match record {
                Record::FaultBegun(fault) if fault.id == id => fault.hosts = hosts(begun),
                Record::FaultEnded(fault) if fault.id == id => fault.hosts = hosts(ended),
                _ => {}
            }
        }
    }
    s.end(9000)
}

#[test]
fn the_spread_is_between_the_middles_and_the_uncertainty_is_the_widest_span() {
    let verdict = timed(&[
        (&[(1000, 1004), (1010, 1012), (1005, 1006)], &[(1490, 1497)]),
        (&[(2000, 2002)], &[]),
        (&[], &[]),
        (&[(4000, 4001), (4000, 4003)], &[(4490, 4491), (4490, 4491)]),
    ]);
    let told: Vec<_> =
        verdict.faults.iter().map(|fault| (fault.spread_ms, fault.uncertainty_ms)).collect();
    assert_eq!(
        told,
        [(Some(9.0), Some(7.0)), (None, Some(2.0)), (None, None), (Some(1.0), Some(3.0))]
    );
    let timing = FaultTiming {
        faults: 2,
        median_spread_ms: Some(1.0),
        median_uncertainty_ms: Some(3.0),
        aimed_at_holder: 0,
        hit_holder: 0,
    };
    assert_eq!(verdict.fault_timing, Some(timing));
    assert_eq!(timed(&[(&[], &[])]).fault_timing, None);
}

/// c1 holds from 10 on, and a fault aimed at it begins at 200.
fn aimed(kind: FaultKind, story: impl FnOnce(&mut Story, Owner)) -> Option<bool> {
    let mut s = Story::new();
    let a = s.granted(1, 0..10);
    let fault = Fault {
        aim: Aim::Target(Target::Holder),
        holder: Some(ClientId(0)),
        ..done_to_clients(kind, &[1])
    };
    s.in_force(1, 200..500, fault);
    story(&mut s, a);
    s.end(9000).faults[0].hit_holder
}

#[test]
fn a_fault_hits_a_holder_that_still_believes_once_it_is_in_force() {
    let kind = FaultKind::ClientPause;
    assert_eq!(aimed(kind, |s, a| s.release(a, 211..230)), Some(true));
    assert_eq!(aimed(kind, |s, a| s.release(a, 209..230)), Some(false));
    assert_eq!(aimed(kind, |s, a| s.lost(a, 209)), Some(false));
    // It came back in time for another.
    let hit = aimed(kind, |s, a| {
        s.release(a, 50..60);
        s.granted(1, 70..80);
    });
    assert_eq!(hit, Some(true));
}

#[test]
fn a_fault_that_kills_hits_a_holder_that_dies_with_the_lock_in_its_hands() {
    let kind = FaultKind::ClientKill;
    assert_eq!(aimed(kind, |s, _| s.killed(1, 205)), Some(true));
    assert_eq!(aimed(kind, |s, _| s.killed(1, 260)), Some(true));
    assert_eq!(aimed(kind, |s, _| s.killed(1, 199)), Some(false));
    let gave_up = aimed(kind, |s, a| {
        s.event(a, 900, 201, Function::Release, Phase::Invoke, Detail::None);
        s.killed(1, 205);
    });
    assert_eq!(gave_up, Some(false));
}

#[test]
fn those_aimed_at_a_holder_are_counted_with_those_that_hit_one() {
    let mut s = Story::new();
    s.held(1, 0..10, 250..260, 1);
    for id in 1..=3 {
        let holder = (id < 3).then_some(ClientId(0));
        let fault = Fault { holder, ..done_to(FaultKind::Pause, &[1]) };
        s.in_force(id, 200 * u64::from(id)..200 * u64::from(id) + 100, fault);
    }
    let timing = s.end(9000).fault_timing.expect("two were aimed");
    assert_eq!((timing.aimed_at_holder, timing.hit_holder), (2, 1));
    assert_eq!((timing.faults, timing.median_spread_ms), (0, None));
}

#[test]
fn a_fault_is_told_with_its_targets_and_with_what_its_servers_needed() {
    let mut s = Story::new();
    s.probes(0..5, 0..9000, true);
    s.in_force(1, 1000..1490, done_to(FaultKind::Kill, &[3, 4]));
    s.in_force(2, 2000..2490, done_to_clients(FaultKind::ClientPause, &[2]));
    s.in_force(3, 3000..3490, cut_off(&[1]));
    let faults = s.end(9000).faults;
    let told = |n: usize| (faults[n].targets.join(" "), faults[n].description.clone());
    assert_eq!(told(0), ("n3 n4".into(), "n3 n4".into()));
    assert_eq!(told(1), ("c2".into(), "c2".into()));
    assert_eq!(told(2), ("c1".into(), "c1 | n1 n2 n3 n4 n5".into()));
    let recovered: Vec<_> = faults.iter().map(|fault| fault.servers_recovered_ms).collect();
    assert_eq!(recovered, [Some(15.0), None, Some(15.0)]);
    assert_eq!(faults.iter().map(|f| f.splits_clients).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn elections_are_told_in_order_and_do_not_stretch_the_run() {
    let mut s = Story::new();
    for n in (0..250).rev() {
        let line = "x".repeat(1000);
        let step = ElectionStep::Called;
        s.record(Record::Election(Election { time_ns: n * 100 * MS, node: NodeId(1), step, line }));
    }
    let verdict = s.end(900);
    assert_eq!((verdict.elections.len(), verdict.election_count), (200, 250));
    assert_eq!(verdict.elections[3].time_ns, 300 * MS);
    assert_eq!(verdict.elections[3].node, "n2");
    assert_eq!(verdict.elections[3].line.len(), 300);
    assert_eq!(verdict.end_ns, 900 * MS);
}
