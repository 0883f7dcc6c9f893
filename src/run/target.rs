//! What is under test: a cluster of servers, or the sim.

use std::sync::Arc;

use locktest_cluster::{Cluster, PROBE_TIMEOUT};
use locktest_history::NodeId;
use locktest_workloads::sim::SimServer;
use tokio::time::timeout;

/// Something that takes locks and answers probes. Clones are the same thing.
#[derive(Clone)]
pub enum Target {
    /// Servers on nodes.
    Cluster(Arc<Cluster>),
    /// The service inside this process.
    Sim(Arc<SimServer>),
}

impl Target {
    /// How many servers it has.
    pub fn servers(&self) -> usize {
        match self {
            Target::Cluster(cluster) => cluster.members().len(),
            Target::Sim(_) => 1,
        }
    }

    /// `address:port` of each server, for clients.
    pub fn client_addresses(&self) -> Vec<String> {
        match self {
            Target::Cluster(cluster) => cluster.client_addresses(),
            Target::Sim(sim) => vec![sim.address().to_owned()],
        }
    }

    /// `address:port` of each sentinel, for clients, where there are any.
    pub fn sentinel_addresses(&self) -> Vec<String> {
        match self {
            Target::Cluster(cluster) => cluster.sentinel_addresses(),
            Target::Sim(_) => Vec::new(),
        }
    }

    /// One real write through one server; the error is in words.
    pub async fn probe(&self, node: NodeId) -> Result<(), String> {
        match self {
            Target::Cluster(cluster) => cluster.probe(node).await,
            Target::Sim(sim) => timeout(PROBE_TIMEOUT, sim.probe())
                .await
                .map_err(|_| format!("no answer within {} ms", PROBE_TIMEOUT.as_millis())),
        }
    }

    /// Who leads, as one server tells it; `None` also if it does not answer.
    pub async fn leader_view(&self, node: NodeId) -> Option<NodeId> {
        match self {
            Target::Cluster(cluster) => cluster.leader_view(node).await.ok().flatten(),
            Target::Sim(_) => None,
        }
    }
}
