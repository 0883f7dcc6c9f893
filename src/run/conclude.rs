//! From a history to a verdict, its files, and what is printed of it.

use std::path::Path;

use anyhow::Context;
use locktest_analyzer::Verdict;
use locktest_history::{History, RunDir, executed, write_atomically};
use locktest_reports::{
    AnalysisCost, Paths, render_html, render_json, render_junit, render_markdown,
    render_prometheus, render_verdict,
};

use super::background::{background, measured_analysis};
use crate::catalog::{Catalog, candidates};
use crate::exit::Failure;
use crate::terminal::Terminal;

/// A verdict, and why its files could not be written; the verdict survives that.
pub struct Verdicts {
    pub verdict: Verdict,
    pub unwritten: Option<anyhow::Error>,
}

/// Analyses a history, writes the files of the verdict if there is a run directory, and prints the
/// verdict.
pub fn conclude(
    run_dir: Option<&RunDir>,
    history: &History,
    json: bool,
    terminal: &Terminal,
) -> Result<Verdicts, Failure> {
    let verdicts = judge(run_dir, history);
    print(&verdicts.verdict, run_dir, history, json, terminal)?;
    Ok(verdicts)
}

/// Analyses a history, looks up what its violations look like, and writes the files of the verdict if
/// there is a run directory.
pub fn judge(run_dir: Option<&RunDir>, history: &History) -> Verdicts {
    let (mut verdict, cost) = measured_analysis(history);
    let catalog =
        Catalog::load().expect("the catalogue is part of the program, and a test reads it");
    verdict.known_bugs = candidates(&catalog, &verdict, &history.run.plan);
    let unwritten = run_dir.and_then(|run_dir| write(run_dir, &verdict, history, cost).err());
    Verdicts { verdict, unwritten }
}

/// Prints a verdict, for people or as JSON.
pub fn print(
    verdict: &Verdict,
    run_dir: Option<&RunDir>,
    history: &History,
    json: bool,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let text = if json {
        render_json(verdict)
    } else {
        let paths = run_dir
            .map(|run_dir| Paths { run_dir: run_dir.path().to_owned(), report: run_dir.report() });
        render_verdict(verdict, history, paths.as_ref(), terminal.style())
    };
    terminal.print(&text).context("cannot print the verdict").map_err(Failure::set_up)
}

/// Writes the metrics of a verdict where node_exporter looks for them: it reads a file that is whole.
pub fn write_prometheus(path: &Path, verdict: &Verdict, history: &History) -> anyhow::Result<()> {
    write_text(path, &render_prometheus(verdict, history))
}

fn write(
    run_dir: &RunDir,
    verdict: &Verdict,
    history: &History,
    cost: AnalysisCost,
) -> anyhow::Result<()> {
    write_text(&run_dir.verdict(), &render_json(verdict))?;
    let background = background(run_dir, cost);
    write_text(&run_dir.report(), &render_html(verdict, history, &background))?;
    write_text(&run_dir.junit(), &render_junit(verdict, history))?;
    write_text(&run_dir.summary(), &render_markdown(verdict, history))?;
    run_dir
        .write_json(&run_dir.schedule(), &executed(history))
        .context("cannot write the faults that ran")
}

fn write_text(path: &Path, text: &str) -> anyhow::Result<()> {
    write_atomically(path, text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}
