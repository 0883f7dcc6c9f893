//! What the checker says of one object.

use crate::operation::Operation;

/// A linearization: the indices of the operations in the order in which they took effect. Every ok
/// and every telling fail is in it exactly once, an info at most once.
pub type Certificate = Vec<u32>;

/// The answer for one object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "an object has one decision")]
pub enum Decision {
    /// There is an order in which everything makes sense; the certificate, if it was asked for.
    Linearizable(Option<Certificate>),
    /// There is none.
    NotLinearizable(Counterexample),
    /// The budget ran out first. Never a verdict.
    Undecided(Undecided),
}

impl Decision {
    /// Gives the operations other indices.
    pub(crate) fn renumber(&mut self, index: impl Fn(u32) -> u32) {
        let renumber = |involved: &mut Involved| {
            if let Ok(old) = u32::try_from(involved.index) {
                involved.index = index(old).into();
            }
        };
        match self {
            Decision::Linearizable(certificate) => {
                certificate.iter_mut().flatten().for_each(|old| *old = index(*old));
            }
            Decision::NotLinearizable(counterexample) => {
                counterexample.conflict.involved().into_iter().for_each(renumber);
            }
            Decision::Undecided(_) => {}
        }
    }
}

/// Why there is no linearization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The stamp of the completion that ends a prefix that is not linearizable.
    pub at: u64,
    /// Whether it is known that no shorter prefix is bad.
    pub shortest: bool,
    /// What is in each other's way.
    pub conflict: Conflict,
}

impl Counterexample {
    /// One of which nobody has asked whether a shorter prefix is bad.
    pub(crate) fn new(at: u64, conflict: Conflict) -> Counterexample {
        Counterexample { at, shortest: false, conflict }
    }
}

/// An operation as a counterexample names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Involved {
    /// Its index in the history that was decided; in a stream, its number in order of invokes.
    pub index: u64,
    /// The operation itself.
    pub operation: Operation,
}

/// One tenure of a lock: the acquire and, if there is one, the release that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What began it.
    pub acquire: Involved,
    /// What ended it.
    pub release: Option<Involved>,
}

/// The named conflict of a counterexample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Holds that exclude each other have a common instant: two, or one more than the permits.
    Overlap(Vec<Hold>),
    /// A try was denied although nobody can have held the lock at any time of it. The holds around
    /// it, if there are any.
    UnexplainedDenial {
        /// The try.
        denial: Involved,
        /// The hold that was over before.
        before: Option<Hold>,
        /// The hold that began after.
        after: Option<Hold>,
    },
    /// An operation of one who does not hold what it needs: a release or a renewal.
    NotHeld(Involved),
    /// The order of two tokens contradicts the order in time: the first ended before the second
    /// began, and its token is not smaller.
    Tokens(Involved, Involved),
    /// The fenced resource refused a token although it can have seen no larger one.
    UnexplainedRefusal(Involved),
    /// Leases that cannot all be served in time, however they are shifted; each began before the
    /// one before it can have ended.
    Leases {
        /// The chain of holds.
        chain: Vec<Hold>,
        /// The shortest time that a lease lasts, which the proof used, in nanoseconds.
        lease_ns: u64,
    },
    /// No order explains the prefix. What the object was asked at its end: the operation whose
    /// completion broke it, and what the longest explanation had done last.
    NoOrder {
        /// The operation whose completion ends the shortest bad prefix.
        stuck: Involved,
        /// The operations that were open at that completion.
        open: Vec<Involved>,
    },
}

impl Conflict {
    /// All operations that are named.
    pub(crate) fn involved(&mut self) -> Vec<&mut Involved> {
        fn of_hold(hold: &mut Hold) -> impl Iterator<Item = &mut Involved> {
            [&mut hold.acquire].into_iter().chain(&mut hold.release)
        }
        match self {
            Conflict::Overlap(holds) | Conflict::Leases { chain: holds, .. } => {
                holds.iter_mut().flat_map(of_hold).collect()
            }
            Conflict::UnexplainedDenial { denial, before, after } => {
                let around = [before, after].into_iter().flatten();
                [denial].into_iter().chain(around.flat_map(of_hold)).collect()
            }
            Conflict::NotHeld(involved) | Conflict::UnexplainedRefusal(involved) => vec![involved],
            Conflict::Tokens(first, second) => vec![first, second],
            Conflict::NoOrder { stuck, open } => [stuck].into_iter().chain(open).collect(),
        }
    }
}

/// How far a budget went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// What ran out.
    pub why: Exhausted,
    /// Everything up to this stamp is linearizable.
    pub decided_until: u64,
    /// Whether a violation is likely: a search that can err only to the bad found no order, and
    /// what ran out was the budget of the exact one that has to confirm it.
    pub suspected: bool,
}

/// What ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// The time, as the caller measures it.
    Time,
    /// The memory for visited configurations.
    Memory,
    /// Another object was found not linearizable first.
    Abandoned,
    /// The history: operations may be missing from it from here on, which might explain what is
    /// there.
    Unread,
    /// The stream: an assumption of its rule failed, and it cannot be read a second time.
    Streamed,
}
