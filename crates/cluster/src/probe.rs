//! How a server is asked whether it serves, and who leads. One arm a store, one module behind it.

use std::time::Duration;

use locktest_history::{NodeId, Recipe};
use tokio::time::timeout;

use crate::deployment::Deployment;
use crate::leadership::LeaderView;
use crate::member::Member;
use crate::store::Store;
use crate::{consul, etcd, redis, sentinel, zookeeper};

/// How long one probe may take.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Asks one server, over a connection of its own where the store's protocol keeps one.
pub(crate) enum Probe {
    Consul(consul::Probe),
    Etcd(etcd::Probe),
    Redis(redis::Probe),
    Sentinel(sentinel::Probe),
    Zookeeper(zookeeper::Probe),
}

impl Probe {
    /// Nothing is connected to yet.
    pub fn new(
        deployment: &Deployment,
        member: &Member,
        members: &[Member],
        http: &reqwest::Client,
    ) -> Probe {
        match (deployment.store, deployment.recipe) {
            (Store::Consul, _) => Probe::Consul(consul::Probe::new(http, member, members)),
            (Store::Etcd, _) => Probe::Etcd(etcd::Probe::new(http, member, members)),
            (Store::Zookeeper, _) => Probe::Zookeeper(zookeeper::Probe::new(member)),
            (Store::Redis, Recipe::Sentinel) => {
                Probe::Sentinel(sentinel::Probe::new(member, members))
            }
            (Store::Redis, _) => Probe::Redis(redis::Probe::new(member)),
        }
    }

    /// Writes a value through the server, and waits for the acknowledgement.
    pub async fn write(&self) -> Result<(), String> {
        let write = async {
            match self {
                Probe::Consul(probe) => probe.write().await,
                Probe::Etcd(probe) => probe.write().await,
                Probe::Redis(probe) => probe.write().await,
                Probe::Sentinel(probe) => probe.write().await,
                Probe::Zookeeper(probe) => probe.write().await,
            }
        };
        bounded(write).await
    }

    /// Like [`write`](Probe::write), and everything else is in order that a run begins with.
    pub async fn ready(&self) -> Result<(), String> {
        self.write().await?;
        match self {
            Probe::Sentinel(probe) => bounded(probe.settled()).await,
            Probe::Consul(_) | Probe::Etcd(_) | Probe::Redis(_) | Probe::Zookeeper(_) => Ok(()),
        }
    }

    /// Asks the server who leads.
    pub async fn leader(&self) -> Result<LeaderView, String> {
        let leader = async {
            match self {
                Probe::Consul(probe) => probe.leader().await.map(LeaderView::Names),
                Probe::Etcd(probe) => probe.leader().await.map(LeaderView::Names),
                Probe::Sentinel(probe) => probe.leader().await.map(LeaderView::Names),
                Probe::Zookeeper(probe) => probe.leader().await,
                // Independent servers have none.
                Probe::Redis(_) => Ok(LeaderView::Names(None)),
            }
        };
        bounded(leader).await
    }
}

/// Whatever a store's client library promises.
async fn bounded<T>(answer: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    timeout(PROBE_TIMEOUT, answer).await.unwrap_or_else(|_| Err("no answer in time".into()))
}

/// The server at an address.
pub(crate) fn member_at(members: &[Member], address: &str) -> Option<NodeId> {
    members.iter().find(|member| member.address == address).map(|member| member.id)
}

/// An HTTP error with its causes, without the URL: the node is named beside it.
pub(crate) fn describe(error: reqwest::Error) -> String {
    use std::error::Error;
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
}
