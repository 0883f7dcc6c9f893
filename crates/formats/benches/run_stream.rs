//! From a file, or from a pipe, to the verdict: how long it takes and how much memory.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use locktest_checker::stream::{Decider, Step, StreamEvent, StreamVerdict};
use locktest_checker::{Outcome, Specification};
use locktest_formats::decide_run;
use locktest_formats::events::EventReader;
use locktest_history::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const KEYS: u64 = 16;
const CLIENTS: u32 = 64;
const RUN_OPERATIONS: u64 = 10_000_000;
/// How many operations go through the pipe, if another number is wanted.
const PIPED: &str = "LOCKTEST_BENCH_PIPED_OPERATIONS";
const DEFAULT_PIPED_OPERATIONS: u64 = 100_000_000;

/// What this program is to do when it starts itself, so that what writes a history takes no memory
/// of what reads it.
const READ_RUN: &str = "--read-run";
const READ_PIPE: &str = "--read-pipe";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some(READ_RUN) => return read_run(Path::new(&arguments[2])),
        Some(READ_PIPE) => return read_pipe(io::stdin().lock()),
        _ => {}
    }
    // Without it this is a test run, which wants no figures.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    println!("owner mutex, from what is outside of memory to the verdict\n");
    println!("{:<30}{:>11}{:>8}{:>8}{:>9}", "", "operations", "s", "ns/op", "peak MB");
    let folder = tempfile::tempdir()?;
    let history = folder.path().join("history");
    write_run(&history)?;
    let read = [READ_RUN, history.to_str().ok_or("the temporary directory has a strange name")?];
    measure("a run, 16 keys", RUN_OPERATIONS, "at most 4 s, 500 MB", &read, |_| Ok(()))?;
    let piped = std::env::var(PIPED).ok().and_then(|count| count.parse().ok());
    let piped = piped.unwrap_or(DEFAULT_PIPED_OPERATIONS);
    measure("a pipe of events", piped, "at most 200 MB", &[READ_PIPE], |out| {
        write_events(out, piped)
    })
}

/// Starts this program again, gives it what `feed` writes, and prints what it took.
fn measure(
    name: &str,
    operations: u64,
    bound: &str,
    arguments: &[&str],
    feed: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(input) = child.stdin.take() {
        let mut input = BufWriter::with_capacity(1 << 16, input);
        feed(&mut input)?;
        input.flush()?;
    }
    let output = child.wait_with_output()?;
    let seconds = begin.elapsed().as_secs_f64();
    if !output.status.success() {
        return Err(format!("reading {name} failed").into());
    }
    let peak_mb = String::from_utf8(output.stdout)?;
    let ns = seconds * 1e9 / operations as f64;
    println!("{name:<30}{operations:>11}{seconds:>8.2}{ns:>8.0}{:>9}   {bound}", peak_mb.trim());
    Ok(())
}

fn read_run(history: &Path) -> Result<(), Box<dyn Error>> {
    let decision = decide_run(history, Specification::OwnerMutex)?.ok_or("no online decider")?;
    let counted: u64 = decision.keys.iter().map(|key| key.counts.invoked).sum();
    // What revokes an acquire of unknown outcome is no operation of the lock.
    assert!(counted > RUN_OPERATIONS * 9 / 10 && decision.until_ns.is_none(), "{counted}");
    for key in decision.keys {
        assert_eq!(key.verdict, StreamVerdict::Linearizable);
    }
    println!("{}", peak_memory_mb());
    Ok(())
}

fn read_pipe(pipe: impl Read) -> Result<(), Box<dyn Error>> {
    let mut decider = Decider::new(Specification::OwnerMutex).ok_or("no online decider")?;
    let mut events = EventReader::new(pipe);
    while let Some(event) = events.next_event()? {
        let step = match event.phase {
            Phase::Invoke => Step::Invoke,
            Phase::Ok => Step::Complete(Outcome::Ok),
            Phase::Fail => Step::Complete(Outcome::Fail),
            Phase::Info => Step::Complete(Outcome::Info),
        };
        let action = event.function.action();
        let event = StreamEvent { stamp: event.line, process: event.process, action, step };
        decider.event(&event).map_err(|alarm| format!("{alarm:?}"))?;
    }
    assert_eq!(decider.finish().verdict, StreamVerdict::Linearizable);
    println!("{}", peak_memory_mb());
    Ok(())
}

/// The most memory that this process ever had, in megabytes.
fn peak_memory_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kb.unwrap_or(0) / 1024
}

/// Clients that take one lock in turn: each asks before the one before it has released.
fn write_events(out: &mut dyn Write, operations: u64) -> io::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut processes: Vec<u64> = (0..u64::from(CLIENTS)).collect();
    let mut next = processes.len() as u64;
    writeln!(out, "{} invoke acquire", processes[0])?;
    let mut holder = 0;
    let mut written = 1;
    while written + 2 <= operations {
        let process = processes[holder];
        writeln!(out, "{process} ok acquire\n{process} invoke release")?;
        // Half of all operations are tries, most of them denied by the late release.
        let other = (holder + 1) % processes.len();
        written += 1;
        if written + 2 <= operations {
            let other = processes[other];
            writeln!(out, "{other} invoke try\n{other} fail try")?;
            written += 1;
        }
        let asked = processes[other];
        writeln!(out, "{asked} invoke acquire")?;
        written += 1;
        if rng.random_bool(0.1) {
            writeln!(out, "{process} info release")?;
            processes[holder] = next;
            next += 1;
        } else {
            writeln!(out, "{process} ok release")?;
        }
        holder = other;
    }
    Ok(())
}

/// A run whose clients take sixteen locks, each in turn, and whose records arrive a little out of
/// order.
fn write_run(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut writer = HistoryWriter::create(path, &run())?;
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut clients: Vec<(u64, u64)> = vec![(0, 0); CLIENTS as usize];
    let mut arriving: Vec<(u64, Event)> = Vec::new();
    let per_key = u64::from(CLIENTS) / KEYS;
    let mut operations = 0;
    let mut round = 0;
    while operations < RUN_OPERATIONS {
        round += 1;
        for key in 0..KEYS {
            // The clients of a key take it in turn.
            let client = (key + KEYS * (round % per_key)) as u32;
            let (attempt, op) = &mut clients[client as usize];
            *attempt += 1;
            let begin = round * 1_000_000 + rng.random_range(0..400_000);
            let release = begin + 900_000;
            let acquired = rng.random_bool(0.9);
            let mut add = |function, op, time_ns, phase, detail| {
                let event = Event {
                    time_ns,
                    client: ClientId(client),
                    attempt: *attempt,
                    op,
                    key: KeyId(key as u32),
                    server: Some(NodeId((client % 5) as u16)),
                    function,
                    phase,
                    detail,
                };
                arriving.push((time_ns + u64::from(client % 7) * 1000, event));
            };
            let lease = Detail::Lease {
                lease_start_ns: begin - 500,
                lease_ttl_ms: 2000,
                revision: Some(operations),
                session_ns: 300_000,
                wait_ns: 0,
            };
            let (phase, detail) = match acquired {
                true => (Phase::Ok, lease),
                false => (Phase::Info, Detail::Reason("the call timed out after 1 s".into())),
            };
            let asked = begin.saturating_sub(1_500_000 * u64::from(round > 2));
            add(Function::Acquire, *op, asked, Phase::Invoke, Detail::None);
            add(Function::Acquire, *op, begin + 500_000, phase, detail);
            add(Function::Release, *op + 1, release, Phase::Invoke, Detail::None);
            add(Function::Release, *op + 1, release + 50_000, Phase::Ok, Detail::None);
            *op += 2;
            operations += 2;
        }
        arriving.sort_by_key(|(arrival, _)| *arrival);
        let settled = (round - 2.min(round)) * 1_000_000;
        let count = arriving.partition_point(|(arrival, _)| *arrival < settled);
        for (_, event) in arriving.drain(..count) {
            writer.append(&Record::Event(event))?;
        }
    }
    for (_, event) in arriving {
        writer.append(&Record::Event(event))?;
    }
    let time_ns = (round + 1) * 1_000_000;
    for client in (0u32..).take(run().plan.client_seeds.len()).map(ClientId) {
        let cause = ExitCause::Finished;
        writer.append(&Record::ClientExit(ClientExit { time_ns, client, cause }))?;
    }
    writer.append(&Record::Milestone { time_ns, what: Milestone::End })?;
    writer.finish()?;
    Ok(())
}

fn run() -> Run {
    let plan = Plan {
        client_seeds: (0..CLIENTS).map(u64::from).collect(),
        keys: (0..KEYS).map(|n| format!("lock-{n}")).collect(),
        ..Plan::of(Backend::Etcd)
    };
    Run {
        id: "0a1b2c".into(),
        started_at_unix_s: 0,
        origin_monotonic_ns: 0,
        command: "locktest --backend etcd".into(),
        lab: None,
        plan,
    }
}
