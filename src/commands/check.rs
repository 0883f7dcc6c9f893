//! `locktest check`: a run's verdict once more, or whether any history is linearizable.

mod decisions;
mod run;
mod source;
mod stream;

use std::time::Instant;

use anyhow::{Context, anyhow};
use locktest_checker::Specification;
use locktest_formats::{Contents, Format, FormatError, Options, read};
use locktest_reports::{CheckOutcome, CheckReport, render_check};

use crate::cli::CheckArgs;
use crate::exit::{Exit, Failure};
use crate::terminal::Terminal;
use source::{Place, Source};

/// Judges what the path names.
pub fn check(args: &CheckArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let source = Source::find(&args.path, args.format)?;
    if args.model.is_none()
        && let Place::RunDir(run_dir) = &source.place
    {
        return run::judge_run_dir(args, run_dir, terminal);
    }
    if !source.may_be_a_run() {
        refuse_flags_of_runs(args, &source)?;
    }
    let is_of_a_lock = args.model.is_some() || source.format == Format::Events;
    if is_of_a_lock && !args.verify && !args.lenient {
        let specification = args.model.unwrap_or(Specification::OwnerMutex);
        if let Some(report) = stream::check(&source, specification, begun)? {
            return conclude(args, &report, terminal);
        }
    }
    let options = Options { lenient: args.lenient, specification: args.model };
    let contents =
        read(source.format, source.open()?, &options).map_err(|e| unreadable(&source, e))?;
    if let (None, Contents::Run(history)) = (args.model, &contents) {
        return run::judge(args, history, terminal);
    }
    refuse_flags_of_runs(args, &source)?;
    let loaded = contents.operations(&options).map_err(|e| unreadable(&source, e))?;
    let report = decisions::decide(args, &source, &loaded, begun)?;
    conclude(args, &report, terminal)
}

fn refuse_flags_of_runs(args: &CheckArgs, source: &Source) -> Result<(), Failure> {
    for (flag, is_given) in
        [("--fail-on", args.fail_on.is_some()), ("--prometheus", args.prometheus.is_some())]
    {
        if is_given {
            let problem = anyhow!("{flag} is about a run, and {} is none", source.name);
            return Err(Failure::usage(problem));
        }
    }
    Ok(())
}

fn conclude(args: &CheckArgs, report: &CheckReport, terminal: &Terminal) -> Result<Exit, Failure> {
    let text = if args.json { report.to_json() } else { render_check(report, terminal.style()) };
    terminal.print(&text).context("cannot print the verdict").map_err(Failure::set_up)?;
    Ok(match report.outcome {
        CheckOutcome::Held => Exit::Ok,
        CheckOutcome::Violated => Exit::Violation,
        CheckOutcome::Undecided => Exit::Inconclusive,
    })
}

fn unreadable(source: &Source, error: FormatError) -> Failure {
    let hint = match &error {
        FormatError::At { .. } | FormatError::Damaged { .. } => {
            "; --lenient takes what makes sense"
        }
        _ => "",
    };
    Failure::usage(anyhow!("{}: {error}{hint}", source.name))
}

fn elapsed_ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}
