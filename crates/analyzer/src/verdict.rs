//! The verdict: what verdict.json holds and what every report renders.

mod faults;
mod known_bug;
mod violation;
mod warning;

use std::collections::BTreeMap;

use locktest_history::{Backend, ReadMode, Recipe, Workload};
use serde::{Deserialize, Serialize};

pub use faults::{ElectionSeen, FaultSummary, FaultTiming, LeaderChange, SkippedFault};
pub use known_bug::KnownBug;
pub use violation::{Involved, RoundShown, Violation, ViolationClass, VoteShown};
pub use warning::Warning;
pub(crate) use warning::is_small_share;

/// The version of verdict.json.
pub const VERDICT_SCHEMA_VERSION: u32 = 5;

/// Everything that the analyzer decided about one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// [`VERDICT_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The whole run.
    pub outcome: RunOutcome,
    /// One sentence: what was found in how much, or that nothing was found in how much.
    pub summary: String,
    /// The store.
    pub backend: Backend,
    /// How the store was used as a lock.
    pub recipe: Recipe,
    /// What the clients did.
    pub workload: Workload,
    /// How plain values were read.
    pub read_mode: ReadMode,
    /// The server's version.
    pub version: String,
    /// The seed of every random choice.
    pub seed: u64,
    /// The run's unique id.
    pub run_id: String,
    /// The command line that makes the same plan again.
    pub command: String,
    /// The names of the servers, in order.
    pub nodes: Vec<String>,
    /// The last instant that the history knows of.
    pub end_ns: u64,
    /// Doubts about the experiment.
    pub warnings: Vec<Warning>,
    /// What was not tested, a sentence each.
    pub not_tested: Vec<String>,
    /// The four rows.
    pub properties: Properties,
    /// How much was tried.
    pub counts: Counts,
    /// Every fault that was applied.
    pub faults: Vec<FaultSummary>,
    /// How well the faults were timed and aimed; `None` if nothing is known of either.
    pub fault_timing: Option<FaultTiming>,
    /// Every fault that was not.
    pub faults_skipped: Vec<SkippedFault>,
    /// Changes of leader that a server told of, in time order.
    pub leader_changes: Vec<LeaderChange>,
    /// What the servers' own logs tell of elections, in time order: the first 200 steps.
    pub elections: Vec<ElectionSeen>,
    /// How many steps they tell of, shown or not.
    pub election_count: u64,
    /// Latency by operation, phase, fault and client.
    pub latency: Latency,
    /// What was asked and what was done of a rate; `None` if the run had none.
    pub load: Option<Load>,
    /// What each server node cost, in the plan's order; those that were not looked at twice while
    /// the workload ran are missing.
    pub cost: Vec<NodeCost>,
    /// The longest time that some client waited for a key that nobody was granted.
    pub longest_gap_ms: Option<f64>,
    /// The violations, at most a handful of each class, in time order.
    pub violations: Vec<Violation>,
    /// How many there are of each class, shown or not.
    pub violation_counts: BTreeMap<ViolationClass, u64>,
    /// Published bugs that the violations look like. The analyzer knows of none: whoever has the
    /// catalogue adds them.
    #[serde(default)]
    pub known_bugs: Vec<KnownBug>,
}

/// The outcome of the whole run: violated > undecided > held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// No violation was found; see the properties for what was not tested.
    Held,
    /// At least one property is violated.
    Violated,
    /// No violation was found, and something that had to be decided was not.
    Undecided,
}

impl RunOutcome {
    /// Every outcome.
    pub const ALL: [RunOutcome; 3] =
        [RunOutcome::Held, RunOutcome::Violated, RunOutcome::Undecided];

    /// The name in verdict.json.
    pub fn name(self) -> &'static str {
        match self {
            RunOutcome::Held => "held",
            RunOutcome::Violated => "violated",
            RunOutcome::Undecided => "undecided",
        }
    }
}

/// The outcome of one property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PropertyOutcome {
    /// No violation was found.
    Held,
    /// A violation was found.
    Violated,
    /// Only lease overruns occurred, and a fencing token would have made them harmless.
    NeedsFencing,
    /// It could not be decided.
    Undecided,
    /// Nothing in the run put it to the test.
    NotTested,
    /// The backend has no such thing.
    Unsupported,
}

impl PropertyOutcome {
    /// Every outcome.
    pub const ALL: [PropertyOutcome; 6] = [
        PropertyOutcome::Held,
        PropertyOutcome::Violated,
        PropertyOutcome::NeedsFencing,
        PropertyOutcome::Undecided,
        PropertyOutcome::NotTested,
        PropertyOutcome::Unsupported,
    ];

    /// The name in verdict.json.
    pub fn name(self) -> &'static str {
        match self {
            PropertyOutcome::Held => "held",
            PropertyOutcome::Violated => "violated",
            PropertyOutcome::NeedsFencing => "needs_fencing",
            PropertyOutcome::Undecided => "undecided",
            PropertyOutcome::NotTested => "not_tested",
            PropertyOutcome::Unsupported => "unsupported",
        }
    }
}

/// One row of the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// Its outcome.
    pub outcome: PropertyOutcome,
    /// One sentence.
    pub why: String,
}

/// The four rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    /// Only one client holds the lock at any moment.
    pub safety: Property,
    /// Eventually the lock is granted again, whatever became of its holder.
    pub deadlock_free: Property,
    /// While a majority of servers is up, locks can be acquired and released.
    pub fault_tolerance: Property,
    /// The tokens grow with each grant, so that a resource can refuse a stale holder.
    pub fencing: Property,
}

/// How much was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Acquires granted.
    pub acquires_ok: u64,
    /// Acquires that surely were not granted.
    pub acquires_denied: u64,
    /// Acquires of unknown outcome.
    pub acquires_unknown: u64,
    /// Attempts that met another owner who held: ok acquires that waited for one, and attempts that
    /// do not wait, ok or denied, during which one held.
    pub contended: u64,
    /// Of the acquires of unknown outcome, those whose clients chose to give up.
    pub acquires_cancelled: u64,
    /// Of them, those that say nothing of the store: cancelled, or cut off by the end of the run.
    pub acquires_unfinished: u64,
    /// Denied attempts that did not wait, and that no holder explains.
    pub spurious_denials: u64,
    /// Releases acknowledged.
    pub releases_ok: u64,
    /// Renewals acknowledged.
    pub renewals_ok: u64,
    /// Accesses that the fenced resource refused.
    pub fenced_rejections: u64,
    /// Health probes answered.
    pub probes_ok: u64,
    /// Health probes that failed.
    pub probes_failed: u64,
    /// Operations of registers, if the workload has any.
    pub registers: Option<RegisterCounts>,
}

/// How much was asked of registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterCounts {
    /// Reads answered.
    pub reads_ok: u64,
    /// Writes acknowledged.
    pub writes_ok: u64,
    /// Compare-and-sets that found what they expected.
    pub cas_ok: u64,
    /// Compare-and-sets that found another value.
    pub cas_refused: u64,
    /// Operations that surely did not happen, and tell nothing.
    pub failed: u64,
    /// Operations of unknown outcome.
    pub unknown: u64,
}

/// What the server processes of one node cost while the workload ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeCost {
    /// Its name.
    pub node: String,
    /// The time that all but the memory is of: from the first look at the node to the last.
    pub sampled_s: f64,
    /// Processor time, their own and the kernel's for them. What a killed process used after the
    /// last look at it is missing, here as below.
    pub cpu_s: f64,
    /// The same as a share of the time: 100 is one core all the time.
    pub cpu_percent_of_one_core: f64,
    /// The most resident memory that they had at once.
    pub peak_resident_bytes: u64,
    /// What they had written to disk.
    pub written_bytes: u64,
    /// What the node's network interfaces received, but for loopback: from clients, from the other
    /// servers, and on the control path.
    pub received_bytes: u64,
    /// What they sent.
    pub sent_bytes: u64,
}

/// How long the operations took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Ok acquires that may wait, waiting included.
    pub acquire: Phases,
    /// Ok acquires that do not wait; `None` if there were none of the kind, as below.
    pub try_acquire: Option<Phases>,
    /// Ok reads of values in the store.
    pub read: Option<Phases>,
    /// Ok writes of values in the store.
    pub write: Option<Phases>,
    /// Compare-and-sets that were answered, with yes or no.
    pub cas: Option<Phases>,
    /// The same, each from the instant at which its client meant to begin it; `None` if no client
    /// said when. An operation that a client could not even begin is missing from the measure of
    /// those that it did begin (Tene's coordinated omission); here it counts.
    pub acquire_intended: Option<Phases>,
    /// Ok acquires that may wait, without the time for which the lock was another owner's or was not
    /// asked for again: the attempt that was granted, alone.
    pub acquire_alone: Phases,
    /// How many of them waited for another owner, or were refused at first.
    pub acquires_that_waited: u64,
    /// Ok acquires of both kinds by the fault that they met, for every fault that was applied.
    pub acquire_by_fault: Vec<FaultLatency>,
    /// Ok acquires of both kinds by client, for every client that asked.
    pub acquire_by_client: Vec<ClientLatency>,
    /// Ok releases.
    pub release: Phases,
}

/// An open loop: acquires that are meant to begin at a rate, whatever becomes of those before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// How many were meant to begin in a second.
    pub intended_per_s: f64,
    /// How many began.
    pub begun_per_s: f64,
}

/// One operation's latency in each phase of the run. An operation belongs to the phase in which it
/// began (or was meant to, where it counts from there): `fault` from a fault's begin to its end,
/// `recovery` from there until every server answered a write again, `quiet` otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    /// No fault.
    pub quiet: Percentiles,
    /// A fault was in force.
    pub fault: Percentiles,
    /// A fault had ended and the servers had not recovered.
    pub recovery: Percentiles,
}

/// Latency around one fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultLatency {
    /// Its [`FaultSummary::id`].
    pub fault: u32,
    /// Of what began while it was in force.
    pub in_force: Percentiles,
    /// Of what began after its end, before every server answered a write again and before the next
    /// fault.
    pub recovery: Percentiles,
}

/// One client's latency over the whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientLatency {
    /// Such as `c1`.
    pub client: String,
    /// From the first event to the last.
    pub whole_run: Percentiles,
}

/// Nearest-rank percentiles in milliseconds; `None` when there is no sample.
///
/// `n`, the mean, the least and the greatest are exact. The percentiles are read from a histogram:
/// none is smaller than the exact one, and none exceeds it by more than 0.1 %.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Samples.
    pub n: u64,
    /// Mean.
    pub avg_ms: Option<f64>,
    /// 50th percentile.
    pub median_ms: Option<f64>,
    /// Least.
    pub min_ms: Option<f64>,
    /// Greatest.
    pub max_ms: Option<f64>,
    /// 90th percentile.
    pub p90_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// 99.9th percentile.
    pub p999_ms: Option<f64>,
    /// The percentiles above that rest on fewer than ten samples beyond them.
    pub low_n: Vec<String>,
}
