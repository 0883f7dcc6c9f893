//! From a history to a verdict, its files, and what is printed of it.

use anyhow::Context;
use locktest_analyzer::{Verdict, analyze};
use locktest_history::{History, RunDir, executed, write_atomically};
use locktest_reports::{Paths, render_html, render_json, render_verdict};

use crate::exit::Failure;
use crate::terminal::Terminal;

/// A verdict, and why its files could not be written; the verdict survives that.
pub struct Verdicts {
    pub verdict: Verdict,
    pub unwritten: Option<anyhow::Error>,
}

/// Analyses a history, writes verdict.json, report.html and schedule.json if there is a run directory,
/// and prints the verdict.
pub fn conclude(
    run_dir: Option<&RunDir>,
    history: &History,
    json: bool,
    terminal: &Terminal,
) -> Result<Verdicts, Failure> {
    let verdict = analyze(history);
    let text_json = render_json(&verdict);
    let unwritten = run_dir.and_then(|run_dir| write(run_dir, &verdict, history, &text_json).err());
    let text = if json {
        text_json
    } else {
        let paths = run_dir
            .map(|run_dir| Paths { run_dir: run_dir.path().to_owned(), report: run_dir.report() });
        render_verdict(&verdict, history, paths.as_ref(), terminal.style())
    };
    terminal.print(&text).context("cannot print the verdict").map_err(Failure::set_up)?;
    Ok(Verdicts { verdict, unwritten })
}

fn write(run_dir: &RunDir, verdict: &Verdict, history: &History, json: &str) -> anyhow::Result<()> {
    write_atomically(&run_dir.verdict(), json.as_bytes())
        .with_context(|| format!("cannot write {}", run_dir.verdict().display()))?;
    write_atomically(&run_dir.report(), render_html(verdict, history).as_bytes())
        .with_context(|| format!("cannot write {}", run_dir.report().display()))?;
    run_dir
        .write_json(&run_dir.schedule(), &executed(history))
        .context("cannot write the faults that ran")
}
