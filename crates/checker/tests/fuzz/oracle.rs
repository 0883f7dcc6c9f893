//! The truth about small histories, by trying every order.
//!
//! The judge of everything else, so it shares no line with the crate but the types of histories. It
//! states each rule twice: `linearization` with the few shortcuts that make it fast enough, and
//! `explains` as the definition has it.

use std::collections::{BTreeSet, HashSet};

use locktest_checker::{Action, NEVER, Operation, Outcome, Specification, Values};

use crate::history::History;

/// Histories have fewer processes than this.
pub const PROCESSES: usize = 8;

/// What any of the objects can remember. Each uses what it needs and leaves the rest alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct World {
    /// How often each process has the lock, or its write side.
    pub held: [u8; PROCESSES],
    /// How often each process has the read side.
    pub shared: [u8; PROCESSES],
    /// The largest token seen.
    pub token: u64,
    /// What the register holds.
    pub value: u32,
    /// What the key holds.
    pub text: String,
    /// The instant of the last operation; of leases only.
    pub now: u64,
    /// When the holder's lease may end.
    pub deadline: u64,
}

impl World {
    /// The world after `operation` took effect with its outcome, as early as it can; `None` if it
    /// cannot.
    pub fn after(
        &self,
        specification: Specification,
        operation: &Operation,
        values: &Values,
    ) -> Option<World> {
        let mut next = self.clone();
        let refused = operation.outcome == Outcome::Fail;
        let legal = match specification {
            Specification::CasRegister => match operation.action {
                Action::Read(value) => self.value == value.0,
                Action::Write(value) => {
                    next.value = value.0;
                    true
                }
                Action::Cas { expected, .. } if refused => self.value != expected.0,
                Action::Cas { expected, new } => {
                    next.value = new.0;
                    self.value == expected.0
                }
                _ => false,
            },
            Specification::KeyValue => match operation.action {
                Action::Get(value) => Some(self.text.as_str()) == values.text(value),
                Action::Put(value) => {
                    next.text = values.text(value).expect("a known value").to_owned();
                    true
                }
                Action::Append(value) => {
                    next.text += values.text(value).expect("a known value");
                    true
                }
                _ => false,
            },
            Specification::FencedResource => match operation.action {
                Action::GuardedRead(token) | Action::GuardedWrite(token) => {
                    if !refused {
                        next.token = token;
                    }
                    (token < self.token) == refused
                }
                _ => false,
            },
            _ => next.lock(specification, operation, refused),
        };
        legal.then_some(next)
    }

    /// Lets an operation on a lock take effect; whether it can.
    fn lock(&mut self, specification: Specification, operation: &Operation, refused: bool) -> bool {
        // What anybody may release is nobody's.
        let anonymous = specification == Specification::Mutex;
        let process = if anonymous { 0 } else { operation.process as usize };
        let taken: u32 = self.held.iter().map(|count| u32::from(*count)).sum();
        let reading = self.shared.iter().any(|count| *count > 0);
        let has_room = match specification {
            Specification::ReentrantMutex { depth } => {
                taken == u32::from(self.held[process]) && taken < depth
            }
            Specification::Semaphore { permits } => taken < permits,
            _ => taken == 0 && !reading,
        };
        if let Specification::LeaseMutex { .. } = specification {
            self.now = self.now.max(operation.invoke);
        }
        let legal = match operation.action {
            Action::TryAcquire(_) if refused => !has_room,
            Action::Acquire(token) | Action::TryAcquire(token) => {
                let mut granted = has_room;
                if let Specification::LeaseMutex { lease_ns } = specification {
                    self.now = self.now.max(self.deadline);
                    self.deadline = self.now + lease_ns;
                    self.held = [0; PROCESSES];
                    granted = true;
                }
                if specification == Specification::FencedMutex && token != 0 {
                    granted &= token > self.token;
                    self.token = token;
                }
                self.held[process] += 1;
                granted
            }
            Action::Release => {
                self.deadline = 0;
                take_one(&mut self.held[process])
            }
            Action::Renew => match specification {
                Specification::LeaseMutex { lease_ns } => {
                    self.deadline = self.deadline.max(self.now + lease_ns);
                    self.held[process] > 0
                }
                _ => false,
            },
            Action::TryAcquireShared if refused => taken > 0,
            Action::AcquireShared | Action::TryAcquireShared => {
                self.shared[process] += 1;
                taken == 0
            }
            Action::ReleaseShared => take_one(&mut self.shared[process]),
            _ => false,
        };
        legal && self.now <= operation.complete
    }
}

fn take_one(count: &mut u8) -> bool {
    let has = *count > 0;
    *count = count.saturating_sub(1);
    has
}

/// Whether an operation has to be in every order.
fn happened(operation: &Operation) -> bool {
    match operation.outcome {
        Outcome::Ok => true,
        Outcome::Info => false,
        Outcome::Fail => tells(operation.action),
    }
}

/// Whether a refusal says something of the object.
fn tells(action: Action) -> bool {
    match action {
        Action::TryAcquire(_) | Action::TryAcquireShared | Action::Cas { .. } => true,
        Action::GuardedRead(_) | Action::GuardedWrite(_) => true,
        Action::Acquire(_) | Action::AcquireShared | Action::Renew => false,
        Action::Release | Action::ReleaseShared => false,
        Action::Read(_) | Action::Write(_) => false,
        Action::Get(_) | Action::Put(_) | Action::Append(_) => false,
    }
}

/// An order that explains the history, if there is one: depth first through all of them. What can
/// follow depends on the set of operations placed and the world alone, so no such pair is tried
/// twice.
pub fn linearization(history: &History) -> Option<Vec<u32>> {
    let mut search = Search { history, visited: HashSet::new(), order: Vec::new() };
    search.from(0, &World::default()).then_some(search.order)
}

struct Search<'a> {
    history: &'a History,
    visited: HashSet<(u32, World)>,
    order: Vec<u32>,
}

impl Search<'_> {
    fn from(&mut self, placed: u32, world: &World) -> bool {
        let operations = &self.history.operations;
        let is_open = |index: usize| placed & (1 << index) == 0;
        // What is placed next must not have been invoked after the end of what is still missing.
        let first_end = (0..operations.len())
            .filter(|index| is_open(*index) && happened(&operations[*index]))
            .map(|index| operations[index].complete)
            .min();
        let Some(first_end) = first_end else { return true };
        if !self.visited.insert((placed, world.clone())) {
            return false;
        }
        for (index, operation) in operations.iter().enumerate() {
            let may_happen = happened(operation) || operation.outcome == Outcome::Info;
            if !is_open(index) || !may_happen || operation.invoke > first_end {
                continue;
            }
            let History { specification, values, .. } = self.history;
            if let Some(next) = world.after(*specification, operation, values) {
                self.order.push(u32::try_from(index).unwrap());
                if self.from(placed | 1 << index, &next) {
                    return true;
                }
                self.order.pop();
            }
        }
        false
    }
}

/// Whether `order` is a linearization, straight from the definition.
pub fn explains(history: &History, order: &[u32]) -> bool {
    let operations = &history.operations;
    let position = |index: usize| order.iter().position(|placed| *placed as usize == index);
    let in_range = order.iter().all(|index| (*index as usize) < operations.len());
    let complete_and_nothing_else = operations.iter().enumerate().all(|(index, operation)| {
        let times = order.iter().filter(|placed| **placed as usize == index).count();
        match operation.outcome {
            Outcome::Ok => times == 1,
            Outcome::Fail => times == usize::from(tells(operation.action)),
            Outcome::Info => times <= 1,
        }
    });
    if !in_range || !complete_and_nothing_else {
        return false;
    }
    let agrees_with_time = operations.iter().enumerate().all(|(first, earlier)| {
        operations.iter().enumerate().all(|(second, later)| {
            let precedes = earlier.complete < later.invoke;
            match (position(first), position(second)) {
                (Some(first), Some(second)) if precedes => first < second,
                _ => true,
            }
        })
    });
    if !agrees_with_time {
        return false;
    }
    let ordered = order.iter().map(|index| &operations[*index as usize]);
    if let Specification::LeaseMutex { lease_ns } = history.specification {
        return leases_allow(&ordered.copied().collect::<Vec<_>>(), lease_ns);
    }
    let mut world = World::default();
    for operation in ordered {
        match world.after(history.specification, operation, &history.values) {
            Some(next) => world = next,
            None => return false,
        }
    }
    true
}

/// Whether instants can be chosen for operations on a lease mutex, tried one by one; a lease may
/// end at any instant from its deadline on.
fn leases_allow(ordered: &[Operation], lease_ns: u64) -> bool {
    let stamps = ordered.iter().flat_map(|operation| [operation.invoke, operation.complete]);
    let last_stamp = stamps.filter(|stamp| *stamp != NEVER).max().unwrap_or(0);
    let horizon = last_stamp + (ordered.len() as u64 + 1) * lease_ns;
    // Each state: the instant reached, and the owner with the deadline of its lease.
    let mut states = BTreeSet::from([(0, None)]);
    for operation in ordered {
        let mut next = BTreeSet::new();
        for (now, held) in states {
            for instant in now.max(operation.invoke)..=operation.complete.min(horizon) {
                let mut owners = vec![held];
                if held.is_some_and(|(_, deadline)| deadline <= instant) {
                    owners.push(None);
                }
                for held in owners {
                    let own = held.filter(|(owner, _)| *owner == operation.process);
                    let after = match (operation.action, operation.outcome) {
                        (Action::TryAcquire(_), Outcome::Fail) => held.map(Some),
                        (Action::Acquire(_) | Action::TryAcquire(_), _) => match held {
                            None => Some(Some((operation.process, instant + lease_ns))),
                            Some(_) => None,
                        },
                        (Action::Release, _) => own.map(|_| None),
                        (Action::Renew, _) => own.map(|(owner, deadline)| {
                            Some((owner, deadline.max(instant + lease_ns)))
                        }),
                        _ => None,
                    };
                    next.extend(after.map(|held| (instant, held)));
                }
            }
        }
        states = next;
    }
    !states.is_empty()
}

/// The history as it was known at `at`: what was invoked later is not there, and what was not
/// complete is open, its answer unknown. A completion at `at` itself counts if `inclusive`.
pub fn prefix(history: &History, at: u64, inclusive: bool) -> History {
    let mut operations = Vec::new();
    for operation in &history.operations {
        if operation.invoke > at {
            continue;
        }
        if operation.complete < at || inclusive && operation.complete == at {
            operations.push(*operation);
            continue;
        }
        // A token is part of the answer, and so is what was read.
        let was_answered = operation.outcome != Outcome::Info;
        let action = match operation.action {
            Action::Read(_) | Action::Get(_) => continue,
            Action::Acquire(_) if was_answered => Action::Acquire(0),
            Action::TryAcquire(_) if was_answered => Action::TryAcquire(0),
            action => action,
        };
        operations.push(Operation {
            action,
            complete: NEVER,
            outcome: Outcome::Info,
            ..*operation
        });
    }
    History { operations, ..history.clone() }
}

/// Whether an order explains the history, by writing down each order of each subset.
pub fn some_order_explains(history: &History) -> bool {
    fn extend(history: &History, order: &mut Vec<u32>) -> bool {
        if explains(history, order) {
            return true;
        }
        for index in 0..u32::try_from(history.operations.len()).unwrap() {
            if !order.contains(&index) {
                order.push(index);
                if extend(history, order) {
                    return true;
                }
                order.pop();
            }
        }
        false
    }
    extend(history, &mut Vec::new())
}
