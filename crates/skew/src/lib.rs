//! A clock of its own for a server process, without touching the machine's.
//!
//! Programs read the time through the vDSO, code that the kernel maps into every process. When a
//! server is [launched](launch), its copy of that page is patched before any of its own code has
//! run: reads of the wall clock and of the monotonic clock then make the real system call and add
//! what this process is to be wrong by. The page is private to the process, so nobody else is moved,
//! and the patch works alike for C, Go and Java. Only reads change: timers that the kernel keeps for
//! the process run by the true time, and so do programs that make the system call themselves.
//!
//! What the process is wrong by stands in a page of memory that is written from outside and read at
//! every look at the clock, so a change needs no stop, and shows at once. A skew has an end in it:
//! when its time is over the clock is right, whoever is left to set it. The patch also notes what it
//! last added, which is the proof that the process was told a wrong time. Children share the clock
//! of their parent until they execute another program.
//!
//! The servers of one node share a clock by its [setting](Setting): a file that a server reads when
//! it starts, so that it comes back with the clock that its node has.
//!
//! This works on Linux on x86-64; elsewhere [`check_support`] says so.

mod class;
mod command;
mod error;
mod reading;
#[cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    expect(dead_code, reason = "no clock is set elsewhere")
)]
mod setting;
mod store_time;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "x86_64/mod.rs"]
mod patch;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[path = "elsewhere.rs"]
mod patch;

pub use class::Class;
pub use command::command;
pub use error::Error;
pub use patch::{Patched, check_support, launch};
pub use reading::{NotAReading, Reading};
pub use setting::{Setting, Skew};
