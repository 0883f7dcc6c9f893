//! What the unit tests share: a plan, a store that answers as it is told, and the events that left
//! the client.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use locktest_history::{Backend, ClientId, Detail, Event, Function, Phase, Plan};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::protocol::{ClientConfig, FromClient, Holding};
use crate::recipes::{
    CallError, EndedRound, Entry, Grant, GuardedValues, Lease, LockRecipe, Renewal, Values,
};

/// The plan of a run with one client of the sim.
pub(crate) fn plan() -> Plan {
    Plan { renew_while_waiting: false, ..Plan::of(Backend::Sim) }
}

/// What the first client of a run by this plan is told, without servers.
pub(crate) fn config_of(plan: &Plan) -> ClientConfig {
    ClientConfig {
        client: ClientId(0),
        origin_monotonic_ns: 0,
        servers: Vec::new(),
        sentinels: Vec::new(),
        plan: plan.clone(),
    }
}

/// How the fake store answers a request for a lock.
#[derive(Clone, Debug)]
pub(crate) enum LockAnswer {
    Granted,
    /// Once so many renewals were answered.
    GrantedAfterRenewals(usize),
    Failed(CallError),
    Never,
}

/// A store that grants, keeps and writes whatever it is not told to deny.
pub(crate) struct FakeStore {
    pub(crate) ttl_ms: u64,
    /// Its answers to the next requests for a lock.
    pub(crate) locks: RefCell<VecDeque<LockAnswer>>,
    /// The errors of the next requests for values; `None` for one that is answered.
    pub(crate) value_errors: RefCell<VecDeque<Option<CallError>>>,
    pub(crate) values: RefCell<HashMap<String, u64>>,
    /// Every request, in order.
    pub(crate) calls: RefCell<Vec<&'static str>>,
    pub(crate) renewals: Cell<usize>,
    /// Ends the leases, as far as the client's library is concerned.
    pub(crate) lose: Notify,
    /// The rounds of the next request for a lock.
    pub(crate) rounds_of_next: RefCell<Vec<EndedRound>>,
    pub(crate) rounds: RefCell<Vec<EndedRound>>,
    pub(crate) lease_start: Cell<Option<Instant>>,
    renewed: Notify,
}

impl FakeStore {
    pub(crate) fn new() -> FakeStore {
        FakeStore {
            ttl_ms: 2000,
            locks: RefCell::default(),
            value_errors: RefCell::default(),
            values: RefCell::default(),
            calls: RefCell::default(),
            renewals: Cell::new(0),
            lose: Notify::new(),
            rounds_of_next: RefCell::default(),
            rounds: RefCell::default(),
            lease_start: Cell::new(None),
            renewed: Notify::new(),
        }
    }

    /// One that answers its first requests for a lock like this.
    pub(crate) fn answering(locks: impl IntoIterator<Item = LockAnswer>) -> FakeStore {
        FakeStore { locks: RefCell::new(locks.into_iter().collect()), ..FakeStore::new() }
    }

    fn called(&self, what: &'static str) {
        self.calls.borrow_mut().push(what);
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.calls.borrow().iter().filter(|call| **call == what).count()
    }

    fn value_error(&self) -> Result<(), CallError> {
        self.value_errors.borrow_mut().pop_front().flatten().map_or(Ok(()), Err)
    }
}

impl LockRecipe for &FakeStore {
    type LeaseId = ();

    async fn open(&self, _: usize) -> Result<Lease<()>, CallError> {
        self.called("open");
        Ok(Lease { id: (), ttl_ms: self.ttl_ms })
    }

    async fn lock(&self, _: usize, (): &(), _: &str, _: Instant) -> Result<Grant, CallError> {
        self.called("lock");
        self.rounds.borrow_mut().append(&mut self.rounds_of_next.borrow_mut());
        let answer = self.locks.borrow_mut().pop_front().unwrap_or(LockAnswer::Granted);
        match answer {
            LockAnswer::Granted => {}
            LockAnswer::GrantedAfterRenewals(count) => {
                while self.renewals.get() < count {
                    self.renewed.notified().await;
                }
            }
            LockAnswer::Failed(error) => return Err(error),
            LockAnswer::Never => pending().await,
        }
        let lease_start = self.lease_start.get();
        Ok(Grant { entry: Vec::new(), revision: None, waited: Duration::ZERO, lease_start })
    }

    async fn try_lock(&self, server: usize, lease: &(), key: &str) -> Result<Grant, CallError> {
        self.lock(server, lease, key, Instant::now()).await
    }

    async fn renew(&self, _: usize, (): &(), _: &str) -> Result<Renewal, CallError> {
        self.called("renew");
        self.renewals.update(|renewals| renewals + 1);
        self.renewed.notify_waiters();
        Ok(Renewal::Renewed)
    }

    async fn lost(&self, (): &()) -> String {
        self.lose.notified().await;
        "the library gave it up".into()
    }

    async fn entry(&self, _: usize, (): &(), _: &str, _: &Grant) -> Result<Entry, CallError> {
        self.called("entry");
        Ok(Entry { ours: true, token: None, at_revision: None })
    }

    async fn unlock(&self, _: usize, (): &(), _: &str, _: &Grant) -> Result<(), CallError> {
        self.called("unlock");
        Ok(())
    }

    async fn revoke(&self, _: usize, (): &(), _: &str) -> Result<(), CallError> {
        self.called("revoke");
        Ok(())
    }

    fn take_rounds(&self) -> Vec<EndedRound> {
        self.rounds.take()
    }
}

impl Values for &FakeStore {
    async fn read(&self, _: usize, name: &str) -> Result<Option<u64>, CallError> {
        self.called("read");
        self.value_error()?;
        Ok(self.values.borrow().get(name).copied())
    }

    async fn write(&self, _: usize, name: &str, value: u64) -> Result<(), CallError> {
        self.called("write");
        self.value_error()?;
        self.values.borrow_mut().insert(name.into(), value);
        Ok(())
    }

    async fn cas(
        &self,
        _: usize,
        name: &str,
        expected: Option<u64>,
        value: u64,
    ) -> Result<bool, CallError> {
        self.called("cas");
        self.value_error()?;
        let mut values = self.values.borrow_mut();
        let matches = values.get(name).copied() == expected;
        if matches {
            values.insert(name.into(), value);
        }
        Ok(matches)
    }
}

impl GuardedValues for &FakeStore {
    async fn write_guarded(
        &self,
        server: usize,
        (): &(),
        _: &str,
        _: &Grant,
        name: &str,
        value: u64,
    ) -> Result<(), CallError> {
        self.write(server, name, value).await
    }
}

/// What has left the process.
#[derive(Clone, Default)]
pub(crate) struct Sent(Rc<RefCell<Vec<u8>>>);

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sent {
    pub(crate) fn lines(&self) -> Vec<FromClient> {
        let sent = self.0.borrow();
        let lines = std::str::from_utf8(&sent).expect("lines are text").lines();
        lines.map(|line| FromClient::parse(line).expect("a whole line")).collect()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        let event = |line| match line {
            FromClient::Event(event) => Some(event),
            FromClient::Watermark { .. } | FromClient::Holding(_) => None,
        };
        let events: Vec<Event> = self.lines().into_iter().filter_map(event).collect();
        assert!(events.is_sorted_by_key(|event| event.time_ns), "{events:?}");
        events
    }

    /// What the client has said of its plans.
    pub(crate) fn holdings(&self) -> Vec<Holding> {
        let holding = |line| match line {
            FromClient::Holding(holding) => Some(holding),
            FromClient::Event(_) | FromClient::Watermark { .. } => None,
        };
        self.lines().into_iter().filter_map(holding).collect()
    }

    /// What was recorded, without times.
    pub(crate) fn steps(&self) -> Vec<(Function, Phase)> {
        self.events().iter().map(|event| (event.function, event.phase)).collect()
    }

    /// The details and times of everything of this kind.
    pub(crate) fn of(&self, function: Function, phase: Phase) -> Vec<(u64, Detail)> {
        let events = self.events().into_iter();
        let found = events.filter(|event| (event.function, event.phase) == (function, phase));
        found.map(|event| (event.time_ns, event.detail)).collect()
    }
}
