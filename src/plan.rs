//! Flags and seed become the plan: everything that a run does follows from it.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use locktest_cluster::Store;
use locktest_history::{Backend, Bounds, HolderPolicy, PartitionShape, Plan};
use locktest_lab::{MAX_CLIENTS, MAX_SERVERS};
use locktest_nemesis::plan_schedule;
use locktest_workloads::recipe_name;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cli::{HolderChoice, NemesisChoice, RunArgs, ShapeChoice};

/// etcd grants no lease shorter than one and a half election timeouts, in whole seconds.
const ETCD_LEAST_TTL_MS: u64 = 2000;

/// The floor that the cluster's configuration sets (`session_ttl_min`).
const CONSUL_LEAST_TTL_MS: u64 = 1000;

const CONSUL_LONGEST_TTL_MS: u64 = 24 * 3600 * 1000;

const SIM_LEAST_TTL_MS: u64 = 50;

/// A fault needs this long to be applied, proven, and undone.
const LEAST_INTERVAL_MS: u64 = 1000;

/// Nothing in a test of locks takes longer, and sums of such times stay far from any limit.
const LONGEST_TIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// A client's clock is the control node's own in the lab.
const LAB_CLOCK_DRIFT_PPM: u32 = 0;

/// Makes the plan of a run. `version` is that of the server which will run.
pub fn plan(args: &RunArgs, seed: u64, version: String) -> Result<Plan> {
    let backend = args.backend;
    check(args)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let client_seeds = (0..args.clients).map(|_| rng.random()).collect();
    let nodes: Vec<String> = match backend {
        Backend::Sim => vec!["sim".into()],
        _ => (1..=args.nodes_count).map(|n| format!("n{n}")).collect(),
    };
    let lease_ttl_ms = ms(args.lease_ttl);
    let lock_delay_ms = if backend == Backend::Consul { ms(args.lock_delay) } else { 0 };
    let nemesis_interval_ms = ms(args.nemesis_interval);
    let schedule = match args.nemesis {
        NemesisChoice::None => Vec::new(),
        NemesisChoice::Partition => {
            // As many as can come: a quiet interval goes before each.
            let faults = ms(args.time_limit).div_ceil(2 * nemesis_interval_ms).max(1);
            let faults = usize::try_from(faults).unwrap_or(usize::MAX).min(10_000);
            plan_schedule(rng.random(), args.nodes_count, shape(args.partition), faults)
        }
    };
    Ok(Plan {
        locktest_version: env!("CARGO_PKG_VERSION").into(),
        kernel: kernel(),
        seed,
        backend,
        recipe: recipe_name(backend).into(),
        version,
        server_binary: args.server_binary.as_ref().map(|path| path.display().to_string()),
        server_settings: Store::of(backend).map(Store::settings).unwrap_or_default(),
        nodes,
        client_seeds,
        keys: (0..args.keys).map(|n| format!("lock-{n}")).collect(),
        lease_ttl_ms,
        lock_delay_ms,
        hold_ms: ms(args.hold),
        overrun: args.overrun,
        renew_while_waiting: args.renew_while_waiting,
        holder: match args.holder {
            HolderChoice::Trusting => HolderPolicy::Trusting,
            HolderChoice::Careful => HolderPolicy::Careful,
        },
        acquire_timeout_ms: ms(args.acquire_timeout),
        op_timeout_ms: ms(args.op_timeout),
        time_limit_ms: ms(args.time_limit),
        nemesis_interval_ms,
        clock_drift_ppm: LAB_CLOCK_DRIFT_PPM,
        bounds: bounds(args, lease_ttl_ms, lock_delay_ms),
        fencing_tokens: true,
        schedule,
    })
}

fn check(args: &RunArgs) -> Result<()> {
    let backend = args.backend;
    ensure!(
        (1..=MAX_SERVERS).contains(&args.nodes_count),
        "--nodes-count is {}; a lab has 1 to {MAX_SERVERS} servers",
        args.nodes_count
    );
    ensure!(
        (1..=u32::from(MAX_CLIENTS)).contains(&args.clients),
        "--clients is {}; a run has 1 to {MAX_CLIENTS}",
        args.clients
    );
    ensure!((1..=100_000).contains(&args.keys), "--keys is {}; a run has 1 to 100000", args.keys);
    for (flag, time, may_be_zero) in [
        ("--time-limit", args.time_limit, false),
        ("--acquire-timeout", args.acquire_timeout, false),
        ("--op-timeout", args.op_timeout, false),
        ("--nemesis-interval", args.nemesis_interval, false),
        ("--lease-ttl", args.lease_ttl, false),
        ("--lock-delay", args.lock_delay, true),
        ("--hold", args.hold, true),
        ("--recovery-bound", args.recovery_bound.unwrap_or_default(), true),
    ] {
        ensure!(may_be_zero || !time.is_zero(), "{flag} is zero; give it a time such as 5s");
        ensure!(time <= LONGEST_TIME, "{flag} is longer than 30 days");
    }
    ensure!(
        ms(args.nemesis_interval) >= LEAST_INTERVAL_MS,
        "--nemesis-interval is shorter than 1s, the least in which a fault can be applied, proven and undone"
    );
    let ttl_ms = ms(args.lease_ttl);
    let (least_ms, why) = match backend {
        Backend::Etcd => (ETCD_LEAST_TTL_MS, "etcd grants no lease shorter than 2s"),
        Backend::Consul => (CONSUL_LEAST_TTL_MS, "the lab's Consul takes no session TTL below 1s"),
        Backend::Sim => (SIM_LEAST_TTL_MS, "sim grants no lease shorter than 50ms"),
    };
    ensure!(ttl_ms >= least_ms, "--lease-ttl is too short: {why}");
    ensure!(
        backend != Backend::Consul || ttl_ms <= CONSUL_LONGEST_TTL_MS,
        "--lease-ttl is too long: Consul takes no session TTL above 24h"
    );
    ensure!(
        backend != Backend::Etcd || ttl_ms.is_multiple_of(1000),
        "--lease-ttl must be whole seconds on etcd, which knows no others"
    );
    ensure!(
        backend == Backend::Consul || args.lock_delay.is_zero(),
        "--lock-delay belongs to consul; {backend} has none"
    );
    ensure!(
        backend == Backend::Sim || args.sim_bug.is_none(),
        "--sim-bug belongs to --backend sim; {backend} is a real store"
    );
    ensure!(
        args.partition == ShapeChoice::Mixed || args.nemesis == NemesisChoice::Partition,
        "--partition names the shape of a fault that is not asked for; add --nemesis partition"
    );
    if backend == Backend::Sim {
        ensure!(
            args.nemesis == NemesisChoice::None,
            "--nemesis {}: sim has no servers to cut off; leave it out, or choose consul or etcd",
            args.nemesis.name()
        );
        ensure!(args.lab.is_none() && args.lab_subnet.is_none(), "sim needs no lab");
        ensure!(args.server_binary.is_none(), "--server-binary: sim has no server of its own");
    }
    if args.nemesis == NemesisChoice::Partition && args.nodes_count < 3 {
        bail!("--nemesis partition needs at least 3 servers, so that a majority is left");
    }
    Ok(())
}

/// The bounds of the liveness properties; the report prints them.
fn bounds(args: &RunArgs, lease_ttl_ms: u64, lock_delay_ms: u64) -> Bounds {
    let (lease_bound_ms, recovery_bound_ms) = match args.backend {
        Backend::Etcd => (lease_ttl_ms, 10_000),
        // Consul documents that a session lives for up to twice its TTL.
        Backend::Consul => (2 * lease_ttl_ms + lock_delay_ms, 15_000),
        Backend::Sim => (lease_ttl_ms, 1000),
    };
    Bounds { lease_bound_ms, recovery_bound_ms: args.recovery_bound.map_or(recovery_bound_ms, ms) }
}

fn shape(choice: ShapeChoice) -> Option<PartitionShape> {
    match choice {
        ShapeChoice::Mixed => None,
        ShapeChoice::Halves => Some(PartitionShape::Halves),
        ShapeChoice::One => Some(PartitionShape::One),
        ShapeChoice::Leader => Some(PartitionShape::Leader),
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn kernel() -> String {
    nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_else(|_| "unknown".into())
}
