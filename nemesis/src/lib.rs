//! Faults: which ones come, how they are applied and undone, and the proof of both.
//!
//! A fault is in the [undo journal](Journal), on disk, before anything is sent to a node, and leaves
//! it after reading back has shown that it is gone. [`heal`] works from the journal alone. Every
//! node has a dead-man timer before the fault, so that it heals even if nobody ever comes back.
//! The nemesis knows nodes only through [`Remote`](locktest_cluster::Remote).

mod commands;
mod deadman;
mod evidence;
mod heal;
mod journal;
mod nemesis;
mod open_index;
mod partition;
mod probe;
mod schedule;
mod sides;
mod tag;
mod undo;

pub use commands::{Endpoint, NodeCommands, partition_commands};
pub use heal::{HealReport, HealedFault, HealedRun, heal};
pub use journal::{Intent, Journal, JournalContent, JournalError, NodeUndo, read_journal};
pub use nemesis::{ActiveFault, FaultNotApplied, Nemesis, NemesisSetting};
pub use open_index::{IndexEntry, OpenIndex, OpenRun};
pub use schedule::{Parties, ResolveError, plan_schedule, resolve};
pub use sides::SidesError;
pub use tag::{FaultTag, TagError};
pub use undo::NodeUndone;
