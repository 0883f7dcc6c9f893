//! The protected resource: what its users would feel.

mod common;

use common::*;
use locktest_analyzer::{PropertyOutcome, RunOutcome};
use locktest_history::Resource::{Fenced, Unfenced};
use locktest_history::{Backend, Recipe};

/// c1 reads, is paused beyond its lease, and writes after c2 had its turn.
fn paused_holder(fencing_tokens: bool) -> Story {
    let mut s = Story::new();
    if !fencing_tokens {
        s.on(Backend::Redis, Recipe::Single);
    }
    let a = s.granted(1, 0..10);
    s.ours(a, 11..12, 4);
    s.read(a, 13..14, Unfenced, 4, 70);
    s.read(a, 13..14, Fenced, 4, 70);
    let b = s.granted_with(2, 20..1100, lease(1090, TTL_MS, None));
    s.ours(b, 1101..1102, 5);
    s.read(b, 1103..1104, Unfenced, 5, 70);
    s.read(b, 1103..1104, Fenced, 5, 70);
    s.write(b, 1200..1201, Unfenced, 5, (70, 70));
    s.write(b, 1200..1201, Fenced, 5, (70, 70));
    s.write(a, 1300..1301, Unfenced, 4, (70, 71));
    s.write_refused(a, 1300..1301, 4, 70);
    s.release(a, 1310..1315);
    s.release(b, 1400..1405);
    s
}

#[test]
fn a_paused_holder_needs_fencing_and_the_fence_holds() {
    let verdict = paused_holder(true).end(2000);
    assert_eq!(found(&verdict), ["lease-overrun x1", "lost-update x1"]);
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::NeedsFencing);
    assert_eq!(verdict.properties.fencing.outcome, PropertyOutcome::Held);
    assert_eq!(verdict.outcome, RunOutcome::Held);
    assert_eq!(verdict.counts.fenced_rejections, 1);
    let lost = &verdict.violations[1];
    assert_eq!((lost.resource, lost.time_ns), (Some(Unfenced), 1301 * MS));
    assert!(lost.why.contains("c1 read 70 and wrote with token 4 at 1.301 s"), "{}", lost.why);
    assert!(lost.why.contains("c2's write at 1.201 s is lost"), "{}", lost.why);
    let clients: Vec<&str> = lost.operations.iter().map(|o| o.client.as_str()).collect();
    assert_eq!(clients, ["c2", "c1"]);
}

#[test]
fn a_paused_holder_violates_safety_where_there_is_no_token() {
    let verdict = paused_holder(false).end(2000);
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
    assert_eq!(verdict.outcome, RunOutcome::Violated);
}

#[test]
fn writers_that_take_turns_lose_nothing() {
    let mut s = Story::new();
    for turn in 0..20 {
        let at = turn * 100;
        let owner = s.granted(1 + (turn % 2) as u32, at..at + 10);
        s.ours(owner, at + 10..at + 11, turn + 1);
        for copy in [Unfenced, Fenced] {
            s.read(owner, at + 12..at + 13, copy, turn + 1, turn);
            s.write(owner, at + 20..at + 21, copy, turn + 1, (turn, turn));
        }
        s.release(owner, at + 30..at + 35);
    }
    let verdict = s.end(3000);
    assert_eq!(found(&verdict), nothing());
    assert_eq!(verdict.properties.fencing.outcome, PropertyOutcome::Held);
}

#[test]
fn a_lost_update_behind_the_fence_violates_safety_and_fencing() {
    let mut s = Story::new();
    let a = s.held(1, 0..10, 1300..1305, 4);
    let b = s.held(2, 20..1100, 1400..1405, 5);
    s.read(a, 13..14, Fenced, 4, 70);
    s.read(b, 1103..1104, Fenced, 5, 70);
    s.write(b, 1200..1201, Fenced, 5, (70, 70));
    s.write(a, 1250..1251, Fenced, 4, (70, 71));
    let verdict = s.end(2000);
    assert_eq!(found(&verdict), ["lease-overrun x1", "lost-update x1"]);
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
    assert_eq!(verdict.properties.fencing.outcome, PropertyOutcome::Violated);
}

#[test]
fn a_write_that_lands_after_its_owner_lost_the_lock_needs_fencing() {
    let mut s = Story::new();
    let a = s.held(1, 0..10, 20..25, 4);
    let b = s.held(2, 11..30, 50..55, 5);
    s.read(a, 12..13, Unfenced, 4, 70);
    s.read(b, 31..32, Unfenced, 5, 70);
    // Sent at 19, served at 35: after c2 had read.
    s.write(a, 19..35, Unfenced, 4, (70, 70));
    s.write(b, 40..41, Unfenced, 5, (70, 71));
    let verdict = s.end(100);
    assert_eq!(found(&verdict), ["lost-update x1"]);
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::NeedsFencing);
}

#[test]
fn a_lost_update_that_no_stay_explains_is_never_hidden() {
    let mut s = Story::new();
    let a = s.held(1, 0..10, 20..25, 4);
    let b = s.held(2, 11..30, 50..55, 5);
    s.read(a, 12..13, Unfenced, 4, 70);
    s.write(a, 14..15, Unfenced, 4, (70, 70));
    s.write(b, 40..41, Unfenced, 5, (70, 71));
    let verdict = s.end(100);
    assert_eq!(found(&verdict), ["lost-update x1"]);
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
    assert!(verdict.violations[0].why.contains("the harness is at fault"));
}

#[test]
fn a_writer_that_overwrites_its_own_value_loses_nobodys_update() {
    let mut s = Story::new();
    let a = s.held(1, 0..10, 50..55, 4);
    s.read(a, 12..13, Unfenced, 4, 70);
    s.write(a, 14..15, Unfenced, 4, (70, 70));
    s.write(a, 16..17, Unfenced, 4, (70, 71));
    assert_eq!(found(&s.end(100)), nothing());
}
