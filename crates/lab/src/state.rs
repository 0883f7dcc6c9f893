//! What is on disk about a standing lab.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::LabError;
use crate::error::io_at;
use crate::layout::Layout;
use crate::process::ProcessIdentity;

/// The version of the state file that this build writes and reads.
const STATE_VERSION: u32 = 1;

/// The state file of a lab. Names and paths follow from the layout.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabState {
    version: u32,
    pub layout: Layout,
    pub created_at_unix_s: u64,
    /// The control process that made the lab.
    pub maker: Option<ProcessIdentity>,
    /// The outermost process of each server node, in order; empty while the lab is being made.
    pub nodes: Vec<ProcessIdentity>,
}

impl LabState {
    /// A lab that this process is about to make.
    pub fn new(layout: Layout) -> LabState {
        LabState {
            version: STATE_VERSION,
            layout,
            created_at_unix_s: now_unix_s(),
            maker: ProcessIdentity::of(std::process::id()),
            nodes: Vec::new(),
        }
    }

    /// Reads a state file; `None` if there is none.
    pub fn read(path: &Path) -> Result<Option<LabState>, LabError> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(io_at("read", path))?,
        };
        let bad = |reason: String| LabError::BadState { path: path.to_owned(), reason };
        let state: LabState =
            serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
        if state.version != STATE_VERSION {
            return Err(bad(format!("its version is {}", state.version)));
        }
        if !state.layout.fits() {
            return Err(bad("it has more hosts than addresses".to_owned()));
        }
        Ok(Some(state))
    }

    /// Writes it so that a reader sees the old content or the new, never a half.
    pub fn write(&self, path: &Path) -> Result<(), LabError> {
        let json = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        let fresh = path.with_extension("new");
        json.and_then(|json| fs::write(&fresh, json))
            .and_then(|()| fs::rename(&fresh, path))
            .map_err(io_at("write", path))
    }

    pub fn age_s(&self) -> u64 {
        now_unix_s().saturating_sub(self.created_at_unix_s)
    }
}

fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Subnet;
    use crate::spec::LabId;

    fn state() -> LabState {
        let id = LabId::parse("ab12").unwrap();
        let layout = Layout { id, subnet: Subnet::FIRST_CANDIDATE, servers: 3, clients: 2 };
        LabState::new(layout)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lab.json");
        assert!(LabState::read(&path).unwrap().is_none());
        let written = state();
        written.write(&path).unwrap();
        let read = LabState::read(&path).unwrap().unwrap();
        assert_eq!(read.maker, ProcessIdentity::of(std::process::id()));
        assert_eq!(serde_json::to_value(read).unwrap(), serde_json::to_value(written).unwrap());
    }

    #[test]
    fn damage_of_any_kind_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lab.json");
        let good = serde_json::to_string(&state()).unwrap();
        for (from, to) in [
            ("{", ""),
            ("\"version\":1", "\"version\":2"),
            ("\"clients\":2", "\"clients\":255"),
            ("\"servers\":3", "\"servers\":0"),
            ("ab12", "../x"),
            ("10.213.0.0/24", "0.0.0.0/0"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            fs::write(&path, bad).unwrap();
            let error = LabState::read(&path).unwrap_err();
            assert!(matches!(&error, LabError::BadState { path: named, .. } if *named == path));
        }
    }
}
