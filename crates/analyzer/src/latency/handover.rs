//! How much of an acquire was waiting for another owner.
//!
//! A recipe that asks again and again, or watches another owner's entry, knows and has recorded how
//! long it waited. Where the service itself queues the request, only the history knows: until the last
//! owner before this one began to give the lock up.

use std::collections::HashMap;

use locktest_history::{Detail, KeyId, Recipe};

use crate::observed::Observed;
use crate::operation::Attempt;

/// When the owners of each lock began to give it up.
pub(super) struct Handovers {
    /// In order; `None` if the clients themselves know how long they waited.
    releases_ns: Option<HashMap<KeyId, Vec<u64>>>,
}

impl Handovers {
    pub(super) fn new(observed: &Observed) -> Handovers {
        let service_queues = matches!(observed.plan.recipe, Recipe::LockRpc | Recipe::Sim);
        let releases_ns = service_queues.then(|| {
            let mut releases_ns: HashMap<KeyId, Vec<u64>> = HashMap::new();
            for attempt in &observed.attempts {
                if let (Some(_), Some(ns)) = (attempt.acquire.ok_ns(), attempt.release_invoke_ns())
                {
                    releases_ns.entry(attempt.key()).or_default().push(ns);
                }
            }
            releases_ns.values_mut().for_each(|releases_ns| releases_ns.sort_unstable());
            releases_ns
        });
        Handovers { releases_ns }
    }

    /// How long an ok acquire waited; zero for any other.
    pub(super) fn waited_ns(&self, attempt: &Attempt) -> u64 {
        let Some((ok_ns, (session_ns, wait_ns))) = attempt.acquire.ok_ns().zip(said(attempt))
        else {
            return 0;
        };
        let Some(releases_ns) = &self.releases_ns else { return wait_ns };
        let releases_ns = releases_ns.get(&attempt.key()).map_or(&[][..], Vec::as_slice);
        let asked_ns = attempt.acquire.invoke_ns() + session_ns;
        let before = releases_ns.partition_point(|ns| *ns < ok_ns);
        let last_ns = before.checked_sub(1).map_or(0, |last| releases_ns[last]);
        last_ns.saturating_sub(asked_ns)
    }
}

/// How long an ok acquire's lease took, and how long its client says that it waited.
fn said(attempt: &Attempt) -> Option<(u64, u64)> {
    match attempt.acquire.completion?.detail {
        Detail::Lease { session_ns, wait_ns, .. } => Some((session_ns, wait_ns)),
        _ => None,
    }
}
