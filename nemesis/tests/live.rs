//! Real partitions of a real lab, by SSH. Needs root.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use locktest_cluster::{
    AuditLog, Remote, RemoteCommand, RemoteError, RemoteOutput, SshCluster, SshTarget,
};
use locktest_history::PartitionShape;
use locktest_lab::{Lab, LabDirs, LabSpec, NODE_BASE, down_id};
use locktest_nemesis::{Endpoint, Nemesis, NemesisSetting, heal};
use support::{nemesis, setting, side, side_with};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// Several labs at once would only slow each other down.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

const NODES: [&str; 5] = ["n1", "n2", "n3", "n4", "n5"];

/// A lab of five nodes with foreign rules on each, taken down when this is dropped.
struct Scene {
    folder: TempDir,
    dirs: LabDirs,
    lab: Lab,
    /// A connection beside the nemesis' own.
    observer: SshCluster,
    _turn: MutexGuard<'static, ()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let (dirs, id) = (self.dirs.clone(), self.lab.id().to_owned());
        let down = move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(down_id(&dirs, &id)).expect("down");
        };
        std::thread::spawn(down).join().expect("the lab is removed");
    }
}

async fn scene() -> Scene {
    let turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dirs =
        LabDirs { state: folder.path().join("labs"), package_cache: folder.path().join("cache") };
    let spec = LabSpec { id: None, servers: 5, clients: 2, subnet: None };
    let lab = Lab::up(&dirs, &spec).await.expect("a lab");
    let observer = connect(&targets(&lab), &lab.ssh_control_dir());
    let scene = Scene { folder, dirs, lab, observer, _turn: turn };
    let plant = "iptables -w -N ADMIN && iptables -w -A ADMIN -s 192.0.2.77 -j DROP && \
                 iptables -w -A INPUT -j ADMIN && iptables -w -A OUTPUT -d 192.0.2.78 -j REJECT";
    for node in NODES {
        scene.on(node, plant).await;
    }
    scene
}

fn targets(lab: &Lab) -> Vec<SshTarget> {
    let target = |node: &locktest_lab::LabNode| SshTarget {
        name: node.name.clone(),
        host: node.address.to_string(),
        port: node.ssh_port,
        user: "root".into(),
        identity_file: Some(node.identity_file.clone()),
        known_hosts_file: Some(node.known_hosts_file.clone()),
    };
    lab.nodes().iter().map(target).collect()
}

fn connect(targets: &[SshTarget], control_dir: &Path) -> SshCluster {
    SshCluster::new(targets, control_dir, AuditLog::none())
}

impl Scene {
    async fn on(&self, node: &str, script: &str) -> String {
        let command = RemoteCommand::new("look from aside", script);
        self.observer.run_ok(node, &command).await.expect("a command that succeeds").stdout
    }

    /// Every node's firewall, without counters and comment lines.
    async fn rules(&self) -> Vec<String> {
        let mut rules = Vec::new();
        for node in NODES {
            rules.push(self.on(node, "iptables-save | sed -e /^#/d -e 's/ \\[.*//'").await);
        }
        rules
    }

    /// Every node's dead-man timers, and what else is in the run folder.
    async fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for node in NODES {
            let script = format!(
                "ls {NODE_BASE}/run; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | \
                 grep -o '[^ ]*LT-r1-[0-9]*/timer' || true"
            );
            left.push(self.on(node, &script).await);
        }
        left
    }

    /// The servers are stood in for by each node's sshd: it takes connections from the others.
    fn setting(&self) -> NemesisSetting {
        let endpoints = targets(&self.lab)
            .into_iter()
            .zip(self.lab.nodes())
            .map(|(ssh, node)| Endpoint { ssh, address: node.address, probe_port: node.ssh_port })
            .collect();
        let run_dir = PathBuf::from(NODE_BASE).join("run");
        NemesisSetting {
            lab_id: Some(self.lab.id().to_owned()),
            clients: self.lab.client_addresses(),
            ..setting(self.folder.path(), endpoints, &run_dir)
        }
    }

    /// The servers to which a client, counted from zero, can connect.
    async fn reached_by(&self, client: usize) -> Vec<&str> {
        let mut reached = Vec::new();
        for node in self.lab.nodes() {
            let mut command = self.lab.client_command(client, Path::new("timeout"));
            let connect = format!("exec 3<>/dev/tcp/{}/{}", node.address, node.ssh_port);
            command.args(["2", "bash", "-c", &connect]).stderr(std::process::Stdio::null());
            if command.status().await.expect("ip").success() {
                reached.push(node.name.as_str());
            }
        }
        reached
    }

    fn ssh(&self) -> SshCluster {
        connect(&targets(&self.lab), &self.lab.ssh_control_dir())
    }
}

async fn begin<R: Remote>(nemesis: &Nemesis<R>, deadline_s: u64) -> locktest_nemesis::ActiveFault {
    let sides = vec![side(&[1, 3]), side(&[0, 2, 4])];
    let deadline = Duration::from_secs(deadline_s);
    nemesis.begin(1, PartitionShape::Halves, sides, deadline).await.expect("applied")
}

/// Answers "success" to every command that would apply a fault, and does not send it.
struct Swallowing(SshCluster);

impl Remote for Swallowing {
    async fn run(&self, node: &str, command: &RemoteCommand) -> Result<RemoteOutput, RemoteError> {
        if command.purpose.starts_with("apply ") {
            return Ok(RemoteOutput { status: 0, stdout: String::new(), stderr: String::new() });
        }
        self.0.run(node, command).await
    }
}

#[tokio::test]
async fn a_real_partition_bites_and_leaves_nothing_behind() {
    let scene = scene().await;
    let before = scene.rules().await;
    let nemesis = nemesis(scene.setting(), &Arc::new(scene.ssh()));
    let mut fault = begin(&nemesis, 600).await;
    assert!(scene.rules().await.iter().all(|rules| rules.contains("-A INPUT -m comment")));
    assert!(scene.left().await.iter().all(|left| left.contains("LT-r1-1/timer")));
    nemesis.observe(&mut fault).await;
    let ended = nemesis.end(fault).await;
    assert!(ended.bit, "{ended:?}");
    assert!(ended.undone, "{ended:?}");
    assert_eq!(scene.rules().await, before);
    assert_eq!(scene.left().await, [""; 5]);
}

#[tokio::test]
async fn a_real_partition_of_clients_from_servers_bites_and_leaves_nothing_behind() {
    let scene = scene().await;
    let before = scene.rules().await;
    let nemesis = nemesis(scene.setting(), &Arc::new(scene.ssh()));
    let sides = vec![side_with(&[1, 3], &[0]), side_with(&[0, 2, 4], &[1])];
    let deadline = Duration::from_secs(600);
    let fault = nemesis.begin(1, PartitionShape::Halves, sides.clone(), deadline).await;
    let mut fault = fault.expect("applied");
    assert_eq!(fault.begun.sides, sides);
    assert_eq!(scene.reached_by(0).await, ["n2", "n4"]);
    assert_eq!(scene.reached_by(1).await, ["n1", "n3", "n5"]);
    nemesis.observe(&mut fault).await;
    let ended = nemesis.end(fault).await;
    assert!(ended.bit, "{ended:?}");
    assert!(ended.undone, "{ended:?}");
    assert_eq!(scene.reached_by(0).await, NODES);
    assert_eq!(scene.reached_by(1).await, NODES);
    assert_eq!(scene.rules().await, before);
    assert_eq!(scene.left().await, [""; 5]);
}

#[tokio::test]
async fn a_partition_that_was_swallowed_on_its_way_did_not_bite() {
    let scene = scene().await;
    let before = scene.rules().await;
    let nemesis = nemesis(scene.setting(), &Arc::new(Swallowing(scene.ssh())));
    let mut fault = begin(&nemesis, 600).await;
    nemesis.observe(&mut fault).await;
    let ended = nemesis.end(fault).await;
    assert!(!ended.bit, "{ended:?}");
    assert!(ended.undone, "{ended:?}");
    assert_eq!(scene.rules().await, before);
}

#[tokio::test]
async fn nodes_whose_control_node_died_heal_themselves() {
    let scene = scene().await;
    let before = scene.rules().await;
    let ssh = Arc::new(scene.ssh());
    let nemesis = nemesis(scene.setting(), &ssh);
    let fault = begin(&nemesis, 2).await;
    drop((fault, nemesis, ssh));
    let limit = std::time::Instant::now() + Duration::from_secs(30);
    while scene.rules().await != before || scene.left().await != [""; 5] {
        assert!(std::time::Instant::now() < limit, "{:?}", scene.left().await);
    }
}

#[tokio::test]
async fn heal_cleans_from_the_journal_alone() {
    let scene = scene().await;
    let before = scene.rules().await;
    let ssh = Arc::new(scene.ssh());
    let nemesis = nemesis(scene.setting(), &ssh);
    let fault = begin(&nemesis, 600).await;
    drop((fault, nemesis, ssh));
    assert_ne!(scene.rules().await, before);
    let state = scene.folder.path().join("state");
    let control_dir = scene.lab.ssh_control_dir();
    let report =
        heal(&state, Some("r1"), |_, targets| connect(targets, &control_dir), |_| true).await;
    let report = report.expect("an index");
    assert!(report.is_clean(), "{report:?}");
    assert!(report.runs[0].faults[0].undone());
    assert_eq!(scene.rules().await, before);
    assert_eq!(scene.left().await, [""; 5]);
}

#[tokio::test]
async fn the_address_that_the_control_node_comes_from_is_never_cut_off() {
    let scene = scene().await;
    let before = scene.rules().await;
    let mut setting = scene.setting();
    setting.endpoints[1].address = scene.lab.control_address();
    let nemesis = nemesis(setting, &Arc::new(scene.ssh()));
    let sides = vec![side(&[1]), side(&[0, 2, 3, 4])];
    let failed = nemesis.begin(1, PartitionShape::One, sides, Duration::from_secs(600)).await;
    let failed = failed.expect_err("the control path is never cut");
    assert!(failed.to_string().contains("is the control node"), "{failed}");
    assert!(failed.undone(), "{failed:?}");
    assert_eq!(scene.rules().await, before);
    assert_eq!(scene.left().await, [""; 5]);
}
