//! What holds for every kind of fault, on real firewalls and processes: one that is swallowed is no
//! bite, and nothing outlasts its undo, its dead-man timer or heal.

mod support;

use std::future::Future;

use locktest_cluster::CONTROL;
use locktest_history::{Fault, FaultKind};
use support::bench::{Bench, wait_until};
use support::snapshot::Snapshot;
use support::{fault_of, split};

const HOSTS: [&str; 4] = ["n1", "n2", "n3", CONTROL];

/// Plays a scene for every kind of fault, all at once, each on a bench of its own with foreign rules.
async fn for_every_kind<S>(scene: fn(Bench, Fault) -> S)
where
    S: Future<Output = ()> + Send + 'static,
{
    let benches: Vec<Bench> = FaultKind::ALL.iter().map(|_| Bench::with_clients(3, 2)).collect();
    let faults = FaultKind::ALL.into_iter().map(fault_of);
    let scenes: Vec<_> = (benches.into_iter().zip(faults))
        .map(|(bench, fault)| {
            bench.plant_foreign_rules();
            tokio::spawn(scene(bench, fault))
        })
        .collect();
    for scene in scenes {
        scene.await.expect("no panic");
    }
}

/// Checks that a fault has changed what a fault of its kind changes, and nothing else.
fn is_in_force(fault: &Fault, before: &Snapshot, during: &Snapshot) {
    assert_eq!(before.rules != during.rules, fault.kind.cuts_links(), "{fault:?}");
    assert_eq!(before.servers != during.servers, !fault.servers.is_empty(), "{fault:?}");
    assert_eq!(before.clients != during.clients, !fault.clients.is_empty(), "{fault:?}");
    assert!(during.only_wrong_clocks_are(&fault.clocks), "{fault:?}: {:?}", during.clocks);
    assert!(!during.timers.is_empty() && !during.files.is_empty(), "{fault:?}");
    assert!(during.locked.is_empty(), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 7)]
async fn every_fault_bites_unless_no_host_applied_it_and_its_undo_leaves_nothing_behind() {
    for_every_kind(|bench, fault| async move {
        let before = bench.snapshot();
        let swallowing = bench.nemesis(bench.remote().swallowing("apply", &HOSTS));
        let ended = bench.inject(&swallowing, 1, &fault).await;
        assert!(!ended.bit && ended.undone, "{ended:?}");
        assert_eq!(bench.snapshot(), before, "{fault:?}");

        let nemesis = bench.nemesis(bench.remote());
        let mut active = bench.begin(&nemesis, 2, &fault, 600).await.expect("applied");
        is_in_force(&fault, &before, &bench.snapshot());
        nemesis.observe(&mut active).await;
        let ended = nemesis.end(active).await;
        assert!(ended.bit && ended.undone, "{ended:?}");
        let now = bench.snapshot();
        assert_eq!(now, before.after(&fault, &now), "{fault:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 7)]
async fn hosts_that_nobody_comes_back_to_undo_every_fault_themselves_and_take_the_next_one() {
    for_every_kind(|bench, fault| async move {
        let before = bench.snapshot();
        let nemesis = bench.nemesis(bench.remote());
        let active = bench.begin(&nemesis, 1, &fault, 5).await.expect("applied");
        is_in_force(&fault, &before, &bench.snapshot());
        drop((active, nemesis));
        wait_until("everything is as it was", || {
            let now = bench.snapshot();
            now == before.after(&fault, &now)
        })
        .await;
        bench.wait_for_servers().await;
        let next = split("n1", "n2 n3");
        let ended = bench.inject(&bench.nemesis(bench.remote()), 2, &next).await;
        assert!(ended.bit && ended.undone, "{ended:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 7)]
async fn heal_undoes_every_fault_from_the_journal_alone_and_may_be_repeated() {
    for_every_kind(|bench, fault| async move {
        let before = bench.snapshot();
        let nemesis = bench.nemesis(bench.remote());
        drop(bench.begin(&nemesis, 1, &fault, 600).await.expect("applied"));
        drop(nemesis);
        is_in_force(&fault, &before, &bench.snapshot());
        for faults in [1, 0] {
            let report = bench.heal().await;
            assert!(report.is_clean(), "{report:?}");
            assert_eq!(report.runs.iter().map(|run| run.faults.len()).sum::<usize>(), faults);
            let now = bench.snapshot();
            assert_eq!(now, before.after(&fault, &now), "{fault:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 7)]
async fn an_undo_that_a_host_swallows_is_told_with_the_way_to_do_it_by_hand_and_heal_does_it_later()
{
    for_every_kind(|bench, fault| async move {
        let before = bench.snapshot();
        let remote = bench.remote().swallowing("undo", &HOSTS);
        let nemesis = bench.nemesis(remote);
        let mut active = bench.begin(&nemesis, 1, &fault, 600).await.expect("applied");
        nemesis.observe(&mut active).await;
        let ended = nemesis.end(active).await;
        // Nobody starts a client again, so there is nothing to undo.
        let is_nothing_to_undo = fault.kind == FaultKind::ClientKill;
        assert!(ended.bit, "{ended:?}");
        assert_eq!(ended.undone, is_nothing_to_undo, "{ended:?}");
        if !is_nothing_to_undo {
            assert!(ended.undo_proof[0].contains("LT-r1-1 is still on"), "{ended:?}");
            is_in_force(&fault, &before, &bench.snapshot());
            let tried = nemesis.heal_all_open().await;
            for host in &tried.faults[0].hosts {
                let by_hand = host.by_hand.as_deref().expect("a command");
                let program = if host.host == CONTROL { "sh -c '" } else { "ssh -p 22 root@10" };
                assert!(!host.gone && by_hand.starts_with(program), "{by_hand}");
            }
            let report = bench.heal().await;
            assert!(report.is_clean() && report.runs[0].faults[0].undone(), "{report:?}");
        }
        assert!(bench.heal().await.runs.is_empty());
        let now = bench.snapshot();
        assert_eq!(now, before.after(&fault, &now), "{fault:?}");
    })
    .await;
}
