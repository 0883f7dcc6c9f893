//! The verdict: what verdict.json holds and what every report renders.

use std::collections::BTreeMap;
use std::fmt;

use locktest_history::{Backend, FaultKind, PartitionShape};
use serde::{Deserialize, Serialize};

/// The version of verdict.json.
pub const VERDICT_SCHEMA_VERSION: u32 = 1;

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
    /// The lock recipe.
    pub recipe: String,
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
    /// Every fault that was not.
    pub faults_skipped: Vec<SkippedFault>,
    /// Changes of leader that a server told of, in time order.
    pub leader_changes: Vec<LeaderChange>,
    /// Latency by operation, phase, fault and client.
    pub latency: Latency,
    /// The longest time that some client waited for a key that nobody was granted.
    pub longest_gap_ms: Option<f64>,
    /// The violations, at most a handful of each class, in time order.
    pub violations: Vec<Violation>,
    /// How many there are of each class, shown or not.
    pub violation_counts: BTreeMap<ViolationClass, u64>,
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
    /// Ok acquires that waited while another owner held.
    pub contended: u64,
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
}

/// A doubt about the experiment, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Warning {
    /// A fault shows no effect.
    FaultDidNotBite {
        /// Which.
        fault: u32,
    },
    /// A fault could not be shown to be gone.
    FaultNotUndone {
        /// Which.
        fault: u32,
    },
    /// Faults were asked for and none came to be.
    NoFault,
    /// So few acquires had to wait that safety was hardly tested.
    LittleContention {
        /// Contended acquires.
        contended: u64,
        /// Ok acquires.
        acquires_ok: u64,
    },
    /// So many outcomes are unknown that a violation could hide among them.
    ManyUnknown {
        /// Acquires of unknown outcome, without those that the end of the run cut off.
        unknown: u64,
        /// All acquires but those.
        acquires: u64,
    },
    /// The safety of the service's own users rests on fencing.
    NeedsFencing {
        /// Lease overruns.
        overruns: u64,
    },
    /// Something outside the run disturbed it: a client died, and no fault explains it.
    Disturbed {
        /// Who, how and when.
        what: String,
    },
    /// The history ends before the run did.
    Interrupted,
    /// Part of the history could not be read.
    Damaged {
        /// Which part, and why.
        what: String,
    },
    /// Records contradict the rules of a history and were left out.
    Malformed {
        /// How many.
        records: u64,
        /// The first of them, in words.
        first: String,
    },
}

/// Whether less than a tenth of the acquires were contended.
pub(crate) fn is_small_share(contended: u64, acquires_ok: u64) -> bool {
    contended.saturating_mul(10) < acquires_ok
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::FaultDidNotBite { fault } => {
                write!(f, "fault {fault} shows no effect; do not count it")
            }
            Warning::FaultNotUndone { fault } => {
                write!(f, "fault {fault} could not be shown to be gone; run `locktest heal`")
            }
            Warning::NoFault => write!(
                f,
                "no fault was applied; give the run a longer --time-limit or a shorter --nemesis-interval"
            ),
            Warning::LittleContention { contended, acquires_ok }
                if is_small_share(*contended, *acquires_ok) =>
            {
                write!(
                    f,
                    "only {contended} of {acquires_ok} acquires had to wait; use more --clients or fewer --keys"
                )
            }
            Warning::LittleContention { contended, .. } => write!(
                f,
                "only {contended} {} had to wait for another holder; give the run more time or more --clients",
                if *contended == 1 { "acquire" } else { "acquires" }
            ),
            Warning::ManyUnknown { unknown, acquires } => write!(
                f,
                "{unknown} of {acquires} acquires have an unknown outcome; a longer --time-limit gives more that are known"
            ),
            Warning::NeedsFencing { overruns } => write!(
                f,
                "{overruns} holds outlived their lease; pass the fencing token to whatever the lock protects"
            ),
            Warning::Disturbed { what } => write!(
                f,
                "{what}: something outside the run disturbed it, and deadlock-freedom and fault tolerance are not decided from then on; run it again and leave its lab and its processes alone"
            ),
            Warning::Interrupted => {
                write!(f, "the run was cut short; the verdict covers its first part")
            }
            Warning::Damaged { what } => write!(f, "part of the history could not be read: {what}"),
            Warning::Malformed { records, first } => write!(
                f,
                "{records} records contradict the rest and were left out, the first: {first}"
            ),
        }
    }
}

/// One fault, as reports show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultSummary {
    /// Counts from 1.
    pub id: u32,
    /// What kind.
    pub kind: FaultKind,
    /// The shape of a partition.
    pub shape: PartitionShape,
    /// The names of the servers on the smaller side.
    pub targets: Vec<String>,
    /// The sides in words, such as `n1 n2 | n3 n4 n5`.
    pub description: String,
    /// Before the first command was sent.
    pub begin_ns: u64,
    /// Once every node had applied it.
    pub in_force_ns: u64,
    /// Once the undo was read back; the last known instant if the run ended before.
    pub end_ns: u64,
    /// Whether it is known to have taken effect.
    pub bit: bool,
    /// The observations that say so.
    pub proof: Vec<String>,
    /// Whether it is known to be gone.
    pub undone: bool,
    /// The observations that say so.
    pub undo_proof: Vec<String>,
    /// From its end to the first write answered by every server; `None` if that never came.
    pub servers_recovered_ms: Option<f64>,
    /// From its end to the next grant; `None` if that never came.
    pub next_grant_ms: Option<f64>,
}

/// A fault that was not applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedFault {
    /// What kind.
    pub kind: FaultKind,
    /// The shape of a partition.
    pub shape: PartitionShape,
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

/// How long the operations took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Ok acquires, waiting included.
    pub acquire: Phases,
    /// The same, each from the instant at which its client meant to begin it; `None` if no client
    /// said when. An operation that a client could not even begin is missing from the measure of
    /// those that it did begin (Tene's coordinated omission); here it counts.
    pub acquire_intended: Option<Phases>,
    /// Ok acquires by the fault that they met, for every fault that was applied.
    pub acquire_by_fault: Vec<FaultLatency>,
    /// Ok acquires by client, for every client that asked.
    pub acquire_by_client: Vec<ClientLatency>,
    /// Ok releases.
    pub release: Phases,
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

/// The class of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ViolationClass {
    /// The contract holds of two owners overlap.
    DoubleGrant,
    /// The service said ok for a lock that it no longer had.
    StaleGrant,
    /// The service dropped a lease before its contract end.
    EarlyExpiry,
    /// A later grant has a token that is not larger.
    TokenNotMonotone,
    /// Belief holds overlap, contract holds do not.
    LeaseOverrun,
    /// The protected resource was written by two owners at once.
    LostUpdate,
    /// A key was granted to nobody who asked, while the store answered.
    Deadlock,
    /// The store did not answer, while a healthy majority was connected.
    Unavailable,
}

impl ViolationClass {
    /// The kebab-case name of verdict.json.
    pub fn name(self) -> &'static str {
        match self {
            ViolationClass::DoubleGrant => "double-grant",
            ViolationClass::StaleGrant => "stale-grant",
            ViolationClass::EarlyExpiry => "early-expiry",
            ViolationClass::TokenNotMonotone => "token-not-monotone",
            ViolationClass::LeaseOverrun => "lease-overrun",
            ViolationClass::LostUpdate => "lost-update",
            ViolationClass::Deadlock => "deadlock",
            ViolationClass::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for ViolationClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One violation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// Its class.
    pub class: ViolationClass,
    /// The lock; empty if it concerns none in particular.
    pub key: String,
    /// The instant that made it one: the event that ends the shortest bad prefix.
    pub time_ns: u64,
    /// Why it is one, in terms of clients, servers, leases and tokens.
    pub why: String,
    /// The fault that was in force, in words, if one was.
    pub during: Option<String>,
    /// Which copy of the protected resource, on a lost update: `unfenced` or `fenced`.
    pub resource: Option<locktest_history::Resource>,
    /// The operations concerned, in time order.
    pub operations: Vec<Involved>,
}

/// An operation that a violation concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Involved {
    /// Such as `c1`.
    pub client: String,
    /// The owner is (client, attempt).
    pub attempt: u64,
    /// What was asked.
    pub function: locktest_history::Function,
    /// The server's name.
    pub server: Option<String>,
    /// When.
    pub invoke_ns: u64,
    /// When its outcome was known; `None` if it never was.
    pub complete_ns: Option<u64>,
    /// How it ended; `info` if that never became known.
    pub outcome: locktest_history::Outcome,
    /// The fencing token, if it has one.
    pub token: Option<String>,
    /// For a hold: when the service's promise ended.
    pub contract_end_ns: Option<u64>,
    /// For a hold: when the client stopped believing.
    pub belief_end_ns: Option<u64>,
}
