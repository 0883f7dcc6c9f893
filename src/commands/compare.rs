//! `locktest compare`: runs, or benches, side by side, the first as the baseline.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use locktest_history::write_atomically;
use locktest_reports::{
    BENCH_SCHEMA_VERSION, Bench, BenchToCompare, Comparison, RunToCompare, as_json,
    compare_benches, compare_runs, render_comparison, render_comparison_html,
    render_comparison_markdown,
};
use serde_json::Value;

use crate::cli::{CompareArgs, CompareFormat};
use crate::exit::{Exit, Failure};
use crate::plan::differences_but_for;
use crate::run::judge;
use crate::terminal::Terminal;

/// The file that tells a bench's directory from a run's.
const BENCH_FILE: &str = "bench.json";

/// What of a bench is no choice of its user's, or is compared itself.
const NO_CHOICE_OF_A_BENCH: [&str; 6] =
    ["schema_version", "started_at_unix_s", "command", "cells", "contenders", "interrupted"];

/// Compares what the paths name.
pub fn compare(args: &CompareArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let is_bench = |path: &&PathBuf| path.join(BENCH_FILE).exists();
    let (benches, runs): (Vec<_>, Vec<_>) = args.paths.iter().partition(is_bench);
    let comparison = match (benches.first(), runs.first()) {
        (Some(bench), Some(run)) => {
            let (bench, run) = (bench.display(), run.display());
            return Err(Failure::usage(anyhow!(
                "{bench} is a bench and {run} is none; give runs only, or benches only"
            )));
        }
        (Some(_), None) => {
            let benches: Result<Vec<_>> = benches.into_iter().map(|path| bench(path)).collect();
            let mut benches = benches.map_err(Failure::usage)?;
            let first = benches[0].bench.clone();
            for one in &mut benches[1..] {
                one.differences = differences_but_for(&NO_CHOICE_OF_A_BENCH, &first, &one.bench);
            }
            compare_benches(&benches, args.fail_above)
        }
        (None, _) => {
            let runs: Result<Vec<_>, _> =
                runs.into_iter().map(|path| run(path, terminal)).collect();
            let mut runs = runs?;
            let first = runs[0].run.plan.clone();
            for one in &mut runs[1..] {
                one.differences = differences_but_for(&[], &first, &one.run.plan);
            }
            compare_runs(&runs, args.fail_above)
        }
    };
    if let Some(page) = &args.html {
        write_atomically(page, render_comparison_html(&comparison).as_bytes())
            .with_context(|| format!("cannot write {}", page.display()))
            .map_err(Failure::set_up)?;
    }
    let text = render(&comparison, args, terminal);
    terminal.print(&text).context("cannot print the comparison").map_err(Failure::set_up)?;
    exit(&comparison, args)
}

fn render(comparison: &Comparison, args: &CompareArgs, terminal: &Terminal) -> String {
    match args.format {
        CompareFormat::Human if !args.json => render_comparison(comparison, terminal.style()),
        CompareFormat::Markdown if !args.json => render_comparison_markdown(comparison),
        _ => as_json(comparison),
    }
}

/// A gate that looked at nothing must not be open.
fn exit(comparison: &Comparison, args: &CompareArgs) -> Result<Exit, Failure> {
    if args.fail_above.is_none() {
        return Ok(Exit::Ok);
    }
    if comparison.figures_compared == 0 {
        return Err(Failure::usage(anyhow!(
            "--fail-above: {} has no acquires that the others could be held against",
            args.paths[0].display()
        )));
    }
    Ok(if comparison.regressions.is_empty() { Exit::Ok } else { Exit::Regression })
}

fn run(path: &Path, terminal: &Terminal) -> Result<RunToCompare, Failure> {
    let run_dir = super::open_run_dir(path)?;
    let history =
        run_dir.read_history().context("cannot read the history").map_err(Failure::usage)?;
    for damage in &history.damage {
        terminal.warning(format_args!("{}: part of the history is lost: {damage}", path.display()));
    }
    let verdict = judge(None, &history).verdict;
    let name = path.display().to_string();
    Ok(RunToCompare { name, run: history.run, verdict, differences: Vec::new() })
}

fn bench(path: &Path) -> Result<BenchToCompare> {
    let file = path.join(BENCH_FILE);
    let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let value: Value = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is not the JSON of a bench", file.display()))?;
    let found = &value["schema_version"];
    ensure!(
        *found == BENCH_SCHEMA_VERSION,
        "{} has schema version {found}; this locktest reads version {BENCH_SCHEMA_VERSION}",
        file.display()
    );
    let bench: Bench = serde_json::from_value(value)
        .with_context(|| format!("{} is not the JSON of a bench", file.display()))?;
    Ok(BenchToCompare { name: path.display().to_string(), bench, differences: Vec::new() })
}
