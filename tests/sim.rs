//! Whole runs against the sim, which needs neither root nor packages: the canary of the tester.

mod support;

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::{Bench, Ran};

fn classes(verdict: &Value) -> Vec<&str> {
    let violations = verdict["violations"].as_array().expect("a list");
    violations.iter().filter_map(|violation| violation["class"].as_str()).collect()
}

#[test]
fn a_correct_sim_holds_and_its_files_are_complete() {
    let bench = Bench::new();
    let verdict = bench
        .run("--backend sim --lease-ttl 500ms --hold 5ms --time-limit 4s --seed 1 --format json")
        .expect_code(0)
        .json();
    assert_eq!(verdict["outcome"], "held");
    assert_eq!(verdict["properties"]["safety"]["outcome"], "held");
    assert_eq!(verdict["properties"]["fencing"]["outcome"], "held");
    assert!(verdict["counts"]["contended"].as_u64() > Some(10), "{}", verdict["counts"]);
    assert_eq!(verdict["violations"], Value::Array(vec![]));
    assert_eq!(bench.read_json("verdict.json"), verdict);
    assert_eq!(bench.read_json("plan.json")["seed"], 1);
    let read = |name: &str| std::fs::read_to_string(bench.latest().join(name)).expect(name);
    assert!(read("report.html").contains("<svg"));
    assert!(read("junit.xml").contains(r#"<testcase name="safety" classname="sim.none""#));
    assert!(read("summary.md").starts_with("## locktest: no violation found"));
}

#[test]
fn the_verdict_of_a_run_conforms_to_the_published_schema() {
    let schema = include_str!("../docs/verdict.schema.json");
    let schema: Value = serde_json::from_str(schema).expect("valid JSON");
    let bench = Bench::new();
    let line = "--backend sim --sim-bug double-grant --lease-ttl 500ms --time-limit 3s --seed 1 -q";
    bench.run(line).expect_code(1);
    let verdict = bench.read_json("verdict.json");
    jsonschema::validate(&schema, &verdict).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn metrics_are_written_where_they_are_wanted_and_are_no_part_of_the_plan() {
    let bench = Bench::new();
    let line = "--backend sim --sim-bug double-grant --lease-ttl 500ms --time-limit 3s --seed 1 -q";
    bench.run(&format!("{line} --prometheus run.prom")).expect_code(1);
    let read = |name: &str| std::fs::read_to_string(bench.path().join(name)).expect(name);
    let metrics = read("run.prom");
    assert!(metrics.contains("locktest_run_outcome{outcome=\"violated\"} 1\n"), "{metrics}");
    let command = bench.read_json("verdict.json")["command"].to_string();
    assert!(!command.contains("prometheus"), "{command}");

    bench.run("check store/latest --prometheus check.prom -q").expect_code(1);
    assert_eq!(read("check.prom"), metrics);
    let files = std::fs::read_dir(bench.path()).expect("a folder").flatten();
    let files = files.filter(|file| file.file_name().to_string_lossy().contains(".prom"));
    assert_eq!(files.count(), 2, "nothing half-written is left");

    // A violation outranks a file that cannot be written.
    bench.run("check store/latest --prometheus missing/check.prom -q").expect_code(1);
    bench.run("--backend sim --time-limit 1s --seed 1 -q").expect_code(0);
    let ran = bench.run("check store/latest --prometheus missing/check.prom").expect_code(5);
    assert!(ran.stderr.contains("cannot write missing/check.prom"), "{}", ran.stderr);
    bench.run("check store/latest --model mutex --prometheus x.prom").expect_code(2);
}

#[test]
fn a_sim_that_grants_twice_is_found_out() {
    let bench = Bench::new();
    let line =
        "--backend sim --sim-bug double-grant --lease-ttl 500ms --time-limit 5s --seed 1 --json";
    let ran = bench.run(line).expect_code(1);
    assert!(ran.stderr.contains("violation: double-grant on lock-0 at"), "{}", ran.stderr);
    let verdict = ran.json();
    assert_eq!(verdict["outcome"], "violated");
    assert_eq!(verdict["properties"]["safety"]["outcome"], "violated");
    assert!(!was_stopped(&verdict), "{}", verdict["not_tested"]);
    assert!(classes(&verdict).contains(&"double-grant"), "{:?}", classes(&verdict));

    let again = bench.run("check store/latest --json").expect_code(1).json();
    assert_eq!(again, verdict, "a check repeats the verdict and its exit code");
}

/// Whether the verdict says that the run was stopped by its first violation.
fn was_stopped(verdict: &Value) -> bool {
    verdict["not_tested"].to_string().contains("it was to stop at its first violation")
}

/// A run that stops long before its time, in order: every client has ended by itself.
#[track_caller]
fn stopped_run(bench: &Bench, flags: &str) -> Value {
    let line =
        format!("--backend sim --stop-on-violation --time-limit 10m --seed 1 --json {flags}");
    let ran = bench.run(&line).expect_code(1);
    assert!(ran.stderr.contains("; stopping"), "{}", ran.stderr);
    let verdict = ran.json();
    assert!(was_stopped(&verdict), "{}", verdict["not_tested"]);
    assert!(verdict["command"].as_str().is_some_and(|line| line.contains("--stop-on-violation")));
    assert_eq!(verdict["warnings"].to_string().matches("interrupted").count(), 0);
    let records = bench.run("export store/latest").expect_code(0).stdout;
    let records: Vec<Value> =
        records.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let exits = records.iter().filter_map(|record| record["body"].get("client-exit"));
    let causes: Vec<&Value> = exits.map(|exit| &exit["cause"]).collect();
    assert_eq!(causes, ["finished"; 5], "no client is left behind");
    verdict
}

#[test]
fn a_run_that_is_to_stop_at_its_first_violation_stops_at_a_double_grant() {
    let bench = Bench::new();
    let verdict = stopped_run(&bench, "--sim-bug double-grant --lease-ttl 500ms");
    let first = &verdict["violations"][0];
    assert_eq!(first["class"], "double-grant", "{first:#}");
    let again = bench.run("check store/latest --json").expect_code(1).json();
    assert_eq!(again, verdict);
}

#[test]
fn a_run_stops_at_a_violation_that_only_the_whole_analysis_can_find() {
    let bench = Bench::new();
    let flags = "--overrun --fail-on lease-overrun --lease-ttl 200ms --hold 5ms";
    let verdict = stopped_run(&bench, flags);
    assert!(classes(&verdict).contains(&"lease-overrun"), "{:?}", classes(&verdict));
}

#[test]
fn holders_that_outlive_their_lease_are_the_holders_fault() {
    let bench = Bench::new();
    let line = "--backend sim --overrun --lease-ttl 200ms --hold 5ms --time-limit 6s --seed 1 \
                --stop-on-violation --json";
    let verdict = bench.run(line).expect_code(0).json();
    assert!(!was_stopped(&verdict), "what needs fencing is no violation");
    assert_eq!(verdict["properties"]["safety"]["outcome"], "needs_fencing");
    assert_eq!(verdict["properties"]["fencing"]["outcome"], "held");
    let classes = classes(&verdict);
    assert!(classes.contains(&"lease-overrun"), "{classes:?}");
    assert!(classes.iter().all(|class| ["lease-overrun", "lost-update"].contains(class)));
    let fenced = verdict["violations"].as_array().expect("a list").iter();
    assert_eq!(fenced.filter(|violation| violation["resource"] == "fenced").count(), 0);

    bench.run("check store/latest --fail-on lease-overrun").expect_code(1);
    let human = bench.run("check store/latest").expect_code(0).stdout;
    assert!(human.lines().next().is_some_and(|line| line.contains("NEEDS FENCING")), "{human}");
}

#[test]
fn a_careful_holder_does_not_write_after_its_deadline() {
    let bench = Bench::new();
    let line = "--backend sim --overrun --holder careful --lease-ttl 200ms --hold 5ms \
                --time-limit 6s --seed 1 --json";
    let verdict = bench.run(line).expect_code(0).json();
    assert!(!classes(&verdict).contains(&"lost-update"), "{:?}", classes(&verdict));
    assert_eq!(verdict["counts"]["fenced_rejections"], 0);
}

#[test]
fn two_runs_with_one_seed_have_the_same_plan() {
    let bench = Bench::new();
    let mut plans = Vec::new();
    for _ in 0..2 {
        bench.run("--backend sim --time-limit 1s --seed 5 -q").expect_code(0);
        plans.push(bench.read_json("plan.json"));
    }
    assert_eq!(plans[0], plans[1]);
    assert_eq!(std::fs::read_dir(bench.path().join("store")).expect("a store").count(), 3);
}

#[test]
fn every_exported_line_is_json_and_every_completion_has_its_invoke() {
    let bench = Bench::new();
    bench.run("--backend sim --lease-ttl 200ms --time-limit 2s --seed 1 -q").expect_code(0);
    let text = bench.run("export store/latest").expect_code(0).stdout;
    let mut open = std::collections::HashSet::new();
    let mut completions = 0;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("a JSON line");
        if line["record"] != "event" || line["function"] == "lost" {
            continue;
        }
        let id = (line["client"].to_string(), line["op"].to_string());
        if line["phase"] == "invoke" {
            assert!(open.insert(id), "an operation is invoked once");
        } else {
            assert!(open.remove(&id), "no invoke before {line}");
            completions += 1;
        }
    }
    assert!(completions > 20, "{completions}");
}

#[test]
fn a_run_directory_survives_damage_as_far_as_it_can_be_read() {
    let bench = Bench::new();
    bench
        .run("--backend sim --lease-ttl 200ms --hold 5ms --time-limit 2s --seed 1 -q")
        .expect_code(0);
    let path = bench.latest().join("history");
    let whole = std::fs::read(&path).expect("a history");

    std::fs::write(&path, &whole[..whole.len() * 2 / 3]).expect("write");
    let ran = bench.run("check store/latest --json");
    assert!(matches!(ran.code, Some(0 | 3)), "{}", ran.stderr);
    let warnings = ran.json()["warnings"].to_string();
    assert!(warnings.contains("interrupted") || warnings.contains("damaged"), "{warnings}");

    let mut flipped = whole.clone();
    let middle = whole.len() / 2;
    flipped[middle] ^= 0xff;
    std::fs::write(&path, &flipped).expect("write");
    let ran = bench.run("check store/latest");
    assert!(matches!(ran.code, Some(0 | 3)), "{}", ran.stderr);
    assert!(ran.stderr.contains("lost"), "the damage is named: {}", ran.stderr);

    let mut newer = whole.clone();
    newer[8] = 200;
    std::fs::write(&path, &newer).expect("write");
    let ran = bench.run("check store/latest").expect_code(2);
    assert!(ran.stderr.contains("version 200"), "{}", ran.stderr);

    std::fs::write(&path, b"").expect("write");
    bench.run("check store/latest").expect_code(2);
    std::fs::remove_file(&path).expect("remove");
    let ran = bench.run("check store/latest").expect_code(2);
    assert!(ran.stderr.contains("not a run directory"), "{}", ran.stderr);
    bench.run("check nowhere").expect_code(2);
}

#[test]
fn an_interrupted_run_ends_in_order_and_is_judged() {
    let bench = Bench::new();
    for signal in ["-INT", "-TERM"] {
        let mut run = bench.start("--backend sim --time-limit 60s --seed 1");
        run.wait_for("answered a write", Duration::from_secs(10));
        run.signal(signal);
        assert_eq!(run.wait(Duration::from_secs(15)), Some(130), "{signal}");
        let verdict = bench.read_json("verdict.json");
        assert!(verdict["warnings"].to_string().contains("interrupted"), "{}", verdict["warnings"]);
    }
}

#[test]
fn a_full_disk_ends_the_run_and_hides_no_violation() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path().join("store")).expect("a folder");
    // A mount namespace of its own, in which the store is too small.
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", "mount -t tmpfs -o size=48k none store && exec \"$@\"", "sh"]);
    command.arg(env!("CARGO_BIN_EXE_locktest")).current_dir(bench.path());
    let line = "--backend sim --sim-bug double-grant --lease-ttl 100ms --hold 1ms --time-limit 60s \
                --seed 1 --json";
    command.args(line.split_whitespace());
    let ran = Ran::of(command.output().expect("unshare runs")).expect_code(1);
    assert!(classes(&ran.json()).contains(&"double-grant"));
    assert!(ran.stderr.contains("No space left on device"), "{}", ran.stderr);
}

#[test]
fn a_killed_control_node_leaves_a_run_directory_that_can_be_checked() {
    let bench = Bench::new();
    let mut run =
        bench.start("--backend sim --lease-ttl 200ms --hold 5ms --time-limit 60s --seed 1");
    run.wait_for("answered a write", Duration::from_secs(10));
    let history = bench.latest().join("history");
    support::wait_until("a history", Duration::from_secs(20), || {
        std::fs::metadata(&history).is_ok_and(|file| file.len() > 20_000)
    });
    run.signal("-KILL");
    run.wait(Duration::from_secs(5));
    let verdict = bench.run("check store/latest --json").expect_code(0).json();
    assert!(verdict["counts"]["acquires_ok"].as_u64() > Some(10), "{}", verdict["counts"]);
    assert!(verdict["warnings"].to_string().contains("interrupted"));
}
