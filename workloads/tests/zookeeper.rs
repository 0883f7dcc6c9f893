//! The recipe of ZooKeeper, on a real server. `LOCKTEST_ZOOKEEPER_VERSION` picks another version
//! than the newest.

mod proxy;
mod support;

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use locktest_cluster::{Release, Store};
use locktest_history::{Backend, Plan, Token, ZOOKEEPER_TICK_MS};
use locktest_workloads::recipes::{
    CallError, Entry, Grant, GuardedValues, LockRecipe, Renewal, Values, Zookeeper,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use zookeeper_client::Client;

use proxy::Proxy;
use support::*;

static RUNNING: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());

/// The longest that the server grants.
const KEPT_MS: u64 = 20 * ZOOKEEPER_TICK_MS;

/// The shortest that the server grants.
const SHORT_MS: u64 = 2 * ZOOKEEPER_TICK_MS;

async fn start_one() -> Server {
    let release = match std::env::var("LOCKTEST_ZOOKEEPER_VERSION") {
        Ok(version) => Release::of(Store::Zookeeper, &version).expect("a version that there is"),
        Err(_) => Release::newest(Store::Zookeeper),
    };
    let roots = packages(release.suite, release.packages).await;
    let installation = release.installation(&roots);
    let [port] = free_ports();
    let server = start(&installation.program, port, |files| {
        let config = files.join("zoo.cfg");
        let text = format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             tickTime={ZOOKEEPER_TICK_MS}\nmaxClientCnxns=0\nadmin.enableServer=false\n",
            files.display()
        );
        std::fs::write(&config, text).expect("the server's configuration");
        let mut arguments = installation.leading_arguments.clone();
        arguments.push(config.display().to_string());
        arguments
    });
    let probe = client(&server, KEPT_MS);
    until_ok(async || match timeout(MOMENT * 3, probe.write(0, "ready", 1)).await {
        Ok(answer) => answer,
        Err(_) => Err(CallError::Unknown(server.log())),
    })
    .await;
    server
}

async fn server() -> Arc<Server> {
    shared(&RUNNING, start_one).await
}

fn plan(lease_ttl_ms: u64) -> Plan {
    Plan { lease_ttl_ms, ..Plan::of(Backend::Zookeeper) }
}

fn client(server: &Server, lease_ttl_ms: u64) -> Zookeeper {
    client_at(&server.address, lease_ttl_ms)
}

fn client_at(address: &str, lease_ttl_ms: u64) -> Zookeeper {
    Zookeeper::new(&config(address, plan(lease_ttl_ms))).expect("a client")
}

/// The nodes that stand in the queue of a lock.
async fn queue(server: &Server, key: &str) -> Vec<String> {
    let client = Client::connect(&server.address).await.expect("a session");
    client.list_children(&format!("/locktest/locks/{key}")).await.expect("a queue")
}

async fn token(client: &Zookeeper, lease: i64, key: &str, grant: &Grant) -> Token {
    let entry = client.entry(0, &lease, key, grant).await.expect("an entry");
    assert!(entry.ours, "{entry:?}");
    entry.token.expect("a token")
}

/// Asks again while the outcome is unknown.
async fn answer<T>(ask: impl AsyncFn() -> Result<T, CallError>) -> Result<T, CallError> {
    let deadline = Instant::now() + LONG;
    loop {
        match ask().await {
            Err(CallError::Unknown(_)) if Instant::now() < deadline => {}
            answer => return answer,
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[tokio::test]
async fn the_lock_goes_to_one_after_the_other_in_order_and_tokens_grow() {
    let server = server().await;
    let clients = [(); 3].map(|()| client(&server, KEPT_MS));
    let mut leases = Vec::new();
    for client in &clients {
        leases.push(lease(client).await);
    }
    let key = "in-order";
    let first = clients[0].lock(0, &leases[0], key, in_time()).await.expect("the lock");
    let mut second = pin!(clients[1].lock(0, &leases[1], key, in_time()));
    assert!(is_pending(second.as_mut()).await);
    let mut third = pin!(clients[2].lock(0, &leases[2], key, in_time()));
    assert!(is_pending(third.as_mut()).await);

    let first_token = token(&clients[0], leases[0], key, &first).await;
    clients[0].unlock(0, &leases[0], key, &first).await.expect("unlocked");
    let second = timeout(LONG, second).await.expect("in time").expect("the lock");
    assert!(second.waited >= MOMENT, "{:?}", second.waited);
    assert!(is_pending(third.as_mut()).await);
    let second_token = token(&clients[1], leases[1], key, &second).await;
    assert!(second_token > first_token);

    clients[1].revoke(0, &leases[1], key).await.expect("revoked");
    let third = timeout(LONG, third).await.expect("in time").expect("the lock");
    assert!(token(&clients[2], leases[2], key, &third).await > second_token);
}

#[tokio::test]
async fn the_server_says_how_long_a_session_lasts_and_the_promise_is_a_tick_less() {
    let server = server().await;
    for (asked_ms, granted_ms) in [(1, SHORT_MS), (KEPT_MS - 1, KEPT_MS - 1), (60_000, KEPT_MS)] {
        let lease = client(&server, asked_ms).open(0).await.expect("a lease");
        assert_eq!(lease.ttl_ms, granted_ms - ZOOKEEPER_TICK_MS);
    }
}

#[tokio::test]
async fn a_lock_that_is_given_up_half_way_leaves_no_node_once_its_session_is_revoked() {
    let server = server().await;
    let (holder, waiter) = (client(&server, KEPT_MS), client(&server, KEPT_MS));
    let (held, waiting) = (lease(&holder).await, lease(&waiter).await);
    let key = "given-up";
    holder.lock(0, &held, key, in_time()).await.expect("the lock");
    assert!(is_pending(waiter.lock(0, &waiting, key, in_time())).await);
    assert_eq!(queue(&server, key).await.len(), 2);
    waiter.revoke(0, &waiting, key).await.expect("revoked");
    assert_eq!(queue(&server, key).await.len(), 1);
    assert_eq!(holder.renew(0, &held, key).await, Ok(Renewal::Renewed));
}

#[tokio::test]
async fn whoever_waits_in_vain_is_refused_and_out_of_the_queue() {
    let server = server().await;
    let (holder, waiter) = (client(&server, KEPT_MS), client(&server, KEPT_MS));
    let (held, waiting) = (lease(&holder).await, lease(&waiter).await);
    let key = "in-vain";
    holder.lock(0, &held, key, in_time()).await.expect("the lock");
    let deadline = Instant::now() + 3 * MOMENT;
    let refused = waiter.lock(0, &waiting, key, deadline).await.expect_err("held");
    assert_eq!(refused, CallError::Refused("not granted in time".into()));
    let refused = waiter.try_lock(0, &lease(&waiter).await, key).await.expect_err("held");
    assert_eq!(refused, CallError::Refused("the lock is held".into()));
    assert_eq!(queue(&server, key).await.len(), 1);

    holder.revoke(0, &held, key).await.expect("revoked");
    waiter.try_lock(0, &lease(&waiter).await, key).await.expect("the lock");
}

#[tokio::test]
async fn an_answer_that_is_lost_is_recovered_for_a_create_and_unknown_for_a_delete() {
    let server = server().await;
    let proxy = Proxy::start(&server.address).await;
    let client = client_at(&proxy.address(), KEPT_MS);
    let key = "lost-answer";
    // With a queue that is there already, the first request of all makes the node.
    let direct = self::client(&server, KEPT_MS);
    let earlier = lease(&direct).await;
    direct.lock(0, &earlier, key, in_time()).await.expect("the lock");
    direct.revoke(0, &earlier, key).await.expect("revoked");
    let lease = lease(&client).await;
    assert_eq!(client.server_of(0), Some(0));

    proxy.cut_instead_of_answer(1);
    let grant = client.lock(0, &lease, key, in_time()).await.expect("the lock");
    assert!(proxy.has_cut());
    assert_eq!(queue(&server, key).await.len(), 1);
    assert_eq!(client.server_of(0), None, "it may be another one by now");
    assert_eq!(client.renew(0, &lease, key).await, Ok(Renewal::Renewed));

    proxy.cut_instead_of_answer(1);
    let unknown = client.unlock(0, &lease, key, &grant).await.expect_err("no answer");
    assert!(matches!(unknown, CallError::Unknown(_)), "{unknown}");
    let unknown = client.unlock(0, &lease, key, &grant).await.expect_err("it is gone");
    assert!(matches!(unknown, CallError::Unknown(_)), "{unknown}");
    let unknown = client.renew(0, &lease, key).await.expect_err("it is gone");
    assert!(matches!(unknown, CallError::Unknown(_)), "{unknown}");
    client.revoke(0, &lease, key).await.expect("revoked");
}

#[test]
fn the_lock_of_a_client_that_died_is_free_once_its_session_is_over() {
    let (dying, living) = (runtime(), runtime());
    let server = living.block_on(server());
    let key = "died";
    let dead = client(&server, SHORT_MS);
    let lost = dying.block_on(async {
        let lease = lease(&dead).await;
        dead.lock(0, &lease, key, in_time()).await.expect("the lock")
    });
    // Its connection breaks without a word, as when the process is killed.
    drop(dying);
    living.block_on(async {
        let client = client(&server, KEPT_MS);
        let lease = lease(&client).await;
        let grant = client.lock(0, &lease, key, in_time()).await.expect("the lock");
        assert!(grant.waited > Duration::ZERO);
        assert_ne!(grant.entry, lost.entry);
    });
}

#[test]
fn a_client_that_slept_through_its_session_is_told_by_the_service_that_it_holds_nothing() {
    let (sleeping, waking) = (runtime(), runtime());
    let server = waking.block_on(server());
    let key = "slept";
    let sleeper = client(&server, SHORT_MS);
    let (lease, grant) = sleeping.block_on(async {
        let lease = lease(&sleeper).await;
        let grant = sleeper.lock(0, &lease, key, in_time()).await.expect("the lock");
        sleeper.write_guarded(0, &lease, key, &grant, "slept", 1).await.expect("a holder writes");
        (lease, grant)
    });
    // Nothing of the sleeper runs meanwhile, so that no ping goes out.
    waking.block_on(async {
        let client = client(&server, KEPT_MS);
        let lease = client.open(0).await.expect("a lease").id;
        client.lock(0, &lease, key, in_time()).await.expect("the lock");
    });
    sleeping.block_on(async {
        let lost = timeout(LONG, sleeper.lost(&lease));
        assert_eq!(answer(async || sleeper.renew(0, &lease, key).await).await, Ok(Renewal::Gone));
        let none = Entry { ours: false, token: None, at_revision: None };
        assert_eq!(sleeper.entry(0, &lease, key, &grant).await, Ok(none));
        lost.await.expect("the library notices, too");
        let late =
            answer(async || sleeper.write_guarded(0, &lease, key, &grant, "slept", 2).await).await;
        assert_eq!(late, Err(CallError::Refused("the lock node is gone".into())));
        assert_eq!(sleeper.read(0, "slept").await, Ok(Some(1)));
        let unlocked = sleeper.unlock(0, &lease, key, &grant).await.expect_err("not sent");
        assert!(matches!(unlocked, CallError::NotAsked(_)), "{unlocked}");
        sleeper.revoke(0, &lease, key).await.expect("its node is gone for certain");
    });
}

#[tokio::test]
async fn what_the_library_concludes_while_no_server_answers_is_no_word_of_the_service() {
    let server = start_one().await;
    let client = client(&server, SHORT_MS);
    let key = "stopped";
    let lease = lease(&client).await;
    let grant = client.lock(0, &lease, key, in_time()).await.expect("the lock");
    assert!(is_pending(client.lost(&lease)).await);

    let pid = Pid::from_raw(i32::try_from(server.process.id()).expect("a process"));
    kill(pid, Signal::SIGSTOP).expect("a stopped server");
    let lost = timeout(LONG, client.lost(&lease)).await.expect("the library gives up");
    assert_eq!(lost, "the client library gave the session up");
    let renewed = timeout(MOMENT, client.renew(0, &lease, key)).await;
    assert!(matches!(renewed, Err(_) | Ok(Err(_))), "{renewed:?}");
    let read = timeout(MOMENT, client.entry(0, &lease, key, &grant)).await;
    assert!(matches!(read, Err(_) | Ok(Err(_))), "{read:?}");
    kill(pid, Signal::SIGCONT).expect("a server that goes on");
}

#[tokio::test]
async fn values_are_read_written_and_compared() {
    let server = server().await;
    for read_mode in Backend::Zookeeper.read_modes() {
        let plan = Plan { read_mode: *read_mode, ..plan(KEPT_MS) };
        let client = Zookeeper::new(&config(&server.address, plan)).expect("a client");
        let name = &format!("value-{read_mode}");
        assert_eq!(client.read(0, name).await, Ok(None));
        assert_eq!(client.cas(0, name, Some(1), 2).await, Ok(false));
        assert_eq!(client.read(0, name).await, Ok(None));
        assert_eq!(client.cas(0, name, None, 3).await, Ok(true));
        assert_eq!(client.cas(0, name, None, 4).await, Ok(false));
        assert_eq!(client.cas(0, name, Some(3), 5).await, Ok(true));
        client.write(0, name, 6).await.expect("written");
        assert_eq!(client.cas(0, name, Some(5), 7).await, Ok(false));
        assert_eq!(client.read(0, name).await, Ok(Some(6)));
    }
}

#[tokio::test]
async fn of_clients_that_all_expect_the_same_one_writes() {
    let server = server().await;
    let clients = [(); 4].map(|()| client(&server, KEPT_MS));
    let name = "raced-for";
    let mut present = None;
    for round in 0..10 {
        let [a, b, c, d] = &clients;
        let write = |client: u64| round * 10 + client;
        let wins = tokio::join!(
            a.cas(0, name, present, write(1)),
            b.cas(0, name, present, write(2)),
            c.cas(0, name, present, write(3)),
            d.cas(0, name, present, write(4)),
        );
        let wins = [wins.0, wins.1, wins.2, wins.3].map(|win| win.expect("an answer"));
        assert_eq!(wins.iter().filter(|win| **win).count(), 1, "{wins:?}");
        let winner = (1..).zip(wins).find(|(_, win)| *win).expect("a winner").0;
        present = a.read(0, name).await.expect("a value");
        assert_eq!(present, Some(write(winner)));
    }
}

#[tokio::test]
async fn a_guarded_write_is_refused_once_the_lock_is_given_up_but_not_after_a_renewal() {
    let server = server().await;
    let client = client(&server, KEPT_MS);
    let (key, name) = ("guards", "guarded");
    let lease = lease(&client).await;
    let grant = client.lock(0, &lease, key, in_time()).await.expect("the lock");
    client.write_guarded(0, &lease, key, &grant, name, 1).await.expect("the holder writes");
    assert_eq!(client.renew(0, &lease, key).await, Ok(Renewal::Renewed));
    client.write_guarded(0, &lease, key, &grant, name, 2).await.expect("the holder writes");
    client.unlock(0, &lease, key, &grant).await.expect("unlocked");
    let late = client.write_guarded(0, &lease, key, &grant, name, 3).await;
    assert_eq!(late, Err(CallError::Refused("the lock node is gone".into())));
    assert_eq!(client.read(0, name).await, Ok(Some(2)));
}

#[tokio::test]
async fn a_lock_node_that_somebody_deleted_is_a_lock_that_is_gone() {
    let server = server().await;
    let client = client(&server, KEPT_MS);
    let key = "deleted";
    let lease = lease(&client).await;
    let grant = client.lock(0, &lease, key, in_time()).await.expect("the lock");
    let path = String::from_utf8(grant.entry.clone()).expect("a path");
    let other = Client::connect(&server.address).await.expect("a session");
    other.delete(&path, None).await.expect("deleted");
    assert_eq!(client.renew(0, &lease, key).await, Ok(Renewal::Gone));
    let entry = client.entry(0, &lease, key, &grant).await.expect("an entry");
    assert!(!entry.ours);
    let refused = client.unlock(0, &lease, key, &grant).await.expect_err("it is gone");
    assert!(matches!(refused, CallError::Refused(_)), "{refused}");
}

#[tokio::test]
async fn where_no_server_is_nothing_was_asked() {
    let [port] = free_ports();
    let client = client_at(&format!("127.0.0.1:{port}"), KEPT_MS);
    assert_eq!(client.server_of(0), None);
    let opened = client.open(0).await.expect_err("nobody");
    assert!(matches!(opened, CallError::NotAsked(_)), "{opened}");
    let written = client.write(0, "nobody", 1).await.expect_err("nobody");
    assert!(matches!(written, CallError::NotAsked(_)), "{written}");
    let compared = client.cas(0, "nobody", None, 1).await.expect_err("nobody");
    assert!(matches!(compared, CallError::NotAsked(_)), "{compared}");
}
