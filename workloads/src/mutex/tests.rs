//! What clients choose, and what the workloads make of the store's answers.

use std::collections::HashSet;

use locktest_history::{Detail, Function, Phase};

use super::*;
use crate::clock::RunClock;
use crate::control::Control;
use crate::protocol::{Holding, ToClient};
use crate::recipes::CallError;
use crate::recorder::Recorder;
use crate::testing::{FakeStore, LockAnswer, Sent, plan};

fn denied() -> LockAnswer {
    LockAnswer::Failed(CallError::Refused("held".into()))
}

/// The loop with sections that only stay inside, until the store was asked for `locks` locks.
async fn looped(plan: &Plan, client: u32, store: &FakeStore, locks: usize) -> (Sent, Ended) {
    let (control, sent) = (Control::default(), Sent::default());
    let recorder = Recorder::new(ClientId(client), RunClock::start(), sent.clone());
    let client = LockClient::new(store, plan, &recorder, &control);
    let work =
        run(&client, 1, None, async |owner, _, hold: HoldPlan| hold.stay(&client, owner).await);
    let stop = async {
        while store.count("lock") < locks {
            tokio::task::yield_now().await;
        }
        control.hear(ToClient::Stop);
        std::future::pending().await
    };
    let ended = recorder
        .attend(async {
            tokio::select! {
                ended = work => ended,
                never = stop => never,
            }
        })
        .await;
    (sent, ended)
}

fn of(workload: Workload) -> Plan {
    Plan { workload, hold_ms: 0, lease_ttl_ms: 1, ..plan() }
}

#[tokio::test]
async fn after_a_denial_the_next_acquire_is_meant_to_begin_one_pause_later() {
    let store = FakeStore::answering([denied(), denied()]);
    let (sent, _) = looped(&of(Workload::Mutex), 0, &store, 2).await;
    let acquires = sent.of(Function::Acquire, Phase::Invoke);
    let (denied_ns, _) = sent.of(Function::Acquire, Phase::Fail)[0];
    let start_ns = denied_ns + PAUSE_AFTER_FAILURE.as_nanos() as u64;
    assert_eq!(acquires[0].1, Detail::None);
    assert_eq!(acquires[1].1, Detail::Intended { start_ns });
}

#[tokio::test]
async fn after_a_hold_the_next_acquire_is_meant_to_begin_one_rest_later() {
    let plan = Plan { hold_ms: 2, ..of(Workload::Mutex) };
    let (sent, _) = looped(&plan, 0, &FakeStore::new(), 2).await;
    let rest = plan_attempt(&mut ChaCha8Rng::seed_from_u64(1), &plan, ClientId(0)).rest;
    let (released_ns, _) = sent.of(Function::Release, Phase::Ok)[0];
    let start_ns = released_ns + rest.as_nanos() as u64;
    assert_eq!(sent.of(Function::Acquire, Phase::Invoke)[1].1, Detail::Intended { start_ns });
}

#[tokio::test]
async fn steady_holds_take_just_their_time_without_anything_else_and_nobody_rests() {
    let plan = Plan { steady: true, hold_ms: 3, ..of(Workload::Mutex) };
    for client in 0..50 {
        let mut rng = ChaCha8Rng::seed_from_u64(client);
        let AttemptPlan { hold, rest, .. } = plan_attempt(&mut rng, &plan, ClientId(0));
        assert_eq!((hold.length, rest), (Duration::from_millis(3), Duration::ZERO));
    }
    let (control, sent, store) = (Control::default(), Sent::default(), FakeStore::new());
    let recorder = Recorder::new(ClientId(0), RunClock::start(), sent.clone());
    let client = LockClient::new(&store, &plan, &recorder, &control);
    let work = run(&client, 1, None, async |_, _, _| panic!("nothing else is done"));
    let stop = async {
        while store.count("lock") < 3 {
            tokio::task::yield_now().await;
        }
        control.hear(ToClient::Stop);
        std::future::pending::<Ended>().await
    };
    let both = async {
        tokio::select! { ended = work => ended, never = stop => never }
    };
    assert_eq!(recorder.attend(both).await, Ended::Stopped);
    let released = sent.of(Function::Release, Phase::Ok);
    let began = sent.of(Function::Acquire, Phase::Invoke);
    // The next one is meant to begin at once.
    assert_eq!(began[1].1, Detail::Intended { start_ns: released[0].0 });
}

#[tokio::test]
async fn by_a_rate_each_acquire_is_meant_to_begin_at_its_arrival_however_late_it_begins() {
    let plan = Plan { steady: true, hold_ms: 30, rate_per_s: Some(1000), ..of(Workload::Mutex) };
    let (control, sent, store) = (Control::default(), Sent::default(), FakeStore::new());
    let recorder = Recorder::new(ClientId(0), RunClock::start(), sent.clone());
    let client = LockClient::new(&store, &plan, &recorder, &control);
    let arrivals = Arrivals::of(&plan, 1, recorder.now_ns()).expect("a rate");
    let expected = Arrivals::of(&plan, 1, 0).expect("a rate");
    let work = run(&client, 1, Some(&arrivals), async |_, _, _| HoldEnd::Done);
    let stop = async {
        while store.count("lock") < 4 {
            tokio::task::yield_now().await;
        }
        control.hear(ToClient::Stop);
        std::future::pending::<Ended>().await
    };
    let both = async {
        tokio::select! { ended = work => ended, never = stop => never }
    };
    recorder.attend(both).await;
    let starts: Vec<u64> = sent
        .of(Function::Acquire, Phase::Invoke)
        .into_iter()
        .map(|(_, detail)| match detail {
            Detail::Intended { start_ns } => start_ns,
            other => panic!("no intended start: {other:?}"),
        })
        .collect();
    // Each hold takes far longer than the interval, so that all but the first begin late.
    let distances = |times: &[u64]| times.windows(2).map(|two| two[1] - two[0]).collect::<Vec<_>>();
    let expected: Vec<u64> = (0..starts.len()).map(|_| expected.next_ns()).collect();
    for (found, expected) in distances(&starts[1..]).into_iter().zip(distances(&expected[1..])) {
        // They are counted in floating point from another instant.
        assert!(found.abs_diff(expected) <= 1000, "{found} and {expected}");
    }
}

#[tokio::test]
async fn a_denied_try_is_repeated_at_the_same_server_and_a_failed_one_at_the_next() {
    let failed = LockAnswer::Failed(CallError::Unknown("no answer".into()));
    let store = FakeStore::answering([denied(), failed]);
    let plan = Plan { nodes: vec!["n1".into(), "n2".into()], ..of(Workload::Try) };
    let (sent, _) = looped(&plan, 0, &store, 3).await;
    let tries = sent
        .events()
        .into_iter()
        .filter(|event| (event.function, event.phase) == (Function::TryAcquire, Phase::Invoke));
    let servers: Vec<u16> = tries.filter_map(|event| Some(event.server?.0)).take(3).collect();
    assert_eq!(servers, [0, 0, 1]);
    assert!(sent.of(Function::Acquire, Phase::Invoke).is_empty());
}

#[tokio::test]
async fn a_client_dies_only_while_it_holds() {
    let store = FakeStore::new();
    let (sent, ended) = looped(&of(Workload::Crash), 0, &store, 10_000).await;
    assert_eq!(ended, Ended::Crash);
    let events = sent.events();
    let last = events.last().expect("events").attempt;
    assert!(last > 1, "it lives for a while");
    let steps: Vec<_> = events
        .iter()
        .filter(|event| event.attempt == last)
        .map(|event| (event.function, event.phase))
        .collect();
    assert_eq!(steps, [(Function::Acquire, Phase::Invoke), (Function::Acquire, Phase::Ok)]);
}

#[tokio::test]
async fn nobody_dies_in_other_workloads() {
    for workload in [Workload::Mutex, Workload::Cancel, Workload::Try] {
        let (_, ended) = looped(&of(workload), 0, &FakeStore::new(), 200).await;
        assert_eq!(ended, Ended::Stopped, "{workload}");
    }
}

#[tokio::test]
async fn nobody_dies_once_the_run_is_over() {
    let (plan, control, store) = (plan(), Control::default(), FakeStore::new());
    control.hear(ToClient::Stop);
    let recorder = Recorder::new(ClientId(0), RunClock::start(), Sent::default());
    let client = LockClient::new(&store, &plan, &recorder, &control);
    let hold = HoldPlan::for_tests(Duration::ZERO, true);
    assert_eq!(hold.stay(&client, OWNER).await, HoldEnd::Done);
}

const OWNER: Owner = Owner { attempt: 7, key: KeyId(2) };

/// What a client has said of its plans when it begins to stay, and the time just before and after.
async fn said_of(hold: HoldPlan) -> (u64, Option<Holding>, u64) {
    let (plan, control, store) = (plan(), Control::default(), FakeStore::new());
    let sent = Sent::default();
    let recorder = Recorder::new(ClientId(0), RunClock::start(), sent.clone());
    let client = LockClient::new(&store, &plan, &recorder, &control);
    let before_ns = recorder.now_ns();
    let stay = recorder.attend(hold.stay(&client, OWNER));
    tokio::select! {
        biased;
        _ = stay => {}
        () = tokio::task::yield_now() => {}
    }
    (before_ns, sent.holdings().pop(), recorder.now_ns())
}

#[tokio::test]
async fn a_client_says_before_it_waits_how_long_it_plans_to_keep_the_lock_if_that_is_long() {
    let tells = |rest: Duration, crash| async move {
        let length = if crash { 2 * rest } else { rest };
        let (before_ns, said, after_ns) = said_of(HoldPlan::for_tests(length, crash)).await;
        let Holding { attempt, key, until_ns } = said?;
        assert_eq!((attempt, key), (OWNER.attempt, OWNER.key));
        let rest_ns = rest.as_nanos() as u64;
        assert!((before_ns + rest_ns..=after_ns + rest_ns).contains(&until_ns), "{until_ns}");
        Some(())
    };
    for crash in [false, true] {
        assert!(tells(WORTH_TELLING, crash).await.is_some());
        assert!(tells(WORTH_TELLING - Duration::from_millis(1), crash).await.is_none());
    }
}

#[tokio::test]
async fn with_different_keys_each_client_keeps_to_its_own() {
    let keys = (0..5).map(|n| format!("lock-{n}")).collect();
    let plan = Plan { keys, ..of(Workload::DifferentKeys) };
    let (sent, _) = looped(&plan, 3, &FakeStore::new(), 20).await;
    let keys: HashSet<u32> = sent.events().iter().map(|event| event.key.0).collect();
    assert_eq!(keys, HashSet::from([3]));
}

fn plans(plan: &Plan) -> Vec<AttemptPlan> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    (0..1500).map(|_| plan_attempt(&mut rng, plan, ClientId(0))).collect()
}

fn count(plans: &[AttemptPlan], what: impl Fn(&AttemptPlan) -> bool) -> usize {
    plans.iter().filter(|plan| what(plan)).count()
}

#[test]
fn about_half_of_the_waits_are_to_be_given_up_within_the_usual_hold() {
    let plan = Plan { workload: Workload::Cancel, ..plan() };
    let plans = plans(&plan);
    let given_up = count(&plans, |plan| plan.patience.is_some());
    assert!((600..900).contains(&given_up), "{given_up}");
    let usual = Duration::from_millis(plan.hold_ms);
    assert!(plans.iter().filter_map(|plan| plan.patience).all(|patience| patience <= usual));
}

#[test]
fn about_one_hold_in_fifteen_is_a_clients_last_and_then_no_hold_is_long() {
    let plan = Plan { workload: Workload::Crash, ..plan() };
    let plans = plans(&plan);
    let deaths = count(&plans, |plan| plan.hold.crash);
    assert!((60..150).contains(&deaths), "{deaths}");
    let longest = Duration::from_millis(2 * plan.hold_ms);
    assert!(plans.iter().all(|plan| plan.hold.length <= longest));
}

#[test]
fn one_hold_in_five_is_long_and_another_one_overruns_if_it_is_to() {
    let ttl = Duration::from_millis(plan().lease_ttl_ms);
    let long = |plan: &AttemptPlan| plan.hold.length >= ttl / 2 && plan.hold.length < ttl;
    let overruns = |plan: &AttemptPlan| plan.hold.length > ttl && !plan.hold.renew;
    let usual = plans(&plan());
    assert!((200..400).contains(&count(&usual, long)));
    assert_eq!(count(&usual, overruns), 0);
    let plans = plans(&Plan { overrun: true, ..plan() });
    assert!((200..400).contains(&count(&plans, long)));
    assert!((200..400).contains(&count(&plans, overruns)));
    assert_eq!(count(&plans, |plan| plan.hold.crash), 0);
}

#[test]
fn a_lock_that_is_not_to_be_held_is_given_up_at_once() {
    let plans = plans(&Plan { hold_ms: 0, ..plan() });
    assert!(plans.iter().all(|plan| plan.hold.length.is_zero() && plan.rest.is_zero()));
}

#[test]
fn a_denied_try_waits_for_a_few_milliseconds_up_to_the_usual_hold() {
    let plan = plan();
    let range = Duration::from_millis(LEAST_PAUSE_MS)..=Duration::from_millis(plan.hold_ms);
    assert!(plans(&plan).iter().all(|plan| range.contains(&plan.pause)));
    let plans = plans(&Plan { hold_ms: 0, ..plan });
    assert!(plans.iter().all(|plan| plan.pause == Duration::from_millis(LEAST_PAUSE_MS)));
}
