//! Commands on the nodes of a real lab, by SSH. Needs root.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use locktest_cluster::{AuditLog, Remote, RemoteCommand, RemoteError, SshCluster, SshTarget};
use serde_json::Value;
use support::{PATIENCE, Scene, connect, wait_for};

/// Sets `pid` to the sshd process that serves the connection of this very command.
const FIND_OWN_SSHD: &str = "\
pid=$$
while read -r name < /proc/$pid/comm && [ \"${name#sshd}\" = \"$name\" ]; do
  pid=$(sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f2)
done
";

fn command(script: impl Into<String>) -> RemoteCommand {
    RemoteCommand::new("try something", script)
}

/// What a script prints that succeeds.
async fn said(ssh: &SshCluster, node: &str, script: &str) -> String {
    let output = ssh.run_ok(node, &command(script)).await.expect("a command that succeeds");
    output.stdout.trim().to_owned()
}

async fn own_sshd(ssh: &SshCluster, node: &str) -> String {
    said(ssh, node, &format!("{FIND_OWN_SSHD}echo $pid")).await
}

async fn wait_for_end(scene: &Scene, node: &str, pid: &str) {
    let alive = format!("grep '^State:[[:space:]]*[^ZX]' /proc/{pid}/status");
    let gone = async || (!scene.holds_on(node, &*alive).await).then_some(());
    wait_for("the end of a process", gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_key_than_the_known_one_is_refused() {
    let scene = Scene::with_nodes(2).await;
    let known = fs::read_to_string(&scene.lab.nodes()[0].known_hosts_file).expect("known hosts");
    let split = |line: &str| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
    let mut lines = known.lines().map(|line| split(line).expect("an address and a key"));
    let [(n1, n1_key), (n2, n2_key)] = [(); 2].map(|()| lines.next().expect("a node's line"));
    let swapped = scene.folder.path().join("swapped_known_hosts");
    fs::write(&swapped, format!("{n1} {n2_key}\n{n2} {n1_key}\n")).expect("write");

    let misled = |target| SshTarget { known_hosts_file: Some(swapped.clone()), ..target };
    let targets: Vec<SshTarget> = scene.targets().into_iter().map(misled).collect();
    let ssh = connect(&scene.lab, &targets, AuditLog::none());
    for node in ["n1", "n2"] {
        let refused = ssh.run(node, &command("touch /tmp/intruder")).await;
        let error = refused.expect_err("it shows the key of another node");
        assert!(matches!(error, RemoteError::Unreachable { .. }), "{error}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot reach {node} by ssh")), "{text}");
        assert!(text.contains("ost key verification failed"), "{text}");
        assert!(!scene.holds_on(node, "ls /tmp/intruder").await, "the command must not run");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exit_status_is_reported_as_it_is_and_nothing_is_run_twice() {
    let scene = Scene::with_nodes(1).await;
    for status in [0, 1, 126, 127, 128, 254, 255] {
        let script = format!("echo run >> /tmp/{status}; cat; echo no luck >&2; exit {status}");
        let output = scene.ssh.run("n1", &command(script).stdin("input")).await.expect("an answer");
        assert_eq!((output.status, output.stdout.as_str()), (status, "input"));
        assert_eq!(output.stderr, "no luck\n");
        assert_eq!(scene.on("n1", format!("cat /tmp/{status}")).await, "run");
    }
    // A shell tells of a process that a signal ended by 128 and the signal's number.
    let output = scene.ssh.run("n1", &command("echo run >> /tmp/signal; kill -KILL $$")).await;
    assert_eq!(output.expect("an answer").status, 137);
    assert_eq!(scene.on("n1", "cat /tmp/signal").await, "run");

    match scene.ssh.run_ok("n1", &command("echo no luck >&2; exit 255")).await {
        Err(RemoteError::Failed { node, status: 255, stderr, .. }) => {
            assert_eq!((node.as_str(), stderr.as_str()), ("n1", "no luck"));
        }
        other => panic!("a status other than zero is an error of run_ok: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_runs_too_long_is_ended_on_the_node() {
    let scene = Scene::with_nodes(1).await;
    for (name, ignore, status) in [("obeys", "", 124), ("ignores", "trap '' TERM; ", 137)] {
        let script = format!("{ignore}sleep 600 & echo $$ $! > /tmp/{name}; wait");
        let overlong = command(script).timeout(Duration::from_millis(500));
        let output = scene.ssh.run("n1", &overlong).await.expect("an answer");
        assert_eq!(output.status, status, "{name}: {output:?}");
        let pids = scene.on("n1", format!("cat /tmp/{name}")).await;
        for pid in pids.split(' ') {
            wait_for_end(&scene, "n1", pid).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_broke_is_made_again_for_the_next_command() {
    let scene = Scene::with_nodes(1).await;
    let ssh = scene.connect(AuditLog::none());
    let first = own_sshd(&ssh, "n1").await;
    assert_eq!(own_sshd(&ssh, "n1").await, first, "one connection serves many commands");

    let masters = fs::read_dir(scene.lab.ssh_control_dir()).expect("the control folder");
    let masters: Vec<_> = masters.map(|entry| entry.expect("an entry").path()).collect();
    let [folder] = masters.as_slice() else { panic!("one connection: {masters:?}") };
    let exit = std::process::Command::new("ssh")
        .args(["-F", "none", "-O", "exit", "-S"])
        .arg(folder.join("master"))
        .arg("x")
        .output()
        .expect("ssh runs");
    assert!(exit.status.success(), "{exit:?}");
    let second = own_sshd(&ssh, "n1").await;
    assert_ne!(second, first);

    scene.on("n1", format!("kill -KILL {second}")).await;
    let all_at_once = join_all((0..8).map(|_| own_sshd(&ssh, "n1"))).await;
    let third = &all_at_once[0];
    assert_ne!(*third, second);
    assert!(all_at_once.iter().all(|sshd| sshd == third), "one new one for all: {all_at_once:?}");

    // A stalled peer breaks nothing; only the missing replies tell, long before the time is up.
    scene.on("n1", format!("kill -STOP {third}")).await;
    let patient = command(format!("{FIND_OWN_SSHD}echo $pid")).timeout(10 * PATIENCE);
    let answer = tokio::time::timeout(PATIENCE, ssh.run_ok("n1", &patient)).await;
    let fourth = answer.expect("an end").expect("success").stdout.trim().to_owned();
    assert_ne!(fourth, *third);

    ssh.close().await;
    wait_for_end(&scene, "n1", &fourth).await;
    assert_eq!(said(&ssh, "n1", "echo open again").await, "open again");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_commands_on_a_node_eight_run_at_once_and_all_succeed() {
    let scene = Scene::with_nodes(1).await;
    scene.on("n1", "mkdir /tmp/running").await;
    // Nobody leaves before the room was full once, so that the eighth to come sees eight.
    let script = |number: u32| {
        format!(
            "mkdir /tmp/running/{number}; here=$(ls /tmp/running | wc -l)
             [ $here -lt 8 ] || touch /tmp/full
             for i in $(seq 800); do [ ! -e /tmp/full ] || break; sleep 0.01; done
             rmdir /tmp/running/{number}; echo $here"
        )
    };
    let commands: Vec<RemoteCommand> = (0..40).map(|number| command(script(number))).collect();
    let runs = commands.iter().map(|command| scene.ssh.run_ok("n1", command));
    let seen: Vec<u32> = join_all(runs)
        .await
        .into_iter()
        .map(|run| run.expect("success").stdout.trim().parse().expect("a number"))
        .collect();
    assert_eq!(seen.len(), 40);
    assert_eq!(seen.iter().max(), Some(&8), "{seen:?}");
}

fn audit_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("an audit log");
    text.lines().map(|line| serde_json::from_str(line).expect("valid JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_a_begin_and_then_an_end_in_the_audit_log() {
    let scene = Scene::with_nodes(2).await;
    let path = scene.folder.path().join("audit.jsonl");
    let ticks = AtomicU64::new(1);
    let now_ns = Arc::new(move || ticks.fetch_add(1, Ordering::Relaxed));
    let ssh = scene.connect(AuditLog::open(&path, now_ns).expect("an audit log"));

    let waits = command("until [ -e /tmp/go ]; do sleep 0.01; done");
    let looks_then_lets_go = async {
        let begun = async || (!audit_lines(&path).is_empty()).then_some(());
        wait_for("the begin of a command that runs", begun).await;
        let lines = audit_lines(&path);
        scene.on("n1", "touch /tmp/go").await;
        assert_eq!(lines.len(), 1, "it has not ended: {lines:?}");
        assert_eq!(lines[0]["event"], "begin");
    };
    let (waited, ()) = tokio::join!(ssh.run_ok("n1", &waits), looks_then_lets_go);
    waited.expect("success");

    let fails = command("exit 3");
    let many = (0..10).map(|n| ssh.run(if n % 2 == 0 { "n1" } else { "n2" }, &fails));
    assert!(join_all(many).await.iter().all(|run| matches!(run, Ok(output) if output.status == 3)));
    let cuts_itself_off = command(format!("{FIND_OWN_SSHD}kill -KILL $pid"));
    let error = ssh.run("n2", &cuts_itself_off).await.expect_err("no answer comes");
    assert!(matches!(&error, RemoteError::Lost { node, .. } if node == "n2"), "{error}");

    let mut commands: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for line in audit_lines(&path) {
        commands.entry(line["command"].as_u64().expect("a number")).or_default().push(line);
    }
    assert_eq!(Vec::from_iter(commands.keys().copied()), Vec::from_iter(1..=12));
    for (number, lines) in commands {
        let [begin, end] = lines.as_slice() else { panic!("a begin and an end: {lines:?}") };
        assert_eq!((&begin["event"], &end["event"]), (&"begin".into(), &"end".into()));
        assert!(begin["time_ns"].as_u64() < end["time_ns"].as_u64(), "{lines:?}");
        assert_eq!(begin["purpose"], "try something");
        let (script, status, failure) = match number {
            1 => (&waits.script, 0.into(), Value::Null),
            12 => (&cuts_itself_off.script, Value::Null, error.to_string().into()),
            _ => (&fails.script, 3.into(), Value::Null),
        };
        assert_eq!(begin["script"], *script);
        assert!(["n1", "n2"].contains(&begin["node"].as_str().expect("a name")), "{begin}");
        assert_eq!((&end["status"], &end["error"]), (&status, &failure), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_node_is_an_error_that_names_it() {
    let scene = Scene::with_nodes(1).await;
    let error = scene.ssh.run("n2", &command("true")).await.expect_err("there is no n2");
    assert!(matches!(error, RemoteError::Unreachable { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("n2") && text.contains("no such node"), "{text}");
}
