//! `cas-ttl`: a transaction puts the lock's key, under the client's lease, if there is none; whoever
//! is refused waits until it is gone, and tries again.

use std::time::Duration;

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};
use locktest_history::CasWait;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Etcd, call_error, revision};
use crate::recipes::{CallError, Grant, bounded};

/// The pause between two tries of a client that polls.
const POLL_PAUSE: Duration = Duration::from_millis(50);

/// The answer to one try.
struct Tried {
    granted: bool,
    /// The store's revision then: the create revision of a key that was put.
    revision: u64,
}

impl Etcd {
    pub(super) async fn put_and_wait(
        &self,
        server: usize,
        lease: i64,
        key: &str,
        wait: CasWait,
        deadline: Instant,
    ) -> Result<Grant, CallError> {
        let mut refused: Option<Instant> = None;
        loop {
            let tried = match self.put_if_absent(server, lease, key).await {
                // Whoever was refused before has asked and waited, even if nobody hears it now.
                Err(CallError::NotAsked(reason)) if refused.is_some() => {
                    return Err(CallError::Refused(format!("cannot ask again: {reason}")));
                }
                answer => answer?,
            };
            if tried.granted {
                let waited = refused.map_or(Duration::ZERO, |since| since.elapsed());
                return Ok(grant(key, &tried, waited));
            }
            refused.get_or_insert_with(Instant::now);
            let waiting = async {
                match wait {
                    CasWait::Watch => self.wait_until_absent(server, key, tried.revision).await,
                    CasWait::Poll => {
                        sleep(POLL_PAUSE).await;
                        Ok(())
                    }
                }
            };
            // Between two tries nothing is under way that could still be granted.
            timeout_at(deadline, waiting)
                .await
                .unwrap_or_else(|_| Err(CallError::Refused("not granted in time".into())))?;
        }
    }

    pub(super) async fn put_once(
        &self,
        server: usize,
        lease: i64,
        key: &str,
    ) -> Result<Grant, CallError> {
        let tried = self.put_if_absent(server, lease, key).await?;
        match tried.granted {
            true => Ok(grant(key, &tried, Duration::ZERO)),
            false => Err(CallError::Refused("the lock is held".into())),
        }
    }

    async fn put_if_absent(
        &self,
        server: usize,
        lease: i64,
        key: &str,
    ) -> Result<Tried, CallError> {
        let put = TxnOp::put(key, "", Some(PutOptions::new().with_lease(lease)));
        let absent = Compare::create_revision(key, CompareOp::Equal, 0);
        let reply = self.commit(server, Txn::new().when([absent]).and_then([put])).await?;
        Ok(Tried { granted: reply.succeeded(), revision: revision(reply.header())? })
    }

    async fn wait_until_absent(
        &self,
        server: usize,
        key: &str,
        mut seen_at: u64,
    ) -> Result<(), CallError> {
        let cannot_wait = |error: CallError| CallError::Refused(format!("cannot wait: {error}"));
        loop {
            self.deletion_after(server, key.as_bytes(), seen_at).await;
            let mut client = self.client(server).await.map_err(cannot_wait)?;
            let read = async { client.get(key, None).await.map_err(call_error) };
            let reply = bounded(self.op_timeout, read).await.map_err(cannot_wait)?;
            if reply.kvs().is_empty() {
                return Ok(());
            }
            seen_at = revision(reply.header()).map_err(cannot_wait)?;
        }
    }
}

/// The transaction's own revision is that of the key which it put, and the fencing token.
fn grant(key: &str, tried: &Tried, waited: Duration) -> Grant {
    Grant { entry: key.into(), revision: Some(tried.revision), waited, lease_start: None }
}
