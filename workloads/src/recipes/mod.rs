//! Lock recipes: how each store is used as a lock.
//!
//! A recipe knows its store's requests and what their answers prove. It does not know the workload,
//! the history or the clock: the client loop stamps and records.

mod consul;
mod etcd;
mod redis;
mod sim;
mod zookeeper;

use std::future::Future;
use std::time::Duration;

use locktest_history::{RoundPurpose, Token, Vote};
use thiserror::Error;
use tokio::time::{Instant, timeout};

pub use self::redis::{RedisLock, Redlock};
pub use consul::Consul;
pub use etcd::Etcd;
pub use sim::SimLock;
pub use zookeeper::Zookeeper;

/// Why a request to a store has no good answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// The store said no, for certain and for good: its answer counts as evidence.
    #[error("{0}")]
    Refused(String),
    /// It surely did not happen, and the store never judged it.
    #[error("{0}")]
    NotAsked(String),
    /// It may have happened, or may still happen.
    #[error("{0}")]
    Unknown(String),
}

/// A lease or session that the store granted.
#[derive(Clone, Debug)]
pub struct Lease<Id> {
    /// Its name.
    pub id: Id,
    /// The time to live that the store granted.
    pub ttl_ms: u64,
}

/// A lock that the store granted.
#[derive(Clone, Debug)]
pub struct Grant {
    /// What the store calls the lock's entry, where the client cannot know it beforehand.
    pub entry: Vec<u8>,
    /// The store's revision in the granting reply.
    pub revision: Option<u64>,
    /// How long the client knows that it waited for another owner.
    pub waited: Duration,
    /// When the request was sent that won, where the lease begins with the grant.
    pub lease_start: Option<Instant>,
}

/// One round of requests to servers that know nothing of each other, as the history keeps it.
#[derive(Clone, Debug)]
pub struct EndedRound {
    /// What it was for.
    pub purpose: RoundPurpose,
    /// Before the first request was sent.
    pub begin: Instant,
    /// From its begin to its end.
    pub elapsed: Duration,
    /// Whether a majority agreed in time.
    pub won: bool,
    /// How long a won lock is valid from the end of the round on.
    pub validity_left: Option<Duration>,
    /// What each server said.
    pub votes: Vec<Vote>,
}

/// The store's answer to a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease lives for its whole time again.
    Renewed,
    /// The store has no such lease. Nothing less counts as this answer: it is evidence.
    Gone,
}

/// What the store says of a lock's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whether it exists and belongs to the lease.
    pub ours: bool,
    /// Its fencing token, if it is ours.
    pub token: Option<Token>,
    /// The revision that was read, if the read was of the past.
    pub at_revision: Option<u64>,
}

/// One store used as a lock. `server` is an index into the servers that the recipe was made with: the
/// one that the client prefers at the moment.
///
/// Each of these futures may be dropped at any time, as when its time is over or the client gives up;
/// whatever the request may have done then stays, and `revoke` has to end it.
pub trait LockRecipe {
    /// Names a lease or session.
    type LeaseId: Clone;

    /// Creates a lease. Where the lease begins with the grant, it is but named here.
    fn open(&self, server: usize) -> impl Future<Output = Result<Lease<Self::LeaseId>, CallError>>;

    /// Waits for the lock until it is granted or `deadline` has passed.
    fn lock(
        &self,
        server: usize,
        lease: &Self::LeaseId,
        key: &str,
        deadline: Instant,
    ) -> impl Future<Output = Result<Grant, CallError>>;

    /// Takes the lock if it is free. [`CallError::Refused`] if it is not, and then nothing is left
    /// that could still be granted.
    fn try_lock(
        &self,
        server: usize,
        lease: &Self::LeaseId,
        key: &str,
    ) -> impl Future<Output = Result<Grant, CallError>>;

    /// Renews the lease.
    fn renew(
        &self,
        server: usize,
        lease: &Self::LeaseId,
        key: &str,
    ) -> impl Future<Output = Result<Renewal, CallError>>;

    /// Resolves when the client's own library gives the lease up, with its words. That is no word of
    /// the store's and no evidence.
    fn lost(&self, _lease: &Self::LeaseId) -> impl Future<Output = String> {
        std::future::pending()
    }

    /// Reads the lock's entry back, such that an answer that it is not ours is the store's word.
    fn entry(
        &self,
        server: usize,
        lease: &Self::LeaseId,
        key: &str,
        grant: &Grant,
    ) -> impl Future<Output = Result<Entry, CallError>>;

    /// Gives the lock up. [`CallError::Refused`] is the store's word that this lease did not hold it.
    fn unlock(
        &self,
        server: usize,
        lease: &Self::LeaseId,
        key: &str,
        grant: &Grant,
    ) -> impl Future<Output = Result<(), CallError>>;

    /// Ends the lease, and with it whatever it may hold or wait for, also if an acquire of it was
    /// dropped half-way.
    fn revoke(
        &self,
        server: usize,
        lease: &Self::LeaseId,
        key: &str,
    ) -> impl Future<Output = Result<(), CallError>>;

    /// The server that a request went to when `server` was asked for; `None` if it went to many, or
    /// if nobody can tell.
    fn server_of(&self, server: usize) -> Option<usize> {
        Some(server)
    }

    /// The rounds that ended since this was last called.
    fn take_rounds(&self) -> Vec<EndedRound> {
        Vec::new()
    }
}

/// Plain numbers in a store, by name.
pub trait Values {
    /// The value as the run's read mode gives it; `None` if nobody wrote it.
    fn read(
        &self,
        server: usize,
        name: &str,
    ) -> impl Future<Output = Result<Option<u64>, CallError>>;

    /// Writes a value.
    fn write(
        &self,
        server: usize,
        name: &str,
        value: u64,
    ) -> impl Future<Output = Result<(), CallError>>;

    /// Writes a value if the present one is `expected`; tells whether it was. No two writes of a run
    /// have the same value, so a store may compare versions instead.
    fn cas(
        &self,
        server: usize,
        name: &str,
        expected: Option<u64>,
        value: u64,
    ) -> impl Future<Output = Result<bool, CallError>>;

    /// The server that a request for a value goes to when `server` is asked for; `None` if nobody can
    /// tell.
    fn server_of_value(&self, server: usize) -> Option<usize> {
        Some(server)
    }
}

/// Values that a lock of the same store can guard.
pub trait GuardedValues: LockRecipe + Values {
    /// Writes a value in one transaction that also checks that the lock's entry is still this
    /// lease's. [`CallError::Refused`] if it is not.
    fn write_guarded(
        &self,
        server: usize,
        lease: &Self::LeaseId,
        key: &str,
        grant: &Grant,
        name: &str,
        value: u64,
    ) -> impl Future<Output = Result<(), CallError>>;
}

/// The one hard limit around every request, whatever the client library promises.
///
/// The request is on the heap: those of some libraries are large, and each caller's future would
/// hold it once more.
pub(crate) fn bounded<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, CallError>>,
) -> impl Future<Output = Result<T, CallError>> {
    let call = timeout(limit, Box::pin(call));
    async move {
        call.await.unwrap_or_else(|_| {
            Err(CallError::Unknown(format!("no answer within {} ms", limit.as_millis())))
        })
    }
}
