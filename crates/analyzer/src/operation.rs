//! Operations: each invoke with its completion, and each attempt with its operations.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use locktest_history::{
    ClientId, Detail, Event, Function, KeyId, Outcome, Phase, Plan, Recipe, Round, Token,
};

use crate::time::fast_clock_end_ns;

/// One operation: its invoke, and its completion if that was recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation<'h> {
    pub(crate) invoke: &'h Event,
    pub(crate) completion: Option<&'h Event>,
}

impl<'h> Operation<'h> {
    pub(crate) fn invoke_ns(&self) -> u64 {
        self.invoke.time_ns
    }

    /// When it was meant to begin, if its client said so. Never after it began.
    pub(crate) fn intended_ns(&self) -> Option<u64> {
        match self.invoke.detail {
            Detail::Intended { start_ns } => Some(start_ns.min(self.invoke_ns())),
            _ => None,
        }
    }

    pub(crate) fn complete_ns(&self) -> Option<u64> {
        self.completion.map(|event| event.time_ns)
    }

    /// How it ended; info if that never became known.
    pub(crate) fn outcome(&self) -> Outcome {
        self.completion.and_then(|event| event.phase.outcome()).unwrap_or(Outcome::Info)
    }

    /// When it completed, if it completed ok.
    pub(crate) fn ok_ns(&self) -> Option<u64> {
        self.completion.filter(|event| event.phase == Phase::Ok).map(|event| event.time_ns)
    }

    /// When the store had refused it for good: its word, and so evidence.
    pub(crate) fn refused_ns(&self) -> Option<u64> {
        match self.completion? {
            Event { phase: Phase::Fail, detail: Detail::Reason(_), time_ns, .. } => Some(*time_ns),
            _ => None,
        }
    }

    /// Whether the store never judged it: it did not happen, and says nothing about the store.
    pub(crate) fn not_asked(&self) -> bool {
        matches!(
            self.completion,
            Some(Event { phase: Phase::Fail, detail: Detail::NotAsked(_), .. })
        )
    }

    /// Whether its client chose to give it up.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self.completion, Some(Event { phase: Phase::Info, detail: Detail::Cancelled, .. }))
    }

    pub(crate) fn owner(&self) -> Owner {
        (self.invoke.client, self.invoke.attempt)
    }

    fn promise(&self, plan: &Plan) -> Option<Promise> {
        Promise::of(self.completion?, Contract::of(plan))
    }
}

/// The owner of a lock: a client's attempt.
pub(crate) type Owner = (ClientId, u64);

/// What a run's service promises with a lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contract {
    recipe: Recipe,
    drift_ppm: u32,
}

impl Contract {
    pub(crate) fn of(plan: &Plan) -> Contract {
        Contract { recipe: plan.recipe, drift_ppm: plan.clock_drift_ppm }
    }

    /// The earliest instant at which the service may drop a lease. The one place that knows.
    fn end_ns(self, lease_start_ns: u64, lease_ttl_ms: u64) -> u64 {
        let promised_ns = self.recipe.promised_ns(lease_ttl_ms);
        fast_clock_end_ns(lease_start_ns, promised_ns, self.drift_ppm)
    }
}

/// What an ok reply promises: the lease lives from `begin_ns` until before `end_ns`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    pub(crate) begin_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) ttl_ms: u64,
    /// When the reply arrived.
    pub(crate) known_ns: u64,
}

impl Promise {
    /// What the completion of an acquire or a renew promises; `None` if it is not ok, carries no
    /// promise, or one that starts after its own reply.
    pub(crate) fn of(completion: &Event, contract: Contract) -> Option<Promise> {
        let known_ns = completion.time_ns;
        match completion {
            Event {
                phase: Phase::Ok,
                detail: Detail::Lease { lease_start_ns, lease_ttl_ms, .. },
                ..
            } if *lease_start_ns <= known_ns => Some(Promise {
                begin_ns: *lease_start_ns,
                end_ns: contract.end_ns(*lease_start_ns, *lease_ttl_ms),
                ttl_ms: *lease_ttl_ms,
                known_ns,
            }),
            _ => None,
        }
    }
}

/// How far the history knows a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientEnd {
    /// When its process ended, or the time of the last event that it stamped if the history does
    /// not say.
    pub(crate) time_ns: u64,
    /// Whether the history says that it ended, and so holds all that it ever did.
    pub(crate) exited: bool,
}

/// One acquire and all that its owner did with the lock.
#[derive(Clone, Debug)]
pub(crate) struct Attempt<'h> {
    pub(crate) acquire: Operation<'h>,
    /// In order of their invokes, as are the other lists.
    pub(crate) renewals: Vec<Operation<'h>>,
    pub(crate) validations: Vec<Operation<'h>>,
    pub(crate) releases: Vec<Operation<'h>>,
    /// What independent servers said, in order of their ends.
    pub(crate) rounds: Vec<&'h Round>,
    /// When the client first noticed that it no longer holds.
    pub(crate) lost_ns: Option<u64>,
    pub(crate) client_end: ClientEnd,
}

impl<'h> Attempt<'h> {
    pub(crate) fn owner(&self) -> Owner {
        self.acquire.owner()
    }

    pub(crate) fn client(&self) -> ClientId {
        self.acquire.invoke.client
    }

    pub(crate) fn key(&self) -> KeyId {
        self.acquire.invoke.key
    }

    pub(crate) fn release_invoke_ns(&self) -> Option<u64> {
        self.releases.first().map(Operation::invoke_ns)
    }

    /// Whether it waited for the lock. An acquire whose lease could not be created did not.
    pub(crate) fn waits(&self) -> bool {
        self.acquire.invoke.function == Function::Acquire && !self.acquire.not_asked()
    }

    /// Until when the acquire was pending.
    pub(crate) fn asked_until_ns(&self) -> u64 {
        self.acquire.complete_ns().unwrap_or(self.client_end.time_ns)
    }

    /// Every promise of the service to this attempt, in the order in which they became known.
    pub(crate) fn promises(&self, plan: &Plan) -> Vec<Promise> {
        let operations = self.renewals.iter().chain([&self.acquire]);
        let mut promises: Vec<Promise> =
            operations.filter_map(|operation| operation.promise(plan)).collect();
        promises.sort_by_key(|promise| (promise.known_ns, promise.begin_ns));
        promises
    }

    /// The fencing token and when it was known.
    pub(crate) fn token(&self) -> Option<(Token, u64)> {
        self.validations.iter().find_map(|validate| match validate.completion {
            Some(Event {
                time_ns,
                phase: Phase::Ok,
                detail: Detail::Entry { ours: true, token: Some(token), .. },
                ..
            }) => Some((*token, *time_ns)),
            _ => None,
        })
    }
}

/// Events that contradict the rules of a history, and are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Malformed {
    pub(crate) count: u64,
    /// The first of them, in words.
    pub(crate) first: Option<String>,
}

impl Malformed {
    pub(crate) fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        self.first.get_or_insert_with(what);
    }

    fn event(&mut self, event: &Event, what: &str) {
        self.add(|| {
            let Event { client, op, function, phase, time_ns, .. } = event;
            format!("{client}'s operation {op} ({function:?} {phase:?} at {time_ns} ns) {what}")
        });
    }
}

/// The operations of a history.
#[derive(Debug, Default)]
pub(crate) struct Operations<'h> {
    /// In order of their acquires' invokes.
    pub(crate) attempts: Vec<Attempt<'h>>,
    /// Accesses to the protected resource: the completed ones in order of their completions, which
    /// is that in which a resource served them that stamps them itself; then the others.
    pub(crate) accesses: Vec<Operation<'h>>,
    /// Operations of registers, in order of their invokes.
    pub(crate) registers: Vec<Operation<'h>>,
}

impl<'h> Operations<'h> {
    /// Pairs the events of a history, in whatever order they come.
    pub(crate) fn pair(
        mut events: Vec<&'h Event>,
        client_end: impl Fn(ClientId) -> ClientEnd,
        malformed: &mut Malformed,
    ) -> Operations<'h> {
        // At equal times an invoke comes first; equal completions stay in order of arrival.
        events.sort_by_key(|event| (event.time_ns, event.phase != Phase::Invoke));
        let mut paired: Vec<Operation<'h>> = Vec::with_capacity(events.len() / 2 + 1);
        let mut index_of: HashMap<(ClientId, u64), usize> =
            HashMap::with_capacity(paired.capacity());
        let mut served = Vec::new();
        for event in events {
            match (event.function, event.phase) {
                (Function::Lost, Phase::Ok) | (Function::Round, Phase::Ok | Phase::Fail) => {
                    paired.push(Operation { invoke: event, completion: Some(event) });
                    continue;
                }
                (Function::Lost | Function::Round, _) => {
                    malformed.event(event, "is no single event of an outcome");
                    continue;
                }
                _ => {}
            }
            match (event.phase, index_of.entry((event.client, event.op))) {
                (Phase::Invoke, Entry::Vacant(slot)) => {
                    slot.insert(paired.len());
                    paired.push(Operation { invoke: event, completion: None });
                }
                (Phase::Invoke, Entry::Occupied(_)) => malformed.event(event, "was invoked before"),
                (_, Entry::Vacant(_)) => malformed.event(event, "was never invoked"),
                (_, Entry::Occupied(slot)) => {
                    let index = *slot.get();
                    let operation = &mut paired[index];
                    if operation.completion.is_some() {
                        malformed.event(event, "was completed before");
                    } else if !same_operation(operation.invoke, event) {
                        malformed.event(event, "is not what was invoked");
                    } else {
                        operation.completion = Some(event);
                        if matches!(event.function, Function::Read | Function::Write) {
                            served.push(index);
                        }
                    }
                }
            }
        }
        let is_access = |operation: &Operation| {
            matches!(operation.invoke.function, Function::Read | Function::Write)
                && !is_of_a_register(operation.invoke)
        };
        let completed = served.into_iter().map(|index| paired[index]);
        let pending = paired.iter().filter(|operation| operation.completion.is_none()).copied();
        let accesses = completed.chain(pending).filter(is_access).collect();
        let registers = paired.iter().filter(|operation| is_of_a_register(operation.invoke));
        let registers = registers.copied().collect();
        Operations { attempts: group(paired, client_end, malformed), accesses, registers }
    }
}

fn is_of_a_register(invoke: &Event) -> bool {
    invoke.function == Function::Cas
        || matches!(
            (invoke.function, &invoke.detail),
            (Function::Read | Function::Write, Detail::Register { .. })
        )
}

fn same_operation(invoke: &Event, completion: &Event) -> bool {
    (invoke.attempt, invoke.key, invoke.function)
        == (completion.attempt, completion.key, completion.function)
}

fn group<'h>(
    paired: Vec<Operation<'h>>,
    client_end: impl Fn(ClientId) -> ClientEnd,
    malformed: &mut Malformed,
) -> Vec<Attempt<'h>> {
    let mut attempts: Vec<Attempt<'h>> = Vec::new();
    let mut index_of: HashMap<Owner, usize> = HashMap::new();
    for operation in paired {
        let event = operation.invoke;
        if let (Function::Acquire | Function::TryAcquire | Function::Renew, Some(completion)) =
            (event.function, operation.completion)
            && completion.phase == Phase::Ok
            && !carries_a_lease(completion)
        {
            malformed.event(completion, "carries no lease that starts before it");
        }
        match (event.function, index_of.entry(operation.owner())) {
            (Function::Acquire | Function::TryAcquire, Entry::Vacant(slot)) => {
                slot.insert(attempts.len());
                attempts.push(Attempt {
                    acquire: operation,
                    renewals: Vec::new(),
                    validations: Vec::new(),
                    releases: Vec::new(),
                    rounds: Vec::new(),
                    lost_ns: None,
                    client_end: client_end(event.client),
                });
            }
            (Function::Acquire | Function::TryAcquire, Entry::Occupied(_)) => {
                malformed.event(event, "is its attempt's second acquire");
            }
            // What the resource or a register saw counts whoever did it.
            (Function::Read | Function::Write | Function::Cas, _) => {}
            // They only explain.
            (Function::Round, slot) => {
                if let (Entry::Occupied(slot), Detail::Round(round)) = (slot, &event.detail) {
                    attempts[*slot.get()].rounds.push(round);
                }
            }
            (_, Entry::Vacant(_)) => malformed.event(event, "belongs to no acquire"),
            (function, Entry::Occupied(slot)) => {
                let attempt = &mut attempts[*slot.get()];
                if attempt.key() != event.key {
                    malformed.event(event, "names another key than its acquire");
                    continue;
                }
                match function {
                    Function::Renew => attempt.renewals.push(operation),
                    Function::Validate => attempt.validations.push(operation),
                    Function::Release => attempt.releases.push(operation),
                    Function::Lost => attempt.lost_ns = attempt.lost_ns.or(Some(event.time_ns)),
                    _ => {}
                }
            }
        }
    }
    attempts
}

fn carries_a_lease(completion: &Event) -> bool {
    matches!(completion.detail, Detail::Lease { lease_start_ns, .. } if lease_start_ns <= completion.time_ns)
}
