//! The report for people: the answer first, then what is in the way.

use super::wording::at;
use super::{CheckOutcome, CheckReport, ObjectReport};
use crate::terminal::{Block, Style};
use crate::text::{ascii, count, duration, visible};
use crate::wording::Tone;

/// Keys and actions are cut to this length.
const MAX_NAME: usize = 60;

/// Names of processes are cut to this length.
const MAX_PROCESS: usize = 16;

/// More operations of one conflict than this are left to the JSON.
const MAX_OPERATIONS: usize = 12;

/// The report as a block of text.
pub fn render_check(report: &CheckReport, style: Style) -> String {
    let mut block = Block::new(style);
    let (word, tone) = match report.outcome {
        CheckOutcome::Held => ("LINEARIZABLE", Tone::Good),
        CheckOutcome::Violated => ("NOT LINEARIZABLE", Tone::Bad),
        CheckOutcome::Undecided => ("UNDECIDED", Tone::Doubt),
    };
    // What was left out may hide a violation, so the answer is not wholly good.
    let tone = if report.skipped > 0 && tone == Tone::Good { Tone::Doubt } else { tone };
    let word = block.paint(tone, word);
    block.line(&format!(" {word}  {}, {}", report.model, visible(&report.file, usize::MAX)));
    block.paragraph(1, &amount(report));
    block.paragraph(1, &how(report));
    if report.skipped > 0 {
        block.doubt(1, &format!("{} left out:", count(report.skipped, "record")));
        for skipped in &report.first_skipped {
            block.item(skipped);
        }
    }
    for object in &report.shown {
        block.gap();
        describe(&mut block, report, object);
    }
    let told = report.shown.len() as u64;
    if told < report.violated + report.undecided {
        block.gap();
        block.paragraph(1, &in_all(report));
    }
    block.out
}

fn amount(report: &CheckReport) -> String {
    let mut text = count(report.operations, "operation");
    if report.unknown > 0 {
        text.push_str(&format!(" ({} of unknown outcome)", report.unknown));
    }
    text.push_str(&format!(" on {}", count(report.objects, "object")));
    text.push_str(&format!(", in {}", duration(report.elapsed_ms)));
    text
}

fn how(report: &CheckReport) -> String {
    let mut text = match report.searched {
        0 => "algorithm: the polynomial rule of its model".to_owned(),
        n if n == report.objects => "algorithm: search".to_owned(),
        n => format!("algorithm: the polynomial rule of its model; search for {n} objects"),
    };
    if !report.search_reasons.is_empty() {
        text.push_str(&format!(" (the rule does not apply: {})", report.search_reasons.join("; ")));
    }
    match report.verified {
        Some(0) => text.push_str("; there is no linearization to verify"),
        Some(n) => text.push_str(&format!("; {} verified", count(n, "linearization"))),
        None => {}
    }
    text
}

fn describe(block: &mut Block, report: &CheckReport, object: &ObjectReport) {
    let key = ascii(&object.key, MAX_NAME);
    let of_key = if key.is_empty() { String::new() } else { format!("key \"{key}\", ") };
    match (object.violated_at, object.decided_until) {
        (Some(stamp), _) => {
            let since = match object.shortest {
                Some(true) => "first contradiction at",
                _ => "contradiction by",
            };
            block.paragraph(1, &format!("{of_key}{since} {}", at(report.stamps, stamp)));
        }
        (None, _) => block.paragraph(1, &format!("{of_key}undecided")),
    }
    let shown = &object.operations[..object.operations.len().min(MAX_OPERATIONS)];
    let ends: Vec<(String, String)> = shown
        .iter()
        .map(|operation| {
            let complete =
                operation.complete.map_or("?".to_owned(), |stamp| at(report.stamps, stamp));
            (at(report.stamps, operation.invoke), complete)
        })
        .collect();
    let invoke_width = ends.iter().map(|(invoke, _)| invoke.len()).max().unwrap_or(0);
    let complete_width = ends.iter().map(|(_, complete)| complete.len()).max().unwrap_or(0);
    let processes: Vec<String> =
        shown.iter().map(|operation| ascii(&operation.process, MAX_PROCESS)).collect();
    let process_width = processes.iter().map(String::len).max().unwrap_or(0);
    for ((operation, process), (invoke, complete)) in shown.iter().zip(processes).zip(ends) {
        let head = format!(
            "{process:<process_width$}  {invoke:<invoke_width$} -> {complete:<complete_width$} "
        );
        let action = ascii(&operation.action, MAX_NAME);
        block.labelled(&head, &format!("{action} {}", operation.outcome));
    }
    if object.operations.len() > shown.len() {
        block.paragraph(3, &format!("{} more with --json", object.operations.len() - shown.len()));
    }
    block.labelled("why:", &object.why);
}

fn in_all(report: &CheckReport) -> String {
    format!(
        "in all, {} not linearizable and {} undecided",
        count(report.violated, "object"),
        count(report.undecided, "object")
    )
}
