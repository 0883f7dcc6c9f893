//! Mutual exclusion: two owners of one key at one time.
//!
//! A lock history without denials is linearizable as an owner mutex exactly if the cores
//! `[acquire.ok, release.invoke]` are pairwise disjoint; acquires of unknown outcome change
//! nothing. Here a lease may end a hold as well, so the same test runs over the contract view for
//! the service's fault, and over the belief view for the holder's.

use std::collections::BTreeMap;

use locktest_history::KeyId;

use crate::findings::{Finding, Findings};
use crate::hold::{Promised, Tenure};
use crate::observed::Observed;
use crate::time::seconds;
use crate::verdict::ViolationClass;

/// The holds of each key, ordered by the time of their grant.
pub(crate) type ByKey<'t, 'a, 'h> = BTreeMap<KeyId, Vec<&'t Tenure<'a, 'h>>>;

pub(crate) fn by_key<'t, 'a, 'h>(tenures: &'t [Tenure<'a, 'h>]) -> ByKey<'t, 'a, 'h> {
    let mut by_key = ByKey::new();
    for tenure in tenures {
        by_key.entry(tenure.hold.key).or_default().push(tenure);
    }
    by_key
}

/// Two holds that overlap in a way that is a violation.
pub(crate) struct Conflict {
    class: ViolationClass,
    /// The first instant of the overlap.
    begin_ns: u64,
    /// The event that shows it.
    pub(crate) known_ns: u64,
}

/// Whether two intervals share more than an end. An empty interval inside another counts: a hold
/// that is released in the instant of its grant was still a hold.
fn overlap((a_begin, a_end): (u64, u64), (b_begin, b_end): (u64, u64)) -> bool {
    a_begin < b_end && b_begin < a_end
}

/// What the promises to two owners of one key are to each other.
pub(crate) fn double_grant(a: &Promised, b: &Promised) -> Option<Conflict> {
    overlap((a.begin_ns, a.end_ns), (b.begin_ns, b.end_ns)).then(|| {
        let begin_ns = a.begin_ns.max(b.begin_ns);
        let known_ns = begin_ns.max(a.known_ns).max(b.known_ns);
        Conflict { class: ViolationClass::DoubleGrant, begin_ns, known_ns }
    })
}

/// What two holds of one key are to each other; the most severe class only.
fn conflict(earlier: &Tenure, later: &Tenure) -> Option<Conflict> {
    let promised = earlier.contract.iter().flat_map(|a| later.contract.iter().map(move |b| (a, b)));
    let double_grant = promised
        .filter_map(|(a, b)| double_grant(a, b))
        .min_by_key(|conflict| (conflict.known_ns, conflict.begin_ns));
    if double_grant.is_some() {
        return double_grant;
    }
    // What a stale grant leads to is that grant's fault, not its holder's.
    let stale = earlier.stale().is_some() || later.stale().is_some();
    let (a, b) = (&earlier.hold, &later.hold);
    let believed = overlap((a.ok_ns, a.belief_end_ns), (b.ok_ns, b.belief_end_ns));
    (believed && !stale).then_some(Conflict {
        class: ViolationClass::LeaseOverrun,
        begin_ns: b.ok_ns,
        known_ns: b.ok_ns,
    })
}

/// Reports every pair of holds that overlap: O(n log n) in the holds, plus the pairs that are open
/// at one time.
pub(crate) fn overlaps(observed: &Observed, by_key: &ByKey, findings: &mut Findings) {
    for tenures in by_key.values() {
        let mut open: Vec<&Tenure> = Vec::new();
        for &later in tenures {
            open.retain(|earlier| earlier.end_ns() > later.hold.ok_ns);
            for &earlier in &open {
                let Some(conflict) = conflict(earlier, later) else { continue };
                let key = later.hold.key;
                findings.add(conflict.class, conflict.known_ns, key, later.owner(), || Finding {
                    why: match conflict.class {
                        ViolationClass::DoubleGrant => {
                            describe_double_grant(observed, earlier, later, &conflict)
                        }
                        _ => describe_overrun(observed, earlier, later),
                    },
                    resource: None,
                    operations: vec![earlier.involved(observed), later.involved(observed)],
                });
            }
            open.push(later);
        }
    }
}

fn describe_double_grant(
    observed: &Observed,
    earlier: &Tenure,
    later: &Tenure,
    conflict: &Conflict,
) -> String {
    let grant = |tenure: &Tenure| {
        let hold = &tenure.hold;
        format!(
            "{} was granted {} by {} at {} with a promise to {}{}",
            hold.client,
            observed.plan.key_name(hold.key),
            observed.server_name(hold.server),
            seconds(hold.ok_ns),
            seconds(hold.contract_end_ns),
            token_of(tenure),
        )
    };
    format!(
        "{}; {}; both promises were valid at {}",
        grant(earlier),
        grant(later),
        seconds(conflict.begin_ns)
    )
}

fn describe_overrun(observed: &Observed, earlier: &Tenure, later: &Tenure) -> String {
    let (first, second) = (&earlier.hold, &later.hold);
    let key = observed.plan.key_name(second.key);
    let ended_first = first.contract_end_ns <= second.ok_ns;
    let (over, other) = if ended_first { (earlier, later) } else { (later, earlier) };
    let (over_token, other_token) = (token_of(over), token_of(other));
    let (over, other) = (&over.hold, &other.hold);
    format!(
        "{}'s lease on {key} ended at {}, yet it acted as the holder until {}{over_token}, while {} held from {} with a promise to {}{other_token}",
        over.client,
        seconds(over.contract_end_ns),
        seconds(over.belief_end_ns),
        other.client,
        seconds(other.ok_ns),
        seconds(other.contract_end_ns),
    )
}

fn token_of(tenure: &Tenure) -> String {
    tenure.hold.token.map(|token| format!(" (token {token})")).unwrap_or_default()
}

/// How often owners met.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contention {
    /// Grants that waited while another owner held.
    pub(crate) waited: u64,
    /// The same for attempts that do not wait, granted or denied: another held during one.
    pub(crate) met: u64,
}

impl Contention {
    /// How many attempts met a holder: each of them put mutual exclusion to the test.
    pub(crate) fn total(self) -> u64 {
        self.waited + self.met
    }
}

pub(crate) fn contention(observed: &Observed, by_key: &ByKey) -> Contention {
    let mut contention = Contention::default();
    let mut held: BTreeMap<KeyId, HeldUntil> = BTreeMap::new();
    for (key, tenures) in by_key {
        let held = held.entry(*key).or_insert_with(|| HeldUntil::new(tenures));
        for tenure in tenures {
            let hold = &tenure.hold;
            if held.during(hold.invoke_ns, hold.ok_ns) {
                let waits = tenure.attempt.waits();
                *(if waits { &mut contention.waited } else { &mut contention.met }) += 1;
            }
        }
    }
    let tries = observed.attempts.iter().filter(|attempt| !attempt.waits());
    for attempt in tries {
        let (Some(denied_ns), Some(held)) =
            (attempt.acquire.refused_ns(), held.get(&attempt.key()))
        else {
            continue;
        };
        contention.met += u64::from(held.during(attempt.acquire.invoke_ns(), denied_ns));
    }
    contention
}

/// When a key was held: each grant with the latest belief end among it and those before.
struct HeldUntil(Vec<(u64, u64)>);

impl HeldUntil {
    fn new(tenures: &[&Tenure]) -> HeldUntil {
        let mut until_ns = 0;
        let held = tenures.iter().map(|tenure| {
            until_ns = tenure.hold.belief_end_ns.max(until_ns);
            (tenure.hold.ok_ns, until_ns)
        });
        HeldUntil(held.collect())
    }

    /// Whether somebody who was granted the key before `end_ns` held it after `begin_ns`.
    fn during(&self, begin_ns: u64, end_ns: u64) -> bool {
        let granted = self.0.partition_point(|(ok_ns, _)| *ok_ns < end_ns);
        granted > 0 && self.0[granted - 1].1 > begin_ns
    }
}
