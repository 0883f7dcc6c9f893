//! Values that are kept in the store under test: what is lost for certain, and who is to blame.

mod common;

use common::*;
use locktest_analyzer::{PropertyOutcome, ViolationClass};
use locktest_history::Resource::{Fenced, Unfenced};
use locktest_history::{Detail, Function, Phase, ReadMode, Recipe, Resource, Workload};
use proptest::prelude::*;

fn story(recipe: Recipe) -> Story {
    let mut s = Story::new();
    s.on(store_of(recipe), recipe);
    s.plan().workload = Workload::CriticalSection;
    s
}

/// A read that finds `value`, or a write by one who had read it.
fn access(
    s: &mut Story,
    owner: Owner,
    at: std::ops::Range<u64>,
    copy: Resource,
    (function, phase, value): (Function, Phase, u64),
) {
    let detail = |value| Detail::Access { resource: copy, token: None, value };
    let op = 100_000 + s.history.records.len() as u64;
    let asked = if function == Function::Read { 0 } else { value };
    s.event(owner, op, at.start, function, Phase::Invoke, detail(asked));
    let answer = match phase {
        Phase::Info => Detail::Reason("timeout".into()),
        _ => detail(value),
    };
    s.event(owner, op, at.end, function, phase, answer);
}

const READ: Function = Function::Read;
const WRITE: Function = Function::Write;

/// c1 holds from 10 and writes at 20 to 25, c2 is granted the lock at `granted`, reads 70 as c1 did
/// and writes.
fn twice(recipe: Recipe, copy: Resource, granted: u64) -> Story {
    let mut s = story(recipe);
    let a = s.granted(1, 0..10);
    s.ours(a, 10..11, 1);
    access(&mut s, a, 12..13, copy, (READ, Phase::Ok, 70));
    access(&mut s, a, 20..25, copy, (WRITE, Phase::Ok, 70));
    s.release(a, 30..35);
    let b = s.granted_with(2, 5..granted, lease(granted, TTL_MS, None));
    s.ours(b, granted..granted + 1, 2);
    access(&mut s, b, granted + 2..granted + 3, copy, (READ, Phase::Ok, 70));
    access(&mut s, b, granted + 10..granted + 11, copy, (WRITE, Phase::Ok, 70));
    s.release(b, granted + 20..granted + 25);
    s
}

#[test]
fn two_writes_that_replaced_one_value_lost_an_update() {
    let verdict = twice(Recipe::LockRpc, Unfenced, 40).end(2000);
    assert_eq!(found(&verdict), ["lost-update x1"]);
    let violation = &verdict.violations[0];
    assert_eq!((violation.resource, violation.time_ns), (Some(Unfenced), 51 * MS));
    let why = &violation.why;
    assert!(
        why.starts_with("c1 at 0.025 s and c2 at 0.051 s each replaced 70 in the unfenced value"),
        "{why}"
    );
    assert!(why.contains("nobody who had not seen it was inside"), "{why}");
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
}

#[test]
fn owners_inside_at_one_time_explain_a_loss_that_a_token_would_have_saved() {
    let mut s = story(Recipe::LockRpc);
    let a = s.granted(1, 0..10);
    s.ours(a, 10..11, 1);
    access(&mut s, a, 12..13, Unfenced, (READ, Phase::Ok, 70));
    let b = s.granted_with(2, 5..1100, lease(1100, TTL_MS, None));
    s.ours(b, 1100..1101, 2);
    access(&mut s, b, 1102..1103, Unfenced, (READ, Phase::Ok, 70));
    access(&mut s, b, 1110..1111, Unfenced, (WRITE, Phase::Ok, 70));
    access(&mut s, a, 1120..1121, Unfenced, (WRITE, Phase::Ok, 70));
    s.release(a, 1130..1135);
    s.release(b, 1140..1145);
    let verdict = s.end(3000);
    assert_eq!(found(&verdict), ["lease-overrun x1", "lost-update x1"]);
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::NeedsFencing);
}

#[test]
fn a_loss_of_the_guarded_value_violates_safety_and_fencing() {
    for recipe in [Recipe::LockRpc, Recipe::Single] {
        let verdict = twice(recipe, Fenced, 40).end(2000);
        assert_eq!(found(&verdict), ["lost-update x1"]);
        assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
        let fencing = &verdict.properties.fencing;
        assert_eq!(fencing.outcome, PropertyOutcome::Violated, "{recipe}");
        let why = "1 update lost although the store checked the lock's entry with each write";
        assert!(fencing.why.ends_with(why), "{}", fencing.why);
    }
}

#[test]
fn writers_that_take_turns_lose_nothing_and_the_guard_is_spoken_of() {
    for recipe in [Recipe::LockRpc, Recipe::Single] {
        let mut s = story(recipe);
        for turn in 0..20 {
            let at = turn * 100;
            let owner = s.granted(1 + (turn % 2) as u32, at..at + 10);
            s.ours(owner, at + 10..at + 11, turn + 1);
            for copy in [Unfenced, Fenced] {
                access(&mut s, owner, at + 12..at + 13, copy, (READ, Phase::Ok, turn));
                access(&mut s, owner, at + 20..at + 21, copy, (WRITE, Phase::Ok, turn));
            }
            s.release(owner, at + 30..at + 35);
        }
        let late = s.granted(3, 2100..2110);
        access(&mut s, late, 2120..2121, Fenced, (WRITE, Phase::Fail, 20));
        s.release(late, 2130..2135);
        let verdict = s.end(3000);
        assert_eq!(found(&verdict), nothing());
        assert_eq!(verdict.counts.fenced_rejections, 1);
        let fencing = &verdict.properties.fencing;
        let guard = "the store took 20 writes that came with a check of the lock's entry, refused 1, and lost no update";
        assert!(fencing.why.ends_with(guard), "{}", fencing.why);
        let expected = match recipe.has_fencing_tokens() {
            true => PropertyOutcome::Held,
            false => PropertyOutcome::Unsupported,
        };
        assert_eq!(fencing.outcome, expected);
        assert_eq!(verdict.latency.write.expect("writes").quiet.n, 40);
    }
}

/// c1 reads 70 and writes 71 with this outcome; c2 then reads `found`.
fn fallen(phase: Phase, found: u64, begin: u64) -> Story {
    let mut s = story(Recipe::LockRpc);
    let a = s.granted(1, 0..10);
    access(&mut s, a, 12..13, Unfenced, (READ, Phase::Ok, 70));
    access(&mut s, a, 20..25, Unfenced, (WRITE, phase, 70));
    // Its write is under way when it gives the lock up.
    s.release(a, 22..24);
    let b = s.granted_with(2, 5..begin - 1, lease(begin - 1, TTL_MS, None));
    access(&mut s, b, begin..begin + 5, Unfenced, (READ, Phase::Ok, found));
    s.release(b, 90..95);
    s
}

#[test]
fn a_read_that_finds_less_than_an_answered_write_left_shows_a_loss() {
    assert_eq!(found(&fallen(Phase::Ok, 70, 40).end(2000)), ["lost-update x1"]);
    assert_eq!(found(&fallen(Phase::Ok, 71, 40).end(2000)), nothing());
    assert_eq!(found(&fallen(Phase::Ok, 70, 25).end(2000)), nothing(), "they were concurrent");
    assert_eq!(found(&fallen(Phase::Ok, 70, 26).end(2000)), ["lost-update x1"]);
    assert_eq!(found(&fallen(Phase::Info, 70, 40).end(2000)), nothing(), "it may never have come");
}

#[test]
fn a_read_that_may_be_of_the_past_shows_no_loss() {
    let mut s = fallen(Phase::Ok, 70, 40);
    s.plan().read_mode = ReadMode::Serializable;
    assert_eq!(found(&s.end(2000)), nothing());
    for recipe in [Recipe::EphemeralSequential, Recipe::Sentinel] {
        let mut s = fallen(Phase::Ok, 70, 40);
        s.on(store_of(recipe), recipe);
        assert_eq!(found(&s.end(2000)), nothing(), "{recipe}");
    }
}

#[test]
fn a_write_of_unknown_outcome_that_lands_late_is_no_fault_of_the_service() {
    let mut s = story(Recipe::LockRpc);
    let a = s.granted(1, 0..10);
    access(&mut s, a, 12..13, Unfenced, (READ, Phase::Ok, 70));
    access(&mut s, a, 20..25, Unfenced, (WRITE, Phase::Info, 70));
    s.release(a, 30..35);
    // c2 does not see it; it lands after c2's second write.
    for (turn, at) in [(70, 40), (71, 140)] {
        let b = s.granted(2, at..at + 5);
        access(&mut s, b, at + 6..at + 7, Unfenced, (READ, Phase::Ok, turn));
        access(&mut s, b, at + 8..at + 9, Unfenced, (WRITE, Phase::Ok, turn));
        s.release(b, at + 10..at + 15);
    }
    let c = s.granted(3, 200..210);
    access(&mut s, c, 220..225, Unfenced, (READ, Phase::Ok, 71));
    s.release(c, 230..235);
    let verdict = s.end(2000);
    assert_eq!(found(&verdict), ["lost-update x1"]);
    assert!(verdict.violations[0].why.contains("what became of its write is unknown"));
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::NeedsFencing);
}

#[test]
fn what_the_store_forgets_is_not_put_down_to_a_loss_of_long_ago() {
    let mut s = story(Recipe::LockRpc);
    // c1 is inside for too long, and both replace 70.
    let a = s.granted(1, 0..10);
    access(&mut s, a, 12..13, Unfenced, (READ, Phase::Ok, 70));
    let b = s.granted_with(2, 5..1100, lease(1100, TTL_MS, None));
    access(&mut s, b, 1102..1103, Unfenced, (READ, Phase::Ok, 70));
    access(&mut s, b, 1110..1111, Unfenced, (WRITE, Phase::Ok, 70));
    access(&mut s, a, 1120..1121, Unfenced, (WRITE, Phase::Ok, 70));
    s.release(a, 1130..1135);
    s.release(b, 1140..1145);
    let c = s.granted(3, 1200..1210);
    access(&mut s, c, 1220..1221, Unfenced, (READ, Phase::Ok, 71));
    access(&mut s, c, 1230..1231, Unfenced, (WRITE, Phase::Ok, 71));
    s.release(c, 1240..1245);
    let d = s.granted(1, 1300..1310);
    // All who had not seen 72 had written by then.
    access(&mut s, d, 1320..1321, Unfenced, (READ, Phase::Ok, 70));
    s.release(d, 1340..1345);
    let verdict = s.end(3000);
    assert_eq!(found(&verdict), ["lease-overrun x1", "lost-update x2"]);
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
}

#[test]
fn a_writer_that_overwrites_its_own_value_loses_nobodys_update() {
    let mut s = story(Recipe::LockRpc);
    let a = s.granted(1, 0..10);
    access(&mut s, a, 12..13, Unfenced, (READ, Phase::Ok, 70));
    access(&mut s, a, 14..15, Unfenced, (WRITE, Phase::Ok, 70));
    access(&mut s, a, 16..17, Unfenced, (WRITE, Phase::Ok, 70));
    s.release(a, 50..55);
    assert_eq!(found(&s.end(100)), nothing());
}

/// One owner's turn: when it is granted, reads, writes and releases, in milliseconds after the step
/// before, and when its requests take effect within their time.
#[derive(Clone, Debug)]
struct Turn {
    begin: u64,
    read: (u64, u64),
    write: (u64, u64),
    outcome: Phase,
    lands: u64,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let outcome = prop::sample::select(vec![Phase::Ok, Phase::Ok, Phase::Ok, Phase::Info]);
    let turn = (0..120u64, (0..8u64, 0..8u64), (0..8u64, 0..8u64), outcome, 0..60u64).prop_map(
        |(begin, read, write, outcome, lands)| Turn { begin, read, write, outcome, lands },
    );
    prop::collection::vec(turn, 1..7)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// A store that works, and owners that are inside whenever they like: what is called lost is
    /// lost. Each update of the store carries the updates that its writer had seen, which tells.
    #[test]
    fn what_is_called_lost_is_lost(turns in turns()) {
        let mut s = story(Recipe::LockRpc);
        s.plan().client_seeds = vec![0; turns.len()];
        // When requests take effect: reads fetch, writes store what their reader had seen and itself.
        let mut steps: Vec<(u64, bool, usize)> = Vec::new();
        for (index, turn) in turns.iter().enumerate() {
            let read_at = turn.begin + 2 + turn.read.0;
            let write_begin = turn.begin + 4 + turn.read.0 + turn.read.1 + turn.write.0;
            let write_at = match turn.outcome {
                Phase::Ok => write_begin + turn.write.1,
                _ => write_begin + turn.lands,
            };
            // What has no answer may never arrive.
            let arrives = turn.outcome == Phase::Ok || turn.lands % 3 > 0;
            steps.push((read_at, false, index));
            if arrives {
                steps.push((write_at, true, index));
            }
        }
        steps.sort_unstable();
        let mut held: Vec<usize> = Vec::new();
        let mut seen: Vec<Vec<usize>> = vec![Vec::new(); turns.len()];
        let mut lost = Vec::new();
        for (_, writes, index) in steps {
            if writes {
                let own: Vec<usize> = seen[index].iter().copied().chain([index]).collect();
                lost.extend(held.iter().copied().filter(|update| !own.contains(update)));
                held = own;
            } else {
                seen[index] = held.clone();
            }
        }
        for (client, turn) in (1..).zip(&turns) {
            let index = client as usize - 1;
            let value = seen[index].len() as u64;
            let owner = s.granted_with(client, turn.begin..turn.begin + 1, lease(turn.begin, 1, None));
            let read = turn.begin + 2..turn.begin + 2 + turn.read.0 + turn.read.1;
            access(&mut s, owner, read.clone(), Unfenced, (READ, Phase::Ok, value));
            let begin = read.end + 2 + turn.write.0;
            let end = begin + turn.write.1;
            access(&mut s, owner, begin..end, Unfenced, (WRITE, turn.outcome, value));
            s.release(owner, end + 1..end + 2);
            if client > 3 {
                s.exit(client, 1000, locktest_history::ExitCause::Finished);
            }
        }
        let verdict = s.end(1000);
        let count = verdict.violation_counts.get(&ViolationClass::LostUpdate).copied().unwrap_or(0);
        prop_assert!(count <= lost.len() as u64, "{count} of {lost:?}");
        // The store did as it was told, and the records show who was inside.
        prop_assert_ne!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
    }
}
