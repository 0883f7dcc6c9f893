//! Whose a lab is, and whether somebody uses it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use crate::layout::LabPaths;
use crate::lock::LockFile;
use crate::spec::LabId;
use crate::state::LabState;
use crate::{LabDirs, LabError, network};

/// The running locktest that uses a lab: the one that claimed it, else the one that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LabUser {
    /// Its process id, if that is known.
    pub pid: Option<i32>,
}

impl fmt::Display for LabUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a running locktest")?;
        match self.pid {
            Some(pid) => write!(f, " (pid {pid})"),
            None => Ok(()),
        }
    }
}

/// Who uses the lab, if anybody does; `state` is its state file, if that can be read.
pub(crate) fn user(
    paths: &LabPaths,
    state: Option<&LabState>,
) -> Result<Option<LabUser>, LabError> {
    if let Some(holder) = LockFile::holder(&paths.claim())? {
        return Ok(Some(LabUser { pid: holder.pid }));
    }
    let maker = state.and_then(|state| state.maker).filter(|maker| maker.is_alive());
    Ok(maker.map(|maker| LabUser { pid: Some(maker.pid()) }))
}

/// The other state directory that the lab in the kernel belongs to. `None` if the lab is ours, or
/// if nothing tells whose it is, or if the directory that is named no longer has it.
pub(crate) fn other_state_dir(dirs: &LabDirs, id: &LabId) -> Option<PathBuf> {
    let other = network::recorded_state_dir(id)?;
    let there = LabDirs { state: other.clone(), ..dirs.clone() };
    match there.lab(id).root().canonicalize() {
        Ok(root) if dirs.lab(id).root().canonicalize().is_ok_and(|ours| ours == root) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        // What we may not look at is not known to be gone.
        Ok(_) | Err(_) => Some(other),
    }
}
