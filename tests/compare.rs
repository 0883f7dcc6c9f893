//! `locktest compare`: runs and benches of the sim side by side, and the exit code of a regression.

mod support;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use support::Bench;

/// A run or a bench under a name of its own.
fn made_as(bench: &Bench, line: &str, code: i32, name: &str) -> PathBuf {
    bench.run(line).expect_code(code);
    let store = bench.path().join("store");
    let made = match line.starts_with("bench") {
        true => bench.only_dir("store"),
        false => bench.latest().canonicalize().expect("a run"),
    };
    let path = bench.path().join(name);
    fs::rename(made, &path).expect("a new name");
    fs::remove_dir_all(store).expect("the store");
    path
}

fn run_as(bench: &Bench, flags: &str, code: i32, name: &str) -> PathBuf {
    made_as(bench, &format!("--backend sim --lease-ttl 3s --seed 1 -q {flags}"), code, name)
}

fn table<'v>(comparison: &'v Value, title: &str) -> &'v [Value] {
    let tables = comparison["tables"].as_array().expect("tables");
    let table = tables.iter().find(|table| table["title"] == title);
    let table = table.unwrap_or_else(|| panic!("no table {title} in {comparison:#}"));
    table["rows"].as_array().expect("rows")
}

#[test]
fn two_runs_are_compared_by_plan_verdict_violations_and_latency() {
    let bench = Bench::new();
    run_as(&bench, "--hold 5ms --time-limit 2s", 0, "held");
    run_as(&bench, "--hold 40ms --time-limit 5s --sim-bug double-grant", 1, "violated");
    let json = bench.run("compare held violated --json").expect_code(0).json();
    let differences = json["subjects"][1]["differences"].to_string();
    assert!(differences.contains("hold_ms was 5 and is 40"), "{differences}");
    let safety = table(&json, "Verdict").iter().find(|row| row["name"] == "SAFETY");
    let safety = &safety.expect("a row")["cells"];
    assert_eq!((&safety[0]["text"], &safety[1]["text"]), (&"held".into(), &"VIOLATED".into()));
    let found = &table(&json, "Violations")[0];
    assert_eq!(
        (&found["name"], &found["cells"][0]["value"]),
        (&"double-grant".into(), &0.0.into())
    );
    let median = table(&json, "acquire ms").iter().find(|row| row["name"] == "quiet, median");
    let median = &median.expect("a row")["cells"][1];
    assert!(median["ratio"]["to_first"].as_f64() > Some(0.0), "{median:#}");
    assert_eq!(median["ratio"]["interval"], Value::Null);

    let human = bench.run("compare held violated").expect_code(0).stdout;
    assert!(human.contains("VIOLATED") && human.contains("quiet, p99"), "{human}");
    assert!(human.lines().all(|line| line.chars().count() <= 100), "{human}");
    let line = "compare held violated --format markdown --html page.html";
    let markdown = bench.run(line).expect_code(0).stdout;
    assert!(markdown.contains("| SAFETY | held | VIOLATED |"), "{markdown}");
    let page = fs::read_to_string(bench.path().join("page.html")).expect("a page");
    assert!(page.contains("VIOLATED") && !page.contains("<script"), "{page}");
}

#[test]
fn acquires_that_became_slower_than_allowed_exit_with_4_and_are_named() {
    let bench = Bench::new();
    // With five clients nearly all of an acquire is the wait for four holds.
    run_as(&bench, "--steady --hold 1ms --time-limit 2s", 0, "fast");
    run_as(&bench, "--steady --hold 100ms --time-limit 3s", 0, "slow");
    let ran = bench.run("compare fast slow --fail-above 10").expect_code(4);
    assert!(ran.stdout.contains("REGRESSIONS"), "{}", ran.stdout);
    assert!(ran.stdout.contains("acquire median ms, quiet"), "{}", ran.stdout);
    bench.run("compare slow fast --fail-above 10%").expect_code(0);
    bench.run("compare fast fast --fail-above 0").expect_code(0);
    bench.run("compare fast slow").expect_code(0);
    // Later ones are held against the first, not against each other.
    bench.run("compare fast fast slow --fail-above 10").expect_code(4);
}

#[test]
fn a_gate_that_has_nothing_to_look_at_is_not_open() {
    let bench = Bench::new();
    run_as(&bench, "--workload register --time-limit 1s", 0, "register");
    let ran = bench.run("compare register register --fail-above 10").expect_code(2);
    assert!(ran.stderr.contains("register has no acquires"), "{}", ran.stderr);
}

#[test]
fn two_benches_are_compared_cell_by_cell_with_intervals_from_their_repeats() {
    let bench = Bench::new();
    let line =
        "bench --backends sim --processes 1,3 --keys different --time-limit 300ms --seed 7 -q";
    made_as(&bench, &format!("{line} --repeat 3"), 0, "old");
    made_as(&bench, &format!("{line} --repeat 1"), 0, "once");
    let json = bench.run("compare old old --json --fail-above 0").expect_code(0).json();
    let rows = table(&json, "Acquire median ms, quiet");
    assert_eq!(rows.len(), 2);
    for row in rows {
        let ratio = &row["cells"][1]["ratio"];
        assert_eq!(
            (&ratio["to_first"], &ratio["interval"]["excludes_one"]),
            (&1.0.into(), &false.into())
        );
    }
    let ran = bench.run("compare old once").expect_code(0);
    assert!(ran.stdout.contains("B: one repeat: no interval"), "{}", ran.stdout);
    assert!(ran.stdout.contains("repeats was 3 and is 1"), "{}", ran.stdout);
}

#[test]
fn what_cannot_be_compared_is_refused_with_the_reason() {
    let bench = Bench::new();
    let run = run_as(&bench, "--time-limit 1s", 0, "run");
    fs::create_dir(bench.path().join("bench")).expect("a folder");
    fs::write(bench.path().join("bench/bench.json"), r#"{"schema_version": 99}"#).expect("write");
    for (line, reason) in [
        ("compare run", "required"),
        ("compare run nowhere", "nowhere is not a run directory"),
        ("compare run bench", "bench is a bench and run is none"),
        ("compare bench bench", "schema version 99; this locktest reads version 1"),
        ("compare run run --fail-above=-1", "fail-above"),
        ("compare run run --fail-above ten", "percentage"),
    ] {
        let ran = bench.run(line).expect_code(2);
        assert!(ran.stderr.contains(reason), "{line}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{line}");
    }
    let ran = bench.run("compare run run --html nowhere/page.html").expect_code(5);
    assert!(ran.stderr.contains("nowhere/page.html"), "{}", ran.stderr);
    fs::write(run.join("history"), b"").expect("write");
    let ran = bench.run("compare run run").expect_code(2);
    assert!(ran.stderr.contains("run/history"), "{}", ran.stderr);
}
