//! Deadlock-freedom: a key that nobody holds is granted to somebody who asks, within the bound.
//!
//! Per key one clock. It runs while somebody waits who reaches a healthy majority, the store answers
//! writes, and nobody may hold the lock. It starts again when a holder gives up or falls silent, at
//! each change of leader, at each begin and end of a fault, and when the store answers again. The
//! bound is what the service may keep a silent holder's lock plus what it may take to recover.
//!
//! A holder that is paused or cut off from all servers has fallen silent, whatever it believes: as soon
//! as the last request that it can have sent is over, the lock counts as nobody's until it can send
//! again. The same goes for whoever may hold without knowing. What is sent for the first time in
//! such a time is not granted in it.

use std::collections::BTreeMap;

use locktest_history::{ClientId, KeyId, Plan};

use crate::clock::{KeyClock, Mark};
use crate::faults::Faults;
use crate::findings::{Finding, Findings};
use crate::observed::Observed;
use crate::operation::Attempt;
use crate::possession::Possession;
use crate::reach::Reach;
use crate::servers::Servers;
use crate::time::{Spans, ms_to_ns, seconds};
use crate::verdict::{LeaderChange, ViolationClass};

/// What the liveness clocks showed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Liveness {
    /// The longest that a key took to be granted to somebody who waited, once its holder had given
    /// it up.
    pub(crate) longest_to_free_ns: u64,
    /// Holders that vanished: they died, or their release was never confirmed.
    pub(crate) vanished: u64,
    /// Grants after a holder that vanished to somebody who waited.
    pub(crate) freed_after_vanishing: u64,
    /// The longest of those, as far as it was measured.
    pub(crate) longest_after_vanishing_ns: u64,
    /// The longest wait for a holder that fell silent, beyond its lease bound, and spoke again before
    /// the bound of a violation had passed.
    pub(crate) kept_by_silent: Option<(KeyId, u64)>,
    /// The longest wait beyond the bound that is no violation: the bound never elapsed undisturbed.
    pub(crate) unclear: Option<(KeyId, u64)>,
    /// The longest wait that was cut off by the end of the history.
    pub(crate) cut_off: Option<(KeyId, u64)>,
}

/// The bound of both liveness classes.
pub(crate) fn bound_ns(observed: &Observed) -> u64 {
    let bounds = &observed.plan.bounds;
    ms_to_ns(bounds.lease_bound_ms.saturating_add(bounds.recovery_bound_ms))
}

/// The instants at which every liveness clock starts again, in time order.
pub(crate) fn restarts(faults: &Faults, leader_changes: &[LeaderChange]) -> Vec<u64> {
    let turns = faults.iter().flat_map(|fault| fault.turns());
    let mut restarts: Vec<u64> = turns.flat_map(|(from_ns, to_ns)| [from_ns, to_ns]).collect();
    restarts.extend(leader_changes.iter().map(|change| change.time_ns));
    restarts.sort_unstable();
    restarts
}

/// When replies can get lost: while a fault of servers or of their links comes and goes, at a change
/// of leader, and while the store does not answer writes. A fault in force leaves the connections
/// alone that it does not concern; those that it does are in `reach`, as is all that concerns clients
/// alone.
pub(crate) fn unsettled(
    observed: &Observed,
    faults: &Faults,
    servers: &Servers,
    leader_changes: &[LeaderChange],
) -> Spans {
    let changes = leader_changes.iter().map(|change| (change.time_ns, change.time_ns));
    let of_servers = faults.iter().filter(|fault| !fault.done().kind.is_of_clients());
    let turns = changes.chain(of_servers.flat_map(|fault| fault.turns()));
    // An instant is the shortest span.
    let mut spans: Vec<(u64, u64)> =
        turns.map(|(from_ns, to_ns)| (from_ns, to_ns.saturating_add(1))).collect();
    let mut silent_from_ns = 0;
    for (time_ns, answers) in &servers.store_answers {
        if *answers {
            spans.push((silent_from_ns, *time_ns));
        }
        silent_from_ns = *time_ns;
    }
    if servers.store_answers.last().is_none_or(|(_, answers)| !answers) {
        spans.push((silent_from_ns, observed.end_ns));
    }
    Spans::union(spans)
}

/// What happened to one key.
#[derive(Default)]
struct Course<'o, 'h> {
    waiters: Vec<&'o Attempt<'h>>,
    marks: Vec<(u64, Mark)>,
}

/// Runs the clock of every key that somebody waited for and reports each time it passes the bound
/// before the run was disturbed. O(n log n).
pub(crate) fn deadlocks(
    observed: &Observed,
    (servers, reach): (&Servers, &Reach),
    restarts: &[u64],
    possessions: &[Possession],
    findings: &mut Findings,
) -> Liveness {
    let mut keys: BTreeMap<KeyId, Course> = BTreeMap::new();
    for attempt in observed.attempts.iter().filter(|attempt| attempt.waits()) {
        let Course { waiters, marks } = keys.entry(attempt.key()).or_default();
        waiters.push(attempt);
        let (begin, end) = (attempt.acquire.invoke_ns(), attempt.asked_until_ns());
        let out_of_reach = reach.out_of_reach(attempt.acquire.invoke);
        out_of_reach.outside(begin, end).for_each(|span| add_wait(marks, span));
    }
    for possession in possessions {
        // A key for which nobody waits cannot be withheld from anybody.
        let Some(Course { marks, .. }) = keys.get_mut(&possession.key) else { continue };
        let silent = reach.silent(possession.owner.0);
        add_possession(marks, possession, silent, observed.plan);
    }
    // At the end every process ends.
    let over_ns = observed.time_up_ns.unwrap_or(observed.end_ns);
    let vanished = possessions.iter().filter(|possession| {
        possession.granted_ns.is_some() && !possession.freed && possession.end_ns < over_ns
    });
    let mut liveness = Liveness { vanished: vanished.count() as u64, ..Liveness::default() };
    for (key, Course { waiters, mut marks }) in keys {
        marks.extend(restarts.iter().map(|time_ns| (*time_ns, Mark::Restart)));
        let answers = servers.store_answers.iter();
        marks.extend(answers.map(|(time_ns, now)| (*time_ns, Mark::StoreAnswers(*now))));
        // Stable, and each begin was added before its end.
        marks.sort_by_key(|(time_ns, _)| *time_ns);
        let mut clock = KeyClock::new(bound_ns(observed));
        for (time_ns, mark) in marks {
            let passed_ns = clock.advance(time_ns);
            if let Some(passed_ns) = passed_ns.filter(|ns| *ns < observed.undisturbed_until_ns()) {
                findings.add(ViolationClass::Deadlock, passed_ns, key, (ClientId(0), 0), || {
                    describe(observed, key, &waiters, (possessions, reach), passed_ns)
                });
            }
            clock.apply(mark);
        }
        let showed = clock.finish();
        liveness.longest_to_free_ns = liveness.longest_to_free_ns.max(showed.longest_to_free_ns);
        liveness.freed_after_vanishing += showed.freed_after_vanishing;
        liveness.longest_after_vanishing_ns =
            liveness.longest_after_vanishing_ns.max(showed.longest_after_vanishing_ns);
        if showed.kept_by_silent_ns > ms_to_ns(observed.plan.bounds.lease_bound_ms) {
            keep_longest(&mut liveness.kept_by_silent, key, showed.kept_by_silent_ns);
        }
        keep_longest(&mut liveness.unclear, key, showed.unclear_ns);
        keep_longest(&mut liveness.cut_off, key, showed.cut_off_ns);
    }
    liveness.vanished = liveness.vanished.max(liveness.freed_after_vanishing);
    liveness
}

fn add_wait(marks: &mut Vec<(u64, Mark)>, (begin_ns, end_ns): (u64, u64)) {
    if begin_ns < end_ns {
        marks.push((begin_ns, Mark::WaitBegins));
        marks.push((end_ns, Mark::WaitEnds));
    }
}

/// All times within one possession ascend, so that each mark finds what it ends.
fn add_possession(
    marks: &mut Vec<(u64, Mark)>,
    possession: &Possession,
    silent: &Spans,
    plan: &Plan,
) {
    let lock_delay_ns = ms_to_ns(plan.lock_delay_ms);
    let &Possession { begin_ns, granted_ns, end_ns, freed, .. } = possession;
    let untold_until_ns = granted_ns.unwrap_or(end_ns);
    let at_once = (begin_ns == untold_until_ns).then_some((begin_ns, begin_ns));
    for (from_ns, to_ns) in silent.outside(begin_ns, untold_until_ns).chain(at_once) {
        marks.push((from_ns, Mark::MayHoldBegins));
        marks.push(match granted_ns {
            _ if to_ns < untold_until_ns => (to_ns, Mark::MayHoldEnds { freed: false }),
            Some(granted_ns) => (granted_ns, Mark::MayHoldEnds { freed: true }),
            // After a session is given up, lock-delay keeps the lock a little longer.
            None => (end_ns.saturating_add(lock_delay_ns), Mark::MayHoldEnds { freed }),
        });
    }
    let Some(granted_ns) = granted_ns else { return };
    marks.push((granted_ns, Mark::HoldBegins));
    let mut was_silent = false;
    for (from_ns, to_ns) in silent.inside(granted_ns, end_ns) {
        // The last request that it can have sent had an operation's timeout to be over.
        let since_ns = from_ns.saturating_sub(ms_to_ns(plan.op_timeout_ms)).max(granted_ns);
        marks.push((from_ns, Mark::HolderFallsSilent { since_ns }));
        marks.push((to_ns, Mark::HolderSpeaksAgain));
        was_silent = true;
    }
    marks.push((end_ns, Mark::HoldEnds { freed, was_silent }));
}

fn keep_longest(longest: &mut Option<(KeyId, u64)>, key: KeyId, time_ns: u64) {
    if time_ns > longest.map_or(0, |(_, longest_ns)| longest_ns) {
        *longest = Some((key, time_ns));
    }
}

fn describe(
    observed: &Observed,
    key: KeyId,
    attempts: &[&Attempt],
    (possessions, reach): (&[Possession], &Reach),
    passed_ns: u64,
) -> Finding {
    let waiting: Vec<&&Attempt> = attempts
        .iter()
        .filter(|attempt| {
            (attempt.acquire.invoke_ns()..attempt.asked_until_ns().saturating_add(1))
                .contains(&passed_ns)
        })
        .collect();
    let names: Vec<String> = waiting.iter().map(|attempt| attempt.client().to_string()).collect();
    // Since when each is no holder any more, and whether that is because it fell silent.
    let gone = |possession: &Possession| {
        let granted_ns = possession.granted_ns.filter(|ns| *ns <= passed_ns)?;
        let silent = reach.silent(possession.owner.0);
        let silent_ns =
            silent.inside(granted_ns, possession.end_ns).find_map(|(from_ns, to_ns)| {
                (from_ns..to_ns).contains(&passed_ns).then_some((from_ns, true))
            });
        silent_ns.or((possession.end_ns <= passed_ns).then_some((possession.end_ns, false)))
    };
    let before = possessions.iter().filter(|possession| possession.key == key);
    let before = before.filter_map(|possession| Some((gone(possession)?, possession)));
    let holder = before.max_by_key(|(gone, _)| *gone);
    let last = match holder {
        Some(((from_ns, true), holder)) => format!(
            "its last holder {} was paused or cut off and could not renew from {} on",
            holder.owner.0,
            seconds(from_ns)
        ),
        Some(((end_ns, _), holder)) if holder.freed => {
            format!("its last holder {} gave it up by {}", holder.owner.0, seconds(end_ns))
        }
        Some(((end_ns, _), holder)) => {
            format!(
                "its last holder {} gave no sign of life after {}",
                holder.owner.0,
                seconds(end_ns)
            )
        }
        None => "it had no holder before".to_owned(),
    };
    let held = attempts
        .iter()
        .filter(|attempt| Some(attempt.owner()) == holder.map(|(_, holder)| holder.owner));
    Finding {
        why: format!(
            "{} was granted to nobody for more than the bound of {}, while {} waited for it and the store answered writes; {last}",
            observed.plan.key_name(key),
            seconds(bound_ns(observed)),
            names.join(", "),
        ),
        resource: None,
        operations: held.chain(waiting).map(|a| observed.involved(&a.acquire)).collect(),
    }
}
