//! The sim's server: JSON lines over TCP on loopback.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::state::{Locked, SimState};
use super::{Reply, Request, SimBug};

/// How often leases are looked at; a lease may outlive its time by this much.
const EXPIRY_TICK: Duration = Duration::from_millis(5);

/// A lock service on loopback that ends when it is dropped.
pub struct SimServer {
    address: String,
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

struct Shared {
    state: Mutex<SimState>,
    changed: Notify,
    origin: Instant,
}

impl SimServer {
    /// Listens on a free port of loopback.
    pub async fn start(bug: Option<SimBug>) -> io::Result<SimServer> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            state: Mutex::new(SimState::new(bug)),
            changed: Notify::new(),
            origin: Instant::now(),
        });
        let tasks =
            [tokio::spawn(accept(listener, shared.clone())), tokio::spawn(expire(shared.clone()))];
        Ok(SimServer { address, shared, tasks })
    }

    /// `address:port` for clients.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// One write to the service's state: the health probe of this backend.
    pub fn probe(&self) {
        let mut state = self.shared.state();
        let lease = state.open(Duration::from_secs(1), self.shared.now());
        state.revoke(lease);
    }
}

impl Drop for SimServer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, SimState> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    async fn answer(&self, request: Request) -> Reply {
        let refused = |reason: &str| Reply::Refused { reason: reason.into() };
        let done_or = |done: bool, reason: &str| if done { Reply::Done } else { refused(reason) };
        let reply = match request {
            Request::Open { ttl_ms } => {
                let ttl = Duration::from_millis(ttl_ms);
                Reply::Opened { lease: self.state().open(ttl, self.now()) }
            }
            Request::Renew { lease } => {
                let now = self.now();
                let mut state = self.state();
                state.expire(now);
                if state.renew(lease, now) { Reply::Done } else { Reply::Gone }
            }
            Request::Read { lease, key } => Reply::Entry { token: self.state().token(lease, &key) },
            Request::Unlock { lease, key } => {
                done_or(self.state().unlock(lease, &key), "the lock is not held by this lease")
            }
            Request::Revoke { lease } => {
                done_or(self.state().revoke(lease), "the lease does not exist")
            }
            Request::TryLock { lease, key } => {
                let mut state = self.state();
                match state.lock(lease, &key) {
                    None => refused("the lease does not exist"),
                    Some(Locked::Granted) => Reply::Done,
                    Some(Locked::Waiting) => {
                        state.unlock(lease, &key);
                        refused("the lock is held")
                    }
                }
            }
            Request::Lock { lease, key } => return self.lock(lease, &key).await,
        };
        self.changed.notify_waiters();
        reply
    }

    async fn lock(&self, lease: u64, key: &str) -> Reply {
        let gone = || Reply::Refused { reason: "the lease does not exist".into() };
        match self.state().lock(lease, key) {
            None => return gone(),
            Some(Locked::Granted) => return Reply::Done,
            Some(Locked::Waiting) => {}
        }
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Registered before the look, so that no change in between is missed.
            changed.as_mut().enable();
            {
                let state = self.state();
                if state.holds(lease, key) {
                    return Reply::Done;
                }
                if !state.waits(lease, key) {
                    return gone();
                }
            }
            changed.await;
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // A client that breaks its connection ends only its own conversation.
    while let Ok((stream, _peer)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let _ = converse(stream, &shared).await;
        });
    }
}

async fn converse(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await? {
        let reply = match serde_json::from_str(&line) {
            Ok(request) => shared.answer(request).await,
            Err(error) => Reply::Refused { reason: error.to_string() },
        };
        let mut answer = serde_json::to_vec(&reply)?;
        answer.push(b'\n');
        writer.write_all(&answer).await?;
    }
    Ok(())
}

async fn expire(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(EXPIRY_TICK);
    loop {
        tick.tick().await;
        let now = shared.now();
        shared.state().expire(now);
        shared.changed.notify_waiters();
    }
}
