//! The latency table, cell by cell, for every report that shows it.

use locktest_analyzer::{Percentiles, Phases};

use crate::text::milliseconds;

/// The columns after the phase.
pub(crate) const COLUMNS: [&str; 8] = ["n", "avg", "med", "min", "max", "p90", "p99", "p99.9"];

/// One phase of the run.
pub(crate) struct Row {
    /// Its name.
    pub phase: &'static str,
    /// A cell for each of [`COLUMNS`].
    pub cells: [Cell; 8],
}

/// One number.
pub(crate) struct Cell {
    /// Milliseconds, or a count, or a dash.
    pub text: String,
    /// Whether it rests on too few samples.
    pub low_n: bool,
}

/// The table of one operation.
pub(crate) fn rows(phases: &Phases) -> [Row; 3] {
    [row("quiet", &phases.quiet), row("fault", &phases.fault), row("recovery", &phases.recovery)]
}

fn row(phase: &'static str, percentiles: &Percentiles) -> Row {
    let Percentiles { n, avg_ms, median_ms, min_ms, max_ms, p90_ms, p99_ms, p999_ms, low_n } =
        percentiles;
    let cell = |name: &str, value: &Option<f64>| Cell {
        text: milliseconds(*value),
        low_n: value.is_some() && low_n.iter().any(|low| low == name),
    };
    Row {
        phase,
        cells: [
            Cell { text: n.to_string(), low_n: false },
            cell("avg_ms", avg_ms),
            cell("median_ms", median_ms),
            cell("min_ms", min_ms),
            cell("max_ms", max_ms),
            cell("p90_ms", p90_ms),
            cell("p99_ms", p99_ms),
            cell("p999_ms", p999_ms),
        ],
    }
}

/// Whether any cell needs the footnote.
pub(crate) fn has_low_n(rows: &[Row]) -> bool {
    rows.iter().flat_map(|row| &row.cells).any(|cell| cell.low_n)
}

/// The footnote of the cells marked with an asterisk.
pub(crate) const LOW_N_NOTE: &str = "fewer than ten samples lie beyond it; do not rely on it";
