//! Evidence from the service itself: grants of locks that it no longer had, and leases that it
//! dropped early.

use locktest_history::{Backend, Detail, Event, Phase, Plan};

use crate::findings::{Finding, Findings};
use crate::hold::Tenure;
use crate::observed::Observed;
use crate::operation::{Attempt, Operation, Promise};
use crate::time::seconds;
use crate::verdict::ViolationClass;

/// Until when the replies that had arrived at `known_by_ns` promise that the lease lives.
fn promised_until_ns(promises: &[Promise], known_by_ns: u64) -> Option<u64> {
    let known = promises.iter().take_while(|promise| promise.known_ns <= known_by_ns);
    known.map(|promise| promise.end_ns).max()
}

/// What proves that the lock's entry was not its owner's although the service had granted it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing<'a, 'h> {
    /// The read that did not find the entry, or the release that the store refused.
    shown_by: &'a Operation<'h>,
    /// When that was known.
    known_ns: u64,
    /// Until when the replies that had arrived by then promised that the lease lives.
    promised_until_ns: u64,
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
fn absent(validate: &Operation) -> Option<(u64, Option<u64>)> {
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

/// Reports the grants of locks that the service no longer had.
pub(crate) fn stale_grants(observed: &Observed, tenures: &[Tenure], findings: &mut Findings) {
    for tenure in tenures {
        let Some(missing) = tenure.stale() else { continue };
        let (hold, time_ns) = (&tenure.hold, missing.known_ns);
        findings.add(ViolationClass::StaleGrant, time_ns, hold.key, tenure.owner(), || {
            let proof = match absent(missing.shown_by) {
                Some((_, Some(revision))) => {
                    format!("at revision {revision}, that of the reply itself, the lock had no entry of {}", hold.client)
                }
                Some((_, None)) => format!("a read at {} found that the entry is not {}'s", seconds(time_ns), hold.client),
                None => format!("its release was refused at {}: the entry is not {}'s", seconds(time_ns), hold.client),
            };
            let lease = if missing.promised_until_ns <= hold.ok_ns {
                "had ended before the reply"
            } else {
                "had not ended"
            };
            Finding {
                why: format!(
                    "{} told {} at {} that it holds {}, yet {proof}; its lease (to {}) {lease}",
                    observed.server_name(hold.server),
                    hold.client,
                    seconds(hold.ok_ns),
                    observed.plan.key_name(hold.key),
                    seconds(missing.promised_until_ns),
                ),
                resource: None,
                operations: vec![observed.involved_hold(tenure)],
            }
        });
    }
}

/// Reports leases that the service said were gone, and locks that it had and took away, while it had
/// promised to keep them. At most one an attempt: a lease is dropped once.
pub(crate) fn early_expiries(observed: &Observed, tenures: &[Tenure], findings: &mut Findings) {
    for attempt in &observed.attempts {
        let Some((renew, time_ns, until_ns)) = lease_gone_early(attempt, observed.plan) else {
            continue;
        };
        findings.add(ViolationClass::EarlyExpiry, time_ns, attempt.key(), attempt.owner(), || {
            Finding {
                why: format!(
                    "{}'s lease ran to {}, yet {} said at {} that it does not exist; {} had not released it",
                    attempt.client(),
                    seconds(until_ns),
                    observed.server_name(renew.invoke.server),
                    seconds(time_ns),
                    attempt.client(),
                ),
                resource: None,
                operations: vec![observed.involved(&attempt.acquire), observed.involved(renew)],
            }
        });
    }
    for tenure in tenures {
        let (attempt, hold) = (tenure.attempt, &tenure.hold);
        let Some(missing) = tenure.missing else { continue };
        let Some(seen_ns) = missing.seen_ns else { continue };
        if lease_gone_early(attempt, observed.plan).is_some() {
            continue;
        }
        let time_ns = missing.known_ns;
        findings.add(ViolationClass::EarlyExpiry, time_ns, hold.key, tenure.owner(), || Finding {
            why: format!(
                "{} held {} at {}, as a read showed, with a lease to {}, yet {} said at {} that it does not hold it; {} had not released it before",
                hold.client,
                observed.plan.key_name(hold.key),
                seconds(seen_ns),
                seconds(missing.promised_until_ns),
                observed.server_name(missing.shown_by.invoke.server),
                seconds(time_ns),
                hold.client,
            ),
            resource: None,
            operations: vec![observed.involved_hold(tenure), observed.involved(missing.shown_by)],
        });
    }
}

/// The first renewal to which the service said that the lease is gone while it had promised that it
/// lives, when that was known, and to when the promise ran.
fn lease_gone_early<'a, 'h>(
    attempt: &'a Attempt<'h>,
    plan: &Plan,
) -> Option<(&'a Operation<'h>, u64, u64)> {
    let mut gone =
        attempt.renewals.iter().filter_map(|renew| Some((renew, renew.refused_ns()?))).peekable();
    gone.peek()?;
    let promises = attempt.promises(plan);
    gone.find_map(|(renew, time_ns)| {
        let until_ns = promised_until_ns(&promises, time_ns).filter(|end| time_ns < *end)?;
        let released = attempt.release_invoke_ns().is_some_and(|release| release <= time_ns);
        (!released).then_some((renew, time_ns, until_ns))
    })
}
