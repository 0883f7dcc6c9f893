//! The verdict in Markdown, short enough for the summary of a CI job.

#[cfg(test)]
mod tests;

use std::fmt::Write;

use locktest_analyzer::{FaultSummary, Verdict, Violation};
use locktest_history::History;

use crate::findings;
use crate::latency::{self, COLUMNS, LOW_N_NOTE};
use crate::markdown::{command, escaped};
use crate::text::{count, seconds};
use crate::wording;

/// More faults than this are left to the other reports; those that did not bite or are not undone
/// come first.
const MAX_FAULTS: usize = 20;

/// More list entries than this are left to the other reports.
const MAX_ENTRIES: usize = 12;

/// The command is cut to this length.
const MAX_COMMAND: usize = 2000;

/// Headline, the four rows, the first violation and what it looks like, how long acquires took, the faults, and the command
/// that makes the same plan again.
pub fn render_markdown(verdict: &Verdict, history: &History) -> String {
    let mut text = String::new();
    headline(&mut text, verdict, history);
    if let Some(violation) = findings::first_violation(verdict) {
        first_violation(&mut text, violation);
    }
    let likenesses: Vec<String> = verdict.known_bugs.iter().map(findings::likeness).collect();
    list(&mut text, "Match with known bugs", &likenesses);
    latency_table(&mut text, verdict);
    faults(&mut text, verdict);
    let warnings: Vec<String> = verdict.warnings.iter().map(ToString::to_string).collect();
    list(&mut text, "Warnings", &warnings);
    list(&mut text, "Not tested", &verdict.not_tested);
    text += "\n### Run it again with the same plan\n\n";
    text += &command(&verdict.command, MAX_COMMAND);
    text
}

fn headline(text: &mut String, verdict: &Verdict, history: &History) {
    let headline = wording::headline(verdict);
    let rest = escaped(&headline.rest);
    let _ = match headline.word {
        "" => writeln!(text, "## locktest: {rest}\n"),
        word => writeln!(text, "## locktest: {word}: {rest}\n"),
    };
    let _ = writeln!(text, "{}\n", escaped(&wording::subject(verdict, history)));
    text.push_str("| property | outcome | why |\n|---|---|---|\n");
    for row in wording::rows(verdict) {
        let (outcome, why) = (wording::outcome_word(row.outcome), escaped(row.why));
        let _ = writeln!(text, "| {} | {outcome} | {why} |", row.name);
    }
    if let Some(summary) = wording::summary(verdict) {
        let _ = writeln!(text, "\n{}", escaped(summary));
    }
}

fn first_violation(text: &mut String, violation: &Violation) {
    let title = escaped(&findings::title(violation));
    let _ = writeln!(text, "\n### First {title}\n\n{}", wording::class_meaning(violation.class));
    let _ = writeln!(text, "\nWhy: {}", escaped(&violation.why));
    if let Some(fault) = &violation.during {
        let _ = writeln!(text, "\nDuring: {}", escaped(fault));
    }
}

fn latency_table(text: &mut String, verdict: &Verdict) {
    let tables = latency::by_operation(&verdict.latency, None);
    let asked = tables.into_iter().filter(|(name, _)| *name != "release");
    let rows = asked.flat_map(|(name, phases)| {
        latency::by_phase(phases).into_iter().map(move |row| (name, row))
    });
    let (columns, numbers) = (COLUMNS.join(" | "), "--:|".repeat(COLUMNS.len()));
    let _ = writeln!(text, "\n### Latency by phase, in ms\n");
    let _ = writeln!(text, "| | phase | {columns} |\n|---|---|{numbers}");
    let mut has_low_n = false;
    for (name, row) in rows {
        let cells = row.cells.iter().map(|cell| match cell.low_n {
            true => format!("{}\\*", cell.text),
            false => cell.text.clone(),
        });
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(text, "| {name} | {} | {} |", row.name, cells.join(" | "));
        has_low_n |= row.cells.iter().any(|cell| cell.low_n);
    }
    if has_low_n {
        let _ = writeln!(text, "\n\\* {LOW_N_NOTE}");
    }
}

fn faults(text: &mut String, verdict: &Verdict) {
    if verdict.faults.is_empty() {
        return;
    }
    text.push_str("\n### Faults\n\n| | fault | from | to | bit | undone | afterwards |\n");
    text.push_str("|--:|---|--:|--:|---|---|---|\n");
    let (doubtful, sound): (Vec<&FaultSummary>, Vec<&FaultSummary>) =
        verdict.faults.iter().partition(|fault| !fault.bit || !fault.undone);
    let mut shown: Vec<&FaultSummary> =
        doubtful.into_iter().chain(sound).take(MAX_FAULTS).collect();
    shown.sort_by_key(|fault| fault.id);
    for fault in &shown {
        let what = format!("{} {}", wording::fault_kind(fault), fault.description);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            fault.id,
            escaped(&what),
            seconds(fault.begin_ns),
            seconds(fault.end_ns),
            if fault.bit { "yes" } else { "**NO**" },
            if fault.undone { "yes" } else { "**NO**" },
            escaped(&wording::recovery(fault, verdict.workload.takes_locks())),
        );
    }
    let left_out = verdict.faults.len() - shown.len();
    if left_out > 0 {
        let _ = writeln!(text, "\n{} in verdict.json", count(left_out as u64, "more fault"));
    }
}

fn list(text: &mut String, title: &str, entries: &[String]) {
    if entries.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n### {title}\n");
    for entry in entries.iter().take(MAX_ENTRIES) {
        let _ = writeln!(text, "- {}", escaped(entry));
    }
    if entries.len() > MAX_ENTRIES {
        let _ = writeln!(text, "- {} more in verdict.json", entries.len() - MAX_ENTRIES);
    }
}
