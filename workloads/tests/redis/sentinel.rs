//! The primary that the sentinels name.

use locktest_history::Recipe;
use locktest_workloads::recipes::{CallError, LockRecipe, RedisLock, Renewal, Values};

use super::servers::Servers;
use super::{KEPT_MS, lease, plan, until, until_ok};

const KEY: &str = "lock-0";

fn client(servers: &Servers, number: u32) -> RedisLock {
    let plan = plan(Recipe::Sentinel, KEPT_MS);
    RedisLock::new(&servers.config(number, 3, plan)).expect("a client")
}

#[tokio::test]
async fn a_client_follows_the_sentinels_to_the_replica_that_was_promoted() {
    let mut servers = Servers::watched(3).await;
    let client = client(&servers, 1);
    assert_eq!(client.server_of(0), None);
    let attempt = lease(&client).await;
    let grant = client.try_lock(0, &attempt, KEY).await.expect("a free lock");
    assert_eq!(client.server_of(0), Some(0));
    client.write(0, "kept", 7).await.expect("a write");
    // A failover may lose what the replicas do not have, and that is not the subject here.
    until("the replicas have both", async || {
        let sizes: [u64; 2] =
            [servers.ask(1, &["DBSIZE"]).await, servers.ask(2, &["DBSIZE"]).await];
        sizes == [2, 2]
    })
    .await;

    servers.stop(0);
    assert_eq!(until_ok(|| client.renew(0, &attempt, KEY)).await, Renewal::Renewed);
    let promoted = client.server_of(0).expect("a primary");
    assert_ne!(promoted, 0);
    assert!(client.entry(0, &attempt, KEY, &grant).await.expect("an entry").ours);
    assert_eq!(client.read(0, "kept").await, Ok(Some(7)));
    client.unlock(0, &attempt, KEY, &grant).await.expect("an unlock");
    let present: u64 = servers.ask(promoted, &["EXISTS", "locktest:lock:lock-0"]).await;
    assert_eq!(present, 0);
}

#[tokio::test]
async fn a_promoted_replica_that_never_had_the_lock_proves_nothing_about_it() {
    let mut servers = Servers::watched(3).await;
    let client = client(&servers, 0);
    let attempt = lease(&client).await;
    client.try_lock(0, &attempt, KEY).await.expect("a free lock");
    servers.stop(0);
    // Asked for another key, so that nothing is learnt about the first.
    let other = lease(&client).await;
    until_ok(|| client.try_lock(0, &other, "lock-1")).await;
    let promoted = client.server_of(0).filter(|server| *server != 0).expect("a new primary");
    // As if it had been promoted before the lock reached it.
    let _: String = servers.ask(promoted, &["FLUSHALL"]).await;
    let renewed = client.renew(0, &attempt, KEY).await;
    assert!(matches!(renewed, Err(CallError::Unknown(_))), "{renewed:?}");
}
