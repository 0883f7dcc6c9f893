//! Proof that the service did not keep a lock that it had granted.

use locktest_history::{Backend, Detail, Event, Phase, Plan};

use crate::operation::{Attempt, Operation, Promise};

/// Until when the replies that had arrived at `known_by_ns` promise that the lease lives.
pub(crate) fn promised_until_ns(promises: &[Promise], known_by_ns: u64) -> Option<u64> {
    let known = promises.iter().take_while(|promise| promise.known_ns <= known_by_ns);
    known.map(|promise| promise.end_ns).max()
}

/// What proves that the lock's entry was not its owner's although the service had granted it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing<'a, 'h> {
    /// The read that did not find the entry, or the release that the store refused.
    pub(crate) shown_by: &'a Operation<'h>,
    /// When that was known.
    pub(crate) known_ns: u64,
    /// Until when the replies that had arrived by then promised that the lease lives.
    pub(crate) promised_until_ns: u64,
    /// When an earlier read had shown that the entry was the owner's. If one had, the grant was good
    /// and the service took the lock away; if none had, the grant itself was stale.
    pub(crate) seen_ns: Option<u64>,
}

/// The first proof that the service did not keep the lock that it granted.
///
/// A read of the lock's entry at the revision of the granting reply itself is proof, whatever the
/// lease did. Any other read, and a release that the store refused, prove something only while the
/// lease was promised and this owner had neither given the lock up nor noticed its loss. A read of
/// another revision proves nothing.
pub(crate) fn missing_entry<'a, 'h>(
    attempt: &'a Attempt<'h>,
    promises: &[Promise],
    plan: &Plan,
) -> Option<Missing<'a, 'h>> {
    let granted = attempt.acquire.completion?;
    let granted_at = match granted.detail {
        Detail::Lease { revision, .. } => revision,
        _ => None,
    };
    let kept = |known_ns: u64| {
        let lost = attempt.lost_ns.is_some_and(|time| time < known_ns);
        !lost && promised_until_ns(promises, known_ns).is_some_and(|end| known_ns < end)
    };
    let released = |known_ns| attempt.release_invoke_ns().is_some_and(|time| time <= known_ns);
    let read = attempt.validations.iter().find_map(|validate| {
        let (known_ns, at_revision) = absent(validate)?;
        let proven = match at_revision {
            Some(_) => at_revision == granted_at,
            None => kept(known_ns) && !released(known_ns),
        };
        proven.then_some((validate, known_ns))
    });
    let refused = || refused_release(attempt, plan).filter(|(_, known_ns)| kept(*known_ns));
    let (shown_by, known_ns) = read.or_else(refused)?;
    let seen = attempt.validations.iter().filter_map(found);
    let seen_ns = seen.filter(|seen_ns| *seen_ns <= shown_by.invoke_ns()).max();
    let promised_until_ns = promised_until_ns(promises, known_ns).unwrap_or(granted.time_ns);
    Some(Missing { shown_by, known_ns, promised_until_ns, seen_ns })
}

/// When, and at which revision, a validate found that the entry is not ours.
pub(crate) fn absent(validate: &Operation) -> Option<(u64, Option<u64>)> {
    match validate.completion? {
        Event {
            time_ns,
            phase: Phase::Ok,
            detail: Detail::Entry { ours: false, at_revision, .. },
            ..
        } => Some((*time_ns, *at_revision)),
        _ => None,
    }
}

/// When a validate found that the entry is ours.
fn found(validate: &Operation) -> Option<u64> {
    match validate.completion? {
        Event { time_ns, phase: Phase::Ok, detail: Detail::Entry { ours: true, .. }, .. } => {
            Some(*time_ns)
        }
        _ => None,
    }
}

/// The first release, if the store refused it, and when that was known. A later one says nothing:
/// the first may have happened.
fn refused_release<'a, 'h>(
    attempt: &'a Attempt<'h>,
    plan: &Plan,
) -> Option<(&'a Operation<'h>, u64)> {
    let means_not_ours = match plan.backend {
        // The committed answer to a release by one who is not the lock's owner.
        Backend::Consul | Backend::Sim => true,
        // Unlocking deletes a key, and succeeds whether or not there is one.
        Backend::Etcd => false,
    };
    let first = attempt.releases.first().filter(|_| means_not_ours)?;
    Some((first, first.refused_ns()?))
}
