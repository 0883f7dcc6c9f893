//! Latency by phase, and the longest wait.

use std::collections::BTreeMap;

use locktest_history::KeyId;

use crate::faults::Faults;
use crate::hold::Tenure;
use crate::observed::Observed;
use crate::operation::Operation;
use crate::servers::Servers;
use crate::time::{Spans, ns_to_ms};
use crate::verdict::{Latency, Percentiles, Phases};

/// Latency of the ok acquires and releases.
pub(crate) fn latency(observed: &Observed, faults: &Faults, servers: &Servers) -> Latency {
    let (in_force, recovering) = (faults.in_force(), faults.recovering(servers));
    let phases = |operations: &mut dyn Iterator<Item = &Operation>| {
        let (mut quiet, mut fault, mut recovery) = (Vec::new(), Vec::new(), Vec::new());
        for operation in operations {
            let (invoke_ns, Some(ok_ns)) = (operation.invoke_ns(), operation.ok_ns()) else {
                continue;
            };
            let samples = if in_force.contains(invoke_ns) {
                &mut fault
            } else if recovering.contains(invoke_ns) {
                &mut recovery
            } else {
                &mut quiet
            };
            samples.push(ok_ns.saturating_sub(invoke_ns));
        }
        Phases {
            quiet: percentiles(quiet),
            fault: percentiles(fault),
            recovery: percentiles(recovery),
        }
    };
    Latency {
        acquire: phases(&mut observed.attempts.iter().map(|attempt| &attempt.acquire)),
        release: phases(&mut observed.attempts.iter().flat_map(|attempt| &attempt.releases)),
    }
}

/// A percentile rests on too few samples if fewer than this many lie beyond it.
const ENOUGH_BEYOND: usize = 10;

/// Exact nearest-rank percentiles: the smallest sample that at least p of all do not exceed.
fn percentiles(mut samples_ns: Vec<u64>) -> Percentiles {
    samples_ns.sort_unstable();
    let n = samples_ns.len();
    let (Some(min), Some(max)) = (samples_ns.first(), samples_ns.last()) else {
        return Percentiles::default();
    };
    let sum_ns: u128 = samples_ns.iter().map(|sample| u128::from(*sample)).sum();
    let mut low_n = Vec::new();
    let mut percentile = |name: &str, per_mille: usize| {
        let rank = (n * per_mille).div_ceil(1000);
        if n - rank < ENOUGH_BEYOND {
            low_n.push(name.to_owned());
        }
        Some(ns_to_ms(samples_ns[rank - 1]))
    };
    Percentiles {
        n: n as u64,
        avg_ms: Some(sum_ns as f64 / n as f64 / 1e6),
        median_ms: percentile("median_ms", 500),
        min_ms: Some(ns_to_ms(*min)),
        max_ms: Some(ns_to_ms(*max)),
        p90_ms: percentile("p90_ms", 900),
        p99_ms: percentile("p99_ms", 990),
        p999_ms: percentile("p999_ms", 999),
        low_n,
    }
}

/// The longest that somebody waited for a key while nobody was granted it.
pub(crate) fn longest_gap_ns(observed: &Observed, tenures: &[Tenure]) -> Option<u64> {
    let mut waits_of: BTreeMap<KeyId, Vec<(u64, u64)>> = BTreeMap::new();
    for attempt in observed.attempts.iter().filter(|attempt| attempt.waits()) {
        let wait = (attempt.acquire.invoke_ns(), attempt.asked_until_ns());
        waits_of.entry(attempt.key()).or_default().push(wait);
    }
    let mut grants_of: BTreeMap<KeyId, Vec<u64>> = BTreeMap::new();
    for tenure in tenures {
        grants_of.entry(tenure.hold.key).or_default().push(tenure.hold.ok_ns);
    }
    let gap_of = |(key, waits): (KeyId, Vec<(u64, u64)>)| {
        let grants = grants_of.get(&key).map_or(&[][..], Vec::as_slice);
        let gap = |(begin_ns, end_ns): (u64, u64)| {
            let inside = &grants[grants.partition_point(|grant| *grant <= begin_ns)..];
            let inside = inside.iter().copied().take_while(|grant| *grant < end_ns);
            let (mut longest_ns, mut from_ns) = (0, begin_ns);
            for to_ns in inside.chain([end_ns]) {
                longest_ns = longest_ns.max(to_ns - from_ns);
                from_ns = to_ns;
            }
            longest_ns
        };
        Spans::union(waits).iter().map(gap).max()
    };
    waits_of.into_iter().filter_map(gap_of).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_by_nearest_rank() {
        let samples = |n: u64| percentiles((1..=n).rev().map(|ms| ms * 1_000_000).collect());
        let hundred = samples(100);
        assert_eq!(hundred.n, 100);
        assert_eq!(hundred.avg_ms, Some(50.5));
        assert_eq!((hundred.min_ms, hundred.max_ms), (Some(1.0), Some(100.0)));
        assert_eq!((hundred.median_ms, hundred.p90_ms), (Some(50.0), Some(90.0)));
        assert_eq!((hundred.p99_ms, hundred.p999_ms), (Some(99.0), Some(100.0)));
        assert_eq!(hundred.low_n, ["p99_ms", "p999_ms"]);
        assert_eq!(samples(99).low_n, ["p90_ms", "p99_ms", "p999_ms"]);
        assert_eq!(samples(1).p90_ms, Some(1.0));
        assert_eq!(samples(3).median_ms, Some(2.0));
        assert!(samples(10_000).low_n.is_empty());
    }

    #[test]
    fn no_sample_has_no_percentile() {
        assert_eq!(percentiles(Vec::new()), Percentiles::default());
    }
}
