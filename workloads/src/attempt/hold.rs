//! From the grant of a lock to its end.

use std::future::Future;
use std::io::Write;

use locktest_history::{Detail, Function, HolderPolicy, Outcome};

use super::lease::{LiveLease, Renewed};
use super::{Held, LockClient};
use crate::recipes::{CallError, Entry, LockRecipe};
use crate::recorder::Owner;

/// Why the critical section ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HoldEnd {
    /// The time was over.
    Done,
    /// The client noticed that it no longer holds.
    Lost(String),
    /// The client is to die here, with the lock in its hands.
    Crash,
}

impl<R: LockRecipe, W: Write> LockClient<'_, R, W> {
    /// Drives the critical section, and then gives the lock up, unless the client is to die. If the
    /// client notices that it no longer holds, `section` is dropped.
    pub(crate) async fn hold(
        &self,
        owner: Owner,
        held: &Held<R::LeaseId>,
        renew: bool,
        section: impl Future<Output = HoldEnd>,
    ) -> HoldEnd {
        let renewed = if renew { Renewed::WhileHolding } else { Renewed::Never };
        let section = self.while_leased(owner, &held.live, renewed, section);
        let end = section.await.unwrap_or_else(HoldEnd::Lost);
        match &end {
            HoldEnd::Done => self.release(owner, held).await,
            HoldEnd::Lost(reason) => {
                self.is_known_at(self.recorder.now_ns());
                let reason = Detail::Reason(reason.clone());
                self.recorder.single(owner, Function::Lost, Outcome::Ok, reason);
                self.release_what_may_be_left(owner, &held.live).await;
            }
            HoldEnd::Crash => {}
        }
        end
    }

    /// Reads the lock's entry back: whether it is this owner's, and its fencing token.
    pub async fn validate(
        &self,
        owner: Owner,
        held: &Held<R::LeaseId>,
    ) -> Result<Entry, CallError> {
        let Held { live, grant } = held;
        let key = &self.plan.key_name(owner.key);
        let validate = self.begin(owner, Function::Validate, Detail::None);
        let read = self.recipe.entry(self.server.index(), &live.lease.id, key, grant);
        let result = self.request(owner, self.op_timeout(), read).await;
        let detail = result.clone().map(|entry| Detail::Entry {
            ours: entry.ours,
            token: entry.token,
            at_revision: entry.at_revision,
        });
        self.complete(validate, detail);
        result
    }

    /// Gives the lock up, and then the lease.
    pub async fn release(&self, owner: Owner, held: &Held<R::LeaseId>) {
        let Held { live, grant } = held;
        let key = &self.plan.key_name(owner.key);
        let release = self.begin(owner, Function::Release, Detail::None);
        let unlock = self.recipe.unlock(self.server.index(), &live.lease.id, key, grant);
        let result = self.request(owner, self.op_timeout(), unlock).await;
        let failed = result.is_err();
        self.is_known_at(self.complete(release, result.map(|()| Detail::None)));
        if failed {
            self.rotate();
            self.release_what_may_be_left(owner, live).await;
        } else {
            self.end_lease(owner, live).await;
        }
    }

    /// Ends a lease that holds nothing and waits for nothing, but costs the store memory until it
    /// expires.
    pub(super) async fn end_lease(&self, owner: Owner, live: &LiveLease<R::LeaseId>) {
        let key = &self.plan.key_name(owner.key);
        let revoke = self.recipe.revoke(self.server.index(), &live.lease.id, key);
        let _ = self.request(owner, self.op_timeout(), revoke).await;
    }

    /// Ends the lease of an attempt that may hold or wait without its owner knowing: an orphan
    /// would block the lock until it expires.
    pub(super) async fn release_what_may_be_left(
        &self,
        owner: Owner,
        live: &LiveLease<R::LeaseId>,
    ) {
        let key = &self.plan.key_name(owner.key);
        let release = self.begin(owner, Function::Release, Detail::None);
        let revoke = self.recipe.revoke(self.server.index(), &live.lease.id, key);
        let result = self.request(owner, self.op_timeout(), revoke).await;
        self.complete(release, result.map(|()| Detail::None));
    }

    /// Whether a careful holder finds that its lease's time is over.
    pub(crate) fn is_too_late(&self, held: &Held<R::LeaseId>) -> bool {
        self.plan.holder == HolderPolicy::Careful
            && self.recorder.now_ns() >= held.live.deadline_ns(self.plan.recipe)
    }
}
