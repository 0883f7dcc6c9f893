//! Decides whether a history is linearizable, for locks of every kind, registers and key-value
//! stores.
//!
//! This crate knows no file, no clock and no network. Lock histories are decided in near-linear
//! time (`decide`); everything else, and whatever breaks a decider's assumption, by a memoised
//! search (`search`) over the sequential specifications (`model`). Each verdict carries its proof: a
//! linearization that `verify` checks without a line shared with what found it, or a named
//! conflict.

mod check;
pub mod decide;
mod decision;
pub mod model;
mod operation;
mod options;
mod search;
mod specification;
pub mod stream;
mod values;
mod verify;

pub use check::*;
pub use decision::*;
pub use operation::*;
pub use options::Options;
pub use specification::*;
pub use values::Values;
pub use verify::{VerifyError, verify};
