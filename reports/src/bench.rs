//! What a bench measured, and its tables: those of the paper, and what they leave out.
//!
//! [`Bench`] is bench.json. Every renderer shows the same [`Table`](table::Table)s.

mod html;
mod markdown;
mod paper;
mod summary;
mod table;
mod tables;
mod terminal;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use locktest_analyzer::{Load, NodeCost, Phases, RunOutcome, Verdict, ViolationClass};
use locktest_history::{Backend, Recipe};
use serde::{Deserialize, Serialize};

pub use html::render_bench_html;
pub use markdown::render_bench_markdown;
pub use terminal::{progress_line, render_bench};

/// The version of bench.json.
pub const BENCH_SCHEMA_VERSION: u32 = 1;

/// Everything that a bench was told and measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// [`BENCH_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The version of locktest.
    pub locktest_version: String,
    /// The kernel of the control node.
    pub kernel: String,
    /// How many processors clients and servers share.
    pub processors: usize,
    /// Seconds since the Unix epoch at its begin.
    pub started_at_unix_s: u64,
    /// The command line that makes the same bench again.
    pub command: String,
    /// The seed of the order of cells, and of every run.
    pub seed: u64,
    /// How many servers each store has.
    pub nodes: u16,
    /// How long each lock is held.
    pub hold_ms: u64,
    /// How long each cell is measured.
    pub time_limit_ms: u64,
    /// How often.
    pub repeats: u32,
    /// How many acquires all clients together are meant to begin in a second, in an open loop.
    pub rate_per_s: Option<u32>,
    /// How many owners contend in each client process.
    pub owners_per_client: u32,
    /// The faults that were injected meanwhile.
    pub under: Option<String>,
    /// The columns.
    pub processes: Vec<u32>,
    /// What was asked for of keys.
    pub keys: Vec<Keys>,
    /// The stores, in the order in which they are shown.
    pub contenders: Vec<Contender>,
    /// What was measured.
    pub cells: Vec<Cell>,
    /// Whether it was cut short.
    pub interrupted: bool,
}

/// Whether clients compete for the same lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keys {
    /// A lock for each client.
    Different,
    /// One lock for all.
    Same,
}

/// A store, as it is measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contender {
    /// What the user called it, such as `etcd@3.4.23`.
    pub name: String,
    /// The store.
    pub backend: Backend,
    /// How it is used as a lock.
    pub recipe: Recipe,
    /// The server's version.
    pub version: String,
    /// Why it could not be measured at all.
    pub unobtainable: Option<String>,
}

/// One store with one number of clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The [`Contender::name`].
    pub contender: String,
    /// What the clients compete for.
    pub keys: Keys,
    /// How many client processes.
    pub processes: u32,
    /// The command line of its first run.
    pub command: String,
    /// What its runs measured.
    pub measurements: Vec<Measurement>,
    /// What went wrong with its runs.
    pub problems: Vec<String>,
}

/// What one run measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Which repeat.
    pub repeat: u32,
    /// Its run directory.
    pub run_dir: String,
    /// Whether the locks were locks.
    pub outcome: RunOutcome,
    /// What was violated, and how often.
    pub violations: BTreeMap<ViolationClass, u64>,
    /// Acquires, waiting included.
    pub wait_included: Phases,
    /// Acquires, the attempt that was granted alone.
    pub attempt_alone: Phases,
    /// Acquires from when they were meant to begin, waiting included.
    pub intended: Option<Phases>,
    /// Ok acquires.
    pub granted: u64,
    /// Of them, those that waited for another owner or were refused at first.
    pub waited: u64,
    /// Acquires that were not granted, but for those that the end of the run cut off.
    pub given_up: u64,
    /// Ok acquires in a second.
    pub per_s: f64,
    /// Ok acquires of each client process.
    pub grants_by_client: Vec<u64>,
    /// The longest that any ok acquire took.
    pub longest_wait_ms: Option<f64>,
    /// The rate that was asked for and the one that was.
    pub load: Option<Load>,
    /// What each server node cost.
    pub cost: Vec<NodeCost>,
}

impl Measurement {
    /// What a run of `time_limit_ms` measured.
    pub fn of(verdict: &Verdict, repeat: u32, run_dir: String, time_limit_ms: u64) -> Measurement {
        let (latency, counts) = (&verdict.latency, &verdict.counts);
        let not_granted = counts.acquires_denied + counts.acquires_unknown;
        let by_client = latency.acquire_by_client.iter().map(|client| &client.whole_run);
        Measurement {
            repeat,
            run_dir,
            outcome: verdict.outcome,
            violations: verdict.violation_counts.clone(),
            wait_included: latency.acquire.clone(),
            attempt_alone: latency.acquire_alone.clone(),
            intended: latency.acquire_intended.clone().filter(|_| verdict.load.is_some()),
            granted: counts.acquires_ok,
            waited: latency.acquires_that_waited,
            given_up: not_granted.saturating_sub(counts.acquires_unfinished),
            per_s: counts.acquires_ok as f64 / (time_limit_ms.max(1) as f64 / 1000.0),
            grants_by_client: by_client.clone().map(|client| client.n).collect(),
            longest_wait_ms: by_client.filter_map(|client| client.max_ms).reduce(f64::max),
            load: verdict.load,
            cost: verdict.cost.clone(),
        }
    }
}

impl Keys {
    /// What the clients compete for, in words.
    pub fn words(self) -> &'static str {
        match self {
            Keys::Different => "different keys",
            Keys::Same => "same key",
        }
    }
}

impl Bench {
    /// The cell of a store and a number of clients. One client competes with nobody, whatever its key.
    fn cell(&self, contender: &Contender, keys: Keys, processes: u32) -> Option<&Cell> {
        let find = |keys| {
            self.cells.iter().find(|cell| {
                cell.contender == contender.name && cell.keys == keys && cell.processes == processes
            })
        };
        find(keys).or_else(|| if processes == 1 { find(Keys::Different) } else { None })
    }
}
