//! The plan: everything that a run was told and every choice that its seed made.

use serde::{Deserialize, Serialize};

use crate::{
    Backend, CasWait, ClientId, FaultKind, NodeId, PartitionShape, ReadMode, Recipe, RedisOptions,
    SessionBehavior, Side, Workload,
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

/// A fault of the schedule, with the choices that the seed made for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// What kind.
    pub kind: FaultKind,
    /// The choices that belong to the kind.
    pub partition: PlannedPartition,
}

/// The seed's choices for a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPartition {
    /// How the servers are split.
    pub shape: PartitionShape,
    /// All servers in random order: the smaller side is taken from the front, after the leader
    /// where the shape asks for it (who leads is known only when the fault comes).
    pub order: Vec<NodeId>,
    /// How many servers the smaller side has.
    pub minority: u16,
    /// All clients in random order, if they are split, too: the smaller side has those at the front.
    pub client_order: Vec<ClientId>,
    /// How many clients the smaller side has.
    pub client_minority: u16,
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
    /// The faults in order; the nemesis starts again at the first if the run outlasts them.
    pub schedule: Vec<PlannedFault>,
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
            overrun: false,
            renew_while_waiting: !recipe.lease_begins_with_grant(),
            holder: HolderPolicy::Trusting,
            acquire_timeout_ms: 10_000,
            op_timeout_ms: 1000,
            time_limit_ms: 60_000,
            nemesis_interval_ms: 10_000,
            clock_drift_ppm: 0,
            bounds: Bounds { lease_bound_ms: 2000, recovery_bound_ms: 1000 },
            schedule: Vec::new(),
        }
    }

    /// The name of a node; a number if the plan does not have it.
    pub fn node_name(&self, node: NodeId) -> String {
        match self.nodes.get(usize::from(node.0)) {
            Some(name) => name.clone(),
            None => format!("node#{}", node.0),
        }
    }

    /// A partition in words, such as `partition n1 n2 | n3 n4 n5`, or, if it splits clients, too,
    /// `partition of clients from servers: n1 c1 | n2 n3 c2 c3`.
    pub fn partition_in_words(&self, sides: &[Side]) -> String {
        let splits_clients = sides.iter().any(|side| !side.clients.is_empty());
        let what = if splits_clients { "partition of clients from servers:" } else { "partition" };
        let sides = sides.iter().map(|side| {
            let servers = side.servers.iter().map(|node| self.node_name(*node));
            let clients = side.clients.iter().map(ClientId::to_string);
            servers.chain(clients).collect::<Vec<_>>().join(" ")
        });
        format!("{what} {}", sides.collect::<Vec<_>>().join(" | "))
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

    #[test]
    fn a_partition_that_splits_clients_says_so_and_names_them() {
        let plan = Plan::of(Backend::Redis);
        let servers = |nodes: [u16; 2]| Side::of_servers(nodes.map(NodeId));
        let mut sides = [servers([0, 1]), servers([2, 3])];
        assert_eq!(plan.partition_in_words(&sides), "partition n1 n2 | n3 n4");
        sides[1].clients = vec![ClientId(0), ClientId(2)];
        let words = "partition of clients from servers: n1 n2 | n3 n4 c1 c3";
        assert_eq!(plan.partition_in_words(&sides), words);
    }
}
