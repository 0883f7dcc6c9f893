//! A lab and connections to it, for one test. Needs root.

#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use locktest_cluster::{AuditLog, Member, Remote, RemoteCommand, SshCluster, SshTarget};
use locktest_history::NodeId;
use locktest_lab::{Lab, LabDirs, LabNode, LabSpec, down_id, preflight};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// Several labs at once would only slow each other down.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Far more than anything that is waited for here takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A lab, taken down when this is dropped. Packages come from the machine's cache.
pub struct Scene {
    pub folder: TempDir,
    pub lab: Lab,
    pub ssh: Arc<SshCluster>,
    dirs: LabDirs,
    _turn: MutexGuard<'static, ()>,
}

/// A test that fails half-way leaves no lab to the next.
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

impl Scene {
    pub async fn with_nodes(servers: u16) -> Scene {
        let turn = ONE_AT_A_TIME.lock().await;
        preflight().expect("a machine that can hold a lab");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dirs = LabDirs { state: folder.path().join("state"), ..LabDirs::from_env() };
        let spec = LabSpec { id: None, servers, clients: 0, subnet: None };
        let lab = Lab::up(&dirs, &spec).await.expect("a lab");
        let ssh = Arc::new(connect(&lab, &targets(&lab), AuditLog::none()));
        Scene { folder, lab, ssh, dirs, _turn: turn }
    }

    /// A connection beside [`ssh`](Scene::ssh), which is then the one that looks from aside.
    pub fn connect(&self, audit: AuditLog) -> SshCluster {
        connect(&self.lab, &self.targets(), audit)
    }

    pub fn targets(&self) -> Vec<SshTarget> {
        targets(&self.lab)
    }

    pub fn members(&self) -> Vec<Member> {
        let member = |(node, index): (&LabNode, u16)| Member {
            id: NodeId(index),
            name: node.name.clone(),
            address: node.address.to_string(),
        };
        self.lab.nodes().iter().zip(0..).map(member).collect()
    }

    /// What a script prints that succeeds on a node.
    pub async fn on(&self, node: &str, script: impl Into<String>) -> String {
        let command = RemoteCommand::new("look from aside", script);
        let output = self.ssh.run_ok(node, &command).await.expect("a command that succeeds");
        output.stdout.trim().to_owned()
    }

    /// Whether a script succeeds on a node.
    pub async fn holds_on(&self, node: &str, script: impl Into<String>) -> bool {
        let command = RemoteCommand::new("look from aside", script);
        self.ssh.run(node, &command).await.expect("a command that ends").status == 0
    }
}

pub fn connect(lab: &Lab, targets: &[SshTarget], audit: AuditLog) -> SshCluster {
    SshCluster::new(targets, &lab.ssh_control_dir(), audit)
}

fn targets(lab: &Lab) -> Vec<SshTarget> {
    let target = |node: &LabNode| SshTarget {
        name: node.name.clone(),
        host: node.address.to_string(),
        port: node.ssh_port,
        user: "root".into(),
        identity_file: Some(node.identity_file.clone()),
        known_hosts_file: Some(node.known_hosts_file.clone()),
    };
    lab.nodes().iter().map(target).collect()
}

/// Waits until `look` returns something.
pub async fn wait_for<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "{what} did not come within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
