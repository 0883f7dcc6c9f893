//! One attempt to hold a lock, as far as it is known.

use locktest_history::Token;

use crate::hold::Promised;
use crate::operation::{Owner, Promise};
use crate::overlap::double_grant;

/// How far an attempt's client is known: it did nothing else before this instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) until_ns: u64,
    /// Whether it will never do anything again.
    pub(super) ended: bool,
}

/// What the service promised, or what a renewal without an answer may turn out to have promised.
#[derive(Clone, Copy, Debug)]
struct Lease {
    promise: Promise,
    /// The renewal that has no answer yet.
    pending_op: Option<u64>,
    /// Of the promises to others that were left behind, the first that this one can overlap.
    rival: Option<Promised>,
}

/// When a lock was granted, and by which reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) ok_ns: u64,
    pub(super) revision: Option<u64>,
}

/// One attempt: from the invoke of its acquire until nothing that it did matters any more.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) owner: Owner,
    pub(super) acquire_op: u64,
    pub(super) invoke_ns: u64,
    pub(super) grant: Option<Grant>,
    pub(super) release_ns: Option<u64>,
    pub(super) token: Option<(Token, u64)>,
    /// Whether a read showed that the lock's entry was its own.
    pub(super) entry_seen: bool,
    leases: Vec<Lease>,
    /// What the promises that were left behind amount to: the latest end of those that began within
    /// the hold, and whether any lay within it.
    past_end_ns: u64,
    past_contract: bool,
}

impl Claim {
    pub(super) fn new(owner: Owner, acquire_op: u64, invoke_ns: u64) -> Claim {
        Claim {
            owner,
            acquire_op,
            invoke_ns,
            grant: None,
            release_ns: None,
            token: None,
            entry_seen: false,
            leases: Vec::new(),
            past_end_ns: 0,
            past_contract: false,
        }
    }

    pub(super) fn renewal_begins(&mut self, op: u64, time_ns: u64) {
        let promise =
            Promise { begin_ns: time_ns, end_ns: u64::MAX, ttl_ms: 0, known_ns: u64::MAX };
        self.leases.push(Lease { promise, pending_op: Some(op), rival: None });
    }

    /// A renewal was answered; without a promise unless it went well.
    pub(super) fn renewal_ends(&mut self, op: u64, promise: Option<Promise>) {
        let Some(index) = self.leases.iter().position(|lease| lease.pending_op == Some(op)) else {
            return;
        };
        match promise {
            Some(promise) => {
                self.leases[index].promise = promise;
                self.leases[index].pending_op = None;
            }
            None => {
                self.leases.swap_remove(index);
            }
        }
    }

    pub(super) fn granted(&mut self, grant: Grant, promise: Option<Promise>) {
        self.grant = Some(grant);
        self.leases.extend(promise.map(|promise| Lease { promise, pending_op: None, rival: None }));
    }

    /// Until when the hold is known to have lasted.
    fn limit_ns(&self, known: Known) -> u64 {
        let known_until_ns = if known.ended { u64::MAX } else { known.until_ns };
        let ok_ns = self.grant.map_or(0, |grant| grant.ok_ns);
        self.release_ns.unwrap_or(u64::MAX).min(known_until_ns).max(ok_ns)
    }

    /// Whether everything that can bear on its promises is known.
    pub(super) fn is_final(&self, known: Known) -> bool {
        known.ended
            || self.release_ns.is_some()
                && self.leases.iter().all(|lease| lease.pending_op.is_none())
    }

    /// Whether nothing is left of it but its token.
    pub(super) fn is_past(&self, known: Known) -> bool {
        self.is_final(known) && (self.grant.is_none() || self.leases.is_empty())
    }

    /// What the service is known to have promised within the hold, with the rival of each part.
    fn contract(&self, known: Known) -> impl Iterator<Item = (Promised, Option<Promised>)> + '_ {
        let limit_ns = self.limit_ns(known);
        self.grant.into_iter().flat_map(move |grant| {
            self.leases.iter().filter(|lease| lease.pending_op.is_none()).filter_map(move |lease| {
                let promised = Promised::of(&lease.promise, grant.ok_ns, limit_ns)?;
                Some((promised, lease.rival))
            })
        })
    }

    /// When the first double grant between this claim and another was known, if there is one.
    pub(super) fn double_grant_with(
        &self,
        known: Known,
        (other, other_known): (&Claim, Known),
    ) -> Option<u64> {
        let pairs = self
            .contract(known)
            .flat_map(|(a, _)| other.contract(other_known).map(move |(b, _)| (a, b)));
        pairs.filter_map(|(a, b)| double_grant(&a, &b)).map(|conflict| conflict.known_ns).min()
    }

    /// The same for the promises to others that were left behind.
    pub(super) fn double_grant_before(&self, known: Known) -> Option<u64> {
        let pairs = self.contract(known).filter_map(|(a, rival)| double_grant(&a, &rival?));
        pairs.map(|conflict| conflict.known_ns).min()
    }

    /// Leaves the promises behind that nobody's later deeds can overlap, since all that happened
    /// before `settled_ns` is known, and tells them. What is still open are the promises to those
    /// who have one already; they keep a rival each.
    pub(super) fn leave_behind(&mut self, known: Known, settled_ns: u64) -> Vec<Promised> {
        let Some(grant) = self.grant else { return Vec::new() };
        let (limit_ns, is_final) = (self.limit_ns(known), self.is_final(known));
        let mut left = Vec::new();
        let (mut past_end_ns, mut past_contract) = (self.past_end_ns, self.past_contract);
        self.leases.retain(|lease| {
            if lease.pending_op.is_some() {
                return !known.ended;
            }
            let end_ns = lease.promise.end_ns.min(limit_ns);
            let is_known = is_final || lease.promise.end_ns <= limit_ns;
            if !is_known || end_ns > settled_ns {
                return true;
            }
            if lease.promise.begin_ns <= limit_ns {
                past_end_ns = past_end_ns.max(end_ns);
            }
            if let Some(promised) = Promised::of(&lease.promise, grant.ok_ns, limit_ns) {
                past_contract = true;
                left.push(promised);
            }
            false
        });
        (self.past_end_ns, self.past_contract) = (past_end_ns, past_contract);
        left
    }

    /// Keeps in mind a promise to another that was left behind.
    pub(super) fn remember(&mut self, rival: Promised) {
        let Some(grant) = self.grant else { return };
        for lease in &mut self.leases {
            let begin_ns = lease.promise.begin_ns.max(grant.ok_ns);
            let can_overlap = begin_ns < rival.end_ns && rival.begin_ns < lease.promise.end_ns;
            let earlier = lease.rival.is_none_or(|before| rival.begin_ns < before.begin_ns);
            if can_overlap && earlier {
                lease.rival = Some(rival);
            }
        }
    }

    /// The token with what places the grant in time; `None` without a grant or a token.
    pub(super) fn numbered(&self, known: Known) -> Option<Numbered> {
        let (grant, (token, known_ns)) = (self.grant?, self.token?);
        let limit_ns = self.limit_ns(known);
        let current = self.leases.iter().filter(|lease| lease.pending_op.is_none());
        let ends = current.filter(|lease| lease.promise.begin_ns <= limit_ns);
        let end_ns = ends.map(|lease| lease.promise.end_ns.min(limit_ns)).max();
        let end_ns = end_ns.unwrap_or(0).max(self.past_end_ns);
        let promised = self.past_contract || self.contract(known).next().is_some();
        let lasted = promised && self.is_final(known) && end_ns > grant.ok_ns;
        Some(Numbered {
            token,
            known_ns,
            invoke_ns: self.invoke_ns,
            ok_ns: grant.ok_ns,
            promised,
            end_ns: lasted.then_some(end_ns),
        })
    }
}

/// A grant with a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbered {
    pub(super) token: Token,
    pub(super) known_ns: u64,
    invoke_ns: u64,
    ok_ns: u64,
    promised: bool,
    /// When the promise ended, if there was one and its end is known for good.
    end_ns: Option<u64>,
}

impl Numbered {
    /// Whether it surely came first; see [`monotone`](crate::tokens::monotone).
    fn precedes(&self, other: &Numbered) -> bool {
        let ended = other.promised && self.end_ns.is_some_and(|end_ns| end_ns <= other.ok_ns);
        self.ok_ns < other.invoke_ns || ended
    }

    /// When it was known that the tokens of two grants do not grow, if they do not.
    pub(super) fn conflict_with(&self, other: &Numbered) -> Option<u64> {
        let conflict = self.token == other.token
            || self.token > other.token && self.precedes(other)
            || self.token < other.token && other.precedes(self);
        conflict.then_some(self.known_ns.max(other.known_ns))
    }
}
