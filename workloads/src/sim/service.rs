//! The sim's server: JSON lines over TCP on loopback.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep_until};

use super::state::{Locked, SimState};
use super::{Reply, Request, SimBug};

/// How often leases are looked at when nobody asks for anything; a lease may outlive its time by
/// this much.
const EXPIRY_TICK: Duration = Duration::from_millis(5);

/// The lease of a probe, which it gives back at once.
const PROBE_TTL: Duration = Duration::from_secs(1);

/// A lock service on loopback that ends when it is dropped.
pub struct SimServer {
    address: String,
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

struct Shared {
    state: Mutex<SimState>,
    /// Whoever waits for a lock, by lease.
    waiting: Mutex<HashMap<u64, Arc<Notify>>>,
    origin: Instant,
    /// Until when a bug keeps the service silent.
    silent_until: Mutex<Instant>,
}

impl SimServer {
    /// Listens on a free port of loopback.
    pub async fn start(bug: Option<SimBug>) -> io::Result<SimServer> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let origin = Instant::now();
        let shared = Arc::new(Shared {
            state: Mutex::new(SimState::new(bug)),
            waiting: Mutex::default(),
            origin,
            silent_until: Mutex::new(origin),
        });
        let tasks =
            [tokio::spawn(accept(listener, shared.clone())), tokio::spawn(expire(shared.clone()))];
        Ok(SimServer { address, shared, tasks })
    }

    /// `address:port` for clients.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// One write to the service's state: the health probe of this backend. It answers when the
    /// service does.
    pub async fn probe(&self) {
        self.shared.arrive().await;
        let mut state = self.shared.state();
        let lease = state.open(PROBE_TTL);
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
    /// The state as it is now.
    fn state(&self) -> MutexGuard<'_, SimState> {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        state.advance(self.origin.elapsed());
        self.wake(&mut state);
        state
    }

    /// Wakes those who have an answer.
    fn wake(&self, state: &mut SimState) {
        let turned = state.take_turned();
        if !turned.is_empty() {
            let waiting = self.waiting();
            turned.iter().filter_map(|lease| waiting.get(lease)).for_each(|one| one.notify_one());
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Arc<Notify>>> {
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A request has come: it is looked at once the service is not silent.
    async fn arrive(&self) {
        let stall = self.state().stalls();
        if let Some(stall) = stall {
            *self.silence() = Instant::now() + stall;
        }
        self.speak().await;
    }

    /// Waits for the end of the silence.
    async fn speak(&self) {
        let silent_until = *self.silence();
        if Instant::now() < silent_until {
            sleep_until(silent_until).await;
        }
    }

    fn silence(&self) -> MutexGuard<'_, Instant> {
        self.silent_until.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    async fn answer(&self, request: Request) -> Reply {
        self.arrive().await;
        let reply = {
            let mut state = self.state();
            let reply = apply(&mut state, &request);
            self.wake(&mut state);
            reply
        };
        match (reply, request) {
            (Some(reply), _) => reply,
            (None, Request::Lock { lease, key }) => self.wait_for_lock(lease, &key).await,
            (None, _) => Reply::Refused { reason: "nothing to wait for".into() },
        }
    }

    async fn wait_for_lock(&self, lease: u64, key: &str) -> Reply {
        // Registered before the look, so that no turn in between is missed.
        let turned = self.waiting().entry(lease).or_default().clone();
        let reply = loop {
            self.speak().await;
            {
                let state = self.state();
                if state.holds(lease, key) {
                    break Reply::Done;
                }
                if !state.waits(lease, key) {
                    break no_lease();
                }
            }
            turned.notified().await;
        };
        self.waiting().remove(&lease);
        reply
    }
}

fn no_lease() -> Reply {
    Reply::Refused { reason: "the lease does not exist".into() }
}

/// Does what is asked. Without an answer the request has to wait for a lock.
fn apply(state: &mut SimState, request: &Request) -> Option<Reply> {
    let done_or = |done: bool, reason: &str| match done {
        true => Reply::Done,
        false => Reply::Refused { reason: reason.into() },
    };
    Some(match request {
        Request::Open { ttl_ms } => {
            Reply::Opened { lease: state.open(Duration::from_millis(*ttl_ms)) }
        }
        Request::Lock { lease, key } => match state.lock(*lease, key) {
            None => no_lease(),
            Some(Locked::Granted) => Reply::Done,
            Some(Locked::Waiting) => return None,
        },
        Request::TryLock { lease, key } => match state.try_lock(*lease, key) {
            None => no_lease(),
            Some(locked) => done_or(locked == Locked::Granted, "the lock is held"),
        },
        Request::Renew { lease } => match state.renew(*lease) {
            true => Reply::Done,
            false => Reply::Gone,
        },
        Request::Read { lease, key } => Reply::Entry { token: state.token(*lease, key) },
        Request::Unlock { lease, key } => {
            done_or(state.unlock(*lease, key), "the lock is not held by this lease")
        }
        Request::Revoke { lease } => done_or(state.revoke(*lease), "the lease does not exist"),
        Request::ReadValue { name } => Reply::Value { value: state.value(name) },
        Request::WriteValue { name, value } => {
            state.write(name, *value);
            Reply::Done
        }
        Request::CasValue { name, expected, value } => match state.cas(name, *expected, *value) {
            true => Reply::Done,
            false => Reply::Differs,
        },
        Request::WriteGuarded { lease, key, name, value } => {
            let written = state.write_guarded(*lease, key, name, *value);
            done_or(written, "the lock is not held by this lease")
        }
    })
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
    let mut tick = interval(EXPIRY_TICK);
    loop {
        tick.tick().await;
        drop(shared.state());
    }
}
