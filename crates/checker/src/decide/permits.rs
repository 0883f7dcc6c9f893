//! What is surely held by whom where one process may hold several permits.
//!
//! A process holds, at any instant, at least as many permits as it has acquires that had returned,
//! less its releases that were invoked, infos among them; and no more if each acquire takes effect
//! when it returns, each release when it is invoked. So an info release ends a hold at its invoke,
//! and an info acquire is left out. Only if an ok release finds no hold left, an info release
//! before it cannot have happened until then: the hold that it had ended goes on to the ok release.
//!
//! After that the info release is to spare, and might end a later hold even before its acquire
//! returns; or an info acquire is to spare as well, and the two make a hold of their own. These
//! are *doubts*, which forbid a negative verdict and no positive one.

use super::cores::{Core, NONE};
use super::prefix::Prefix;
use super::processes::Processes;
use crate::decision::Certificate;
use crate::operation::{Operation, Outcome, Process};

/// Collects holds of one kind.
pub(super) struct Permits {
    /// In no order.
    pub cores: Vec<Core>,
    /// An ok release of one who cannot have held a permit.
    pub not_held: Option<u32>,
    /// Why a negative verdict would not be certain.
    pub doubt: Option<String>,
    /// Whether an ok release showed that an info before it had not happened.
    pub is_irregular: bool,
    owners: Processes<Owner>,
    /// Linked lists, of acquires and of positions of cores.
    lists: Vec<(u32, u32)>,
}

#[derive(Clone, Copy)]
struct Owner {
    /// Acquires without a release, the first and the last.
    open: u32,
    last_open: u32,
    /// Cores that an info release ended.
    ended: u32,
    has_info_acquire: bool,
    has_spare_release: bool,
}

impl Default for Owner {
    fn default() -> Owner {
        Owner {
            open: NONE,
            last_open: NONE,
            ended: NONE,
            has_info_acquire: false,
            has_spare_release: false,
        }
    }
}

impl Permits {
    /// For a history of so many operations.
    pub(super) fn new(operations: usize) -> Permits {
        Permits {
            cores: Vec::new(),
            not_held: None,
            doubt: None,
            is_irregular: false,
            owners: Processes::new(operations),
            lists: Vec::new(),
        }
    }

    /// Takes the next acquire that is ok or info.
    pub(super) fn acquire(&mut self, index: u32, operation: &Operation) {
        let owner = self.owners.get_mut(operation.process);
        if operation.outcome == Outcome::Info {
            owner.has_info_acquire = true;
            return;
        }
        if owner.has_spare_release {
            self.doubt = Some(spare_release(operation.process));
        }
        // The first acquire is the first to be released: then holds touch at one stamp rather than
        // contain each other.
        self.lists.push((index, NONE));
        let last = self.lists.len() as u32 - 1;
        match self.lists.get_mut(owner.last_open as usize) {
            Some((_, next)) if owner.open != NONE => *next = last,
            _ => owner.open = last,
        }
        owner.last_open = last;
    }

    /// Takes the next release that is ok or info.
    pub(super) fn release(&mut self, prefix: &Prefix<'_>, index: u32, operation: &Operation) {
        let owner = self.owners.get_mut(operation.process);
        let is_info = operation.outcome == Outcome::Info;
        if let Some(acquire) = pop(&self.lists, &mut owner.open) {
            if is_info {
                push(&mut self.lists, &mut owner.ended, self.cores.len() as u32);
            }
            self.cores.push(Core::new(prefix, acquire, index));
        } else if is_info {
            owner.has_spare_release = true;
        } else if let Some(ended) = pop(&self.lists, &mut owner.ended) {
            let core = &mut self.cores[ended as usize];
            *core = Core::new(prefix, core.acquire, index);
            owner.has_spare_release = true;
            self.is_irregular = true;
            if owner.has_info_acquire {
                self.doubt = Some(spare_release(operation.process));
            }
        } else {
            self.not_held = self.not_held.or(Some(index));
            self.is_irregular = true;
            if owner.has_info_acquire {
                self.doubt = Some(format!(
                    "process {} released what an info of it acquired",
                    operation.process
                ));
            }
        }
    }

    /// Adds the holds that never end, and puts all in order of their starts.
    pub(super) fn finish(&mut self, prefix: &Prefix<'_>) {
        for owner in self.owners.iter() {
            let mut open = owner.open;
            while let Some(acquire) = pop(&self.lists, &mut open) {
                self.cores.push(Core::new(prefix, acquire, NONE));
            }
        }
        self.cores.sort_unstable_by_key(order);
    }
}

/// In order of their starts; of those that start at one stamp first the points, which can come
/// before the others.
pub(super) fn order(core: &Core) -> (u64, u64, u32) {
    (core.start, core.end, core.acquire)
}

/// A denied try with an instant of a core that explains it.
pub(super) struct Denial {
    pub instant: u64,
    /// Whether that is the last of the core.
    pub at_end: bool,
    pub index: u32,
}

/// Each acquire at the start of its core, each release at the end. At one stamp first what ends,
/// then the points one by one, then what begins.
pub(super) fn linearization(cores: &[Core], denials: &[Denial]) -> Certificate {
    let mut events: Vec<(u64, u8, u32, u32)> = Vec::with_capacity(2 * cores.len() + denials.len());
    for &Core { start, end, acquire, release } in cores {
        let is_point = start == end;
        events.push((start, if is_point { 2 } else { 3 }, acquire, acquire));
        if release != NONE {
            // The index of a release is larger than that of its acquire.
            events.push((end, if is_point { 2 } else { 1 }, acquire, release));
        }
    }
    for &Denial { instant, at_end, index } in denials {
        events.push((instant, if at_end { 0 } else { 4 }, index, index));
    }
    events.sort_unstable();
    events.into_iter().map(|(.., index)| index).collect()
}

fn spare_release(process: Process) -> String {
    format!("an info release of process {process} may have ended any of several holds")
}

fn push(lists: &mut Vec<(u32, u32)>, list: &mut u32, entry: u32) {
    lists.push((entry, *list));
    *list = lists.len() as u32 - 1;
}

fn pop(lists: &[(u32, u32)], list: &mut u32) -> Option<u32> {
    let (entry, rest) = *lists.get(*list as usize)?;
    *list = rest;
    Some(entry)
}
