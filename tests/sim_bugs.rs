//! The canary: every bug of the sim is found, by its right name, and a correct sim is never accused.
//!
//! By default a few seeds run; `LOCKTEST_MATRIX=all` runs those of `make soak`.

#![expect(clippy::print_stdout, reason = "the progress of long tests")]

mod support;

use serde_json::Value;
use support::Bench;

/// Each bug with the class that it has to be found as.
const BUGS: [(&str, &str); 5] = [
    ("double-grant", "double-grant"),
    ("early-expiry", "early-expiry"),
    ("stale-token", "token-not-monotone"),
    ("lost-release", "deadlock"),
    ("stall", "unavailable"),
];

fn everything() -> bool {
    std::env::var("LOCKTEST_MATRIX").is_ok_and(|which| which == "all")
}

/// What is wrong with the verdict on a run of a buggy sim, if anything.
fn shortcoming(bug: &str, class: &str, seed: u64) -> Option<String> {
    let bench = Bench::new();
    let line = format!(
        "--backend sim --sim-bug {bug} --time-limit 15s --stop-on-violation --seed {seed} --json"
    );
    let ran = bench.run(&line);
    if ran.code != Some(1) {
        return Some(format!("{line}: exit {:?}\n{}", ran.code, ran.stderr));
    }
    let verdict = ran.json();
    let found = verdict["violation_counts"].as_object().expect("an object");
    // A bug may have consequences, such as updates that are lost; they must not hide it.
    (!found.contains_key(class)).then(|| format!("{line}: found {found:?}"))
}

#[test]
fn every_bug_of_the_sim_is_found_under_its_right_name() {
    let seeds = if everything() { 1..=20 } else { 1..=2 };
    let mut problems = Vec::new();
    for seed in seeds {
        // At once, since they mostly wait.
        let runs =
            BUGS.map(|(bug, class)| std::thread::spawn(move || shortcoming(bug, class, seed)));
        for run in runs {
            problems.extend(run.join().expect("a run ends"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_correct_sim_is_never_accused() {
    // Every workload, since each has rules of its own; three at once, since they mostly wait. The lease
    // outlives what a busy machine does to a client: one that is held up longer acts beyond its lease,
    // and rightly is found to.
    let workloads =
        ["mutex", "different-keys", "try", "crash", "cancel", "critical-section", "register"];
    for some in workloads.chunks(3) {
        let runs = some.iter().map(|&workload| std::thread::spawn(move || holds(workload)));
        for run in runs.collect::<Vec<_>>() {
            run.join().expect("a run that holds");
        }
    }
}

fn holds(workload: &str) {
    let bench = Bench::new();
    let line = format!(
        "--backend sim --workload {workload} --lease-ttl 3s --hold 5ms --time-limit 6s --seed 3 --json"
    );
    let verdict = bench.run(&line).expect_code(0).json();
    assert_eq!(verdict["outcome"], "held", "{workload}: {}", verdict["summary"]);
    assert_eq!(verdict["violations"], Value::Array(vec![]), "{workload}");
}

#[test]
fn a_correct_sim_is_never_accused_in_a_million_operations() {
    if !everything() {
        return;
    }
    let bench = Bench::new();
    let line = "--backend sim --clients 16 --keys 4 --hold 0s --time-limit 120s --seed 1 --json";
    let verdict = bench.run(line).expect_code(0).json();
    assert_eq!(verdict["outcome"], "held", "{}", verdict["summary"]);
    let history = bench.latest().join("history");
    println!(
        "{} of history, {}",
        std::fs::metadata(history).expect("a history").len(),
        verdict["counts"]
    );
}
