//! What the tests of this folder share.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod bench;
pub mod bench_remote;
pub mod fake;
pub mod programs;
pub mod snapshot;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use locktest_cluster::{NowNs, Remote};
use locktest_history::{
    Aim, ClientId, Cut, Fault, FaultEnded, FaultKind, NodeId, PacketFate, PartitionShape, Party,
    Skew, Target,
};
use locktest_nemesis::{
    ActiveFault, Endpoint, FaultNotApplied, HealReport, Nemesis, NemesisSetting, heal,
};

use bench::Bench;
use bench_remote::BenchRemote;

/// A clock that ticks at every look.
pub fn ticks() -> NowNs {
    let next = AtomicU64::new(1);
    Arc::new(move || next.fetch_add(1, Ordering::Relaxed))
}

/// Such as `n1 c2`.
pub fn group(names: &str) -> Vec<Party> {
    let party = |name: &str| {
        let index: u16 = name[1..].parse::<u16>().expect("a number") - 1;
        match name.starts_with('n') {
            true => Party::Server(NodeId(index)),
            false => Party::Client(ClientId(index.into())),
        }
    };
    names.split_whitespace().map(party).collect()
}

/// Packets from one group to another get lost, and none the other way.
pub fn one_way(from: &str, to: &str) -> Cut {
    Cut { from: group(from), to: group(to) }
}

pub fn partition(cuts: impl IntoIterator<Item = Cut>) -> Fault {
    let aim = Aim::Shape(PartitionShape::Halves);
    let fault = Fault::new(FaultKind::Partition, aim, 10_000);
    Fault { cuts: cuts.into_iter().collect(), ..fault }
}

/// A partition into two sides.
pub fn split(one: &str, other: &str) -> Fault {
    partition(Cut::both_ways(&group(one), &group(other)))
}

pub fn with_fate(fate: PacketFate, fault: Fault) -> Fault {
    Fault { packets: fate, ..fault }
}

/// A fault that is done to the processes of these.
pub fn of_processes(kind: FaultKind, names: &str) -> Fault {
    let parties = group(names);
    let mut fault = Fault::new(kind, Aim::Target(Target::Named(parties.clone())), 10_000);
    for party in parties {
        match party {
            Party::Server(node) => fault.servers.push(node),
            Party::Client(client) => fault.clients.push(client),
        }
    }
    fault
}

/// A fault of the clocks of these.
pub fn of_clocks(kind: FaultKind, names: &str, skew: Skew) -> Fault {
    let fault = of_processes(kind, names);
    Fault { clocks: fault.servers, servers: Vec::new(), skew: Some(skew), ..fault }
}

/// A fault of each kind, among three servers and two clients.
pub fn fault_of(kind: FaultKind) -> Fault {
    match kind {
        FaultKind::Partition => split("n1", "n2 n3"),
        FaultKind::Kill => of_processes(kind, "n1"),
        FaultKind::Pause => of_processes(kind, "n2 n3"),
        FaultKind::RestartAll => of_processes(kind, "n1 n2 n3"),
        FaultKind::ClientPause => of_processes(kind, "c1 c2"),
        FaultKind::ClientKill => of_processes(kind, "c2"),
        FaultKind::ClientPartition => Fault { kind, ..split("c1", "n1 n2 n3") },
        FaultKind::Clock => of_clocks(kind, "n1 n3", Skew::Jump { offset_ms: -30_000 }),
        FaultKind::ClockMonotonic => of_clocks(kind, "n2", Skew::Jump { offset_ms: 5000 }),
    }
}

/// The setting of run `r1` without clients, whose journal and index are below `folder`.
pub fn setting(folder: &Path, servers: Vec<Endpoint>, node_run_dir: &Path) -> NemesisSetting {
    NemesisSetting {
        run_id: "r1".into(),
        lab_id: None,
        servers,
        clients: Vec::new(),
        node_run_dir: node_run_dir.to_owned(),
        control_run_dir: folder.join("control"),
        journal: folder.join("faults.jsonl"),
        state_dir: folder.join("state"),
    }
}

pub fn nemesis<R: Remote>(setting: NemesisSetting, remote: &Arc<R>) -> Nemesis<R> {
    Nemesis::new(setting, remote.clone(), ticks()).expect("a journal")
}

/// What the nemesis does on a bench, in the words of a test.
impl Bench {
    pub fn nemesis(&self, remote: BenchRemote) -> Nemesis<BenchRemote> {
        nemesis(self.setting(), &Arc::new(remote))
    }

    pub async fn begin(
        &self,
        nemesis: &Nemesis<BenchRemote>,
        id: u32,
        fault: &Fault,
        deadline_s: u64,
    ) -> Result<ActiveFault, Box<FaultNotApplied>> {
        let deadline = Duration::from_secs(deadline_s);
        nemesis.begin(id, fault.clone(), &self.client_processes(), deadline).await
    }

    /// A whole fault: begun, looked at, ended.
    pub async fn inject(
        &self,
        nemesis: &Nemesis<BenchRemote>,
        id: u32,
        fault: &Fault,
    ) -> FaultEnded {
        let mut active = self.begin(nemesis, id, fault, 600).await.expect("applied");
        nemesis.observe(&mut active).await;
        nemesis.end(active).await
    }

    /// Heals as another process would, from the journal alone.
    pub async fn heal(&self) -> HealReport {
        let state = self.folder.path().join("state");
        heal(&state, Some("r1"), |_, _| self.remote(), |_| true).await.expect("an index")
    }
}
