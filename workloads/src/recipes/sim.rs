//! The lock service of the control node, spoken to over TCP like any store.

use std::cell::RefCell;
use std::time::Duration;

use locktest_history::Token;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::Instant;

use super::{CallError, Entry, Grant, GuardedValues, Lease, LockRecipe, Renewal, Values};
use crate::protocol::ClientConfig;
use crate::sim::{Reply, Request};

/// A client of the sim, over as many connections as it has requests under way.
pub struct SimLock {
    address: String,
    ttl_ms: u64,
    /// Connections without a request under way. One whose exchange was cut short never comes back:
    /// its next answer would be the one to the request before.
    idle: RefCell<Vec<Connection>>,
}

struct Connection {
    reader: BufReader<tokio::net::tcp::OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl SimLock {
    /// A client of the first server.
    pub fn new(config: &ClientConfig) -> Result<SimLock, CallError> {
        let server = config.servers.first();
        let address = server.ok_or_else(|| CallError::NotAsked("no server was named".into()))?;
        let ttl_ms = config.plan.lease_ttl_ms;
        Ok(SimLock { address: address.clone(), ttl_ms, idle: RefCell::default() })
    }

    async fn connect(&self) -> Result<Connection, CallError> {
        let stream = TcpStream::connect(&self.address)
            .await
            .map_err(|error| CallError::NotAsked(error.to_string()))?;
        let (reader, writer) = stream.into_split();
        Ok(Connection { reader: BufReader::new(reader), writer })
    }

    async fn call(&self, request: Request) -> Result<Reply, CallError> {
        let idle = self.idle.borrow_mut().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let reply = exchange(&mut connection, &request).await?;
        self.idle.borrow_mut().push(connection);
        match reply {
            Reply::Refused { reason } => Err(CallError::Refused(reason)),
            reply => Ok(reply),
        }
    }
}

async fn exchange(connection: &mut Connection, request: &Request) -> Result<Reply, CallError> {
    let unknown = |error: std::io::Error| CallError::Unknown(error.to_string());
    let mut line = serde_json::to_vec(request).map_err(|error| unknown(error.into()))?;
    line.push(b'\n');
    connection.writer.write_all(&line).await.map_err(unknown)?;
    let mut answer = String::new();
    connection.reader.read_line(&mut answer).await.map_err(unknown)?;
    serde_json::from_str(&answer).map_err(|error| unknown(error.into()))
}

/// A grant of which the service says no more than that it is one.
fn grant() -> Grant {
    Grant { entry: Vec::new(), revision: None, waited: Duration::ZERO, lease_start: None }
}

fn done(reply: Reply) -> Result<(), CallError> {
    match reply {
        Reply::Done => Ok(()),
        reply => Err(unexpected(reply)),
    }
}

fn unexpected(reply: Reply) -> CallError {
    CallError::Unknown(format!("unexpected answer {reply:?}"))
}

impl LockRecipe for SimLock {
    type LeaseId = u64;

    async fn open(&self, _server: usize) -> Result<Lease<u64>, CallError> {
        match self.call(Request::Open { ttl_ms: self.ttl_ms }).await? {
            Reply::Opened { lease } => Ok(Lease { id: lease, ttl_ms: self.ttl_ms }),
            reply => Err(unexpected(reply)),
        }
    }

    async fn lock(
        &self,
        _server: usize,
        lease: &u64,
        key: &str,
        _deadline: Instant,
    ) -> Result<Grant, CallError> {
        match self.call(Request::Lock { lease: *lease, key: key.to_owned() }).await? {
            Reply::Done => Ok(grant()),
            reply => Err(unexpected(reply)),
        }
    }

    async fn try_lock(&self, _server: usize, lease: &u64, key: &str) -> Result<Grant, CallError> {
        match self.call(Request::TryLock { lease: *lease, key: key.to_owned() }).await? {
            Reply::Done => Ok(grant()),
            reply => Err(unexpected(reply)),
        }
    }

    async fn renew(&self, _server: usize, lease: &u64, _key: &str) -> Result<Renewal, CallError> {
        match self.call(Request::Renew { lease: *lease }).await? {
            Reply::Done => Ok(Renewal::Renewed),
            Reply::Gone => Ok(Renewal::Gone),
            reply => Err(unexpected(reply)),
        }
    }

    async fn entry(
        &self,
        _server: usize,
        lease: &u64,
        key: &str,
        _grant: &Grant,
    ) -> Result<Entry, CallError> {
        match self.call(Request::Read { lease: *lease, key: key.to_owned() }).await? {
            Reply::Entry { token } => Ok(Entry {
                ours: token.is_some(),
                token: token.map(|major| Token { major, minor: 0 }),
                at_revision: None,
            }),
            reply => Err(unexpected(reply)),
        }
    }

    async fn unlock(
        &self,
        _server: usize,
        lease: &u64,
        key: &str,
        _grant: &Grant,
    ) -> Result<(), CallError> {
        self.call(Request::Unlock { lease: *lease, key: key.to_owned() }).await.and_then(done)
    }

    async fn revoke(&self, _server: usize, lease: &u64, _key: &str) -> Result<(), CallError> {
        self.call(Request::Revoke { lease: *lease }).await.and_then(done)
    }
}

impl Values for SimLock {
    async fn read(&self, _server: usize, name: &str) -> Result<Option<u64>, CallError> {
        match self.call(Request::ReadValue { name: name.to_owned() }).await? {
            Reply::Value { value } => Ok(value),
            reply => Err(unexpected(reply)),
        }
    }

    async fn write(&self, _server: usize, name: &str, value: u64) -> Result<(), CallError> {
        self.call(Request::WriteValue { name: name.to_owned(), value }).await.and_then(done)
    }

    async fn cas(
        &self,
        _server: usize,
        name: &str,
        expected: Option<u64>,
        value: u64,
    ) -> Result<bool, CallError> {
        match self.call(Request::CasValue { name: name.to_owned(), expected, value }).await? {
            Reply::Done => Ok(true),
            Reply::Differs => Ok(false),
            reply => Err(unexpected(reply)),
        }
    }
}

impl GuardedValues for SimLock {
    async fn write_guarded(
        &self,
        _server: usize,
        lease: &u64,
        key: &str,
        _grant: &Grant,
        name: &str,
        value: u64,
    ) -> Result<(), CallError> {
        let (key, name) = (key.to_owned(), name.to_owned());
        self.call(Request::WriteGuarded { lease: *lease, key, name, value }).await.and_then(done)
    }
}
