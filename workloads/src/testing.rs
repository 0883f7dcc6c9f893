//! What the unit tests share.

use locktest_history::{Backend, Bounds, HolderPolicy, Plan};

/// The plan of a run with one client of the sim.
pub(crate) fn plan() -> Plan {
    Plan {
        locktest_version: String::new(),
        kernel: String::new(),
        seed: 1,
        backend: Backend::Sim,
        recipe: "sim".into(),
        version: String::new(),
        server_binary: None,
        server_settings: Vec::new(),
        nodes: vec!["n1".into()],
        client_seeds: vec![1],
        keys: vec!["lock-0".into()],
        lease_ttl_ms: 2000,
        lock_delay_ms: 0,
        hold_ms: 50,
        overrun: false,
        renew_while_waiting: false,
        holder: HolderPolicy::Trusting,
        acquire_timeout_ms: 10_000,
        op_timeout_ms: 1000,
        time_limit_ms: 60_000,
        nemesis_interval_ms: 10_000,
        clock_drift_ppm: 0,
        bounds: Bounds { lease_bound_ms: 2000, recovery_bound_ms: 1000 },
        fencing_tokens: false,
        schedule: Vec::new(),
    }
}
