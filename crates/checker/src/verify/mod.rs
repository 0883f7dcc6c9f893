//! Checks a certificate: replays the order that it gives, by rules of its own.
//!
//! Nothing here is shared with what finds linearizations, so that a mistake there is not repeated
//! here. The rules of time are in this file, those of the objects in `objects`.

mod objects;

use thiserror::Error;

use crate::operation::{Operation, Outcome};
use crate::specification::Specification;
use crate::values::Values;
use objects::Object;

/// Why a certificate is no linearization. Positions count the certificate's entries, indices the
/// operations, both from zero.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// The certificate names an operation that is not there.
    #[error("position {position}: there is no operation {index}, the history has {operations}")]
    OutOfRange {
        /// Where in the certificate.
        position: usize,
        /// What it says there.
        index: u32,
        /// How many operations the history has.
        operations: usize,
    },
    /// An operation takes effect a second time.
    #[error("position {position}: operation {index} took effect before: {operation:?}")]
    Twice {
        /// Where in the certificate.
        position: usize,
        /// Which operation.
        index: u32,
        /// The operation itself.
        operation: Operation,
    },
    /// An operation that surely did not happen, and tells nothing, has a place in the order.
    #[error("position {position}: operation {index} did not happen: {operation:?}")]
    DidNotHappen {
        /// Where in the certificate.
        position: usize,
        /// Which operation.
        index: u32,
        /// The operation itself.
        operation: Operation,
    },
    /// An operation takes effect after one that was invoked only when it was over.
    #[error(
        "position {position}: operation {index} was over before operation {later}, which is \
         placed before it, was invoked: {operation:?}"
    )]
    OutOfTime {
        /// Where in the certificate.
        position: usize,
        /// Which operation.
        index: u32,
        /// The operation itself.
        operation: Operation,
        /// The index of the operation that was invoked too late for this order.
        later: u32,
    },
    /// The object cannot have given this answer in the state in which it is at this position.
    #[error("position {position}: operation {index} cannot be: {reason}: {operation:?}")]
    Illegal {
        /// Where in the certificate.
        position: usize,
        /// Which operation.
        index: u32,
        /// The operation itself.
        operation: Operation,
        /// What rule it breaks.
        reason: &'static str,
    },
    /// An operation that happened has no place in the order.
    #[error("operation {index} happened and is not in the certificate: {operation:?}")]
    Missing {
        /// Which operation.
        index: u32,
        /// The operation itself.
        operation: Operation,
    },
}

/// Checks that `certificate` is a linearization of `operations`: that everything that happened is
/// in it once and nothing else, that its order agrees with time, and that the object can have given
/// each answer. Takes linear time, but for the lengths of a key-value store's values.
///
/// # Errors
/// The first rule that the certificate breaks, and where.
pub fn verify(
    specification: Specification,
    operations: &[Operation],
    values: &Values,
    certificate: &[u32],
) -> Result<(), VerifyError> {
    match specification {
        Specification::Mutex => replay(operations, certificate, objects::Mutex::default()),
        Specification::OwnerMutex => {
            replay(operations, certificate, objects::OwnerMutex::default())
        }
        Specification::ReentrantMutex { depth } => {
            replay(operations, certificate, objects::ReentrantMutex::new(depth))
        }
        Specification::FencedMutex => {
            replay(operations, certificate, objects::FencedMutex::default())
        }
        Specification::Semaphore { permits } => {
            replay(operations, certificate, objects::Semaphore::new(permits))
        }
        Specification::ReadWriteLock => {
            replay(operations, certificate, objects::ReadWriteLock::default())
        }
        Specification::LeaseMutex { lease_ns } => {
            replay(operations, certificate, objects::LeaseMutex::new(lease_ns))
        }
        Specification::FencedResource => {
            replay(operations, certificate, objects::FencedResource::default())
        }
        Specification::CasRegister => {
            replay(operations, certificate, objects::CasRegister::default())
        }
        Specification::KeyValue => replay(operations, certificate, objects::Key::new(values)),
    }
}

/// Lets the operations take effect on `object` in the order of the certificate.
fn replay(
    operations: &[Operation],
    certificate: &[u32],
    mut object: impl Object,
) -> Result<(), VerifyError> {
    let mut placed = vec![false; operations.len()];
    // Each operation takes effect at an instant between its ends, and the instants do not decrease
    // along the order. So the earliest possible instant is the latest invoke so far.
    let mut earliest = 0;
    let mut later = 0;
    for (position, &index) in certificate.iter().enumerate() {
        let Some(&operation) = operations.get(index as usize) else {
            return Err(VerifyError::OutOfRange { position, index, operations: operations.len() });
        };
        if std::mem::replace(&mut placed[index as usize], true) {
            return Err(VerifyError::Twice { position, index, operation });
        }
        if operation.outcome == Outcome::Fail && !operation.action.refusal_tells() {
            return Err(VerifyError::DidNotHappen { position, index, operation });
        }
        if operation.invoke > earliest {
            (earliest, later) = (operation.invoke, index);
        }
        if operation.complete < earliest {
            return Err(VerifyError::OutOfTime { position, index, operation, later });
        }
        if let Err(reason) = object.take(&operation) {
            return Err(VerifyError::Illegal { position, index, operation, reason });
        }
    }
    for ((&operation, placed), index) in operations.iter().zip(placed).zip(0..) {
        let happened = match operation.outcome {
            Outcome::Ok => true,
            Outcome::Fail => operation.action.refusal_tells(),
            Outcome::Info => false,
        };
        if happened && !placed {
            return Err(VerifyError::Missing { index, operation });
        }
    }
    Ok(())
}
