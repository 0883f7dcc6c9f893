//! What the runs of a folder came to, by store and by kind of fault: one page over many runs.

mod html;
mod terminal;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use locktest_analyzer::{Percentiles, PropertyOutcome, RunOutcome, Verdict, ViolationClass};
use locktest_history::{Backend, FaultKind, Run};
use serde::Serialize;

pub use html::render_matrix_html;
pub use terminal::render_matrix;

use crate::latency::acquires;
use crate::text::{percent_encoded, visible};
use crate::wording::Tone;

/// The version of the matrix as JSON.
const MATRIX_SCHEMA_VERSION: u32 = 1;

/// A directory's name is cut to this length.
const MAX_NAME: usize = 120;

/// A run, as the matrix takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixRun {
    name: String,
    page: Option<String>,
    started_at_unix_s: u64,
    backend: Backend,
    version: String,
    used_as: String,
    faults: Vec<FaultKind>,
    standing: Standing,
    violations: BTreeSet<ViolationClass>,
    quiet_p99: P99,
    fault_p99: P99,
}

/// A run directory that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableRun {
    /// Its name.
    name: String,
    /// Why.
    reason: String,
}

/// All runs of a folder.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Matrix {
    schema_version: u32,
    /// The folder.
    folder: String,
    /// How many runs could be read.
    runs: u64,
    /// Seconds since the Unix epoch at the begin of the oldest run.
    first_started_at_unix_s: Option<u64>,
    /// The same of the newest.
    last_started_at_unix_s: Option<u64>,
    /// The columns: `none`, a kind of fault, or several kinds.
    faults: Vec<String>,
    /// A row for each store, version and recipe.
    stores: Vec<Store>,
    /// What could not be read.
    unreadable: Vec<UnreadableRun>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Store {
    backend: Backend,
    /// The server's version.
    version: String,
    /// The recipe; `register` where the store was not used as a lock.
    used_as: String,
    /// A cell for each column; `None` where there was no run.
    cells: Vec<Option<Cell>>,
}

/// The runs of one store under one kind of fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Cell {
    /// The worst of its runs.
    standing: Standing,
    /// How many there are.
    runs: u64,
    /// How many of them were violated.
    violated: u64,
    /// In how many of them each class was found.
    violations: BTreeMap<ViolationClass, u64>,
    /// Acquires of the newest run, without a fault in force.
    quiet_p99: P99,
    /// The same while one was.
    fault_p99: P99,
    /// The newest run that was violated, or else the newest.
    run: String,
    /// Its page, from the folder.
    page: Option<String>,
}

/// A 99th percentile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct P99 {
    /// `None` if there were no samples.
    ms: Option<f64>,
    /// Whether fewer than ten samples lie beyond it.
    low_n: bool,
}

/// What one or several runs came to, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    /// No violation was found, and nothing was tested that could have shown one: safety was not, or
    /// no fault bit although some were planned.
    NotTested,
    /// No violation was found.
    Held,
    /// Only lease overruns were.
    NeedsFencing,
    /// It could not be decided.
    Undecided,
    /// A violation was found.
    Violated,
}

impl Standing {
    fn of(run: &Run, verdict: &Verdict) -> Standing {
        let was_spared =
            !run.plan.schedule.is_empty() && !verdict.faults.iter().any(|fault| fault.bit);
        match (verdict.outcome, verdict.properties.safety.outcome) {
            (RunOutcome::Violated, _) => Standing::Violated,
            (RunOutcome::Undecided, _) => Standing::Undecided,
            (RunOutcome::Held, PropertyOutcome::NeedsFencing) => Standing::NeedsFencing,
            (RunOutcome::Held, PropertyOutcome::Held) if !was_spared => Standing::Held,
            (RunOutcome::Held, _) => Standing::NotTested,
        }
    }

    /// In words; capitals where somebody has to act.
    fn word(self) -> &'static str {
        match self {
            Standing::NotTested => "not tested",
            Standing::Held => "no violation",
            Standing::NeedsFencing => "NEEDS FENCING",
            Standing::Undecided => "UNDECIDED",
            Standing::Violated => "VIOLATED",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Standing::NotTested => Tone::Quiet,
            Standing::Held => Tone::Good,
            Standing::NeedsFencing | Standing::Undecided => Tone::Doubt,
            Standing::Violated => Tone::Bad,
        }
    }
}

impl MatrixRun {
    /// A run by its directory's name, and whether its page is there.
    pub fn of(dir_name: &OsStr, has_page: bool, run: &Run, verdict: &Verdict) -> MatrixRun {
        let acquires = acquires(&verdict.latency);
        let takes_locks = verdict.workload.takes_locks();
        let found = verdict.violation_counts.iter().filter(|(_, count)| **count > 0);
        MatrixRun {
            name: visible_name(dir_name),
            page: has_page.then(|| format!("./{}/report.html", percent_encoded(dir_name))),
            started_at_unix_s: run.started_at_unix_s,
            backend: verdict.backend,
            version: verdict.version.clone(),
            used_as: match takes_locks {
                true => verdict.recipe.to_string(),
                false => verdict.workload.to_string(),
            },
            faults: run.plan.fault_kinds(),
            standing: Standing::of(run, verdict),
            violations: found.map(|(class, _)| *class).collect(),
            quiet_p99: P99::of(&acquires.quiet),
            fault_p99: P99::of(&acquires.fault),
        }
    }
}

impl UnreadableRun {
    /// A run directory by its name, and why it could not be read.
    pub fn of(dir_name: &OsStr, reason: String) -> UnreadableRun {
        UnreadableRun { name: visible_name(dir_name), reason }
    }
}

impl P99 {
    fn of(percentiles: &Percentiles) -> P99 {
        P99 { ms: percentiles.p99_ms, low_n: percentiles.low_n.iter().any(|name| name == "p99_ms") }
    }
}

impl Matrix {
    /// Puts runs in order: stores by name, fewer kinds of faults before more.
    pub fn of(folder: &str, runs: &[MatrixRun], unreadable: Vec<UnreadableRun>) -> Matrix {
        type Columns<'a> = BTreeSet<(usize, &'a [FaultKind])>;
        let columns: Columns<'_> =
            runs.iter().map(|run| (run.faults.len(), run.faults.as_slice())).collect();
        let key = |run: &MatrixRun| {
            (run.backend.name(), Reverse(version_key(&run.version)), run.used_as.clone())
        };
        let mut by_store: BTreeMap<_, Vec<&MatrixRun>> = BTreeMap::new();
        for run in runs {
            by_store.entry(key(run)).or_default().push(run);
        }
        let stores = by_store.into_values().map(|runs| {
            let cells = columns.iter().map(|(_, faults)| {
                Cell::of(runs.iter().copied().filter(|run| run.faults == *faults).collect())
            });
            Store {
                backend: runs[0].backend,
                version: runs[0].version.clone(),
                used_as: runs[0].used_as.clone(),
                cells: cells.collect(),
            }
        });
        let starts = || runs.iter().map(|run| run.started_at_unix_s);
        Matrix {
            schema_version: MATRIX_SCHEMA_VERSION,
            folder: folder.to_owned(),
            runs: runs.len() as u64,
            first_started_at_unix_s: starts().min(),
            last_started_at_unix_s: starts().max(),
            faults: columns.iter().map(|(_, faults)| column_name(faults)).collect(),
            stores: stores.collect(),
            unreadable,
        }
    }
}

impl Cell {
    /// `None` if there are no runs.
    fn of(runs: Vec<&MatrixRun>) -> Option<Cell> {
        let age = |run: &&&MatrixRun| (run.started_at_unix_s, run.name.clone());
        let newest = *runs.iter().max_by_key(age)?;
        let violated = || runs.iter().filter(|run| run.standing == Standing::Violated);
        let shown = violated().max_by_key(age).copied().unwrap_or(newest);
        let mut violations = BTreeMap::new();
        for class in runs.iter().flat_map(|run| &run.violations) {
            *violations.entry(*class).or_default() += 1;
        }
        Some(Cell {
            standing: runs.iter().map(|run| run.standing).max()?,
            runs: runs.len() as u64,
            violated: violated().count() as u64,
            violations,
            quiet_p99: newest.quiet_p99,
            fault_p99: newest.fault_p99,
            run: shown.name.clone(),
            page: shown.page.clone(),
        })
    }

    /// Such as `double-grant, lost-update`.
    fn classes(&self) -> String {
        self.violations.keys().map(|class| class.name()).collect::<Vec<_>>().join(", ")
    }
}

impl Store {
    /// Such as `etcd 3.5.16, lock-rpc`.
    fn name(&self) -> String {
        format!("{} {}, {}", self.backend, visible(&self.version, 40), self.used_as)
    }
}

fn column_name(faults: &[FaultKind]) -> String {
    match faults {
        [] => "none".into(),
        faults => faults.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", "),
    }
}

/// Numbers by their value, so that 3.10 comes after 3.9.
fn version_key(version: &str) -> (Vec<u64>, String) {
    let numbers = version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok());
    (numbers.collect(), version.to_owned())
}

/// A directory's name as reports show it.
fn visible_name(name: &OsStr) -> String {
    visible(&name.to_string_lossy(), MAX_NAME)
}
