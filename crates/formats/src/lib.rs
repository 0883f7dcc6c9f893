//! Histories that people already have, as the checker takes them.
//!
//! Each format has a module that turns its lines or forms into events; [`read`] picks it. Events
//! become operations in one place, whatever their format (`pairing`). Of this crate's formats one is
//! locktest's own: a recorded run, from its file or exported as JSON lines, becomes the history of
//! what its clients believed (`run`) or of its registers (`run_registers`), and is written for Jepsen's tools ([`write_jepsen_edn`]).
//!
//! Every reader takes its input in bounded pieces, and what it keeps grows with the number of
//! operations, whatever the input says of itself.

mod asked;
mod datum;
mod edn;
mod error;
pub mod events;
mod format;
mod jepsen_edn;
mod jepsen_log;
mod jsonl;
mod lines;
mod pairing;
mod processes;
mod read;
mod run;
mod run_attempts;
mod run_registers;
mod run_stream;
mod turns;
mod write_edn;
mod write_edn_registers;

pub use error::{FormatError, Place, Problem, Skipped};
pub use format::{Format, UnknownFormat, detect};
pub use processes::{ProcessName, Processes};
pub use read::{Contents, Loaded, Options, Stamps, read};
pub use run::load_run;
pub use run_stream::{RunDecision, decide_run};
pub use write_edn::write_jepsen_edn;
