//! The bounds of the liveness properties; the report prints them.

use locktest_history::{Bounds, Recipe, ZOOKEEPER_TICK_MS};

use super::ms;
use crate::cli::RunArgs;

/// How long the store may keep the lock of a holder that went silent, and take to recover.
pub fn bounds(args: &RunArgs, recipe: Recipe) -> Bounds {
    let ttl_ms = ms(args.lease_ttl);
    let (lease_bound_ms, recovery_bound_ms) = match recipe {
        Recipe::LockRpc | Recipe::CasTtl | Recipe::ElectionKey => (ttl_ms, 10_000),
        // Consul documents that a session lives for up to twice its TTL.
        Recipe::Session => (2 * ttl_ms + ms(args.lock_delay.unwrap_or_default()), 15_000),
        // A session ends with the tick in which its time is over.
        Recipe::EphemeralSequential => {
            ((ttl_ms / ZOOKEEPER_TICK_MS + 1) * ZOOKEEPER_TICK_MS, 15_000)
        }
        Recipe::Redlock | Recipe::Single => (ttl_ms, 2000),
        // The sentinels need two seconds to miss a primary; if they then split their votes over who
        // is to promote another, they try again seven seconds later, and may split them once more.
        Recipe::Sentinel => (ttl_ms, 20_000),
        Recipe::Sim => (ttl_ms, 1000),
    };
    Bounds {
        lease_bound_ms: args.lease_bound.map_or(lease_bound_ms, ms),
        recovery_bound_ms: args.recovery_bound.map_or(recovery_bound_ms, ms),
    }
}
