//! Holds: what the clients believed and what the service promised.

use locktest_history::{ClientId, History, KeyId, NodeId, Token};

/// One granted acquire, seen both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The owner is (client, attempt).
    pub client: ClientId,
    /// The owner is (client, attempt).
    pub attempt: u64,
    /// Which lock.
    pub key: KeyId,
    /// The server that granted it.
    pub server: Option<NodeId>,
    /// When the acquire was invoked.
    pub invoke_ns: u64,
    /// When it was granted: both views begin here.
    pub ok_ns: u64,
    /// When the release was invoked, if it was.
    pub release_invoke_ns: Option<u64>,
    /// When the client stopped believing: release, loss noticed, or death.
    pub belief_end_ns: u64,
    /// When the service's promise ended; before `ok_ns` if the grant came too late to promise anything.
    pub contract_end_ns: u64,
    /// The latest lease start before the end.
    pub lease_start_ns: u64,
    /// The lease's time to live as granted.
    pub lease_ttl_ms: u64,
    /// The fencing token, if it was read.
    pub token: Option<Token>,
}

/// Every hold of a history, ordered by `ok_ns`.
pub fn holds(history: &History) -> Vec<Hold> {
    let _ = history;
    Vec::new()
}
