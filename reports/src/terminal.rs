//! The block at the end of a run: verdict first, the report's path last.

mod block;
mod cost;
mod live;
mod sketch;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use locktest_analyzer::{FaultSummary, Latency, Verdict, Violation};
use locktest_history::History;

use crate::findings;
use crate::latency::{self, COLUMNS, LOW_N_NOTE};
use crate::text::{ascii, seconds, visible, wrap};
use crate::wording;

use block::MAX_SENTENCE;
pub use block::Style;
pub(crate) use block::{Block, fold};
#[cfg(test)]
pub(crate) use block::{MAX_WIDTH, MIN_WIDTH};
pub use live::{Progress, live_line};

/// More faults than this are left to the page.
const MAX_FAULTS: usize = 6;

/// More changes of leader than this are left to the page.
const MAX_LEADER_CHANGES: usize = 5;

/// The width of the names in a table of latency.
const NAME_WIDTH: usize = 13;

/// The width of a number in it, and of what may mark it.
const CELL_WIDTH: usize = 8;

/// More list entries than this are left to the page.
const MAX_ENTRIES: usize = 12;

/// Where the run can be found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The run directory.
    pub run_dir: PathBuf,
    /// The page that [`render_html`](crate::render_html) made.
    pub report: PathBuf,
}

/// The end-of-run block. All text is ASCII but for the paths and the command, which are shown as
/// they are, so that they can be copied.
pub fn render_verdict(
    verdict: &Verdict,
    history: &History,
    paths: Option<&Paths>,
    style: Style,
) -> String {
    let mut block = Block::new(style);
    block.headline(verdict, history);
    block.properties(verdict);
    block.list("not tested", &verdict.not_tested);
    if let Some(violation) = findings::first_violation(verdict) {
        block.violation(violation, verdict);
    }
    let likenesses: Vec<String> = verdict.known_bugs.iter().map(findings::likeness).collect();
    block.list("match with known bugs", &likenesses);
    block.latency(verdict);
    block.cost(verdict);
    block.faults(verdict);
    block.leader_changes(verdict);
    let warnings: Vec<String> = verdict.warnings.iter().map(ToString::to_string).collect();
    block.list("warnings", &warnings);
    block.ways_on(verdict, paths);
    block.out
}

impl Block {
    fn headline(&mut self, verdict: &Verdict, history: &History) {
        let headline = wording::headline(verdict);
        let rest = ascii(&headline.rest, MAX_SENTENCE);
        let indent = if headline.word.is_empty() { 1 } else { headline.word.len() + 3 };
        for (number, line) in wrap(&rest, self.width - indent).into_iter().enumerate() {
            let head = match (number, headline.word) {
                (0, "") => format!(" {}", self.paint(headline.tone, &line)),
                (0, word) => format!(" {}  {line}", self.paint(headline.tone, word)),
                _ => format!("{:indent$}{line}", ""),
            };
            self.line(&head);
        }
        self.paragraph(1, &wording::subject(verdict, history));
        self.paragraph(1, &wording::answers(&verdict.counts));
        if let Some(summary) = wording::summary(verdict) {
            self.paragraph(1, summary);
        }
        self.gap();
    }

    fn properties(&mut self, verdict: &Verdict) {
        let rows = wording::rows(verdict);
        let word_width =
            rows.iter().map(|row| wording::outcome_word(row.outcome).len()).max().unwrap_or(0);
        let indent = 1 + 15 + 2 + word_width + 2;
        for row in rows {
            let word = wording::outcome_word(row.outcome);
            let padding = word_width - word.len() + 2;
            let mut head = format!(
                " {:<15}  {}{:padding$}",
                row.name,
                self.paint(wording::outcome_tone(row.outcome), word),
                ""
            );
            for line in wrap(&ascii(row.why, MAX_SENTENCE), self.width - indent) {
                head.push_str(&line);
                self.line(&head);
                head = " ".repeat(indent);
            }
        }
        self.gap();
    }

    fn violation(&mut self, violation: &Violation, verdict: &Verdict) {
        self.line(&format!(" first {}", ascii(&findings::title(violation), 200)));
        for line in sketch::draw(violation, &verdict.faults, self.width) {
            self.line(&line);
        }
        self.labelled("why:", &violation.why);
        if let Some(fault) = &violation.during {
            self.labelled("during:", fault);
        }
        for operation in &violation.operations {
            for round in &operation.rounds {
                let label = format!("{}'s servers:", ascii(&operation.client, 24));
                self.labelled(&label, &wording::round(round));
            }
        }
        self.gap();
    }

    fn latency(&mut self, verdict: &Verdict) {
        let Latency { acquire, acquire_intended, .. } = &verdict.latency;
        let late = acquire_intended.as_ref().filter(|late| latency::hides_something(acquire, late));
        let mut low = false;
        for (name, phases) in latency::by_operation(&verdict.latency, late) {
            let rows = latency::by_phase(phases);
            low |= latency::has_low_n(&rows);
            self.latency_table(&format!("{name} ms"), rows);
        }
        // The footnotes and the longest gap belong to the tables just above.
        self.out.truncate(self.out.trim_end_matches('\n').len() + 1);
        if late.is_some() {
            self.paragraph(1, latency::INTENDED_NOTE);
        }
        if low {
            self.paragraph(1, &format!("* {LOW_N_NOTE}"));
        }
        if let Some(gap_ms) = verdict.longest_gap_ms {
            self.paragraph(1, &wording::longest_gap(gap_ms));
        }
        self.gap();
    }

    fn latency_table(&mut self, title: &str, rows: Vec<latency::Row>) {
        for shown in fold(&[CELL_WIDTH; COLUMNS.len()], self.width - NAME_WIDTH) {
            let mut head = format!("{:NAME_WIDTH$}", format!(" {title}"));
            for column in &COLUMNS[shown.clone()] {
                let _ = write!(head, "{column:>7} ");
            }
            self.line(head.trim_end());
            for row in &rows {
                let mut line = format!("{:NAME_WIDTH$}", format!(" {}", row.name));
                for cell in &row.cells[shown.clone()] {
                    let _ = write!(line, "{:>7}{}", cell.text, if cell.low_n { '*' } else { ' ' });
                }
                self.line(line.trim_end());
            }
        }
        self.gap();
    }

    fn faults(&mut self, verdict: &Verdict) {
        if verdict.faults.is_empty() && verdict.faults_skipped.is_empty() {
            return;
        }
        self.line(" faults");
        let (doubtful, sound): (Vec<&FaultSummary>, Vec<&FaultSummary>) =
            verdict.faults.iter().partition(|fault| !fault.bit || !fault.undone);
        let mut shown: Vec<&FaultSummary> =
            doubtful.into_iter().chain(sound).take(MAX_FAULTS).collect();
        shown.sort_by_key(|fault| fault.id);
        let left_out = verdict.faults.len() - shown.len();
        for fault in shown {
            self.fault(fault, verdict);
        }
        if left_out > 0 {
            self.paragraph(3, &format!("{left_out} more in the report"));
        }
        if let Some(timing) = &verdict.fault_timing {
            self.paragraph(3, &wording::fault_timing(timing));
        }
        for skipped in verdict.faults_skipped.iter().take(MAX_ENTRIES) {
            self.paragraph(3, &format!("skipped {}", wording::skipped(skipped, verdict.recipe)));
        }
        self.gap();
    }

    fn fault(&mut self, fault: &FaultSummary, verdict: &Verdict) {
        self.paragraph(
            3,
            &format!(
                "{}  {} {}, {} to {}",
                fault.id,
                wording::fault_kind(fault),
                fault.description,
                seconds(fault.begin_ns),
                seconds(fault.end_ns)
            ),
        );
        let proof = fault.proof.first().map_or("no observation", String::as_str);
        if fault.bit {
            self.paragraph(6, &format!("bit: {proof}"));
        } else {
            self.doubt(6, &format!("DID NOT BITE: {proof}"));
        }
        if fault.undone {
            self.paragraph(
                6,
                &format!("undone; {}", wording::recovery(fault, verdict.workload.takes_locks())),
            );
        } else {
            let undo = fault.undo_proof.first().map_or("no observation", String::as_str);
            self.doubt(6, &format!("NOT UNDONE: {undo}"));
        }
    }

    fn leader_changes(&mut self, verdict: &Verdict) {
        let changes = &verdict.leader_changes;
        if changes.is_empty() {
            return;
        }
        self.line(" changes of leader");
        for change in changes.iter().take(MAX_LEADER_CHANGES) {
            self.paragraph(3, &wording::leader_change(change));
        }
        if changes.len() > MAX_LEADER_CHANGES {
            let left_out = changes.len() - MAX_LEADER_CHANGES;
            self.paragraph(3, &format!("{left_out} more in the report"));
        }
        self.gap();
    }

    /// What to do next: run it again, look closer.
    fn ways_on(&mut self, verdict: &Verdict, paths: Option<&Paths>) {
        let path = |path: &Path| visible(&path.display().to_string(), usize::MAX);
        self.line(&format!(" again   {}", visible(&verdict.command, usize::MAX)));
        let Some(paths) = paths else { return };
        self.line(&format!(" check   locktest check {}", path(&paths.run_dir)));
        self.line(&format!(" report  {}", path(&paths.report)));
    }

    fn list(&mut self, title: &str, entries: &[String]) {
        if entries.is_empty() {
            return;
        }
        self.line(&format!(" {title}"));
        for entry in entries.iter().take(MAX_ENTRIES) {
            self.item(entry);
        }
        if entries.len() > MAX_ENTRIES {
            self.item(&format!("{} more in the report", entries.len() - MAX_ENTRIES));
        }
        self.gap();
    }
}
