//! The run directory: one run, complete and readable at any instant.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use crate::{History, HistoryError, HistoryWriter, Run, read_history};

/// Why a run directory could not be used. Every variant names the path.
#[derive(Debug, Error)]
pub enum RunDirError {
    /// A file or folder could not be read or written.
    #[error("{path}: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// The history could not be read or written.
    #[error("{path}: {error}")]
    History {
        /// Where.
        path: PathBuf,
        /// Why.
        error: HistoryError,
    },
}

/// `STORE/<time>-<backend>-<nemesis>-<seed>/`, with the names of everything inside it.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Creates a new directory under `store`.
    ///
    /// A name that is taken gets a number after it, so that runs that start within one second do
    /// not share a directory.
    pub fn create(store: &Path, name: &str) -> Result<RunDir, RunDirError> {
        if store.exists() && !store.is_dir() {
            return Err(io_at(store)(io::Error::other("it is not a folder")));
        }
        fs::create_dir_all(store).map_err(io_at(store))?;
        let store = store.canonicalize().map_err(io_at(store))?;
        let mut path = store.join(name);
        let mut number = 2;
        while let Err(error) = fs::create_dir(&path) {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(io_at(&path)(error));
            }
            path = store.join(format!("{name}-{number}"));
            number += 1;
        }
        let run_dir = RunDir { path };
        fs::create_dir(run_dir.logs()).map_err(io_at(&run_dir.logs()))?;
        Ok(run_dir)
    }

    /// An existing run directory.
    pub fn open(path: &Path) -> Result<RunDir, RunDirError> {
        let run_dir = RunDir { path: path.canonicalize().map_err(io_at(path))? };
        let history = run_dir.history();
        fs::metadata(&history).map_err(io_at(&history))?;
        Ok(run_dir)
    }

    /// The directory itself, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The plan as people read it; the history's header holds the same.
    pub fn plan(&self) -> PathBuf {
        self.path.join("plan.json")
    }

    /// What distinguishes this run from another of the same plan.
    pub fn run(&self) -> PathBuf {
        self.path.join("run.json")
    }

    /// The history file.
    pub fn history(&self) -> PathBuf {
        self.path.join("history")
    }

    /// The undo journal of the faults.
    pub fn fault_journal(&self) -> PathBuf {
        self.path.join("faults.jsonl")
    }

    /// The faults that ran, with every choice resolved.
    pub fn schedule(&self) -> PathBuf {
        self.path.join("schedule.json")
    }

    /// Every remote command with its begin and end.
    pub fn audit_log(&self) -> PathBuf {
        self.path.join("audit.jsonl")
    }

    /// The folder of the servers' and clients' logs.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// The verdict for machines.
    pub fn verdict(&self) -> PathBuf {
        self.path.join("verdict.json")
    }

    /// The verdict for people.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// The verdict as a JUnit report, for CI servers.
    pub fn junit(&self) -> PathBuf {
        self.path.join("junit.xml")
    }

    /// The verdict in Markdown, for the summary of a CI job.
    pub fn summary(&self) -> PathBuf {
        self.path.join("summary.md")
    }

    /// Writes plan.json and run.json, starts the history, and points the store's `latest` here: a
    /// run that never began does not hide the one before it.
    pub fn begin(&self, run: &Run) -> Result<HistoryWriter, RunDirError> {
        self.write_json(&self.plan(), &run.plan)?;
        self.write_json(&self.run(), run)?;
        let path = self.history();
        let writer = HistoryWriter::create(&path, run)
            .map_err(|error| RunDirError::History { path, error })?;
        self.become_latest()?;
        Ok(writer)
    }

    fn become_latest(&self) -> Result<(), RunDirError> {
        let latest = self.path.with_file_name("latest");
        let fresh = self.path.with_file_name(format!(".latest-{}", std::process::id()));
        let target = self.path.file_name().unwrap_or_default();
        // A rename replaces the link in one step; a reader never finds it missing.
        let _ = fs::remove_file(&fresh);
        std::os::unix::fs::symlink(target, &fresh).map_err(io_at(&fresh))?;
        fs::rename(&fresh, &latest).map_err(io_at(&latest))
    }

    /// Reads what is readable of the history.
    pub fn read_history(&self) -> Result<History, RunDirError> {
        let path = self.history();
        read_history(&path).map_err(|error| RunDirError::History { path, error })
    }

    /// Writes `value` as indented JSON; a reader sees the old file or the new one, never a half.
    pub fn write_json<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), RunDirError> {
        let mut bytes = serde_json::to_vec_pretty(value)
            .map_err(|error| RunDirError::Io { path: path.to_owned(), error: error.into() })?;
        bytes.push(b'\n');
        write_atomically(path, &bytes).map_err(io_at(path))
    }
}

/// Writes a file so that a crash leaves the old content or the new, never a half.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let fresh = path.with_file_name(name);
    let written = fs::File::create(&fresh)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> RunDirError {
    let path = path.to_owned();
    move |error| RunDirError::Io { path, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_of_one_second_get_two_directories() {
        let store = tempfile::tempdir().expect("a temporary directory");
        let first = RunDir::create(store.path(), "t-sim-none-1").expect("first");
        let second = RunDir::create(store.path(), "t-sim-none-1").expect("second");
        assert_ne!(first.path(), second.path());
    }

    #[test]
    fn latest_is_the_run_that_began_last_and_not_one_that_never_began() {
        let store = tempfile::tempdir().expect("a temporary directory");
        let latest = || store.path().join("latest").canonicalize().expect("a link");
        let run = crate::plan::tests::run_for_tests();
        for name in ["first", "second"] {
            let began = RunDir::create(store.path(), name).expect(name);
            began.begin(&run).expect("a history");
            assert_eq!(latest(), began.path());
        }
        let never_began = RunDir::create(store.path(), "third").expect("third");
        assert_ne!(latest(), never_began.path());
    }

    #[test]
    fn a_store_that_is_a_file_is_refused_by_its_path() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("write");
        let error = RunDir::create(&file, "run").expect_err("a file").to_string();
        assert!(error.contains("file: it is not a folder"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_replaced_stays_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("report.html");
        fs::create_dir_all(path.join("in-the-way")).expect("a folder");
        write_atomically(&path, b"new").expect_err("a folder is no file");
        let names = fs::read_dir(folder.path()).expect("a folder").flatten();
        assert_eq!(names.map(|entry| entry.file_name()).collect::<Vec<_>>(), ["report.html"]);
        assert!(path.join("in-the-way").exists());
    }

    #[test]
    fn a_folder_without_a_history_is_not_a_run_directory() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let error = RunDir::open(folder.path()).expect_err("no history");
        assert!(error.to_string().contains("history"), "{error}");
    }
}
