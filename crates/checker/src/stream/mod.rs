//! Deciders that are fed while the history is being made.
//!
//! Linearizability is prefix-closed, so a decider can say at each completion whether the history so
//! far still has an order, and needs to remember only what is open, held or not yet explained: its
//! memory grows with the processes that are at work, not with the history. Where what it assumes
//! of a history fails it says so, and never guesses.

mod decider;
mod exclusion;
mod merge;
mod owner_mutex;
mod process_map;
mod processes;
#[cfg(test)]
mod tests;

pub use decider::{Alarm, Counts, Decider, StreamDecision, StreamVerdict};
pub use merge::{Kind, Merge, Merged, Source};
pub use process_map::ProcessMap;
pub use processes::{Step, StreamEvent};
