//! Whole runs against real clusters in a lab. They need root, and the packages of the Makefile.

mod support;

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::{
    Bench, assert_faults_bit_and_were_undone, assert_row, lab_traces, violation_classes,
};

/// From the start of a run to its first fault, with everything in between on a slow machine.
const FIRST_FAULT: Duration = Duration::from_secs(120);

/// A run may find a real violation; then exit code, outcome and words agree.
#[track_caller]
fn partitioned_run(bench: &Bench, flags: &str) -> Value {
    let before = lab_traces();
    let line = format!("--nemesis partition --nemesis-interval 4s --seed 1 --json {flags}");
    let ran = bench.run(&line);
    let verdict = ran.json();
    let expected = match verdict["outcome"].as_str() {
        Some("held") => 0,
        Some("violated") => 1,
        other => panic!("outcome {other:?}\n{}", ran.stderr),
    };
    assert_eq!(ran.code, Some(expected), "{}", ran.stderr);
    assert_faults_bit_and_were_undone(&verdict);
    assert_eq!(lab_traces(), before, "the run removes its own lab");
    verdict
}

#[test]
fn a_partitioned_consul_is_judged_and_its_lab_is_gone_afterwards() {
    let bench = Bench::with_lab();
    let verdict = partitioned_run(&bench, "--backend consul --time-limit 12s");
    assert!(verdict["counts"]["acquires_ok"].as_u64() > Some(10), "{}", verdict["counts"]);
    assert!(verdict["counts"]["contended"].as_u64() > Some(5), "{}", verdict["counts"]);
    assert_row(&verdict, "safety", &["held", "needs_fencing", "violated"]);
    assert_row(&verdict, "fencing", &["held", "violated"]);
    assert_eq!(verdict["version"], "1.8.7");
    let costs = verdict["cost"].as_array().expect("a list");
    let cpu_s = |cost: &Value| cost["cpu_s"].as_f64();
    assert!(costs.len() == 5 && costs.iter().all(|cost| cpu_s(cost) > Some(0.0)), "{costs:?}");

    let audit = std::fs::read_to_string(bench.latest().join("audit.jsonl")).expect("an audit log");
    let begins = audit.lines().filter(|line| line.contains(r#""event":"begin""#)).count();
    let ends = audit.lines().filter(|line| line.contains(r#""event":"end""#)).count();
    assert!(begins > 20 && begins == ends, "{begins} begins, {ends} ends");
    let page = std::fs::read_to_string(bench.latest().join("report.html")).expect("a page");
    let (_, commands) = page.split_once("details class=\"commands\"").expect("a fault's commands");
    assert!(commands.contains("iptables-restore -w --noflush"), "the exact commands of the cut");
    for log in ["n1.log", "n5.log", "c1.log"] {
        assert!(bench.latest().join("logs").join(log).exists(), "{log}");
    }
    let log = std::fs::read_to_string(bench.latest().join("logs/n1.log")).expect("a log");
    assert!(log.contains("raft"), "the server's own words");
}

#[test]
fn cutting_off_etcds_leader_makes_the_majority_elect_another() {
    let bench = Bench::with_lab();
    let flags = "--backend etcd --partition leader --time-limit 12s";
    let verdict = partitioned_run(&bench, flags);
    let fault = &verdict["faults"][0];
    let minority: Vec<&str> =
        fault["targets"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let changes = verdict["leader_changes"].as_array().expect("a list");
    let elected_outside = changes.iter().any(|change| {
        let leader = change["leader"].as_str().expect("a name");
        change["time_ns"].as_u64() > fault["begin_ns"].as_u64() && !minority.contains(&leader)
    });
    assert!(elected_outside, "{minority:?} were cut off, and then {changes:?}");
    assert_row(&verdict, "fencing", &["held", "violated"]);
}

#[test]
fn holders_that_outlive_an_etcd_lease_need_fencing_and_fencing_saves_them() {
    let bench = Bench::with_lab();
    let line = "--backend etcd --nodes-count 3 --overrun --time-limit 15s --seed 1 --json";
    let verdict = bench.run(line).expect_code(0).json();
    assert_row(&verdict, "safety", &["needs_fencing"]);
    assert_row(&verdict, "fencing", &["held"]);
    let classes = violation_classes(&verdict);
    assert_eq!(classes, ["lease-overrun", "lost-update"]);
    let lost = verdict["violations"].as_array().expect("a list").iter();
    let lost: Vec<&Value> = lost.filter(|violation| violation["class"] == "lost-update").collect();
    assert!(lost.iter().all(|violation| violation["resource"] == "unfenced"), "{lost:#?}");
    assert!(verdict["counts"]["fenced_rejections"].as_u64() > Some(0));
}

#[test]
fn etcd_3_4_grants_a_lock_to_a_waiter_whose_lease_has_expired_and_the_run_stops_there() {
    let bench = Bench::with_lab();
    let before = lab_traces();
    let line = "--backend etcd --version 3.4.23 --nodes-count 3 --renew-while-waiting false \
                --hold 3s --stop-on-violation --time-limit 10m --seed 1 --json";
    let ran = bench.run(line).expect_code(1);
    assert!(ran.stderr.contains("violation: stale-grant on lock-0"), "{}", ran.stderr);
    let verdict = ran.json();
    assert_eq!(verdict["version"], "3.4.23");
    assert_row(&verdict, "safety", &["violated"]);
    assert!(violation_classes(&verdict).contains(&"stale-grant"), "{verdict:#}");
    assert_eq!(verdict["faults"], Value::Array(vec![]));
    assert!(verdict["not_tested"].to_string().contains("to stop at its first violation"));
    assert_eq!(lab_traces(), before);
}

#[test]
fn a_partitioned_zookeeper_is_judged() {
    let bench = Bench::with_lab();
    let verdict = partitioned_run(&bench, "--backend zookeeper --time-limit 12s");
    assert_row(&verdict, "safety", &["held"]);
}

#[test]
fn a_partition_of_redlock_splits_its_clients_from_its_servers() {
    let bench = Bench::with_lab();
    let verdict = partitioned_run(&bench, "--backend redis --time-limit 12s");
    assert_row(&verdict, "safety", &["held"]);
    assert_row(&verdict, "fencing", &["unsupported"]);
    let sides = verdict["faults"][0]["description"].as_str().expect("a description");
    assert!(sides.contains("c1") && sides.contains("n1") && sides.contains('|'), "{sides}");
    let page = std::fs::read_to_string(bench.latest().join("report.html")).expect("a page");
    assert!(page.contains(sides), "the report names who was cut off from whom");
}

#[test]
fn a_failover_of_sentinel_grants_a_lock_twice() {
    let bench = Bench::with_lab();
    let line = "--backend redis --recipe sentinel --nemesis partition --partition leader \
                --nemesis-interval 8s --time-limit 60s --stop-on-violation --seed 1 --json";
    let verdict = bench.run(line).expect_code(1).json();
    assert_row(&verdict, "safety", &["violated"]);
    assert!(violation_classes(&verdict).contains(&"double-grant"), "{verdict:#}");
    assert_faults_bit_and_were_undone(&verdict);
}

#[test]
fn a_partitioned_etcd_is_linearizable_with_linearizable_reads_and_with_no_others() {
    let bench = Bench::with_lab();
    let verdict = partitioned_run(&bench, "--backend etcd --workload register --time-limit 12s");
    assert_eq!(verdict["outcome"], "held", "{verdict:#}");
    let proof = bench.run("check store/latest --verify").expect_code(0);
    assert!(proof.stderr.contains("an order explains all"), "{}", proof.stderr);

    let line = "--backend etcd --workload register --read-mode serializable --nemesis partition \
                --nemesis-interval 5s --time-limit 60s --stop-on-violation --seed 1 --json";
    let verdict = bench.run(line).expect_code(1).json();
    assert!(violation_classes(&verdict).contains(&"stale-read"), "{verdict:#}");
}

/// The firewall rules of every node of a lab.
fn rules(bench: &Bench, lab: &str) -> String {
    let rules = ["n1", "n2", "n3"].map(|node| {
        let line = format!("lab ssh --lab {lab} {node} iptables -S");
        bench.run(&line).expect_code(0).stdout
    });
    rules.join("--\n")
}

#[test]
fn heal_cleans_at_once_what_a_killed_control_node_left() {
    let bench = Bench::with_lab();
    bench.run("lab up heal --nodes-count 3 --clients 2").expect_code(0);
    let planted = "lab ssh --lab heal n1 iptables -A INPUT -s 192.0.2.1 -j DROP";
    bench.run(planted).expect_code(0);
    let clean = rules(&bench, "heal");
    let mut run = bench.start(
        "--backend etcd --nodes-count 3 --clients 2 --lab heal --nemesis partition \
         --nemesis-interval 5s --time-limit 60s --seed 1",
    );
    run.wait_for("fault 1 begins", FIRST_FAULT);
    let passed_over = bench.run("heal").expect_code(0).stdout;
    assert!(passed_over.contains("in progress"), "{passed_over}");
    run.signal("-KILL");
    run.wait(Duration::from_secs(5));

    let healed = bench.run("heal --json").expect_code(0).json();
    assert_eq!(healed["runs"][0]["faults"][0]["fault"], 1, "{healed:#}");
    assert_eq!(rules(&bench, "heal"), clean, "the planted rule stays, ours are gone");
    bench.run("heal").expect_code(0);
    bench.run("lab down heal").expect_code(0);
}

#[test]
fn a_run_first_undoes_what_a_killed_one_left_in_its_lab() {
    let bench = Bench::with_lab();
    bench.run("lab up next --nodes-count 3 --clients 2").expect_code(0);
    let clean = rules(&bench, "next");
    let lab = "--backend etcd --nodes-count 3 --clients 2 --lab next --seed 1";
    let mut run = bench.start(&format!(
        "{lab} --nemesis partition --partition-between clients --nemesis-interval 5s"
    ));
    run.wait_for("fault 1 begins", FIRST_FAULT);
    run.signal("-KILL");
    run.wait(Duration::from_secs(5));
    assert_ne!(rules(&bench, "next"), clean, "the fault outlives the control node");
    bench.run(&format!("{lab} --time-limit 3s")).expect_code(0);
    assert_eq!(rules(&bench, "next"), clean);
    assert!(bench.run("heal").expect_code(0).stdout.contains("nothing to heal"));
    bench.run("lab down next").expect_code(0);
}

#[test]
fn a_fault_that_cannot_be_undone_is_told_with_its_command_and_the_verdict_survives() {
    let bench = Bench::with_lab();
    bench.run("lab up stuck --nodes-count 3 --clients 2").expect_code(0);
    let mut run = bench.start(
        "--backend etcd --nodes-count 3 --clients 2 --lab stuck --nemesis partition \
         --partition one --nemesis-interval 2s --time-limit 60s --seed 1",
    );
    run.wait_for("fault 1 begins", FIRST_FAULT);
    // A node whose processes are all gone keeps its firewall, and nobody can reach it any more.
    let pids = Command::new("ip").args(["netns", "pids", "lt-stuck-n1"]).output().expect("ip runs");
    for pid in String::from_utf8_lossy(&pids.stdout).split_whitespace() {
        // The first of them takes the others with it.
        let _ = Command::new("kill").args(["-KILL", pid]).output();
    }
    assert_eq!(run.wait(Duration::from_secs(120)), Some(6));
    let told = run.stderr();
    assert!(told.contains("to undo it by hand:\nssh "), "{told}");
    let verdict = bench.read_json("verdict.json");
    assert_eq!(verdict["faults"][0]["undone"], false, "{verdict:#}");
    assert_eq!(verdict["faults"].as_array().map(Vec::len), Some(1), "no other fault comes");
    bench.run("heal").expect_code(6);
    bench.run("lab down stuck").expect_code(0);
    let healed = bench.run("heal").expect_code(0).stdout;
    assert!(healed.contains("gone with lab stuck"), "{healed}");
}

#[test]
fn an_interrupted_run_undoes_its_fault_and_removes_its_lab() {
    let bench = Bench::with_lab();
    let before = lab_traces();
    let mut run = bench.start(
        "--backend etcd --nodes-count 3 --clients 2 --nemesis partition --nemesis-interval 3s \
         --time-limit 60s --seed 1",
    );
    run.wait_for("fault 1 begins", FIRST_FAULT);
    run.signal("-INT");
    assert_eq!(run.wait(Duration::from_secs(60)), Some(130));
    assert_eq!(lab_traces(), before);
    assert_faults_bit_and_were_undone(&bench.read_json("verdict.json"));
    assert!(bench.run("heal").expect_code(0).stdout.contains("nothing to heal"));
}

#[test]
fn a_standing_lab_serves_one_run_after_another_and_stays() {
    let bench = Bench::with_lab();
    bench.run("lab up stay --nodes-count 3 --clients 2").expect_code(0);
    for backend in ["consul", "etcd", "consul"] {
        let line = format!(
            "--backend {backend} --nodes-count 3 --clients 2 --lab stay --time-limit 3s --json"
        );
        let verdict = bench.run(&line).expect_code(0).json();
        assert!(verdict["counts"]["acquires_ok"].as_u64() > Some(0), "{backend}");
    }
    let status = bench.run("lab status").expect_code(0).stdout;
    assert!(status.contains("lab stay"), "{status}");
    let mut first = bench.start("--backend etcd --nodes-count 3 --clients 2 --lab stay");
    first.wait_for("answered a write", FIRST_FAULT);
    let second = bench.run("--backend etcd --nodes-count 3 --clients 2 --lab stay").expect_code(5);
    assert!(second.stderr.contains("in use by another run"), "{}", second.stderr);
    first.signal("-INT");
    assert!(first.wait(Duration::from_secs(60)) == Some(130));

    let shell = bench.run("lab ssh --lab stay n2 hostname").expect_code(0);
    assert_eq!(shell.stdout.trim(), "n2");
    let too_many = bench.run("--backend etcd --lab stay --time-limit 1s").expect_code(2);
    assert!(too_many.stderr.contains("has 3 servers"), "{}", too_many.stderr);
    bench.run("lab down stay").expect_code(0);
    bench.run("--backend etcd --lab stay --time-limit 1s").expect_code(2);
}

#[test]
fn a_server_that_does_not_come_up_is_an_error_with_the_end_of_its_log() {
    let bench = Bench::with_lab();
    let before = lab_traces();
    // It tells a version and then fails, as a binary with a missing library would.
    let binary = bench.path().join("etcd");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && echo etcd Version: 9.9.9 && exit 0\n\
                  echo cannot bind the frobnicator >&2\nexit 1\n";
    std::fs::write(&binary, script).expect("a file");
    assert!(Command::new("chmod").arg("755").arg(&binary).status().expect("chmod").success());
    let line = format!("--backend etcd --nodes-count 3 --server-binary {}", binary.display());
    let ran = bench.run(&line).expect_code(5);
    assert!(ran.stderr.contains("cannot bind the frobnicator"), "{}", ran.stderr);
    assert!(ran.stderr.contains("n1"), "{}", ran.stderr);
    assert_eq!(lab_traces(), before);
}
