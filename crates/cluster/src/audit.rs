//! The audit log: every remote command, a line at its begin and a line at its end.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::remote::{RemoteCommand, RemoteError, RemoteOutput};

/// Tells the run's time in nanoseconds.
pub type NowNs = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Appends to `audit.jsonl`. A begin is written before the command is sent, so that a run that was
/// killed shows what it was doing.
#[derive(Clone)]
pub struct AuditLog {
    sink: Option<Arc<Sink>>,
}

struct Sink {
    file: Mutex<File>,
    now_ns: NowNs,
    next: AtomicU64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
enum Line<'a> {
    Begin { command: u64, time_ns: u64, node: &'a str, purpose: &'a str, script: &'a str },
    End { command: u64, time_ns: u64, status: Option<i32>, error: Option<String> },
}

/// A command that was sent, as the audit log has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SentCommand {
    /// To whom.
    pub node: String,
    /// What for.
    pub purpose: String,
    /// The script.
    pub script: String,
}

/// The commands of an audit log, in the order in which they were sent. Lines that tell of no begin, or
/// that a dying control node cut off, are passed over.
pub fn read_audit_log(path: &Path) -> io::Result<impl Iterator<Item = SentCommand> + use<>> {
    let lines = BufReader::new(File::open(path)?).split(b'\n');
    Ok(lines.map_while(Result::ok).filter_map(|line| serde_json::from_slice(&line).ok()))
}

impl AuditLog {
    /// Appends to the file at `path`, which is created if it does not exist. Numbers go on from
    /// what another process wrote.
    pub fn open(path: &Path, now_ns: NowNs) -> io::Result<AuditLog> {
        let file = File::options().append(true).create(true).open(path)?;
        let lines = std::fs::read(path)?.iter().filter(|byte| **byte == b'\n').count();
        let sink = Sink { file: Mutex::new(file), now_ns, next: AtomicU64::new(lines as u64 + 1) };
        Ok(AuditLog { sink: Some(Arc::new(sink)) })
    }

    /// Keeps nothing: for commands outside a run.
    pub fn none() -> AuditLog {
        AuditLog { sink: None }
    }

    pub(crate) fn begin(&self, node: &str, command: &RemoteCommand) -> u64 {
        let Some(sink) = &self.sink else { return 0 };
        let number = sink.next.fetch_add(1, Ordering::Relaxed);
        sink.write(&Line::Begin {
            command: number,
            time_ns: (sink.now_ns)(),
            node,
            purpose: &command.purpose,
            script: &command.script,
        });
        number
    }

    pub(crate) fn end(&self, number: u64, result: &Result<RemoteOutput, RemoteError>) {
        match result {
            Ok(output) => self.write_end(number, Some(output.status), None),
            Err(error) => self.write_end(number, None, Some(error.to_string())),
        }
    }

    /// The begin of a command that goes on until it is dropped, and so is its entry.
    pub(crate) fn begin_stream(&self, node: &str, command: &RemoteCommand) -> OpenEntry {
        OpenEntry { number: self.begin(node, command), audit: self.clone(), error: None }
    }

    fn write_end(&self, number: u64, status: Option<i32>, error: Option<String>) {
        let Some(sink) = &self.sink else { return };
        sink.write(&Line::End { command: number, time_ns: (sink.now_ns)(), status, error });
    }
}

/// A command whose end is written when this is dropped.
pub(crate) struct OpenEntry {
    audit: AuditLog,
    number: u64,
    error: Option<String>,
}

impl OpenEntry {
    /// Ends it by an error, which is handed back.
    pub(crate) fn fail(mut self, error: RemoteError) -> RemoteError {
        self.error = Some(error.to_string());
        error
    }
}

impl Drop for OpenEntry {
    fn drop(&mut self) {
        self.audit.write_end(self.number, None, self.error.take());
    }
}

impl Sink {
    fn write(&self, line: &Line<'_>) {
        let Ok(mut bytes) = serde_json::to_vec(line) else { return };
        bytes.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // A full disk must not keep a heal from running; the loss shows as a gap in the numbers.
        let _ = file.write_all(&bytes);
    }
}
