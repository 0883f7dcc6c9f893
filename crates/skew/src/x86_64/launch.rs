//! Starting a server with a clock of its own.
//!
//! The process that is to be the server has a helper trace it, and executes the program. The kernel
//! stops it before any code of the program has run, so there is one thread and nobody is in the
//! vDSO: the helper patches it, lets it go, and ends. The helper is no child of the server, which
//! thus never learns of it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::libc::{PTRACE_EVENT_EXEC, SYS_clone, c_long, syscall, user_regs_struct};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, close, fork, getpid, setsid};

use super::blob;
use super::control::{Block, PAGE_BYTES};
use super::memory::Memory;
use super::vdso::Vdso;
use crate::{Class, Error, Setting};

const SYS_MMAP: u64 = 9;

/// Of `jmp` to an address relative to the next instruction.
const JUMP: u8 = 0xe9;

const STDERR: RawFd = 2;

/// Becomes the program, with the clocks that the file says, as far as they are still
/// [in force](Setting::in_force); right ones if there is no such file. A program without a slash is
/// looked for in `PATH`.
///
/// Nothing of the program runs unless it has its clocks: if it cannot be given them, a line on
/// standard error says why, and the process is killed. The calling process must have one thread.
pub fn launch(setting: &Path, program: &Path, args: &[OsString]) -> Result<Infallible, Error> {
    // A setting that cannot be read is better said before anything is started.
    Setting::read(setting)?;
    let threads = fs::read_dir("/proc/self/task").map_err(cannot("count the threads"))?;
    if threads.count() != 1 {
        return Err(Error::Threads);
    }
    let server = getpid();
    let (mut told, tell) = io::pipe().map_err(cannot("make a pipe"))?;
    let forked = fork_silently().map_err(cannot("start a helper"))?;
    let ForkResult::Parent { child } = forked else {
        drop(told);
        start_helper(server, setting, tell);
    };
    drop(tell);
    wait_for(child).map_err(cannot("wait for a helper"))?;
    let told = told.read_exact(&mut [0]);
    told.map_err(|_| cannot("be given a clock")(io::Error::other("its helper says why")))?;
    let source = Command::new(program).args(args).exec();
    Err(Error::Exec { program: program.to_owned(), source })
}

/// Forks a child that sends no signal when it ends: if that signal was blocked it would be left for
/// the program.
fn fork_silently() -> Result<ForkResult, Errno> {
    const NO_FLAGS_AND_NO_SIGNAL: c_long = 0;
    const NONE: c_long = 0;
    #[expect(unsafe_code, reason = "the helper is a process beside this one")]
    // SAFETY: there is one thread, so the child may do whatever this process may, on a stack that is
    // its own copy.
    let child = unsafe { syscall(SYS_clone, NO_FLAGS_AND_NO_SIGNAL, NONE, NONE, NONE, NONE) };
    match Errno::result(child)? {
        0 => Ok(ForkResult::Child),
        child => Ok(ForkResult::Parent { child: Pid::from_raw(child as i32) }),
    }
}

/// Leaves the helper to the system, so that it is nobody's child, and ends.
fn start_helper(server: Pid, setting: &Path, tell: PipeWriter) -> ! {
    #[expect(unsafe_code, reason = "the helper must not be a child of the server")]
    // SAFETY: there is one thread, as in its parent.
    let forked = unsafe { fork() };
    let helped = match forked {
        Ok(ForkResult::Child) => help(server, setting, tell),
        Ok(ForkResult::Parent { .. }) => Ok(()),
        Err(errno) => Err(cannot("start a helper")(errno)),
    };
    match helped {
        // Who is gone needs no clock.
        Ok(()) | Err(Error::Gone(_)) => exit(0),
        Err(error) => {
            let _ = writeln!(io::stderr(), "no clock for process {server}: {error}");
            // The end of the helper kills the server that it traces.
            exit(1)
        }
    }
}

/// Traces the server until it executes its program, and gives it its clocks then. Returns also if
/// the server ends before.
fn help(server: Pid, setting: &Path, mut tell: PipeWriter) -> Result<(), Error> {
    // What ends the session of the server is no concern of the helper's.
    let _ = setsid();
    close_inherited(&[STDERR, tell.as_raw_fd()])?;
    let options =
        Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL;
    if let Err(errno) = ptrace::seize(server, options) {
        // To trace a process that has ended is not permitted either.
        Memory::of(server.as_raw())?.maps()?;
        return Err(tracing(server, "trace the server")(errno));
    }
    // Only a server that has ended does not listen.
    tell.write_all(b"1").map_err(|_| Error::Gone(server.as_raw()))?;
    drop(tell);
    let mut traced = Traced { server, missed: Vec::new() };
    if traced.run_to_exec()? {
        traced.patch(setting)?;
        traced.let_go()?;
    }
    Ok(())
}

/// Closes all files but these, which somebody may wait to see closed.
fn close_inherited(kept: &[RawFd]) -> Result<(), Error> {
    let open = fs::read_dir("/proc/self/fd").map_err(cannot("list the open files"))?;
    let number = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let open: Vec<RawFd> = open.filter_map(number).collect();
    for file in open.iter().filter(|file| !kept.contains(file)) {
        // The list's own is closed already.
        let _ = close(*file);
    }
    Ok(())
}

/// The process that is to be the server.
struct Traced {
    server: Pid,
    /// The signals that it is to have once it is let go.
    missed: Vec<Signal>,
}

impl Traced {
    /// Lets it run until it has executed its program; false if it ended before.
    fn run_to_exec(&self) -> Result<bool, Error> {
        loop {
            // A process that was stopped goes on here, and is stopped again when it is let go.
            let signal = match self.wait()? {
                WaitStatus::PtraceEvent(_, _, PTRACE_EVENT_EXEC) => return Ok(true),
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ok(false),
                WaitStatus::Stopped(_, signal) => Some(signal),
                _ => None,
            };
            ptrace::cont(self.server, signal).map_err(self.failure("let the server go on"))?;
        }
    }

    fn patch(&mut self, setting: &Path) -> Result<(), Error> {
        let memory = Memory::of(self.server.as_raw())?;
        let vdso = Vdso::of(&memory)?;
        let (entries, room) = vdso.entries()?;
        let begin = vdso.begin() + room as u64;
        memory.write(begin, &blob::for_page(0))?;
        let page = self.map_page(begin + blob::system_call_offset())?;
        // Whoever sets the clocks writes the setting before it looks for the address of the page, so
        // either the new setting is read here, or it is put in use after this one.
        let setting = Setting::read(setting)?.in_force()?;
        for class in Class::ALL {
            Block::new(&memory, page, class).put(setting.of(class))?;
        }
        memory.write(begin, &blob::for_page(page))?;
        for (entry, offset) in entries {
            let from = vdso.begin() + offset;
            let next = from + Vdso::JUMP_BYTES;
            let distance = (begin + entry.offset()).wrapping_sub(next) as i64;
            let distance = i32::try_from(distance)
                .map_err(|_| Error::Vdso("its end is too far from its functions"))?;
            let jump: Vec<u8> = [JUMP].into_iter().chain(distance.to_le_bytes()).collect();
            memory.write(from, &jump)?;
        }
        Ok(())
    }

    /// Has the server itself map a page that its children will share, by the instruction at this
    /// address, which makes a system call.
    fn map_page(&mut self, system_call: u64) -> Result<u64, Error> {
        const PROT_READ_WRITE: u64 = 0x3;
        const MAP_SHARED_ANONYMOUS: u64 = 0x21;
        /// In the place of a system call's number: none is to be started again.
        const NO_CALL: u64 = u64::MAX;
        // It is still executing its program: the kernel would put the result of that call into the
        // registers.
        self.run_to_system_call()?;
        let before = self.registers()?;
        self.set_registers(user_regs_struct {
            rip: system_call,
            rax: SYS_MMAP,
            rdi: 0,
            rsi: PAGE_BYTES,
            rdx: PROT_READ_WRITE,
            r10: MAP_SHARED_ANONYMOUS,
            r8: u64::MAX,
            r9: 0,
            orig_rax: NO_CALL,
            ..before
        })?;
        self.run_to_system_call()?;
        self.run_to_system_call()?;
        let result = self.registers()?.rax;
        self.set_registers(user_regs_struct { orig_rax: NO_CALL, ..before })?;
        // A small negative number is an error.
        match i32::try_from((result as i64).wrapping_neg()) {
            Ok(code @ 1..4096) => Err(self.failure("map a page")(Errno::from_raw(code))),
            _ => Ok(result),
        }
    }

    /// Lets it run until it begins or ends a system call.
    fn run_to_system_call(&mut self) -> Result<(), Error> {
        loop {
            ptrace::syscall(self.server, None).map_err(self.failure("let the server go on"))?;
            match self.wait()? {
                WaitStatus::PtraceSyscall(_) => return Ok(()),
                WaitStatus::Stopped(_, signal) => self.missed.push(signal),
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                    return Err(Error::Gone(self.server.as_raw()));
                }
                _ => {}
            }
        }
    }

    fn let_go(self) -> Result<(), Error> {
        // As long as it is traced its id is no other's.
        for signal in &self.missed {
            kill(self.server, *signal).map_err(self.failure("pass a signal on to the server"))?;
        }
        ptrace::detach(self.server, None).map_err(self.failure("let the server go"))
    }

    fn registers(&self) -> Result<user_regs_struct, Error> {
        ptrace::getregs(self.server).map_err(self.failure("read the server's registers"))
    }

    fn set_registers(&self, registers: user_regs_struct) -> Result<(), Error> {
        let set = ptrace::setregs(self.server, registers);
        set.map_err(self.failure("write the server's registers"))
    }

    fn wait(&self) -> Result<WaitStatus, Error> {
        wait_for(self.server).map_err(self.failure("wait for the server"))
    }

    fn failure(&self, what: &'static str) -> impl Fn(Errno) -> Error {
        tracing(self.server, what)
    }
}

fn wait_for(process: Pid) -> Result<WaitStatus, Errno> {
    loop {
        match waitpid(process, Some(WaitPidFlag::__WALL)) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Ends a child without what its parent has to do at its end.
fn exit(code: i32) -> ! {
    #[expect(unsafe_code, reason = "only the parent flushes and runs what is to run at exit")]
    // SAFETY: it ends this process and touches nothing.
    unsafe {
        nix::libc::_exit(code)
    }
}

/// The failure of something that is done to the server, which is the first to know that it is gone.
fn tracing(server: Pid, what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| match errno {
        Errno::ESRCH => Error::Gone(server.as_raw()),
        errno => cannot(what)(errno),
    }
}

fn cannot<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> Error {
    move |source| Error::Trace { what, source: source.into() }
}
