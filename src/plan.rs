//! Flags and seed become the plan: everything that a run does follows from it.

mod bounds;
mod check;
mod differences;
mod earlier;
mod faults;

use std::time::Duration;

use anyhow::Result;
use locktest_cluster::{Store, settings};
use locktest_history::{Backend, CasWait, Plan, Recipe, RedisOptions, Workload};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use differences::{differences, differences_but_for};
pub use earlier::Earlier;

use crate::cli::RunArgs;

/// A client's clock is the control node's own in the lab.
const LAB_CLOCK_DRIFT_PPM: u32 = 0;

/// Makes the plan of a run. `version` is that of the server which will run.
pub fn plan(args: &RunArgs, seed: u64, version: String) -> Result<Plan> {
    let backend = args.backend;
    check::check(args)?;
    let recipe = recipe(args);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let client_seeds = (0..args.clients).map(|_| rng.random()).collect();
    let nodes: Vec<String> = match backend {
        Backend::Sim => vec!["sim".into()],
        _ => (1..=nodes_count(args)).map(|n| format!("n{n}")).collect(),
    };
    let redis = redis_options(args);
    let keys = match args.workload {
        Workload::DifferentKeys => args.clients,
        _ => args.keys.unwrap_or(1),
    };
    let key = if args.workload.takes_locks() { "lock" } else { "register" };
    let mut plan = Plan {
        kernel: kernel(),
        seed,
        recipe,
        workload: args.workload,
        version,
        server_binary: args.server_binary.as_ref().map(|path| path.display().to_string()),
        server_settings: Store::of(backend)
            .map(|store| settings(store, recipe, redis))
            .unwrap_or_default(),
        nodes,
        client_seeds,
        keys: (0..keys).map(|n| format!("{key}-{n}")).collect(),
        read_mode: args.read_mode.unwrap_or(backend.read_modes()[0]),
        lease_ttl_ms: ms(args.lease_ttl),
        lock_delay_ms: ms(args.lock_delay.unwrap_or_default()),
        session_behavior: args.session_behavior.or(Plan::of(backend).session_behavior),
        cas_wait: (recipe == Recipe::CasTtl).then_some(args.cas_wait.unwrap_or(CasWait::Watch)),
        redis,
        hold_ms: ms(args.hold),
        steady: args.steady,
        rate_per_s: args.rate,
        owners_per_client: args.owners_per_client,
        overrun: args.overrun,
        renew_while_waiting: args.renew_while_waiting.unwrap_or(!recipe.lease_begins_with_grant()),
        holder: args.holder,
        acquire_timeout_ms: ms(args.acquire_timeout),
        op_timeout_ms: ms(args.op_timeout),
        time_limit_ms: ms(args.time_limit),
        nemesis_interval_ms: ms(args.faults.nemesis_interval),
        clock_drift_ppm: LAB_CLOCK_DRIFT_PPM,
        bounds: bounds::bounds(args, recipe),
        max_affected: faults::max_affected(args, nodes_count(args)),
        ..Plan::of(backend)
    };
    plan.schedule = faults::schedule(args, &plan, rng.random())?;
    Ok(plan)
}

/// The recipe that was asked for, or the store's default.
pub fn recipe(args: &RunArgs) -> Recipe {
    args.recipe.unwrap_or(args.backend.recipes()[0])
}

/// How many servers the run has.
pub fn nodes_count(args: &RunArgs) -> u16 {
    args.nodes_count.unwrap_or(match recipe(args) {
        Recipe::Sim | Recipe::Single => 1,
        // One for each sentinel: whichever server a partition cuts off, two sentinels are left.
        Recipe::Sentinel => 3,
        _ => 5,
    })
}

fn redis_options(args: &RunArgs) -> Option<RedisOptions> {
    let default = Plan::of(args.backend).redis?;
    Some(RedisOptions {
        persistence: args.redis_persistence.unwrap_or(default.persistence),
        requests: args.redlock_requests.unwrap_or(default.requests),
        node_timeout_ms: args.redlock_node_timeout.map_or(default.node_timeout_ms, ms),
        retry_pause_ms: args.redis_retry_pause.map_or(default.retry_pause_ms, ms),
    })
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The kernel of the control node.
pub fn kernel() -> String {
    nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_else(|_| "unknown".into())
}
