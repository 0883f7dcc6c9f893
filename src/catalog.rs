//! The catalogue of published failures of locks: what each is, which run shows it, and which run, its
//! twin, must not.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Every entry, as it is kept in the project.
const ENTRIES: &str = include_str!("catalog/entries.toml");

/// A published failure.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name on the command line.
    pub id: String,
    /// What fails, in a line.
    pub title: String,
    /// How that comes.
    pub about: String,
    /// Where it is told.
    pub source: String,
    /// The versions that have it.
    pub affected: String,
    /// The version without it, or what helps.
    pub fixed: String,
    /// The class of the violation by which it shows.
    pub class: String,
    /// The flags of each run that shows it; none if nothing that can be had does.
    #[serde(default)]
    pub show: Vec<String>,
    /// The flags of the run that must be free of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub twin: Option<String>,
    /// Why it cannot be shown, and what was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unshowable: Option<String>,
}

impl Entry {
    /// The runs that show it, and their twin, if it can be shown.
    pub fn runs(&self) -> Option<(&[String], &str)> {
        let twin = self.twin.as_deref()?;
        (self.unshowable.is_none() && !self.show.is_empty()).then_some((&self.show, twin))
    }
}

#[derive(Deserialize)]
struct Catalog {
    entry: Vec<Entry>,
}

/// Every entry, by its id.
pub fn entries() -> Result<Vec<Entry>> {
    let catalog: Catalog = toml::from_str(ENTRIES).context("the catalogue is damaged")?;
    let mut entries = catalog.entry;
    entries.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use locktest_analyzer::ViolationClass;

    use super::*;
    use crate::cli::{parse_run, words_of};
    use crate::plan::plan;

    #[test]
    fn every_entry_has_runs_that_can_be_and_a_class_that_there_is() {
        let entries = entries().expect("a catalogue");
        assert!(entries.len() >= 8);
        for entry in &entries {
            assert_ne!(entry.runs().is_some(), entry.unshowable.is_some(), "{}", entry.id);
            let class = serde_json::Value::String(entry.class.clone());
            assert!(serde_json::from_value::<ViolationClass>(class).is_ok(), "{}", entry.id);
            for flags in entry.show.iter().chain(&entry.twin) {
                let words = words_of(flags).into_iter().map(OsString::from);
                let args = parse_run(words).unwrap_or_else(|error| panic!("{flags}: {error}"));
                let planned = plan(&args, 1, "1.0".into());
                planned.unwrap_or_else(|error| panic!("{flags}: {error:#}"));
            }
        }
    }

    #[test]
    fn no_two_entries_have_one_name() {
        let entries = entries().expect("a catalogue");
        for pair in entries.windows(2) {
            assert_ne!(pair[0].id, pair[1].id);
        }
    }
}
