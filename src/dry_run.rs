//! `--dry-run`: the plan, and every command that the run would send, from the same source.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Context;
use locktest_cluster::{
    CONTROL, Deployment, Installation, Member, NodeLayout, RemoteCommand, Service, SshTarget, Store,
};
use locktest_history::{ClientId, Fault, NodeId, Plan, PlannedFault};
use locktest_lab::packages::{cached, obtain_commands};
use locktest_lab::{Lab, LabDirs, LabSpec, NODE_BASE, SSH_PORT};
use locktest_nemesis::{
    ClientEndpoint, ClientProcess, Endpoint, FaultTag, Hosts, Parties, Resolved, Situation,
    fault_commands, resolve,
};
use locktest_reports::as_json;
use serde::Serialize;

use crate::cli::RunArgs;
use crate::commands::{lab_failure, parse_subnet};
use crate::exit::Failure;
use crate::plan::nodes_count;
use crate::run::servers::{package_request, release};
use crate::run::{DEADLINE_MARGIN, fault_timers};

/// Stands for what only the run will choose.
const UNKNOWN_RUN: &str = "000000";

/// The commands of one step, in order.
#[derive(Serialize)]
struct Step {
    what: String,
    commands: Vec<String>,
}

#[derive(Serialize)]
struct DryRun<'a> {
    plan: &'a Plan,
    steps: Vec<Step>,
}

/// The plan and the steps, for people or as JSON.
pub fn render(args: &RunArgs, plan: &Plan, dirs: &LabDirs) -> Result<String, Failure> {
    let steps = match Store::of(plan.backend) {
        Some(store) => steps(args, plan, store, dirs)?,
        None => Vec::new(),
    };
    if args.wants_json() {
        return Ok(as_json(&DryRun { plan, steps }));
    }
    let mut text = format!("plan {}", as_json(plan));
    for step in steps {
        let _ = write!(text, "\n# {}\n", step.what);
        for command in step.commands {
            let _ = writeln!(text, "{}", command.trim_end());
        }
    }
    Ok(text)
}

fn steps(args: &RunArgs, plan: &Plan, store: Store, dirs: &LabDirs) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    let layout = NodeLayout::new(NODE_BASE);
    let installation = match &args.server_binary {
        Some(path) => {
            Installation::of_binary(layout.bin().join(path.file_name().unwrap_or_default()))
        }
        None => {
            let release = release(args, store).map_err(Failure::set_up)?;
            let request = package_request(release);
            let commands = obtain_commands(dirs, &request).map_err(Failure::set_up)?;
            let what = "obtain the server (nothing if it is cached)".into();
            steps.push(Step { what, commands });
            let roots: Vec<PathBuf> = match cached(dirs, &request) {
                Some(packages) => packages.into_iter().map(|found| found.node_root).collect(),
                None => {
                    release.packages.iter().map(|name| format!("PACKAGES/{name}").into()).collect()
                }
            };
            release.installation(&roots)
        }
    };
    if args.lab.is_none() {
        let commands = Lab::up_commands(dirs, &spec(args)?).map_err(Failure::usage)?;
        steps.push(Step { what: "raise the lab".into(), commands });
    }
    let members = members(args, plan, dirs)?;
    let mut deployment = Deployment::of(plan, installation)
        .context("a store without servers")
        .map_err(Failure::internal)?;
    deployment.clock_launcher = plan.moves_clocks().then(|| layout.bin().join("locktest"));
    let mut servers = Vec::new();
    for member in &members {
        let services = deployment.services(member, &members, &layout);
        for service in &services {
            let start = service.start();
            steps.push(Step {
                what: format!("{} on {}", start.purpose, member.name),
                commands: vec![with_input(&start)],
            });
        }
        servers.push(endpoint(member, services, store)?);
    }
    let clients = clients(args, plan, dirs)?;
    let faults = faults(plan)?;
    let places = (0..).take(clients.len()).map(ClientId);
    // Those of an earlier run may have been aimed at clients that took the places of others.
    let named = faults.iter().flat_map(|fault| &fault.clients).copied();
    let processes: Vec<ClientProcess> = places
        .chain(named)
        .map(|client| ClientProcess { client, pid: 0, start_ticks: 0 })
        .collect();
    let hosts = Hosts {
        servers: &servers,
        clients: &clients,
        processes: &processes,
        node_run_dir: &layout.run(),
        control_run_dir: &fault_timers(dirs).map_err(Failure::set_up)?,
    };
    steps.extend(fault_steps(plan, &faults, hosts)?);
    Ok(steps)
}

/// The lab that the run would raise.
fn spec(args: &RunArgs) -> Result<LabSpec, Failure> {
    Ok(LabSpec {
        id: None,
        servers: nodes_count(args),
        clients: u16::try_from(args.clients).unwrap_or(u16::MAX),
        subnet: args.lab_subnet.as_deref().map(parse_subnet).transpose()?,
    })
}

/// A command with its standard input as a here-document.
fn with_input(command: &RemoteCommand) -> String {
    if command.stdin.is_empty() {
        return command.script.clone();
    }
    let input = String::from_utf8_lossy(&command.stdin);
    format!("{{\n{}\n}} <<'EOF'\n{input}EOF", command.script.trim_end())
}

/// A member as the nemesis sees it.
fn endpoint(member: &Member, services: Vec<Service>, store: Store) -> Result<Endpoint, Failure> {
    let address = member.address.parse().context("a node's address").map_err(Failure::internal)?;
    let ssh = SshTarget {
        name: member.name.clone(),
        host: member.address.clone(),
        port: SSH_PORT,
        user: "root".into(),
        identity_file: None,
        known_hosts_file: None,
    };
    Ok(Endpoint { ssh, address, probe_port: store.peer_port(), services })
}

/// Every fault. Who leads or holds is known only when a fault comes, so a leader or holder is shown
/// as the first.
fn faults(plan: &Plan) -> Result<Vec<Fault>, Failure> {
    let supposed = Situation::supposed(Parties::of(plan));
    let mut faults: Vec<Fault> = Vec::new();
    for planned in &plan.schedule {
        match planned {
            PlannedFault::Fixed(fixed) => faults.push(fixed.fault.clone()),
            PlannedFault::Drawn(drawn) => {
                let resolved = resolve(drawn, &supposed, plan.lease_ttl_ms);
                let Resolved { fault, then } = resolved.map_err(Failure::internal)?;
                faults.push(fault);
                faults.extend(then);
            }
        }
    }
    Ok(faults)
}

/// Every fault with its commands. The process of a client is shown as number 0.
fn fault_steps(plan: &Plan, faults: &[Fault], hosts: Hosts<'_>) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    for (fault, id) in faults.iter().zip(1..) {
        let tag = FaultTag::new(UNKNOWN_RUN, id).map_err(Failure::internal)?;
        let deadline_s = fault.length_ms.div_ceil(1000) + DEADLINE_MARGIN.as_secs();
        let commands = fault_commands(hosts, &tag, fault, deadline_s).map_err(Failure::internal)?;
        let words = plan.fault_in_words(fault);
        let in_order = commands.in_order();
        let names = commands.hosts.iter().map(|host| host.host.as_str());
        let observer = commands.observer.iter().map(|_| CONTROL);
        for host in names.chain(observer) {
            let own = in_order.iter().filter(|(name, _)| *name == host);
            let commands = own.map(|(_, command)| command.script.clone()).collect();
            steps.push(Step { what: format!("fault {id}, {words}, on {host}"), commands });
        }
    }
    Ok(steps)
}

/// The plan's clients, in the lab where [`members`] finds the servers.
fn clients(args: &RunArgs, plan: &Plan, dirs: &LabDirs) -> Result<Vec<ClientEndpoint>, Failure> {
    let mut clients = match &args.lab {
        Some(id) => {
            let lab = Lab::open(dirs, id).map_err(lab_failure)?;
            let addresses = lab.client_addresses().into_iter().enumerate();
            addresses.map(|(client, address)| (address, lab.client_entry(client))).collect()
        }
        None => Lab::expected_clients(&spec(args)?).map_err(lab_failure)?,
    };
    clients.truncate(plan.client_seeds.len());
    let endpoint =
        |(address, enter): (_, [String; 4])| ClientEndpoint { address, enter: enter.into() };
    Ok(clients.into_iter().map(endpoint).collect())
}

/// The servers at the addresses that they have in the standing lab, or in the range that was asked
/// for, or in the one that a lab prefers.
fn members(args: &RunArgs, plan: &Plan, dirs: &LabDirs) -> Result<Vec<Member>, Failure> {
    let addresses = match &args.lab {
        Some(id) => {
            let lab = Lab::open(dirs, id).map_err(lab_failure)?;
            lab.nodes().iter().map(|node| node.address).collect()
        }
        None => Lab::expected_addresses(&spec(args)?).map_err(lab_failure)?,
    };
    let members = plan.nodes.iter().zip(addresses).zip(0..);
    Ok(members
        .map(|((name, address), index)| Member {
            id: NodeId(index),
            name: name.clone(),
            address: address.to_string(),
        })
        .collect())
}
