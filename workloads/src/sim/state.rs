//! The sim's state machine: leases, locks and their queues. It knows no network and no clock: `now`
//! is whatever has passed since some origin, to the nanosecond, since a lease that ends a fraction
//! of a millisecond early is a broken promise.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::SimBug;

/// With the double-grant bug, each this many contended requests one is granted at once.
const BUG_PERIOD: u64 = 7;

#[derive(Default)]
pub(crate) struct SimState {
    bug: Option<SimBug>,
    leases: HashMap<u64, Lease>,
    locks: HashMap<String, Lock>,
    next_lease: u64,
    next_token: u64,
    contended: u64,
}

struct Lease {
    ttl: Duration,
    deadline: Duration,
}

#[derive(Default)]
struct Lock {
    /// The holder and its token.
    holder: Option<(u64, u64)>,
    /// Grants that the double-grant bug made beside the holder.
    extra: Vec<(u64, u64)>,
    queue: VecDeque<u64>,
}

/// Whether a lock request was granted or must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locked {
    Granted,
    Waiting,
}

impl SimState {
    pub(crate) fn new(bug: Option<SimBug>) -> SimState {
        SimState { bug, ..SimState::default() }
    }

    pub(crate) fn open(&mut self, ttl: Duration, now: Duration) -> u64 {
        self.next_lease += 1;
        self.leases.insert(self.next_lease, Lease { ttl, deadline: now.saturating_add(ttl) });
        self.next_lease
    }

    pub(crate) fn renew(&mut self, lease: u64, now: Duration) -> bool {
        match self.leases.get_mut(&lease) {
            Some(found) => {
                found.deadline = now.saturating_add(found.ttl);
                true
            }
            None => false,
        }
    }

    /// `None` if the lease does not exist.
    pub(crate) fn lock(&mut self, lease: u64, key: &str) -> Option<Locked> {
        if !self.leases.contains_key(&lease) {
            return None;
        }
        self.next_token += 1;
        let lock = self.locks.entry(key.to_owned()).or_default();
        if lock.holder.is_none() {
            lock.holder = Some((lease, self.next_token));
            return Some(Locked::Granted);
        }
        self.contended += 1;
        if self.bug == Some(SimBug::DoubleGrant) && self.contended.is_multiple_of(BUG_PERIOD) {
            lock.extra.push((lease, self.next_token));
            return Some(Locked::Granted);
        }
        lock.queue.push_back(lease);
        Some(Locked::Waiting)
    }

    /// Whether `lease` is granted the lock now, after it had to wait.
    pub(crate) fn holds(&self, lease: u64, key: &str) -> bool {
        self.token(lease, key).is_some()
    }

    /// Whether `lease` still waits for the lock.
    pub(crate) fn waits(&self, lease: u64, key: &str) -> bool {
        self.locks.get(key).is_some_and(|lock| lock.queue.contains(&lease))
    }

    pub(crate) fn token(&self, lease: u64, key: &str) -> Option<u64> {
        let lock = self.locks.get(key)?;
        lock.holder
            .iter()
            .chain(&lock.extra)
            .find(|(holder, _)| *holder == lease)
            .map(|(_, token)| *token)
    }

    pub(crate) fn unlock(&mut self, lease: u64, key: &str) -> bool {
        let held = self.holds(lease, key);
        if let Some(lock) = self.locks.get_mut(key) {
            lock.forget(lease, &mut self.next_token);
        }
        held
    }

    pub(crate) fn revoke(&mut self, lease: u64) -> bool {
        let existed = self.leases.remove(&lease).is_some();
        for lock in self.locks.values_mut() {
            lock.forget(lease, &mut self.next_token);
        }
        existed
    }

    /// Ends every lease whose time is over.
    pub(crate) fn expire(&mut self, now: Duration) {
        let over: Vec<u64> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for lease in over {
            self.revoke(lease);
        }
    }
}

impl Lock {
    /// Takes the lock, or the place in its queue, from `lease`, and serves the next in the queue.
    fn forget(&mut self, lease: u64, next_token: &mut u64) {
        self.queue.retain(|waiting| *waiting != lease);
        self.extra.retain(|(holder, _)| *holder != lease);
        if self.holder.is_some_and(|(holder, _)| holder == lease) {
            *next_token += 1;
            self.holder = self.queue.pop_front().map(|next| (next, *next_token));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_lock_goes_to_the_first_in_the_queue_with_a_larger_token() {
        let mut state = SimState::new(None);
        let [a, b, c] = [(); 3].map(|()| state.open(ms(1000), ms(0)));
        assert_eq!(state.lock(a, "k"), Some(Locked::Granted));
        assert_eq!(state.lock(b, "k"), Some(Locked::Waiting));
        assert_eq!(state.lock(c, "k"), Some(Locked::Waiting));
        let first = state.token(a, "k").expect("a holds");
        assert!(state.unlock(a, "k"));
        assert!(state.holds(b, "k") && !state.holds(c, "k"));
        assert!(state.token(b, "k").expect("b holds") > first);
    }

    #[test]
    fn an_expired_lease_frees_its_lock_and_cannot_be_renewed() {
        let mut state = SimState::new(None);
        let a = state.open(ms(1000), ms(0));
        let b = state.open(ms(9000), ms(0));
        state.lock(a, "k");
        state.lock(b, "k");
        state.expire(ms(999));
        assert!(state.holds(a, "k"));
        state.expire(ms(1000));
        assert!(state.holds(b, "k"));
        assert!(!state.renew(a, ms(1001)));
        assert_eq!(state.lock(a, "k"), None);
    }

    #[test]
    fn a_lease_does_not_end_a_fraction_of_a_millisecond_early() {
        let mut state = SimState::new(None);
        let begin = Duration::from_micros(1900);
        let a = state.open(ms(1000), begin);
        state.expire(begin + ms(1000) - Duration::from_nanos(1));
        assert!(state.renew(a, begin));
        state.expire(begin + ms(1000));
        assert!(!state.renew(a, begin));
    }

    #[test]
    fn a_renewed_lease_lives_for_its_whole_time_again() {
        let mut state = SimState::new(None);
        let a = state.open(ms(1000), ms(0));
        assert!(state.renew(a, ms(900)));
        state.expire(ms(1899));
        assert!(state.renew(a, ms(1899)));
    }

    #[test]
    fn a_correct_sim_never_has_two_holders_and_a_buggy_one_soon_does() {
        for (bug, expected) in [(None, false), (Some(SimBug::DoubleGrant), true)] {
            let mut state = SimState::new(bug);
            let mut doubled = false;
            let holder = state.open(Duration::MAX, ms(0));
            state.lock(holder, "k");
            for _ in 0..100 {
                let other = state.open(ms(1000), ms(0));
                doubled |= state.lock(other, "k") == Some(Locked::Granted);
                state.revoke(other);
            }
            assert_eq!(doubled, expected, "{bug:?}");
        }
    }
}
