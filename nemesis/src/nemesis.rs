//! One fault after the other: begun, looked at while it is in force, ended, and accounted for.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use locktest_cluster::{NowNs, Remote, RemoteCommand};
use locktest_history::{FaultBegun, FaultEnded, FaultKind, FaultSkipped, PartitionShape, Side};
use thiserror::Error;

use crate::commands::{Endpoint, NodeCommands, partition_commands};
use crate::evidence::{Dropped, Evidence, Link, Look};
use crate::heal::{HealedFault, HealedRun};
use crate::journal::{Intent, Journal, JournalError};
use crate::open_index::{OpenIndex, OpenRun};
use crate::partition::read_counters;
use crate::probe::{Probed, read_probes};
use crate::sides::Party;
use crate::tag::FaultTag;
use crate::undo::{NodeUndone, undo_everywhere};

/// After the undo, what had been answered before the fault is tried this often.
const RECONNECT_TRIES: u32 = 5;

const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Where the nemesis works, and what it writes.
#[derive(Clone, Debug)]
pub struct NemesisSetting {
    /// The run's id: letters and digits.
    pub run_id: String,
    /// The lab's id, if the nodes are a lab's.
    pub lab_id: Option<String>,
    /// The servers, in the plan's order.
    pub endpoints: Vec<Endpoint>,
    /// The addresses of the plan's clients, in its order. A client that replaces another one has
    /// its address.
    pub clients: Vec<Ipv4Addr>,
    /// An absolute path on the nodes, for the dead-man timers.
    pub node_run_dir: PathBuf,
    /// The run's undo journal.
    pub journal: PathBuf,
    /// Where this machine's index of open journals is.
    pub state_dir: PathBuf,
}

/// A fault that was given up, and is not in force unless a node says otherwise.
#[derive(Debug, Error)]
#[error("{}", .skipped.reason)]
pub struct FaultNotApplied {
    /// The record for the history, unless `in_force` has others.
    pub skipped: FaultSkipped,
    /// The records for the history instead of `skipped`, if an apply was sent: whatever it answered,
    /// it may have cut nodes off until the undo.
    pub in_force: Option<(FaultBegun, FaultEnded)>,
    /// The undo on each node; empty if no command was sent.
    pub nodes: Vec<NodeUndone>,
}

impl FaultNotApplied {
    /// Whether nothing of the fault is left on any node.
    pub fn undone(&self) -> bool {
        self.nodes.iter().all(|node| node.gone)
    }
}

/// A fault in force. Whoever drops it leaves it to [`Nemesis::heal_all_open`].
#[must_use = "a fault stays in force until it is ended"]
#[derive(Debug)]
pub struct ActiveFault {
    /// The record for the history.
    pub begun: FaultBegun,
    commands: Vec<NodeCommands>,
    intent: Intent,
    evidence: Evidence,
}

/// Applies faults to the nodes of one run, and undoes them.
pub struct Nemesis<R> {
    setting: NemesisSetting,
    remote: Arc<R>,
    now_ns: NowNs,
    index: OpenIndex,
    open: Mutex<OpenFaults>,
}

struct OpenFaults {
    journal: Journal,
    intents: BTreeMap<u32, Intent>,
}

impl<R: Remote> Nemesis<R> {
    /// A nemesis that has done nothing yet. Creates the journal's file.
    pub fn new(
        setting: NemesisSetting,
        remote: Arc<R>,
        now_ns: NowNs,
    ) -> Result<Nemesis<R>, JournalError> {
        let journal = Journal::open(&setting.journal)?;
        let index = OpenIndex::new(&setting.state_dir);
        let open = Mutex::new(OpenFaults { journal, intents: BTreeMap::new() });
        Ok(Nemesis { setting, remote, now_ns, index, open })
    }

    /// Separates `sides`, the smaller first, as fault `id`. The nodes undo it themselves after
    /// `deadline`, which has to exceed the fault's length.
    ///
    /// The order is the point: first the journal, then a timer on every node, then a look at what
    /// works, and only then the fault. If one node fails, all are undone.
    pub async fn begin(
        &self,
        id: u32,
        shape: PartitionShape,
        sides: Vec<Side>,
        deadline: Duration,
    ) -> Result<ActiveFault, Box<FaultNotApplied>> {
        let kind = FaultKind::Partition;
        let begin_ns = (self.now_ns)();
        let skip = |reason: String| FaultSkipped { time_ns: (self.now_ns)(), kind, shape, reason };
        let nothing_sent = |reason: String| {
            let skipped = skip(reason);
            Box::new(FaultNotApplied { skipped, in_force: None, nodes: Vec::new() })
        };
        let deadline_s = deadline.as_millis().div_ceil(1000) as u64;
        let commands = self.commands(id, &sides, deadline_s).map_err(nothing_sent)?;
        let intent = Intent {
            fault: id,
            run_id: self.setting.run_id.clone(),
            lab_id: self.setting.lab_id.clone(),
            deadline_s,
            nodes: commands.iter().map(NodeCommands::journalled).collect(),
        };
        self.intend(&intent).map_err(|error| nothing_sent(error.to_string()))?;

        let mut baseline = None;
        let mut applied = self.on_all(&commands, |node| &node.arm).await;
        if applied.is_ok() {
            let evidence = Evidence::new(&self.probe(&commands).await);
            baseline = Some(evidence);
            applied = self.on_all(&commands, |node| &node.apply).await;
        }
        let begun = |in_force_ns| FaultBegun { id, kind, shape, sides, begin_ns, in_force_ns };
        match (applied, baseline) {
            (Ok(()), Some(evidence)) => {
                let begun = begun((self.now_ns)());
                Ok(ActiveFault { begun, commands, intent, evidence })
            }
            (applied, baseline) => {
                let reason = applied.err().unwrap_or_default();
                let heal_begin_ns = (self.now_ns)();
                let undone = self.undo(&intent).await;
                let end_ns = (self.now_ns)();
                let in_force = baseline.map(|_| {
                    let ended = FaultEnded {
                        id,
                        heal_begin_ns,
                        end_ns,
                        bit: false,
                        proof: vec![format!(
                            "the fault was given up half-way, before anybody looked at its effect: \
                             {reason}"
                        )],
                        undone: undone.fault.undone(),
                        undo_proof: undone.proof(),
                    };
                    // Nobody knows when it was in force on all nodes, if it ever was: all the time
                    // until the undo counts as its begin, in which nothing is settled.
                    (begun(heal_begin_ns), ended)
                });
                let reason = match undone.problem {
                    None => reason,
                    Some(problem) => format!("{reason}; {problem}"),
                };
                let nodes = undone.fault.nodes;
                Err(Box::new(FaultNotApplied { skipped: skip(reason), in_force, nodes }))
            }
        }
    }

    /// Looks at every node while the fault is in force: which connections across work, and how many
    /// packets were dropped. What the last call before [`end`](Nemesis::end) sees counts most.
    pub async fn observe(&self, fault: &mut ActiveFault) {
        let probes = self.probe(&fault.commands).await;
        let counters = fault.commands.iter().map(|node| async move {
            let dropped = match self.remote.run_ok(&node.ssh.name, &node.counters).await {
                Err(error) => Dropped::Unknown(error.to_string()),
                Ok(output) => match read_counters(&node.chain, &output.stdout) {
                    Some(Some(packets)) => {
                        let across = |address| {
                            node.across.iter().any(|across| across.address.ip() == address)
                        };
                        let packets = packets.iter().filter(|(address, _)| across(*address));
                        Dropped::Packets(packets.map(|(_, packets)| packets).sum())
                    }
                    Some(None) => Dropped::NoChain,
                    None => Dropped::Unknown("the answer is no list of rules".into()),
                },
            };
            (node.node, dropped)
        });
        let dropped = join_all(counters).await.into_iter().collect();
        fault.evidence.record(Look { probes, dropped });
    }

    /// Undoes the fault on all nodes at once and reads back that it is gone.
    pub async fn end(&self, fault: ActiveFault) -> FaultEnded {
        let heal_begin_ns = (self.now_ns)();
        let undone = self.undo(&fault.intent).await;
        let end_ns = (self.now_ns)();
        let (bit, proof) = fault.evidence.judge(|party| self.name(party));
        let gone = undone.fault.undone();
        let mut undo_proof = undone.proof();
        let reconnected = if gone { self.reconnect(&fault, &mut undo_proof).await } else { false };
        let undone = gone && reconnected;
        FaultEnded { id: fault.begun.id, heal_begin_ns, end_ns, bit, proof, undone, undo_proof }
    }

    /// Undoes whatever this run still has in force; for the end of a run that was cut short.
    pub async fn heal_all_open(&self) -> HealedRun {
        let intents: Vec<Intent> = self.open().intents.values().cloned().collect();
        let undone = join_all(intents.iter().map(|intent| self.undo(intent))).await;
        let (faults, problems): (Vec<_>, Vec<_>) =
            undone.into_iter().map(|undone| (undone.fault, undone.problem)).unzip();
        HealedRun {
            run_id: self.setting.run_id.clone(),
            journal: Some(self.setting.journal.clone()),
            in_progress_pid: None,
            faults,
            problems: problems.into_iter().flatten().collect(),
        }
    }

    /// Whether a connection across is answered again that was before the fault; vacuously so if none
    /// was.
    async fn reconnect(&self, fault: &ActiveFault, proof: &mut Vec<String>) -> bool {
        if !fault.evidence.has_baseline() {
            proof.push(
                "no connection across was answered before the fault, so no answer is missed".into(),
            );
            return true;
        }
        for attempt in 0..RECONNECT_TRIES {
            if attempt > 0 {
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
            let now = self.probe(&fault.commands).await;
            if let Some(link) = fault.evidence.crosses_again(&now) {
                let (from, to) = (self.name(Party::Server(link.from)), self.name(link.to));
                proof.push(format!("packets from {from} to {to} and back get across again"));
                return true;
            }
        }
        proof.push("no connection across is answered again, though the rules are gone".into());
        false
    }

    async fn undo(&self, intent: &Intent) -> Undone {
        let nodes = undo_everywhere(&*self.remote, intent).await;
        let fault = HealedFault {
            run_id: intent.run_id.clone(),
            fault: intent.fault,
            lab_gone: None,
            nodes,
        };
        let closed = if fault.undone() { self.close(intent.fault) } else { Ok(()) };
        Undone { fault, problem: closed.err().map(|error| error.to_string()) }
    }

    fn commands(
        &self,
        id: u32,
        sides: &[Side],
        deadline_s: u64,
    ) -> Result<Vec<NodeCommands>, String> {
        let NemesisSetting { run_id, endpoints, clients, node_run_dir, .. } = &self.setting;
        let tag = FaultTag::new(run_id, id).map_err(|error| error.to_string())?;
        partition_commands(endpoints, clients, node_run_dir, &tag, sides, deadline_s)
            .map_err(|error| error.to_string())
    }

    /// Puts the intent on disk, where `heal` finds it, before anything is sent.
    fn intend(&self, intent: &Intent) -> Result<(), JournalError> {
        let mut open = self.open();
        let path = &self.setting.journal;
        let run = OpenRun::of_this_process(&intent.run_id, path)
            .map_err(JournalError::at("prepare the index entry of", path))?;
        self.index.add(&run)?;
        if let Err(error) = open.journal.intend(intent) {
            if open.intents.is_empty() {
                self.index.remove(&intent.run_id)?;
            }
            return Err(error);
        }
        open.intents.insert(intent.fault, intent.clone());
        Ok(())
    }

    fn close(&self, fault: u32) -> Result<(), JournalError> {
        let mut open = self.open();
        open.journal.undone(fault)?;
        open.intents.remove(&fault);
        if open.intents.is_empty() {
            self.index.remove(&self.setting.run_id)?;
        }
        Ok(())
    }

    fn open(&self) -> MutexGuard<'_, OpenFaults> {
        // A panic while the lock was held is no reason to leave a fault in force.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one of the commands on every node at once; the error names every node that failed.
    async fn on_all(
        &self,
        nodes: &[NodeCommands],
        command: impl Fn(&NodeCommands) -> &RemoteCommand,
    ) -> Result<(), String> {
        let runs = nodes.iter().map(|node| self.remote.run_ok(&node.ssh.name, command(node)));
        let errors: Vec<String> = join_all(runs)
            .await
            .into_iter()
            .filter_map(|result| result.err().map(|error| error.to_string()))
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
    }

    /// Tries every connection across and sorts the answers. A node that does not answer adds none.
    async fn probe(&self, nodes: &[NodeCommands]) -> Vec<(Link, Probed)> {
        let answers =
            join_all(nodes.iter().map(|node| self.remote.run_ok(&node.ssh.name, &node.probe)))
                .await;
        let mut probes = Vec::new();
        for (node, answer) in nodes.iter().zip(answers) {
            let Ok(answer) = answer else { continue };
            let probed: HashMap<_, _> = read_probes(&answer.stdout).into_iter().collect();
            for across in &node.across {
                if let Some(probed) = probed.get(&across.address) {
                    probes.push((Link { from: node.node, to: across.party }, *probed));
                }
            }
        }
        probes.sort_unstable_by_key(|(link, _)| *link);
        probes
    }

    fn name(&self, party: Party) -> String {
        party.name(&self.setting.endpoints)
    }
}

/// An undo, and what kept the journal from recording it.
struct Undone {
    fault: HealedFault,
    problem: Option<String>,
}

impl Undone {
    /// What was read back of each node, or what stands in the way, a sentence each.
    fn proof(&self) -> Vec<String> {
        let accounts = self.fault.nodes.iter().map(|node| &node.account);
        accounts.chain(&self.problem).cloned().collect()
    }
}
