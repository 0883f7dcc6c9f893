//! What an owner mutex was surely held by whom: the cores of its holds.
//!
//! Consider the operations of one process that take effect, in their order: acquires and releases
//! take turns. Between two ok operations that follow each other in the history, infos have to fill
//! what is missing, and nothing else can happen:
//! - between an acquire and a release: nothing;
//! - between a release and an acquire: nothing;
//! - between two acquires: one info release;
//! - before a release that no acquire precedes: one info acquire, which held at least at one point
//!   while the release was open. Such a hold *floats*.
//!
//! Only a process that has an info acquire and an info release to spare can fit in more, namely
//! both of them. And an info release to spare, from before an acquire, may end that hold before the
//! acquire has even returned. Both are rare; they become *doubts*, which forbid a negative verdict
//! and no positive one.

use std::collections::HashSet;

use super::prefix::Prefix;
use super::processes::{Clock, Processes};
use super::tied_process;
use crate::decision::{Conflict, Counterexample, Decision};
use crate::operation::{Action, NEVER, Outcome, Process};

/// No operation.
pub(super) const NONE: u32 = u32::MAX;

/// The part of a hold that every linearization gives it, and where it comes from.
#[derive(Clone, Copy)]
pub(super) struct Core {
    /// The completion of the acquire.
    pub start: u64,
    /// The invoke of the release; [`NEVER`] without one.
    pub end: u64,
    pub acquire: u32,
    /// [`NONE`] if the hold never ends.
    pub release: u32,
}

impl Core {
    pub(super) fn new(prefix: &Prefix<'_>, acquire: u32, release: u32) -> Core {
        let start = prefix.get(acquire).complete;
        let end = if release == NONE { NEVER } else { start.max(prefix.get(release).invoke) };
        Core { start, end, acquire, release }
    }

    pub(super) fn release(&self) -> Option<u32> {
        (self.release != NONE).then_some(self.release)
    }
}

/// A hold that an info began and an ok release ended: at least at one point of the release it was
/// held.
pub(super) struct Float {
    pub acquire: u32,
    pub release: u32,
}

/// All that the operations say by themselves, before they are compared with each other.
#[derive(Default)]
pub(super) struct Holds {
    pub cores: Vec<Core>,
    pub floats: Vec<Float>,
    /// An ok release of one who cannot have had the lock.
    pub not_held: Option<u32>,
    /// The info acquire with the least invoke of those that nothing speaks of later.
    pub last_acquire: Option<u32>,
    /// Whether there are denied tries.
    pub has_denials: bool,
    /// Whether some process does not simply take and release in turns.
    is_irregular: bool,
    has_infos: bool,
    /// The process that began an operation at the stamp at which its last one ended.
    tied: Option<Process>,
    /// The process whose infos may have ended its holds earlier than their cores end.
    doubtful_cores: Option<Process>,
    /// The process that may have released what an info of it acquired.
    doubtful_info: Option<Process>,
}

/// What one process has and has to spare.
#[derive(Clone, Copy)]
struct Owner {
    clock: Clock,
    /// The ok acquire of its open hold.
    open: u32,
    /// The core that an info release of the open hold gave it, by position.
    core: u32,
    /// Info acquires that nothing has used, in `spare`.
    acquires: u32,
    /// Info releases that nothing has used, in `spare`.
    releases: u32,
}

impl Default for Owner {
    fn default() -> Owner {
        Owner { clock: Clock::default(), open: NONE, core: NONE, acquires: NONE, releases: NONE }
    }
}

/// Linked lists of operations, all in one vector.
#[derive(Default)]
struct Spare(Vec<(u32, u32)>);

impl Spare {
    fn push(&mut self, list: &mut u32, index: u32) {
        self.0.push((index, *list));
        *list = self.0.len() as u32 - 1;
    }

    fn pop(&mut self, list: &mut u32) -> Option<u32> {
        let (index, rest) = *self.0.get(*list as usize)?;
        *list = rest;
        Some(index)
    }
}

impl Holds {
    /// Collects the holds, one pass over the operations.
    pub(super) fn collect(prefix: &Prefix<'_>) -> Result<Holds, String> {
        let mut holds = Holds::default();
        let mut owners: Processes<Owner> = Processes::new(prefix.len());
        let mut spare = Spare::default();
        for (index, operation) in prefix.iter() {
            let process = operation.process;
            let owner = owners.get_mut(process);
            if owner.clock.follow(&operation)? {
                holds.tied = Some(process);
            }
            holds.has_infos |= operation.outcome == Outcome::Info;
            match (operation.action, operation.outcome) {
                (Action::Acquire(_) | Action::TryAcquire(_), Outcome::Ok) => {
                    holds.acquire(prefix, owner, &mut spare, index, process);
                }
                (Action::Release, Outcome::Ok) => {
                    holds.release(prefix, owner, &mut spare, index, process);
                }
                (Action::TryAcquire(_), Outcome::Fail) => holds.has_denials = true,
                (Action::Acquire(_) | Action::TryAcquire(_), Outcome::Info) => {
                    spare.push(&mut owner.acquires, index);
                }
                (Action::Release, Outcome::Info) => {
                    holds.info_release(prefix, owner, &mut spare, index, process);
                }
                (action, Outcome::Fail) if !action.refusal_tells() => {}
                (action, _) => return Err(format!("a mutex does not know {action:?}")),
            }
        }
        for owner in owners.iter() {
            if owner.open != NONE && owner.core == NONE {
                let release = if owner.releases == NONE {
                    NONE
                } else {
                    holds.doubtful_cores = Some(prefix.get(owner.open).process);
                    spare.0[owner.releases as usize].0
                };
                holds.cores.push(Core::new(prefix, owner.open, release));
            }
            if owner.acquires != NONE && owner.releases != NONE {
                let acquire = spare.0[owner.acquires as usize].0;
                holds.doubtful_info = Some(prefix.get(acquire).process);
            }
        }
        if let Some(float) = holds.floats.first() {
            holds.doubtful_info = Some(prefix.get(float.release).process);
        }
        // Of a process with a floating hold it is open which of its acquires are left.
        let floating: HashSet<Process> =
            holds.floats.iter().map(|float| prefix.get(float.release).process).collect();
        holds.last_acquire = spare.0.into_iter().map(|(index, _)| index).find(|index| {
            let operation = prefix.get(*index);
            operation.action != Action::Release && !floating.contains(&operation.process)
        });
        Ok(holds)
    }

    fn acquire(
        &mut self,
        prefix: &Prefix<'_>,
        owner: &mut Owner,
        spare: &mut Spare,
        index: u32,
        process: Process,
    ) {
        if owner.open != NONE && owner.core == NONE {
            self.is_irregular = true;
            let release = spare.pop(&mut owner.releases);
            if release.is_some() {
                self.doubtful_cores = Some(process);
            }
            self.cores.push(Core::new(prefix, owner.open, release.unwrap_or(NONE)));
        }
        (owner.open, owner.core) = (index, NONE);
    }

    fn release(
        &mut self,
        prefix: &Prefix<'_>,
        owner: &mut Owner,
        spare: &mut Spare,
        index: u32,
        process: Process,
    ) {
        if owner.open == NONE {
            self.is_irregular = true;
            match spare.pop(&mut owner.acquires) {
                Some(acquire) => self.floats.push(Float { acquire, release: index }),
                None => self.not_held = self.not_held.or(Some(index)),
            }
            return;
        }
        let had_releases = owner.releases != NONE || owner.core != NONE;
        if had_releases && owner.acquires != NONE {
            self.doubtful_cores = Some(process);
        }
        let core = Core::new(prefix, owner.open, index);
        if owner.core == NONE {
            self.cores.push(core);
        } else {
            // The release shows that the info before it had not ended the hold.
            let earlier = std::mem::replace(&mut self.cores[owner.core as usize], core);
            spare.push(&mut owner.releases, earlier.release);
            self.is_irregular = true;
        }
        (owner.open, owner.core) = (NONE, NONE);
    }

    fn info_release(
        &mut self,
        prefix: &Prefix<'_>,
        owner: &mut Owner,
        spare: &mut Spare,
        index: u32,
        process: Process,
    ) {
        if owner.open == NONE || owner.core != NONE {
            spare.push(&mut owner.releases, index);
            self.is_irregular = true;
            return;
        }
        if owner.releases != NONE {
            self.doubtful_cores = Some(process);
        }
        owner.core = self.cores.len() as u32;
        self.cores.push(Core::new(prefix, owner.open, index));
    }

    /// Puts the cores in order, and the first two that are not disjoint.
    ///
    /// Cores may touch: of equal stamps the invoke of the release is the earlier event. They were
    /// found in order of their ends, which is their order if they are disjoint.
    pub(super) fn sort(&mut self, prefix: &Prefix<'_>) -> Option<Counterexample> {
        if self.cores.is_sorted_by(|core, next| core.end <= next.start) {
            return None;
        }
        self.cores.sort_unstable_by_key(|core| (core.start, core.end, core.acquire));
        let mut longest = *self.cores.first()?;
        for core in &self.cores[1..] {
            if core.start < longest.end {
                let holds = [&longest, core].map(|core| prefix.hold(core.acquire, core.release()));
                return Some(Counterexample::new(core.start, Conflict::Overlap(holds.into())));
            }
            longest = *core;
        }
        None
    }

    /// Appends the info acquire that may begin a last hold as a core that never starts.
    pub(super) fn add_last_acquire(&mut self, prefix: &Prefix<'_>) {
        let may_end = self.cores.last().is_none_or(|core| core.end < NEVER);
        if let Some(acquire) = self.last_acquire.filter(|_| may_end) {
            self.cores.push(Core::new(prefix, acquire, NONE));
        }
    }

    /// The cores without that one.
    pub(super) fn sure(&self) -> &[Core] {
        match self.cores.split_last() {
            Some((last, sure)) if last.start == NEVER => sure,
            _ => &self.cores,
        }
    }

    /// The verdict that a counterexample which rests on the cores gives, if they leave no doubt.
    pub(super) fn reject(&self, counterexample: Counterexample) -> Result<Decision, String> {
        if let Some(process) = self.doubtful_cores {
            return Err(format!(
                "an info release of process {process} may have ended one of several of its holds"
            ));
        }
        if let (true, Some(process)) = (self.is_irregular, self.tied) {
            return Err(tied_process(process));
        }
        Ok(Decision::NotLinearizable(counterexample))
    }

    /// The same for one that rests on the order of the holds, those of one process included.
    pub(super) fn reject_order(&self, counterexample: Counterexample) -> Result<Decision, String> {
        match self.tied {
            Some(process) => Err(tied_process(process)),
            None => self.reject(counterexample),
        }
    }

    /// The same for one that rests on nobody having had the lock in between.
    pub(super) fn reject_denial(&self, counterexample: Counterexample) -> Result<Decision, String> {
        if let Some(process) = self.doubtful_info {
            return Err(format!(
                "what an info of process {process} acquired may have been released again at any \
                 time"
            ));
        }
        if let (true, Some(process)) = (self.has_infos, self.tied) {
            return Err(tied_process(process));
        }
        let is_point = |core: &Core| core.start == core.end;
        let coincide = |pair: &[Core]| {
            is_point(&pair[0]) && is_point(&pair[1]) && pair[0].start == pair[1].start
        };
        if self.cores.windows(2).any(coincide) {
            return Err("two holds have their cores at one and the same stamp".to_owned());
        }
        self.reject(counterexample)
    }
}
