//! Ratios of medians, and how far chance may have moved them.

use super::{Interval, Ratio};

/// How often the repeats are drawn again.
const RESAMPLES: usize = 2000;

/// The same figures always have the same interval.
const SEED: u64 = 0x6c6f_636b_7465_7374;

/// The median; of an even number the mean of the two in the middle. `None` of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 0 => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}

/// The later median against the first's, with a 95 % interval by the bootstrap: both are drawn again
/// from their repeats, with replacement, and the middle 95 % of the ratios count (Efron's percentile
/// interval).
pub(super) fn ratio(first: &[f64], later: &[f64]) -> Option<Ratio> {
    let of = |first: &[f64], later: &[f64]| {
        let (first, later) = (median(first)?, median(later)?);
        (first > 0.0).then(|| later / first)
    };
    let to_first = of(first, later)?;
    let interval = (first.len() > 1 && later.len() > 1).then(|| {
        let mut random = Random(SEED);
        let ratios = (0..RESAMPLES).filter_map(|_| of(&random.draw(first), &random.draw(later)));
        let mut ratios: Vec<f64> = ratios.collect();
        ratios.sort_unstable_by(f64::total_cmp);
        // Never empty: each draw is of figures of which the median is more than zero.
        let at = |share: f64| {
            let place = (share * ratios.len() as f64) as usize;
            ratios.get(place.min(ratios.len().saturating_sub(1))).copied().unwrap_or(to_first)
        };
        let (from, to) = (at(0.025), at(0.975));
        Interval { from, to, excludes_one: from > 1.0 || to < 1.0 }
    });
    Some(Ratio { to_first, interval })
}

/// Steele, Lea and Flood's SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// As many as there are, each any of them.
    fn draw(&mut self, values: &[f64]) -> Vec<f64> {
        let any = |_| values[(self.next() % values.len() as u64) as usize];
        (0..values.len()).map(any).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(first: &[f64], later: &[f64]) -> Interval {
        ratio(first, later).and_then(|ratio| ratio.interval).expect("repeats")
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 10.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_single_repeat_has_a_ratio_and_no_interval() {
        for (first, later) in
            [(&[2.0][..], &[3.0, 3.0][..]), (&[2.0, 2.0], &[3.0]), (&[2.0], &[3.0])]
        {
            assert_eq!(ratio(first, later), Some(Ratio { to_first: 1.5, interval: None }));
        }
        assert_eq!(ratio(&[], &[1.0]), None);
        assert_eq!(ratio(&[0.0], &[1.0]), None, "nothing is a multiple of zero");
    }

    #[test]
    fn an_interval_excludes_one_where_the_repeats_lie_apart_and_only_there() {
        let first = [10.0, 10.2, 9.9, 10.1, 10.0];
        let slower = interval(&first, &[12.0, 12.3, 11.8, 12.1, 12.2]);
        assert!(slower.excludes_one && slower.from > 1.15 && slower.to < 1.25, "{slower:?}");
        let same = interval(&first, &[10.1, 9.8, 10.3, 10.0, 9.9]);
        assert!(!same.excludes_one && same.from < 1.0 && same.to > 1.0, "{same:?}");
        let faster = interval(&first, &[5.0, 5.1, 4.9]);
        assert!(faster.excludes_one && faster.to < 0.6, "{faster:?}");
    }

    #[test]
    fn the_same_figures_have_the_same_interval() {
        let (first, later) = ([1.0, 2.0, 3.0], [2.0, 2.5, 4.0]);
        assert_eq!(interval(&first, &later), interval(&first, &later));
    }

    #[test]
    fn of_two_sets_with_one_distribution_about_one_interval_in_twenty_excludes_one() {
        let mut random = Random(7);
        let mut sample = || -> Vec<f64> {
            (0..20).map(|_| 10.0 + (random.next() % 1000) as f64 / 1000.0).collect()
        };
        let excluded = (0..100).filter(|_| interval(&sample(), &sample()).excludes_one).count();
        assert!((1..=15).contains(&excluded), "{excluded} of 100");
    }
}
