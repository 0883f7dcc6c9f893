//! Fitting any number of bars into a lane of fixed width.

use std::ops::Range;

use super::scale::Scale;

/// The narrowest bar that is drawn as itself.
const LEAST_WIDTH: f64 = 0.5;

/// A merged bar is cut here, so that a change of density shows.
const GREATEST_MERGED: f64 = 8.0;

/// The number of densities that merged bars come in.
pub(crate) const DENSITIES: usize = 4;

/// Something to draw on a lane.
#[derive(Clone, Copy)]
pub(crate) struct Bar {
    /// The left edge.
    pub x: f64,
    /// More than zero.
    pub width: f64,
    /// What it stands for.
    pub content: Content,
}

/// What a bar stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The range of this index.
    One(usize),
    /// Several ranges, too narrow to draw. They fill about `n + 1` of [`DENSITIES`] parts of it.
    Several(usize),
}

/// Lanes of bars, at most `limit` in all. The least width grows until they fit.
///
/// The ranges of a lane must be in order of their begin.
pub(crate) fn fit(lanes: &[Vec<Range<u64>>], scale: &Scale, limit: usize) -> Vec<Vec<Bar>> {
    let seen: Vec<Vec<Seen>> = lanes.iter().map(|lane| seen(lane, scale)).collect();
    let mut least_width = LEAST_WIDTH;
    loop {
        let fitted: Vec<Vec<Bar>> = seen.iter().map(|lane| merge(lane, least_width)).collect();
        // At the figure's own width a lane is one bar, and nothing more can be merged.
        if fitted.iter().map(Vec::len).sum::<usize>() <= limit || least_width > super::scale::WIDTH
        {
            return fitted;
        }
        least_width *= 2.0;
    }
}

/// A range's index and its edges, as far as it is inside the figure.
type Seen = (usize, f64, f64);

fn seen(ranges_ns: &[Range<u64>], scale: &Scale) -> Vec<Seen> {
    let clipped = ranges_ns.iter().enumerate();
    clipped
        .filter_map(|(index, range_ns)| scale.clip(range_ns).map(|(from, to)| (index, from, to)))
        .collect()
}

fn merge(lane: &[Seen], least_width: f64) -> Vec<Bar> {
    let greatest_merged = GREATEST_MERGED.max(least_width);
    let mut bars = Vec::new();
    let mut run: Option<Run> = None;
    for &(index, from, to) in lane {
        let fits = run
            .as_ref()
            .is_some_and(|run| from - run.to < least_width && to - run.from <= greatest_merged);
        if !fits || to - from >= least_width {
            bars.extend(run.take().map(|run| run.bar(least_width)));
        }
        if to - from >= least_width {
            bars.push(Bar { x: from, width: to - from, content: Content::One(index) });
            continue;
        }
        let run = run.get_or_insert(Run { from, to, covered: 0.0, first: index, count: 0 });
        run.to = run.to.max(to);
        run.covered += to - from;
        run.count += 1;
    }
    bars.extend(run.map(|run| run.bar(least_width)));
    bars
}

/// Ranges that are merged into one bar.
struct Run {
    from: f64,
    to: f64,
    covered: f64,
    first: usize,
    count: usize,
}

impl Run {
    fn bar(self, least_width: f64) -> Bar {
        let width = (self.to - self.from).max(least_width);
        let content = if self.count == 1 {
            Content::One(self.first)
        } else {
            let density = (self.covered / width * DENSITIES as f64) as usize;
            Content::Several(density.min(DENSITIES - 1))
        };
        Bar { x: self.from, width, content }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale() -> Scale {
        // One pixel is 1000 ns.
        Scale::new(0..1_016_000)
    }

    fn widths(bars: &[Bar]) -> Vec<(i64, Content)> {
        bars.iter().map(|bar| ((bar.width * 10.0).round() as i64, bar.content)).collect()
    }

    #[test]
    fn a_bar_of_half_a_pixel_is_drawn_as_itself() {
        let lanes = [vec![0..500, 600..1100]];
        let fitted = fit(&lanes, &scale(), 10);
        assert_eq!(widths(&fitted[0]), [(5, Content::One(0)), (5, Content::One(1))]);
    }

    #[test]
    fn narrower_neighbours_become_one_bar_with_their_density() {
        let sparse: Vec<_> = (0..8).map(|n| n * 500..n * 500 + 100).collect();
        let dense: Vec<_> = (0..8).map(|n| n * 500..n * 500 + 480).collect();
        let fitted = fit(&[sparse, dense], &scale(), 10);
        assert_eq!(widths(&fitted[0]), [(36, Content::Several(0))]);
        assert_eq!(widths(&fitted[1]), [(40, Content::Several(3))]);
    }

    #[test]
    fn a_single_narrow_bar_keeps_its_identity_and_is_wide_enough_to_see() {
        let fitted = fit(&[vec![0..1, 500_000..500_001]], &scale(), 10);
        assert_eq!(widths(&fitted[0]), [(5, Content::One(0)), (5, Content::One(1))]);
    }

    #[test]
    fn ten_thousand_bars_fit_into_a_hundred() {
        let lane: Vec<_> = (0..10_000).map(|n| n * 100..n * 100 + 60).collect();
        let fitted = fit(&[lane.clone(), lane], &scale(), 100);
        let count: usize = fitted.iter().map(Vec::len).sum();
        assert!((10..=100).contains(&count), "{count}");
    }

    #[test]
    fn an_empty_range_is_not_drawn() {
        assert!(fit(&[vec![500..500, 700..700]], &scale(), 10)[0].is_empty());
    }

    #[test]
    fn what_lies_outside_the_window_is_not_drawn() {
        assert!(
            fit(&[vec![2_000_000..3_000_000, 4_000_000..5_000_000]], &scale(), 10)[0].is_empty()
        );
    }
}
