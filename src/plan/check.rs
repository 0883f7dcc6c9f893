//! What a run cannot be: flags that contradict each other, or that the store does not know.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use locktest_history::{Backend, HolderPolicy, Recipe, Workload, ZOOKEEPER_TICK_MS};
use locktest_lab::{MAX_CLIENTS, MAX_SERVERS};
use locktest_workloads::sim::SimBug;

use super::{ms, nodes_count, recipe};
use crate::cli::RunArgs;

/// A fault needs this long to be applied, proven, and undone.
const LEAST_INTERVAL_MS: u64 = 1000;

/// Nothing in a test of locks takes longer, and sums of such times stay far from any limit.
const LONGEST_TIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// Consul cuts a longer one to this, without a word.
const LONGEST_LOCK_DELAY: Duration = Duration::from_secs(60);

/// Each has its own connections, and a process may have but so many.
const MOST_OWNERS: u32 = 1000;

/// More than any client process can begin.
const MOST_PER_S: u32 = 1_000_000;

const NS_IN_A_MS: u32 = 1_000_000;

/// Sentinels stand on the first three servers.
const LEAST_SERVERS_OF_SENTINEL: u16 = 3;

/// Refuses what the run could not do, in words that say what it could.
pub fn check(args: &RunArgs) -> Result<()> {
    of_the_store(args)?;
    times(args)?;
    lease_ttl(args)?;
    servers(args)?;
    workload(args)
}

fn of_the_store(args: &RunArgs) -> Result<()> {
    let backend = args.backend;
    let recipes = backend.recipes();
    if let Some(asked) = args.recipe {
        let known = names(recipes.iter().map(|recipe| recipe.name()));
        ensure!(recipes.contains(&asked), "--recipe {asked}: {backend} has {known}");
    }
    let recipe = recipe(args);
    let consul = backend == Backend::Consul;
    let redis = backend == Backend::Redis;
    for (flag, given, applies, owner) in [
        ("--lock-delay", args.lock_delay.is_some(), consul, "consul"),
        ("--session-behavior", args.session_behavior.is_some(), consul, "consul"),
        ("--cas-wait", args.cas_wait.is_some(), recipe == Recipe::CasTtl, "recipe cas-ttl of etcd"),
        ("--redis-persistence", args.redis_persistence.is_some(), redis, "redis"),
        ("--redis-retry-pause", args.redis_retry_pause.is_some(), redis, "redis"),
        (
            "--redlock-requests",
            args.redlock_requests.is_some(),
            recipe == Recipe::Redlock,
            "recipe redlock of redis",
        ),
        (
            "--redlock-node-timeout",
            args.redlock_node_timeout.is_some(),
            recipe == Recipe::Redlock,
            "recipe redlock of redis",
        ),
        ("--sim-bug", args.sim_bug.is_some(), backend == Backend::Sim, "sim"),
    ] {
        ensure!(
            applies || !given,
            "{flag} belongs to {owner}; this run has backend {backend}, recipe {recipe}"
        );
    }
    if let Some(mode) = args.read_mode {
        let modes = backend.read_modes();
        let known = names(modes.iter().map(|mode| mode.name()));
        ensure!(modes.contains(&mode), "--read-mode {mode}: {backend} has {known}");
        ensure!(
            args.workload == Workload::Register
                || (consul && args.workload != Workload::CriticalSection)
                || mode == modes[0],
            "--read-mode {mode} is for --workload register{}",
            if consul { ", and for locks but not their critical-section" } else { "" }
        );
    }
    if args.renew_while_waiting.is_some() {
        let why = match recipe {
            Recipe::Redlock | Recipe::Single | Recipe::Sentinel => {
                Some("a client that waits for redis has no lease to renew")
            }
            Recipe::EphemeralSequential => {
                Some("zookeeper's session is kept alive by its client library")
            }
            _ => None,
        };
        if let Some(why) = why {
            bail!("--renew-while-waiting: {why}");
        }
    }
    if backend == Backend::Sim {
        ensure!(args.lab.is_none() && args.lab_subnet.is_none(), "sim needs no lab");
        ensure!(args.server_binary.is_none(), "--server-binary: sim has no server of its own");
        ensure!(args.version.is_none(), "--version: sim is a part of locktest");
    }
    ensure!(
        backend != Backend::Zookeeper || args.server_binary.is_none(),
        "--server-binary: zookeeper is no single program; choose a package by --version"
    );
    Ok(())
}

fn times(args: &RunArgs) -> Result<()> {
    for (flag, time, may_be_zero) in [
        ("--time-limit", Some(args.time_limit), false),
        ("--acquire-timeout", Some(args.acquire_timeout), false),
        ("--op-timeout", Some(args.op_timeout), false),
        ("--nemesis-interval", Some(args.faults.nemesis_interval), false),
        ("--clock-offset", args.faults.clock_offset, false),
        ("--lease-ttl", Some(args.lease_ttl), false),
        ("--redlock-node-timeout", args.redlock_node_timeout, false),
        ("--redis-retry-pause", args.redis_retry_pause, false),
        ("--lock-delay", args.lock_delay, true),
        ("--hold", Some(args.hold), true),
        ("--lease-bound", args.lease_bound, false),
        ("--recovery-bound", args.recovery_bound, true),
    ] {
        let Some(time) = time else { continue };
        ensure!(may_be_zero || !time.is_zero(), "{flag} is zero; give it a time such as 5s");
        ensure!(
            time.subsec_nanos().is_multiple_of(NS_IN_A_MS),
            "{flag}: give it whole milliseconds, the finest that a run is planned in"
        );
        ensure!(time <= LONGEST_TIME, "{flag} is longer than 30 days");
    }
    ensure!(
        ms(args.faults.nemesis_interval) >= LEAST_INTERVAL_MS,
        "--nemesis-interval is shorter than 1s, the least in which a fault can be applied, proven and undone"
    );
    if let Some(lock_delay) = args.lock_delay {
        ensure!(
            lock_delay <= LONGEST_LOCK_DELAY,
            "--lock-delay is longer than 60s, the longest that Consul keeps a lock from everybody"
        );
    }
    if let Some(node_timeout) = args.redlock_node_timeout {
        ensure!(
            node_timeout < args.lease_ttl,
            "--redlock-node-timeout is not shorter than the lease: no lock could be valid once all servers were asked"
        );
    }
    Ok(())
}

fn lease_ttl(args: &RunArgs) -> Result<()> {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let ttl_ms = ms(args.lease_ttl);
    let (least_ms, longest_ms, why) = match args.backend {
        // One and a half election timeouts, in whole seconds.
        Backend::Etcd => (2000, u64::MAX, "etcd grants no lease shorter than 2s"),
        // The floor that the cluster's configuration sets (`session_ttl_min`).
        Backend::Consul => {
            (1000, DAY_MS, "the lab's Consul takes no session TTL below 1s, and none above 24h")
        }
        Backend::Zookeeper => (
            2 * ZOOKEEPER_TICK_MS,
            20 * ZOOKEEPER_TICK_MS,
            "ZooKeeper grants session timeouts of 2 to 20 ticks, and the lab's tick is 500ms: 1s to 10s",
        ),
        Backend::Redis => {
            (100, u64::MAX, "a key that expires within 100ms is no lock over a network")
        }
        Backend::Sim => (50, u64::MAX, "sim grants no lease shorter than 50ms"),
    };
    ensure!(ttl_ms >= least_ms, "--lease-ttl is too short: {why}");
    ensure!(ttl_ms <= longest_ms, "--lease-ttl is too long: {why}");
    ensure!(
        args.backend != Backend::Etcd || ttl_ms.is_multiple_of(1000),
        "--lease-ttl must be whole seconds on etcd, which knows no others"
    );
    Ok(())
}

fn servers(args: &RunArgs) -> Result<()> {
    let count = nodes_count(args);
    ensure!(
        (1..=MAX_SERVERS).contains(&count),
        "--nodes-count is {count}; a lab has 1 to {MAX_SERVERS} servers"
    );
    match recipe(args) {
        Recipe::Redlock => ensure!(
            count % 2 == 1,
            "--nodes-count is {count}: redlock needs an odd number of servers; one more gives no larger minority that may fail"
        ),
        Recipe::Single => {
            ensure!(count == 1, "--nodes-count is {count}: recipe single has one server");
        }
        Recipe::Sentinel => ensure!(
            count >= LEAST_SERVERS_OF_SENTINEL,
            "--nodes-count is {count}: recipe sentinel needs {LEAST_SERVERS_OF_SENTINEL}, one for each sentinel"
        ),
        Recipe::Sim => ensure!(count == 1, "--nodes-count is {count}: sim is one server"),
        _ => {}
    }
    ensure!(
        (1..=u32::from(MAX_CLIENTS)).contains(&args.clients),
        "--clients is {}; a run has 1 to {MAX_CLIENTS}",
        args.clients
    );
    Ok(())
}

fn workload(args: &RunArgs) -> Result<()> {
    let (workload, recipe) = (args.workload, recipe(args));
    if let Some(keys) = args.keys {
        ensure!((1..=100_000).contains(&keys), "--keys is {keys}; a run has 1 to 100000");
        ensure!(
            workload != Workload::DifferentKeys,
            "--keys: --workload different-keys has one lock for each client"
        );
    }
    match (workload, recipe) {
        (Workload::Try, Recipe::LockRpc) => bail!(
            "--workload try: etcd's Lock RPC always waits; choose --recipe cas-ttl or election-key"
        ),
        (Workload::CriticalSection | Workload::Register, Recipe::Redlock) => bail!(
            "--workload {workload}: redlock's servers share no value; choose --recipe single or sentinel"
        ),
        _ => {}
    }
    ensure!(
        (1..=MOST_OWNERS).contains(&args.owners_per_client),
        "--owners-per-client is {}; a client has 1 to {MOST_OWNERS}",
        args.owners_per_client
    );
    if let Some(rate) = args.rate {
        ensure!(
            (1..=MOST_PER_S).contains(&rate),
            "--rate is {rate}; it goes from 1 to {MOST_PER_S}"
        );
    }
    if workload == Workload::Register {
        for (flag, given) in [
            ("--steady", args.steady),
            ("--rate", args.rate.is_some()),
            ("--owners-per-client", args.owners_per_client > 1),
            ("--overrun", args.overrun),
            ("--holder", args.holder != HolderPolicy::Trusting),
            ("--renew-while-waiting", args.renew_while_waiting.is_some()),
            ("--lock-delay", args.lock_delay.is_some()),
            ("--session-behavior", args.session_behavior.is_some()),
            ("--cas-wait", args.cas_wait.is_some()),
        ] {
            ensure!(!given, "{flag}: --workload register takes no locks");
        }
        if let Some(bug) = args.sim_bug {
            ensure!(
                bug == SimBug::Stall,
                "--sim-bug {}: --workload register takes no locks, so only stall can show",
                bug.name()
            );
        }
    }
    Ok(())
}

/// `a, b and c`.
pub fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}
