//! The whole run in one strip, then the parts that matter at a readable scale.

use std::ops::Range;

use locktest_analyzer::Verdict;
use locktest_history::History;
use maud::{Markup, html};

use super::figure::{self, Window};
use super::lanes::Lanes;
use super::outcomes::outcomes;
use crate::text::{count, seconds};

/// Bars of each kind in the overview, where a bar costs about 25 bytes.
const OVERVIEW_BARS: usize = 4000;

/// Bars of each kind in all close-ups together, where a bar of a hold costs about 150 bytes.
const CLOSE_UP_BARS: usize = 2400;

/// More close-ups than this would make the page unreadable.
const MAX_CLOSE_UPS: usize = 14;

/// Something that a close-up is there to show.
struct Moment {
    time_ns: u64,
    label: String,
}

/// The section's figures.
pub(crate) fn timeline(verdict: &Verdict, history: &History, lanes: &Lanes) -> Markup {
    let moments = moments(verdict, lanes);
    let length_ns = close_up_length_ns(history);
    let (close_ups, left_out) = close_ups(&moments, length_ns, verdict.end_ns);
    let detailed = is_one_close_up(verdict.end_ns, length_ns);
    let whole = Window {
        time_ns: 0..verdict.end_ns.max(1),
        detailed,
        bar_limit: if detailed { CLOSE_UP_BARS } else { OVERVIEW_BARS },
    };
    let bar_limit = CLOSE_UP_BARS / close_ups.len().max(1);
    html! {
        h3 { "How operations ended" }
        (outcomes(verdict, history))
        h3 { "The whole run" }
        (legend(lanes, verdict.workload.takes_locks(), !verdict.elections.is_empty()))
        (figure::draw(verdict, history, lanes, &whole))
        @for (left_out, what) in [(lanes.clients_left_out, "more client"), (lanes.locks_left_out, "more lock")] {
            @if left_out > 0 {
                p.note { (count(left_out as u64, what)) " not drawn. All that a shown violation concerns are." }
            }
        }
        @for close_up_ns in close_ups {
            @let inside = |moment: &&Moment| close_up_ns.contains(&moment.time_ns);
            figure {
                figcaption {
                    b { (seconds(close_up_ns.start)) " to " (seconds(close_up_ns.end)) }
                    @for moment in moments.iter().filter(inside).take(8) {
                        " \u{b7} " (moment.label) " " (seconds(moment.time_ns))
                    }
                    @if !moments.iter().any(|moment| inside(&moment)) { " \u{b7} what followed" }
                }
                (figure::draw(verdict, history, lanes, &Window { time_ns: close_up_ns, detailed: true, bar_limit }))
            }
        }
        @if left_out > 0 {
            p.note { (count(left_out as u64, "later moment")) " not shown in detail." }
        }
    }
}

/// Violations first, since there may be room for some only; then the faults' begins and ends.
fn moments(verdict: &Verdict, lanes: &Lanes) -> Vec<Moment> {
    let mut classes = Vec::new();
    let mut moments = Vec::new();
    for violation in &verdict.violations {
        if !classes.contains(&violation.class) {
            classes.push(violation.class);
            moments.push(Moment {
                time_ns: violation.time_ns,
                label: format!("first {}", violation.class),
            });
        }
    }
    for fault in &verdict.faults {
        let moment =
            |time_ns, what| Moment { time_ns, label: format!("fault {} {what}", fault.id) };
        moments.push(moment(fault.begin_ns, "begins"));
        moments.push(moment(fault.end_ns, "ends"));
    }
    if moments.is_empty() {
        let first_ns = lanes.first_activity_ns();
        moments
            .extend(first_ns.map(|time_ns| Moment { time_ns, label: "the first acquire".into() }));
    }
    moments
}

/// Long enough to show a lease run out and the service recover. The same for all close-ups but one
/// that the run's end cuts off, so that widths can be compared.
fn close_up_length_ns(history: &History) -> u64 {
    let bound_ms = history.run.plan.bounds.lease_bound_ms;
    bound_ms.saturating_mul(2).saturating_add(4000).clamp(8000, 60_000) * 1_000_000
}

/// Whether a run is hardly longer than a close-up, and is drawn as one.
fn is_one_close_up(end_ns: u64, length_ns: u64) -> bool {
    end_ns <= length_ns.saturating_add(length_ns / 4)
}

/// Windows of one length in time order, none overlapping and none past the end, that show as many
/// moments as there is room for, the first ones before the others; and how many moments are left
/// out. A run that fits into one window needs none.
fn close_ups(moments: &[Moment], length_ns: u64, end_ns: u64) -> (Vec<Range<u64>>, usize) {
    if is_one_close_up(end_ns, length_ns) {
        return (Vec::new(), 0);
    }
    let lead_ns = length_ns / 5;
    let latest_start_ns = end_ns - length_ns;
    let mut times_ns: Vec<u64> = moments.iter().map(|moment| moment.time_ns.min(end_ns)).collect();
    times_ns.sort_unstable();
    let mut close_ups: Vec<Range<u64>> = Vec::new();
    for time_ns in times_ns {
        let shown_to_ns = close_ups.last().map_or(0, |close_up| close_up.end);
        // Its effect must be inside too, not only the moment.
        let seen = time_ns.saturating_add(2 * lead_ns) <= shown_to_ns;
        if seen || (shown_to_ns >= end_ns && !close_ups.is_empty()) {
            continue;
        }
        let start_ns = time_ns.saturating_sub(lead_ns).min(latest_start_ns).max(shown_to_ns);
        close_ups.push(start_ns..start_ns.saturating_add(length_ns).min(end_ns));
    }
    let rank = |close_up: &Range<u64>| {
        let inside = |moment: &Moment| close_up.contains(&moment.time_ns.min(end_ns));
        moments.iter().position(inside).unwrap_or(moments.len())
    };
    close_ups.sort_by_key(rank);
    close_ups.truncate(MAX_CLOSE_UPS);
    close_ups.sort_by_key(|close_up| close_up.start);
    let shown = |moment: &&Moment| {
        let time_ns = moment.time_ns.min(end_ns);
        close_ups.iter().any(|close_up| close_up.start <= time_ns && time_ns <= close_up.end)
    };
    let left_out = moments.len() - moments.iter().filter(shown).count();
    (close_ups, left_out)
}

fn legend(lanes: &Lanes, takes_locks: bool, tells_elections: bool) -> Markup {
    let swatch = |class: &str, y: &str, height: &str| {
        html! {
            svg.swatch viewBox="0 0 28 14" aria-hidden="true" {
                rect class=(class) x="0" y=(y) width="28" height=(height) {}
            }
        }
    };
    html! {
        ul.legend {
            @if takes_locks {
                li { (swatch("held d3", "1", "12")) "holds, lease valid" }
                li { (swatch("overrun d3", "1", "12")) "acts, lease over" }
                li { (swatch("unused d3", "1", "12")) "stopped, lease runs on" }
                li { (swatch("overlap", "1", "12")) "two valid leases at once" }
                li { (swatch("wait d3", "6", "2")) "waits for the lock" }
            }
            li { (swatch("fault", "1", "12")) "fault in force" }
            li { (swatch("recovery", "1", "12")) "servers recover" }
            @if !lanes.servers.is_empty() {
                li { (swatch("leads d3", "5", "3")) "leads" }
                li { (swatch("failed d3", "3", "8")) "answers no write" }
                @if tells_elections {
                    li { svg.swatch viewBox="0 0 28 14" aria-hidden="true" {
                        path.election d="M14 3l3 4-3 4-3-4z" {}
                    } "step of an election" }
                }
            }
            li { svg.swatch viewBox="0 0 28 14" aria-hidden="true" {
                path.violation d="M9 2h10l-5 9z" {}
            } "violation" }
        }
        p.note {
            @if takes_locks { "The top lanes show when each lock was held under a valid lease, and for how long no lease was valid. " }
            "Paler bars stand for many that are too short to draw at this scale."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(times_ns: &[u64]) -> Vec<Moment> {
        times_ns.iter().map(|&time_ns| Moment { time_ns, label: String::new() }).collect()
    }

    #[test]
    fn near_moments_share_a_close_up_and_far_ones_do_not() {
        let (shown, left_out) = close_ups(&at(&[1000, 1020, 5000]), 100, 10_000);
        assert_eq!(shown, [980..1080, 4980..5080]);
        assert_eq!(left_out, 0);
    }

    #[test]
    fn a_moment_near_the_end_of_a_close_up_has_its_effect_in_the_next() {
        let (shown, left_out) = close_ups(&at(&[1000, 1070]), 100, 10_000);
        assert_eq!(shown, [980..1080, 1080..1180]);
        assert_eq!(left_out, 0);
    }

    #[test]
    fn the_first_moments_have_room_before_the_earlier_ones() {
        let mut times_ns: Vec<u64> = (0..40).map(|n| n * 1000).collect();
        times_ns.rotate_right(1);
        let (shown, left_out) = close_ups(&at(&times_ns), 100, 100_000);
        assert_eq!((shown.len(), left_out), (MAX_CLOSE_UPS, 40 - MAX_CLOSE_UPS));
        assert_eq!(shown.last(), Some(&(38_980..39_080)));
    }

    #[test]
    fn a_moment_past_the_end_is_shown_at_the_end() {
        let (shown, _) = close_ups(&at(&[100, u64::MAX]), 100, 1000);
        assert_eq!(shown, [80..180, 900..1000]);
    }

    #[test]
    fn no_close_up_goes_past_the_end_of_the_run() {
        let (shown, left_out) = close_ups(&at(&[60, 120]), 100, 150);
        assert_eq!(shown, [40..140, 140..150]);
        assert_eq!(left_out, 0);
    }

    #[test]
    fn a_run_that_a_close_up_would_show_whole_has_none() {
        assert_eq!(close_ups(&at(&[5]), 100, 100), (vec![], 0));
        assert_eq!(close_ups(&at(&[5, 120]), 100, 125), (vec![], 0));
        assert_eq!(close_ups(&at(&[5, 120]), 100, 126), (vec![0..100, 100..126], 0));
    }
}
