//! Faults: what can be done to whom, and how a run records what was done.

mod connection;
mod skew;
mod words;

use serde::{Deserialize, Serialize};

use crate::{ClientId, NodeId};

pub use skew::{ClockShape, Skew};

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Packets between groups of servers, or of servers and clients, get lost.
    Partition,
    /// Servers die by SIGKILL and are started again after a while.
    Kill,
    /// Servers are stopped by SIGSTOP and go on after a while.
    Pause,
    /// All servers die at once and are started again at once, as by a power cut.
    RestartAll,
    /// Clients are stopped by SIGSTOP and go on after a while.
    ClientPause,
    /// Clients die by SIGKILL, and others take their places.
    ClientKill,
    /// Packets between clients and all servers get lost.
    ClientPartition,
    /// The wall clocks of servers go wrong.
    Clock,
    /// The monotonic clocks of servers go wrong, which no clock of that name may.
    ClockMonotonic,
}

impl FaultKind {
    /// Every kind, in the order in which help lists them.
    pub const ALL: [FaultKind; 9] = [
        FaultKind::Partition,
        FaultKind::Kill,
        FaultKind::Pause,
        FaultKind::RestartAll,
        FaultKind::ClientPause,
        FaultKind::ClientKill,
        FaultKind::ClientPartition,
        FaultKind::Clock,
        FaultKind::ClockMonotonic,
    ];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Partition => "partition",
            FaultKind::Kill => "kill",
            FaultKind::Pause => "pause",
            FaultKind::RestartAll => "restart-all",
            FaultKind::ClientPause => "client-pause",
            FaultKind::ClientKill => "client-kill",
            FaultKind::ClientPartition => "client-partition",
            FaultKind::Clock => "clock",
            FaultKind::ClockMonotonic => "clock-monotonic",
        }
    }

    /// Whether it is aimed at clients.
    pub fn is_of_clients(self) -> bool {
        matches!(self, FaultKind::ClientPause | FaultKind::ClientKill | FaultKind::ClientPartition)
    }

    /// Whether it cuts links, rather than doing something to processes.
    pub fn cuts_links(self) -> bool {
        matches!(self, FaultKind::Partition | FaultKind::ClientPartition)
    }

    /// Whether it moves clocks.
    pub fn moves_clocks(self) -> bool {
        matches!(self, FaultKind::Clock | FaultKind::ClockMonotonic)
    }
}

/// How a partition splits those who take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionShape {
    /// A random minority, as large as it can be, against the rest.
    Halves,
    /// One random server against the rest.
    One,
    /// The leader, in a minority, against the rest.
    Leader,
    /// Fewer than a third of the servers, but at least one, against the rest.
    MinorityThird,
    /// Each server reaches a majority, and no two reach the same one.
    MajorityRing,
    /// Two halves, and one server that reaches both.
    Bridge,
}

impl PartitionShape {
    /// Every shape, in the order in which help lists them.
    pub const ALL: [PartitionShape; 6] = [
        PartitionShape::Halves,
        PartitionShape::One,
        PartitionShape::Leader,
        PartitionShape::MinorityThird,
        PartitionShape::MajorityRing,
        PartitionShape::Bridge,
    ];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            PartitionShape::Halves => "halves",
            PartitionShape::One => "one",
            PartitionShape::Leader => "leader",
            PartitionShape::MinorityThird => "minority-third",
            PartitionShape::MajorityRing => "majority-ring",
            PartitionShape::Bridge => "bridge",
        }
    }

    /// Whether it separates two sides that have nobody in common.
    pub fn has_two_sides(self) -> bool {
        !matches!(self, PartitionShape::MajorityRing | PartitionShape::Bridge)
    }
}

/// Which way packets get lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Both ways.
    Both,
    /// Those to the smaller side, which still sends.
    In,
    /// Those from the smaller side, which still hears.
    Out,
}

impl Direction {
    /// Every direction, in the order in which help lists them.
    pub const ALL: [Direction; 3] = [Direction::Both, Direction::In, Direction::Out];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Both => "both",
            Direction::In => "in",
            Direction::Out => "out",
        }
    }
}

/// What becomes of a packet on a link that is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PacketFate {
    /// It vanishes.
    Drop,
    /// Its sender is told by ICMP that the port cannot be reached.
    Reject,
    /// Its sender's connection is reset; what is not TCP vanishes.
    Reset,
}

impl PacketFate {
    /// Every fate, in the order in which help lists them.
    pub const ALL: [PacketFate; 3] = [PacketFate::Drop, PacketFate::Reject, PacketFate::Reset];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            PacketFate::Drop => "drop",
            PacketFate::Reject => "reject",
            PacketFate::Reset => "rst",
        }
    }
}

/// Whose links a partition cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Between {
    /// Those between servers; every client reaches all of them.
    Servers,
    /// Those between clients and servers; the servers reach each other.
    Clients,
}

/// A server or a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// A server.
    Server(NodeId),
    /// A client, or another that took its place: it has the same address.
    Client(ClientId),
}

/// Whom a fault is aimed at. Who that is, is found out when the fault comes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A random one.
    One,
    /// The largest minority, at random.
    Minority,
    /// The smallest majority, at random.
    Majority,
    /// All.
    All,
    /// The server that leads: the leader, or the primary.
    Leader,
    /// The client that holds the lock, and plans to for a while.
    Holder,
    /// The server that the holder talks to.
    HolderServer,
    /// These.
    Named(Vec<Party>),
}

/// How a fault is aimed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aim {
    /// A partition, at all at once.
    Shape(PartitionShape),
    /// At these, or, as a partition, between these and the rest.
    Target(Target),
    /// At a lock that was granted by a bare majority of servers that know nothing of each other:
    /// some clients are cut off from as many servers as can be missing, and while such a client
    /// holds, one of the others forgets: it dies and comes back, or its clock jumps.
    BareMajority,
}

/// Packets from any of `from` to any of `to` get lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The senders.
    pub from: Vec<Party>,
    /// The receivers.
    pub to: Vec<Party>,
}

/// A fault with every choice made: what is done to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// How it was aimed.
    pub aim: Aim,
    /// The client that held the lock, if it was aimed by that.
    pub holder: Option<ClientId>,
    /// The servers that are killed or paused.
    pub servers: Vec<NodeId>,
    /// The clients that are killed or paused.
    pub clients: Vec<ClientId>,
    /// The links that are cut.
    pub cuts: Vec<Cut>,
    /// What becomes of packets on those links.
    pub packets: PacketFate,
    /// The servers whose clocks go wrong, with everything that runs on them.
    pub clocks: Vec<NodeId>,
    /// How those clocks go wrong.
    pub skew: Option<Skew>,
    /// For how long it is to be in force.
    pub length_ms: u64,
}

impl Fault {
    /// A fault that is done to nobody yet.
    pub fn new(kind: FaultKind, aim: Aim, length_ms: u64) -> Fault {
        Fault {
            kind,
            aim,
            holder: None,
            servers: Vec::new(),
            clients: Vec::new(),
            cuts: Vec::new(),
            packets: PacketFate::Drop,
            clocks: Vec::new(),
            skew: None,
            length_ms,
        }
    }
}

/// When a fault, or its undo, took effect on one host: at some instant of this span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TookEffect {
    /// The host's name; `control` for the control node's own, where the clients are.
    pub host: String,
    /// Not before.
    pub from_ns: u64,
    /// Not after.
    pub until_ns: u64,
}

/// A fault that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultBegun {
    /// Counts from 1 within the run.
    pub id: u32,
    /// What was done to whom.
    pub fault: Fault,
    /// Before the first command was sent that changes something.
    pub begin_ns: u64,
    /// After the last host had applied it.
    pub in_force_ns: u64,
    /// When it came into force on each host.
    pub hosts: Vec<TookEffect>,
}

/// The end of a fault that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultEnded {
    /// The id of the [`FaultBegun`].
    pub id: u32,
    /// Before the first undo command was sent.
    pub heal_begin_ns: u64,
    /// After the undo was read back on every host.
    pub end_ns: u64,
    /// When it was undone on each host, as far as that is known.
    pub hosts: Vec<TookEffect>,
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
    /// How it was to be aimed.
    pub aim: Aim,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn servers(nodes: impl IntoIterator<Item = u16>) -> Vec<Party> {
        nodes.into_iter().map(|node| Party::Server(NodeId(node))).collect()
    }

    /// A fault of nobody.
    pub(crate) fn fault(kind: FaultKind) -> Fault {
        Fault::new(kind, Aim::Target(Target::One), 10_000)
    }
}
