//! Which journals on this machine have open faults, wherever their run directories are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use locktest_history::write_atomically;
use serde::{Deserialize, Serialize};

use crate::journal::{JournalError, sync_folder};

/// One run that may have left a fault behind: the content of `open-journals/RUN.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRun {
    /// The run's id.
    pub run_id: String,
    /// Its undo journal, an absolute path.
    pub journal: PathBuf,
    /// The process that runs it.
    pub control_pid: u32,
    /// When that process started, in clock ticks since boot: a later process may get its id.
    pub control_start_ticks: u64,
}

impl OpenRun {
    /// The entry of a run of this very process.
    pub fn of_this_process(run_id: &str, journal: &Path) -> io::Result<OpenRun> {
        let control_pid = std::process::id();
        Ok(OpenRun {
            run_id: run_id.to_owned(),
            journal: std::path::absolute(journal)?,
            control_pid,
            control_start_ticks: start_ticks(control_pid)
                .ok_or_else(|| io::Error::other("/proc does not tell when this process started"))?,
        })
    }

    /// Whether the process that runs it is still there.
    pub fn is_in_progress(&self) -> bool {
        start_ticks(self.control_pid) == Some(self.control_start_ticks)
    }
}

/// When a process started, in clock ticks since boot; `None` if it is gone, or dead and not reaped.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// A file of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The run's id, as the file's name has it.
    pub run_id: String,
    /// The content, or why it cannot be understood.
    pub run: Result<OpenRun, String>,
}

/// The index below a state directory.
#[derive(Clone, Debug)]
pub struct OpenIndex {
    folder: PathBuf,
}

impl OpenIndex {
    /// The index of a state directory, which need not exist.
    pub fn new(state_dir: &Path) -> OpenIndex {
        OpenIndex { folder: state_dir.join("open-journals") }
    }

    /// Where the entry of a run is, if it has one.
    pub fn path_of(&self, run_id: &str) -> PathBuf {
        self.folder.join(format!("{run_id}.json"))
    }

    /// Adds or replaces an entry; it is on disk when the call returns.
    pub fn add(&self, run: &OpenRun) -> Result<(), JournalError> {
        let path = self.path_of(&run.run_id);
        let add = || {
            fs::create_dir_all(&self.folder)?;
            write_atomically(&path, &serde_json::to_vec(run)?)?;
            sync_folder(&path)
        };
        add().map_err(JournalError::at("add the index entry", &path))
    }

    /// Removes an entry, if it is there.
    pub fn remove(&self, run_id: &str) -> Result<(), JournalError> {
        let path = self.path_of(run_id);
        let remove = || match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => sync_folder(&path),
        };
        remove().map_err(JournalError::at("remove the index entry", &path))
    }

    /// Every entry, in the order of the run ids.
    pub fn list(&self) -> Result<Vec<IndexEntry>, JournalError> {
        let list = || {
            let entries = match fs::read_dir(&self.folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                other => other?,
            };
            let mut runs = Vec::new();
            for entry in entries {
                let path = entry?.path();
                if path.extension().is_none_or(|extension| extension != "json") {
                    continue;
                }
                let run_id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let run = fs::read(&path)
                    .map_err(|error| error.to_string())
                    .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|e| e.to_string()));
                runs.push(IndexEntry { run_id, run });
            }
            runs.sort_by(|a: &IndexEntry, b| a.run_id.cmp(&b.run_id));
            Ok(runs)
        };
        list().map_err(JournalError::at("read the index", &self.folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_listed_until_it_is_removed() {
        let state = tempfile::tempdir().expect("a temporary folder");
        let index = OpenIndex::new(&state.path().join("not-there-yet"));
        assert!(index.list().expect("an empty index").is_empty());
        let run = OpenRun::of_this_process("r1", Path::new("faults.jsonl")).expect("an entry");
        assert!(run.journal.is_absolute());
        index.add(&run).expect("added");
        index.add(&run).expect("added again");
        assert_eq!(
            index.list().expect("readable"),
            [IndexEntry { run_id: "r1".into(), run: Ok(run) }]
        );
        index.remove("r1").expect("removed");
        index.remove("r1").expect("removed again");
        assert!(index.list().expect("readable").is_empty());
    }

    #[test]
    fn a_damaged_entry_is_listed_with_its_reason() {
        let state = tempfile::tempdir().expect("a temporary folder");
        let index = OpenIndex::new(state.path());
        fs::create_dir_all(&index.folder).expect("a folder");
        fs::write(index.path_of("r2"), b"{").expect("written");
        let entries = index.list().expect("readable");
        assert_eq!(entries[0].run_id, "r2");
        assert!(entries[0].run.is_err());
    }

    #[test]
    fn a_run_is_in_progress_only_while_its_own_process_lives() {
        let mut run = OpenRun::of_this_process("r1", Path::new("j")).expect("an entry");
        assert!(run.is_in_progress());
        run.control_start_ticks += 1;
        assert!(!run.is_in_progress(), "a later process with the same id");
    }

    #[test]
    fn a_killed_process_that_nobody_reaped_is_not_in_progress() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a child");
        let run = OpenRun {
            run_id: "r1".into(),
            journal: "j".into(),
            control_pid: child.id(),
            control_start_ticks: start_ticks(child.id()).expect("a living child"),
        };
        assert!(run.is_in_progress());
        child.kill().expect("killed");
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while run.is_in_progress() {
            assert!(std::time::Instant::now() < limit, "a killed child counts as alive");
            std::thread::yield_now();
        }
        child.wait().expect("reaped");
    }
}
