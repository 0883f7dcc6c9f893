//! The percentile plot: how slow the slowest acquires are, on a log axis, phase by phase.

use std::fmt::Write;

use locktest_analyzer::{Latency, Percentiles, Phases};
use maud::{Markup, html};

use super::scale::{WIDTH, px};
use crate::text::duration;

const HEIGHT: f64 = 300.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 262.0;
const LEFT: f64 = 84.0;

/// Room for the names of the lines.
const RIGHT: f64 = 210.0;

/// A place on the x axis: its name, and its figure.
type Step = (&'static str, fn(&Percentiles) -> Option<f64>);

/// What stands on the x axis, equally far apart: each step leaves out a tenth of what the one before
/// did.
const STEPS: [Step; 6] = [
    ("least", |p| p.min_ms),
    ("50 %", |p| p.median_ms),
    ("90 %", |p| p.p90_ms),
    ("99 %", |p| p.p99_ms),
    ("99.9 %", |p| p.p999_ms),
    ("greatest", |p| p.max_ms),
];

/// No latency below this can be told from nothing.
const LEAST_MS: f64 = 1e-3;

/// A line of the plot.
struct Line {
    name: String,
    /// Dashes tell the lines apart where colours do not.
    class: &'static str,
    points_ms: Vec<(usize, f64)>,
}

/// The plot of acquires; nothing if there were none.
pub(crate) fn plot(latency: &Latency) -> Markup {
    let mut lines = lines(&latency.acquire, "");
    if let Some(intended) = &latency.acquire_intended {
        lines.extend(self::lines(intended, ", intended start"));
    }
    let values = || lines.iter().flat_map(|line| &line.points_ms).map(|(_, ms)| *ms);
    let (Some(least), Some(greatest)) = (values().reduce(f64::min), values().reduce(f64::max))
    else {
        return html! {};
    };
    let decades = (least.log10().floor() as i32)..=(greatest.log10().ceil() as i32);
    let span = f64::from((decades.end() - decades.start()).max(1));
    let y = |ms: f64| BOTTOM - (ms.log10() - f64::from(*decades.start())) / span * (BOTTOM - TOP);
    let x = |step: usize| LEFT + step as f64 / (STEPS.len() - 1) as f64 * (WIDTH - LEFT - RIGHT);
    let names = names(&lines, y);
    html! {
        figure {
            figcaption { b { "Acquires, percentile by percentile." } " The time axis is logarithmic." }
            div.scroll tabindex="0" {
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
                    aria-label="Percentiles of acquires by phase, on a logarithmic time axis" {
                    @for decade in decades.clone() {
                        @let ms = 10f64.powi(decade);
                        line.grid x1=(LEFT) x2=(px(WIDTH - RIGHT)) y1=(px(y(ms))) y2=(px(y(ms))) {}
                        text.axis x=(px(LEFT - 8.0)) y=(px(y(ms) + 4.0)) text-anchor="end" {
                            (decade_label(ms))
                        }
                    }
                    @for (step, (name, _)) in STEPS.iter().enumerate() {
                        line.grid x1=(px(x(step))) x2=(px(x(step))) y1=(TOP) y2=(BOTTOM) {}
                        text.axis x=(px(x(step))) y=(px(BOTTOM + 18.0)) text-anchor="middle" { (name) }
                    }
                    @for (line, name_y) in lines.iter().zip(names) {
                        path class={ "curve " (line.class) } d=(path(line, x, y)) {}
                        @for (step, ms) in &line.points_ms {
                            circle class={ "curvepoint " (line.class) } cx=(px(x(*step))) cy=(px(y(*ms))) r="3" {
                                title { (line.name) ", " (STEPS[*step].0) ": " (duration(*ms)) }
                            }
                        }
                        text.lane x=(px(WIDTH - RIGHT + 10.0)) y=(px(name_y + 4.0)) { (line.name) }
                    }
                }
            }
        }
    }
}

fn lines(phases: &Phases, suffix: &str) -> Vec<Line> {
    let is_intended = !suffix.is_empty();
    let line = |(name, class, intended_class, percentiles): (&str, _, _, &Percentiles)| {
        let points = STEPS.iter().enumerate();
        let points =
            points.filter_map(|(step, (_, of))| Some((step, of(percentiles)?.max(LEAST_MS))));
        Line {
            name: format!("{name}{suffix}"),
            class: if is_intended { intended_class } else { class },
            points_ms: points.collect(),
        }
    };
    [
        ("quiet", "quietline", "quietline thin", &phases.quiet),
        ("fault", "faultline", "faultline thin", &phases.fault),
        ("recovery", "recoveryline", "recoveryline thin", &phases.recovery),
    ]
    .into_iter()
    .map(line)
    .filter(|line| !line.points_ms.is_empty())
    .collect()
}

/// Where the name of each line stands: at its end, and no two on each other.
fn names(lines: &[Line], y: impl Fn(f64) -> f64) -> Vec<f64> {
    const LEAST_DISTANCE: f64 = 14.0;
    let end = |line: &Line| line.points_ms.last().map_or(BOTTOM, |(_, ms)| y(*ms));
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|a, b| end(&lines[*a]).total_cmp(&end(&lines[*b])));
    let mut places = vec![0.0; lines.len()];
    let mut least = f64::MIN;
    for line in order {
        places[line] = end(&lines[line]).max(least);
        least = places[line] + LEAST_DISTANCE;
    }
    places
}

fn path(line: &Line, x: impl Fn(usize) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    for (place, (step, ms)) in line.points_ms.iter().enumerate() {
        let command = if place == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{command}{} {}", px(x(*step)), px(y(*ms)));
    }
    path
}

fn decade_label(ms: f64) -> String {
    match ms {
        ..1.0 => format!("{} us", (ms * 1000.0).round()),
        1.0..1000.0 => format!("{} ms", ms.round()),
        _ => format!("{} s", (ms / 1000.0).round()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn each_phase_with_samples_has_a_line_and_its_name_stands_alone() {
        let latency = testing::held().latency;
        let page = plot(&latency).into_string();
        for name in ["quiet", "fault", "recovery", "quiet, intended start"] {
            assert!(page.contains(&format!(">{name}</text>")), "{page}");
        }
        let lines = lines(&latency.acquire, "");
        let mut places = names(&lines, |_| 100.0);
        places.sort_by(f64::total_cmp);
        assert!(places.windows(2).all(|two| two[1] - two[0] >= 14.0), "{places:?}");
    }

    #[test]
    fn without_acquires_there_is_no_plot() {
        let none = Percentiles::default();
        let phases = Phases { quiet: none.clone(), fault: none.clone(), recovery: none };
        let latency =
            Latency { acquire: phases, acquire_intended: None, ..testing::held().latency };
        assert_eq!(plot(&latency).into_string(), "");
    }

    #[test]
    fn equal_samples_and_samples_of_nothing_have_a_plot() {
        let zero =
            Percentiles { n: 1, min_ms: Some(0.0), max_ms: Some(0.0), ..Percentiles::default() };
        let phases =
            Phases { quiet: zero, fault: Percentiles::default(), recovery: Percentiles::default() };
        let latency =
            Latency { acquire: phases, acquire_intended: None, ..testing::held().latency };
        let page = plot(&latency).into_string();
        assert!(page.contains("class=\"curve quietline\"") && !page.contains("NaN"), "{page}");
    }
}
