//! The page's section on the analysis itself: what was checked, how, and what was left open.

use locktest_analyzer::{PropertyOutcome, Step, Verdict};
use locktest_history::Workload;
use maud::{Markup, html};

use super::parts::{MAX_SENTENCE, list};
use crate::background::AnalysisCost;
use crate::text::{bytes, duration, visible};
use crate::wording;

/// Every check that applies to the run, with its method, what it found, and how long it took.
pub(crate) fn checks(verdict: &Verdict, cost: Option<&AnalysisCost>) -> Markup {
    let steps = Step::ALL.into_iter().filter(|step| step.applies_to(verdict.workload));
    let undecided = undecided(verdict);
    html! {
        section {
            h2 { "Checks run" }
            div.scroll tabindex="0" {
                table {
                    thead { tr {
                        th { "check" } th { "how" } th.n { "found" }
                        @if cost.is_some() { th.n { "took" } }
                    } }
                    tbody {
                        @for step in steps {
                            tr {
                                th.step scope="row" { (name(step)) }
                                td { (method(step, verdict.workload)) }
                                td.n { (found(verdict, step)) }
                                @if let Some(cost) = cost { td.n.took { (took(cost, step)) } }
                            }
                        }
                    }
                }
            }
            @if let Some(cost) = cost { p.note.took { (in_all(cost)) } }
            @if undecided.is_empty() { p { "Nothing that was checked was left undecided." } }
            @else { h3 { "Left undecided" } (list(&undecided)) }
        }
    }
}

fn found(verdict: &Verdict, step: Step) -> String {
    if step.classes().is_empty() {
        return String::new();
    }
    let counts = &verdict.violation_counts;
    let found: u64 = step.classes().iter().filter_map(|class| counts.get(class)).sum();
    if found == 0 { "nothing".to_owned() } else { found.to_string() }
}

fn took(cost: &AnalysisCost, step: Step) -> String {
    let took = cost.steps.iter().find(|(of, _)| *of == step);
    took.map_or_else(|| "-".to_owned(), |(_, took)| duration(took.as_secs_f64() * 1e3))
}

fn in_all(cost: &AnalysisCost) -> String {
    let all: f64 = cost.steps.iter().map(|(_, took)| took.as_secs_f64() * 1e3).sum();
    let memory = cost
        .peak_resident_bytes
        .map(|peak| format!(", with at most {} of memory resident", bytes(peak)))
        .unwrap_or_default();
    format!("The analysis took {}{memory}, the history included.", duration(all))
}

fn undecided(verdict: &Verdict) -> Vec<String> {
    let rows = wording::rows(verdict).into_iter();
    rows.filter(|row| row.outcome == PropertyOutcome::Undecided)
        .map(|row| format!("{}: {}", row.name, visible(row.why, MAX_SENTENCE)))
        .collect()
}

/// The name of a step of the analysis.
fn name(step: Step) -> &'static str {
    match step {
        Step::Order => "order",
        Step::MutualExclusion => "mutual exclusion",
        Step::Evidence => "what the service admits",
        Step::Tokens => "fencing tokens",
        Step::Resource => "protected resource",
        Step::Registers => "registers",
        Step::Liveness => "deadlock-freedom",
        Step::Availability => "availability",
        Step::Figures => "figures",
    }
}

/// How a step decides.
fn method(step: Step, workload: Workload) -> &'static str {
    match step {
        Step::Order => {
            "Both ends of each operation are joined, on one clock; the faults tell who could reach whom."
        }
        Step::MutualExclusion => {
            "A mutex explains a history exactly if no two owners of a key hold at one time, from the grant \
             to the request to release. One sweep of the grants in time order, O(n log n): once up to the \
             end of each lease, for the service, and once as long as each client acted, for the clients."
        }
        Step::Evidence => {
            "Each grant and each refused renewal is held against what the service itself said of the \
             lock's entry and of the lease: one pass."
        }
        Step::Tokens => {
            "A grant that surely came after another has a larger token: two sweeps of each key's grants \
             with the largest token so far, O(n log n)."
        }
        Step::Resource if workload.keeps_values_in_store() => {
            "No two owners replace the same value, and no later read sees less: one pass over the reads \
             and writes that the store acknowledged."
        }
        Step::Resource => {
            "No write finds another value than its writer had read: one pass in the order in which the \
             resource served them."
        }
        Step::Registers => {
            "Reads of values that had been overwritten: one pass with what was written last, O(n log n). \
             Otherwise the search for an order that explains all answers, of Wing and Gong with the \
             memoisation of Lowe, up to a budget of steps."
        }
        Step::Liveness => {
            "A clock for each key, which runs while somebody waits who reaches a healthy majority, the \
             store answers writes, and nobody may hold the lock; one pass."
        }
        Step::Availability => {
            "A clock which runs while a healthy, connected majority is up and no write is answered; one \
             pass."
        }
        Step::Figures => "Percentiles by phase, cost, and the outcome of each property.",
    }
}
