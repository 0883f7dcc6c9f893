//! `lock-rpc`: etcd's native Lock RPC. The server makes the client's key, and answers once no older
//! one is left.

use std::time::Duration;

use etcd_client::{GetOptions, LockOptions};
use locktest_history::Token;

use super::{Etcd, call_error, revision};
use crate::recipes::{CallError, Entry, Grant};

impl Etcd {
    pub(super) async fn request_lock(
        &self,
        server: usize,
        lease: i64,
        key: &str,
    ) -> Result<Grant, CallError> {
        // The server queues the request; whoever stops waiting cannot know that it is not granted.
        let mut client = self.client(server).await?;
        let options = LockOptions::new().with_lease(lease);
        let reply = client.lock(key, Some(options)).await.map_err(call_error)?;
        Ok(Grant {
            entry: reply.key().to_vec(),
            revision: revision(reply.header()).ok(),
            waited: Duration::ZERO,
            lease_start: None,
        })
    }

    /// The state at the reply's own revision proves what the reply said, whatever came after.
    pub(super) async fn entry_at_reply(
        &self,
        server: usize,
        grant: &Grant,
    ) -> Result<Entry, CallError> {
        let mut client = self.client(server).await?;
        let options = grant
            .revision
            .and_then(|revision| i64::try_from(revision).ok())
            .map(|revision| GetOptions::new().with_revision(revision));
        let reply = client.get(grant.entry.clone(), options).await.map_err(call_error)?;
        let token = reply
            .kvs()
            .first()
            .and_then(|pair| u64::try_from(pair.create_revision()).ok())
            .map(|major| Token { major, minor: 0 });
        Ok(Entry { ours: token.is_some(), token, at_revision: grant.revision })
    }

    pub(super) async fn request_unlock(
        &self,
        server: usize,
        grant: &Grant,
    ) -> Result<(), CallError> {
        let mut client = self.client(server).await?;
        client.unlock(grant.entry.clone()).await.map(drop).map_err(call_error)
    }
}
