//! What the state machine promises, and what its bugs break.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn the_lock_goes_to_the_first_in_the_queue_with_a_larger_token() {
    let mut state = SimState::new(None);
    let [a, b, c] = [(); 3].map(|()| state.open(ms(1000)));
    assert_eq!(state.lock(a, "k"), Some(Locked::Granted));
    assert_eq!(state.lock(b, "k"), Some(Locked::Waiting));
    assert_eq!(state.lock(c, "k"), Some(Locked::Waiting));
    let first = state.token(a, "k").expect("a holds");
    assert!(state.unlock(a, "k"));
    assert!(state.holds(b, "k") && !state.holds(c, "k"));
    assert!(state.token(b, "k").expect("b holds") > first);
}

#[test]
fn a_denied_try_leaves_nothing_that_could_be_granted_later() {
    let mut state = SimState::new(None);
    let [a, b] = [(); 2].map(|()| state.open(ms(1000)));
    assert_eq!(state.try_lock(a, "k"), Some(Locked::Granted));
    assert_eq!(state.try_lock(b, "k"), Some(Locked::Waiting));
    assert!(!state.waits(b, "k"));
    assert!(state.unlock(a, "k"));
    assert!(!state.holds(b, "k"));
    assert_eq!(state.try_lock(b, "k"), Some(Locked::Granted));
}

#[test]
fn an_expired_lease_frees_its_lock_and_cannot_be_renewed() {
    let mut state = SimState::new(None);
    let a = state.open(ms(1000));
    let b = state.open(ms(9000));
    state.lock(a, "k");
    state.lock(b, "k");
    state.advance(ms(999));
    assert!(state.holds(a, "k"));
    state.advance(ms(1000));
    assert!(state.holds(b, "k"));
    assert!(!state.renew(a));
    assert_eq!(state.lock(a, "k"), None);
}

#[test]
fn a_lease_does_not_end_a_fraction_of_a_millisecond_early() {
    let mut state = SimState::new(None);
    let begin = Duration::from_micros(1900);
    state.advance(begin);
    let a = state.open(ms(1000));
    state.advance(begin + ms(1000) - Duration::from_nanos(1));
    assert!(state.renew(a));
    let mut state = SimState::new(None);
    state.advance(begin);
    let a = state.open(ms(1000));
    state.advance(begin + ms(1000));
    assert!(!state.renew(a));
}

#[test]
fn a_renewed_lease_lives_for_its_whole_time_again() {
    let mut state = SimState::new(None);
    let a = state.open(ms(1000));
    state.advance(ms(900));
    assert!(state.renew(a));
    state.advance(ms(1899));
    assert!(state.renew(a));
}

#[test]
fn a_guarded_value_is_written_by_the_locks_holder_alone() {
    let mut state = SimState::new(None);
    let [a, b] = [(); 2].map(|()| state.open(ms(1000)));
    state.lock(a, "k");
    state.lock(b, "k");
    assert!(state.write_guarded(a, "k", "v", 1));
    assert!(!state.write_guarded(b, "k", "v", 2));
    state.unlock(a, "k");
    assert!(!state.write_guarded(a, "k", "v", 3));
    assert_eq!(state.value("v"), Some(1));
}

#[test]
fn a_cas_writes_only_over_the_value_that_it_expects() {
    let mut state = SimState::new(None);
    assert!(!state.cas("v", Some(1), 2));
    assert!(state.cas("v", None, 1));
    assert!(!state.cas("v", None, 2));
    assert!(state.cas("v", Some(1), 2));
    assert_eq!(state.value("v"), Some(2));
}

/// What a service with `bug` did in a course of orderly holds of one contended lock.
#[derive(Debug, Default, PartialEq, Eq)]
struct Faults {
    two_holders: bool,
    dropped_early: bool,
    token_repeated: bool,
    held_for_ever: bool,
}

fn orderly_holds(bug: Option<SimBug>) -> Faults {
    let mut state = SimState::new(bug);
    let mut faults = Faults::default();
    let mut tokens = HashSet::new();
    let mut now = ms(0);
    for _ in 0..100 {
        let [a, b] = [(); 2].map(|()| state.open(ms(1000)));
        if state.lock(a, "k") != Some(Locked::Granted) {
            faults.held_for_ever = true;
            break;
        }
        faults.two_holders |= state.lock(b, "k") == Some(Locked::Granted);
        faults.token_repeated |= state.token(a, "k").is_some_and(|token| !tokens.insert(token));
        now += ms(500);
        state.advance(now);
        faults.dropped_early |= !state.holds(a, "k");
        state.unlock(a, "k");
        faults.token_repeated |= state.token(b, "k").is_some_and(|token| !tokens.insert(token));
        state.revoke(a);
        state.revoke(b);
    }
    faults
}

#[test]
fn each_bug_shows_soon_and_as_what_it_is_called() {
    use SimBug::{DoubleGrant, EarlyExpiry, LostRelease, StaleToken, Stall};
    let shown = [
        (None, Faults::default()),
        (Some(DoubleGrant), Faults { two_holders: true, ..Faults::default() }),
        (Some(EarlyExpiry), Faults { dropped_early: true, ..Faults::default() }),
        (Some(StaleToken), Faults { token_repeated: true, ..Faults::default() }),
        (Some(LostRelease), Faults { held_for_ever: true, ..Faults::default() }),
        (Some(Stall), Faults::default()),
    ];
    for (bug, expected) in shown {
        assert_eq!(orderly_holds(bug), expected, "{bug:?}");
    }
}

#[test]
fn a_lost_release_outlives_its_lease() {
    let mut state = SimState::new(Some(SimBug::LostRelease));
    let mut freed = true;
    for _ in 0..3 {
        let lease = state.open(ms(1000));
        assert_eq!(state.lock(lease, "k"), Some(Locked::Granted));
        assert!(state.unlock(lease, "k"), "a release that is lost is acknowledged, too");
        state.revoke(lease);
        state.advance(state.now + ms(5000));
        let next = state.open(ms(1000));
        freed = state.try_lock(next, "k") == Some(Locked::Granted);
        state.revoke(next);
    }
    assert!(!freed);
}

#[test]
fn only_the_stall_bug_silences_the_service_and_only_once() {
    for bug in SimBug::ALL {
        let mut state = SimState::new(Some(bug));
        let stalls = (0..1000).filter(|_| state.stalls().is_some()).count();
        assert_eq!(stalls, usize::from(bug == SimBug::Stall), "{bug:?}");
    }
}

/// A lease, and the token of its grant.
type Holder = (u64, u64);

const KEYS: [&str; 2] = ["lock-0", "lock-1"];

/// A step of some client, with one of the last leases and one of the keys.
#[derive(Clone, Debug)]
enum Step {
    Open(u64),
    Lock(usize, usize),
    TryLock(usize, usize),
    Unlock(usize, usize),
    Renew(usize),
    Revoke(usize),
    Advance(u64),
    WriteGuarded(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (lease, key) = (0..6usize, 0..KEYS.len());
    prop_oneof![
        2 => (1..400u64).prop_map(Step::Open),
        4 => (lease.clone(), key.clone()).prop_map(|(lease, key)| Step::Lock(lease, key)),
        2 => (lease.clone(), key.clone()).prop_map(|(lease, key)| Step::TryLock(lease, key)),
        3 => (lease.clone(), key.clone()).prop_map(|(lease, key)| Step::Unlock(lease, key)),
        2 => lease.clone().prop_map(Step::Renew),
        1 => lease.clone().prop_map(Step::Revoke),
        2 => (1..200u64).prop_map(Step::Advance),
        1 => (lease, key).prop_map(|(lease, key)| Step::WriteGuarded(lease, key)),
    ]
}

proptest! {
    /// Whatever clients do in whatever order: nobody is granted what another holds, no lease ends
    /// before its time, tokens grow, and a free lock leaves nobody waiting.
    #[test]
    fn a_correct_sim_keeps_every_promise(steps in prop::collection::vec(step(), 1..200)) {
        let mut state = SimState::new(None);
        // The last leases that were opened, each with what was promised.
        let mut leases: Vec<(u64, Duration, Duration)> = vec![(state.open(ms(100)), ms(100), ms(100))];
        let mut revoked = HashSet::new();
        // Per key its holder after the last step, and the largest token so far.
        let mut holders: HashMap<&str, (Option<Holder>, u64)> = HashMap::new();
        let mut now = ms(0);
        for step in steps {
            let recent = leases.len().min(6);
            let lease = |index: usize| leases[leases.len() - recent + index % recent].0;
            let mut gave_up = None;
            match step {
                Step::Open(ttl) => {
                    let lease = state.open(ms(ttl));
                    leases.push((lease, ms(ttl), now + ms(ttl)));
                }
                Step::Lock(index, key) if !state.holds(lease(index), KEYS[key]) => {
                    state.lock(lease(index), KEYS[key]);
                }
                Step::TryLock(index, key) if !state.holds(lease(index), KEYS[key]) => {
                    state.try_lock(lease(index), KEYS[key]);
                }
                Step::Lock(..) | Step::TryLock(..) => {}
                Step::Unlock(index, key) => {
                    let held = state.holds(lease(index), KEYS[key]);
                    prop_assert_eq!(state.unlock(lease(index), KEYS[key]), held);
                    gave_up = Some((lease(index), KEYS[key]));
                }
                Step::Renew(index) => {
                    let id = lease(index);
                    if state.renew(id) {
                        for promise in leases.iter_mut().filter(|(lease, ..)| *lease == id) {
                            promise.2 = now + promise.1;
                        }
                    }
                }
                Step::Revoke(index) => {
                    state.revoke(lease(index));
                    revoked.insert(lease(index));
                }
                Step::Advance(by) => {
                    now += ms(by);
                    state.advance(now);
                }
                Step::WriteGuarded(index, key) => {
                    let holds = state.holds(lease(index), KEYS[key]);
                    prop_assert_eq!(state.write_guarded(lease(index), KEYS[key], "v", 1), holds);
                }
            }
            for (lease, _, until) in &leases {
                let promised = now < *until && !revoked.contains(lease);
                prop_assert_eq!(state.leases.contains_key(lease), promised, "lease {}", lease);
            }
            for key in KEYS {
                let holding: Vec<Holder> = leases
                    .iter()
                    .filter_map(|(lease, ..)| Some((*lease, state.token(*lease, key)?)))
                    .collect();
                prop_assert!(holding.len() <= 1, "{} has the holders {:?}", key, holding);
                let holder = holding.first().copied();
                let waiting = leases.iter().any(|(lease, ..)| state.waits(*lease, key));
                prop_assert!(holder.is_some() || !waiting, "{} is free, and somebody waits", key);
                let (before, largest) = holders.get(key).copied().unwrap_or_default();
                if let Some((lease, _)) = before.filter(|_| before != holder) {
                    let ended = !state.leases.contains_key(&lease);
                    prop_assert!(ended || gave_up == Some((lease, key)), "{} was taken away", key);
                }
                if let Some((_, token)) = holder.filter(|_| before != holder) {
                    prop_assert!(token > largest, "{} came after {}", token, largest);
                }
                holders.insert(key, (holder, holder.map_or(largest, |(_, token)| token)));
            }
        }
    }
}
