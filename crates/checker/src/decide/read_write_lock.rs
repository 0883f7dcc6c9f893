//! A read-write lock: linearizable iff no core of a writer meets another core.
//!
//! Necessary: in any linearization a process writes during the cores of its write side and reads
//! during those of its read side, and nobody else is inside while one writes. Sufficient: let each
//! acquire take effect at the start of its core and each release at its end; then the lock is held
//! during the cores and at no other time. At one stamp what ends comes first, then the points one
//! by one, then what begins; since cores that exclude each other do no more than touch, that is
//! legal. See [`permits`] for the infos; each process has its two sides apart.
//!
//! A denial that meets a core of somebody who stands in its way is explained by it, and takes
//! effect during that core. Whether holds that could be longer than their cores would explain
//! others has no fast rule here.

use super::cores::Core;
use super::permits::{self, Denial, Permits, linearization};
use super::prefix::Prefix;
use super::processes::{Clock, Processes};
use super::tied_process;
use crate::decision::{Conflict, Counterexample, Decision};
use crate::operation::{Action, Operation, Outcome};

/// Decides in O(n log n) time.
pub(super) fn decide(prefix: &Prefix<'_>, certificate: bool) -> Result<Decision, String> {
    let mut writers = Permits::new(prefix.len());
    let mut readers = Permits::new(prefix.len());
    let mut clocks: Processes<Clock> = Processes::new(prefix.len());
    let mut denials: Vec<(u32, Operation)> = Vec::new();
    let mut tied = None;
    for (index, operation) in prefix.iter() {
        if clocks.get_mut(operation.process).follow(&operation)? {
            tied = Some(operation.process);
        }
        match (operation.action, operation.outcome) {
            (Action::TryAcquire(_) | Action::TryAcquireShared, Outcome::Fail) => {
                denials.push((index, operation));
            }
            (action, Outcome::Fail) if !action.refusal_tells() => {}
            (Action::Acquire(_) | Action::TryAcquire(_), _) => writers.acquire(index, &operation),
            (Action::Release, _) => writers.release(prefix, index, &operation),
            (Action::AcquireShared | Action::TryAcquireShared, _) => {
                readers.acquire(index, &operation);
            }
            (Action::ReleaseShared, _) => readers.release(prefix, index, &operation),
            (action, _) => return Err(format!("a read-write lock does not know {action:?}")),
        }
    }
    writers.finish(prefix);
    readers.finish(prefix);
    let not_held = [writers.not_held, readers.not_held].into_iter().flatten().min();
    let not_held = not_held.map(|index| {
        let conflict = Conflict::NotHeld(prefix.involved(index));
        Counterexample::new(prefix.get(index).complete, conflict)
    });
    let is_irregular = writers.is_irregular || readers.is_irregular;
    let cores = merged(&writers.cores, &readers.cores);
    if let Some(counterexample) = not_held.or_else(|| overlap(prefix, &cores)) {
        return match (writers.doubt.or(readers.doubt), tied.filter(|_| is_irregular)) {
            (Some(doubt), _) => Err(doubt),
            (None, Some(process)) => Err(tied_process(process)),
            (None, None) => Ok(Decision::NotLinearizable(counterexample)),
        };
    }
    let cores: Vec<Core> = cores.into_iter().map(|(core, _)| core).collect();
    let denials = placed(&denials, &writers.cores, &cores)?;
    Ok(Decision::Linearizable(certificate.then(|| linearization(&cores, &denials))))
}

/// All cores in order, and whether they are of writers.
fn merged(writers: &[Core], readers: &[Core]) -> Vec<(Core, bool)> {
    let mut cores: Vec<(Core, bool)> = writers.iter().map(|core| (*core, true)).collect();
    cores.extend(readers.iter().map(|core| (*core, false)));
    cores.sort_unstable_by_key(|(core, _)| permits::order(core));
    cores
}

/// The first two cores that exclude each other and have a common instant.
fn overlap(prefix: &Prefix<'_>, cores: &[(Core, bool)]) -> Option<Counterexample> {
    let mut longest: Option<Core> = None;
    let mut longest_of_writers: Option<Core> = None;
    for &(core, writes) in cores {
        let other = if writes { longest } else { longest_of_writers };
        if let Some(other) = other.filter(|other| other.end > core.start) {
            let both = [other, core];
            let both = both.map(|core| prefix.hold(core.acquire, core.release()));
            return Some(Counterexample::new(core.start, Conflict::Overlap(both.into())));
        }
        let is_longer = |longest: &Option<Core>| longest.is_none_or(|last| last.end < core.end);
        if is_longer(&longest) {
            longest = Some(core);
        }
        if writes && is_longer(&longest_of_writers) {
            longest_of_writers = Some(core);
        }
    }
    None
}

/// An instant for each denial at which somebody stands in its way.
fn placed(
    denials: &[(u32, Operation)],
    writers: &[Core],
    cores: &[Core],
) -> Result<Vec<Denial>, String> {
    if denials.is_empty() {
        return Ok(Vec::new());
    }
    let mut longest: Vec<Core> = Vec::with_capacity(cores.len());
    for core in cores {
        let last = longest.last().filter(|last| last.end >= core.end);
        longest.push(*last.unwrap_or(core));
    }
    let place = |&(index, denial): &(u32, Operation)| {
        let candidates = if denial.action == Action::TryAcquireShared { writers } else { &longest };
        let begun = candidates.partition_point(|core| core.start <= denial.complete);
        let core = candidates[..begun].last().filter(|core| core.end >= denial.invoke);
        let core = core.filter(|core| core.start < core.end)?;
        let instant = denial.invoke.max(core.start);
        Some(Denial { instant, at_end: instant == core.end, index })
    };
    denials
        .iter()
        .map(|denial| {
            place(denial).ok_or_else(|| {
                format!("denied try {} of a read-write lock is between all holds", denial.0)
            })
        })
        .collect()
}
