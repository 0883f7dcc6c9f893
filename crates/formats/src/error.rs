//! What is wrong with a history, where, and what was left out of it.

use std::fmt;
use std::io;

use locktest_history::{HistoryError, ImportError, Phase};
use thiserror::Error;

use crate::Format;

/// Where in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, counted from 1.
    pub line: u64,
    /// The event, counted from 1, in a format whose events are not lines.
    pub event: Option<u64>,
}

impl Place {
    /// A line of a format with one event a line.
    pub fn line(line: u64) -> Place {
        Place { line, event: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event {
            Some(event) => write!(f, "event {event} (line {})", self.line),
            None => write!(f, "line {}", self.line),
        }
    }
}

/// Why a history could not be read.
#[derive(Debug, Error)]
pub enum FormatError {
    /// The input could not be read at all.
    #[error("the history could not be read: {0}")]
    Io(#[from] io::Error),
    /// Something in it is wrong. Reading leniently skips and counts it.
    #[error("{place}: {problem}")]
    At {
        /// Where.
        place: Place,
        /// What.
        problem: Problem,
    },
    /// A line or a form is too long to be an event, however it is read.
    #[error(
        "{place}: it is longer than {limit_bytes} bytes, which no event is; is this the right format?"
    )]
    TooLong {
        /// Where it begins.
        place: Place,
        /// The limit.
        limit_bytes: usize,
    },
    /// No event was found.
    #[error("there is no operation in it; is it really in the format {format}?")]
    Nothing {
        /// As which it was read.
        format: Format,
    },
    /// The model needs times, and this format has none.
    #[error(
        "the model {model} needs times, which the format {format} does not have; use jsonl or jepsen-edn with a time on each event"
    )]
    NoTimes {
        /// The model.
        model: String,
        /// The format.
        format: Format,
    },
    /// A run's history was not readable.
    #[error("the run's history could not be read: {0}")]
    History(#[from] HistoryError),
    /// An exported run was not readable.
    #[error("the exported run could not be read: {0}")]
    Import(#[from] ImportError),
    /// A run's history is damaged. Reading leniently takes what is there.
    #[error("the run's history is damaged: {what}")]
    Damaged {
        /// In words.
        what: String,
    },
    /// A run cannot be checked against this model.
    #[error("a run cannot be checked as {model}: {why}")]
    NotOfRuns {
        /// The model.
        model: String,
        /// Why, and what to do.
        why: &'static str,
    },
}

/// What is wrong with one event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The input ends inside it.
    #[error("the input ends within it: the history was cut short")]
    Truncated,
    /// It is not in the format.
    #[error("{0}")]
    Malformed(String),
    /// The process is not one.
    #[error("`{found}` is no process; {expected}")]
    Process {
        /// As it stands there.
        found: String,
        /// What a process is in this format.
        expected: &'static str,
    },
    /// The type of the event is unknown.
    #[error("`{found}` is no type of an event; it is invoke, ok, fail or info")]
    Type {
        /// As it stands there.
        found: String,
    },
    /// Nobody knows the operation.
    #[error("the operation `{found}` is unknown; known here are {known}")]
    Function {
        /// As it stands there.
        found: String,
        /// What is known.
        known: &'static str,
    },
    /// The model has no such operation, or the history speaks of something else.
    #[error("`{found}` is no operation of {object}; check one kind of object at a time")]
    Mixed {
        /// The operation.
        found: &'static str,
        /// What the history or the model is about.
        object: String,
    },
    /// A process has two operations at once.
    #[error(
        "process {process} begins `{found}` while its `{open}` is open; a process has one operation at a time"
    )]
    StillOpen {
        /// Who.
        process: String,
        /// The second operation.
        found: &'static str,
        /// The first.
        open: &'static str,
    },
    /// A completion of nothing.
    #[error(
        "process {process} completes `{found}`, which it has not begun; every completion follows its invoke"
    )]
    NeverInvoked {
        /// Who.
        process: String,
        /// What.
        found: &'static str,
    },
    /// A completion of something else.
    #[error(
        "process {process} completes {found} although it began {begun}; a completion repeats its invoke"
    )]
    Different {
        /// Who.
        process: String,
        /// What was completed.
        found: String,
        /// What was begun.
        begun: String,
    },
    /// An event is earlier than the one before it.
    #[error(
        "its {what} {found} is not after {before}, that of the event before it; events stand in the order in which they happened"
    )]
    Backwards {
        /// Time or index.
        what: &'static str,
        /// Here.
        found: i64,
        /// Before.
        before: i64,
    },
    /// An event has no time although the model needs it.
    #[error("it has no time, which the model needs")]
    NoTime,
}

impl Problem {
    pub(crate) fn malformed(what: impl Into<String>) -> Problem {
        Problem::Malformed(what.into())
    }

    pub(crate) fn at(self, place: Place) -> FormatError {
        FormatError::At { place, problem: self }
    }
}

/// The name of a type, as every format has it.
pub(crate) fn phase(name: &[u8]) -> Result<Phase, Problem> {
    match name {
        b"invoke" => Ok(Phase::Invoke),
        b"ok" => Ok(Phase::Ok),
        b"fail" => Ok(Phase::Fail),
        b"info" => Ok(Phase::Info),
        _ => Err(Problem::Type { found: quoted(name) }),
    }
}

/// The most of the input that a message repeats, in bytes.
const QUOTED_BYTES: usize = 60;

/// Part of the input, fit for a message.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(QUOTED_BYTES)];
    let mut text: String = String::from_utf8_lossy(shown).escape_debug().collect();
    if shown.len() < bytes.len() {
        text.push('…');
    }
    text
}

/// The most problems that are kept in words.
const KEPT: usize = 5;

/// What a lenient reader left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// How many events or lines.
    pub count: u64,
    /// The first few of them, each with its place and what is wrong with it.
    pub first: Vec<String>,
}

impl Skipped {
    pub(crate) fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < KEPT {
            self.first.push(what());
        }
    }
}
