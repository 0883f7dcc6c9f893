//! The rule that a process has one operation at a time.

use locktest_checker::Process;

/// Which operation each process has open; `T` says what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Turns<T> {
    open: Vec<Option<T>>,
}

impl<T> Default for Turns<T> {
    fn default() -> Turns<T> {
        Turns { open: Vec::new() }
    }
}

impl<T: Copy> Turns<T> {
    pub(crate) fn open(&self, process: Process) -> Option<T> {
        self.open.get(process as usize).copied().flatten()
    }

    /// Begins an operation. The one that was open, if any, is no longer its process' turn.
    pub(crate) fn begin(&mut self, process: Process, operation: T) {
        let index = process as usize;
        if index >= self.open.len() {
            self.open.resize(index + 1, None);
        }
        self.open[index] = Some(operation);
    }

    /// Ends the open operation, whatever it is.
    pub(crate) fn end(&mut self, process: Process) -> Option<T> {
        self.open.get_mut(process as usize).and_then(Option::take)
    }
}
