//! How the operations of the whole run ended, second by second.

use locktest_analyzer::Verdict;
use locktest_history::{Event, Function, History, Phase, Record};
use maud::{Markup, html};

use super::scale::{Scale, WIDTH, push_rect, px, wide_enough};
use crate::text::{count, seconds, visible};

/// So many columns stand side by side.
const COLUMNS: usize = 120;

const TOP: f64 = 16.0;
const HEIGHT: f64 = 56.0;

/// The outcomes from the bottom up, each with its class and its meaning.
const OUTCOMES: [(Phase, &str, &str); 3] =
    [(Phase::Ok, "ok", "done"), (Phase::Fail, "fail", "refused"), (Phase::Info, "info", "unknown")];

/// Columns over the run's length, as high as the operations that ended in their time are many.
pub(crate) fn outcomes(verdict: &Verdict, history: &History) -> Markup {
    let end_ns = verdict.end_ns.max(1);
    let columns = counted(history, end_ns);
    let most = columns.iter().map(|column| column.iter().sum::<u64>()).max().unwrap_or(0);
    if most == 0 {
        return html! { p.note { "No operation of a client came to an end." } };
    }
    let scale = Scale::new(0..end_ns);
    let bottom = TOP + HEIGHT;
    let totals: [u64; 3] = std::array::from_fn(|n| columns.iter().map(|column| column[n]).sum());
    let width_ns = end_ns / COLUMNS as u64;
    html! {
        ul.legend {
            @for ((_, class, meaning), total) in OUTCOMES.iter().zip(totals) {
                li {
                    svg.swatch viewBox="0 0 28 14" aria-hidden="true" {
                        rect class=(class) x="0" y="1" width="28" height="12" {}
                    }
                    (meaning) ": " (total)
                }
            }
        }
        div.scroll tabindex="0" {
            svg viewBox=(format!("0 0 {WIDTH} {}", px(bottom + 20.0))) role="img"
                data-window=(scale.window()) aria-label="How many operations of clients ended in each part of the run, by outcome" {
                @for fault in &verdict.faults {
                    @if let Some((from, to)) = scale.clip(&(fault.begin_ns..fault.end_ns)) {
                        @let (width, true_width) = wide_enough(to - from, 1.0);
                        rect.fault x=(px(from)) y=(px(TOP)) width=(width) height=(px(HEIGHT)) data-width=[true_width] {
                            title { "fault " (fault.id) ": " (visible(&fault.description, 120)) }
                        }
                    }
                }
                (scale.axis(TOP, bottom))
                text.lane x=(px(scale.left() - 8.0)) y=(px(TOP + 8.0)) text-anchor="end" { (most) }
                text.lane x=(px(scale.left() - 8.0)) y=(px(bottom)) text-anchor="end" { "0" }
                @for (n, (_, class, _)) in OUTCOMES.iter().enumerate() {
                    @if totals[n] > 0 { path class=(class) d=(stacked(&columns, n, most, &scale)) {} }
                }
            }
        }
        p.note {
            "Operations of clients by when they ended; a column is " (seconds(width_ns)) ", the highest has "
            (count(most, "operation")) "."
        }
    }
}

/// How many operations ended with each outcome in each part of the run.
fn counted(history: &History, end_ns: u64) -> Vec<[u64; 3]> {
    let mut columns = vec![[0; 3]; COLUMNS];
    for record in &history.records {
        let Some(event) = ended(record) else { continue };
        let outcome = OUTCOMES.iter().position(|(phase, ..)| *phase == event.phase);
        let Some(outcome) = outcome else { continue };
        let part = u128::from(event.time_ns) * COLUMNS as u128 / u128::from(end_ns);
        columns[(part as usize).min(COLUMNS - 1)][outcome] += 1;
    }
    columns
}

/// The end of an operation. A round is a part of another one, and nobody asked for a loss.
fn ended(record: &Record) -> Option<&Event> {
    match record {
        Record::Event(event)
            if event.phase != Phase::Invoke
                && !matches!(event.function, Function::Round | Function::Lost) =>
        {
            Some(event)
        }
        _ => None,
    }
}

/// The rectangles of one outcome, on top of those below it.
fn stacked(columns: &[[u64; 3]], outcome: usize, most: u64, scale: &Scale) -> String {
    let width = (scale.right() - scale.left()) / COLUMNS as f64;
    let height = |n: u64| n as f64 / most as f64 * HEIGHT;
    let mut path = String::new();
    for (n, column) in columns.iter().enumerate().filter(|(_, column)| column[outcome] > 0) {
        let below: u64 = column[..=outcome].iter().sum();
        let x = scale.left() + n as f64 * width;
        // What is there is seen, however little it is.
        let own = height(column[outcome]).max(1.0);
        push_rect(&mut path, x, TOP + HEIGHT - height(below), width, own);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn every_end_of_an_operation_is_counted_whenever_it_was() {
        let (mut history, _) = testing::run(5, &testing::violated(), 100);
        let ends = history.records.iter().filter_map(ended).count() as u64;
        let sum =
            |history: &History, end_ns| -> u64 { counted(history, end_ns).iter().flatten().sum() };
        assert!(ends > 100);
        assert_eq!(sum(&history, testing::violated().end_ns), ends);
        for record in &mut history.records {
            if let Record::Event(event) = record {
                event.time_ns = u64::MAX;
            }
        }
        assert_eq!(sum(&history, 1), ends);
    }

    #[test]
    fn each_outcome_stands_on_those_below_it() {
        let mut columns = vec![[0; 3]; COLUMNS];
        columns[0] = [30, 10, 0];
        let scale = Scale::new(0..1000);
        let path = |outcome| stacked(&columns, outcome, 40, &scale);
        assert!(path(0).starts_with("M84 30h"), "{}", path(0));
        assert!(path(1).starts_with("M84 16h"), "{}", path(1));
        assert_eq!(path(2), "");
    }
}
