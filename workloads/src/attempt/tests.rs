//! What an attempt asks of the store and what it records, whatever the store answers.

use std::future::pending;

use locktest_history::{Answer, ClientId, KeyId, NodeId, Phase, Recipe, RoundPurpose, Vote};

use super::*;
use crate::clock::RunClock;
use crate::testing::{FakeStore, LockAnswer, Sent, plan};

const OWNER: Owner = Owner { attempt: 1, key: KeyId(0) };

const fn owner(attempt: u64) -> Owner {
    Owner { attempt, key: KeyId(0) }
}

/// What was recorded of `work` by a client of `store`.
async fn recorded<'s, T>(
    plan: &Plan,
    store: &'s FakeStore,
    work: impl AsyncFnOnce(&LockClient<'_, &'s FakeStore, Sent>) -> T,
) -> (Sent, T) {
    let (control, sent) = (Control::default(), Sent::default());
    let recorder = Recorder::new(ClientId(0), RunClock::start(), sent.clone());
    let client = LockClient::new(store, plan, &recorder, &control);
    let result = recorder.attend(work(&client)).await;
    (sent, result)
}

fn granted<Id>(result: Result<Held<Id>, NotGranted>) -> Held<Id> {
    result.map_err(|why| format!("{why:?}")).expect("the store grants the lock")
}

use Function::{Acquire, Lost, Release, Renew, TryAcquire};
use Phase::{Fail, Info, Invoke, Ok as Yes};

#[tokio::test]
async fn the_next_acquire_is_meant_to_begin_when_the_release_is_known_and_not_once_the_lease_is_gone()
 {
    let (sent, ()) = recorded(&plan(), &FakeStore::new(), async |client| {
        for attempt in 1..=2 {
            let held = granted(client.acquire(owner(attempt), None).await);
            client.release(owner(attempt), &held).await;
        }
    })
    .await;
    let acquires: Vec<Detail> = sent.of(Acquire, Invoke).into_iter().map(|(_, d)| d).collect();
    let (released_ns, _) = sent.of(Release, Yes)[0];
    assert_eq!(acquires, [Detail::None, Detail::Intended { start_ns: released_ns }]);
}

#[tokio::test]
async fn a_wait_that_is_given_up_is_of_unknown_outcome_and_its_lease_is_revoked() {
    let store = FakeStore::answering([LockAnswer::Never]);
    let (sent, why) = recorded(&plan(), &store, async |client| {
        client.acquire(OWNER, Some(Duration::from_millis(1))).await.err()
    })
    .await;
    assert_eq!(why, Some(NotGranted::GivenUp));
    let steps = [(Acquire, Invoke), (Acquire, Info), (Release, Invoke), (Release, Yes)];
    assert_eq!(sent.steps(), steps);
    assert_eq!(sent.of(Acquire, Info)[0].1, Detail::Cancelled);
    assert_eq!(*store.calls.borrow(), ["open", "lock", "revoke"]);
}

#[tokio::test]
async fn patience_that_outlasts_the_wait_changes_nothing() {
    let (sent, ()) = recorded(&plan(), &FakeStore::new(), async |client| {
        granted(client.acquire(OWNER, Some(Duration::from_secs(600))).await);
    })
    .await;
    assert_eq!(sent.steps(), [(Acquire, Invoke), (Acquire, Yes)]);
}

#[tokio::test]
async fn a_wait_that_the_end_of_the_run_cuts_off_was_not_the_clients_choice() {
    let store = FakeStore::answering([LockAnswer::Never]);
    let (plan, control, sent) = (plan(), Control::default(), Sent::default());
    let recorder = Recorder::new(ClientId(0), RunClock::start(), sent.clone());
    let client = LockClient::new(&store, &plan, &recorder, &control);
    let stop = async {
        while store.count("lock") == 0 {
            tokio::task::yield_now().await;
        }
        control.hear(crate::protocol::ToClient::Stop);
    };
    let (answer, ()) =
        recorder.attend(async { tokio::join!(client.acquire(OWNER, None), stop) }).await;
    assert_eq!(answer.err(), Some(NotGranted::GivenUp));
    assert!(matches!(sent.of(Acquire, Info)[0].1, Detail::Reason(_)));
    assert_eq!(store.count("revoke"), 1);
}

fn round(won: bool) -> EndedRound {
    EndedRound {
        purpose: RoundPurpose::Acquire,
        begin: Instant::now(),
        elapsed: Duration::from_micros(3),
        won,
        validity_left: None,
        votes: vec![Vote { server: NodeId(0), answer: Answer::No, elapsed_ns: 1 }],
    }
}

#[tokio::test]
async fn rounds_are_recorded_before_the_acquire_that_they_decided() {
    let store = FakeStore::new();
    let (sent, ()) = recorded(&plan(), &store, async |client| {
        store.rounds_of_next.borrow_mut().extend([round(false), round(true)]);
        granted(client.acquire(OWNER, None).await);
    })
    .await;
    let rounds = [(Function::Round, Fail), (Function::Round, Yes)];
    assert_eq!(
        sent.steps(),
        [vec![(Acquire, Invoke)], rounds.into(), vec![(Acquire, Yes)]].concat()
    );
    let events = sent.events();
    for event in &events[1..3] {
        let Detail::Round(round) = &event.detail else { panic!("{event:?}") };
        // This one began before the acquire, and its instant is never told later than it was.
        assert!(round.begin_ns <= events[0].time_ns);
        assert_eq!((round.elapsed_ns, round.votes.len()), (3000, 1));
        assert_eq!((event.attempt, event.server), (1, None));
    }
    assert_ne!(events[1].op, events[2].op);
}

#[tokio::test]
async fn the_rounds_of_an_acquire_that_was_dropped_are_recorded_all_the_same() {
    let store = FakeStore::answering([LockAnswer::Never]);
    store.rounds_of_next.borrow_mut().push(round(false));
    let (sent, _) = recorded(&plan(), &store, async |client| {
        client.acquire(OWNER, Some(Duration::from_millis(1))).await.err()
    })
    .await;
    let begin = [(Acquire, Invoke), (Function::Round, Fail), (Acquire, Info)];
    assert_eq!(sent.steps()[..3], begin);
}

#[tokio::test]
async fn a_notice_of_the_clients_own_library_ends_a_hold_without_any_word_of_the_store() {
    let store = FakeStore::new();
    let (sent, end) = recorded(&plan(), &store, async |client| {
        let held = granted(client.acquire(OWNER, None).await);
        store.lose.notify_one();
        client.hold(OWNER, &held, true, pending()).await
    })
    .await;
    assert_eq!(end, HoldEnd::Lost("the library gave it up".into()));
    let steps = [(Acquire, Invoke), (Acquire, Yes), (Lost, Yes), (Release, Invoke), (Release, Yes)];
    assert_eq!(sent.steps(), steps);
    assert_eq!((store.count("unlock"), store.count("revoke")), (0, 1));
}

#[tokio::test]
async fn a_holder_that_does_not_renew_hears_its_library_too() {
    let store = FakeStore::new();
    let (_, end) = recorded(&plan(), &store, async |client| {
        let held = granted(client.acquire(OWNER, None).await);
        store.lose.notify_one();
        client.hold(OWNER, &held, false, pending()).await
    })
    .await;
    assert!(matches!(end, HoldEnd::Lost(_)));
}

#[tokio::test]
async fn a_notice_of_the_clients_own_library_ends_a_wait_with_an_unknown_outcome() {
    let store = FakeStore::answering([LockAnswer::Never]);
    let (sent, why) = recorded(&plan(), &store, async |client| {
        store.lose.notify_one();
        client.acquire(OWNER, None).await.err()
    })
    .await;
    assert_eq!(why, Some(NotGranted::Failed));
    let steps = [(Acquire, Invoke), (Acquire, Info), (Release, Invoke), (Release, Yes)];
    assert_eq!(sent.steps(), steps);
}

#[tokio::test]
async fn a_holder_that_is_to_die_gives_nothing_up() {
    let (sent, end) = recorded(&plan(), &FakeStore::new(), async |client| {
        let held = granted(client.acquire(OWNER, None).await);
        client.hold(OWNER, &held, true, async { HoldEnd::Crash }).await
    })
    .await;
    assert_eq!(end, HoldEnd::Crash);
    assert_eq!(sent.steps(), [(Acquire, Invoke), (Acquire, Yes)]);
}

#[tokio::test]
async fn a_waiter_renews_a_lease_that_it_has_and_leaves_alone_one_that_begins_with_the_grant() {
    let begins_before = Plan { renew_while_waiting: true, ..plan() };
    let mut store = FakeStore::answering([LockAnswer::GrantedAfterRenewals(2)]);
    store.ttl_ms = 3;
    let (sent, ()) = recorded(&begins_before, &store, async |client| {
        granted(client.acquire(OWNER, None).await);
    })
    .await;
    let renewed_ns: Vec<u64> = sent.of(Renew, Invoke).iter().map(|(ns, _)| *ns).collect();
    assert!(renewed_ns.len() >= 2);
    let Detail::Lease { lease_start_ns, .. } = sent.of(Acquire, Yes)[0].1 else { panic!() };
    assert!(renewed_ns.contains(&lease_start_ns), "the lease starts at its last ok renewal");

    // The same, if it could but renew: the wait then ends by patience alone.
    let begins_with_grant = Plan { recipe: Recipe::Redlock, ..begins_before };
    let mut store = FakeStore::answering([LockAnswer::GrantedAfterRenewals(2)]);
    store.ttl_ms = 3;
    let (_, why) = recorded(&begins_with_grant, &store, async |client| {
        client.acquire(OWNER, Some(Duration::from_millis(50))).await.err()
    })
    .await;
    assert_eq!(why, Some(NotGranted::GivenUp));
    assert_eq!(store.renewals.get(), 0);
}

#[tokio::test]
async fn a_lease_that_begins_with_the_grant_is_never_recorded_as_beginning_later_than_it_did() {
    let plan = Plan { recipe: Recipe::Redlock, ..plan() };
    let (control, sent, store) = (Control::default(), Sent::default(), FakeStore::new());
    let clock = RunClock::start();
    let recorder = Recorder::new(ClientId(0), clock, sent.clone());
    let client = LockClient::new(&store, &plan, &recorder, &control);
    for attempt in 1..=100 {
        store.lease_start.set(Some(Instant::now()));
        let not_before_ns = clock.now_ns();
        let held = granted(client.acquire(owner(attempt), None).await);
        let start_ns = held.live.start_ns.get();
        let (invoke_ns, _) = *sent.of(Acquire, Invoke).last().expect("an acquire");
        // The instant lies before the invoke here, and nothing of an acquire begins before that.
        assert!(not_before_ns <= invoke_ns && start_ns == invoke_ns);
        assert!(client.ns_of(store.lease_start.get().expect("an instant")) <= not_before_ns);
        client.release(owner(attempt), &held).await;
    }
}

#[tokio::test]
async fn a_denied_try_leaves_but_its_lease_and_one_of_unknown_outcome_is_released() {
    let denied = CallError::Refused("held".into());
    let unknown = CallError::Unknown("no answer".into());
    let store = FakeStore::answering([LockAnswer::Failed(denied), LockAnswer::Failed(unknown)]);
    let (sent, answers) = recorded(&plan(), &store, async |client| {
        let first = client.try_acquire(owner(1)).await.err();
        (first, client.try_acquire(owner(2)).await.err())
    })
    .await;
    assert_eq!(answers, (Some(NotGranted::Refused), Some(NotGranted::Failed)));
    let denied = [(TryAcquire, Invoke), (TryAcquire, Fail)];
    let unknown = [(TryAcquire, Invoke), (TryAcquire, Info), (Release, Invoke), (Release, Yes)];
    assert_eq!(sent.steps(), [denied.to_vec(), unknown.to_vec()].concat());
    assert_eq!(sent.of(TryAcquire, Fail)[0].1, Detail::Reason("held".into()));
    assert_eq!(store.count("revoke"), 2);
}

#[tokio::test]
async fn a_renewal_that_a_release_overtakes_is_of_unknown_outcome() {
    let (sent, ()) = recorded(&plan(), &FakeStore::new(), async |client| {
        drop(client.begin(OWNER, Renew, Detail::None));
    })
    .await;
    assert_eq!(sent.steps(), [(Renew, Invoke), (Renew, Info)]);
}
