//! `election-key`: every client puts a key of its own below the lock's prefix, and the one with the
//! lowest create revision holds. Each waits for the key just before its own.
//!
//! This is the algorithm of etcd's own `concurrency` package. A client whose lease ended while it
//! waited finds no older key either: after each wait its own key has to be there, too, or the lock is
//! nobody's. That check was missing in etcd's Lock RPC (etcd issue 11456); here one transaction reads
//! both, so that the answer holds for a single revision.

use std::time::Duration;

use etcd_client::{
    Compare, CompareOp, GetOptions, PutOptions, SortOrder, SortTarget, Txn, TxnOp, TxnResponse,
};
use tokio::time::Instant;

use super::{Etcd, FoundKey, call_error, found_keys, revision};
use crate::recipes::{CallError, Grant, bounded};

/// A client's own key, once it is there.
struct Place {
    key: Vec<u8>,
    /// Its create revision.
    created: u64,
}

/// What a look at the queue showed.
struct Queue {
    /// The store's revision then.
    revision: u64,
    /// The key that has to go first; `None` if the lock is one's own.
    before: Option<Vec<u8>>,
}

impl Etcd {
    pub(super) async fn queue_and_wait(
        &self,
        server: usize,
        lease: i64,
        key: &str,
    ) -> Result<Grant, CallError> {
        let (place, mut queue) = self.join_queue(server, lease, key).await?;
        let begin = Instant::now();
        let mut waited = Duration::ZERO;
        while let Some(before) = &queue.before {
            self.deletion_after(server, before, queue.revision).await;
            queue = self.look(server, key, &place).await?;
            waited = begin.elapsed();
        }
        Ok(grant(place, &queue, waited))
    }

    pub(super) async fn queue_or_leave(
        &self,
        server: usize,
        lease: i64,
        key: &str,
    ) -> Result<Grant, CallError> {
        let (place, queue) = self.join_queue(server, lease, key).await?;
        if queue.before.is_none() {
            return Ok(grant(place, &queue, Duration::ZERO));
        }
        let leave = async {
            let mut client = self.client(server).await?;
            client.delete(place.key, None).await.map_err(call_error)
        };
        match bounded(self.op_timeout, leave).await {
            Ok(_) => Err(CallError::Refused("the lock is held".into())),
            Err(error) => Err(CallError::Unknown(format!("may be left in the queue: {error}"))),
        }
    }

    /// Puts the own key, if it is not there yet, and reads the oldest in the same transaction.
    async fn join_queue(
        &self,
        server: usize,
        lease: i64,
        key: &str,
    ) -> Result<(Place, Queue), CallError> {
        let own = format!("{}{lease:x}", prefix(key)).into_bytes();
        let oldest = GetOptions::new()
            .with_prefix()
            .with_sort(SortTarget::Create, SortOrder::Ascend)
            .with_limit(1);
        let put = TxnOp::put(own.clone(), "", Some(PutOptions::new().with_lease(lease)));
        let read_own = TxnOp::get(own.clone(), None);
        let read_oldest = TxnOp::get(prefix(key), Some(oldest));
        let txn = Txn::new()
            .when([Compare::create_revision(own.clone(), CompareOp::Equal, 0)])
            .and_then([put, read_own.clone(), read_oldest.clone()])
            .or_else([read_own, read_oldest]);
        let reply = self.commit(server, txn).await?;
        match own_and_other(&reply)? {
            (Some(mine), Some(oldest)) => {
                let queue = Queue {
                    revision: revision(reply.header())?,
                    before: (oldest.created != mine.created).then_some(oldest.name),
                };
                Ok((Place { key: own, created: mine.created }, queue))
            }
            _ => Err(CallError::Unknown("the answer lacks the key that was put".into())),
        }
    }

    /// Reads the own key and the one just before it. Whatever cannot be read, the own key may still
    /// get its turn; only if it is gone will it never.
    async fn look(&self, server: usize, key: &str, place: &Place) -> Result<Queue, CallError> {
        let in_queue = |error| CallError::Unknown(format!("still in the queue: {error}"));
        let earlier = i64::try_from(place.created.saturating_sub(1)).unwrap_or(i64::MAX);
        let previous = GetOptions::new()
            .with_prefix()
            .with_sort(SortTarget::Create, SortOrder::Descend)
            .with_max_create_revision(earlier)
            .with_limit(1);
        let reads = [TxnOp::get(place.key.clone(), None), TxnOp::get(prefix(key), Some(previous))];
        let reply = self.commit(server, Txn::new().and_then(reads)).await.map_err(in_queue)?;
        let (mine, before) = own_and_other(&reply)?;
        if mine.is_none_or(|mine| mine.created != place.created) {
            return Err(CallError::Refused("the client's key went while it waited".into()));
        }
        let revision = revision(reply.header())?;
        Ok(Queue { revision, before: before.map(|before| before.name) })
    }
}

/// Where the keys of a lock's clients are. No lock's name is the beginning of another's prefix.
fn prefix(key: &str) -> String {
    format!("{key}/")
}

/// The answers to two reads of at most one key each.
fn own_and_other(reply: &TxnResponse) -> Result<(Option<FoundKey>, Option<FoundKey>), CallError> {
    let mut reads = found_keys(reply).into_iter().map(|keys| keys.into_iter().next());
    match (reads.next(), reads.next()) {
        (Some(own), Some(other)) => Ok((own, other)),
        _ => Err(CallError::Unknown("the answer lacks what was to be read".into())),
    }
}

fn grant(place: Place, queue: &Queue, waited: Duration) -> Grant {
    Grant { entry: place.key, revision: Some(queue.revision), waited, lease_start: None }
}
