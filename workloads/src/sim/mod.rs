//! The sim backend: a small lock service that runs inside the control node.
//!
//! It is the canary. Clients, history and analyzer treat it like any store and know nothing of the
//! bugs that it can be told to have, so a run against a buggy sim proves that the alarm rings.

mod bug;
mod service;
mod state;

use serde::{Deserialize, Serialize};

pub use bug::SimBug;
pub use service::SimServer;

/// What a client asks, one JSON line each.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    Open { ttl_ms: u64 },
    Lock { lease: u64, key: String },
    TryLock { lease: u64, key: String },
    Renew { lease: u64 },
    Read { lease: u64, key: String },
    Unlock { lease: u64, key: String },
    Revoke { lease: u64 },
    ReadValue { name: String },
    WriteValue { name: String, value: u64 },
    CasValue { name: String, expected: Option<u64>, value: u64 },
    WriteGuarded { lease: u64, key: String, name: String, value: u64 },
}

/// What the service answers, one JSON line each.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    Opened {
        lease: u64,
    },
    Done,
    /// There is no such lease.
    Gone,
    /// The token of the lock's entry; none if the entry is not this lease's.
    Entry {
        token: Option<u64>,
    },
    /// A value; none if nobody wrote it.
    Value {
        value: Option<u64>,
    },
    /// The value was not the expected one, and nothing was written.
    Differs,
    Refused {
        reason: String,
    },
}
