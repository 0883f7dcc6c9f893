//! The catalogue: published failures of locks, each with the runs that show it and a twin that has
//! to pass. The entries are data, in `entries.toml`.

mod candidates;

use anyhow::{Context, Result};
use locktest_analyzer::ViolationClass;
use locktest_history::{Backend, FaultKind, ReadMode, Recipe, RedisPersistence, Workload};
use semver::VersionReq;
use serde::{Deserialize, Serialize};

pub use candidates::candidates;

const ENTRIES: &str = include_str!("entries.toml");

/// All that is published and known here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// An entry is tried with these in turn, until one of them shows it.
    pub seeds: Vec<u64>,
    /// In the order in which they are listed.
    #[serde(rename = "entry")]
    pub entries: Vec<Entry>,
}

/// A failure that was published.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Unique; what it is asked for by.
    pub id: String,
    /// What happens, in one line.
    pub title: String,
    /// What it is, in a sentence or two.
    pub what: String,
    /// Where it was published, in words.
    pub source: String,
    /// Where that can be read.
    pub url: Option<String>,
    /// The store.
    pub backend: Backend,
    /// The versions that have it.
    pub affected: String,
    /// The versions that do not have it any more.
    pub fixed: String,
    /// What a run that shows it is found to violate.
    pub class: ViolationClass,
    /// The runs whose violations of that class look like it; `None` if that cannot be told.
    pub signature: Option<Signature>,
    /// The runs that show it; none if it cannot be shown.
    #[serde(default, rename = "variant")]
    pub variants: Vec<Variant>,
    /// The run that has to pass: a fixed version, a cure, or the same without the fault. What cannot
    /// be shown may have one, too, as a control.
    pub twin: Option<Twin>,
    /// Why it cannot be shown.
    pub unshowable: Option<Unshowable>,
}

/// What a run must be like for its violations to look like an entry. Where a list is empty, anything
/// will do.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Signature {
    /// The affected versions; a run has to be in one of the ranges.
    pub versions: Vec<VersionReq>,
    /// How the store is used as a lock.
    pub recipes: Vec<Recipe>,
    /// What the clients do.
    pub workloads: Vec<Workload>,
    /// How plain values are read.
    pub read_modes: Vec<ReadMode>,
    /// When Redis writes to disk.
    pub persistence: Vec<RedisPersistence>,
    /// How many servers there are.
    pub servers: Option<usize>,
    /// The faults that lead to it: one of them bit before.
    pub faults: Vec<FaultKind>,
}

/// A run that shows an entry.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// What sets it apart, such as a version.
    pub name: String,
    /// The flags of `run`, but for backend, seed and `--stop-on-violation`.
    pub flags: String,
}

/// A run that has to pass.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Twin {
    /// What sets it apart, such as a version.
    pub name: String,
    /// The flags of `run`, but for backend and seed.
    pub flags: String,
    /// Whether it passes by its fencing token: leases are overrun, and the token makes that harmless.
    #[serde(default)]
    pub fenced: bool,
}

/// What stands in the way of showing an entry.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Unshowable {
    /// In a few words.
    pub why: String,
    /// What was tried, and what that showed.
    pub tried: String,
}

impl Catalog {
    /// The catalogue of this version of locktest.
    ///
    /// # Errors
    /// Its file is wrong, which a test would have told.
    pub fn load() -> Result<Catalog> {
        toml::from_str(ENTRIES).context("the catalogue is not valid")
    }
}

impl Entry {
    /// The command line of a variant, for one seed.
    pub fn command(&self, variant: &Variant, seed: u64) -> String {
        format!("{} --stop-on-violation --seed {seed}", self.words(&variant.flags))
    }

    /// The command line of the twin, for one seed.
    pub fn twin_command(&self, twin: &Twin, seed: u64) -> String {
        format!("{} --seed {seed}", self.words(&twin.flags))
    }

    fn words(&self, flags: &str) -> String {
        format!("locktest run --backend {} {flags}", self.backend)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use locktest_cluster::{Release, Store};

    use super::*;
    use crate::cli::run_args_of;
    use crate::plan;

    fn catalog() -> Catalog {
        Catalog::load().expect("a valid catalogue")
    }

    /// Every command line of the catalogue, each with its entry.
    fn commands(catalog: &Catalog) -> Vec<(&Entry, String)> {
        let mut commands = Vec::new();
        for entry in &catalog.entries {
            for seed in &catalog.seeds {
                let variants = entry.variants.iter();
                commands.extend(variants.map(|variant| (entry, entry.command(variant, *seed))));
                let twin = entry.twin.iter();
                commands.extend(twin.map(|twin| (entry, entry.twin_command(twin, *seed))));
            }
        }
        commands
    }

    #[test]
    fn every_command_makes_a_plan_on_a_version_that_can_be_had() {
        let catalog = catalog();
        for (entry, command) in commands(&catalog) {
            let args = run_args_of(&command).unwrap_or_else(|error| panic!("{error:#}"));
            let seed = args.seed.expect("a seed");
            let plan = plan::plan(&args, seed, String::new());
            let plan = plan.unwrap_or_else(|error| panic!("{command}: {error:#}"));
            let faults = args.faults.name();
            assert_eq!(plan.schedule.is_empty(), faults == "none", "{command}");
            let store = Store::of(entry.backend).expect("a store with servers");
            if let Some(version) = &args.version {
                assert!(Release::of(store, version).is_some(), "{command}");
            }
        }
    }

    #[test]
    fn an_entry_can_be_shown_and_has_a_twin_or_says_why_it_cannot() {
        for entry in catalog().entries {
            let id = &entry.id;
            let is_shown = !entry.variants.is_empty();
            assert_ne!(is_shown, entry.unshowable.is_some(), "{id}");
            assert!(!is_shown || entry.twin.is_some(), "{id} has no twin");
        }
    }

    #[test]
    fn ids_are_unique_and_short_enough_for_a_line() {
        let catalog = catalog();
        let ids: BTreeSet<&str> = catalog.entries.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids.len(), catalog.entries.len());
        for id in ids {
            let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
            assert!(id.chars().all(|letter| is_plain(letter) || letter == '-'), "{id}");
        }
    }

    #[test]
    fn a_run_that_shows_an_overrun_stops_at_one() {
        let catalog = catalog();
        let overruns =
            catalog.entries.iter().filter(|entry| entry.class == ViolationClass::LeaseOverrun);
        for entry in overruns {
            for variant in &entry.variants {
                // Redis has no token, so there an overrun is a violation by itself.
                let stops = entry.backend == Backend::Redis
                    || variant.flags.contains("--fail-on lease-overrun");
                assert!(stops, "{}: {}", entry.id, variant.flags);
            }
        }
    }
}
