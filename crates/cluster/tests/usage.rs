//! What servers on a real lab cost, by SSH. Needs root, and the packages or a mirror to get them from.

mod support;

use std::sync::Arc;
use std::time::Duration;

use locktest_cluster::{
    AuditLog, Cluster, Deployment, Installation, NodeLayout, Release, RemoteCommand, Store, Usages,
};
use locktest_history::{NodeId, Recipe, RedisOptions, Usage};
use locktest_lab::packages::{PackageRequest, obtain};
use locktest_lab::{LabDirs, NODE_BASE};
use support::{PATIENCE, Scene, wait_for};

const NODE: NodeId = NodeId(0);

/// Succeeds if a process other than this one has the loop's words in its command line.
const LOOP_RUNS: &str =
    "cat /proc/[0-9]*/cmdline 2> /dev/null | tr '\\0' ' ' | grep -q 'write_byte[s]:'";

async fn sentinels(scene: &Scene) -> Cluster {
    let release = Release::newest(Store::Redis);
    let request =
        PackageRequest::new(release.suite, release.packages).of_version(release.upstream_version());
    let obtained = obtain(&LabDirs::from_env(), &request).await.expect("the packages");
    let roots: Vec<_> = obtained.into_iter().map(|package| package.node_root).collect();
    let installation: Installation = release.installation(&roots);
    let deployment = Deployment {
        store: Store::Redis,
        recipe: Recipe::Sentinel,
        redis: Some(RedisOptions::DEFAULT),
        installation,
        clock_launcher: None,
    };
    let layout = NodeLayout::new(NODE_BASE);
    Cluster::new(&deployment, &scene.members(), &layout, scene.ssh.clone()).expect("a cluster")
}

/// The next look at which two processes run.
async fn look_at_two(usages: &mut Usages<'_>) -> Usage {
    loop {
        let usage = usages.next(|| 0).await.expect("a look");
        if usage.processes.len() == 2 {
            return usage;
        }
    }
}

async fn wait_for_the_loops_end(scene: &Scene) {
    let ended = async || (!scene.holds_on("n1", LOOP_RUNS).await).then_some(());
    wait_for("the end of the loop", ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_process_is_looked_at_again_after_a_restart_and_nothing_stays_on_the_node() {
    let scene = Scene::with_nodes(1).await;
    let cluster = sentinels(&scene).await;
    cluster.start().await.expect("start");
    let mut usages = cluster.usages(NODE, PATIENCE).await.expect("a stream");
    let first = look_at_two(&mut usages).await;
    let [redis, sentinel] = &first.processes[..] else { panic!("two processes: {first:?}") };
    assert!(redis.resident_bytes > 1_000_000 && sentinel.resident_bytes > 1_000_000, "{first:?}");
    assert!(first.received_bytes > 0 && first.sent_bytes > 0, "{first:?}");
    assert!(scene.holds_on("n1", LOOP_RUNS).await);

    cluster.kill_node(NODE).await.expect("kill");
    while !usages.next(|| 0).await.expect("a look").processes.is_empty() {}
    cluster.start_node(NODE).await.expect("start again");
    let second = look_at_two(&mut usages).await;
    assert_ne!(second.processes[0].pid, redis.pid);
    assert!(second.received_bytes > first.received_bytes, "{second:?}");

    drop(usages);
    wait_for_the_loops_end(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loop_ends_by_itself_when_its_time_is_over() {
    let scene = Scene::with_nodes(1).await;
    let cluster = sentinels(&scene).await;
    let mut usages = cluster.usages(NODE, Duration::from_millis(1500)).await.expect("a stream");
    let mut looks = 0;
    while let Some(usage) = usages.next(|| 0).await {
        assert_eq!(usage.processes, [], "no server runs");
        looks += 1;
    }
    assert_eq!(looks, 2);
    wait_for_the_loops_end(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_connection_and_the_next_one_has_another() {
    let scene = Scene::with_nodes(1).await;
    let path = scene.folder.path().join("audit.jsonl");
    let ssh = scene.connect(AuditLog::open(&path, Arc::new(|| 0)).expect("an audit log"));
    let endless = RemoteCommand::new("try something", "while echo $PPID; do sleep 0.05; done");
    let mut lines = ssh.stream("n1", &endless).await.expect("a stream");
    lines.next().await.expect("a line");
    let own_sshd = "\
        pid=$$\n\
        while read -r name < /proc/$pid/comm && [ \"${name#sshd}\" = \"$name\" ]; do\n\
        pid=$(sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f2)\n\
        done\n\
        kill -KILL $pid";
    let cut = ssh.stream("n1", &RemoteCommand::new("cut the connection", own_sshd)).await;
    assert_eq!(cut.expect("a stream").next().await, None);
    let rest = async { while lines.next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, rest).await.expect("an end");
    let again = async || ssh.stream("n1", &endless).await.ok();
    let mut other_lines = wait_for("another connection", again).await;
    other_lines.next().await.expect("a line");

    let audited = |event: &str| {
        let text = std::fs::read_to_string(&path).expect("an audit log");
        text.matches(&format!(r#""event":"{event}""#)).count()
    };
    assert_eq!(audited("begin"), audited("end") + 2, "two streams are still open");
    drop((lines, other_lines));
    assert_eq!(audited("begin"), audited("end"));
}
