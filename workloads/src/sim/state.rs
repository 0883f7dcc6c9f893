//! The sim's state machine: leases, locks and their queues, and values. It knows no network and no
//! clock: time is whatever has passed since some origin, to the nanosecond, since a lease that ends
//! a fraction of a millisecond early is a broken promise.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::SimBug;
use super::bug::Mischief;

/// Whoever holds a lock whose release was lost: no lease has this number.
const NOBODY: u64 = 0;

#[derive(Default)]
pub(crate) struct SimState {
    now: Duration,
    leases: HashMap<u64, Lease>,
    locks: HashMap<String, Lock>,
    values: HashMap<String, u64>,
    next_lease: u64,
    grants: Grants,
    /// Leases that waited and have an answer.
    turned: Vec<u64>,
    /// No lease ends before this.
    next_deadline: Duration,
}

struct Lease {
    ttl: Duration,
    deadline: Duration,
    /// Whether a bug drops it at its deadline, whatever is renewed.
    doomed: bool,
}

#[derive(Default)]
struct Lock {
    holder: Option<Grant>,
    /// Grants that the double-grant bug made beside the holder.
    extra: Vec<Grant>,
    queue: VecDeque<u64>,
    last_token: u64,
}

#[derive(Clone, Copy)]
struct Grant {
    lease: u64,
    token: u64,
}

/// All of the service but its locks, for one of them.
struct Service<'s> {
    now: Duration,
    leases: &'s mut HashMap<u64, Lease>,
    grants: &'s mut Grants,
    turned: &'s mut Vec<u64>,
    next_deadline: &'s mut Duration,
}

/// What all locks share when they are granted.
#[derive(Default)]
struct Grants {
    mischief: Mischief,
    last_token: u64,
}

/// Whether a lock request was granted or must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locked {
    Granted,
    Waiting,
}

impl SimState {
    pub(crate) fn new(bug: Option<SimBug>) -> SimState {
        let grants = Grants { mischief: Mischief::new(bug), last_token: 0 };
        SimState { grants, ..SimState::default() }
    }

    /// Lets time pass, and ends every lease whose time is over.
    pub(crate) fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        if self.now < self.next_deadline {
            return;
        }
        let is_over = |lease: &Lease| lease.deadline <= self.now;
        let over: Vec<u64> =
            self.leases.iter().filter(|(_, lease)| is_over(lease)).map(|(id, _)| *id).collect();
        for lease in over {
            self.revoke(lease);
        }
        let deadlines = self.leases.values().map(|lease| lease.deadline);
        self.next_deadline = deadlines.min().unwrap_or(Duration::MAX);
    }

    /// How long the service is silent from the request on that has come now.
    pub(crate) fn stalls(&mut self) -> Option<Duration> {
        self.grants.mischief.stalls()
    }

    /// The leases that waited and have had an answer since this was last asked.
    pub(crate) fn take_turned(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.turned)
    }

    pub(crate) fn open(&mut self, ttl: Duration) -> u64 {
        self.next_lease += 1;
        let deadline = self.now.saturating_add(ttl);
        self.next_deadline = self.next_deadline.min(deadline);
        self.leases.insert(self.next_lease, Lease { ttl, deadline, doomed: false });
        self.next_lease
    }

    pub(crate) fn renew(&mut self, lease: u64) -> bool {
        match self.leases.get_mut(&lease) {
            Some(Lease { doomed: true, .. }) => true,
            Some(found) => {
                found.deadline = self.now.saturating_add(found.ttl);
                true
            }
            None => false,
        }
    }

    /// Takes the lock, or a place in its queue. `None` if the lease does not exist.
    pub(crate) fn lock(&mut self, lease: u64, key: &str) -> Option<Locked> {
        let locked = self.try_lock(lease, key)?;
        if locked == Locked::Waiting
            && let Some(lock) = self.locks.get_mut(key)
        {
            lock.queue.push_back(lease);
        }
        Some(locked)
    }

    /// Takes the lock if it is free, and leaves nothing behind if it is not. `None` if the lease does
    /// not exist.
    pub(crate) fn try_lock(&mut self, lease: u64, key: &str) -> Option<Locked> {
        let granted = self.leases.get_mut(&lease)?;
        let lock = self.locks.entry(key.to_owned()).or_default();
        if lock.holder.is_none() {
            lock.holder = Some(self.grants.grant(lease, granted, &mut lock.last_token, self.now));
            self.next_deadline = self.next_deadline.min(granted.deadline);
            return Some(Locked::Granted);
        }
        if self.grants.mischief.grants_twice() {
            lock.extra.push(self.grants.grant(lease, granted, &mut lock.last_token, self.now));
            self.next_deadline = self.next_deadline.min(granted.deadline);
            return Some(Locked::Granted);
        }
        Some(Locked::Waiting)
    }

    /// Whether `lease` is granted the lock now.
    pub(crate) fn holds(&self, lease: u64, key: &str) -> bool {
        self.token(lease, key).is_some()
    }

    /// Whether `lease` still waits for the lock.
    pub(crate) fn waits(&self, lease: u64, key: &str) -> bool {
        self.locks.get(key).is_some_and(|lock| lock.queue.contains(&lease))
    }

    pub(crate) fn token(&self, lease: u64, key: &str) -> Option<u64> {
        let lock = self.locks.get(key)?;
        let mut grants = lock.holder.iter().chain(&lock.extra);
        grants.find(|grant| grant.lease == lease).map(|grant| grant.token)
    }

    /// Gives the lock up, or the place in its queue. Tells whether the lease held it.
    pub(crate) fn unlock(&mut self, lease: u64, key: &str) -> bool {
        let held = self.holds(lease, key);
        let lost = held && self.grants.mischief.loses_release();
        if let Some(lock) = self.locks.get_mut(key) {
            match &mut lock.holder {
                Some(holder) if lost && holder.lease == lease => holder.lease = NOBODY,
                _ => self.forget(lease, Some(key)),
            }
        }
        held
    }

    /// Ends a lease, and with it whatever it holds or waits for. Tells whether it existed.
    pub(crate) fn revoke(&mut self, lease: u64) -> bool {
        let existed = self.leases.remove(&lease).is_some();
        self.forget(lease, None);
        existed
    }

    /// Takes a lock, or every lock, and every place in their queues from a lease.
    fn forget(&mut self, lease: u64, key: Option<&str>) {
        let SimState { now, leases, locks, grants, turned, next_deadline, .. } = self;
        let mut service = Service { now: *now, leases, grants, turned, next_deadline };
        match key {
            Some(key) => {
                if let Some(lock) = locks.get_mut(key) {
                    lock.forget(lease, &mut service);
                }
            }
            None => locks.values_mut().for_each(|lock| lock.forget(lease, &mut service)),
        }
    }

    pub(crate) fn value(&self, name: &str) -> Option<u64> {
        self.values.get(name).copied()
    }

    pub(crate) fn write(&mut self, name: &str, value: u64) {
        self.values.insert(name.to_owned(), value);
    }

    /// Writes the value if the present one is `expected`; tells whether it was.
    pub(crate) fn cas(&mut self, name: &str, expected: Option<u64>, value: u64) -> bool {
        let matches = self.value(name) == expected;
        if matches {
            self.write(name, value);
        }
        matches
    }

    /// Writes the value if `lease` holds the lock; tells whether it does.
    pub(crate) fn write_guarded(&mut self, lease: u64, key: &str, name: &str, value: u64) -> bool {
        let holds = self.holds(lease, key);
        if holds {
            self.write(name, value);
        }
        holds
    }
}

impl Lock {
    /// Takes the lock, or the place in its queue, from `lease`, and serves the next in the queue.
    fn forget(&mut self, lease: u64, service: &mut Service<'_>) {
        let waiting = self.queue.len();
        self.queue.retain(|waiting| *waiting != lease);
        if self.queue.len() != waiting {
            service.turned.push(lease);
        }
        self.extra.retain(|grant| grant.lease != lease);
        let held = self.holder.is_some_and(|grant| grant.lease == lease);
        if held {
            self.holder = None;
            while let Some(next) = self.queue.pop_front() {
                service.turned.push(next);
                // Whoever waits has a lease: with it the place in the queue goes.
                let Some(found) = service.leases.get_mut(&next) else { continue };
                let last_token = &mut self.last_token;
                self.holder = Some(service.grants.grant(next, found, last_token, service.now));
                *service.next_deadline = found.deadline.min(*service.next_deadline);
                break;
            }
        }
    }
}

impl Grants {
    /// A grant with a token larger than all before it.
    fn grant(&mut self, id: u64, lease: &mut Lease, last_token: &mut u64, now: Duration) -> Grant {
        self.mischief.granted();
        if let Some(rest) = self.mischief.shortens(lease.ttl) {
            lease.deadline = lease.deadline.min(now.saturating_add(rest));
            lease.doomed = true;
        }
        if *last_token == 0 || !self.mischief.repeats_token() {
            self.last_token += 1;
            *last_token = self.last_token;
        }
        Grant { lease: id, token: *last_token }
    }
}
