//! `locktest report`: the pages of runs made again, and one page over many runs.

mod folder;

pub use folder::matrix_page;

use std::path::Path;

use anyhow::Context;
use locktest_reports::{as_json, visible_path};
use serde_json::json;

use crate::cli::ReportArgs;
use crate::exit::{Exit, Failure};
use crate::run::{Verdicts, judge};
use crate::terminal::Terminal;

/// Renders every path, whatever becomes of the others.
pub fn report(args: &ReportArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut exits = Vec::new();
    for path in &args.paths {
        let rendered = match path.join("history").exists() {
            true => run(path, args.json, terminal),
            false => folder::report(path, args.json, terminal),
        };
        if let Err(failure) = rendered {
            terminal.error(&failure);
            exits.push(failure.exit);
        }
    }
    // What was lost outranks what was never there.
    let by_rank = [Exit::Internal, Exit::SetUp, Exit::Usage];
    Ok(by_rank.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Exit::Ok))
}

/// Judges a run again, renews its files, and prints where its page is.
fn run(path: &Path, json: bool, terminal: &Terminal) -> Result<(), Failure> {
    let run_dir = super::open_run_dir(path)?;
    let history =
        run_dir.read_history().context("cannot read the history").map_err(Failure::usage)?;
    for damage in &history.damage {
        terminal.warning(format_args!("{}: part of the history is lost: {damage}", path.display()));
    }
    let Verdicts { verdict, unwritten } = judge(Some(&run_dir), &history);
    if let Some(problem) = unwritten {
        return Err(Failure::set_up(problem));
    }
    let page = run_dir.report();
    let text = match json {
        true => as_json(&json!({ "outcome": verdict.outcome, "page": page.to_string_lossy() })),
        false => format!("{}\n", visible_path(&page)),
    };
    print(&text, terminal)
}

fn print(text: &str, terminal: &Terminal) -> Result<(), Failure> {
    terminal.print(text).context("cannot print the report").map_err(Failure::set_up)
}
