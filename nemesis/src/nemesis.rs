//! One fault after the other: begun, looked at while it is in force, ended, and accounted for.

mod watching;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use locktest_cluster::{NowNs, Remote, RemoteCommand, RemoteOutput};
use locktest_history::{Fault, FaultBegun, FaultEnded, FaultKind, Party, TookEffect};
use thiserror::Error;

use crate::clocks::Clocks;
use crate::commands::{FaultCommands, HostCommands, Hosts, fault_commands, preflight_commands};
use crate::evidence::{Evidence, LinkEvidence};
use crate::heal::{HealedFault, HealedRun};
use crate::host::{ClientEndpoint, ClientProcess, Endpoint};
use crate::journal::{Intent, Journal, JournalError};
use crate::links::Parties;
use crate::open_index::{OpenIndex, OpenRun};
use crate::process::Deed;
use crate::skew::Clock;
use crate::tag::FaultTag;
use crate::undo::{HostUndone, undo_everywhere};

/// After the undo, what had worked before the fault is tried this often.
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
    pub servers: Vec<Endpoint>,
    /// Where the plan's clients run, in its order. A client that replaces another one has its
    /// place.
    pub clients: Vec<ClientEndpoint>,
    /// An absolute path on the nodes, for the dead-man timers.
    pub node_run_dir: PathBuf,
    /// The same on the control node.
    pub control_run_dir: PathBuf,
    /// The run's undo journal.
    pub journal: PathBuf,
    /// Where this machine's index of open journals is.
    pub state_dir: PathBuf,
}

impl NemesisSetting {
    /// Who there is, with these client processes.
    pub fn hosts<'a>(&'a self, processes: &'a [ClientProcess]) -> Hosts<'a> {
        Hosts {
            servers: &self.servers,
            clients: &self.clients,
            processes,
            node_run_dir: &self.node_run_dir,
            control_run_dir: &self.control_run_dir,
        }
    }
}

/// A fault that was given up, and is not in force unless a host says otherwise.
#[derive(Debug, Error)]
#[error("{reason}")]
pub struct FaultNotApplied {
    /// Why.
    pub reason: String,
    /// The records for the history, if an apply was sent: whatever it answered, it may have done
    /// something until the undo.
    pub in_force: Option<(FaultBegun, FaultEnded)>,
    /// The undo on each host; empty if no command was sent.
    pub hosts: Vec<HostUndone>,
}

impl FaultNotApplied {
    /// Whether nothing of the fault is left on any host.
    pub fn undone(&self) -> bool {
        self.hosts.iter().all(|host| host.gone)
    }
}

/// A fault in force. Whoever drops it leaves it to [`Nemesis::heal_all_open`].
#[must_use = "a fault stays in force until it is ended"]
#[derive(Debug)]
pub struct ActiveFault {
    /// The record for the history.
    pub begun: FaultBegun,
    commands: FaultCommands,
    intent: Intent,
    evidence: Evidence,
}

/// Applies faults to the hosts of one run, and undoes them.
pub struct Nemesis<R> {
    setting: NemesisSetting,
    remote: Arc<R>,
    clocks: Clocks,
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
        Ok(Nemesis { setting, remote, clocks: Clocks::new(now_ns), index, open })
    }

    /// Looks whether every host has what faults of these kinds need. The error names host by host
    /// what is missing.
    pub async fn preflight(&self, kinds: &[FaultKind]) -> Result<(), String> {
        let commands = preflight_commands(self.setting.hosts(&[]), kinds);
        let checks = commands.iter().map(|(host, command)| self.remote.run_ok(host, command));
        let problems: Vec<String> = (join_all(checks).await.into_iter())
            .filter_map(|result| result.err().map(|error| error.to_string()))
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    /// Applies `fault` as fault `id`. The hosts undo it themselves after `deadline`, which has to
    /// exceed the fault's length. `processes` are the clients that live.
    ///
    /// The order is the point: first the journal, then a timer on every host, then a look at what
    /// works, and only then the fault. If one host fails, all are undone.
    pub async fn begin(
        &self,
        id: u32,
        fault: Fault,
        processes: &[ClientProcess],
        deadline: Duration,
    ) -> Result<ActiveFault, Box<FaultNotApplied>> {
        let nothing_sent = |reason: String| {
            Box::new(FaultNotApplied { reason, in_force: None, hosts: Vec::new() })
        };
        let deadline_s = deadline.as_millis().div_ceil(1000) as u64;
        let commands = FaultTag::new(&self.setting.run_id, id)
            .map_err(|error| error.to_string())
            .and_then(|tag| {
                fault_commands(self.setting.hosts(processes), &tag, &fault, deadline_s)
                    .map_err(|error| error.to_string())
            })
            .map_err(nothing_sent)?;
        let intent = Intent {
            fault: id,
            run_id: self.setting.run_id.clone(),
            lab_id: self.setting.lab_id.clone(),
            deadline_s,
            hosts: commands.hosts.iter().map(HostCommands::journalled).collect(),
        };
        self.intend(&intent).map_err(|error| nothing_sent(error.to_string()))?;

        let (begin_ns, tried) = match self.make_ready(&fault, &commands).await {
            Ok(evidence) => {
                let begin_ns = self.clocks.now_ns();
                let applied = self.apply(&commands).await;
                (Some(begin_ns), applied.map(|hosts| (begin_ns, hosts, evidence)))
            }
            Err(reason) => (None, Err(reason)),
        };
        match tried {
            Ok((begin_ns, hosts, evidence)) => {
                let in_force_ns = self.clocks.now_ns();
                let begun = FaultBegun { id, fault, begin_ns, in_force_ns, hosts };
                Ok(ActiveFault { begun, commands, intent, evidence })
            }
            Err(reason) => {
                let heal_begin_ns = self.clocks.now_ns();
                let undone = self.undo(&intent).await;
                let end_ns = self.clocks.now_ns();
                let in_force = begin_ns.map(|begin_ns| {
                    let ended = FaultEnded {
                        id,
                        heal_begin_ns,
                        end_ns,
                        hosts: undone.took_effect(),
                        bit: false,
                        proof: vec![format!(
                            "the fault was given up half-way, before anybody looked at its effect: \
                             {reason}"
                        )],
                        undone: undone.fault.undone(),
                        undo_proof: undone.proof(),
                    };
                    // Nobody knows when it was in force on all hosts, if it ever was: all the time
                    // until the undo counts as its begin, in which nothing is settled.
                    let (fault, in_force_ns) = (fault.clone(), heal_begin_ns);
                    let begun = FaultBegun { id, fault, begin_ns, in_force_ns, hosts: Vec::new() };
                    (begun, ended)
                });
                let reason = match undone.problem {
                    None => reason,
                    Some(problem) => format!("{reason}; {problem}"),
                };
                let hosts = undone.fault.hosts;
                Err(Box::new(FaultNotApplied { reason, in_force, hosts }))
            }
        }
    }

    /// Everything before the fault itself: the timers, and what is there without it.
    async fn make_ready(
        &self,
        fault: &Fault,
        commands: &FaultCommands,
    ) -> Result<Evidence, String> {
        self.on_all(commands, |host| Some(&host.arm)).await?;
        let (prepared, before) =
            tokio::join!(self.on_all(commands, |host| host.prepare.as_ref()), self.look(commands));
        prepared?;
        Ok(match fault.kind {
            FaultKind::Partition | FaultKind::ClientPartition => {
                Evidence::of_links(fault.packets, &before)
            }
            FaultKind::Kill | FaultKind::RestartAll | FaultKind::ClientKill => {
                Evidence::of_processes(Deed::Kill, before)
            }
            FaultKind::Pause | FaultKind::ClientPause => {
                Evidence::of_processes(Deed::Pause, before)
            }
            FaultKind::Clock | FaultKind::ClockMonotonic => {
                let skew = fault.skew.ok_or("the fault does not say how clocks go wrong")?;
                Evidence::of_clocks(Clock::of(fault.kind), skew, before)
            }
        })
    }

    /// Applies the fault on every host at once, and tells when each had.
    async fn apply(&self, commands: &FaultCommands) -> Result<Vec<TookEffect>, String> {
        let runs = commands.hosts.iter().map(|host| async {
            let (applied, took) = self.clocks.timed(&*self.remote, &host.host, &host.apply).await;
            applied.map(|_| took)
        });
        all_or_errors(join_all(runs).await)
    }

    /// Looks at every host while the fault is in force. A look that shows its effect is proof, also
    /// if a later one does not.
    pub async fn observe(&self, fault: &mut ActiveFault) {
        let look = self.look(&fault.commands).await;
        fault.evidence.record(look);
    }

    /// Undoes the fault on all hosts at once and reads back that it is gone.
    pub async fn end(&self, fault: ActiveFault) -> FaultEnded {
        let heal_begin_ns = self.clocks.now_ns();
        let undone = self.undo(&fault.intent).await;
        let end_ns = self.clocks.now_ns();
        let (bit, proof) = fault.evidence.judge(|party| self.name(party));
        let gone = undone.fault.undone();
        let mut undo_proof = undone.proof();
        let undone_for_all = match &fault.evidence {
            Evidence::Links(links) if gone => {
                self.reconnect(&fault.commands, links, &mut undo_proof).await
            }
            Evidence::Clocks(clocks) if gone => {
                let (right, proof) = clocks.judge_undo(&self.look(&fault.commands).await.clocks);
                undo_proof.extend(proof);
                right
            }
            _ => gone,
        };
        let id = fault.begun.id;
        let hosts = undone.took_effect();
        let undone = undone_for_all;
        FaultEnded { id, heal_begin_ns, end_ns, hosts, bit, proof, undone, undo_proof }
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

    /// Whether a connection works again that did before the fault; vacuously so if none did.
    async fn reconnect(
        &self,
        commands: &FaultCommands,
        links: &LinkEvidence,
        proof: &mut Vec<String>,
    ) -> bool {
        if !links.has_baseline() {
            proof.push("no connection across worked before the fault, so none is missed".into());
            return true;
        }
        for attempt in 0..RECONNECT_TRIES {
            if attempt > 0 {
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
            let now = self.look(commands).await;
            if let Some(link) = links.works_again(&now.probes) {
                let link = link.words(|party| self.name(party));
                proof.push(format!("a connection from {link} works again"));
                return true;
            }
        }
        proof.push("no connection across works again, though the rules are gone".into());
        false
    }

    async fn undo(&self, intent: &Intent) -> Undone {
        let hosts = undo_everywhere(&*self.remote, intent, &self.clocks).await;
        let fault = HealedFault {
            run_id: intent.run_id.clone(),
            fault: intent.fault,
            lab_gone: None,
            hosts,
        };
        let closed = if fault.undone() { self.close(intent.fault) } else { Ok(()) };
        Undone { fault, problem: closed.err().map(|error| error.to_string()) }
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

    /// Runs one of the commands on every host at once; the error names every host that failed.
    async fn on_all(
        &self,
        commands: &FaultCommands,
        command: impl Fn(&HostCommands) -> Option<&RemoteCommand>,
    ) -> Result<Vec<RemoteOutput>, String> {
        let runs = commands.hosts.iter().filter_map(|host| {
            command(host).map(|command| self.remote.run_ok(&host.host, command))
        });
        all_or_errors(join_all(runs).await)
    }

    fn name(&self, party: Party) -> String {
        let NemesisSetting { servers, clients, .. } = &self.setting;
        Parties { servers, clients }.name(party)
    }
}

fn all_or_errors<T>(
    results: Vec<Result<T, locktest_cluster::RemoteError>>,
) -> Result<Vec<T>, String> {
    let mut values = Vec::with_capacity(results.len());
    let mut errors = Vec::new();
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) => errors.push(error.to_string()),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors.join("; ")) }
}

/// An undo, and what kept the journal from recording it.
struct Undone {
    fault: HealedFault,
    problem: Option<String>,
}

impl Undone {
    /// What was read back of each host, or what stands in the way, a sentence each.
    fn proof(&self) -> Vec<String> {
        let accounts = self.fault.hosts.iter().map(|host| &host.account);
        accounts.chain(&self.problem).cloned().collect()
    }

    fn took_effect(&self) -> Vec<TookEffect> {
        self.fault.hosts.iter().filter_map(|host| host.took_effect.clone()).collect()
    }
}
