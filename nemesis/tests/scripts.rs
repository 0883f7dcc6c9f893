//! The scripts themselves, run for real against the firewalls of throw-away network namespaces.

mod support;

use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::sync::Arc;
use std::time::Duration;

use locktest_cluster::{Remote, RemoteOutput};
use locktest_history::PartitionShape;
use locktest_nemesis::{
    ActiveFault, FaultNotApplied, FaultTag, Nemesis, NemesisSetting, NodeCommands, heal,
    partition_commands,
};
use support::bench::{Bench, BenchRemote, wait_until};
use support::{nemesis, setting, side, side_with};

const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn nemesis_of(bench: &Bench, remote: BenchRemote) -> Nemesis<BenchRemote> {
    nemesis_with(bench, remote, bench.clients())
}

fn nemesis_with(
    bench: &Bench,
    remote: BenchRemote,
    clients: Vec<Ipv4Addr>,
) -> Nemesis<BenchRemote> {
    let setting = setting(bench.folder.path(), bench.endpoints(), &bench.run_dir());
    nemesis(NemesisSetting { clients, ..setting }, &Arc::new(remote))
}

async fn begin(
    nemesis: &Nemesis<BenchRemote>,
    deadline_s: u64,
) -> Result<ActiveFault, Box<FaultNotApplied>> {
    let sides = vec![side(&[0]), side(&[1, 2])];
    nemesis.begin(1, PartitionShape::One, sides, Duration::from_secs(deadline_s)).await
}

/// Splits clients from servers.
async fn begin_among_clients(
    nemesis: &Nemesis<BenchRemote>,
) -> Result<ActiveFault, Box<FaultNotApplied>> {
    let sides = vec![side_with(&[0], &[0]), side_with(&[1, 2], &[1])];
    nemesis.begin(1, PartitionShape::One, sides, Duration::from_secs(600)).await
}

/// The commands of the fault that [`begin`] begins, to be run one by one.
fn commands(bench: &Bench) -> Vec<NodeCommands> {
    let tag = FaultTag::new("r1", 1).expect("a legal tag");
    let sides = [side(&[0]), side(&[1, 2])];
    partition_commands(&bench.endpoints(), &[], &bench.run_dir(), &tag, &sides, 600)
        .expect("two sides")
}

fn nothing_is_left(bench: &Bench) {
    for node in NODES {
        assert!(bench.left_in_run_dir(node).is_empty(), "{node} has files left");
    }
}

async fn run(
    remote: &BenchRemote,
    node: &str,
    command: &locktest_cluster::RemoteCommand,
) -> RemoteOutput {
    remote.run(node, command).await.expect("no connection can break")
}

#[tokio::test]
async fn a_partition_cuts_both_ways_and_its_undo_leaves_every_rule_as_it_was() {
    let bench = Bench::up(3);
    bench.plant_foreign_rules();
    let before = bench.rules();
    let processes = NODES.map(|node| bench.processes(node));
    let nemesis = nemesis_of(&bench, bench.remote());
    let mut fault = begin(&nemesis, 600).await.expect("applied");
    assert_ne!(bench.rules(), before);
    nemesis.observe(&mut fault).await;
    let ended = nemesis.end(fault).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
    assert_eq!(bench.rules(), before);
    assert_eq!(NODES.map(|node| bench.processes(node)), processes, "a timer is left");
    nothing_is_left(&bench);
}

#[tokio::test]
async fn a_partition_that_no_node_applied_did_not_bite() {
    let bench = Bench::up(3);
    let mut remote = bench.remote();
    remote.swallow_apply = NODES.map(str::to_owned).into();
    let nemesis = nemesis_of(&bench, remote);
    let mut fault = begin(&nemesis, 600).await.expect("it says that it was applied");
    nemesis.observe(&mut fault).await;
    let ended = nemesis.end(fault).await;
    assert!(!ended.bit, "{ended:?}");
    assert!(ended.undone, "{ended:?}");
}

#[tokio::test]
async fn one_side_that_applies_a_partition_is_enough_to_cut_it() {
    let bench = Bench::up(3);
    let mut remote = bench.remote();
    remote.swallow_apply = ["n2", "n3"].map(str::to_owned).into();
    let nemesis = nemesis_of(&bench, remote);
    let mut fault = begin(&nemesis, 600).await.expect("applied");
    nemesis.observe(&mut fault).await;
    let ended = nemesis.end(fault).await;
    assert!(ended.bit, "{ended:?}");
    assert!(ended.proof.iter().any(|p| p.contains("n3 had none of the rules")), "{ended:?}");
}

#[tokio::test]
async fn a_node_whose_ssh_peer_would_be_cut_off_refuses_and_nothing_is_changed() {
    let bench = Bench::up(3);
    bench.plant_foreign_rules();
    let before = bench.rules();
    for (ssh_peer, words) in [
        (Some("10.1.0.1"), "10.1.0.1 is the control node"),
        (Some("::ffff:10.1.0.1"), "10.1.0.1 is the control node"),
        (None, "SSH_CONNECTION is not set"),
    ] {
        let mut remote = bench.remote();
        remote.ssh_peer = ssh_peer.map(str::to_owned);
        let nemesis = nemesis_of(&bench, remote);
        let failed = begin(&nemesis, 600).await.expect_err("the control path is never cut");
        assert!(failed.to_string().contains(words), "{failed}");
        assert!(failed.undone());
        assert_eq!(bench.rules(), before);
        nothing_is_left(&bench);
    }
}

#[tokio::test]
async fn every_script_may_run_twice() {
    let bench = Bench::up(3);
    let before = bench.rules();
    let remote = bench.remote();
    let idle = bench.processes("n2");
    let commands = commands(&bench);
    let n2 = &commands[1];
    let mut applied = Vec::new();
    for command in [&n2.arm, &n2.apply, &n2.undo, &n2.disarm] {
        for _ in 0..2 {
            let output = run(&remote, "n2", command).await;
            assert_eq!(output.status, 0, "{}: {}", command.purpose, output.stderr);
            if command == &n2.apply {
                applied.push(bench.rules());
            }
            if command == &n2.arm {
                assert!(bench.processes("n2").len() <= idle.len() + 2, "two timers are armed");
            }
        }
    }
    assert_ne!(applied[0], before);
    assert_eq!(applied[0], applied[1]);
    assert_eq!(bench.rules(), before);
    assert_eq!(bench.processes("n2"), idle);
    nothing_is_left(&bench);
}

#[tokio::test]
async fn an_apply_that_arrives_after_its_undo_is_refused() {
    let bench = Bench::up(3);
    let before = bench.rules();
    let remote = bench.remote();
    let commands = commands(&bench);
    let n1 = &commands[0];
    let unarmed = run(&remote, "n1", &n1.apply).await;
    assert_ne!(unarmed.status, 0);
    assert!(unarmed.stderr.contains("no dead-man timer is armed"), "{}", unarmed.stderr);
    for late_after in [&n1.undo, &n1.disarm] {
        assert_eq!(run(&remote, "n1", &n1.arm).await.status, 0);
        assert_eq!(run(&remote, "n1", late_after).await.status, 0);
        assert_ne!(run(&remote, "n1", &n1.apply).await.status, 0);
        assert_eq!(bench.rules(), before);
    }
}

#[tokio::test]
async fn an_undo_finds_every_jump_to_its_chain_and_only_those() {
    let bench = Bench::up(3);
    bench.plant_foreign_rules();
    let before = bench.rules();
    let remote = bench.remote();
    let n1 = &commands(&bench)[0];
    assert_eq!(run(&remote, "n1", &n1.arm).await.status, 0);
    assert_eq!(run(&remote, "n1", &n1.apply).await.status, 0);
    let more = "iptables -w -A FORWARD -j LT-r1-1; iptables -w -A ADMIN -j LT-r1-1";
    let more = locktest_cluster::RemoteCommand::new("add jumps", more);
    assert_eq!(run(&remote, "n1", &more).await.status, 0);
    assert_eq!(run(&remote, "n1", &n1.undo).await.status, 0);
    assert_eq!(bench.rules(), before);
    assert_eq!(run(&remote, "n1", &n1.check).await.stdout, "absent LT-r1-1\n");
    assert_eq!(run(&remote, "n1", &n1.disarm).await.status, 0);
}

#[tokio::test]
async fn nodes_that_nobody_comes_back_to_undo_the_fault_themselves() {
    let bench = Bench::up(3);
    bench.plant_foreign_rules();
    let before = bench.rules();
    let processes = NODES.map(|node| bench.processes(node));
    let nemesis = nemesis_of(&bench, bench.remote());
    let fault = begin(&nemesis, 1).await.expect("applied");
    drop((fault, nemesis));
    wait_until("the firewall is as it was", || bench.rules() == before);
    wait_until("the timers are gone", || NODES.map(|node| bench.processes(node)) == processes);
    nothing_is_left(&bench);
}

#[tokio::test]
async fn heal_undoes_a_fault_from_the_journal_alone() {
    let bench = Bench::up(3);
    bench.plant_foreign_rules();
    let before = bench.rules();
    let processes = NODES.map(|node| bench.processes(node));
    let nemesis = nemesis_of(&bench, bench.remote());
    let fault = begin(&nemesis, 600).await.expect("applied");
    drop((fault, nemesis));
    assert_ne!(bench.rules(), before);
    let state = bench.folder.path().join("state");
    for faults in [1, 0] {
        let report =
            heal(&state, Some("r1"), |_, _| bench.remote(), |_| true).await.expect("an index");
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.runs.iter().map(|run| run.faults.len()).sum::<usize>(), faults);
        assert_eq!(bench.rules(), before);
    }
    assert_eq!(NODES.map(|node| bench.processes(node)), processes, "a timer is left");
    nothing_is_left(&bench);
}

#[tokio::test]
async fn a_process_that_merely_has_the_timers_old_id_is_not_killed() {
    let bench = Bench::up(3);
    let remote = bench.remote();
    let n1 = &commands(&bench)[0];
    let mut stranger =
        std::process::Command::new("sleep").arg("600").process_group(0).spawn().expect("sleep");
    let folder = bench.folder.path().join("n1/LT-r1-1");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("pid"), stranger.id().to_string()).expect("written");
    let disarmed = run(&remote, "n1", &n1.disarm).await;
    let ended = stranger.try_wait().expect("a child");
    stranger.kill().expect("killed");
    stranger.wait().expect("reaped");
    assert_eq!(ended, None, "a stranger was killed");
    assert_eq!(disarmed.status, 0, "{}", disarmed.stderr);
    nothing_is_left(&bench);
}

/// Which of the connections from clients to servers work, by the names of both.
fn connections(bench: &Bench) -> Vec<(&'static str, &'static str)> {
    let pairs = ["c1", "c2"].into_iter().flat_map(|client| NODES.map(|node| (client, node)));
    pairs.filter(|(client, node)| bench.connects(client, node)).collect()
}

#[tokio::test]
async fn clients_are_cut_off_from_the_servers_of_the_other_side_until_the_undo() {
    let bench = Bench::with_clients(3, 2);
    bench.plant_foreign_rules();
    let before = bench.rules();
    assert_eq!(connections(&bench).len(), 6);
    let nemesis = nemesis_of(&bench, bench.remote());
    let mut fault = begin_among_clients(&nemesis).await.expect("applied");
    assert_eq!(connections(&bench), [("c1", "n1"), ("c2", "n2"), ("c2", "n3")]);
    nemesis.observe(&mut fault).await;
    let ended = nemesis.end(fault).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
    assert!(ended.proof[1].ends_with("(n1 to c2, n2 to c1, n3 to c1)"), "{ended:?}");
    assert!(ended.undo_proof.iter().any(|p| p.contains(" to c")), "{ended:?}");
    assert_eq!(bench.rules(), before);
    assert_eq!(connections(&bench).len(), 6);
    nothing_is_left(&bench);
}

#[tokio::test]
async fn a_partition_from_clients_who_are_nowhere_did_not_bite_though_it_cut_the_servers_apart() {
    let bench = Bench::up(3);
    let before = bench.rules();
    let nowhere = [201, 202].map(|last| Ipv4Addr::new(10, 1, 0, last)).to_vec();
    let nemesis = nemesis_with(&bench, bench.remote(), nowhere);
    let mut fault = begin_among_clients(&nemesis).await.expect("applied");
    nemesis.observe(&mut fault).await;
    let ended = nemesis.end(fault).await;
    assert!(!ended.bit, "{ended:?}");
    assert!(ended.undone, "{ended:?}");
    assert_eq!(bench.rules(), before);
}

#[tokio::test]
async fn a_partition_from_clients_that_was_swallowed_on_its_way_did_not_bite() {
    let bench = Bench::with_clients(3, 2);
    let mut remote = bench.remote();
    remote.swallow_apply = NODES.map(str::to_owned).into();
    let nemesis = nemesis_of(&bench, remote);
    let mut fault = begin_among_clients(&nemesis).await.expect("it says that it was applied");
    nemesis.observe(&mut fault).await;
    let ended = nemesis.end(fault).await;
    assert!(!ended.bit, "{ended:?}");
    assert!(ended.undone, "{ended:?}");
}

#[tokio::test]
async fn a_client_that_shares_the_control_nodes_address_is_never_cut_off() {
    let bench = Bench::with_clients(3, 2);
    let before = bench.rules();
    let mut remote = bench.remote();
    remote.ssh_peer = Some(bench.clients()[1].to_string());
    let nemesis = nemesis_of(&bench, remote);
    let failed = begin_among_clients(&nemesis).await.expect_err("the control path is never cut");
    assert!(failed.to_string().contains("10.1.0.102 is the control node"), "{failed}");
    assert!(failed.undone());
    assert_eq!(bench.rules(), before);
    nothing_is_left(&bench);
}

#[tokio::test]
async fn heal_gives_clients_their_only_server_back() {
    let bench = Bench::with_clients(1, 2);
    let before = bench.rules();
    let nemesis = nemesis_of(&bench, bench.remote());
    let sides = vec![side_with(&[], &[1]), side_with(&[0], &[0])];
    let begun = nemesis.begin(1, PartitionShape::Halves, sides, Duration::from_secs(600)).await;
    drop((begun.expect("applied"), nemesis));
    assert!(bench.connects("c1", "n1"));
    assert!(!bench.connects("c2", "n1"));
    let state = bench.folder.path().join("state");
    let report = heal(&state, Some("r1"), |_, _| bench.remote(), |_| true).await;
    assert!(report.expect("an index").is_clean());
    assert!(bench.connects("c2", "n1"));
    assert_eq!(bench.rules(), before);
    assert!(bench.left_in_run_dir("n1").is_empty());
}
