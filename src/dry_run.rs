//! `--dry-run`: the plan, and every command that the run would send, from the same source.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use locktest_cluster::{
    Deployment, Installation, Member, NodeLayout, RemoteCommand, SshTarget, Store,
};
use locktest_history::{NodeId, Plan};
use locktest_lab::packages::{cached, obtain_commands};
use locktest_lab::{Lab, LabDirs, LabSpec, NODE_BASE, SSH_PORT};
use locktest_nemesis::{Endpoint, FaultTag, partition_commands, resolve};
use serde::Serialize;

use crate::cli::RunArgs;
use crate::commands::{lab_failure, parse_subnet};
use crate::exit::Failure;
use crate::plan::nodes_count;
use crate::run::DEADLINE_MARGIN;
use crate::run::servers::{package_request, release};

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
        let text = serde_json::to_string_pretty(&DryRun { plan, steps });
        return Ok(text.context("cannot print the plan").map_err(Failure::internal)? + "\n");
    }
    let plan = serde_json::to_string_pretty(plan)
        .context("cannot print the plan")
        .map_err(Failure::internal)?;
    let mut text = format!("plan {plan}\n");
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
    let deployment = Deployment::of(plan, installation)
        .context("a store without servers")
        .map_err(Failure::internal)?;
    for member in &members {
        for service in deployment.services(member, &members, &layout) {
            let start = service.start();
            steps.push(Step {
                what: format!("{} on {}", start.purpose, member.name),
                commands: vec![with_input(&start)],
            });
        }
    }
    let clients = client_addresses(args, plan, dirs)?;
    steps.extend(fault_steps(plan, store, &members, &clients, &layout.run())?);
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

/// Every fault with its commands; who leads is known only then, so a leader is shown as the first.
fn fault_steps(
    plan: &Plan,
    store: Store,
    members: &[Member],
    clients: &[Ipv4Addr],
    node_run_dir: &Path,
) -> Result<Vec<Step>, Failure> {
    let endpoints: Vec<Endpoint> = members
        .iter()
        .map(|member| {
            Ok(Endpoint {
                ssh: SshTarget {
                    name: member.name.clone(),
                    host: member.address.clone(),
                    port: SSH_PORT,
                    user: "root".into(),
                    identity_file: None,
                    known_hosts_file: None,
                },
                address: member
                    .address
                    .parse()
                    .context("a node's address")
                    .map_err(Failure::internal)?,
                probe_port: store.peer_port(),
            })
        })
        .collect::<Result<_, Failure>>()?;
    let deadline_s = plan.nemesis_interval_ms.div_ceil(1000) + DEADLINE_MARGIN.as_secs();
    let mut steps = Vec::new();
    for (planned, id) in plan.schedule.iter().zip(1..) {
        let sides = resolve(planned, Some(NodeId(0))).map_err(Failure::internal)?;
        let tag = FaultTag::new(UNKNOWN_RUN, id).map_err(Failure::internal)?;
        let nodes = partition_commands(&endpoints, clients, node_run_dir, &tag, &sides, deadline_s)
            .map_err(Failure::internal)?;
        let words = plan.partition_in_words(&sides);
        for node in nodes {
            let commands = node.in_order().map(|command| command.script.clone()).to_vec();
            let what = format!("fault {id}, {words}, on {}", node.ssh.name);
            steps.push(Step { what, commands });
        }
    }
    Ok(steps)
}

/// The addresses of the plan's clients, in the lab where [`members`] finds the servers.
fn client_addresses(args: &RunArgs, plan: &Plan, dirs: &LabDirs) -> Result<Vec<Ipv4Addr>, Failure> {
    let mut addresses = match &args.lab {
        Some(id) => Lab::open(dirs, id).map_err(lab_failure)?.client_addresses(),
        None => Lab::expected_client_addresses(&spec(args)?).map_err(lab_failure)?,
    };
    addresses.truncate(plan.client_seeds.len());
    Ok(addresses)
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
