//! Nodes that are network namespaces on a bridge of their own, reached without SSH: enough to run
//! the real scripts against a real firewall. Needs root.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use locktest_cluster::{Remote, RemoteCommand, RemoteError, RemoteOutput, SshTarget};
use locktest_nemesis::Endpoint;
use tempfile::TempDir;

const PORT: u16 = 2380;

/// Added to a client's number, it is the last part of its address.
const CLIENTS_BEFORE: u8 = 100;

/// Takes connections on every address and closes them.
const LISTENER: &str = r#"$s = IO::Socket::INET->new(Listen => 64, LocalPort => 2380, ReuseAddr => 1) or die $!;
$| = 1; print "ready\n"; while (my $c = $s->accept) { close $c }"#;

/// An untouched table is saved as nothing, a touched one as empty chains.
const TOUCH: &str = "iptables -w -N touch && iptables -w -X touch";

/// The namespaces, removed with everything in them when this is dropped.
pub struct Bench {
    pub folder: TempDir,
    /// That of the switch, then the nodes', then the clients'.
    namespaces: Vec<String>,
    nodes: usize,
    listeners: Vec<Child>,
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
            Bench { folder, namespaces: Vec::new(), nodes: nodes.into(), listeners: Vec::new() };
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
                std::fs::create_dir(bench.folder.path().join(name)).expect("a folder");
                bench.listen(&namespace);
            }
        }
        std::fs::create_dir(bench.run_dir()).expect("a folder");
        bench
    }

    fn listen(&mut self, namespace: &str) {
        let mut listener = Command::new("ip")
            .args(["netns", "exec", namespace, "perl", "-MIO::Socket::INET", "-e", LISTENER])
            .stdout(Stdio::piped())
            .spawn()
            .expect("ip");
        let mut line = String::new();
        let stdout = listener.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        self.listeners.push(listener);
    }

    /// The folder that every node sees as its own.
    pub fn run_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// What a node's own run folder holds.
    pub fn left_in_run_dir(&self, node: &str) -> Vec<String> {
        let folder = self.folder.path().join(node);
        let entries = std::fs::read_dir(folder).expect("a folder");
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    pub fn endpoints(&self) -> Vec<Endpoint> {
        (1..=self.nodes)
            .map(|n| Endpoint {
                ssh: SshTarget {
                    name: format!("n{n}"),
                    host: format!("10.1.0.{n}"),
                    port: 22,
                    user: "root".into(),
                    identity_file: None,
                    known_hosts_file: None,
                },
                address: Ipv4Addr::new(10, 1, 0, n as u8),
                probe_port: PORT,
            })
            .collect()
    }

    pub fn clients(&self) -> Vec<Ipv4Addr> {
        let clients = 1..(self.namespaces.len() - self.nodes) as u8;
        clients.map(|n| Ipv4Addr::new(10, 1, 0, CLIENTS_BEFORE + n)).collect()
    }

    /// Whether a client can connect to a node.
    pub fn connects(&self, client: &str, node: &str) -> bool {
        let number: usize = client.trim_start_matches('c').parse().expect("a client's name");
        let namespace = &self.namespaces[self.nodes + number];
        let address = &self.endpoints()[node_number(node) - 1].address;
        let connect = format!("exec 3<>/dev/tcp/{address}/{PORT}");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, "timeout", "2", "bash", "-c", &connect]);
        command.stderr(Stdio::null()).status().expect("ip").success()
    }

    pub fn remote(&self) -> BenchRemote {
        BenchRemote {
            namespaces: self.namespaces.clone(),
            folder: self.folder.path().to_owned(),
            ssh_peer: Some("192.0.2.1".into()),
            swallow_apply: HashSet::new(),
        }
    }

    pub fn namespace(&self, node: &str) -> &str {
        namespace_of(&self.namespaces, node)
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

    /// The processes in a node's namespace.
    pub fn processes(&self, node: &str) -> HashSet<u32> {
        pids(self.namespace(node))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for listener in &mut self.listeners {
            let _ = listener.kill();
            let _ = listener.wait();
        }
        for namespace in &self.namespaces {
            for pid in pids(namespace) {
                let pid = nix::unistd::Pid::from_raw(pid as i32);
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL);
            }
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

fn namespace_of<'a>(namespaces: &'a [String], node: &str) -> &'a str {
    &namespaces[node_number(node)]
}

fn node_number(node: &str) -> usize {
    node.trim_start_matches('n').parse().expect("a node's name")
}

fn pids(namespace: &str) -> HashSet<u32> {
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

/// Waits for a condition, within a bound that no working system needs.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < limit, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs scripts in the namespaces, each node with a run folder of its own.
#[derive(Clone)]
pub struct BenchRemote {
    namespaces: Vec<String>,
    folder: PathBuf,
    /// Where the SSH connection would come from.
    pub ssh_peer: Option<String>,
    /// Nodes on which applying a fault answers "success" and does nothing.
    pub swallow_apply: HashSet<String>,
}

impl BenchRemote {
    fn command(&self, node: &str, command: &RemoteCommand) -> tokio::process::Command {
        let quote = |path: &Path| locktest_cluster::quote(&path.to_string_lossy());
        let enter = format!(
            "mount --bind {} {} && exec timeout -k 1 {} sh -c \"$0\"",
            quote(&self.folder.join(node)),
            quote(&self.folder.join("run")),
            command.timeout.as_secs_f64(),
        );
        let namespace = namespace_of(&self.namespaces, node);
        let mut process = tokio::process::Command::new("ip");
        process.args(["netns", "exec", namespace, "unshare", "-m", "sh", "-c", &enter]);
        process.arg(&command.script).env_remove("SSH_CONNECTION").stdin(Stdio::null());
        if let Some(peer) = &self.ssh_peer {
            process.env("SSH_CONNECTION", format!("{peer} 50000 10.1.0.1 22"));
        }
        process
    }
}

impl Remote for BenchRemote {
    async fn run(&self, node: &str, command: &RemoteCommand) -> Result<RemoteOutput, RemoteError> {
        if command.purpose.starts_with("apply ") && self.swallow_apply.contains(node) {
            return Ok(RemoteOutput { status: 0, stdout: String::new(), stderr: String::new() });
        }
        let output = self.command(node, command).output().await.expect("ip");
        Ok(RemoteOutput {
            status: output.status.code().unwrap_or(255),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
