//! An anonymous mutex: lazily, the earliest deadline first.
//!
//! Who asked does not matter, so the effects are a sequence in which acquires and releases take
//! turns. An operation is given its place only when it returns. If the lock is in the wrong state
//! then, one of the other kind has to come first, and of those that are open the one that returns
//! first is the best: any linearization that has another there stays one if the two are exchanged,
//! since both were invoked by now and the other may come later. Infos return last of all, so they
//! are taken only if nothing else is left.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::prefix::Prefix;
use crate::decision::{Conflict, Counterexample, Decision};
use crate::operation::{Action, Outcome};

/// The operations of one kind that are open, the first to return on top.
type Open = BinaryHeap<Reverse<(u64, u32)>>;

/// Decides in O(n log n) time.
pub(super) fn decide(prefix: &Prefix<'_>, certificate: bool) -> Result<Decision, String> {
    let mut returns: Vec<(u64, u32)> = Vec::new();
    let mut has_denials = false;
    for (index, operation) in prefix.iter() {
        match (operation.action, operation.outcome) {
            (Action::Acquire(_) | Action::TryAcquire(_) | Action::Release, Outcome::Ok) => {
                returns.push((operation.complete, index));
            }
            (Action::Acquire(_) | Action::TryAcquire(_) | Action::Release, Outcome::Info) => {}
            (Action::TryAcquire(_), Outcome::Fail) => has_denials = true,
            (action, Outcome::Fail) if !action.refusal_tells() => {}
            (action, _) => return Err(format!("a mutex does not know {action:?}")),
        }
    }
    returns.sort_unstable();
    let (mut acquires, mut releases) = (Open::new(), Open::new());
    let mut invoked = prefix.iter().peekable();
    let mut has_happened = vec![false; prefix.len()];
    let mut order: Vec<u32> = Vec::new();
    let mut last_acquire = None;
    let mut is_locked = false;
    for (complete, index) in returns {
        while let Some((index, operation)) = invoked.next_if(|(_, next)| next.invoke <= complete) {
            if operation.outcome != Outcome::Fail {
                let is_release = operation.action == Action::Release;
                let open = if is_release { &mut releases } else { &mut acquires };
                open.push(Reverse((operation.complete, index)));
            }
        }
        if has_happened[index as usize] {
            continue;
        }
        let is_release = prefix.get(index).action == Action::Release;
        // Once or twice: it is the first of its own kind to return.
        while !has_happened[index as usize] {
            let open = if is_locked { &mut releases } else { &mut acquires };
            let Some(Reverse((_, next))) = open.pop() else {
                let conflict = match last_acquire {
                    Some(holder) if !is_release => {
                        Conflict::Overlap(vec![prefix.hold(holder, None), prefix.hold(index, None)])
                    }
                    _ => Conflict::NotHeld(prefix.involved(index)),
                };
                return Ok(Decision::NotLinearizable(Counterexample::new(complete, conflict)));
            };
            if !is_locked {
                last_acquire = Some(next);
            }
            is_locked = !is_locked;
            has_happened[next as usize] = true;
            if certificate {
                order.push(next);
            }
        }
    }
    if has_denials {
        return Err("an anonymous mutex with denied tries has no fast rule".to_owned());
    }
    Ok(Decision::Linearizable(certificate.then_some(order)))
}
