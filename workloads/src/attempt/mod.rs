//! An attempt at a lock: acquire or try it, keep the lease, hold, release.
//!
//! Here is what each step asks of the store, and what of it is stamped and recorded. When which step
//! is taken is the workload's affair.

mod acquire;
mod guarded;
mod hold;
mod lease;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::future::Future;
use std::io::Write;
use std::time::Duration;

use locktest_history::{Detail, Function, NodeId, Outcome, Plan, Round};
use tokio::time::{Instant, sleep};

use crate::control::Control;
use crate::recipes::{CallError, EndedRound, Grant, LockRecipe, bounded};
use crate::recorder::{Open, Owner, Recorder};
use crate::servers::{PreferredServer, node};

pub use acquire::NotGranted;
pub(crate) use hold::HoldEnd;
use lease::LiveLease;

/// The runtime's timers go in steps of a millisecond, and end in the one after.
const TIMER_STEP_NS: u64 = 2_000_000;

/// One client of a lock, whatever it does with it.
pub struct LockClient<'a, R, W> {
    recipe: R,
    plan: &'a Plan,
    recorder: &'a Recorder<W>,
    control: &'a Control,
    server: PreferredServer,
    /// When it means to begin its next acquire: once its user knows how the last attempt ended. What
    /// is then left to do at the store is no wish of the user's. Unknown before the first.
    intended_start_ns: Cell<Option<u64>>,
}

/// A lock that was granted, and the lease that it rests on.
pub struct Held<Id> {
    live: LiveLease<Id>,
    grant: Grant,
}

impl<'a, R: LockRecipe, W: Write> LockClient<'a, R, W> {
    /// The client that `recorder` records. It starts at the server of its own number.
    pub fn new(
        recipe: R,
        plan: &'a Plan,
        recorder: &'a Recorder<W>,
        control: &'a Control,
    ) -> LockClient<'a, R, W> {
        LockClient {
            recipe,
            plan,
            recorder,
            control,
            server: PreferredServer::of(recorder.client(), plan),
            intended_start_ns: Cell::new(None),
        }
    }

    pub(crate) fn plan(&self) -> &'a Plan {
        self.plan
    }

    pub(crate) fn control(&self) -> &'a Control {
        self.control
    }

    pub(crate) fn recorder(&self) -> &'a Recorder<W> {
        self.recorder
    }

    /// Whether the control node has said stop, or is gone.
    pub(crate) fn is_over(&self) -> bool {
        self.control.is_stopping() || self.recorder.is_closed()
    }

    /// Turns to the next server.
    pub(crate) fn rotate(&self) {
        self.server.rotate();
    }

    /// A pause that the client means to make before its next acquire, unless the run is over.
    pub(crate) async fn pause(&self, length: Duration) {
        self.control.until_stop(wait(length)).await;
        let length_ns = length.as_nanos() as u64;
        self.intended_start_ns.update(|over_ns| over_ns.map(|ns| ns + length_ns));
    }

    /// Waits until the instant at which its next acquire is meant to begin, unless the run is over.
    /// A timer that is late by no more than its own step is no delay.
    pub(crate) async fn until(&self, start_ns: u64) {
        let ahead_ns = start_ns.saturating_sub(self.recorder.now_ns());
        if ahead_ns > 0 {
            self.control.until_stop(sleep(Duration::from_nanos(ahead_ns))).await;
        }
        let now_ns = self.recorder.now_ns();
        let is_in_time = ahead_ns > 0 && now_ns.saturating_sub(start_ns) <= TIMER_STEP_NS;
        self.is_known_at(if is_in_time { now_ns } else { start_ns });
    }

    /// The user knows how its attempt ended.
    fn is_known_at(&self, time_ns: u64) {
        self.intended_start_ns.set(Some(time_ns));
    }

    /// The node that a request to the preferred server goes to.
    fn node(&self) -> Option<NodeId> {
        self.node_of(self.server.index())
    }

    fn node_of(&self, server: usize) -> Option<NodeId> {
        self.recipe.server_of(server).and_then(node)
    }

    fn op_timeout(&self) -> Duration {
        Duration::from_millis(self.plan.op_timeout_ms)
    }

    fn begin(&self, owner: Owner, function: Function, detail: Detail) -> Open<'a, W> {
        self.recorder.invoke(owner, function, self.node(), detail)
    }

    /// Tells when the operation completed.
    fn complete(&self, open: Open<'_, W>, result: Result<Detail, CallError>) -> u64 {
        self.complete_at(self.node(), open, result)
    }

    fn complete_at(
        &self,
        node: Option<NodeId>,
        open: Open<'_, W>,
        result: Result<Detail, CallError>,
    ) -> u64 {
        let (outcome, detail) = match result {
            Ok(detail) => (Outcome::Ok, detail),
            Err(error) => outcome_of(error),
        };
        open.complete(outcome, node, detail)
    }

    /// One request of `owner`. The rounds that it took are recorded, also if it ran out of time.
    async fn request<T>(
        &self,
        owner: Owner,
        limit: Duration,
        request: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let result = bounded(limit, request).await;
        self.record_rounds(owner);
        result
    }

    /// Records the rounds that have ended. Whoever drops a request has to see to it, too.
    fn record_rounds(&self, owner: Owner) {
        for round in self.recipe.take_rounds() {
            let outcome = if round.won { Outcome::Ok } else { Outcome::Fail };
            let detail = Detail::Round(self.round(round));
            self.recorder.single(owner, Function::Round, outcome, detail);
        }
    }

    fn round(&self, round: EndedRound) -> Round {
        Round {
            purpose: round.purpose,
            begin_ns: self.ns_of(round.begin),
            elapsed_ns: round.elapsed.as_nanos() as u64,
            validity_left_ns: round.validity_left.map(|left| left.as_nanos() as u64),
            votes: round.votes,
        }
    }

    /// An instant of the past on the run's clock, and never later than it was: the clock is read
    /// before what has passed since then.
    fn ns_of(&self, instant: Instant) -> u64 {
        let now_ns = self.recorder.now_ns();
        now_ns.saturating_sub(instant.elapsed().as_nanos() as u64)
    }
}

/// Lets a time pass. A timer would take a millisecond even for none, in which others but have their
/// turn.
pub(crate) async fn wait(length: Duration) {
    match length.is_zero() {
        true => tokio::task::yield_now().await,
        false => sleep(length).await,
    }
}

/// What a request without a good answer is recorded as.
pub(crate) fn outcome_of(error: CallError) -> (Outcome, Detail) {
    match error {
        CallError::Refused(reason) => (Outcome::Fail, Detail::Reason(reason)),
        CallError::NotAsked(reason) => (Outcome::Fail, Detail::NotAsked(reason)),
        CallError::Unknown(reason) => (Outcome::Info, Detail::Reason(reason)),
    }
}
