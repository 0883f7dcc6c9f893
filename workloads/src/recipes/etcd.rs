//! etcd: a lease, the native Lock RPC, and a keep-alive loop of the client's own.

use std::cell::RefCell;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error, GetOptions, LockOptions};
use locktest_history::Token;
use tokio::time::Instant;

use super::{CallError, Entry, Grant, Lease, LockRecipe, Renewal};

/// How often a connection on which a lock request waits is tried. etcd hangs up on a client that
/// pings more than once in five seconds (`grpc-keepalive-min-time`), which would turn every longer
/// wait into an unknown outcome.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(6);

const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(1);

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

const GRPC_NOT_FOUND: i32 = 5;

pub(crate) struct EtcdLockRpc {
    endpoints: Vec<String>,
    /// One client an endpoint, made when first used: a client over several endpoints would choose
    /// at random, and the event could not say which server answered.
    clients: RefCell<Vec<Option<Client>>>,
    ttl_s: i64,
}

impl EtcdLockRpc {
    /// A TTL is rounded up to whole seconds, since etcd knows no others.
    pub(crate) fn new(servers: &[String], ttl_ms: u64) -> EtcdLockRpc {
        EtcdLockRpc {
            endpoints: servers.iter().map(|server| format!("http://{server}")).collect(),
            clients: RefCell::new(vec![None; servers.len()]),
            ttl_s: i64::try_from(ttl_ms.div_ceil(1000)).unwrap_or(i64::MAX),
        }
    }

    async fn client(&self, server: usize) -> Result<Client, CallError> {
        let index = server % self.endpoints.len();
        if let Some(client) = &self.clients.borrow()[index] {
            return Ok(client.clone());
        }
        let options = ConnectOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_keep_alive(KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT);
        let client = Client::connect([&self.endpoints[index]], Some(options))
            .await
            .map_err(|error| CallError::NotAsked(error.to_string()))?;
        self.clients.borrow_mut()[index] = Some(client.clone());
        Ok(client)
    }
}

impl LockRecipe for EtcdLockRpc {
    type LeaseId = i64;

    async fn open(&self, server: usize) -> Result<Lease<i64>, CallError> {
        let mut client = self.client(server).await?;
        let granted = client.lease_grant(self.ttl_s, None).await.map_err(unknown)?;
        Ok(Lease { id: granted.id(), ttl_ms: u64::try_from(granted.ttl()).unwrap_or(0) * 1000 })
    }

    async fn lock(
        &self,
        server: usize,
        lease: &i64,
        key: &str,
        _deadline: Instant,
    ) -> Result<Grant, CallError> {
        // The server queues the request; whoever stops waiting cannot know that it is not granted.
        let mut client = self.client(server).await?;
        let options = LockOptions::new().with_lease(*lease);
        let reply = client.lock(key, Some(options)).await.map_err(unknown)?;
        let revision = reply.header().and_then(|header| u64::try_from(header.revision()).ok());
        Ok(Grant {
            entry: reply.key().to_vec(),
            revision,
            waited: Duration::ZERO,
            lease_start: None,
        })
    }

    async fn try_lock(&self, _server: usize, _lease: &i64, _key: &str) -> Result<Grant, CallError> {
        Err(CallError::NotAsked("etcd's Lock RPC always waits".into()))
    }

    async fn renew(&self, server: usize, lease: &i64, _key: &str) -> Result<Renewal, CallError> {
        // A fresh stream for each renewal: its first message is the answer to this very request.
        let mut client = self.client(server).await?;
        match client.lease_keep_alive(*lease).await {
            Ok(_stream) => Ok(Renewal::Renewed),
            Err(Error::LeaseKeepAliveError(text)) if text == "lease not found" => Ok(Renewal::Gone),
            Err(error) => Err(unknown(error)),
        }
    }

    async fn entry(
        &self,
        server: usize,
        _lease: &i64,
        _key: &str,
        grant: &Grant,
    ) -> Result<Entry, CallError> {
        // The state at the reply's own revision proves what the reply said, whatever came after.
        let mut client = self.client(server).await?;
        let options = grant
            .revision
            .and_then(|revision| i64::try_from(revision).ok())
            .map(|revision| GetOptions::new().with_revision(revision));
        let reply = client.get(grant.entry.clone(), options).await.map_err(unknown)?;
        let token = reply
            .kvs()
            .first()
            .and_then(|pair| u64::try_from(pair.create_revision()).ok())
            .map(|major| Token { major, minor: 0 });
        Ok(Entry { ours: token.is_some(), token, at_revision: grant.revision })
    }

    async fn unlock(
        &self,
        server: usize,
        _lease: &i64,
        _key: &str,
        grant: &Grant,
    ) -> Result<(), CallError> {
        let mut client = self.client(server).await?;
        client.unlock(grant.entry.clone()).await.map(drop).map_err(unknown)
    }

    async fn revoke(&self, server: usize, lease: &i64, _key: &str) -> Result<(), CallError> {
        let mut client = self.client(server).await?;
        client.lease_revoke(*lease).await.map(drop).map_err(|error| match error {
            // What was to be ended has ended already.
            Error::GRpcStatus(status) if status.code() as i32 == GRPC_NOT_FOUND => {
                CallError::Refused("the lease does not exist".into())
            }
            error => unknown(error),
        })
    }
}

/// A deadline, a cut connection and a lost leader all leave open whether the request was committed.
fn unknown(error: Error) -> CallError {
    let text = match error {
        Error::GRpcStatus(status) => status.message().to_owned(),
        error => error.to_string(),
    };
    CallError::Unknown(text)
}
