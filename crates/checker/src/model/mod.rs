//! Sequential specifications: what an object would do if it were asked one thing at a time.

use std::fmt::Debug;
use std::hash::Hash;

use crate::operation::{Action, Operation};

/// A sequential specification, as the search uses it.
pub trait Model {
    /// What the object remembers.
    type State: Clone + Debug + Eq + Hash;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after `operation` took effect in `state`; `None` if it cannot have had this
    /// outcome there. An info is asked as if it had happened.
    fn step(&self, state: &Self::State, operation: &Operation) -> Option<Self::State>;

    /// Whether no operation of this kind ever changes a state: a read, a refusal. A write that
    /// happens to write what is there already is not read-only.
    fn is_read_only(&self, operation: &Operation) -> bool;

    /// Whether the object knows this operation.
    fn knows(&self, action: Action) -> bool;
}
