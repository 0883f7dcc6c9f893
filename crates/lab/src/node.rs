//! One server node: its files, its start, and when it is ready.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout_at};

use crate::LabError;
use crate::command::Invocation;
use crate::error::io_at;
use crate::layout::{Host, Layout, NODE_BASE, NodePaths, SSH_PORT};
use crate::ssh;

/// What the first process of a node does, inside the new namespaces, before it becomes sshd.
///
/// `unshare` has already made every mount private. The node's files are bound before `/tmp`,
/// `/root` and `/run` are covered, so that a lab's state may lie below any of these. Capabilities
/// that reach beyond the node (the clock, the machine's power, kernel modules) leave the bounding
/// set, from which nothing started in the node can take them back.
const INIT: &str = r#"set -eu
name=$1 base=$2 files=$3 packages=$4
echo "$name" > /proc/sys/kernel/hostname
mount -t tmpfs -o mode=755 tmpfs "${base%/*}"
mkdir "$base"
mount --bind "$files" "$base"
mount --bind -o ro "$packages" "$base/packages"
for file in hosts hostname shadow; do
  if [ -e "/etc/$file" ]; then mount --bind "$base/etc/$file" "/etc/$file"; fi
done
mount --bind "$base/root" /root
mount --bind "$base/tmp" /tmp
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/lock /run/sshd
cd /
exec setpriv --bounding-set=-sys_time,-sys_boot,-sys_module \
  "$(command -v sshd)" -D -e -f "$base/ssh/sshd_config""#;

/// A node that does not answer by then will not.
const READY_LIMIT: Duration = Duration::from_secs(15);

/// A refused connection costs little, and a node is ready within some hundred milliseconds.
const READY_POLL: Duration = Duration::from_millis(5);

const LOG_TAIL_LINES: usize = 12;

/// The command whose process is the node: when it ends, everything in the node ends.
pub(crate) fn start(host: &Host, files: &NodePaths, package_cache: &Path) -> Invocation {
    Invocation::new("setsid")
        .args(["ip", "netns", "exec", &host.namespace])
        .args(["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"])
        .args(["--mount-proc", "sh", "-c", INIT, "init", &host.name, NODE_BASE])
        .arg(&files.root)
        .arg(package_cache)
}

/// Makes the directories and files of a node, all but the keys.
pub(crate) fn write_files(host: &Host, layout: &Layout, files: &NodePaths) -> Result<(), LabError> {
    let root = &files.root;
    for (name, mode) in [
        ("", 0o755),
        ("packages", 0o755),
        ("data", 0o755),
        ("run", 0o755),
        ("log", 0o755),
        ("etc", 0o755),
        ("ssh", 0o700),
        ("root", 0o700),
        ("tmp", 0o1777),
    ] {
        let dir = root.join(name);
        DirBuilder::new().recursive(true).create(&dir).map_err(io_at("create", &dir))?;
        // Set afterwards, since the umask may take bits away from a new directory.
        fs::set_permissions(&dir, Permissions::from_mode(mode)).map_err(io_at("create", &dir))?;
    }
    let mut hosts = String::from("127.0.0.1 localhost\n::1 localhost\n");
    for other in layout.server_hosts() {
        hosts.push_str(&format!("{} {}\n", other.address, other.name));
    }
    let write = |path: &Path, text: &str| fs::write(path, text).map_err(io_at("write", path));
    write(&root.join("etc/hosts"), &hosts)?;
    write(&root.join("etc/hostname"), &format!("{}\n", host.name))?;
    // The host's root may be locked, and sshd refuses a locked account even with the right key.
    let shadow = root.join("etc/shadow");
    write(&shadow, "root:*:19000:0:99999:7:::\n")?;
    fs::set_permissions(&shadow, Permissions::from_mode(0o600)).map_err(io_at("write", &shadow))?;
    write(&files.sshd_config(), &ssh::sshd_config(host.address))
}

/// Starts a node; it outlives this process.
pub(crate) fn spawn(start: &Invocation, files: &NodePaths) -> Result<Child, LabError> {
    let path = files.sshd_log();
    let log = File::options().create(true).append(true).open(&path);
    Ok(start.spawn_logged(&log.map_err(io_at("create", &path))?)?)
}

/// Waits until the node's sshd greets.
pub(crate) async fn wait_ready(
    host: &Host,
    files: &NodePaths,
    process: &mut Child,
) -> Result<(), LabError> {
    let address = SocketAddr::from((host.address, SSH_PORT));
    let deadline = Instant::now() + READY_LIMIT;
    let not_ready = |reason: String| LabError::NodeNotReady {
        node: host.name.clone(),
        address: address.to_string(),
        reason,
        log: tail(&files.sshd_log()),
    };
    loop {
        if let Ok(Some(status)) = process.try_wait() {
            return Err(not_ready(format!("the node ended ({status})")));
        }
        let error = match timeout_at(deadline, greeting(address)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if Instant::now() >= deadline {
            return Err(not_ready(format!("{error}, for {} s", READY_LIMIT.as_secs())));
        }
        sleep(READY_POLL).await;
    }
}

async fn greeting(address: SocketAddr) -> io::Result<()> {
    let mut greeting = [0; 4];
    TcpStream::connect(address).await?.read_exact(&mut greeting).await?;
    if &greeting == b"SSH-" { Ok(()) } else { Err(io::Error::other("it is no SSH server")) }
}

fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}
