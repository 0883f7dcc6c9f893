//! From instants to pixels, and the time axis.

use std::fmt::Write;
use std::ops::Range;

use maud::{Markup, html};

/// The width of every figure in its own units; the browser scales it to the page.
pub(crate) const WIDTH: f64 = 1120.0;

/// Room for the names of lanes.
const LEFT: f64 = 84.0;

/// Room for the last label of the axis.
const RIGHT: f64 = 20.0;

/// Linear, from instants to x.
pub(crate) struct Scale {
    window_ns: Range<u64>,
}

impl Scale {
    /// The window over the figure's whole width.
    pub(crate) fn new(window_ns: Range<u64>) -> Scale {
        let end = window_ns.end.max(window_ns.start.saturating_add(1));
        Scale { window_ns: window_ns.start..end }
    }

    /// The x of an instant; one outside the window gets the nearer edge.
    pub(crate) fn x(&self, time_ns: u64) -> f64 {
        let Range { start, end } = self.window_ns;
        let offset_ns = time_ns.clamp(start, end) - start;
        LEFT + offset_ns as f64 / (end - start) as f64 * (WIDTH - LEFT - RIGHT)
    }

    /// The two edges of a range, if any of it is inside the window.
    pub(crate) fn clip(&self, range_ns: &Range<u64>) -> Option<(f64, f64)> {
        let inside = range_ns.start < self.window_ns.end && range_ns.end > self.window_ns.start;
        (inside && !range_ns.is_empty()).then(|| (self.x(range_ns.start), self.x(range_ns.end)))
    }

    /// Whether an instant is inside the window.
    pub(crate) fn contains(&self, time_ns: u64) -> bool {
        (self.window_ns.start..=self.window_ns.end).contains(&time_ns)
    }

    /// The window and its edges in the figure, for `timeline.js`.
    pub(crate) fn window(&self) -> String {
        let Range { start, end } = self.window_ns;
        format!("{start} {end} {} {}", px(self.left()), px(self.right()))
    }

    /// Where the lanes begin.
    pub(crate) fn left(&self) -> f64 {
        LEFT
    }

    /// Where the lanes end.
    pub(crate) fn right(&self) -> f64 {
        WIDTH - RIGHT
    }

    /// Grid lines from `top` to `bottom` and their instants below them.
    pub(crate) fn axis(&self, top: f64, bottom: f64) -> Markup {
        let (ticks_ns, decimals) = self.ticks();
        html! {
            @for tick_ns in ticks_ns {
                @let x = px(self.x(tick_ns));
                line.grid x1=(x) x2=(x) y1=(px(top)) y2=(px(bottom)) {}
                text.axis x=(x) y=(px(bottom + 14.0)) text-anchor="middle" {
                    (format!("{:.decimals$} s", tick_ns as f64 / 1e9))
                }
            }
        }
    }

    /// About ten round instants, and the decimals of a second that tell them apart.
    fn ticks(&self) -> (Vec<u64>, usize) {
        let Range { start, end } = self.window_ns;
        let span_ns = end - start;
        let mut step_ns: u64 = 1;
        for factor in [2, 5, 10].into_iter().cycle().zip([1, 2, 5].into_iter().cycle()) {
            let (up, down) = factor;
            if span_ns / step_ns <= 12 {
                break;
            }
            let Some(next_ns) = (step_ns / down).checked_mul(up) else { break };
            step_ns = next_ns;
        }
        let decimals = match step_ns {
            1_000_000_000.. => 0,
            100_000_000.. => 1,
            10_000_000.. => 2,
            1_000_000.. => 3,
            _ => 6,
        };
        let first_ns = start.div_ceil(step_ns);
        let ticks_ns = (first_ns..=end / step_ns).map(|n| n * step_ns).collect();
        (ticks_ns, decimals)
    }
}

/// A coordinate, short.
pub(crate) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// The width of a mark that is never narrower than `least`, and its true width if that is narrower:
/// who looks closer must not see more than there is.
pub(crate) fn wide_enough(width: f64, least: f64) -> (String, Option<String>) {
    (px(width.max(least)), (width < least).then(|| px(width)))
}

/// Adds a rectangle to the data of a path.
pub(crate) fn push_rect(path: &mut String, x: f64, y: f64, width: f64, height: f64) {
    let (width, height) = (px(width), px(height));
    let _ = write!(path, "M{} {}h{width}v{height}h-{width}z", px(x), px(y));
}

/// The width that a label takes, estimated from its length.
pub(crate) fn label_width(label: &str) -> f64 {
    label.chars().count() as f64 * 6.4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_neither_few_nor_many() {
        for (window_ns, first_ns, step_ns) in [
            (0..60_000_000_000, 0, 5_000_000_000),
            (10_500_000_000..18_500_000_000, 11_000_000_000, 1_000_000_000),
            (0..3_600_000_000_000, 0, 500_000_000_000),
            (4_000_000_000..4_050_000_000, 4_000_000_000, 5_000_000),
        ] {
            let (ticks_ns, _) = Scale::new(window_ns).ticks();
            assert_eq!((ticks_ns[0], ticks_ns[1] - ticks_ns[0]), (first_ns, step_ns));
            assert!((4..=13).contains(&ticks_ns.len()), "{ticks_ns:?}");
        }
    }

    #[test]
    fn an_empty_window_and_an_endless_one_have_an_axis() {
        assert!(Scale::new(5..5).x(5).is_finite());
        assert!(Scale::new(0..u64::MAX).ticks().0.len() <= 13);
    }
}
