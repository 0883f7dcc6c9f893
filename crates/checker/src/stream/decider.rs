//! The online decider of one object, whichever its specification.

use super::exclusion::Exclusion;
use super::owner_mutex::OwnerMutex;
use super::processes::{Step, StreamEvent};
use crate::decision::Counterexample;
use crate::operation::Outcome;
use crate::specification::Specification;

/// The history so far has no order, and so the whole history has none either.
pub type Alarm = Box<Counterexample>;

/// Decides one object's history event by event, in time order, invokes before completions of the
/// same instant.
#[derive(Debug)]
pub struct Decider {
    lock: Lock,
    stop: Option<Stop>,
    counts: Counts,
}

#[derive(Debug)]
enum Lock {
    OwnerMutex(OwnerMutex),
    Exclusion(Exclusion),
}

/// Why a decider looks no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Alarm(Alarm),
    NeedsWholeHistory(String),
}

/// What a stream held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations that were invoked.
    pub invoked: u64,
    /// Of these, those that may have happened; not counting those that are still open.
    pub unknown: u64,
}

/// The answer of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamVerdict {
    /// There is an order in which everything makes sense.
    Linearizable,
    /// There is none.
    NotLinearizable(Alarm),
    /// What the stream assumes does not hold, in words: the history has to be decided as a whole.
    NeedsWholeHistory(String),
}

/// The answer, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDecision {
    /// The answer.
    pub verdict: StreamVerdict,
    /// What was fed, whether before or after the answer was clear.
    pub counts: Counts,
}

impl Decider {
    /// A decider of this specification; `None` if it can only be decided as a whole.
    pub fn new(specification: Specification) -> Option<Decider> {
        let lock = match specification {
            // One permit is a mutex, and a mutex explains its denials.
            Specification::OwnerMutex | Specification::Semaphore { permits: 1 } => {
                Lock::OwnerMutex(OwnerMutex::default())
            }
            Specification::Semaphore { permits } => Lock::Exclusion(Exclusion::permits(permits)),
            Specification::ReadWriteLock => Lock::Exclusion(Exclusion::readers_or_writer()),
            _ => return None,
        };
        Some(Decider { lock, stop: None, counts: Counts::default() })
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// The alarm, once: at the completion that ends the shortest prefix without an order.
    pub fn event(&mut self, event: &StreamEvent) -> Result<(), Alarm> {
        self.counts.count(event.step);
        if self.stop.is_some() {
            return Ok(());
        }
        let taken = match &mut self.lock {
            Lock::OwnerMutex(mutex) => mutex.event(event),
            Lock::Exclusion(exclusion) => exclusion.event(event),
        };
        let Err(stop) = taken else { return Ok(()) };
        let alarm = match &stop {
            Stop::Alarm(alarm) => Err(alarm.clone()),
            Stop::NeedsWholeHistory(_) => Ok(()),
        };
        self.stop = Some(stop);
        alarm
    }

    /// Gives up: the caller knows of something that the events do not show, in words. An alarm that
    /// was raised before stands.
    pub fn need_whole_history(&mut self, because: &str) {
        self.stop.get_or_insert_with(|| Stop::NeedsWholeHistory(because.to_owned()));
    }

    /// The answer for everything that was fed. What is still open may or may not have happened.
    pub fn finish(self) -> StreamDecision {
        let verdict = match self.stop {
            None => StreamVerdict::Linearizable,
            Some(Stop::Alarm(alarm)) => StreamVerdict::NotLinearizable(alarm),
            Some(Stop::NeedsWholeHistory(because)) => StreamVerdict::NeedsWholeHistory(because),
        };
        StreamDecision { verdict, counts: self.counts }
    }
}

impl Counts {
    fn count(&mut self, step: Step) {
        match step {
            Step::Invoke => self.invoked += 1,
            Step::Complete(Outcome::Info) => self.unknown += 1,
            Step::Complete(Outcome::Ok | Outcome::Fail) => {}
        }
    }
}
