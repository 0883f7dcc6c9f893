//! The recipes of etcd, on a real server.

mod support;

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use locktest_history::{Backend, CasWait, Plan, ReadMode, Recipe};
use locktest_workloads::recipes::{
    CallError, Etcd, Grant, GuardedValues, LockRecipe, Renewal, Values,
};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use support::*;

static RUNNING: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());

/// A lease that ends in no test by itself.
const KEPT_MS: u64 = 60_000;

/// The shortest that etcd grants with its default election timeout.
const SHORT_MS: u64 = 2000;

/// A way to take a lock.
#[derive(Clone, Copy, Debug)]
struct Way {
    recipe: Recipe,
    wait: Option<CasWait>,
}

const LOCK_RPC: Way = Way { recipe: Recipe::LockRpc, wait: None };
const CAS_WATCH: Way = Way { recipe: Recipe::CasTtl, wait: None };
const CAS_POLL: Way = Way { recipe: Recipe::CasTtl, wait: Some(CasWait::Poll) };
const ELECTION: Way = Way { recipe: Recipe::ElectionKey, wait: None };

const ALL: [Way; 4] = [LOCK_RPC, CAS_WATCH, CAS_POLL, ELECTION];
/// The recipes whose clients take their keys themselves.
const OWN_KEYS: [Way; 3] = [CAS_WATCH, CAS_POLL, ELECTION];

impl Way {
    fn plan(self, lease_ttl_ms: u64) -> Plan {
        Plan {
            recipe: self.recipe,
            cas_wait: self.wait,
            lease_ttl_ms,
            op_timeout_ms: LONG.as_millis() as u64,
            ..Plan::of(Backend::Etcd)
        }
    }

    fn client(self, server: &Server, lease_ttl_ms: u64) -> Etcd {
        Etcd::new(&config(&server.address, self.plan(lease_ttl_ms))).expect("a client")
    }
}

async fn server() -> Arc<Server> {
    shared(&RUNNING, async || {
        let program = packages("bookworm", &["etcd-server"]).await[0].join("usr/bin/etcd");
        let [port, peer_port] = free_ports();
        let (url, peer_url) =
            (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
        let server = start(&program, port, |files| {
            vec![
                "--name=n1".into(),
                format!("--data-dir={}", files.join("data").display()),
                format!("--listen-client-urls={url}"),
                format!("--advertise-client-urls={url}"),
                format!("--listen-peer-urls={peer_url}"),
                format!("--initial-advertise-peer-urls={peer_url}"),
                format!("--initial-cluster=n1={peer_url}"),
            ]
        });
        let client = LOCK_RPC.client(&server, KEPT_MS);
        until_ok(async || match timeout(MOMENT, client.write(0, "ready", 1)).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Unknown(server.log())),
        })
        .await;
        server
    })
    .await
}

/// Not every recipe looks at the deadline itself.
async fn lock(client: &Etcd, lease: &i64, key: &str) -> Result<Grant, CallError> {
    let answer = timeout(LONG, client.lock(0, lease, key, in_time())).await;
    answer.expect("an answer: an orphan has the lock, or nobody wakes the waiter")
}

async fn token(client: &Etcd, lease: i64, key: &str, grant: &Grant) -> u64 {
    let entry = client.entry(0, &lease, key, grant).await.expect("an entry");
    assert!(entry.ours);
    entry.token.expect("a token").major
}

#[tokio::test]
async fn a_waiter_is_granted_the_lock_when_its_holder_gives_it_up_and_has_a_larger_token() {
    let server = server().await;
    for way in ALL {
        let key = &format!("handover-{way:?}");
        let (one, other) = (way.client(&server, KEPT_MS), way.client(&server, KEPT_MS));
        let (first, second) = (lease(&one).await, lease(&other).await);
        let held = lock(&one, &first, key).await.expect("a free lock");
        assert_eq!(held.waited, Duration::ZERO, "{way:?}");
        let first_token = token(&one, first, key, &held).await;

        let mut waiting = pin!(lock(&other, &second, key));
        assert!(is_pending(&mut waiting).await, "{way:?}: two hold the lock");
        one.unlock(0, &first, key, &held).await.expect("an unlock");
        let granted = waiting.await.expect("the lock after its release");
        assert!(token(&other, second, key, &granted).await > first_token, "{way:?}");
        assert!(granted.revision > held.revision, "{way:?}");
        assert_eq!(granted.waited > Duration::ZERO, way.recipe != Recipe::LockRpc, "{way:?}");
    }
}

#[tokio::test]
async fn three_waiters_get_the_lock_one_after_the_other() {
    let server = server().await;
    for way in ALL {
        let key = &format!("queue-{way:?}");
        let holds = std::cell::Cell::new(0);
        let client = async || {
            let client = way.client(&server, KEPT_MS);
            let lease = lease(&client).await;
            let mut tokens = Vec::new();
            for _ in 0..5 {
                let held = lock(&client, &lease, key).await.expect("a lock");
                assert_eq!(holds.replace(1), 0, "{way:?}: two hold the lock");
                tokens.push(token(&client, lease, key, &held).await);
                assert_eq!(holds.replace(0), 1, "{way:?}: two held the lock");
                client.unlock(0, &lease, key, &held).await.expect("an unlock");
            }
            tokens
        };
        let (a, b, c) = tokio::join!(client(), client(), client());
        let mut all = [a, b, c].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 15, "{way:?}: two grants had one token");
    }
}

#[tokio::test]
async fn a_refused_try_leaves_nothing_that_could_be_granted_later() {
    let server = server().await;
    for way in OWN_KEYS {
        let key = &format!("try-{way:?}");
        let client = way.client(&server, KEPT_MS);
        let (first, second, third) =
            (lease(&client).await, lease(&client).await, lease(&client).await);
        let held = client.try_lock(0, &first, key).await.expect("a free lock");
        let refused = client.try_lock(0, &second, key).await;
        assert!(matches!(refused, Err(CallError::Refused(_))), "{way:?}: {refused:?}");
        client.unlock(0, &first, key, &held).await.expect("an unlock");
        client.try_lock(0, &third, key).await.expect("a lock that nobody has");
    }
    let refused = LOCK_RPC.client(&server, KEPT_MS).try_lock(0, &1, "try").await;
    assert!(matches!(refused, Err(CallError::NotAsked(_))), "{refused:?}");
}

#[tokio::test]
async fn a_revoked_lease_leaves_nothing_of_a_wait_that_was_cut_short() {
    let server = server().await;
    for way in ALL {
        let key = &format!("dropped-{way:?}");
        let client = way.client(&server, KEPT_MS);
        let (first, second, third) =
            (lease(&client).await, lease(&client).await, lease(&client).await);
        let held = lock(&client, &first, key).await.expect("a free lock");
        assert!(is_pending(lock(&client, &second, key)).await);
        client.revoke(0, &second, key).await.expect("a revocation");
        client.unlock(0, &first, key, &held).await.expect("an unlock");
        lock(&client, &third, key).await.expect("a lock that nobody has");
    }
}

#[tokio::test]
async fn an_expired_lease_frees_the_lock_and_is_gone_for_its_owner() {
    let server = &server().await;
    let expire = async |way: Way| {
        let key = &format!("expiry-{way:?}");
        let name = &format!("guarded-{key}");
        let (one, other) = (way.client(server, SHORT_MS), way.client(server, KEPT_MS));
        let (first, second) = (lease(&one).await, lease(&other).await);
        let held = lock(&one, &first, key).await.expect("a free lock");
        one.write_guarded(0, &first, key, &held, name, 1).await.expect("a holder's write");
        lock(&other, &second, key).await.expect("the lock after its lease");

        assert_eq!(one.renew(0, &first, key).await, Ok(Renewal::Gone), "{way:?}");
        let write = one.write_guarded(0, &first, key, &held, name, 2).await;
        assert!(matches!(write, Err(CallError::Refused(_))), "{way:?}: {write:?}");
        assert_eq!(one.read(0, name).await, Ok(Some(1)), "{way:?}");
        let entry = one.entry(0, &first, key, &held).await.expect("an answer");
        let unlock = one.unlock(0, &first, key, &held).await;
        if way.recipe == Recipe::LockRpc {
            assert!(entry.ours && entry.at_revision == held.revision, "it was, at the grant");
        } else {
            assert!(!entry.ours && entry.at_revision.is_none(), "{way:?}: {entry:?}");
            assert!(matches!(unlock, Err(CallError::Refused(_))), "{way:?}: {unlock:?}");
        }
        assert_eq!(other.renew(0, &second, key).await, Ok(Renewal::Renewed), "{way:?}");
        let third = lease(&other).await;
        let kept = is_pending(lock(&other, &third, key)).await;
        assert!(kept, "{way:?}: who had lost the lock freed it");
    };
    tokio::join!(expire(LOCK_RPC), expire(CAS_WATCH), expire(CAS_POLL), expire(ELECTION));
}

#[tokio::test]
async fn a_revoked_lease_cannot_take_the_lock() {
    let server = server().await;
    for way in OWN_KEYS {
        let key = &format!("revoked-{way:?}");
        let client = way.client(&server, KEPT_MS);
        let (ended, good) = (lease(&client).await, lease(&client).await);
        client.revoke(0, &ended, key).await.expect("a revocation");
        assert_eq!(client.renew(0, &ended, key).await, Ok(Renewal::Gone));
        let again = client.revoke(0, &ended, key).await;
        assert!(matches!(again, Err(CallError::Refused(_))), "{way:?}: {again:?}");
        let lock = lock(&client, &ended, key).await;
        assert!(matches!(lock, Err(CallError::NotAsked(_))), "{way:?}: {lock:?}");
        client.try_lock(0, &good, key).await.expect("a lock that nobody has");
    }
}

/// etcd issue 11456: the waiter finds nobody before itself, since its own key has gone, too.
#[tokio::test]
async fn a_waiter_whose_lease_ended_is_not_granted_the_lock() {
    let server = server().await;
    for way in OWN_KEYS {
        let key = &format!("ended-{way:?}");
        let client = way.client(&server, KEPT_MS);
        let (first, second) = (lease(&client).await, lease(&client).await);
        let held = lock(&client, &first, key).await.expect("a free lock");
        let mut waiting = pin!(lock(&client, &second, key));
        assert!(is_pending(&mut waiting).await);
        client.revoke(0, &second, key).await.expect("a revocation");
        client.unlock(0, &first, key, &held).await.expect("an unlock");
        let answer = waiting.await;
        assert!(matches!(answer, Err(CallError::Refused(_))), "{way:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_client_of_cas_ttl_that_waited_in_vain_surely_has_nothing() {
    let server = server().await;
    for way in [CAS_WATCH, CAS_POLL] {
        let key = &format!("in-vain-{way:?}");
        let client = way.client(&server, KEPT_MS);
        let (first, second) = (lease(&client).await, lease(&client).await);
        lock(&client, &first, key).await.expect("a free lock");
        let answer = client.lock(0, &second, key, Instant::now() + MOMENT).await;
        let reason = CallError::Refused("not granted in time".into());
        assert_eq!(answer.err(), Some(reason), "{way:?}");
    }
}

#[tokio::test]
async fn a_value_is_changed_only_if_it_is_the_expected_one() {
    let server = server().await;
    for read_mode in [ReadMode::Linearizable, ReadMode::Serializable] {
        let name = &format!("cas-{read_mode}");
        let plan = Plan { read_mode, ..LOCK_RPC.plan(KEPT_MS) };
        let values = Etcd::new(&config(&server.address, plan)).expect("a client");
        assert_eq!(values.read(0, name).await, Ok(None));
        assert_eq!(values.cas(0, name, Some(1), 2).await, Ok(false));
        assert_eq!(values.read(0, name).await, Ok(None));
        assert_eq!(values.cas(0, name, None, 3).await, Ok(true));
        assert_eq!(values.read(0, name).await, Ok(Some(3)));
        assert_eq!(values.cas(0, name, None, 4).await, Ok(false));
        assert_eq!(values.cas(0, name, Some(4), 5).await, Ok(false));
        assert_eq!(values.cas(0, name, Some(3), u64::MAX).await, Ok(true));
        assert_eq!(values.read(0, name).await, Ok(Some(u64::MAX)));
        assert_eq!(values.write(0, name, 6).await, Ok(()));
        assert_eq!(values.read(0, name).await, Ok(Some(6)));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_was_not_asked() {
    let [port] = free_ports();
    let address = format!("127.0.0.1:{port}");
    let client = Etcd::new(&config(&address, CAS_WATCH.plan(KEPT_MS))).expect("a client");
    for _ in 0..2 {
        let answer = client.write(0, "nobody", 1).await;
        assert!(matches!(answer, Err(CallError::NotAsked(_))), "{answer:?}");
    }
}
