//! `locktest bench`: the paper's tables on real clusters, and what the paper could not tell.

mod cells;
mod measure;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use locktest_history::write_atomically;
use locktest_reports::{
    BENCH_SCHEMA_VERSION, Bench, Cell, as_json, render_bench, render_bench_html,
    render_bench_markdown,
};

use crate::cli::{BenchArgs, BenchFormat, run_args_of};
use crate::exit::{Exit, Failure};
use crate::plan;
use crate::run::Stop;
use crate::terminal::Terminal;
use cells::{CellPlan, cells, command, time_limit, turns};
use measure::Measure;

/// What a run takes beside its workload: a lab, a cluster that answers, the end of both. Forty runs of
/// all four stores took 1.7 s each.
const AROUND_A_RUN: Duration = Duration::from_secs(2);

/// Measures every cell, and shows the tables.
pub fn bench(args: &BenchArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let plans = cells(args);
    check(args, &plans, seed).map_err(Failure::usage)?;
    let turns = turns(plans.len(), args.repeat, seed);
    if args.dry_run {
        let commands = turns.iter().map(|turn| command(&plans[turn.cell], args, turn.seed) + "\n");
        print(&commands.collect::<String>(), terminal)?;
        return Ok(Exit::Ok);
    }
    if args
        .backends
        .iter()
        .any(|contender| locktest_cluster::Store::of(contender.backend).is_some())
    {
        locktest_lab::preflight().map_err(Failure::set_up)?;
    }
    let started = SystemTime::now();
    let dir = directory(args, started, seed).map_err(Failure::set_up)?;
    let expected =
        (time_limit(args) + AROUND_A_RUN) * u32::try_from(turns.len()).unwrap_or(u32::MAX);
    terminal.step(format_args!(
        "bench: {} cells, {} each: about {} min; seed {seed}\n  directory {}",
        plans.len(),
        if args.repeat == 1 { "once".into() } else { format!("{} times", args.repeat) },
        expected.as_secs().div_ceil(60),
        dir.display()
    ));
    let bench = Bench {
        schema_version: BENCH_SCHEMA_VERSION,
        locktest_version: env!("CARGO_PKG_VERSION").into(),
        kernel: plan::kernel(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        started_at_unix_s: started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        command: again(args, seed),
        seed,
        nodes: args.nodes_count,
        hold_ms: args.hold.as_millis() as u64,
        time_limit_ms: time_limit(args).as_millis() as u64,
        repeats: args.repeat,
        rate_per_s: args.rate,
        owners_per_client: args.owners_per_client,
        under: args.under.clone(),
        processes: args.processes.clone(),
        keys: args.keys.clone(),
        contenders: Vec::new(),
        cells: (plans.iter().map(|plan| empty(plan, args, &turns))).collect(),
        interrupted: false,
    };
    let (bench, halted) = super::runtime()?.block_on(async {
        let stop = Stop::on_signals();
        let stop = stop.context("cannot listen for signals").map_err(Failure::set_up)?;
        let mut measure =
            Measure { bench, runs: dir.join("runs"), stop, terminal: terminal.clone() };
        measure.find_servers(&args.backends).await;
        let halted = measure.turns(&plans, &turns, args).await.err();
        Ok::<_, Failure>((measure.bench, halted))
    })?;
    // What is known is told, however it ended.
    write(&bench, &dir).map_err(Failure::set_up)?;
    let text = match args.format {
        _ if args.json => json(&bench)?,
        BenchFormat::Json => json(&bench)?,
        BenchFormat::Markdown => render_bench_markdown(&bench),
        BenchFormat::Human => {
            let page = dir.join("bench.html");
            let again = format!("\n again   {}\n page    {}\n", bench.command, page.display());
            render_bench(&bench, terminal.style()) + &again
        }
    };
    print(&text, terminal)?;
    match halted {
        Some(failure) if failure.exit == Exit::Interrupted => Ok(Exit::Interrupted),
        Some(failure) => Err(failure),
        None => Ok(exit(&bench)),
    }
}

/// Refuses what no run could be, before the first one.
fn check(args: &BenchArgs, plans: &[CellPlan], seed: u64) -> Result<()> {
    ensure!((1..=100).contains(&args.repeat), "--repeat is {}; it goes from 1 to 100", args.repeat);
    for (place, processes) in args.processes.iter().enumerate() {
        let is_new = !args.processes[..place].contains(processes);
        ensure!(is_new, "--processes: {processes} stands there twice");
    }
    for (place, contender) in args.backends.iter().enumerate() {
        let is_new = !args.backends[..place].contains(contender);
        ensure!(is_new, "--backends: {contender} stands there twice");
    }
    for cell in plans {
        let command = command(cell, args, seed);
        let run = run_args_of(&command).map_err(|error| {
            // Its usage is that of `run`, which nobody called.
            let text = error.to_string();
            anyhow!("{}", text.lines().next().unwrap_or_default().trim_start_matches("error: "))
        })?;
        plan::plan(&run, seed, String::new()).map_err(|error| {
            anyhow!("{}, {} processes: {error:#}", cell.contender, cell.processes)
        })?;
    }
    Ok(())
}

fn empty(plan: &CellPlan, args: &BenchArgs, turns: &[cells::Turn]) -> Cell {
    Cell {
        contender: plan.contender.to_string(),
        keys: plan.keys,
        processes: plan.processes,
        command: command(plan, args, turns.first().map_or(1, |turn| turn.seed)),
        measurements: Vec::new(),
        problems: Vec::new(),
    }
}

/// The command line that makes the same bench again.
fn again(args: &BenchArgs, seed: u64) -> String {
    let mut given: Vec<String> = std::env::args().skip(1).collect();
    if args.seed.is_none() {
        given.extend(["--seed".to_owned(), seed.to_string()]);
    }
    let words = given.iter().map(|word| locktest_cluster::quote(word));
    std::iter::once("locktest".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

fn directory(args: &BenchArgs, started: SystemTime, seed: u64) -> Result<PathBuf> {
    let time = humantime::format_rfc3339_seconds(started).to_string().replace([':', '-'], "");
    let dir = args.store.join(format!("{time}-bench-{seed}"));
    fs::create_dir_all(&args.store)
        .and_then(|()| fs::create_dir(&dir))
        .with_context(|| format!("cannot make the bench's directory {}", dir.display()))?;
    Ok(dir)
}

fn write(bench: &Bench, dir: &std::path::Path) -> Result<()> {
    for (name, text) in [
        ("bench.json", as_json(bench)),
        ("bench.md", render_bench_markdown(bench)),
        ("bench.html", render_bench_html(bench)),
    ] {
        let path = dir.join(name);
        write_atomically(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// A violation outranks what could not be measured.
fn exit(bench: &Bench) -> Exit {
    let mut measurements = bench.cells.iter().flat_map(|cell| &cell.measurements).peekable();
    if measurements.peek().is_none() {
        return Exit::SetUp;
    }
    let violated = |outcome| outcome == locktest_analyzer::RunOutcome::Violated;
    match measurements.any(|measurement| violated(measurement.outcome)) {
        true => Exit::Violation,
        false => Exit::Ok,
    }
}

fn json(bench: &Bench) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(bench).context("cannot print the bench");
    Ok(text.map_err(Failure::internal)? + "\n")
}

fn print(text: &str, terminal: &Terminal) -> Result<(), Failure> {
    terminal.print(text).context("cannot print the tables").map_err(Failure::set_up)
}
