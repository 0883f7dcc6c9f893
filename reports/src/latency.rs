//! The latency tables, cell by cell, for every report that shows them.

use locktest_analyzer::{ClientLatency, FaultLatency, Latency, Percentiles, Phases};

use crate::text::milliseconds;

/// The columns after the first.
pub(crate) const COLUMNS: [&str; 8] = ["n", "avg", "med", "min", "max", "p90", "p99", "p99.9"];

/// One line of a table.
pub(crate) struct Row {
    /// A phase of the run, a fault or a client.
    pub name: String,
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

/// Acquires that may wait; where there are none, those that do not.
pub(crate) fn acquires(latency: &Latency) -> &Phases {
    match &latency.try_acquire {
        Some(others) if !any(&latency.acquire) => others,
        _ => &latency.acquire,
    }
}

/// Whether there are any samples.
fn any(phases: &Phases) -> bool {
    [&phases.quiet, &phases.fault, &phases.recovery].iter().any(|percentiles| percentiles.n > 0)
}

/// What a run did, by its name: acquires and releases, or whatever there was in their place.
pub(crate) fn by_operation<'v>(
    latency: &'v Latency,
    intended: Option<&'v Phases>,
) -> Vec<(&'static str, &'v Phases)> {
    let Latency { acquire, try_acquire, read, write, cas, release, .. } = latency;
    let others = [("try", try_acquire), ("read", read), ("write", write), ("cas", cas)];
    let others = others.into_iter().filter_map(|(name, phases)| Some((name, phases.as_ref()?)));
    let is_alone = others.clone().next().is_none();
    let acquire = Some(("acquire", acquire)).filter(|(_, phases)| is_alone || any(phases));
    let release = Some(("release", release)).filter(|(_, phases)| is_alone || any(phases));
    let intended = intended.map(|phases| ("intended", phases));
    acquire.into_iter().chain(intended).chain(others).chain(release).collect()
}

/// One operation by phase.
pub(crate) fn by_phase(phases: &Phases) -> Vec<Row> {
    vec![
        row("quiet".into(), &phases.quiet),
        row("fault".into(), &phases.fault),
        row("recovery".into(), &phases.recovery),
    ]
}

/// One operation around each fault; a recovery in which nothing began has no row.
pub(crate) fn by_fault(faults: &[FaultLatency]) -> Vec<Row> {
    let rows = |fault: &FaultLatency| {
        let in_force = row(format!("fault {}", fault.fault), &fault.in_force);
        let recovery = || row(format!("recovery {}", fault.fault), &fault.recovery);
        [Some(in_force), (fault.recovery.n > 0).then(recovery)].into_iter().flatten()
    };
    faults.iter().flat_map(rows).collect()
}

/// One operation of each client.
pub(crate) fn by_client(clients: &[ClientLatency]) -> Vec<Row> {
    clients.iter().map(|client| row(client.client.clone(), &client.whole_run)).collect()
}

fn row(name: String, percentiles: &Percentiles) -> Row {
    let Percentiles { n, avg_ms, median_ms, min_ms, max_ms, p90_ms, p99_ms, p999_ms, low_n } =
        percentiles;
    let cell = |name: &str, value: &Option<f64>| Cell {
        text: milliseconds(*value),
        low_n: value.is_some() && low_n.iter().any(|low| low == name),
    };
    Row {
        name,
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

/// Whether clients began so late that the actual starts hide something: in some phase the mean from
/// the intended starts is larger by more than a tenth.
pub(crate) fn hides_something(actual: &Phases, intended: &Phases) -> bool {
    let hides = |actual: &Percentiles, intended: &Percentiles| {
        let mean_ms = |percentiles: &Percentiles| percentiles.avg_ms.unwrap_or(0.0);
        mean_ms(intended) > mean_ms(actual) * 1.1
    };
    hides(&actual.quiet, &intended.quiet)
        || hides(&actual.fault, &intended.fault)
        || hides(&actual.recovery, &intended.recovery)
}

/// Whether any cell needs the footnote.
pub(crate) fn has_low_n(rows: &[Row]) -> bool {
    rows.iter().flat_map(|row| &row.cells).any(|cell| cell.low_n)
}

/// The footnote of the cells marked with an asterisk.
pub(crate) const LOW_N_NOTE: &str = "fewer than ten samples lie beyond it; do not rely on it";

/// What the table of the intended starts counts.
pub(crate) const INTENDED_NOTE: &str =
    "intended: acquires from when their clients meant to begin them";
