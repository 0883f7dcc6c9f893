//! The tables as one offline page.

use maud::{DOCTYPE, Markup, html};

use super::table::{Entry, Group, NOT_MEASURED, Table, number};
use super::tables::{remarks, tables};
use super::terminal::subject;
use super::{Bench, Cell};
use crate::html::parts::head;
use crate::text::{utc, visible};

/// The page: every table, what stands out, and the runs behind it.
pub fn render_bench_html(bench: &Bench) -> String {
    page(bench).into_string()
}

fn page(bench: &Bench) -> Markup {
    let remarks = remarks(bench);
    html! {
        (DOCTYPE)
        html lang="en" {
            (head("locktest bench", include_str!("bench.css"), None))
            body {
                header {
                    h1 { "locktest bench" }
                    p.subject { (visible(&subject(bench), 600)) "." }
                }
                main {
                    @if !remarks.is_empty() {
                        section {
                            h2 { "What stands out" }
                            ul { @for remark in &remarks { li { (visible(remark, 600)) } } }
                        }
                    }
                    @for table in tables(bench) { (section(&table)) }
                    (runs(bench))
                }
                footer { p { "Made by locktest " (visible(&bench.locktest_version, 40)) " on "
                    (utc(bench.started_at_unix_s)) ", kernel " (visible(&bench.kernel, 80)) "." } }
            }
        }
    }
}

fn section(table: &Table) -> Markup {
    html! {
        section {
            h2 { (table.title) }
            @if let Some(note) = &table.note { p { (note) } }
            div.scroll tabindex="0" role="region" aria-label=(table.title) {
                table.figures {
                    thead {
                        @if !table.paper_columns.is_empty() {
                            tr {
                                th {}
                                th colspan=(table.columns.len()) { "here" }
                                th.paper colspan=(table.paper_columns.len()) { "the paper" }
                            }
                        }
                        tr {
                            th scope="row" { (table.columns_are) }
                            @for column in &table.columns { th scope="col" { (column) } }
                            @for column in &table.paper_columns { th.paper scope="col" { (column) } }
                        }
                    }
                    @for group in &table.groups { (rows(group, table)) }
                }
            }
        }
    }
}

fn rows(group: &Group, table: &Table) -> Markup {
    let width = 1 + table.columns.len() + table.paper_columns.len();
    html! {
        tbody {
            tr { th.group scope="rowgroup" colspan=(width) { (visible(&group.name, 80)) } }
            @if group.is_missing { tr { td colspan=(width) { (NOT_MEASURED) } } }
            @for row in &group.rows {
                tr {
                    th scope="row" { (row.name) }
                    @for entry in &row.cells { (cell(entry)) }
                    @for figure in &row.paper {
                        td.paper { (figure.map_or("-".to_owned(), |figure| number(figure, 2))) }
                    }
                }
            }
        }
    }
}

fn cell(entry: &Entry) -> Markup {
    let (spread, range) = (entry.spread(), entry.range());
    html! {
        td title=[Some(range).filter(|range| !range.is_empty())] {
            (entry.value())
            @if !spread.is_empty() { " " span.spread { (spread) } }
        }
    }
}

/// Each cell's command and run directories.
fn runs(bench: &Bench) -> Markup {
    let cell = |cell: &Cell| {
        html! {
            li {
                code { (visible(&cell.command, 600)) }
                @for measurement in &cell.measurements {
                    br;
                    (visible(&measurement.run_dir, 300))
                }
            }
        }
    };
    html! {
        section {
            h2 { "Runs" }
            p { "The whole bench again: " code { (visible(&bench.command, 600)) } }
            details {
                summary { "Each cell's command and its run directories" }
                ul { @for one in &bench.cells { (cell(one)) } }
            }
        }
    }
}
