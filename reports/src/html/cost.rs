//! The page's table of what each node cost.

use locktest_analyzer::Verdict;
use maud::{Markup, html};

use super::parts::sentence_case;
use crate::cost::{COLUMNS, NETWORK_NOTE, cells};
use crate::text::{count, visible};

/// More nodes than this are left to verdict.json.
const MAX_NODES: usize = 60;

/// Nothing if nothing was sampled.
pub(crate) fn cost(verdict: &Verdict) -> Markup {
    let left_out = verdict.cost.len().saturating_sub(MAX_NODES);
    html! {
        @if !verdict.cost.is_empty() {
            section {
                h2 { "Cost per node" }
                p.note {
                    "What the server processes of each node used while the workload ran, looked at once a second. "
                    (sentence_case(NETWORK_NOTE)) "."
                }
                div.scroll tabindex="0" {
                    table.numbers {
                        thead { tr {
                            th { "node" }
                            @for column in COLUMNS { th.n { (column) } }
                        } }
                        tbody {
                            @for cost in verdict.cost.iter().take(MAX_NODES) {
                                tr {
                                    th scope="row" { (visible(&cost.node, 40)) }
                                    @for cell in cells(cost) { td.n { (cell) } }
                                }
                            }
                        }
                    }
                }
                @if left_out > 0 { p.note { (count(left_out as u64, "more node")) " in verdict.json." } }
            }
        }
    }
}
