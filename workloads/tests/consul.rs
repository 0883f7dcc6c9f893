//! The recipe of Consul, on a real server.

mod support;

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use locktest_history::{Backend, Plan, ReadMode, SessionBehavior, Token};
use locktest_workloads::recipes::{
    CallError, Consul, Grant, GuardedValues, LockRecipe, Renewal, Values,
};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::timeout;

use support::*;

static RUNNING: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());

/// A session that ends in no test by itself.
const KEPT_MS: u64 = 60_000;

/// The shortest that the server grants here.
const SHORT_MS: u64 = 1000;

const MODES: [ReadMode; 3] = [ReadMode::Consistent, ReadMode::Default, ReadMode::Stale];

fn plan(lease_ttl_ms: u64) -> Plan {
    Plan { lease_ttl_ms, op_timeout_ms: LONG.as_millis() as u64, ..Plan::of(Backend::Consul) }
}

fn client(server: &Server, plan: Plan) -> Consul {
    Consul::new(&config(&server.address, plan)).expect("a client")
}

async fn server() -> Arc<Server> {
    shared(&RUNNING, async || {
        let program = packages("bullseye", &["consul"]).await[0].join("usr/bin/consul");
        let [port, rpc_port, lan_port] = free_ports();
        let server = start(&program, port, |files| {
            let path = files.join("consul.json");
            let settings = json!({
                "server": true,
                "bootstrap_expect": 1,
                "node_name": "n1",
                "data_dir": files.join("data"),
                "bind_addr": "127.0.0.1",
                "client_addr": "127.0.0.1",
                "performance": { "raft_multiplier": 1 },
                "session_ttl_min": "1s",
                "disable_host_node_id": true,
                "disable_update_check": true,
                "ports": {
                    "http": port, "server": rpc_port, "serf_lan": lan_port,
                    "serf_wan": -1, "dns": -1, "grpc": -1,
                },
            });
            std::fs::write(&path, settings.to_string()).expect("the server's settings");
            vec!["agent".into(), format!("-config-file={}", path.display())]
        });
        let values = client(&server, plan(KEPT_MS));
        until_ok(async || match timeout(MOMENT, values.write(0, "ready", 1)).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Unknown(server.log())),
        })
        .await;
        server
    })
    .await
}

async fn token(client: &Consul, session: &String, key: &str, grant: &Grant) -> Token {
    let entry = client.entry(0, session, key, grant).await.expect("an entry");
    assert!(entry.ours);
    entry.token.expect("a token")
}

/// What the server answers to a read of a lock's key.
async fn status_of_key(server: &Server, key: &str) -> u16 {
    let http = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
    let url = format!("http://{}/v1/kv/{key}?consistent", server.address);
    http.get(url).send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_waiter_is_granted_the_lock_when_its_holder_gives_it_up_and_has_a_larger_token() {
    let server = server().await;
    for read_mode in MODES {
        let key = &format!("handover-{read_mode}");
        let client = client(&server, Plan { read_mode, ..plan(KEPT_MS) });
        let (first, second) = (lease(&client).await, lease(&client).await);
        let held = client.lock(0, &first, key, in_time()).await.expect("a free lock");
        assert_eq!(held.waited, Duration::ZERO);
        let first_token = token(&client, &first, key, &held).await;

        let mut waiting = pin!(client.lock(0, &second, key, in_time()));
        assert!(is_pending(&mut waiting).await, "{read_mode}: two hold the lock");
        client.unlock(0, &first, key, &held).await.expect("an unlock");
        let granted = waiting.await.expect("the lock after its release");
        assert!(granted.waited > Duration::ZERO, "{read_mode}");
        assert!(token(&client, &second, key, &granted).await > first_token, "{read_mode}");
    }
}

#[tokio::test]
async fn a_refused_try_leaves_nothing_that_could_be_granted_later() {
    let server = server().await;
    let client = client(&server, plan(KEPT_MS));
    let (first, second, third) = (lease(&client).await, lease(&client).await, lease(&client).await);
    let held = client.try_lock(0, &first, "try").await.expect("a free lock");
    let refused = client.try_lock(0, &second, "try").await;
    assert!(matches!(refused, Err(CallError::Refused(_))), "{refused:?}");
    client.unlock(0, &first, "try", &held).await.expect("an unlock");
    client.try_lock(0, &third, "try").await.expect("a lock that nobody has");
}

#[tokio::test]
async fn an_ended_session_leaves_nothing_of_a_wait_that_was_cut_short() {
    let server = server().await;
    let client = client(&server, plan(KEPT_MS));
    let (first, second, third) = (lease(&client).await, lease(&client).await, lease(&client).await);
    let held = client.lock(0, &first, "dropped", in_time()).await.expect("a free lock");
    assert!(is_pending(client.lock(0, &second, "dropped", in_time())).await);
    client.revoke(0, &second, "dropped").await.expect("an end of the session");
    client.unlock(0, &first, "dropped", &held).await.expect("an unlock");
    client.try_lock(0, &third, "dropped").await.expect("a lock that nobody has");
}

#[tokio::test]
async fn an_expired_session_frees_the_lock_and_only_a_consistent_read_proves_it() {
    let server = &server().await;
    let expire = async |read_mode: ReadMode| {
        let key = &format!("expiry-{read_mode}");
        let name = &format!("guarded-{key}");
        let one = client(server, Plan { read_mode, ..plan(SHORT_MS) });
        let other = client(server, Plan { read_mode, ..plan(KEPT_MS) });
        let (first, second) = (lease(&one).await, lease(&other).await);
        let held = one.lock(0, &first, key, in_time()).await.expect("a free lock");
        one.write_guarded(0, &first, key, &held, name, 1).await.expect("a holder's write");
        other.lock(0, &second, key, in_time()).await.expect("the lock after its session");

        assert_eq!(one.renew(0, &first, key).await, Ok(Renewal::Gone), "{read_mode}");
        let write = one.write_guarded(0, &first, key, &held, name, 2).await;
        assert!(matches!(write, Err(CallError::Refused(_))), "{read_mode}: {write:?}");
        assert_eq!(one.read(0, name).await, Ok(Some(1)), "{read_mode}");
        match (read_mode, one.entry(0, &first, key, &held).await) {
            (ReadMode::Consistent, Ok(entry)) => assert!(!entry.ours),
            (ReadMode::Default | ReadMode::Stale, Err(CallError::Unknown(_))) => {}
            (_, entry) => panic!("{read_mode}: {entry:?}"),
        }
        let unlock = one.unlock(0, &first, key, &held).await;
        assert!(matches!(unlock, Err(CallError::Refused(_))), "{read_mode}: {unlock:?}");
        assert_eq!(other.renew(0, &second, key).await, Ok(Renewal::Renewed), "{read_mode}");
        let third = lease(&other).await;
        let kept = other.try_lock(0, &third, key).await;
        assert!(kept.is_err(), "{read_mode}: who had lost the lock freed it");
    };
    tokio::join!(expire(ReadMode::Consistent), expire(ReadMode::Default), expire(ReadMode::Stale));
}

#[tokio::test]
async fn the_end_of_a_session_deletes_its_keys_or_keeps_them_and_tokens_grow_all_the_same() {
    let server = server().await;
    for (behavior, status) in [(SessionBehavior::Release, 200), (SessionBehavior::Delete, 404)] {
        let key = &format!("behavior-{behavior:?}");
        let client = client(&server, Plan { session_behavior: Some(behavior), ..plan(KEPT_MS) });
        let mut last = None;
        // One is given up, and its key stays; the others end with their sessions.
        for gives_up in [true, false, false, false] {
            let session = lease(&client).await;
            let held = client.lock(0, &session, key, in_time()).await.expect("a free lock");
            let token = Some(token(&client, &session, key, &held).await);
            assert!(token > last, "{behavior:?}: {token:?} after {last:?}");
            last = token;
            if gives_up {
                client.unlock(0, &session, key, &held).await.expect("an unlock");
                assert_eq!(status_of_key(&server, key).await, 200, "{behavior:?}");
            }
            client.revoke(0, &session, key).await.expect("an end of the session");
            let expected = if gives_up { 200 } else { status };
            assert_eq!(status_of_key(&server, key).await, expected, "{behavior:?}");
        }
    }
}

#[tokio::test]
async fn a_lock_whose_session_ended_is_refused_until_its_lock_delay_is_over() {
    let server = server().await;
    let client = client(&server, Plan { lock_delay_ms: 1000, ..plan(KEPT_MS) });
    let (first, second) = (lease(&client).await, lease(&client).await);
    client.lock(0, &first, "delay", in_time()).await.expect("a free lock");
    client.revoke(0, &first, "delay").await.expect("an end of the session");
    let mut waiting = pin!(client.lock(0, &second, "delay", in_time()));
    assert!(is_pending(&mut waiting).await, "granted in spite of the delay");
    waiting.await.expect("the lock after the delay");
}

#[tokio::test]
async fn a_session_has_the_ttl_that_the_server_granted_or_is_refused_in_its_words() {
    let server = server().await;
    let granted = client(&server, plan(1500)).open(0).await.expect("a session");
    assert_eq!(granted.ttl_ms, 1500);
    let error = client(&server, plan(SHORT_MS / 2)).open(0).await.expect_err("too short");
    assert!(error.to_string().contains("Invalid Session TTL"), "{error}");
}

#[tokio::test]
async fn a_value_is_changed_only_if_it_is_the_expected_one() {
    let server = server().await;
    for read_mode in MODES {
        let name = &format!("cas-{read_mode}");
        let values = client(&server, Plan { read_mode, ..plan(KEPT_MS) });
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
async fn of_two_that_change_a_value_at_once_one_is_refused() {
    let server = server().await;
    let values = client(&server, plan(KEPT_MS));
    for round in 0..20 {
        let name = &format!("race-{round}");
        let (one, other) = tokio::join!(values.cas(0, name, None, 1), values.cas(0, name, None, 2));
        assert_ne!(one, other, "round {round}");
        let expected = if one == Ok(true) { 1 } else { 2 };
        assert_eq!(values.read(0, name).await, Ok(Some(expected)));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_was_not_asked() {
    let [port] = free_ports();
    let address = format!("127.0.0.1:{port}");
    let client = Consul::new(&config(&address, plan(KEPT_MS))).expect("a client");
    for answer in
        [client.write(0, "nobody", 1).await, client.cas(0, "nobody", None, 1).await.map(drop)]
    {
        assert!(matches!(answer, Err(CallError::NotAsked(_))), "{answer:?}");
    }
}
