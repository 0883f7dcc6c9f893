//! Faults of real processes: servers in network namespaces of their own, and clients beside them.

mod support;

use std::fs;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use locktest_cluster::{Remote, RemoteCommand, RemoteError, RemoteOutput};
use locktest_history::FaultKind;
use locktest_nemesis::{ClientProcess, FaultTag, fault_commands};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::bench::{Attempt, Bench, sh, wait_until};
use support::bench_remote::BenchRemote;
use support::snapshot::{GONE, Process, start_ticks};
use support::{nemesis, of_processes, split};

#[tokio::test]
async fn a_kill_bites_and_its_undo_starts_the_server_again() {
    let bench = Bench::up(2);
    let before = bench.snapshot();
    let nemesis = bench.nemesis(bench.remote());
    let fault = of_processes(FaultKind::Kill, "n1");
    let mut active = bench.begin(&nemesis, 1, &fault, 600).await.expect("applied");
    assert_eq!(bench.server("n1").state, GONE);
    assert_eq!(bench.server("n2"), before.servers[1]);
    assert_eq!(bench.attempt("n2", "n1"), Attempt::Refused);
    nemesis.observe(&mut active).await;
    let ended = nemesis.end(active).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
    let pid = before.servers[0].pid;
    let proof = format!(
        "listener on n1 ran as process {pid} before the fault, and was gone (process {pid}) during it"
    );
    assert_eq!(ended.proof, [proof]);
    let now = bench.snapshot();
    assert_eq!(now, before.after(&fault, &now));
    bench.wait_for_servers().await;
}

#[tokio::test]
async fn a_pause_bites_and_its_undo_lets_the_same_process_go_on() {
    let bench = Bench::up(2);
    let before = bench.snapshot();
    let nemesis = bench.nemesis(bench.remote());
    let fault = of_processes(FaultKind::Pause, "n2");
    let mut active = bench.begin(&nemesis, 1, &fault, 600).await.expect("applied");
    assert_eq!(bench.server("n2"), Process { state: 'T', ..before.servers[1] });
    assert_eq!(bench.server("n1"), before.servers[0]);
    nemesis.observe(&mut active).await;
    let ended = nemesis.end(active).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
    assert!(ended.proof[0].contains(&format!("was process {} in state T", before.servers[1].pid)));
    assert_eq!(bench.snapshot(), before);
}

#[tokio::test]
async fn all_servers_die_and_come_back_and_one_that_stays_is_no_bite() {
    let bench = Bench::up(3);
    let before = bench.snapshot();
    let fault = of_processes(FaultKind::RestartAll, "n1 n2 n3");
    let ended = bench.inject(&bench.nemesis(bench.remote()), 1, &fault).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
    assert_eq!(ended.proof.len(), 3, "{ended:?}");
    let now = bench.snapshot();
    assert_eq!(now, before.after(&fault, &now));

    let remote = bench.remote().swallowing("apply", &["n2"]);
    let ended = bench.inject(&bench.nemesis(remote), 2, &fault).await;
    assert!(!ended.bit && ended.undone, "{ended:?}");
    assert_eq!(bench.server("n2"), now.servers[1]);
}

#[tokio::test]
async fn a_client_is_paused_where_it_runs_and_the_others_go_on() {
    let bench = Bench::with_clients(1, 2);
    let before = bench.snapshot();
    let nemesis = bench.nemesis(bench.remote());
    let fault = of_processes(FaultKind::ClientPause, "c2");
    let mut active = bench.begin(&nemesis, 1, &fault, 600).await.expect("applied");
    let paused = Process { state: 'T', ..before.clients[1] };
    assert_eq!(bench.snapshot().clients, [before.clients[0], paused]);
    nemesis.observe(&mut active).await;
    let ended = nemesis.end(active).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
    assert!(ended.proof[0].starts_with("c2 on control ran as process"), "{ended:?}");
    assert_eq!(bench.snapshot(), before);
}

#[tokio::test]
async fn a_client_that_was_killed_stays_dead_and_leaves_nothing_of_the_fault() {
    let bench = Bench::with_clients(1, 2);
    let before = bench.snapshot();
    let fault = of_processes(FaultKind::ClientKill, "c1");
    let ended = bench.inject(&bench.nemesis(bench.remote()), 1, &fault).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
    assert!(ended.proof[0].contains(&format!("was gone (process {})", before.clients[0].pid)));
    let now = bench.snapshot();
    assert_eq!(now.clients[0].state, GONE);
    assert_eq!(now, before.after(&fault, &now));
}

#[tokio::test]
async fn a_server_that_an_undo_started_does_not_keep_the_lock_of_the_run_folder() {
    let bench = Bench::up(2);
    let nemesis = bench.nemesis(bench.remote());
    let kill = of_processes(FaultKind::Kill, "n1 n2");
    for id in 1..=2 {
        let ended = bench.inject(&nemesis, id, &kill).await;
        assert!(ended.bit && ended.undone, "{ended:?}");
        assert_eq!(bench.snapshot().locked, [""; 0]);
    }
    bench.wait_for_servers().await;
    let ended = bench.inject(&nemesis, 3, &split("n1", "n2")).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
}

#[tokio::test]
async fn an_apply_that_is_sent_twice_kills_once() {
    let bench = Bench::up(1);
    let setting = bench.setting();
    let fault = of_processes(FaultKind::Kill, "n1");
    let tag = FaultTag::new("r1", 1).expect("a legal tag");
    let commands = fault_commands(setting.hosts(&[]), &tag, &fault, 600).expect("a fault of n1");
    let n1 = &commands.hosts[0];
    let start = bench.service("n1").start();
    let remote = bench.remote();
    for command in [&n1.arm, &n1.apply, &start] {
        remote.run_ok("n1", command).await.expect("a command that succeeds");
    }
    let restarted = bench.server("n1");
    for command in [&n1.apply, &n1.undo, &n1.undo, &n1.disarm, &n1.disarm] {
        remote.run_ok("n1", command).await.expect("a command that succeeds");
        assert_eq!(bench.server("n1"), restarted, "{}", command.purpose);
    }
    assert_eq!(restarted.state, 'S');
}

#[tokio::test]
async fn a_server_that_does_not_come_back_is_not_undone() {
    let bench = Bench::up(1);
    let mut setting = bench.setting();
    setting.servers[0].services[0].program = "/nonexistent/server".into();
    let nemesis = nemesis(setting, &Arc::new(bench.remote()));
    let ended = bench.inject(&nemesis, 1, &of_processes(FaultKind::Kill, "n1")).await;
    assert!(ended.bit && !ended.undone, "{ended:?}");
    assert!(ended.undo_proof[0].contains("listener does not run"), "{ended:?}");
    assert_eq!(bench.snapshot().timers.len(), 1, "its timer may still start it");
}

/// A process that a fault is not done to, killed when this is dropped.
struct Stranger(Child);

impl Stranger {
    fn start() -> Stranger {
        Stranger(Command::new("sleep").arg("600").spawn().expect("sleep"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn start_ticks(&self) -> u64 {
        start_ticks(self.pid()).expect("it runs")
    }

    fn state(&self) -> char {
        Process::look(self.pid(), self.start_ticks()).state
    }

    async fn stop(&self) {
        kill(Pid::from_raw(self.pid() as i32), Signal::SIGSTOP).expect("a process");
        wait_until("the stranger is stopped", || self.state() == 'T').await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_process_that_merely_has_a_clients_old_id_is_not_touched() {
    let bench = Bench::up(1);
    let nemesis = bench.nemesis(bench.remote());
    let stranger = Stranger::start();
    let start_ticks = stranger.start_ticks() - 1;
    for (kind, id) in [(FaultKind::ClientPause, 1), (FaultKind::ClientKill, 2)] {
        let fault = of_processes(kind, "c1");
        let [client] = fault.clients[..] else { panic!("one client: {fault:?}") };
        let process = ClientProcess { client, pid: stranger.pid(), start_ticks };
        let deadline = Duration::from_secs(600);
        let mut active = nemesis.begin(id, fault, &[process], deadline).await.expect("applied");
        assert_eq!(stranger.state(), 'S');
        nemesis.observe(&mut active).await;
        if kind == FaultKind::ClientPause {
            stranger.stop().await;
        }
        let ended = nemesis.end(active).await;
        assert!(!ended.bit && ended.undone, "{ended:?}");
        if kind == FaultKind::ClientPause {
            assert_eq!(stranger.state(), 'T', "the undo let a stranger go on");
            kill(Pid::from_raw(stranger.pid() as i32), Signal::SIGCONT).expect("a process");
            wait_until("the stranger goes on", || stranger.state() == 'S').await;
        }
    }
}

#[tokio::test]
async fn a_process_that_merely_has_a_servers_old_id_is_not_touched() {
    let bench = Bench::up(1);
    let nemesis = bench.nemesis(bench.remote());
    let stranger = Stranger::start();
    let service = bench.service("n1");
    let remote = bench.remote();
    for (kind, id) in [(FaultKind::Pause, 1), (FaultKind::Kill, 2)] {
        remote.run_ok("n1", &service.kill()).await.expect("killed");
        let old = format!("{} {}\n", stranger.pid(), stranger.start_ticks() - 1);
        fs::write(&service.pid_file, old).expect("a pid file");
        let ended = bench.inject(&nemesis, id, &of_processes(kind, "n1")).await;
        assert!(!ended.bit && ended.undone, "{ended:?}");
        assert_eq!(stranger.state(), 'S');
    }
    assert_ne!(bench.server("n1").pid, stranger.pid(), "the undo has started a server");
    assert_eq!(bench.server("n1").state, 'S');
}

#[tokio::test]
async fn a_paused_client_whose_undo_was_lost_goes_on_by_the_command_for_people() {
    let bench = Bench::with_clients(1, 1);
    let before = bench.snapshot();
    let nemesis = bench.nemesis(bench.remote().swallowing("undo", &["control"]));
    let fault = of_processes(FaultKind::ClientPause, "c1");
    drop(bench.begin(&nemesis, 1, &fault, 600).await.expect("applied"));
    let tried = nemesis.heal_all_open().await;
    let left = &tried.faults[0].hosts[0];
    let stopped = format!("c1 is stopped, process {}", before.clients[0].pid);
    assert!(!left.gone && left.account.contains(&stopped), "{left:?}");
    sh(left.by_hand.as_deref().expect("a command"));
    assert_eq!(bench.snapshot().clients, before.clients);
    assert!(bench.heal().await.is_clean());
    assert_eq!(bench.snapshot(), before);
}

#[tokio::test]
async fn two_faults_at_once_end_in_any_order_and_leave_nothing() {
    let bench = Bench::up(3);
    bench.plant_foreign_rules();
    let nemesis = bench.nemesis(bench.remote());
    let outer = split("n1", "n2 n3");
    for (kind, id) in [(FaultKind::Kill, 1), (FaultKind::Pause, 5)] {
        let inner = of_processes(kind, "n1 n3");
        for (outer_first, id) in [(true, id), (false, id + 2)] {
            let before = bench.snapshot();
            let mut one = bench.begin(&nemesis, id, &outer, 600).await.expect("applied");
            nemesis.observe(&mut one).await;
            let mut other = bench.begin(&nemesis, id + 1, &inner, 600).await.expect("applied");
            nemesis.observe(&mut other).await;
            let (first, second) = if outer_first { (one, other) } else { (other, one) };
            for fault in [first, second] {
                let ended = nemesis.end(fault).await;
                assert!(ended.bit && ended.undone, "{ended:?}");
            }
            let now = bench.snapshot();
            assert_eq!(now, before.after(&inner, &now), "{kind}, {outer_first}");
            bench.wait_for_servers().await;
        }
    }
}

#[tokio::test]
async fn a_server_that_is_paused_and_then_killed_runs_again_whichever_ends_first() {
    let bench = Bench::up(1);
    let nemesis = bench.nemesis(bench.remote());
    let pause = of_processes(FaultKind::Pause, "n1");
    let kill = of_processes(FaultKind::Kill, "n1");
    for (pause_first, id) in [(true, 1), (false, 3)] {
        let before = bench.snapshot();
        let paused = bench.begin(&nemesis, id, &pause, 600).await.expect("applied");
        let killed = bench.begin(&nemesis, id + 1, &kill, 600).await.expect("applied");
        assert_eq!(bench.server("n1").state, GONE);
        let (first, second) = if pause_first { (paused, killed) } else { (killed, paused) };
        for fault in [first, second] {
            let ended = nemesis.end(fault).await;
            assert!(ended.undone, "{ended:?}");
        }
        let now = bench.snapshot();
        assert_eq!(now, before.after(&kill, &now), "{pause_first}");
    }
}

#[tokio::test]
async fn heal_ends_two_faults_at_once() {
    let bench = Bench::with_clients(3, 2);
    let before = bench.snapshot();
    let nemesis = bench.nemesis(bench.remote());
    let kill = of_processes(FaultKind::Kill, "n2");
    for (fault, id) in [split("n1 c1", "n2 n3"), kill.clone()].iter().zip(1..) {
        drop(bench.begin(&nemesis, id, fault, 600).await.expect("applied"));
    }
    drop(nemesis);
    let report = bench.heal().await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.runs[0].faults.len(), 2);
    let now = bench.snapshot();
    assert_eq!(now, before.after(&kill, &now));
}

/// A bench on whose second node no program is found.
struct Bare(BenchRemote);

impl Remote for Bare {
    async fn run(&self, host: &str, command: &RemoteCommand) -> Result<RemoteOutput, RemoteError> {
        let script = format!("PATH=/nonexistent\n{}", command.script);
        let bare = RemoteCommand { script, ..command.clone() };
        self.0.run(host, if host == "n2" { &bare } else { command }).await
    }
}

#[tokio::test]
async fn hosts_that_have_what_faults_need_pass_and_others_are_named() {
    let bench = Bench::with_clients(2, 1);
    assert_eq!(bench.nemesis(bench.remote()).preflight(&FaultKind::ALL).await, Ok(()));
    let nemesis = nemesis(bench.setting(), &Arc::new(Bare(bench.remote())));
    let problem = nemesis.preflight(&[FaultKind::Pause]).await.expect_err("n2 is bare");
    assert!(problem.starts_with("n2 failed to find what faults need"), "{problem}");
    assert!(problem.contains("not installed: bash cut date"), "{problem}");
    let of_clients = [FaultKind::ClientPause, FaultKind::ClientKill];
    assert_eq!(nemesis.preflight(&of_clients).await, Ok(()), "servers do not matter");
}
