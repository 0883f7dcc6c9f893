//! Sessions: one for each attempt through any server, and one a server for everything else.

use std::cell::RefCell;
use std::time::Duration;

use locktest_history::ZOOKEEPER_TICK_MS;
use zookeeper_client::{Client, Connector, Error, SessionState};

use super::super::CallError;
use super::call_error;
use crate::protocol::ClientConfig;

/// The version of a node, in a request that asks for none in particular.
const ANY_VERSION: i32 = -1;

/// A connection on which nothing comes for so long is broken; for shorter sessions the library takes
/// 2/5 of their timeout. It pings after 3/8 of this time and looks at its clock each 1/8, so that a
/// server hears of each session at least once a tick. That matters since a leader learns from its
/// followers' answers to its pings that sessions live, not from what it commits for them: it may
/// count from a whole silence before the last write.
const LONGEST_SILENCE: Duration = Duration::from_millis(ZOOKEEPER_TICK_MS * 8 / 5);

/// Why a request through one server has no good answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no session to send it through.
    NotSent(Error),
    /// It was sent.
    Sent(Error),
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> CallError {
        match failure {
            Failure::NotSent(error) => CallError::NotAsked(format!("no session: {error}")),
            Failure::Sent(error) => call_error(error),
        }
    }
}

pub(super) struct Sessions {
    /// `address:port`; there is at least one.
    servers: Vec<String>,
    timeout: Duration,
    /// The sessions through one server alone, made when first used.
    through: RefCell<Vec<Option<Client>>>,
}

impl Sessions {
    pub fn new(config: &ClientConfig) -> Sessions {
        Sessions {
            servers: config.servers.clone(),
            timeout: Duration::from_millis(config.plan.lease_ttl_ms),
            through: RefCell::new(vec![None; config.servers.len()]),
        }
    }

    /// How many servers there are.
    pub fn servers(&self) -> usize {
        self.servers.len()
    }

    fn connector(&self) -> Connector {
        Client::connector()
            .with_session_timeout(self.timeout)
            .with_connection_timeout(LONGEST_SILENCE)
            // What a newer server would answer besides the path of a new node is not needed, so
            // that one protocol serves every version.
            .with_server_version(3, 4, 0)
            // A server that refuses shows at once, not after the time of a session.
            .with_fail_eagerly()
    }

    /// A new session, which each of the servers may serve.
    pub async fn open(&self) -> Result<Client, Error> {
        self.connector().connect(&self.servers.join(",")).await
    }

    /// Sends a request through one server alone.
    pub async fn ask<T>(
        &self,
        server: usize,
        request: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let client = self.through(server % self.servers.len()).await.map_err(Failure::NotSent)?;
        request(&client).await.map_err(Failure::Sent)
    }

    /// The session through one server. One that is not connected at the moment is given up: its
    /// library would keep the request and send it at some later time.
    async fn through(&self, index: usize) -> Result<Client, Error> {
        if let Some(Some(client)) = self.through.borrow().get(index)
            && client.state() == SessionState::SyncConnected
        {
            return Ok(client.clone());
        }
        let server = self.servers.get(index).ok_or(Error::NoHosts)?;
        let client = self.connector().connect(server).await?;
        if let Some(kept) = self.through.borrow_mut().get_mut(index) {
            *kept = Some(client.clone());
        }
        Ok(client)
    }

    /// Whether a node exists, as a quorum knows.
    pub async fn exists(&self, server: usize, path: &str) -> Result<bool, CallError> {
        match self.check(server, path, ANY_VERSION).await {
            Ok(()) => Ok(true),
            Err(Failure::Sent(Error::NoNode)) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Checks in a transaction of its own that a node has a version.
    pub async fn check(&self, server: usize, path: &str, version: i32) -> Result<(), Failure> {
        self.ask(server, async |client| {
            let mut check = client.new_multi_writer();
            check.add_check_version(path, version)?;
            check.commit().await.map(drop).map_err(Error::from)
        })
        .await
    }

    /// Deletes a node; it may be gone already.
    pub async fn delete(&self, server: usize, path: &str) -> Result<(), CallError> {
        let deleted = self.ask(server, async |client| client.delete(path, None).await).await;
        match deleted {
            Ok(()) | Err(Failure::Sent(Error::NoNode)) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Writes a value in a transaction that also checks that another node exists. A refusal has the
    /// place of the one that failed.
    pub async fn write_if_exists(
        &self,
        server: usize,
        guard: &str,
        path: &str,
        data: &[u8],
    ) -> Result<Result<(), Missing>, Failure> {
        use zookeeper_client::MultiWriteError::{OperationFailed, RequestFailed};
        self.ask(server, async |client| {
            let mut writes = client.new_multi_writer();
            writes.add_check_version(guard, ANY_VERSION)?;
            writes.add_set_data(path, data, None)?;
            match writes.commit().await {
                Ok(_) => Ok(Ok(())),
                Err(OperationFailed { index: 0, source: Error::NoNode }) => Ok(Err(Missing::Guard)),
                Err(OperationFailed { source: Error::NoNode, .. }) => Ok(Err(Missing::Value)),
                Err(OperationFailed { source, .. } | RequestFailed { source }) => Err(source),
            }
        })
        .await
    }
}

/// Which node a guarded write did not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Guard,
    Value,
}
