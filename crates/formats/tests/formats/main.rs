//! Every format, by what its readers make of small histories.

mod any_bytes;
mod brute;
mod events;
mod jepsen_edn;
mod jepsen_log;
mod jsonl;
mod lenient;
mod render;
mod run;
