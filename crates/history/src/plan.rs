//! The plan: everything that a run was told and every choice that its seed made.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    Aim, Backend, Between, CasWait, ClientId, Direction, Fault, FaultKind, NodeId, PacketFate,
    ReadMode, Recipe, RedisOptions, SessionBehavior, Skew, Workload,
};

/// What a holder does about its own lease deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HolderPolicy {
    /// Reads, holds, writes, and never looks at the clock.
    Trusting,
    /// Checks its deadline before each write.
    Careful,
}

/// How long the service may take before a missing grant is its fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// The longest that the service may keep the lock of a holder that went silent.
    pub lease_bound_ms: u64,
    /// The longest that the service may need to recover from a fault.
    pub recovery_bound_ms: u64,
}

/// A fault of the schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedFault {
    /// Aimed when it comes, after a quiet interval.
    Drawn(DrawnFault),
    /// Every choice is made: a fault of an earlier run.
    Fixed(FixedFault),
}

/// The seed's choices for a fault that is aimed when it comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawnFault {
    /// What kind.
    pub kind: FaultKind,
    /// How it is aimed.
    pub aim: Aim,
    /// All servers in random order: those that it is done to are taken from the front, after the
    /// leader or another that is only known when the fault comes.
    pub order: Vec<NodeId>,
    /// How many servers those are, or how many are on the smaller side of a partition.
    pub servers: u16,
    /// All clients in random order, likewise.
    pub client_order: Vec<ClientId>,
    /// How many clients those are, or how many are with the smaller side.
    pub clients: u16,
    /// Whose links a partition cuts.
    pub between: Between,
    /// Which way a partition loses packets.
    pub direction: Direction,
    /// What becomes of those packets.
    pub packets: PacketFate,
    /// How clocks go wrong, if it moves any.
    pub skew: Option<Skew>,
    /// For how long it is to be in force.
    pub length_ms: u64,
}

/// A fault at a time of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedFault {
    /// When it begins, from the instant at which the cluster was ready.
    pub at_ms: u64,
    /// The fault.
    pub fault: Fault,
}

/// Everything that decides what a run does. Two runs with the same flags and seed have equal plans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The version of locktest that made the plan.
    pub locktest_version: String,
    /// The kernel of the control node.
    pub kernel: String,
    /// The seed of every random choice.
    pub seed: u64,
    /// The store.
    pub backend: Backend,
    /// How the store is used as a lock.
    pub recipe: Recipe,
    /// What the clients do.
    pub workload: Workload,
    /// The server's version, such as `3.5.16` or `valkey-8.1.1`; `built-in` for sim.
    pub version: String,
    /// The server binary that the user named, if any.
    pub server_binary: Option<String>,
    /// Settings of the servers that bear on the verdict, in words.
    pub server_settings: Vec<String>,
    /// The names of the server nodes.
    pub nodes: Vec<String>,
    /// A seed for each client process.
    pub client_seeds: Vec<u64>,
    /// The names of the locks, or of the registers.
    pub keys: Vec<String>,
    /// How plain values are read. On Consul also how a lock's entry is.
    pub read_mode: ReadMode,
    /// The lease time to live that clients ask for.
    pub lease_ttl_ms: u64,
    /// Consul's lock-delay; zero elsewhere.
    pub lock_delay_ms: u64,
    /// What the end of a Consul session does to its locks.
    pub session_behavior: Option<SessionBehavior>,
    /// How clients of etcd's `cas-ttl` wait.
    pub cas_wait: Option<CasWait>,
    /// The options of the recipes on Redis.
    pub redis: Option<RedisOptions>,
    /// The mean of the random hold times.
    pub hold_ms: u64,
    /// Whether every hold takes `hold_ms`, nothing else is done meanwhile, and nobody rests: what is
    /// measured then is the store.
    #[serde(default)]
    pub steady: bool,
    /// How many acquires all clients together are meant to begin in a second; `None` if each begins
    /// once the one before is over.
    #[serde(default)]
    pub rate_per_s: Option<u32>,
    /// How many owners contend in each client process.
    #[serde(default = "one")]
    pub owners_per_client: u32,
    /// Whether some holds outlive the lease without renewal.
    pub overrun: bool,
    /// Whether a client renews its lease while it waits for the lock.
    pub renew_while_waiting: bool,
    /// What holders do about their deadline.
    pub holder: HolderPolicy,
    /// A blocking acquire gives up after this long.
    pub acquire_timeout_ms: u64,
    /// Every other operation gives up after this long.
    pub op_timeout_ms: u64,
    /// How long the workload runs once the cluster is ready.
    pub time_limit_ms: u64,
    /// Quiet for this long, then a fault for this long, alternating.
    pub nemesis_interval_ms: u64,
    /// The most that two hosts' clocks may drift apart, in parts per million; zero in the lab.
    pub clock_drift_ppm: u32,
    /// The deadlines of the liveness properties.
    pub bounds: Bounds,
    /// The most servers that a fault may kill, pause, cut off from the majority or give a wrong
    /// clock; `None` if there is no such limit.
    pub max_affected: Option<u16>,
    /// The faults in order; if they are drawn, the nemesis starts again at the first when the run
    /// outlasts them.
    pub schedule: Vec<PlannedFault>,
}

/// What plans were without saying so.
fn one() -> u32 {
    1
}

impl Plan {
    /// The plainest plan of a backend: one client, one lock, no fault, and each option as the
    /// backend's recipe has it by default.
    pub fn of(backend: Backend) -> Plan {
        let recipe = backend.recipes()[0];
        Plan {
            locktest_version: env!("CARGO_PKG_VERSION").into(),
            kernel: "unknown".into(),
            seed: 1,
            backend,
            recipe,
            workload: Workload::Mutex,
            version: "unknown".into(),
            server_binary: None,
            server_settings: Vec::new(),
            nodes: match backend {
                Backend::Sim => vec!["sim".into()],
                _ => (1..=5).map(|n| format!("n{n}")).collect(),
            },
            client_seeds: vec![1],
            keys: vec!["lock-0".into()],
            read_mode: backend.read_modes()[0],
            lease_ttl_ms: 2000,
            lock_delay_ms: 0,
            session_behavior: (backend == Backend::Consul).then_some(SessionBehavior::Release),
            cas_wait: None,
            redis: (backend == Backend::Redis).then_some(RedisOptions::DEFAULT),
            hold_ms: 50,
            steady: false,
            rate_per_s: None,
            owners_per_client: 1,
            overrun: false,
            renew_while_waiting: !recipe.lease_begins_with_grant(),
            holder: HolderPolicy::Trusting,
            acquire_timeout_ms: 10_000,
            op_timeout_ms: 1000,
            time_limit_ms: 60_000,
            nemesis_interval_ms: 10_000,
            clock_drift_ppm: 0,
            bounds: Bounds { lease_bound_ms: 2000, recovery_bound_ms: 1000 },
            max_affected: None,
            schedule: Vec::new(),
        }
    }

    /// The kinds of the schedule's faults, each once.
    pub fn fault_kinds(&self) -> Vec<FaultKind> {
        let kinds = self.schedule.iter().flat_map(|planned| match planned {
            // Its other half is a cut.
            PlannedFault::Drawn(DrawnFault { kind, aim: Aim::BareMajority, .. }) => {
                vec![*kind, FaultKind::Partition]
            }
            PlannedFault::Drawn(drawn) => vec![drawn.kind],
            PlannedFault::Fixed(fixed) => vec![fixed.fault.kind],
        });
        kinds.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether some fault of the schedule moves clocks, so that every server needs one of its own.
    pub fn moves_clocks(&self) -> bool {
        self.fault_kinds().into_iter().any(FaultKind::moves_clocks)
    }

    /// The name of a node; a number if the plan does not have it.
    pub fn node_name(&self, node: NodeId) -> String {
        match self.nodes.get(usize::from(node.0)) {
            Some(name) => name.clone(),
            None => format!("node#{}", node.0),
        }
    }

    /// The name of a lock; a number if the plan does not have it.
    pub fn key_name(&self, key: crate::KeyId) -> String {
        match self.keys.get(key.0 as usize) {
            Some(name) => name.clone(),
            None => format!("key#{}", key.0),
        }
    }
}

/// What distinguishes one run from another of the same plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Unique on this machine; it tags the run's firewall chains.
    pub id: String,
    /// Seconds since the Unix epoch at the run's origin.
    pub started_at_unix_s: u64,
    /// CLOCK_MONOTONIC of the control node at the run's origin: zero of every `_ns` in the history.
    pub origin_monotonic_ns: u64,
    /// The command line that makes the same plan again.
    pub command: String,
    /// The lab's id, if the cluster is a lab.
    pub lab: Option<String>,
    /// The plan.
    pub plan: Plan,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn plan_for_tests() -> Plan {
        Plan { seed: 7, client_seeds: vec![1, 2], ..Plan::of(Backend::Sim) }
    }

    pub(crate) fn run_for_tests() -> Run {
        Run {
            id: "0a1b2c".into(),
            started_at_unix_s: 1,
            origin_monotonic_ns: 2,
            command: "locktest --backend sim".into(),
            lab: None,
            plan: plan_for_tests(),
        }
    }
}
