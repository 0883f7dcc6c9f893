//! The commands, one function each: from parsed flags to an exit code.

mod bench;
mod catalog;
mod check;
mod client;
mod compare;
mod export;
mod heal;
mod lab;
mod replay;
mod report;
mod serve;
mod versions;

use std::path::Path;

use anyhow::Context;
use locktest_cluster::SshTarget;
use locktest_history::RunDir;
use locktest_lab::LabNode;

pub use bench::bench;
pub use catalog::catalog;
pub use check::check;
pub use client::client;
pub use compare::compare;
pub use export::export;
pub use heal::{heal, heal_open};
pub use lab::{lab, lab_failure, parse_subnet};
pub use replay::replay;
pub use report::report;
pub use serve::serve;
pub use versions::versions;

use crate::exit::Failure;
pub use crate::run::run;

/// A runtime for commands that speak to nodes.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .map_err(Failure::internal)
}

/// A lab's node as the cluster and the nemesis reach it.
pub fn ssh_target(node: &LabNode) -> SshTarget {
    SshTarget {
        name: node.name.clone(),
        host: node.address.to_string(),
        port: node.ssh_port,
        user: "root".into(),
        identity_file: Some(node.identity_file.clone()),
        known_hosts_file: Some(node.known_hosts_file.clone()),
    }
}

fn open_run_dir(path: &Path) -> Result<RunDir, Failure> {
    RunDir::open(path)
        .with_context(|| format!("{} is not a run directory", path.display()))
        .map_err(Failure::usage)
}
