//! The scripts that cut links, run for real against the firewalls of throw-away network namespaces.

mod support;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use locktest_cluster::{Remote, RemoteCommand, RemoteOutput};
use locktest_history::{Fault, PacketFate};
use locktest_nemesis::{FaultTag, HostCommands, NemesisSetting, fault_commands};
use support::bench::{Attempt, Bench};
use support::bench_remote::BenchRemote;
use support::{group, nemesis, one_way, partition, split, with_fate};

const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn one_against_the_rest() -> Fault {
    split("n1", "n2 n3")
}

/// Splits clients from servers.
fn among_clients() -> Fault {
    split("n1 c1", "n2 n3 c2")
}

/// The commands of a fault, to be run one by one.
fn commands(bench: &Bench, fault: &Fault) -> Vec<HostCommands> {
    let tag = FaultTag::new("r1", 1).expect("a legal tag");
    let setting = bench.setting();
    fault_commands(setting.hosts(&[]), &tag, fault, 600).expect("links that are cut").hosts
}

async fn run(remote: &BenchRemote, node: &str, command: &RemoteCommand) -> RemoteOutput {
    remote.run(node, command).await.expect("no connection can break")
}

async fn run_well(remote: &BenchRemote, node: &str, command: &RemoteCommand) -> RemoteOutput {
    let output = run(remote, node, command).await;
    assert_eq!(output.status, 0, "{}: {}", command.purpose, output.stderr);
    output
}

#[tokio::test]
async fn a_partition_cuts_both_ways_and_its_undo_leaves_everything_as_it_was() {
    let bench = Bench::up(3);
    bench.plant_foreign_rules();
    let before = bench.snapshot();
    let nemesis = bench.nemesis(bench.remote());
    let mut fault = bench.begin(&nemesis, 1, &one_against_the_rest(), 600).await.expect("applied");
    let during = bench.snapshot();
    assert_ne!(during.rules, before.rules);
    assert_eq!(during.servers, before.servers);
    assert_eq!(during.timers.len(), 3, "{:?}", during.timers);
    nemesis.observe(&mut fault).await;
    let ended = nemesis.end(fault).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
    assert_eq!(bench.snapshot(), before);
}

#[tokio::test]
async fn one_side_that_applies_a_partition_is_enough_to_cut_it() {
    let bench = Bench::up(3);
    let remote = bench.remote().swallowing("apply", &["n2", "n3"]);
    let ended = bench.inject(&bench.nemesis(remote), 1, &one_against_the_rest()).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
}

#[tokio::test]
async fn a_node_whose_ssh_peer_would_be_cut_off_refuses_and_nothing_is_changed() {
    let bench = Bench::up(3);
    bench.plant_foreign_rules();
    let before = bench.snapshot();
    for (ssh_peer, words) in [
        (Some("10.1.0.1"), "10.1.0.1 is the control node"),
        (Some("::ffff:10.1.0.1"), "10.1.0.1 is the control node"),
        (None, "SSH_CONNECTION is not set"),
    ] {
        let mut remote = bench.remote();
        remote.ssh_peer = ssh_peer.map(str::to_owned);
        let nemesis = bench.nemesis(remote);
        let failed = bench.begin(&nemesis, 1, &one_against_the_rest(), 600).await;
        let failed = failed.expect_err("the control path is never cut");
        assert!(failed.to_string().contains(words), "{failed}");
        assert!(failed.undone());
        assert_eq!(bench.snapshot(), before);
    }
}

#[tokio::test]
async fn one_way_that_would_cut_off_the_ssh_peer_is_refused_as_well() {
    let bench = Bench::up(3);
    let before = bench.snapshot();
    for cut in [one_way("n1", "n2"), one_way("n2", "n1")] {
        let mut remote = bench.remote();
        remote.ssh_peer = Some("10.1.0.1".into());
        let nemesis = bench.nemesis(remote);
        let failed = bench.begin(&nemesis, 1, &partition([cut]), 600).await;
        let failed = failed.expect_err("the control path is never cut");
        assert!(failed.to_string().contains("n2 failed to apply"), "{failed}");
        assert!(failed.undone());
        assert_eq!(bench.snapshot(), before);
    }
}

#[tokio::test]
async fn every_script_may_run_twice() {
    let bench = Bench::up(3);
    let before = bench.snapshot();
    let remote = bench.remote();
    let n2 = &commands(&bench, &one_against_the_rest())[1];
    let prepare = n2.prepare.as_ref().expect("a chain is prepared");
    for command in [&n2.arm, prepare, &n2.apply, &n2.undo, &n2.check, &n2.disarm] {
        let mut found = Vec::new();
        for _ in 0..2 {
            let output = run_well(&remote, "n2", command).await;
            if command == &n2.check {
                assert_eq!(output.stdout, "absent LT-r1-1\n");
            }
            found.push(bench.snapshot());
        }
        assert_eq!(found[0], found[1], "{}", command.purpose);
        let is_undone = command != prepare && command != &n2.apply;
        assert_eq!(found[0].rules == before.rules, is_undone, "{}", command.purpose);
    }
    assert_eq!(bench.snapshot(), before);
}

#[tokio::test]
async fn a_chain_that_was_prepared_stops_nothing_until_it_is_applied() {
    let bench = Bench::up(3);
    let before = bench.snapshot();
    let heard = bench.heard();
    let remote = bench.remote();
    let n1 = &commands(&bench, &one_against_the_rest())[0];
    run_well(&remote, "n1", &n1.arm).await;
    run_well(&remote, "n1", n1.prepare.as_ref().expect("a chain is prepared")).await;
    assert_eq!(bench.heard(), heard);
    run_well(&remote, "n1", &n1.apply).await;
    assert_ne!(bench.heard(), heard);
    for command in [&n1.undo, &n1.disarm] {
        run_well(&remote, "n1", command).await;
    }
    assert_eq!(bench.heard(), heard);
    assert_eq!(bench.snapshot(), before);
}

#[tokio::test]
async fn an_apply_that_arrives_after_its_undo_is_refused() {
    let bench = Bench::up(3);
    let before = bench.rules();
    let remote = bench.remote();
    let n1 = &commands(&bench, &one_against_the_rest())[0];
    let unarmed = run(&remote, "n1", &n1.apply).await;
    assert_ne!(unarmed.status, 0);
    assert!(unarmed.stderr.contains("no dead-man timer is armed"), "{}", unarmed.stderr);
    for late_after in [&n1.undo, &n1.disarm] {
        run_well(&remote, "n1", &n1.arm).await;
        run_well(&remote, "n1", late_after).await;
        assert_ne!(run(&remote, "n1", &n1.apply).await.status, 0);
        assert_eq!(bench.rules(), before);
    }
}

#[tokio::test]
async fn an_undo_finds_every_jump_to_its_chain_and_only_those() {
    let bench = Bench::up(3);
    bench.plant_foreign_rules();
    let before = bench.snapshot();
    let remote = bench.remote();
    let n1 = &commands(&bench, &one_against_the_rest())[0];
    let more = "iptables -w -A FORWARD -j LT-r1-1; iptables -w -A ADMIN -j LT-r1-1";
    let more = RemoteCommand::new("add jumps", more);
    let prepare = n1.prepare.as_ref().expect("a chain is prepared");
    for command in [&n1.arm, prepare, &n1.apply, &more, &n1.undo] {
        run_well(&remote, "n1", command).await;
    }
    assert_eq!(bench.rules(), before.rules);
    assert_eq!(run(&remote, "n1", &n1.check).await.stdout, "absent LT-r1-1\n");
    run_well(&remote, "n1", &n1.disarm).await;
    assert_eq!(bench.snapshot(), before);
}

#[tokio::test]
async fn a_process_that_merely_has_the_timers_old_id_is_not_killed() {
    let bench = Bench::up(3);
    let n1 = &commands(&bench, &one_against_the_rest())[0];
    let mut stranger =
        std::process::Command::new("sleep").arg("600").process_group(0).spawn().expect("sleep");
    let folder = bench.folder.path().join("n1/LT-r1-1");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("pid"), stranger.id().to_string()).expect("written");
    let disarmed = run(&bench.remote(), "n1", &n1.disarm).await;
    let ended = stranger.try_wait().expect("a child");
    stranger.kill().expect("killed");
    stranger.wait().expect("reaped");
    assert_eq!(ended, None, "a stranger was killed");
    assert_eq!(disarmed.status, 0, "{}", disarmed.stderr);
    assert!(bench.snapshot().files.is_empty());
}

/// Who hears whom among five servers and two clients while a fault is in force, if its cuts are
/// made as they are meant: rules are on servers alone, so clients hear each other.
fn meant_to_be_heard(fault: &Fault) -> BTreeSet<(String, String)> {
    const ALL: [&str; 7] = ["n1", "n2", "n3", "n4", "n5", "c1", "c2"];
    let pairs = ALL.iter().flat_map(|from| ALL.iter().map(move |to| (*from, *to)));
    let hears = |(from, to): &(&str, &str)| {
        let are_clients = from.starts_with('c') && to.starts_with('c');
        from != to && (are_clients || !fault.cuts(group(from)[0], group(to)[0]))
    };
    pairs.filter(hears).map(|(from, to)| (from.to_owned(), to.to_owned())).collect()
}

#[tokio::test]
async fn exactly_the_packets_of_the_cut_links_get_lost_and_each_way_by_itself() {
    let bench = Bench::with_clients(5, 2);
    bench.plant_foreign_rules();
    let before = bench.snapshot();
    let nemesis = bench.nemesis(bench.remote());
    let ring = ["n1 n3 n4", "n2 n4 n5", "n3 n5 n1", "n4 n1 n2", "n5 n2 n3"].map(|cut| {
        let (one, others) = cut.split_once(' ').expect("one and others");
        one_way(one, others)
    });
    let faults = [
        split("n1 n2", "n3 n4 n5"),
        partition([one_way("n1 n2", "n3 n4 n5")]),
        with_fate(PacketFate::Reject, partition([one_way("n3 n4 n5", "n1 n2")])),
        with_fate(PacketFate::Reset, partition(ring)),
        // A bridge: n3 hears and is heard by everybody.
        split("n1 n2", "n4 n5"),
        with_fate(PacketFate::Reset, partition([one_way("c1", "n1 n2"), one_way("n3", "c2")])),
        with_fate(PacketFate::Reject, split("n1 c1", "n2 n3 n4 n5 c2")),
    ];
    assert_eq!(bench.heard(), meant_to_be_heard(&partition([])));
    // There is a foreign chain whose name is that of fault 11.
    for (fault, id) in faults.iter().zip(21..) {
        let mut active = bench.begin(&nemesis, id, fault, 600).await.expect("applied");
        assert_eq!(bench.heard(), meant_to_be_heard(fault), "{fault:?}");
        nemesis.observe(&mut active).await;
        let ended = nemesis.end(active).await;
        assert!(ended.bit && ended.undone, "{fault:?}: {ended:?}");
        assert_eq!(bench.snapshot(), before, "{fault:?}");
    }
    assert_eq!(bench.heard(), meant_to_be_heard(&partition([])));
}

#[tokio::test]
async fn whoever_connects_across_learns_what_the_fate_of_packets_says() {
    let bench = Bench::with_clients(2, 1);
    let nemesis = bench.nemesis(bench.remote());
    for (fate, id) in PacketFate::ALL.into_iter().zip(1..) {
        let expected = match fate {
            PacketFate::Drop => Attempt::TimedOut,
            PacketFate::Reject | PacketFate::Reset => Attempt::Refused,
        };
        let fault = with_fate(fate, split("n1", "n2 c1"));
        let active = bench.begin(&nemesis, id, &fault, 600).await.expect("applied");
        for (from, to) in [("n1", "n2"), ("n2", "n1"), ("c1", "n1")] {
            assert_eq!(bench.attempt(from, to), expected, "{fate:?} from {from} to {to}");
        }
        assert_eq!(bench.attempt("c1", "n2"), Attempt::Connected);
        let ended = nemesis.end(active).await;
        assert!(ended.undone, "{ended:?}");
    }
}

#[tokio::test]
async fn a_connection_that_was_there_before_is_reset_by_a_fault_that_resets() {
    let bench = Bench::with_clients(1, 1);
    let nemesis = bench.nemesis(bench.remote());
    let mut connection = bench.connect("c1", "n1").expect("a connection");
    connection.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    let fault = with_fate(PacketFate::Reset, split("n1", "c1"));
    let active = bench.begin(&nemesis, 1, &fault, 600).await.expect("applied");
    connection.write_all(b"x").expect("the first packet leaves");
    let error = connection.read(&mut [0]).expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(nemesis.end(active).await.undone);
}

/// Which of the connections from clients to servers work, by the names of both.
fn connections(bench: &Bench) -> Vec<(&'static str, &'static str)> {
    let pairs = ["c1", "c2"].into_iter().flat_map(|client| NODES.map(|node| (client, node)));
    pairs.filter(|(client, node)| bench.attempt(client, node) == Attempt::Connected).collect()
}

#[tokio::test]
async fn clients_are_cut_off_from_the_servers_of_the_other_side_until_the_undo() {
    let bench = Bench::with_clients(3, 2);
    bench.plant_foreign_rules();
    let before = bench.snapshot();
    assert_eq!(connections(&bench).len(), 6);
    let nemesis = bench.nemesis(bench.remote());
    let mut fault = bench.begin(&nemesis, 1, &among_clients(), 600).await.expect("applied");
    assert_eq!(connections(&bench), [("c1", "n1"), ("c2", "n2"), ("c2", "n3")]);
    nemesis.observe(&mut fault).await;
    let ended = nemesis.end(fault).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
    assert!(ended.proof[1].ends_with("c1 to n2 n3, c2 to n1)"), "{ended:?}");
    assert_eq!(connections(&bench).len(), 6);
    assert_eq!(bench.snapshot(), before);
}

#[tokio::test]
async fn clients_alone_see_a_partition_between_themselves_and_servers_and_see_it_end() {
    let bench = Bench::with_clients(3, 2);
    let nemesis = bench.nemesis(bench.remote());
    let ended = bench.inject(&nemesis, 1, &split("c2", "n1 n3")).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
    assert!(ended.proof[1].ends_with("(c2 to n1 n3)"), "{ended:?}");
    let last = ended.undo_proof.last().expect("a sentence");
    assert_eq!(last, "a connection from c2 to n1 works again");
}

#[tokio::test]
async fn a_partition_from_clients_who_are_nowhere_did_not_bite() {
    let bench = Bench::with_clients(3, 2);
    let before = bench.snapshot();
    let mut setting: NemesisSetting = bench.setting();
    for (client, last) in setting.clients.iter_mut().zip(201..) {
        client.address = Ipv4Addr::new(10, 1, 0, last);
        client.enter = ["ip", "netns", "exec", "lt-test-nowhere"].map(str::to_owned).into();
    }
    let nemesis = nemesis(setting, &std::sync::Arc::new(bench.remote()));
    let ended = bench.inject(&nemesis, 1, &split("c1 c2", "n1 n2 n3")).await;
    assert!(!ended.bit, "{ended:?}");
    assert!(ended.undone, "{ended:?}");
    assert_eq!(bench.snapshot(), before);
}

#[tokio::test]
async fn a_client_that_shares_the_control_nodes_address_is_never_cut_off() {
    let bench = Bench::with_clients(3, 2);
    let before = bench.snapshot();
    let mut remote = bench.remote();
    remote.ssh_peer = Some(bench.clients()[1].address.to_string());
    let nemesis = bench.nemesis(remote);
    let failed = bench.begin(&nemesis, 1, &among_clients(), 600).await;
    let failed = failed.expect_err("the control path is never cut");
    assert!(failed.to_string().contains("10.1.0.102 is the control node"), "{failed}");
    assert!(failed.undone());
    assert_eq!(bench.snapshot(), before);
}

#[tokio::test]
async fn heal_gives_clients_their_only_server_back() {
    let bench = Bench::with_clients(1, 2);
    let before = bench.snapshot();
    let nemesis = bench.nemesis(bench.remote());
    let begun = bench.begin(&nemesis, 1, &split("c2", "n1 c1"), 600).await;
    drop((begun.expect("applied"), nemesis));
    assert_eq!(bench.attempt("c1", "n1"), Attempt::Connected);
    assert_eq!(bench.attempt("c2", "n1"), Attempt::TimedOut);
    assert!(bench.heal().await.is_clean());
    assert_eq!(bench.attempt("c2", "n1"), Attempt::Connected);
    assert_eq!(bench.snapshot(), before);
}
