//! The catalogue against real clusters: its cheapest entries are found, and their twins pass.

mod support;

use std::time::Duration;

use support::{Bench, lab_traces};

/// From the start of a run to its faults, on a slow machine.
const FIRST_RUN: Duration = Duration::from_secs(120);

#[test]
fn cheap_entries_are_found_their_twins_pass_and_no_lab_is_left() {
    let bench = Bench::with_lab();
    let before = lab_traces();
    let line = "catalog run register-stale redlock-pause etcd-10811 --record record.md --json";
    let results = bench.run(line).expect_code(0).json();
    let results = results.as_array().expect("a list");
    assert_eq!(results.len(), 3);
    for entry in results {
        for run in entry["variants"].as_array().expect("a list") {
            assert_eq!(run["result"]["outcome"], "found", "{entry:#}");
            assert!(run["result"]["after_s"].as_f64() > Some(0.0), "{entry:#}");
        }
        assert_eq!(entry["twin"]["result"]["outcome"], "passes", "{entry:#}");
    }
    let record = std::fs::read_to_string(bench.path().join("record.md")).expect("a record");
    assert!(record.contains("| redlock-pause | lease-overrun | client-pause |"), "{record}");
    assert_eq!(lab_traces(), before);
}

#[test]
fn an_interrupted_catalog_tells_what_it_has_and_leaves_no_lab() {
    let bench = Bench::with_lab();
    let before = lab_traces();
    let mut running = bench.start("-v catalog run redlock-clock --record record.md");
    running.wait_for("fault 1", FIRST_RUN);
    running.signal("-INT");
    assert_eq!(running.wait(Duration::from_secs(60)), Some(130), "{}", running.stderr());
    assert!(bench.path().join("record.md").exists());
    assert_eq!(lab_traces(), before);
}
