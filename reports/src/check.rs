//! What `check --model` reports of a history: a decision an object, and why.

mod terminal;
#[cfg(test)]
mod tests;
mod wording;

use locktest_checker::{Algorithm, Checked, Decision, Exhausted, Process, Specification, Values};
use serde::Serialize;

use wording::Wording;

pub use terminal::render_check;

/// The version of the JSON that `check --model` prints.
const CHECK_SCHEMA_VERSION: u32 = 1;

/// How many objects of each outcome are described; the others are counted.
const SHOWN_PER_OUTCOME: usize = 5;

/// What the stamps of a history are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stamps {
    /// Lines of the file, counted from one.
    Line,
    /// Events of the file, counted from one.
    Event,
    /// Nanoseconds of the history's clock.
    Nanosecond,
}

/// The history, as the report speaks of it.
pub struct Subject<'a> {
    /// Where it was read from.
    pub file: &'a str,
    /// In which format.
    pub format: &'a str,
    /// What it was checked against.
    pub specification: Specification,
    /// What its stamps are.
    pub stamps: Stamps,
    /// What its values are; a lock has none.
    pub values: Option<&'a Values>,
    /// The name of a process.
    pub process: &'a dyn Fn(Process) -> String,
    /// How many operations it has.
    pub operations: u64,
    /// How many of those have an unknown outcome.
    pub unknown: u64,
    /// How many records were left out because they made no sense.
    pub skipped: u64,
    /// The first of those, in words.
    pub first_skipped: &'a [String],
    /// How many linearizations were verified; `None` if that was not asked for.
    pub verified: Option<u64>,
    /// How long the decision took, reading included, in milliseconds.
    pub elapsed_ms: f64,
}

/// What was found out about a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// Every object is linearizable.
    Held,
    /// No violation was found, and some object was not decided.
    Undecided,
    /// Some object is not linearizable.
    Violated,
}

/// The report on a history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// The version of this form.
    pub schema_version: u32,
    /// violated > undecided > held.
    pub outcome: CheckOutcome,
    /// One sentence.
    pub summary: String,
    /// Where the history was read from.
    pub file: String,
    /// In which format.
    pub format: String,
    /// What it was checked against.
    pub model: String,
    /// What the stamps are.
    pub stamps: Stamps,
    /// How many operations the history has.
    pub operations: u64,
    /// How many of those have an unknown outcome.
    pub unknown: u64,
    /// How many objects it has.
    pub objects: u64,
    /// How many of those are not linearizable.
    pub violated: u64,
    /// How many are undecided.
    pub undecided: u64,
    /// How many were left to the search.
    pub searched: u64,
    /// The objects to speak of: those that are not linearizable and those that are undecided, a
    /// handful of each.
    pub shown: Vec<ObjectReport>,
    /// Why objects were left to the search although their model has a decider: each reason once.
    pub search_reasons: Vec<String>,
    /// How many records were left out because they made no sense.
    pub skipped: u64,
    /// The first of those, in words.
    pub first_skipped: Vec<String>,
    /// How many linearizations were verified; `null` if that was not asked for.
    pub verified: Option<u64>,
    /// How long the decision took, reading included, in milliseconds.
    pub elapsed_ms: f64,
}

/// One object that is not linearizable, or not decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ObjectReport {
    /// Its name.
    pub key: String,
    /// What was decided.
    pub outcome: CheckOutcome,
    /// The stamp of the completion that ends a prefix that is not linearizable.
    pub violated_at: Option<u64>,
    /// Whether it is known that no shorter prefix is bad; `null` where none is.
    pub shortest: Option<bool>,
    /// Everything up to this stamp is linearizable.
    pub decided_until: Option<u64>,
    /// Whether no order was found, but the budget ran out before that was sure.
    pub suspected: bool,
    /// Why.
    pub why: String,
    /// The operations that are in each other's way, in order of their invokes.
    pub operations: Vec<InvolvedReport>,
}

/// An operation of a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InvolvedReport {
    /// Its number in order of invokes, from zero.
    pub index: u64,
    /// Whose.
    pub process: String,
    /// What was asked.
    pub action: String,
    /// How it ended: ok, fail or info.
    pub outcome: &'static str,
    /// The stamp of its invoke.
    pub invoke: u64,
    /// The stamp of its completion; `null` if its outcome is unknown.
    pub complete: Option<u64>,
}

impl CheckReport {
    /// Puts the decisions, by the names of their objects, in words.
    pub fn new<'c>(
        subject: &Subject,
        decisions: impl IntoIterator<Item = (&'c str, &'c Checked)>,
    ) -> CheckReport {
        let mut report = CheckReport {
            schema_version: CHECK_SCHEMA_VERSION,
            outcome: CheckOutcome::Held,
            summary: String::new(),
            file: subject.file.to_owned(),
            format: subject.format.to_owned(),
            model: subject.specification.to_string(),
            stamps: subject.stamps,
            operations: subject.operations,
            unknown: subject.unknown,
            objects: 0,
            violated: 0,
            undecided: 0,
            searched: 0,
            shown: Vec::new(),
            search_reasons: Vec::new(),
            skipped: subject.skipped,
            first_skipped: subject.first_skipped.to_vec(),
            verified: subject.verified,
            elapsed_ms: (subject.elapsed_ms * 1e3).round() / 1e3,
        };
        let wording = Wording { subject };
        let (mut violated, mut undecided) = (Vec::new(), Vec::new());
        for (key, checked) in decisions {
            report.objects += 1;
            report.count_algorithm(&checked.algorithm);
            match &checked.decision {
                Decision::Linearizable(_) => {}
                Decision::NotLinearizable(counterexample) => {
                    report.violated += 1;
                    violated.push((counterexample.at, wording.violated(key, counterexample)));
                }
                Decision::Undecided(rest) => {
                    report.undecided += 1;
                    // Whoever was given up for a violation elsewhere has nothing to tell.
                    if rest.why != Exhausted::Abandoned {
                        undecided.push((rest.decided_until, wording.undecided(key, rest)));
                    }
                }
            }
        }
        for objects in [&mut violated, &mut undecided] {
            objects.sort_by_key(|(at, _)| *at);
            objects.truncate(SHOWN_PER_OUTCOME);
        }
        report.shown = violated.into_iter().chain(undecided).map(|(_, object)| object).collect();
        report.outcome = match (report.violated, report.undecided) {
            (1.., _) => CheckOutcome::Violated,
            (0, 1..) => CheckOutcome::Undecided,
            (0, 0) => CheckOutcome::Held,
        };
        report.summary = wording.summary(&report);
        report
    }

    /// The report as indented JSON, with a newline at the end.
    pub fn to_json(&self) -> String {
        crate::json::as_json(self)
    }

    fn count_algorithm(&mut self, algorithm: &Algorithm) {
        let Algorithm::Search { because } = algorithm else { return };
        self.searched += 1;
        if let Some(reason) = because
            && !self.search_reasons.contains(reason)
            && self.search_reasons.len() < SHOWN_PER_OUTCOME
        {
            self.search_reasons.push(reason.clone());
        }
    }
}
