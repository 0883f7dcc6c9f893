//! Evidence from the service itself: grants of locks that it no longer had, and leases that it
//! dropped early.

use locktest_history::{Plan, RoundPurpose};

use crate::findings::{Finding, Findings};
use crate::hold::Tenure;
use crate::missing::{absent, is_the_services_word, promised_until_ns};
use crate::observed::Observed;
use crate::operation::{Attempt, Operation};
use crate::time::seconds;
use crate::verdict::{Involved, ViolationClass};

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
                operations: vec![tenure.involved(observed)],
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
                operations: vec![
                    Involved {
                        rounds: observed.rounds(attempt),
                        ..observed.involved(&attempt.acquire)
                    },
                    observed.involved(renew),
                ],
            }
        });
    }
    for tenure in tenures {
        let (attempt, hold) = (tenure.attempt, &tenure.hold);
        let Some(missing) = tenure.missing else { continue };
        let Some(kept_ns) = missing.kept_ns else { continue };
        if lease_gone_early(attempt, observed.plan).is_some() {
            continue;
        }
        let time_ns = missing.known_ns;
        findings.add(ViolationClass::EarlyExpiry, time_ns, hold.key, tenure.owner(), || Finding {
            why: format!(
                "{} held {} at {}, as the store itself had shown, with a lease to {}, yet {} said at {} that it does not hold it; {} had not released it before",
                hold.client,
                observed.plan.key_name(hold.key),
                seconds(kept_ns),
                seconds(missing.promised_until_ns),
                observed.server_name(missing.shown_by.invoke.server),
                seconds(time_ns),
                hold.client,
            ),
            resource: None,
            operations: vec![tenure.involved(observed), observed.involved(missing.shown_by)],
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
        let is_proof =
            !released && is_the_services_word(attempt, renew, RoundPurpose::Extend, plan);
        is_proof.then_some((renew, time_ns, until_ns))
    })
}
