//! Which labs stand on this machine.

use std::net::Ipv4Addr;

use serde::Serialize;

use crate::ownership::{LabUser, other_state_dir, user};
use crate::spec::LabId;
use crate::state::LabState;
use crate::{LabDirs, LabError, Subnet, network, teardown};

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
    /// Who uses it.
    pub in_use_by: Option<LabUser>,
    /// Why it cannot be used here, if so.
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

/// Whether anything of a lab of this state directory is there to be used or healed: false only if
/// its namespaces are gone, as they are after the machine was restarted.
pub fn exists(dirs: &LabDirs, id: &str) -> Result<bool, LabError> {
    let id = LabId::parse(id)?;
    let has_namespaces = !network::namespaces_of(&id)?.is_empty();
    Ok(has_namespaces && other_state_dir(dirs, &id).is_none())
}

fn status(dirs: &LabDirs, id: &LabId) -> LabStatus {
    if let Some(other) = other_state_dir(dirs, id) {
        let problem = format!("belongs to the state directory {}", other.display());
        return without_state(id, None, problem);
    }
    let paths = dirs.lab(id);
    let path = paths.state();
    let read = LabState::read(&path);
    let in_use_by = match user(&paths, read.as_ref().ok().and_then(Option::as_ref)) {
        Ok(in_use_by) => in_use_by,
        Err(error) => return without_state(id, None, error.to_string()),
    };
    let state = match read {
        Ok(Some(state)) => state,
        Ok(None) => return without_state(id, in_use_by, format!("{} is missing", path.display())),
        Err(error) => return without_state(id, in_use_by, error.to_string()),
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
        in_use_by,
        problem: nodes.iter().any(|node| !node.up).then(|| "not every node runs".to_owned()),
        nodes,
    }
}

fn without_state(id: &LabId, in_use_by: Option<LabUser>, problem: String) -> LabStatus {
    LabStatus {
        id: id.to_string(),
        subnet: None,
        nodes: Vec::new(),
        clients: 0,
        age_s: None,
        in_use_by,
        problem: Some(problem),
    }
}
