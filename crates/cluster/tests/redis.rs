//! Real Redis and Valkey servers on a real lab, by SSH: every version, persistence, and sentinels.
//! Needs root, and the packages or a mirror to get them from.

#![allow(clippy::print_stdout, reason = "how long things take is told, and never asserted")]

mod support;

use std::path::PathBuf;
use std::time::Instant;

use futures_util::future::join_all;
use locktest_cluster::{Cluster, Deployment, Installation, NodeLayout, Release, Store};
use locktest_history::{NodeId, Recipe, RedisOptions, RedisPersistence};
use locktest_lab::packages::{PackageRequest, obtain};
use locktest_lab::{LabDirs, NODE_BASE};
use redis::{FromRedisValue, cmd};
use support::{PATIENCE, Scene, wait_for};

async fn installation(release: &Release) -> Installation {
    let request =
        PackageRequest::new(release.suite, release.packages).of_version(release.upstream_version());
    let obtained = obtain(&LabDirs::from_env(), &request).await.expect("the packages");
    let roots: Vec<PathBuf> = obtained.into_iter().map(|package| package.node_root).collect();
    release.installation(&roots)
}

async fn cluster(
    scene: &Scene,
    release: &Release,
    recipe: Recipe,
    persistence: RedisPersistence,
) -> Cluster {
    let deployment = Deployment {
        store: Store::Redis,
        recipe,
        redis: Some(RedisOptions { persistence, ..RedisOptions::DEFAULT }),
        installation: installation(release).await,
        clock_launcher: None,
    };
    let layout = NodeLayout::new(NODE_BASE);
    Cluster::new(&deployment, &scene.members(), &layout, scene.ssh.clone()).expect("a cluster")
}

fn release(version: &str) -> &'static Release {
    Release::of(Store::Redis, version).expect("a release")
}

/// What a server answers over a connection of this question's own.
async fn ask<T: FromRedisValue>(cluster: &Cluster, node: NodeId, words: &[&str]) -> T {
    let address = &cluster.client_addresses()[usize::from(node.0)];
    let client = redis::Client::open(format!("redis://{address}")).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let mut command = cmd(words[0]);
    command.arg(&words[1..]).query_async(&mut connection).await.expect("an answer")
}

/// Whether a node keeps a snapshot of its server's data.
async fn has_snapshot(scene: &Scene, node: &str) -> bool {
    scene.holds_on(node, format!("ls {NODE_BASE}/data/redis/*.rdb")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_takes_writes_and_scripts_with_libraries_of_its_own_suite() {
    for release in Release::all(Store::Redis) {
        start_independent_servers(release).await;
    }
}

async fn start_independent_servers(release: &Release) {
    let version = release.version;
    let scene = Scene::with_nodes(3).await;
    let cluster = cluster(&scene, release, Recipe::Redlock, RedisPersistence::None).await;
    let watch = Instant::now();
    cluster.start().await.expect("start");
    cluster.wait_ready(PATIENCE).await.expect("ready");
    println!("{version}: all answer writes after {:.2} s", watch.elapsed().as_secs_f64());
    assert_eq!(cluster.leader().await, None, "each is on its own");
    assert_eq!(cluster.sentinel_addresses(), [""; 0]);

    let nodes: Vec<NodeId> = cluster.members().map(|member| member.id).collect();
    for node in &nodes {
        let value = node.0.to_string();
        let script = "return redis.call('set', KEYS[1], ARGV[1])";
        let () = ask(&cluster, *node, &["EVAL", script, "1", "who", &value]).await;
    }
    let (field, number) = match release.version.strip_prefix("valkey-") {
        Some(number) => ("valkey_version", number),
        None => ("redis_version", release.version),
    };
    for (node, member) in nodes.iter().zip(cluster.members()) {
        let who: u16 = ask(&cluster, *node, &["GET", "who"]).await;
        assert_eq!(who, node.0, "no server knows of another's values");
        let info: String = ask(&cluster, *node, &["INFO", "server"]).await;
        assert!(info.contains(&format!("{field}:{number}")), "{info}");

        // Everything but the C library is the suite's, and that, too, if the suite has a newer one.
        let script = format!(
            "read pid start < {NODE_BASE}/run/redis.pid; grep -o '/.*' /proc/$pid/maps | sort -u"
        );
        let mapped = scene.on(&member.name, script).await;
        let own = format!("{NODE_BASE}/packages/{}/", release.suite);
        let (suite, foreign): (Vec<&str>, _) =
            mapped.lines().partition(|file| file.starts_with(&own));
        assert!(suite.iter().any(|file| file.contains("libjemalloc")), "{mapped}");
        let c_library = ["libc.", "libdl.", "libm.", "libpthread.", "librt.", "ld-linux-"];
        for file in foreign {
            let name = file.rsplit('/').next().expect("a name");
            let is_c = c_library.iter().any(|begin| name.starts_with(begin));
            assert!(is_c && !release.packages.contains(&"libc6"), "{file}");
        }
    }

    let begin = NodeId(0);
    cluster.stop_node(begin).await.expect("stop");
    assert!(!has_snapshot(&scene, "n1").await, "a server that was asked to end keeps nothing");
    cluster.start_node(begin).await.expect("start again");
    cluster.wait_ready(PATIENCE).await.expect("ready again");
    let who: Option<u16> = ask(&cluster, begin, &["GET", "who"]).await;
    assert_eq!(who, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_forgets_without_persistence_and_remembers_with_it() {
    for (version, persistence, remembers) in [
        ("8.0.2", RedisPersistence::None, false),
        ("8.0.2", RedisPersistence::Always, true),
        ("6.0.16", RedisPersistence::Always, true),
        ("valkey-8.1.1", RedisPersistence::Always, true),
    ] {
        let scene = Scene::with_nodes(1).await;
        let cluster = cluster(&scene, release(version), Recipe::Single, persistence).await;
        let node = NodeId(0);
        cluster.start().await.expect("start");
        cluster.wait_ready(PATIENCE).await.expect("ready");
        let () = ask(&cluster, node, &["SET", "held", "yes"]).await;

        cluster.kill_node(node).await.expect("kill");
        cluster.start_node(node).await.expect("start again");
        cluster.wait_ready(PATIENCE).await.expect("ready again");
        let held: Option<String> = ask(&cluster, node, &["GET", "held"]).await;
        assert_eq!(held.is_some(), remembers, "{version} {persistence:?}");

        cluster.kill_node(node).await.expect("kill");
        cluster.wipe_node(node).await.expect("wipe");
        cluster.start_node(node).await.expect("start again");
        cluster.wait_ready(PATIENCE).await.expect("ready again");
        let held: Option<String> = ask(&cluster, node, &["GET", "held"]).await;
        assert_eq!(held, None, "{version} {persistence:?}");
    }
}

/// Says in the environment that every version is to be tried, and not the newest alone.
const ALL_VERSIONS: &str = "LOCKTEST_TEST_ALL_VERSIONS";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_is_replaced_and_comes_back_as_a_replica() {
    let all = Release::all(Store::Redis);
    let chosen = if std::env::var_os(ALL_VERSIONS).is_some() { all } else { &all[..1] };
    for release in chosen {
        kill_the_primary_and_start_it_again(release).await;
    }
}

async fn kill_the_primary_and_start_it_again(release: &Release) {
    let version = release.version;
    let scene = Scene::with_nodes(3).await;
    let persistence = RedisPersistence::None;
    let cluster = cluster(&scene, release, Recipe::Sentinel, persistence).await;
    let watch = Instant::now();
    cluster.start().await.expect("start");
    cluster.wait_ready(PATIENCE).await.expect("ready");
    println!("{version}: sentinels settled after {:.2} s", watch.elapsed().as_secs_f64());
    assert_eq!(cluster.sentinel_addresses().len(), 3);
    let old = cluster.leader().await.expect("a primary that all servers name");
    assert_eq!(old, NodeId(0));
    for node in [1, 2].map(NodeId) {
        cluster.probe(node).await.expect("a write through a replica");
        assert_eq!(cluster.leader_view(node).await, Ok(Some(old)));
    }
    for member in cluster.members() {
        assert!(!has_snapshot(&scene, &member.name).await, "{}", member.name);
    }

    cluster.kill_node(old).await.expect("kill");
    let watch = Instant::now();
    cluster.probe(old).await.expect_err("it is dead");
    let replaced = async || cluster.leader().await.filter(|leader| *leader != old);
    let new = wait_for("another primary", replaced).await;
    for node in [1, 2].map(NodeId) {
        let write = async || cluster.probe(node).await.ok();
        wait_for("a write through a server that lives", write).await;
    }
    println!("{version}: writes again after {:.2} s", watch.elapsed().as_secs_f64());
    let () = ask(&cluster, new, &["SET", "held", "yes"]).await;

    // It comes back empty and as the primary that it was; the sentinels put that right.
    cluster.start_node(old).await.expect("start again");
    let watch = Instant::now();
    let follows = async || {
        (cluster.leader_view(old).await == Ok(Some(new)) && cluster.probe(old).await.is_ok())
            .then_some(())
    };
    wait_for("the old primary as a replica of the new one", follows).await;
    println!("{version}: a replica again after {:.2} s", watch.elapsed().as_secs_f64());
    cluster.wait_ready(PATIENCE).await.expect("all in order again");
    let held: Option<String> = ask(&cluster, old, &["GET", "held"]).await;
    assert_eq!(held.as_deref(), Some("yes"), "it has what its new primary has");

    // What the sentinels and servers have learned outlives their processes.
    let nodes: Vec<NodeId> = cluster.members().map(|member| member.id).collect();
    let killed = join_all(nodes.iter().map(|node| cluster.kill_node(*node))).await;
    assert!(killed.iter().all(Result::is_ok), "{killed:?}");
    let watch = Instant::now();
    cluster.start().await.expect("start all again");
    cluster.wait_ready(PATIENCE).await.expect("ready again");
    println!("{version}: settled again after {:.2} s", watch.elapsed().as_secs_f64());
    assert_eq!(cluster.leader().await, Some(new));
    for member in cluster.members() {
        assert!(!has_snapshot(&scene, &member.name).await, "{}", member.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_cut_off_takes_writes_that_count_for_nothing_until_it_follows_another() {
    let scene = Scene::with_nodes(5).await;
    let newest = Release::newest(Store::Redis);
    let cluster = cluster(&scene, newest, Recipe::Sentinel, RedisPersistence::None).await;
    cluster.start().await.expect("start");
    cluster.wait_ready(PATIENCE).await.expect("ready");
    let (old, beside) = (NodeId(0), NodeId(3));
    assert_eq!(cluster.leader().await, Some(old));

    // The first and the fourth node from the others; everybody is still reached from here.
    let addresses: Vec<&str> = cluster.members().map(|member| member.address.as_str()).collect();
    let others = [1, 2, 4].map(|index| addresses[index]).join(",");
    for node in ["n1", "n4"] {
        scene.on(node, format!("iptables -w -A INPUT -s {others} -j DROP")).await;
        scene.on(node, format!("iptables -w -A OUTPUT -d {others} -j DROP")).await;
    }
    let watch = Instant::now();
    let replaced = async || cluster.leader().await.filter(|leader| *leader != old);
    let new = wait_for("another primary", replaced).await;
    for node in [1, 2, 4].map(NodeId) {
        let write = async || cluster.probe(node).await.ok();
        wait_for("a write on the side of most sentinels", write).await;
    }
    println!("the majority writes again after {:.2} s", watch.elapsed().as_secs_f64());
    assert_eq!(cluster.leader_view(old).await, Ok(Some(old)));
    let () = ask(&cluster, old, &["SET", "held", "by one that believes the old primary"]).await;
    for node in [old, beside] {
        let refusal = cluster.probe(node).await.expect_err("the sentinels name another");
        assert!(refusal.contains("its primary is n1, but the sentinels name n"), "{refusal}");
    }

    for node in ["n1", "n4"] {
        scene.on(node, "iptables -w -F").await;
    }
    let watch = Instant::now();
    for node in [old, beside] {
        let write = async || cluster.probe(node).await.ok();
        wait_for("a write through a server that was cut off", write).await;
    }
    println!("all write again after {:.2} s", watch.elapsed().as_secs_f64());
    assert_eq!(cluster.leader().await, Some(new));
    let held: Option<String> = ask(&cluster, old, &["GET", "held"]).await;
    assert_eq!(held, None, "what the old primary took is lost");
    // A sentinel that does not answer keeps nobody from the primary that the others name.
    scene.on("n2", format!("kill -STOP $(cut -d' ' -f1 {NODE_BASE}/run/sentinel.pid)")).await;
    for member in cluster.members() {
        cluster.probe(member.id).await.expect("a write");
    }
}
