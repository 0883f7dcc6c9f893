//! One key on one server: the recipes `single` and `sentinel`.
//!
//! After "Correct Implementation with a Single Instance", in "Distributed Locks with Redis", the
//! Redis project's documentation. The recipe reckons no validity: the lease is what the server says.
//!
//! Where the sentinels have named another primary since the grant, its yes is as good, and its no is
//! not: it may be a primary of yesterday that was never told of the lock. So a no is the store's word
//! only from the server that was the last to say that it has the lock, and only while that is a
//! primary (see [`script`](super::script)).
//!
//! A SET without an answer ends the acquire, which is then unknown; all others were answered, so that
//! an acquire that is refused has left nothing behind.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use locktest_history::RedisOptions;
use tokio::time::{Instant, sleep};

use super::super::{CallError, Entry, Grant, Lease, LockRecipe, Renewal};
use super::attempt::Attempt;
use super::connection::Server;
use super::primary::Primary;
use super::{Pauses, lock_key};
use crate::ClientConfig;

/// A try that begins closer to the deadline could be cut short, and leave behind what nobody knows.
const LAST_TRY: Duration = Duration::from_millis(100);

/// A client of the recipes `single` and `sentinel`, and of plain values in the same servers.
pub struct RedisLock {
    pub(super) primary: Primary,
    ttl_ms: u64,
    op_timeout: Duration,
    pauses: RefCell<Pauses>,
}

impl RedisLock {
    /// A client of the servers of `config`, or of the primary among them that its sentinels name.
    pub fn new(config: &ClientConfig) -> Result<RedisLock, CallError> {
        let options = config.plan.redis.unwrap_or(RedisOptions::DEFAULT);
        let longest_pause = Duration::from_millis(options.retry_pause_ms);
        Ok(RedisLock {
            primary: Primary::new(config)?,
            ttl_ms: config.plan.lease_ttl_ms,
            op_timeout: Duration::from_millis(config.plan.op_timeout_ms),
            pauses: RefCell::new(Pauses::new(config, longest_pause)),
        })
    }

    /// When an operation that begins now gives up.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.op_timeout
    }

    /// Finds the primary and asks it. After every answer that is no good one the sentinels are asked
    /// again.
    pub(super) async fn ask<T>(
        &self,
        preferred: usize,
        request: impl AsyncFnOnce(&Server, Instant) -> Result<T, CallError>,
    ) -> Result<(T, &Server), CallError> {
        let deadline = self.deadline();
        let server = self.primary.find(preferred, deadline).await?;
        match request(server, deadline).await {
            Ok(answer) => Ok((answer, server)),
            Err(error) => {
                self.primary.doubt();
                Err(error)
            }
        }
    }

    /// Tries once. The error is never [`CallError::Refused`].
    async fn try_once(
        &self,
        preferred: usize,
        attempt: &Attempt,
        key: &str,
    ) -> Result<(bool, Instant), CallError> {
        attempt.begin_round();
        self.primary.ask_sentinels();
        let set = async |server: &Server, deadline| {
            let begin = Instant::now();
            Ok((attempt.set(server, key, self.ttl_ms, deadline).await?, begin))
        };
        Ok(self.ask(preferred, set).await?.0)
    }
}

/// The answer "no" of a server that may never have had the lock.
fn elsewhere(server: &Server) -> CallError {
    CallError::Unknown(format!("{} does not have it, and was not the last to", server.address()))
}

fn grant(lease_start: Instant, waited: Duration) -> Grant {
    Grant { entry: Vec::new(), revision: None, waited, lease_start: Some(lease_start) }
}

impl LockRecipe for RedisLock {
    type LeaseId = Rc<Attempt>;

    async fn open(&self, _server: usize) -> Result<Lease<Rc<Attempt>>, CallError> {
        let attempt = Attempt::new(self.primary.servers().len())?;
        Ok(Lease { id: Rc::new(attempt), ttl_ms: self.ttl_ms })
    }

    async fn lock(
        &self,
        server: usize,
        attempt: &Rc<Attempt>,
        key: &str,
        deadline: Instant,
    ) -> Result<Grant, CallError> {
        let key = lock_key(key);
        let mut denied_at = None;
        loop {
            let (granted, begin) = match self.try_once(server, attempt, &key).await {
                // Whoever was refused before has asked and waited, even if nobody hears it now.
                Err(CallError::NotAsked(reason)) if denied_at.is_some() => {
                    return Err(CallError::Refused(format!("cannot ask again: {reason}")));
                }
                answer => answer?,
            };
            if granted {
                let waited = denied_at.map_or(Duration::ZERO, |at| begin.duration_since(at));
                return Ok(grant(begin, waited));
            }
            denied_at.get_or_insert_with(Instant::now);
            let pause = self.pauses.borrow_mut().next();
            if Instant::now() + pause + LAST_TRY > deadline {
                return Err(CallError::Refused("not granted in time".into()));
            }
            sleep(pause).await;
        }
    }

    async fn try_lock(
        &self,
        server: usize,
        attempt: &Rc<Attempt>,
        key: &str,
    ) -> Result<Grant, CallError> {
        match self.try_once(server, attempt, &lock_key(key)).await? {
            (true, begin) => Ok(grant(begin, Duration::ZERO)),
            (false, _) => Err(CallError::Refused("the key is there".into())),
        }
    }

    async fn renew(
        &self,
        server: usize,
        attempt: &Rc<Attempt>,
        key: &str,
    ) -> Result<Renewal, CallError> {
        let key = lock_key(key);
        let extend = async |server: &Server, deadline| {
            attempt.extend(server, &key, self.ttl_ms, deadline).await
        };
        match self.ask(server, extend).await? {
            (true, _) => Ok(Renewal::Renewed),
            (false, server) if attempt.was_last_seen_at(server) => Ok(Renewal::Gone),
            (false, server) => Err(elsewhere(server)),
        }
    }

    async fn entry(
        &self,
        server: usize,
        attempt: &Rc<Attempt>,
        key: &str,
        _grant: &Grant,
    ) -> Result<Entry, CallError> {
        let key = lock_key(key);
        let read = async |server: &Server, deadline| attempt.read(server, &key, deadline).await;
        match self.ask(server, read).await? {
            (false, server) if !attempt.was_last_seen_at(server) => Err(elsewhere(server)),
            (ours, _) => Ok(Entry { ours, token: None, at_revision: None }),
        }
    }

    async fn unlock(
        &self,
        server: usize,
        attempt: &Rc<Attempt>,
        key: &str,
        _grant: &Grant,
    ) -> Result<(), CallError> {
        let key = lock_key(key);
        let release =
            async |server: &Server, deadline| attempt.release(server, &key, deadline).await;
        match self.ask(server, release).await? {
            (true, _) => Ok(()),
            (false, server) if attempt.was_last_seen_at(server) => {
                Err(CallError::Refused("the key is not there or another's".into()))
            }
            (false, server) => Err(elsewhere(server)),
        }
    }

    async fn revoke(
        &self,
        server: usize,
        attempt: &Rc<Attempt>,
        key: &str,
    ) -> Result<(), CallError> {
        if attempt.may_be_left().is_empty() {
            return Ok(());
        }
        let key = lock_key(key);
        let mut trouble = None;
        // Where it was sent to, behind what was sent.
        for index in attempt.may_be_left() {
            let server = &self.primary.servers()[index];
            let released = attempt.release(server, &key, self.deadline()).await;
            trouble = released.err().or(trouble);
        }
        if self.primary.may_change() {
            // Whoever took over from there may have a copy.
            let release =
                async |server: &Server, deadline| attempt.release(server, &key, deadline).await;
            trouble = self.ask(server, release).await.err().or(trouble);
        }
        match trouble {
            None => Ok(()),
            Some(error) => Err(CallError::Unknown(format!("it may still be there: {error}"))),
        }
    }

    fn server_of(&self, server: usize) -> Option<usize> {
        self.primary.last(server)
    }
}
