//! What the checker takes: operations on one object, each with its two ends.

/// The completion of an operation whose outcome is unknown: it may take effect at any later time.
pub const NEVER: u64 = u64::MAX;

/// Who asked: a process, which has one operation at a time and is the owner of what it acquires.
pub type Process = u32;

/// A fencing token; a later grant has a larger one. Zero means that it is not known.
pub type Token = u64;

/// A value of a register or of a key, by its number in a [`Values`](crate::Values).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub u32);

impl Value {
    /// What an object holds before the first write; to a key-value store, the empty string.
    pub const NIL: Value = Value(0);
}

/// What was asked for. A read carries what it returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Take the lock, or the write side of a read-write lock; wait for it.
    Acquire(Token),
    /// The same without waiting. As a fail it tells that the lock could not be had just then.
    TryAcquire(Token),
    /// Give back what `Acquire` took.
    Release,
    /// Extend the lease.
    Renew,
    /// Take the read side of a read-write lock; wait for it.
    AcquireShared,
    /// The same without waiting; a fail tells.
    TryAcquireShared,
    /// Give back the read side.
    ReleaseShared,
    /// Read the register.
    Read(Value),
    /// Write the register.
    Write(Value),
    /// Write `new` if the register holds `expected`. A fail tells that it held something else.
    Cas {
        /// What the register has to hold.
        expected: Value,
        /// What it holds afterwards.
        new: Value,
    },
    /// Read a key.
    Get(Value),
    /// Set a key.
    Put(Value),
    /// Append to a key's value.
    Append(Value),
    /// Read the fenced resource with this token. A fail tells that the token was too small.
    GuardedRead(Token),
    /// Write the fenced resource with this token; a fail tells as much.
    GuardedWrite(Token),
}

impl Action {
    /// Whether a fail of it is the object's own answer, and so tells something of its state. Of
    /// any other a fail says no more than that nothing happened.
    pub fn refusal_tells(self) -> bool {
        matches!(
            self,
            Action::TryAcquire(_)
                | Action::TryAcquireShared
                | Action::Cas { .. }
                | Action::GuardedRead(_)
                | Action::GuardedWrite(_)
        )
    }
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It happened.
    Ok,
    /// It did not happen: the object refused, which is an observation of its state.
    Fail,
    /// It may have happened, or may still happen at any later time.
    Info,
}

/// One operation on one object.
///
/// Stamps are nanoseconds of one clock or positions in a file, whatever orders the events of the
/// history; only leases need nanoseconds. Of equal stamps an invoke comes before a completion, so
/// such operations are concurrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// When it was asked.
    pub invoke: u64,
    /// When the answer was there; [`NEVER`] exactly for an info.
    pub complete: u64,
    /// What was asked.
    pub action: Action,
    /// Who asked.
    pub process: Process,
    /// How it ended.
    pub outcome: Outcome,
}
