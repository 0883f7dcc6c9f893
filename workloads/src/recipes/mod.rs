//! Lock recipes: how each store is used as a lock.
//!
//! A recipe knows its store's requests and what their answers prove. It does not know the workload,
//! the history or the clock: the client loop stamps and records.

mod consul;
mod etcd;
mod sim;

use std::future::Future;
use std::time::Duration;

use locktest_history::{Backend, Token};
use thiserror::Error;
use tokio::time::{Instant, timeout};

pub(crate) use consul::ConsulSession;
pub(crate) use etcd::EtcdLockRpc;
pub use sim::SimLock;

/// The name of the recipe by which a backend is used.
pub fn recipe_name(backend: Backend) -> &'static str {
    match backend {
        Backend::Consul => "session",
        Backend::Etcd => "lock-rpc",
        Backend::Sim => "sim",
    }
}

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

/// One store used as a lock. `server` is an index into the servers that the recipe was made with.
pub trait Recipe {
    /// Names a lease or session.
    type LeaseId: Clone;

    /// Creates a lease.
    fn open(&self, server: usize) -> impl Future<Output = Result<Lease<Self::LeaseId>, CallError>>;

    /// Waits for the lock until it is granted or `deadline` has passed.
    fn lock(
        &self,
        server: usize,
        lease: &Self::LeaseId,
        key: &str,
        deadline: Instant,
    ) -> impl Future<Output = Result<Grant, CallError>>;

    /// Renews the lease.
    fn renew(
        &self,
        server: usize,
        lease: &Self::LeaseId,
    ) -> impl Future<Output = Result<Renewal, CallError>>;

    /// Reads the lock's entry back.
    fn entry(
        &self,
        server: usize,
        lease: &Self::LeaseId,
        key: &str,
        grant: &Grant,
    ) -> impl Future<Output = Result<Entry, CallError>>;

    /// Gives the lock up.
    fn unlock(
        &self,
        server: usize,
        lease: &Self::LeaseId,
        key: &str,
        grant: &Grant,
    ) -> impl Future<Output = Result<(), CallError>>;

    /// Ends the lease, and with it whatever it may hold or wait for.
    fn revoke(
        &self,
        server: usize,
        lease: &Self::LeaseId,
    ) -> impl Future<Output = Result<(), CallError>>;
}

/// The one hard limit around every request, whatever the client library promises.
pub(crate) async fn bounded<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    timeout(limit, call).await.unwrap_or_else(|_| {
        Err(CallError::Unknown(format!("no answer within {} ms", limit.as_millis())))
    })
}
