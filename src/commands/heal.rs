//! `locktest heal`: undo what killed runs left behind, from their journals alone.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use locktest_cluster::{AuditLog, SshCluster};
use locktest_history::{Run, RunDir};
use locktest_lab::{LabDirs, preflight};
use locktest_nemesis::{HealReport, IndexEntry, OpenIndex, heal as heal_journals, read_journal};
use locktest_reports::as_json;
use locktest_workloads::clock::RunClock;

use crate::cli::HealArgs;
use crate::exit::{Exit, Failure};
use crate::terminal::Terminal;

/// Heals, and tells what was done.
pub fn heal(args: &HealArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let report = super::runtime()?.block_on(heal_open(args.run.as_deref()))?;
    let text = if args.json { as_json(&report) } else { in_words(&report) };
    terminal.print(&text).context("cannot print the report").map_err(Failure::set_up)?;
    Ok(if report.is_clean() { Exit::Ok } else { Exit::FaultLeft })
}

/// Undoes the open faults of one run, or of every run that was cut short.
pub async fn heal_open(run: Option<&str>) -> Result<HealReport, Failure> {
    let dirs = LabDirs::from_env();
    let open = OpenIndex::new(&dirs.state)
        .list()
        .context("cannot read the index of open journals")
        .map_err(Failure::set_up)?;
    if open.is_empty() {
        return Ok(HealReport::default());
    }
    if open.iter().any(needs_ssh) {
        preflight().map_err(Failure::set_up)?;
    }
    // The connections' sockets go with this folder.
    let sockets = tempfile::Builder::new()
        .prefix("locktest-heal-")
        .tempdir()
        .context("cannot make a folder for the ssh connections")
        .map_err(Failure::set_up)?;
    let connect = |journal: &Path, targets: &[_]| {
        SshCluster::new(targets, sockets.path(), audit_of(journal).unwrap_or_else(AuditLog::none))
    };
    // Whoever cannot tell has to try the nodes.
    let lab_exists = |id: &str| locktest_lab::exists(&dirs, id).unwrap_or(true);
    heal_journals(&dirs.state, run, connect, lab_exists)
        .await
        .context("cannot read the journals of open faults")
        .map_err(Failure::set_up)
}

/// Whether faults were left behind on nodes, or it is not known where.
fn needs_ssh(entry: &IndexEntry) -> bool {
    let journal = entry.run.as_ref().ok().and_then(|run| read_journal(&run.journal).ok());
    journal.is_none_or(|journal| {
        let mut hosts = journal.open.values().flat_map(|intent| &intent.hosts);
        hosts.any(|host| host.ssh.is_some())
    })
}

/// The audit log of the run to which a journal belongs, if its directory can still be written.
fn audit_of(journal: &Path) -> Option<AuditLog> {
    let run_dir = RunDir::open(journal.parent()?).ok()?;
    let run: Run = serde_json::from_slice(&std::fs::read(run_dir.run()).ok()?).ok()?;
    let clock = RunClock::from_origin(run.origin_monotonic_ns);
    AuditLog::open(&run_dir.audit_log(), Arc::new(move || clock.now_ns())).ok()
}

fn in_words(report: &HealReport) -> String {
    if report.runs.is_empty() {
        return "nothing to heal: no run left a fault behind\n".into();
    }
    let mut text = String::new();
    for run in &report.runs {
        if let Some(pid) = run.in_progress_pid {
            text += &format!(
                "run {}: in progress (pid {pid}); it heals its own faults; to heal it now: locktest heal --run {}\n",
                run.run_id, run.run_id
            );
        }
        for fault in &run.faults {
            let state = match (&fault.lab_gone, fault.undone()) {
                (Some(lab), _) => format!("gone with lab {lab}"),
                (None, true) => "undone".into(),
                (None, false) => "STILL IN FORCE".into(),
            };
            text += &format!("run {}: fault {}: {state}\n", run.run_id, fault.fault);
            for host in &fault.hosts {
                text += &format!("  {}\n", host.account);
                if let Some(by_hand) = &host.by_hand {
                    text += &format!("  to undo it by hand:\n{by_hand}\n");
                }
            }
        }
        for problem in &run.problems {
            text += &format!("run {}: {problem}\n", run.run_id);
        }
        if run.in_progress_pid.is_none() && run.faults.is_empty() && run.problems.is_empty() {
            text += &format!("run {}: nothing was in force\n", run.run_id);
        }
    }
    text
}
