//! What the control node and a client process say to each other, as JSON lines.
//!
//! Control to client, on standard input: one [`ClientConfig`], then [`ToClient`]s.
//! Client to control, on standard output: [`Event`]s. An invoke of a read or write of the protected
//! resource is also the request for it. In between, watermarks: a line with nothing but a number of
//! nanoseconds says that every event of the client before that instant stands above it. And a
//! [`Holding`], under the name `holding`, from a client that has been granted a lock and plans to
//! keep it for a while: no part of the history, but an aim for faults.

use locktest_history::{ClientId, Event, KeyId, Plan};
use serde::{Deserialize, Serialize};

/// All that a client process needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientConfig {
    /// Which client it is.
    pub client: ClientId,
    /// CLOCK_MONOTONIC at the run's origin.
    pub origin_monotonic_ns: u64,
    /// `address:port` of each server, in the plan's order.
    pub servers: Vec<String>,
    /// `address:port` of each sentinel, where there are any.
    pub sentinels: Vec<String>,
    /// The plan.
    pub plan: Plan,
}

/// What the control node says to a client that runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ToClient {
    /// The protected resource's answer to the operation `op`.
    Access {
        /// The operation.
        op: u64,
        /// Whether the access was accepted.
        accepted: bool,
        /// The value held just before.
        value: u64,
    },
    /// Release what is held and end.
    Stop,
}

/// A client's plan for the lock that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holding {
    /// The attempt that was granted.
    pub(crate) attempt: u64,
    /// The lock.
    pub(crate) key: KeyId,
    /// When the client means to give it up, or to die; in nanoseconds of the run's clock.
    pub(crate) until_ns: u64,
}

/// What a client says that is no event, with its name around it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Aside {
    Holding(Holding),
}

/// What a client says to the control node.
#[derive(Clone, Debug)]
pub(crate) enum FromClient {
    /// An end of one of its operations.
    Event(Event),
    /// Every event before this instant has been sent.
    Watermark {
        /// In nanoseconds of the run's clock.
        time_ns: u64,
    },
    /// It plans to keep a lock for a while.
    Holding(Holding),
}

impl FromClient {
    /// One line; `None` for the torn last one of a killed client. A torn watermark is a smaller
    /// number, and as true as the whole.
    pub(crate) fn parse(line: &str) -> Option<FromClient> {
        if let Ok(time_ns) = line.parse() {
            return Some(FromClient::Watermark { time_ns });
        }
        if let Ok(event) = serde_json::from_str(line) {
            return Some(FromClient::Event(event));
        }
        match serde_json::from_str(line).ok()? {
            Aside::Holding(holding) => Some(FromClient::Holding(holding)),
        }
    }
}
