//! The decisions on a whole history.

use std::time::Instant;

use anyhow::anyhow;
use locktest_checker::{Checked, Decision, Exhausted, Outcome, Process, Undecided, check, verify};
use locktest_formats::{Loaded, Processes};
use locktest_reports::{CheckReport, Subject};

use super::elapsed_ms;
use super::source::Source;
use crate::cli::CheckArgs;
use crate::exit::Failure;

/// Decides every object of a history.
pub fn decide(
    args: &CheckArgs,
    source: &Source,
    loaded: &Loaded,
    begun: Instant,
) -> Result<CheckReport, Failure> {
    let options = locktest_checker::Options {
        certificate: args.verify,
        time_is_up: &|| begun.elapsed() >= args.budget,
        memory_limit_bytes: args.memory_limit.saturating_mul(1 << 20),
    };
    let mut decisions = check(loaded.specification, &loaded.objects, &loaded.values, &options);
    for checked in &mut decisions {
        doubt(checked, loaded.whole_until);
    }
    let verified = if args.verify { Some(verify_all(loaded, &decisions)?) } else { None };
    let operations = loaded.objects.iter().flat_map(|object| &object.operations);
    let (mut total, mut unknown) = (0, 0);
    for operation in operations {
        total += 1;
        unknown += u64::from(operation.outcome == Outcome::Info);
    }
    let subject = Subject {
        file: &source.name,
        format: source.format.name(),
        specification: loaded.specification,
        stamps: stamps(loaded.stamps),
        values: Some(&loaded.values),
        process: &|process| process_name(&loaded.processes, process),
        operations: total,
        unknown,
        skipped: loaded.skipped.count,
        first_skipped: &loaded.skipped.first,
        verified,
        elapsed_ms: elapsed_ms(begun),
    };
    let names = loaded.objects.iter().map(|object| object.name.as_str());
    Ok(CheckReport::new(&subject, names.zip(&decisions)))
}

/// A conflict that may be owed to what could not be read proves nothing.
fn doubt(checked: &mut Checked, whole_until: u64) {
    if let Decision::NotLinearizable(counterexample) = &checked.decision
        && counterexample.at >= whole_until
    {
        let decided_until = whole_until.saturating_sub(1);
        let undecided = Undecided { why: Exhausted::Unread, decided_until, suspected: false };
        checked.decision = Decision::Undecided(undecided);
    }
}

/// Has the verifier check every linearization, and counts them. One that is wrong is a bug in
/// locktest.
fn verify_all(loaded: &Loaded, decisions: &[Checked]) -> Result<u64, Failure> {
    let mut verified = 0;
    for (object, checked) in loaded.objects.iter().zip(decisions) {
        let Decision::Linearizable(certificate) = &checked.decision else { continue };
        let certificate = certificate.as_deref().unwrap_or_default();
        verify(loaded.specification, &object.operations, &loaded.values, certificate).map_err(
            |error| {
                Failure::internal(anyhow!(
                    "the linearization of key \"{}\" is wrong: {error}; this is a bug in locktest",
                    object.name
                ))
            },
        )?;
        verified += 1;
    }
    Ok(verified)
}

/// `process 3`, or whatever the history calls it.
fn process_name(processes: &Processes, process: Process) -> String {
    match processes.name(process) {
        Some(locktest_formats::ProcessName::Number(number)) => format!("process {number}"),
        Some(name) => name.to_string(),
        None => format!("process #{process}"),
    }
}

fn stamps(stamps: locktest_formats::Stamps) -> locktest_reports::Stamps {
    match stamps {
        locktest_formats::Stamps::Lines => locktest_reports::Stamps::Line,
        locktest_formats::Stamps::Events => locktest_reports::Stamps::Event,
        locktest_formats::Stamps::Nanoseconds => locktest_reports::Stamps::Nanosecond,
    }
}
