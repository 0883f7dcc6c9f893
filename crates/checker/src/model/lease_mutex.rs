//! An owner mutex whose grants end by themselves.

use super::{DependsOn, Model};
use crate::operation::{Action, Operation, Outcome, Process};

/// The lock of a lease. Each operation takes effect at an instant while it is open, and instants
/// do not decrease. A hold ends by its owner's release, or by itself at any instant from its
/// deadline on; it need not.
///
/// The state has the earliest instants for the order so far, which leave the most room to what
/// follows.
#[derive(Clone, Copy, Debug)]
pub struct LeaseMutex {
    /// The shortest time that a lease lasts after the last acquire or renewal took effect.
    pub lease_ns: u64,
}

/// Who has the lock, and the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseMutexState {
    hold: Option<(Process, u64)>,
    now_ns: u64,
}

impl Model for LeaseMutex {
    type State = LeaseMutexState;

    fn initial(&self) -> LeaseMutexState {
        LeaseMutexState { hold: None, now_ns: 0 }
    }

    fn step(&self, state: &LeaseMutexState, operation: &Operation) -> Option<LeaseMutexState> {
        let now_ns = state.now_ns.max(operation.invoke);
        let next = match (operation.action, operation.outcome, state.hold) {
            (Action::TryAcquire(_), Outcome::Fail, hold) => {
                hold?;
                LeaseMutexState { hold, now_ns }
            }
            (Action::Acquire(_) | Action::TryAcquire(_), _, hold) => {
                let now_ns = hold.map_or(now_ns, |(_, deadline_ns)| now_ns.max(deadline_ns));
                let deadline_ns = now_ns.saturating_add(self.lease_ns);
                LeaseMutexState { hold: Some((operation.process, deadline_ns)), now_ns }
            }
            (Action::Release, _, Some((owner, _))) if owner == operation.process => {
                LeaseMutexState { hold: None, now_ns }
            }
            (Action::Renew, _, Some((owner, deadline_ns))) if owner == operation.process => {
                let deadline_ns = deadline_ns.max(now_ns.saturating_add(self.lease_ns));
                LeaseMutexState { hold: Some((owner, deadline_ns)), now_ns }
            }
            _ => return None,
        };
        (next.now_ns <= operation.complete).then_some(next)
    }

    /// None is: even a denial has an instant, before which nothing after it takes effect.
    fn is_read_only(&self, _operation: &Operation) -> bool {
        false
    }

    fn knows(&self, action: Action) -> bool {
        matches!(
            action,
            Action::Acquire(_) | Action::TryAcquire(_) | Action::Release | Action::Renew
        )
    }

    fn effect_depends_on(&self) -> DependsOn {
        DependsOn::Times
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::knows_only;
    use super::*;
    use crate::operation::NEVER;
    use Action::*;
    use Outcome::*;

    const MODEL: LeaseMutex = LeaseMutex { lease_ns: 100 };

    /// As the common check, with the times at which each operation was open.
    fn check(lines: &[(u64, u64, u32, Action, Outcome, bool)]) {
        let mut state = MODEL.initial();
        for &(invoke, complete, process, action, outcome, legal) in lines {
            let operation = Operation { invoke, complete, action, process, outcome };
            let next = MODEL.step(&state, &operation);
            assert_eq!(next.is_some(), legal, "{operation:?} in {state:?}");
            state = next.unwrap_or(state);
        }
    }

    #[test]
    fn a_lease_can_end_from_its_deadline_on_but_need_not() {
        check(&[
            (10, 20, 0, Acquire(0), Ok, true),
            (30, 109, 1, Acquire(0), Ok, false),
            (200, 210, 1, TryAcquire(0), Fail, true),
            (210, 220, 0, Release, Ok, true),
            (230, 235, 0, Acquire(0), Ok, true),
            (240, 330, 1, Acquire(0), Ok, true),
            (331, 340, 0, Release, Ok, false),
        ]);
    }

    #[test]
    fn a_renewal_of_the_owner_moves_the_deadline_and_never_back() {
        check(&[
            (0, 5, 0, Acquire(0), Ok, true),
            (50, 60, 1, Renew, Ok, false),
            (50, 60, 0, Renew, Ok, true),
            (70, 149, 1, TryAcquire(0), Ok, false),
            (70, 150, 1, TryAcquire(0), Ok, true),
        ]);
    }

    #[test]
    fn instants_do_not_decrease() {
        check(&[
            (50, 60, 0, Acquire(0), Ok, true),
            (0, 49, 0, Release, Ok, false),
            (0, 50, 0, Release, Ok, true),
            (0, NEVER, 1, Acquire(0), Info, true),
            (0, 149, 2, Acquire(0), Ok, false),
        ]);
    }

    #[test]
    fn a_denial_needs_a_hold() {
        check(&[(0, 10, 0, TryAcquire(0), Fail, false)]);
        knows_only(&MODEL, &[Acquire(0), TryAcquire(0), Release, Renew]);
    }
}
