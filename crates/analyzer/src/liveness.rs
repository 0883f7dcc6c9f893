//! Deadlock-freedom: a key that nobody holds is granted to somebody who asks, within the bound.
//!
//! Per key one clock. It runs while somebody waits who reaches a healthy majority, the store answers
//! writes, and nobody may hold the lock. It starts again when a holder gives up or falls silent, at
//! each change of leader, at each begin and end of a fault, and when the store answers again. The
//! bound is what the service may keep a silent holder's lock plus what it may take to recover.

use std::collections::BTreeMap;

use locktest_history::{ClientId, KeyId};

use crate::clock::{KeyClock, Mark};
use crate::faults::Faults;
use crate::findings::{Finding, Findings};
use crate::observed::Observed;
use crate::operation::Attempt;
use crate::possession::Possession;
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

/// When replies can get lost: while a fault comes and goes, at a change of leader, and while the
/// store does not answer writes. A partition in force leaves the connections of clients alone that
/// it does not split.
pub(crate) fn unsettled(
    observed: &Observed,
    faults: &Faults,
    servers: &Servers,
    leader_changes: &[LeaderChange],
) -> Spans {
    let changes = leader_changes.iter().map(|change| (change.time_ns, change.time_ns));
    let turns = changes.chain(faults.iter().flat_map(|fault| fault.turns()));
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
    servers: &Servers,
    restarts: &[u64],
    possessions: &[Possession],
    findings: &mut Findings,
) -> Liveness {
    let mut keys: BTreeMap<KeyId, Course> = BTreeMap::new();
    for attempt in observed.attempts.iter().filter(|attempt| attempt.waits()) {
        let Course { waiters, marks } = keys.entry(attempt.key()).or_default();
        waiters.push(attempt);
        let (begin, end) = (attempt.acquire.invoke_ns(), attempt.asked_until_ns());
        let out_of_reach = servers.out_of_reach(attempt.acquire.invoke);
        out_of_reach.outside(begin, end).for_each(|span| add_wait(marks, span));
    }
    for possession in possessions {
        // A key for which nobody waits cannot be withheld from anybody.
        let Some(Course { marks, .. }) = keys.get_mut(&possession.key) else { continue };
        add_possession(marks, possession, ms_to_ns(observed.plan.lock_delay_ms));
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
                    describe(observed, key, &waiters, possessions, passed_ns)
                });
            }
            clock.apply(mark);
        }
        let showed = clock.finish();
        liveness.longest_to_free_ns = liveness.longest_to_free_ns.max(showed.longest_to_free_ns);
        liveness.freed_after_vanishing += showed.freed_after_vanishing;
        liveness.longest_after_vanishing_ns =
            liveness.longest_after_vanishing_ns.max(showed.longest_after_vanishing_ns);
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

fn add_possession(marks: &mut Vec<(u64, Mark)>, possession: &Possession, lock_delay_ns: u64) {
    let &Possession { begin_ns, end_ns, freed, .. } = possession;
    marks.push((begin_ns, Mark::MayHoldBegins));
    match possession.granted_ns {
        Some(granted_ns) => {
            marks.push((granted_ns, Mark::MayHoldEnds { freed: true }));
            marks.push((granted_ns, Mark::HoldBegins));
            marks.push((end_ns, Mark::HoldEnds { freed }));
        }
        // After a session is given up, lock-delay keeps the lock a little longer.
        None => marks.push((end_ns.saturating_add(lock_delay_ns), Mark::MayHoldEnds { freed })),
    }
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
    possessions: &[Possession],
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
    let before = possessions.iter().filter(|possession| {
        possession.key == key && possession.granted_ns.is_some() && possession.end_ns <= passed_ns
    });
    let holder = before.max_by_key(|possession| possession.end_ns);
    let last = match holder {
        Some(holder) if holder.freed => {
            format!("its last holder {} gave it up by {}", holder.owner.0, seconds(holder.end_ns))
        }
        Some(holder) => format!(
            "its last holder {} gave no sign of life after {}",
            holder.owner.0,
            seconds(holder.end_ns)
        ),
        None => "it had no holder before".to_owned(),
    };
    let held = attempts.iter().filter(|attempt| Some(attempt.owner()) == holder.map(|h| h.owner));
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
