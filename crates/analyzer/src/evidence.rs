//! Evidence from the service itself: grants of locks that it no longer had, and leases that it
//! dropped early.

use locktest_history::{Detail, Event, Phase};

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

/// When it was known that the service granted a lock that it no longer had.
///
/// A read of the lock's entry at the revision of the granting reply itself is proof, whatever the
/// lease did. Any other read proves something only while the lease was promised and this owner
/// had neither given the lock up nor noticed its loss. A read of another revision proves nothing.
pub(crate) fn stale_grant_ns(attempt: &Attempt, promises: &[Promise]) -> Option<u64> {
    let granted = attempt.acquire.completion?;
    let granted_at = match granted.detail {
        Detail::Lease { revision, .. } => revision,
        _ => None,
    };
    attempt.validations.iter().find_map(|validate| {
        let (known_ns, at_revision) = absent(validate)?;
        let proven = match at_revision {
            Some(_) => at_revision == granted_at,
            None => {
                let released = attempt.release_invoke_ns().is_some_and(|time| time <= known_ns);
                let lost = attempt.lost_ns.is_some_and(|time| time < known_ns);
                let promised = promised_until_ns(promises, known_ns).is_some_and(|e| known_ns < e);
                promised && !released && !lost
            }
        };
        proven.then_some(known_ns)
    })
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

/// Reports the grants that [`stale_grant_ns`] proves.
pub(crate) fn stale_grants(observed: &Observed, tenures: &[Tenure], findings: &mut Findings) {
    for tenure in tenures {
        let Some(time_ns) = tenure.stale_ns else { continue };
        let hold = &tenure.hold;
        findings.add(ViolationClass::StaleGrant, time_ns, hold.key, tenure.owner(), || {
            let proof = match tenure.attempt.acquire.completion.map(|event| &event.detail) {
                Some(Detail::Lease { revision: Some(revision), .. }) => {
                    format!("at revision {revision}, that of the reply itself, the lock had no entry of {}", hold.client)
                }
                _ => format!("a read at {} found that the entry is not {}'s", seconds(time_ns), hold.client),
            };
            let lease = if hold.contract_end_ns <= hold.ok_ns {
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
                    seconds(hold.contract_end_ns),
                ),
                resource: None,
                operations: vec![observed.involved_hold(tenure)],
            }
        });
    }
}

/// Reports leases that the service said were gone while it had promised that they live. At most
/// one an attempt: a lease is dropped once.
pub(crate) fn early_expiries(observed: &Observed, findings: &mut Findings) {
    for attempt in &observed.attempts {
        let mut gone = attempt.renewals.iter().filter(|renew| renew.fail_ns().is_some()).peekable();
        if gone.peek().is_none() {
            continue;
        }
        let promises = attempt.promises(observed.plan);
        let early = gone.find_map(|renew| {
            let time_ns = renew.fail_ns()?;
            let until_ns = promised_until_ns(&promises, time_ns).filter(|end| time_ns < *end)?;
            let released = attempt.release_invoke_ns().is_some_and(|release| release <= time_ns);
            (!released).then_some((renew, time_ns, until_ns))
        });
        let Some((renew, time_ns, until_ns)) = early else { continue };
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
                operations: vec![
                    observed.involved(&attempt.acquire),
                    observed.involved(renew),
                ],
            }
        });
    }
}
