//! The recipes of Redis, on real servers.

#[path = "../support/ports.rs"]
mod ports;
mod redlock;
mod sentinel;
mod servers;
mod single;

use std::future::Future;
use std::time::Duration;

use locktest_history::{Backend, Plan, Recipe};
use locktest_workloads::recipes::{CallError, LockRecipe};
use tokio::time::{Instant, sleep};

/// Far longer than anything takes that is going to happen.
const LONG: Duration = Duration::from_secs(30);

/// A lease that ends in no test by itself.
const KEPT_MS: u64 = 60_000;

fn plan(recipe: Recipe, lease_ttl_ms: u64) -> Plan {
    Plan { recipe, lease_ttl_ms, ..Plan::of(Backend::Redis) }
}

/// When a lock that is going to be granted is given up.
fn in_time() -> Instant {
    Instant::now() + LONG
}

async fn lease<R: LockRecipe>(recipe: &R) -> R::LeaseId {
    recipe.open(0).await.expect("a lease").id
}

/// Asks again until the answer is good.
async fn until_ok<T, F: Future<Output = Result<T, CallError>>>(mut ask: impl FnMut() -> F) -> T {
    let deadline = in_time();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) if Instant::now() > deadline => panic!("still: {error}"),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = in_time();
    while !is_so().await {
        assert!(Instant::now() < deadline, "still not: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
