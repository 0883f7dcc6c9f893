//! Redis servers on loopback, from the distribution's packages.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use locktest_cluster::{Installation, Release, Store};
use locktest_history::{ClientId, Plan};
use locktest_lab::LabDirs;
use locktest_lab::packages::{PackageRequest, obtain};
use locktest_workloads::ClientConfig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::FromRedisValue;
use tempfile::TempDir;

use super::ports::free_port;
use super::until;

/// Servers in a plan's order, and any sentinels behind them.
pub struct Servers {
    installation: Installation,
    servers: Vec<Server>,
}

struct Server {
    process: Child,
    arguments: Vec<String>,
    port: u16,
    files: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Servers {
    /// Independent servers that keep nothing on disk.
    pub async fn independent(number: usize) -> Servers {
        let mut servers = Servers { installation: installation().await, servers: Vec::new() };
        for port in free_ports(number) {
            servers.add(port, |files| server_arguments(port, files));
        }
        servers.all_answer().await;
        servers
    }

    /// A primary, the first, and its replicas, and three sentinels behind them.
    pub async fn watched(number: usize) -> Servers {
        let mut servers = Servers { installation: installation().await, servers: Vec::new() };
        let ports = free_ports(number + 3);
        let (ports, sentinel_ports) = ports.split_at(number);
        for port in ports {
            servers.add(*port, |files| {
                let mut arguments = server_arguments(*port, files);
                if *port != ports[0] {
                    arguments.extend(
                        ["--replicaof", "127.0.0.1", &ports[0].to_string()].map(Into::into),
                    );
                }
                arguments
            });
        }
        for port in sentinel_ports {
            servers.add(*port, |files| {
                let path = files.join("sentinel.conf");
                let text = format!(
                    "port {port}\nbind 127.0.0.1\ndir {}\n\
                     sentinel monitor locktest 127.0.0.1 {} 2\n\
                     sentinel down-after-milliseconds locktest 500\n\
                     sentinel failover-timeout locktest 2000\n",
                    files.display(),
                    ports[0]
                );
                std::fs::write(&path, text).expect("a sentinel's settings");
                vec![path.display().to_string(), "--sentinel".into()]
            });
        }
        servers.all_answer().await;
        let known = async || {
            for sentinel in number..number + 3 {
                let about: HashMap<String, String> =
                    servers.ask(sentinel, &["SENTINEL", "MASTER", "locktest"]).await;
                let (others, replicas) = (&about["num-other-sentinels"], &about["num-slaves"]);
                if others != "2" || *replicas != (number - 1).to_string() {
                    return false;
                }
            }
            true
        };
        until("the sentinels know each other and the replicas", known).await;
        servers
    }

    fn add(&mut self, port: u16, arguments: impl FnOnce(&Path) -> Vec<String>) {
        let files = tempfile::tempdir().expect("a folder for a server");
        let arguments = arguments(files.path());
        let process = spawn(&self.installation, &arguments, files.path());
        self.servers.push(Server { process, arguments, port, files });
    }

    async fn all_answer(&self) {
        for index in 0..self.servers.len() {
            self.answers(index).await;
        }
    }

    async fn answers(&self, index: usize) {
        let what = format!("the server in {} answers", self.servers[index].files.path().display());
        until(&what, async || self.try_ask::<String>(index, &["PING"]).await.is_ok()).await;
    }

    fn addresses(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect()
    }

    /// What client `client` is told: the first `servers` are servers, the others sentinels.
    pub fn config(&self, client: u32, servers: usize, plan: Plan) -> ClientConfig {
        let mut addresses = self.addresses();
        let sentinels = addresses.split_off(servers);
        ClientConfig {
            client: ClientId(client),
            origin_monotonic_ns: 0,
            servers: addresses,
            sentinels,
            plan,
        }
    }

    pub fn stop(&mut self, index: usize) {
        let server = &mut self.servers[index];
        server.process.kill().expect("a signal");
        server.process.wait().expect("its end");
    }

    /// Starts a stopped server again, without what it had.
    pub async fn start(&mut self, index: usize) {
        let server = &mut self.servers[index];
        server.process = spawn(&self.installation, &server.arguments, server.files.path());
        self.answers(index).await;
    }

    pub fn pause(&self, index: usize) {
        self.signal(index, Signal::SIGSTOP);
    }

    pub fn resume(&self, index: usize) {
        self.signal(index, Signal::SIGCONT);
    }

    fn signal(&self, index: usize, signal: Signal) {
        let pid = Pid::from_raw(self.servers[index].process.id() as i32);
        kill(pid, signal).expect("a signal");
    }

    /// Asks a server over a connection of its own.
    pub async fn ask<T: FromRedisValue>(&self, index: usize, words: &[&str]) -> T {
        self.try_ask(index, words).await.expect("an answer")
    }

    async fn try_ask<T: FromRedisValue>(
        &self,
        index: usize,
        words: &[&str],
    ) -> redis::RedisResult<T> {
        let client = redis::Client::open(format!("redis://{}", self.addresses()[index]))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await
    }

    /// On which servers there is anything at all.
    pub async fn not_empty(&self) -> Vec<usize> {
        let mut found = Vec::new();
        for index in 0..self.servers.len() {
            let keys: u64 = self.ask(index, &["DBSIZE"]).await;
            found.extend((keys > 0).then_some(index));
        }
        found
    }
}

fn spawn(installation: &Installation, arguments: &[String], files: &Path) -> Child {
    let log = File::options().create(true).append(true).open(files.join("log"));
    let log = log.expect("a server's log");
    Command::new(&installation.program)
        .args(&installation.leading_arguments)
        .args(arguments)
        // Newer servers refuse to start in a locale that this machine does not have.
        .env("LC_ALL", "C")
        .envs(installation.environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log twice"))
        .stderr(log)
        .spawn()
        .expect("a server")
}

fn server_arguments(port: u16, files: &Path) -> Vec<String> {
    let (port, dir) = (port.to_string(), files.display().to_string());
    [
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--dir",
        &dir,
        "--save",
        "",
        "--repl-diskless-sync-delay",
        "0",
    ]
    .map(str::to_owned)
    .to_vec()
}

async fn installation() -> Installation {
    let release = Release::newest(Store::Redis);
    let request = PackageRequest::new(release.suite, release.packages);
    let packages = obtain(&LabDirs::from_env(), &request).await.expect("the server's packages");
    let roots: Vec<_> = packages.into_iter().map(|package| package.root).collect();
    release.installation(&roots)
}

fn free_ports(number: usize) -> Vec<u16> {
    std::iter::repeat_with(free_port).take(number).collect()
}
