//! One key on one server.

use std::pin::pin;
use std::time::Duration;

use locktest_history::{Plan, Recipe};
use locktest_workloads::recipes::{
    CallError, GuardedValues, LockRecipe, RedisLock, Renewal, Values,
};
use tokio::time::timeout;

use super::servers::Servers;
use super::{KEPT_MS, LONG, in_time, lease, plan, until};

const KEY: &str = "lock-0";

fn client(servers: &Servers, number: u32, op_timeout_ms: u64) -> RedisLock {
    let plan = Plan { op_timeout_ms, ..plan(Recipe::Single, KEPT_MS) };
    RedisLock::new(&servers.config(number, 1, plan)).expect("a client")
}

fn patient(servers: &Servers, number: u32) -> RedisLock {
    client(servers, number, LONG.as_millis() as u64)
}

#[tokio::test]
async fn two_clients_exclude_each_other_until_the_release() {
    let servers = Servers::independent(1).await;
    let (one, other) = (patient(&servers, 0), patient(&servers, 1));
    let (first, second) = (lease(&one).await, lease(&other).await);
    let grant = one.lock(0, &first, KEY, in_time()).await.expect("a free lock");
    assert!(grant.lease_start.is_some());
    assert!(one.entry(0, &first, KEY, &grant).await.expect("an entry").ours);
    let refused = other.try_lock(0, &second, KEY).await;
    assert!(matches!(refused, Err(CallError::Refused(_))), "{refused:?}");
    let mut waiting = pin!(other.lock(0, &second, KEY, in_time()));
    assert!(timeout(Duration::from_millis(300), &mut waiting).await.is_err());
    one.unlock(0, &first, KEY, &grant).await.expect("an unlock");
    let granted = waiting.await.expect("the lock after its release");
    assert!(granted.waited > Duration::ZERO);
    other.unlock(0, &second, KEY, &granted).await.expect("an unlock");
    assert_eq!(servers.not_empty().await, [0; 0]);
    assert!(one.take_rounds().is_empty());
    assert_eq!(one.server_of(0), Some(0));
}

#[tokio::test]
async fn a_lease_is_extended_and_expires_and_a_late_release_spares_the_next_owner() {
    let servers = Servers::independent(1).await;
    let (one, other) = (patient(&servers, 0), patient(&servers, 1));
    let (first, second) = (lease(&one).await, lease(&other).await);
    let grant = one.lock(0, &first, KEY, in_time()).await.expect("a free lock");
    let left_ms = async || servers.ask::<u64>(0, &["PTTL", "locktest:lock:lock-0"]).await;
    assert!((1..=KEPT_MS).contains(&left_ms().await));
    let expire_in = async |expiry_ms: u64| {
        let words = ["PEXPIRE", "locktest:lock:lock-0", &expiry_ms.to_string()];
        servers.ask::<u64>(0, &words).await
    };
    assert_eq!(expire_in(KEPT_MS / 2).await, 1);
    assert_eq!(one.renew(0, &first, KEY).await, Ok(Renewal::Renewed));
    assert!(left_ms().await > KEPT_MS / 2);

    assert_eq!(expire_in(100).await, 1);
    other.lock(0, &second, KEY, in_time()).await.expect("an expired lock");
    assert_eq!(one.renew(0, &first, KEY).await, Ok(Renewal::Gone));
    assert!(!one.entry(0, &first, KEY, &grant).await.expect("an entry").ours);
    let unlocked = one.unlock(0, &first, KEY, &grant).await;
    assert!(matches!(unlocked, Err(CallError::Refused(_))), "{unlocked:?}");
    assert_eq!(other.renew(0, &second, KEY).await, Ok(Renewal::Renewed));
}

#[tokio::test]
async fn a_server_that_takes_no_connection_was_not_asked_and_a_restarted_one_has_lost_the_lock() {
    let mut servers = Servers::independent(1).await;
    let one = patient(&servers, 0);
    let first = lease(&one).await;
    one.lock(0, &first, KEY, in_time()).await.expect("a free lock");
    servers.stop(0);
    let fresh = patient(&servers, 1);
    let failed = fresh.try_lock(0, &lease(&fresh).await, KEY).await;
    assert!(matches!(failed, Err(CallError::NotAsked(_))), "{failed:?}");

    servers.start(0).await;
    until("the broken connection is noticed", async || {
        one.renew(0, &first, KEY).await == Ok(Renewal::Gone)
    })
    .await;
}

#[tokio::test]
async fn a_paused_server_leaves_an_acquire_unknown_and_revoking_it_behind_settles_it() {
    let servers = Servers::independent(1).await;
    let client = client(&servers, 0, 200);
    client.write(0, "connected", 1).await.expect("a write");
    servers.pause(0);
    let attempt = lease(&client).await;
    for expected_unknown in [true, false] {
        let failed = match expected_unknown {
            true => client.lock(0, &attempt, KEY, in_time()).await.map(drop),
            // A new connection is not sent anything before it has answered.
            false => client.lock(0, &lease(&client).await, KEY, in_time()).await.map(drop),
        };
        let is_unknown = matches!(failed, Err(CallError::Unknown(_)));
        assert!(failed.is_err() && is_unknown == expected_unknown, "{failed:?}");
    }
    servers.resume(0);
    client.revoke(0, &attempt, KEY).await.expect("the server executes both in order");
    let present: u64 = servers.ask(0, &["EXISTS", "locktest:lock:lock-0"]).await;
    assert_eq!(present, 0);
}

#[tokio::test]
async fn a_replica_says_nothing_about_a_lock_that_it_does_not_have() {
    let servers = Servers::independent(1).await;
    let client = patient(&servers, 0);
    let attempt = lease(&client).await;
    let grant = client.lock(0, &attempt, KEY, in_time()).await.expect("a free lock");
    let _: String = servers.ask(0, &["FLUSHALL"]).await;
    let _: String = servers.ask(0, &["REPLICAOF", "127.0.0.1", "1"]).await;
    for answer in [
        client.renew(0, &attempt, KEY).await.map(drop),
        client.entry(0, &attempt, KEY, &grant).await.map(drop),
        client.unlock(0, &attempt, KEY, &grant).await,
        client.try_lock(0, &lease(&client).await, KEY).await.map(drop),
        client.write(0, "value", 1).await,
        client.cas(0, "value", Some(7), 8).await.map(drop),
    ] {
        let Err(CallError::NotAsked(reason)) = &answer else { panic!("{answer:?}") };
        assert!(reason.contains("READONLY"), "{reason}");
    }
}

#[tokio::test]
async fn values_are_read_written_and_compared_apart_from_locks() {
    let servers = Servers::independent(1).await;
    let client = patient(&servers, 0);
    client.lock(0, &lease(&client).await, KEY, in_time()).await.expect("a free lock");
    assert_eq!(client.read(0, KEY).await, Ok(None));
    assert_eq!(client.cas(0, KEY, Some(1), 2).await, Ok(false));
    assert_eq!(client.cas(0, KEY, None, 1).await, Ok(true));
    assert_eq!(client.cas(0, KEY, None, 2).await, Ok(false));
    assert_eq!(client.cas(0, KEY, Some(1), 2).await, Ok(true));
    assert_eq!(client.read(0, KEY).await, Ok(Some(2)));
    client.write(0, KEY, u64::MAX).await.expect("a write");
    assert_eq!(client.read(0, KEY).await, Ok(Some(u64::MAX)));
}

#[tokio::test]
async fn only_the_owner_of_a_lock_writes_what_it_guards() {
    let servers = Servers::independent(1).await;
    let (one, other) = (patient(&servers, 0), patient(&servers, 1));
    let (first, second) = (lease(&one).await, lease(&other).await);
    let grant = one.lock(0, &first, KEY, in_time()).await.expect("a free lock");
    one.write_guarded(0, &first, KEY, &grant, "guarded", 1).await.expect("a holder's write");
    one.unlock(0, &first, KEY, &grant).await.expect("an unlock");
    for taken in [false, true] {
        if taken {
            other.lock(0, &second, KEY, in_time()).await.expect("a free lock");
        }
        let write = one.write_guarded(0, &first, KEY, &grant, "guarded", 2).await;
        assert!(matches!(write, Err(CallError::Refused(_))), "{write:?}");
        assert_eq!(one.read(0, "guarded").await, Ok(Some(1)));
    }
}
