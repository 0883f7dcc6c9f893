//! Redis and Valkey: a key with an expiry that is set if it is absent.
//!
//! [`Redlock`] asks a majority of servers that know nothing of each other, [`RedisLock`] one server:
//! the only one, or the primary that the sentinels name. The key's value is unique to whoever set
//! it, and everything that is done to the key afterwards is done by a script that compares first.

mod attempt;
mod connection;
mod primary;
mod redlock;
mod round;
mod script;
mod single;
mod values;

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use redlock::Redlock;
pub use single::RedisLock;

use crate::ClientConfig;

/// The key of a lock.
fn lock_key(key: &str) -> String {
    format!("locktest:lock:{key}")
}

/// The key of a plain value.
fn value_key(name: &str) -> String {
    format!("locktest:value:{name}")
}

/// Random pauses between the tries of one client, which no other client makes.
#[derive(Debug)]
struct Pauses {
    rng: ChaCha8Rng,
    longest: Duration,
}

impl Pauses {
    fn new(config: &ClientConfig, longest: Duration) -> Pauses {
        let client = config.client.0;
        let seeds = &config.plan.client_seeds;
        let mut rng = ChaCha8Rng::seed_from_u64(
            seeds.get(client as usize).copied().unwrap_or(config.plan.seed),
        );
        // The client's own choices come from stream 0 of the same seed.
        rng.set_stream(1 + u64::from(client));
        Pauses { rng, longest }
    }

    /// Half to whole of the longest.
    fn next(&mut self) -> Duration {
        self.longest.mul_f64(self.rng.random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use locktest_history::{Backend, ClientId, Plan};

    use super::*;

    fn config(client: u32) -> ClientConfig {
        ClientConfig {
            client: ClientId(client),
            origin_monotonic_ns: 0,
            servers: Vec::new(),
            sentinels: Vec::new(),
            plan: Plan { client_seeds: Vec::new(), ..Plan::of(Backend::Redis) },
        }
    }

    #[test]
    fn a_pause_is_half_to_whole_of_the_longest() {
        let longest = Duration::from_millis(100);
        let mut pauses = Pauses::new(&config(0), longest);
        let drawn: Vec<Duration> = (0..1000).map(|_| pauses.next()).collect();
        assert!(drawn.iter().all(|pause| (longest / 2..=longest).contains(pause)));
        assert!(drawn.iter().any(|pause| *pause < longest * 6 / 10));
        assert!(drawn.iter().any(|pause| *pause > longest * 9 / 10));
    }

    #[test]
    fn clients_of_one_seed_pause_differently_and_each_does_again_what_it_did() {
        let draw = |client| {
            let mut pauses = Pauses::new(&config(client), Duration::from_secs(1));
            [pauses.next(), pauses.next()]
        };
        assert_eq!(draw(0), draw(0));
        assert_ne!(draw(0), draw(1));
    }

    #[test]
    fn a_lock_and_a_value_of_one_name_have_different_keys() {
        assert_ne!(lock_key("lock-0"), value_key("lock-0"));
    }
}
