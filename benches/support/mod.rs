//! What benchmarks share: a store's servers in a lab, the bare loop of a lock's calls, and figures.

#![allow(dead_code, reason = "no benchmark needs all of it")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use locktest_cluster::{
    AuditLog, Cluster, Deployment, Member, NodeLayout, Release, SshCluster, SshTarget, Store,
    upload,
};
use locktest_history::{ClientId, NodeId, Plan};
use locktest_lab::packages::{PackageRequest, obtain};
use locktest_lab::{Lab, LabDirs, LabSpec, NODE_BASE};
use locktest_workloads::ClientConfig;
use locktest_workloads::recipes::LockRecipe;
use tokio::time::timeout;

/// How long servers may take to answer their first write.
pub const READY_LIMIT: Duration = Duration::from_secs(60);

/// The one lock.
pub const KEY: &str = "lock-0";

/// The limit that every call has.
const CALL_LIMIT: Duration = Duration::from_secs(1);

/// Servers that answer.
pub struct Servers {
    lab: Lab,
    ssh: Arc<SshCluster>,
    addresses: Vec<String>,
}

impl Servers {
    /// Raises a lab, and the newest version of the plan's store in it. With a launcher the servers
    /// have clocks of their own.
    pub async fn start(plan: &Plan, launcher: Option<&Path>) -> Result<Servers> {
        let store = Store::of(plan.backend).context("a backend without servers")?;
        let dirs = LabDirs::from_env();
        let mut deployment = newest(&dirs, store).await?;
        let servers = u16::try_from(plan.nodes.len())?;
        let lab = Lab::up(&dirs, &LabSpec { id: None, servers, clients: 1, subnet: None }).await?;
        let ssh = connect(&lab);
        let started = async {
            let layout = NodeLayout::new(NODE_BASE);
            if let Some(launcher) = launcher {
                let launcher = upload(&ssh, &members(&lab), launcher, &layout).await?;
                deployment.clock_launcher = Some(launcher);
            }
            let cluster = Cluster::new(&deployment, &members(&lab), &layout, ssh.clone())?;
            cluster.start().await?;
            cluster.wait_ready(READY_LIMIT).await?;
            anyhow::Ok(cluster.client_addresses())
        };
        match started.await {
            Ok(addresses) => Ok(Servers { lab, ssh, addresses }),
            Err(error) => {
                ssh.close().await;
                lab.down().await?;
                Err(error)
            }
        }
    }

    /// What a client is told.
    pub fn config(&self, plan: &Plan) -> ClientConfig {
        ClientConfig {
            client: ClientId(0),
            origin_monotonic_ns: 0,
            servers: self.addresses.clone(),
            sentinels: Vec::new(),
            plan: plan.clone(),
        }
    }

    /// Removes the lab.
    pub async fn stop(self) -> Result<()> {
        self.ssh.close().await;
        Ok(self.lab.down().await?)
    }
}

/// The newest version of a store that is to be had, as its first recipe wants it.
pub async fn newest(dirs: &LabDirs, store: Store) -> Result<Deployment> {
    let release = Release::newest(store);
    let request =
        PackageRequest::new(release.suite, release.packages).of_version(release.upstream_version());
    let obtained = obtain(dirs, &request).await?;
    let roots: Vec<PathBuf> = obtained.into_iter().map(|package| package.node_root).collect();
    Ok(Deployment::plain(store, release.installation(&roots)))
}

/// SSH to the nodes of a lab.
pub fn connect(lab: &Lab) -> Arc<SshCluster> {
    let target = |node: &locktest_lab::LabNode| SshTarget {
        name: node.name.clone(),
        host: node.address.to_string(),
        port: node.ssh_port,
        user: "root".into(),
        identity_file: Some(node.identity_file.clone()),
        known_hosts_file: Some(node.known_hosts_file.clone()),
    };
    let targets: Vec<SshTarget> = lab.nodes().iter().map(target).collect();
    Arc::new(SshCluster::new(&targets, &lab.ssh_control_dir(), AuditLog::none()))
}

/// The nodes of a lab as members of a cluster.
pub fn members(lab: &Lab) -> Vec<Member> {
    let member = |(node, index): (&locktest_lab::LabNode, u16)| Member {
        id: NodeId(index),
        name: node.name.clone(),
        address: node.address.to_string(),
    };
    lab.nodes().iter().zip(0..).map(member).collect()
}

/// The times of acquires by nothing but the recipe's calls. Each lock is released, and its lease
/// ended, before the next.
pub async fn bare_acquires<R: LockRecipe>(recipe: &R, count: usize) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        let lease = timeout(CALL_LIMIT, recipe.open(0)).await??;
        let deadline = tokio::time::Instant::now() + CALL_LIMIT;
        let grant = timeout(CALL_LIMIT, recipe.lock(0, &lease.id, KEY, deadline)).await??;
        times.push(begin.elapsed());
        timeout(CALL_LIMIT, recipe.unlock(0, &lease.id, KEY, &grant)).await??;
        timeout(CALL_LIMIT, recipe.revoke(0, &lease.id, KEY)).await??;
    }
    Ok(times)
}

/// The time below which a share of the others lies, in milliseconds. Sorts them.
pub fn quantile_ms(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let rank = (times.len() as f64 * share) as usize;
    times[rank.min(times.len() - 1)].as_secs_f64() * 1e3
}

/// The median of figures, with the least and the greatest.
pub fn spread(figures: impl IntoIterator<Item = f64>) -> String {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_unstable_by(f64::total_cmp);
    let (min, max) = (figures[0], figures[figures.len() - 1]);
    format!("{:>9.3}   {min:.3}..{max:.3}", figures[figures.len() / 2])
}
