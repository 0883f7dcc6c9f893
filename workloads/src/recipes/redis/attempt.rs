//! One attempt to get a lock: its value, and what of it each server has or may come to have.
//!
//! A request that was not answered may still be executed at any later time, and nothing that is
//! sent over another connection changes that. So a server is known to have nothing of an attempt
//! only if each SET was answered, or if something that was sent behind it over the same connection
//! was: servers execute a connection's requests in order.

use std::cell::{Cell, RefCell};

use rand::TryRng;
use rand::rngs::SysRng;
use tokio::time::Instant;

use super::super::CallError;
use super::connection::{Connection, Server};
use super::script;

/// One attempt's value of the lock's key, and its traces on the servers.
#[derive(Debug)]
pub struct Attempt {
    /// 128 random bits of the operating system.
    name: String,
    /// The rounds that were begun; each sets a value of its own.
    round: Cell<u32>,
    traces: RefCell<Vec<Trace>>,
    /// The server that last said that it has the value.
    seen_at: Cell<Option<usize>>,
    /// Until when the lock is valid by the client's own reckoning.
    valid_until: Cell<Option<Instant>>,
}

/// What one server has of an attempt.
#[derive(Clone, Copy, Debug, Default)]
struct Trace {
    /// The server said that it has the present value, and did not say that it has it no more.
    there: bool,
    /// The connection over which the present value was sent, if that was not answered.
    under_way: Option<u64>,
    /// The value of an earlier round may be there or may still come.
    earlier: bool,
}

impl Trace {
    fn is_clear(self) -> bool {
        !self.there && self.under_way.is_none() && !self.earlier
    }
}

impl Attempt {
    /// An attempt of which none of `servers` has anything.
    pub(super) fn new(servers: usize) -> Result<Attempt, CallError> {
        let bits = || {
            SysRng
                .try_next_u64()
                .map_err(|error| CallError::NotAsked(format!("no random numbers: {error}")))
        };
        Ok(Attempt {
            name: format!("{:016x}{:016x}", bits()?, bits()?),
            round: Cell::new(0),
            traces: RefCell::new(vec![Trace::default(); servers]),
            seen_at: Cell::new(None),
            valid_until: Cell::new(None),
        })
    }

    /// Begins a round with a value that was never sent, so that a request of an earlier round that
    /// is executed late, a release above all, does not touch it.
    pub(super) fn begin_round(&self) {
        self.round.update(|round| round + 1);
        for trace in self.traces.borrow_mut().iter_mut() {
            *trace = Trace { earlier: !trace.is_clear(), ..Trace::default() };
        }
    }

    /// The value of the present round.
    pub(super) fn value(&self) -> String {
        format!("{}-{}", self.name, self.round.get())
    }

    /// Until when the lock is valid by the client's own reckoning.
    pub(super) fn valid_until(&self) -> Option<Instant> {
        self.valid_until.get()
    }

    pub(super) fn set_valid_until(&self, end: Instant) {
        self.valid_until.set(Some(end));
    }

    /// The servers that have something of the attempt, or may come to have.
    pub(super) fn may_be_left(&self) -> Vec<usize> {
        let traces = self.traces.borrow();
        (0..traces.len()).filter(|index| !traces[*index].is_clear()).collect()
    }

    /// Whether no server was seen to have the value after this one.
    pub(super) fn was_last_seen_at(&self, server: &Server) -> bool {
        self.seen_at.get() == Some(server.index())
    }

    /// Sets the key if it is absent; tells whether it was.
    pub(super) async fn set(
        &self,
        server: &Server,
        key: &str,
        ttl_ms: u64,
        deadline: Instant,
    ) -> Result<bool, CallError> {
        let connection = server.connection(deadline).await?;
        let mut command = redis::cmd("SET");
        command.arg(key).arg(self.value()).arg("NX").arg("PX").arg(ttl_ms);
        // Before it is sent: whoever waits for the answer may be dropped.
        self.update(server, |trace| trace.under_way = Some(connection.number()));
        match connection.ask::<Option<String>>(&command, deadline).await {
            Ok(set) => {
                self.update(server, |trace| {
                    trace.under_way = None;
                    trace.there = set.is_some();
                });
                if set.is_some() {
                    self.seen_at.set(Some(server.index()));
                }
                Ok(set.is_some())
            }
            Err(CallError::Unknown(reason)) => Err(CallError::Unknown(reason)),
            Err(refused) => {
                self.update(server, |trace| trace.under_way = None);
                Err(refused)
            }
        }
    }

    /// Deletes the key if it is this attempt's; tells whether it was. It is executed after what was
    /// sent before, if the connection stands.
    pub(super) async fn release(
        &self,
        server: &Server,
        key: &str,
        deadline: Instant,
    ) -> Result<bool, CallError> {
        let connection = server.connection_behind(deadline).await?;
        let command = script::release(key, &self.value());
        let was_there = self.compare(server, &connection, &command, deadline).await?;
        self.update(server, |trace| trace.there = false);
        Ok(was_there)
    }

    /// Lets the key live for its whole time again if it is this attempt's; tells whether it is.
    pub(super) async fn extend(
        &self,
        server: &Server,
        key: &str,
        ttl_ms: u64,
        deadline: Instant,
    ) -> Result<bool, CallError> {
        let connection = server.connection(deadline).await?;
        let command = script::extend(key, &self.value(), ttl_ms);
        self.compare(server, &connection, &command, deadline).await
    }

    /// Whether the key is this attempt's.
    pub(super) async fn read(
        &self,
        server: &Server,
        key: &str,
        deadline: Instant,
    ) -> Result<bool, CallError> {
        let connection = server.connection(deadline).await?;
        let command = script::read(key, &self.value());
        self.compare(server, &connection, &command, deadline).await
    }

    /// Sends a script that answers whether the key has the value. `false` is returned only if it
    /// will not have it later, either.
    async fn compare(
        &self,
        server: &Server,
        connection: &Connection,
        command: &redis::Cmd,
        deadline: Instant,
    ) -> Result<bool, CallError> {
        let has = connection.ask::<u64>(command, deadline).await? == 1;
        if has {
            self.seen_at.set(Some(server.index()));
        }
        let may_still_come = self.update(server, |trace| {
            // A value is sent to a server but once: it has arrived if it is there, and if something
            // was answered that came after it.
            if has || trace.under_way == Some(connection.number()) {
                trace.under_way = None;
            }
            trace.there = has;
            trace.under_way.is_some()
        });
        if may_still_come {
            return Err(CallError::Unknown("not there, and may still come".into()));
        }
        Ok(has)
    }

    fn update<T>(&self, server: &Server, change: impl FnOnce(&mut Trace) -> T) -> T {
        change(&mut self.traces.borrow_mut()[server.index()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rounds_and_no_two_attempts_have_the_same_value() {
        let [one, other] = [Attempt::new(1), Attempt::new(1)].map(|it| it.expect("random bits"));
        let mut values = Vec::new();
        for attempt in [&one, &other] {
            for _ in 0..2 {
                attempt.begin_round();
                values.push(attempt.value());
            }
        }
        values.sort();
        values.dedup();
        assert_eq!(values.len(), 4);
        assert_eq!(one.name.len(), 32);
    }

    #[test]
    fn what_a_round_may_have_left_is_not_forgotten_in_the_next() {
        let attempt = Attempt::new(3).expect("random bits");
        attempt.begin_round();
        {
            let mut traces = attempt.traces.borrow_mut();
            traces[0].there = true;
            traces[2].under_way = Some(1);
        }
        assert_eq!(attempt.may_be_left(), [0, 2]);
        attempt.begin_round();
        assert_eq!(attempt.may_be_left(), [0, 2]);
        assert!(attempt.traces.borrow().iter().all(|it| it.under_way.is_none() && !it.there));
        attempt.begin_round();
        assert_eq!(attempt.may_be_left(), [0, 2]);
    }
}
