//! A semaphore: linearizable iff no more cores than permits have a common instant.
//!
//! Every linearization gives each process as many permits as it has cores at that instant, or more;
//! acquires that take effect when they return and releases that do when they are invoked give no
//! more. See [`permits`](super::permits) for the infos.

use super::cores::Core;
use super::permits::{Permits, linearization};
use super::prefix::Prefix;
use super::processes::{Clock, Processes};
use super::{owner_mutex, tied_process};
use crate::decision::{Conflict, Counterexample, Decision};
use crate::operation::{Action, Outcome};

/// Decides in O(n log n) time.
pub(super) fn decide(
    permits: u32,
    prefix: &Prefix<'_>,
    certificate: bool,
) -> Result<Decision, String> {
    if permits == 1 {
        return owner_mutex::decide(prefix, certificate);
    }
    let mut holds = Permits::new(prefix.len());
    let mut clocks: Processes<Clock> = Processes::new(prefix.len());
    let mut has_denials = false;
    let mut tied = None;
    for (index, operation) in prefix.iter() {
        if clocks.get_mut(operation.process).follow(&operation)? {
            tied = Some(operation.process);
        }
        match (operation.action, operation.outcome) {
            (Action::Acquire(_) | Action::TryAcquire(_), Outcome::Ok | Outcome::Info) => {
                holds.acquire(index, &operation);
            }
            (Action::Release, Outcome::Ok | Outcome::Info) => {
                holds.release(prefix, index, &operation);
            }
            (Action::TryAcquire(_), Outcome::Fail) => has_denials = true,
            (action, Outcome::Fail) if !action.refusal_tells() => {}
            (action, _) => return Err(format!("a semaphore does not know {action:?}")),
        }
    }
    holds.finish(prefix);
    let not_held = holds.not_held.map(|index| {
        let conflict = Conflict::NotHeld(prefix.involved(index));
        Counterexample::new(prefix.get(index).complete, conflict)
    });
    if let Some(counterexample) = not_held.or_else(|| too_many(permits, prefix, &holds)) {
        return match (holds.doubt, tied.filter(|_| holds.is_irregular)) {
            (Some(doubt), _) => Err(doubt),
            (None, Some(process)) => Err(tied_process(process)),
            (None, None) => Ok(Decision::NotLinearizable(counterexample)),
        };
    }
    if has_denials {
        return Err("a semaphore with denied tries has no fast rule".to_owned());
    }
    Ok(Decision::Linearizable(certificate.then(|| linearization(&holds.cores, &[]))))
}

/// One hold more than there are permits, with a common instant.
fn too_many(permits: u32, prefix: &Prefix<'_>, holds: &Permits) -> Option<Counterexample> {
    let is_point = |core: &Core| core.start == core.end;
    let mut ends: Vec<u64> =
        holds.cores.iter().filter(|core| !is_point(core)).map(|core| core.end).collect();
    ends.sort_unstable();
    let (mut begun, mut ended) = (0_usize, 0);
    for (position, core) in holds.cores.iter().enumerate() {
        while ends.get(ended).is_some_and(|end| *end <= core.start) {
            ended += 1;
        }
        if begun - ended >= permits as usize {
            let open = holds.cores[..position].iter().filter(|other| other.end > core.start);
            let open: Vec<&Core> = open.chain([core]).collect();
            let hold = |core: &&Core| prefix.hold(core.acquire, core.release());
            let conflict = Conflict::Overlap(open.iter().map(hold).collect());
            return Some(Counterexample::new(core.start, conflict));
        }
        begun += usize::from(!is_point(core));
    }
    None
}
