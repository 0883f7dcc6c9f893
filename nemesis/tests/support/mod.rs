//! What the tests of this folder share.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod bench;
pub mod fake;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use locktest_cluster::NowNs;
use locktest_history::{ClientId, NodeId, Side};
use locktest_nemesis::{Endpoint, Nemesis, NemesisSetting};

/// A clock that ticks at every look.
pub fn ticks() -> NowNs {
    let next = AtomicU64::new(1);
    Arc::new(move || next.fetch_add(1, Ordering::Relaxed))
}

pub fn side(servers: &[u16]) -> Side {
    Side::of_servers(servers.iter().copied().map(NodeId))
}

pub fn side_with(servers: &[u16], clients: &[u32]) -> Side {
    Side { clients: clients.iter().copied().map(ClientId).collect(), ..side(servers) }
}

/// The setting of run `r1` without clients, whose journal and index are below `folder`.
pub fn setting(folder: &Path, endpoints: Vec<Endpoint>, node_run_dir: &Path) -> NemesisSetting {
    NemesisSetting {
        run_id: "r1".into(),
        lab_id: None,
        endpoints,
        clients: Vec::new(),
        node_run_dir: node_run_dir.to_owned(),
        journal: folder.join("faults.jsonl"),
        state_dir: folder.join("state"),
    }
}

pub fn nemesis<R: locktest_cluster::Remote>(
    setting: NemesisSetting,
    remote: &Arc<R>,
) -> Nemesis<R> {
    Nemesis::new(setting, remote.clone(), ticks()).expect("a journal")
}
