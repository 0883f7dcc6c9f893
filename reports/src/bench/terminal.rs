//! The tables on a terminal, at most a hundred columns wide.

use std::ops::Range;

use super::table::{Entry, Group, NOT_MEASURED, Row, Table, number};
use super::tables::{remarks, tables};
use super::{Bench, Measurement};
use crate::terminal::{Block, Style, fold};
use crate::text::visible;

/// Within this many columns, however wide the terminal is.
const MAX_WIDTH: usize = 100;

/// The width of the rows' names.
const NAME_WIDTH: usize = 18;

/// The least width of a figure and its spread.
const CELL_WIDTH: usize = 12;

/// The least width of a figure of the paper.
const PAPER_WIDTH: usize = 8;

/// Every table, and what stands out.
pub fn render_bench(bench: &Bench, style: Style) -> String {
    let mut block = Block::new(Style { width: style.width.min(MAX_WIDTH), ..style });
    block.paragraph(1, &subject(bench));
    for table in tables(bench) {
        block.gap();
        render(&mut block, &table);
    }
    let remarks = remarks(bench);
    if !remarks.is_empty() {
        block.gap();
        block.line(" remarks");
    }
    for remark in remarks {
        block.item(&remark);
    }
    block.out
}

/// What was measured, in a sentence.
pub(super) fn subject(bench: &Bench) -> String {
    let Bench { nodes, hold_ms, time_limit_ms, repeats, processors, seed, .. } = bench;
    let under = match &bench.under {
        Some(faults) => format!("under {}", visible(faults, 80)),
        None => "no faults".into(),
    };
    let owners = match bench.owners_per_client {
        1 => String::new(),
        owners => format!(", {owners} owners a process"),
    };
    let rate =
        bench.rate_per_s.map(|rate| format!(", {rate} acquires a second")).unwrap_or_default();
    let repeats = match repeats {
        1 => "once, so that nothing tells chance from cause".into(),
        repeats => format!("medians of {repeats} repeats with half their range"),
    };
    format!(
        "{nodes} servers a store, {under}, locks held for {hold_ms} ms{owners}{rate}; {:.0} s a cell, \
         {repeats}; clients and servers share {processors} processors; seed {seed}",
        *time_limit_ms as f64 / 1000.0
    )
}

fn render(block: &mut Block, table: &Table) {
    let title = block.bold(&table.title);
    block.line(&format!(" {title}"));
    if let Some(note) = &table.note {
        block.paragraph(1, note);
    }
    let here = vec![width(table, CELL_WIDTH, &table.columns, cells); table.columns.len()];
    let paper =
        vec![width(table, PAPER_WIDTH, &table.paper_columns, paper); table.paper_columns.len()];
    let room = block.width - NAME_WIDTH;
    if here.iter().chain(&paper).sum::<usize>() <= room {
        lines(block, table, (0..here.len(), &here), (0..paper.len(), &paper));
        return;
    }
    for shown in fold(&here, room) {
        lines(block, table, (shown, &here), (0..0, &paper));
    }
    for shown in fold(&paper, room) {
        lines(block, table, (0..0, &here), (shown, &paper));
    }
}

/// That of the longest entry, with a gap.
fn width(
    table: &Table,
    least: usize,
    columns: &[String],
    entries: fn(&Row) -> Vec<String>,
) -> usize {
    let rows = table.groups.iter().flat_map(|group| &group.rows);
    let texts = rows.flat_map(entries).chain(columns.iter().cloned());
    texts.map(|text| text.chars().count() + 2).max().unwrap_or_default().max(least)
}

/// Columns with their widths.
type Shown<'t> = (Range<usize>, &'t [usize]);

/// Those columns of a table, and those of the paper.
fn lines(block: &mut Block, table: &Table, here: Shown, beside: Shown) {
    let aligned = |texts: &[String], (shown, widths): &Shown| -> String {
        let texts = texts.iter().zip(*widths).skip(shown.start).take(shown.len());
        texts.map(|(text, width)| format!("{text:>width$}")).collect()
    };
    if !table.paper_columns.is_empty() {
        let over = |words: &str, (shown, widths): &Shown| match shown.is_empty() {
            true => String::new(),
            false => format!("{words:>width$}", width = widths[shown.clone()].iter().sum()),
        };
        let (here, paper) = (over("here", &here), over("the paper", &beside));
        block.line(&format!("{:NAME_WIDTH$}{here}{paper}", ""));
    }
    let columns = aligned(&table.columns, &here) + &aligned(&table.paper_columns, &beside);
    block.line(&format!(" {:<width$}{columns}", table.columns_are, width = NAME_WIDTH - 1));
    for Group { name, is_missing, rows } in &table.groups {
        block.paragraph(1, name);
        if *is_missing {
            block.line(&format!("   {NOT_MEASURED}"));
        }
        for row in rows {
            let figures = aligned(&cells(row), &here) + &aligned(&paper(row), &beside);
            block.line(&format!("   {:<width$}{figures}", row.name, width = NAME_WIDTH - 3));
        }
    }
}

fn cells(row: &Row) -> Vec<String> {
    row.cells.iter().map(cell).collect()
}

fn paper(row: &Row) -> Vec<String> {
    let figures = row.paper.iter();
    figures.map(|figure| figure.map_or("-".to_owned(), |figure| number(figure, 2))).collect()
}

fn cell(entry: &Entry) -> String {
    let (value, spread) = (entry.value(), entry.spread());
    match spread.is_empty() {
        true => value,
        false => format!("{value} {spread}"),
    }
}

/// One line on what a run of a cell measured, for the progress of a bench.
pub fn progress_line(measurement: &Measurement) -> String {
    let quiet = &measurement.wait_included.quiet;
    let ms = |value: Option<f64>| value.map_or("-".to_owned(), |ms| number(ms, 2));
    format!(
        "{:.0} acquires/s, median {} ms, 99p {} ms",
        measurement.per_s,
        ms(quiet.median_ms),
        ms(quiet.p99_ms)
    )
}
