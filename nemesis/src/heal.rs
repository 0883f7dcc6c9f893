//! Heal: undo every fault that a run left behind, from its journal alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;
use locktest_cluster::{Remote, SshTarget};
use serde::Serialize;

use crate::clocks::Clocks;
use crate::journal::{Intent, Journal, JournalError, read_journal};
use crate::open_index::{OpenIndex, OpenRun};
use crate::undo::{HostUndone, undo_everywhere};

/// What became of one fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealedFault {
    /// The run.
    pub run_id: String,
    /// The fault, counted from 1 within the run.
    pub fault: u32,
    /// The lab that took the fault with it when it was taken down.
    pub lab_gone: Option<String>,
    /// The undo on each host; the nodes of a lab that is gone are not among them.
    pub hosts: Vec<HostUndone>,
}

impl HealedFault {
    /// Whether nothing of the fault is left.
    pub fn undone(&self) -> bool {
        self.hosts.iter().all(|host| host.gone)
    }
}

/// What became of the open faults of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealedRun {
    /// The run.
    pub run_id: String,
    /// Its journal, if the index names it.
    pub journal: Option<PathBuf>,
    /// The process that still runs it and will heal it itself; its faults were not touched.
    pub in_progress_pid: Option<u32>,
    /// The faults that were open.
    pub faults: Vec<HealedFault>,
    /// What could not be read or written, and what to do about it.
    pub problems: Vec<String>,
}

/// What heal did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HealReport {
    /// Every run with an open journal; empty if there was nothing to heal.
    pub runs: Vec<HealedRun>,
}

impl HealReport {
    /// Whether no fault is left behind, as far as anybody knows. A run in progress is not left
    /// behind.
    pub fn is_clean(&self) -> bool {
        self.runs
            .iter()
            .all(|run| run.problems.is_empty() && run.faults.iter().all(HealedFault::undone))
    }
}

/// Undoes every open fault of every run on this machine, or of the one that is named. It may be
/// called any number of times, and works from the journals alone.
///
/// A run whose process still lives is passed over unless it is named. `connect` reaches the nodes
/// of the run whose journal it is given, besides the control node; `lab_exists` tells whether a lab
/// still stands: a fault is gone with its lab.
pub async fn heal<R: Remote>(
    state_dir: &Path,
    run: Option<&str>,
    connect: impl Fn(&Path, &[SshTarget]) -> R,
    lab_exists: impl Fn(&str) -> bool,
) -> Result<HealReport, JournalError> {
    let index = OpenIndex::new(state_dir);
    let mut open = index.list()?;
    open.retain(|entry| run.is_none_or(|run| run == entry.run_id));
    let runs = open.into_iter().map(|entry| {
        let mut healed = HealedRun {
            run_id: entry.run_id,
            journal: None,
            in_progress_pid: None,
            faults: Vec::new(),
            problems: Vec::new(),
        };
        let (index, connect, lab_exists) = (&index, &connect, &lab_exists);
        async move {
            match entry.run {
                Err(reason) => healed.problems.push(format!(
                    "the index entry {} cannot be read: {reason}; find the run's faults.jsonl, \
                     undo what it lists, and remove the entry",
                    index.path_of(&healed.run_id).display()
                )),
                Ok(entry) if run.is_none() && entry.is_in_progress() => {
                    healed.journal = Some(entry.journal);
                    healed.in_progress_pid = Some(entry.control_pid);
                }
                Ok(entry) => {
                    healed.journal = Some(entry.journal.clone());
                    heal_run(index, &entry, connect, lab_exists, &mut healed).await;
                }
            }
            healed
        }
    });
    Ok(HealReport { runs: join_all(runs).await })
}

async fn heal_run<R: Remote>(
    index: &OpenIndex,
    entry: &OpenRun,
    connect: impl Fn(&Path, &[SshTarget]) -> R,
    lab_exists: impl Fn(&str) -> bool,
    healed: &mut HealedRun,
) {
    let path = &entry.journal;
    let content = match read_journal(path) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            healed.problems.push(format!(
                "the journal {} is gone, so nobody knows what to undo; the nodes' own timers do",
                path.display()
            ));
            healed.problems.extend(index.remove(&entry.run_id).err().map(|e| e.to_string()));
            return;
        }
        Err(error) => {
            healed.problems.push(format!("cannot read the journal {}: {error}", path.display()));
            return;
        }
    };
    healed.problems.extend(content.damage.iter().map(|damage| {
        format!(
            "the journal {} is damaged: {damage}; undo by hand what the line lists, and remove {}",
            path.display(),
            index.path_of(&entry.run_id).display()
        )
    }));
    let faults =
        content.open.values().map(|intent| heal_fault(path, intent, &connect, &lab_exists));
    healed.faults = join_all(faults).await;
    if let Err(error) = settle(index, entry, healed) {
        healed.problems.push(error.to_string());
    }
}

async fn heal_fault<R: Remote>(
    journal: &Path,
    intent: &Intent,
    connect: impl Fn(&Path, &[SshTarget]) -> R,
    lab_exists: impl Fn(&str) -> bool,
) -> HealedFault {
    let lab_gone = intent.lab_id.clone().filter(|lab| !lab_exists(lab));
    // The control node outlives its labs, and so does a timer on it.
    let mut left = intent.clone();
    left.hosts.retain(|host| lab_gone.is_none() || host.ssh.is_none());
    let targets: Vec<SshTarget> = left.hosts.iter().filter_map(|host| host.ssh.clone()).collect();
    // Nobody asks when it was undone.
    let clocks = Clocks::new(Arc::new(|| 0));
    let hosts = undo_everywhere(&connect(journal, &targets), &left, &clocks).await;
    HealedFault { run_id: intent.run_id.clone(), fault: intent.fault, lab_gone, hosts }
}

/// Records what is undone, and takes the run off the index if nothing is left to know.
fn settle(index: &OpenIndex, entry: &OpenRun, healed: &HealedRun) -> Result<(), JournalError> {
    let mut journal = Journal::open(&entry.journal)?;
    for fault in healed.faults.iter().filter(|fault| fault.undone()) {
        journal.undone(fault.fault)?;
    }
    // A run that goes on may have begun another fault meanwhile.
    let is_settled = read_journal(&entry.journal).is_ok_and(|content| content.open.is_empty());
    if healed.problems.is_empty() && is_settled {
        index.remove(&entry.run_id)?;
    }
    Ok(())
}
