//! Waiting for the deletion of a key, by a watch.

use std::future::pending;
use std::time::Duration;

use etcd_client::{EventType, WatchOptions};
use tokio::time::timeout;

use super::Etcd;

/// A watch on a server that is cut off from the others hears nothing and says nothing: whoever
/// watches looks again after this long.
const LOOK_AGAIN_INTERVAL: Duration = Duration::from_secs(1);

impl Etcd {
    /// Returns when the server says that `key` was deleted after `revision`, or when it is time to
    /// look again. No proof of anything.
    pub(super) async fn deletion_after(&self, server: usize, key: &[u8], revision: u64) {
        let watching = async {
            if self.watch_for_deletion(server, key, revision).await.is_none() {
                pending().await
            }
        };
        let _ = timeout(LOOK_AGAIN_INTERVAL, watching).await;
    }

    /// `None` if the watch came to its end.
    async fn watch_for_deletion(&self, server: usize, key: &[u8], revision: u64) -> Option<()> {
        let start = i64::try_from(revision).ok()?.checked_add(1)?;
        let options = WatchOptions::new().with_start_revision(start);
        let mut client = self.client(server).await.ok()?;
        let mut stream = client.watch(key, Some(options)).await.ok()?;
        loop {
            let message = stream.message().await.ok()??;
            if message.canceled() {
                return None;
            }
            if message.events().iter().any(|event| event.event_type() == EventType::Delete) {
                return Some(());
            }
        }
    }
}
