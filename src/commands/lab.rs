//! `locktest lab`: raise, list, enter and remove labs.

use std::fmt::Write;
use std::os::unix::process::CommandExt;

use anyhow::{Context, anyhow};
use locktest_cluster::quote;
use locktest_lab::{
    Lab, LabDirs, LabError, LabSpec, LabStatus, RemovedLabs, Subnet, down_all, down_id, list,
    preflight,
};
use locktest_reports::as_json;
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
    text.parse::<Subnet>().map_err(lab_failure)
}

/// What the caller got wrong is a matter of usage, all else of set-up.
pub fn lab_failure(error: LabError) -> Failure {
    if error.is_usage() { Failure::usage(error) } else { Failure::set_up(error) }
}

fn up(dirs: &LabDirs, spec: &LabSpec, json: bool) -> Result<String, Failure> {
    preflight().map_err(Failure::set_up)?;
    let lab = super::runtime()?.block_on(Lab::up(dirs, spec)).map_err(lab_failure)?;
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
    // A run asks for five of each unless it is told.
    let mut counts = String::new();
    for (flag, count) in [("--nodes-count", spec.servers), ("--clients", spec.clients)] {
        if count < 5 {
            let _ = write!(counts, " {flag} {count}");
        }
    }
    let _ = writeln!(
        text,
        "use it:    locktest --backend consul --lab {id}{counts}\n\
         enter it:  locktest lab ssh n1 --lab {id}\n\
         remove it: locktest lab down {id}"
    );
    Ok(text)
}

fn down(dirs: &LabDirs, id: Option<&str>, all: bool, json: bool) -> Result<String, Failure> {
    preflight().map_err(Failure::set_up)?;
    let labs = super::runtime()?
        .block_on(async {
            match id {
                Some(id) if !all => {
                    let existed = down_id(dirs, id).await?;
                    let removed = existed.then(|| id.to_owned()).into_iter().collect();
                    Ok(RemovedLabs { removed, ..RemovedLabs::default() })
                }
                _ => down_all(dirs).await,
            }
        })
        .map_err(lab_failure)?;
    if json {
        return Ok(as_json(&labs));
    }
    let mut text = match (labs.removed.as_slice(), id) {
        ([], Some(id)) => format!("there is no lab {id}\n"),
        ([], None) if labs.skipped.is_empty() => "there is no lab on this machine\n".into(),
        ([], None) => String::new(),
        (ids, _) => format!("removed {}\n", ids.join(" ")),
    };
    for skipped in &labs.skipped {
        let _ = writeln!(text, "left lab {} alone: it {}", skipped.id, skipped.reason);
    }
    Ok(text)
}

fn status(dirs: &LabDirs, json: bool) -> Result<String, Failure> {
    let labs = list(dirs).context("cannot list the labs").map_err(Failure::set_up)?;
    if json {
        return Ok(as_json(&labs));
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
    let user = lab.in_use_by.as_ref().map(|user| format!(", in use by {user}")).unwrap_or_default();
    let _ = writeln!(text, "lab {} at {subnet}{age}{user}", lab.id);
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
    let lab = Lab::open(dirs, &id).map_err(lab_failure)?;
    let mut ssh = lab.ssh_command(node).map_err(lab_failure)?;
    // ssh joins its arguments with blanks and hands them to a shell. One argument is a script; of
    // several, each is to arrive as it is.
    match command {
        [] => {}
        [script] => {
            ssh.arg(script);
        }
        words => {
            ssh.args(words.iter().map(|word| quote(word)));
        }
    }
    // Only returns if it failed.
    let error = ssh.exec();
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
