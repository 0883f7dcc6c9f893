//! The full verdict of a run.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use locktest_analyzer::{Verdict, ViolationClass, promised, registers};
use locktest_checker::{Decision, Object, Options, Specification, Values, check, verify};
use locktest_history::{History, RunDir};

use crate::cli::CheckArgs;
use crate::exit::{Exit, Failure};
use crate::run::{Verdicts, conclude, write_prometheus};
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
        let proof = if history.run.plan.workload.takes_locks() {
            let overlapped = verdict.violation_counts.contains_key(&ViolationClass::DoubleGrant);
            prove_promises(history, overlapped)?
        } else {
            prove_registers(history, &verdict, args.budget)?
        };
        terminal.step(proof);
    }
    let exit = Exit::of_verdict(&verdict, args.fail_on.is_some());
    let metrics = args.prometheus.as_deref();
    match metrics.map(|file| write_prometheus(file, &verdict, history)) {
        Some(Err(problem)) if exit == Exit::Violation => {
            terminal.warning(format_args!("{problem:#}"));
        }
        Some(Err(problem)) => return Err(Failure::set_up(problem)),
        Some(Ok(())) | None => {}
    }
    Ok(exit)
}

/// Has the checker decide what the service promised, and verifies its proof. Whatever disagrees
/// with the verdict is a bug in locktest.
fn prove_promises(history: &History, double_grant: bool) -> Result<String, Failure> {
    let proof =
        prove(Specification::OwnerMutex, &promised(history), &Values::default(), &|| false)?;
    match (proof.refuted, proof.undecided, double_grant) {
        (_, true, _) => Err(bug("a proof is missing")),
        (true, _, true) => Ok("verified: the promises overlap, as the verdict says".into()),
        (false, _, false) => Ok(format!(
            "verified: the {} promised holds follow each other, by a rule and a proof of their own",
            proof.operations / 2
        )),
        _ => Err(bug("the verdict and the checker disagree about double grants")),
    }
}

/// Has the checker decide the registers once more, and verifies its proof.
fn prove_registers(
    history: &History,
    verdict: &Verdict,
    budget: Duration,
) -> Result<String, Failure> {
    let (registers, values) = registers(history);
    let begin = Instant::now();
    let time_is_up = || begin.elapsed() > budget;
    let proof = prove(Specification::CasRegister, &registers, &values, &time_is_up)?;
    let classes = [ViolationClass::StaleRead, ViolationClass::NotLinearizable];
    let found = classes.iter().any(|class| verdict.violation_counts.contains_key(class));
    match (proof.refuted, proof.undecided, found) {
        (true, _, true) => {
            Ok("verified: no order explains the registers, as the verdict says".into())
        }
        (false, true, _) => Ok("not verified: the search came to no end within --budget".into()),
        (false, false, false) => Ok(format!(
            "verified: an order explains all {} operations on the registers, by a proof of its own",
            proof.operations
        )),
        _ => Err(bug("the verdict and the checker disagree about the registers")),
    }
}

/// What the checker says of objects, each yes of it proven.
#[derive(Default)]
struct Proof {
    /// How many operations are in the objects that are linearizable.
    operations: usize,
    /// Whether some object is not.
    refuted: bool,
    /// Whether some object is neither known to be nor known not to be.
    undecided: bool,
}

fn prove(
    specification: Specification,
    objects: &[Object],
    values: &Values,
    time_is_up: &(dyn Fn() -> bool + Sync),
) -> Result<Proof, Failure> {
    let options = Options { certificate: true, time_is_up, memory_limit_bytes: usize::MAX };
    let mut proof = Proof::default();
    for (object, checked) in objects.iter().zip(check(specification, objects, values, &options)) {
        match checked.decision {
            Decision::Linearizable(Some(certificate)) => {
                verify(specification, &object.operations, values, &certificate)
                    .map_err(|error| bug(&format!("a proof is wrong: {error}")))?;
                proof.operations += object.operations.len();
            }
            Decision::NotLinearizable(_) => proof.refuted = true,
            Decision::Linearizable(None) | Decision::Undecided(_) => proof.undecided = true,
        }
    }
    Ok(proof)
}

fn bug(what: &str) -> Failure {
    Failure::internal(anyhow!("{what}; this is a bug in locktest"))
}
