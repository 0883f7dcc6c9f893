//! A real server on loopback, from the distribution's packages.

mod ports;

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Weak};
use std::time::Duration;

use locktest_history::{ClientId, Plan};
use locktest_lab::LabDirs;
use locktest_lab::packages::{PackageRequest, obtain};
use locktest_workloads::ClientConfig;
use locktest_workloads::recipes::{CallError, LockRecipe};
use ports::free_port;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// Far longer than anything takes that is going to happen.
pub const LONG: Duration = Duration::from_secs(30);

/// How long a test watches something not happen.
pub const MOMENT: Duration = Duration::from_millis(300);

/// A server that is killed when the last test that uses it has ended.
pub struct Server {
    /// Its process.
    pub process: Child,
    files: TempDir,
    /// `127.0.0.1:port` for clients.
    pub address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// What the server wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.files.path().join("log")).unwrap_or_default()
    }
}

/// The server of all tests that run at the moment; the first of them starts it.
pub async fn shared(
    running: &Mutex<Weak<Server>>,
    start: impl AsyncFnOnce() -> Server,
) -> Arc<Server> {
    let mut running = running.lock().await;
    if let Some(server) = running.upgrade() {
        return server;
    }
    let server = Arc::new(start().await);
    *running = Arc::downgrade(&server);
    server
}

/// The roots of unpacked packages.
pub async fn packages(suite: &str, names: &[&str]) -> Vec<PathBuf> {
    let request = PackageRequest::new(suite, names);
    let packages = obtain(&LabDirs::from_env(), &request).await.expect("the server's packages");
    packages.into_iter().map(|package| package.root).collect()
}

/// Ports that nobody listens on.
pub fn free_ports<const N: usize>() -> [u16; N] {
    [(); N].map(|()| free_port())
}

/// Starts a server in a folder of its own; `arguments` are told which.
pub fn start(program: &Path, port: u16, arguments: impl FnOnce(&Path) -> Vec<String>) -> Server {
    let files = tempfile::tempdir().expect("a folder for the server");
    let log = File::create(files.path().join("log")).expect("the server's log");
    let process = Command::new(program)
        .args(arguments(files.path()))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log twice"))
        .stderr(log)
        .spawn()
        .expect("a server");
    Server { process, files, address: format!("127.0.0.1:{port}") }
}

/// What a client of the server at `address` is told.
pub fn config(address: &str, plan: Plan) -> ClientConfig {
    ClientConfig {
        client: ClientId(0),
        origin_monotonic_ns: 0,
        servers: vec![address.to_owned()],
        sentinels: Vec::new(),
        plan,
    }
}

/// Tries again until it succeeds.
pub async fn until_ok<T, F: Future<Output = Result<T, CallError>>>(
    mut attempt: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) if Instant::now() > deadline => panic!("still: {error}"),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// When a lock that is going to be granted is given up.
pub fn in_time() -> Instant {
    Instant::now() + LONG
}

/// Whether a future is still pending after a moment.
pub async fn is_pending<T>(future: impl Future<Output = T>) -> bool {
    timeout(MOMENT, future).await.is_err()
}

/// A lease.
pub async fn lease<R: LockRecipe>(recipe: &R) -> R::LeaseId {
    recipe.open(0).await.expect("a lease").id
}
