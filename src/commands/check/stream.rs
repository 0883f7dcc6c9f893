//! Decisions in one pass over the history, for the models that allow it: memory for what is open,
//! not for what was done.

use std::time::Instant;

use locktest_checker::stream::{Counts, Decider, Step, StreamDecision, StreamEvent, StreamVerdict};
use locktest_checker::{
    Algorithm, Checked, Decision, Exhausted, Outcome, Process, Specification, Undecided,
};
use locktest_formats::events::EventReader;
use locktest_formats::{Format, decide_run};
use locktest_history::{HistoryReader, Phase};
use locktest_reports::{CheckReport, Stamps, Subject};

use super::source::Source;
use super::{elapsed_ms, unreadable};
use crate::exit::Failure;

/// Decides a history while it is read; `None` if it has to be looked at as a whole.
pub fn check(
    source: &Source,
    specification: Specification,
    begun: Instant,
) -> Result<Option<CheckReport>, Failure> {
    match source.format {
        Format::Events => check_events(source, specification, begun),
        Format::Locktest => check_run(source, specification, begun),
        _ => Ok(None),
    }
}

fn check_events(
    source: &Source,
    specification: Specification,
    begun: Instant,
) -> Result<Option<CheckReport>, Failure> {
    let Some(mut decider) = Decider::new(specification) else { return Ok(None) };
    let mut reader = EventReader::new(source.open()?);
    while let Some(event) = reader.next_event().map_err(|error| unreadable(source, error))? {
        let step = match event.phase {
            Phase::Invoke => Step::Invoke,
            Phase::Ok => Step::Complete(Outcome::Ok),
            Phase::Fail => Step::Complete(Outcome::Fail),
            Phase::Info => Step::Complete(Outcome::Info),
        };
        let event = StreamEvent {
            stamp: event.line,
            process: event.process,
            action: event.function.action(),
            step,
        };
        // The alarm is kept; the rest of the file is read for its errors and its count.
        let _ = decider.event(&event);
    }
    let decision = decider.finish();
    let counts = decision.counts;
    if counts.invoked == 0 {
        let nothing = locktest_formats::FormatError::Nothing { format: source.format };
        return Err(unreadable(source, nothing));
    }
    let Some(checked) = checked(decision, source) else { return Ok(None) };
    let process = |process| format!("process {}", reader.process_number(process));
    let subject = subject(source, specification, Stamps::Line, &counts, &process, begun);
    Ok(Some(CheckReport::new(&subject, [("", &checked)])))
}

fn check_run(
    source: &Source,
    specification: Specification,
    begun: Instant,
) -> Result<Option<CheckReport>, Failure> {
    let Some(file) = source.history_file() else { return Ok(None) };
    let history = |error: locktest_history::HistoryError| unreadable(source, error.into());
    let plan = HistoryReader::open(&file).map_err(history)?.run().plan.clone();
    let Some(run) = decide_run(&file, specification).map_err(history)? else { return Ok(None) };
    if run.damage.is_some() || run.until_ns.is_some() {
        return Ok(None);
    }
    let mut counts = Counts::default();
    let mut decisions = Vec::new();
    for decision in &run.keys {
        counts.invoked += decision.counts.invoked;
        counts.unknown += decision.counts.unknown;
        let Some(checked) = checked(decision.clone(), source) else { return Ok(None) };
        decisions.push(checked);
    }
    let process = |process| {
        let (client, attempt) = run.owner(process);
        format!("{client}'s attempt {attempt}")
    };
    let subject = subject(source, specification, Stamps::Nanosecond, &counts, &process, begun);
    let names = plan.keys.iter().map(String::as_str);
    Ok(Some(CheckReport::new(&subject, names.zip(&decisions))))
}

/// The decision of a stream; `None` if the history has to be looked at as a whole, and can be.
fn checked(decision: StreamDecision, source: &Source) -> Option<Checked> {
    let decision = match decision.verdict {
        StreamVerdict::Linearizable => Decision::Linearizable(None),
        StreamVerdict::NotLinearizable(alarm) => Decision::NotLinearizable(*alarm),
        StreamVerdict::NeedsWholeHistory(_) if source.is_lasting() => return None,
        StreamVerdict::NeedsWholeHistory(_) => {
            let why = Exhausted::Streamed;
            Decision::Undecided(Undecided { why, decided_until: 0, suspected: false })
        }
    };
    Some(Checked { decision, algorithm: Algorithm::Decider })
}

/// The history, as the report speaks of it.
fn subject<'a>(
    source: &'a Source,
    specification: Specification,
    stamps: Stamps,
    counts: &Counts,
    process: &'a dyn Fn(Process) -> String,
    begun: Instant,
) -> Subject<'a> {
    Subject {
        file: &source.name,
        format: source.format.name(),
        specification,
        stamps,
        process,
        operations: counts.invoked,
        unknown: counts.unknown,
        skipped: 0,
        first_skipped: &[],
        verified: None,
        values: None,
        elapsed_ms: elapsed_ms(begun),
    }
}
