//! Faults as the history records them.

use serde::{Deserialize, Serialize};

use crate::{ClientId, NodeId};

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Packets between two sides are dropped, in both directions.
    Partition,
}

/// How a partition splits the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionShape {
    /// A random minority against the rest.
    Halves,
    /// One random server against the rest.
    One,
    /// The leader, in a minority, against the rest.
    Leader,
}

/// Those who can still reach each other during a partition.
///
/// Clients are on a side only if they are split, too, as they are from servers that know nothing of
/// each other. Otherwise every client reaches every server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The servers.
    pub servers: Vec<NodeId>,
    /// The clients.
    pub clients: Vec<ClientId>,
}

impl Side {
    /// A side of servers alone.
    pub fn of_servers(servers: impl IntoIterator<Item = NodeId>) -> Side {
        Side { servers: servers.into_iter().collect(), clients: Vec::new() }
    }
}

/// A fault that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultBegun {
    /// Counts from 1 within the run.
    pub id: u32,
    /// What kind.
    pub kind: FaultKind,
    /// The shape of a partition.
    pub shape: PartitionShape,
    /// The sides that cannot reach each other; the first is the smaller one.
    pub sides: Vec<Side>,
    /// Before the first command was sent.
    pub begin_ns: u64,
    /// After the last node had applied it.
    pub in_force_ns: u64,
}

/// The end of a fault that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultEnded {
    /// The id of the [`FaultBegun`].
    pub id: u32,
    /// Before the first undo command was sent.
    pub heal_begin_ns: u64,
    /// After the undo was read back on every node.
    pub end_ns: u64,
    /// Whether observations made during the fault show that it took effect.
    pub bit: bool,
    /// Those observations, a sentence each.
    pub proof: Vec<String>,
    /// Whether reading back shows that it is gone.
    pub undone: bool,
    /// What was read back, or what stands in the way.
    pub undo_proof: Vec<String>,
}

/// A fault of the schedule that was not applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultSkipped {
    /// When it was given up.
    pub time_ns: u64,
    /// What kind.
    pub kind: FaultKind,
    /// The shape of a partition.
    pub shape: PartitionShape,
    /// Why.
    pub reason: String,
}
