//! Keys, the configuration of the nodes' sshd, and how the control node reaches them.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::LabError;
use crate::command::{Invocation, find_program};
use crate::error::io_at;
use crate::layout::{LabPaths, Layout, NODE_BASE, SSH_PORT, public_half};

/// A control master that has not answered by then is left to end with its connection.
const MASTER_EXIT_LIMIT: Duration = Duration::from_secs(1);

/// The commands that make the client's key and one host key for each node; none depends on another.
pub(crate) fn key_generation(layout: &Layout, paths: &LabPaths) -> Vec<Invocation> {
    let keygen = |comment: &str, path: PathBuf| {
        Invocation::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
            .arg(path)
    };
    let mut commands = vec![keygen("control", paths.client_key())];
    let hosts = layout.server_hosts();
    commands.extend(hosts.map(|host| keygen(&host.name, paths.node(&host.name).host_key())));
    commands
}

/// Once the keys are there: who may log in, and what the hosts are known by.
pub(crate) fn write_trust(layout: &Layout, paths: &LabPaths) -> Result<(), LabError> {
    let client_key = public_half(&paths.client_key());
    let mut known_hosts = String::new();
    for host in layout.server_hosts() {
        let node = paths.node(&host.name);
        let authorized = node.authorized_keys();
        fs::copy(&client_key, &authorized).map_err(io_at("write", &authorized))?;
        let host_key = public_half(&node.host_key());
        let line = fs::read_to_string(&host_key).map_err(io_at("read", &host_key))?;
        known_hosts.push_str(&format!("{} {}\n", host.address, line.trim()));
    }
    let path = paths.known_hosts();
    fs::write(&path, known_hosts).map_err(io_at("write", &path))
}

/// A sshd that accepts the lab's one key, and nothing of what the host's own sshd is told.
pub(crate) fn sshd_config(address: Ipv4Addr) -> String {
    format!(
        "\
ListenAddress {address}:{SSH_PORT}
HostKey {NODE_BASE}/ssh/host_key
AuthorizedKeysFile {NODE_BASE}/ssh/authorized_keys
AuthenticationMethods publickey
AllowUsers root
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
UseDNS no
PermitUserRC no
PrintMotd no
PrintLastLog no
PidFile none
MaxSessions 200
MaxStartups 200
Subsystem sftp internal-sftp
"
    )
}

/// Plain ssh to a node as root, by the lab's key and known hosts alone.
pub(crate) fn login(address: Ipv4Addr, paths: &LabPaths) -> Command {
    let mut command = Command::new(find_program("ssh").unwrap_or_else(|| "ssh".into()));
    let known_hosts = paths.known_hosts();
    command.args(["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"]);
    command.args(["-o", "GlobalKnownHostsFile=none", "-o", "LogLevel=ERROR", "-o"]);
    command.arg(format!("UserKnownHostsFile=\"{}\"", known_hosts.display()));
    command.arg("-i").arg(paths.client_key());
    command.args(["-p", &SSH_PORT.to_string(), &format!("root@{address}")]);
    command
}

/// Asks every control master that still answers to exit.
pub(crate) async fn close_masters(control_dir: &Path) {
    let mut exits = JoinSet::new();
    for socket in sockets_below(control_dir, 2) {
        exits.spawn(async move {
            let exit = Invocation::new("ssh").args(["-F", "none", "-S"]).arg(socket);
            // A socket without a master behind it is what a killed one leaves; nothing to close.
            let _ = exit.args(["-O", "exit", "x"]).time_limit(MASTER_EXIT_LIMIT).run().await;
        });
    }
    exits.join_all().await;
}

/// The sockets in a directory and in its directories down to `depth`.
fn sockets_below(dir: &Path, depth: usize) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut sockets = Vec::new();
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_socket() => sockets.push(entry.path()),
            Ok(kind) if kind.is_dir() && depth > 1 => {
                sockets.extend(sockets_below(&entry.path(), depth - 1));
            }
            _ => {}
        }
    }
    sockets
}
