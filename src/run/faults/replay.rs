//! The faults of an earlier run, once more: in the same order, on the same targets, at the same times
//! as far as the servers have recovered by then.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use futures_util::stream::{FuturesUnordered, StreamExt};
use locktest_history::{Aim, ClientId, Fault, FixedFault};
use locktest_workloads::fleet::Holder;
use tokio::time::{Instant, sleep_until};

use super::Injection;
use super::aim::LEAST_HOLD;
use super::course::Running;

/// A fault that was aimed by the holder waits this long for the same client to hold a lock.
const HOLDER_PATIENCE: Duration = Duration::from_secs(10);

impl Injection<'_> {
    /// Each begins in its turn, and ends when its time is over. Those overlap that did.
    pub(super) async fn replay(
        &self,
        schedule: &[&FixedFault],
        ready_ns: u64,
        end: Instant,
    ) -> Result<()> {
        let now = Instant::now();
        let passed = Duration::from_nanos(self.clock.now_ns().saturating_sub(ready_ns));
        let ready = now.checked_sub(passed).unwrap_or(now);
        let mut in_force = FuturesUnordered::new();
        // When those in force had ended in the earlier run, by their numbers in the schedule.
        let mut ends = BTreeMap::new();
        for (index, fixed) in schedule.iter().enumerate() {
            let at = ready + Duration::from_millis(fixed.at_ms);
            let mut begin = pin!(async {
                if !self.wait_for(end, sleep_until(at)).await {
                    return Ok(None);
                }
                self.begin_again(fixed, end).await
            });
            let begun = loop {
                let is_early = ends.values().any(|end_ms| *end_ms <= fixed.at_ms);
                tokio::select! {
                    begun = &mut begin, if !is_early => break begun?,
                    Some(ended) = in_force.next() => {
                        ends.remove(&ended?);
                    }
                }
            };
            match begun {
                Some(running) => {
                    ends.insert(index, fixed.at_ms.saturating_add(fixed.fault.length_ms));
                    in_force
                        .push(async move { self.see_through(running, end).await.map(|()| index) });
                }
                None if self.stop.is_requested() || self.progress.is_stuck() => break,
                None if Instant::now() >= end => {
                    self.terminal.warning(format_args!(
                        "{} faults of the earlier run found no time",
                        schedule.len() - index
                    ));
                    break;
                }
                None => {}
            }
        }
        while let Some(ended) = in_force.next().await {
            ended?;
        }
        Ok(())
    }

    async fn begin_again(&self, fixed: &FixedFault, end: Instant) -> Result<Option<Running>> {
        let FixedFault { fault, .. } = fixed;
        let nothing_in_force = self.progress.done().in_force.is_empty();
        let silent = if nothing_in_force { self.recovered(end).await } else { None };
        if let Some(reason) = silent.or_else(|| self.exceeds_limit(fault)) {
            self.skip(fault.kind, &fault.aim, reason).await?;
            return Ok(None);
        }
        // Whoever took the place of a client in the earlier run may have another number now.
        let here = self.clients();
        let living =
            |client: ClientId| here.get(self.place_of(client) as usize).copied().unwrap_or(client);
        let mut fault = Fault {
            clients: fault.clients.iter().map(|client| living(*client)).collect(),
            holder: fault.holder.map(living),
            ..fault.clone()
        };
        if let Some(holder) = fault.holder {
            // If it does not hold in time, the fault comes all the same: it is the same fault.
            let is_it = |client| client == holder;
            match fault.aim {
                Aim::BareMajority => {
                    self.holder_since_cut(&fault, HOLDER_PATIENCE, end, is_it).await;
                }
                _ => {
                    let suits = |other: &Holder| is_it(other.client);
                    self.holder(HOLDER_PATIENCE, end, LEAST_HOLD, suits).await;
                }
            }
        }
        if self.stop.is_requested() || self.progress.is_stuck() || Instant::now() >= end {
            return Ok(None);
        }
        fault.clients.sort_unstable();
        self.begin(fault).await
    }
}
