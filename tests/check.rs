//! `check` and `export`: histories in, answers and exit codes out.

#[path = "../crates/checker/tests/fixtures/as_log.rs"]
mod as_log;
mod support;

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;
use support::{Bench, Ran};

const TWO_HOLDERS: &str = "1 invoke acquire\n1 ok acquire\n2 invoke acquire\n2 ok acquire\n";

/// Checks a file of this content.
fn check(content: &str, flags: &str) -> Ran {
    let bench = Bench::new();
    std::fs::write(bench.path().join("history"), content).expect("a file");
    bench.run(&format!("check history {flags}"))
}

#[test]
fn recorded_register_histories_have_their_known_verdicts_and_verified_proofs() {
    let histories = as_log::logs();
    assert_eq!(histories.len(), 10);
    for (name, log) in histories {
        let linearizable = !name.ends_with("not-linearizable");
        let report = check(&log, "--verify --json").expect_code(i32::from(!linearizable)).json();
        assert_eq!(report["format"], "jepsen-log", "{name}");
        assert_eq!(report["model"], "cas-register", "{name}");
        assert_eq!(report["outcome"], if linearizable { "held" } else { "violated" }, "{name}");
        assert_eq!(report["verified"], i32::from(linearizable), "{name}");
    }
}

#[test]
fn two_holders_are_told_by_their_lines() {
    let ran = check(TWO_HOLDERS, "").expect_code(1);
    assert!(ran.stdout.starts_with(" NOT LINEARIZABLE  owner-mutex"), "{}", ran.stdout);
    assert!(ran.stdout.contains("first contradiction at line 4"), "{}", ran.stdout);
    // A semaphore has room for both.
    check(TWO_HOLDERS, "--model semaphore:2").expect_code(0);
    check(TWO_HOLDERS, "--model semaphore:1").expect_code(1);
}

/// Checks what comes through a pipe.
fn check_piped(line: &str, content: &str) -> Ran {
    let mut child = Bench::new()
        .locktest(line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("locktest starts");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(content.as_bytes()).expect("it reads");
    drop(input);
    Ran::of(child.wait_with_output().expect("it ends"))
}

#[test]
fn a_history_from_a_pipe_is_read_from_its_first_line() {
    // Longer than what is looked at to see the format.
    let more: String = (0..9000).map(|n| format!("{} invoke acquire\n", 10 + n)).collect();
    let history = format!("{TWO_HOLDERS}{more}");
    for line in
        ["check -", "check /dev/stdin", "check - --format events", "check /dev/stdin --lenient"]
    {
        let ran = check_piped(&format!("{line} --json"), &history).expect_code(1);
        let report = ran.json();
        assert_eq!(report["shown"][0]["violated_at"], 4, "{line}");
        assert_eq!(report["operations"], 9002, "{line}");
    }
}

#[test]
fn a_pipe_that_needs_a_second_look_is_undecided() {
    // A process that goes on after an info.
    let history = "1 invoke acquire\n1 info acquire\n1 invoke release\n1 ok release\n";
    check(history, "").expect_code(0);
    let ran = check_piped("check - --format events", history).expect_code(3);
    assert!(ran.stdout.contains("check it as a file"), "{}", ran.stdout);
}

#[test]
fn what_cannot_be_read_is_named_with_its_line() {
    for (history, place, what) in [
        ("1 invoke acquire\n1 invoke try\n", "line 2", "one operation at a time"),
        ("1 invoke acquire\n1 ok acquire\n1 ok release\n", "line 3", "release"),
        ("1 invoke acquire\n1 ok try\n", "line 2", "try"),
        ("1 invoke lock\n", "line 1", "lock"),
        ("1 begin acquire\n", "line 1", "begin"),
        ("1 invoke acquire\n1 ok acq", "line 2", "cut short"),
        ("", "", "no operation"),
    ] {
        let ran = check(history, "--format events").expect_code(2);
        assert!(
            ran.stderr.contains(place) && ran.stderr.contains(what),
            "{history}: {}",
            ran.stderr
        );
        assert_eq!(ran.stdout, "", "{history}");
    }
    let backwards = r#"{"process":1,"type":"invoke","f":"acquire","time_ns":9}
{"process":1,"type":"ok","f":"acquire","time_ns":8}
"#;
    let ran = check(backwards, "--format jsonl").expect_code(2);
    assert!(ran.stderr.contains("line 2"), "{}", ran.stderr);
}

#[test]
fn a_lenient_check_counts_what_it_left_out() {
    let history = format!("9 ok release\n{TWO_HOLDERS}");
    let report = check(&history, "--format events --lenient --json").expect_code(1).json();
    assert_eq!(report["skipped"], 1);
    assert!(report["first_skipped"][0].as_str().is_some_and(|what| what.contains("line 1")));
}

#[test]
fn a_conflict_after_an_unreadable_line_proves_nothing() {
    let history = format!("what is this\n{TWO_HOLDERS}");
    let report = check(&history, "--format events --lenient --json").expect_code(3).json();
    assert_eq!(report["outcome"], "undecided");
}

#[test]
fn a_search_without_time_is_undecided_and_hides_no_violation_of_another_key() {
    let (_, log) = &as_log::logs()[1];
    let report = check(log, "--budget 0s --json").expect_code(3).json();
    assert_eq!(report["outcome"], "undecided");

    // Two holders of one key, and a denial that only a search could judge in the other.
    let mut lines = Vec::new();
    for (key, process, kind, function) in [
        ("a", 1, "invoke", "acquire"),
        ("a", 1, "ok", "acquire"),
        ("a", 2, "invoke", "acquire"),
        ("a", 2, "ok", "acquire"),
        ("a", 3, "invoke", "acquire"),
        ("a", 3, "ok", "acquire"),
        ("b", 4, "invoke", "try"),
        ("b", 4, "fail", "try"),
        ("b", 5, "invoke", "acquire"),
    ] {
        lines.push(format!(
            r#"{{"process":{process},"type":"{kind}","f":"{function}","key":"{key}"}}"#
        ));
    }
    let history = lines.join("\n") + "\n";
    let report = check(&history, "--model semaphore:2 --budget 0s --json").expect_code(1).json();
    assert_eq!((&report["violated"], &report["undecided"]), (&1.into(), &1.into()));
    assert_eq!(report["shown"][0]["key"], "a");
}

#[test]
fn a_wrong_model_or_format_is_refused_with_the_names_there_are() {
    for (flags, reason) in [
        ("--model mutexes", "owner-mutex"),
        ("--model semaphore", "semaphore:3"),
        ("--model lease-mutex:2s", "needs times"),
        ("--model cas-register", "cas-register"),
        ("--format yaml", "jepsen-edn"),
    ] {
        let ran = check(TWO_HOLDERS, flags).expect_code(2);
        assert!(ran.stderr.contains(reason), "{flags}: {}", ran.stderr);
    }
    let ran = check("time,process\n", "").expect_code(2);
    assert!(ran.stderr.contains("--format"), "{}", ran.stderr);
    Bench::new().run("check nowhere").expect_code(2);
}

#[test]
fn a_run_can_be_exported_and_checked_again_in_every_form() {
    let bench = Bench::new();
    let line = "--backend sim --sim-bug double-grant --lease-ttl 500ms --time-limit 3s --seed 1";
    bench.run(&format!("{line} --json")).expect_code(1);
    let verdict = bench.read_json("verdict.json");

    let full = bench.run("check store/latest --verify --json").expect_code(1);
    assert_eq!(full.json(), verdict);
    assert!(full.stderr.contains("the promises overlap"), "{}", full.stderr);
    let by_model = bench.run("check store/latest --model owner-mutex --json").expect_code(1).json();
    assert_eq!(
        (&by_model["outcome"], &by_model["stamps"]),
        (&"violated".into(), &"nanosecond".into())
    );

    let lines = bench.run("export store/latest").expect_code(0).stdout;
    std::fs::write(bench.path().join("run.jsonl"), lines).expect("a file");
    assert_eq!(bench.run("check run.jsonl --json").expect_code(1).json(), verdict);
    assert_eq!(bench.run("check store/latest/history --json").expect_code(1).json(), verdict);

    let maps = bench.run("export store/latest --format jepsen-edn").expect_code(0).stdout;
    std::fs::write(bench.path().join("run.edn"), maps).expect("a file");
    let report = bench.run("check run.edn --model owner-mutex --json").expect_code(1).json();
    assert_eq!(report["format"], "jepsen-edn");
    assert_eq!(report["violated"], Value::from(1));
}

#[test]
fn the_promises_of_a_correct_run_are_proven() {
    let bench = Bench::new();
    let line = "--backend sim --lease-ttl 3s --hold 5ms --time-limit 2s --seed 1";
    bench.run(line).expect_code(0);
    let ran = bench.run("check store/latest --verify").expect_code(0);
    assert!(ran.stderr.contains("follow each other"), "{}", ran.stderr);
    let report = bench.run("check store/latest --model owner-mutex --verify --json").expect_code(0);
    assert_eq!(report.json()["verified"], 1);
}
