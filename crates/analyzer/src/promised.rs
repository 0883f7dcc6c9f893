//! What the service promised, as a history of plain locks: the proof of a run's safety.

use std::collections::BTreeMap;

use locktest_checker::{Action, NEVER, Object, Operation, Outcome, Process};
use locktest_history::{History, KeyId};

use crate::hold::{Tenure, tenures};
use crate::observed::Observed;

/// The contract view of a run as one owner mutex a key.
///
/// Each stretch of a hold that the service promised has an owner of its own, which acquires it and
/// then releases it at the promise's end, or at some later time: the service may keep the lease
/// longer than it promised. The run has no double grant exactly if these histories are
/// linearizable, so a verified linearization of them is a proof that shares nothing with the
/// analyzer's own rule.
pub fn promised(history: &History) -> Vec<Object> {
    let observed = Observed::new(history);
    let mut by_key: BTreeMap<KeyId, Vec<Operation>> = BTreeMap::new();
    for tenure in tenures(&observed) {
        let operations = by_key.entry(tenure.hold.key).or_default();
        for (begin_ns, end_ns) in stretches(&tenure) {
            let owner = Process::try_from(operations.len()).expect("a run has fewer holds");
            // A later stretch begins with a renewal that found the lease alive.
            let first = begin_ns == tenure.hold.ok_ns;
            let asked_ns = if first { tenure.hold.invoke_ns.min(begin_ns) } else { begin_ns };
            operations.extend(owned(owner, asked_ns, begin_ns, end_ns));
        }
    }
    by_key
        .into_iter()
        .map(|(key, mut operations)| {
            operations.sort_by_key(|operation| operation.invoke);
            Object { name: observed.plan.key_name(key).to_owned(), operations }
        })
        .collect()
}

/// The union of a hold's promises: where one begins before the last one's end, they are one.
fn stretches(tenure: &Tenure) -> Vec<(u64, u64)> {
    let mut promises: Vec<(u64, u64)> =
        tenure.contract.iter().map(|promise| (promise.begin_ns, promise.end_ns)).collect();
    promises.sort_unstable();
    promises.dedup_by(|later, earlier| {
        let joined = later.0 < earlier.1;
        if joined {
            earlier.1 = earlier.1.max(later.1);
        }
        joined
    });
    promises
}

fn owned(owner: Process, asked_ns: u64, begin_ns: u64, end_ns: u64) -> [Operation; 2] {
    let acquire = Operation {
        invoke: asked_ns,
        complete: begin_ns,
        action: Action::Acquire(0),
        process: owner,
        outcome: Outcome::Ok,
    };
    let release = Operation {
        invoke: end_ns,
        complete: NEVER,
        action: Action::Release,
        process: owner,
        outcome: Outcome::Info,
    };
    [acquire, release]
}
