//! One client's operations: invoke, then ok, fail or info.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A client process, counted from zero; `c1` is client 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub u32);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0 + 1)
    }
}

/// A server node: the index of its name in [`Plan::nodes`](crate::Plan::nodes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u16);

/// A lock: the index of its name in [`Plan::keys`](crate::Plan::keys).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub u32);

/// A fencing token, compared lexicographically.
///
/// etcd: the create revision of the lock key. Consul: `(CreateIndex, LockIndex)`, since LockIndex
/// restarts when the key is deleted. ZooKeeper: the czxid of the lock node. Sim: a counter. A store
/// with one number leaves `minor` zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token {
    /// The part that is compared first.
    pub major: u64,
    /// The part that decides between equal majors.
    pub minor: u64,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minor {
            0 => write!(f, "{}", self.major),
            minor => write!(f, "{}.{minor}", self.major),
        }
    }
}

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Function {
    /// A blocking acquire with a timeout.
    Acquire,
    /// An acquire that does not wait.
    TryAcquire,
    /// Extend the lease. It may begin while the acquire still waits.
    Renew,
    /// Read the lock's own entry back: proves ownership and yields the fencing token.
    Validate,
    /// Give the lock up; after an acquire of unknown outcome, revoke whatever it may have left.
    Release,
    /// The client noticed that it no longer holds. A single event, with phase `ok`.
    Lost,
    /// Read the protected resource, or a register.
    Read,
    /// Write the protected resource, or a register.
    Write,
    /// Write a register if it has the expected value.
    Cas,
    /// One round of requests to servers that know nothing of each other, within another operation.
    /// A single event: `ok` if a majority agreed, else `fail`.
    Round,
}

/// Which end of an operation an event is, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The operation began; flushed before the request is sent.
    Invoke,
    /// It happened.
    Ok,
    /// It surely did not happen.
    Fail,
    /// It may have happened, or may still happen at any later time.
    Info,
}

/// How an operation ended: [`Phase`] without the invoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It happened.
    Ok,
    /// It surely did not happen.
    Fail,
    /// It may have happened, or may still happen at any later time.
    Info,
}

impl Phase {
    /// The outcome that this phase records; `None` for an invoke.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Phase::Invoke => None,
            Phase::Ok => Some(Outcome::Ok),
            Phase::Fail => Some(Outcome::Fail),
            Phase::Info => Some(Outcome::Info),
        }
    }
}

impl From<Outcome> for Phase {
    fn from(outcome: Outcome) -> Phase {
        match outcome {
            Outcome::Ok => Phase::Ok,
            Outcome::Fail => Phase::Fail,
            Outcome::Info => Phase::Info,
        }
    }
}

/// The two copies of the protected resource that every critical section touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// Accepts every access.
    Unfenced,
    /// Accepts an access only if its token is not smaller than any it has seen.
    Fenced,
}

/// What a round of requests is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoundPurpose {
    /// To get the lock.
    Acquire,
    /// To extend it.
    Extend,
    /// To give it up.
    Release,
    /// To see whose it is.
    Read,
}

/// One server's answer in a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It did as it was asked.
    Yes,
    /// It did not: the key is another's, or not there.
    No,
    /// Nobody knows: no answer in time, or an error.
    Unknown(String),
}

/// What one server said in a round, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Which.
    pub server: NodeId,
    /// What it said.
    pub answer: Answer,
    /// From the begin of the round to its answer, in nanoseconds.
    pub elapsed_ns: u64,
}

/// One round of requests to servers that know nothing of each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// What it is for.
    pub purpose: RoundPurpose,
    /// Before the first request was sent, in nanoseconds of the run's clock.
    pub begin_ns: u64,
    /// From its begin to its end, in nanoseconds.
    pub elapsed_ns: u64,
    /// On a won acquire or extension: for how long the lock is valid from the end of the round on,
    /// in nanoseconds, by the client's own reckoning.
    pub validity_left_ns: Option<u64>,
    /// What each server said, in the plan's order of servers.
    pub votes: Vec<Vote>,
}

/// What an event says beyond its function and phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detail {
    /// Nothing more.
    None,
    /// On an ok acquire and an ok renew: the lease as the service granted it.
    Lease {
        /// The instant before the request was sent that started or last renewed the lease, in
        /// nanoseconds of the run's clock.
        lease_start_ns: u64,
        /// The time to live that the server granted, in milliseconds.
        lease_ttl_ms: u64,
        /// The store's revision in the granting reply, where it has one (etcd).
        revision: Option<u64>,
        /// How long creating the lease or session took, in nanoseconds; zero on a renew.
        session_ns: u64,
        /// How long the client knows that it waited for another owner, in nanoseconds. Stores that
        /// wait inside one request (etcd's Lock) leave it at zero.
        wait_ns: u64,
    },
    /// On an ok validate: what the store says of the lock's entry.
    Entry {
        /// Whether the entry exists and belongs to this attempt.
        ours: bool,
        /// The fencing token, if the entry is ours.
        token: Option<Token>,
        /// The revision that was read, if the read was of the past (etcd: the lock reply's own).
        at_revision: Option<u64>,
    },
    /// On a read or write of the protected resource, at invoke and at completion.
    Access {
        /// Which copy.
        resource: Resource,
        /// The token presented, if the lock has one.
        token: Option<Token>,
        /// Invoke of a write: the value the writer read. Completion: the value that the resource
        /// held just before this access. A write stores that of its invoke, plus one.
        value: u64,
    },
    /// On fail and info: why, in the store's words. On fail they are its last word, and evidence.
    Reason(String),
    /// On fail: why the store never judged the request, such as a server that takes no connection
    /// or, on an acquire, a lease that could not be created. Whoever did not ask did not wait.
    NotAsked(String),
    /// On an acquire's invoke: when the client meant to begin it. What kept the client until the
    /// invoke is no part of the operation, but its user waited all the same.
    Intended {
        /// At most the invoke's own time, in nanoseconds of the run's clock.
        start_ns: u64,
    },
    /// On an operation of a register, at invoke and at completion. A cas that found another value
    /// than it expected fails with this detail, too.
    Register {
        /// What a cas expects; `None` there is a register that nobody wrote. Unused elsewhere.
        expected: Option<u64>,
        /// What a write or cas writes, or what an ok read found: `None` if nobody wrote.
        value: Option<u64>,
    },
    /// On a round.
    Round(Round),
    /// On an info acquire: its client chose to give up waiting. It may have been granted all the same.
    Cancelled,
}

/// One end of one operation of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds of CLOCK_MONOTONIC since the run's origin.
    pub time_ns: u64,
    /// Who.
    pub client: ClientId,
    /// The owner is (client, attempt); fresh for each acquire, zero before the first.
    pub attempt: u64,
    /// Pairs the invoke with its completion; unique within the client.
    pub op: u64,
    /// Which lock.
    pub key: KeyId,
    /// The server that the client spoke to.
    pub server: Option<NodeId>,
    /// What was asked.
    pub function: Function,
    /// Which end.
    pub phase: Phase,
    /// The rest.
    pub detail: Detail,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_stored_under_the_number_that_older_histories_know() {
        let lease = Detail::Lease {
            lease_start_ns: 0,
            lease_ttl_ms: 0,
            revision: None,
            session_ns: 0,
            wait_ns: 0,
        };
        let access = Detail::Access { resource: Resource::Unfenced, token: None, value: 0 };
        let details = [
            Detail::None,
            lease,
            Detail::Entry { ours: true, token: None, at_revision: None },
            access,
            Detail::Reason(String::new()),
            Detail::NotAsked(String::new()),
            Detail::Intended { start_ns: 0 },
            Detail::Register { expected: None, value: None },
            Detail::Round(Round {
                purpose: RoundPurpose::Acquire,
                begin_ns: 0,
                elapsed_ns: 0,
                validity_left_ns: None,
                votes: vec![],
            }),
            Detail::Cancelled,
        ];
        for (number, detail) in (0..).zip(details) {
            let bytes = postcard::to_stdvec(&detail).expect("a detail can be stored");
            assert_eq!(bytes[0], number, "{detail:?}");
        }
    }
}
