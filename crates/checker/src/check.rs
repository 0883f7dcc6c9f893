//! The way from a history to decisions: for each object the decider of its specification, and the
//! search where there is none or its assumption fails.

use crate::decision::Decision;
use crate::operation::Operation;
use crate::specification::Specification;
use crate::values::Values;

/// One object and what was asked of it: a history is local, so each is decided by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Its name; the key.
    pub name: String,
    /// In order of their invokes.
    pub operations: Vec<Operation>,
}

/// How far to go.
pub struct Options<'a> {
    /// Whether a positive decision has to carry its linearization.
    pub certificate: bool,
    /// Whether the time is over. Asked now and then; the checker has no clock of its own.
    pub time_is_up: &'a dyn Fn() -> bool,
    /// How much memory the search may take for configurations that it has visited, in bytes.
    pub memory_limit_bytes: usize,
}

/// How a decision was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// The polynomial decider of the specification.
    Decider,
    /// The search: the specification has no decider, or what the decider assumes does not hold,
    /// in words.
    Search {
        /// The assumption that fails; `None` if there is no decider.
        because: Option<String>,
    },
}

/// The decision for one object, and how it was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What was decided.
    pub decision: Decision,
    /// By what.
    pub algorithm: Algorithm,
}
