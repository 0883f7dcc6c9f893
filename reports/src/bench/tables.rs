//! Which tables a bench has, and what is in them.

use locktest_analyzer::{Percentiles, Phases};

use super::summary::{Figure, METRICS, figure};
use super::table::{Entry, Group, Row, Table};
use super::{Bench, Cell, Contender, Keys, Measurement, paper};
use crate::text::count;

/// A definition of how long an acquire takes.
type Definition = fn(&Measurement) -> Option<&Phases>;

/// A phase of a run.
type Phase = (&'static str, fn(&Phases) -> &Percentiles);

const PHASES: [Phase; 3] = [
    ("quiet", |phases| &phases.quiet),
    ("fault in force", |phases| &phases.fault),
    ("recovery", |phases| &phases.recovery),
];

/// The heading of columns that are numbers of clients.
const PROCESSES: &str = "processes";

/// Every table, in order.
pub(super) fn tables(bench: &Bench) -> Vec<Table> {
    let under_faults = bench.under.is_some();
    let phases = if under_faults { &PHASES[..] } else { &PHASES[..1] };
    let has = |keys| bench.keys.contains(&keys);
    let mut tables = Vec::new();
    for (phase, of_phase) in phases {
        let titled = |title: &str| match under_faults {
            true => format!("{title}, {phase}"),
            false => title.to_owned(),
        };
        let mut add = |title: &str, note: &str, keys, definition: Definition| {
            let compare = !under_faults && bench.rate_per_s.is_none();
            let note = Some(note.to_owned()).filter(|note| !note.is_empty());
            let columns = Columns { keys, definition, of_phase: *of_phase, compare };
            tables.push(percentiles(bench, titled(title), note, &columns));
        };
        if has(Keys::Different) {
            add("Table 1. Different keys, acquire ms", "", Keys::Different, wait_included);
        }
        if has(Keys::Same) {
            add(
                "Table 2a. Same key, acquire ms, wait included",
                "From the wish for the lock to its grant, whoever held it meanwhile.",
                Keys::Same,
                wait_included,
            );
            add(
                "Table 2b. Same key, acquire ms, attempt alone",
                "Without the time for which the lock was another client's, or was not asked for again.",
                Keys::Same,
                attempt_alone,
            );
        }
        if bench.rate_per_s.is_some() {
            for keys in &bench.keys {
                add(
                    &format!("Table 3. From the intended start, {}, ms", keys.words()),
                    "An acquire that could not begin when it was meant to counts from then.",
                    *keys,
                    |measurement| measurement.intended.as_ref(),
                );
            }
        }
    }
    if has(Keys::Same) {
        tables.push(contention(bench));
    }
    tables.push(throughput(bench));
    tables.extend(cost(bench));
    tables
}

fn wait_included(measurement: &Measurement) -> Option<&Phases> {
    Some(&measurement.wait_included)
}

fn attempt_alone(measurement: &Measurement) -> Option<&Phases> {
    Some(&measurement.attempt_alone)
}

/// What the columns of a table of percentiles count.
struct Columns {
    keys: Keys,
    definition: Definition,
    of_phase: fn(&Phases) -> &Percentiles,
    /// Whether the paper's stand beside them.
    compare: bool,
}

fn percentiles(bench: &Bench, title: String, note: Option<String>, columns: &Columns) -> Table {
    let Columns { keys, definition, of_phase, compare } = columns;
    let row = |contender: &Contender, place: usize| {
        let (name, metric) = METRICS[place];
        let cells = bench.processes.iter().map(|processes| {
            let cell = bench.cell(contender, *keys, *processes);
            Entry::of(figure(cell, |measurement| metric(of_phase(definition(measurement)?))))
        });
        let beside = bench.processes.iter().filter(|_| *compare);
        let paper = beside.map(|processes| paper::figure(contender, *keys, *processes, place));
        Row { name: name.into(), cells: cells.collect(), paper: paper.collect() }
    };
    let rows =
        |contender: &Contender| (0..METRICS.len()).map(|place| row(contender, place)).collect();
    let columns = processes(bench);
    Table {
        title,
        note,
        columns_are: PROCESSES,
        paper_columns: if *compare { columns.clone() } else { Vec::new() },
        columns,
        groups: groups(bench, rows),
    }
}

fn groups(bench: &Bench, rows: impl Fn(&Contender) -> Vec<Row>) -> Vec<Group> {
    let group = |contender: &Contender| Group {
        name: subject(contender),
        is_missing: contender.unobtainable.is_some(),
        rows: if contender.unobtainable.is_some() { Vec::new() } else { rows(contender) },
    };
    bench.contenders.iter().map(group).collect()
}

/// Such as `etcd 3.5.16, lock-rpc`.
pub(super) fn subject(contender: &Contender) -> String {
    let Contender { backend, version, recipe, .. } = contender;
    format!("{backend} {version}, {recipe}")
}

fn processes(bench: &Bench) -> Vec<String> {
    bench.processes.iter().map(u32::to_string).collect()
}

/// The shares that explain the percentiles, and how fairly the lock went round.
fn contention(bench: &Bench) -> Table {
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64 * 100.0);
    let waited = move |m: &Measurement| share(m.waited, m.granted);
    let given_up = move |m: &Measurement| share(m.given_up, m.granted + m.given_up);
    let least = |m: &Measurement| m.grants_by_client.iter().min().map(|n| *n as f64);
    let most = |m: &Measurement| m.grants_by_client.iter().max().map(|n| *n as f64);
    let row =
        |contender: &Contender, name: &str, decimals, of: &dyn Fn(&Measurement) -> Option<f64>| {
            let cells = bench.processes.iter().map(|processes| {
                Entry::with_decimals(
                    figure(bench.cell(contender, Keys::Same, *processes), of),
                    decimals,
                )
            });
            Row { name: name.into(), cells: cells.collect(), paper: Vec::new() }
        };
    let rows = |contender: &Contender| {
        vec![
            row(contender, "waited %", 1, &waited),
            row(contender, "given up %", 1, &given_up),
            row(contender, "fewest grants", 0, &least),
            row(contender, "most grants", 0, &most),
            row(contender, "longest ms", 0, &|m| m.longest_wait_ms),
        ]
    };
    Table {
        title: "Contention, same key".into(),
        note: Some(
            "Acquires that waited or were refused at first; that were given up; the clients with the \
             fewest and the most grants; the longest acquire."
                .into(),
        ),
        columns_are: PROCESSES,
        columns: processes(bench),
        paper_columns: Vec::new(),
        groups: groups(bench, rows),
    }
}

fn throughput(bench: &Bench) -> Table {
    let rows = |contender: &Contender| {
        let row = |keys: &Keys| {
            let cells = bench.processes.iter().map(|processes| {
                let cell = bench.cell(contender, *keys, *processes);
                Entry::with_decimals(figure(cell, |measurement| Some(measurement.per_s)), 1)
            });
            Row { name: keys.words().into(), cells: cells.collect(), paper: vec![] }
        };
        bench.keys.iter().map(row).collect()
    };
    Table {
        title: "Acquires a second".into(),
        note: None,
        columns_are: PROCESSES,
        columns: processes(bench),
        paper_columns: Vec::new(),
        groups: groups(bench, rows),
    }
}

/// What the servers cost with the most clients; `None` if nothing was sampled.
fn cost(bench: &Bench) -> Option<Table> {
    let most = *bench.processes.iter().max()?;
    let any = bench.cells.iter().flat_map(|cell| &cell.measurements).any(|m| !m.cost.is_empty());
    let rows = |contender: &Contender| {
        let row = |keys: &Keys| {
            let cell = bench.cell(contender, *keys, most);
            Row {
                name: keys.words().into(),
                cells: vec![
                    cost_range(cell, |node| Some(node.cpu_percent_of_one_core), 1.0),
                    cost_range(cell, |node| Some(node.peak_resident_bytes as f64), 1e6),
                    cost_range(cell, |node| per_s(node.written_bytes, node.sampled_s), 1e3),
                    cost_range(cell, |node| per_s(node.received_bytes, node.sampled_s), 1e3),
                    cost_range(cell, |node| per_s(node.sent_bytes, node.sampled_s), 1e3),
                ],
                paper: Vec::new(),
            }
        };
        bench.keys.iter().map(row).collect()
    };
    any.then(|| Table {
        title: format!("Cost of a server node, {most} processes"),
        note: Some(
            "The cheapest and the dearest node, by the median of the repeats. Processor in percent of \
             one core; memory in MB; disk and network in kB a second."
                .into(),
        ),
        columns_are: "",
        columns: ["CPU %", "MB", "disk kB/s", "in kB/s", "out kB/s"].map(str::to_owned).to_vec(),
        paper_columns: Vec::new(),
        groups: groups(bench, rows),
    })
}

fn per_s(bytes: u64, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| bytes as f64 / seconds)
}

/// From the cheapest node to the dearest.
fn cost_range(
    cell: Option<&Cell>,
    of: fn(&locktest_analyzer::NodeCost) -> Option<f64>,
    unit: f64,
) -> Entry {
    let of_node = |least: bool| {
        figure(cell, |measurement| {
            let values = measurement.cost.iter().filter_map(of);
            values.reduce(if least { f64::min } else { f64::max })
        })
    };
    match (of_node(true), of_node(false)) {
        (Some(Figure { median: least, .. }), Some(Figure { median: most, .. })) => {
            Entry::Text(format!("{:.0}-{:.0}", least / unit, most / unit))
        }
        _ => Entry::None,
    }
}

/// What stands out, a sentence each: how far the two definitions lie apart, and what went wrong.
pub(super) fn remarks(bench: &Bench) -> Vec<String> {
    let mut remarks: Vec<String> = Vec::new();
    for contender in &bench.contenders {
        if let Some(why) = &contender.unobtainable {
            remarks.push(format!("{} could not be had: {why}", contender.name));
        }
    }
    let most = bench.processes.iter().max().copied().unwrap_or_default();
    if bench.keys.contains(&Keys::Same) && most > 1 {
        let ratio = |contender: &Contender| {
            let cell = bench.cell(contender, Keys::Same, most);
            let quiet = |of: Definition| figure(cell, |m| of(m)?.quiet.avg_ms);
            let (with, alone) = (quiet(wait_included)?.median, quiet(attempt_alone)?.median);
            (alone > 0.0).then(|| format!("{} {:.1} times", contender.name, with / alone))
        };
        let ratios: Vec<String> = bench.contenders.iter().filter_map(ratio).collect();
        if !ratios.is_empty() {
            remarks.push(format!(
                "under contention the definition decides: with the wait included, an acquire of the \
                 same key by {most} clients takes, against the attempt alone, {}. The paper's \
                 figures are of the size of the attempt alone",
                ratios.join(", ")
            ));
        }
    }
    for cell in &bench.cells {
        let Cell { contender, keys, processes, .. } = cell;
        let clients = count(u64::from(*processes), "client");
        let place = format!("{contender}, {}, {clients}", keys.words());
        for measurement in &cell.measurements {
            if !measurement.violations.is_empty() {
                let found = measurement.violations.iter();
                let found: Vec<String> =
                    found.map(|(class, count)| format!("{class} x{count}")).collect();
                remarks.push(format!("{place}: {} ({})", found.join(", "), measurement.run_dir));
            }
            if let Some(load) = measurement.load
                && load.begun_per_s < load.intended_per_s * 0.95
            {
                remarks.push(format!(
                    "{place}: {:.0} acquires a second were to begin and {:.0} did",
                    load.intended_per_s, load.begun_per_s
                ));
            }
        }
        remarks.extend(cell.problems.iter().map(|problem| format!("{place}: {problem}")));
    }
    if bench.interrupted {
        remarks.push("the bench was cut short: cells are missing".into());
    }
    remarks
}
