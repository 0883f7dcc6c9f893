//! What a run recorded: its plan, its operations, its faults, and the directory that holds them.
//!
//! This crate knows no network, no clock and no async runtime. It is the one vocabulary that the
//! control node, the clients, the nemesis, the analyzer and the reports share.

mod codec;
mod event;
mod executed;
mod export;
mod fault;
mod import;
mod plan;
mod record;
mod run_dir;
mod service;
mod workload;

pub use codec::{
    FORMAT_VERSION, History, HistoryError, HistoryReader, HistoryWriter, OLDEST_FORMAT_VERSION,
    read_history,
};
pub use event::{
    Answer, ClientId, Detail, Event, Function, KeyId, NodeId, Outcome, Phase, Resource, Round,
    RoundPurpose, Token, Vote,
};
pub use executed::executed;
pub use export::export_json_lines;
pub use fault::{
    Aim, Between, ClockShape, Cut, Direction, Fault, FaultBegun, FaultEnded, FaultKind,
    FaultSkipped, PacketFate, PartitionShape, Party, Skew, Target, TookEffect,
};
pub use import::{ImportError, import_json_lines};
pub use plan::{Bounds, DrawnFault, FixedFault, HolderPolicy, Plan, PlannedFault, Run};
pub use record::{
    ClientExit, Election, ElectionStep, ExitCause, LeaderView, Milestone, Probe, ProcessUsage,
    Record, Usage,
};
pub use run_dir::{RunDir, RunDirError, write_atomically};
pub use service::{
    Backend, CasWait, ReadMode, Recipe, RedisOptions, RedisPersistence, RedlockRequests,
    SessionBehavior, ZOOKEEPER_TICK_MS,
};
pub use workload::Workload;
