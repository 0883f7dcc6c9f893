//! What the nemesis sends, in which order, and what it makes of the answers.

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use locktest_cluster::{CONTROL, RemoteCommand};
use locktest_history::{Fault, FaultEnded, FaultKind};
use locktest_nemesis::{
    ActiveFault, FaultNotApplied, FaultTag, HealReport, Hosts, Nemesis, NemesisSetting, OpenIndex,
    OpenRun, fault_commands, heal, read_journal,
};
use support::fake::{FakeRemote, NODES, Step, client_processes, clients, endpoints};
use support::{fault_of, nemesis, of_processes, setting, split};
use tempfile::TempDir;

struct Scene {
    folder: TempDir,
    remote: Arc<FakeRemote>,
    nemesis: Nemesis<FakeRemote>,
}

fn fake_setting(folder: &Path) -> NemesisSetting {
    let setting = setting(folder, endpoints(), Path::new("/mnt/lt/run"));
    NemesisSetting { clients: clients(), ..setting }
}

fn scene(change: impl FnOnce(&mut FakeRemote)) -> Scene {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let setting = fake_setting(folder.path());
    let mut remote = FakeRemote { journal: Some(setting.journal.clone()), ..Default::default() };
    change(&mut remote);
    let remote = Arc::new(remote);
    let nemesis = nemesis(setting, &remote);
    Scene { folder, remote, nemesis }
}

impl Scene {
    async fn begin(&self, id: u32) -> Result<ActiveFault, Box<FaultNotApplied>> {
        self.begin_fault(id, split("n1 n2", "n3 n4 n5")).await
    }

    async fn begin_fault(
        &self,
        id: u32,
        fault: Fault,
    ) -> Result<ActiveFault, Box<FaultNotApplied>> {
        let deadline = Duration::from_millis(29_500);
        self.nemesis.begin(id, fault, &client_processes(), deadline).await
    }

    async fn whole_fault(&self) -> FaultEnded {
        let mut fault = self.begin(1).await.expect("applied");
        self.nemesis.observe(&mut fault).await;
        self.nemesis.end(fault).await
    }

    fn open_faults(&self) -> Vec<u32> {
        let content = read_journal(&self.folder.path().join("faults.jsonl")).expect("a journal");
        content.open.into_keys().collect()
    }

    fn index(&self) -> OpenIndex {
        OpenIndex::new(&self.folder.path().join("state"))
    }

    fn is_indexed(&self) -> bool {
        !self.index().list().expect("an index").is_empty()
    }

    /// Heals as another process would, with another connection.
    async fn heal(&self, remote: impl Fn() -> FakeRemote, lab_exists: bool) -> HealReport {
        let state = self.folder.path().join("state");
        heal(&state, Some("r1"), |_, _| remote(), |_| lab_exists).await.expect("an index")
    }
}

fn position(steps: &[(String, Step)], last: bool, wanted: Step) -> usize {
    let mut hits = steps.iter().enumerate().filter(|(_, (_, step))| *step == wanted);
    let hit = if last { hits.next_back() } else { hits.next() };
    hit.unwrap_or_else(|| panic!("no {wanted:?} among {steps:?}")).0
}

#[tokio::test]
async fn a_partition_that_bites_and_is_undone_says_both() {
    let scene = scene(|_| {});
    let ended = scene.whole_fault().await;
    assert!(ended.bit && ended.undone, "{ended:?}");
    assert!(ended.proof[0].starts_with("72 packets of the cut links were dropped"), "{ended:?}");
    assert!(
        ended.proof[1].starts_with("12 connections had worked before the fault and failed"),
        "{ended:?}"
    );
    assert!(ended.heal_begin_ns < ended.end_ns);
    assert!(!scene.remote.any_applied());
}

#[tokio::test]
async fn every_timer_is_armed_before_any_node_is_touched() {
    let scene = scene(|_| {});
    drop(scene.begin(1).await.expect("applied"));
    let steps = scene.remote.steps();
    assert_eq!(scene.remote.hosts_of(Step::Arm), NODES);
    assert_eq!(scene.remote.hosts_of(Step::Apply), NODES);
    assert_eq!(scene.remote.hosts_of(Step::Prepare), NODES);
    assert!(position(&steps, true, Step::Arm) < position(&steps, false, Step::Prepare));
    assert!(position(&steps, true, Step::Arm) < position(&steps, false, Step::Look));
    assert!(position(&steps, true, Step::Prepare) < position(&steps, false, Step::Apply));
    assert!(position(&steps, true, Step::Look) < position(&steps, false, Step::Apply));
}

#[tokio::test]
async fn a_timer_gets_the_deadline_in_whole_seconds_rounded_up() {
    let scene = scene(|_| {});
    drop(scene.begin(1).await.expect("applied"));
    let log = scene.remote.log.lock().expect("the log");
    let (_, _, arm) = log.iter().find(|(_, step, _)| *step == Step::Arm).expect("an arm");
    assert!(arm.script.contains("\"$dir/timer\" \"$dir\" 30 <"), "{}", arm.script);
    assert!(arm.purpose.ends_with("fault 1 of run r1"), "{}", arm.purpose);
}

#[tokio::test]
async fn the_fault_is_on_disk_before_the_first_command_and_until_the_last_undo() {
    let scene = scene(|_| {});
    let begun = scene.begin(1).await.expect("applied");
    assert!(scene.is_indexed());
    scene.nemesis.end(begun).await;
    let steps = scene.remote.steps();
    let open = scene.remote.open_at_command.lock().expect("the list").clone();
    let last_check = position(&steps, true, Step::Check);
    assert!(open[..=last_check].iter().all(|open| *open), "{open:?}");
    assert_eq!(scene.open_faults(), [0; 0]);
    assert!(!scene.is_indexed());
}

#[tokio::test]
async fn a_fault_that_does_nothing_did_not_bite() {
    let scene = scene(|remote| remote.swallowed.extend(NODES.map(|node| (node, Step::Apply))));
    let ended = scene.whole_fault().await;
    assert!(!ended.bit, "{ended:?}");
    assert!(ended.proof.iter().any(|p| p.contains("n3 had none of the rules")), "{ended:?}");
    assert!(ended.undone, "{ended:?}");
}

#[tokio::test]
async fn a_fault_that_nobody_looked_at_did_not_bite() {
    let scene = scene(|_| {});
    let fault = scene.begin(1).await.expect("applied");
    assert!(!scene.nemesis.end(fault).await.bit);
}

#[tokio::test]
async fn an_undo_that_does_nothing_is_not_undone_and_keeps_its_timer_and_its_journal() {
    let scene = scene(|remote| {
        remote.swallowed.insert(("n2", Step::Undo));
    });
    let ended = scene.whole_fault().await;
    assert!(!ended.undone, "{ended:?}");
    assert_eq!(scene.remote.hosts_of(Step::Disarm), ["n1", "n3", "n4", "n5"]);
    assert_eq!(scene.remote.hosts_of(Step::Undo).iter().filter(|node| *node == "n2").count(), 3);
    assert_eq!(scene.open_faults(), [1]);
    assert!(scene.is_indexed());
}

#[tokio::test]
async fn a_fault_whose_timer_cannot_be_ended_is_not_undone() {
    let scene = scene(|remote| {
        remote.unreachable.insert(("n2", Step::Disarm));
    });
    let ended = scene.whole_fault().await;
    assert!(!ended.undone, "its timer would undo a later fault: {ended:?}");
    assert_eq!(scene.open_faults(), [1]);
    assert!(scene.is_indexed());
}

#[tokio::test]
async fn a_node_that_does_not_answer_the_check_is_not_undone() {
    let scene = scene(|remote| {
        remote.swallowed.insert(("n4", Step::Check));
    });
    let ended = scene.whole_fault().await;
    assert!(!ended.undone);
    assert!(ended.undo_proof.iter().any(|p| p.contains("n4 does not say")), "{ended:?}");
}

#[tokio::test]
async fn a_network_that_stays_cut_is_not_undone_though_no_rule_is_left() {
    let scene = scene(|remote| remote.deaf_after_undo = true);
    let ended = scene.whole_fault().await;
    assert!(!ended.undone);
    let last = ended.undo_proof.last().expect("a sentence");
    assert!(last.contains("no connection across works again"), "{ended:?}");
    assert_eq!(scene.open_faults(), [0; 0], "there is nothing that heal could undo");
}

#[tokio::test]
async fn clocks_that_were_told_to_be_wrong_are_a_bite_and_servers_without_one_are_refused() {
    let scene = scene(|_| {});
    let fault = fault_of(FaultKind::Clock);
    let mut active = scene.begin_fault(1, fault.clone()).await.expect("applied");
    scene.nemesis.observe(&mut active).await;
    let ended = scene.nemesis.end(active).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
    assert!(ended.proof[0].contains("a wall time 30.000 s behind"), "{ended:?}");
    assert!(ended.undo_proof.iter().any(|p| p.contains("the true wall time")), "{ended:?}");

    let mut setting = fake_setting(scene.folder.path());
    setting.servers[2].services[0].clock = None;
    let tag = FaultTag::new("r1", 1).expect("a legal tag");
    let refused = fault_commands(setting.hosts(&[]), &tag, &fault, 30).expect_err("no clock");
    assert!(refused.to_string().contains("n3 have no clock of their own"), "{refused}");
}

/// The commands of a fault, by host, as they were sent and as a dry run prints them.
async fn sent_and_printed(fault: Fault) -> [Vec<(String, RemoteCommand)>; 2] {
    let scene = scene(|_| {});
    let mut active = scene.begin_fault(1, fault.clone()).await.expect("applied");
    scene.nemesis.observe(&mut active).await;
    let ended = scene.nemesis.end(active).await;
    assert!(ended.undone, "{ended:?}");
    let by_host = |mut commands: Vec<(String, RemoteCommand)>| {
        commands.sort_by(|(one, _), (other, _)| one.cmp(other));
        commands
    };
    let setting = fake_setting(scene.folder.path());
    let hosts = setting.hosts(&[]);
    let hosts = Hosts { processes: &client_processes(), ..hosts };
    let tag = FaultTag::new("r1", 1).expect("a legal tag");
    let printed = fault_commands(hosts, &tag, &fault, 30).expect("a fault of somebody");
    let printed = printed.in_order().into_iter();
    let log = scene.remote.log.lock().expect("the log");
    [
        by_host(log.iter().map(|(host, _, sent)| (host.clone(), sent.clone())).collect()),
        by_host(printed.map(|(host, print)| (host.to_owned(), print.clone())).collect()),
    ]
}

#[tokio::test]
async fn a_dry_run_prints_what_is_sent_and_nothing_else() {
    let among_clients = split("n1 c1", "n2 n3 n4 n5 c2");
    for fault in FaultKind::ALL.map(fault_of).into_iter().chain([among_clients]) {
        let kind = fault.kind;
        let [sent, printed] = sent_and_printed(fault).await;
        assert!(!sent.is_empty());
        assert_eq!(sent, printed, "{kind}");
    }
}

#[tokio::test]
async fn clients_try_their_connections_before_servers_count_what_they_stopped() {
    let scene = scene(|_| {});
    let fault = split("c1", "n1 n2 n3 n4 n5");
    let mut fault = scene.begin_fault(1, fault).await.expect("applied");
    scene.nemesis.observe(&mut fault).await;
    let ended = scene.nemesis.end(fault).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
    assert_eq!(scene.remote.hosts_of(Step::Try), [CONTROL; 3]);
    assert_eq!(scene.remote.hosts_of(Step::Look).len(), 3 * NODES.len());
    let steps = scene.remote.steps();
    let looks = steps.iter().map(|(_, step)| *step);
    let looks: Vec<Step> = looks.filter(|step| matches!(step, Step::Try | Step::Look)).collect();
    assert!(looks.chunks(1 + NODES.len()).all(|look| look[0] == Step::Try), "{looks:?}");
}

#[tokio::test]
async fn a_fault_of_clients_needs_nobody_but_the_control_node() {
    let scene = scene(|_| {});
    let fault = of_processes(FaultKind::ClientPause, "c1 c2");
    let mut fault = scene.begin_fault(1, fault).await.expect("applied");
    scene.nemesis.observe(&mut fault).await;
    let ended = scene.nemesis.end(fault).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
    assert!(scene.remote.steps().iter().all(|(host, _)| host == CONTROL));
    let effects: Vec<_> = ended.hosts.iter().map(|effect| effect.host.as_str()).collect();
    assert_eq!(effects, [CONTROL]);
}

#[tokio::test]
async fn each_host_tells_when_a_fault_and_its_undo_took_effect() {
    let scene = scene(|_| {});
    let fault = scene.begin(1).await.expect("applied");
    let begun = fault.begun.clone();
    let ended = scene.nemesis.end(fault).await;
    for (effects, from_ns, until_ns) in [
        (&begun.hosts, begun.begin_ns, begun.in_force_ns),
        (&ended.hosts, ended.heal_begin_ns, ended.end_ns),
    ] {
        let hosts: Vec<_> = effects.iter().map(|effect| effect.host.as_str()).collect();
        assert_eq!(hosts, NODES);
        for effect in effects {
            assert!(from_ns < effect.from_ns && effect.from_ns <= effect.until_ns, "{effect:?}");
            assert!(effect.until_ns < until_ns, "{effect:?}");
        }
    }
}

#[tokio::test]
async fn a_node_that_cannot_be_armed_stops_the_fault_before_it_is_applied() {
    let scene = scene(|remote| {
        remote.unreachable.insert(("n4", Step::Arm));
    });
    let failed = scene.begin(1).await.expect_err("n4 has no timer");
    assert!(scene.remote.hosts_of(Step::Apply).is_empty());
    assert_eq!(scene.remote.hosts_of(Step::Undo), NODES);
    assert!(failed.undone());
    assert_eq!(failed.in_force, None);
    assert!(failed.to_string().contains("n4"), "{failed}");
    assert_eq!(scene.open_faults(), [0; 0]);
    assert!(!scene.is_indexed());
}

#[tokio::test]
async fn a_node_that_cannot_be_cut_makes_all_others_whole_again() {
    let scene = scene(|remote| {
        remote.unreachable.insert(("n2", Step::Apply));
    });
    let failed = scene.begin(1).await.expect_err("n2 was not cut");
    assert_eq!(scene.remote.hosts_of(Step::Undo), NODES);
    assert!(!scene.remote.any_applied());
    assert!(failed.undone());
    assert!(failed.reason.contains("cannot reach n2"), "{failed}");
}

#[tokio::test]
async fn a_fault_that_was_given_up_half_way_is_recorded_from_its_begin_to_its_undo() {
    let scene = scene(|remote| {
        remote.unreachable.insert(("n2", Step::Apply));
    });
    let failed = scene.begin(7).await.expect_err("n2 was not cut");
    let (begun, ended) = failed.in_force.expect("four nodes were cut");
    assert_eq!((begun.id, ended.id), (7, 7));
    assert_eq!(begun.fault, split("n1 n2", "n3 n4 n5"));
    let times = [begun.begin_ns, begun.in_force_ns, ended.end_ns];
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    assert_eq!(begun.in_force_ns, ended.heal_begin_ns, "nothing was settled before the undo");
    assert!(!ended.bit && ended.undone, "{ended:?}");
    assert!(ended.proof[0].contains("given up half-way"), "{ended:?}");
    assert!(ended.proof[0].contains("cannot reach n2"), "{ended:?}");
    for (node, proof) in NODES.iter().zip(&ended.undo_proof) {
        assert!(proof.starts_with(&format!("{node} has nothing")), "{ended:?}");
    }
    assert_eq!(ended.undo_proof.len(), NODES.len());
}

#[tokio::test]
async fn a_fault_that_was_given_up_half_way_and_stays_is_not_undone() {
    let scene = scene(|remote| {
        remote.unreachable.insert(("n2", Step::Apply));
        remote.swallowed.insert(("n5", Step::Undo));
    });
    let failed = scene.begin(1).await.expect_err("n2 was not cut");
    assert!(!failed.undone());
    let (_, ended) = failed.in_force.expect("four nodes were cut");
    assert!(!ended.undone, "{ended:?}");
    assert!(ended.undo_proof[4].starts_with("LT-r1-1 is still on n5: -N LT-r1-1"), "{ended:?}");
    assert_eq!(scene.open_faults(), [1]);
}

#[tokio::test]
async fn a_node_that_cannot_be_undone_keeps_no_other_from_it() {
    let scene = scene(|remote| {
        remote.unreachable.insert(("n1", Step::Undo));
    });
    let ended = scene.whole_fault().await;
    assert!(!ended.undone);
    for node in ["n2", "n3", "n4", "n5"] {
        assert!(ended.undo_proof.iter().any(|p| p.starts_with(&format!("{node} has nothing"))));
    }
    assert_eq!(scene.open_faults(), [1]);
}

#[tokio::test]
async fn a_fault_that_cannot_be_done_sends_nothing() {
    let of = |kind, names| of_processes(kind, names);
    for (fault, reason) in [
        (split("n1", "n8"), "there is no server 7"),
        (split("c1", "c2"), "cuts no link of any server"),
        (of(FaultKind::Kill, "n8"), "there is no server 7"),
        (of(FaultKind::Pause, ""), "done to nobody"),
        (of(FaultKind::ClientKill, "c3"), "client c3 has no process"),
        (of(FaultKind::ClientPause, ""), "done to nobody"),
    ] {
        let scene = scene(|_| {});
        let failed = scene.begin_fault(1, fault).await.expect_err(reason);
        assert!(failed.to_string().contains(reason), "{failed}");
        assert!(failed.undone() && failed.hosts.is_empty() && failed.in_force.is_none());
        assert!(scene.remote.steps().is_empty());
        assert!(!scene.is_indexed());
    }
}

#[tokio::test]
async fn a_dropped_fault_is_healed_at_the_end_of_the_run() {
    let scene = scene(|_| {});
    drop(scene.begin(1).await.expect("applied"));
    assert!(scene.remote.any_applied());
    let healed = scene.nemesis.heal_all_open().await;
    assert!(healed.faults[0].undone() && healed.problems.is_empty(), "{healed:?}");
    assert!(!scene.remote.any_applied() && !scene.is_indexed());
    assert!(scene.nemesis.heal_all_open().await.faults.is_empty());
}

#[tokio::test]
async fn heal_needs_nothing_but_the_journal_and_may_be_repeated() {
    let scene = scene(|_| {});
    drop(scene.begin(1).await.expect("applied"));
    let report = scene.heal(FakeRemote::default, true).await;
    assert!(report.is_clean());
    assert_eq!(report.runs[0].faults[0].hosts.len(), 5);
    assert_eq!(scene.open_faults(), [0; 0]);
    assert_eq!(scene.heal(FakeRemote::default, true).await, HealReport::default());
}

#[tokio::test]
async fn heal_names_the_nodes_that_it_cannot_reach_with_a_command_and_tries_again_later() {
    let scene = scene(|_| {});
    drop(scene.begin(1).await.expect("applied"));
    let broken = || FakeRemote {
        unreachable: [("n3", Step::Undo), ("n3", Step::Check)].into(),
        ..Default::default()
    };
    let report = scene.heal(broken, true).await;
    assert!(!report.is_clean());
    let left: Vec<_> = report.runs[0].faults[0].hosts.iter().filter(|node| !node.gone).collect();
    assert_eq!(left.len(), 1);
    let by_hand = left[0].by_hand.as_deref().expect("a command");
    assert!(by_hand.starts_with("ssh -p 22 -i /keys/id root@10.1.0.3 '"), "{by_hand}");
    assert!(scene.is_indexed());
    assert!(scene.heal(FakeRemote::default, true).await.is_clean());
    assert!(!scene.is_indexed());
}

#[tokio::test]
async fn a_run_in_progress_is_passed_over_unless_it_is_named() {
    let scene = scene(|_| {});
    drop(scene.begin(1).await.expect("applied"));
    let state = scene.folder.path().join("state");
    let report =
        heal(&state, None, |_, _| FakeRemote::default(), |_| true).await.expect("an index");
    assert_eq!(report.runs[0].in_progress_pid, Some(std::process::id()));
    assert!(report.runs[0].faults.is_empty());
    assert_eq!(scene.open_faults(), [1]);

    let mut orphan = OpenRun::of_this_process("r1", &scene.folder.path().join("faults.jsonl"))
        .expect("an entry");
    orphan.control_start_ticks -= 1;
    scene.index().add(&orphan).expect("replaced");
    let report =
        heal(&state, None, |_, _| FakeRemote::default(), |_| true).await.expect("an index");
    assert!(report.runs[0].faults[0].undone());
    assert!(!scene.is_indexed());
}

/// A connection to a lab that is gone: only the control node answers.
fn unreachable_nodes() -> FakeRemote {
    let steps = [Step::Undo, Step::Check, Step::Disarm];
    let unreachable = NODES.iter().flat_map(|node| steps.map(|step| (*node, step)));
    FakeRemote { unreachable: unreachable.collect(), ..Default::default() }
}

fn scene_of_a_lab() -> Scene {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let setting = NemesisSetting { lab_id: Some("4f2a".into()), ..fake_setting(folder.path()) };
    let remote = Arc::new(FakeRemote::default());
    let nemesis = nemesis(setting, &remote);
    Scene { folder, remote, nemesis }
}

#[tokio::test]
async fn a_fault_of_nodes_is_gone_with_its_lab() {
    let scene = scene_of_a_lab();
    drop(scene.begin(1).await.expect("applied"));
    let report = scene.heal(unreachable_nodes, false).await;
    assert!(report.is_clean());
    assert_eq!(report.runs[0].faults[0].lab_gone.as_deref(), Some("4f2a"));
    assert!(report.runs[0].faults[0].hosts.is_empty());
    assert!(!scene.is_indexed());
}

#[tokio::test]
async fn a_fault_of_clients_outlives_its_lab_and_is_healed() {
    let scene = scene_of_a_lab();
    let fault = of_processes(FaultKind::ClientPause, "c1");
    drop(scene.begin_fault(1, fault).await.expect("applied"));
    let report = scene.heal(unreachable_nodes, false).await;
    assert!(report.is_clean());
    let hosts = &report.runs[0].faults[0].hosts;
    assert_eq!(hosts.len(), 1);
    assert!(hosts[0].host == CONTROL && hosts[0].gone, "{hosts:?}");
}

#[tokio::test]
async fn a_journal_that_is_gone_is_told_once() {
    let scene = scene(|_| {});
    drop(scene.begin(1).await.expect("applied"));
    fs::remove_file(scene.folder.path().join("faults.jsonl")).expect("removed");
    let report = scene.heal(FakeRemote::default, true).await;
    assert!(report.runs[0].problems[0].contains("is gone"), "{report:?}");
    assert_eq!(scene.heal(FakeRemote::default, true).await, HealReport::default());
}

#[tokio::test]
async fn a_damaged_journal_is_named_and_its_good_lines_are_healed() {
    let scene = scene(|_| {});
    drop(scene.begin(1).await.expect("applied"));
    drop(scene.begin(2).await.expect("applied"));
    let journal = scene.folder.path().join("faults.jsonl");
    let text = fs::read_to_string(&journal).expect("a journal");
    fs::write(&journal, text.replacen("intent", "int\u{0}nt", 1)).expect("written");
    let report = scene.heal(FakeRemote::default, true).await;
    assert!(!report.is_clean());
    assert!(report.runs[0].problems[0].contains("line 1"), "{report:?}");
    assert_eq!(report.runs[0].faults[0].fault, 2);
    assert!(report.runs[0].faults[0].undone());
    assert!(scene.is_indexed(), "somebody has to look at line 1");
}

#[tokio::test]
async fn nothing_to_heal_is_fine() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = heal(folder.path(), None, |_, _| FakeRemote::default(), |_| true).await;
    assert!(report.expect("an empty index").is_clean());
}

#[test]
fn faults_can_be_driven_from_any_task() {
    fn sendable<T: Send>(_: &T) {}
    let scene = scene(|_| {});
    sendable(&scene.begin(1));
    sendable(&scene.begin_fault(1, fault_of(FaultKind::Kill)));
    sendable(&scene.whole_fault());
    sendable(&scene.nemesis.heal_all_open());
    sendable(&heal(Path::new("x"), None, |_, _| FakeRemote::default(), |_| true));
}
