//! What recording costs an acquire: the client loop's own acquire, with its events going through a
//! pipe, against the same calls in a bare loop. The store is the sim, the quickest there is.
//!
//! The write of an acquire's completion may go into the next operation's, so the whole of acquire,
//! validate and release is measured too.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::io::{self, BufRead, BufReader, LineWriter};
use std::thread;
use std::time::{Duration, Instant};

use locktest_history::{Backend, ClientId, Event, KeyId, Plan};
use locktest_workloads::attempt::LockClient;
use locktest_workloads::clock::RunClock;
use locktest_workloads::recipes::{LockRecipe, SimLock};
use locktest_workloads::recorder::{Owner, Recorder};
use locktest_workloads::sim::SimServer;
use locktest_workloads::{ClientConfig, Control};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Many short pairs, since the machine's own noise comes in spells. Odd, so that the median is a
/// pair's own.
const PAIRS: usize = 61;
const ACQUIRES_A_SIDE: u64 = 100;
const BOUND_US: u32 = 20;
const KEY: &str = "lock-0";

fn main() -> Result<(), Box<dyn Error>> {
    // Without it this is a test run, which wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    // As in a run, the service and the reader of the events are not on the client's thread.
    let (addressed, address) = oneshot::channel();
    let (finish, finished) = oneshot::channel::<()>();
    let service = thread::spawn(move || -> io::Result<()> {
        current_thread()?.block_on(async {
            let sim = SimServer::start(None).await?;
            let _ = addressed.send(sim.address().to_owned());
            let _ = finished.await;
            Ok(())
        })
    });
    let (events, out) = io::pipe()?;
    let reader = thread::spawn(move || read_events(events));

    let runtime = current_thread()?;
    let result = runtime.block_on(async {
        let address = address.await?;
        // As the client process's standard output, which is line-buffered.
        measure(&address, LineWriter::new(out)).await
    });
    let _ = finish.send(());
    service.join().map_err(|_| "the service panicked")??;
    let events = reader.join().map_err(|_| "the reader panicked")??;
    let pairs = result?;
    report(&pairs, events);
    Ok(())
}

fn current_thread() -> io::Result<runtime::Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}

/// What the control node does with a client's lines before it stores them.
fn read_events(pipe: io::PipeReader) -> io::Result<usize> {
    let mut events = 0;
    for line in BufReader::with_capacity(64 * 1024, pipe).lines() {
        let line = line?;
        // Whatever is not a watermark is an event.
        if line.parse::<u64>().is_err() {
            serde_json::from_str::<Event>(&line)?;
            events += 1;
        }
    }
    Ok(events)
}

/// The medians of one side of a pair.
struct Side {
    acquire: Duration,
    /// Acquire, validate, release.
    whole: Duration,
}

/// The same number of acquires on both sides, one right after the other.
struct Pair {
    bare: Side,
    recorded: Side,
}

async fn measure(
    address: &str,
    out: LineWriter<io::PipeWriter>,
) -> Result<Vec<Pair>, Box<dyn Error>> {
    let plan = plan();
    let config = ClientConfig {
        client: ClientId(0),
        origin_monotonic_ns: 0,
        servers: vec![address.to_owned()],
        sentinels: Vec::new(),
        plan: plan.clone(),
    };
    let recorder = Recorder::new(ClientId(0), RunClock::start(), out);
    let control = Control::default();
    let client = LockClient::new(SimLock::new(&config)?, &plan, &recorder, &control);
    let recipe = SimLock::new(&config)?;

    let mut pairs = Vec::with_capacity(PAIRS);
    // The first pair warms up, and each next one changes the order of its sides.
    for pair in 0..=PAIRS {
        let (bare, recorded);
        if pair % 2 == 0 {
            bare = bare_loop(&recipe).await?;
            recorded = recorder.attend(recorded_loop(&client)).await?;
        } else {
            recorded = recorder.attend(recorded_loop(&client)).await?;
            bare = bare_loop(&recipe).await?;
        }
        if pair > 0 {
            pairs.push(Pair { bare, recorded });
        }
    }
    Ok(pairs)
}

/// The times of nothing but the recipe's calls, with the limit that every call has.
async fn bare_loop(recipe: &SimLock) -> Result<Side, Box<dyn Error>> {
    const LIMIT: Duration = Duration::from_secs(1);
    let mut times = Times::default();
    for _ in 0..ACQUIRES_A_SIDE {
        let begin = Instant::now();
        let lease = timeout(LIMIT, recipe.open(0)).await??;
        let deadline = tokio::time::Instant::now() + LIMIT;
        let grant = timeout(LIMIT, recipe.lock(0, &lease.id, KEY, deadline)).await??;
        let acquire = begin.elapsed();
        timeout(LIMIT, recipe.entry(0, &lease.id, KEY, &grant)).await??;
        timeout(LIMIT, recipe.unlock(0, &lease.id, KEY, &grant)).await??;
        timeout(LIMIT, recipe.revoke(0, &lease.id, KEY)).await??;
        times.add(acquire, begin.elapsed());
    }
    Ok(times.medians())
}

/// The times of the client loop, which also renews and records.
async fn recorded_loop(
    client: &LockClient<'_, SimLock, LineWriter<io::PipeWriter>>,
) -> Result<Side, Box<dyn Error>> {
    let mut times = Times::default();
    for attempt in 1..=ACQUIRES_A_SIDE {
        let owner = Owner { attempt, key: KeyId(0) };
        let begin = Instant::now();
        let held = client.acquire(owner, None).await.map_err(|_| "the sim denied a free lock")?;
        let acquire = begin.elapsed();
        client.validate(owner, &held).await?;
        client.release(owner, &held).await;
        times.add(acquire, begin.elapsed());
    }
    Ok(times.medians())
}

#[derive(Default)]
struct Times {
    acquire: Vec<Duration>,
    whole: Vec<Duration>,
}

impl Times {
    fn add(&mut self, acquire: Duration, whole: Duration) {
        self.acquire.push(acquire);
        self.whole.push(whole);
    }

    fn medians(self) -> Side {
        Side { acquire: median(self.acquire), whole: median(self.whole) }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn report(pairs: &[Pair], events: usize) {
    println!("recorded acquire against the same calls in a bare loop, sim over TCP");
    println!("{PAIRS} pairs, {ACQUIRES_A_SIDE} acquires a side, {events} events recorded\n");
    println!("{:<16}{:>9}   min..max", "", "median");
    let acquire = format!("acquire, which may cost {BOUND_US} us more");
    table(&acquire, pairs, |side| side.acquire);
    table("acquire, validate, release", pairs, |side| side.whole);
}

fn table(what: &str, pairs: &[Pair], time: fn(&Side) -> Duration) {
    let us = |side: &Side| time(side).as_secs_f64() * 1e6;
    let rows = [
        ("bare us", spread(pairs, |pair| us(&pair.bare))),
        ("recorded us", spread(pairs, |pair| us(&pair.recorded))),
        ("difference us", spread(pairs, |pair| us(&pair.recorded) - us(&pair.bare))),
        ("ratio", spread(pairs, |pair| us(&pair.recorded) / us(&pair.bare))),
    ];
    println!("{what}");
    for (name, figures) in rows {
        println!("  {name:<14}{figures}");
    }
}

/// The median over the pairs, with the least and the greatest.
fn spread(pairs: &[Pair], figure: impl Fn(&Pair) -> f64) -> String {
    let mut figures: Vec<f64> = pairs.iter().map(figure).collect();
    figures.sort_unstable_by(f64::total_cmp);
    let (min, max) = (figures[0], figures[figures.len() - 1]);
    format!("{:>9.2}   {min:.2}..{max:.2}", figures[figures.len() / 2])
}

fn plan() -> Plan {
    Plan { hold_ms: 0, keys: vec![KEY.into()], ..Plan::of(Backend::Sim) }
}
