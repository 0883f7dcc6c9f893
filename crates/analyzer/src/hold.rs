//! Holds: what the clients believed and what the service promised.

use locktest_history::{ClientId, History, KeyId, NodeId, Outcome, Plan, Token};

use crate::missing::{Missing, missing_entry};
use crate::observed::Observed;
use crate::operation::{Attempt, Owner, Promise};
use crate::verdict::Involved;

/// One granted acquire, seen both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The owner is (client, attempt).
    pub client: ClientId,
    /// The owner is (client, attempt).
    pub attempt: u64,
    /// Which lock.
    pub key: KeyId,
    /// The server that granted it.
    pub server: Option<NodeId>,
    /// When the acquire was invoked.
    pub invoke_ns: u64,
    /// When it was granted: both views begin here.
    pub ok_ns: u64,
    /// When the release was invoked, if it was.
    pub release_invoke_ns: Option<u64>,
    /// When the client stopped believing: release, loss noticed, or death.
    pub belief_end_ns: u64,
    /// When the service's promise ended; before `ok_ns` if the grant came too late to promise anything.
    pub contract_end_ns: u64,
    /// The latest lease start before the end.
    pub lease_start_ns: u64,
    /// The lease's time to live as granted.
    pub lease_ttl_ms: u64,
    /// The fencing token, if it was read.
    pub token: Option<Token>,
}

/// Every hold of a history, ordered by `ok_ns`.
pub fn holds(history: &History) -> Vec<Hold> {
    let observed = Observed::new(history);
    tenures(&observed).into_iter().map(|tenure| tenure.hold).collect()
}

/// A part of a hold that the service promised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promised {
    pub(crate) begin_ns: u64,
    pub(crate) end_ns: u64,
    /// When the reply that promises it had arrived.
    pub(crate) known_ns: u64,
}

impl Promised {
    /// The part of a promise that lies within a hold: from its grant to its end, as far as either
    /// is known. `None` if the promise says nothing of the hold.
    pub(crate) fn of(promise: &Promise, ok_ns: u64, limit_ns: u64) -> Option<Promised> {
        let begin_ns = promise.begin_ns.max(ok_ns);
        let end_ns = promise.end_ns.min(limit_ns);
        // A hold that is released in the instant of its grant is still a hold.
        let instant = begin_ns == ok_ns && limit_ns == ok_ns && promise.end_ns > ok_ns;
        let any = begin_ns < end_ns || instant;
        any.then_some(Promised { begin_ns, end_ns, known_ns: promise.known_ns })
    }
}

/// A hold with what the verdict needs beyond it.
#[derive(Debug)]
pub(crate) struct Tenure<'a, 'h> {
    pub(crate) hold: Hold,
    pub(crate) attempt: &'a Attempt<'h>,
    /// The contract view: its union; empty if the grant promised nothing any more.
    pub(crate) contract: Vec<Promised>,
    /// What proves that the service did not keep the lock that it granted.
    pub(crate) missing: Option<Missing<'a, 'h>>,
}

impl<'a, 'h> Tenure<'a, 'h> {
    pub(crate) fn owner(&self) -> Owner {
        self.attempt.owner()
    }

    /// What proves that the service no longer had the lock when it granted it.
    pub(crate) fn stale(&self) -> Option<Missing<'a, 'h>> {
        self.missing.filter(|missing| missing.kept_ns.is_none())
    }

    /// The hold as the verdict shows it: its acquire with both views.
    pub(crate) fn involved(&self, observed: &Observed) -> Involved {
        let hold = &self.hold;
        Involved {
            outcome: Outcome::Ok,
            token: hold.token.map(|token| token.to_string()),
            contract_end_ns: Some(hold.contract_end_ns),
            belief_end_ns: Some(hold.belief_end_ns),
            rounds: observed.rounds(self.attempt),
            ..observed.involved(&self.attempt.acquire)
        }
    }

    /// When neither view holds any more.
    pub(crate) fn end_ns(&self) -> u64 {
        self.hold.belief_end_ns.max(self.hold.contract_end_ns)
    }
}

/// Every granted attempt, ordered by the time of its grant.
pub(crate) fn tenures<'a, 'h>(observed: &'a Observed<'h>) -> Vec<Tenure<'a, 'h>> {
    let mut tenures: Vec<Tenure> =
        observed.attempts.iter().filter_map(|attempt| tenure(attempt, observed.plan)).collect();
    tenures.sort_by_key(|tenure| (tenure.hold.ok_ns, tenure.owner()));
    tenures
}

fn tenure<'a, 'h>(attempt: &'a Attempt<'h>, plan: &Plan) -> Option<Tenure<'a, 'h>> {
    let ok_ns = attempt.acquire.ok_ns()?;
    let release_invoke_ns = attempt.release_invoke_ns();
    let client_end = attempt.client_end;
    let belief_end_ns = [release_invoke_ns, attempt.lost_ns]
        .into_iter()
        .flatten()
        .fold(client_end.time_ns, u64::min)
        .max(ok_ns);
    // What a client did after its last recorded event is unknown unless its exit was recorded: it
    // may have released, so nothing is promised from there on.
    let known_until_ns = if client_end.exited { u64::MAX } else { client_end.time_ns };
    let limit_ns = release_invoke_ns.unwrap_or(u64::MAX).min(known_until_ns).max(ok_ns);

    // A lease that ended does not come back. An ok renewal that was sent at L therefore shows that
    // the lease lived at L and promises that it lives until L + TTL, whenever the reply came: so a
    // reply that came after another's grant still extends the contract. If every earlier promise
    // had run out at L, the service was free to drop the lease in between, and the contract has a
    // gap there: what nobody promised is never held against the service.
    let promises = attempt.promises(plan);
    let promised = promises.iter().filter_map(|promise| Promised::of(promise, ok_ns, limit_ns));
    let contract = promised.collect();
    let last = promises.iter().filter(|promise| promise.begin_ns <= limit_ns);
    let last = last.max_by_key(|promise| promise.end_ns);
    let hold = Hold {
        client: attempt.client(),
        attempt: attempt.acquire.invoke.attempt,
        key: attempt.key(),
        server: attempt.acquire.completion?.server.or(attempt.acquire.invoke.server),
        invoke_ns: attempt.acquire.invoke_ns(),
        ok_ns,
        release_invoke_ns,
        belief_end_ns,
        contract_end_ns: last.map_or(ok_ns, |promise| promise.end_ns).min(limit_ns),
        lease_start_ns: last.map_or(ok_ns, |promise| promise.begin_ns),
        lease_ttl_ms: last.map_or(0, |promise| promise.ttl_ms),
        token: attempt.token().map(|(token, _)| token),
    };
    let missing = missing_entry(attempt, &promises, plan);
    Some(Tenure { hold, attempt, contract, missing })
}
