//! Where labs and packages live on this machine.

use std::path::{Path, PathBuf};

use crate::LabError;
use crate::error::io_at;
use crate::layout::{LabPaths, NODE_BASE};
use crate::spec::LabId;

/// The two directories that outlive a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabDirs {
    /// The state of the standing labs, each in `labs/ID` below it.
    pub state: PathBuf,
    /// The packages fetched so far; nodes see it, read-only, as `NODE_BASE/packages`.
    pub package_cache: PathBuf,
}

impl LabDirs {
    /// `LOCKTEST_STATE_DIR` (default `/var/lib/locktest`) and `LOCKTEST_CACHE_DIR` (default
    /// `/var/cache/locktest`).
    pub fn from_env() -> LabDirs {
        let dir = |variable, default: &str| match std::env::var_os(variable) {
            Some(value) if !value.is_empty() => PathBuf::from(value),
            _ => PathBuf::from(default),
        };
        LabDirs {
            state: dir("LOCKTEST_STATE_DIR", "/var/lib/locktest"),
            package_cache: dir("LOCKTEST_CACHE_DIR", "/var/cache/locktest"),
        }
    }

    /// Where the files of one lab are.
    pub(crate) fn lab(&self, id: &LabId) -> LabPaths {
        LabPaths::new(&self.labs(), id)
    }

    /// The directory that holds one directory for each lab.
    pub(crate) fn labs(&self) -> PathBuf {
        self.absolute_state().join("labs")
    }

    /// The state directory by an absolute path, since ssh and the nodes have working directories
    /// of their own.
    pub(crate) fn absolute_state(&self) -> PathBuf {
        std::path::absolute(&self.state).unwrap_or_else(|_| self.state.clone())
    }

    /// Creates both directories and makes their paths absolute and free of links.
    pub(crate) fn create(&self) -> Result<LabDirs, LabError> {
        Ok(LabDirs {
            state: create_outside_nodes(&self.state)?,
            package_cache: create_outside_nodes(&self.package_cache)?,
        })
    }
}

/// A node mounts a file system of its own over the parent of its base before it binds these
/// directories, so they must not be below it.
fn create_outside_nodes(dir: &Path) -> Result<PathBuf, LabError> {
    std::fs::create_dir_all(dir).map_err(io_at("create", dir))?;
    let dir = dir.canonicalize().map_err(io_at("resolve", dir))?;
    match Path::new(NODE_BASE).parent() {
        Some(hidden) if dir.starts_with(hidden) => {
            Err(LabError::HiddenDirectory { dir, hidden: hidden.to_owned() })
        }
        _ => Ok(dir),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_nodes_cannot_see_is_refused() {
        let hidden = Path::new(NODE_BASE).parent().unwrap();
        let error = create_outside_nodes(hidden).unwrap_err();
        assert!(matches!(error, LabError::HiddenDirectory { .. }), "{error}");
    }
}
