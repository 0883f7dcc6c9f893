//! The runs of a store as a page to browse: newest first, filtered and sorted by the address.

mod page;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsStr;

use locktest_analyzer::{PropertyOutcome, RunOutcome, Verdict, ViolationClass};
use locktest_history::{Backend, Run};

pub use page::render_store_html;

use crate::text::{percent_encoded, visible};
use crate::wording::Tone;

/// A run of a store, as its directory shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreRun {
    /// The directory's name, as it is shown.
    name: String,
    /// The same as a part of an address.
    href: String,
    /// What is known of it; `None` of a directory whose history cannot be read.
    about: Option<About>,
    /// How far it is, or what it came to.
    state: RunState,
}

/// What a run was told.
#[derive(Clone, Debug, PartialEq)]
struct About {
    started_at_unix_s: u64,
    backend: Backend,
    version: String,
    used_as: String,
    faults: String,
    seed: u64,
    limit_s: f64,
}

/// How far a run is, or what it came to.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// It has its verdict.
    Ended {
        /// The whole run.
        outcome: RunOutcome,
        /// Whether only fencing saves its users.
        needs_fencing: bool,
        /// What was found.
        violations: BTreeMap<ViolationClass, u64>,
        /// How many doubts there are about the experiment.
        warnings: usize,
        /// How long it took, in seconds.
        length_s: f64,
    },
    /// It goes on.
    Running {
        /// For how long, in seconds.
        elapsed_s: f64,
        /// How many acquires were granted so far, as far as they were read.
        granted: u64,
    },
    /// It has no verdict, and nothing goes on.
    BrokenOff,
    /// Its directory cannot be read, and why.
    Unreadable(String),
}

/// What is shown, and in which order; as the address says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only this store.
    pub backend: Option<String>,
    /// Only these faults.
    pub faults: Option<String>,
    /// Only this state, by its word.
    pub state: Option<String>,
    /// By which column; the newest first if by none.
    pub sort: Option<String>,
    /// Whether the page comes again by itself while a run goes on.
    pub live: bool,
}

impl RunState {
    /// What a verdict came to.
    pub fn of(verdict: &Verdict) -> RunState {
        RunState::Ended {
            outcome: verdict.outcome,
            needs_fencing: verdict.properties.safety.outcome == PropertyOutcome::NeedsFencing,
            violations: verdict.violation_counts.clone(),
            warnings: verdict.warnings.len(),
            length_s: verdict.end_ns as f64 / 1e9,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            RunState::Ended { outcome: RunOutcome::Violated, .. } => "violated",
            RunState::Ended { outcome: RunOutcome::Undecided, .. } => "undecided",
            RunState::Ended { needs_fencing: true, .. } => "needs fencing",
            RunState::Ended { .. } => "no violation",
            RunState::Running { .. } => "running",
            RunState::BrokenOff => "broken off",
            RunState::Unreadable(_) => "unreadable",
        }
    }

    fn tone(&self) -> Tone {
        match self {
            RunState::Ended { outcome: RunOutcome::Violated, .. } => Tone::Bad,
            RunState::Ended { outcome: RunOutcome::Undecided, .. }
            | RunState::Ended { needs_fencing: true, .. } => Tone::Doubt,
            RunState::Ended { .. } => Tone::Good,
            RunState::Running { .. } | RunState::BrokenOff | RunState::Unreadable(_) => Tone::Quiet,
        }
    }
}

impl StoreRun {
    /// A run by its directory's name and its plan.
    pub fn of(dir_name: &OsStr, run: &Run, state: RunState) -> StoreRun {
        let plan = &run.plan;
        let faults: Vec<&str> = plan.fault_kinds().into_iter().map(|kind| kind.name()).collect();
        let about = About {
            started_at_unix_s: run.started_at_unix_s,
            backend: plan.backend,
            version: visible(&plan.version, 40),
            used_as: match plan.workload.takes_locks() {
                true => format!("{}, {}", plan.recipe, plan.workload),
                false => plan.workload.to_string(),
            },
            faults: if faults.is_empty() { "none".into() } else { faults.join(", ") },
            seed: plan.seed,
            limit_s: plan.time_limit_ms as f64 / 1e3,
        };
        StoreRun { about: Some(about), ..StoreRun::named(dir_name, state) }
    }

    /// A run directory that cannot be read, by its name.
    pub fn unreadable(dir_name: &OsStr, why: String) -> StoreRun {
        StoreRun::named(dir_name, RunState::Unreadable(why))
    }

    fn named(dir_name: &OsStr, state: RunState) -> StoreRun {
        let name = visible(&dir_name.to_string_lossy(), 120);
        StoreRun { name, href: percent_encoded(dir_name), about: None, state }
    }

    fn is_selected(&self, selection: &Selection) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let about = self.about.as_ref();
        is(&selection.backend, about.map(|about| about.backend.name()))
            && is(&selection.faults, about.map(|about| about.faults.as_str()))
            && is(&selection.state, Some(self.state.word()))
    }
}
