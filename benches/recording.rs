//! How many operations a run records in a second, and at what cost: the sim, which is a part of the
//! control node, with clients that do nothing but acquire and release. `LOCKTEST_BENCH_S` is how long;
//! ten minutes show whether memory grows.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::Value;

const DEFAULT_S: u64 = 20;

/// Client processes, and owners in each.
const SHAPES: [(u32, u32); 4] = [(1, 1), (2, 1), (2, 20), (5, 20)];

fn main() -> Result<()> {
    // Without it this is a test run, which wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let seconds = match std::env::var("LOCKTEST_BENCH_S") {
        Ok(text) => text.parse().context("LOCKTEST_BENCH_S is no number of seconds")?,
        Err(_) => DEFAULT_S,
    };
    println!("acquires and releases of the sim, {seconds} s; wanted: 200000 operations a second");
    println!("{:<26}{:>12}{:>14}   resident MB of the control node", "", "ops/s", "CPU us/op");
    let mut cpu_before = cpu_s()?;
    for (clients, owners) in SHAPES {
        let store = tempfile::tempdir()?;
        let child = Command::new(env!("CARGO_BIN_EXE_locktest"))
            .args(["run", "--backend", "sim", "--workload", "different-keys", "--steady", "-q"])
            .args(["--hold", "0s", "--lease-ttl", "10s", "--json", "--seed", "1"])
            .args(["--clients", &clients.to_string(), "--owners-per-client", &owners.to_string()])
            .args(["--time-limit", &format!("{seconds}s")])
            .arg("--store")
            .arg(store.path())
            .stdout(Stdio::piped())
            .spawn()?;
        let memory = watch_memory(&child, seconds);
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "the run failed: {}", output.status);
        let verdict: Value = serde_json::from_slice(&output.stdout)?;
        let counts = &verdict["counts"];
        let operations: u64 = ["acquires_ok", "releases_ok", "renewals_ok"]
            .iter()
            .filter_map(|name| counts[name].as_u64())
            .sum();
        // The analysis at the end is counted, too.
        let cpu = cpu_s()?;
        println!(
            "{:<26}{:>12.0}{:>14.1}   {memory}",
            format!("{clients} clients of {owners} owners"),
            operations as f64 / seconds as f64,
            (cpu - cpu_before) / operations.max(1) as f64 * 1e6,
        );
        cpu_before = cpu;
    }
    Ok(())
}

/// The resident memory at a quarter, at half and at nine tenths of the workload's time.
fn watch_memory(child: &Child, seconds: u64) -> String {
    let mut slept_s = 0.0;
    let mut seen = Vec::new();
    for share in [0.25, 0.5, 0.9] {
        let at_s = seconds as f64 * share;
        sleep(Duration::from_secs_f64(at_s - slept_s));
        slept_s = at_s;
        seen.push(resident_mb(child.id()).map_or("-".into(), |mb| format!("{mb:.0}")));
    }
    seen.join(", ")
}

fn resident_mb(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1000.0)
}

/// Processor time of all children that have ended, and theirs.
fn cpu_s() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}
