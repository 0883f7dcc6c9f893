//! Removing labs, whole, half-made or forgotten.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::error::io_at;
use crate::network::Namespace;
use crate::ownership::{other_state_dir, user};
use crate::process::{self, ProcessIdentity};
use crate::spec::LabId;
use crate::state::LabState;
use crate::{LabDirs, LabError, network, ssh};

/// Killed processes are gone within milliseconds, unless the disk holds one up.
const PROCESS_END_LIMIT: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(2);

/// What [`down_all`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RemovedLabs {
    /// The ids of the labs that it removed.
    pub removed: Vec<String>,
    /// The labs that it left alone.
    pub skipped: Vec<SkippedLab>,
}

/// A lab that [`down_all`] left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedLab {
    /// Its id.
    pub id: String,
    /// Why, in words that follow the id.
    pub reason: String,
}

/// Removes the labs of this state directory that nobody uses, and what is left of labs that no
/// state directory has any more. If one cannot be removed, the others are removed all the same.
pub async fn down_all(dirs: &LabDirs) -> Result<RemovedLabs, LabError> {
    let _lock = network::lock().await?;
    let mut labs = RemovedLabs::default();
    let mut failure = None;
    for id in ids(dirs)? {
        let result = match reason_to_keep(dirs, &id) {
            Ok(Some(reason)) => {
                labs.skipped.push(SkippedLab { id: id.to_string(), reason });
                continue;
            }
            Ok(None) => remove(dirs, &id).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(true) => labs.removed.push(id.to_string()),
            Ok(false) => {}
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(labs),
    }
}

fn reason_to_keep(dirs: &LabDirs, id: &LabId) -> Result<Option<String>, LabError> {
    if let Some(other) = other_state_dir(dirs, id) {
        return Ok(Some(format!(
            "belongs to the state directory {0}; remove it with LOCKTEST_STATE_DIR={0}",
            other.display()
        )));
    }
    let paths = dirs.lab(id);
    let state = LabState::read(&paths.state()).ok().flatten();
    Ok(user(&paths, state.as_ref())?.map(|user| format!("in use by {user}")))
}

/// Removes one lab, even if it is in use; false if nothing of it was there. Refuses one that
/// belongs to another state directory.
pub async fn down_id(dirs: &LabDirs, id: &str) -> Result<bool, LabError> {
    let id = LabId::parse(id)?;
    match other_state_dir(dirs, &id) {
        Some(state_dir) => Err(LabError::OtherStateDir { id: id.to_string(), state_dir }),
        None => remove(dirs, &id).await,
    }
}

/// The ids of all labs of which anything is there.
pub(crate) fn ids(dirs: &LabDirs) -> Result<BTreeSet<LabId>, LabError> {
    let mut ids: BTreeSet<LabId> =
        network::namespaces()?.into_iter().map(|namespace| namespace.lab).collect();
    let labs = dirs.labs();
    match fs::read_dir(&labs) {
        Ok(entries) => {
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            ids.extend(names.filter_map(|name| LabId::parse(&name).ok()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_at("list", &labs)(error)),
    }
    Ok(ids)
}

/// Removes whatever there is of a lab; false if there was nothing. The directory goes last, so
/// that a removal that is cut short can be taken up again.
pub(crate) async fn remove(dirs: &LabDirs, id: &LabId) -> Result<bool, LabError> {
    let paths = dirs.lab(id);
    let namespaces = network::namespaces_of(id)?;
    if !paths.root().exists() && namespaces.is_empty() {
        return Ok(false);
    }
    ssh::close_masters(&paths.ssh_control()).await;
    // Without a readable state file, the processes are still found by their namespaces.
    let state = LabState::read(&paths.state()).ok().flatten();
    let recorded = state.map(|state| state.nodes).unwrap_or_default();
    end_processes(id, &recorded, &namespaces).await?;
    network::remove(id, &namespaces).await;
    let left = network::namespaces_of(id)?;
    if network::link_exists(id) || !left.is_empty() {
        let what = "its link or a namespace is still there".to_owned();
        return Err(LabError::Remains { id: id.to_string(), what });
    }
    remove_directory(paths.root())?;
    Ok(true)
}

/// Kills the recorded processes and everything in the namespaces until none is left.
async fn end_processes(
    id: &LabId,
    recorded: &[ProcessIdentity],
    namespaces: &[Namespace],
) -> Result<(), LabError> {
    let deadline = Instant::now() + PROCESS_END_LIMIT;
    loop {
        let mut running = process::in_namespaces(namespaces.iter().map(|ns| ns.path.as_path()));
        running.extend(recorded.iter().filter(|process| process.is_alive()));
        if running.is_empty() {
            return Ok(());
        }
        let pids: Vec<String> = running.iter().map(|process| process.pid().to_string()).collect();
        let what = format!("processes {} are still there", pids.join(" "));
        if Instant::now() >= deadline {
            return Err(LabError::Remains { id: id.to_string(), what });
        }
        for process in running {
            let refused = |errno| LabError::Remains {
                id: id.to_string(),
                what: format!("process {} cannot be killed: {errno}", process.pid()),
            };
            process.kill().map_err(refused)?;
        }
        sleep(POLL).await;
    }
}

fn remove_directory(dir: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(io_at("remove", dir)),
    }
}
