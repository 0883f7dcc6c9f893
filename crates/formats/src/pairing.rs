//! Joins each invoke with its completion: the one place where events become operations.
//!
//! Read strictly, a history whose events do not fit together is an error. Read leniently, what does
//! not fit loosens the history and never tightens it: an operation that lost its other end becomes
//! one of unknown outcome, which may have happened at any time since its process was last heard of,
//! or never. So a history that is linearizable stays so. Where a whole operation may have gone
//! unseen even that is no help, and [`Loaded::whole_until`] says from where on a violation is no
//! longer proven. What is told of an earlier operation from there on may have been meant for another.

use std::collections::HashMap;
use std::mem::discriminant;

use locktest_checker::{Action, NEVER, Object, Operation, Outcome, Process, Specification, Values};

use crate::processes::Processes;
use crate::turns::Turns;
use crate::{Format, FormatError, Loaded, Options, Place, Problem, Skipped, Stamps};

/// Which end of an operation, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Invoke,
    Ok,
    /// The object's own answer: it did not happen, and that tells something of the state.
    Refused,
    /// It did not happen, and no more is known.
    Failed,
    Info,
}

/// One event, whatever its format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) place: Place,
    pub(crate) stamp: u64,
    pub(crate) process: Process,
    /// A completion may leave it to its invoke.
    pub(crate) object: Option<u32>,
    /// On an ok acquire or read with what it returned.
    pub(crate) action: Action,
    /// Whether the arguments are in the action; a completion may leave them to its invoke.
    pub(crate) argued: bool,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    object: u32,
    index: usize,
}

/// What kind of object an operation is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Lock,
    Register,
    KeyValue,
    FencedResource,
}

impl Kind {
    fn of(action: Action) -> Kind {
        match action {
            Action::Read(_) | Action::Write(_) | Action::Cas { .. } => Kind::Register,
            Action::Get(_) | Action::Put(_) | Action::Append(_) => Kind::KeyValue,
            Action::GuardedRead(_) | Action::GuardedWrite(_) => Kind::FencedResource,
            _ => Kind::Lock,
        }
    }

    fn of_model(specification: Specification) -> Kind {
        match specification {
            Specification::CasRegister => Kind::Register,
            Specification::KeyValue => Kind::KeyValue,
            Specification::FencedResource => Kind::FencedResource,
            _ => Kind::Lock,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Lock => "a lock",
            Kind::Register => "a register",
            Kind::KeyValue => "a key-value store",
            Kind::FencedResource => "a fenced resource",
        }
    }
}

/// Operations in the making.
pub(crate) struct Pairing {
    pub(crate) processes: Processes,
    pub(crate) values: Values,
    pub(crate) stamps: Stamps,
    specification: Option<Specification>,
    kind: Option<Kind>,
    lenient: bool,
    objects: Vec<Object>,
    object_of: HashMap<Box<str>, u32>,
    turns: Turns<Open>,
    /// When each process was last heard of.
    last_heard: Vec<u64>,
    /// Whether an invoke was moved to an earlier stamp.
    moved: bool,
    /// Answers that say that an operation did not happen, or how, and when they came: kept if the
    /// history is read leniently.
    answers: Vec<(Open, u64)>,
    events: u64,
    skipped: Skipped,
    whole_until: u64,
}

impl Pairing {
    pub(crate) fn new(options: &Options, stamps: Stamps) -> Pairing {
        Pairing {
            processes: Processes::default(),
            values: Values::default(),
            stamps,
            specification: options.specification,
            kind: options.specification.map(Kind::of_model),
            lenient: options.lenient,
            objects: Vec::new(),
            object_of: HashMap::new(),
            turns: Turns::default(),
            last_heard: Vec::new(),
            moved: false,
            answers: Vec::new(),
            events: 0,
            skipped: Skipped::default(),
            whole_until: NEVER,
        }
    }

    /// The object of this identity, a new one of this name if it is new.
    pub(crate) fn object(&mut self, identity: &str, name: &str) -> u32 {
        if let Some(object) = self.object_of.get(identity) {
            return *object;
        }
        let object = u32::try_from(self.objects.len()).expect("memory holds fewer objects");
        self.objects.push(Object { name: name.to_owned(), operations: Vec::new() });
        self.object_of.insert(identity.into(), object);
        object
    }

    /// What the history is about, if that is known by now.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// An event that cannot be read. It may be an end of any operation; one whose other end cannot
    /// be read either goes unseen.
    pub(crate) fn unreadable(
        &mut self,
        place: Place,
        stamp: u64,
        problem: Problem,
    ) -> Result<(), FormatError> {
        self.skip(place, problem)?;
        self.whole_until = self.whole_until.min(stamp);
        Ok(())
    }

    /// An event whose time or index contradicts its place. It may belong anywhere from `since` on,
    /// and so may those that it contradicts; `done` says what becomes of it.
    pub(crate) fn misplaced(
        &mut self,
        place: Place,
        since: u64,
        problem: Problem,
        done: &str,
    ) -> Result<(), FormatError> {
        if !self.lenient {
            return Err(problem.at(place));
        }
        let from = || match self.stamps {
            Stamps::Lines => format!("line {since}"),
            Stamps::Events => format!("event {since}"),
            Stamps::Nanoseconds => format!("{since} ns"),
        };
        self.skipped.add(|| {
            format!("{place}: {problem}; {done}, and no conflict from {} on is proven", from())
        });
        self.whole_until = self.whole_until.min(since);
        Ok(())
    }

    pub(crate) fn is_lenient(&self) -> bool {
        self.lenient
    }

    /// Counts what is wrong and can be left aside without harm.
    pub(crate) fn skip(&mut self, place: Place, problem: Problem) -> Result<(), FormatError> {
        if !self.lenient {
            return Err(problem.at(place));
        }
        self.skipped.add(|| format!("{place}: {problem}"));
        Ok(())
    }

    /// Takes the next event.
    pub(crate) fn event(&mut self, event: Event) -> Result<(), FormatError> {
        if let Err(problem) = self.admit(event.action) {
            return self.unreadable(event.place, event.stamp, problem);
        }
        self.events += 1;
        match event.end {
            End::Invoke => self.invoke(event)?,
            _ => self.complete(event)?,
        }
        if self.lenient {
            self.heard(event.process, event.stamp);
        }
        Ok(())
    }

    /// Whether the history may speak of this operation.
    fn admit(&mut self, action: Action) -> Result<(), Problem> {
        let kind = Kind::of(action);
        let shared = matches!(
            action,
            Action::AcquireShared | Action::TryAcquireShared | Action::ReleaseShared
        );
        let fits = match self.specification {
            Some(specification) if shared => specification == Specification::ReadWriteLock,
            _ => *self.kind.get_or_insert(kind) == kind,
        };
        if fits {
            return Ok(());
        }
        let object = match (self.specification, self.kind) {
            (Some(specification), _) => format!("the model {specification}"),
            (None, known) => known.unwrap_or(kind).name().to_owned(),
        };
        Err(Problem::Mixed { found: name(action), object })
    }

    fn invoke(&mut self, event: Event) -> Result<(), FormatError> {
        let Event { place, process, action, .. } = event;
        let mut invoke = event.stamp;
        if let Some(open) = self.turns.open(process) {
            let before = self.operation(open);
            let (open, asked) = (name(before.action), before.invoke);
            let (process, found) = (self.processes.text(process), name(action));
            self.skip(place, Problem::StillOpen { process, found, open })?;
            // The next completion may be that of the first.
            invoke = asked;
            self.moved = true;
        }
        let Some(object) = event.object else {
            let problem = Problem::malformed("an invoke has to name its key");
            return self.unreadable(place, event.stamp, problem);
        };
        let open = self.push(object, invoke, action, process);
        self.turns.begin(process, open);
        Ok(())
    }

    fn complete(&mut self, event: Event) -> Result<(), FormatError> {
        let Event { place, process, action, .. } = event;
        let Some(open) = self.turns.end(process) else {
            let (process, found) = (self.processes.text(process), name(action));
            self.skip(place, Problem::NeverInvoked { process, found })?;
            self.orphan(event);
            return Ok(());
        };
        let invoked = *self.operation(open);
        let same = event.object.is_none_or(|object| object == open.object)
            && same_call(invoked.action, action, event.argued);
        if !same {
            let key = |object: u32| match &*self.objects[object as usize].name {
                "" => String::new(),
                name => format!(" of key {name}"),
            };
            let found = describe(action, &self.values, event.argued);
            let found = found + &event.object.map(key).unwrap_or_default();
            let begun = describe(invoked.action, &self.values, true) + &key(open.object);
            let process = self.processes.text(process);
            self.skip(place, Problem::Different { process, found, begun })?;
            self.orphan(event);
            return Ok(());
        }
        let operation = &mut self.objects[open.object as usize].operations[open.index];
        match event.end {
            End::Ok => {
                operation.action = answered(operation.action, action);
                operation.outcome = Outcome::Ok;
                operation.complete = event.stamp;
            }
            End::Refused if operation.action.refusal_tells() => {
                operation.outcome = Outcome::Fail;
                operation.complete = event.stamp;
            }
            End::Refused | End::Failed => operation.outcome = Outcome::Fail,
            End::Invoke | End::Info => {}
        }
        let has_token = matches!(operation.action, Action::Acquire(1..) | Action::TryAcquire(1..));
        if self.lenient && (operation.outcome == Outcome::Fail || has_token) {
            self.answers.push((open, event.stamp));
        }
        Ok(())
    }

    /// A completion whose invoke is not there: its operation may have happened at any time since
    /// its process was last heard of.
    fn orphan(&mut self, event: Event) {
        let nothing_happened = matches!(event.end, End::Refused | End::Failed)
            || matches!(event.action, Action::Read(_) | Action::Get(_));
        if nothing_happened {
            return;
        }
        self.moved = true;
        let since = self.last_heard.get(event.process as usize).copied().unwrap_or(0);
        match event.object {
            Some(object) if event.argued => {
                self.push(object, since, event.action, event.process);
            }
            _ => self.whole_until = self.whole_until.min(since),
        }
    }

    fn push(&mut self, object: u32, invoke: u64, action: Action, process: Process) -> Open {
        let operations = &mut self.objects[object as usize].operations;
        let outcome = Outcome::Info;
        operations.push(Operation { invoke, complete: NEVER, action, process, outcome });
        Open { object, index: operations.len() - 1 }
    }

    fn operation(&self, open: Open) -> &Operation {
        &self.objects[open.object as usize].operations[open.index]
    }

    fn heard(&mut self, process: Process, stamp: u64) {
        let index = process as usize;
        if index >= self.last_heard.len() {
            self.last_heard.resize(index + 1, 0);
        }
        self.last_heard[index] = stamp;
    }

    /// The operations, once all events were taken.
    pub(crate) fn finish(mut self, format: Format) -> Result<Loaded, FormatError> {
        if self.events == 0 {
            return Err(FormatError::Nothing { format });
        }
        let specification = self.specification.unwrap_or_else(|| self.speaks_of());
        let leases = matches!(specification, Specification::LeaseMutex { .. });
        self.forget_doubtful_answers();
        for object in &mut self.objects {
            object.operations.retain(|operation| tells(operation, leases));
            if self.moved {
                object.operations.sort_by_key(|operation| operation.invoke);
            }
        }
        Ok(Loaded {
            objects: self.objects,
            values: self.values,
            processes: self.processes,
            specification,
            stamps: self.stamps,
            skipped: self.skipped,
            whole_until: self.whole_until,
        })
    }

    /// What came once the history was no longer whole may have answered another operation than the
    /// one that was open before.
    fn forget_doubtful_answers(&mut self) {
        for (open, stamp) in std::mem::take(&mut self.answers) {
            let operation = &mut self.objects[open.object as usize].operations[open.index];
            if stamp < self.whole_until || operation.invoke >= self.whole_until {
                continue;
            }
            match &mut operation.action {
                Action::Acquire(token) | Action::TryAcquire(token) => *token = 0,
                _ => {}
            }
            if operation.outcome == Outcome::Fail {
                operation.outcome = Outcome::Info;
                operation.complete = NEVER;
            }
        }
    }

    /// The object that the operations speak of.
    fn speaks_of(&self) -> Specification {
        let actions = || self.objects.iter().flat_map(|o| &o.operations).map(|o| o.action);
        let has_token = |action| matches!(action, Action::Acquire(token) | Action::TryAcquire(token) if token > 0);
        let is_shared = |action| {
            matches!(
                action,
                Action::AcquireShared | Action::TryAcquireShared | Action::ReleaseShared
            )
        };
        match self.kind {
            Some(Kind::Register) => Specification::CasRegister,
            Some(Kind::KeyValue) => Specification::KeyValue,
            Some(Kind::FencedResource) => Specification::FencedResource,
            _ if actions().any(is_shared) => Specification::ReadWriteLock,
            _ if actions().any(has_token) => Specification::FencedMutex,
            _ => Specification::OwnerMutex,
        }
    }
}

/// Whether the checker has any use for an operation. A renewal changes nothing where locks have no
/// leases; a read of unknown outcome has an unknown answer.
fn tells(operation: &Operation, leases: bool) -> bool {
    match (operation.outcome, operation.action) {
        (_, Action::Renew) if !leases => false,
        (Outcome::Fail, _) => operation.complete != NEVER,
        (Outcome::Info, Action::Read(_) | Action::Get(_)) => false,
        _ => true,
    }
}

/// Whether a completion can be that of an invoke.
fn same_call(invoked: Action, completed: Action, argued: bool) -> bool {
    match (invoked, completed) {
        (Action::Acquire(_), Action::Acquire(_))
        | (Action::TryAcquire(_), Action::TryAcquire(_))
        | (Action::Read(_), Action::Read(_))
        | (Action::Get(_), Action::Get(_)) => true,
        _ if argued => invoked == completed,
        _ => discriminant(&invoked) == discriminant(&completed),
    }
}

/// What was asked, with the answer to it: a token or the value that was read.
fn answered(invoked: Action, completed: Action) -> Action {
    match completed {
        Action::Acquire(0) | Action::TryAcquire(0) => invoked,
        Action::Acquire(_) | Action::TryAcquire(_) | Action::Read(_) | Action::Get(_) => completed,
        _ => invoked,
    }
}

/// What an operation is called.
pub(crate) fn name(action: Action) -> &'static str {
    match action {
        Action::Acquire(_) => "acquire",
        Action::TryAcquire(_) => "try",
        Action::Release => "release",
        Action::Renew => "renew",
        Action::AcquireShared => "acquire-read",
        Action::TryAcquireShared => "try-read",
        Action::ReleaseShared => "release-read",
        Action::Read(_) | Action::GuardedRead(_) => "read",
        Action::Write(_) | Action::GuardedWrite(_) => "write",
        Action::Cas { .. } => "cas",
        Action::Get(_) => "get",
        Action::Put(_) => "put",
        Action::Append(_) => "append",
    }
}

/// An operation with its arguments.
fn describe(action: Action, values: &Values, argued: bool) -> String {
    let name = name(action);
    let text = |value| values.text(value).filter(|text| !text.is_empty()).unwrap_or("nil");
    match action {
        _ if !argued => format!("`{name}`"),
        Action::Write(value) | Action::Put(value) | Action::Append(value) => {
            format!("`{name} {}`", text(value))
        }
        Action::Cas { expected, new } => format!("`{name} [{} {}]`", text(expected), text(new)),
        Action::GuardedRead(token) | Action::GuardedWrite(token) => {
            format!("`{name}` with token {token}")
        }
        _ => format!("`{name}`"),
    }
}
