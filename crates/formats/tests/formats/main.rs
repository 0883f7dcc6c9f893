//! Every format, by what its readers make of small histories.

mod any_bytes;
#[path = "../../../checker/tests/fixtures/as_log.rs"]
mod as_log;
mod brute;
mod events;
mod jepsen_edn;
mod jepsen_log;
mod jsonl;
mod lenient;
mod render;
mod run;
mod run_registers;
