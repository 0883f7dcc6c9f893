//! The lock recipe itself.

use std::rc::Rc;
use std::time::Duration;

use locktest_history::{Token, ZOOKEEPER_TICK_MS};
use tokio::time::{Instant, timeout_at};
use zookeeper_client::{Client, Error, SessionState, Stat, StateWatcher};

use super::super::{CallError, Entry, Grant, Lease, LockRecipe, Renewal};
use super::queue::Attempt;
use super::{Zookeeper, call_error};

/// What is left of the time to wait for leaving the queue in good order.
const TIME_TO_WITHDRAW: Duration = Duration::from_millis(300);

impl LockRecipe for Zookeeper {
    /// The number of the session.
    type LeaseId = i64;

    /// The promise is a tick shorter than the session's timeout: the leader, which alone ends a
    /// session, hears of it only now and then.
    async fn open(&self, _server: usize) -> Result<Lease<i64>, CallError> {
        // Whatever became of the session, nothing depends on it.
        let client =
            self.sessions.open().await.map_err(|error| CallError::NotAsked(error.to_string()))?;
        let timeout_ms = u64::try_from(client.session_timeout().as_millis()).unwrap_or(u64::MAX);
        let attempt = Attempt::new(client);
        let id = attempt.session();
        self.attempts.borrow_mut().insert(id, Rc::new(attempt));
        Ok(Lease { id, ttl_ms: timeout_ms.saturating_sub(ZOOKEEPER_TICK_MS) })
    }

    async fn lock(
        &self,
        _server: usize,
        lease: &i64,
        key: &str,
        deadline: Instant,
    ) -> Result<Grant, CallError> {
        let attempt = self.attempt(*lease)?;
        attempt.enqueue(key).await?;
        let last_chance = deadline.checked_sub(TIME_TO_WITHDRAW).unwrap_or(deadline);
        let mut waited = Duration::ZERO;
        while let Some(predecessor) = attempt.predecessor().await? {
            let begin = Instant::now();
            let change = attempt.wait_for_change(&predecessor);
            match timeout_at(last_chance, change).await {
                Ok(change) => change?,
                Err(_) => return Err(attempt.withdraw("not granted in time").await),
            }
            waited += begin.elapsed();
        }
        Ok(grant(&attempt, waited))
    }

    async fn try_lock(&self, _server: usize, lease: &i64, key: &str) -> Result<Grant, CallError> {
        let attempt = self.attempt(*lease)?;
        attempt.enqueue(key).await?;
        match attempt.predecessor().await? {
            None => Ok(grant(&attempt, Duration::ZERO)),
            Some(_) => Err(attempt.withdraw("the lock is held").await),
        }
    }

    /// Writes the lock node: a quorum answers. A server that is cut off answers pings and reads,
    /// too, and they keep nothing alive.
    async fn renew(&self, server: usize, lease: &i64, _key: &str) -> Result<Renewal, CallError> {
        let attempt = self.attempt(*lease)?;
        let Some(path) = attempt.node() else {
            return Err(CallError::Unknown("the lock node is not there yet".into()));
        };
        let is_gone = match attempt.client.set_data(path, b"", None).await {
            Ok(_) => return Ok(Renewal::Renewed),
            Err(Error::NoNode) => true,
            Err(Error::SessionExpired) => !self.sessions.exists(server, path).await?,
            Err(error) => return Err(call_error(error)),
        };
        match is_gone {
            true if attempt.deleting.get() => {
                Err(CallError::Unknown("the lock node is gone, as was asked for".into()))
            }
            true => Ok(Renewal::Gone),
            false => Err(CallError::Unknown(
                "the session was given up, yet its lock node is there".into(),
            )),
        }
    }

    async fn lost(&self, lease: &i64) -> String {
        // The attempt itself must not be kept: it would keep the session open.
        let states = self.attempt(*lease).map(|attempt| attempt.states());
        let Ok(states) = states else { return std::future::pending().await };
        match end(states).await {
            // As was asked for.
            SessionState::Closed => std::future::pending().await,
            _ => "the client library gave the session up".into(),
        }
    }

    async fn entry(
        &self,
        server: usize,
        lease: &i64,
        _key: &str,
        grant: &Grant,
    ) -> Result<Entry, CallError> {
        let attempt = self.attempt(*lease)?;
        let path = lock_node(grant)?;
        match stat(&attempt.client, path).await {
            Ok(Some(stat)) if stat.ephemeral_owner == *lease => {
                let token = u64::try_from(stat.czxid).ok().map(|major| Token { major, minor: 0 });
                return Ok(Entry { ours: true, token, at_revision: None });
            }
            Ok(_) | Err(Error::SessionExpired) => {}
            Err(error) => return Err(call_error(error)),
        }
        match self.sessions.exists(server, path).await? {
            false => Ok(Entry { ours: false, token: None, at_revision: None }),
            // No other session makes a node of this name.
            true => Err(CallError::Unknown("a server read nothing, yet the node is there".into())),
        }
    }

    /// The library sends a request once, so that a node that is not there was not deleted by this
    /// very request.
    async fn unlock(
        &self,
        _server: usize,
        lease: &i64,
        _key: &str,
        grant: &Grant,
    ) -> Result<(), CallError> {
        let attempt = self.attempt(*lease)?;
        if attempt.client.state().is_terminated() {
            return Err(CallError::NotAsked("the client library gave the session up".into()));
        }
        let asked_before = attempt.deleting.replace(true);
        match attempt.client.delete(lock_node(grant)?, None).await {
            Err(Error::NoNode) if asked_before => {
                Err(CallError::Unknown("the lock node is gone, as was asked for before".into()))
            }
            deleted => deleted.map_err(call_error),
        }
    }

    /// Closes the session, and waits until a server says that it is closed. The library goes on
    /// trying when nobody waits any more, for 7/5 of the session's timeout after the last word of a
    /// server.
    async fn revoke(&self, server: usize, lease: &i64, _key: &str) -> Result<(), CallError> {
        let attempt = self.attempt(*lease)?;
        self.attempts.borrow_mut().remove(lease);
        let states = attempt.states();
        let node = attempt.node().map(str::to_owned);
        drop(attempt);
        match (end(states).await, node) {
            (SessionState::Closed, _) => Ok(()),
            // The session ends when it ends. Its node can be taken out of the way.
            (_, Some(node)) => self.sessions.delete(server, &node).await,
            (_, None) => Err(CallError::Unknown("the session cannot be closed any more".into())),
        }
    }

    fn server_of(&self, _server: usize) -> Option<usize> {
        let attempts = self.attempts.borrow();
        // A client has one attempt at a time.
        let attempt = attempts.values().next().filter(|_| attempts.len() == 1)?;
        let server = usize::from(attempt.server_id()?).checked_sub(1)?;
        (server < self.sessions.servers()).then_some(server)
    }
}

impl Zookeeper {
    fn attempt(&self, session: i64) -> Result<Rc<Attempt>, CallError> {
        let attempt = self.attempts.borrow().get(&session).cloned();
        attempt.ok_or_else(|| CallError::NotAsked("the session was closed".into()))
    }
}

/// The state in which a session ends: closed if that was asked for and a server did it.
async fn end(mut states: StateWatcher) -> SessionState {
    let mut state = states.peek_state();
    while !state.is_terminated() {
        state = states.changed().await;
    }
    state
}

/// A node's state, not older than the question if the leader is one.
async fn stat(client: &Client, path: &str) -> Result<Option<Stat>, Error> {
    client.sync(path).await?;
    client.check_stat(path).await
}

fn grant(attempt: &Attempt, waited: Duration) -> Grant {
    let entry = attempt.node().unwrap_or_default().as_bytes().to_vec();
    Grant { entry, revision: None, waited, lease_start: None }
}

/// The path of a granted lock's node.
pub(super) fn lock_node(grant: &Grant) -> Result<&str, CallError> {
    std::str::from_utf8(&grant.entry)
        .map_err(|_| CallError::NotAsked("the grant names no lock node".into()))
}
