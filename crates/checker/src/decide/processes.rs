//! What a decider remembers of each process.

use std::collections::HashMap;

use crate::operation::{Operation, Outcome, Process};

/// One `T` for each process: in a vector where the numbers of the processes are dense, as a
/// history's are that numbers them itself, and in a map beyond.
pub(super) struct Processes<T> {
    dense: Vec<T>,
    sparse: HashMap<Process, T>,
    dense_limit: usize,
}

impl<T: Clone + Default> Processes<T> {
    /// For a history of so many operations.
    pub(super) fn new(operations: usize) -> Processes<T> {
        Processes { dense: Vec::new(), sparse: HashMap::new(), dense_limit: 2 * operations + 1024 }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, process: Process) -> &mut T {
        let number = process as usize;
        if number >= self.dense.len() {
            if number >= self.dense_limit {
                return self.sparse.entry(process).or_default();
            }
            self.dense.resize(number + 1, T::default());
        }
        &mut self.dense[number]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.dense.iter().chain(self.sparse.values())
    }
}

/// When the last answered operation of a process was over, and one; zero before the first. The
/// operations of one process follow each other, but for infos, which stay open.
#[derive(Clone, Copy, Default)]
pub(super) struct Clock(u64);

impl Clock {
    /// Moves on to the next operation of the process; tells whether its invoke has the very stamp
    /// of the completion before it, so that the two count as concurrent.
    #[inline]
    pub(super) fn follow(&mut self, operation: &Operation) -> Result<bool, String> {
        let invoke = operation.invoke.saturating_add(1);
        if invoke < self.0 {
            return Err(format!("process {} has two operations open at once", operation.process));
        }
        let tied = invoke == self.0;
        if operation.outcome != Outcome::Info {
            self.0 = operation.complete.saturating_add(1);
        }
        Ok(tied)
    }
}
