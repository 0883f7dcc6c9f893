//! The block at the end of a run: verdict first, the report's path last.

mod sketch;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Color, Style as Ansi};
use locktest_analyzer::{FaultSummary, Phases, Verdict, Violation, ViolationClass};
use locktest_history::{History, Resource};

use crate::latency::{self, COLUMNS, LOW_N_NOTE};
use crate::text::{ascii, seconds, visible, wrap};
use crate::wording::{self, Tone};

/// A sentence of the verdict is cut to this length; the page has more of it.
const MAX_SENTENCE: usize = 600;

/// More faults than this are left to the page.
const MAX_FAULTS: usize = 6;

/// More changes of leader than this are left to the page.
const MAX_LEADER_CHANGES: usize = 5;

/// More list entries than this are left to the page.
const MAX_ENTRIES: usize = 12;

/// Text is wrapped at this width even on a wider terminal: long lines are hard to read.
const MAX_WIDTH: usize = 160;

/// Text is not wrapped below this width, since the tables need it.
const MIN_WIDTH: usize = 60;

/// Where the run can be found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The run directory.
    pub run_dir: PathBuf,
    /// The page that [`render_html`](crate::render_html) made.
    pub report: PathBuf,
}

/// How the terminal shows a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// The terminal's width in columns; used between 60 and 160.
    pub width: usize,
    /// Whether ANSI colours are wanted.
    pub colour: bool,
}

/// The end-of-run block. All text is ASCII but for the paths and the command, which are shown as
/// they are, so that they can be copied.
pub fn render_verdict(verdict: &Verdict, history: &History, paths: &Paths, style: Style) -> String {
    let mut block = Block {
        out: String::new(),
        width: style.width.clamp(MIN_WIDTH, MAX_WIDTH),
        colour: style.colour,
    };
    block.headline(verdict, history);
    block.properties(verdict);
    block.list("not tested", &verdict.not_tested);
    if let Some(violation) = first_violation(verdict) {
        block.violation(violation, verdict);
    }
    block.latency("acquire ms", &verdict.latency.acquire);
    block.latency("release ms", &verdict.latency.release);
    block.below_latency(verdict);
    block.faults(verdict);
    block.leader_changes(verdict);
    let warnings: Vec<String> = verdict.warnings.iter().map(ToString::to_string).collect();
    block.list("warnings", &warnings);
    block.ways_on(verdict, paths);
    block.out
}

/// The first violation that the headline speaks of: overruns, and what they did to a resource
/// without a fence, come after the faults of the service.
fn first_violation(verdict: &Verdict) -> Option<&Violation> {
    let by_service = |violation: &&Violation| match violation.class {
        ViolationClass::LeaseOverrun => false,
        ViolationClass::LostUpdate => violation.resource == Some(Resource::Fenced),
        _ => true,
    };
    verdict.violations.iter().find(by_service).or(verdict.violations.first())
}

/// The text so far.
struct Block {
    out: String,
    width: usize,
    colour: bool,
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
        let mut title = format!(" first {} at {}", violation.class, seconds(violation.time_ns));
        if !violation.key.is_empty() {
            let _ = write!(title, ", key \"{}\"", ascii(&violation.key, 60));
        }
        if let Some(resource) = violation.resource {
            title.push_str(match resource {
                Resource::Unfenced => ", resource without a fence",
                Resource::Fenced => ", fenced resource",
            });
        }
        self.line(&title);
        for line in sketch::draw(violation, &verdict.faults, self.width) {
            self.line(&line);
        }
        self.labelled("why:", &violation.why);
        if let Some(fault) = &violation.during {
            self.labelled("during:", fault);
        }
        self.gap();
    }

    fn latency(&mut self, title: &str, phases: &Phases) {
        let mut head = format!(" {title:<12}");
        for column in COLUMNS {
            let _ = write!(head, "{column:>7} ");
        }
        self.line(head.trim_end());
        for row in latency::rows(phases) {
            let mut line = format!(" {:<12}", row.phase);
            for cell in row.cells {
                let _ = write!(line, "{:>7}{}", cell.text, if cell.low_n { '*' } else { ' ' });
            }
            self.line(line.trim_end());
        }
        self.gap();
    }

    /// The footnote and the longest gap, as part of the tables just above.
    fn below_latency(&mut self, verdict: &Verdict) {
        self.out.truncate(self.out.trim_end_matches('\n').len() + 1);
        let low = [&verdict.latency.acquire, &verdict.latency.release]
            .into_iter()
            .any(|phases| latency::has_low_n(&latency::rows(phases)));
        if low {
            self.paragraph(1, &format!("* {LOW_N_NOTE}"));
        }
        if let Some(gap_ms) = verdict.longest_gap_ms {
            self.paragraph(1, &wording::longest_gap(gap_ms));
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
            self.fault(fault);
        }
        if left_out > 0 {
            self.paragraph(3, &format!("{left_out} more in the report"));
        }
        for skipped in verdict.faults_skipped.iter().take(MAX_ENTRIES) {
            self.paragraph(
                3,
                &format!(
                    "skipped {} at {}: {}",
                    wording::fault_kind(skipped.kind, skipped.shape),
                    seconds(skipped.time_ns),
                    skipped.reason
                ),
            );
        }
        self.gap();
    }

    fn fault(&mut self, fault: &FaultSummary) {
        self.paragraph(
            3,
            &format!(
                "{}  {} {}, {} to {}",
                fault.id,
                wording::fault_kind(fault.kind, fault.shape),
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
            self.paragraph(6, &format!("undone; {}", wording::recovery(fault)));
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
    fn ways_on(&mut self, verdict: &Verdict, paths: &Paths) {
        let path = |path: &Path| visible(&path.display().to_string(), usize::MAX);
        self.line(&format!(" again   {}", visible(&verdict.command, usize::MAX)));
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

    fn item(&mut self, text: &str) {
        let mut head = "   - ".to_owned();
        for line in wrap(&ascii(text, MAX_SENTENCE), self.width - head.len()) {
            self.line(&format!("{head}{line}"));
            head = " ".repeat(5);
        }
    }

    /// `   why: ` and a text that hangs under itself.
    fn labelled(&mut self, label: &str, text: &str) {
        let mut head = format!("   {label} ");
        let indent = head.len();
        for line in wrap(&ascii(text, MAX_SENTENCE), self.width - indent) {
            self.line(&format!("{head}{line}"));
            head = " ".repeat(indent);
        }
    }

    fn paragraph(&mut self, indent: usize, text: &str) {
        for line in wrap(&ascii(text, MAX_SENTENCE), self.width - indent) {
            self.line(&format!("{:indent$}{line}", ""));
        }
    }

    fn doubt(&mut self, indent: usize, text: &str) {
        for line in wrap(&ascii(text, MAX_SENTENCE), self.width - indent) {
            let line = self.paint(Tone::Doubt, &line);
            self.line(&format!("{:indent$}{line}", ""));
        }
    }

    fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn gap(&mut self) {
        self.out.push('\n');
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let (colour, bold) = match tone {
            Tone::Bad => (AnsiColor::Red, true),
            Tone::Doubt => (AnsiColor::Yellow, true),
            Tone::Good => (AnsiColor::Green, true),
            Tone::Quiet => (AnsiColor::BrightBlack, false),
        };
        let mut style = Ansi::new().fg_color(Some(Color::Ansi(colour)));
        if bold {
            style = style.bold();
        }
        format!("{style}{text}{style:#}")
    }
}
