//! The server that is asked: the only one, or the primary that the sentinels name.
//!
//! After "Guidelines for Redis clients with support for Redis Sentinel", the Redis project's
//! documentation: the first sentinel that answers names the primary, which has to confirm its role.
//! The sentinels are asked again when something went wrong, and before each try to get a lock: so a
//! client moves to a new primary as soon as its sentinel knows of one, as libraries do that listen to
//! `+switch-master`, and not only when the old one fails it.

use std::cell::Cell;
use std::time::Duration;

use locktest_history::Recipe;
use redis::Value;
use tokio::time::Instant;

use super::super::CallError;
use super::connection::Server;
use crate::ClientConfig;

/// What the sentinels call the servers that they watch.
const WATCHED: &str = "locktest";

/// So many connections may fail in the time of one operation: to three sentinels and a server, and
/// there is time left for the request itself.
const CONNECTS_PER_OPERATION: u32 = 5;

/// How the server to ask is found.
pub(super) struct Primary {
    servers: Vec<Server>,
    /// Empty where there is only one server to ask.
    sentinels: Vec<Server>,
    /// The sentinel that is asked first.
    first_sentinel: usize,
    /// The server that was asked last.
    last: Cell<Option<usize>>,
    /// Whether that one confirmed its role and answered everything since.
    is_confirmed: Cell<bool>,
    /// Whether the sentinels need not be asked before the next request.
    is_named: Cell<bool>,
}

impl Primary {
    pub(super) fn new(config: &ClientConfig) -> Result<Primary, CallError> {
        let plan = &config.plan;
        let limit = Duration::from_millis(plan.op_timeout_ms) / CONNECTS_PER_OPERATION;
        let is_watched = plan.recipe == Recipe::Sentinel;
        let needed = if is_watched { &config.sentinels } else { &config.servers };
        if needed.is_empty() {
            return Err(CallError::NotAsked("no server was named".into()));
        }
        let sentinels = if is_watched { config.sentinels.as_slice() } else { &[] };
        Ok(Primary {
            servers: Server::all(&config.servers, limit)?,
            sentinels: Server::all(sentinels, limit)?,
            first_sentinel: config.client.0 as usize,
            last: Cell::new(None),
            is_confirmed: Cell::new(false),
            is_named: Cell::new(false),
        })
    }

    pub(super) fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Whether another server may become the one to ask.
    pub(super) fn may_change(&self) -> bool {
        !self.sentinels.is_empty()
    }

    /// The server that was asked last, if it is known beforehand or was found.
    pub(super) fn last(&self, preferred: usize) -> Option<usize> {
        match self.sentinels.is_empty() {
            true => Some(preferred % self.servers.len()),
            false => self.last.get(),
        }
    }

    /// The server to ask. The error is [`CallError::NotAsked`].
    pub(super) async fn find(
        &self,
        preferred: usize,
        deadline: Instant,
    ) -> Result<&Server, CallError> {
        if self.sentinels.is_empty() {
            return Ok(&self.servers[preferred % self.servers.len()]);
        }
        let confirmed = self.last.get().map(|index| &self.servers[index]);
        let confirmed = confirmed.filter(|server| self.is_confirmed.get() && server.is_connected());
        if let Some(server) = confirmed.filter(|_| self.is_named.get()) {
            return Ok(server);
        }
        let server = self.named(deadline).await?;
        self.is_named.set(true);
        if confirmed.is_some_and(|confirmed| confirmed.index() == server.index()) {
            return Ok(server);
        }
        self.is_confirmed.set(false);
        self.last.set(Some(server.index()));
        let role = async {
            let connection = server.connection(deadline).await?;
            connection.ask::<Vec<Value>>(&redis::cmd("ROLE"), deadline).await
        };
        let not_asked = |reason: String| {
            CallError::NotAsked(format!("{}, named the primary: {reason}", server.address()))
        };
        match role.await.map_err(|error| not_asked(error.to_string()))?.into_iter().next() {
            Some(Value::BulkString(role)) if role == b"master" => {
                self.is_confirmed.set(true);
                Ok(server)
            }
            _ => Err(not_asked("it is a replica".into())),
        }
    }

    /// The sentinels have to be asked before the next request.
    pub(super) fn ask_sentinels(&self) {
        self.is_named.set(false);
    }

    /// The sentinels have to be asked before the next request, and the primary for its role.
    pub(super) fn doubt(&self) {
        self.is_confirmed.set(false);
    }

    /// The server that the first sentinel names that names one.
    async fn named(&self, deadline: Instant) -> Result<&Server, CallError> {
        let mut trouble = String::new();
        for offset in 0..self.sentinels.len() {
            let sentinel = &self.sentinels[(self.first_sentinel + offset) % self.sentinels.len()];
            match name(sentinel, deadline).await {
                Ok(Some(address)) => {
                    let found = self.servers.iter().find(|server| server.address() == address);
                    return found.ok_or_else(|| {
                        CallError::NotAsked(format!(
                            "sentinel {} names {address}, which is none of the servers",
                            sentinel.address()
                        ))
                    });
                }
                Ok(None) => trouble = format!("{} knows no primary", sentinel.address()),
                Err(error) => trouble = format!("{}: {error}", sentinel.address()),
            }
        }
        Err(CallError::NotAsked(format!("no sentinel names a primary; {trouble}")))
    }
}

/// The address of the primary, as a sentinel has it.
async fn name(sentinel: &Server, deadline: Instant) -> Result<Option<String>, CallError> {
    let deadline = deadline.min(Instant::now() + sentinel.connect_limit());
    let connection = sentinel.connection(deadline).await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(WATCHED);
    let address: Option<(String, String)> = connection.ask(&command, deadline).await?;
    Ok(address.map(|(ip, port)| format!("{ip}:{port}")))
}
