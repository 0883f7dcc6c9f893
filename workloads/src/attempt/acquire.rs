//! From the wish for a lock to its grant, or to the end of what was left of the wish.

use std::future::pending;
use std::io::Write;
use std::time::Duration;

use locktest_history::{Detail, Function, Outcome};
use tokio::time::{Instant, sleep};

use super::lease::{LiveLease, Renewed};
use super::{Held, LockClient, outcome_of};
use crate::recipes::{CallError, Grant, LockRecipe, bounded};
use crate::recorder::{Open, Owner};

/// Why a lock was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotGranted {
    /// The store said no.
    Refused,
    /// The client gave up waiting, because it wanted to or because the run is over.
    GivenUp,
    /// Something failed, or nobody knows.
    Failed,
}

impl<'a, R: LockRecipe, W: Write> LockClient<'a, R, W> {
    /// One acquire that waits, from its invoke to its completion; no longer than `patience`, if there
    /// is one. If the lock was not granted, what the attempt may have left is released.
    pub async fn acquire(
        &self,
        owner: Owner,
        patience: Option<Duration>,
    ) -> Result<Held<R::LeaseId>, NotGranted> {
        let acquire = self.begin_acquire(owner, Function::Acquire);
        let give_up = Instant::now() + Duration::from_millis(self.plan.acquire_timeout_ms);
        let (live, session_ns) = match self.open_lease(owner).await {
            Ok(opened) => opened,
            Err(error) => return Err(self.without_lease(acquire, error)),
        };
        let renewed = match self.plan.renew_while_waiting && self.has_lease_before_grant() {
            true => Renewed::WhileWaiting,
            false => Renewed::Never,
        };
        let key = self.plan.key_name(owner.key);
        let asking = bounded(
            give_up.saturating_duration_since(Instant::now()),
            self.recipe.lock(self.server.index(), &live.lease.id, &key, give_up),
        );
        let waiting = self.while_leased(owner, &live, renewed, asking);
        let over_patience = async {
            match patience {
                Some(patience) => sleep(patience).await,
                None => pending().await,
            }
        };
        let unknown =
            |why: String| outcome_of(CallError::Unknown(format!("gave up waiting: {why}")));
        let (why, (outcome, detail)) = tokio::select! {
            biased;
            answer = self.control.until_stop(waiting) => match answer {
                Some(Ok(Ok(grant))) => {
                    return Ok(self.granted(acquire, live, session_ns, grant));
                }
                Some(Ok(Err(error))) => (NotGranted::of(&error), outcome_of(error)),
                Some(Err(lost)) => (NotGranted::Failed, unknown(lost)),
                None => (NotGranted::GivenUp, unknown("the run is over".into())),
            },
            () = over_patience => (NotGranted::GivenUp, (Outcome::Info, Detail::Cancelled)),
        };
        self.record_rounds(owner);
        self.is_known_at(acquire.complete(outcome, self.node(), detail));
        self.release_what_may_be_left(owner, &live).await;
        Err(why)
    }

    /// One acquire that does not wait.
    pub async fn try_acquire(&self, owner: Owner) -> Result<Held<R::LeaseId>, NotGranted> {
        let acquire = self.begin_acquire(owner, Function::TryAcquire);
        let (live, session_ns) = match self.open_lease(owner).await {
            Ok(opened) => opened,
            Err(error) => return Err(self.without_lease(acquire, error)),
        };
        let key = self.plan.key_name(owner.key);
        let asking = self.recipe.try_lock(self.server.index(), &live.lease.id, &key);
        let error = match self.request(owner, self.op_timeout(), asking).await {
            Ok(grant) => return Ok(self.granted(acquire, live, session_ns, grant)),
            Err(error) => error,
        };
        let why = NotGranted::of(&error);
        self.is_known_at(self.complete(acquire, Err(error)));
        match why {
            // A denied try leaves nothing but its lease.
            NotGranted::Refused => self.end_lease(owner, &live).await,
            _ => self.release_what_may_be_left(owner, &live).await,
        }
        Err(why)
    }

    fn begin_acquire(&self, owner: Owner, function: Function) -> Open<'a, W> {
        let intended = self.intended_start_ns.take();
        let detail = intended.map_or(Detail::None, |start_ns| Detail::Intended { start_ns });
        self.begin(owner, function, detail)
    }

    /// A lease, and how long it took to get it in nanoseconds.
    async fn open_lease(&self, owner: Owner) -> Result<(LiveLease<R::LeaseId>, u64), CallError> {
        let start_ns = self.recorder.now_ns();
        let open = self.recipe.open(self.server.index());
        let lease = self.request(owner, self.op_timeout(), open).await?;
        Ok((LiveLease::new(lease, start_ns), self.recorder.now_ns() - start_ns))
    }

    /// The lock itself was never asked for. A lease that may have been made holds nothing, and
    /// expires.
    fn without_lease(&self, acquire: Open<'_, W>, error: CallError) -> NotGranted {
        let reason = Detail::NotAsked(format!("no lease: {error}"));
        self.is_known_at(acquire.complete(Outcome::Fail, self.node(), reason));
        NotGranted::Failed
    }

    fn granted(
        &self,
        acquire: Open<'_, W>,
        live: LiveLease<R::LeaseId>,
        session_ns: u64,
        grant: Grant,
    ) -> Held<R::LeaseId> {
        if let Some(lease_start) = grant.lease_start {
            // Whatever was sent for this acquire was sent after its invoke.
            live.start_ns.set(self.ns_of(lease_start).max(acquire.invoke_ns));
        }
        let wait_ns = grant.waited.as_nanos() as u64;
        let detail = live.detail(grant.revision, session_ns, wait_ns);
        acquire.complete(Outcome::Ok, self.node(), detail);
        Held { live, grant }
    }

    fn has_lease_before_grant(&self) -> bool {
        !self.plan.recipe.lease_begins_with_grant()
    }
}

impl NotGranted {
    fn of(error: &CallError) -> NotGranted {
        match error {
            CallError::Refused(_) => NotGranted::Refused,
            CallError::NotAsked(_) | CallError::Unknown(_) => NotGranted::Failed,
        }
    }
}
