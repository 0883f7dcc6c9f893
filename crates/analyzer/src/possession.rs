//! Who may have held a lock, and until when: the widest view, which the liveness clock and the
//! denials need.

use locktest_history::{Function, KeyId, Outcome};

use crate::observed::Observed;
use crate::operation::{Attempt, Operation, Owner};
use crate::reach::Reach;
use crate::time::{Spans, ms_to_ns};

/// An attempt that held the lock or may have held it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Possession {
    pub(crate) key: KeyId,
    pub(crate) owner: Owner,
    /// When it was asked for: the service may have granted it from then on.
    pub(crate) asked_ns: u64,
    /// From when on it may have held: see [`may_begin_ns`].
    pub(crate) begin_ns: u64,
    /// When its owner was told that it holds, if it was.
    pub(crate) granted_ns: Option<u64>,
    /// When it was given up, or when the last sign of life that can have renewed it was over.
    pub(crate) end_ns: u64,
    /// Whether the service confirmed the end; if not, the lease may keep the lock beyond it.
    pub(crate) freed: bool,
}

/// Every possession of a history, in order of their acquires' invokes.
pub(crate) fn possessions(
    observed: &Observed,
    reach: &Reach,
    unsettled: &Spans,
) -> Vec<Possession> {
    let attempts = observed.attempts.iter();
    attempts.filter_map(|attempt| possession(observed, reach, unsettled, attempt)).collect()
}

fn possession(
    observed: &Observed,
    reach: &Reach,
    unsettled: &Spans,
    attempt: &Attempt,
) -> Option<Possession> {
    if attempt.acquire.outcome() == Outcome::Fail {
        return None;
    }
    let begin_ns = may_begin_ns(observed, reach, unsettled, attempt);
    let granted_ns = attempt.acquire.ok_ns();
    // A release that surely did not happen has freed nothing.
    let freed_ns = attempt.releases.iter().filter_map(Operation::ok_ns).min();
    let end_ns = freed_ns.unwrap_or_else(|| silent_ns(observed, attempt));
    Some(Possession {
        key: attempt.key(),
        owner: attempt.owner(),
        asked_ns: attempt.acquire.invoke_ns(),
        begin_ns,
        granted_ns,
        end_ns: end_ns.max(granted_ns.unwrap_or(begin_ns)),
        freed: freed_ns.is_some(),
    })
}

/// From when on an acquire may have held, at first perhaps without its owner's knowledge.
///
/// A reply can get lost, or be held up, when the cluster is unsettled and while the owner's server
/// is down or paused or the owner itself is cut off; the owner then goes on waiting, and renewing. A
/// paused owner reads its reply when it goes on. Otherwise a connection delivers a reply or breaks:
/// an ok tells of its grant at once, and whoever heard nothing until he gave up, or until the trouble
/// began, can have been granted at most one operation timeout before.
fn may_begin_ns(observed: &Observed, reach: &Reach, unsettled: &Spans, attempt: &Attempt) -> u64 {
    let (invoke_ns, until_ns) = (attempt.acquire.invoke_ns(), attempt.asked_until_ns());
    let out_of_reach = reach.out_of_reach(attempt.acquire.invoke);
    let trouble = [out_of_reach, unsettled].into_iter();
    let trouble_ns = trouble.filter_map(|spans| spans.first_inside(invoke_ns, until_ns)).min();
    let silent_ns = match (trouble_ns, attempt.acquire.ok_ns()) {
        (None, Some(ok_ns)) => return ok_ns,
        (None, None) => until_ns,
        (Some(trouble_ns), _) => trouble_ns,
    };
    silent_ns.saturating_sub(ms_to_ns(observed.plan.op_timeout_ms)).max(invoke_ns)
}

/// When the last operation that can have kept the lease alive was over.
fn silent_ns(observed: &Observed, attempt: &Attempt) -> u64 {
    let client_end = attempt.client_end;
    let unknown_ns = if client_end.exited { client_end.time_ns } else { observed.end_ns };
    // One that neither gave up nor noticed a loss goes on until its process ends.
    let gave_up = attempt.lost_ns.is_some() || !attempt.releases.is_empty();
    if attempt.acquire.ok_ns().is_some() && !gave_up {
        return unknown_ns;
    }
    // A client drops what is under way when it gives up; the request ends with its timeout.
    let timeout_ns = ms_to_ns(observed.plan.op_timeout_ms);
    let over_ns = |operation: &Operation| match operation.complete_ns() {
        Some(complete_ns) => complete_ns,
        None => operation.invoke_ns().saturating_add(timeout_ns).min(unknown_ns),
    };
    let operations = attempt.renewals.iter().chain(&attempt.releases).map(over_ns);
    let given_up = [Some(attempt.asked_until_ns()), attempt.lost_ns].into_iter().flatten();
    operations.chain(given_up).max().unwrap_or(unknown_ns)
}

/// How many denials of attempts that do not wait no possible holder explains. A blocking acquire that
/// fails was not denied by a holder: it gave up waiting, or was refused for another reason.
pub(crate) fn spurious_denials(observed: &Observed, possessions: &[Possession]) -> u64 {
    let bounds = &observed.plan.bounds;
    // Sorted by key and time asked, with the latest end so far within the key.
    let mut held: Vec<(KeyId, u64, u64)> = possessions
        .iter()
        .map(|possession| {
            let lease_ms = if possession.freed { 0 } else { bounds.lease_bound_ms };
            let kept_ns = ms_to_ns(lease_ms.saturating_add(observed.plan.lock_delay_ms));
            (possession.key, possession.asked_ns, possession.end_ns.saturating_add(kept_ns))
        })
        .collect();
    held.sort_unstable();
    for index in 1..held.len() {
        if held[index - 1].0 == held[index].0 {
            held[index].2 = held[index].2.max(held[index - 1].2);
        }
    }
    let unexplained = |attempt: &&Attempt| {
        let acquire = &attempt.acquire;
        let tried = acquire.invoke.function == Function::TryAcquire;
        let Some(denied_ns) = acquire.refused_ns().filter(|_| tried) else {
            return false;
        };
        let before = held
            .partition_point(|(key, asked_ns, _)| (*key, *asked_ns) <= (attempt.key(), denied_ns));
        !held[..before].last().is_some_and(|(key, _, until_ns)| {
            *key == attempt.key() && *until_ns >= acquire.invoke_ns()
        })
    };
    observed.attempts.iter().filter(unexplained).count() as u64
}
