//! Faults: which ones come, how they are applied and undone, and the proof of both.
//!
//! A fault is in the [undo journal](Journal), on disk, before anything is sent to a host, and leaves
//! it after reading back has shown that it is gone. [`heal`] works from the journal alone. Every
//! host has a dead-man timer before the fault, so that it heals even if nobody ever comes back.
//! The nemesis knows hosts only through [`Remote`](locktest_cluster::Remote).

mod clocks;
mod commands;
mod deadman;
mod evidence;
mod heal;
mod host;
mod journal;
mod links;
mod nemesis;
mod open_index;
mod partition;
mod probe;
mod process;
mod schedule;
mod script;
mod skew;
mod tag;
mod undo;

pub use commands::{CommandsError, FaultCommands, HostCommands, Hosts, Observer, fault_commands};
pub use heal::{HealReport, HealedFault, HealedRun, heal};
pub use host::{ClientEndpoint, ClientProcess, Endpoint};
pub use journal::{HostUndo, Intent, Journal, JournalContent, JournalError, read_journal};
pub use links::LinksError;
pub use nemesis::{ActiveFault, FaultNotApplied, Nemesis, NemesisSetting};
pub use open_index::{IndexEntry, OpenIndex, OpenRun};
pub use schedule::{
    Menu, Parties, ResolveError, Resolved, Situation, affected, needs_holder, needs_leader,
    plan_schedule, resolve,
};
pub use tag::{FaultTag, TagError};
pub use undo::HostUndone;
