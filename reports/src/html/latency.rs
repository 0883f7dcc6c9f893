//! The page's latency tables: by phase, by fault, by client.

use locktest_analyzer::{Latency, Verdict};
use maud::{Markup, html};

use super::parts::sentence_case;
use super::percentiles;
use crate::latency::{self, COLUMNS, LOW_N_NOTE, Row};
use crate::text::{count, visible};
use crate::wording;

/// More faults than this are left to verdict.json.
const MAX_FAULTS: usize = 60;

/// More clients than this are left to verdict.json.
const MAX_CLIENTS: usize = 60;

/// All of them, with what their numbers mean.
pub(crate) fn latency(verdict: &Verdict) -> Markup {
    let Latency { acquire_intended, acquire_by_fault, acquire_by_client, .. } = &verdict.latency;
    let by_operation = latency::by_operation(&verdict.latency, None);
    let by_operation: Vec<(&str, Vec<Row>)> =
        by_operation.into_iter().map(|(name, phases)| (name, latency::by_phase(phases))).collect();
    let faults = &acquire_by_fault[..acquire_by_fault.len().min(MAX_FAULTS)];
    let clients = &acquire_by_client[..acquire_by_client.len().min(MAX_CLIENTS)];
    let intended = acquire_intended.as_ref().map(latency::by_phase).unwrap_or_default();
    let by_fault = latency::by_fault(faults);
    let by_client = latency::by_client(clients);
    let low_n = [&intended, &by_fault, &by_client]
        .into_iter()
        .chain(by_operation.iter().map(|(_, rows)| rows))
        .any(|rows| latency::has_low_n(rows));
    html! {
        section {
            h2 { "Latency" }
            p.note {
                "Milliseconds. Waiting for another holder is part of an acquire. The number of samples, the mean, "
                "the least and the greatest are exact, a percentile is at most 0.1 % too high."
                @if low_n { " A number with an asterisk rests on few samples: " (LOW_N_NOTE) "." }
            }
            @for (name, rows) in &by_operation {
                h3 { (sentence_case(name)) ", by the phase in which it began" }
                (table("phase", rows))
            }
            (percentiles::plot(&verdict.latency))
            @if !intended.is_empty() {
                h3 { "Acquire, from when its client meant to begin" }
                (table("phase", &intended))
                @if let Some(load) = verdict.load {
                    p.note {
                        (format!("{:.0}", load.intended_per_s)) " acquires a second were meant to begin, at random times, "
                        "whatever became of those before; " (format!("{:.0}", load.begun_per_s)) " did. One that could not "
                        "begin when it was meant to counts from then."
                    }
                } @else {
                    p.note {
                        "A client means to ask again as soon as it knows how its last attempt ended, and a short pause later "
                        "if that attempt failed. What kept it from asking, such as a store that was slow to take back "
                        "what the last attempt left, or a process that did not run, counts here and not above."
                    }
                }
            }
            @if verdict.workload.takes_locks() && !by_fault.is_empty() {
                h3 { "Acquire, by the fault in which it began" }
                (table("fault", &by_fault))
                (left_out(acquire_by_fault.len() - faults.len(), "more fault"))
            }
            @if !by_client.is_empty() {
                h3 { "Acquire, by client" }
                (table("client", &by_client))
                (left_out(acquire_by_client.len() - clients.len(), "more client"))
            }
            @if let Some(gap_ms) = verdict.longest_gap_ms {
                p { (sentence_case(&wording::longest_gap(gap_ms))) "." }
            }
        }
    }
}

fn table(heading: &str, rows: &[Row]) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table.numbers {
                thead { tr {
                    th { (heading) }
                    @for column in COLUMNS { th.n { (column) } }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" { (visible(&row.name, 40)) }
                            @for cell in &row.cells {
                                @if cell.low_n { td.n.low { (cell.text) "*" } } @else { td.n { (cell.text) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn left_out(n: usize, noun: &str) -> Markup {
    html! { @if n > 0 { p.note { (count(n as u64, noun)) " in verdict.json." } } }
}
