//! `locktest bench`, against the sim and against real clusters.

mod support;

use serde_json::Value;
use support::{Bench, lab_traces};

/// The measurements of a cell.
fn measurements<'b>(bench: &'b Value, contender: &str, keys: &str, processes: u64) -> &'b [Value] {
    let cells = bench["cells"].as_array().expect("cells");
    let cell = cells.iter().find(|cell| {
        cell["contender"] == contender && cell["keys"] == keys && cell["processes"] == processes
    });
    let cell = cell.unwrap_or_else(|| panic!("no cell of {contender}, {keys}, {processes}"));
    cell["measurements"].as_array().expect("measurements")
}

fn median_ms(phases: &Value, phase: &str) -> f64 {
    phases[phase]["median_ms"].as_f64().unwrap_or_else(|| panic!("no samples: {phases:#}"))
}

#[test]
fn every_cell_is_measured_as_often_as_asked_and_under_contention_the_two_definitions_differ() {
    let bench = Bench::new();
    let line = "bench --backends sim --processes 1,4 --time-limit 1s --repeat 2 --seed 7 --json";
    let json = bench.run(line).expect_code(0).json();
    // One client competes with nobody, so it is measured with a key of its own only.
    assert_eq!(json["cells"].as_array().map(Vec::len), Some(3));
    for (keys, processes) in [("different", 1), ("different", 4), ("same", 4)] {
        let measured = measurements(&json, "sim", keys, processes);
        assert_eq!(measured.len(), 2);
        for one in measured {
            let (with, alone) = (&one["wait_included"], &one["attempt_alone"]);
            let ratio = median_ms(with, "quiet") / median_ms(alone, "quiet");
            // Three others hold the lock for 5 ms each before it comes round.
            assert!((ratio > 3.0) == (keys == "same"), "{keys} {processes}: {one:#}");
            assert_eq!(one["grants_by_client"].as_array().map(Vec::len), Some(processes as usize));
            assert!(std::path::Path::new(one["run_dir"].as_str().expect("a path")).exists());
        }
    }
    let dir = bench.only_dir("store");
    for name in ["bench.json", "bench.md", "bench.html"] {
        assert!(dir.join(name).exists(), "{name}");
    }
}

#[test]
fn a_store_that_is_not_to_be_had_is_left_out_with_the_reason_and_the_others_are_measured() {
    let bench = Bench::with_lab();
    let before = lab_traces();
    let line = "bench --backends redis,consul@9.9 --processes 3 --keys same --time-limit 2s \
                --repeat 1 --nodes-count 3 --json";
    let json = bench.run(line).expect_code(0).json();
    let why = json["contenders"][1]["unobtainable"].as_str().expect("a reason");
    assert!(why.contains("9.9"), "{why}");
    assert!(measurements(&json, "consul@9.9", "same", 3).is_empty());
    let measured = measurements(&json, "redis", "same", 3);
    assert!(measured[0]["granted"].as_u64() > Some(20), "{measured:#?}");
    assert_eq!(lab_traces(), before);
}

#[test]
fn a_stall_of_the_server_is_in_the_percentiles_from_the_intended_start_and_not_in_the_others() {
    let bench = Bench::with_lab();
    let before = lab_traces();
    // One owner, so that whatever arrives while the server stands still has to wait for it.
    let line = "run --backend redis --recipe single --workload different-keys --clients 1 --rate 40 \
                --steady --hold 1ms --nemesis pause --nemesis-interval 3s --time-limit 11s --seed 1 \
                --json";
    let verdict = bench.run(line).expect_code(0).json();
    let latency = &verdict["latency"];
    let intended = &latency["acquire_intended"];
    assert!(median_ms(intended, "fault") > 500.0, "{intended:#}");
    let actual = &latency["acquire"];
    for phase in ["quiet", "fault", "recovery"] {
        // At most the few that were under way when the server stopped took long.
        let ms = actual[phase]["median_ms"].as_f64();
        assert!(ms.is_none_or(|ms| ms < 100.0), "{actual:#}");
    }
    // What was meant to begin meanwhile began when the server went on.
    let began = |phases: &Value| phases["fault"]["n"].as_u64().expect("a number");
    assert!(began(intended) > 3 * began(actual), "{latency:#}");
    assert_eq!(lab_traces(), before);
}

#[test]
fn a_thousand_owners_contend_and_each_client_process_is_granted_the_lock() {
    let bench = Bench::new();
    let line = "run --backend sim --clients 5 --owners-per-client 200 --steady --hold 0s \
                --lease-ttl 10s --time-limit 3s --seed 1 --json";
    let verdict = bench.run(line).expect_code(0).json();
    assert!(verdict["counts"]["acquires_ok"].as_u64() > Some(1000), "{:#}", verdict["counts"]);
    let clients = verdict["latency"]["acquire_by_client"].as_array().expect("clients");
    assert_eq!(clients.len(), 5);
    assert!(clients.iter().all(|client| client["whole_run"]["n"].as_u64() > Some(0)));
}

#[test]
fn an_interrupted_bench_shows_what_it_has_and_leaves_no_lab() {
    let bench = Bench::with_lab();
    let before = lab_traces();
    let line =
        "bench --backends sim,redis --processes 1 --keys different --time-limit 20s --seed 1";
    let mut running = bench.start(&format!("-v {line}"));
    running.wait_for("every server answered a write", std::time::Duration::from_secs(120));
    running.signal("-INT");
    let code = running.wait(std::time::Duration::from_secs(60));
    assert_eq!(code, Some(130), "{}", running.stderr());
    assert!(bench.only_dir("store").join("bench.html").exists());
    assert_eq!(lab_traces(), before);
}
