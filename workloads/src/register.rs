//! The workload `register`: reads, writes and compare-and-sets of plain values; no lock.
//!
//! No two writes of a run have the same value, and a cas expects what its client last saw. Each
//! operation is an attempt of its own. Every choice comes from the client's seed.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::future::Future;
use std::io::Write;
use std::time::Duration;

use locktest_history::{ClientId, Detail, Function, KeyId, Outcome, Plan};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;

use crate::attempt::outcome_of;
use crate::control::Control;
use crate::mutex::PAUSE_AFTER_FAILURE;
use crate::recipes::{CallError, Values, bounded};
use crate::recorder::{Owner, Recorder};
use crate::servers::{PreferredServer, node};

/// Between two operations a client pauses for a random time up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// One client's loop over a store's values.
pub(crate) struct RegisterClient<'a, V, W> {
    values: V,
    plan: &'a Plan,
    recorder: &'a Recorder<W>,
    control: &'a Control,
    server: PreferredServer,
    /// Per key the value that this client last saw there; `None` if it saw none.
    last_seen: Vec<Cell<Option<u64>>>,
}

/// What one operation is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Read,
    Write,
    Cas,
}

impl<'a, V: Values, W: Write> RegisterClient<'a, V, W> {
    /// The client that `recorder` records. It starts at the server of its own number.
    pub(crate) fn new(
        values: V,
        plan: &'a Plan,
        recorder: &'a Recorder<W>,
        control: &'a Control,
    ) -> RegisterClient<'a, V, W> {
        RegisterClient {
            values,
            plan,
            recorder,
            control,
            server: PreferredServer::of(recorder.client(), plan),
            last_seen: vec![Cell::new(None); plan.keys.len().max(1)],
        }
    }

    /// Runs until the control node says stop, or goes away.
    pub(crate) async fn run(&self, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut attempt = 0;
        while !self.control.is_stopping() && !self.recorder.is_closed() {
            attempt += 1;
            let key = rng.random_range(0..self.last_seen.len());
            let operation = match rng.random_range(0..10) {
                0..5 => Operation::Read,
                5..8 => Operation::Write,
                _ => Operation::Cas,
            };
            let pause = LONGEST_PAUSE.mul_f64(rng.random_range(0.1..1.0));
            let owner = Owner { attempt, key: KeyId(u32::try_from(key).unwrap_or(0)) };
            let answered = match operation {
                Operation::Read => self.read(owner, &self.last_seen[key]).await,
                Operation::Write => self.write(owner, &self.last_seen[key]).await,
                Operation::Cas => self.cas(owner, &self.last_seen[key]).await,
            };
            let pause = if answered {
                pause
            } else {
                self.server.rotate();
                PAUSE_AFTER_FAILURE
            };
            self.control.until_stop(sleep(pause)).await;
        }
    }

    /// Tells whether the store answered, as do the others.
    async fn read(&self, owner: Owner, seen: &Cell<Option<u64>>) -> bool {
        let asked = Detail::Register { expected: None, value: None };
        let read = |server, name: String| async move { self.values.read(server, &name).await };
        self.call(owner, Function::Read, asked, read, |value| {
            seen.set(value);
            (Outcome::Ok, Detail::Register { expected: None, value })
        })
        .await
    }

    async fn write(&self, owner: Owner, seen: &Cell<Option<u64>>) -> bool {
        let value = unique_value(self.recorder.client(), owner.attempt);
        let detail = Detail::Register { expected: None, value: Some(value) };
        let write =
            |server, name: String| async move { self.values.write(server, &name, value).await };
        self.call(owner, Function::Write, detail.clone(), write, |()| {
            seen.set(Some(value));
            (Outcome::Ok, detail)
        })
        .await
    }

    async fn cas(&self, owner: Owner, seen: &Cell<Option<u64>>) -> bool {
        let expected = seen.get();
        let value = unique_value(self.recorder.client(), owner.attempt);
        let detail = Detail::Register { expected, value: Some(value) };
        let cas = |server, name: String| async move {
            self.values.cas(server, &name, expected, value).await
        };
        self.call(owner, Function::Cas, detail.clone(), cas, |written| {
            if written {
                seen.set(Some(value));
            }
            (if written { Outcome::Ok } else { Outcome::Fail }, detail)
        })
        .await
    }

    /// One operation from its invoke to its completion. Tells whether the store answered.
    async fn call<T, F: Future<Output = Result<T, CallError>>>(
        &self,
        owner: Owner,
        function: Function,
        detail: Detail,
        request: impl FnOnce(usize, String) -> F,
        answered: impl FnOnce(T) -> (Outcome, Detail),
    ) -> bool {
        let server = self.server.index();
        let limit = Duration::from_millis(self.plan.op_timeout_ms);
        let node = || self.values.server_of_value(server).and_then(node);
        let open = self.recorder.invoke(owner, function, node(), detail);
        let result = bounded(limit, request(server, self.plan.key_name(owner.key))).await;
        let is_answer = result.is_ok();
        let (outcome, detail) = result.map_or_else(outcome_of, answered);
        open.complete(outcome, node(), detail);
        is_answer
    }
}

/// A value that no other write of the run has, and that every JSON reader takes for what it is: below
/// 2^53, as long as there are fewer than 2^21 clients with less than 2^32 operations each.
fn unique_value(client: ClientId, attempt: u64) -> u64 {
    (u64::from(client.0) << 32) | attempt
}
