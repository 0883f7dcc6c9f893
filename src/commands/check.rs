//! `locktest check`: the analysis and the reports of a run that is over, without a cluster.

use anyhow::Context;

use crate::cli::CheckArgs;
use crate::exit::{Exit, Failure};
use crate::run::conclude;
use crate::terminal::Terminal;

/// Judges a run directory again and renews its reports.
pub fn check(args: &CheckArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let run_dir = super::open_run_dir(&args.run_dir)?;
    let history =
        run_dir.read_history().context("cannot read the history").map_err(Failure::usage)?;
    for damage in &history.damage {
        terminal.warning(format_args!("part of the history is lost: {damage}"));
    }
    let (verdict, problem) = conclude(&run_dir, &history, args.json, terminal)?;
    if let Some(problem) = problem {
        // A run directory that cannot be written to can be judged all the same.
        terminal.warning(problem);
    }
    Ok(Exit::of_verdict(&verdict, args.fail_on.is_some()))
}
