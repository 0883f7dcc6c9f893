//! What a client of locktest adds to an acquire: the client loop's own acquire, with everything
//! recorded, against a bare loop of the same calls of the same crates, on each store. Needs root.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::io::{self, BufRead, BufReader, LineWriter};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use locktest_cluster::Store;
use locktest_history::{ClientId, KeyId, Plan};
use locktest_lab::preflight;
use locktest_workloads::attempt::LockClient;
use locktest_workloads::clock::RunClock;
use locktest_workloads::recipes::{CallError, Consul, Etcd, LockRecipe, Redlock, Zookeeper};
use locktest_workloads::recorder::{Owner, Recorder};
use locktest_workloads::{ClientConfig, Control};

use support::{KEY, Servers, bare_acquires, quantile_ms, spread};

/// Odd, so that the median is a pair's own.
const PAIRS: usize = 15;
/// Ten thousand and more in all.
const ACQUIRES_A_SIDE: usize = 700;

/// The times of one side of a pair, in milliseconds.
struct Side {
    median_ms: f64,
    p99_ms: f64,
}

fn main() -> Result<()> {
    // Without it this is a test run, which wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    preflight()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("recorded acquire against the same calls, three servers, one client");
    println!(
        "{PAIRS} pairs of {ACQUIRES_A_SIDE} acquires a side; wanted: 1.05 at the median, 1.10 at 99p"
    );
    println!("{:<11}{:<20}{:>9}   min..max", "", "", "median");
    for store in Store::ALL {
        runtime.block_on(async {
            match store {
                Store::Consul => measure(store, Consul::new).await,
                Store::Etcd => measure(store, Etcd::new).await,
                Store::Redis => measure(store, Redlock::new).await,
                Store::Zookeeper => measure(store, Zookeeper::new).await,
            }
        })?;
    }
    Ok(())
}

async fn measure<R: LockRecipe>(
    store: Store,
    recipe: fn(&ClientConfig) -> Result<R, CallError>,
) -> Result<()> {
    let nodes = ["n1", "n2", "n3"].map(str::to_owned).to_vec();
    let plan = Plan {
        nodes,
        keys: vec![KEY.into()],
        lease_ttl_ms: 10_000,
        hold_ms: 0,
        steady: true,
        ..Plan::of(store.backend())
    };
    let servers = Servers::start(&plan, None).await?;
    let measured = pairs(&plan, &servers.config(&plan), recipe).await;
    servers.stop().await?;
    let (pairs, bare, recorded) = measured?;
    report(store, &pairs, bare, recorded);
    Ok(())
}

type Measured = (Vec<[Side; 2]>, Vec<Duration>, Vec<Duration>);

async fn pairs<R: LockRecipe>(
    plan: &Plan,
    config: &ClientConfig,
    recipe: fn(&ClientConfig) -> Result<R, CallError>,
) -> Result<Measured> {
    // As in a run, the events leave the process by a pipe.
    let (events, out) = io::pipe()?;
    let reader = thread::spawn(move || BufReader::new(events).lines().count());
    let recorder = Recorder::new(ClientId(0), RunClock::start(), LineWriter::new(out));
    let control = Control::default();
    let client = LockClient::new(recipe(config)?, plan, &recorder, &control);
    let bare = recipe(config)?;
    let (mut pairs, mut all) = (Vec::with_capacity(PAIRS), [Vec::new(), Vec::new()]);
    // The first pair warms up, and each next one changes the order of its sides.
    for pair in 0..=PAIRS {
        let mut times = [Vec::new(), Vec::new()];
        for turn in 0..2 {
            let side = (pair + turn) % 2;
            times[side] = match side {
                0 => bare_acquires(&bare, ACQUIRES_A_SIDE).await?,
                _ => recorder.attend(recorded_acquires(&client, pair)).await?,
            };
        }
        if pair > 0 {
            all.iter_mut().zip(&times).for_each(|(all, times)| all.extend(times));
            pairs.push(times.map(|mut times| Side {
                median_ms: quantile_ms(&mut times, 0.5),
                p99_ms: quantile_ms(&mut times, 0.99),
            }));
        }
    }
    drop(client);
    drop(recorder);
    reader.join().map_err(|_| anyhow!("the reader panicked"))?;
    let [bare, recorded] = all;
    Ok((pairs, bare, recorded))
}

async fn recorded_acquires<R: LockRecipe>(
    client: &LockClient<'_, R, LineWriter<io::PipeWriter>>,
    pair: usize,
) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(ACQUIRES_A_SIDE);
    for number in 1..=ACQUIRES_A_SIDE {
        let attempt = (pair * ACQUIRES_A_SIDE + number) as u64;
        let owner = Owner { attempt, key: KeyId(0) };
        let begin = Instant::now();
        let held =
            client.acquire(owner, None).await.map_err(|why| anyhow!("not granted: {why:?}"))?;
        times.push(begin.elapsed());
        client.release(owner, &held).await;
    }
    Ok(times)
}

fn report(store: Store, pairs: &[[Side; 2]], mut bare: Vec<Duration>, mut recorded: Vec<Duration>) {
    let ratio =
        |of: fn(&Side) -> f64| spread(pairs.iter().map(|[bare, recorded]| of(recorded) / of(bare)));
    let of_all = |times: &mut Vec<Duration>, share| quantile_ms(times, share);
    let all_p99 = of_all(&mut recorded, 0.99) / of_all(&mut bare, 0.99);
    let rows = [
        ("bare median ms", spread(pairs.iter().map(|[bare, _]| bare.median_ms))),
        ("recorded median ms", spread(pairs.iter().map(|[_, recorded]| recorded.median_ms))),
        ("ratio of medians", ratio(|side| side.median_ms)),
        ("ratio of 99p", ratio(|side| side.p99_ms)),
        ("ratio of 99p, all", format!("{all_p99:>9.3}   {} samples a side", bare.len())),
    ];
    for (name, figures) in rows {
        println!("{:<11}{name:<20}{figures}", store.name());
    }
}
