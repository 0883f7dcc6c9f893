//! How long the deciders take for a history of a lock, and how much memory, input included.
//!
//! Each row is measured in a process of its own, this program started again, so that its peak
//! memory is its own.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod service;

use std::hint::black_box;
use std::process::Command;

use locktest_checker::decide::decide;
use locktest_checker::{
    Action, Decision, Operation, Outcome, Process, Specification, Values, verify,
};

/// Odd, so that the median is a run's own.
const RUNS: usize = 7;
/// A run decides the history as often as it takes to have so many.
const OPERATIONS_PER_RUN: usize = 4_000_000;

/// One line of the table.
struct Row {
    specification: Specification,
    operations: usize,
    clients: u32,
    kind: Kind,
    /// What it may take, if a bound is promised.
    bound: Option<Bound>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The history is good.
    Good,
    /// The same, with a certificate, which is verified.
    Certified,
    /// One who does not have the lock releases it in the end.
    Bad,
}

struct Bound {
    ms: f64,
    peak_mb: f64,
}

fn rows() -> Vec<Row> {
    let row = |specification, operations, clients| Row {
        specification,
        operations,
        clients,
        kind: Kind::Good,
        bound: None,
    };
    let mut rows = Vec::new();
    for operations in [10_000, 100_000, 1_000_000, 10_000_000] {
        rows.push(row(Specification::OwnerMutex, operations, 20));
    }
    for clients in [5, 50, 500] {
        let bound = Some(Bound { ms: 60.0, peak_mb: 80.0 });
        rows.push(Row { bound, ..row(Specification::OwnerMutex, 1_000_000, clients) });
    }
    for clients in [5, 50, 500] {
        let bound = Some(Bound { ms: 250.0, peak_mb: f64::INFINITY });
        let row = row(Specification::OwnerMutex, 1_000_000, clients);
        rows.push(Row { bound, kind: Kind::Certified, ..row });
    }
    rows.push(Row { kind: Kind::Bad, ..row(Specification::OwnerMutex, 1_000_000, 50) });
    for specification in [
        Specification::Mutex,
        Specification::ReentrantMutex { depth: 2 },
        Specification::FencedMutex,
        Specification::Semaphore { permits: 3 },
        Specification::ReadWriteLock,
        Specification::LeaseMutex { lease_ns: service::LEASE_NS },
        Specification::FencedResource,
    ] {
        for operations in [100_000, 1_000_000] {
            rows.push(row(specification, operations, 50));
        }
    }
    rows
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, number, ..] = &arguments[..]
        && flag == "--row"
    {
        let row = number.parse::<usize>().ok().and_then(|number| rows().into_iter().nth(number));
        measure(&row.expect("this program names its own rows"));
        return;
    }
    // Without it this is a test run, which wants no figures.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    println!(
        "one core, CPU time, the median of {RUNS} runs each; 10 % info, half try-locks where denials have \
         a fast rule\n"
    );
    println!(
        "{:<18}{:>11}{:>9}{:>9}{:>10}   {:<18}{:>7}{:>9}   within",
        "", "operations", "clients", "denied", "ms", "min..max", "ns/op", "peak MB"
    );
    let program = std::env::current_exe().expect("this program is a file");
    for number in 0..rows().len() {
        let status = Command::new(&program).args(["--row", &number.to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "row {number} failed");
    }
}

fn measure(row: &Row) {
    let mut operations = service::history(row.specification, row.operations, row.clients);
    if row.kind == Kind::Bad {
        let releases = operations.iter_mut().rev().filter(|operation| {
            operation.action == Action::Release && operation.outcome == Outcome::Ok
        });
        releases.take(1).for_each(|release| release.process = Process::MAX);
    }
    // The clock of the CPU time may tick as slowly as every 4 ms.
    let repeats = (OPERATIONS_PER_RUN / row.operations).max(1);
    let mut times_ms: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begin_ms = cpu_ms();
            for _ in 0..repeats {
                run(row, black_box(&operations));
            }
            (cpu_ms() - begin_ms) / repeats as f64
        })
        .collect();
    times_ms.sort_unstable_by(f64::total_cmp);
    let (median, peak_mb) = (times_ms[RUNS / 2], peak_mb());
    let name = row.specification.to_string();
    let name = match row.kind {
        Kind::Good => name,
        Kind::Certified => format!("{name} +cert"),
        Kind::Bad => format!("{name} bad"),
    };
    let denied = operations
        .iter()
        .filter(|operation| operation.outcome == Outcome::Fail && operation.action.refusal_tells());
    let denied_percent = denied.count() * 100 / operations.len();
    let spread = format!("{:.2}..{:.2}", times_ms[0], times_ms[RUNS - 1]);
    let ns_per_operation = median * 1e6 / row.operations as f64;
    let within = row.bound.as_ref().map_or(String::new(), |bound| {
        let kept = median <= bound.ms && peak_mb <= bound.peak_mb;
        let memory = if bound.peak_mb.is_finite() {
            format!(", {:.0} MB", bound.peak_mb)
        } else {
            String::new()
        };
        format!("{:.0} ms{memory}: {}", bound.ms, if kept { "yes" } else { "NO" })
    });
    println!(
        "{name:<18}{:>11}{:>9}{denied_percent:>8}%{median:>10.2}   {spread:<18}{ns_per_operation:>7.1}{peak_mb:>9.1}   \
         {within}",
        row.operations, row.clients
    );
}

fn run(row: &Row, operations: &[Operation]) {
    let decision = decide(row.specification, operations, row.kind == Kind::Certified);
    match (row.kind, decision) {
        (Kind::Good, Some(Ok(Decision::Linearizable(_))))
        | (Kind::Bad, Some(Ok(Decision::NotLinearizable(_)))) => {}
        (Kind::Certified, Some(Ok(Decision::Linearizable(Some(certificate))))) => {
            let verified = verify(row.specification, operations, &Values::default(), &certificate);
            assert_eq!(verified, Ok(()));
        }
        (_, decision) => panic!("not as the history was made: {decision:?}"),
    }
}

/// How long this process has run on a core. There is one thread and no waiting, so this is the time
/// that it takes on a machine that has nothing else to do.
fn cpu_ms() -> f64 {
    let statistics = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let on_core_ns = statistics.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
    on_core_ns.map_or(f64::NAN, |ns| ns / 1e6)
}

/// The most memory that this process has had, in megabytes.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kb.map_or(f64::NAN, |kb| kb * 1024.0 / 1e6)
}
