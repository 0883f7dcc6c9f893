//! What the tests of the binary share.

#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Labs are raised one at a time, so that no test slows down another's cluster.
static LAB: Mutex<()> = Mutex::new(());

/// A test's own store and state, removed at its end. Packages come from the machine's cache.
pub struct Bench {
    folder: tempfile::TempDir,
    _lab: Option<MutexGuard<'static, ()>>,
}

impl Bench {
    /// For tests without a lab.
    pub fn new() -> Bench {
        Bench { folder: folder(), _lab: None }
    }

    /// For tests with a lab; waits for the others.
    pub fn with_lab() -> Bench {
        let lab = LAB.lock().unwrap_or_else(PoisonError::into_inner);
        Bench { folder: folder(), _lab: Some(lab) }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The binary, with words separated by blanks.
    pub fn locktest(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_locktest"));
        command
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env("LOCKTEST_STATE_DIR", self.folder.path().join("state"))
            .env_remove("LOCKTEST_STORE");
        command
    }

    /// Runs to the end and tells the exit code and both streams.
    pub fn run(&self, line: &str) -> Ran {
        Ran::of(self.locktest(line).output().expect("locktest starts"))
    }

    /// Starts a run that goes on in the background, with its streams in files.
    pub fn start(&self, line: &str) -> Running {
        let stderr_path = self.path().join("stderr");
        let stderr = std::fs::File::create(&stderr_path).expect("a file");
        let child = self
            .locktest(line)
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("locktest starts");
        Running { child, stderr_path }
    }

    /// The one folder in a folder of the bench.
    pub fn only_dir(&self, name: &str) -> PathBuf {
        let entries = std::fs::read_dir(self.path().join(name)).expect("a folder");
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.expect("an entry").path()).collect();
        assert_eq!(paths.len(), 1, "{paths:?}");
        paths.remove(0)
    }

    /// The latest run directory.
    pub fn latest(&self) -> PathBuf {
        self.path().join("store/latest")
    }

    /// A JSON file of the latest run.
    pub fn read_json(&self, name: &str) -> Value {
        let text = std::fs::read_to_string(self.latest().join(name)).expect(name);
        serde_json::from_str(&text).expect("valid JSON")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // A test that failed must not leave its lab to the next; the labs of others are theirs.
        let labs = std::fs::read_dir(self.path().join("state/labs")).into_iter().flatten();
        for lab in labs.flatten() {
            let line = format!("lab down {}", lab.file_name().to_string_lossy());
            let _ = self.locktest(&line).output();
        }
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("locktest-").tempdir().expect("a temporary folder")
}

/// A command that ran to its end.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Standard output, which must be one JSON value and nothing else.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.stdout, self.stderr))
    }

    #[track_caller]
    pub fn expect_code(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "\n{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// A run in the background; killed if the test gives up.
pub struct Running {
    pub child: Child,
    stderr_path: PathBuf,
}

impl Running {
    /// Waits until standard error has a line with `text`.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str, limit: Duration) {
        let begin = Instant::now();
        loop {
            let stderr = std::fs::read_to_string(&self.stderr_path).expect("a file");
            if stderr.contains(text) {
                return;
            }
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("it ended with {status} before it said '{text}':\n{stderr}");
            }
            assert!(begin.elapsed() < limit, "it did not say '{text}':\n{stderr}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has said so far.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr_path).expect("a file")
    }

    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Waits for the end and tells the exit code.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(begin.elapsed() < limit, "it did not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < limit, "{what} did not come within {limit:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The names of this machine's network namespaces and links that belong to labs.
pub fn lab_traces() -> String {
    let mut traces = String::new();
    for arguments in [&["netns", "list"][..], &["-o", "link"]] {
        let output = Command::new("ip").args(arguments).output().expect("ip runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        traces.extend(
            text.lines().filter(|line| line.contains("lt-")).map(|line| format!("{line}\n")),
        );
    }
    traces
}

/// The classes that a verdict found.
pub fn violation_classes(verdict: &Value) -> Vec<&str> {
    let counts = verdict["violation_counts"].as_object().expect("an object");
    counts.keys().map(String::as_str).collect()
}

/// What a run under faults must show, whatever its verdict.
#[track_caller]
pub fn assert_faults_bit_and_were_undone(verdict: &Value) {
    let faults = verdict["faults"].as_array().expect("a list");
    assert!(!faults.is_empty(), "no fault in {verdict:#}");
    for fault in faults {
        assert_eq!(fault["bit"], true, "{fault:#}");
        assert_eq!(fault["undone"], true, "{fault:#}");
        assert!(fault["begin_ns"].as_u64() < fault["end_ns"].as_u64());
    }
}

/// One of the four rows has one of these outcomes.
#[track_caller]
pub fn assert_row(verdict: &Value, row: &str, allowed: &[&str]) {
    let property = &verdict["properties"][row];
    let outcome = property["outcome"].as_str().expect("an outcome");
    assert!(allowed.contains(&outcome), "{row}: {property:#}");
}
