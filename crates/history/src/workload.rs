//! What the clients do with the service under test.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Acquire, hold, release.
    Mutex,
    /// The same, with a lock of its own for each client.
    DifferentKeys,
    /// The same, with acquires that do not wait.
    Try,
    /// The same, and now and then a client dies by SIGKILL while it holds.
    Crash,
    /// The same, and now and then a client gives up while it waits.
    Cancel,
    /// The same, and the lock protects values in the store under test itself.
    CriticalSection,
    /// Reads, writes and compare-and-sets of a plain value; no lock.
    Register,
}

impl Workload {
    /// Every workload, in the order in which help lists them.
    pub const ALL: [Workload; 7] = [
        Workload::Mutex,
        Workload::DifferentKeys,
        Workload::Try,
        Workload::Crash,
        Workload::Cancel,
        Workload::CriticalSection,
        Workload::Register,
    ];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Mutex => "mutex",
            Workload::DifferentKeys => "different-keys",
            Workload::Try => "try",
            Workload::Crash => "crash",
            Workload::Cancel => "cancel",
            Workload::CriticalSection => "critical-section",
            Workload::Register => "register",
        }
    }

    /// Whether clients take locks.
    pub fn takes_locks(self) -> bool {
        self != Workload::Register
    }

    /// Whether the values that clients read and write are in the store under test, so that clients
    /// stamp both ends of each access. Otherwise the control node serves them, and stamps the
    /// completions.
    pub fn keeps_values_in_store(self) -> bool {
        matches!(self, Workload::CriticalSection | Workload::Register)
    }

    /// Whether clients compete for the same locks.
    pub fn contends(self) -> bool {
        self.takes_locks() && self != Workload::DifferentKeys
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_stored_under_its_name() {
        for workload in Workload::ALL {
            let stored = serde_json::to_string(&workload).expect("a workload can be stored");
            assert_eq!(stored, format!("\"{workload}\""));
        }
    }
}
