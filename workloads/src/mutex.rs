//! The workload `mutex`: acquire, hold for a random time, release; again and again.
//!
//! Inside the critical section the owner reads both copies of the protected resource, holds, and
//! writes both. Every choice comes from the client's seed.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::future::Future;
use std::io::Write;
use std::time::Duration;

use locktest_history::{
    Detail, Function, HolderPolicy, KeyId, NodeId, Outcome, Plan, Resource, Token,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep};

use crate::control::Control;
use crate::recipes::{CallError, Entry, Grant, Lease, LockRecipe, Renewal, bounded};
use crate::recorder::{Open, Owner, Recorder};

/// A pause after an attempt that was not granted, so that a store that answers errors at once is
/// not flooded.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// A pause before a renewal is tried again at another server.
const PAUSE_BEFORE_RENEWING_AGAIN: Duration = Duration::from_millis(50);

/// One client's loop over a recipe.
pub struct MutexClient<'a, R, W> {
    recipe: R,
    plan: &'a Plan,
    recorder: &'a Recorder<W>,
    control: &'a Control,
    /// The server that is spoken to; the next one after each failure.
    server: Cell<usize>,
    /// When it means to begin its next acquire: once its user knows how the last attempt ended. What
    /// is then left to do at the store is no wish of the user's. Unknown before the first.
    intended_start_ns: Cell<Option<u64>>,
}

/// A lock that was granted, and the lease that it rests on.
pub struct Held<Id> {
    live: LiveLease<Id>,
    grant: Grant,
}

/// How one hold is to be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HoldPlan {
    length: Duration,
    renew: bool,
}

/// A lease and when the request was sent that last extended it.
struct LiveLease<Id> {
    lease: Lease<Id>,
    start_ns: Cell<u64>,
}

impl<Id> LiveLease<Id> {
    fn detail(&self, revision: Option<u64>, session_ns: u64, wait_ns: u64) -> Detail {
        Detail::Lease {
            lease_start_ns: self.start_ns.get(),
            lease_ttl_ms: self.lease.ttl_ms,
            revision,
            session_ns,
            wait_ns,
        }
    }

    fn deadline_ns(&self) -> u64 {
        self.start_ns.get() + self.lease.ttl_ms * 1_000_000
    }
}

/// What the lease is renewed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum During {
    /// A lock that is waited for, at one server. That server alone is asked to renew: were the lease
    /// kept alive through others, a waiter whose own server was cut off would be granted a lock that
    /// it cannot hear of, and block everybody until it gives up.
    Wait,
    /// A lock that is held. Any server may renew.
    Hold,
}

/// Why the critical section ended.
enum HoldEnd {
    /// The time was over.
    Done,
    /// The client noticed that it no longer holds.
    Lost(String),
}

impl<'a, R: LockRecipe, W: Write> MutexClient<'a, R, W> {
    /// The client that `recorder` records. It starts at the server of its own number.
    pub fn new(
        recipe: R,
        plan: &'a Plan,
        recorder: &'a Recorder<W>,
        control: &'a Control,
    ) -> MutexClient<'a, R, W> {
        let server = recorder.client().0 as usize % plan.nodes.len().max(1);
        MutexClient {
            recipe,
            plan,
            recorder,
            control,
            server: Cell::new(server),
            intended_start_ns: Cell::new(None),
        }
    }

    /// Runs until the control node says stop, or goes away.
    pub(crate) async fn run(&self, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut attempt = 0;
        while !self.is_over() {
            attempt += 1;
            let key = KeyId(rng.random_range(0..self.plan.keys.len()) as u32);
            let hold = plan_hold(&mut rng, self.plan);
            if !self.attempt(Owner { attempt, key }, hold).await && !self.is_over() {
                self.rotate();
                sleep(PAUSE_AFTER_FAILURE).await;
                let pause_ns = PAUSE_AFTER_FAILURE.as_nanos() as u64;
                self.intended_start_ns.update(|over_ns| over_ns.map(|ns| ns + pause_ns));
            }
        }
    }

    fn is_over(&self) -> bool {
        self.control.is_stopping() || self.recorder.is_closed()
    }

    fn rotate(&self) {
        self.server.set((self.server.get() + 1) % self.plan.nodes.len().max(1));
    }

    fn node(&self) -> Option<NodeId> {
        u16::try_from(self.server.get()).ok().map(NodeId)
    }

    fn op_timeout(&self) -> Duration {
        Duration::from_millis(self.plan.op_timeout_ms)
    }

    /// One acquire, and all that follows from it. Tells whether the lock was granted.
    async fn attempt(&self, owner: Owner, hold: HoldPlan) -> bool {
        let Some(held) = self.acquire(owner).await else { return false };
        self.hold(owner, &held, hold).await;
        true
    }

    /// One acquire, from its invoke to its completion. If the lock was not granted, what the
    /// attempt may have left is released.
    pub async fn acquire(&self, owner: Owner) -> Option<Held<R::LeaseId>> {
        let key = &self.plan.key_name(owner.key);
        let intended = self.intended_start_ns.take();
        let detail = intended.map_or(Detail::None, |start_ns| Detail::Intended { start_ns });
        let acquire = self.recorder.invoke(owner, Function::Acquire, self.node(), detail);
        let give_up = Instant::now() + Duration::from_millis(self.plan.acquire_timeout_ms);

        let start_ns = self.recorder.now_ns();
        let opened = bounded(self.op_timeout(), self.recipe.open(self.server.get())).await;
        let live = match opened {
            Ok(lease) => LiveLease { lease, start_ns: Cell::new(start_ns) },
            Err(error) => {
                // The lock itself was never asked for. A lease that may have been made holds
                // nothing, and expires.
                let reason = Detail::NotAsked(format!("no lease: {error}"));
                let over_ns = self.recorder.complete(acquire, Outcome::Fail, self.node(), reason);
                self.intended_start_ns.set(Some(over_ns));
                return None;
            }
        };
        let session_ns = self.recorder.now_ns() - start_ns;

        let asking = bounded(
            give_up.saturating_duration_since(Instant::now()),
            self.recipe.lock(self.server.get(), &live.lease.id, key, give_up),
        );
        let answer = if self.plan.renew_while_waiting {
            self.control.until_stop(self.with_renewals(owner, &live, During::Wait, asking)).await
        } else {
            self.control.until_stop(async { Ok(asking.await) }).await
        };
        let failure = match answer {
            Some(Ok(Ok(grant))) => {
                let wait_ns = grant.waited.as_nanos() as u64;
                let detail = live.detail(grant.revision, session_ns, wait_ns);
                self.recorder.complete(acquire, Outcome::Ok, self.node(), detail);
                return Some(Held { live, grant });
            }
            Some(Ok(Err(error))) => error,
            Some(Err(lost)) => CallError::Unknown(format!("gave up waiting: {lost}")),
            None => CallError::Unknown("gave up waiting: the run is over".into()),
        };
        let (outcome, reason) = outcome_of(&failure);
        let over_ns = self.recorder.complete(acquire, outcome, self.node(), reason);
        self.intended_start_ns.set(Some(over_ns));
        self.release_what_may_be_left(owner, &live).await;
        None
    }

    async fn hold(&self, owner: Owner, held: &Held<R::LeaseId>, hold: HoldPlan) {
        let live = &held.live;
        let section = self.critical_section(owner, held, hold);
        let end = if hold.renew {
            match self.with_renewals(owner, live, During::Hold, section).await {
                Ok(end) => end,
                Err(lost) => HoldEnd::Lost(lost),
            }
        } else {
            section.await
        };
        if let HoldEnd::Lost(reason) = end {
            self.intended_start_ns.set(Some(self.recorder.now_ns()));
            self.recorder.lost(owner, reason);
            self.release_what_may_be_left(owner, live).await;
            return;
        }
        self.release(owner, held).await;
    }

    /// Gives the lock up, and then the lease.
    pub async fn release(&self, owner: Owner, held: &Held<R::LeaseId>) {
        let Held { live, grant } = held;
        let key = &self.plan.key_name(owner.key);
        let release = self.recorder.invoke(owner, Function::Release, self.node(), Detail::None);
        let unlock = self.recipe.unlock(self.server.get(), &live.lease.id, key, grant);
        let result = bounded(self.op_timeout(), unlock).await;
        let failed = result.is_err();
        let over_ns = self.complete(release, result.map(|()| Detail::None));
        self.intended_start_ns.set(Some(over_ns));
        if failed {
            self.rotate();
            self.release_what_may_be_left(owner, live).await;
        } else {
            // The lock is free; the lease that is left over holds nothing, but costs the store
            // memory until it expires.
            let revoke = self.recipe.revoke(self.server.get(), &live.lease.id, key);
            let _ = bounded(self.op_timeout(), revoke).await;
        }
    }

    /// Ends the lease of an attempt that may hold or wait without its owner knowing: an orphan
    /// would block the lock until it expires.
    async fn release_what_may_be_left(&self, owner: Owner, live: &LiveLease<R::LeaseId>) {
        let key = &self.plan.key_name(owner.key);
        let release = self.recorder.invoke(owner, Function::Release, self.node(), Detail::None);
        let revoke = self.recipe.revoke(self.server.get(), &live.lease.id, key);
        let result = bounded(self.op_timeout(), revoke).await;
        self.complete(release, result.map(|()| Detail::None));
    }

    async fn critical_section(
        &self,
        owner: Owner,
        held: &Held<R::LeaseId>,
        hold: HoldPlan,
    ) -> HoldEnd {
        let token = match self.validate(owner, held).await {
            Ok(Entry { ours: true, token, .. }) => token,
            Ok(_) => return HoldEnd::Lost("the lock's entry is not ours".into()),
            // Without a token the fenced copy is left alone.
            Err(_) => None,
        };
        let Some(unfenced) = self.read(owner, Resource::Unfenced, token).await else {
            return HoldEnd::Done;
        };
        let fenced = match token {
            Some(_) => self.read(owner, Resource::Fenced, token).await,
            None => None,
        };
        self.control.until_stop(sleep(hold.length)).await;
        let copies = [(Resource::Unfenced, Some(unfenced)), (Resource::Fenced, fenced)];
        for (resource, value) in copies {
            let Some(value) = value else { continue };
            if self.plan.holder == HolderPolicy::Careful
                && self.recorder.now_ns() >= held.live.deadline_ns()
            {
                return HoldEnd::Lost("the lease's deadline has passed".into());
            }
            self.access(owner, Function::Write, resource, token, value).await;
        }
        HoldEnd::Done
    }

    /// Reads the lock's entry back: whether it is this owner's, and its fencing token.
    pub async fn validate(
        &self,
        owner: Owner,
        held: &Held<R::LeaseId>,
    ) -> Result<Entry, CallError> {
        let Held { live, grant } = held;
        let key = &self.plan.key_name(owner.key);
        let validate = self.recorder.invoke(owner, Function::Validate, self.node(), Detail::None);
        let read = self.recipe.entry(self.server.get(), &live.lease.id, key, grant);
        let result = bounded(self.op_timeout(), read).await;
        let detail = result.clone().map(|entry| Detail::Entry {
            ours: entry.ours,
            token: entry.token,
            at_revision: entry.at_revision,
        });
        self.complete(validate, detail);
        result
    }

    /// The value that was read; `None` if the read was refused or the control node is gone.
    async fn read(&self, owner: Owner, resource: Resource, token: Option<Token>) -> Option<u64> {
        let (accepted, value) = self.access(owner, Function::Read, resource, token, 0).await?;
        accepted.then_some(value)
    }

    /// The invoke is the request; the control node records the completion.
    async fn access(
        &self,
        owner: Owner,
        function: Function,
        resource: Resource,
        token: Option<Token>,
        value: u64,
    ) -> Option<(bool, u64)> {
        let detail = Detail::Access { resource, token, value };
        let open = self.recorder.invoke(owner, function, None, detail);
        self.control.answer(open.op).await
    }

    /// Drives `work` while the lease is renewed every third of its time. The error is the notice
    /// that the lease is gone; `work` is then dropped.
    async fn with_renewals<T>(
        &self,
        owner: Owner,
        live: &LiveLease<R::LeaseId>,
        during: During,
        work: impl Future<Output = T>,
    ) -> Result<T, String> {
        let under_way = Cell::new(None);
        let result = tokio::select! {
            biased;
            result = work => Ok(result),
            lost = self.renew_until_lost(owner, live, during, &under_way) => Err(lost),
        };
        if let Some(renewal) = under_way.take() {
            let reason = Detail::Reason("given up: there is nothing left to renew".into());
            self.recorder.complete(renewal, Outcome::Info, None, reason);
        }
        result
    }

    /// Keeps a renewal that was sent and not answered in `under_way`.
    async fn renew_until_lost(
        &self,
        owner: Owner,
        live: &LiveLease<R::LeaseId>,
        during: During,
        under_way: &Cell<Option<Open>>,
    ) -> String {
        let key = &self.plan.key_name(owner.key);
        let interval = Duration::from_millis((live.lease.ttl_ms / 3).max(1));
        let limit = self.op_timeout().min(interval);
        let mut server = self.server.get();
        let mut pause = interval;
        loop {
            sleep(pause).await;
            let node = u16::try_from(server).ok().map(NodeId);
            let renewal = self.recorder.invoke(owner, Function::Renew, node, Detail::None);
            let start_ns = renewal.invoke_ns;
            under_way.set(Some(renewal));
            let answer = bounded(limit, self.recipe.renew(server, &live.lease.id, key)).await;
            let Some(renewal) = under_way.take() else { continue };
            match answer {
                Ok(Renewal::Renewed) => {
                    live.start_ns.set(start_ns);
                    self.recorder.complete(renewal, Outcome::Ok, node, live.detail(None, 0, 0));
                    pause = interval;
                }
                Ok(Renewal::Gone) => {
                    let reason = "the store says that the lease is gone".to_owned();
                    let detail = Detail::Reason(reason.clone());
                    self.recorder.complete(renewal, Outcome::Fail, node, detail);
                    return reason;
                }
                Err(error) => {
                    // Never `fail`: that is the store's word that the lease is gone.
                    let detail = Detail::Reason(error.to_string());
                    self.recorder.complete(renewal, Outcome::Info, node, detail);
                    pause = PAUSE_BEFORE_RENEWING_AGAIN;
                    match during {
                        During::Hold => server = (server + 1) % self.plan.nodes.len().max(1),
                        During::Wait if self.recorder.now_ns() < live.deadline_ns() => {}
                        During::Wait => return "the lease could not be renewed in time".into(),
                    }
                }
            }
        }
    }

    /// Tells when the operation completed.
    fn complete(&self, open: Open, result: Result<Detail, CallError>) -> u64 {
        match result {
            Ok(detail) => self.recorder.complete(open, Outcome::Ok, self.node(), detail),
            Err(error) => {
                let (outcome, reason) = outcome_of(&error);
                self.recorder.complete(open, outcome, self.node(), reason)
            }
        }
    }
}

fn outcome_of(error: &CallError) -> (Outcome, Detail) {
    match error {
        CallError::Refused(reason) => (Outcome::Fail, Detail::Reason(reason.clone())),
        CallError::NotAsked(reason) => (Outcome::Fail, Detail::NotAsked(reason.clone())),
        CallError::Unknown(reason) => (Outcome::Info, Detail::Reason(reason.clone())),
    }
}

/// One hold in five is long, 0.5 to 0.9 of the lease; the others are around `hold_ms`. When
/// overruns are asked for, another one in five outlives its lease without renewal.
fn plan_hold(rng: &mut ChaCha8Rng, plan: &Plan) -> HoldPlan {
    let ttl_ms = plan.lease_ttl_ms as f64;
    let kind = rng.random_range(0..5);
    let length_ms = match kind {
        0 => rng.random_range(0.5..0.9) * ttl_ms,
        1 if plan.overrun => rng.random_range(1.2..1.8) * ttl_ms,
        _ => rng.random_range(0.0..2.0) * plan.hold_ms as f64,
    };
    HoldPlan {
        length: Duration::from_secs_f64(length_ms / 1000.0),
        renew: !(plan.overrun && kind == 1),
    }
}
