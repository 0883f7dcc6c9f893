//! The matrix on a terminal, a line a cell: any number of kinds of faults fits in 100 columns.

use super::{Cell, Matrix, P99};
use crate::terminal::{Block, Style};
use crate::text::{count, milliseconds, utc, wrap};

/// The kinds of faults are wrapped at this width, if there is room for it.
const MAX_FAULTS_WIDTH: usize = 34;

/// What the columns beside them take.
const FIGURES_WIDTH: usize = 50;

/// Within this many columns, however wide the terminal is.
const MAX_WIDTH: usize = 100;

/// Every store with what its runs came to, and what could not be read.
pub fn render_matrix(matrix: &Matrix, style: Style) -> String {
    let mut block = Block::new(Style { width: style.width.min(MAX_WIDTH), ..style });
    block.paragraph(1, &subject(matrix));
    if !matrix.stores.is_empty() {
        block.gap();
        block.line(&format!(
            " {:width$}{:<15}{:<9}{:>10}{:>12}",
            "store, faults",
            "verdict",
            "runs",
            "quiet p99",
            "fault p99",
            width = faults_width(&block) + 2
        ));
    }
    for store in &matrix.stores {
        block.paragraph(1, &store.name());
        for (faults, cell) in matrix.faults.iter().zip(&store.cells) {
            if let Some(cell) = cell {
                cell_lines(&mut block, faults, cell);
            }
        }
    }
    if has_low_n(matrix) {
        block.paragraph(1, &format!("* {}", crate::latency::LOW_N_NOTE));
    }
    if !matrix.unreadable.is_empty() {
        block.gap();
        block.line(" not read");
        for run in &matrix.unreadable {
            block.item(&format!("{}: {}", run.name, run.reason));
        }
    }
    block.out
}

/// How many runs of which folder, and from when they are.
pub(super) fn subject(matrix: &Matrix) -> String {
    let mut text = format!("{} in {}", count(matrix.runs, "run"), matrix.folder);
    match (matrix.first_started_at_unix_s, matrix.last_started_at_unix_s) {
        (Some(first), Some(last)) if first < last => {
            text += &format!(", started from {} to {}", utc(first), utc(last));
        }
        (Some(first), _) => text += &format!(", started {}", utc(first)),
        _ => {}
    }
    text + "; p99 in ms, of acquires of the newest run"
}

fn cell_lines(block: &mut Block, faults: &str, cell: &Cell) {
    let width = faults_width(block);
    let mut names = wrap(faults, width - 1).into_iter();
    let word = cell.standing.word();
    block.line(
        format!(
            "   {:width$}{}{:padding$}{:<9}{:>11}{:>12}",
            names.next().unwrap_or_default(),
            block.paint(cell.standing.tone(), word),
            "",
            runs(cell),
            p99(cell.quiet_p99),
            p99(cell.fault_p99),
            padding = 15 - word.len()
        )
        .trim_end(),
    );
    for name in names {
        block.line(&format!("   {name}"));
    }
    if cell.violated > 0 {
        block.paragraph(5, &format!("{} in {}", cell.classes(), cell.run));
    }
}

fn faults_width(block: &Block) -> usize {
    MAX_FAULTS_WIDTH.min(block.width - FIGURES_WIDTH)
}

/// `3`, or `1 of 3` that were violated.
fn runs(cell: &Cell) -> String {
    match cell.violated {
        0 => cell.runs.to_string(),
        violated => format!("{violated} of {}", cell.runs),
    }
}

/// With an asterisk if it rests on few samples, and a blank in its place if not.
fn p99(p99: P99) -> String {
    let mark = if p99.low_n && p99.ms.is_some() { '*' } else { ' ' };
    format!("{}{mark}", milliseconds(p99.ms))
}

/// Whether any cell needs the footnote.
pub(super) fn has_low_n(matrix: &Matrix) -> bool {
    let cells = matrix.stores.iter().flat_map(|store| &store.cells).flatten();
    cells.flat_map(|cell| [cell.quiet_p99, cell.fault_p99]).any(|p99| p99.low_n && p99.ms.is_some())
}
