//! Registers: for each rule a history that it must reject and the nearest that it must accept, and
//! both against the search alone.

mod common;

use common::*;
use locktest_analyzer::{PropertyOutcome, RunOutcome, ViolationClass, analyze, registers};
use locktest_checker::{Decision, Options, Specification, search_one};
use locktest_history::Function::{Cas, Read, Write};
use locktest_history::Phase::{Fail, Info, Ok as Done};
use locktest_history::{Backend, Detail, ExitCause, Function, Milestone, Phase, ReadMode};
use locktest_history::{KeyId, Recipe, Record, Workload};
use proptest::prelude::*;

fn story() -> Story {
    let mut s = Story::new();
    s.plan().workload = Workload::Register;
    s
}

const NOBODY: (Option<u64>, Option<u64>) = (None, None);

fn value(value: u64) -> (Option<u64>, Option<u64>) {
    (None, Some(value))
}

fn swap(expected: u64, value: u64) -> (Option<u64>, Option<u64>) {
    (Some(expected), Some(value))
}

#[test]
fn a_read_of_what_was_overwritten_before_it_began_is_stale() {
    // 1 is written by 10, 2 from 20 to 30; the read begins at `begin`.
    for (begin, expected) in [(30, vec![]), (31, vec!["stale-read x1"])] {
        let mut s = story();
        s.register(1, 0..10, (Write, Done), value(1));
        s.register(2, 20..30, (Write, Done), value(2));
        s.register(3, begin..40, (Read, Done), value(1));
        let verdict = s.end(100);
        assert_eq!(found(&verdict), expected, "from {begin}");
        if begin == 31 {
            assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Violated);
            assert_eq!(verdict.outcome, RunOutcome::Violated);
            let violation = &verdict.violations[0];
            assert_eq!(violation.time_ns, 40 * MS);
            let involved: Vec<&str> =
                violation.operations.iter().map(|o| o.client.as_str()).collect();
            assert_eq!(involved, ["c1", "c2", "c3"]);
            assert!(
                violation
                    .why
                    .contains("found 1, which c1 had written by 0.010 s; c2 had since written 2"),
                "{}",
                violation.why
            );
        }
    }
}

#[test]
fn a_read_of_nothing_is_stale_once_something_was_written() {
    for (begin, expected) in [(10, vec![]), (11, vec!["stale-read x1"])] {
        let mut s = story();
        s.register(1, 0..10, (Cas, Done), value(1));
        s.register(3, begin..40, (Read, Done), NOBODY);
        assert_eq!(found(&s.end(100)), expected, "from {begin}");
    }
}

#[test]
fn a_write_of_unknown_outcome_may_come_true_after_the_one_that_seems_later() {
    let mut s = story();
    s.register(1, 0..10, (Write, Info), value(1));
    s.register(2, 20..30, (Write, Done), value(2));
    s.register(3, 40..50, (Read, Done), value(2));
    s.register(3, 60..70, (Read, Done), value(1));
    let verdict = s.end(100);
    assert_eq!(found(&verdict), nothing());
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Held);
    s.history.records.pop();
    s.register(3, 80..90, (Read, Done), value(2));
    assert_eq!(found(&s.cut()), ["not-linearizable x1"]);
}

#[test]
fn a_write_that_surely_failed_is_read_by_nobody() {
    let mut s = story();
    s.register(1, 0..10, (Write, Done), value(1));
    let owner = s.owner(2);
    let asked = Detail::Register { expected: None, value: Some(2) };
    s.event(owner, 900, 20, Write, Phase::Invoke, asked);
    s.event(owner, 900, 30, Write, Phase::Fail, not_asked());
    s.register(3, 40..50, (Read, Done), value(1));
    assert_eq!(found(&s.end(100)), nothing());
    s.register(3, 60..70, (Read, Done), value(2));
    assert_eq!(found(&s.cut()), ["not-linearizable x1"]);
}

#[test]
fn a_cas_that_was_refused_saw_another_value_and_one_that_failed_otherwise_saw_nothing() {
    for (told, expected) in [(true, vec!["not-linearizable x1"]), (false, vec![])] {
        let mut s = story();
        s.register(1, 0..10, (Write, Done), value(1));
        let owner = s.owner(2);
        let detail = || Detail::Register { expected: Some(1), value: Some(2) };
        s.event(owner, 900, 20, Cas, Phase::Invoke, detail());
        s.event(owner, 900, 30, Cas, Fail, if told { detail() } else { refused() });
        let verdict = s.end(100);
        assert_eq!(found(&verdict), expected);
        let counts = verdict.counts.registers.expect("registers");
        assert_eq!((counts.cas_refused, counts.failed), if told { (1, 0) } else { (0, 1) });
    }
}

#[test]
fn two_ok_cas_of_one_value_are_no_register() {
    let mut s = story();
    s.register(1, 0..10, (Write, Done), value(1));
    s.register(1, 20..30, (Cas, Done), swap(1, 2));
    s.register(2, 20..30, (Cas, Done), swap(1, 3));
    let verdict = s.end(100);
    assert_eq!(found(&verdict), ["not-linearizable x1"]);
    let why = &verdict.violations[0].why;
    assert!(why.contains("no order of what was asked of lock-0 until 0.030 s explains"), "{why}");
}

#[test]
fn keys_are_registers_of_their_own() {
    for (key, expected) in [(0, vec!["stale-read x1"]), (1, vec![])] {
        let mut s = story();
        s.register(1, 0..10, (Write, Done), value(1));
        s.register(2, 20..30, (Write, Done), value(2));
        for record in &mut s.history.records[3..] {
            if let Record::Event(event) = record {
                event.key = KeyId(key);
            }
        }
        s.register(3, 40..50, (Read, Done), value(1));
        assert_eq!(found(&s.end(100)), expected, "the later write is to key {key}");
    }
}

#[test]
fn a_history_that_may_lack_a_write_is_undecided_and_never_violated() {
    for exits in [false, true] {
        let mut s = story();
        s.register(1, 0..10, (Write, Done), value(1));
        // Nobody is known to have written 7.
        s.register(3, 40..50, (Read, Done), value(7));
        for client in 1..=3 {
            if exits || client != 2 {
                s.exit(client, 100, ExitCause::Finished);
            }
        }
        s.milestone(100, Milestone::End);
        let verdict = analyze(&s.history);
        let expected = if exits { vec!["not-linearizable x1".to_owned()] } else { nothing() };
        assert_eq!(found(&verdict), expected);
        let outcome = if exits { RunOutcome::Violated } else { RunOutcome::Undecided };
        assert_eq!(verdict.outcome, outcome);
    }
}

#[test]
fn a_contradiction_leaves_what_the_search_finds_undecided() {
    let mut s = story();
    s.register(1, 0..10, (Write, Done), value(1));
    s.register(3, 40..50, (Read, Done), value(7));
    let owner = s.owner(2);
    s.event(owner, 900, 30, Write, Phase::Ok, Detail::Register { expected: None, value: Some(7) });
    let verdict = s.end(100);
    assert_eq!(found(&verdict), nothing());
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Undecided);
}

#[test]
fn the_rows_of_a_run_without_locks() {
    let mut s = story();
    s.on(Backend::Etcd, Recipe::LockRpc);
    s.plan().read_mode = ReadMode::Serializable;
    s.probes(0..5, 0..9000, true);
    s.fault(1, 1000..3000);
    for n in 0..30 {
        let at = 200 * n;
        s.register(1, at..at + 10, (Write, Done), value(n + 1));
        s.register(2, at + 20..at + 30, (Read, Done), value(n + 1));
        s.register(3, at + 40..at + 45, (Cas, Fail), swap(n, 1000 + n));
    }
    let verdict = s.end(9000);
    assert_eq!(found(&verdict), nothing());
    assert_eq!(verdict.outcome, RunOutcome::Held);
    assert_eq!(
        verdict.summary,
        "linearizable: no violation found in 30 reads, 30 writes, 30 compare-and-sets, 1 fault that bit"
    );
    let rows = &verdict.properties;
    assert_eq!(rows.deadlock_free.outcome, PropertyOutcome::NotTested);
    assert_eq!(rows.fencing.outcome, PropertyOutcome::NotTested);
    assert_eq!(rows.fault_tolerance.outcome, PropertyOutcome::Held);
    assert!(
        rows.fault_tolerance.why.starts_with("10 writes answered"),
        "{}",
        rows.fault_tolerance.why
    );
    assert_eq!(verdict.warnings, []);
    assert_eq!(verdict.read_mode, ReadMode::Serializable);
    let latency = &verdict.latency;
    let n = |phases: &Option<locktest_analyzer::Phases>| {
        let phases = phases.as_ref().expect("a table");
        phases.quiet.n + phases.fault.n + phases.recovery.n
    };
    assert_eq!((n(&latency.read), n(&latency.write), n(&latency.cas)), (30, 30, 30));
}

#[test]
fn nothing_answered_is_nothing_decided() {
    let mut s = story();
    s.register(1, 0..10, (Write, Info), value(1));
    let verdict = s.end(100);
    assert_eq!(verdict.outcome, RunOutcome::Undecided);
    assert_eq!(verdict.summary, "no operation was answered");
    assert_eq!(verdict.counts.registers.expect("registers").unknown, 1);
}

#[test]
fn an_answered_write_shows_that_the_store_is_available() {
    for (writes, expected) in [(false, vec!["unavailable x1"]), (true, vec![])] {
        let mut s = story();
        s.probes(0..5, 0..200, true);
        s.probes(0..5, 200..9000, false);
        for n in 0..8 {
            let at = 1000 * n;
            let what = if writes { (Write, Done) } else { (Read, Done) };
            s.register(1, at..at + 10, what, if writes { value(n + 1) } else { NOBODY });
        }
        assert_eq!(found(&s.end(9000)), expected);
    }
}

/// What a made-up client does: a function, how it ends, and the values.
#[derive(Clone, Debug)]
struct Asked {
    idle: u64,
    took: u64,
    function: Function,
    phase: Phase,
    expected: u64,
    read: u64,
}

fn asked() -> impl Strategy<Value = Asked> {
    let function = prop::sample::select(vec![Read, Read, Write, Cas]);
    let phase = prop::sample::select(vec![Done, Done, Done, Fail, Info]);
    ((0..6u64, 0..8u64), function, phase, 0..5u64, 0..5u64).prop_map(
        |((idle, took), function, phase, expected, read)| Asked {
            idle,
            took,
            function,
            phase,
            expected,
            read,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Both steps together find exactly what the search alone finds, and a read is never called
    /// stale in a history that has an order.
    #[test]
    fn a_run_is_violated_exactly_if_no_order_explains_it(
        clients in prop::collection::vec(prop::collection::vec(asked(), 0..5), 1..4),
    ) {
        let mut s = story();
        s.plan().client_seeds = vec![0; clients.len()];
        let mut next = 0;
        for (client, operations) in (1..).zip(&clients) {
            let mut now = 0;
            for asked in operations {
                next += 1;
                let some = |n: u64| (n > 0).then_some(n);
                // Small values are written by the first few; no value is written twice.
                let values = match asked.function {
                    Read => (None, some(asked.read)),
                    _ => (some(asked.expected), Some(next)),
                };
                let begin = now + asked.idle;
                now = begin + asked.took;
                let phase = match (asked.function, asked.phase) {
                    (Read | Write, Fail) => Info,
                    (_, phase) => phase,
                };
                s.register(client, begin..now, (asked.function, phase), values);
                now += 1;
            }
        }
        for client in 4..=clients.len() {
            s.exit(client as u32, 200, ExitCause::Finished);
        }
        let verdict = s.end(200);
        let (objects, values) = registers(&s.history);
        let options =
            Options { certificate: false, time_is_up: &|| false, memory_limit_bytes: usize::MAX };
        let good = objects.iter().all(|object| {
            let decision = search_one(Specification::CasRegister, &object.operations, &values, &options);
            matches!(decision, Decision::Linearizable(_))
        });
        prop_assert_eq!(verdict.violation_counts.is_empty(), good);
        let classes = [ViolationClass::StaleRead, ViolationClass::NotLinearizable];
        prop_assert!(verdict.violation_counts.keys().all(|class| classes.contains(class)));
    }
}

/// A register that works, under ten clients with thousands of unknown outcomes: decided within the
/// budget.
#[test]
fn a_long_run_of_a_register_that_works_is_decided() {
    let mut s = story();
    s.plan().client_seeds = vec![0; 10];
    // A small generator (Steele, Lea and Flood's SplitMix64).
    let mut state = 7u64;
    let mut below = |limit: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    };
    // Who asks what, and when it is asked, takes effect and is given up or answered. Of what has no
    // answer, half never happens and a quarter happens late.
    let mut free = [0u64; 10];
    let mut effects = Vec::new();
    for number in 0..30_000 {
        let client = (0..10).min_by_key(|client| free[*client]).expect("ten clients");
        let begin = free[client] + below(10);
        let took = 2 + below(60);
        let effect = begin + 1 + below(took - 1);
        let lost = below(100) < 15;
        let effect = match below(4) {
            0 if lost => effect + below(3_000),
            1 | 2 if lost => u64::MAX,
            _ => effect,
        };
        effects.push((effect, number, begin, client as u32 + 1, took, lost));
        free[client] = begin + took + 1;
    }
    effects.sort_unstable();
    let (mut held, mut unknown) = (None, 0);
    // What each client saw, and from when on.
    let mut seen: Vec<Vec<(u64, u64)>> = vec![Vec::new(); 11];
    for (effect, number, begin, client, took, lost) in effects {
        let (at, happens) = (begin..begin + took, effect < u64::MAX);
        let phase = if lost { Info } else { Done };
        let new = number + 1;
        let saw = &mut seen[client as usize];
        let (function, phase, values) = match number % 10 {
            0..5 => (Read, phase, (None, held)),
            5..8 => {
                held = if happens { Some(new) } else { held };
                (Write, phase, (None, Some(new)))
            }
            _ => {
                let before = saw.iter().filter(|(since, _)| *since <= begin);
                let expected = before.max().map(|(_, value)| *value);
                let fits = expected == held;
                held = if happens && fits { Some(new) } else { held };
                (Cas, if lost || fits { phase } else { Fail }, (expected, Some(new)))
            }
        };
        unknown += u64::from(lost);
        if let (Done, (_, Some(value))) = (phase, values) {
            saw.push((at.end, value));
        }
        s.register(client, at, (function, phase), values);
    }
    assert!(unknown > 4_000, "{unknown} are unknown");
    for client in 4..=10 {
        s.exit(client, 10_000_000, ExitCause::Finished);
    }
    let verdict = s.end(10_000_000);
    assert_eq!(found(&verdict), nothing());
    assert_eq!(verdict.properties.safety.outcome, PropertyOutcome::Held, "{}", verdict.summary);
}
