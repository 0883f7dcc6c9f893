//! A comparison on a terminal: as many columns at a time as fit, the first in each.

use super::{Comparison, Row, Table};
use crate::terminal::{Block, Style};
use crate::text::{ascii, wrap};
use crate::wording::Tone;

/// Within this many columns, however wide the terminal is.
const MAX_WIDTH: usize = 100;

/// Names of rows are wrapped at this width.
const MAX_NAME: usize = 40;

/// No less, however wide the figures are.
const MIN_NAME: usize = 10;

/// A title is cut to this length.
const MAX_TITLE: usize = 200;

/// What a cell may take; two of them leave room for a name.
const MAX_CELL: usize = 34;

/// Who is compared, what differs, and every table.
pub fn render_comparison(comparison: &Comparison, style: Style) -> String {
    let mut block = Block::new(Style { width: style.width.min(MAX_WIDTH), ..style });
    for subject in &comparison.subjects {
        block.paragraph(1, &format!("{}  {}", subject.letter, subject.name));
        block.paragraph(4, &subject.what);
        for difference in &subject.differences {
            block.item(difference);
        }
    }
    for table in &comparison.tables {
        block.gap();
        let name_width = name_width(table, block.width);
        for columns in columns(table, block.width - 1 - name_width) {
            render(&mut block, comparison, table, name_width, &columns);
        }
    }
    list(&mut block, "notes", &comparison.notes, false);
    list(&mut block, "REGRESSIONS", &comparison.regressions, true);
    block.out
}

fn list(block: &mut Block, title: &str, entries: &[String], is_bad: bool) {
    if entries.is_empty() {
        return;
    }
    block.gap();
    let title = if is_bad { block.paint(Tone::Bad, title) } else { title.to_owned() };
    block.line(&format!(" {title}"));
    for entry in entries {
        block.item(entry);
    }
}

/// As wide as the names and as what the first column and the widest other one leave.
fn name_width(table: &Table, limit: usize) -> usize {
    let others = (1..count(table)).map(|column| width(table, column));
    let left = limit.saturating_sub(1 + width(table, 0) + others.max().unwrap_or_default());
    let names = table.rows.iter().map(|row| row.name.chars().count());
    names
        .max()
        .unwrap_or_default()
        .max(table.title.chars().count())
        .min(left.clamp(MIN_NAME, MAX_NAME))
}

fn cell_text(row: &Row, column: usize) -> String {
    row.cells.get(column).map_or(String::new(), |cell| ascii(&cell.whole_text(), MAX_CELL))
}

/// The width of a column with its gap.
fn width(table: &Table, column: usize) -> usize {
    let texts = table.rows.iter().map(|row| cell_text(row, column).len());
    texts.max().unwrap_or_default().max(3) + 3
}

fn count(table: &Table) -> usize {
    table.rows.iter().map(|row| row.cells.len()).max().unwrap_or_default()
}

/// The columns by lines of tables: each begins with the first, and has at least one more.
fn columns(table: &Table, limit: usize) -> Vec<Vec<usize>> {
    let begin = width(table, 0);
    let (mut lines, mut line, mut used) = (Vec::new(), vec![0], begin);
    for column in 1..count(table) {
        let width = width(table, column);
        if line.len() > 1 && used + width > limit {
            lines.push(std::mem::replace(&mut line, vec![0]));
            used = begin;
        }
        line.push(column);
        used += width;
    }
    lines.push(line);
    lines
}

fn render(
    block: &mut Block,
    comparison: &Comparison,
    table: &Table,
    name_width: usize,
    columns: &[usize],
) {
    let mut title = wrap(&ascii(&table.title, MAX_TITLE), name_width);
    let last = title.pop().unwrap_or_default();
    for line in title {
        block.line(&format!(" {line}"));
    }
    let mut head = format!(" {last:<name_width$}");
    for column in columns {
        let letter = comparison.subjects.get(*column).map_or("", |subject| subject.letter.as_str());
        head += &format!("{letter:>width$}", width = width(table, *column));
    }
    block.line(&head);
    if let Some(note) = &table.note {
        block.paragraph(1, note);
    }
    for row in &table.rows {
        let mut names = wrap(&ascii(&row.name, 200), name_width).into_iter();
        let mut line = format!(" {:<name_width$}", names.next().unwrap_or_default());
        for column in columns {
            let text = cell_text(row, *column);
            let tone = row.cells.get(*column).and_then(|cell| cell.tone);
            let painted = tone.map_or(text.clone(), |tone| block.paint(tone, &text));
            let padding = width(table, *column).saturating_sub(text.len());
            line += &format!("{:padding$}{painted}", "");
        }
        block.line(line.trim_end());
        for name in names {
            block.line(&format!(" {name}"));
        }
    }
}
