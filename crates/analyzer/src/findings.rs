//! What was found: every violation counted, the first few of each class described.

use std::collections::BTreeMap;

use locktest_history::{KeyId, Resource};

use crate::faults::Faults;
use crate::observed::Observed;
use crate::operation::Owner;
use crate::verdict::{Involved, Violation, ViolationClass};

/// How many violations of a class are described.
const SHOWN_PER_CLASS: usize = 5;

/// The parts of a [`Violation`] that its rule knows.
pub(crate) struct Finding {
    pub(crate) why: String,
    pub(crate) resource: Option<Resource>,
    pub(crate) operations: Vec<Involved>,
}

/// What tells violations of one class apart; their order.
type Place = (u64, Option<KeyId>, Owner);

/// Collects violations in any order and keeps the earliest.
pub(crate) struct Findings<'a, 'h> {
    observed: &'a Observed<'h>,
    faults: &'a Faults<'h>,
    counts: BTreeMap<ViolationClass, u64>,
    shown: BTreeMap<ViolationClass, Vec<(Place, Violation)>>,
}

impl<'a, 'h> Findings<'a, 'h> {
    pub(crate) fn new(observed: &'a Observed<'h>, faults: &'a Faults<'h>) -> Findings<'a, 'h> {
        Findings { observed, faults, counts: BTreeMap::new(), shown: BTreeMap::new() }
    }

    /// Adds a violation of one key. `time_ns` is the event that ends the shortest bad prefix;
    /// `describe` is called only if the violation is among those to show.
    pub(crate) fn add(
        &mut self,
        class: ViolationClass,
        time_ns: u64,
        key: impl Into<Option<KeyId>>,
        owner: Owner,
        describe: impl FnOnce() -> Finding,
    ) {
        *self.counts.entry(class).or_default() += 1;
        let key = key.into();
        let place = (time_ns, key, owner);
        let shown = self.shown.entry(class).or_default();
        let rank = shown.partition_point(|(other, _)| *other <= place);
        if rank == SHOWN_PER_CLASS {
            return;
        }
        let Finding { why, resource, operations } = describe();
        let violation = Violation {
            class,
            key: key.map(|key| self.observed.plan.key_name(key)).unwrap_or_default(),
            time_ns,
            why,
            during: self.faults.during(self.observed, time_ns),
            resource,
            operations,
        };
        shown.insert(rank, (place, violation));
        shown.truncate(SHOWN_PER_CLASS);
    }

    pub(crate) fn count(&self, class: ViolationClass) -> u64 {
        self.counts.get(&class).copied().unwrap_or(0)
    }

    pub(crate) fn counts(&self) -> &BTreeMap<ViolationClass, u64> {
        &self.counts
    }

    /// The violations to show, in the order of the events that made them so.
    pub(crate) fn into_shown(self) -> Vec<Violation> {
        let mut shown: Vec<Violation> =
            self.shown.into_values().flatten().map(|(_, violation)| violation).collect();
        shown.sort_by_key(|violation| (violation.time_ns, violation.class));
        shown
    }
}
