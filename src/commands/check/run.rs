//! The full verdict of a run.

use anyhow::{Context, anyhow};
use locktest_analyzer::{ViolationClass, promised};
use locktest_checker::{Decision, Options, Specification, Values, check, verify};
use locktest_history::{History, RunDir};

use crate::cli::CheckArgs;
use crate::exit::{Exit, Failure};
use crate::run::{Verdicts, conclude};
use crate::terminal::Terminal;

/// Judges a run directory again and renews its reports.
pub fn judge_run_dir(
    args: &CheckArgs,
    run_dir: &RunDir,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let history =
        run_dir.read_history().context("cannot read the history").map_err(Failure::usage)?;
    judge_into(args, &history, Some(run_dir), terminal)
}

/// Judges a run of which there is no more than its history.
pub fn judge(args: &CheckArgs, history: &History, terminal: &Terminal) -> Result<Exit, Failure> {
    judge_into(args, history, None, terminal)
}

fn judge_into(
    args: &CheckArgs,
    history: &History,
    run_dir: Option<&RunDir>,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    for damage in &history.damage {
        terminal.warning(format_args!("part of the history is lost: {damage}"));
    }
    let Verdicts { verdict, unwritten } = conclude(run_dir, history, args.json, terminal)?;
    if let Some(problem) = unwritten {
        // A run directory that cannot be written to can be judged all the same.
        terminal.warning(problem);
    }
    if args.verify {
        let overlapped = verdict.violation_counts.contains_key(&ViolationClass::DoubleGrant);
        let proof = prove(history, overlapped)?;
        terminal.step(proof);
    }
    Ok(Exit::of_verdict(&verdict, args.fail_on.is_some()))
}

/// Has the checker decide what the service promised, and verifies its proof. Whatever disagrees
/// with the verdict is a bug in locktest.
fn prove(history: &History, double_grant: bool) -> Result<String, Failure> {
    let bug = |what: String| Failure::internal(anyhow!("{what}; this is a bug in locktest"));
    let objects = promised(history);
    let values = Values::default();
    let options =
        Options { certificate: true, time_is_up: &|| false, memory_limit_bytes: usize::MAX };
    let (mut holds, mut overlapped) = (0, false);
    for (object, checked) in
        objects.iter().zip(check(Specification::OwnerMutex, &objects, &values, &options))
    {
        match checked.decision {
            Decision::Linearizable(Some(certificate)) => {
                verify(Specification::OwnerMutex, &object.operations, &values, &certificate)
                    .map_err(|error| bug(format!("a proof is wrong: {error}")))?;
                holds += object.operations.len() / 2;
            }
            Decision::NotLinearizable(_) => overlapped = true,
            other => return Err(bug(format!("a proof is missing: {other:?}"))),
        }
    }
    match (overlapped, double_grant) {
        (true, true) => Ok("verified: the promises overlap, as the verdict says".into()),
        (false, false) => Ok(format!(
            "verified: the {holds} promised holds follow each other, by a rule and a proof of their \
             own"
        )),
        _ => Err(bug("the verdict and the checker disagree about double grants".into())),
    }
}
