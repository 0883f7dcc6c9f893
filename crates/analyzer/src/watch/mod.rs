//! Verdicts while the run goes on: the rules whose evidence is complete with the event that breaks
//! them.
//!
//! What is known only grows. That a client did nothing else until some instant shows that it had
//! not given the lock up by then, and each reply adds a promise and takes none away. So records are
//! taken as they arrive, in time order for each client alone, and what was found over those that
//! have arrived stays true whatever arrives later. The definitions are those of the verdict over
//! the whole history (`hold`, `overlap`, `tokens`, `evidence`), which is the verdict of record.
//!
//! It watches over locks: registers, and values that are kept in the store, are judged when the run
//! is over.
//!
//! Memory: per key, an entry for each client that waits or holds, and for the holds of the last
//! moments. A promise is left behind once every client is known beyond its end. From then on only a
//! hold that was granted before can still turn out to have overlapped it, by a renewal whose answer
//! is out or because its client fell silent, so each of those keeps the first promise that it can
//! have overlapped.

mod claim;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use locktest_history::{
    ClientExit, ClientId, Detail, Event, Function, KeyId, Outcome, Phase, Plan, Record, Workload,
};

use crate::missing::grant_is_the_entry;
use crate::observed::is_stamped_by_the_resource;
use crate::operation::{Contract, Promise};
use crate::verdict::ViolationClass;
use claim::{Claim, Grant, Known, Numbered};

/// A client that is this far behind the others, in nanoseconds, is paused or dead: nothing waits
/// for it. Its holds count as far as it is known. What it did in the meantime is taken in when it
/// arrives, but no longer compared with all that was left behind.
const SILENCE_NS: u64 = 100_000_000;

/// A violation, found while the run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What kind: a double grant, a stale grant, or a token that is not larger.
    pub class: ViolationClass,
    /// Of which lock.
    pub key: KeyId,
    /// The event that makes it one, in nanoseconds of the run's clock.
    pub time_ns: u64,
}

#[derive(Debug, Default)]
struct Client {
    heard_ns: u64,
    ended: bool,
    /// The keys of its claims that may still change by what is heard of it.
    claims: BTreeSet<KeyId>,
}

impl Client {
    fn known(&self) -> Known {
        Known { until_ns: self.heard_ns, ended: self.ended }
    }
}

/// One key.
#[derive(Debug, Default)]
struct Lock {
    claims: Vec<Claim>,
    /// Of the grants that were left behind, the one with the largest token.
    largest: Option<Numbered>,
}

/// Decides a run while it goes on.
#[derive(Debug)]
pub struct Watch {
    contract: Contract,
    workload: Workload,
    grants_can_be_stale: bool,
    clients: BTreeMap<ClientId, Client>,
    locks: HashMap<KeyId, Lock>,
    raised: HashSet<(KeyId, ViolationClass)>,
}

impl Watch {
    /// Nothing has happened yet.
    pub fn new(plan: &Plan) -> Watch {
        let clients = (0..plan.client_seeds.len()).filter_map(|index| u32::try_from(index).ok());
        Watch {
            contract: Contract::of(plan),
            workload: plan.workload,
            grants_can_be_stale: !grant_is_the_entry(plan.recipe),
            clients: clients.map(|client| (ClientId(client), Client::default())).collect(),
            locks: HashMap::new(),
            raised: HashSet::new(),
        }
    }

    /// Takes a record into account. Those of one client have to come in time order. Tells what it
    /// shows to be violated, each class once a key.
    pub fn record(&mut self, record: &Record) -> Vec<Alarm> {
        match record {
            Record::Event(event) => self.event(event),
            Record::ClientExit(exit) => self.exit(exit),
            _ => Vec::new(),
        }
    }

    /// Every event of `client` before this instant has arrived.
    pub fn heard(&mut self, client: ClientId, time_ns: u64) -> Vec<Alarm> {
        // A client that took the place of a dead one is none of the plan's.
        let known = self.clients.entry(client).or_default();
        known.heard_ns = known.heard_ns.max(time_ns);
        let keys: Vec<KeyId> = known.claims.iter().copied().collect();
        keys.into_iter().flat_map(|key| self.look(key, client)).collect()
    }

    /// How far every client is known: what was recorded before this instant is complete. Clients
    /// that are silent are waited for.
    pub fn complete_until_ns(&self) -> u64 {
        self.living().min().unwrap_or(u64::MAX)
    }

    /// How far each client is known.
    pub fn clients_heard(&self) -> BTreeMap<ClientId, u64> {
        self.clients.iter().map(|(client, known)| (*client, known.heard_ns)).collect()
    }

    fn living(&self) -> impl Iterator<Item = u64> + '_ {
        self.clients.values().filter(|client| !client.ended).map(|client| client.heard_ns)
    }

    /// The same as [`complete_until_ns`](Self::complete_until_ns) for the clients that are not
    /// silent.
    fn settled_ns(&self) -> u64 {
        let newest_ns = self.living().max().unwrap_or(u64::MAX);
        self.living()
            .filter(|ns| ns.saturating_add(SILENCE_NS) >= newest_ns)
            .min()
            .unwrap_or(newest_ns)
    }

    fn known(&self, client: ClientId) -> Known {
        let unknown = Known { until_ns: 0, ended: false };
        self.clients.get(&client).map_or(unknown, Client::known)
    }

    fn event(&mut self, event: &Event) -> Vec<Alarm> {
        let client = self.clients.entry(event.client).or_default();
        match event.function {
            Function::Read | Function::Write | Function::Cas => {
                // The owner of the resource stamps the completion, ahead of what the client does.
                return match is_stamped_by_the_resource(event, self.workload) {
                    true => Vec::new(),
                    false => self.heard(event.client, event.time_ns),
                };
            }
            // It says nothing that its operation does not.
            Function::Round => return Vec::new(),
            _ => {}
        }
        client.claims.insert(event.key);
        let mut alarms = Vec::from_iter(self.apply(event));
        alarms.extend(self.heard(event.client, event.time_ns));
        self.tidy(event.key, event.client);
        alarms
    }

    fn exit(&mut self, exit: &ClientExit) -> Vec<Alarm> {
        self.clients.entry(exit.client).or_default().ended = true;
        let alarms = self.heard(exit.client, exit.time_ns);
        let keys = self.clients.get(&exit.client).map(|client| client.claims.clone());
        for key in keys.unwrap_or_default() {
            self.tidy(key, exit.client);
        }
        alarms
    }

    /// Takes an event into account. A stale grant shows in the event alone.
    fn apply(&mut self, event: &Event) -> Option<Alarm> {
        let owner = (event.client, event.attempt);
        let lock = self.locks.entry(event.key).or_default();
        let index = lock.claims.iter().position(|claim| claim.owner == owner);
        let Some(index) = index else {
            if is_acquire(event.function) && event.phase == Phase::Invoke {
                lock.claims.push(Claim::new(owner, event.op, event.time_ns));
            }
            return None;
        };
        let claim = &mut lock.claims[index];
        let outcome = event.phase.outcome();
        match (event.function, outcome) {
            (Function::Acquire | Function::TryAcquire, Some(outcome))
                if claim.acquire_op == event.op && claim.grant.is_none() =>
            {
                if outcome != Outcome::Ok {
                    lock.claims.swap_remove(index);
                    return None;
                }
                let revision = match event.detail {
                    Detail::Lease { revision, .. } => revision,
                    _ => None,
                };
                let grant = Grant { ok_ns: event.time_ns, revision };
                claim.granted(grant, Promise::of(event, self.contract));
            }
            (Function::Renew, None) => claim.renewal_begins(event.op, event.time_ns),
            (Function::Renew, Some(_)) => {
                claim.renewal_ends(event.op, Promise::of(event, self.contract));
            }
            (Function::Release, None) => {
                claim.release_ns.get_or_insert(event.time_ns);
            }
            (Function::Validate, Some(Outcome::Ok)) => match event.detail {
                Detail::Entry { ours: true, token, .. } => {
                    claim.entry_seen = true;
                    let token = token.map(|token| (token, event.time_ns));
                    claim.token = claim.token.or(token);
                }
                Detail::Entry { ours: false, at_revision: Some(revision), .. } => {
                    let granted_at = claim.grant.and_then(|grant| grant.revision);
                    if granted_at == Some(revision) && !claim.entry_seen && self.grants_can_be_stale
                    {
                        return self.raise(ViolationClass::StaleGrant, event.key, event.time_ns);
                    }
                }
                _ => {}
            },
            _ => {}
        }
        None
    }

    /// Compares the claims of one client on one key with everybody's.
    fn look(&mut self, key: KeyId, client: ClientId) -> Vec<Alarm> {
        let Some(lock) = self.locks.get(&key) else { return Vec::new() };
        let known = self.known(client);
        let (mut double_grant, mut tokens) = (None, None);
        let earlier = |found: Option<u64>, time_ns: Option<u64>| match (found, time_ns) {
            (Some(found), Some(time_ns)) => Some(found.min(time_ns)),
            _ => found.or(time_ns),
        };
        for (index, claim) in lock.claims.iter().enumerate() {
            if claim.owner.0 != client || claim.grant.is_none() {
                continue;
            }
            let numbered = claim.numbered(known);
            double_grant = earlier(double_grant, claim.double_grant_before(known));
            if let (Some(numbered), Some(largest)) = (&numbered, &lock.largest) {
                tokens = earlier(tokens, largest.conflict_with(numbered));
            }
            for (other_index, other) in lock.claims.iter().enumerate() {
                if other_index == index || other.grant.is_none() {
                    continue;
                }
                let other_known = self.known(other.owner.0);
                let found = claim.double_grant_with(known, (other, other_known));
                double_grant = earlier(double_grant, found);
                if let (Some(numbered), Some(other)) = (&numbered, other.numbered(other_known)) {
                    tokens = earlier(tokens, numbered.conflict_with(&other));
                }
            }
        }
        let found = [
            (ViolationClass::DoubleGrant, double_grant),
            (ViolationClass::TokenNotMonotone, tokens),
        ];
        found.into_iter().filter_map(|(class, time_ns)| self.raise(class, key, time_ns?)).collect()
    }

    fn raise(&mut self, class: ViolationClass, key: KeyId, time_ns: u64) -> Option<Alarm> {
        self.raised.insert((key, class)).then_some(Alarm { class, key, time_ns })
    }

    /// Leaves behind what can matter to nobody but those who hold already, after an event of
    /// `client`.
    fn tidy(&mut self, key: KeyId, client: ClientId) {
        let settled_ns = self.settled_ns();
        let Some(lock) = self.locks.get_mut(&key) else { return };
        let clients = &self.clients;
        let known = |claim: &Claim| {
            let unknown = Known { until_ns: 0, ended: false };
            clients.get(&claim.owner.0).map_or(unknown, Client::known)
        };
        for index in 0..lock.claims.len() {
            let claim_known = known(&lock.claims[index]);
            for promised in lock.claims[index].leave_behind(claim_known, settled_ns) {
                for (_, other) in lock.claims.iter_mut().enumerate().filter(|(i, _)| *i != index) {
                    other.remember(promised);
                }
            }
        }
        let mut gone = vec![client];
        let mut index = 0;
        while index < lock.claims.len() {
            let claim_known = known(&lock.claims[index]);
            if !lock.claims[index].is_past(claim_known) {
                index += 1;
                continue;
            }
            let claim = lock.claims.swap_remove(index);
            let largest = lock.largest.map(|largest| largest.token);
            let numbered = claim.numbered(claim_known);
            let larger = numbered.filter(|numbered| largest.is_none_or(|l| l < numbered.token));
            lock.largest = larger.or(lock.largest);
            gone.push(claim.owner.0);
        }
        gone.retain(|client| !lock.claims.iter().any(|claim| claim.owner.0 == *client));
        for client in gone {
            if let Some(client) = self.clients.get_mut(&client) {
                client.claims.remove(&key);
            }
        }
    }
}

fn is_acquire(function: Function) -> bool {
    matches!(function, Function::Acquire | Function::TryAcquire)
}
