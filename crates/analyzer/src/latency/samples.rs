//! Many durations in little memory.

use hdrhistogram::Histogram;

use crate::time::ns_to_ms;
use crate::verdict::Percentiles;

/// Two durations that agree in this many digits may count as one.
const SIGNIFICANT_DIGITS: u8 = 3;

/// A percentile rests on too few samples if fewer than this many lie beyond it.
const ENOUGH_BEYOND: u64 = 10;

/// Durations in nanoseconds, from zero to the end of `u64`. The memory grows with the logarithm of the
/// longest, 100 kB for ten seconds, and not with their number.
#[derive(Clone, Debug)]
pub(crate) struct Samples {
    /// Counters of 32 bits: four billion of equal samples are more than any history has.
    histogram: Histogram<u32>,
    n: u64,
    sum_ns: u128,
    min_ns: u64,
    max_ns: u64,
}

impl Default for Samples {
    fn default() -> Samples {
        let histogram = Histogram::new(SIGNIFICANT_DIGITS).expect("a histogram has 0 to 5 digits");
        Samples { histogram, n: 0, sum_ns: 0, min_ns: u64::MAX, max_ns: 0 }
    }
}

impl Samples {
    pub(crate) fn add(&mut self, ns: u64) {
        self.histogram.record(ns).expect("a histogram without a bound grows to fit any value");
        self.n += 1;
        self.sum_ns += u128::from(ns);
        self.min_ns = self.min_ns.min(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// Nearest-rank percentiles: the smallest sample that at least p of all do not exceed, rounded up
    /// to the end of its bucket.
    pub(crate) fn percentiles(&self) -> Percentiles {
        let n = self.n;
        if n == 0 {
            return Percentiles::default();
        }
        let rank = |per_mille: u128| (u128::from(n) * per_mille).div_ceil(1000) as u64;
        let ranks = [rank(500), rank(900), rank(990), rank(999)];
        let [median_ms, p90_ms, p99_ms, p999_ms] =
            self.ranked_ns(ranks).map(|ns| Some(ns_to_ms(ns)));
        let low_n = ["median_ms", "p90_ms", "p99_ms", "p999_ms"]
            .into_iter()
            .zip(ranks)
            .filter(|(_, rank)| n - rank < ENOUGH_BEYOND)
            .map(|(name, _)| name.to_owned());
        Percentiles {
            n,
            avg_ms: Some(self.sum_ns as f64 / n as f64 / 1e6),
            median_ms,
            min_ms: Some(ns_to_ms(self.min_ns)),
            max_ms: Some(ns_to_ms(self.max_ns)),
            p90_ms,
            p99_ms,
            p999_ms,
            low_n: low_n.collect(),
        }
    }

    /// The samples of these ranks, which ascend; the smallest sample has rank 1.
    fn ranked_ns(&self, ranks: [u64; 4]) -> [u64; 4] {
        // The histogram takes fractions and rounds each up to a rank. Half a rank less than the wanted
        // one lies so far from every whole rank that no rounding can miss it.
        let quantiles = ranks.map(|rank| (rank as f64 - 0.5) / self.n as f64);
        // One pass for all: most of the time goes into buckets that are empty.
        let mut found = self.histogram.value_at_quantiles(quantiles);
        ranks.map(|_| found.next().unwrap_or(self.max_ns).clamp(self.min_ns, self.max_ns))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(ns: impl IntoIterator<Item = u64>) -> Percentiles {
        let mut samples = Samples::default();
        ns.into_iter().for_each(|ns| samples.add(ns));
        samples.percentiles()
    }

    #[test]
    fn a_percentile_that_fewer_than_ten_samples_exceed_is_named() {
        let hundred = of((1..=100).rev().map(|ms| ms * 1_000_000));
        assert_eq!(hundred.n, 100);
        assert_eq!(hundred.avg_ms, Some(50.5));
        assert_eq!((hundred.min_ms, hundred.max_ms), (Some(1.0), Some(100.0)));
        assert_eq!(hundred.low_n, ["p99_ms", "p999_ms"]);
        assert_eq!(of(1..=99).low_n, ["p90_ms", "p99_ms", "p999_ms"]);
        assert_eq!(of(1..=19).low_n, ["median_ms", "p90_ms", "p99_ms", "p999_ms"]);
        assert!(of(1..=10_000).low_n.is_empty());
        assert_eq!(of(1..=9999).low_n, ["p999_ms"]);
    }

    #[test]
    fn no_percentile_leaves_the_range_of_the_samples() {
        let one = of([123_456_789]);
        assert_eq!(one.p999_ms, one.max_ms);
        assert_eq!(one.median_ms, one.min_ms);
        assert_eq!(one.max_ms, Some(123.456789));
    }

    #[test]
    fn no_sample_has_no_percentile() {
        assert_eq!(of([]), Percentiles::default());
    }

    #[test]
    fn the_ranks_of_small_samples_are_exact() {
        // Below 2048 ns every value has a bucket of its own.
        for n in 1..=2047 {
            let percentiles = of(1..=n);
            let found = [
                percentiles.median_ms,
                percentiles.p90_ms,
                percentiles.p99_ms,
                percentiles.p999_ms,
            ];
            let exact = [500, 900, 990, 999].map(|per_mille| (n * per_mille).div_ceil(1000));
            assert_eq!(found, exact.map(|ns| Some(ns_to_ms(ns))), "{n} samples");
        }
    }

    /// As many small durations as large ones, to the end of the range.
    fn any_duration() -> impl Strategy<Value = u64> {
        (0u32..64, any::<u64>()).prop_map(|(shift, ns)| ns >> shift)
    }

    proptest! {
        #[test]
        fn a_percentile_is_at_most_a_thousandth_above_the_exact_one(
            mut samples_ns in proptest::collection::vec(any_duration(), 1..300),
        ) {
            let mut samples = Samples::default();
            samples_ns.iter().for_each(|ns| samples.add(*ns));
            samples_ns.sort_unstable();
            let ranks = [1, 500, 900, 999].map(|per_mille| {
                (samples_ns.len() * per_mille).div_ceil(1000)
            });
            let found = samples.ranked_ns(ranks.map(|rank| rank as u64));
            for (rank, found_ns) in ranks.into_iter().zip(found) {
                let exact_ns = samples_ns[rank - 1];
                prop_assert!(found_ns >= exact_ns, "{found_ns} < {exact_ns}");
                prop_assert!(found_ns - exact_ns <= exact_ns / 1000, "{found_ns} > {exact_ns}");
            }
        }
    }
}
