//! Finding out whom a fault is aimed at: who leads, and who holds the lock.

use std::time::Duration;

use locktest_history::{ClientId, DrawnFault, Fault};
use locktest_nemesis::{Resolved, Situation, needs_holder, needs_leader, resolve};
use locktest_workloads::fleet::Holder;
use tokio::time::{Instant, timeout};

use super::Injection;

/// A client is a holder worth aiming at if it plans to hold for this much longer.
pub(super) const LEAST_HOLD: Duration = Duration::from_millis(300);

impl Injection<'_> {
    /// Makes the choices that could not be made before; the error tells who is not there.
    pub(super) async fn aim(&self, drawn: &DrawnFault, end: Instant) -> Result<Resolved, String> {
        let leader = match (needs_leader(drawn), self.cluster) {
            (true, Some(cluster)) => cluster.leader().await,
            _ => None,
        };
        let holder = match needs_holder(drawn) {
            true => {
                let patience = Duration::from_millis(self.plan.nemesis_interval_ms);
                self.holder(patience, end, LEAST_HOLD, |_| true).await
            }
            false => None,
        };
        let situation = Situation {
            leader,
            holder: holder.map(|holder| (holder.client, holder.server)),
            clients: self.clients(),
        };
        let resolved = resolve(drawn, &situation, self.plan.lease_ttl_ms)
            .map_err(|error| error.to_string())?;
        let faults = std::iter::once(&resolved.fault).chain(&resolved.then);
        match faults.filter_map(|fault| self.exceeds_limit(fault)).next() {
            Some(reason) => Err(reason),
            None => Ok(resolved),
        }
    }

    /// Waits for a holder who plans to hold for `left` more, and whom `suits` takes.
    pub(super) async fn holder(
        &self,
        patience: Duration,
        end: Instant,
        left: Duration,
        suits: impl Fn(&Holder) -> bool,
    ) -> Option<Holder> {
        let mut holders = self.fleet.holders();
        let mut found = None;
        let search = async {
            loop {
                // Every grant of a long hold wakes this; what is left of one only grows less.
                let now_ns = self.clock.now_ns();
                let left_ns = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
                let best = (holders.borrow_and_update().iter())
                    .filter(|holder| holder.until_ns >= now_ns.saturating_add(left_ns))
                    .filter(|holder| suits(holder))
                    .max_by_key(|holder| holder.until_ns)
                    .cloned();
                if best.is_some() {
                    found = best;
                    return;
                }
                if holders.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        self.wait_for(end, async { drop(timeout(patience, search).await) }).await;
        found
    }

    /// The living client of each place. While one is being replaced, the first that ran there
    /// stands for its place, which can be cut off, but not paused or killed.
    pub(super) fn clients(&self) -> Vec<ClientId> {
        let places = u32::try_from(self.plan.client_seeds.len()).unwrap_or(u32::MAX);
        let mut clients: Vec<ClientId> = (0..places).map(ClientId).collect();
        for process in self.fleet.processes() {
            if let Some(client) = clients.get_mut(self.place_of(process.client) as usize) {
                *client = process.client;
            }
        }
        clients
    }

    /// Where a client runs: a client that took the place of another is where that one was.
    pub(super) fn place_of(&self, client: ClientId) -> u32 {
        client.0 % u32::try_from(self.plan.client_seeds.len()).unwrap_or(u32::MAX).max(1)
    }

    /// Waits, as long as `patience` lets it, for a client that is cut off to be granted a lock in
    /// spite of it, and to plan to hold it long enough for `forget` to be undone meanwhile.
    pub(super) async fn holder_since_cut(
        &self,
        forget: &Fault,
        patience: Duration,
        end: Instant,
        is_cut_off: impl Fn(ClientId) -> bool,
    ) -> Option<Holder> {
        let before = self.progress.done().holders_before.clone();
        let is_new = |holder: &Holder| {
            let same =
                |other: &Holder| (other.client, other.attempt) == (holder.client, holder.attempt);
            !before.iter().any(same)
        };
        let left = LEAST_HOLD + Duration::from_millis(forget.length_ms);
        let suits = |holder: &Holder| is_cut_off(holder.client) && is_new(holder);
        self.holder(patience, end, left, suits).await
    }
}
