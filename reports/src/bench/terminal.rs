//! The tables on a terminal, at most a hundred columns wide.

use anstyle::Effects;

use super::table::{Entry, Group, NOT_MEASURED, Row, Table, number};
use super::tables::{remarks, tables};
use super::{Bench, Measurement};
use crate::terminal::Style;
use crate::text::{visible, wrap};

const WIDTH: usize = 98;
const NAME_WIDTH: usize = 17;

/// A figure and its spread.
const CELL_WIDTH: usize = 13;
const PAPER_WIDTH: usize = 9;

/// Every table, and what stands out.
pub fn render_bench(bench: &Bench, style: Style) -> String {
    let mut text = String::new();
    for line in wrap(&subject(bench), WIDTH) {
        text += &format!(" {line}\n");
    }
    for table in tables(bench) {
        text.push('\n');
        text += &render(&table, style);
    }
    let remarks = remarks(bench);
    if !remarks.is_empty() {
        text += "\n remarks\n";
    }
    for remark in remarks {
        for (line, text_line) in wrap(&visible(&remark, 600), WIDTH - 4).into_iter().enumerate() {
            text += &format!("   {} {text_line}\n", if line == 0 { "-" } else { " " });
        }
    }
    text
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

fn render(table: &Table, style: Style) -> String {
    let bold = if style.colour { Effects::BOLD } else { Effects::new() };
    let bold = anstyle::Style::new().effects(bold);
    let mut text = format!(" {bold}{}{bold:#}\n", table.title);
    for note in table.note.iter().flat_map(|note| wrap(note, WIDTH)) {
        text += &format!(" {note}\n");
    }
    let has_paper = !table.paper_columns.is_empty();
    if has_paper {
        let here = CELL_WIDTH * table.columns.len();
        let paper = PAPER_WIDTH * table.paper_columns.len();
        text += &format!(" {:NAME_WIDTH$}{:>here$}{:>paper$}\n", "", "here", "the paper");
    }
    let columns = table.columns.iter().map(|column| format!("{column:>CELL_WIDTH$}"));
    let paper = table.paper_columns.iter().map(|column| format!("{column:>PAPER_WIDTH$}"));
    let head: String = columns.chain(paper).collect();
    text += &format!(" {:NAME_WIDTH$}{head}\n", table.columns_are);
    for group in &table.groups {
        text += &render_group(group);
    }
    text
}

fn render_group(group: &Group) -> String {
    let mut text = format!(" {}\n", group.name);
    if group.is_missing {
        text += &format!("   {NOT_MEASURED}\n");
    }
    for Row { name, cells, paper } in &group.rows {
        let cells = cells.iter().map(|entry| format!("{:>CELL_WIDTH$}", cell(entry)));
        let paper = paper.iter().map(|figure| {
            let figure = figure.map_or("-".to_owned(), |figure| number(figure, 2));
            format!("{figure:>PAPER_WIDTH$}")
        });
        let cells: String = cells.chain(paper).collect();
        text += &format!("   {name:<width$}{cells}\n", width = NAME_WIDTH - 2);
    }
    text
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
