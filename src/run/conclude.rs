//! From a history to a verdict, its files, and what is printed of it.

use anyhow::Context;
use locktest_analyzer::{Verdict, analyze};
use locktest_history::{History, RunDir, write_atomically};
use locktest_reports::{Paths, render_html, render_json, render_verdict};

use crate::exit::Failure;
use crate::terminal::Terminal;

/// Analyses a history, writes verdict.json and report.html, and prints the verdict. The second
/// value tells why the files could not be written; the verdict survives that.
pub fn conclude(
    run_dir: &RunDir,
    history: &History,
    json: bool,
    terminal: &Terminal,
) -> Result<(Verdict, Option<anyhow::Error>), Failure> {
    let verdict = analyze(history);
    let text_json = render_json(&verdict);
    let written = write_atomically(&run_dir.verdict(), text_json.as_bytes())
        .with_context(|| format!("cannot write {}", run_dir.verdict().display()))
        .and_then(|()| {
            write_atomically(&run_dir.report(), render_html(&verdict, history).as_bytes())
                .with_context(|| format!("cannot write {}", run_dir.report().display()))
        });
    let text = if json {
        text_json
    } else {
        let paths = Paths { run_dir: run_dir.path().to_owned(), report: run_dir.report() };
        render_verdict(&verdict, history, &paths, terminal.style())
    };
    terminal.print(&text).context("cannot print the verdict").map_err(Failure::set_up)?;
    Ok((verdict, written.err()))
}
