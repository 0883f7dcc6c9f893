//! Runs side by side.

use std::collections::BTreeSet;

use locktest_analyzer::{Percentiles, Verdict, ViolationClass};
use locktest_history::{FaultKind, Run};

use super::{
    COMPARISON_SCHEMA_VERSION, Cell, Comparison, Gate, Kind, Row, Subject, Table, figures, letter,
    store,
};
use crate::latency::{LOW_N_NOTE, by_operation};
use crate::text::{count, seconds};
use crate::wording::{Tone, headline, outcome_tone, outcome_word, rows};

/// A run to be compared.
pub struct RunToCompare {
    /// What the user called it.
    pub name: String,
    /// The run.
    pub run: Run,
    /// What it came to.
    pub verdict: Verdict,
    /// What its plan says otherwise than that of the first, in words.
    pub differences: Vec<String>,
}

/// Puts runs side by side. With `fail_above_percent`, a median or a 99th percentile of acquires that
/// exceeds the first's by more than that is a regression.
pub fn compare_runs(runs: &[RunToCompare], fail_above_percent: Option<f64>) -> Comparison {
    let mut gate = Gate::new(fail_above_percent);
    let mut tables = vec![table("Verdict", verdicts(runs)), table("Violations", violations(runs))];
    tables.retain(|table: &Table| !table.rows.is_empty());
    let mut few_samples = Vec::new();
    tables.extend(latencies(runs, &mut gate, &mut few_samples));
    let mut notes = vec![
        "a run is measured once, so no interval tells chance from cause: `locktest bench --repeat`, \
         and compare the benches"
            .to_owned(),
    ];
    if !few_samples.is_empty() {
        notes.push(format!("{}: {LOW_N_NOTE}", few_samples.join("; ")));
    }
    Comparison {
        schema_version: COMPARISON_SCHEMA_VERSION,
        of: Kind::Runs,
        subjects: runs.iter().enumerate().map(subject).collect(),
        tables,
        notes,
        regressions: gate.regressions,
        figures_compared: gate.compared,
    }
}

fn table(title: &str, rows: Vec<Row>) -> Table {
    Table { title: title.into(), note: None, rows }
}

fn subject((place, one): (usize, &RunToCompare)) -> Subject {
    let RunToCompare { name, run, verdict, differences } = one;
    let used_as = match verdict.workload.takes_locks() {
        true => verdict.recipe.name(),
        false => verdict.workload.name(),
    };
    let kinds: Vec<&str> = run.plan.fault_kinds().into_iter().map(FaultKind::name).collect();
    let faults = if kinds.is_empty() { "no faults".to_owned() } else { kinds.join(" and ") };
    let what = format!(
        "{}, {}, {}, {}, {}, {faults}, seed {}",
        store(verdict.backend, &verdict.version, used_as),
        verdict.workload,
        count(verdict.nodes.len() as u64, "node"),
        count(run.plan.client_seeds.len() as u64, "client"),
        seconds(verdict.end_ns),
        verdict.seed
    );
    let differences = differences.clone();
    Subject { letter: letter(place), name: name.clone(), what, differences }
}

fn row(
    name: impl Into<String>,
    runs: &[RunToCompare],
    cell: impl Fn(&RunToCompare) -> Cell,
) -> Row {
    Row { name: name.into(), cells: runs.iter().map(cell).collect() }
}

fn verdicts(runs: &[RunToCompare]) -> Vec<Row> {
    let whole = |one: &RunToCompare| {
        let headline = headline(&one.verdict);
        let word = if headline.word.is_empty() { "no violation" } else { headline.word };
        Cell { tone: Some(headline.tone), ..Cell::words(word) }
    };
    let property = |place: usize| {
        move |one: &RunToCompare| {
            let outcome = rows(&one.verdict)[place].outcome;
            Cell { tone: Some(outcome_tone(outcome)), ..Cell::words(outcome_word(outcome)) }
        }
    };
    let names = runs.first().map(|one| rows(&one.verdict).map(|row| row.name));
    let names = names.into_iter().flatten().enumerate();
    let faults = |one: &RunToCompare| {
        let bit = one.verdict.faults.iter().filter(|fault| fault.bit).count();
        Cell::count(bit as u64)
    };
    std::iter::once(row("whole run", runs, whole))
        .chain(names.map(|(place, name)| row(name, runs, property(place))))
        .chain([
            row("faults that bit", runs, faults),
            row("acquires granted", runs, |one| Cell::count(one.verdict.counts.acquires_ok)),
            row("of unknown outcome", runs, |one| Cell::count(one.verdict.counts.acquires_unknown)),
        ])
        .collect()
}

fn violations(runs: &[RunToCompare]) -> Vec<Row> {
    let found = runs.iter().flat_map(|one| &one.verdict.violation_counts);
    let classes: BTreeSet<ViolationClass> =
        found.filter(|(_, count)| **count > 0).map(|(class, _)| *class).collect();
    let of_class = |class: ViolationClass| {
        row(class.name(), runs, move |one| {
            let found = one.verdict.violation_counts.get(&class).copied().unwrap_or_default();
            let tone = if found > 0 { Tone::Bad } else { Tone::Quiet };
            Cell { tone: Some(tone), ..Cell::count(found) }
        })
    };
    classes.into_iter().map(of_class).collect()
}

/// What clients do, and whether it is an acquire.
const OPERATIONS: [(&str, bool); 6] = [
    ("acquire", true),
    ("try", true),
    ("read", false),
    ("write", false),
    ("cas", false),
    ("release", false),
];

/// A row's name and its figure.
type Metric = (&'static str, fn(&Percentiles) -> Option<f64>);

const METRICS: [Metric; 2] = [("median", |p| p.median_ms), ("p99", |p| p.p99_ms)];

/// One table for each kind of operation; only acquires are held against the limit. Names the figures
/// that rest on few samples.
fn latencies(runs: &[RunToCompare], gate: &mut Gate, few_samples: &mut Vec<String>) -> Vec<Table> {
    let of = |one: &RunToCompare, wanted: &str, is_fault: bool| -> Option<Percentiles> {
        let operations = by_operation(&one.verdict.latency, None);
        let phases = operations.into_iter().find(|(name, _)| *name == wanted)?.1;
        Some(if is_fault { phases.fault.clone() } else { phases.quiet.clone() })
    };
    let mut tables = Vec::new();
    for (operation, is_acquire) in OPERATIONS {
        let mut rows = Vec::new();
        for (phase, is_fault) in [("quiet", false), ("fault", true)] {
            let percentiles: Vec<Option<Percentiles>> =
                runs.iter().map(|one| of(one, operation, is_fault)).collect();
            let samples = percentiles.iter().map(|p| p.as_ref().map_or(0, |p| p.n));
            if samples.clone().all(|n| n == 0) {
                continue;
            }
            let samples = samples.map(Cell::count).collect();
            rows.push(Row { name: format!("{phase}, samples"), cells: samples });
            for (metric, of) in METRICS {
                let values: Vec<Vec<f64>> =
                    percentiles.iter().map(|p| p.iter().filter_map(of).collect()).collect();
                let row = figures(format!("{phase}, {metric}"), &values);
                let low_name = format!("{metric}_ms");
                let is_low = |p: &Percentiles| p.low_n.contains(&low_name);
                if percentiles.iter().flatten().any(|p| of(p).is_some() && is_low(p)) {
                    few_samples.push(format!("{operation} {metric}, {phase}"));
                }
                if is_acquire {
                    gate.look(&format!("{operation} {metric} ms, {phase}"), &row, |_| !is_fault);
                }
                rows.push(row);
            }
        }
        tables.push(table(&format!("{operation} ms"), rows));
    }
    tables.retain(|table| !table.rows.is_empty());
    tables
}
