//! `locktest replay`: a run again, with the faults that it had.
//!
//! A run records the flags that make its plan again, and its history says what the faults were. A
//! replay is a run with these flags and `--faults-of` the earlier run, so it can be replayed itself:
//! its own faults then take the place of those.

use std::ffi::OsString;

use anyhow::{Context, anyhow};
use locktest_history::Plan;

use crate::cli::{ReplayArgs, RunArgs, parse_run, words_of};
use crate::exit::{Exit, Failure};
use crate::plan;
use crate::terminal::Terminal;

const FAULTS_OF: &str = "--faults-of";

/// Runs a run again to its verdict.
pub fn replay(args: &ReplayArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let run_dir = super::open_run_dir(&args.run)?;
    let history =
        run_dir.read_history().context("cannot read the history").map_err(Failure::usage)?;
    let words = words(&history.run.command, run_dir.path().into(), args);
    let run = parse_run(words).map_err(|error| {
        let text = error.render().to_string();
        let text = text.lines().next().unwrap_or_default().replacen("error: ", "", 1);
        let command = &history.run.command;
        Failure::usage(anyhow!("the run's command line is not understood: {text}\n\n  {command}"))
    })?;
    is_the_same(&run, &history.run.plan)?;
    super::run(&run, terminal)
}

/// The flags of the new run: those of the earlier one but for its faults, and those given now.
fn words(command: &str, earlier: OsString, args: &ReplayArgs) -> Vec<OsString> {
    let mut recorded: Vec<String> = words_of(command);
    if let Some(at) = recorded.iter().position(|word| word == FAULTS_OF) {
        recorded.drain(at..recorded.len().min(at + 2));
    }
    let has_stop = recorded.iter().any(|word| word == "--stop-on-violation");
    let mut words: Vec<OsString> = recorded.into_iter().skip(1).map(OsString::from).collect();
    words.extend([FAULTS_OF.into(), earlier]);
    if let Some(store) = &args.store {
        words.extend(["--store".into(), store.into()]);
    }
    if let Some(lab) = &args.lab {
        words.extend(["--lab".into(), lab.into()]);
    }
    if let Some(format) = args.format {
        words.extend(["--format", format.name()].map(OsString::from));
    }
    for (flag, given) in [
        ("--stop-on-violation", args.stop_on_violation && !has_stop),
        ("--json", args.json),
        ("--dry-run", args.dry_run),
    ] {
        if given {
            words.push(flag.into());
        }
    }
    words
}

/// Refuses flags that the environment sets now and did not then: they would make another run of it.
fn is_the_same(run: &RunArgs, plan: &Plan) -> Result<(), Failure> {
    let now = plan::plan(run, plan.seed, plan.version.clone()).map_err(Failure::usage)?;
    let differences = plan::differences(plan, &now);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(anyhow!(
        "this would be another run: {}; look for LOCKTEST_ variables that are set now and were not \
         then, and whether this is the version of locktest that made the run",
        differences.join(", ")
    )))
}
