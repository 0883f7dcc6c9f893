//! What the logs of real servers on a real lab tell of an election that was watched. Needs root, and
//! the packages or a mirror to get them from.

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use locktest_cluster::{Cluster, Deployment, NodeLayout, Release, Store, elections};
use locktest_history::{Backend, Election, ElectionStep, NodeId, Plan, Recipe, RedisOptions};
use locktest_lab::packages::{PackageRequest, obtain};
use locktest_lab::{LabDirs, NODE_BASE};
use support::{PATIENCE, Scene, wait_for};

/// Says in the environment that every version is to be tried, and not the newest alone.
const ALL_VERSIONS: &str = "LOCKTEST_TEST_ALL_VERSIONS";

async fn cluster(scene: &Scene, release: &Release, recipe: Recipe) -> Cluster {
    let request =
        PackageRequest::new(release.suite, release.packages).of_version(release.upstream_version());
    let obtained = obtain(&LabDirs::from_env(), &request).await.expect("packages");
    let roots: Vec<_> = obtained.into_iter().map(|package| package.node_root).collect();
    let deployment = Deployment {
        store: release.store,
        recipe,
        redis: (release.store == Store::Redis).then_some(RedisOptions::DEFAULT),
        installation: release.installation(&roots),
        clock_launcher: None,
    };
    let layout = NodeLayout::new(NODE_BASE);
    Cluster::new(&deployment, &scene.members(), &layout, scene.ssh.clone()).expect("a cluster")
}

fn wall_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is right");
    u64::try_from(now.as_nanos()).expect("some centuries")
}

/// Some logs tell whole seconds.
const NS_PER_S: u64 = 1_000_000_000;

/// What all logs tell of the time since `since_ns`.
async fn told(cluster: &Cluster, since_ns: u64) -> Vec<Election> {
    let mut told = Vec::new();
    for member in cluster.members() {
        let logs = cluster.logs(member.id, None).await.expect("logs");
        let logs = logs.iter().map(|(server, log)| (*server, log.as_str()));
        told.extend(elections(member.id, logs, |ns| (ns >= since_ns).then_some(ns)));
    }
    told
}

async fn kill_the_leader(release: &Release, recipe: Recipe) {
    let scene = Scene::with_nodes(3).await;
    let cluster = cluster(&scene, release, recipe).await;
    let is_elected = recipe != Recipe::Sentinel;
    let begin_ns = wall_ns();
    cluster.start().await.expect("start");
    cluster.wait_ready(PATIENCE).await.expect("ready");
    let leads = async || cluster.leader().await;
    let old = wait_for("a leader", leads).await;
    let won = |told: &[Election], node: NodeId| {
        told.iter().any(|election| election.node == node && election.step == ElectionStep::Won)
    };
    let first = told(&cluster, begin_ns).await;
    assert_eq!(won(&first, old), is_elected, "{first:#?}");

    let killed_ns = wall_ns() / NS_PER_S * NS_PER_S;
    cluster.kill_node(old).await.expect("kill");
    let another = async || cluster.leader().await.filter(|leader| *leader != old);
    let new = wait_for("another leader", another).await;
    let second = told(&cluster, killed_ns).await;
    assert!(won(&second, new), "{}: {second:#?}", release.version);
    let now_ns = wall_ns();
    assert!(second.iter().all(|election| election.time_ns <= now_ns), "{second:#?}");
    let called = second.iter().filter(|election| election.step == ElectionStep::Called);
    assert!(called.count() > 0, "{}: {second:#?}", release.version);

    // The old one comes back, and has not given up in between what it died with.
    cluster.start_node(old).await.expect("start again");
    cluster.wait_ready(PATIENCE).await.expect("ready again");
    let gave_up: Vec<Election> = told(&cluster, killed_ns)
        .await
        .into_iter()
        .filter(|election| election.node == old && election.step == ElectionStep::SteppedDown)
        .collect();
    assert!(gave_up.is_empty() || recipe == Recipe::Sentinel, "{gave_up:#?}");
}

async fn kill_the_leader_of_each_version(backend: Backend) {
    let store = Store::of(backend).expect("a store with servers");
    let recipe = if store == Store::Redis { Recipe::Sentinel } else { Plan::of(backend).recipe };
    let all = Release::all(store);
    let chosen = if std::env::var_os(ALL_VERSIONS).is_some() { all } else { &all[..1] };
    for release in chosen {
        kill_the_leader(release, recipe).await;
    }
}

mod the_logs_tell_who_was_elected_and_when {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn consul() {
        kill_the_leader_of_each_version(Backend::Consul).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn etcd() {
        kill_the_leader_of_each_version(Backend::Etcd).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sentinel() {
        kill_the_leader_of_each_version(Backend::Redis).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn zookeeper() {
        kill_the_leader_of_each_version(Backend::Zookeeper).await;
    }
}
