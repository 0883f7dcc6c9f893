//! Removing labs, whole, half-made or forgotten.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::io_at;
use crate::network::Namespace;
use crate::process::{self, ProcessIdentity};
use crate::spec::LabId;
use crate::state::LabState;
use crate::{LabDirs, LabError, network, ssh};

/// Killed processes are gone within milliseconds, unless the disk holds one up.
const PROCESS_END_LIMIT: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(2);

/// Removes every lab of this machine and returns their ids: those in the state directory, and
/// those that only have namespaces because their state is gone or in another directory.
pub async fn down_all(dirs: &LabDirs) -> Result<Vec<String>, LabError> {
    let mut removed = Vec::new();
    let mut failure = None;
    for id in ids(dirs)? {
        match remove(dirs, &id).await {
            Ok(true) => removed.push(id.to_string()),
            Ok(false) => {}
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(removed),
    }
}

/// Removes one lab; false if nothing of it was there.
pub async fn down_id(dirs: &LabDirs, id: &str) -> Result<bool, LabError> {
    remove(dirs, &LabId::parse(id)?).await
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
