//! `locktest lab`: raise, list, enter and remove labs.

use std::fmt::Write;
use std::os::unix::process::CommandExt;

use anyhow::{Context, anyhow};
use locktest_lab::{Lab, LabDirs, LabSpec, LabStatus, Subnet, down_all, down_id, list, preflight};
use serde_json::json;

use crate::cli::{LabArgs, LabCommand};
use crate::exit::{Exit, Failure};
use crate::terminal::Terminal;

/// Runs one of the lab's commands.
pub fn lab(args: &LabArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let dirs = LabDirs::from_env();
    let (text, exit) = match &args.command {
        LabCommand::Up { id, nodes_count, clients, subnet, json } => {
            let spec = LabSpec {
                id: id.clone(),
                servers: *nodes_count,
                clients: *clients,
                subnet: subnet.as_deref().map(parse_subnet).transpose()?,
            };
            (up(&dirs, &spec, *json)?, Exit::Ok)
        }
        LabCommand::Down { id, all, json } => (down(&dirs, id.as_deref(), *all, *json)?, Exit::Ok),
        LabCommand::Status { json } => (status(&dirs, *json)?, Exit::Ok),
        LabCommand::Ssh { node, lab, command } => return ssh(&dirs, node, lab.as_deref(), command),
    };
    terminal.print(&text).context("cannot print").map_err(Failure::set_up)?;
    Ok(exit)
}

/// Reads a range of addresses such as `10.213.7.0/24`.
pub fn parse_subnet(text: &str) -> Result<Subnet, Failure> {
    text.parse::<Subnet>().map_err(Failure::usage)
}

fn up(dirs: &LabDirs, spec: &LabSpec, json: bool) -> Result<String, Failure> {
    preflight().map_err(Failure::set_up)?;
    let lab = super::runtime()?
        .block_on(Lab::up(dirs, spec))
        .context("cannot raise a lab")
        .map_err(Failure::set_up)?;
    let id = lab.id();
    if json {
        let nodes: Vec<_> = lab
            .nodes()
            .iter()
            .map(|node| json!({ "name": node.name, "address": node.address.to_string() }))
            .collect();
        let clients: Vec<_> = lab.client_addresses().iter().map(ToString::to_string).collect();
        let subnet = lab.subnet().to_string();
        let value = json!({ "id": id, "subnet": subnet, "nodes": nodes, "clients": clients });
        return Ok(format!("{value:#}\n"));
    }
    let mut text = format!("lab {id} is up at {}\n", lab.subnet());
    for node in lab.nodes() {
        let _ = writeln!(text, "  {:<4} {}", node.name, node.address);
    }
    let _ = writeln!(text, "  {} client namespaces", lab.client_addresses().len());
    let _ = writeln!(
        text,
        "use it:    locktest --backend consul --lab {id}\n\
         enter it:  locktest lab ssh n1 --lab {id}\n\
         remove it: locktest lab down {id}"
    );
    Ok(text)
}

fn down(dirs: &LabDirs, id: Option<&str>, all: bool, json: bool) -> Result<String, Failure> {
    preflight().map_err(Failure::set_up)?;
    let removed = super::runtime()?
        .block_on(async {
            match id {
                Some(id) if !all => {
                    let existed = down_id(dirs, id).await?;
                    Ok(existed.then(|| id.to_owned()).into_iter().collect())
                }
                _ => down_all(dirs).await,
            }
        })
        .context("cannot remove the lab")
        .map_err(Failure::set_up)?;
    if json {
        return Ok(format!("{:#}\n", json!({ "removed": removed })));
    }
    Ok(match removed.as_slice() {
        [] => "there was no such lab\n".into(),
        ids => format!("removed {}\n", ids.join(" ")),
    })
}

fn status(dirs: &LabDirs, json: bool) -> Result<String, Failure> {
    let labs = list(dirs).context("cannot list the labs").map_err(Failure::set_up)?;
    if json {
        let text = serde_json::to_string_pretty(&labs).context("cannot print the labs");
        return Ok(text.map_err(Failure::internal)? + "\n");
    }
    if labs.is_empty() {
        return Ok("there is no lab on this machine\n".into());
    }
    let mut text = String::new();
    for lab in &labs {
        describe(lab, &mut text);
    }
    Ok(text)
}

fn describe(lab: &LabStatus, text: &mut String) {
    let subnet = lab.subnet.map_or_else(|| "unknown addresses".into(), |subnet| subnet.to_string());
    let age = lab.age_s.map(|age_s| format!(", {age_s} s old")).unwrap_or_default();
    let maker = if lab.maker_alive { ", in use by a running locktest" } else { "" };
    let _ = writeln!(text, "lab {} at {subnet}{age}{maker}", lab.id);
    for node in &lab.nodes {
        let state = if node.up { "up" } else { "DOWN" };
        let _ = writeln!(text, "  {:<4} {:<15} {state}", node.name, node.address);
    }
    if lab.clients > 0 {
        let _ = writeln!(text, "  {} client namespaces", lab.clients);
    }
    if let Some(problem) = &lab.problem {
        let _ = writeln!(text, "  {problem}");
    }
}

fn ssh(dirs: &LabDirs, node: &str, lab: Option<&str>, command: &[String]) -> Result<Exit, Failure> {
    let id = match lab {
        Some(id) => id.to_owned(),
        None => only_lab(dirs)?,
    };
    let lab = Lab::open(dirs, &id).map_err(Failure::usage)?;
    let mut ssh = lab.ssh_command(node).map_err(Failure::usage)?;
    // Only returns if it failed.
    let error = ssh.args(command).exec();
    Err(Failure::set_up(anyhow!(error).context("cannot start ssh")))
}

fn only_lab(dirs: &LabDirs) -> Result<String, Failure> {
    let labs = list(dirs).context("cannot list the labs").map_err(Failure::set_up)?;
    match labs.as_slice() {
        [lab] => Ok(lab.id.clone()),
        [] => Err(Failure::usage(anyhow!("there is no lab; raise one with `locktest lab up`"))),
        labs => {
            let ids: Vec<&str> = labs.iter().map(|lab| lab.id.as_str()).collect();
            Err(Failure::usage(anyhow!(
                "several labs stand; choose one with --lab: {}",
                ids.join(" ")
            )))
        }
    }
}
