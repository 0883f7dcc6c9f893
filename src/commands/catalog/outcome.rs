//! What came of running entries, in words, and as an exit code.

use std::fmt;

use locktest_analyzer::ViolationClass;
use serde::Serialize;

use crate::exit::Exit;

/// What came of an entry.
#[derive(Debug, Serialize)]
pub struct EntryResult {
    /// Its id.
    pub id: String,
    /// What it is expected to violate.
    pub class: ViolationClass,
    /// Why it cannot be shown, if it cannot.
    pub unshowable: Option<String>,
    /// Its runs, as far as they came.
    pub variants: Vec<RunResult<Finding>>,
    /// The run that has to pass, if it came to that.
    pub twin: Option<RunResult<Passing>>,
}

/// What came of a variant or a twin.
#[derive(Debug, Serialize)]
pub struct RunResult<T> {
    /// What sets it apart.
    pub name: String,
    /// The command line of the run that decided.
    pub command: String,
    /// What came of it.
    pub result: T,
}

/// Whether an entry was found.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Finding {
    /// The expected class was found.
    Found {
        /// The seed that showed it.
        seed: u64,
        /// From the start of the run to the event that makes it a violation, in seconds.
        after_s: f64,
        /// The server's version.
        version: String,
        /// The run.
        run_dir: String,
    },
    /// It was not, with any seed; and what was.
    NotFound {
        /// In words, a seed each.
        instead: Vec<String>,
    },
    /// A run could not be set up.
    NotRun {
        /// Why.
        why: String,
    },
}

/// Whether a twin passes.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Passing {
    /// It did its work, and nothing was violated.
    Passes {
        /// The server's version.
        version: String,
        /// How much it did, in words.
        work: String,
        /// The run.
        run_dir: String,
    },
    /// Something was violated.
    DoesNotPass {
        /// What, in words.
        found: String,
    },
    /// It could not be decided, or did not do its work.
    Undecided {
        /// Why.
        why: String,
    },
    /// It could not be set up.
    NotRun {
        /// Why.
        why: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Found { seed, after_s, .. } => {
                write!(f, "found in {after_s:.1} s, seed {seed}")
            }
            Finding::NotFound { instead } => write!(f, "not found: {}", instead.join("; ")),
            Finding::NotRun { why } => write!(f, "not run: {why}"),
        }
    }
}

impl fmt::Display for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Passing::Passes { work, .. } => write!(f, "passes: {work}"),
            Passing::DoesNotPass { found } => write!(f, "does not pass: {found}"),
            Passing::Undecided { why } => write!(f, "undecided: {why}"),
            Passing::NotRun { why } => write!(f, "not run: {why}"),
        }
    }
}

impl EntryResult {
    /// The exit code that its runs mean, each.
    fn exits(&self) -> impl Iterator<Item = Exit> + '_ {
        let variants = self.variants.iter().map(|run| match run.result {
            Finding::Found { .. } => Exit::Ok,
            Finding::NotFound { .. } => Exit::Violation,
            Finding::NotRun { .. } => Exit::SetUp,
        });
        let twin = self.twin.iter().map(|run| match run.result {
            Passing::Passes { .. } => Exit::Ok,
            Passing::DoesNotPass { .. } => Exit::Violation,
            Passing::Undecided { .. } => Exit::Inconclusive,
            Passing::NotRun { .. } => Exit::SetUp,
        });
        variants.chain(twin)
    }
}

/// The exit code of all: what is not as expected outranks what is not known.
pub fn exit(results: &[EntryResult]) -> Exit {
    let exits: Vec<Exit> = results.iter().flat_map(EntryResult::exits).collect();
    let by_rank = [Exit::Violation, Exit::SetUp, Exit::Inconclusive];
    by_rank.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Exit::Ok)
}

/// A line a run.
pub fn table(results: &[EntryResult]) -> String {
    let mut text = String::new();
    let mut line = |id: &str, class: &str, name: &str, result: &str| {
        text += &format!("{id:<17} {class:<13} {name:<25} {result}\n");
    };
    line("entry", "class", "run", "result");
    for EntryResult { id, class, unshowable, variants, twin } in results {
        for run in variants {
            line(id, class.name(), &run.name, &run.result.to_string());
        }
        if let Some(why) = unshowable {
            line(id, class.name(), "-", &format!("cannot be shown: {why}"));
        }
        if let Some(run) = twin {
            line(id, "twin", &run.name, &run.result.to_string());
        }
    }
    text + &summary(results)
}

fn summary(results: &[EntryResult]) -> String {
    let variants = || results.iter().flat_map(|result| &result.variants);
    let twins = || results.iter().filter_map(|result| result.twin.as_ref());
    let found = variants().filter(|run| matches!(run.result, Finding::Found { .. })).count();
    let passes = twins().filter(|run| matches!(run.result, Passing::Passes { .. })).count();
    let unshowable = results.iter().filter(|result| result.unshowable.is_some()).count();
    format!(
        "{found} of {} runs found what they should, {passes} of {} twins pass; {unshowable} entries \
         cannot be shown\n",
        variants().count(),
        twins().count()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(result: T) -> RunResult<T> {
        RunResult { name: "1.0".into(), command: "locktest run".into(), result }
    }

    fn found() -> Finding {
        let (version, run_dir) = ("1.0".into(), "store/x".into());
        Finding::Found { seed: 1, after_s: 4.65, version, run_dir }
    }

    fn passes() -> Passing {
        let (version, run_dir) = ("1.1".into(), "store/y".into());
        Passing::Passes { version, work: "12 acquires, 0 faults".into(), run_dir }
    }

    fn entry(finding: Finding, passing: Passing) -> EntryResult {
        EntryResult {
            id: "etcd-1".into(),
            class: ViolationClass::StaleGrant,
            unshowable: None,
            variants: vec![run(finding)],
            twin: Some(run(passing)),
        }
    }

    #[test]
    fn all_as_expected_is_exit_0_and_the_worst_of_the_rest_decides() {
        let why = || "why".to_owned();
        let not_found = || Finding::NotFound { instead: vec!["seed 1: nothing".into()] };
        for (finding, passing, expected) in [
            (found(), passes(), Exit::Ok),
            (not_found(), passes(), Exit::Violation),
            (found(), Passing::DoesNotPass { found: why() }, Exit::Violation),
            (found(), Passing::Undecided { why: why() }, Exit::Inconclusive),
            (Finding::NotRun { why: why() }, Passing::Undecided { why: why() }, Exit::SetUp),
            (not_found(), Passing::NotRun { why: why() }, Exit::Violation),
        ] {
            let results = [entry(found(), passes()), entry(finding, passing)];
            assert_eq!(exit(&results), expected, "{results:?}");
        }
        assert_eq!(exit(&[]), Exit::Ok);
    }

    #[test]
    fn the_table_has_a_line_for_each_run_and_counts_them() {
        let text = table(&[entry(found(), passes())]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].ends_with("found in 4.7 s, seed 1"), "{text}");
        assert!(lines[2].ends_with("passes: 12 acquires, 0 faults"), "{text}");
        assert!(lines[3].starts_with("1 of 1 runs found what they should, 1 of 1 twins"), "{text}");
    }
}
