//! Every command of one fault, host by host: what the nemesis sends and a dry run prints.

use std::path::Path;

use locktest_cluster::{CONTROL, RemoteCommand, SshTarget};
use locktest_history::{Fault, FaultKind, NodeId, Party};
use thiserror::Error;

use crate::host::{ClientEndpoint, ClientProcess, Endpoint};
use crate::journal::HostUndo;
use crate::links::{self, Link, LinksError, Parties};
use crate::process::{self, Deed, Subject};
use crate::skew::{Clock, NodeClock};
use crate::tag::FaultTag;
use crate::{deadman, partition, probe, script, skew};

/// Who there is, and where each host keeps what belongs to a fault.
#[derive(Clone, Copy, Debug)]
pub struct Hosts<'a> {
    /// The servers, in the plan's order.
    pub servers: &'a [Endpoint],
    /// Where the plan's clients run, in its order. A client that replaces another one has its
    /// place.
    pub clients: &'a [ClientEndpoint],
    /// The processes of the clients that live.
    pub processes: &'a [ClientProcess],
    /// An absolute path on the nodes, for the dead-man timers.
    pub node_run_dir: &'a Path,
    /// The same on the control node.
    pub control_run_dir: &'a Path,
}

/// A fault that cannot be made into commands.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandsError {
    /// It cuts links that cannot be cut.
    #[error(transparent)]
    Links(#[from] LinksError),
    /// A client that is not there any more, or never was.
    #[error("client {0} has no process")]
    NoProcess(locktest_history::ClientId),
    /// Servers that read the machine's clock.
    #[error("the servers of {0} have no clock of their own")]
    NoClock(String),
    /// There is nobody to do it to.
    #[error("the fault is done to nobody")]
    Nobody,
}

/// The commands of one fault on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCommands {
    /// The host's name.
    pub host: String,
    /// How to reach it; `None` for the control node's own host.
    pub ssh: Option<SshTarget>,
    /// The name of the fault's firewall chain and of its folder.
    pub tag: String,
    /// Starts the dead-man timer.
    pub arm: RemoteCommand,
    /// Gets ready whatever changes nothing yet.
    pub prepare: Option<RemoteCommand>,
    /// Looks at what the fault is to change.
    pub look: RemoteCommand,
    /// Applies the fault.
    pub apply: RemoteCommand,
    /// Undoes the fault.
    pub undo: RemoteCommand,
    /// Reads back what is left of it.
    pub check: RemoteCommand,
    /// Ends the dead-man timer.
    pub disarm: RemoteCommand,
    pub(crate) seen: Seen,
}

/// What the answer of a look is about, in the order of its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Connections that were tried, and the counters of this server's rules.
    Links { node: NodeId, tries: Vec<Link> },
    /// Processes, by their names.
    Processes(Vec<String>),
    /// Clocks of servers, by their names.
    Clocks(Vec<String>),
}

/// A host that only looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observer {
    /// Tries connections from where the clients are; on the control node.
    pub look: RemoteCommand,
    pub(crate) tries: Vec<Link>,
}

/// The commands of one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultCommands {
    /// For each host that it touches, servers in node order.
    pub hosts: Vec<HostCommands>,
    /// The control node, if clients are to look.
    pub observer: Option<Observer>,
}

impl FaultCommands {
    /// The commands with their hosts, in the order in which they are sent.
    pub fn in_order(&self) -> Vec<(&str, &RemoteCommand)> {
        let mut all = Vec::new();
        let mut on_hosts = |command: for<'c> fn(&'c HostCommands) -> Option<&'c RemoteCommand>| {
            for host in &self.hosts {
                all.extend(command(host).map(|command| (host.host.as_str(), command)));
            }
            all.len()
        };
        on_hosts(|host| Some(&host.arm));
        let before = on_hosts(|host| host.prepare.as_ref());
        on_hosts(|host| Some(&host.look));
        let during = on_hosts(|host| Some(&host.apply));
        on_hosts(|host| Some(&host.look));
        on_hosts(|host| Some(&host.undo));
        on_hosts(|host| Some(&host.check));
        let after = on_hosts(|host| Some(&host.disarm));
        on_hosts(|host| host.is_seen_again().then_some(&host.look));
        if let Some(observer) = &self.observer {
            for looks in [after, during, before] {
                all.insert(looks, (CONTROL, &observer.look));
            }
        }
        all
    }
}

impl HostCommands {
    /// Whether somebody looks once the undo was read back: at processes, that was all there is.
    fn is_seen_again(&self) -> bool {
        !matches!(self.seen, Seen::Processes(_))
    }

    pub(crate) fn journalled(&self) -> HostUndo {
        HostUndo {
            host: self.host.clone(),
            ssh: self.ssh.clone(),
            tag: self.tag.clone(),
            undo: self.undo.script.clone(),
            check: self.check.script.clone(),
            disarm: self.disarm.script.clone(),
        }
    }
}

/// The commands of `fault`. The nodes undo it themselves after `deadline_s`.
pub fn fault_commands(
    hosts: Hosts<'_>,
    tag: &FaultTag,
    fault: &Fault,
    deadline_s: u64,
) -> Result<FaultCommands, CommandsError> {
    let commands = Commands { hosts, tag, deadline_s };
    match fault.kind {
        FaultKind::Partition | FaultKind::ClientPartition => commands.of_links(fault),
        FaultKind::Kill | FaultKind::RestartAll => commands.of_servers(fault, Deed::Kill),
        FaultKind::Pause => commands.of_servers(fault, Deed::Pause),
        FaultKind::ClientKill => commands.of_clients(fault, Deed::Kill),
        FaultKind::ClientPause => commands.of_clients(fault, Deed::Pause),
        FaultKind::Clock | FaultKind::ClockMonotonic => commands.of_clocks(fault),
    }
}

/// What one host has to do, as scripts.
struct Scripts {
    prepare: Option<String>,
    look: String,
    apply: String,
    undo: String,
    check: String,
}

#[derive(Clone, Copy)]
struct Commands<'a> {
    hosts: Hosts<'a>,
    tag: &'a FaultTag,
    deadline_s: u64,
}

impl Commands<'_> {
    fn of_links(self, fault: &Fault) -> Result<FaultCommands, CommandsError> {
        let Hosts { servers, clients, node_run_dir, .. } = self.hosts;
        let (servers, clients) = links::locate(Parties { servers, clients }, fault)?;
        let mut hosts = Vec::new();
        for server in servers {
            let tries = server.tries.iter().map(|(_, to)| probe::Try { enter: &[], to: *to });
            let scripts = Scripts {
                prepare: Some(partition::prepare(
                    node_run_dir,
                    self.tag,
                    &server.rules,
                    fault.packets,
                )),
                look: script::look(&(probe::probe(tries) + &partition::counters(self.tag))),
                apply: partition::apply(node_run_dir, self.tag, &server.rules),
                undo: partition::undo(node_run_dir, self.tag),
                check: partition::check(self.tag),
            };
            let tries = server.tries.iter().map(|(link, _)| *link).collect();
            let seen = Seen::Links { node: server.node, tries };
            hosts.push(self.on_host(Some(&server.endpoint.ssh), node_run_dir, scripts, seen));
        }
        let tries: Vec<(Link, probe::Try<'_>)> = clients
            .iter()
            .flat_map(|client| {
                let enter = &client.endpoint.enter;
                client.tries.iter().map(|(link, to)| (*link, probe::Try { enter, to: *to }))
            })
            .collect();
        let links: Vec<Link> = tries.iter().map(|(link, _)| *link).collect();
        let script = probe::probe(tries.into_iter().map(|(_, attempt)| attempt));
        let look =
            RemoteCommand::new(format!("try connections of the clients of {}", self.tag), script);
        let observer = (!links.is_empty()).then_some(Observer { look, tries: links });
        Ok(FaultCommands { hosts, observer })
    }

    fn of_servers(self, fault: &Fault, deed: Deed) -> Result<FaultCommands, CommandsError> {
        let Hosts { servers, clients, node_run_dir, .. } = self.hosts;
        let mut nodes = fault.servers.clone();
        nodes.sort_unstable();
        let hosts = nodes.into_iter().map(|node| {
            let endpoint = Parties { servers, clients }.server(node)?;
            let subjects: Vec<Subject> =
                endpoint.services.iter().map(Subject::of_service).collect();
            Ok(self.on_processes(Some(&endpoint.ssh), node_run_dir, deed, &subjects))
        });
        let hosts = hosts.collect::<Result<Vec<_>, LinksError>>()?;
        if hosts.is_empty() {
            return Err(CommandsError::Nobody);
        }
        Ok(FaultCommands { hosts, observer: None })
    }

    fn of_clocks(self, fault: &Fault) -> Result<FaultCommands, CommandsError> {
        let Hosts { servers, clients, node_run_dir, .. } = self.hosts;
        let (Some(skew), clock) = (fault.skew, Clock::of(fault.kind)) else {
            return Err(CommandsError::Nobody);
        };
        let mut nodes = fault.clocks.clone();
        nodes.sort_unstable();
        let hosts = nodes.into_iter().map(|node| {
            let endpoint = Parties { servers, clients }.server(node)?;
            let node = NodeClock::of(&endpoint.services)
                .ok_or_else(|| CommandsError::NoClock(endpoint.ssh.name.clone()))?;
            let (run_dir, tag) = (node_run_dir, self.tag);
            let scripts = Scripts {
                prepare: None,
                look: skew::look(&node, clock),
                apply: skew::apply(run_dir, tag, &node, clock, skew, self.deadline_s),
                undo: skew::undo(run_dir, tag, &node),
                check: skew::check(tag, &node),
            };
            let seen = Seen::Clocks(node.names());
            Ok(self.on_host(Some(&endpoint.ssh), run_dir, scripts, seen))
        });
        let hosts = hosts.collect::<Result<Vec<_>, CommandsError>>()?;
        if hosts.is_empty() {
            return Err(CommandsError::Nobody);
        }
        Ok(FaultCommands { hosts, observer: None })
    }

    fn of_clients(self, fault: &Fault, deed: Deed) -> Result<FaultCommands, CommandsError> {
        let processes = fault.clients.iter().map(|client| {
            let process = self.hosts.processes.iter().find(|process| process.client == *client);
            process.map(Subject::of_client).ok_or(CommandsError::NoProcess(*client))
        });
        let subjects = processes.collect::<Result<Vec<_>, _>>()?;
        if subjects.is_empty() {
            return Err(CommandsError::Nobody);
        }
        let host = self.on_processes(None, self.hosts.control_run_dir, deed, &subjects);
        Ok(FaultCommands { hosts: vec![host], observer: None })
    }

    fn on_processes(
        self,
        ssh: Option<&SshTarget>,
        run_dir: &Path,
        deed: Deed,
        subjects: &[Subject],
    ) -> HostCommands {
        let scripts = Scripts {
            prepare: None,
            look: process::look(subjects),
            apply: process::apply(run_dir, self.tag, deed, subjects),
            undo: process::undo(run_dir, self.tag, deed, subjects),
            check: process::check(self.tag, deed, subjects),
        };
        let names = subjects.iter().map(|subject| subject.name.clone()).collect();
        self.on_host(ssh, run_dir, scripts, Seen::Processes(names))
    }

    fn on_host(
        self,
        ssh: Option<&SshTarget>,
        run_dir: &Path,
        scripts: Scripts,
        seen: Seen,
    ) -> HostCommands {
        let tag = self.tag;
        let command = |step: &str, script: String| RemoteCommand::new(tag.purpose(step), script);
        HostCommands {
            host: ssh.map_or_else(|| CONTROL.to_owned(), |ssh| ssh.name.clone()),
            ssh: ssh.cloned(),
            tag: tag.chain(),
            arm: command(
                "arm the dead-man timer of",
                deadman::arm(run_dir, tag, &scripts.undo, self.deadline_s),
            ),
            prepare: scripts.prepare.map(|script| command("prepare", script)),
            look: command("look at", scripts.look),
            apply: command("apply", scripts.apply),
            undo: command("undo", scripts.undo),
            check: command("check the undo of", scripts.check),
            disarm: command("disarm the dead-man timer of", deadman::disarm(run_dir, tag)),
            seen,
        }
    }
}

/// What a host must have for faults of these kinds: `(host, command)`, each of which fails with the
/// names of what is missing.
pub fn preflight_commands(hosts: Hosts<'_>, kinds: &[FaultKind]) -> Vec<(String, RemoteCommand)> {
    const SHELL: [&str; 9] =
        ["bash", "cut", "date", "flock", "sed", "setsid", "sleep", "timeout", "tr"];
    const FIREWALL: [&str; 3] = ["grep", "iptables", "iptables-restore"];
    let cuts = kinds.iter().any(|kind| kind.cuts_links());
    let on_servers =
        kinds.iter().any(|kind| !matches!(kind, FaultKind::ClientKill | FaultKind::ClientPause));
    let mut commands = Vec::new();
    let purpose = "find what faults need";
    let basic = process::needs(&SHELL);
    if on_servers {
        let script = match cuts {
            true => basic.clone() + &process::needs(&FIREWALL) + partition::NEEDS,
            false => basic.clone(),
        };
        let clocks = kinds.iter().any(|kind| kind.moves_clocks());
        commands.extend(hosts.servers.iter().map(|server| {
            let of_clock = if clocks { skew::needs(&server.services) } else { String::new() };
            (server.ssh.name.clone(), RemoteCommand::new(purpose, script.clone() + &of_clock))
        }));
    }
    if cuts || kinds.iter().any(|kind| kind.is_of_clients()) {
        commands.push((CONTROL.to_owned(), RemoteCommand::new(purpose, basic)));
    }
    commands
}

impl Link {
    pub(crate) fn words(self, name: impl Fn(Party) -> String) -> String {
        format!("{} to {}", name(self.from), name(Party::Server(self.to)))
    }
}
