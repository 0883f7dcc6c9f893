//! Whole runs under each kind of fault, against real clusters in a lab. They need root.
//!
//! By default some stores are tried; `LOCKTEST_MATRIX=all` tries all of them, as `make soak` does.

mod support;

use serde_json::Value;
use support::{Bench, assert_faults_bit_and_were_undone, assert_row, violation_classes};

/// Those whose locks have tokens.
fn stores() -> &'static [&'static str] {
    match std::env::var("LOCKTEST_MATRIX").is_ok_and(|which| which == "all") {
        true => &["etcd", "consul", "zookeeper"],
        false => &["zookeeper"],
    }
}

/// A run that is expected to hold, on its own lab.
#[track_caller]
fn holds(line: &str) -> Value {
    let bench = Bench::with_lab();
    let verdict = bench.run(&format!("{line} --json")).expect_code(0).json();
    assert_row(&verdict, "safety", &["held"]);
    assert_faults_bit_and_were_undone(&verdict);
    verdict
}

/// Runs with one seed after another until one shows the class; a seed whose faults miss what they
/// aim at holds.
#[track_caller]
fn some_seed_shows(class: &str, line: &str) -> Value {
    let bench = Bench::with_lab();
    for seed in 1..=3 {
        let ran = bench.run(&format!("{line} --stop-on-violation --seed {seed} --json"));
        assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.stderr);
        let verdict = ran.json();
        if violation_classes(&verdict).contains(&class) {
            assert_eq!(ran.code, Some(1));
            assert_faults_bit_and_were_undone(&verdict);
            return verdict;
        }
    }
    panic!("no seed of 1, 2, 3 shows {class}: {line}");
}

#[test]
fn redlock_grants_a_lock_twice_when_a_server_forgets_its_vote() {
    let line = "--backend redis --nemesis kill --time-limit 60s";
    let verdict = some_seed_shows("double-grant", line);
    assert_row(&verdict, "safety", &["violated"]);
}

#[test]
fn redlock_grants_a_lock_twice_when_a_clock_jumps() {
    let line = "--backend redis --nemesis clock --nemesis-interval 4s --time-limit 60s";
    let verdict = some_seed_shows("double-grant", line);
    assert_row(&verdict, "safety", &["violated"]);
}

/// Those whose leases go by the monotonic clock.
#[test]
fn stores_that_do_not_look_at_the_wall_clock_hold_when_it_jumps() {
    let stores: &[&str] = match std::env::var("LOCKTEST_MATRIX").is_ok_and(|which| which == "all") {
        true => &["consul", "zookeeper", "etcd"],
        false => &["consul"],
    };
    for backend in stores {
        let verdict = holds(&format!(
            "--backend {backend} --nemesis clock --nemesis-interval 2s --time-limit 16s --seed 1"
        ));
        let spread = verdict["fault_timing"]["median_spread_ms"].as_f64();
        assert!(spread.is_some(), "no fault was of several servers: {verdict:#}");
    }
}

#[test]
fn a_monotonic_clock_that_goes_wrong_is_seen_and_set_right_again() {
    let bench = Bench::with_lab();
    let line = "--backend etcd --nemesis clock-monotonic --nemesis-interval 2s --time-limit 12s \
                --seed 1 --json";
    let ran = bench.run(line);
    assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.stderr);
    assert_faults_bit_and_were_undone(&ran.json());
}

#[test]
fn redlock_holds_when_its_servers_write_each_vote_to_disk() {
    holds(
        "--backend redis --nemesis kill --redis-persistence always --nemesis-interval 3s \
         --time-limit 20s --seed 1",
    );
}

/// A holder that is paused beyond its lease acts when another holds already: no service can prevent
/// it, and the fencing token makes it harmless.
#[track_caller]
fn a_paused_holder_needs_fencing(backend: &str) {
    let bench = Bench::with_lab();
    let line = format!(
        "--backend {backend} --nemesis client-pause --nemesis-interval 2s --time-limit 24s \
         --seed 1 --json"
    );
    let verdict = bench.run(&line).expect_code(0).json();
    assert_row(&verdict, "safety", &["needs_fencing"]);
    assert_row(&verdict, "fencing", &["held"]);
    assert_faults_bit_and_were_undone(&verdict);
    let classes = violation_classes(&verdict);
    assert!(classes.contains(&"lease-overrun"), "{classes:?}");
    assert!(classes.contains(&"lost-update"), "{classes:?}");
    let violations = verdict["violations"].as_array().expect("a list");
    let lost = violations.iter().filter(|violation| violation["class"] == "lost-update");
    for lost in lost {
        assert_eq!(lost["resource"], "unfenced", "{lost:#}");
    }
    let timing = &verdict["fault_timing"];
    assert!(timing["aimed_at_holder"].as_u64() > Some(0), "{timing:#}");
}

#[test]
fn a_holder_that_is_paused_beyond_its_lease_needs_fencing() {
    for backend in stores() {
        a_paused_holder_needs_fencing(backend);
    }
}

/// A run may find a real violation; what it must not do is to end otherwise.
#[track_caller]
fn survives(backend: &str) {
    let bench = Bench::with_lab();
    let line = format!(
        "--backend {backend} --nemesis kill,pause,restart-all --nemesis-interval 2s \
         --time-limit 15s --seed 1 --json"
    );
    let ran = bench.run(&line);
    assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.stderr);
    let verdict = ran.json();
    assert_faults_bit_and_were_undone(&verdict);
    assert!(verdict["faults"].as_array().expect("a list").len() >= 2, "{verdict:#}");
    assert_row(&verdict, "safety", &["held"]);
}

#[test]
fn stores_are_judged_under_kills_and_pauses() {
    for backend in stores() {
        survives(backend);
    }
}

/// What was done to whom, fault by fault, in the order in which it was done.
fn executed(bench: &Bench) -> Vec<Value> {
    let schedule = bench.read_json("schedule.json");
    let faults = schedule.as_array().expect("a list").iter().map(|fixed| {
        let mut fault = fixed["fault"].clone();
        // How long it took to undo is chance.
        fault.as_object_mut().expect("a fault").remove("length_ms");
        fault
    });
    faults.collect()
}

#[test]
fn a_replay_executes_the_same_faults_on_the_same_targets_in_the_same_order() {
    let bench = Bench::with_lab();
    let line = "--backend etcd --nemesis all --nemesis-interval 1s --time-limit 14s --seed 3";
    bench.run(line).expect_code(0);
    let first = executed(&bench);
    assert!(first.len() >= 4, "{first:#?}");
    let original = bench.latest().canonicalize().expect("a run");
    bench.run("replay store/latest").expect_code(0);
    assert_ne!(bench.latest().canonicalize().expect("a run"), original);
    assert_eq!(executed(&bench), first);
}
