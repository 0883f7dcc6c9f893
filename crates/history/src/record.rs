//! Everything that a history holds, in the order in which the control node learned of it.

use serde::{Deserialize, Serialize};

use crate::{ClientId, Event, FaultBegun, FaultEnded, FaultSkipped, NodeId};

/// One entry of a history.
///
/// Entries of one client are in time order; entries of different sources are in order of arrival.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// A step of the run itself.
    Milestone {
        /// When.
        time_ns: u64,
        /// Which.
        what: Milestone,
    },
    /// One end of a client's operation.
    Event(Event),
    /// A client process ended and all that it wrote has been read.
    ClientExit(ClientExit),
    /// A health probe: one real write through one server.
    Probe(Probe),
    /// A server's view of the leader changed.
    Leader(LeaderView),
    /// A fault is in force.
    FaultBegun(Box<FaultBegun>),
    /// A fault was undone, or could not be.
    FaultEnded(FaultEnded),
    /// A fault was not applied.
    FaultSkipped(FaultSkipped),
    /// A server's log tells of an election.
    Election(Election),
    /// What a server node had cost so far.
    Usage(Usage),
}

/// A step of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Milestone {
    /// Every server answered a real write; the time limit starts.
    ClusterReady,
    /// The time limit is over; heal and recovery follow.
    TimeUp,
    /// A signal or an internal error cut the run short.
    Interrupted,
    /// The last record of a run that ended in order, but for what the servers' logs tell.
    End,
    /// A violation was found, and the run was to end at the first; heal and time-up follow.
    ViolationFound,
}

/// The end of a client process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientExit {
    /// When the control node saw the end of the client's stream.
    pub time_ns: u64,
    /// Who.
    pub client: ClientId,
    /// How.
    pub cause: ExitCause,
}

/// How a client process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitCause {
    /// It was asked to stop and did.
    Finished,
    /// It ended with an exit code of its own.
    Failed(i32),
    /// A signal killed it.
    Killed(i32),
}

/// One real write through one server, made by the control node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Before the write was sent.
    pub begin_ns: u64,
    /// After the answer or the timeout.
    pub end_ns: u64,
    /// Through which server.
    pub node: NodeId,
    /// Why it failed; `None` if the write was acknowledged.
    pub error: Option<String>,
}

/// Who leads, as one server tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderView {
    /// When the answer arrived.
    pub time_ns: u64,
    /// Who was asked.
    pub node: NodeId,
    /// Its answer; `None` if it knows of no leader or did not answer.
    pub leader: Option<NodeId>,
}

/// What the server processes of a node had cost when they were looked at. All but the memory only
/// grows, and starts again at zero when a server does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// When the answer arrived.
    pub time_ns: u64,
    /// Whose.
    pub node: NodeId,
    /// The processes, each by a name that a restart changes.
    pub processes: Vec<ProcessUsage>,
    /// What the node's network interfaces have received, but for loopback.
    pub received_bytes: u64,
    /// What they have sent.
    pub sent_bytes: u64,
}

/// What one server process had cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessUsage {
    /// Its id on the node.
    pub pid: u32,
    /// Its processor time, its own and the kernel's for it, in milliseconds.
    pub cpu_ms: u64,
    /// Its resident memory.
    pub resident_bytes: u64,
    /// What it has had written to disk.
    pub written_bytes: u64,
}

/// A step of an election, as a server's own log tells it. Logs are read when the run is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Election {
    /// When, by the server's wall clock, as near as that is known.
    pub time_ns: u64,
    /// Whose log.
    pub node: NodeId,
    /// What happened there.
    pub step: ElectionStep,
    /// The log's own words.
    pub line: String,
}

/// A step of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ElectionStep {
    /// The server asks for votes, or says that the leader is gone.
    Called,
    /// The server leads.
    Won,
    /// The server no longer leads.
    SteppedDown,
}
