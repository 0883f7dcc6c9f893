//! What the tests share: programs that are launched with clocks of their own and killed at the end,
//! and the command that sets those clocks.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use locktest_skew::{Class, Reading, Skew};

/// Whatever a test waits for comes within this time.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// So that no test ends in the middle of a skew.
pub const LONG_MS: u64 = 600_000;

const NS_PER_S: i64 = 1_000_000_000;

/// The program that sets clocks.
pub fn locktest_clock() -> Command {
    Command::new(env!("CARGO_BIN_EXE_locktest-clock"))
}

/// A node's clock: a setting in a folder of the test's own.
pub struct NodeClock {
    pub folder: tempfile::TempDir,
}

impl NodeClock {
    pub fn new() -> NodeClock {
        NodeClock { folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    /// A command that becomes the program.
    pub fn launch(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = locktest_clock();
        command.arg("launch").arg("--file").arg(self.file()).arg("--").arg(program);
        command
    }

    /// Sets the clock for a long time, and sees that nobody complains.
    pub fn set(&self, class: Class, skew: Skew, pids: &[i32]) {
        self.set_for(class, skew, LONG_MS, pids);
    }

    pub fn set_for(&self, class: Class, skew: Skew, lasts_ms: u64, pids: &[i32]) {
        let output = self.try_set(class, skew, lasts_ms, pids);
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    }

    pub fn try_set(&self, class: Class, skew: Skew, lasts_ms: u64, pids: &[i32]) -> Output {
        let Skew { offset_ns, rate_ppm, strobe_period_ns } = skew;
        let mut command = locktest_clock();
        command.arg("set").arg("--file").arg(self.file()).args(["--class", class.name()]);
        command.args(["--offset-ns", &offset_ns.to_string()]);
        command.args(["--rate-ppm", &rate_ppm.to_string()]);
        command.args(["--strobe-ns", &strobe_period_ns.to_string()]);
        command.args(["--expires-in-ms", &lasts_ms.to_string()]);
        command.args(pids.iter().map(i32::to_string)).output().expect("a command")
    }

    pub fn clear(&self, pids: &[i32]) {
        let mut command = locktest_clock();
        command.arg("clear").arg("--file").arg(self.file());
        let output = command.args(pids.iter().map(i32::to_string)).output().expect("a command");
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    }

    pub fn remains(&self, pids: &[i32]) -> String {
        let mut command = locktest_clock();
        command.arg("remains").arg("--file").arg(self.file()).args(["--wait-ms", "2000"]);
        text(&command.args(pids.iter().map(i32::to_string)).output().expect("a command"))
    }
}

/// Reads clocks back: the flags, then the processes.
pub fn read(flags: &[&str], pids: &[i32]) -> Vec<Reading> {
    let mut command = locktest_clock();
    command.arg("read").args(flags).args(pids.iter().map(i32::to_string));
    let output = command.output().expect("a command");
    let lines = text(&output);
    lines.lines().map(|line| Reading::parse(line).expect(line)).collect()
}

/// What one clock of a process is due to add and was seen to add.
pub fn due_and_seen(class: Class, pid: i32) -> (i64, Option<i64>) {
    let readings = read(&["--class", class.name(), "--wait-ms", "5000"], &[pid]);
    match readings[..] {
        [Reading::Process { due_ns, seen_ns, .. }] => (due_ns, seen_ns),
        _ => panic!("{readings:?}"),
    }
}

/// What a command that is to succeed printed.
pub fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn ahead_s(seconds: i64) -> Skew {
    Skew { offset_ns: seconds * NS_PER_S, ..Skew::default() }
}

/// A process that a test started. It is killed at the test's end.
pub struct Process {
    pub child: Child,
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        Process { child: command.spawn().expect("a process") }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// Waits until its clocks can be set.
    pub fn wait_patched(&self) {
        wait_for("the patch", || {
            !matches!(read(&[], &[self.pid()])[..], [Reading::Unpatched { .. }])
        });
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Compiles `clocks.c` into a folder, as a program of this name.
pub fn compile_clocks(folder: &Path, name: &str, flags: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/clocks.c");
    let program = folder.join(name);
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Wno-nonnull", "-Werror", "-pthread"]).args(flags);
    assert!(cc.arg("-o").arg(&program).arg(source).status().expect("cc").success());
    program
}

/// The program `clocks.c`.
pub fn clocks_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME"));
        std::fs::create_dir_all(&folder).expect("a folder");
        compile_clocks(&folder, "clocks", &[])
    })
}

/// Starts `clocks.c` with clocks of its own.
pub fn launch_clocks(clock: &NodeClock) -> Clocks {
    let clocks = Clocks::start(clock.launch(clocks_program()).arg("ask"));
    clocks.process.wait_patched();
    clocks
}

/// The program `clocks.c`, which reads all clocks when it is asked to.
pub struct Clocks {
    pub process: Process,
    question: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Clocks {
    /// Starts it by a command that has its arguments.
    pub fn start(command: &mut Command) -> Clocks {
        let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let question = process.child.stdin.take().expect("a pipe");
        let answer = BufReader::new(process.child.stdout.take().expect("a pipe"));
        Clocks { process, question, answer }
    }

    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// What every function tells now.
    pub fn ask(&mut self) -> Vec<Look> {
        self.question.write_all(b"?\n").expect("a question");
        let mut looks = Vec::new();
        loop {
            let mut line = String::new();
            self.answer.read_line(&mut line).expect("an answer");
            if line == ".\n" {
                return looks;
            }
            looks.push(Look::parse(&line).unwrap_or_else(|| panic!("{line:?}")));
        }
    }

    /// By how many seconds the wall clock and the monotonic clock are ahead now.
    pub fn ahead_s(&mut self) -> (f64, f64) {
        let looks = self.ask();
        let of = |name: &str| {
            looks.iter().find(|look| look.name == name).expect("a clock").ahead_ns as f64 / 1e9
        };
        (of("0"), of("1"))
    }
}

/// What a function told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The function, or the number of the clock.
    pub name: String,
    pub result: i32,
    pub errno: i32,
    pub told_ns: i64,
    /// The told time less the kernel's own answer, which was got afterwards.
    pub ahead_ns: i64,
    /// Whether all was in its range.
    pub is_tidy: bool,
}

impl Look {
    fn parse(line: &str) -> Option<Look> {
        let words: Vec<&str> = line.trim_end().split(' ').collect();
        let [name, result, errno, told, truth, tidy] = words[..] else { return None };
        let told_ns: i64 = told.parse().ok()?;
        Some(Look {
            name: name.to_owned(),
            result: result.parse().ok()?,
            errno: errno.parse().ok()?,
            told_ns,
            ahead_ns: told_ns - truth.parse::<i64>().ok()?,
            is_tidy: tidy == "1",
        })
    }
}
