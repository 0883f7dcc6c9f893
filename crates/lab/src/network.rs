//! The namespaces, the bridge and the links of a lab.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::Invocation;
use crate::error::io_at;
use crate::layout::{self, Host, Layout};
use crate::lock::LockFile;
use crate::spec::LabId;
use crate::{LabDirs, LabError};

/// Where `ip` keeps named namespaces.
const NAMESPACE_DIR: &str = "/run/netns";

/// The links of this machine, one directory each.
const LINK_DIR: &str = "/sys/class/net";

/// The longest alias of a link that the kernel takes.
const MAX_ALIAS_BYTES: usize = 255;

/// Machine-wide, whatever the state directory is.
const LOCK: &str = "/run/locktest-network.lock";

const LOCK_LIMIT: Duration = Duration::from_secs(60);

/// Held from before anything of a lab exists until its network stands, and while labs are removed
/// as debris: so nobody picks a subnet that another is about to take, and nobody takes a lab that
/// is still being born for one that was left behind.
pub(crate) async fn lock() -> Result<LockFile, LabError> {
    LockFile::hold(Path::new(LOCK), LOCK_LIMIT).await
}

/// The first step, and the one that claims the lab's name in the kernel: of two that try, one fails.
pub(crate) fn claim(layout: &Layout) -> Invocation {
    Invocation::new("ip").args(["netns", "add", &layout.switch_namespace()])
}

/// The commands that make the rest of the network, in stages; those of one stage do not depend on
/// each other. The host's link carries the state directory, for processes that have another one.
pub(crate) fn creation(layout: &Layout, dirs: &LabDirs) -> [Vec<Invocation>; 2] {
    let switch = layout.switch_namespace();
    let link = layout.link();
    let hosts: Vec<Host> = layout.server_hosts().chain(layout.client_hosts()).collect();

    let mut links = format!("link add {link} type veth peer name control netns {switch}\n");
    let control_address = layout.control_address();
    push(&mut links, format_args!("link set {link} addrgenmode none"));
    push(&mut links, format_args!("address add {control_address}/24 brd + dev {link}"));
    push(&mut links, format_args!("link set {link} up"));
    let mut ports = String::from("link add bridge type bridge\n");
    push(&mut ports, format_args!("link set bridge up"));
    push(&mut ports, format_args!("link set control master bridge up"));
    for Host { name, namespace, .. } in &hosts {
        push(&mut links, format_args!("netns add {namespace}"));
        let peer = format_args!("peer name eth0 netns {namespace}");
        push(&mut links, format_args!("link add {name} netns {switch} type veth {peer}"));
        push(&mut ports, format_args!("link set {name} master bridge up"));
    }

    let batch = |lines| Invocation::new("ip").args(["-batch", "-"]).stdin(lines);
    let inside = |namespace: &str, lines| {
        Invocation::new("ip").args(["-n", namespace, "-batch", "-"]).stdin(lines)
    };
    let mut stage = vec![inside(&switch, ports)];
    stage.extend(hosts.iter().map(|host| inside(&host.namespace, host_lines(host))));
    let state_dir = dirs.absolute_state();
    if state_dir.as_os_str().len() <= MAX_ALIAS_BYTES {
        let alias = Invocation::new("ip").args(["link", "set", "dev", &link, "alias"]);
        stage.push(alias.arg(state_dir));
    }
    [vec![batch(links)], stage]
}

/// No IPv6 address is made, so that cutting IPv4 cuts everything. `lo` keeps both.
fn host_lines(host: &Host) -> String {
    format!(
        "link set lo up\nlink set eth0 addrgenmode none\naddress add {}/24 brd + dev eth0\nlink set eth0 up\n",
        host.address
    )
}

/// Removes the link and the namespaces. What is already gone makes `ip` complain, so the caller
/// looks at what is left rather than at its status.
pub(crate) async fn remove(id: &LabId, namespaces: &[Namespace]) {
    let mut lines = String::new();
    if link_exists(id) {
        push(&mut lines, format_args!("link del {}", layout::link(id)));
    }
    for namespace in namespaces {
        push(&mut lines, format_args!("netns del {}", namespace.name));
    }
    if !lines.is_empty() {
        let _ = Invocation::new("ip").args(["-force", "-batch", "-"]).stdin(lines).run().await;
    }
}

/// Whether the control node's end of the network is there.
pub(crate) fn link_exists(id: &LabId) -> bool {
    link_dir(id).exists()
}

/// The state directory that the lab was made with; `None` if there is no link or it does not say.
pub(crate) fn recorded_state_dir(id: &LabId) -> Option<PathBuf> {
    let mut alias = std::fs::read(link_dir(id).join("ifalias")).ok()?;
    alias.pop_if(|last| *last == b'\n');
    let state_dir = PathBuf::from(OsString::from_vec(alias));
    state_dir.is_absolute().then_some(state_dir)
}

fn link_dir(id: &LabId) -> PathBuf {
    Path::new(LINK_DIR).join(layout::link(id))
}

/// A named namespace that belongs to a lab.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub lab: LabId,
    pub name: String,
    pub path: PathBuf,
}

/// The namespaces of all labs on this machine.
pub(crate) fn namespaces() -> Result<Vec<Namespace>, LabError> {
    let dir = Path::new(NAMESPACE_DIR);
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io_at("list", dir))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_at("list", dir))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if let Some(lab) = layout::lab_of_namespace(&name) {
            found.push(Namespace { lab, name, path: entry.path() });
        }
    }
    Ok(found)
}

/// The namespaces of one lab.
pub(crate) fn namespaces_of(id: &LabId) -> Result<Vec<Namespace>, LabError> {
    let mut all = namespaces()?;
    all.retain(|namespace| namespace.lab == *id);
    Ok(all)
}

fn push(lines: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(lines, "{line}");
}
