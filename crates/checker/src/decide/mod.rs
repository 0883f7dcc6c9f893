//! Polynomial deciders for the locks that have them.
//!
//! Each decider knows one object and is exact on every history that it accepts. Some histories let
//! infos take effect in so many ways that no fast rule is proven for them; of such a history a
//! decider still finds an order if the obvious one is good, and otherwise says which of its
//! assumptions fails instead of giving a verdict.
//!
//! The proofs lean on two facts. What a hold surely covers is its *core*, from the completion of
//! its acquire to the invoke of its release: the acquire takes effect before it, the release after
//! it. And an ok release of somebody who may own only one hold at a time ends the acquire before
//! it, since the operations of one process follow each other.

mod anonymous_mutex;
mod cores;
mod fenced_mutex;
mod fenced_resource;
pub(crate) mod key_value;
mod lease_mutex;
mod owner_mutex;
mod permits;
mod prefix;
mod processes;
mod read_write_lock;
mod reentrant_mutex;
mod semaphore;
#[cfg(test)]
mod tests;

use crate::decision::{Counterexample, Decision};
use crate::operation::{NEVER, Operation, Outcome, Process};
use crate::specification::Specification;
use prefix::Prefix;

/// Decides `operations`, which are in order of their invokes, by the polynomial decider of the
/// specification; `None` if it has none. A positive decision carries its linearization if
/// `certificate` asks for it, a negative one always its counterexample. That is the shortest, unless
/// an assumption of the decider fails for a prefix before.
///
/// # Errors
/// The assumption of the decider that does not hold for this history, in words. The history may be
/// of either kind then.
pub fn decide(
    specification: Specification,
    operations: &[Operation],
    certificate: bool,
) -> Option<Result<Decision, String>> {
    let decided = match specification {
        Specification::Mutex => exactly(operations, certificate, anonymous_mutex::decide),
        Specification::OwnerMutex => exactly(operations, certificate, owner_mutex::decide),
        Specification::ReentrantMutex { depth } => {
            exactly(operations, certificate, |prefix, certificate| {
                reentrant_mutex::decide(depth, prefix, certificate)
            })
        }
        Specification::FencedMutex => exactly(operations, certificate, fenced_mutex::decide),
        Specification::Semaphore { permits } => {
            exactly(operations, certificate, |prefix, certificate| {
                semaphore::decide(permits, prefix, certificate)
            })
        }
        Specification::ReadWriteLock => exactly(operations, certificate, read_write_lock::decide),
        Specification::LeaseMutex { lease_ns } => {
            exactly(operations, certificate, |prefix, certificate| {
                lease_mutex::decide(lease_ns, prefix, certificate)
            })
        }
        Specification::FencedResource => exactly(operations, certificate, fenced_resource::decide),
        Specification::CasRegister | Specification::KeyValue => return None,
    };
    Some(decided)
}

/// Runs a decider, and if the history is bad, looks for its shortest bad prefix.
fn exactly(
    operations: &[Operation],
    certificate: bool,
    decider: impl Fn(&Prefix<'_>, bool) -> Result<Decision, String>,
) -> Result<Decision, String> {
    check_form(operations)?;
    match decider(&Prefix::whole(operations), certificate)? {
        Decision::NotLinearizable(found) => {
            let decide_until = |until| decider(&Prefix::until(operations, until), false);
            Ok(Decision::NotLinearizable(shorten(operations, found, decide_until)))
        }
        decision => Ok(decision),
    }
}

/// The counterexample with the shortest prefix that the decider knows to be bad. Where a
/// counterexample says that its prefix ends is a good guess: usually that prefix is bad and the one
/// before is not.
fn shorten(
    operations: &[Operation],
    mut found: Counterexample,
    decide_until: impl Fn(u64) -> Result<Decision, String>,
) -> Counterexample {
    let completions = || {
        operations.iter().map(|operation| operation.complete).filter(|complete| *complete < NEVER)
    };
    // A prefix that ends at `bad` is bad, and one that ends before `open` is not, as far as the
    // decider can tell; it is sure of one that ends before `unsure`.
    let (mut unsure, mut open, mut bad) = (0, 0, completions().max().unwrap_or(0));
    let mut guess = found.at;
    while open < bad {
        let probe = guess.clamp(open, bad - 1);
        let decided = decide_until(probe);
        let Ok(Decision::NotLinearizable(shorter)) = decided else {
            open = probe + 1;
            if decided.is_ok() {
                unsure = open;
            }
            guess = open + (bad - open) / 2;
            continue;
        };
        guess = if shorter.at < probe {
            shorter.at
        } else if probe + 1 < bad {
            probe.saturating_sub(1)
        } else {
            open + (bad - open) / 2
        };
        bad = probe;
        // The first that was found has the most to say of what came after.
        let is_possible = open <= found.at && found.at <= bad;
        if !is_possible || (open <= shorter.at && shorter.at < found.at) {
            found = shorter;
        }
    }
    found.at = completions().filter(|complete| *complete <= bad).max().unwrap_or(bad);
    // What is merely invoked breaks nothing.
    found.shortest = !completions().any(|complete| unsure <= complete && complete < found.at);
    found
}

/// What every decider assumes of the input.
fn check_form(operations: &[Operation]) -> Result<(), String> {
    if u32::try_from(operations.len()).is_err() {
        return Err("there are more operations than 32 bits can number".to_owned());
    }
    let mut previous_invoke = 0;
    for (index, operation) in operations.iter().enumerate() {
        if operation.invoke < previous_invoke {
            return Err(format!("operation {index} is not in order of the invokes"));
        }
        previous_invoke = operation.invoke;
        let is_open = operation.complete == NEVER;
        if operation.invoke == NEVER
            || operation.complete < operation.invoke
            || is_open != (operation.outcome == Outcome::Info)
        {
            return Err(format!("the stamps of operation {index} do not fit its outcome"));
        }
    }
    Ok(())
}

/// Why a history is not decided whose processes do not take and release in turns.
fn tied_process(process: Process) -> String {
    format!(
        "process {process} began an operation at the stamp at which its last one ended, which \
         leaves their order open"
    )
}
