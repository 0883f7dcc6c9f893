//! The clients' processes, by numbers that are never taken for those of others.

use std::fs;
use std::io;
use std::sync::{Mutex, MutexGuard};

use locktest_history::ClientId;

/// A client's process. It may be about to end; whoever signals it compares its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientProcess {
    /// Whose.
    pub client: ClientId,
    /// Its id on the control node's host.
    pub pid: u32,
    /// Its start time, in ticks since boot: the 22nd field of `/proc/PID/stat`. It stays the same
    /// when the command becomes the client, and differs if the id has been given to another process.
    pub start_ticks: u64,
}

impl ClientProcess {
    /// That of a child which was not waited for yet.
    pub(super) fn of(client: ClientId, pid: u32) -> io::Result<ClientProcess> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let unreadable = || io::Error::other(format!("/proc/{pid}/stat has no start time: {stat}"));
        let start_ticks = start_ticks(&stat).ok_or_else(unreadable)?;
        Ok(ClientProcess { client, pid, start_ticks })
    }
}

/// The second field is a name in parentheses, in which anything may be.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_id_and_name, from_third) = stat.rsplit_once(") ")?;
    from_third.split(' ').nth(22 - 3)?.parse().ok()
}

/// The process at each place, if one runs there.
pub(super) struct Processes(Mutex<Vec<Option<ClientProcess>>>);

impl Processes {
    /// So many places, at least one.
    pub(super) fn new(places: u32) -> Processes {
        Processes(Mutex::new(vec![None; places.max(1) as usize]))
    }

    pub(super) fn begins(&self, process: ClientProcess) {
        self.set(process.client, Some(process));
    }

    pub(super) fn ended(&self, client: ClientId) {
        self.set(client, None);
    }

    pub(super) fn living(&self) -> Vec<ClientProcess> {
        self.lock().iter().flatten().copied().collect()
    }

    fn set(&self, client: ClientId, process: Option<ClientProcess>) {
        let mut places = self.lock();
        let place = client.0 as usize % places.len();
        places[place] = process;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<ClientProcess>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_time_is_found_behind_any_name() {
        let fields: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        for name in ["locktest", "a) R 1 (b", ") "] {
            let stat = format!("7 ({name}) S {}\n", fields.join(" "));
            assert_eq!(start_ticks(&stat), Some(22), "{name}");
        }
        assert_eq!(start_ticks("7 (sh) S 4 5"), None);
        assert_eq!(start_ticks(""), None);
    }

    #[test]
    fn a_replacement_stands_where_the_one_before_it_stood() {
        let process = |client| ClientProcess { client: ClientId(client), pid: 7, start_ticks: 1 };
        let processes = Processes::new(3);
        let living =
            || -> Vec<u32> { processes.living().iter().map(|process| process.client.0).collect() };
        for client in [2, 0, 1] {
            processes.begins(process(client));
        }
        assert_eq!(living(), [0, 1, 2]);
        processes.ended(ClientId(1));
        assert_eq!(living(), [0, 2]);
        processes.begins(process(4));
        assert_eq!(living(), [0, 4, 2]);
    }
}
