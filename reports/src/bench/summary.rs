//! A figure over the repeats of a cell.

use locktest_analyzer::Percentiles;

use super::{Cell, Measurement};

/// A figure, and how far its repeats lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    /// The median; of an even number the mean of the two in the middle.
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) greatest: f64,
    pub(super) repeats: usize,
}

impl Figure {
    /// Over those repeats that have it; `None` if none has.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Option<Figure> {
        let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        values.sort_unstable_by(f64::total_cmp);
        let (least, greatest) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => (values[middle - 1] + values[middle]) / 2.0,
            _ => values[middle],
        };
        Some(Figure { median, least, greatest, repeats: values.len() })
    }

    /// Half the distance between the extremes, in percent of the median; `None` of a single repeat.
    pub(super) fn spread_percent(&self) -> Option<f64> {
        let half = (self.greatest - self.least) / 2.0;
        (self.repeats > 1 && self.median > 0.0).then(|| half / self.median * 100.0)
    }
}

/// A figure of a cell's measurements.
pub(super) fn figure(
    cell: Option<&Cell>,
    of: impl Fn(&Measurement) -> Option<f64>,
) -> Option<Figure> {
    Figure::of(cell?.measurements.iter().filter_map(of))
}

/// A row: its name, and its figure.
type Metric = (&'static str, fn(&Percentiles) -> Option<f64>);

/// The rows of the paper's tables, and one more.
pub(super) const METRICS: [Metric; 7] = [
    ("avg", |p| p.avg_ms),
    ("median", |p| p.median_ms),
    ("min", |p| p.min_ms),
    ("max", |p| p.max_ms),
    ("90p", |p| p.p90_ms),
    ("99p", |p| p.p99_ms),
    ("99.9p", |p| p.p999_ms),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_of_its_repeats_with_their_spread() {
        let figure = Figure::of([5.0, 1.0, 4.0].into_iter()).expect("values");
        assert_eq!((figure.median, figure.least, figure.greatest), (4.0, 1.0, 5.0));
        assert_eq!(figure.spread_percent(), Some(50.0));
        let even = Figure::of([1.0, 2.0, 3.0, 10.0].into_iter()).expect("values");
        assert_eq!(even.median, 2.5);
        let one = Figure::of([3.0].into_iter()).expect("a value");
        assert_eq!(one.spread_percent(), None);
        assert_eq!(Figure::of([f64::NAN].into_iter()), None);
    }
}
