//! Nodes and clients that are network namespaces on a bridge of their own, reached without SSH:
//! enough to run the real scripts against real firewalls and processes. Needs root.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use locktest_cluster::{
    AuditLog, Installation, NodeLayout, Service, ServiceClock, SshCluster, SshTarget,
};
use locktest_history::ClientId;
use locktest_nemesis::{ClientEndpoint, ClientProcess, Endpoint, NemesisSetting};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::bench_remote::BenchRemote;
use super::programs::{clock_launcher, listener};
use super::snapshot::{start_ticks, timers_below};

const PORT: u16 = 2380;

/// Where each host takes datagrams.
const DATAGRAMS: u16 = 2381;

/// Longer than any packet is on its way through a bridge.
const SILENCE: Duration = Duration::from_millis(150);

/// Added to a client's number, it is the last part of its address.
const CLIENTS_BEFORE: u8 = 100;

/// An untouched table is saved as nothing, a touched one as empty chains.
const TOUCH: &str = "iptables -w -N touch && iptables -w -X touch";

/// How an attempt to connect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    Connected,
    Refused,
    TimedOut,
}

/// The namespaces, removed with everything in them when this is dropped.
pub struct Bench {
    pub folder: TempDir,
    /// That of the switch, then the nodes', then the clients'.
    namespaces: Vec<String>,
    nodes: usize,
    /// A process for each client.
    clients: Vec<Child>,
}

impl Bench {
    pub fn up(nodes: u8) -> Bench {
        Bench::with_clients(nodes, 0)
    }

    pub fn with_clients(nodes: u8, clients: u8) -> Bench {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes network namespaces: run it as root"
        );
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("lt-test-{}-{number}", std::process::id());
        let folder = tempfile::tempdir_in("/var/tmp").expect("a temporary folder");
        let mut bench =
            Bench { folder, namespaces: Vec::new(), nodes: nodes.into(), clients: Vec::new() };
        let switch = format!("{prefix}-s");
        bench.namespaces.push(switch.clone());
        sh(&format!(
            "ip netns add {switch} && ip -n {switch} link add name bridge0 type bridge && ip -n {switch} link set bridge0 up"
        ));
        let nodes = (1..=nodes).map(|n| (format!("n{n}"), n));
        let clients = (1..=clients).map(|n| (format!("c{n}"), CLIENTS_BEFORE + n));
        for (name, host) in nodes.chain(clients) {
            let namespace = format!("{prefix}-{name}");
            bench.namespaces.push(namespace.clone());
            sh(&format!(
                "ip netns add {namespace} && ip -n {namespace} link set lo up && \
                 ip -n {switch} link add name {name} type veth peer name eth0 netns {namespace} && \
                 ip -n {switch} link set {name} master bridge0 up && \
                 ip -n {namespace} addr add 10.1.0.{host}/24 dev eth0 && \
                 ip -n {namespace} link set eth0 up && \
                 ip netns exec {namespace} sh -c '{TOUCH}'"
            ));
            if name.starts_with('n') {
                fs::create_dir(bench.folder.path().join(&name)).expect("a folder");
                bench.start_server(&name);
            } else {
                let mut client = Command::new("ip");
                client.args(["netns", "exec", &namespace, "sleep", "600"]);
                bench.clients.push(client.spawn().expect("ip"));
            }
        }
        for folder in [bench.run_dir(), bench.control_run_dir()] {
            fs::create_dir(folder).expect("a folder");
        }
        let limit = Instant::now() + PATIENCE;
        while !bench.servers_listen() {
            assert!(Instant::now() < limit, "waited in vain until the servers listen");
            std::thread::sleep(POLL);
        }
        bench
    }

    fn servers_listen(&self) -> bool {
        self.node_names().iter().all(|node| self.attempt("n1", node) == Attempt::Connected)
    }

    /// A server that was started again takes a moment.
    pub async fn wait_for_servers(&self) {
        wait_until("the servers listen", || self.servers_listen()).await;
    }

    /// `n1`, `n2` and so on.
    pub fn node_names(&self) -> Vec<String> {
        (1..=self.nodes).map(|n| format!("n{n}")).collect()
    }

    fn client_names(&self) -> Vec<String> {
        (1..=self.clients.len()).map(|n| format!("c{n}")).collect()
    }

    /// The folder that every node sees as its own.
    pub fn run_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    pub fn control_run_dir(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    /// The server of a node.
    pub fn service(&self, node: &str) -> Service {
        let layout = NodeLayout::new(self.folder.path().join(format!("server-{node}")));
        let clock = ServiceClock::new(clock_launcher().to_owned(), &layout);
        Service {
            clock: Some(clock),
            ..Service::new("listener", &Installation::of_binary(listener()), &layout)
        }
    }

    pub fn start_server(&self, node: &str) {
        let start = self.service(node).start().script;
        let namespace = self.namespace(node);
        sh(&format!("ip netns exec {namespace} sh -c {}", locktest_cluster::quote(&start)));
    }

    pub fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint = |name: String| {
            let address = self.address(&name);
            let services = vec![self.service(&name)];
            let ssh = SshTarget {
                name,
                host: address.to_string(),
                port: 22,
                user: "root".into(),
                identity_file: None,
                known_hosts_file: None,
            };
            Endpoint { ssh, address, probe_port: PORT, services }
        };
        self.node_names().into_iter().map(endpoint).collect()
    }

    pub fn clients(&self) -> Vec<ClientEndpoint> {
        let client = |name: String| ClientEndpoint {
            address: self.address(&name),
            enter: ["ip", "netns", "exec", self.namespace(&name)].map(str::to_owned).into(),
        };
        self.client_names().into_iter().map(client).collect()
    }

    pub fn client_processes(&self) -> Vec<ClientProcess> {
        let process = |(child, client): (&Child, u32)| ClientProcess {
            client: ClientId(client),
            pid: child.id(),
            start_ticks: start_ticks(child.id()).expect("a client"),
        };
        self.clients.iter().zip(0..).map(process).collect()
    }

    pub fn setting(&self) -> NemesisSetting {
        NemesisSetting {
            clients: self.clients(),
            ..super::setting(self.folder.path(), self.endpoints(), &self.run_dir())
        }
    }

    pub fn remote(&self) -> BenchRemote {
        BenchRemote {
            namespaces: self.namespaces.clone(),
            folder: self.folder.path().to_owned(),
            control: Arc::new(SshCluster::new(&[], Path::new("/nonexistent"), AuditLog::none())),
            ssh_peer: Some("192.0.2.1".into()),
            swallow: BTreeSet::new(),
        }
    }

    fn address(&self, name: &str) -> Ipv4Addr {
        let number: u8 = name[1..].parse().expect("a number");
        let before = if name.starts_with('c') { CLIENTS_BEFORE } else { 0 };
        Ipv4Addr::new(10, 1, 0, before + number)
    }

    pub fn namespace(&self, name: &str) -> &str {
        let number: usize = name[1..].parse().expect("a number");
        let before = if name.starts_with('c') { self.nodes } else { 0 };
        &self.namespaces[before + number]
    }

    /// Runs something in the namespace of a host. Sockets that it makes stay there.
    fn inside<T: Send>(&self, name: &str, act: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(Path::new("/run/netns").join(self.namespace(name)));
        let namespace = namespace.expect("a namespace");
        let enter_and_act = || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).expect("root");
            act()
        };
        std::thread::scope(|scope| scope.spawn(enter_and_act).join().expect("no panic"))
    }

    /// A connection from a host to the server of a node.
    pub fn connect(&self, from: &str, to: &str) -> std::io::Result<TcpStream> {
        let to = SocketAddr::from((self.address(to), PORT));
        self.inside(from, || TcpStream::connect_timeout(&to, Duration::from_millis(400)))
    }

    /// What becomes of a connection from a host to the server of a node.
    pub fn attempt(&self, from: &str, to: &str) -> Attempt {
        match self.connect(from, to).map_err(|error| error.kind()) {
            Ok(_) => Attempt::Connected,
            Err(ErrorKind::ConnectionRefused) => Attempt::Refused,
            Err(ErrorKind::TimedOut) => Attempt::TimedOut,
            Err(kind) => panic!("from {from} to {to}: {kind}"),
        }
    }

    /// Which hosts hear which, as `(from, to)`: each sends every other one a datagram.
    pub fn heard(&self) -> BTreeSet<(String, String)> {
        let names: Vec<String> = self.node_names().into_iter().chain(self.client_names()).collect();
        let socket = |name: &String| {
            self.inside(name, || UdpSocket::bind(("0.0.0.0", DATAGRAMS)).expect("a socket"))
        };
        let sockets: Vec<UdpSocket> = names.iter().map(socket).collect();
        for (from, socket) in names.iter().zip(&sockets) {
            for to in names.iter().filter(|to| *to != from) {
                // A firewall may tell the sender; what counts is who hears it.
                let _ = socket.send_to(from.as_bytes(), (self.address(to), DATAGRAMS));
            }
        }
        let mut heard = BTreeSet::new();
        let quiet_from = Instant::now() + SILENCE;
        for (to, socket) in names.iter().zip(&sockets) {
            let mut datagram = [0; 8];
            loop {
                let left = quiet_from.saturating_duration_since(Instant::now());
                let patience = left.max(Duration::from_millis(1));
                socket.set_read_timeout(Some(patience)).expect("a time-out");
                match socket.recv(&mut datagram) {
                    Ok(length) => {
                        let from = String::from_utf8_lossy(&datagram[..length]).into_owned();
                        heard.insert((from, to.clone()));
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // What an earlier datagram met.
                    Err(_) => {}
                }
            }
        }
        heard
    }

    /// Plants rules as an administrator might have, near and like those of the nemesis.
    pub fn plant_foreign_rules(&self) {
        for namespace in &self.namespaces[1..=self.nodes] {
            sh_with_input(
                &format!("ip netns exec {namespace} iptables-restore --noflush -w"),
                "*filter\n:ADMIN - [0:0]\n:LT-r1-11 - [0:0]\n\
                 -A ADMIN -s 192.0.2.77 -m comment --comment \"it is LT-r1-1\" -j DROP\n\
                 -A INPUT -j ADMIN\n-A INPUT -p udp --dport 9 -j REJECT\n-A OUTPUT -j LT-r1-11\n\
                 -A LT-r1-11 -d 192.0.2.78 -j DROP\nCOMMIT\n\
                 *mangle\n-A PREROUTING -s 192.0.2.79 -j ACCEPT\nCOMMIT\n",
            );
        }
    }

    /// The firewall of every node, without counters and comment lines.
    pub fn rules(&self) -> Vec<String> {
        let save = |namespace: &String| {
            let saved = sh(&format!("ip netns exec {namespace} iptables-save"));
            let lines = saved.lines().filter(|line| !line.starts_with('#'));
            lines.map(|line| line.split(" [").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
        };
        self.namespaces[1..=self.nodes].iter().map(save).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for client in &mut self.clients {
            let _ = client.kill();
            let _ = client.wait();
        }
        // A timer leads a process group, and those of the control node are in no namespace.
        for (timer, _) in timers_below(self.folder.path()) {
            let _ = killpg(Pid::from_raw(timer), Signal::SIGKILL);
        }
        for namespace in &self.namespaces {
            for pid in pids(namespace) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

fn pids(namespace: &str) -> Vec<i32> {
    let output = Command::new("ip").args(["netns", "pids", namespace]).output().expect("ip");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

pub fn sh(script: &str) -> String {
    sh_with_input(script, "")
}

fn sh_with_input(script: &str, input: &str) -> String {
    let mut child = Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("sh");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// More than any working system needs.
const PATIENCE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(20);

/// Waits for a condition, within a bound.
pub async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < limit, "waited in vain until {what}");
        tokio::time::sleep(POLL).await;
    }
}
