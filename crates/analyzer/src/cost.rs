//! What the servers cost while the workload ran.

use std::collections::HashMap;

use locktest_history::{ProcessUsage, Usage};

use crate::observed::Observed;
use crate::verdict::NodeCost;

/// What each node cost from the first look to the last within the workload's time. A node without two
/// looks is missing: one alone does not tell since when.
pub(crate) fn cost(observed: &Observed) -> Vec<NodeCost> {
    let from_ns = observed.ready_ns.unwrap_or(0);
    let until_ns = observed.time_up_ns.unwrap_or(u64::MAX);
    let during = |usage: &&Usage| (from_ns..=until_ns).contains(&usage.time_ns);
    let usages: Vec<&Usage> = observed.usages.iter().copied().filter(during).collect();
    let nodes = usages.chunk_by(|one, next| one.node == next.node);
    nodes.filter_map(|usages| node_cost(observed, usages)).collect()
}

fn node_cost(observed: &Observed, usages: &[&Usage]) -> Option<NodeCost> {
    let [first, .., last] = usages else { return None };
    let sampled_s = last.time_ns.saturating_sub(first.time_ns) as f64 / 1e9;
    let mut known: HashMap<u32, &ProcessUsage> =
        first.processes.iter().map(|process| (process.pid, process)).collect();
    let [mut cpu_ms, mut written_bytes, mut received_bytes, mut sent_bytes] = [Sum(0); 4];
    for (before, now) in usages.iter().zip(&usages[1..]) {
        received_bytes.add_growth(Some(before.received_bytes), now.received_bytes);
        sent_bytes.add_growth(Some(before.sent_bytes), now.sent_bytes);
        for process in &now.processes {
            let before = known.insert(process.pid, process);
            cpu_ms.add_growth(before.map(|before| before.cpu_ms), process.cpu_ms);
            written_bytes
                .add_growth(before.map(|before| before.written_bytes), process.written_bytes);
        }
    }
    let resident_bytes = |usage: &&Usage| {
        let processes = usage.processes.iter().map(|process| process.resident_bytes);
        processes.fold(0, u64::saturating_add)
    };
    let cpu_s = cpu_ms.0 as f64 / 1e3;
    Some(NodeCost {
        node: observed.plan.node_name(first.node),
        sampled_s,
        cpu_s,
        cpu_percent_of_one_core: if sampled_s > 0.0 { cpu_s / sampled_s * 100.0 } else { 0.0 },
        peak_resident_bytes: usages.iter().map(resident_bytes).max().unwrap_or(0),
        written_bytes: written_bytes.0,
        received_bytes: received_bytes.0,
        sent_bytes: sent_bytes.0,
    })
}

/// What a counter has grown by in all.
#[derive(Clone, Copy, Debug)]
struct Sum(u64);

impl Sum {
    /// One that was not there before, or was larger, has begun at zero in between.
    fn add_growth(&mut self, before: Option<u64>, now: u64) {
        let grown = now.checked_sub(before.unwrap_or(0)).unwrap_or(now);
        self.0 = self.0.saturating_add(grown);
    }
}
