//! The online deciders against brute force, prefix by prefix.

use std::collections::{BTreeMap, HashSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::decide::decide;
use crate::decision::{Conflict, Decision, Hold};
use crate::operation::{Action, NEVER, Operation, Outcome, Process};
use crate::specification::Specification;

const ACQUIRE: Action = Action::Acquire(0);
const TRY: Action = Action::TryAcquire(0);

/// What each process holds: how many times the exclusive side, and whether the shared one.
type State = BTreeMap<Process, (u32, bool)>;

fn step(specification: Specification, state: &State, operation: &Operation) -> Option<State> {
    let exclusive: u32 = state.values().map(|held| held.0).sum();
    let readers = state.values().filter(|held| held.1).count();
    let limit = match specification {
        Specification::Semaphore { permits } => permits,
        _ => 1,
    };
    let room = match operation.action {
        Action::Acquire(_) | Action::TryAcquire(_) => exclusive < limit && readers == 0,
        Action::AcquireShared | Action::TryAcquireShared => exclusive == 0,
        _ => true,
    };
    if operation.outcome == Outcome::Fail {
        return (!room).then(|| state.clone());
    }
    let mut next = state.clone();
    let held = next.entry(operation.process).or_default();
    match operation.action {
        Action::Acquire(_) | Action::TryAcquire(_) if room => held.0 += 1,
        Action::AcquireShared | Action::TryAcquireShared if room && !held.1 => held.1 = true,
        Action::Release if held.0 > 0 => held.0 -= 1,
        Action::ReleaseShared if held.1 => held.1 = false,
        _ => return None,
    }
    if *held == (0, false) {
        next.remove(&operation.process);
    }
    Some(next)
}

fn has_an_order(specification: Specification, operations: &[Operation]) -> bool {
    let tells = |operation: &&Operation| {
        operation.outcome != Outcome::Fail || operation.action.refusal_tells()
    };
    let operations: Vec<Operation> = operations.iter().filter(tells).copied().collect();
    let mut seen = HashSet::new();
    let mut stack = vec![(0u32, State::new())];
    while let Some((done, state)) = stack.pop() {
        let left = |at: &usize| done & 1 << at == 0;
        let left: Vec<usize> = (0..operations.len()).filter(left).collect();
        if left.iter().all(|at| operations[*at].outcome == Outcome::Info) {
            return true;
        }
        let deadline = left.iter().map(|at| operations[*at].complete).min().unwrap_or(NEVER);
        for at in left {
            if operations[at].invoke <= deadline
                && let Some(next) = step(specification, &state, &operations[at])
            {
                let next = (done | 1 << at, next);
                if seen.insert(next.clone()) {
                    stack.push(next);
                }
            }
        }
    }
    false
}

/// The operations of the first `count` events; what is open may happen or not.
fn operations(events: &[StreamEvent]) -> Vec<Operation> {
    let mut operations: Vec<Operation> = Vec::new();
    for event in events {
        let StreamEvent { stamp, process, action, step } = *event;
        match step {
            Step::Invoke => operations.push(Operation {
                invoke: stamp,
                complete: NEVER,
                action,
                process,
                outcome: Outcome::Info,
            }),
            Step::Complete(outcome) => {
                let mut of_process = operations.iter_mut().rev().filter(|o| o.process == process);
                let operation = of_process.next().expect("it was invoked");
                operation.outcome = outcome;
                operation.action = action;
                if outcome != Outcome::Info {
                    operation.complete = stamp;
                }
            }
        }
    }
    operations
}

/// Where the shortest prefix without an order ends.
fn first_without_an_order(specification: Specification, events: &[StreamEvent]) -> Option<usize> {
    (0..events.len())
        .filter(|at| events[*at].step != Step::Invoke)
        .find(|at| !has_an_order(specification, &operations(&events[..=*at])))
}

/// A service that works, and now and then says something else than what it did.
fn history(rng: &mut ChaCha8Rng, specification: Specification) -> Vec<StreamEvent> {
    let processes = rng.random_range(2..=5);
    let lies = [0.0, 0.2, 0.4][rng.random_range(0..3)];
    let unknown = [0.0, 0.05, 0.2][rng.random_range(0..3)];
    let tries = [0.0, 0.5, 0.9][rng.random_range(0..3)];
    let rule_breakers = if rng.random_bool(0.1) { 0.3 } else { 0.0 };
    let shared = specification == Specification::ReadWriteLock;
    let mut open: BTreeMap<Process, (Action, Option<bool>)> = BTreeMap::new();
    let mut state = State::new();
    let mut gone: HashSet<Process> = HashSet::new();
    let mut events: Vec<StreamEvent> = Vec::new();
    let mut stamp = 1;
    let mut invoked = 0;
    for _ in 0..60 {
        let process = rng.random_range(0..processes);
        let effect = |state: &mut State, action: Action| {
            let operation =
                Operation { invoke: 0, complete: 0, action, process, outcome: Outcome::Ok };
            step(specification, state, &operation).map(|next| *state = next).is_some()
        };
        let completed_now = events.iter().rev().take_while(|event| event.stamp == stamp);
        let ties = completed_now.filter(|event| event.process == process).count() > 0;
        if ties && !open.contains_key(&process) && !rng.random_bool(rule_breakers) {
            stamp += 1;
        }
        let event = match open.get_mut(&process) {
            None if invoked == 12 || gone.contains(&process) && !rng.random_bool(rule_breakers) => {
                continue;
            }
            None => {
                let (held, reads) = state.get(&process).copied().unwrap_or_default();
                let action = match rng.random_range(0..10) {
                    0 => Action::Release,
                    1 if shared => Action::ReleaseShared,
                    2..=8 if reads => Action::ReleaseShared,
                    2..=8 if held > 0 => Action::Release,
                    n if shared && n % 2 == 0 && rng.random_bool(tries / 4.0) => {
                        Action::TryAcquireShared
                    }
                    n if shared && n % 2 == 0 => Action::AcquireShared,
                    _ if rng.random_bool(if specification == Specification::OwnerMutex {
                        tries
                    } else {
                        tries / 20.0
                    }) =>
                    {
                        TRY
                    }
                    _ => ACQUIRE,
                };
                open.insert(process, (action, None));
                invoked += 1;
                StreamEvent { stamp, process, action, step: Step::Invoke }
            }
            Some((action, happened @ None)) => {
                let done = effect(&mut state, *action);
                if !done && !action.refusal_tells() && rng.random_bool(0.8) {
                    continue;
                }
                *happened = Some(done);
                continue;
            }
            Some((action, Some(happened))) => {
                let outcome = match happened {
                    _ if rng.random_bool(unknown) => Outcome::Info,
                    true => Outcome::Ok,
                    false => Outcome::Fail,
                };
                let lie = [Outcome::Ok, Outcome::Fail, Outcome::Info][rng.random_range(0..3)];
                let lie = if *action == TRY && rng.random_bool(0.7) { Outcome::Fail } else { lie };
                let outcome = if rng.random_bool(lies) { lie } else { outcome };
                let action = *action;
                open.remove(&process);
                if outcome == Outcome::Info {
                    gone.insert(process);
                }
                StreamEvent { stamp, process, action, step: Step::Complete(outcome) }
            }
        };
        events.push(event);
        stamp += u64::from(rng.random_bool(0.8));
    }
    events.sort_by_key(|event| (event.stamp, event.step != Step::Invoke));
    events
}

#[derive(Default)]
struct Seen {
    linearizable: u32,
    not: u32,
    unexplained_denials: u32,
    needs_whole_history: u32,
}

/// Feeds a history, and compares what is said at each event with brute force.
fn compare(specification: Specification, seed: u64, seen: &mut Seen) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let events = history(&mut rng, specification);
    let mut decider = Decider::new(specification).expect("there is an online decider");
    let alarm = events.iter().position(|event| decider.event(event).is_err());
    let decision = decider.finish();
    let expected = first_without_an_order(specification, &events);
    match (&decision.verdict, decide(specification, &operations(&events), false)) {
        (StreamVerdict::NeedsWholeHistory(_), _) | (_, Some(Err(_))) => {}
        (StreamVerdict::Linearizable, Some(Ok(Decision::Linearizable(_)))) => {}
        (StreamVerdict::NotLinearizable(alarm), Some(Ok(Decision::NotLinearizable(batch)))) => {
            assert_eq!(alarm.at, batch.at, "seed {seed}: {events:#?}");
        }
        differs => panic!("seed {seed}: {differs:#?} {events:#?}"),
    }
    match decision.verdict {
        StreamVerdict::Linearizable => {
            assert_eq!(expected, None, "seed {seed}: {events:#?}");
            seen.linearizable += 1;
        }
        StreamVerdict::NotLinearizable(counterexample) => {
            assert_eq!(alarm, expected, "seed {seed}: {counterexample:#?} {events:#?}");
            let at = alarm.map(|alarm| events[alarm].stamp);
            assert_eq!(Some(counterexample.at), at, "seed {seed}");
            let known = operations(&events[..=alarm.expect("it was raised")]);
            assert_is_real(specification, &counterexample.conflict, &known, seed);
            let is_denial = matches!(counterexample.conflict, Conflict::UnexplainedDenial { .. });
            seen.unexplained_denials += u32::from(is_denial);
            seen.not += 1;
        }
        StreamVerdict::NeedsWholeHistory(_) => {
            assert_eq!(alarm, None, "seed {seed}");
            let decided =
                (0..events.len()).take_while(|at| is_decided(specification, &events[..=*at]));
            let decided = decided.count();
            assert!(expected.is_none_or(|at| at >= decided), "seed {seed}: {events:#?}");
            seen.needs_whole_history += 1;
        }
    }
}

fn is_decided(specification: Specification, events: &[StreamEvent]) -> bool {
    let mut decider = Decider::new(specification).expect("there is an online decider");
    for event in events {
        let _ = decider.event(event);
    }
    !matches!(decider.finish().verdict, StreamVerdict::NeedsWholeHistory(_))
}

/// Whether what the conflict names is in the history, and is one by itself.
fn assert_is_real(
    specification: Specification,
    conflict: &Conflict,
    known: &[Operation],
    seed: u64,
) {
    let is_known = |involved: &crate::Involved| {
        assert_eq!(known[involved.index as usize], involved.operation, "seed {seed}");
        involved.operation
    };
    let of_hold = |hold: &Hold| -> Vec<Operation> {
        [Some(hold.acquire), hold.release].iter().flatten().map(is_known).collect()
    };
    match conflict {
        Conflict::Overlap(holds) => {
            let begun = holds.iter().map(|hold| is_known(&hold.acquire).complete).max();
            let ended =
                |hold: &Hold| hold.release.map_or(NEVER, |release| release.operation.invoke);
            assert!(begun <= holds.iter().map(ended).min(), "seed {seed}: {holds:#?}");
            let operations: Vec<Operation> = holds.iter().flat_map(of_hold).collect();
            assert!(!has_an_order(specification, &operations), "seed {seed}: {holds:#?}");
        }
        Conflict::UnexplainedDenial { denial, before, after } => {
            let around = [before, after].into_iter().flatten().flat_map(of_hold);
            let operations: Vec<Operation> = around.chain([is_known(denial)]).collect();
            assert!(!has_an_order(specification, &operations), "seed {seed}: {conflict:#?}");
        }
        Conflict::NotHeld(release) => {
            assert_eq!(is_known(release).outcome, Outcome::Ok, "seed {seed}");
        }
        _ => panic!("seed {seed}: an unexpected {conflict:?}"),
    }
}

fn compare_many(specification: Specification, salt: u64) {
    let mut seen = Seen::default();
    let count = 20_000;
    for seed in 0..count {
        compare(specification, seed ^ salt << 32, &mut seen);
    }
    let Seen { linearizable, not, unexplained_denials, needs_whole_history } = seen;
    let of_each = [linearizable, not].map(|of| of * 5 >= count as u32 - needs_whole_history);
    let told = needs_whole_history * 4 < count as u32;
    assert!(of_each == [true; 2] && told, "{linearizable} {not} {needs_whole_history}");
    if specification == Specification::OwnerMutex {
        assert!(unexplained_denials * 5 >= not, "{unexplained_denials} of {not}");
    }
}

#[test]
fn an_owner_mutex_alarms_exactly_at_the_end_of_the_shortest_bad_prefix() {
    compare_many(Specification::OwnerMutex, 1);
}

#[test]
fn a_semaphore_alarms_exactly_at_the_end_of_the_shortest_bad_prefix() {
    compare_many(Specification::Semaphore { permits: 2 }, 2);
}

#[test]
fn a_read_write_lock_alarms_exactly_at_the_end_of_the_shortest_bad_prefix() {
    compare_many(Specification::ReadWriteLock, 3);
}

#[test]
fn a_stream_says_which_of_its_assumptions_fails() {
    const INVOKE: Step = Step::Invoke;
    const OK: Step = Step::Complete(Outcome::Ok);
    const INFO: Step = Step::Complete(Outcome::Info);
    type Events<'a> = &'a [(u64, Process, Action, Step)];
    let cases: [(Events<'_>, &str); 8] = [
        (&[(1, 0, ACQUIRE, INVOKE), (1, 0, ACQUIRE, OK), (2, 0, Action::Release, INVOKE)], ""),
        (&[(2, 0, ACQUIRE, INVOKE), (1, 1, ACQUIRE, INVOKE)], "not in order of time at 1"),
        (
            &[(1, 0, ACQUIRE, INVOKE), (2, 0, ACQUIRE, OK), (2, 1, TRY, INVOKE)],
            "not in order of time at 2",
        ),
        (&[(1, 0, ACQUIRE, INVOKE), (2, 0, TRY, INVOKE)], "may still happen"),
        (&[(1, 0, TRY, INVOKE), (2, 0, TRY, INFO), (3, 0, TRY, INVOKE)], "of unknown outcome"),
        (&[(1, 0, ACQUIRE, OK)], "what it never invoked"),
        (&[(1, 0, ACQUIRE, INVOKE), (2, 0, Action::Release, OK)], "another operation"),
        (&[(1, 0, Action::Renew, INVOKE)], "knows no Renew"),
    ];
    for (events, expected) in cases {
        let mut decider = Decider::new(Specification::OwnerMutex).expect("it has one");
        for (stamp, process, action, step) in events.iter().copied() {
            decider.event(&StreamEvent { stamp, process, action, step }).expect("no alarm");
        }
        match decider.finish().verdict {
            StreamVerdict::NeedsWholeHistory(because) => {
                assert!(!expected.is_empty() && because.contains(expected), "{because}");
            }
            verdict => assert!(expected.is_empty(), "{expected}: {verdict:?}"),
        }
    }
}
