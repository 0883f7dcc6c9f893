//! A cluster of one store: installed, started, asked, and taken down again over SSH.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use locktest_history::NodeId;
use thiserror::Error;

use crate::member::Member;
use crate::remote::{Remote, RemoteCommand, RemoteError};
use crate::service::{NodeLayout, Service, quote};
use crate::ssh::SshCluster;
use crate::store::Store;

/// How long one probe write may take.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// A pause between two probe writes while waiting for a server.
const PROBE_PAUSE: Duration = Duration::from_millis(50);

/// How often a server that does not answer is looked after.
const LIVENESS_CHECK: Duration = Duration::from_millis(500);

/// How much of a log goes into an error.
const LOG_LINES_IN_ERRORS: u32 = 15;

/// Why a cluster did not come to be, or could not be changed.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// A command on a node did not succeed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A server did not answer a write in time.
    #[error(
        "{server} on {node} answered no write for {waited_s} s: {reason}\n\
         the end of its log:\n{log}"
    )]
    NotReady {
        /// The store's name.
        server: &'static str,
        /// The node's name.
        node: String,
        /// How long it was waited for.
        waited_s: u64,
        /// The last refusal.
        reason: String,
        /// The end of the server's log.
        log: String,
    },
    /// The binary that the user named cannot be used.
    #[error("cannot use the server binary {path}: {reason}")]
    Binary {
        /// The path on the control node.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No HTTP client could be made.
    #[error("cannot set up HTTP: {0}")]
    Http(reqwest::Error),
}

/// The servers of one store on the nodes of a cluster.
pub struct Cluster {
    store: Store,
    members: Vec<Member>,
    services: Vec<Service>,
    ssh: Arc<SshCluster>,
    http: reqwest::Client,
}

impl Cluster {
    /// A cluster whose server is at `binary` on every node. Nothing is started yet.
    pub fn new(
        store: Store,
        members: Vec<Member>,
        binary: &Path,
        layout: &NodeLayout,
        ssh: Arc<SshCluster>,
    ) -> Result<Cluster, ClusterError> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(PROBE_TIMEOUT)
            .build()
            .map_err(ClusterError::Http)?;
        let services =
            members.iter().map(|member| store.service(member, &members, binary, layout)).collect();
        Ok(Cluster { store, members, services, ssh, http })
    }

    /// The server nodes, in the plan's order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Starts every server that does not run, all at once.
    pub async fn start(&self) -> Result<(), ClusterError> {
        self.on_all(Service::start).await
    }

    /// Starts one server.
    pub async fn start_node(&self, node: NodeId) -> Result<(), ClusterError> {
        self.on_one(node, Service::start).await
    }

    /// Asks one server to end, and waits until it has.
    pub async fn stop_node(&self, node: NodeId) -> Result<(), ClusterError> {
        self.on_one(node, Service::stop).await
    }

    /// Kills one server by SIGKILL, and waits until it is gone.
    pub async fn kill_node(&self, node: NodeId) -> Result<(), ClusterError> {
        self.on_one(node, Service::kill).await
    }

    /// Whether the server's process runs.
    pub async fn is_alive(&self, node: NodeId) -> Result<bool, ClusterError> {
        let index = usize::from(node.0);
        let command = self.services[index].check_alive();
        let output = self.ssh.run(&self.members[index].name, &command).await?;
        Ok(output.status == 0)
    }

    /// Deletes the data of a server that was stopped.
    pub async fn wipe_node(&self, node: NodeId) -> Result<(), ClusterError> {
        self.on_one(node, Service::wipe).await
    }

    /// Kills every server and deletes its data, so that the nodes are as they were before.
    pub async fn reset(&self) -> Result<(), ClusterError> {
        self.on_all(Service::kill).await?;
        self.on_all(Service::wipe).await
    }

    /// `address:port` of each server, for clients.
    pub fn client_addresses(&self) -> Vec<String> {
        let port = self.store.client_port();
        self.members.iter().map(|member| format!("{}:{port}", member.address)).collect()
    }

    /// A server's log, or its last `lines` lines.
    pub async fn log(&self, node: NodeId, lines: Option<u32>) -> Result<String, ClusterError> {
        let index = usize::from(node.0);
        let command = self.services[index].read_log(lines);
        Ok(self.ssh.run_ok(&self.members[index].name, &command).await?.stdout)
    }

    /// One real write through one server; the error is in words.
    pub async fn probe(&self, node: NodeId) -> Result<(), String> {
        self.store.write(&self.http, &self.members[usize::from(node.0)]).await
    }

    /// Waits until every server has answered a write. A server whose process has ended is not
    /// waited for.
    pub async fn wait_ready(&self, limit: Duration) -> Result<(), ClusterError> {
        let begin = Instant::now();
        for member in &self.members {
            let mut look_after = Instant::now() + LIVENESS_CHECK;
            while let Err(mut reason) = self.probe(member.id).await {
                let now = Instant::now();
                let mut given_up = begin.elapsed() > limit;
                if now > look_after {
                    look_after = now + LIVENESS_CHECK;
                    if !self.is_alive(member.id).await? {
                        reason = "its process has ended".into();
                        given_up = true;
                    }
                }
                if given_up {
                    let log = self.log(member.id, Some(LOG_LINES_IN_ERRORS)).await;
                    return Err(ClusterError::NotReady {
                        server: self.store.name(),
                        node: member.name.clone(),
                        waited_s: begin.elapsed().as_secs(),
                        reason,
                        log: log.unwrap_or_else(|error| format!("(it cannot be read: {error})")),
                    });
                }
                tokio::time::sleep(PROBE_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Who leads, as one server tells it; the error is in words.
    pub async fn leader_view(&self, node: NodeId) -> Result<Option<NodeId>, String> {
        let member = &self.members[usize::from(node.0)];
        self.store.leader(&self.http, member, &self.members).await
    }

    /// The leader that a majority of the servers names; `None` if there is no such one.
    pub async fn leader(&self) -> Option<NodeId> {
        let mut votes = vec![0; self.members.len()];
        let views = self.members.iter().map(|member| self.leader_view(member.id));
        for view in join_all(views).await {
            if let Ok(Some(leader)) = view {
                votes[usize::from(leader.0)] += 1;
            }
        }
        let leader = votes.iter().position(|votes| votes * 2 > self.members.len())?;
        Some(self.members[leader].id)
    }

    async fn on_one(
        &self,
        node: NodeId,
        command: impl Fn(&Service) -> RemoteCommand,
    ) -> Result<(), ClusterError> {
        let index = usize::from(node.0);
        self.ssh.run_ok(&self.members[index].name, &command(&self.services[index])).await?;
        Ok(())
    }

    async fn on_all(
        &self,
        command: impl Fn(&Service) -> RemoteCommand,
    ) -> Result<(), ClusterError> {
        let commands = self.members.iter().zip(&self.services).map(|(member, service)| {
            let command = command(service);
            async move { self.ssh.run_ok(&member.name, &command).await }
        });
        // Every node gets its command, whatever becomes of the others.
        for result in join_all(commands).await {
            result?;
        }
        Ok(())
    }
}

/// Copies a server binary of the control node's to every node, and returns its path there.
pub async fn upload_binary(
    ssh: &SshCluster,
    members: &[Member],
    local: &Path,
    layout: &NodeLayout,
) -> Result<PathBuf, ClusterError> {
    let unusable = |reason: String| ClusterError::Binary { path: local.to_owned(), reason };
    let bytes = tokio::fs::read(local).await.map_err(|error| unusable(error.to_string()))?;
    let name = local.file_name().ok_or_else(|| unusable("it has no file name".into()))?;
    let remote = layout.bin().join(name);
    let script = format!(
        "mkdir -p {folder} && cat > {path}.new && chmod 755 {path}.new && mv {path}.new {path}",
        folder = quote(&layout.bin().to_string_lossy()),
        path = quote(&remote.to_string_lossy()),
    );
    let command = RemoteCommand::new("copy the server binary", script)
        .stdin(bytes)
        .timeout(Duration::from_secs(120));
    try_join_all(members.iter().map(|member| ssh.run_ok(&member.name, &command))).await?;
    Ok(remote)
}

/// Asks a server binary on the control node for its version.
pub async fn binary_version(store: Store, path: &Path) -> Result<String, ClusterError> {
    let unusable = |reason: String| ClusterError::Binary { path: path.to_owned(), reason };
    let output = tokio::process::Command::new(path)
        .args(store.version_arguments())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(10), output)
        .await
        .map_err(|_| unusable("it did not tell its version within 10 s".into()))?
        .map_err(|error| unusable(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    first_version(&text)
        .ok_or_else(|| unusable(format!("it did not tell its version but {:?}", text.trim())))
}

/// The first word of `text` that looks like `1.2.3`, without a leading `v`.
fn first_version(text: &str) -> Option<String> {
    text.split_whitespace()
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_the_servers_print() {
        let consul = "Consul v1.8.7\nRevision 1\nProtocol 2 spoken by default";
        assert_eq!(first_version(consul).as_deref(), Some("1.8.7"));
        let etcd = "etcd Version: 3.4.23\nGit SHA: Not provided\nGo Version: go1.19.5";
        assert_eq!(first_version(etcd).as_deref(), Some("3.4.23"));
        assert_eq!(first_version("usage: frobnicate"), None);
    }

    #[tokio::test]
    async fn a_binary_that_is_not_there_is_named() {
        let error = binary_version(Store::Etcd, Path::new("/nowhere/etcd"))
            .await
            .expect_err("there is no such file");
        assert!(error.to_string().contains("/nowhere/etcd"), "{error}");
    }
}
