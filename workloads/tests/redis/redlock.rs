//! Redlock: a majority of independent servers.

use std::pin::pin;
use std::time::Duration;

use locktest_history::{Answer, Plan, Recipe, RedisOptions, RedlockRequests, RoundPurpose};
use locktest_workloads::recipes::{CallError, EndedRound, Grant, LockRecipe, Redlock, Renewal};
use tokio::time::timeout;

use super::servers::Servers;
use super::{KEPT_MS, LONG, in_time, lease, plan, until};

const KEY: &str = "lock-0";

/// How long a server is given where it is going to answer.
const PATIENT_MS: u64 = 10_000;

/// How long a server is given where it is not.
const IMPATIENT_MS: u64 = 100;

fn redlock_plan(lease_ttl_ms: u64, node_timeout_ms: u64) -> Plan {
    let redis = Some(RedisOptions { node_timeout_ms, ..RedisOptions::DEFAULT });
    Plan { redis, ..plan(Recipe::Redlock, lease_ttl_ms) }
}

fn client(servers: &Servers, number: u32, plan: Plan) -> Redlock {
    Redlock::new(&servers.config(number, 5, plan)).expect("a client")
}

fn patient(servers: &Servers, number: u32) -> Redlock {
    client(servers, number, redlock_plan(KEPT_MS, PATIENT_MS))
}

fn answers(round: &EndedRound) -> Vec<Answer> {
    for (index, vote) in round.votes.iter().enumerate() {
        assert_eq!(usize::from(vote.server.0), index);
    }
    round.votes.iter().map(|vote| vote.answer.clone()).collect()
}

fn is_unknown(answer: &Answer) -> bool {
    matches!(answer, Answer::Unknown(_))
}

/// A lock that is held, and its attempt.
async fn held(redlock: &Redlock) -> (<Redlock as LockRecipe>::LeaseId, Grant) {
    let attempt = lease(redlock).await;
    let grant = redlock.lock(0, &attempt, KEY, in_time()).await.expect("a free lock");
    (attempt, grant)
}

#[tokio::test]
async fn two_clients_exclude_each_other_until_the_release_which_frees_every_server() {
    let servers = Servers::independent(5).await;
    let (one, other) = (patient(&servers, 0), patient(&servers, 1));
    let (first, grant) = held(&one).await;
    assert_eq!(servers.not_empty().await, [0, 1, 2, 3, 4]);
    assert!(grant.lease_start.is_some() && grant.waited.is_zero());
    assert!(one.entry(0, &first, KEY, &grant).await.expect("an entry").ours);

    let second = lease(&other).await;
    let refused = other.try_lock(0, &second, KEY).await;
    assert!(matches!(refused, Err(CallError::Refused(_))), "{refused:?}");
    let mut waiting = pin!(other.lock(0, &second, KEY, in_time()));
    assert!(timeout(Duration::from_millis(300), &mut waiting).await.is_err());
    one.unlock(0, &first, KEY, &grant).await.expect("an unlock");
    let granted = waiting.await.expect("the lock after its release");
    assert!(granted.waited > Duration::ZERO);
    other.unlock(0, &second, KEY, &granted).await.expect("an unlock");
    assert_eq!(servers.not_empty().await, [0; 0]);
}

#[tokio::test]
async fn each_servers_answer_is_recorded_in_the_plans_order() {
    let servers = Servers::independent(5).await;
    let (one, other) = (patient(&servers, 0), patient(&servers, 1));
    let _: String = servers.ask(3, &["SET", "locktest:lock:lock-0", "another's"]).await;
    let (first, grant) = held(&one).await;
    let [won] = &one.take_rounds()[..] else { panic!("one round was enough") };
    assert_eq!(won.purpose, RoundPurpose::Acquire);
    let [yes, no] = [Answer::Yes, Answer::No];
    let expected = [&yes, &yes, &yes, &no, &yes].map(Clone::clone);
    assert_eq!(answers(won), expected);
    assert!(won.won);
    assert_eq!(Some(won.begin), grant.lease_start);
    let left = won.validity_left.expect("a validity");
    assert_eq!(left + won.elapsed, Duration::from_millis(KEPT_MS - KEPT_MS / 100 - 2));

    other.try_lock(0, &lease(&other).await, KEY).await.expect_err("a lock that is held");
    let [lost, taken_back] = &other.take_rounds()[..] else { panic!("a try and its release") };
    assert_eq!((lost.won, lost.validity_left), (false, None));
    assert_eq!(answers(lost), vec![no; 5]);
    assert_eq!(taken_back.purpose, RoundPurpose::Release);

    one.entry(0, &first, KEY, &grant).await.expect("an entry");
    one.renew(0, &first, KEY).await.expect("a renewal");
    one.unlock(0, &first, KEY, &grant).await.expect("an unlock");
    let rounds = one.take_rounds();
    let purposes: Vec<RoundPurpose> = rounds.iter().map(|round| round.purpose).collect();
    assert_eq!(purposes, [RoundPurpose::Read, RoundPurpose::Extend, RoundPurpose::Release]);
    assert!(rounds.iter().all(|round| answers(round) == expected && round.won));
    assert!(one.take_rounds().is_empty());
}

#[tokio::test]
async fn a_majority_grants_the_lock_and_a_minority_does_not_and_keeps_nothing() {
    let mut servers = Servers::independent(5).await;
    let client = patient(&servers, 0);
    for index in [0, 3] {
        servers.stop(index);
    }
    let (attempt, grant) = held(&client).await;
    client.unlock(0, &attempt, KEY, &grant).await.expect("an unlock");

    servers.stop(1);
    let attempt = lease(&client).await;
    // The broken connection is noticed when something is sent over it.
    until("nobody says that two servers of five are a majority", async || {
        let failed = client.try_lock(0, &attempt, KEY).await.expect_err("no majority");
        matches!(failed, CallError::NotAsked(_))
    })
    .await;
    for index in [0, 1, 3] {
        servers.start(index).await;
    }
    assert_eq!(servers.not_empty().await, [0; 0]);
}

#[tokio::test]
async fn a_paused_server_gives_no_answer_and_what_it_was_sent_is_undone_when_it_wakes_up() {
    let servers = Servers::independent(5).await;
    let client = client(&servers, 0, redlock_plan(KEPT_MS, IMPATIENT_MS));
    let (attempt, grant) = held(&client).await;
    client.unlock(0, &attempt, KEY, &grant).await.expect("an unlock");
    client.take_rounds();

    servers.pause(2);
    let (attempt, grant) = held(&client).await;
    let won = client.take_rounds().pop().expect("a round");
    assert!(won.won);
    assert!(is_unknown(&won.votes[2].answer), "{:?}", won.votes[2]);
    assert_eq!(answers(&won).into_iter().filter(|answer| *answer == Answer::Yes).count(), 4);
    client.unlock(0, &attempt, KEY, &grant).await.expect("an unlock by a majority");
    client.revoke(0, &attempt, KEY).await.expect("a majority has nothing");
    servers.resume(2);
    until("the paused server has done both", async || servers.not_empty().await.is_empty()).await;
}

#[tokio::test]
async fn an_acquire_that_most_servers_may_still_grant_is_unknown_until_they_were_told_otherwise() {
    let servers = Servers::independent(5).await;
    let client = client(&servers, 0, redlock_plan(KEPT_MS, IMPATIENT_MS));
    let (attempt, grant) = held(&client).await;
    client.unlock(0, &attempt, KEY, &grant).await.expect("an unlock");

    for index in [0, 2, 4] {
        servers.pause(index);
    }
    let attempt = lease(&client).await;
    let failed = client.try_lock(0, &attempt, KEY).await.expect_err("two of five");
    assert!(matches!(failed, CallError::Unknown(_)), "{failed:?}");
    let failed = client.revoke(0, &attempt, KEY).await.expect_err("nobody hears it");
    assert!(matches!(failed, CallError::Unknown(_)), "{failed:?}");
    // Over connections that are new the paused servers are sent nothing.
    let later = lease(&client).await;
    let failed = client.try_lock(0, &later, KEY).await.expect_err("two of five");
    assert!(matches!(failed, CallError::NotAsked(_)), "{failed:?}");

    for index in [0, 2, 4] {
        servers.resume(index);
    }
    until("what was sent is undone", async || servers.not_empty().await.is_empty()).await;
}

#[tokio::test]
async fn an_acquire_that_was_dropped_half_way_leaves_nothing_once_it_is_revoked() {
    let servers = Servers::independent(5).await;
    let client = patient(&servers, 0);
    let (attempt, grant) = held(&client).await;
    client.unlock(0, &attempt, KEY, &grant).await.expect("an unlock");
    client.take_rounds();

    for index in [0, 2, 4] {
        servers.pause(index);
    }
    let attempt = lease(&client).await;
    {
        let mut acquire = pin!(client.lock(0, &attempt, KEY, in_time()));
        until("the servers that run have set the key", async || {
            let _ = timeout(Duration::from_millis(20), &mut acquire).await;
            let [one, three]: [u64; 2] =
                [servers.ask(1, &["DBSIZE"]).await, servers.ask(3, &["DBSIZE"]).await];
            one + three == 2
        })
        .await;
    }
    let [round] = &client.take_rounds()[..] else { panic!("one round was begun") };
    assert_eq!((round.purpose, round.won), (RoundPurpose::Acquire, false));
    let yes = answers(round).into_iter().filter(|answer| *answer == Answer::Yes).count();
    assert!(yes <= 2, "{round:?}");
    for index in [0, 2, 4] {
        assert!(is_unknown(&round.votes[index].answer), "{round:?}");
        servers.resume(index);
    }
    client.revoke(0, &attempt, KEY).await.expect("every server answers");
    assert_eq!(servers.not_empty().await, [0; 0]);
}

#[tokio::test]
async fn a_lease_that_nobody_extends_expires() {
    let servers = Servers::independent(5).await;
    let one = client(&servers, 0, redlock_plan(500, PATIENT_MS));
    let (attempt, grant) = held(&one).await;
    let other = patient(&servers, 1);
    other.lock(0, &lease(&other).await, KEY, in_time()).await.expect("an expired lock");
    assert_eq!(one.renew(0, &attempt, KEY).await, Ok(Renewal::Gone));
    assert!(!one.entry(0, &attempt, KEY, &grant).await.expect("an entry").ours);
    let unlocked = one.unlock(0, &attempt, KEY, &grant).await;
    assert!(matches!(unlocked, Err(CallError::Refused(_))), "{unlocked:?}");
    assert_eq!(servers.not_empty().await, [0, 1, 2, 3, 4], "the release spared another's keys");
}

#[tokio::test]
async fn an_extension_gives_every_server_the_whole_time_again() {
    let servers = Servers::independent(5).await;
    let client = patient(&servers, 0);
    let (attempt, _grant) = held(&client).await;
    let shorter = KEPT_MS / 2;
    for index in 0..5 {
        let expiry = shorter.to_string();
        let _: u64 = servers.ask(index, &["PEXPIRE", "locktest:lock:lock-0", &expiry]).await;
    }
    assert_eq!(client.renew(0, &attempt, KEY).await, Ok(Renewal::Renewed));
    for index in 0..5 {
        let left_ms: u64 = servers.ask(index, &["PTTL", "locktest:lock:lock-0"]).await;
        assert!(left_ms > shorter, "{index}: {left_ms}");
    }
}

#[tokio::test]
async fn a_server_that_was_wiped_has_lost_its_vote_and_without_a_majority_the_lock_is_gone() {
    let mut servers = Servers::independent(5).await;
    let client = patient(&servers, 0);
    let (attempt, grant) = held(&client).await;
    for index in [1, 4] {
        servers.stop(index);
        servers.start(index).await;
    }
    assert!(client.entry(0, &attempt, KEY, &grant).await.expect("an entry").ours);
    assert_eq!(client.renew(0, &attempt, KEY).await, Ok(Renewal::Renewed));

    let _: String = servers.ask(2, &["FLUSHALL"]).await;
    assert_eq!(client.renew(0, &attempt, KEY).await, Ok(Renewal::Gone));
    assert!(!client.entry(0, &attempt, KEY, &grant).await.expect("an entry").ours);
    let unlocked = client.unlock(0, &attempt, KEY, &grant).await;
    assert!(matches!(unlocked, Err(CallError::Refused(_))), "{unlocked:?}");
    assert_eq!(servers.not_empty().await, [0; 0], "a refused release releases all the same");
}

#[tokio::test]
async fn silence_does_not_prove_that_the_lock_is_gone() {
    let servers = Servers::independent(5).await;
    let client = client(&servers, 0, redlock_plan(KEPT_MS, IMPATIENT_MS));
    let (attempt, grant) = held(&client).await;
    let _: String = servers.ask(0, &["FLUSHALL"]).await;
    let _: String = servers.ask(1, &["FLUSHALL"]).await;
    servers.pause(2);
    for answer in [
        client.renew(0, &attempt, KEY).await.map(drop),
        client.entry(0, &attempt, KEY, &grant).await.map(drop),
    ] {
        assert!(matches!(answer, Err(CallError::Unknown(_))), "{answer:?}");
    }
    servers.resume(2);
}

#[tokio::test]
async fn servers_can_be_asked_one_after_the_other() {
    let servers = Servers::independent(5).await;
    let redis = Some(RedisOptions {
        requests: RedlockRequests::Sequential,
        node_timeout_ms: LONG.as_millis() as u64,
        ..RedisOptions::DEFAULT
    });
    let client = client(&servers, 0, Plan { redis, ..plan(Recipe::Redlock, KEPT_MS) });
    let (attempt, grant) = held(&client).await;
    client.unlock(0, &attempt, KEY, &grant).await.expect("an unlock");
    for round in client.take_rounds() {
        assert!(round.won);
        assert!(round.votes.is_sorted_by_key(|vote| vote.elapsed_ns), "{round:?}");
    }
    assert_eq!(servers.not_empty().await, [0; 0]);
}
