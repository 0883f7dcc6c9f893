//! Sequential specifications: what an object would do if it were asked one thing at a time.

mod cas_register;
mod fenced_mutex;
mod fenced_resource;
mod key_value;
mod lease_mutex;
mod mutex;
mod owner_mutex;
mod prefix_tree;
mod read_write_lock;
mod reentrant_mutex;
mod semaphore;

use std::fmt::Debug;
use std::hash::Hash;

use crate::operation::{Action, Operation, Outcome};

pub use cas_register::CasRegister;
pub use fenced_mutex::FencedMutex;
pub use fenced_resource::FencedResource;
pub use key_value::KeyValue;
pub use lease_mutex::LeaseMutex;
pub use mutex::Mutex;
pub use owner_mutex::OwnerMutex;
pub use read_write_lock::ReadWriteLock;
pub use reentrant_mutex::ReentrantMutex;
pub use semaphore::Semaphore;

/// A sequential specification, as the search uses it.
pub trait Model {
    /// What the object remembers.
    type State: Clone + Debug + Eq + Hash;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after `operation` took effect in `state`; `None` if it cannot have had this
    /// outcome there. An info is asked as if it had happened.
    fn step(&self, state: &Self::State, operation: &Operation) -> Option<Self::State>;

    /// Whether no operation of this kind ever changes a state: a read, a refusal. A write that
    /// happens to write what is there already is not read-only.
    fn is_read_only(&self, operation: &Operation) -> bool {
        operation.outcome == Outcome::Fail
    }

    /// Whether the object knows this operation.
    fn knows(&self, action: Action) -> bool;

    /// What tells two operations of one action apart.
    fn effect_depends_on(&self) -> DependsOn;

    /// What an operation needs and where it leads, of an object of which every operation leads to one
    /// and the same state wherever it is legal; `None` if the object is not of this kind.
    fn passage(&self, _operation: &Operation) -> Option<Passage<Self::State>> {
        None
    }

    /// Makes operations the same that are different only in what none of the others can see.
    fn simplify(&self, _operations: &mut [Operation]) {}

    /// An operation at whose completion the history is surely bad, if that is plain without a
    /// search; of several, one that completes first.
    fn plainly_bad(&self, _operations: &[Operation]) -> Option<usize> {
        None
    }
}

/// What an operation makes of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage<S> {
    /// Where it is legal.
    pub needs: Needs<S>,
    /// The state after it; `None` if it is read-only.
    pub leads_to: Option<S>,
}

/// The states in which an operation is legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs<S> {
    /// All.
    Anything,
    /// This one.
    Only(S),
    /// All others.
    AnythingBut(S),
}

/// What the effect of an operation depends on, besides its action and the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DependsOn {
    /// Nothing else.
    Action,
    /// Its process. The object knows processes by their names alone: to swap two names throughout
    /// a history changes nothing.
    Process,
    /// Its process and the times at which it was open.
    Times,
}

/// Whether it takes a lock that has one way of being held, or gives it back.
fn is_of_a_lock(action: Action) -> bool {
    matches!(action, Action::Acquire(_) | Action::TryAcquire(_) | Action::Release)
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::operation::NEVER;

    /// Asks the model one thing after the other: each line is a process, an action, an outcome, and
    /// whether it is legal there. What is not legal leaves the state as it was.
    pub fn check<M: Model>(model: &M, lines: &[(u32, Action, Outcome, bool)]) {
        let mut state = model.initial();
        for (position, &(process, action, outcome, legal)) in lines.iter().enumerate() {
            let invoke = position as u64 * 2;
            let complete = if outcome == Outcome::Info { NEVER } else { invoke + 1 };
            let operation = Operation { invoke, complete, action, process, outcome };
            let next = model.step(&state, &operation);
            assert_eq!(next.is_some(), legal, "line {position}: {operation:?} in {state:?}");
            if let Some(next) = next {
                if model.is_read_only(&operation) {
                    assert_eq!(next, state, "line {position}: {operation:?} is read-only");
                }
                state = next;
            }
        }
    }

    /// What the model knows, and nothing else.
    pub fn knows_only<M: Model + Debug>(model: &M, known: &[Action]) {
        use crate::operation::Value;
        let all = [
            Action::Acquire(0),
            Action::TryAcquire(0),
            Action::Release,
            Action::Renew,
            Action::AcquireShared,
            Action::TryAcquireShared,
            Action::ReleaseShared,
            Action::Read(Value::NIL),
            Action::Write(Value::NIL),
            Action::Cas { expected: Value::NIL, new: Value::NIL },
            Action::Get(Value::NIL),
            Action::Put(Value::NIL),
            Action::Append(Value::NIL),
            Action::GuardedRead(0),
            Action::GuardedWrite(0),
        ];
        for action in all {
            assert_eq!(model.knows(action), known.contains(&action), "{action:?}");
            if !known.contains(&action) {
                let operation =
                    Operation { invoke: 0, complete: 1, action, process: 0, outcome: Outcome::Ok };
                assert_eq!(model.step(&model.initial(), &operation), None, "{action:?}");
            }
        }
    }
}
