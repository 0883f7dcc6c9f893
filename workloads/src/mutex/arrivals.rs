//! When acquires are meant to begin, whatever becomes of those before: an open loop.

use std::cell::{Cell, RefCell};

use locktest_history::Plan;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A stream of its own, so that a rate changes no other choice.
const STREAM: u64 = 1 << 32;

/// The arrivals of one client process, as in a queue that its owners serve: a Poisson process, so that
/// they come in clusters as those of independent users do.
#[derive(Debug)]
pub(crate) struct Arrivals {
    rng: RefCell<ChaCha8Rng>,
    mean_interval_ns: f64,
    last_ns: Cell<f64>,
}

impl Arrivals {
    /// This client's share of the plan's rate, from an instant on; `None` if the plan has no rate.
    pub(crate) fn of(plan: &Plan, seed: u64, from_ns: u64) -> Option<Arrivals> {
        let rate_per_s = f64::from(plan.rate_per_s?);
        let clients = plan.client_seeds.len().max(1) as f64;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(STREAM);
        Some(Arrivals {
            rng: RefCell::new(rng),
            mean_interval_ns: 1e9 * clients / rate_per_s.max(f64::MIN_POSITIVE),
            last_ns: Cell::new(from_ns as f64),
        })
    }

    /// The next one.
    pub(crate) fn next_ns(&self) -> u64 {
        let share: f64 = self.rng.borrow_mut().random_range(0.0..1.0);
        let interval_ns = -self.mean_interval_ns * (1.0 - share).ln();
        let next_ns = self.last_ns.get() + interval_ns;
        self.last_ns.set(next_ns);
        next_ns as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;

    #[test]
    fn arrivals_come_at_the_rate_and_the_seed_decides_them() {
        let plan = Plan { rate_per_s: Some(100), client_seeds: vec![1, 2], ..plan() };
        let take = |seed| {
            let arrivals = Arrivals::of(&plan, seed, 5_000_000_000).expect("a rate");
            (0..10_000).map(|_| arrivals.next_ns()).collect::<Vec<u64>>()
        };
        let times = take(7);
        assert!(times[0] >= 5_000_000_000 && times.is_sorted());
        // Two clients share the rate, so that each has one every 20 ms.
        let mean_ms = (times[9_999] - 5_000_000_000) as f64 / 10_000.0 / 1e6;
        assert!((19.0..21.0).contains(&mean_ms), "{mean_ms}");
        assert_eq!(times, take(7));
        assert_ne!(times, take(8));
    }

    #[test]
    fn without_a_rate_there_are_none() {
        assert!(Arrivals::of(&plan(), 1, 0).is_none());
    }
}
