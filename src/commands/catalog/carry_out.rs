//! Entries, run one after the other.

use std::path::PathBuf;

use anyhow::anyhow;
use locktest_analyzer::{PropertyOutcome, RunOutcome, Verdict, ViolationClass};

use super::outcome::{EntryResult, Finding, Passing, RunResult};
use crate::catalog::{Entry, Twin, Variant};
use crate::cli::run_args_of;
use crate::exit::{Exit, Failure};
use crate::run::{OneRun, Stop, one_run};
use crate::terminal::Terminal;

/// A twin that did less has shown nothing.
const LEAST_WORK: u64 = 5;

/// Runs entries, and keeps what came of them so far.
pub struct CarryOut {
    /// What is known, also when it was cut short.
    pub results: Vec<EntryResult>,
    seeds: Vec<u64>,
    store: PathBuf,
    stop: Stop,
    terminal: Terminal,
}

impl CarryOut {
    /// Nothing has been run yet.
    pub fn new(seeds: Vec<u64>, store: PathBuf, stop: Stop, terminal: Terminal) -> CarryOut {
        CarryOut { results: Vec::new(), seeds, store, stop, terminal }
    }

    /// Runs them in order.
    ///
    /// # Errors
    /// Nothing more may run: it was interrupted, or a fault was left behind.
    pub async fn entries(&mut self, entries: &[&Entry]) -> Result<(), Failure> {
        for (entry, number) in entries.iter().zip(1..) {
            let (id, count) = (&entry.id, entries.len());
            self.terminal.step(format_args!("{id} ({number} of {count}): {}", entry.title));
            let mut result = EntryResult {
                id: id.clone(),
                class: entry.class,
                unshowable: entry.unshowable.as_ref().map(|reason| reason.why.clone()),
                variants: Vec::new(),
                twin: None,
            };
            let halted = self.entry(entry, &mut result).await;
            self.results.push(result);
            halted?;
        }
        Ok(())
    }

    async fn entry(&self, entry: &Entry, result: &mut EntryResult) -> Result<(), Failure> {
        for variant in &entry.variants {
            let run = self.find(entry, variant).await?;
            self.terminal.step(format_args!("  {}: {}", run.name, run.result));
            result.variants.push(run);
        }
        if let Some(twin) = &entry.twin {
            let run = self.pass(entry, twin).await?;
            self.terminal.step(format_args!("  twin {}: {}", run.name, run.result));
            result.twin = Some(run);
        }
        Ok(())
    }

    /// Tries the seeds in order until one of them shows the entry.
    async fn find(&self, entry: &Entry, variant: &Variant) -> Result<RunResult<Finding>, Failure> {
        let of = |command, result| RunResult { name: variant.name.clone(), command, result };
        let mut instead = Vec::new();
        let mut last = String::new();
        for seed in &self.seeds {
            let command = entry.command(variant, *seed);
            let run = match self.run(&command, *seed).await? {
                Ok(run) => run,
                Err(why) => return Ok(of(command, Finding::NotRun { why })),
            };
            if let Some(after_s) = first_s(&run.verdict, entry.class) {
                let version = run.verdict.version.clone();
                let run_dir = run.run_dir.path().display().to_string();
                let found = Finding::Found { seed: *seed, after_s, version, run_dir };
                return Ok(of(command, found));
            }
            let words = format!("seed {seed}: {}", what_else(&run));
            self.terminal.step(format_args!("  {}, {words}", variant.name));
            instead.push(words);
            last = command;
        }
        Ok(of(last, Finding::NotFound { instead }))
    }

    /// Runs a twin to its end.
    async fn pass(&self, entry: &Entry, twin: &Twin) -> Result<RunResult<Passing>, Failure> {
        let seed = self.seeds.first().copied().unwrap_or_default();
        let command = entry.twin_command(twin, seed);
        let result = match self.run(&command, seed).await? {
            Ok(run) => judge(&run, twin.fenced),
            Err(why) => Passing::NotRun { why },
        };
        Ok(RunResult { name: twin.name.clone(), command, result })
    }

    /// Runs a command line to its verdict, or tells why there is none.
    async fn run(&self, command: &str, seed: u64) -> Result<Result<OneRun, String>, Failure> {
        let mut args = run_args_of(command).map_err(Failure::internal)?;
        args.store = self.store.clone();
        self.terminal.detail(command);
        self.terminal.live(command);
        let outcome = one_run(&args, seed, &self.stop, &self.terminal.of_a_part()).await;
        self.terminal.end_live();
        let left = match &outcome {
            Ok(run) => run.exit.as_ref().err(),
            Err(failure) => Some(failure),
        };
        if let Some(left) = left.filter(|failure| failure.exit == Exit::FaultLeft) {
            return Err(Failure { exit: Exit::FaultLeft, error: anyhow!("{left}") });
        }
        if self.stop.is_requested() {
            return Err(Failure { exit: Exit::Interrupted, error: anyhow!("interrupted") });
        }
        Ok(outcome.map_err(|failure| failure.to_string()))
    }
}

/// When the first violation of a class happened, in seconds.
fn first_s(verdict: &Verdict, class: ViolationClass) -> Option<f64> {
    let of_class = verdict.violations.iter().filter(|violation| violation.class == class);
    of_class.map(|violation| violation.time_ns).min().map(|ns| ns as f64 / 1e9)
}

/// What a run found that did not find what it should.
fn what_else(run: &OneRun) -> String {
    match (violations(&run.verdict), &run.exit) {
        (Some(found), _) => found,
        (None, Err(failure)) => failure.to_string(),
        (None, Ok(_)) => format!("nothing in {}", work(&run.verdict)),
    }
}

fn violations(verdict: &Verdict) -> Option<String> {
    let counts = verdict.violation_counts.iter();
    let words: Vec<String> = counts.map(|(class, count)| format!("{class} x{count}")).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn judge(run: &OneRun, fenced: bool) -> Passing {
    let OneRun { verdict, exit, run_dir } = run;
    let is_saved = fenced
        && verdict.properties.safety.outcome == PropertyOutcome::NeedsFencing
        && verdict.properties.fencing.outcome == PropertyOutcome::Held;
    let found = violations(verdict);
    match (exit, found) {
        (_, Some(found)) if !(is_saved && verdict.outcome == RunOutcome::Held) => {
            Passing::DoesNotPass { found }
        }
        (Err(failure), _) => Passing::NotRun { why: failure.to_string() },
        (Ok(Exit::Ok), found) => {
            if amount(verdict).0 < LEAST_WORK {
                return Passing::Undecided { why: format!("only {}", work(verdict)) };
            }
            let saved = match found {
                Some(found) => format!(", {found}, fencing held"),
                None => String::new(),
            };
            Passing::Passes {
                version: verdict.version.clone(),
                work: work(verdict) + &saved,
                run_dir: run_dir.path().display().to_string(),
            }
        }
        (Ok(_), _) => Passing::Undecided { why: verdict.summary.clone() },
    }
}

/// How much a run did, and of what.
fn amount(verdict: &Verdict) -> (u64, &'static str) {
    match &verdict.counts.registers {
        Some(registers) => (registers.reads_ok, "reads"),
        None => (verdict.counts.acquires_ok, "acquires"),
    }
}

fn work(verdict: &Verdict) -> String {
    let (count, what) = amount(verdict);
    let bit = verdict.faults.iter().filter(|fault| fault.bit).count();
    format!("{count} {what}, {bit} faults")
}
