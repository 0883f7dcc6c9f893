//! The control node's side of clients, played by shells.

use locktest_history::{Aim, Fault, FixedFault, KeyId, NodeId, Resource, Target};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;
use crate::testing::{config_of, plan};

/// What is recorded of shells that speak as clients do.
async fn recorded(plan: Plan, script: &'static str, limit: Duration) -> Vec<Record> {
    let (arrivals, arrived) = mpsc::channel(16);
    let fleet = start(plan, script, &arrivals);
    drop(arrivals);
    fleet.stop_within(limit).await.expect("no client is replaced");
    records(arrived).await
}

fn start(plan: Plan, script: &'static str, arrivals: &mpsc::Sender<Arrival>) -> Fleet {
    let config = plan.clone();
    let launch = move |client| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Ok((command, ClientConfig { client, ..config_of(&config) }))
    };
    Fleet::start(&plan, launch, RunClock::start(), arrivals).expect("a shell")
}

async fn records(mut arrived: mpsc::Receiver<Arrival>) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some(arrival) = arrived.recv().await {
        match arrival {
            Arrival::Record(record) => records.push(record),
            Arrival::Watermark { .. } => {}
        }
    }
    records
}

fn exits(records: &[Record]) -> Vec<(ClientId, ExitCause)> {
    let exit = |record: &Record| match record {
        Record::ClientExit(exit) => Some((exit.client, exit.cause.clone())),
        _ => None,
    };
    records.iter().filter_map(exit).collect()
}

const C1: ClientId = ClientId(0);

#[tokio::test]
async fn a_client_that_does_not_stop_in_time_is_killed_and_its_exit_recorded() {
    // The second has closed its standard output, so that nothing but its death can be seen.
    for script in ["exec sleep 1000", "exec sleep 1000 >&-"] {
        let records = recorded(plan(), script, Duration::from_millis(100)).await;
        assert_eq!(exits(&records), [(C1, ExitCause::Killed(9))], "{script}");
    }
}

/// The state letter of a process, which the name before it cannot contain.
fn state_of(process: &ClientProcess) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[tokio::test]
async fn a_client_that_is_paused_for_ever_is_killed_when_its_time_is_over() {
    let (arrivals, arrived) = mpsc::channel(16);
    let fleet = start(plan(), "kill -STOP $$", &arrivals);
    drop(arrivals);
    let process = fleet.processes()[0];
    while state_of(&process) != Some('T') {
        tokio::task::yield_now().await;
    }
    fleet.stop_within(Duration::from_millis(100)).await.expect("no client is replaced");
    assert_eq!(exits(&records(arrived).await), [(C1, ExitCause::Killed(9))]);
}

#[tokio::test]
async fn a_client_that_stops_when_asked_is_not_killed() {
    let script = "read config; read stop; test \"$stop\" = '\"stop\"'";
    let records = recorded(plan(), script, Duration::from_secs(600)).await;
    assert_eq!(exits(&records), [(C1, ExitCause::Finished)]);
}

/// Dies by itself twice; the third goes on until it is asked to stop.
const DIES: &str =
    "read config; case $config in *'\"client\":2,'*) read stop; exit 0;; esac; kill -9 $$";

#[tokio::test]
async fn in_the_workload_crash_a_client_that_was_killed_is_replaced_until_the_run_stops() {
    let (arrivals, mut arrived) = mpsc::channel(16);
    let crashes = Plan { workload: Workload::Crash, client_seeds: vec![1], ..plan() };
    let fleet = start(crashes, DIES, &arrivals);
    drop(arrivals);
    for dead in [0, 1] {
        // The next one is known of before the last one's exit.
        let begin = arrived.recv().await.expect("the next client");
        let Arrival::Watermark { client, time_ns: begin_ns } = begin else { panic!("{begin:?}") };
        assert_eq!(client.0, dead + 1);
        let exit = arrived.recv().await.expect("the exit");
        let Arrival::Record(Record::ClientExit(exit)) = exit else { panic!("{exit:?}") };
        assert!(exit.time_ns <= begin_ns, "the dead one is believed to live on");
        assert_eq!((exit.client.0, exit.cause), (dead, ExitCause::Killed(9)));
    }
    fleet.stop_within(Duration::from_secs(600)).await.expect("no client is missing");
    let records = records(arrived).await;
    assert_eq!(exits(&records), [(ClientId(2), ExitCause::Finished)]);
}

#[tokio::test]
async fn a_client_that_a_planned_fault_killed_is_replaced_and_its_process_is_known() {
    let fault = Fault::new(FaultKind::ClientKill, Aim::Target(Target::One), 0);
    let schedule = vec![PlannedFault::Fixed(FixedFault { at_ms: 0, fault })];
    let plan = Plan { schedule, client_seeds: vec![1, 2], ..plan() };
    let (arrivals, mut arrived) = mpsc::channel(16);
    let fleet = start(plan, "read config; read stop", &arrivals);
    drop(arrivals);

    let before = fleet.processes();
    let clients = |processes: &[ClientProcess]| -> Vec<u32> {
        processes.iter().map(|process| process.client.0).collect()
    };
    assert_eq!(clients(&before), [0, 1]);
    for process in &before {
        assert_eq!(ClientProcess::of(process.client, process.pid).ok(), Some(*process));
    }
    kill(Pid::from_raw(before[0].pid as i32), Signal::SIGKILL).expect("it is there");
    while !matches!(arrived.recv().await.expect("an exit"), Arrival::Record(_)) {}
    let after = fleet.processes();
    assert_eq!(clients(&after), [2, 1]);
    assert_eq!(after[1], before[1]);
    assert_ne!((after[0].pid, after[0].start_ticks), (before[0].pid, before[0].start_ticks));

    fleet.stop_within(Duration::from_secs(600)).await.expect("no client is missing");
    let mut exits = exits(&records(arrived).await);
    exits.sort_by_key(|(client, _)| client.0);
    let finished = |client| (ClientId(client), ExitCause::Finished);
    assert_eq!(exits, [finished(1), finished(2)]);
}

#[tokio::test]
async fn a_client_that_ended_has_no_process() {
    let (arrivals, mut arrived) = mpsc::channel(16);
    let fleet = start(plan(), "read config", &arrivals);
    arrived.recv().await.expect("its exit");
    assert_eq!(fleet.processes(), []);
}

#[tokio::test]
async fn a_holder_is_known_until_it_gives_the_lock_up_and_its_plan_is_not_recorded() {
    let granted = Event { server: Some(NodeId(3)), ..event(Function::Acquire, Phase::Ok) };
    let releases = event(Function::Release, Phase::Invoke);
    let line = |event: &Event| serde_json::to_string(event).expect("an event can be written");
    let holding = r#"{"holding":{"attempt":1,"key":0,"until_ns":5}}"#;
    let (granted, releases) = (line(&granted), line(&releases));
    let script = format!(
        "read config; echo '{granted}'; echo '{holding}'; read stop; echo '{releases}'; exec sleep 1000"
    );
    let (arrivals, arrived) = mpsc::channel(16);
    let fleet = start(plan(), script.leak(), &arrivals);
    drop(arrivals);
    let mut holders = fleet.holders();
    let holder =
        Holder { client: C1, key: KeyId(0), attempt: 1, server: Some(NodeId(3)), until_ns: 5 };
    holders.wait_for(|holders| *holders == [holder.clone()]).await.expect("a holder");
    let process = fleet.processes()[0];
    let stop = fleet.stop_within(Duration::from_secs(600));
    let gone = async {
        holders.wait_for(Vec::is_empty).await.expect("the client lives");
    };
    tokio::select! {
        stopped = stop => panic!("the client lives: {stopped:?}"),
        () = gone => {}
    }
    kill(Pid::from_raw(process.pid as i32), Signal::SIGKILL).expect("it is there");
    let records = records(arrived).await;
    assert_eq!(records.len(), 3, "a grant, a release and an exit: {records:?}");
}

#[tokio::test]
async fn nobody_is_replaced_in_other_workloads_or_once_the_run_is_stopping() {
    let records = recorded(plan(), "kill -9 $$", Duration::from_secs(600)).await;
    assert_eq!(exits(&records), [(C1, ExitCause::Killed(9))]);
    let crashes = Plan { workload: Workload::Crash, ..plan() };
    let script = "read config; read stop; kill -9 $$";
    let records = recorded(crashes, script, Duration::from_secs(600)).await;
    assert_eq!(exits(&records), [(C1, ExitCause::Killed(9))]);
}

#[tokio::test]
async fn a_fleet_that_is_dropped_lets_its_clients_know() {
    let (arrivals, arrived) = mpsc::channel(16);
    drop(start(plan(), "read config; cat; exit 7", &arrivals));
    drop(arrivals);
    assert_eq!(exits(&records(arrived).await), [(C1, ExitCause::Failed(7))]);
}

/// Something that the first client records.
fn event(function: Function, phase: Phase) -> Event {
    Event {
        time_ns: 1,
        client: C1,
        attempt: 1,
        op: 1,
        key: KeyId(0),
        server: None,
        function,
        phase,
        detail: Detail::None,
    }
}

/// What the control node answers to an access.
async fn served(workload: Workload) -> Vec<Phase> {
    let detail = Detail::Access { resource: Resource::Unfenced, token: None, value: 0 };
    let event = Event { detail, ..event(Function::Read, Phase::Invoke) };
    let line = serde_json::to_string(&event).expect("an event can be written");
    let script = format!("read config; echo '{line}'; read stop").leak();
    let records = recorded(Plan { workload, ..plan() }, script, Duration::from_secs(600)).await;
    let phase = |record: &Record| match record {
        Record::Event(event) => Some(event.phase),
        _ => None,
    };
    records.iter().filter_map(phase).collect()
}

#[tokio::test]
async fn accesses_are_served_here_only_if_the_store_does_not_keep_the_values() {
    assert_eq!(served(Workload::Mutex).await, [Phase::Invoke, Phase::Ok]);
    assert_eq!(served(Workload::CriticalSection).await, [Phase::Invoke]);
}
