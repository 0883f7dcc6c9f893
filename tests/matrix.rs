//! Every store, recipe and workload that go together, and every server version, in short runs
//! without a fault. They need root, and the packages of the Makefile.
//!
//! By default a part of them runs; `LOCKTEST_MATRIX=all` runs the whole, as `make soak` does.

#![expect(clippy::print_stdout, reason = "the progress of long tests")]

mod support;

use std::time::Instant;

use serde_json::Value;
use support::{Bench, lab_traces};

/// A run counts only with so many acquires, and so many of them contended.
const LEAST_ACQUIRES: u64 = 20;
const LEAST_CONTENDED: u64 = 5;

/// Every recipe of every store.
const RECIPES: [(&str, &str); 8] = [
    ("etcd", "lock-rpc"),
    ("etcd", "cas-ttl"),
    ("etcd", "election-key"),
    ("consul", "session"),
    ("zookeeper", "ephemeral-sequential"),
    ("redis", "redlock"),
    ("redis", "single"),
    ("redis", "sentinel"),
];

const WORKLOADS: [&str; 7] =
    ["mutex", "different-keys", "try", "crash", "cancel", "critical-section", "register"];

/// Those that make no sense, with a part of the reason that the command line gives.
const REFUSED: [(&str, &str, &str); 3] = [
    ("lock-rpc", "try", "always waits"),
    ("redlock", "critical-section", "share no value"),
    ("redlock", "register", "share no value"),
];

/// The part that runs by default: every recipe once, and every workload that no other test of a
/// whole run has.
const BY_DEFAULT: [(&str, &str); 8] = [
    ("lock-rpc", "crash"),
    ("cas-ttl", "critical-section"),
    ("election-key", "try"),
    ("session", "crash"),
    ("ephemeral-sequential", "cancel"),
    ("redlock", "crash"),
    ("single", "register"),
    ("sentinel", "different-keys"),
];

/// Every version; those of the second list run by default. The newest run everywhere else.
const VERSIONS: [(&str, &str); 11] = [
    ("etcd", "3.3.25"),
    ("etcd", "3.4.23"),
    ("etcd", "3.5.16"),
    ("consul", "1.8.7"),
    ("zookeeper", "3.4.13"),
    ("zookeeper", "3.8.0"),
    ("zookeeper", "3.9.3"),
    ("redis", "6.0.16"),
    ("redis", "7.0.15"),
    ("redis", "8.0.2"),
    ("redis", "valkey-8.1.1"),
];
const VERSIONS_BY_DEFAULT: [&str; 3] = ["3.3.25", "3.4.13", "valkey-8.1.1"];

fn everything() -> bool {
    std::env::var("LOCKTEST_MATRIX").is_ok_and(|which| which == "all")
}

fn is_refused(recipe: &str, workload: &str) -> bool {
    REFUSED.iter().any(|(r, w, _)| (*r, *w) == (recipe, workload))
}

/// What is wrong with a run that was to hold, if anything.
fn shortcoming(verdict: &Value, workload: &str) -> Option<String> {
    if verdict["outcome"] != "held" {
        return Some(format!("{}: {}", verdict["outcome"], verdict["summary"]));
    }
    let count = |name: &str| verdict["counts"][name].as_u64().unwrap_or(0);
    if workload == "register" {
        let registers = &verdict["counts"]["registers"];
        let ok =
            ["reads_ok", "writes_ok", "cas_ok"].map(|name| registers[name].as_u64().unwrap_or(0));
        let done: u64 = ok.iter().sum();
        return (done < LEAST_ACQUIRES).then(|| format!("only {done} operations"));
    }
    let (granted, contended) = (count("acquires_ok"), count("contended"));
    let contends = workload != "different-keys";
    (granted < LEAST_ACQUIRES || contends && contended < LEAST_CONTENDED)
        .then(|| format!("only {granted} granted, {contended} contended"))
}

/// Runs, prints a line, and tells what is wrong.
fn cell(flags: &str, workload: &str) -> Option<String> {
    let bench = Bench::with_lab();
    let (traces, begin) = (lab_traces(), Instant::now());
    let ran = bench.run(&format!("{flags} --workload {workload} --seed 1 --json"));
    let problem = match ran.code {
        Some(0) => shortcoming(&ran.json(), workload),
        code => Some(format!("exit {code:?}\n{}", ran.stderr)),
    };
    let problem = problem.or_else(|| (lab_traces() != traces).then(|| "it left traces".into()));
    let word = problem.as_deref().unwrap_or("held");
    println!("{flags} {workload}: {word} ({:.1} s)", begin.elapsed().as_secs_f64());
    problem.map(|problem| format!("{flags} {workload}: {problem}"))
}

#[test]
fn every_recipe_holds_under_every_workload_that_makes_sense_without_a_fault() {
    let mut problems = Vec::new();
    for (backend, recipe) in RECIPES {
        for workload in WORKLOADS {
            let chosen = everything() || BY_DEFAULT.contains(&(recipe, workload));
            if is_refused(recipe, workload) || !chosen {
                continue;
            }
            let flags = format!("--backend {backend} --recipe {recipe} --time-limit 15s");
            problems.extend(cell(&flags, workload));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_workload_that_makes_no_sense_with_a_recipe_is_refused_with_the_reason() {
    let bench = Bench::new();
    for (recipe, workload, reason) in REFUSED {
        let (backend, _) = RECIPES.iter().find(|(_, name)| *name == recipe).expect("a recipe");
        let line = format!("--backend {backend} --recipe {recipe} --workload {workload}");
        let ran = bench.run(&line).expect_code(2);
        assert!(ran.stderr.contains(reason), "{line}: {}", ran.stderr);
    }
}

#[test]
fn every_version_runs_the_workload_mutex() {
    let mut problems = Vec::new();
    for (backend, version) in VERSIONS {
        if everything() || VERSIONS_BY_DEFAULT.contains(&version) {
            // Without the long holds, so that five seconds are many acquires.
            let flags =
                format!("--backend {backend} --version {version} --time-limit 5s --hold 0s");
            problems.extend(cell(&flags, "mutex"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
