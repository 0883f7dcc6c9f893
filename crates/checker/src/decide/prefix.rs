//! A history up to an instant, as one saw it then.

use crate::decision::{Hold, Involved};
use crate::operation::{Action, NEVER, Operation, Outcome};

/// The operations that were invoked up to an instant; those that were open then have become
/// infos. Linearizability is prefix-closed, so a history is bad if one of its prefixes is.
pub(super) struct Prefix<'a> {
    operations: &'a [Operation],
    until: u64,
}

impl<'a> Prefix<'a> {
    /// All of it.
    pub(super) fn whole(operations: &'a [Operation]) -> Prefix<'a> {
        Prefix { operations, until: NEVER }
    }

    /// What had happened at the stamp `until`, its events included.
    pub(super) fn until(operations: &'a [Operation], until: u64) -> Prefix<'a> {
        let invoked = operations.partition_point(|operation| operation.invoke <= until);
        Prefix { operations: &operations[..invoked], until }
    }

    pub(super) fn len(&self) -> usize {
        self.operations.len()
    }

    /// The operation of this index.
    #[inline]
    pub(super) fn get(&self, index: u32) -> Operation {
        self.seen(&self.operations[index as usize])
    }

    /// All operations with their indices, in order of their invokes.
    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Operation)> + '_ {
        (0..).zip(self.operations.iter().map(|operation| self.seen(operation)))
    }

    #[inline]
    fn seen(&self, operation: &Operation) -> Operation {
        if operation.complete <= self.until { *operation } else { open(operation) }
    }

    /// How a counterexample names the operation: with all that is known of it now.
    pub(super) fn involved(&self, index: u32) -> Involved {
        Involved { index: u64::from(index), operation: self.operations[index as usize] }
    }

    /// How a counterexample names a hold.
    pub(super) fn hold(&self, acquire: u32, release: Option<u32>) -> Hold {
        let release = release.map(|release| self.involved(release));
        Hold { acquire: self.involved(acquire), release }
    }
}

/// An operation before its answer was there. A token is part of the answer to an acquire.
#[cold]
fn open(operation: &Operation) -> Operation {
    let action = match operation.action {
        Action::Acquire(_) => Action::Acquire(0),
        Action::TryAcquire(_) => Action::TryAcquire(0),
        action => action,
    };
    Operation { action, complete: NEVER, outcome: Outcome::Info, ..*operation }
}
