//! The run's clock: CLOCK_MONOTONIC since the run's origin, the same in every process of the host.

use nix::time::{ClockId, clock_gettime};

/// Tells nanoseconds since the run's origin.
#[derive(Clone, Copy, Debug)]
pub struct RunClock {
    origin_monotonic_ns: u64,
}

impl RunClock {
    /// A clock whose zero is now.
    pub fn start() -> RunClock {
        RunClock { origin_monotonic_ns: monotonic_ns() }
    }

    /// The clock of a run that another process started.
    pub fn from_origin(origin_monotonic_ns: u64) -> RunClock {
        RunClock { origin_monotonic_ns }
    }

    /// The origin in CLOCK_MONOTONIC.
    pub fn origin_monotonic_ns(self) -> u64 {
        self.origin_monotonic_ns
    }

    /// Nanoseconds since the origin.
    pub fn now_ns(self) -> u64 {
        monotonic_ns().saturating_sub(self.origin_monotonic_ns)
    }
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .expect("every Linux kernel has CLOCK_MONOTONIC and the pointer is valid");
    // The kernel never returns a negative time here.
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}
