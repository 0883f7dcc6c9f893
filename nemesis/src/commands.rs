//! Every command of one fault, node by node: what the nemesis sends and a dry run prints.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use locktest_cluster::{RemoteCommand, SshTarget};
use locktest_history::NodeId;
use thiserror::Error;

use crate::journal::NodeUndo;
use crate::tag::FaultTag;
use crate::{deadman, partition, probe};

/// A server node as the nemesis sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How to reach it; its name is the node's.
    pub ssh: SshTarget,
    /// The address that the other servers use.
    pub address: Ipv4Addr,
    /// A TCP port on which the server takes connections from the other servers.
    pub probe_port: u16,
}

/// Sides that name no partition of the endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SidesError {
    /// An index beyond the endpoints.
    #[error("there is no server {}: the cluster has {endpoints}", node.0)]
    UnknownNode {
        /// The index.
        node: NodeId,
        /// How many there are.
        endpoints: usize,
    },
    /// A node that is on two sides, or twice on one.
    #[error("{0} is on more than one side")]
    Repeated(String),
    /// Nothing would be separated.
    #[error("a partition needs at least two sides, and a node on each")]
    TooFew,
}

/// The commands of one fault on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCommands {
    /// The node.
    pub node: NodeId,
    /// How to reach it.
    pub ssh: SshTarget,
    /// The fault's firewall chain.
    pub chain: String,
    /// Starts the dead-man timer.
    pub arm: RemoteCommand,
    /// Tries a connection to every node on the other sides.
    pub probe: RemoteCommand,
    /// Applies the fault.
    pub apply: RemoteCommand,
    /// Reads the counters of dropped packets.
    pub counters: RemoteCommand,
    /// Undoes the fault.
    pub undo: RemoteCommand,
    /// Reads back what is left of it.
    pub check: RemoteCommand,
    /// Ends the dead-man timer.
    pub disarm: RemoteCommand,
}

impl NodeCommands {
    /// The commands in the order in which they are sent.
    pub fn in_order(&self) -> [&RemoteCommand; 9] {
        [
            &self.arm,
            &self.probe,
            &self.apply,
            &self.probe,
            &self.counters,
            &self.undo,
            &self.check,
            &self.disarm,
            &self.probe,
        ]
    }

    pub(crate) fn journalled(&self) -> NodeUndo {
        NodeUndo {
            ssh: self.ssh.clone(),
            chain: self.chain.clone(),
            undo: self.undo.script.clone(),
            check: self.check.script.clone(),
            disarm: self.disarm.script.clone(),
        }
    }
}

/// The commands of a partition of `endpoints` (in the plan's order) into `sides`, for every node on
/// a side, in node order. `node_run_dir` is an absolute path on the nodes.
pub fn partition_commands(
    endpoints: &[Endpoint],
    node_run_dir: &Path,
    tag: &FaultTag,
    sides: &[Vec<NodeId>],
    deadline_s: u64,
) -> Result<Vec<NodeCommands>, SidesError> {
    check_sides(endpoints, sides)?;
    let mut commands = Vec::new();
    for (index, side) in sides.iter().enumerate() {
        let others: Vec<&Endpoint> = sides
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .flat_map(|(_, nodes)| nodes)
            .map(|node| &endpoints[usize::from(node.0)])
            .collect();
        let addresses: Vec<Ipv4Addr> = others.iter().map(|other| other.address).collect();
        let probed: Vec<SocketAddrV4> =
            others.iter().map(|other| SocketAddrV4::new(other.address, other.probe_port)).collect();
        for node in side {
            let ssh = endpoints[usize::from(node.0)].ssh.clone();
            let command = |purpose: &str, script: String| {
                RemoteCommand::new(format!("{purpose} {tag}"), script)
            };
            commands.push(NodeCommands {
                node: *node,
                ssh,
                chain: tag.chain(),
                arm: command(
                    "arm the dead-man timer of",
                    deadman::arm(node_run_dir, tag, deadline_s),
                ),
                probe: command("try connections across", probe::probe(&probed)),
                apply: command("apply", partition::apply(node_run_dir, tag, &addresses)),
                counters: command("read the packet counters of", partition::counters(tag)),
                undo: command("undo", partition::undo(node_run_dir, tag)),
                check: command("check the undo of", partition::check(tag)),
                disarm: command("disarm the dead-man timer of", deadman::disarm(node_run_dir, tag)),
            });
        }
    }
    commands.sort_by_key(|commands| commands.node);
    Ok(commands)
}

fn check_sides(endpoints: &[Endpoint], sides: &[Vec<NodeId>]) -> Result<(), SidesError> {
    if sides.len() < 2 || sides.iter().any(Vec::is_empty) {
        return Err(SidesError::TooFew);
    }
    let mut seen = vec![false; endpoints.len()];
    for node in sides.iter().flatten() {
        let index = usize::from(node.0);
        match seen.get_mut(index) {
            None => {
                return Err(SidesError::UnknownNode { node: *node, endpoints: endpoints.len() });
            }
            Some(true) => return Err(SidesError::Repeated(endpoints[index].ssh.name.clone())),
            Some(fresh) => *fresh = true,
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn endpoints(count: u8) -> Vec<Endpoint> {
        (1..=count)
            .map(|n| Endpoint {
                ssh: SshTarget {
                    name: format!("n{n}"),
                    host: format!("10.1.0.{n}"),
                    port: 22,
                    user: "root".into(),
                    identity_file: None,
                    known_hosts_file: None,
                },
                address: Ipv4Addr::new(10, 1, 0, n),
                probe_port: 2380,
            })
            .collect()
    }

    fn commands(sides: &[&[u16]]) -> Result<Vec<NodeCommands>, SidesError> {
        let sides: Vec<Vec<NodeId>> =
            sides.iter().map(|side| side.iter().copied().map(NodeId).collect()).collect();
        let tag = FaultTag::new("r1", 1).expect("a legal tag");
        partition_commands(&endpoints(5), Path::new("/run/lt"), &tag, &sides, 30)
    }

    #[test]
    fn each_node_drops_the_other_side_and_nobody_of_its_own() {
        let commands = commands(&[&[1, 3], &[0, 2, 4]]).expect("two sides");
        let dropped = |node: u16| -> Vec<u8> {
            let script =
                &commands.iter().find(|c| c.node == NodeId(node)).expect("it").apply.script;
            (1..=5).filter(|n| script.contains(&format!("-s 10.1.0.{n} "))).collect()
        };
        for node in [1, 3] {
            assert_eq!(dropped(node), [1, 3, 5]);
        }
        for node in [0, 2, 4] {
            assert_eq!(dropped(node), [2, 4]);
        }
    }

    #[test]
    fn a_node_on_no_side_is_left_alone() {
        let commands = commands(&[&[0], &[1]]).expect("two sides");
        assert_eq!(commands.iter().map(|c| c.node.0).collect::<Vec<_>>(), [0, 1]);
        assert!(!commands[0].apply.script.contains("10.1.0.3"));
    }

    #[test]
    fn sides_that_separate_nothing_are_refused() {
        assert_eq!(commands(&[]), Err(SidesError::TooFew));
        assert_eq!(commands(&[&[0, 1]]), Err(SidesError::TooFew));
        assert_eq!(commands(&[&[0, 1], &[]]), Err(SidesError::TooFew));
        assert_eq!(commands(&[&[0], &[1, 0]]), Err(SidesError::Repeated("n1".into())));
        let unknown = SidesError::UnknownNode { node: NodeId(5), endpoints: 5 };
        assert_eq!(commands(&[&[0], &[5]]), Err(unknown));
    }
}
