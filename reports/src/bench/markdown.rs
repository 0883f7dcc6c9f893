//! The tables in Markdown, for a page or a job's summary.

use std::fmt::Write;

use super::Bench;
use super::table::{Entry, NOT_MEASURED, Table, number};
use super::tables::{remarks, tables};
use super::terminal::subject;
use crate::markdown::escaped;
use crate::text::visible;

/// Every table, and what stands out.
pub fn render_bench_markdown(bench: &Bench) -> String {
    let mut text = format!("# locktest bench\n\n{}.\n", escaped(&subject(bench)));
    for table in tables(bench) {
        render(&table, &mut text);
    }
    let remarks = remarks(bench);
    if !remarks.is_empty() {
        text += "\n## Remarks\n\n";
    }
    for remark in remarks {
        let _ = writeln!(text, "- {}", escaped(&remark));
    }
    let command = visible(&bench.command, 600).replace('`', "'");
    let _ = writeln!(text, "\nAgain: `{command}`");
    text
}

fn render(table: &Table, text: &mut String) {
    let _ = writeln!(text, "\n## {}\n", escaped(&table.title));
    if let Some(note) = &table.note {
        let _ = writeln!(text, "{}\n", escaped(note));
    }
    let paper = table.paper_columns.iter().map(|column| format!("paper {column}"));
    let columns: Vec<String> = table.columns.iter().cloned().chain(paper).collect();
    let _ = writeln!(text, "| store | {} | {} |", table.columns_are, columns.join(" | "));
    let _ = writeln!(text, "|---|---|{}", "--:|".repeat(columns.len()));
    for group in &table.groups {
        if group.is_missing {
            let blanks = " |".repeat(columns.len());
            let _ = writeln!(text, "| {} | {NOT_MEASURED} |{blanks}", escaped(&group.name));
        }
        for row in &group.rows {
            let cells = row.cells.iter().map(cell);
            let paper = row.paper.iter();
            let paper = paper.map(|figure| figure.map_or("-".to_owned(), |f| number(f, 2)));
            let cells: Vec<String> = cells.chain(paper).collect();
            let (group, name) = (escaped(&group.name), &row.name);
            let _ = writeln!(text, "| {group} | {name} | {} |", cells.join(" | "));
        }
    }
}

fn cell(entry: &Entry) -> String {
    let (value, spread) = (entry.value(), entry.spread());
    if spread.is_empty() { value } else { format!("{value} {spread}") }
}
