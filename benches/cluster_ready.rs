//! How long it takes to raise a lab, to have a cluster of five servers answer writes in it, and to
//! remove both. Needs root.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::time::{Duration, Instant};

use anyhow::Result;
use locktest_cluster::{Cluster, Deployment, NodeLayout, Store};
use locktest_lab::{Lab, LabDirs, LabSpec, NODE_BASE, preflight};

use support::READY_LIMIT;

const SERVERS: u16 = 5;
const CLIENTS: u16 = 5;
/// Odd, so that the median is a repetition's own.
const REPETITIONS: usize = 3;

/// The times of one repetition.
struct Times {
    lab_up: Duration,
    /// Until every server's process was started over SSH.
    started: Duration,
    /// From there until a write was answered through each server.
    answering: Duration,
    lab_down: Duration,
}

fn main() -> Result<()> {
    // Without it this is a test run, which wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    preflight()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("a lab of {SERVERS} servers and {CLIENTS} clients; {REPETITIONS} repetitions");
    println!("bounds: lab up 2 s, lab down 1 s, in all the server's own start and 3 s\n");
    println!("{:<11}{:<18}{:>9}   min..max", "", "", "median s");
    for store in Store::ALL {
        let repetitions = runtime.block_on(measure(store))?;
        print(store, &repetitions);
    }
    Ok(())
}

async fn measure(store: Store) -> Result<Vec<Times>> {
    let dirs = LabDirs::from_env();
    let deployment = support::newest(&dirs, store).await?;
    let mut repetitions = Vec::with_capacity(REPETITIONS);
    for _ in 0..REPETITIONS {
        repetitions.push(repetition(&dirs, &deployment).await?);
    }
    Ok(repetitions)
}

async fn repetition(dirs: &LabDirs, deployment: &Deployment) -> Result<Times> {
    let begin = Instant::now();
    let spec = LabSpec { id: None, servers: SERVERS, clients: CLIENTS, subnet: None };
    let lab = Lab::up(dirs, &spec).await?;
    let lab_up = begin.elapsed();

    let ready = make_ready(&lab, deployment).await;

    let begin = Instant::now();
    lab.down().await?;
    let lab_down = begin.elapsed();
    let (started, answering) = ready?;
    Ok(Times { lab_up, started, answering, lab_down })
}

async fn make_ready(lab: &Lab, deployment: &Deployment) -> Result<(Duration, Duration)> {
    let begin = Instant::now();
    let ssh = support::connect(lab);
    let layout = NodeLayout::new(NODE_BASE);
    let cluster = Cluster::new(deployment, &support::members(lab), &layout, ssh.clone())?;
    let ready = async {
        cluster.start().await?;
        let started = begin.elapsed();
        cluster.wait_ready(READY_LIMIT).await?;
        Ok((started, begin.elapsed() - started))
    }
    .await;
    ssh.close().await;
    ready
}

fn print(store: Store, repetitions: &[Times]) {
    let row = |name, time: fn(&Times) -> Duration| {
        let mut times_s: Vec<f64> = repetitions.iter().map(|r| time(r).as_secs_f64()).collect();
        times_s.sort_unstable_by(f64::total_cmp);
        let (median, min, max) = (times_s[REPETITIONS / 2], times_s[0], times_s[REPETITIONS - 1]);
        println!("{:<11}{name:<18}{median:>9.2}   {min:.2}..{max:.2}", store.name());
    };
    row("lab up", |times| times.lab_up);
    row("servers started", |times| times.started);
    row("all answer writes", |times| times.answering);
    row("in all until then", |times| times.lab_up + times.started + times.answering);
    row("lab down", |times| times.lab_down);
}
