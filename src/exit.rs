//! Exit codes: a public contract, listed in the README and in `locktest --help`.

use std::fmt;
use std::process::ExitCode;

use locktest_analyzer::{RunOutcome, Verdict, ViolationClass};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// No violation was found, or the command did what it was asked.
    Ok = 0,
    /// A violation was found.
    Violation = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The run could not be decided.
    Inconclusive = 3,
    /// A regression against the baseline.
    Regression = 4,
    /// Set-up failed, or no fault took effect.
    SetUp = 5,
    /// A fault was left behind.
    FaultLeft = 6,
    /// A bug in locktest.
    Internal = 70,
    /// Interrupted, after healing.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

impl Exit {
    /// What a verdict alone says. `fail_on_overrun` makes lease overruns count as violations.
    pub fn of_verdict(verdict: &Verdict, fail_on_overrun: bool) -> Exit {
        let overruns = verdict.violation_counts.get(&ViolationClass::LeaseOverrun);
        match verdict.outcome {
            RunOutcome::Violated => Exit::Violation,
            _ if fail_on_overrun && overruns.is_some_and(|count| *count > 0) => Exit::Violation,
            RunOutcome::Undecided => Exit::Inconclusive,
            RunOutcome::Held => Exit::Ok,
        }
    }
}

/// An error with the exit code that it means.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The error and its causes.
    pub error: anyhow::Error,
}

impl Failure {
    /// The command line or its input is wrong.
    pub fn usage(error: impl Into<anyhow::Error>) -> Failure {
        Failure { exit: Exit::Usage, error: error.into() }
    }

    /// Something that the command needs is not there.
    pub fn set_up(error: impl Into<anyhow::Error>) -> Failure {
        Failure { exit: Exit::SetUp, error: error.into() }
    }

    /// A bug.
    pub fn internal(error: impl Into<anyhow::Error>) -> Failure {
        Failure { exit: Exit::Internal, error: error.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}
