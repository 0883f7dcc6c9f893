//! Real faults on the nodes and clients of a real lab, by SSH. Needs root.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use locktest_cluster::{
    AuditLog, CONTROL, Installation, Member, NodeLayout, Remote, RemoteCommand, RemoteError,
    RemoteOutput, Service, ServiceClock, SshCluster, SshTarget, upload,
};
use locktest_history::{ClientId, Fault, FaultKind, NodeId, Skew};
use locktest_lab::{Lab, LabDirs, LabNode, LabSpec, NODE_BASE, down_id};
use locktest_nemesis::{
    ActiveFault, ClientEndpoint, ClientProcess, Endpoint, Nemesis, NemesisSetting, heal,
};
use nix::time::{ClockId, clock_gettime};
use support::programs::{clock_launcher, listener};
use support::snapshot::{GONE, Process, Snapshot, start_ticks, timers_below};
use support::{fault_of, nemesis, of_clocks, of_processes, setting, split};
use tempfile::TempDir;
use tokio::process::Child;
use tokio::sync::{Mutex, MutexGuard};

/// Several labs at once would only slow each other down.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

const NODES: [&str; 5] = ["n1", "n2", "n3", "n4", "n5"];

/// A lab of five nodes with foreign rules and a server on each, and two clients; taken down when
/// this is dropped.
struct Scene {
    folder: TempDir,
    dirs: LabDirs,
    lab: Lab,
    clients: Vec<Child>,
    /// A connection beside the nemesis' own.
    observer: SshCluster,
    _turn: MutexGuard<'static, ()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let (dirs, id) = (self.dirs.clone(), self.lab.id().to_owned());
        let down = move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(down_id(&dirs, &id)).expect("down");
        };
        std::thread::spawn(down).join().expect("the lab is removed");
    }
}

async fn scene() -> Scene {
    let turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dirs =
        LabDirs { state: folder.path().join("labs"), package_cache: folder.path().join("cache") };
    let spec = LabSpec { id: None, servers: 5, clients: 2, subnet: None };
    let lab = Lab::up(&dirs, &spec).await.expect("a lab");
    let observer = connect(&targets(&lab), &lab.ssh_control_dir());
    let client = |index| {
        let mut command = lab.client_command(index, Path::new("sleep"));
        command.arg("600").kill_on_drop(true).spawn().expect("a client")
    };
    let clients = (0..2).map(client).collect();
    let scene = Scene { folder, dirs, lab, clients, observer, _turn: turn };
    fs::create_dir(scene.control_run_dir()).expect("a folder");
    let plant = "iptables -w -N ADMIN && iptables -w -A ADMIN -s 192.0.2.77 -j DROP && \
                 iptables -w -A INPUT -j ADMIN && iptables -w -A OUTPUT -d 192.0.2.78 -j REJECT";
    scene.on_all(plant).await;
    scene.copy_programs().await;
    scene.on_all(&server().start().script).await;
    scene
}

fn layout() -> NodeLayout {
    NodeLayout::new(NODE_BASE)
}

/// Where a node has a copy of a program.
fn copy_of(program: &Path) -> PathBuf {
    layout().bin().join(program.file_name().expect("a name"))
}

/// What stands in for the server of each node.
fn server() -> Service {
    let installation = Installation::of_binary(copy_of(listener()));
    Service {
        clock: Some(ServiceClock::new(copy_of(clock_launcher()), &layout())),
        ..Service::new("listener", &installation, &layout())
    }
}

fn target(node: &LabNode) -> SshTarget {
    SshTarget {
        name: node.name.clone(),
        host: node.address.to_string(),
        port: node.ssh_port,
        user: "root".into(),
        identity_file: Some(node.identity_file.clone()),
        known_hosts_file: Some(node.known_hosts_file.clone()),
    }
}

fn targets(lab: &Lab) -> Vec<SshTarget> {
    lab.nodes().iter().map(target).collect()
}

fn connect(targets: &[SshTarget], control_dir: &Path) -> SshCluster {
    SshCluster::new(targets, control_dir, AuditLog::none())
}

impl Scene {
    /// Runs a script on every node, for what it prints.
    async fn on_all(&self, script: &str) -> Vec<String> {
        let command = RemoteCommand::new("look from aside", script);
        let outputs = join_all(NODES.map(|node| self.observer.run_ok(node, &command))).await;
        outputs.into_iter().map(|output| output.expect("a command that succeeds").stdout).collect()
    }

    async fn copy_programs(&self) {
        let members: Vec<Member> = (self.lab.nodes().iter().zip(0..))
            .map(|(node, index)| Member {
                id: NodeId(index),
                name: node.name.clone(),
                address: node.address.to_string(),
            })
            .collect();
        for program in [listener(), clock_launcher()] {
            let copied = upload(&self.observer, &members, program, &layout()).await;
            assert_eq!(copied.expect("copied"), copy_of(program));
        }
    }

    fn control_run_dir(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    /// The probes are answered by each node's sshd: it takes connections from everybody.
    fn setting(&self) -> NemesisSetting {
        let endpoint = |node: &LabNode| Endpoint {
            ssh: target(node),
            address: node.address,
            probe_port: node.ssh_port,
            services: vec![server()],
        };
        let servers = self.lab.nodes().iter().map(endpoint).collect();
        let addresses = self.lab.client_addresses().into_iter();
        let clients = addresses.enumerate().map(|(index, address)| {
            let command = self.lab.client_command(index, Path::new(""));
            let command = command.as_std();
            let words = [command.get_program()].into_iter().chain(command.get_args());
            let words = words.filter(|word| !word.is_empty());
            let enter = words.map(|word| word.to_string_lossy().into_owned()).collect();
            ClientEndpoint { address, enter }
        });
        let run_dir = PathBuf::from(NODE_BASE).join("run");
        NemesisSetting {
            lab_id: Some(self.lab.id().to_owned()),
            clients: clients.collect(),
            ..setting(self.folder.path(), servers, &run_dir)
        }
    }

    fn client_processes(&self) -> Vec<ClientProcess> {
        let process = |(child, client): (&Child, u32)| {
            let pid = child.id().expect("a child that nobody waited for");
            let start_ticks = start_ticks(pid).expect("a client");
            ClientProcess { client: ClientId(client), pid, start_ticks }
        };
        self.clients.iter().zip(0..).map(process).collect()
    }

    async fn begin<R: Remote>(
        &self,
        nemesis: &Nemesis<R>,
        id: u32,
        fault: &Fault,
        deadline_s: u64,
    ) -> ActiveFault {
        let deadline = Duration::from_secs(deadline_s);
        let begun = nemesis.begin(id, fault.clone(), &self.client_processes(), deadline).await;
        begun.expect("applied")
    }

    async fn snapshot(&self) -> Snapshot {
        let rules = "iptables-save | sed -e /^#/d -e 's/ \\[.*//'";
        let functions = server().functions();
        let states = format!("{functions}\nalive && echo $pid $(state $pid) || echo 0 - 0");
        let files =
            format!("cd {NODE_BASE}/run; for file in LT-*; do [ ! -e $file ] || echo $file; done");
        let timers = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | \
                      grep -o '[^ ]*LT-r1-[0-9]*/timer ' || true";
        let locked = format!("flock -n {NODE_BASE}/run true || hostname");
        let clock = server().clock.expect("a clock of its own");
        // One that is paused looks at no clock.
        let clocks = format!(
            "{functions}\nalive && case $(state $pid) in T*) pid='';; esac || pid=''\n\
             {} remains --file {} --wait-ms 1000 $pid",
            clock.command(),
            clock.setting()
        );
        let everything = tokio::join!(
            self.on_all(rules),
            self.on_all(&states),
            self.on_all(&files),
            self.on_all(timers),
            self.on_all(&locked),
            self.on_all(&clocks),
        );
        let (rules, states, files, timers, locked, clocks) = everything;
        let lines = |outputs: &[String]| -> Vec<String> {
            outputs.iter().flat_map(|output| output.lines()).map(str::to_owned).collect()
        };
        let control_timers = timers_below(self.folder.path()).into_iter().map(|(_, line)| line);
        let control_files = fs::read_dir(self.control_run_dir())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        Snapshot {
            rules,
            servers: states.iter().map(|answer| read_process(answer)).collect(),
            clients: (self.client_processes().iter())
                .map(|client| Process::look(client.pid, client.start_ticks))
                .collect(),
            timers: lines(&timers).into_iter().chain(control_timers).collect(),
            files: lines(&files).into_iter().chain(control_files).collect(),
            locked: lines(&locked),
            clocks,
        }
    }

    /// The servers to which a client, counted from zero, can connect.
    async fn reached_by(&self, client: usize) -> Vec<&str> {
        let mut reached = Vec::new();
        for node in self.lab.nodes() {
            let mut command = self.lab.client_command(client, Path::new("timeout"));
            let connect = format!("exec 3<>/dev/tcp/{}/{}", node.address, node.ssh_port);
            command.args(["0.5", "bash", "-c", &connect]).stderr(Stdio::null());
            if command.status().await.expect("ip").success() {
                reached.push(node.name.as_str());
            }
        }
        reached
    }

    fn ssh(&self) -> SshCluster {
        connect(&targets(&self.lab), &self.lab.ssh_control_dir())
    }
}

/// Such as `123 S 45678`: the process id on the node, its state and its start.
fn read_process(answer: &str) -> Process {
    let words: Vec<&str> = answer.split_whitespace().collect();
    let [pid, state, start_ticks] = words[..] else { panic!("no process: {answer:?}") };
    let state = match state {
        "-" => GONE,
        "T" => 'T',
        _ => 'S',
    };
    let number = |word: &str| word.parse::<u64>().expect("a number");
    Process { pid: number(pid) as u32, start_ticks: number(start_ticks), state }
}

/// Faults of every way to do harm, which may all be in force at once.
fn faults_at_once() -> Vec<Fault> {
    vec![
        split("n2 n4 c1", "n1 n3 n5"),
        of_processes(FaultKind::Kill, "n1 n2"),
        of_processes(FaultKind::Pause, "n3"),
        of_processes(FaultKind::ClientPause, "c2"),
        of_clocks(FaultKind::Clock, "n4", Skew::Jump { offset_ms: 30_000 }),
    ]
}

/// Whether everything is as it was before [`faults_at_once`].
fn is_whole(before: &Snapshot, now: &Snapshot) -> bool {
    *now == before.after(&faults_at_once()[1], now)
}

/// Answers "success" to every command that would apply a fault, and does not send it.
struct Swallowing(SshCluster);

impl Remote for Swallowing {
    async fn run(&self, node: &str, command: &RemoteCommand) -> Result<RemoteOutput, RemoteError> {
        if command.purpose.starts_with("apply ") {
            return Ok(RemoteOutput { status: 0, stdout: String::new(), stderr: String::new() });
        }
        self.0.run(node, command).await
    }
}

#[tokio::test]
async fn a_real_fault_of_every_kind_bites_and_leaves_nothing_behind() {
    let scene = scene().await;
    let nemesis = nemesis(scene.setting(), &Arc::new(scene.ssh()));
    for (fault, id) in FaultKind::ALL.map(fault_of).iter().zip(1..) {
        let before = scene.snapshot().await;
        let mut active = scene.begin(&nemesis, id, fault, 600).await;
        let during = scene.snapshot().await;
        assert_eq!(before.rules != during.rules, fault.kind.cuts_links(), "{fault:?}");
        assert_eq!(before.servers != during.servers, !fault.servers.is_empty(), "{fault:?}");
        assert_eq!(before.clients != during.clients, !fault.clients.is_empty(), "{fault:?}");
        assert!(during.only_wrong_clocks_are(&fault.clocks), "{fault:?}: {:?}", during.clocks);
        assert!(!during.timers.is_empty() && !during.files.is_empty(), "{fault:?}");
        nemesis.observe(&mut active).await;
        let ended = nemesis.end(active).await;
        assert!(ended.bit && ended.undone, "{ended:?}");
        let now = scene.snapshot().await;
        assert_eq!(now, before.after(fault, &now), "{fault:?}");
    }
}

#[tokio::test]
async fn a_real_fault_that_was_swallowed_on_its_way_did_not_bite() {
    let scene = scene().await;
    let before = scene.snapshot().await;
    let nemesis = nemesis(scene.setting(), &Arc::new(Swallowing(scene.ssh())));
    for (fault, id) in faults_at_once().iter().zip(1..) {
        let mut active = scene.begin(&nemesis, id, fault, 600).await;
        nemesis.observe(&mut active).await;
        let ended = nemesis.end(active).await;
        assert!(!ended.bit && ended.undone, "{ended:?}");
    }
    assert_eq!(scene.snapshot().await, before);
}

#[tokio::test]
async fn a_real_partition_of_clients_from_servers_bites_and_leaves_nothing_behind() {
    let scene = scene().await;
    let before = scene.snapshot().await;
    let nemesis = nemesis(scene.setting(), &Arc::new(scene.ssh()));
    let mut fault = scene.begin(&nemesis, 1, &split("n2 n4 c1", "n1 n3 n5 c2"), 600).await;
    assert_eq!(scene.reached_by(0).await, ["n2", "n4"]);
    assert_eq!(scene.reached_by(1).await, ["n1", "n3", "n5"]);
    nemesis.observe(&mut fault).await;
    let ended = nemesis.end(fault).await;
    assert!(ended.bit && ended.undone, "{ended:?}");
    assert_eq!(scene.reached_by(0).await, NODES);
    assert_eq!(scene.reached_by(1).await, NODES);
    assert_eq!(scene.snapshot().await, before);
}

/// How far the wall clock of this machine is from its monotonic one.
fn machine_offset_ns() -> i128 {
    let ns = |clock| Duration::from(clock_gettime(clock).expect("a clock")).as_nanos() as i128;
    ns(ClockId::CLOCK_REALTIME) - ns(ClockId::CLOCK_MONOTONIC)
}

#[tokio::test]
async fn a_wrong_clock_is_that_of_its_server_and_of_nobody_else() {
    let scene = scene().await;
    let nemesis = nemesis(scene.setting(), &Arc::new(scene.ssh()));
    let machine = machine_offset_ns();
    let fault = of_clocks(FaultKind::Clock, "n2", Skew::Jump { offset_ms: -3_600_000 });
    let active = scene.begin(&nemesis, 1, &fault, 600).await;
    let clock = server().clock.expect("a clock of its own");
    let read = format!(
        "{}\nalive\n{} read --wait-ms 1000 $pid; date +%s",
        server().functions(),
        clock.command()
    );
    for (node, answer) in NODES.iter().zip(scene.on_all(&read).await) {
        let wrong = if *node == "n2" { -3_600_000_000_000_i64 } else { 0 };
        assert!(answer.contains(&format!(" wall offset_ns={wrong} ")), "{node}: {answer}");
        let seen: Vec<&str> = answer.lines().filter(|line| line.contains("seen_ns=")).collect();
        assert!(seen[0].ends_with(&format!("seen_ns={wrong}")), "{node}: {answer}");
        assert!(seen[1].ends_with("seen_ns=0"), "{node}: {answer}");
        // Other programs of the node have the machine's clock.
        let date: u64 = answer.lines().last().and_then(|s| s.parse().ok()).expect("a date");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        assert!(now.abs_diff(date) < 60, "{node}: {answer}");
    }
    // Whoever keeps the time of the machine may slew it a little.
    assert!((machine_offset_ns() - machine).abs() < 1_000_000_000);
    let ended = nemesis.end(active).await;
    assert!(ended.undone, "{ended:?}");
}

#[tokio::test]
async fn hosts_whose_control_process_died_undo_all_faults_themselves() {
    let scene = scene().await;
    let before = scene.snapshot().await;
    let ssh = Arc::new(scene.ssh());
    let nemesis = nemesis(scene.setting(), &ssh);
    for (fault, id) in faults_at_once().iter().zip(1..) {
        drop(scene.begin(&nemesis, id, fault, 3).await);
    }
    drop((nemesis, ssh));
    let limit = Instant::now() + Duration::from_secs(30);
    let mut now = scene.snapshot().await;
    while !is_whole(&before, &now) {
        assert!(Instant::now() < limit, "{now:?}");
        now = scene.snapshot().await;
    }
}

#[tokio::test]
async fn heal_undoes_all_faults_from_the_journal_alone() {
    let scene = scene().await;
    let before = scene.snapshot().await;
    let ssh = Arc::new(scene.ssh());
    let nemesis = nemesis(scene.setting(), &ssh);
    for (fault, id) in faults_at_once().iter().zip(1..) {
        drop(scene.begin(&nemesis, id, fault, 600).await);
    }
    drop((nemesis, ssh));
    assert!(!is_whole(&before, &scene.snapshot().await));
    let state = scene.folder.path().join("state");
    let control_dir = scene.lab.ssh_control_dir();
    let report =
        heal(&state, Some("r1"), |_, targets| connect(targets, &control_dir), |_| true).await;
    let report = report.expect("an index");
    assert!(report.is_clean(), "{report:?}");
    let faults = &report.runs[0].faults;
    assert_eq!(faults.len(), faults_at_once().len());
    assert!(faults.iter().flat_map(|fault| &fault.hosts).any(|host| host.host == CONTROL));
    let now = scene.snapshot().await;
    assert!(is_whole(&before, &now), "{before:?} {now:?}");
}

#[tokio::test]
async fn the_address_that_the_control_node_comes_from_is_never_cut_off() {
    let scene = scene().await;
    let before = scene.snapshot().await;
    let mut setting = scene.setting();
    setting.servers[1].address = scene.lab.control_address();
    let nemesis = nemesis(setting, &Arc::new(scene.ssh()));
    let deadline = Duration::from_secs(600);
    let failed = nemesis.begin(1, split("n2", "n1 n3 n4 n5"), &[], deadline).await;
    let failed = failed.expect_err("the control path is never cut");
    assert!(failed.to_string().contains("is the control node"), "{failed}");
    assert!(failed.undone(), "{failed:?}");
    assert_eq!(scene.snapshot().await, before);
}
