//! Real servers on a real lab, by SSH. Needs root, and the packages or a mirror to get them from.

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use locktest_cluster::{
    Cluster, ClusterError, NodeLayout, RemoteError, Store, binary_version, upload_binary,
};
use locktest_history::NodeId;
use locktest_lab::packages::{ObtainedPackage, PackageRequest, obtain};
use locktest_lab::{LabDirs, NODE_BASE};
use support::{PATIENCE, Scene, wait_for};

/// Each test as a module of its own, with one test for each store in it.
macro_rules! for_each_store {
    ($($name:ident)*) => {$(
        mod $name {
            use locktest_cluster::Store;

            #[tokio::test(flavor = "multi_thread")]
            async fn consul() {
                super::$name(Store::Consul).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn etcd() {
                super::$name(Store::Etcd).await;
            }
        }
    )*};
}

for_each_store! {
    a_new_cluster_answers_writes_through_every_server_and_agrees_on_a_leader
    a_killed_leader_is_replaced_and_comes_back
    a_server_is_stopped_before_its_data_can_be_wiped_and_a_reset_leaves_nothing
    a_server_that_does_not_come_up_is_named_with_the_end_of_its_log
    a_package_tells_the_version_that_it_is_known_by
}

/// A server as its package has it.
struct Binary {
    package: ObtainedPackage,
    path: &'static str,
}

impl Binary {
    async fn of(store: Store) -> Binary {
        let known = store.package();
        let packages = vec![known.name.to_owned()];
        let request = PackageRequest { suite: known.suite.to_owned(), packages };
        let obtained = obtain(&LabDirs::from_env(), &request).await.expect("a package");
        let [package] = obtained.try_into().expect("one package");
        Binary { package, path: known.binary }
    }

    fn here(&self) -> PathBuf {
        self.package.root.join(self.path)
    }

    fn on_nodes(&self) -> PathBuf {
        self.package.node_root.join(self.path)
    }
}

fn layout() -> NodeLayout {
    NodeLayout::new(NODE_BASE)
}

fn cluster(scene: &Scene, store: Store, binary: &Path) -> Cluster {
    let members = scene.members();
    Cluster::new(store, members, binary, &layout(), scene.ssh.clone()).expect("a cluster")
}

/// The process that the pid file of a server names.
async fn pid(scene: &Scene, store: Store, node: &str) -> String {
    scene.on(node, format!("cut -d' ' -f1 {NODE_BASE}/run/{}.pid", store.name())).await
}

/// The process ids on a node whose program is `binary`, whatever a pid file says.
async fn processes(scene: &Scene, node: &str, binary: &Path) -> String {
    let script = format!(
        "cd /proc; for pid in [0-9]*; do \
         [ \"$(readlink $pid/exe)\" != {} ] || echo $pid; done",
        binary.display()
    );
    scene.on(node, script).await
}

async fn leader(cluster: &Cluster, accept: impl Fn(NodeId) -> bool) -> NodeId {
    let named = async || cluster.leader().await.filter(|leader| accept(*leader));
    wait_for("a leader that a majority names", named).await
}

async fn a_new_cluster_answers_writes_through_every_server_and_agrees_on_a_leader(store: Store) {
    let binary = Binary::of(store).await;
    let scene = Scene::with_nodes(3).await;
    let cluster = cluster(&scene, store, &binary.on_nodes());
    assert_eq!(cluster.leader().await, None, "no server runs");
    cluster.start().await.expect("start");
    cluster.wait_ready(PATIENCE).await.expect("ready");

    for member in cluster.members() {
        assert!(cluster.is_alive(member.id).await.expect("an answer"), "{}", member.name);
        let pid = pid(&scene, store, &member.name).await;
        assert_eq!(processes(&scene, &member.name, &binary.on_nodes()).await, pid);
        cluster.probe(member.id).await.expect("a write");
    }

    let agreed = async || {
        let leader = cluster.leader().await?;
        let mut names_it = 0;
        for member in cluster.members() {
            names_it += usize::from(cluster.leader_view(member.id).await == Ok(Some(leader)));
        }
        (names_it >= 2).then_some(leader)
    };
    let leader = wait_for("a leader that two of three servers name", agreed).await;

    // The leader's log says the same in the server's own words.
    let elected = match store {
        Store::Consul => "cluster leadership acquired",
        Store::Etcd => "became leader",
    };
    for member in cluster.members() {
        let end = cluster.log(member.id, Some(3)).await.expect("the end of a log");
        let log = cluster.log(member.id, None).await.expect("a log");
        assert_eq!(end.lines().count(), 3, "{end}");
        assert!(log.contains(&end) && log.lines().count() > 3, "{end}\n--- of ---\n{log}");
        assert!(member.id != leader || log.contains(elected), "{}: {log}", member.name);
    }
}

async fn a_killed_leader_is_replaced_and_comes_back(store: Store) {
    let binary = Binary::of(store).await;
    let scene = Scene::with_nodes(3).await;
    let cluster = cluster(&scene, store, &binary.on_nodes());
    cluster.start().await.expect("start");
    cluster.wait_ready(PATIENCE).await.expect("ready");
    let old = leader(&cluster, |_| true).await;
    let old_name = &cluster.members()[usize::from(old.0)].name;

    cluster.kill_node(old).await.expect("kill");
    assert!(!cluster.is_alive(old).await.expect("an answer"));
    assert_eq!(processes(&scene, old_name, &binary.on_nodes()).await, "");
    let new = leader(&cluster, |leader| leader != old).await;
    for member in cluster.members().iter().filter(|member| member.id != old) {
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

async fn a_server_is_stopped_before_its_data_can_be_wiped_and_a_reset_leaves_nothing(store: Store) {
    let binary = Binary::of(store).await;
    let scene = Scene::with_nodes(3).await;
    let cluster = cluster(&scene, store, &binary.on_nodes());
    let data = layout().data().join(store.name());
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
    assert_eq!(processes(&scene, "n1", &binary.on_nodes()).await, "");
    assert!(scene.holds_on("n1", &*has_data).await, "stopping keeps the data");
    cluster.stop_node(n1).await.expect("stopping it again is fine");
    cluster.wipe_node(n1).await.expect("wipe");
    assert!(!scene.holds_on("n1", format!("ls {}", data.display())).await);

    cluster.reset().await.expect("reset");
    for member in cluster.members() {
        assert!(!cluster.is_alive(member.id).await.expect("an answer"), "{}", member.name);
        assert_eq!(processes(&scene, &member.name, &binary.on_nodes()).await, "");
        assert!(!scene.holds_on(&member.name, format!("ls {}", data.display())).await);
    }
    cluster.reset().await.expect("there is nothing left to reset");
}

async fn a_server_that_does_not_come_up_is_named_with_the_end_of_its_log(store: Store) {
    // Far more than it takes: a process that has ended is not waited for.
    const LIMIT: Duration = Duration::from_secs(600);
    let scene = Scene::with_nodes(3).await;

    // It complains about the server's arguments.
    let complains = cluster(&scene, store, Path::new("/bin/cat"));
    complains.start().await.expect("start");
    match complains.wait_ready(LIMIT).await {
        Err(error @ ClusterError::NotReady { .. }) => {
            let text = error.to_string();
            let begin = format!("{} on n1 answered no write for ", store.name());
            assert!(text.starts_with(&begin), "{text}");
            assert!(text.contains("s: its process has ended\n"), "{text}");
            assert!(text.contains("the end of its log:\n/bin/cat: "), "{text}");
        }
        other => panic!("cat is no server: {other:?}"),
    }

    // It says nothing, and may be gone before its process id is written.
    let silent = cluster(&scene, store, Path::new("/bin/false"));
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
    let stopped = cluster(&scene, store, &Binary::of(store).await.on_nodes());
    stopped.start().await.expect("start");
    for member in stopped.members() {
        let pid = pid(&scene, store, &member.name).await;
        scene.on(&member.name, format!("kill -STOP {pid}")).await;
    }
    let error = stopped.wait_ready(Duration::ZERO).await.expect_err("it is stopped");
    assert!(!error.to_string().contains("has ended"), "{error}");
    stopped.reset().await.expect("reset");
}

async fn a_package_tells_the_version_that_it_is_known_by(store: Store) {
    let version = binary_version(store, &Binary::of(store).await.here()).await;
    assert_eq!(version.expect("a version"), store.package().version);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_of_the_control_node_is_copied_to_every_node_and_its_cluster_starts() {
    let binary = Binary::of(Store::Etcd).await.here();
    let scene = Scene::with_nodes(3).await;
    let members = scene.members();
    let upload = async |local| upload_binary(&scene.ssh, &members, local, &layout()).await;
    let error = upload(Path::new("/nowhere/etcd")).await.expect_err("there is no such file");
    assert!(error.to_string().contains("/nowhere/etcd"), "{error}");

    let copy = upload(&binary).await.expect("a copy");
    assert_eq!(copy, layout().bin().join("etcd"));
    let cluster = cluster(&scene, Store::Etcd, &copy);
    cluster.start().await.expect("start");
    cluster.wait_ready(PATIENCE).await.expect("ready");
    for member in &members {
        let pid = pid(&scene, Store::Etcd, &member.name).await;
        assert_eq!(processes(&scene, &member.name, &copy).await, pid);
    }
}
