//! Benches side by side, cell by cell.

use std::collections::BTreeMap;

use locktest_analyzer::{RunOutcome, ViolationClass};

use super::{
    COMPARISON_SCHEMA_VERSION, Cell, Comparison, Gate, Kind, Row, Subject, Table, figures, letter,
    store,
};
use crate::bench::{self, Bench, Contender, Measurement};
use crate::text::{count, utc};
use crate::wording::Tone;

/// A bench to be compared.
pub struct BenchToCompare {
    /// What the user called it.
    pub name: String,
    /// What it measured.
    pub bench: Bench,
    /// What it was told otherwise than the first, in words.
    pub differences: Vec<String>,
}

/// A figure of a run.
struct Metric {
    title: &'static str,
    note: Option<&'static str>,
    of: fn(&Measurement) -> Option<f64>,
    /// Whether it is of what began without a fault in force.
    is_quiet: bool,
    /// Whether it is held against the limit.
    is_gated: bool,
}

const METRICS: [Metric; 6] = [
    Metric {
        title: "Acquire median ms, quiet",
        note: None,
        of: |run| run.wait_included.quiet.median_ms,
        is_quiet: true,
        is_gated: true,
    },
    Metric {
        title: "Acquire p99 ms, quiet",
        note: None,
        of: |run| run.wait_included.quiet.p99_ms,
        is_quiet: true,
        is_gated: true,
    },
    Metric {
        title: "Acquire median ms, fault in force",
        note: None,
        of: |run| run.wait_included.fault.median_ms,
        is_quiet: false,
        is_gated: true,
    },
    Metric {
        title: "Acquire p99 ms, fault in force",
        note: None,
        of: |run| run.wait_included.fault.p99_ms,
        is_quiet: false,
        is_gated: true,
    },
    Metric {
        title: "Attempt alone, median ms, quiet",
        note: Some("Without the time for which the lock was another client's."),
        of: |run| run.attempt_alone.quiet.median_ms,
        is_quiet: true,
        is_gated: false,
    },
    Metric {
        title: "Acquires a second",
        note: Some("Here a ratio above 1 is the better one."),
        of: |run| Some(run.per_s),
        is_quiet: true,
        is_gated: false,
    },
];

/// Puts benches side by side. With `fail_above_percent`, a cell whose median or 99th percentile of
/// acquires exceeds the first's by more than that is a regression.
pub fn compare_benches(benches: &[BenchToCompare], fail_above_percent: Option<f64>) -> Comparison {
    let mut gate = Gate::new(fail_above_percent);
    let mut tables = vec![violations(benches)];
    tables.extend(METRICS.iter().map(|metric| table(metric, benches, &mut gate)));
    tables.retain(|table| !table.rows.is_empty());
    Comparison {
        schema_version: COMPARISON_SCHEMA_VERSION,
        of: Kind::Benches,
        subjects: benches.iter().enumerate().map(|one| subject(one, benches)).collect(),
        tables,
        notes: notes(benches),
        regressions: gate.regressions,
        figures_compared: gate.compared,
    }
}

fn subject((place, one): (usize, &BenchToCompare), benches: &[BenchToCompare]) -> Subject {
    let Bench { contenders, repeats, processors, started_at_unix_s, seed, .. } = &one.bench;
    let stores: Vec<String> =
        contenders.iter().map(|one| store(one.backend, &one.version, one.recipe.name())).collect();
    let what = format!(
        "{}; {}, {}, {}, seed {seed}",
        stores.join("; "),
        count(u64::from(*repeats), "repeat"),
        count(*processors as u64, "processor"),
        utc(*started_at_unix_s)
    );
    let mut differences = one.differences.clone();
    for (first, later) in pairs(&benches[0].bench, &one.bench) {
        if first.version != later.version {
            let (then, now) = (&first.version, &later.version);
            differences.push(format!("{}'s version was {then} and is {now}", first.name));
        }
    }
    Subject { letter: letter(place), name: one.name.clone(), what, differences }
}

/// The first bench's stores with those of a later one.
fn pairs<'b>(first: &'b Bench, later: &'b Bench) -> Vec<(&'b Contender, &'b Contender)> {
    let pair = |one: &'b Contender| Some((one, counterpart(one, first, later)?));
    first.contenders.iter().filter_map(pair).collect()
}

/// The store of the same name; else, so that two versions can be compared, the only one that is the
/// same store used in the same way.
fn counterpart<'b>(one: &Contender, first: &Bench, later: &'b Bench) -> Option<&'b Contender> {
    if let Some(same) = later.contenders.iter().find(|other| other.name == one.name) {
        return Some(same);
    }
    let is_alike = |other: &&Contender| (other.backend, other.recipe) == (one.backend, one.recipe);
    let only = |bench: &'b Bench| {
        let mut alike = bench.contenders.iter().filter(is_alike);
        alike.next().filter(|_| alike.next().is_none())
    };
    let is_alone = first.contenders.iter().filter(is_alike).count() == 1;
    only(later).filter(|_| is_alone)
}

/// What the runs of a cell measured; `None` if the bench has no such cell.
fn measurements<'b>(
    cell: &bench::Cell,
    first: &Bench,
    later: &'b Bench,
) -> Option<&'b [Measurement]> {
    let contender = first.contenders.iter().find(|one| one.name == cell.contender);
    let name = match contender {
        Some(one) => &counterpart(one, first, later)?.name,
        None => &cell.contender,
    };
    let is_it = |other: &&bench::Cell| {
        other.contender == *name && (other.keys, other.processes) == (cell.keys, cell.processes)
    };
    Some(&later.cells.iter().find(is_it)?.measurements)
}

fn table(metric: &Metric, benches: &[BenchToCompare], gate: &mut Gate) -> Table {
    let first = &benches[0].bench;
    let mut rows = Vec::new();
    for cell in &first.cells {
        let name = place(cell);
        let of = |later: &Bench| -> Vec<f64> {
            let measured = measurements(cell, first, later).unwrap_or_default();
            measured.iter().filter_map(metric.of).filter(|value| value.is_finite()).collect()
        };
        let values: Vec<Vec<f64>> = benches.iter().map(|one| of(&one.bench)).collect();
        if values.iter().all(Vec::is_empty) {
            continue;
        }
        let row = figures(name.clone(), &values);
        if metric.is_gated {
            // A cell that nobody asked for is no loss, nor is it that nothing began under a fault.
            gate.look(&format!("{} of {name}", metric.title), &row, |place| {
                let later = &benches[place].bench;
                metric.is_quiet && measurements(cell, first, later).is_some()
            });
        }
        rows.push(row);
    }
    Table { title: metric.title.into(), note: metric.note.map(str::to_owned), rows }
}

/// Such as `etcd, same key, 5 clients`.
fn place(cell: &bench::Cell) -> String {
    let clients = count(u64::from(cell.processes), "client");
    format!("{}, {}, {clients}", cell.contender, cell.keys.words())
}

fn violations(benches: &[BenchToCompare]) -> Table {
    let runs = benches.iter().map(|one| one.bench.cells.iter().flat_map(|cell| &cell.measurements));
    let runs: Vec<Vec<&Measurement>> = runs.map(Iterator::collect).collect();
    let violated = runs.iter().map(|runs| {
        let violated = runs.iter().filter(|run| run.outcome == RunOutcome::Violated).count();
        let tone = if violated > 0 { Tone::Bad } else { Tone::Quiet };
        Cell {
            value: Some(violated as f64),
            tone: Some(tone),
            ..Cell::words(format!("{violated} of {}", runs.len()))
        }
    });
    let mut rows = vec![Row { name: "runs violated".into(), cells: violated.collect() }];
    let mut classes: BTreeMap<ViolationClass, Vec<u64>> = BTreeMap::new();
    for (place, of_one) in runs.iter().enumerate() {
        for (class, found) in of_one.iter().flat_map(|run| &run.violations) {
            classes.entry(*class).or_insert_with(|| vec![0; runs.len()])[place] += found;
        }
    }
    rows.extend(classes.into_iter().map(|(class, found)| Row {
        name: class.name().into(),
        cells: found.into_iter().map(Cell::count).collect(),
    }));
    Table { title: "Violations".into(), note: None, rows }
}

fn notes(benches: &[BenchToCompare]) -> Vec<String> {
    let first = &benches[0].bench;
    let mut notes = vec![
        "xN: the median of the repeats against A's; in brackets a 95 % interval from the repeats \
         (bootstrap), with an asterisk where 1 is outside. Of few repeats it is too narrow: take more \
         before you rely on it"
            .to_owned(),
    ];
    let fewest = |bench: &Bench| {
        let measured = bench.cells.iter().map(|cell| cell.measurements.len());
        measured.filter(|repeats| *repeats > 0).min()
    };
    let places = benches.iter().enumerate();
    let once: Vec<String> = places
        .filter(|(_, one)| fewest(&one.bench) == Some(1))
        .map(|(place, _)| letter(place))
        .collect();
    if !once.is_empty() {
        notes.push(format!("{}: one repeat: no interval", once.join(", ")));
    }
    for (n, one) in benches.iter().enumerate() {
        let missing: Vec<String> = first
            .cells
            .iter()
            .filter(|cell| measurements(cell, first, &one.bench).is_none_or(<[_]>::is_empty))
            .map(place)
            .collect();
        if !missing.is_empty() {
            notes.push(format!("not measured in {}: {}", letter(n), missing.join("; ")));
        }
        if one.bench.interrupted {
            notes.push(format!("{} was cut short: cells are missing", letter(n)));
        }
    }
    notes
}
