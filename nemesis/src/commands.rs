//! Every command of one fault, node by node: what the nemesis sends and a dry run prints.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use locktest_cluster::{RemoteCommand, SshTarget};
use locktest_history::{NodeId, Side};

use crate::journal::NodeUndo;
use crate::sides::{Across, SidesError, locate};
use crate::tag::FaultTag;
use crate::{deadman, partition, probe};

/// A server node as the nemesis sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How to reach it; its name is the node's.
    pub ssh: SshTarget,
    /// The address that clients and the other servers use.
    pub address: Ipv4Addr,
    /// A TCP port on which the server takes connections from the other servers.
    pub probe_port: u16,
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
    /// Tries the connections of `across`.
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
    /// Those on the other sides whose connections show whether the fault is in force.
    pub(crate) across: Vec<Across>,
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

/// The commands of a partition into `sides` for every server on a side, in node order. Rules are on
/// servers only: clients may share a machine with the control node.
///
/// `endpoints` and the addresses of the `clients` are in the plan's order, and `node_run_dir` is an
/// absolute path on the nodes.
pub fn partition_commands(
    endpoints: &[Endpoint],
    clients: &[Ipv4Addr],
    node_run_dir: &Path,
    tag: &FaultTag,
    sides: &[Side],
    deadline_s: u64,
) -> Result<Vec<NodeCommands>, SidesError> {
    let placed = locate(endpoints, clients, sides)?;
    let mut commands = Vec::new();
    for server in placed {
        let command =
            |purpose: &str, script: String| RemoteCommand::new(format!("{purpose} {tag}"), script);
        let probed: Vec<SocketAddrV4> = server.across.iter().map(|across| across.address).collect();
        commands.push(NodeCommands {
            node: server.node,
            ssh: server.endpoint.ssh.clone(),
            chain: tag.chain(),
            arm: command("arm the dead-man timer of", deadman::arm(node_run_dir, tag, deadline_s)),
            probe: command("try connections across", probe::probe(&probed)),
            apply: command("apply", partition::apply(node_run_dir, tag, &server.cut_off)),
            counters: command("read the packet counters of", partition::counters(tag)),
            undo: command("undo", partition::undo(node_run_dir, tag)),
            check: command("check the undo of", partition::check(tag)),
            disarm: command("disarm the dead-man timer of", deadman::disarm(node_run_dir, tag)),
            across: server.across,
        });
    }
    Ok(commands)
}

#[cfg(test)]
pub(crate) mod tests {
    use locktest_history::ClientId;

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

    #[test]
    fn a_script_drops_everybody_on_the_other_sides_both_ways() {
        let tag = FaultTag::new("r1", 1).expect("a legal tag");
        let clients = [Ipv4Addr::new(10, 1, 0, 101), Ipv4Addr::new(10, 1, 0, 102)];
        let sides = [
            Side { servers: vec![NodeId(0)], clients: vec![ClientId(0)] },
            Side { servers: vec![NodeId(1)], clients: vec![ClientId(1)] },
        ];
        let run_dir = Path::new("/run/lt");
        let commands = partition_commands(&endpoints(2), &clients, run_dir, &tag, &sides, 30);
        let commands = commands.expect("two sides");
        for (commands, dropped, kept) in
            [(&commands[0], ["2", "102"], ["1", "101"]), (&commands[1], ["1", "101"], ["2", "102"])]
        {
            let script = &commands.apply.script;
            for direction in ["-s", "-d"] {
                let names = |last: &&str| script.contains(&format!("{direction} 10.1.0.{last} "));
                assert!(dropped.iter().all(names), "{script}");
                assert!(!kept.iter().any(names), "{script}");
            }
        }
    }
}
