//! A place on this machine for the labs of one test, and what can be seen of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use locktest_lab::{Lab, LabDirs, LabSpec, LabStatus, LabUser, down_id, list, preflight};
use tokio::sync::{Mutex, MutexGuard};

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Directories for one test, and the turn to use the machine. Below `/tmp`, which nodes cover.
pub struct Machine {
    pub dirs: LabDirs,
    /// The directories of somebody else on the same machine.
    pub elsewhere: LabDirs,
    _dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// A test that fails half-way leaves no lab to the next.
impl Drop for Machine {
    fn drop(&mut self) {
        let both = [self.dirs.clone(), self.elsewhere.clone()];
        let clean = move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            for dirs in both {
                for entry in fs::read_dir(dirs.state.join("labs")).into_iter().flatten().flatten() {
                    let id = entry.file_name().into_string().expect("an id");
                    runtime.block_on(down_id(&dirs, &id)).expect("down");
                }
            }
        };
        std::thread::spawn(clean).join().expect("labs are removed");
    }
}

pub async fn machine() -> Machine {
    let turn = ONE_AT_A_TIME.lock().await;
    preflight().expect("a machine that can hold a lab");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cache = dir.path().join("cache");
    let dirs = LabDirs { state: dir.path().join("state"), package_cache: cache.clone() };
    let elsewhere = LabDirs { state: dir.path().join("else where #2"), package_cache: cache };
    Machine { dirs, elsewhere, _dir: dir, _turn: turn }
}

pub fn spec(servers: u16, clients: u16) -> LabSpec {
    LabSpec { id: None, servers, clients, subnet: None }
}

pub async fn up(machine: &Machine, servers: u16, clients: u16) -> Lab {
    Lab::up(&machine.dirs, &spec(servers, clients)).await.expect("a lab")
}

pub fn status_of(dirs: &LabDirs, id: &str) -> LabStatus {
    let listed = list(dirs).expect("a list");
    listed.into_iter().find(|status| status.id == id).expect("it is listed")
}

pub fn this_process() -> LabUser {
    LabUser { pid: i32::try_from(std::process::id()).ok() }
}

pub fn ssh(lab: &Lab, node: &str, script: &str) -> Output {
    lab.ssh_command(node).expect("a node").arg(script).output().expect("ssh runs")
}

pub fn ssh_ok(lab: &Lab, node: &str, script: &str) -> String {
    let output = ssh(lab, node, script);
    assert!(output.status.success(), "{node}: `{script}`: {output:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

pub fn stdout_of(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect("it runs");
    String::from_utf8(output.stdout).expect("text")
}

/// What this machine shows of a lab: namespaces, links, mounts.
pub fn traces(machine: &Machine, id: &str) -> BTreeSet<String> {
    let state = machine.dirs.state.display().to_string();
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let all = stdout_of("ip", &["netns", "list"]) + &stdout_of("ip", &["-br", "link"]) + &mounts;
    let ours = |line: &&str| line.contains(&format!("lt-{id}")) || line.contains(&state);
    all.lines().filter(ours).map(str::to_owned).collect()
}

/// The processes in all namespaces of a lab.
pub fn processes(id: &str) -> Vec<PathBuf> {
    let namespaces = stdout_of("ip", &["netns", "list"]);
    let names = namespaces.lines().filter_map(|line| line.split(' ').next());
    let ours = names.filter(|name| name.starts_with(&format!("lt-{id}-")));
    let pids = ours.map(|name| stdout_of("ip", &["netns", "pids", name])).collect::<String>();
    pids.lines().map(|pid| Path::new("/proc").join(pid)).collect()
}

/// Killed processes are collected by their parents a moment later.
pub async fn assert_gone(machine: &Machine, id: &str, processes: &[PathBuf]) {
    assert_eq!(traces(machine, id), BTreeSet::new());
    assert!(!machine.dirs.state.join("labs").join(id).exists());
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Some(process) = processes.iter().find(|process| process.exists()) {
        assert!(Instant::now() < deadline, "{} is still there", process.display());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
