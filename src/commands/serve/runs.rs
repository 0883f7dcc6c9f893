//! The runs of a store, looked at anew for whoever asks, but not more often than a second.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use locktest_analyzer::Verdict;
use locktest_history::{Function, HistoryReader, Milestone, Phase, Record, RunDir};
use locktest_reports::{RunState, StoreRun};

/// What was seen this recently is not looked at again.
const FRESH: Duration = Duration::from_secs(1);

/// A history that has grown this recently is that of a run that goes on.
const GROWING: Duration = Duration::from_secs(15);

/// The acquires of a larger history are not counted while it grows.
const COUNTED_BYTES: u64 = 16 * 1024 * 1024;

/// The files of a run that are shown, each with its type.
const FILES: [(&str, &str); 11] = [
    ("report.html", "text/html; charset=utf-8"),
    ("history", "application/octet-stream"),
    ("verdict.json", "application/json"),
    ("plan.json", "application/json"),
    ("run.json", "application/json"),
    ("schedule.json", "application/json"),
    ("junit.xml", "application/xml"),
    ("summary.md", "text/plain; charset=utf-8"),
    ("audit.jsonl", "text/plain; charset=utf-8"),
    ("faults.jsonl", "text/plain; charset=utf-8"),
    ("watch.json", "application/json"),
];

/// The folder of runs.
pub struct Runs {
    folder: PathBuf,
    seen: Mutex<Option<(Instant, Arc<Vec<StoreRun>>)>>,
}

impl Runs {
    pub fn new(folder: PathBuf) -> Runs {
        Runs { folder, seen: Mutex::default() }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All of them.
    ///
    /// # Errors
    /// The folder itself cannot be read.
    pub fn all(&self) -> Result<Arc<Vec<StoreRun>>> {
        // Whoever asks meanwhile waits for the one look, so that many readers cost no more than one.
        let mut seen = self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((when, runs)) = &*seen
            && when.elapsed() < FRESH
        {
            return Ok(runs.clone());
        }
        let runs = names(&self.folder)?.into_iter().map(|name| look(&self.folder, name));
        let runs = Arc::new(runs.collect::<Vec<_>>());
        *seen = Some((Instant::now(), runs.clone()));
        Ok(runs)
    }

    /// A file of a run, with its type. Both names come from outside: they are compared with what is
    /// there, and no path is made of them.
    pub fn file(&self, run: &[u8], file: &[&str]) -> Option<(PathBuf, &'static str)> {
        use std::os::unix::ffi::OsStrExt;
        let name = names(&self.folder).ok()?.into_iter().find(|name| name.as_bytes() == run)?;
        let run_dir = self.folder.join(name);
        match file {
            [name] => {
                let (name, kind) = FILES.iter().find(|(known, _)| known == name)?;
                Some((run_dir.join(name), kind))
            }
            ["logs", name] => {
                let mut entries = fs::read_dir(run_dir.join("logs")).ok()?.flatten();
                let entry =
                    entries.find(|entry| entry.file_name().as_bytes() == name.as_bytes())?;
                let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
                is_file.then(|| (entry.path(), "text/plain; charset=utf-8"))
            }
            _ => None,
        }
    }
}

/// The names of the run directories. A link, such as `latest`, is another name of one.
fn names(folder: &Path) -> Result<Vec<OsString>> {
    let unreadable = || format!("cannot read {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir && entry.path().join("history").is_file() {
            names.push(entry.file_name());
        }
    }
    Ok(names)
}

fn look(folder: &Path, name: OsString) -> StoreRun {
    let path = folder.join(&name);
    let seen = RunDir::open(&path).map_err(anyhow::Error::from).and_then(|run_dir| {
        let reader = HistoryReader::open(&run_dir.history())?;
        let run = reader.run().clone();
        let verdict = fs::read(run_dir.verdict()).ok();
        let verdict = verdict.and_then(|text| serde_json::from_slice::<Verdict>(&text).ok());
        let state = match verdict {
            Some(verdict) => RunState::of(&verdict),
            None => progress(&run_dir, reader, run.started_at_unix_s)?,
        };
        Ok((run, state))
    });
    match seen {
        Ok((run, state)) => StoreRun::of(&name, &run, state),
        Err(error) => StoreRun::unreadable(&name, format!("{error:#}")),
    }
}

/// How far a run without a verdict is.
fn progress(
    run_dir: &RunDir,
    mut records: HistoryReader<std::io::BufReader<fs::File>>,
    started_at_unix_s: u64,
) -> Result<RunState> {
    let file = fs::metadata(run_dir.history())?;
    let age = SystemTime::now().duration_since(file.modified()?).unwrap_or_default();
    if age > GROWING {
        return Ok(RunState::BrokenOff);
    }
    let mut granted = 0;
    if file.len() <= COUNTED_BYTES {
        for record in &mut records {
            match record? {
                Record::Event(event) => {
                    let is_acquire =
                        matches!(event.function, Function::Acquire | Function::TryAcquire);
                    granted += u64::from(is_acquire && event.phase == Phase::Ok);
                }
                Record::Milestone { what: Milestone::End, .. } => break,
                _ => {}
            }
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let elapsed_s = now.as_secs_f64() - started_at_unix_s as f64;
    Ok(RunState::Running { elapsed_s: elapsed_s.max(0.0), granted })
}
