//! The undo journal: what it takes to undo each fault, on disk before the fault is applied.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use locktest_cluster::SshTarget;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The journal or its index entry could not be read or written.
#[derive(Debug, Error)]
#[error("cannot {action} the undo journal's {path}: {error}")]
pub struct JournalError {
    pub(crate) action: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) error: io::Error,
}

impl JournalError {
    pub(crate) fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
        let path = path.to_owned();
        move |error| JournalError { action, path, error }
    }
}

/// Everything that undoing one fault needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// The fault, counted from 1 within the run.
    pub fault: u32,
    /// The run.
    pub run_id: String,
    /// The lab, if the nodes are a lab's: the fault cannot outlive it.
    pub lab_id: Option<String>,
    /// The hosts undo the fault themselves this long after their timers were armed.
    pub deadline_s: u64,
    /// Every host that the fault touches.
    pub hosts: Vec<HostUndo>,
}

/// How to undo a fault on one host. All scripts may run any number of times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostUndo {
    /// The host's name.
    pub host: String,
    /// How to reach it; `None` for the control node's own host.
    pub ssh: Option<SshTarget>,
    /// The name of the fault on the host, by which the answer of `check` is known.
    pub tag: String,
    /// Undoes the fault.
    pub undo: String,
    /// Reads back what is left of it.
    pub check: String,
    /// Ends the dead-man timer.
    pub disarm: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Line {
    Intent(Intent),
    Undone { fault: u32 },
}

/// What a journal's file holds.
#[derive(Debug, Default)]
pub struct JournalContent {
    /// The faults that were not undone, by id.
    pub open: BTreeMap<u32, Intent>,
    /// Lines that cannot be understood, by number and reason.
    pub damage: Vec<String>,
}

/// Reads a journal.
///
/// A last line without an end is torn: its writer was killed, or the disk was full, before the line
/// was on disk, and so before anything was sent to a host. It is left out without a word.
pub fn read_journal(path: &Path) -> io::Result<JournalContent> {
    let bytes = fs::read(path)?;
    let mut content = JournalContent::default();
    let whole = &bytes[..whole_length(&bytes)];
    for (index, line) in whole.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match serde_json::from_slice(line) {
            Ok(Line::Intent(intent)) => {
                content.open.insert(intent.fault, intent);
            }
            Ok(Line::Undone { fault }) => {
                content.open.remove(&fault);
            }
            Err(error) => content.damage.push(format!("line {}: {error}", index + 1)),
        }
    }
    Ok(content)
}

/// The length up to the end of the last whole line.
fn whole_length(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)
}

/// Appends to a journal; every line is on disk when the call returns.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens the journal at `path` for more lines, and creates it if it does not exist. A torn last
    /// line is cut off.
    pub fn open(path: &Path) -> Result<Journal, JournalError> {
        let open = || {
            let file = File::options().read(true).append(true).create(true).open(path)?;
            cut_torn_line(&file, path)?;
            file.sync_all()?;
            sync_folder(path)?;
            Ok(file)
        };
        let file = open().map_err(JournalError::at("open", path))?;
        Ok(Journal { path: path.to_owned(), file })
    }

    /// Records a fault that is about to be applied.
    pub fn intend(&mut self, intent: &Intent) -> Result<(), JournalError> {
        self.append(&Line::Intent(intent.clone()))
    }

    /// Records that a fault was read back as gone.
    pub fn undone(&mut self, fault: u32) -> Result<(), JournalError> {
        self.append(&Line::Undone { fault })
    }

    fn append(&mut self, line: &Line) -> Result<(), JournalError> {
        let mut write = || {
            let mut bytes = serde_json::to_vec(line)?;
            bytes.push(b'\n');
            // An earlier write may have failed half-way; glued to its rest, this line would be lost.
            cut_torn_line(&self.file, &self.path)?;
            self.file.write_all(&bytes)?;
            self.file.sync_data()
        };
        write().map_err(JournalError::at("write", &self.path))
    }
}

/// Cuts off what follows the last whole line of `file`, which is open at `path`.
fn cut_torn_line(file: &File, path: &Path) -> io::Result<()> {
    let mut last = [b'\n'];
    if let Some(offset) = file.metadata()?.len().checked_sub(1) {
        file.read_exact_at(&mut last, offset)?;
    }
    if last != [b'\n'] {
        file.set_len(whole_length(&fs::read(path)?) as u64)?;
    }
    Ok(())
}

/// Makes the creation, renaming or removal of `path` itself survive a crash.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::host::tests::endpoints;

    pub(crate) fn intent(fault: u32) -> Intent {
        Intent {
            fault,
            run_id: "r1".into(),
            lab_id: Some("l1".into()),
            deadline_s: 30,
            hosts: vec![HostUndo {
                host: "n1".into(),
                ssh: Some(endpoints(1).remove(0).ssh),
                tag: format!("LT-r1-{fault}"),
                undo: "undo\nit".into(),
                check: "check".into(),
                disarm: "disarm".into(),
            }],
        }
    }

    fn journal_with(lines: &[Line]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("faults.jsonl");
        let mut journal = Journal::open(&path).expect("a new journal");
        for line in lines {
            journal.append(line).expect("a line");
        }
        (folder, path)
    }

    fn open_faults(path: &Path) -> Vec<u32> {
        read_journal(path).expect("readable").open.into_keys().collect()
    }

    #[test]
    fn a_fault_is_open_from_its_intent_until_it_is_undone() {
        let (_folder, path) = journal_with(&[Line::Intent(intent(1)), Line::Intent(intent(2))]);
        assert_eq!(open_faults(&path), [1, 2]);
        Journal::open(&path).expect("open").undone(1).expect("a line");
        let content = read_journal(&path).expect("readable");
        assert_eq!(content.open, BTreeMap::from([(2, intent(2))]));
        assert!(content.damage.is_empty());
    }

    #[test]
    fn a_torn_last_line_is_tolerated_and_the_next_line_is_whole() {
        let (_folder, path) = journal_with(&[Line::Intent(intent(1)), Line::Intent(intent(2))]);
        let bytes = fs::read(&path).expect("read");
        fs::write(&path, &bytes[..bytes.len() - 9]).expect("write");
        let content = read_journal(&path).expect("readable");
        assert_eq!(content.open.into_keys().collect::<Vec<_>>(), [1]);
        assert!(content.damage.is_empty(), "{:?}", content.damage);
        Journal::open(&path).expect("open").intend(&intent(3)).expect("a line");
        assert_eq!(open_faults(&path), [1, 3]);
        assert!(read_journal(&path).expect("readable").damage.is_empty());
    }

    #[test]
    fn a_line_that_was_torn_while_the_journal_is_open_does_not_spoil_the_next() {
        let (_folder, path) = journal_with(&[Line::Intent(intent(1))]);
        let mut journal = Journal::open(&path).expect("open");
        let torn = File::options().append(true).open(&path).expect("open");
        (&torn).write_all(br#"{"intent":{"fault":2,"#).expect("written");
        journal.intend(&intent(3)).expect("a line");
        journal.undone(1).expect("a line");
        let content = read_journal(&path).expect("readable");
        assert_eq!(content.open, BTreeMap::from([(3, intent(3))]));
        assert!(content.damage.is_empty(), "{:?}", content.damage);
    }

    #[test]
    fn a_corrupt_line_is_named_and_the_others_still_count() {
        let (_folder, path) = journal_with(&[Line::Intent(intent(1)), Line::Intent(intent(2))]);
        let mut bytes = fs::read(&path).expect("read");
        bytes[3] = b'#';
        fs::write(&path, &bytes).expect("write");
        let content = read_journal(&path).expect("readable");
        assert_eq!(content.open.into_keys().collect::<Vec<_>>(), [2]);
        assert!(content.damage[0].starts_with("line 1: "), "{:?}", content.damage);
    }

    #[test]
    fn bytes_that_are_no_text_are_damage_and_not_a_panic() {
        let (_folder, path) = journal_with(&[]);
        fs::write(&path, b"\xff\xfe\n\n{}\n[1]\nnull\n").expect("write");
        assert_eq!(read_journal(&path).expect("readable").damage.len(), 5);
    }
}
