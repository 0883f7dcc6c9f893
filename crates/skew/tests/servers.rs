//! Real servers on loopback, launched with clocks of their own, which are set and set right again
//! while clients work. Needs to be allowed to trace, and the packages or a mirror to get them from.
//!
//! `LOCKTEST_CLOCK_CYCLES` says how often the clock of each server is set.

#![allow(clippy::print_stdout, reason = "what was measured is told, and never asserted")]

mod support;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use locktest_cluster::{Installation, Release, Store};
use locktest_lab::LabDirs;
use locktest_lab::packages::{PackageRequest, obtain};
use locktest_skew::{Class, Reading, Skew};
use support::{NodeClock, Process, ahead_s, due_and_seen, read, wait_for};

const CLIENTS: usize = 4;

/// Each clock is wrong for at least so long.
const DWELL: Duration = Duration::from_millis(20);

/// An answer on loopback that takes longer does not come.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

const NS_PER_S: i64 = 1_000_000_000;

/// What a busy machine may add to the way of a question and its answer.
const SLACK_NS: i64 = 500_000_000;

fn cycles() -> u64 {
    match std::env::var("LOCKTEST_CLOCK_CYCLES") {
        Ok(cycles) => cycles.parse().expect("a number of cycles"),
        Err(_) => 10,
    }
}

/// How one store is started and used.
trait Kind: Sync {
    const STORE: Store;

    /// The clocks that it tolerates to be wrong.
    const CLASSES: &[Class];

    /// The flag by which it is asked for the time, and how finely it tells it.
    const TELLS_TIME: Option<(&str, i64)>;

    /// Its arguments, after files that it needs were put into its folder.
    fn arguments(folder: &Path, port: u16) -> Vec<String>;

    /// A request that changes something, and a part of the answer if that succeeded.
    fn write() -> (Vec<u8>, &'static str);
}

/// A request over HTTP.
fn http(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// The second port of a server, which nobody uses.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

struct Redis;

impl Kind for Redis {
    const STORE: Store = Store::Redis;
    const CLASSES: &[Class] = &Class::ALL;
    const TELLS_TIME: Option<(&str, i64)> = Some(("--redis", 1000));

    fn arguments(folder: &Path, port: u16) -> Vec<String> {
        let config = folder.join("redis.conf");
        let text = format!("bind 127.0.0.1\nport {port}\ndir {}\nsave \"\"\n", folder.display());
        fs::write(&config, text).expect("written");
        vec![config.display().to_string()]
    }

    fn write() -> (Vec<u8>, &'static str) {
        let words = ["SET k v", "GET k", "QUIT"].join("\r\n") + "\r\n";
        (words.into_bytes(), "+OK\r\n$1\r\nv\r\n+OK")
    }
}

struct Etcd;

impl Kind for Etcd {
    const STORE: Store = Store::Etcd;
    const CLASSES: &[Class] = &Class::ALL;
    const TELLS_TIME: Option<(&str, i64)> = Some(("--http", NS_PER_S));

    fn arguments(folder: &Path, port: u16) -> Vec<String> {
        let (client, peer) = (format!("http://127.0.0.1:{port}"), free_port());
        let peer = format!("http://127.0.0.1:{peer}");
        let pairs = [
            ("--data-dir", folder.join("data").display().to_string()),
            ("--listen-client-urls", client.clone()),
            ("--advertise-client-urls", client),
            ("--listen-peer-urls", peer.clone()),
            ("--initial-advertise-peer-urls", peer.clone()),
            ("--initial-cluster", format!("default={peer}")),
        ];
        pairs.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }

    fn write() -> (Vec<u8>, &'static str) {
        (http("POST", "/v3/kv/put", r#"{"key":"aw==","value":"dg=="}"#), "\"revision\"")
    }
}

struct Consul;

impl Kind for Consul {
    const STORE: Store = Store::Consul;
    const CLASSES: &[Class] = &Class::ALL;
    const TELLS_TIME: Option<(&str, i64)> = Some(("--http", NS_PER_S));

    fn arguments(folder: &Path, port: u16) -> Vec<String> {
        let config = folder.join("consul.json");
        let ports: Vec<String> = ["server", "serf_lan", "serf_wan"]
            .iter()
            .map(|name| format!("\"{name}\": {}", free_port()))
            .collect();
        let text = format!(
            r#"{{
                "server": true, "bootstrap_expect": 1, "data_dir": "{}",
                "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
                "disable_update_check": true, "performance": {{"raft_multiplier": 1}},
                "ports": {{"http": {port}, "dns": -1, "grpc": -1, {}}}
            }}"#,
            folder.join("data").display(),
            ports.join(", ")
        );
        fs::write(&config, text).expect("written");
        vec!["agent".into(), format!("-config-file={}", config.display())]
    }

    fn write() -> (Vec<u8>, &'static str) {
        (http("PUT", "/v1/kv/k", "v"), "\r\n\r\ntrue")
    }
}

struct Zookeeper;

impl Kind for Zookeeper {
    const STORE: Store = Store::Zookeeper;
    const CLASSES: &[Class] = &[Class::Wall];
    const TELLS_TIME: Option<(&str, i64)> = None;

    fn arguments(folder: &Path, port: u16) -> Vec<String> {
        let config = folder.join("zoo.cfg");
        let text = format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\ntickTime=500\n\
             4lw.commands.whitelist=*\nadmin.enableServer=false\n",
            folder.join("data").display()
        );
        fs::write(&config, text).expect("written");
        vec![config.display().to_string()]
    }

    /// It speaks no protocol of text but this, which writes nothing, save its log.
    fn write() -> (Vec<u8>, &'static str) {
        (b"srvr".to_vec(), "Mode: standalone")
    }
}

async fn installation(store: Store) -> Installation {
    let release = Release::newest(store);
    let request =
        PackageRequest::new(release.suite, release.packages).of_version(release.upstream_version());
    let obtained = obtain(&LabDirs::from_env(), &request).await.expect("the packages");
    let roots: Vec<PathBuf> = obtained.into_iter().map(|package| package.root).collect();
    release.installation(&roots)
}

struct Server {
    process: Process,
    address: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// Starts it in a new folder below `folder` and waits until it has answered a write.
    fn start<K: Kind>(clock: &NodeClock, installation: &Installation, folder: &Path) -> Server {
        let port = free_port();
        let folder = folder.join(port.to_string());
        fs::create_dir(&folder).expect("a folder");
        let log = folder.join("log");
        let file = File::create(&log).expect("a log");
        let mut command = clock.launch(&installation.program);
        command
            .args(&installation.leading_arguments)
            .args(K::arguments(&folder, port))
            .envs(installation.environment.iter().cloned())
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone().expect("a log"))
            .stderr(file);
        let process = Process::start(&mut command);
        let server = Server { process, address: ([127, 0, 0, 1], port).into(), log };
        wait_for(&format!("{}'s first write", K::STORE.name()), || {
            write::<K>(server.address).is_ok()
        });
        server
    }

    fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Asserts that a clock that it does not tolerate to be wrong is left alone, which is said by
    /// name.
    fn assert_refuses(&self, clock: &NodeClock, class: Class) {
        let output = clock.try_set(class, ahead_s(5), support::LONG_MS, &[self.pid()]);
        let problem = String::from_utf8_lossy(&output.stderr);
        let named = format!("process {} is a Java VM", self.pid());
        assert!(output.status.code() == Some(1) && problem.contains(&named), "{output:?}");
        assert_eq!(clock.remains(&[self.pid()]), "");
    }

    /// Asserts that the server tells a time that is wrong by so much, if it tells any.
    fn assert_tells<K: Kind>(&self, offset_ns: i64) {
        let Some((flag, resolution_ns)) = K::TELLS_TIME else { return };
        let readings = read(&[flag, &self.address.to_string()], &[]);
        let [Reading::Store { offset_ns: told_ns, .. }] = readings[..] else {
            panic!("{readings:?}");
        };
        let range = offset_ns - resolution_ns - SLACK_NS..=offset_ns + SLACK_NS;
        assert!(range.contains(&told_ns), "told {told_ns} ns instead of {offset_ns} ns");
    }

    fn assert_log_without_crash(&self) {
        let log = fs::read(&self.log).expect("a log");
        let log = String::from_utf8_lossy(&log);
        for sign in ["panic", "SIGSEGV", "signal 11", "BUG REPORT", "fatal error", "no clock for"] {
            assert!(!log.contains(sign), "{sign}:\n{log}");
        }
    }
}

/// Makes a write and sees that it succeeded.
fn write<K: Kind>(address: SocketAddr) -> io::Result<()> {
    let (request, success) = K::write();
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(&request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    if answer.contains(success) { Ok(()) } else { Err(io::Error::other(answer)) }
}

/// Clients that write all the time.
struct Load {
    is_over: Arc<AtomicBool>,
    writes: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn start<K: Kind>(address: SocketAddr) -> Load {
        let (is_over, writes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |_| {
            let (is_over, writes) = (is_over.clone(), writes.clone());
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    // A server whose clock jumps may have reasons to refuse.
                    if write::<K>(address).is_ok() {
                        writes.fetch_add(1, Ordering::Relaxed);
                    }
                    thread::sleep(Duration::from_millis(2));
                }
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Load { is_over, writes, clients }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

/// Numbers that look random, the same in each run.
struct Draw(u64);

impl Draw {
    /// From minus to plus an hour, in nanoseconds.
    fn offset_ns(&mut self) -> i64 {
        const HOUR_NS: i64 = 3600 * NS_PER_S;
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 1) as i64 % (2 * HOUR_NS) - HOUR_NS
    }
}

/// No monotonic clock is before its zero, and the machine may have been started just now.
fn possible_ns(class: Class, offset_ns: i64) -> i64 {
    let uptime = fs::read_to_string("/proc/uptime").expect("an uptime");
    let uptime_s: i64 = uptime.split('.').next().expect("seconds").parse().expect("a number");
    match class {
        Class::Wall => offset_ns,
        Class::Monotonic => offset_ns.max((10 - uptime_s) * NS_PER_S),
    }
}

async fn set_and_clear<K: Kind>() {
    let installation = installation(K::STORE).await;
    let clock = NodeClock::new();
    let mut server = Server::start::<K>(&clock, &installation, clock.folder.path());
    for class in Class::ALL.into_iter().filter(|class| !K::CLASSES.contains(class)) {
        server.assert_refuses(&clock, class);
    }
    let load = Load::start::<K>(server.address);
    let mut draw = Draw(1);
    let begin = Instant::now();
    for cycle in 0..cycles() {
        for &class in K::CLASSES {
            let offset_ns = possible_ns(class, draw.offset_ns());
            clock.set(class, Skew { offset_ns, ..Skew::default() }, &[server.pid()]);
            let seen = due_and_seen(class, server.pid());
            assert_eq!(seen, (offset_ns, Some(offset_ns)), "{class:?} in cycle {cycle}");
            server.assert_tells::<K>(if class == Class::Wall { offset_ns } else { 0 });
            thread::sleep(DWELL);
            clock.clear(&[server.pid()]);
            let seen = due_and_seen(class, server.pid());
            assert_eq!(seen, (0, Some(0)), "{class:?} in cycle {cycle}");
            server.assert_tells::<K>(0);
        }
    }
    let writes = load.writes.load(Ordering::Relaxed);
    drop(load);
    let took_s = begin.elapsed().as_secs_f64();
    println!("{}: {} cycles, {writes} writes in {took_s:.1} s", K::STORE.name(), cycles());
    write::<K>(server.address).expect("a write after all");
    assert!(writes > 0);
    assert!(server.process.child.try_wait().expect("a child").is_none(), "it is the same process");
    assert_eq!(clock.remains(&[server.pid()]), "");
    server.assert_log_without_crash();
}

#[tokio::test]
async fn redis_works_on_through_set_and_clear() {
    set_and_clear::<Redis>().await;
}

#[tokio::test]
async fn etcd_works_on_through_set_and_clear() {
    set_and_clear::<Etcd>().await;
}

#[tokio::test]
async fn consul_works_on_through_set_and_clear() {
    set_and_clear::<Consul>().await;
}

#[tokio::test]
async fn zookeeper_works_on_through_set_and_clear() {
    set_and_clear::<Zookeeper>().await;
}

#[tokio::test]
async fn redis_starts_each_time_with_the_clock_of_its_node() {
    let installation = installation(Store::Redis).await;
    let clock = NodeClock::new();
    for start in 0..10 {
        let seconds = start * 100;
        clock.set(Class::Wall, ahead_s(seconds), &[]);
        let server = Server::start::<Redis>(&clock, &installation, clock.folder.path());
        server.assert_tells::<Redis>(seconds * NS_PER_S);
        server.assert_log_without_crash();
    }
}
