//! etcd: a lease with a keep-alive loop of the client's own, and three ways to make a lock of it.

mod cas_ttl;
mod deletion;
mod election_key;
mod lock_rpc;
mod values;

use std::cell::RefCell;
use std::error::Error as _;
use std::io;
use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, Error, PutOptions, ResponseHeader, Txn, TxnOp,
    TxnOpResponse, TxnResponse,
};
use locktest_history::{CasWait, ReadMode, Recipe, Token};
use tokio::time::Instant;

use super::{CallError, Entry, Grant, Lease, LockRecipe, Renewal, bounded};
use crate::protocol::ClientConfig;

/// How often a connection on which a lock request waits is tried. etcd hangs up on a client that
/// pings more than once in five seconds (`grpc-keepalive-min-time`), which would turn every longer
/// wait into an unknown outcome.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(6);

const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(1);

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

const GRPC_NOT_FOUND: i32 = 5;

/// etcd as a lock, by the recipe of the plan, and as a store of values.
pub struct Etcd {
    locking: Locking,
    endpoints: Vec<String>,
    /// One client an endpoint, made when first used: a client over several endpoints would choose
    /// at random, and the event could not say which server answered.
    clients: RefCell<Vec<Option<Client>>>,
    ttl_s: i64,
    /// The limit of each request that does not wait for the lock.
    op_timeout: Duration,
    read_mode: ReadMode,
}

/// The recipes of etcd.
#[derive(Clone, Copy, Debug)]
enum Locking {
    LockRpc,
    CasTtl(CasWait),
    ElectionKey,
}

impl Etcd {
    /// A client by the plan's recipe. A TTL is rounded up to whole seconds, since etcd knows no
    /// others.
    pub fn new(config: &ClientConfig) -> Result<Etcd, CallError> {
        let plan = &config.plan;
        let locking = match plan.recipe {
            Recipe::LockRpc => Locking::LockRpc,
            Recipe::CasTtl => Locking::CasTtl(plan.cas_wait.unwrap_or(CasWait::Watch)),
            Recipe::ElectionKey => Locking::ElectionKey,
            other => return Err(CallError::NotAsked(format!("etcd has no recipe '{other}'"))),
        };
        if config.servers.is_empty() {
            return Err(CallError::NotAsked("no server was named".into()));
        }
        Ok(Etcd {
            locking,
            endpoints: config.servers.iter().map(|server| format!("http://{server}")).collect(),
            clients: RefCell::new(vec![None; config.servers.len()]),
            ttl_s: i64::try_from(plan.lease_ttl_ms.div_ceil(1000)).unwrap_or(i64::MAX),
            op_timeout: Duration::from_millis(plan.op_timeout_ms),
            read_mode: plan.read_mode,
        })
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

    /// Sends a transaction, within the limit of every request.
    async fn commit(&self, server: usize, txn: Txn) -> Result<TxnResponse, CallError> {
        let mut client = self.client(server).await?;
        let reply = async {
            client.txn(txn).await.map_err(|error| match error {
                // What would have been put under it was not, and nothing else was done.
                error if is_not_found(&error) => {
                    CallError::NotAsked("the lease does not exist".into())
                }
                error => call_error(error),
            })
        };
        bounded(self.op_timeout, reply).await
    }

    /// The lock is this grant's as long as this is true. The keys of `lock-rpc` and `election-key`
    /// are named after the lease: whoever finds one has found his own.
    fn is_held(&self, grant: &Grant) -> Compare {
        let entry = grant.entry.clone();
        match self.locking {
            Locking::LockRpc | Locking::ElectionKey => {
                Compare::create_revision(entry, CompareOp::Greater, 0)
            }
            Locking::CasTtl(_) => {
                let created = grant.revision.and_then(|revision| i64::try_from(revision).ok());
                Compare::create_revision(entry, CompareOp::Equal, created.unwrap_or(i64::MAX))
            }
        }
    }

    /// Reads the present entry, through the leader: the grant itself has already said what there was
    /// at its own revision.
    async fn present_entry(&self, server: usize, grant: &Grant) -> Result<Entry, CallError> {
        let read = TxnOp::get(grant.entry.clone(), None);
        let txn = Txn::new().when([self.is_held(grant)]).and_then([read]);
        let reply = self.commit(server, txn).await?;
        let found = found_keys(&reply).into_iter().next().and_then(|keys| keys.into_iter().next());
        let token = match found {
            Some(key) => Some(Token { major: key.created, minor: 0 }),
            None if reply.succeeded() => {
                return Err(CallError::Unknown("the answer lacks the entry".into()));
            }
            None => None,
        };
        Ok(Entry { ours: token.is_some(), token, at_revision: None })
    }

    /// What it means that a renewal found no lease.
    ///
    /// A leader that has not yet applied everything that is committed, such as one elected just now,
    /// does not find a lease that exists (etcd issue 13675). A put under the lease is judged in its
    /// place among all that is committed.
    async fn renewal_without_lease(
        &self,
        mut client: Client,
        lease: i64,
    ) -> Result<Renewal, CallError> {
        let options = PutOptions::new().with_lease(lease);
        match client.put(format!("leases/{lease:x}"), "", Some(options)).await {
            Err(error) if is_not_found(&error) => Ok(Renewal::Gone),
            Err(error) => Err(call_error(error)),
            Ok(_) => {
                Err(CallError::Unknown("a renewal did not find the lease, yet it is there".into()))
            }
        }
    }

    /// Deletes the entry if it is still the grant's.
    async fn delete_if_held(&self, server: usize, grant: &Grant) -> Result<(), CallError> {
        let delete = TxnOp::delete(grant.entry.clone(), None);
        let txn = Txn::new().when([self.is_held(grant)]).and_then([delete]);
        match self.commit(server, txn).await?.succeeded() {
            true => Ok(()),
            false => Err(CallError::Refused("the lock's key is not this owner's".into())),
        }
    }
}

impl LockRecipe for Etcd {
    type LeaseId = i64;

    async fn open(&self, server: usize) -> Result<Lease<i64>, CallError> {
        let mut client = self.client(server).await?;
        let granted = client.lease_grant(self.ttl_s, None).await.map_err(call_error)?;
        Ok(Lease { id: granted.id(), ttl_ms: u64::try_from(granted.ttl()).unwrap_or(0) * 1000 })
    }

    async fn lock(
        &self,
        server: usize,
        lease: &i64,
        key: &str,
        deadline: Instant,
    ) -> Result<Grant, CallError> {
        match self.locking {
            Locking::LockRpc => self.request_lock(server, *lease, key).await,
            Locking::CasTtl(wait) => self.put_and_wait(server, *lease, key, wait, deadline).await,
            Locking::ElectionKey => self.queue_and_wait(server, *lease, key).await,
        }
    }

    async fn try_lock(&self, server: usize, lease: &i64, key: &str) -> Result<Grant, CallError> {
        match self.locking {
            Locking::LockRpc => Err(CallError::NotAsked("etcd's Lock RPC always waits".into())),
            Locking::CasTtl(_) => self.put_once(server, *lease, key).await,
            Locking::ElectionKey => self.queue_or_leave(server, *lease, key).await,
        }
    }

    async fn renew(&self, server: usize, lease: &i64, _key: &str) -> Result<Renewal, CallError> {
        // A fresh stream for each renewal: its first message is the answer to this very request.
        let mut client = self.client(server).await?;
        match client.lease_keep_alive(*lease).await {
            Ok(_stream) => Ok(Renewal::Renewed),
            Err(Error::LeaseKeepAliveError(text)) if text == "lease not found" => {
                self.renewal_without_lease(client, *lease).await
            }
            Err(error) => Err(call_error(error)),
        }
    }

    async fn entry(
        &self,
        server: usize,
        _lease: &i64,
        _key: &str,
        grant: &Grant,
    ) -> Result<Entry, CallError> {
        match self.locking {
            Locking::LockRpc => self.entry_at_reply(server, grant).await,
            Locking::CasTtl(_) | Locking::ElectionKey => self.present_entry(server, grant).await,
        }
    }

    async fn unlock(
        &self,
        server: usize,
        _lease: &i64,
        _key: &str,
        grant: &Grant,
    ) -> Result<(), CallError> {
        match self.locking {
            Locking::LockRpc => self.request_unlock(server, grant).await,
            Locking::CasTtl(_) | Locking::ElectionKey => self.delete_if_held(server, grant).await,
        }
    }

    async fn revoke(&self, server: usize, lease: &i64, _key: &str) -> Result<(), CallError> {
        // etcd carries out no put under a lease that it does not have: what was sent before and
        // comes later does nothing.
        let mut client = self.client(server).await?;
        client.lease_revoke(*lease).await.map(drop).map_err(|error| match error {
            // What was to be ended has ended already.
            error if is_not_found(&error) => CallError::Refused("the lease does not exist".into()),
            error => call_error(error),
        })
    }
}

/// A key that a transaction read.
struct FoundKey {
    name: Vec<u8>,
    /// Its create revision.
    created: u64,
}

/// The keys that each read of a transaction found, in the order of the reads.
fn found_keys(reply: &TxnResponse) -> Vec<Vec<FoundKey>> {
    let keys = |response| match response {
        TxnOpResponse::Get(read) => {
            let found = read.kvs().iter().map(|pair| FoundKey {
                name: pair.key().to_vec(),
                created: u64::try_from(pair.create_revision()).unwrap_or(0),
            });
            Some(found.collect())
        }
        _ => None,
    };
    reply.op_responses().into_iter().filter_map(keys).collect()
}

/// The store's revision as of a reply.
fn revision(header: Option<&ResponseHeader>) -> Result<u64, CallError> {
    header
        .and_then(|header| u64::try_from(header.revision()).ok())
        .ok_or_else(|| CallError::Unknown("the answer names no revision".into()))
}

fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if status.code() as i32 == GRPC_NOT_FOUND)
}

/// A server that refuses the connection was not asked. A deadline, a cut connection and a lost leader
/// all leave open whether the request was committed.
fn call_error(error: Error) -> CallError {
    let Error::GRpcStatus(status) = error else { return CallError::Unknown(error.to_string()) };
    let text = status.message().to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        if error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        {
            return CallError::NotAsked(error.to_string());
        }
        cause = error.source();
    }
    CallError::Unknown(text)
}
