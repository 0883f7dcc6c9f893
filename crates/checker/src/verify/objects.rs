//! What each object does, one operation after the other.

use std::collections::HashMap;

use crate::operation::{Action, Operation, Outcome, Process, Token, Value};
use crate::values::Values;

/// What became of an operation: nothing to object to, or the rule that it breaks.
type Taken = Result<(), &'static str>;

/// An object that carries out operations, or refuses them, as their outcomes say.
pub(super) trait Object {
    /// The operation takes effect now: it is carried out if it is ok or info, refused if it failed.
    fn take(&mut self, operation: &Operation) -> Taken;
}

const HELD: &str = "the lock is held";
const FREE: &str = "the lock could be had";
const NOT_THE_OWNER: &str = "the process does not hold the lock";
const TOO_SMALL: &str = "the token is too small";
const UNKNOWN: &str = "the object knows no such operation";

fn require(holds: bool, otherwise: &'static str) -> Taken {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// Anybody may release it.
#[derive(Default)]
pub(super) struct Mutex {
    locked: bool,
}

impl Object for Mutex {
    fn take(&mut self, operation: &Operation) -> Taken {
        match (operation.action, operation.outcome) {
            (Action::TryAcquire(_), Outcome::Fail) => require(self.locked, FREE),
            (Action::Acquire(_) | Action::TryAcquire(_), _) => {
                require(!self.locked, HELD)?;
                self.locked = true;
                Ok(())
            }
            (Action::Release, _) => {
                require(self.locked, "nobody holds the lock")?;
                self.locked = false;
                Ok(())
            }
            _ => Err(UNKNOWN),
        }
    }
}

/// Its owner releases it.
#[derive(Default)]
pub(super) struct OwnerMutex {
    owner: Option<Process>,
}

impl Object for OwnerMutex {
    fn take(&mut self, operation: &Operation) -> Taken {
        match (operation.action, operation.outcome) {
            (Action::TryAcquire(_), Outcome::Fail) => require(self.owner.is_some(), FREE),
            (Action::Acquire(_) | Action::TryAcquire(_), _) => {
                require(self.owner.is_none(), HELD)?;
                self.owner = Some(operation.process);
                Ok(())
            }
            (Action::Release, _) => {
                require(self.owner == Some(operation.process), NOT_THE_OWNER)?;
                self.owner = None;
                Ok(())
            }
            _ => Err(UNKNOWN),
        }
    }
}

/// Its owner may take it again, up to `depth` times in all, and releases it as often.
pub(super) struct ReentrantMutex {
    depth: u32,
    owner: Process,
    /// How often the owner has it; at zero there is no owner.
    count: u32,
}

impl ReentrantMutex {
    pub(super) fn new(depth: u32) -> ReentrantMutex {
        ReentrantMutex { depth, owner: 0, count: 0 }
    }
}

impl Object for ReentrantMutex {
    fn take(&mut self, operation: &Operation) -> Taken {
        let theirs = self.count > 0 && self.owner == operation.process;
        let can_be_had = self.count == 0 || theirs && self.count < self.depth;
        match (operation.action, operation.outcome) {
            (Action::TryAcquire(_), Outcome::Fail) => require(!can_be_had, FREE),
            (Action::Acquire(_) | Action::TryAcquire(_), _) => {
                require(can_be_had, HELD)?;
                self.owner = operation.process;
                self.count += 1;
                Ok(())
            }
            (Action::Release, _) => {
                require(theirs, NOT_THE_OWNER)?;
                self.count -= 1;
                Ok(())
            }
            _ => Err(UNKNOWN),
        }
    }
}

/// An owner mutex whose grants carry growing tokens. One whose token is not known, zero, may have
/// any.
#[derive(Default)]
pub(super) struct FencedMutex {
    owner: Option<Process>,
    largest: Token,
}

impl Object for FencedMutex {
    fn take(&mut self, operation: &Operation) -> Taken {
        match (operation.action, operation.outcome) {
            (Action::TryAcquire(_), Outcome::Fail) => require(self.owner.is_some(), FREE),
            (Action::Acquire(token) | Action::TryAcquire(token), _) => {
                require(self.owner.is_none(), HELD)?;
                require(token == 0 || token > self.largest, TOO_SMALL)?;
                self.owner = Some(operation.process);
                self.largest = self.largest.max(token);
                Ok(())
            }
            (Action::Release, _) => {
                require(self.owner == Some(operation.process), NOT_THE_OWNER)?;
                self.owner = None;
                Ok(())
            }
            _ => Err(UNKNOWN),
        }
    }
}

/// How many permits each process has.
#[derive(Default)]
struct Permits {
    of: HashMap<Process, u32>,
    total: usize,
}

impl Permits {
    fn give(&mut self, process: Process) {
        *self.of.entry(process).or_default() += 1;
        self.total += 1;
    }

    fn take_back(&mut self, process: Process) -> Taken {
        let count = self.of.get_mut(&process).filter(|count| **count > 0).ok_or(NOT_THE_OWNER)?;
        *count -= 1;
        self.total -= 1;
        Ok(())
    }
}

/// Several permits, of which a process may have more than one.
pub(super) struct Semaphore {
    permits: usize,
    held: Permits,
}

impl Semaphore {
    pub(super) fn new(permits: u32) -> Semaphore {
        Semaphore { permits: permits as usize, held: Permits::default() }
    }
}

impl Object for Semaphore {
    fn take(&mut self, operation: &Operation) -> Taken {
        let can_be_had = self.held.total < self.permits;
        match (operation.action, operation.outcome) {
            (Action::TryAcquire(_), Outcome::Fail) => require(!can_be_had, FREE),
            (Action::Acquire(_) | Action::TryAcquire(_), _) => {
                require(can_be_had, "all permits are taken")?;
                self.held.give(operation.process);
                Ok(())
            }
            (Action::Release, _) => self.held.take_back(operation.process),
            _ => Err(UNKNOWN),
        }
    }
}

/// Many readers, or one writer and no reader. One who reads already may begin to read once more,
/// and then has to end both.
#[derive(Default)]
pub(super) struct ReadWriteLock {
    writer: Option<Process>,
    readers: Permits,
}

impl Object for ReadWriteLock {
    fn take(&mut self, operation: &Operation) -> Taken {
        let free = self.writer.is_none() && self.readers.total == 0;
        match (operation.action, operation.outcome) {
            (Action::TryAcquire(_), Outcome::Fail) => require(!free, FREE),
            (Action::Acquire(_) | Action::TryAcquire(_), _) => {
                require(free, HELD)?;
                self.writer = Some(operation.process);
                Ok(())
            }
            (Action::Release, _) => {
                require(self.writer == Some(operation.process), NOT_THE_OWNER)?;
                self.writer = None;
                Ok(())
            }
            (Action::TryAcquireShared, Outcome::Fail) => require(self.writer.is_some(), FREE),
            (Action::AcquireShared | Action::TryAcquireShared, _) => {
                require(self.writer.is_none(), HELD)?;
                self.readers.give(operation.process);
                Ok(())
            }
            (Action::ReleaseShared, _) => self.readers.take_back(operation.process),
            _ => Err(UNKNOWN),
        }
    }
}

/// An owner mutex whose grants may end by themselves, at or after their deadlines.
///
/// Everything happens as early as it can: an earlier instant means an earlier deadline, which
/// leaves more time to whatever follows.
pub(super) struct LeaseMutex {
    lease_ns: u64,
    /// The instant of the last operation, in nanoseconds.
    now: u64,
    owner: Option<Process>,
    /// When the owner's lease may end, in nanoseconds.
    deadline: u64,
}

impl LeaseMutex {
    pub(super) fn new(lease_ns: u64) -> LeaseMutex {
        LeaseMutex { lease_ns, now: 0, owner: None, deadline: 0 }
    }
}

impl Object for LeaseMutex {
    fn take(&mut self, operation: &Operation) -> Taken {
        let acquired = matches!(operation.action, Action::Acquire(_) | Action::TryAcquire(_))
            && operation.outcome != Outcome::Fail;
        self.now = self.now.max(operation.invoke);
        // An acquire from a holder waits for the lease to end; nothing else does.
        if acquired && self.owner.is_some() {
            self.now = self.now.max(self.deadline);
        }
        require(self.now <= operation.complete, "it was over before the leases before it can end")?;
        match (operation.action, operation.outcome) {
            (Action::TryAcquire(_), Outcome::Fail) => require(self.owner.is_some(), FREE),
            (Action::Acquire(_) | Action::TryAcquire(_), _) => {
                self.owner = Some(operation.process);
                self.deadline = self.now.saturating_add(self.lease_ns);
                Ok(())
            }
            (Action::Release, _) => {
                require(self.owner == Some(operation.process), NOT_THE_OWNER)?;
                self.owner = None;
                Ok(())
            }
            (Action::Renew, _) => {
                require(self.owner == Some(operation.process), NOT_THE_OWNER)?;
                self.deadline = self.deadline.max(self.now.saturating_add(self.lease_ns));
                Ok(())
            }
            _ => Err(UNKNOWN),
        }
    }
}

/// Takes what comes with a token at least as large as any before, and remembers the token.
#[derive(Default)]
pub(super) struct FencedResource {
    largest: Token,
}

impl Object for FencedResource {
    fn take(&mut self, operation: &Operation) -> Taken {
        match (operation.action, operation.outcome) {
            (Action::GuardedRead(token) | Action::GuardedWrite(token), Outcome::Fail) => {
                require(token < self.largest, "the token is large enough")
            }
            (Action::GuardedRead(token) | Action::GuardedWrite(token), _) => {
                require(token >= self.largest, TOO_SMALL)?;
                self.largest = token;
                Ok(())
            }
            _ => Err(UNKNOWN),
        }
    }
}

/// A register with read, write and compare-and-set.
pub(super) struct CasRegister {
    value: Value,
}

impl Default for CasRegister {
    fn default() -> CasRegister {
        CasRegister { value: Value::NIL }
    }
}

impl Object for CasRegister {
    fn take(&mut self, operation: &Operation) -> Taken {
        match (operation.action, operation.outcome) {
            (Action::Read(value), _) => require(self.value == value, "it holds another value"),
            (Action::Write(value), _) => {
                self.value = value;
                Ok(())
            }
            (Action::Cas { expected, .. }, Outcome::Fail) => {
                require(self.value != expected, "it holds the value that was expected")
            }
            (Action::Cas { expected, new }, _) => {
                require(self.value == expected, "it holds another value")?;
                self.value = new;
                Ok(())
            }
            _ => Err(UNKNOWN),
        }
    }
}

/// One key of a store with get, put and append.
pub(super) struct Key<'a> {
    values: &'a Values,
    text: String,
}

impl<'a> Key<'a> {
    pub(super) fn new(values: &'a Values) -> Key<'a> {
        Key { values, text: String::new() }
    }

    fn text_of(&self, value: Value) -> Result<&'a str, &'static str> {
        self.values.text(value).ok_or("its value has no text")
    }
}

impl Object for Key<'_> {
    fn take(&mut self, operation: &Operation) -> Taken {
        match operation.action {
            Action::Get(value) => {
                require(self.text == self.text_of(value)?, "it holds another value")
            }
            Action::Put(value) => {
                let text = self.text_of(value)?;
                self.text.clear();
                self.text.push_str(text);
                Ok(())
            }
            Action::Append(value) => {
                let text = self.text_of(value)?;
                self.text.push_str(text);
                Ok(())
            }
            _ => Err(UNKNOWN),
        }
    }
}
