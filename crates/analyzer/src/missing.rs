//! Proof that the service did not keep a lock that it had granted.

use locktest_history::{Answer, Backend, Detail, Event, Phase, Plan, Recipe, RoundPurpose, Vote};

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
    /// When it had been shown that the entry was the owner's. If it had, the grant was good and the
    /// service took the lock away; if it had not, the grant itself was stale.
    pub(crate) kept_ns: Option<u64>,
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
            None => {
                kept(known_ns)
                    && !released(known_ns)
                    && is_the_services_word(attempt, validate, RoundPurpose::Read, plan)
            }
        };
        proven.then_some((validate, known_ns))
    });
    let refused = || refused_release(attempt, plan).filter(|(_, known_ns)| kept(*known_ns));
    let (shown_by, known_ns) = read.or_else(refused)?;
    let seen = attempt.validations.iter().filter_map(found);
    let seen = seen.chain(grant_is_the_entry(plan.recipe).then_some(granted.time_ns));
    let kept_ns = seen.filter(|seen_ns| *seen_ns <= shown_by.invoke_ns()).max();
    let promised_until_ns = promised_until_ns(promises, known_ns).unwrap_or(granted.time_ns);
    Some(Missing { shown_by, known_ns, promised_until_ns, kept_ns })
}

/// Whether the grant shows by itself that the entry was there: the reply is to the very request that
/// made it (Redis, etcd's `cas-ttl`) or that read it (`election-key`), or comes out of the memory
/// that holds it (the sim). Elsewhere the reply and the entry are two things, and a grant can be
/// stale.
pub(crate) fn grant_is_the_entry(recipe: Recipe) -> bool {
    match recipe {
        Recipe::CasTtl
        | Recipe::ElectionKey
        | Recipe::Redlock
        | Recipe::Single
        | Recipe::Sentinel
        | Recipe::Sim => true,
        Recipe::LockRpc | Recipe::Session | Recipe::EphemeralSequential => false,
    }
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
/// the first may have happened, even if its outcome is unknown.
fn refused_release<'a, 'h>(
    attempt: &'a Attempt<'h>,
    plan: &Plan,
) -> Option<(&'a Operation<'h>, u64)> {
    let means_not_ours = match plan.backend {
        // The committed answer to a release by one who is not the lock's owner.
        Backend::Consul | Backend::Sim => true,
        // The leader finds that the lock's node is gone, in the order of the writes; even that
        // error is committed before it is told.
        Backend::Zookeeper => true,
        // The script that deletes the key if it is ours ran, and it was not.
        Backend::Redis => true,
        // Unlocking deletes a key, and succeeds whether or not there is one.
        Backend::Etcd => false,
    };
    let first = attempt.releases.first().filter(|_| means_not_ours)?;
    let known_ns = first.refused_ns()?;
    is_the_services_word(attempt, first, RoundPurpose::Release, plan).then_some((first, known_ns))
}

/// Whether a "not yours" is the word of the service as a whole.
///
/// It is where one server, or the leader of all, speaks for the service. Independent servers speak by
/// majority: the owner had won one, so if a majority has no entry of its any more, at least one
/// server dropped what it had promised to keep, and the lock is no longer held. An earlier round that
/// was to give the lock up and that a server without an answer may have carried out since spoils
/// it: an acquire that is tried again may use the same name for its entry.
pub(crate) fn is_the_services_word(
    attempt: &Attempt,
    operation: &Operation,
    purpose: RoundPurpose,
    plan: &Plan,
) -> bool {
    if plan.recipe != Recipe::Redlock {
        return true;
    }
    let during = operation.invoke_ns()..=operation.complete_ns().unwrap_or(0);
    let by_majority = attempt.rounds.iter().any(|round| {
        let noes = round.votes.iter().filter(|vote| vote.answer == Answer::No).count();
        round.purpose == purpose && during.contains(&round.begin_ns) && noes * 2 > plan.nodes.len()
    });
    let may_be_given_up = attempt.rounds.iter().any(|round| {
        let may_come_true = |vote: &Vote| matches!(vote.answer, Answer::Unknown(_));
        round.purpose == RoundPurpose::Release
            && round.begin_ns < operation.invoke_ns()
            && round.votes.iter().any(may_come_true)
    });
    by_majority && !may_be_given_up
}
