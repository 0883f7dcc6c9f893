//! A lease: how far it reaches, and what keeps it alive while something else goes on.

use std::cell::Cell;
use std::future::{Future, pending};
use std::io::Write;
use std::time::Duration;

use locktest_history::{Detail, Function, Outcome, Recipe};
use tokio::time::sleep;

use super::LockClient;
use crate::recipes::{Lease, LockRecipe, Renewal};
use crate::recorder::Owner;

/// A pause before a renewal is tried again at another server.
const PAUSE_BEFORE_RENEWING_AGAIN: Duration = Duration::from_millis(50);

/// A lease and when the request was sent that started or last extended it.
pub(super) struct LiveLease<Id> {
    pub(super) lease: Lease<Id>,
    pub(super) start_ns: Cell<u64>,
}

impl<Id> LiveLease<Id> {
    pub(super) fn new(lease: Lease<Id>, start_ns: u64) -> LiveLease<Id> {
        LiveLease { lease, start_ns: Cell::new(start_ns) }
    }

    pub(super) fn detail(&self, revision: Option<u64>, session_ns: u64, wait_ns: u64) -> Detail {
        Detail::Lease {
            lease_start_ns: self.start_ns.get(),
            lease_ttl_ms: self.lease.ttl_ms,
            revision,
            session_ns,
            wait_ns,
        }
    }

    /// The end of what the service promises.
    pub(super) fn deadline_ns(&self, recipe: Recipe) -> u64 {
        self.start_ns.get().saturating_add(recipe.promised_ns(self.lease.ttl_ms))
    }
}

/// When a lease is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewed {
    Never,
    /// While a lock is waited for, at one server. That server alone is asked to renew: were the lease
    /// kept alive through others, a waiter whose own server was cut off would be granted a lock that
    /// it cannot hear of, and block everybody until it gives up.
    WhileWaiting,
    /// While a lock is held. Any server may renew.
    WhileHolding,
}

impl<R: LockRecipe, W: Write> LockClient<'_, R, W> {
    /// Drives `work` while the lease is renewed every third of its time. The error is the notice
    /// that the lease is gone; `work` is then dropped.
    pub(super) async fn while_leased<T>(
        &self,
        owner: Owner,
        live: &LiveLease<R::LeaseId>,
        renewed: Renewed,
        work: impl Future<Output = T>,
    ) -> Result<T, String> {
        let renewals = async {
            match renewed {
                Renewed::Never => pending().await,
                _ => self.renew_until_lost(owner, live, renewed).await,
            }
        };
        let result = tokio::select! {
            biased;
            result = work => Ok(result),
            lost = renewals => Err(lost),
            lost = self.recipe.lost(&live.lease.id) => Err(lost),
        };
        // Those of a request that was given up.
        self.record_rounds(owner);
        result
    }

    async fn renew_until_lost(
        &self,
        owner: Owner,
        live: &LiveLease<R::LeaseId>,
        renewed: Renewed,
    ) -> String {
        let key = &self.plan.key_name(owner.key);
        let interval = Duration::from_millis((live.lease.ttl_ms / 3).max(1));
        let limit = self.op_timeout().min(interval);
        let mut server = self.server.index();
        let mut pause = interval;
        loop {
            sleep(pause).await;
            let invoked_at = self.node_of(server);
            let renewal = self.recorder.invoke(owner, Function::Renew, invoked_at, Detail::None);
            let renew = self.recipe.renew(server, &live.lease.id, key);
            let answer = self.request(owner, limit, renew).await;
            let node = self.node_of(server);
            match answer {
                Ok(Renewal::Renewed) => {
                    live.start_ns.set(renewal.invoke_ns);
                    renewal.complete(Outcome::Ok, node, live.detail(None, 0, 0));
                    pause = interval;
                }
                Ok(Renewal::Gone) => {
                    let reason = "the store says that the lease is gone".to_owned();
                    renewal.complete(Outcome::Fail, node, Detail::Reason(reason.clone()));
                    return reason;
                }
                Err(error) => {
                    // Never `fail`: that is the store's word that the lease is gone.
                    let reason = Detail::Reason(error.to_string());
                    renewal.complete(Outcome::Info, node, reason);
                    pause = PAUSE_BEFORE_RENEWING_AGAIN;
                    if renewed == Renewed::WhileHolding {
                        server = self.server.after(server);
                    } else if self.recorder.now_ns() >= live.deadline_ns(self.plan.recipe) {
                        return "the lease could not be renewed in time".into();
                    }
                }
            }
        }
    }
}
