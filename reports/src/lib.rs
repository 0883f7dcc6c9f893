//! A verdict for people and for machines: the terminal's block, one offline page, Markdown, JSON, JUnit,
//! Prometheus.
//!
//! Pure functions of a [`Verdict`](locktest_analyzer::Verdict) and a
//! [`History`](locktest_history::History): this crate opens no file, asks no clock and runs no
//! command. Whatever comes from outside (names, reasons, proofs) is shown cut to a length and
//! without characters that move a cursor or reorder a line.

mod background;
mod bench;
mod check;
mod compare;
mod cost;
mod drawing;
#[cfg(test)]
mod every_report;
mod findings;
mod html;
mod json;
mod junit;
mod latency;
mod markdown;
mod matrix;
mod prometheus;
mod store;
mod summary;
mod terminal;
#[cfg(test)]
mod testing;
mod text;
mod wording;

pub use background::{AnalysisCost, Background, FaultCommand};
pub use bench::{
    BENCH_SCHEMA_VERSION, Bench, Cell, Contender, Keys, Measurement, progress_line, render_bench,
    render_bench_html, render_bench_markdown,
};
pub use check::{
    CheckOutcome, CheckReport, InvolvedReport, ObjectReport, Stamps, Subject, render_check,
};
pub use compare::{
    BenchToCompare, Comparison, RunToCompare, compare_benches, compare_runs, render_comparison,
    render_comparison_html, render_comparison_markdown,
};
pub use html::{content_security_policy, render_html};
pub use json::{as_json, render_json};
pub use junit::render_junit;
pub use matrix::{Matrix, MatrixRun, UnreadableRun, render_matrix, render_matrix_html};
pub use prometheus::render_prometheus;
pub use store::{RunState, Selection, StoreRun, render_store_html};
pub use summary::render_markdown;
pub use terminal::{Paths, Progress, Style, live_line, render_verdict};
pub use text::visible_path;
