//! Real servers on a real lab, by SSH. Needs root, and the packages or a mirror to get them from.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use locktest_cluster::{
    Cluster, ClusterError, Deployment, Installation, NodeLayout, Release, RemoteError, Store,
    binary_version, upload,
};
use locktest_history::{NodeId, Recipe, RedisOptions};
use locktest_lab::packages::{PackageRequest, obtain};
use locktest_lab::{LabDirs, NODE_BASE};
use support::{PATIENCE, Scene, wait_for};

/// A store as one of its recipes wants it.
#[derive(Clone, Copy)]
struct Kind {
    store: Store,
    recipe: Recipe,
}

impl Kind {
    const CONSUL: Kind = Kind { store: Store::Consul, recipe: Recipe::Session };
    const ETCD: Kind = Kind { store: Store::Etcd, recipe: Recipe::LockRpc };
    const REDLOCK: Kind = Kind { store: Store::Redis, recipe: Recipe::Redlock };
    const SENTINEL: Kind = Kind { store: Store::Redis, recipe: Recipe::Sentinel };
    const ZOOKEEPER: Kind = Kind { store: Store::Zookeeper, recipe: Recipe::EphemeralSequential };

    fn deployment(self, installation: Installation) -> Deployment {
        let redis = (self.store == Store::Redis).then_some(RedisOptions::DEFAULT);
        Deployment {
            store: self.store,
            recipe: self.recipe,
            redis,
            installation,
            clock_launcher: None,
        }
    }

    /// What the servers of one node are called.
    fn services(self) -> &'static [&'static str] {
        match self.recipe {
            Recipe::Session => &["consul"],
            Recipe::LockRpc => &["etcd"],
            Recipe::Sentinel => &["redis", "sentinel"],
            Recipe::EphemeralSequential => &["zookeeper"],
            _ => &["redis"],
        }
    }
}

/// A test as a module of its own, with one test for each kind of cluster in it.
macro_rules! of_each_kind {
    ($($name:ident: $($kind:ident $constant:ident),*;)*) => {$(
        mod $name {$(
            #[tokio::test(flavor = "multi_thread")]
            async fn $kind() {
                super::$name(super::Kind::$constant).await;
            }
        )*}
    )*};
}

of_each_kind! {
    a_new_cluster_answers_writes_through_every_server_and_agrees_on_a_leader:
        consul CONSUL, etcd ETCD, redlock REDLOCK, sentinel SENTINEL, zookeeper ZOOKEEPER;
    a_killed_leader_is_replaced_and_comes_back:
        consul CONSUL, etcd ETCD, sentinel SENTINEL, zookeeper ZOOKEEPER;
    a_server_is_stopped_before_its_data_can_be_wiped_and_a_reset_leaves_nothing:
        consul CONSUL, etcd ETCD, redlock REDLOCK, sentinel SENTINEL, zookeeper ZOOKEEPER;
    a_server_that_does_not_come_up_is_named_with_the_end_of_its_log:
        consul CONSUL, sentinel SENTINEL, zookeeper ZOOKEEPER;
    another_version_than_the_newest_takes_writes_and_is_what_it_is_said_to_be:
        etcd ETCD, redlock REDLOCK, zookeeper ZOOKEEPER;
}

/// The server of a release from its packages, as the nodes see them.
async fn installation(release: &Release) -> Installation {
    let request =
        PackageRequest::new(release.suite, release.packages).of_version(release.upstream_version());
    let obtained = obtain(&LabDirs::from_env(), &request).await.expect("packages");
    let roots: Vec<_> = obtained.into_iter().map(|package| package.node_root).collect();
    release.installation(&roots)
}

async fn newest(store: Store) -> Installation {
    installation(Release::newest(store)).await
}

fn layout() -> NodeLayout {
    NodeLayout::new(NODE_BASE)
}

fn cluster(scene: &Scene, kind: Kind, installation: &Installation) -> Cluster {
    let deployment = kind.deployment(installation.clone());
    Cluster::new(&deployment, &scene.members(), &layout(), scene.ssh.clone()).expect("a cluster")
}

/// The processes that the pid files of a node's servers name.
async fn pids(scene: &Scene, kind: Kind, node: &str) -> BTreeSet<String> {
    let files = kind.services().iter().map(|service| format!("{NODE_BASE}/run/{service}.pid"));
    let files: Vec<String> = files.collect();
    let script = format!("cut -d' ' -f1 {}", files.join(" "));
    scene.on(node, script).await.lines().map(str::to_owned).collect()
}

/// The processes on a node that execute `program`, whatever a pid file says.
async fn processes(scene: &Scene, node: &str, program: &Path) -> BTreeSet<String> {
    let script = format!(
        "program=$(readlink -f {}); cd /proc; for pid in [0-9]*; do \
         [ \"$(readlink $pid/exe)\" != \"$program\" ] || echo $pid; done",
        program.display()
    );
    scene.on(node, script).await.lines().map(str::to_owned).collect()
}

async fn leader(cluster: &Cluster, accept: impl Fn(NodeId) -> bool) -> NodeId {
    let named = async || cluster.leader().await.filter(|leader| accept(*leader));
    wait_for("a leader that a majority names", named).await
}

async fn a_new_cluster_answers_writes_through_every_server_and_agrees_on_a_leader(kind: Kind) {
    let server = newest(kind.store).await;
    let scene = Scene::with_nodes(3).await;
    let cluster = cluster(&scene, kind, &server);
    assert_eq!(cluster.leader().await, None, "no server runs");
    cluster.start().await.expect("start");
    cluster.wait_ready(PATIENCE).await.expect("ready");

    for member in cluster.members() {
        assert!(cluster.is_alive(member.id).await.expect("an answer"), "{}", member.name);
        let pids = pids(&scene, kind, &member.name).await;
        assert_eq!(pids.len(), kind.services().len());
        assert_eq!(processes(&scene, &member.name, &server.program).await, pids);
        cluster.probe(member.id).await.expect("a write");
    }
    if kind.recipe.has_independent_servers() {
        assert_eq!(cluster.leader().await, None, "nobody leads independent servers");
        return;
    }

    let agreed = async || {
        let leader = cluster.leader().await?;
        (cluster.leader_view(leader).await == Ok(Some(leader))).then_some(leader)
    };
    let leader = wait_for("a leader that knows that it leads", agreed).await;
    for member in cluster.members() {
        let view = cluster.leader_view(member.id).await.expect("a view");
        assert!(view == Some(leader) || view.is_none(), "{} names {view:?}", member.name);
    }

    // The leader's log says the same in the server's own words.
    let elected = match kind.store {
        Store::Consul => "cluster leadership acquired",
        Store::Etcd => "became leader",
        Store::Zookeeper => "LEADING",
        // It begins as the primary, and has nothing to say about that.
        Store::Redis => "eady to accept connections",
    };
    for member in cluster.members() {
        let ends = cluster.logs(member.id, Some(3)).await.expect("the ends of logs");
        let logs = cluster.logs(member.id, None).await.expect("logs");
        assert_eq!(logs.len(), kind.services().len());
        for ((name, end), (_, log)) in ends.iter().zip(&logs) {
            assert!(kind.services().contains(name), "{name}");
            assert_eq!(end.lines().count(), 3, "{end}");
            assert!(log.lines().count() > 3, "{end}\n--- of ---\n{log}");
        }
        let (_, log) = &logs[0];
        assert!(member.id != leader || log.contains(elected), "{}: {log}", member.name);
    }
}

async fn a_killed_leader_is_replaced_and_comes_back(kind: Kind) {
    let server = newest(kind.store).await;
    let scene = Scene::with_nodes(3).await;
    let cluster = cluster(&scene, kind, &server);
    cluster.start().await.expect("start");
    cluster.wait_ready(PATIENCE).await.expect("ready");
    let old = leader(&cluster, |_| true).await;
    let old_name = &scene.members()[usize::from(old.0)].name;

    cluster.kill_node(old).await.expect("kill");
    assert!(!cluster.is_alive(old).await.expect("an answer"));
    assert_eq!(processes(&scene, old_name, &server.program).await, BTreeSet::new());
    let new = leader(&cluster, |leader| leader != old).await;
    for member in cluster.members().filter(|member| member.id != old) {
        assert!(cluster.is_alive(member.id).await.expect("an answer"), "{}", member.name);
        let write = async || cluster.probe(member.id).await.ok();
        wait_for("a write through a server that lives", write).await;
    }
    cluster.probe(old).await.expect_err("a dead server answers nothing");
    assert_ne!(cluster.leader().await, Some(old), "{new:?} leads");

    cluster.start_node(old).await.expect("start again");
    cluster.wait_ready(PATIENCE).await.expect("ready again");
    assert!(cluster.is_alive(old).await.expect("an answer"));
    cluster.probe(old).await.expect("a write");
}

async fn a_server_is_stopped_before_its_data_can_be_wiped_and_a_reset_leaves_nothing(kind: Kind) {
    let server = newest(kind.store).await;
    let scene = Scene::with_nodes(3).await;
    let cluster = cluster(&scene, kind, &server);
    let data = layout().data().join(kind.store.name());
    let has_data = format!("ls {}/* > /dev/null 2>&1", data.display());
    cluster.start().await.expect("start");
    for member in cluster.members() {
        let written = async || scene.holds_on(&member.name, &*has_data).await.then_some(());
        wait_for("data", written).await;
    }

    let [n1, n2] = [NodeId(0), NodeId(1)];
    match cluster.wipe_node(n2).await {
        Err(ClusterError::Remote(RemoteError::Failed { node, stderr, .. })) => {
            assert_eq!((node.as_str(), stderr.as_str()), ("n2", "it runs"));
        }
        other => panic!("a running server's data must not be deleted: {other:?}"),
    }
    assert!(cluster.is_alive(n2).await.expect("an answer"));
    assert!(scene.holds_on("n2", &*has_data).await);

    cluster.stop_node(n1).await.expect("stop");
    assert!(!cluster.is_alive(n1).await.expect("an answer"));
    assert_eq!(processes(&scene, "n1", &server.program).await, BTreeSet::new());
    assert!(scene.holds_on("n1", &*has_data).await, "stopping keeps the data");
    cluster.stop_node(n1).await.expect("stopping it again is fine");
    cluster.wipe_node(n1).await.expect("wipe");
    assert!(!scene.holds_on("n1", format!("ls {}", data.display())).await);

    cluster.reset().await.expect("reset");
    for member in cluster.members() {
        assert!(!cluster.is_alive(member.id).await.expect("an answer"), "{}", member.name);
        assert_eq!(processes(&scene, &member.name, &server.program).await, BTreeSet::new());
        assert!(!scene.holds_on(&member.name, format!("ls {}", data.display())).await);
        let logs = cluster.logs(member.id, None).await.expect("logs");
        assert!(logs.iter().all(|(_server, log)| log.is_empty()), "{logs:?}");
    }
    cluster.reset().await.expect("there is nothing left to reset");
}

async fn a_server_that_does_not_come_up_is_named_with_the_end_of_its_log(kind: Kind) {
    // Far more than it takes: a process that has ended is not waited for.
    const LIMIT: Duration = Duration::from_secs(600);
    let scene = Scene::with_nodes(3).await;

    // It complains about its arguments.
    let mut cat = Installation::of_binary("/bin/cat");
    cat.leading_arguments.push("--not-an-option".into());
    let complains = cluster(&scene, kind, &cat);
    complains.start().await.expect("start");
    match complains.wait_ready(LIMIT).await {
        Err(error @ ClusterError::NotReady { .. }) => {
            let text = error.to_string();
            let begin = format!("{} on n1 answered no write for ", kind.store.name());
            assert!(text.starts_with(&begin), "{text}");
            assert!(text.contains("s: its process has ended\n"), "{text}");
            assert!(text.contains("the end of its log:\n"), "{text}");
            assert!(text.contains("/bin/cat: unrecognized option '--not-an-option'"), "{text}");
        }
        other => panic!("cat is no server: {other:?}"),
    }

    // It says nothing, and may be gone before its process id is written.
    let silent = cluster(&scene, kind, &Installation::of_binary("/bin/false"));
    for _ in 0..10 {
        silent.start().await.expect("start");
        for member in silent.members() {
            let gone =
                async || (!silent.is_alive(member.id).await.expect("an answer")).then_some(());
            wait_for("the end of a server that fails at once", gone).await;
        }
    }
    silent.wait_ready(LIMIT).await.expect_err("false is no server");
    silent.reset().await.expect("reset");

    // It runs, and does not answer.
    let stopped = cluster(&scene, kind, &newest(kind.store).await);
    stopped.start().await.expect("start");
    for member in stopped.members() {
        for pid in pids(&scene, kind, &member.name).await {
            scene.on(&member.name, format!("kill -STOP {pid}")).await;
        }
    }
    let error = stopped.wait_ready(Duration::ZERO).await.expect_err("it is stopped");
    assert!(!error.to_string().contains("has ended"), "{error}");
    stopped.reset().await.expect("reset");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_ends_also_what_a_run_with_another_recipe_left_behind() {
    let server = newest(Store::Redis).await;
    let scene = Scene::with_nodes(3).await;
    let earlier = cluster(&scene, Kind::SENTINEL, &server);
    earlier.start().await.expect("start");
    let later = cluster(&scene, Kind::REDLOCK, &server);
    later.reset().await.expect("reset");
    for member in earlier.members() {
        assert_eq!(processes(&scene, &member.name, &server.program).await, BTreeSet::new());
        let data = layout().data();
        assert_eq!(scene.on(&member.name, format!("ls {}", data.display())).await, "");
    }
}

/// Says in the environment that every version is to be tried, and not the second newest alone.
const ALL_VERSIONS: &str = "LOCKTEST_TEST_ALL_VERSIONS";

#[expect(clippy::print_stdout, reason = "its figures are worth a look")]
async fn another_version_than_the_newest_takes_writes_and_is_what_it_is_said_to_be(kind: Kind) {
    let all = Release::all(kind.store);
    let chosen = if std::env::var_os(ALL_VERSIONS).is_some() { all } else { &all[1..2] };
    for release in chosen {
        let begin = Instant::now();
        let server = installation(release).await;
        let obtained_s = begin.elapsed().as_secs_f64();
        let scene = Scene::with_nodes(3).await;
        let cluster = cluster(&scene, kind, &server);
        let begin = Instant::now();
        cluster.start().await.expect("start");
        cluster.wait_ready(PATIENCE).await.expect("ready");
        let ready_s = begin.elapsed().as_secs_f64();
        if !kind.recipe.has_independent_servers() {
            leader(&cluster, |_| true).await;
        }
        println!(
            "{} {}: obtained in {obtained_s:.2} s, started and all answer writes in {ready_s:.2} s",
            kind.store.name(),
            release.version
        );
        for member in cluster.members() {
            let logs = cluster.logs(member.id, None).await.expect("logs");
            let (_, log) = &logs[0];
            assert!(log.contains(release.upstream_version()), "{}: {log}", release.version);
            // A library of Java that is missing shows when it is wanted, not before.
            assert!(!log.contains("NoClassDefFoundError"), "{}: {log}", release.version);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_of_the_control_node_is_copied_to_every_node_and_its_cluster_starts() {
    let release = Release::newest(Store::Etcd);
    let request = PackageRequest::new(release.suite, release.packages);
    let obtained = obtain(&LabDirs::from_env(), &request).await.expect("packages");
    let roots: Vec<_> = obtained.into_iter().map(|package| package.root).collect();
    let binary = release.installation(&roots).program;
    let version = binary_version(Store::Etcd, &binary).await;
    assert_eq!(version.expect("a version"), release.version);

    let scene = Scene::with_nodes(3).await;
    let members = scene.members();
    let copy = async |local| upload(&scene.ssh, &members, local, &layout()).await;
    let error = copy(Path::new("/nowhere/etcd")).await.expect_err("there is no such file");
    assert!(error.to_string().contains("/nowhere/etcd"), "{error}");

    let copy = copy(&binary).await.expect("a copy");
    assert_eq!(copy, layout().bin().join("etcd"));
    let server = Installation::of_binary(copy);
    let cluster = cluster(&scene, Kind::ETCD, &server);
    cluster.start().await.expect("start");
    cluster.wait_ready(PATIENCE).await.expect("ready");
    for member in &members {
        let pids = pids(&scene, Kind::ETCD, &member.name).await;
        assert_eq!(processes(&scene, &member.name, &server.program).await, pids);
    }
}
