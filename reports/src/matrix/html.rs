//! The matrix as one offline page, with links to the pages of its runs.

use maud::{DOCTYPE, Markup, html};

use super::terminal::{has_low_n, subject};
use super::{Cell, Matrix, P99};
use crate::html::parts::{MAX_SENTENCE, badge, head};
use crate::latency::LOW_N_NOTE;
use crate::text::{count, milliseconds, visible};

/// The page.
pub fn render_matrix_html(matrix: &Matrix) -> String {
    page(matrix).into_string()
}

fn page(matrix: &Matrix) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("locktest matrix: {}", visible(&matrix.folder, 120)), include_str!("matrix.css"), None))
            body {
                header {
                    h1 { "locktest matrix" }
                    p.subject { (visible(&subject(matrix), 600)) "." }
                }
                main {
                    @if !matrix.stores.is_empty() {
                        section {
                            h2 { "Stores under faults" }
                            p.note {
                                "The worst verdict of the runs of a cell; how long acquires took is of the newest of them, "
                                "without a fault in force and with one. The link leads to the newest run that was violated, "
                                "or else to the newest."
                                @if has_low_n(matrix) { " A number with an asterisk rests on few samples: " (LOW_N_NOTE) "." }
                            }
                            (table(matrix))
                        }
                    }
                    @if !matrix.unreadable.is_empty() {
                        section {
                            h2 { "Not read" }
                            ul {
                                @for run in &matrix.unreadable {
                                    li { b { (visible(&run.name, 200)) } ": " (visible(&run.reason, MAX_SENTENCE)) }
                                }
                            }
                        }
                    }
                }
                footer { p { "Made by locktest " (env!("CARGO_PKG_VERSION")) " from the runs' verdicts. "
                    code { "locktest report" } " on the folder makes it again." } }
            }
        }
    }
}

fn table(matrix: &Matrix) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Stores under faults" {
            table.matrix {
                thead { tr {
                    th scope="col" { "store" }
                    @for faults in &matrix.faults { th scope="col" { (faults) } }
                } }
                tbody {
                    @for store in &matrix.stores {
                        tr {
                            th scope="row" { (visible(&store.name(), 120)) }
                            @for cell in &store.cells {
                                @if let Some(cell) = cell { td { (contents(cell)) } }
                                @else { td.nothing { "no run" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn contents(cell: &Cell) -> Markup {
    html! {
        (badge(cell.standing.tone(), cell.standing.word()))
        div {
            @if cell.violated == 0 { (count(cell.runs, "run")) }
            @else { (cell.violated) " of " (count(cell.runs, "run")) " violated" }
        }
        @if !cell.violations.is_empty() { div { (cell.classes()) } }
        div.figures { "p99 quiet " (p99(cell.quiet_p99)) ", fault " (p99(cell.fault_p99)) }
        div.run {
            @if let Some(page) = &cell.page { a href=(page) { (cell.run) } }
            @else { (cell.run) " (no page)" }
        }
    }
}

fn p99(p99: P99) -> String {
    match p99.ms {
        Some(_) if p99.low_n => format!("{}* ms", milliseconds(p99.ms)),
        Some(_) => format!("{} ms", milliseconds(p99.ms)),
        None => "-".into(),
    }
}
