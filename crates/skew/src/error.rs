use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::Class;

/// Why a process has no clock of its own, or a clock could not be set.
#[derive(Debug, Error)]
pub enum Error {
    /// Another processor or operating system.
    #[error("a server can have a clock of its own on Linux on x86-64 only")]
    Unsupported,
    /// The kernel maps no vDSO.
    #[error("process {0} has no vDSO, by which programs read clocks")]
    NoVdso(i32),
    /// The vDSO is not as expected.
    #[error("the vDSO cannot be patched: {0}")]
    Vdso(&'static str),
    /// The patch does not fit into the vDSO.
    #[error("the vDSO of this kernel has {found} bytes to spare, and a clock needs {needed}")]
    NoRoom {
        /// What the patch takes, in bytes.
        needed: usize,
        /// The zeros at the end of the vDSO, in bytes.
        found: usize,
    },
    /// A process that was not launched with a clock of its own.
    #[error("process {0} has no clock of its own; it was not started with one")]
    NotPatched(i32),
    /// The process is not there any more.
    #[error("process {0} is gone")]
    Gone(i32),
    /// A Java VM waits by the monotonic clock.
    #[error("process {0} is a Java VM, which hangs or spins when its monotonic clock is wrong")]
    Jvm(i32),
    /// A monotonic clock that would tell a time before its zero.
    #[error("the monotonic clock stands at {now_s} s and cannot be set back further than that")]
    BeforeZero {
        /// What it tells, in seconds.
        now_s: i64,
    },
    /// A number that no skew can have.
    #[error("a skew of the {} clock cannot have {name} {value}", .class.name())]
    OutOfRange {
        /// The clock.
        class: Class,
        /// What the number is.
        name: &'static str,
        /// The number.
        value: i128,
    },
    /// Memory of a process could not be read or written.
    #[error("the memory of process {pid}: {source}")]
    Memory {
        /// The process.
        pid: i32,
        /// Why.
        source: io::Error,
    },
    /// Only a process with one thread can become a server.
    #[error("a process with several threads cannot become a server")]
    Threads,
    /// The process could not be traced while it started.
    #[error("cannot {what}: {source}")]
    Trace {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The program could not be run.
    #[error("cannot run {program}: {source}")]
    Exec {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The setting could not be read or written.
    #[error("the clock's setting {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The setting is not one.
    #[error("the clock's setting {path} is none: {line:?}")]
    Setting {
        /// The file.
        path: PathBuf,
        /// What it says.
        line: String,
    },
    /// This machine's own clock could not be read.
    #[error("cannot read the machine's clock: {0}")]
    Clock(&'static str),
}
