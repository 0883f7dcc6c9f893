//! Everything that a fault can change on a bench or leave behind there.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use locktest_cluster::CONTROL;
use locktest_history::{Fault, FaultKind, NodeId};

use super::bench::Bench;

/// A process that is dead or not there.
pub const GONE: char = '-';

/// A process and what it is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub start_ticks: u64,
    /// `T` if it is stopped, [`GONE`], and `S` otherwise: one that runs is at this or that.
    pub state: char,
}

impl Process {
    /// The process that had this id when it started then.
    pub fn look(pid: u32, start_ticks: u64) -> Process {
        let state = match stat(pid) {
            Some((state, start)) if start == start_ticks => match state {
                'Z' | 'X' => GONE,
                'T' => 'T',
                _ => 'S',
            },
            _ => GONE,
        };
        Process { pid, start_ticks, state }
    }
}

/// The state letter and the start time of a process.
fn stat(pid: u32) -> Option<(char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.nth(18)?.parse().ok()?))
}

pub fn start_ticks(pid: u32) -> Option<u64> {
    stat(pid).map(|(_, start)| start)
}

/// All of it, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Of each node.
    pub rules: Vec<String>,
    pub servers: Vec<Process>,
    pub clients: Vec<Process>,
    /// The command lines of dead-man timers.
    pub timers: Vec<String>,
    /// What is in the run folders.
    pub files: Vec<String>,
    /// The hosts whose run folder somebody has locked.
    pub locked: Vec<String>,
    /// What is wrong with the clock of each node.
    pub clocks: Vec<String>,
}

impl Snapshot {
    /// Whether the clocks of these nodes are wrong, and no others.
    pub fn only_wrong_clocks_are(&self, nodes: &[NodeId]) -> bool {
        let wrong = (0..).zip(&self.clocks).filter(|(_, wrong)| !wrong.is_empty());
        wrong.map(|(node, _)| NodeId(node)).collect::<Vec<_>>() == nodes
    }

    /// How everything has to be once `fault` has come and gone: as it was, but a server that was
    /// killed has another process, which is the one of `now`, and a client that was killed none.
    pub fn after(&self, fault: &Fault, now: &Snapshot) -> Snapshot {
        let mut expected = self.clone();
        let kills =
            matches!(fault.kind, FaultKind::Kill | FaultKind::RestartAll | FaultKind::ClientKill);
        if !kills {
            return expected;
        }
        for node in fault.servers.iter().map(|node| usize::from(node.0)) {
            let (old, new) = (self.servers[node], now.servers[node]);
            let is_another = (old.pid, old.start_ticks) != (new.pid, new.start_ticks);
            expected.servers[node] = match is_another {
                true => Process { state: old.state, ..new },
                false => Process { state: GONE, ..old },
            };
        }
        for client in &fault.clients {
            expected.clients[client.0 as usize].state = GONE;
        }
        expected
    }
}

impl Bench {
    /// The process of a node's server, by its pid file.
    pub fn server(&self, node: &str) -> Process {
        let pid_file = fs::read_to_string(self.service(node).pid_file).unwrap_or_default();
        let mut words = pid_file.split_whitespace();
        let pid = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        Process::look(pid, words.next().and_then(|word| word.parse().ok()).unwrap_or(0))
    }

    pub fn snapshot(&self) -> Snapshot {
        let hosts: Vec<String> = [self.node_names(), vec![CONTROL.to_owned()]].concat();
        let folder = self.folder.path();
        Snapshot {
            rules: self.rules(),
            servers: self.node_names().iter().map(|node| self.server(node)).collect(),
            clients: (self.client_processes().iter())
                .map(|client| Process::look(client.pid, client.start_ticks))
                .collect(),
            timers: timers_below(folder).into_iter().map(|(_, line)| line).collect(),
            files: hosts.iter().flat_map(|host| files_in(folder, host)).collect(),
            locked: hosts.iter().filter(|host| is_locked(&folder.join(host))).cloned().collect(),
            clocks: self.node_names().iter().map(|node| self.wrong_clock(node)).collect(),
        }
    }

    /// What is wrong with the clock of a node's server, if it runs.
    fn wrong_clock(&self, node: &str) -> String {
        let clock = self.service(node).clock.expect("a clock of its own");
        let server = self.server(node);
        let mut remains = Command::new(clock.launcher);
        remains.arg("remains").arg("--file").arg(clock.setting).args(["--wait-ms", "1000"]);
        // One that is paused looks at no clock.
        if server.state == 'S' {
            remains.arg(server.pid.to_string());
        }
        let output = remains.output().expect("the launcher");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// The dead-man timers whose files are below a folder: process ids and command lines.
pub fn timers_below(folder: &Path) -> Vec<(i32, String)> {
    let folder = format!(" {}/", folder.display());
    let timer = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let pid = entry.file_name().to_string_lossy().parse().ok()?;
        let bytes = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&bytes).replace('\0', " ");
        (line.contains(&folder) && line.contains("/timer ")).then_some((pid, line))
    };
    fs::read_dir("/proc").expect("/proc").filter_map(timer).collect()
}

fn files_in(folder: &Path, host: &str) -> Vec<String> {
    let entries = fs::read_dir(folder.join(host)).expect("a run folder");
    let name = |entry: io::Result<fs::DirEntry>| {
        format!("{host}/{}", entry.expect("an entry").file_name().to_string_lossy())
    };
    entries.map(name).collect()
}

fn is_locked(folder: &Path) -> bool {
    let status = Command::new("flock").arg("-n").arg(folder).arg("true").status();
    !status.expect("flock").success()
}
