//! Processes of this machine, named so that a reused process id is never mistaken.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process, told apart from a later one with the same id by its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks since the machine was started.
    start_ticks: u64,
}

impl ProcessIdentity {
    /// The identity of a running process; `None` if there is none, or it has ended and only waits
    /// to be collected by its parent.
    pub fn of(pid: u32) -> Option<ProcessIdentity> {
        let pid = i32::try_from(pid).ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let start_ticks = running_since(&stat)?;
        Some(ProcessIdentity { pid, start_ticks })
    }

    pub fn is_alive(self) -> bool {
        u32::try_from(self.pid).ok().and_then(ProcessIdentity::of) == Some(self)
    }

    /// Ends it at once. One that is gone already is no error.
    pub fn kill(self) -> Result<(), Errno> {
        if !self.is_alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), Signal::SIGKILL) {
            Err(Errno::ESRCH) => Ok(()),
            result => result,
        }
    }

    pub fn pid(self) -> i32 {
        self.pid
    }
}

/// The start time in a line of `/proc/PID/stat`, unless the process has ended.
fn running_since(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses; the name may contain anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The running processes in any of these network namespaces, given as the paths of their names.
/// The calling process is never among them.
pub(crate) fn in_namespaces<'a>(paths: impl Iterator<Item = &'a Path>) -> Vec<ProcessIdentity> {
    let key = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let wanted: HashSet<_> = paths.filter_map(|path| fs::metadata(path).ok()).map(key).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&pid| pid != std::process::id())
        .filter(|pid| {
            fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|ns| wanted.contains(&key(ns)))
        })
        .filter_map(ProcessIdentity::of)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_one_with_another_start_time_is_not() {
        let this = ProcessIdentity::of(std::process::id()).unwrap();
        assert!(this.is_alive());
        let other = ProcessIdentity { start_ticks: this.start_ticks + 1, ..this };
        assert!(!other.is_alive());
    }

    #[test]
    fn a_reused_process_id_is_not_killed() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let identity = ProcessIdentity::of(child.id()).unwrap();
        let earlier = ProcessIdentity { start_ticks: identity.start_ticks - 1, ..identity };
        earlier.kill().unwrap();
        assert!(identity.is_alive());
        identity.kill().unwrap();
        child.wait().unwrap();
        assert!(!identity.is_alive());
        identity.kill().unwrap();
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let tail = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(running_since(&format!("7 (a) b (c)) S {tail}")), Some(4242));
        assert_eq!(running_since(&format!("7 (a) Z {tail}")), None);
        assert_eq!(running_since("7 (a) S 1 2"), None);
        assert_eq!(running_since(""), None);
    }
}
