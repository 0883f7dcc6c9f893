//! Redlock: a lock that a majority of independent servers grants.
//!
//! After "Distributed Locks with Redis", the Redis project's documentation, sections "The Redlock
//! Algorithm", "Retry on Failure", "Releasing the Lock" and "Making the algorithm more reliable:
//! Extending the lock". What it leaves open is decided so:
//! - Each round sets a value of its own. The documentation wants a value that is unique across all
//!   lock requests; and were a round's value used again, a release that an earlier round had sent
//!   and that is executed late would take the later one's votes away.
//! - A server that gives no answer has perhaps said yes, or will. That never makes a majority for us,
//!   but decides what is known of an attempt that failed.
//!
//! Why each answer of this recipe is sound:
//! - A grant or extension counts the yes of a majority, and the time from before the first request.
//! - A failed acquire is [`CallError::Refused`] if a majority of the servers surely has nothing of
//!   it, and never will have: then no majority can be made of what is left, and a grant that the
//!   client never believed can bind nobody. It is unknown otherwise. And it is
//!   [`CallError::NotAsked`] if in none of its rounds a majority answered, for who was not heard was
//!   not denied.
//! - That the lock is gone, [`Renewal::Gone`], an entry that is not ours or a release that was
//!   refused, takes so many servers that surely do not have the value that a majority of the others
//!   is impossible. A server that may still execute our SET is none of them.
//! - A release succeeds when a majority surely has nothing of it any more; the rest cannot keep
//!   anybody from the lock by themselves, and expires.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use locktest_history::{RedisOptions, RedlockRequests, RoundPurpose};
use tokio::time::{Instant, sleep};

use super::super::{CallError, EndedRound, Entry, Grant, Lease, LockRecipe, Renewal};
use super::attempt::Attempt;
use super::connection::Server;
use super::round::{OpenRound, Tally, Terms, drift, quorum};
use super::{Pauses, lock_key};
use crate::ClientConfig;

/// A client of the recipe `redlock`.
pub struct Redlock {
    servers: Vec<Server>,
    ttl_ms: u64,
    requests: RedlockRequests,
    node_timeout: Duration,
    pauses: RefCell<Pauses>,
    rounds: RefCell<Vec<EndedRound>>,
}

impl Redlock {
    /// A client of the servers of `config`. The error names an address that is none.
    pub fn new(config: &ClientConfig) -> Result<Redlock, CallError> {
        let options = config.plan.redis.unwrap_or(RedisOptions::DEFAULT);
        let node_timeout = Duration::from_millis(options.node_timeout_ms);
        let longest_pause = Duration::from_millis(options.retry_pause_ms);
        Ok(Redlock {
            servers: Server::all(&config.servers, node_timeout)?,
            ttl_ms: config.plan.lease_ttl_ms,
            requests: options.requests,
            node_timeout,
            pauses: RefCell::new(Pauses::new(config, longest_pause)),
            rounds: RefCell::default(),
        })
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }

    /// Until when the lease is valid that a round won.
    fn valid_until(&self, won: &Tally) -> Instant {
        won.begin + self.ttl().saturating_sub(drift(self.ttl()))
    }

    /// The longest that a round may take.
    fn round_limit(&self) -> Duration {
        match self.requests {
            RedlockRequests::Parallel => self.node_timeout,
            RedlockRequests::Sequential => self.node_timeout * self.servers.len() as u32,
        }
    }

    /// Asks every server.
    async fn round(
        &self,
        purpose: RoundPurpose,
        terms: Option<Terms>,
        ask: impl AsyncFn(&Server, Instant) -> Result<bool, CallError>,
    ) -> Tally {
        let round = OpenRound::begin(&self.rounds, purpose, self.servers.len());
        let ask_one = async |server: &Server| {
            let answer = ask(server, Instant::now() + self.node_timeout).await;
            round.hear(server.index(), answer);
        };
        match self.requests {
            RedlockRequests::Parallel => {
                join_all(self.servers.iter().map(&ask_one)).await;
            }
            RedlockRequests::Sequential => {
                for server in &self.servers {
                    ask_one(server).await;
                }
            }
        }
        round.end(terms)
    }

    /// Tries once, and takes back what a try that failed has got.
    async fn try_once(&self, attempt: &Attempt, key: &str) -> Tally {
        attempt.begin_round();
        let terms = Terms { ttl: self.ttl(), valid_until: None };
        let tally = self
            .round(RoundPurpose::Acquire, Some(terms), async |server, deadline| {
                attempt.set(server, key, self.ttl_ms, deadline).await
            })
            .await;
        if tally.won {
            attempt.set_valid_until(self.valid_until(&tally));
        } else {
            // Also at those that did not answer: they may have set it all the same.
            self.release(attempt, key).await;
        }
        tally
    }

    async fn release(&self, attempt: &Attempt, key: &str) -> Tally {
        self.round(RoundPurpose::Release, None, async |server, deadline| {
            attempt.release(server, key, deadline).await
        })
        .await
    }

    /// Whether a majority surely has nothing of the attempt, and never will have.
    fn is_free_of(&self, attempt: &Attempt) -> bool {
        self.servers.len() - attempt.may_be_left().len() >= quorum(self.servers.len())
    }

    /// What is known of an attempt whose every round failed, `last` being the last; `judged` if a
    /// majority answered in one of them.
    fn last_word(&self, attempt: &Attempt, last: &Tally, judged: bool) -> CallError {
        let reason = last.votes.to_string();
        if !self.is_free_of(attempt) {
            CallError::Unknown(reason)
        } else if judged {
            CallError::Refused(reason)
        } else {
            CallError::NotAsked(reason)
        }
    }
}

fn grant(won: &Tally, waited: Duration) -> Grant {
    Grant { entry: Vec::new(), revision: None, waited, lease_start: Some(won.begin) }
}

impl LockRecipe for Redlock {
    type LeaseId = Rc<Attempt>;

    async fn open(&self, _server: usize) -> Result<Lease<Rc<Attempt>>, CallError> {
        let attempt = Attempt::new(self.servers.len())?;
        Ok(Lease { id: Rc::new(attempt), ttl_ms: self.ttl_ms })
    }

    async fn lock(
        &self,
        _server: usize,
        attempt: &Rc<Attempt>,
        key: &str,
        deadline: Instant,
    ) -> Result<Grant, CallError> {
        let key = lock_key(key);
        let mut judged = false;
        let mut denied_at = None;
        loop {
            let tally = self.try_once(attempt, &key).await;
            if tally.won {
                let waited = denied_at.map_or(Duration::ZERO, |at| tally.begin.duration_since(at));
                return Ok(grant(&tally, waited));
            }
            judged |= tally.votes.are_of_majority();
            if tally.votes.rule_majority_out() {
                denied_at.get_or_insert_with(Instant::now);
            }
            // A round that the deadline cuts short would leave behind what nobody knows of.
            let pause = self.pauses.borrow_mut().next();
            if Instant::now() + pause + self.round_limit() * 2 > deadline {
                return Err(self.last_word(attempt, &tally, judged));
            }
            sleep(pause).await;
        }
    }

    async fn try_lock(
        &self,
        _server: usize,
        attempt: &Rc<Attempt>,
        key: &str,
    ) -> Result<Grant, CallError> {
        let tally = self.try_once(attempt, &lock_key(key)).await;
        if tally.won {
            return Ok(grant(&tally, Duration::ZERO));
        }
        Err(self.last_word(attempt, &tally, tally.votes.are_of_majority()))
    }

    async fn renew(
        &self,
        _server: usize,
        attempt: &Rc<Attempt>,
        key: &str,
    ) -> Result<Renewal, CallError> {
        let key = lock_key(key);
        let terms = Terms { ttl: self.ttl(), valid_until: attempt.valid_until() };
        let tally = self
            .round(RoundPurpose::Extend, Some(terms), async |server, deadline| {
                attempt.extend(server, &key, self.ttl_ms, deadline).await
            })
            .await;
        if tally.won {
            attempt.set_valid_until(self.valid_until(&tally));
            return Ok(Renewal::Renewed);
        }
        if tally.votes.rule_majority_out() {
            return Ok(Renewal::Gone);
        }
        if tally.votes.have_majority() {
            let reason = "a majority extended it, but too late to count";
            return Err(CallError::Unknown(reason.into()));
        }
        Err(tally.votes.failure())
    }

    async fn entry(
        &self,
        _server: usize,
        attempt: &Rc<Attempt>,
        key: &str,
        _grant: &Grant,
    ) -> Result<Entry, CallError> {
        let key = lock_key(key);
        let tally = self
            .round(RoundPurpose::Read, None, async |server, deadline| {
                attempt.read(server, &key, deadline).await
            })
            .await;
        if tally.won || tally.votes.rule_majority_out() {
            return Ok(Entry { ours: tally.won, token: None, at_revision: None });
        }
        Err(tally.votes.failure())
    }

    async fn unlock(
        &self,
        _server: usize,
        attempt: &Rc<Attempt>,
        key: &str,
        _grant: &Grant,
    ) -> Result<(), CallError> {
        let tally = self.release(attempt, &lock_key(key)).await;
        if tally.votes.rule_majority_out() {
            return Err(CallError::Refused(tally.votes.to_string()));
        }
        if self.is_free_of(attempt) {
            return Ok(());
        }
        Err(tally.votes.failure())
    }

    async fn revoke(
        &self,
        _server: usize,
        attempt: &Rc<Attempt>,
        key: &str,
    ) -> Result<(), CallError> {
        if attempt.may_be_left().is_empty() {
            return Ok(());
        }
        let tally = self.release(attempt, &lock_key(key)).await;
        if self.is_free_of(attempt) {
            return Ok(());
        }
        Err(tally.votes.failure())
    }

    fn server_of(&self, _server: usize) -> Option<usize> {
        None
    }

    fn take_rounds(&self) -> Vec<EndedRound> {
        self.rounds.take()
    }
}
