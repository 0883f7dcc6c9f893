//! The plan: everything that a run was told and every choice that its seed made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{FaultKind, NodeId, PartitionShape};

/// A lock service under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// etcd, by its native Lock RPC.
    Etcd,
    /// Consul, by a session and a KV acquire.
    Consul,
    /// A lock service inside the control node: the canary of the tester itself.
    Sim,
}

impl Backend {
    /// Every backend, in the order in which help lists them.
    pub const ALL: [Backend; 3] = [Backend::Consul, Backend::Etcd, Backend::Sim];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Etcd => "etcd",
            Backend::Consul => "consul",
            Backend::Sim => "sim",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(name: &str) -> Result<Backend, String> {
        Backend::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| format!("no backend is named '{name}'"))
    }
}

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
    /// The lock recipe, such as `session` or `lock-rpc`.
    pub recipe: String,
    /// The server's version as its package names it; `built-in` for sim.
    pub version: String,
    /// The server binary that the user named, if any.
    pub server_binary: Option<String>,
    /// Settings of the servers that bear on the verdict, in words.
    pub server_settings: Vec<String>,
    /// The names of the server nodes.
    pub nodes: Vec<String>,
    /// A seed for each client process.
    pub client_seeds: Vec<u64>,
    /// The names of the locks.
    pub keys: Vec<String>,
    /// The lease time to live that clients ask for.
    pub lease_ttl_ms: u64,
    /// Consul's lock-delay.
    pub lock_delay_ms: u64,
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
    /// Whether the backend returns fencing tokens.
    pub fencing_tokens: bool,
    /// The faults in order; the nemesis starts again at the first if the run outlasts them.
    pub schedule: Vec<PlannedFault>,
}

impl Plan {
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
        Plan {
            locktest_version: "0.1.0".into(),
            kernel: "6.1".into(),
            seed: 7,
            backend: Backend::Sim,
            recipe: "sim".into(),
            version: "built-in".into(),
            server_binary: None,
            server_settings: vec![],
            nodes: vec!["sim".into()],
            client_seeds: vec![1, 2],
            keys: vec!["lock-0".into()],
            lease_ttl_ms: 2000,
            lock_delay_ms: 0,
            hold_ms: 50,
            overrun: false,
            renew_while_waiting: true,
            holder: HolderPolicy::Trusting,
            acquire_timeout_ms: 10_000,
            op_timeout_ms: 1000,
            time_limit_ms: 1000,
            nemesis_interval_ms: 1000,
            clock_drift_ppm: 0,
            bounds: Bounds { lease_bound_ms: 2000, recovery_bound_ms: 1000 },
            fencing_tokens: true,
            schedule: vec![],
        }
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
    fn a_backend_is_parsed_from_its_own_name_and_from_nothing_else() {
        for backend in Backend::ALL {
            assert_eq!(backend.name().parse::<Backend>(), Ok(backend));
        }
        assert!("Consul".parse::<Backend>().is_err());
    }
}
