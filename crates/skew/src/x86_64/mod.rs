//! The patch on x86-64: its [code](blob), the [page](control) that tells the code what to add, where
//! both [go](vdso), and how they [get there](launch).

mod blob;
mod control;
mod launch;
mod memory;
mod vdso;

use std::process;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{Class, Error, Reading, Setting, Skew};
use control::{Block, InUse};
use memory::Memory;
use vdso::Vdso;

pub use launch::launch;

/// A pause between two looks at a process that is about to do something.
const POLL: Duration = Duration::from_millis(2);

/// Whether servers can have clocks of their own on this machine: whether this process's own vDSO
/// could be patched. Changes nothing.
pub fn check_support() -> Result<(), Error> {
    let pid = i32::try_from(process::id()).unwrap_or(i32::MAX);
    Vdso::of(&Memory::of(pid)?)?.entries().map(drop)
}

/// A process with a clock of its own, even if its id is another's by now.
#[derive(Debug)]
pub struct Patched {
    pid: i32,
    memory: Memory,
    /// The address of the control page.
    page: u64,
}

impl Patched {
    /// Finds the clocks of a process that was [launched](launch) with its own, or is a child of
    /// such a process.
    pub fn find(pid: i32) -> Result<Patched, Error> {
        match Patched::look_for(pid) {
            // A process that executes a program has its memory no more, and is there.
            Err(Error::Gone(_)) => Patched::look_for(pid),
            found => found,
        }
    }

    fn look_for(pid: i32) -> Result<Patched, Error> {
        let memory = Memory::of(pid)?;
        let page = match Vdso::of(&memory) {
            Ok(vdso) => control::find_page(vdso.image()),
            // Not yet, if it executes a program.
            Err(Error::NoVdso(_)) => None,
            Err(error) => return Err(error),
        };
        Ok(Patched { pid, memory, page: page.ok_or(Error::NotPatched(pid))? })
    }

    /// The same, but waits no longer than this for a process that is just being launched.
    pub fn find_within(pid: i32, patience: Duration) -> Result<Patched, Error> {
        let deadline = Instant::now() + patience;
        loop {
            match Patched::find(pid) {
                Err(Error::NotPatched(_)) if Instant::now() < deadline => sleep(POLL),
                found => return found,
            }
        }
    }

    /// Sets one of its clocks. A look at the clock meets the old setting or the new one, never a
    /// mixture.
    pub fn set(&self, class: Class, setting: &Setting) -> Result<(), Error> {
        let _alone = self.memory.lock()?;
        self.block(class).put(setting.of(class))
    }

    /// Sets both of its clocks right.
    pub fn clear(&self) -> Result<(), Error> {
        Class::ALL.into_iter().try_for_each(|class| self.set(class, &Setting::RIGHT))
    }

    /// Reads one of its clocks back, once the process has looked at it since it was set, but waits
    /// no longer than this for that.
    pub fn read(&self, class: Class, patience: Duration) -> Result<Reading, Error> {
        let InUse { params, seen_ns } = self.poll(class, patience, |seen_ns| seen_ns.is_some())?;
        let now_ns = class.now_ns()?;
        Ok(Reading::Process {
            pid: self.pid,
            class,
            skew: Skew::from(&params),
            is_expired: params.is_over(now_ns),
            due_ns: params.added_ns(now_ns),
            seen_ns,
        })
    }

    /// What is not right with its clocks, a line each. Waits no longer than this for the process to
    /// look at a clock that was set right.
    pub fn remains(&self, patience: Duration) -> Result<Vec<String>, Error> {
        let mut remains = Vec::new();
        for class in Class::ALL {
            let (pid, clock) = (self.pid, class.name());
            let InUse { params, .. } = self.block(class).in_use()?;
            if params.is_wrong_after(class.now_ns()?) {
                remains.push(format!("the {clock} clock of process {pid} is set wrong"));
                continue;
            }
            let is_right = |seen_ns: Option<i64>| seen_ns.is_none_or(|seen_ns| seen_ns == 0);
            let seen_ns = self.poll(class, patience, is_right)?.seen_ns;
            if !is_right(seen_ns) {
                remains.push(format!("process {pid} was last told a wrong {clock} time"));
            }
        }
        Ok(remains)
    }

    /// Whether it is a Java VM, which waits by its monotonic clock.
    pub fn is_jvm(&self) -> Result<bool, Error> {
        Ok(self.memory.maps()?.contains("/libjvm.so"))
    }

    fn poll(
        &self,
        class: Class,
        patience: Duration,
        is_enough: impl Fn(Option<i64>) -> bool,
    ) -> Result<InUse, Error> {
        let deadline = Instant::now() + patience;
        loop {
            let in_use = self.block(class).in_use()?;
            if is_enough(in_use.seen_ns) || Instant::now() >= deadline {
                return Ok(in_use);
            }
            sleep(POLL);
        }
    }

    fn block(&self, class: Class) -> Block<'_> {
        Block::new(&self.memory, self.page, class)
    }
}
