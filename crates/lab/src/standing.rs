//! Which labs stand on this machine.

use std::net::Ipv4Addr;

use serde::Serialize;

use crate::spec::LabId;
use crate::state::LabState;
use crate::{LabDirs, LabError, Subnet, teardown};

/// A lab, as far as its state file tells.
#[derive(Clone, Debug, Serialize)]
pub struct LabStatus {
    /// Its id.
    pub id: String,
    /// Its addresses; `None` if the state file cannot be read.
    pub subnet: Option<Subnet>,
    /// Its server nodes; none if the state file cannot be read.
    pub nodes: Vec<NodeStatus>,
    /// Its client namespaces.
    pub clients: u16,
    /// Seconds since it was made; `None` if the state file cannot be read.
    pub age_s: Option<u64>,
    /// Whether the process that made it still runs.
    pub maker_alive: bool,
    /// Why it can only be removed, if so.
    pub problem: Option<String>,
}

/// A server node of a lab.
#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Whether its first process runs, and with it the node.
    pub up: bool,
}

/// Every lab on this machine, by id: those in the state directory, and those that only have
/// namespaces because their state is gone or in another directory.
pub fn list(dirs: &LabDirs) -> Result<Vec<LabStatus>, LabError> {
    Ok(teardown::ids(dirs)?.iter().map(|id| status(dirs, id)).collect())
}

fn status(dirs: &LabDirs, id: &LabId) -> LabStatus {
    let path = dirs.lab(id).state();
    let state = match LabState::read(&path) {
        Ok(Some(state)) => state,
        Ok(None) => return without_state(id, format!("{} is missing", path.display())),
        Err(error) => return without_state(id, error.to_string()),
    };
    let up = |n: usize| state.nodes.get(n).is_some_and(|process| process.is_alive());
    let hosts = state.layout.server_hosts().enumerate();
    let nodes: Vec<NodeStatus> = hosts
        .map(|(n, host)| NodeStatus { name: host.name, address: host.address, up: up(n) })
        .collect();
    LabStatus {
        id: id.to_string(),
        subnet: Some(state.layout.subnet),
        clients: state.layout.clients.into(),
        age_s: Some(state.age_s()),
        maker_alive: state.maker.is_some_and(|maker| maker.is_alive()),
        problem: nodes.iter().any(|node| !node.up).then(|| "not every node runs".to_owned()),
        nodes,
    }
}

fn without_state(id: &LabId, problem: String) -> LabStatus {
    LabStatus {
        id: id.to_string(),
        subnet: None,
        nodes: Vec::new(),
        clients: 0,
        age_s: None,
        maker_alive: false,
        problem: Some(problem),
    }
}
