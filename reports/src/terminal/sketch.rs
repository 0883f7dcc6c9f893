//! A violation drawn in characters, one lane for each owner.

use std::ops::Range;

use locktest_analyzer::{FaultSummary, Violation};

use crate::drawing::{self, Drawing, Lane, SpanKind};
use crate::text::{ascii, seconds, wrap};

/// A lane's note is cut to this length.
const MAX_NOTE: usize = 320;

/// The lines of the drawing, at most `width` columns wide.
pub(crate) fn draw(violation: &Violation, faults: &[FaultSummary], width: usize) -> Vec<String> {
    let drawing = drawing::lay_out(violation, faults);
    if drawing.lanes.is_empty() {
        return Vec::new();
    }
    let label_width = drawing
        .lanes
        .iter()
        .map(|lane| lane.label.chars().count())
        .chain(drawing.faults.iter().map(|fault| fault.label.len()))
        .chain((!drawing.overlaps_ns.is_empty()).then_some("both".len()))
        .max()
        .unwrap_or(0);
    let mut sketch = Sketch {
        indent: 3 + label_width + 2,
        columns: width.saturating_sub(3 + label_width + 2).max(20),
        window_ns: drawing.window_ns.clone(),
        lines: Vec::new(),
    };
    sketch.scale();
    for fault in &drawing.faults {
        let mut row = sketch.empty_row();
        sketch.fill(&mut row, &fault.time_ns, '!');
        sketch.row(&fault.label, &row);
    }
    for lane in &drawing.lanes {
        sketch.lane(lane);
    }
    if !drawing.overlaps_ns.is_empty() {
        let mut row = sketch.empty_row();
        for overlap in &drawing.overlaps_ns {
            sketch.fill(&mut row, overlap, '#');
        }
        sketch.row("both", &row);
    }
    sketch.legend(&drawing);
    sketch.lines
}

struct Sketch {
    indent: usize,
    columns: usize,
    window_ns: Range<u64>,
    lines: Vec<String>,
}

impl Sketch {
    /// The first and the last instant, each above its column.
    fn scale(&mut self) {
        let begin = seconds(self.window_ns.start);
        let end = seconds(self.window_ns.end);
        let between = self.columns.saturating_sub(begin.len() + end.len()).max(1);
        self.lines.push(format!("{:i$}{begin}{:between$}{end}", "", "", i = self.indent));
    }

    fn lane(&mut self, lane: &Lane) {
        let mut row = self.empty_row();
        for span in &lane.spans {
            self.fill(&mut row, &span.time_ns, sign(span.kind));
        }
        let held = |kind: SpanKind| matches!(kind, SpanKind::Held | SpanKind::Overrun);
        let first = lane.spans.iter().find(|span| held(span.kind));
        let last = lane.spans.iter().rfind(|span| held(span.kind));
        if let (Some(first), Some(last)) = (first, last) {
            if last.time_ns.end < self.window_ns.end {
                let column = self.column(last.time_ns.end);
                row[column] = ']';
            }
            let column = self.column(first.time_ns.start);
            row[column] = '[';
        }
        for mark in &lane.marks {
            if self.window_ns.contains(&mark.time_ns) {
                let column = self.column(mark.time_ns);
                row[column] = mark.sign;
            }
        }
        self.row(&lane.label, &row);
        for line in wrap(&ascii(&lane.note, MAX_NOTE), self.columns) {
            self.lines.push(format!("{:i$}{line}", "", i = self.indent));
        }
    }

    /// Only the signs that occur, a line or two.
    fn legend(&mut self, drawing: &Drawing) {
        let spans = || drawing.lanes.iter().flat_map(|lane| &lane.spans);
        let shows = |kind| spans().any(|span| span.kind == kind);
        let mut entries = Vec::new();
        for (kind, meaning) in [
            (SpanKind::Waiting, "waiting"),
            (SpanKind::Held, "holds, lease valid"),
            (SpanKind::Overrun, "acts, LEASE OVER"),
            (SpanKind::LeaseOnly, "stopped, lease runs on"),
        ] {
            if shows(kind) {
                entries.push(format!("{} {meaning}", sign(kind)));
            }
        }
        let mut marks: Vec<(char, &str)> = drawing
            .lanes
            .iter()
            .flat_map(|lane| &lane.marks)
            .map(|mark| (mark.sign, mark.meaning))
            .collect();
        marks.sort_unstable();
        marks.dedup();
        entries.extend(marks.into_iter().map(|(sign, meaning)| format!("{sign} {meaning}")));
        if !drawing.overlaps_ns.is_empty() {
            entries.push("# two at once".to_owned());
        }
        if !drawing.faults.is_empty() {
            entries.push("! fault".to_owned());
        }
        for line in wrap_entries(&entries, self.columns) {
            self.lines.push(format!("{:i$}{line}", "", i = self.indent));
        }
    }

    fn row(&mut self, label: &str, row: &[char]) {
        let label_width = self.indent - 5;
        let row: String = row.iter().collect();
        let label = ascii(label, label_width);
        self.lines.push(format!("   {label:<label_width$}  {row}").trim_end().to_owned());
    }

    fn empty_row(&self) -> Vec<char> {
        vec![' '; self.columns]
    }

    /// At least one column, so that nothing short goes unseen.
    fn fill(&self, row: &mut [char], time_ns: &Range<u64>, sign: char) {
        let from = self.column(time_ns.start);
        let to = self.column(time_ns.end).max(from + 1);
        row[from..to].fill(sign);
    }

    /// The column of an instant, always inside the row.
    fn column(&self, time_ns: u64) -> usize {
        let Range { start, end } = self.window_ns;
        let offset_ns = u128::from(time_ns.clamp(start, end) - start);
        let span_ns = u128::from((end - start).max(1));
        let last = self.columns - 1;
        usize::try_from(offset_ns * last as u128 / span_ns).map_or(last, |column| column.min(last))
    }
}

fn sign(kind: SpanKind) -> char {
    match kind {
        SpanKind::Waiting => '.',
        SpanKind::Held => '=',
        SpanKind::Overrun => '~',
        SpanKind::LeaseOnly => '-',
    }
}

/// Entries side by side, never broken inside.
fn wrap_entries(entries: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for entry in entries {
        match lines.last_mut() {
            Some(line) if line.len() + 3 + entry.len() <= width => {
                line.push_str("   ");
                line.push_str(entry);
            }
            _ => lines.push(entry.clone()),
        }
    }
    lines
}
