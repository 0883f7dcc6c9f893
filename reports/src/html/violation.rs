//! One violation as SVG, with its operations as a table.

use std::ops::Range;

use locktest_analyzer::{FaultSummary, Involved, Violation};
use locktest_history::{Function, Outcome};
use maud::{Markup, html};

use super::parts::list;
use super::scale::{Scale, WIDTH, label_width, px, wide_enough};
use crate::drawing::{self, Drawing, FaultBand, Lane, Span, SpanKind};
use crate::text::{seconds, visible};
use crate::wording;

const TOP: f64 = 30.0;
const LANE_HEIGHT: f64 = 24.0;
const LANE_GAP: f64 = 14.0;
const LEAST_WIDTH: f64 = 2.0;

/// More operations than this are left to verdict.json.
const MAX_OPERATIONS: usize = 40;

/// What the servers said in one round is cut to this length.
const MAX_ROUND: usize = 600;

/// The drawing, or nothing if the violation names no operation.
pub(crate) fn figure(violation: &Violation, faults: &[FaultSummary]) -> Markup {
    let drawing = drawing::lay_out(violation, faults);
    if drawing.lanes.is_empty() {
        return html! {};
    }
    let scale = Scale::new(drawing.window_ns.clone());
    let bottom = TOP + drawing.lanes.len() as f64 * (LANE_HEIGHT + LANE_GAP);
    let label =
        format!("{} at {}, one lane for each owner", violation.class, seconds(violation.time_ns));
    html! {
        div.scroll tabindex="0" {
            svg viewBox=(format!("0 0 {WIDTH} {}", px(bottom + 20.0))) role="img" aria-label=(label)
                data-window=(scale.window()) {
                @for fault in &drawing.faults { (behind(fault, &scale, bottom)) }
                (scale.axis(TOP - 6.0, bottom))
                @for (n, lane) in drawing.lanes.iter().enumerate() {
                    (draw_lane(lane, &scale, TOP + n as f64 * (LANE_HEIGHT + LANE_GAP) + 4.0))
                }
                @for overlap_ns in &drawing.overlaps_ns { (overlap(&scale, overlap_ns, bottom)) }
                (moment(&drawing, &scale, bottom))
            }
        }
    }
}

fn behind(fault: &FaultBand, scale: &Scale, bottom: f64) -> Markup {
    let Some((from, to)) = scale.clip(&fault.time_ns) else { return html! {} };
    let (width, true_width) = wide_enough(to - from, LEAST_WIDTH);
    html! {
        rect.fault x=(px(from)) y="16" width=(width) height=(px(bottom - 16.0)) data-width=[true_width] {
            title { (fault.label) }
        }
        text.faultlabel x=(px(from)) dx="4" y="12" data-width=(px(to - from)) { (fault.label) }
    }
}

fn draw_lane(lane: &Lane, scale: &Scale, y: f64) -> Markup {
    let middle = px(y + LANE_HEIGHT / 2.0);
    html! {
        text.lane.main x=(px(scale.left() - 8.0)) y=(px(y + LANE_HEIGHT / 2.0 + 4.0)) text-anchor="end" {
            (visible(&lane.label, 10))
        }
        line.rail x1=(px(scale.left())) x2=(px(scale.right())) y1=(middle) y2=(middle) {}
        @for span in &lane.spans { (draw_span(span, scale, y)) }
        @for mark in lane.marks.iter().filter(|mark| scale.contains(mark.time_ns)) {
            @let x = px(scale.x(mark.time_ns));
            line.op x1=(x) x2=(x) y1=(px(y - 3.0)) y2=(px(y + LANE_HEIGHT + 1.0)) {}
            text.op x=(x) y=(px(y + LANE_HEIGHT + 11.0)) text-anchor="middle" {
                (mark.sign) title { (mark.meaning) " " (seconds(mark.time_ns)) }
            }
        }
    }
}

fn draw_span(span: &Span, scale: &Scale, y: f64) -> Markup {
    let (class, inset, words) = match span.kind {
        SpanKind::Waiting => ("wait d3", 11.0, ""),
        SpanKind::Held => ("held d3", 0.0, "holds, lease valid"),
        SpanKind::Overrun => ("overrun d3", 0.0, "acts, lease over"),
        SpanKind::LeaseOnly => ("unused d3", 0.0, "lease runs on"),
    };
    let Some((from, to)) = scale.clip(&span.time_ns) else { return html! {} };
    let label_class = if span.kind == SpanKind::Held { "onbar" } else { "onpattern" };
    let (width, true_width) = wide_enough(to - from, LEAST_WIDTH);
    html! {
        rect class=(class) x=(px(from)) y=(px(y + inset)) width=(width)
            height=(px(LANE_HEIGHT - 2.0 * inset)) data-width=[true_width] {}
        @if to - from > label_width(words) + 8.0 && !words.is_empty() {
            text class=(label_class) x=(px(from)) dx="6" y=(px(y + 16.0)) data-width=(px(to - from)) { (words) }
        }
    }
}

/// Both hold: a frame over every lane.
fn overlap(scale: &Scale, time_ns: &Range<u64>, bottom: f64) -> Markup {
    let Some((from, to)) = scale.clip(time_ns) else { return html! {} };
    let words = format!("both, {} to {}", seconds(time_ns.start), seconds(time_ns.end));
    let room_right = scale.right() - from > label_width(&words);
    let (x, anchor) = if room_right { (from, "start") } else { (to, "end") };
    let (width, true_width) = wide_enough(to - from, LEAST_WIDTH);
    html! {
        rect.overlapframe x=(px(from)) y=(px(TOP)) width=(width) height=(px(bottom - TOP - 6.0))
            data-width=[true_width] {}
        text.overlaplabel x=(px(x)) y=(px(TOP - 4.0)) text-anchor=(anchor) data-width=(px(to - from)) {
            (words)
        }
    }
}

/// The instant that made it a violation, unless an overlap already shows where it begins.
fn moment(drawing: &Drawing, scale: &Scale, bottom: f64) -> Markup {
    let shown = drawing.overlaps_ns.iter().any(|overlap| overlap.start == drawing.time_ns);
    html! {
        @if !shown && scale.contains(drawing.time_ns) {
            @let x = scale.x(drawing.time_ns);
            line.violation x1=(px(x)) x2=(px(x)) y1=(px(TOP - 4.0)) y2=(px(bottom)) {}
            path.violation d=(format!("M{} {}h5l-5 9-5-9z", px(x), px(TOP - 13.0))) {}
        }
    }
}

/// The operations in time order.
pub(crate) fn operations(violation: &Violation) -> Markup {
    let left_out = violation.operations.len().saturating_sub(MAX_OPERATIONS);
    html! {
        @if !violation.operations.is_empty() {
            div.scroll tabindex="0" {
                table {
                    thead { tr {
                        th { "client" } th { "operation" } th { "server" } th.n { "asked" }
                        th.n { "answered" } th { "outcome" } th { "token" } th.n { "lease to" }
                        th.n { "acted until" }
                    } }
                    tbody {
                        @for operation in violation.operations.iter().take(MAX_OPERATIONS) {
                            (row(operation))
                        }
                    }
                }
            }
            @if left_out > 0 { p.note { (left_out) " more in verdict.json." } }
        }
        (rounds(violation))
    }
}

/// What independent servers said to each owner.
fn rounds(violation: &Violation) -> Markup {
    let told: Vec<String> = violation
        .operations
        .iter()
        .take(MAX_OPERATIONS)
        .flat_map(|operation| {
            let rounds = operation.rounds.iter();
            rounds.map(|round| {
                visible(&format!("{}: {}", operation.client, wording::round(round)), MAX_ROUND)
            })
        })
        .collect();
    html! {
        @if !told.is_empty() {
            p.note { "What each server said:" }
            (list(&told))
        }
    }
}

fn row(operation: &Involved) -> Markup {
    let instant = |time_ns: Option<u64>| time_ns.map_or("-".to_owned(), precise);
    html! {
        tr {
            td.key { (visible(&operation.client, 40)) }
            td { (function_word(operation.function)) }
            td { (operation.server.as_deref().map_or("-".to_owned(), |server| visible(server, 40))) }
            td.n { (precise(operation.invoke_ns)) }
            td.n { (instant(operation.complete_ns)) }
            td { (outcome_word(operation.outcome)) }
            td { (operation.token.as_deref().map_or("-".to_owned(), |token| visible(token, 40))) }
            td.n { (instant(operation.contract_end_ns)) }
            td.n { (instant(operation.belief_end_ns)) }
        }
    }
}

/// Milliseconds matter in this table.
fn precise(time_ns: u64) -> String {
    format!("{:.3} s", time_ns as f64 / 1e9)
}

fn function_word(function: Function) -> &'static str {
    match function {
        Function::Acquire => "acquire",
        Function::TryAcquire => "try-acquire",
        Function::Renew => "renew",
        Function::Validate => "validate",
        Function::Release => "release",
        Function::Lost => "lost",
        Function::Read => "read",
        Function::Write => "write",
        Function::Cas => "cas",
        Function::Round => "round",
    }
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Fail => "refused",
        Outcome::Info => "unknown",
    }
}
