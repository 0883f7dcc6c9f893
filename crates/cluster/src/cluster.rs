//! A cluster of one store: installed, started, asked, and taken down again over SSH.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use locktest_history::NodeId;
use thiserror::Error;

use crate::deployment::Deployment;
use crate::leadership::{self, LeaderView};
use crate::member::Member;
use crate::probe::{PROBE_TIMEOUT, Probe};
use crate::remote::{CONTROL, Remote, RemoteCommand, RemoteError};
use crate::sentinel;
use crate::service::{NodeLayout, Service};
use crate::ssh::SshCluster;
use crate::store::Store;
use crate::usage::{self, Usages};

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
    /// A node has a name that means another host.
    #[error("no server node may be called {CONTROL}: that is the control node's own host")]
    ReservedName,
    /// No HTTP client could be made.
    #[error("cannot set up HTTP: {0}")]
    Http(reqwest::Error),
}

/// The servers of one store on the nodes of a cluster.
pub struct Cluster {
    store: Store,
    nodes: Vec<Node>,
    /// Whatever any deployment runs on a node.
    possible: Vec<Service>,
    ssh: Arc<SshCluster>,
}

/// What runs on one node, and how it is asked.
struct Node {
    member: Member,
    /// That of the clients first.
    services: Vec<Service>,
    probe: Probe,
}

impl Cluster {
    /// The servers of a deployment, one member of them on each node. Nothing is started yet.
    pub fn new(
        deployment: &Deployment,
        members: &[Member],
        layout: &NodeLayout,
        ssh: Arc<SshCluster>,
    ) -> Result<Cluster, ClusterError> {
        if members.iter().any(|member| member.name == CONTROL) {
            return Err(ClusterError::ReservedName);
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(PROBE_TIMEOUT)
            .build()
            .map_err(ClusterError::Http)?;
        let node = |member: &Member| Node {
            member: member.clone(),
            services: deployment.services(member, members, layout),
            probe: Probe::new(deployment, member, members, &http),
        };
        let (store, nodes) = (deployment.store, members.iter().map(node).collect());
        Ok(Cluster { store, nodes, possible: deployment.possible_services(layout), ssh })
    }

    /// The server nodes, in the plan's order.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.nodes.iter().map(|node| &node.member)
    }

    /// The server processes of a node, that of the clients first.
    pub fn services(&self, node: NodeId) -> &[Service] {
        &self.node(node).services
    }

    /// Starts every server that does not run, all at once.
    pub async fn start(&self) -> Result<(), ClusterError> {
        let nodes = self.nodes.iter();
        all(nodes.map(|node| self.on_node(node, &node.services, Service::start))).await
    }

    /// Starts the servers of one node.
    pub async fn start_node(&self, node: NodeId) -> Result<(), ClusterError> {
        self.on_one(node, Service::start).await
    }

    /// Asks the servers of one node to end, and waits until they have.
    pub async fn stop_node(&self, node: NodeId) -> Result<(), ClusterError> {
        self.on_one(node, Service::stop).await
    }

    /// Kills the servers of one node by SIGKILL, and waits until they are gone.
    pub async fn kill_node(&self, node: NodeId) -> Result<(), ClusterError> {
        self.on_one(node, Service::kill).await
    }

    /// Whether every server process of the node runs.
    pub async fn is_alive(&self, node: NodeId) -> Result<bool, ClusterError> {
        let node = self.node(node);
        let commands = node.services.iter().map(|service| {
            let command = service.check_alive();
            async move { self.ssh.run(&node.member.name, &command).await }
        });
        let outputs = join_all(commands).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(outputs.iter().all(|output| output.status == 0))
    }

    /// Deletes the data and the logs of a node whose servers were stopped.
    pub async fn wipe_node(&self, node: NodeId) -> Result<(), ClusterError> {
        self.on_one(node, Service::wipe).await
    }

    /// Kills every server and deletes its data and its log, so that the nodes are as they were
    /// before any run. That goes also for other stores and recipes: a sentinel that an earlier run
    /// left behind would make replicas of independent servers.
    pub async fn reset(&self) -> Result<(), ClusterError> {
        for command in [Service::kill, Service::wipe] {
            let nodes = self.nodes.iter();
            let on_nodes = nodes.map(|node| self.on_node(node, &self.possible, command));
            all(on_nodes).await?;
        }
        Ok(())
    }

    /// `address:port` of each node's server, for clients.
    pub fn client_addresses(&self) -> Vec<String> {
        let port = self.store.client_port();
        self.members().map(|member| format!("{}:{port}", member.address)).collect()
    }

    /// `address:port` of each sentinel, for clients; empty if the deployment has none.
    pub fn sentinel_addresses(&self) -> Vec<String> {
        let has_sentinel =
            |node: &&Node| node.services.iter().any(|service| service.name == sentinel::SERVICE);
        let address = |node: &Node| format!("{}:{}", node.member.address, sentinel::PORT);
        self.nodes.iter().filter(has_sentinel).map(address).collect()
    }

    /// The log of each server of a node, or its last `lines` lines, with the server's name; that
    /// of the clients first.
    pub async fn logs(
        &self,
        node: NodeId,
        lines: Option<u32>,
    ) -> Result<Vec<(&'static str, String)>, ClusterError> {
        let node = self.node(node);
        let mut logs = Vec::with_capacity(node.services.len());
        for service in &node.services {
            let output = self.ssh.run_ok(&node.member.name, &service.read_log(lines)).await?;
            logs.push((service.name, output.stdout));
        }
        Ok(logs)
    }

    /// Looks once a second at what the servers of a node cost, for at most `limit`.
    pub async fn usages(&self, node: NodeId, limit: Duration) -> Result<Usages<'_>, RemoteError> {
        let Node { member, services, .. } = self.node(node);
        let lines = self.ssh.stream(&member.name, &usage::watch(services, limit)).await?;
        Ok(Usages::new(node, lines))
    }

    /// One real write through one server; the error is in words.
    pub async fn probe(&self, node: NodeId) -> Result<(), String> {
        self.node(node).probe.write().await
    }

    /// Waits until every server has answered a write. A server whose process has ended is not
    /// waited for.
    pub async fn wait_ready(&self, limit: Duration) -> Result<(), ClusterError> {
        let begin = Instant::now();
        for Node { member, probe, .. } in &self.nodes {
            let mut look_after = Instant::now() + LIVENESS_CHECK;
            while let Err(mut reason) = probe.ready().await {
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
                    return Err(ClusterError::NotReady {
                        server: self.store.name(),
                        node: member.name.clone(),
                        waited_s: begin.elapsed().as_secs(),
                        reason,
                        log: self.ends_of_logs(member.id).await,
                    });
                }
                tokio::time::sleep(PROBE_PAUSE).await;
            }
        }
        Ok(())
    }

    async fn ends_of_logs(&self, node: NodeId) -> String {
        let logs = match self.logs(node, Some(LOG_LINES_IN_ERRORS)).await {
            Ok(logs) => logs,
            Err(error) => return format!("(it cannot be read: {error})"),
        };
        match &logs[..] {
            [(_name, log)] => log.clone(),
            logs => logs.iter().map(|(name, log)| format!("{name}:\n{log}")).collect(),
        }
    }

    /// Who leads, as one server tells it: one that knows of itself alone names itself or nobody.
    /// The error is in words.
    pub async fn leader_view(&self, node: NodeId) -> Result<Option<NodeId>, String> {
        Ok(match self.node(node).probe.leader().await? {
            LeaderView::Names(leader) => leader,
            LeaderView::Leads { .. } => Some(node),
            LeaderView::Follows => None,
        })
    }

    /// The leader in whom a majority of the servers agrees; `None` if there is no such one.
    pub async fn leader(&self) -> Option<NodeId> {
        let views = join_all(self.nodes.iter().map(|node| node.probe.leader())).await;
        leadership::leader(&views.into_iter().map(Result::ok).collect::<Vec<_>>())
    }

    fn node(&self, node: NodeId) -> &Node {
        &self.nodes[usize::from(node.0)]
    }

    async fn on_one(
        &self,
        node: NodeId,
        command: impl Fn(&Service) -> RemoteCommand,
    ) -> Result<(), ClusterError> {
        let node = self.node(node);
        self.on_node(node, &node.services, command).await
    }

    /// Runs a command on a node for each service.
    async fn on_node(
        &self,
        node: &Node,
        services: &[Service],
        command: impl Fn(&Service) -> RemoteCommand,
    ) -> Result<(), ClusterError> {
        let commands = services.iter().map(|service| {
            let command = command(service);
            async move {
                self.ssh.run_ok(&node.member.name, &command).await?;
                Ok(())
            }
        });
        all(commands).await
    }
}

/// Does everything, whatever becomes of the others; the first error is told.
async fn all(
    work: impl IntoIterator<Item = impl Future<Output = Result<(), ClusterError>>>,
) -> Result<(), ClusterError> {
    join_all(work).await.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::AuditLog;
    use crate::installation::Installation;

    #[test]
    fn a_server_node_cannot_have_the_control_nodes_name() {
        let deployment = Deployment::plain(Store::Etcd, Installation::of_binary("/bin/etcd"));
        let cluster = |members: &[Member]| {
            let ssh = SshCluster::new(&[], "/nonexistent".as_ref(), AuditLog::none());
            Cluster::new(&deployment, members, &NodeLayout::new("/node"), Arc::new(ssh))
        };
        let mut members = Member::for_tests(3);
        let good = cluster(&members).expect("a cluster");
        assert_eq!(good.services(members[1].id)[0].name, "etcd");
        members[1].name = CONTROL.into();
        assert!(matches!(cluster(&members), Err(ClusterError::ReservedName)));
    }
}
