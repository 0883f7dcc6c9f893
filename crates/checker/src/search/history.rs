//! The operations of one object, arranged for the search.

use std::collections::HashMap;

use crate::model::{DependsOn, Model};
use crate::operation::{Action, NEVER, Operation, Outcome, Process};

/// An operation and its index in what the caller gave.
pub type Numbered = (u32, Operation);

/// What constrains the object, in order of invokes.
#[derive(Debug, Default)]
pub struct History {
    /// The operations, as simple as the model makes them.
    pub operations: Vec<Operation>,
    /// Their indices in what the caller gave.
    pub indices: Vec<u32>,
}

impl History {
    /// Takes operations in order of invokes, and leaves out what no order can depend on: a fail that
    /// tells nothing, and an info that would have changed nothing or that the object does not know.
    pub fn new<M: Model>(model: &M, operations: impl Iterator<Item = Numbered>) -> History {
        let constrains = |(_, operation): &Numbered| match operation.outcome {
            Outcome::Ok => true,
            Outcome::Fail => operation.action.refusal_tells(),
            Outcome::Info => model.knows(operation.action) && !model.is_read_only(operation),
        };
        let (indices, mut operations): (_, Vec<_>) = operations.filter(constrains).unzip();
        model.simplify(&mut operations);
        History { operations, indices }
    }
}

/// The operations in order of invokes.
pub fn in_order(operations: &[Operation]) -> Vec<Numbered> {
    let mut ordered: Vec<Numbered> = (0..).zip(operations.iter().copied()).collect();
    ordered.sort_by_key(|(_, operation)| first_event(operation));
    ordered
}

/// The invoke. One that completes before it was invoked has no place in any order, from its
/// completion on.
fn first_event(operation: &Operation) -> u64 {
    if is_required(operation) { operation.invoke.min(operation.complete) } else { operation.invoke }
}

/// What has begun at `stamp` of operations in order, with the indices.
pub fn begun(operations: &[Numbered], stamp: u64) -> impl Iterator<Item = &Numbered> {
    operations.iter().take_while(move |(_, operation)| first_event(operation) <= stamp)
}

/// Whether what has begun is open at `stamp`.
pub fn is_open_at((_, operation): &Numbered, stamp: u64) -> bool {
    !is_required(operation) || operation.complete > stamp
}

/// What one knows at `stamp` of operations in order: what is open then is an info.
pub fn prefix(operations: &[Numbered], stamp: u64) -> impl Iterator<Item = Numbered> {
    begun(operations, stamp).map(move |&(index, operation)| {
        if !is_required(&operation) || operation.complete <= stamp {
            return (index, operation);
        }
        let action = asked(operation.action);
        (index, Operation { action, complete: NEVER, outcome: Outcome::Info, ..operation })
    })
}

/// Whether a completion after `stamp` tells more of an operation that is open then than that it
/// happened: that it did not, or the token.
pub fn is_told_more_after(operations: &[Numbered], stamp: u64) -> bool {
    let mut open = begun(operations, stamp).filter(|numbered| is_open_at(numbered, stamp));
    open.any(|(_, operation)| match operation.outcome {
        Outcome::Ok => asked(operation.action) != operation.action,
        Outcome::Fail => true,
        Outcome::Info => false,
    })
}

/// What is known of an acquire before it completes: not its token, which is part of the answer.
fn asked(action: Action) -> Action {
    match action {
        Action::Acquire(_) => Action::Acquire(0),
        Action::TryAcquire(_) => Action::TryAcquire(0),
        action => action,
    }
}

/// Whether every linearization has it.
pub fn is_required(operation: &Operation) -> bool {
    operation.outcome != Outcome::Info
}

/// Classes of operations that have the same effect in every state, so that of several that could
/// come next only the one that has to come first is worth a try.
#[derive(Debug, Default)]
pub struct Classes {
    /// By operation.
    pub of: Vec<u32>,
    /// Those with infos, with the operations, in order of invokes.
    pub infos: Vec<(u32, Vec<u32>)>,
    /// How many there are.
    pub count: usize,
}

#[derive(PartialEq, Eq, Hash)]
enum Class {
    /// Whoever asks.
    Anybodys(Action, bool),
    /// Asked by this process.
    Of(Process, Action, bool),
    /// Asked by somebody who asks for nothing else. One of these can stand for the other, since the
    /// object knows processes by their names alone.
    OfAStranger(Action, bool),
    /// Like no other.
    Single(usize),
}

impl Classes {
    /// The classes of these operations.
    pub fn new<M: Model>(model: &M, operations: &[Operation]) -> Classes {
        let depends_on = model.effect_depends_on();
        let mut asked: HashMap<Process, u32> = HashMap::new();
        for operation in operations {
            *asked.entry(operation.process).or_default() += 1;
        }
        let mut numbers: HashMap<Class, u32> = HashMap::new();
        let mut classes = Classes::default();
        let mut infos: Vec<Vec<u32>> = Vec::new();
        for (number, operation) in operations.iter().enumerate() {
            let process = operation.process;
            let refused = operation.outcome == Outcome::Fail;
            // A try that was granted did what an acquire does.
            let action = match operation.action {
                Action::TryAcquire(token) if !refused => Action::Acquire(token),
                Action::TryAcquireShared if !refused => Action::AcquireShared,
                action => action,
            };
            let class = match depends_on {
                DependsOn::Action => Class::Anybodys(action, refused),
                DependsOn::Process if asked[&process] == 1 => Class::OfAStranger(action, refused),
                DependsOn::Process => Class::Of(process, action, refused),
                DependsOn::Times => Class::Single(number),
            };
            let next = numbers.len() as u32;
            let class = *numbers.entry(class).or_insert(next);
            classes.of.push(class);
            if infos.len() < numbers.len() {
                infos.push(Vec::new());
            }
            if !is_required(operation) {
                infos[class as usize].push(number as u32);
            }
        }
        classes.count = numbers.len();
        let numbered = infos.into_iter().enumerate();
        classes.infos = numbered
            .filter(|(_, infos)| !infos.is_empty())
            .map(|(class, infos)| (class as u32, infos))
            .collect();
        classes
    }
}

/// The invokes and completions of the required operations that are not in order yet, as a linked
/// list in an arena: taking one out and putting it back takes constant time.
#[derive(Debug, Default)]
pub struct Timeline {
    /// By entry: its operation, and whether it is the completion.
    entries: Vec<(u32, bool)>,
    next: Vec<u32>,
    previous: Vec<u32>,
    /// By operation: the entries of its invoke and its completion.
    ends: Vec<(u32, u32)>,
}

impl Timeline {
    /// The end of the list.
    pub const END: u32 = 0;

    /// The timeline of the required ones among these operations.
    pub fn new(operations: &[Operation]) -> Timeline {
        // Of equal stamps an invoke comes first.
        let mut events = Vec::with_capacity(operations.len() * 2);
        for (number, operation) in operations.iter().enumerate() {
            if is_required(operation) {
                events.push((operation.invoke, false, number as u32));
                events.push((operation.complete, true, number as u32));
            }
        }
        events.sort_unstable();
        let length = events.len() as u32 + 1;
        let mut timeline = Timeline {
            entries: vec![(u32::MAX, true)],
            next: (1..length).chain([Timeline::END]).collect(),
            previous: [length - 1].into_iter().chain(0..length - 1).collect(),
            ends: vec![(Timeline::END, Timeline::END); operations.len()],
        };
        for (_, completes, number) in events {
            let entry = timeline.entries.len() as u32;
            timeline.entries.push((number, completes));
            let ends = &mut timeline.ends[number as usize];
            if completes {
                ends.1 = entry;
            } else {
                ends.0 = entry;
            }
        }
        timeline
    }

    /// The first entry that is left; [`Timeline::END`] if none is.
    pub fn first(&self) -> u32 {
        self.next[Timeline::END as usize]
    }

    /// The entry after this one, even if this one was taken out just now.
    pub fn after(&self, entry: u32) -> u32 {
        self.next[entry as usize]
    }

    /// The operation of an entry that is an invoke; `None` for a completion and for the end.
    pub fn invoked(&self, entry: u32) -> Option<u32> {
        let (number, completes) = self.entries[entry as usize];
        (!completes).then_some(number)
    }

    /// The operation of an entry.
    pub fn operation(&self, entry: u32) -> u32 {
        self.entries[entry as usize].0
    }

    /// The entry of an operation's completion.
    pub fn completion(&self, number: u32) -> u32 {
        self.ends[number as usize].1
    }

    /// Takes an operation out. One that is not required is not there.
    pub fn take(&mut self, number: u32) {
        let (invoke, completion) = self.ends[number as usize];
        // The invoke goes last, so that what comes after it is still in the list.
        for entry in [completion, invoke] {
            if entry != Timeline::END {
                let (next, previous) = (self.next[entry as usize], self.previous[entry as usize]);
                self.next[previous as usize] = next;
                self.previous[next as usize] = previous;
            }
        }
    }

    /// Puts back the operation that was taken out last.
    pub fn put_back(&mut self, number: u32) {
        let (invoke, completion) = self.ends[number as usize];
        for entry in [invoke, completion] {
            if entry != Timeline::END {
                let (next, previous) = (self.next[entry as usize], self.previous[entry as usize]);
                self.next[previous as usize] = entry;
                self.previous[next as usize] = entry;
            }
        }
    }
}
