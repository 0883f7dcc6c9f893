//! A comparison as one offline page.

use maud::{DOCTYPE, Markup, html};

use super::{Cell, Comparison, Table};
use crate::html::parts::{MAX_SENTENCE, badge, head};
use crate::text::visible;

/// The page.
pub fn render_comparison_html(comparison: &Comparison) -> String {
    page(comparison).into_string()
}

fn page(comparison: &Comparison) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head("locktest compare", "", None))
            body {
                header {
                    h1 { "locktest compare: " (comparison.of.noun()) }
                    dl.facts {
                        @for subject in &comparison.subjects {
                            dt { (subject.letter) }
                            dd {
                                (visible(&subject.name, 200)) br;
                                span.note { (visible(&subject.what, 600)) }
                                @if !subject.differences.is_empty() {
                                    ul { @for difference in &subject.differences { li { (visible(difference, 300)) } } }
                                }
                            }
                        }
                    }
                }
                main {
                    (list("Regressions", &comparison.regressions))
                    @for table in &comparison.tables { (section(comparison, table)) }
                    (list("Notes", &comparison.notes))
                }
                footer { p { "Made by locktest " (env!("CARGO_PKG_VERSION")) "." } }
            }
        }
    }
}

fn list(title: &str, entries: &[String]) -> Markup {
    html! {
        @if !entries.is_empty() {
            section {
                h2 { (title) }
                ul { @for entry in entries { li { (visible(entry, MAX_SENTENCE)) } } }
            }
        }
    }
}

fn section(comparison: &Comparison, table: &Table) -> Markup {
    html! {
        section {
            h2 { (table.title) }
            @if let Some(note) = &table.note { p.note { (note) } }
            div.scroll tabindex="0" role="region" aria-label=(table.title) {
                table.numbers {
                    thead { tr {
                        th {}
                        @for subject in &comparison.subjects { th.n scope="col" { (subject.letter) } }
                    } }
                    tbody {
                        @for row in &table.rows {
                            tr {
                                th scope="row" { (visible(&row.name, 200)) }
                                @for one in &row.cells { td.n { (cell(one)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A word with its sign, or a figure; a ratio that is not by chance stands out.
fn cell(cell: &Cell) -> Markup {
    let stands_out =
        cell.ratio.and_then(|ratio| ratio.interval).is_some_and(|interval| interval.excludes_one);
    html! {
        @if let Some(tone) = cell.tone { (badge(tone, &cell.text)) } @else { (cell.text) }
        @if let Some(ratio) = &cell.ratio {
            " "
            @if stands_out { b { (ratio.text()) } } @else { span.low { (ratio.text()) } }
        }
    }
}
