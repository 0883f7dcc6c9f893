//! Faults, and what the servers made of them.

use locktest_history::{Aim, ElectionStep, FaultKind};
use serde::{Deserialize, Serialize};

/// One fault, as reports show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultSummary {
    /// Counts from 1.
    pub id: u32,
    /// What kind.
    pub kind: FaultKind,
    /// How it was aimed.
    pub aim: Aim,
    /// Whether it came between clients and servers.
    pub splits_clients: bool,
    /// The names of the servers and clients that were killed or paused; of a cut, those on its first
    /// side.
    pub targets: Vec<String>,
    /// What was done to whom in words, such as `n3`, `n1 n2 | n3 n4 n5` or `n1 > n2 n3`.
    pub description: String,
    /// Before the first command was sent.
    pub begin_ns: u64,
    /// Once every host had applied it.
    pub in_force_ns: u64,
    /// Once the undo was read back; the last known instant if the run ended before.
    pub end_ns: u64,
    /// How far apart the hosts came into force: from the earliest to the latest middle of the spans
    /// in which they did. `None` if fewer than two hosts are known.
    pub spread_ms: Option<f64>,
    /// The widest of the spans in which a host came into force or was undone: no instant of either is
    /// known better. `None` if no host is known.
    pub uncertainty_ms: Option<f64>,
    /// For a fault that was aimed by the holder of a lock: whether that client still believed that it
    /// held one when the fault came into force, or when the fault killed it.
    pub hit_holder: Option<bool>,
    /// Whether it is known to have taken effect.
    pub bit: bool,
    /// The observations that say so.
    pub proof: Vec<String>,
    /// Whether it is known to be gone.
    pub undone: bool,
    /// The observations that say so.
    pub undo_proof: Vec<String>,
    /// From its end to the first write answered by every server; `None` if that never came, or if
    /// the fault concerned no server.
    pub servers_recovered_ms: Option<f64>,
    /// From its end to the next grant, or to the next write of a register; `None` if that never
    /// came.
    pub next_grant_ms: Option<f64>,
}

/// How well the faults of a run were timed and aimed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultTiming {
    /// Faults of which it is known when they came into force on two hosts or more.
    pub faults: u64,
    /// The median of their [`FaultSummary::spread_ms`].
    pub median_spread_ms: Option<f64>,
    /// The median of [`FaultSummary::uncertainty_ms`], where it is known.
    pub median_uncertainty_ms: Option<f64>,
    /// Faults that were aimed by the holder of a lock.
    pub aimed_at_holder: u64,
    /// Those of them that hit a client that still held.
    pub hit_holder: u64,
}

/// A fault that was not applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedFault {
    /// What kind.
    pub kind: FaultKind,
    /// How it was to be aimed.
    pub aim: Aim,
    /// When it was given up.
    pub time_ns: u64,
    /// Why.
    pub reason: String,
}

/// A new leader, as a server told of it first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderChange {
    /// When the control node learned of it.
    pub time_ns: u64,
    /// The new leader.
    pub leader: String,
    /// The server that named it.
    pub told_by: String,
}

/// A step of an election, as a server's own log tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElectionSeen {
    /// When, by the server's wall clock, as near as that is known.
    pub time_ns: u64,
    /// Whose log.
    pub node: String,
    /// What happened there.
    pub step: ElectionStep,
    /// The log's own words, cut to 300 characters.
    pub line: String,
}
