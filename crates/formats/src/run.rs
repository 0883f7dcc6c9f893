//! A recorded run as a history of locks, of the resource that they protect, or of registers.
//!
//! The owner of a lock is a client's attempt. What is checked is what clients believed: an owner
//! holds from the ok of its acquire until it begins to release, notices that it lost the lock, or
//! its process ends, whichever comes first. Only a release that came back ok is known to have
//! happened; any other end may have come true at any later time, since a lease outlives its holder.
//!
//! - An acquire that failed is left out; a try that the store refused is a denial, and one that
//!   never reached the store is left out.
//! - An acquire of unknown outcome can explain a denial and nothing else. Where its key has denials
//!   it stands there with a release of unknown outcome, since its lease ends by itself; elsewhere it
//!   is left out, and with it the release that revokes what it may have left.
//! - Renewals are left out: the leases of a run begin before its acquires, which no model here has.
//!   The analyzer is what judges leases.
//! - Tokens come from reading the lock's entry back; those that are pairs are numbered in their
//!   order.

use std::collections::{BTreeSet, HashMap, HashSet};

use locktest_checker::{Action, NEVER, Object, Operation, Outcome, Specification, Token, Values};
use locktest_history::{
    ClientId, Detail, Event, Function, History, KeyId, Phase, Record, Resource, Workload,
};

use crate::processes::{ProcessName, Processes};
use crate::run_registers::register_operation;
use crate::{FormatError, Loaded, Options, Place, Problem, Skipped, Stamps};

/// The owner of a lock.
pub(crate) type Owner = (ClientId, u64);

/// How an acquire ended, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Granted(u64),
    /// The store refused a try.
    Denied(u64),
    /// It did not happen, which tells nothing.
    Failed(u64),
    /// It may have happened; the time if its client gave up at one.
    Unknown(Option<u64>),
}

/// The end of a tenure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) begin_ns: u64,
    /// When the store confirmed it, if it did.
    pub(crate) ok_ns: Option<u64>,
}

/// One acquire, and how long its owner believed in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenure {
    pub(crate) owner: Owner,
    pub(crate) key: KeyId,
    pub(crate) is_try: bool,
    pub(crate) invoke_ns: u64,
    pub(crate) answer: Answer,
    /// Zero if it is not known.
    pub(crate) token: Token,
    pub(crate) end: Option<End>,
}

/// One access to the fenced copy of the protected resource.
#[derive(Clone, Copy, Debug)]
struct Access {
    owner: Owner,
    key: KeyId,
    operation: Operation,
}

/// What a run's clients did, by owner.
pub(crate) struct Beliefs {
    /// In order of their invokes.
    pub(crate) tenures: Vec<Tenure>,
    accesses: Vec<Access>,
    contradictions: Contradictions,
}

impl Beliefs {
    /// What was left out.
    pub(crate) fn into_skipped(self) -> Skipped {
        self.contradictions.skipped
    }
}

/// The operations of a run, for one model.
///
/// Errors: the run knows no such object, as its locks have leases and one without locks has registers
/// only; or, unless it is read leniently, the history is damaged or contradicts itself.
pub fn load_run(history: &History, options: &Options) -> Result<Loaded, FormatError> {
    let workload = history.run.plan.workload;
    if let Some(model) = options.specification
        && let Some(why) = refused(model, workload)
    {
        return Err(FormatError::NotOfRuns { model: model.to_string(), why });
    }
    if !workload.takes_locks() {
        return load_registers(history, options);
    }
    let beliefs = beliefs(history, options.lenient)?;
    let mut operations = Operations::new(history);
    match options.specification {
        Some(Specification::FencedResource) => {
            for access in &beliefs.accesses {
                operations.push(access.owner, access.key, access.operation);
            }
        }
        _ => {
            let denied = denied_keys(&beliefs.tenures);
            for tenure in &beliefs.tenures {
                operations.push_tenure(tenure, denied.contains(&tenure.key));
            }
        }
    }
    let has_tokens = beliefs.tenures.iter().any(|tenure| tenure.token > 0);
    let speaks_of = if has_tokens { Specification::FencedMutex } else { Specification::OwnerMutex };
    let specification = options.specification.unwrap_or(speaks_of);
    Ok(operations.loaded(specification, Values::default(), beliefs.contradictions))
}

/// The registers of a run.
fn load_registers(history: &History, options: &Options) -> Result<Loaded, FormatError> {
    let mut contradictions = Contradictions::new(history, options.lenient)?;
    let (pairs, _) = pair(&events(history), &mut contradictions)?;
    let mut operations = Operations::new(history);
    let mut values = Values::default();
    for (_, Pair { invoke, completion }) in &pairs {
        if let Some(operation) = register_operation(invoke, *completion, &mut values) {
            operations.push((invoke.client, invoke.attempt), invoke.key, operation);
        }
    }
    Ok(operations.loaded(Specification::CasRegister, values, contradictions))
}

fn refused(model: Specification, workload: Workload) -> Option<&'static str> {
    match model {
        Specification::CasRegister if !workload.takes_locks() => None,
        _ if !workload.takes_locks() => {
            Some("its clients took no locks; check it as a cas-register")
        }
        Specification::FencedResource if workload.keeps_values_in_store() => Some(
            "its values are guarded by the lock's entry and not by tokens; without a model a check judges them",
        ),
        Specification::LeaseMutex { .. } => {
            Some("its leases begin before its acquires; without a model a check judges its leases")
        }
        Specification::CasRegister | Specification::KeyValue => {
            Some("its clients asked for locks; check it as a lock or as a fenced-resource")
        }
        _ => None,
    }
}

/// The keys of which a try was denied.
fn denied_keys(tenures: &[Tenure]) -> HashSet<KeyId> {
    let is_denied = |tenure: &&Tenure| matches!(tenure.answer, Answer::Denied(_));
    tenures.iter().filter(is_denied).map(|tenure| tenure.key).collect()
}

/// Operations by key.
struct Operations {
    objects: Vec<Object>,
    index_of: HashMap<KeyId, usize>,
    names: HashMap<KeyId, String>,
    processes: Processes,
}

impl Operations {
    fn new(history: &History) -> Operations {
        let plan = &history.run.plan;
        let keys = (0u32..).take(plan.keys.len()).map(KeyId);
        Operations {
            objects: Vec::new(),
            index_of: HashMap::new(),
            names: keys.map(|key| (key, plan.key_name(key))).collect(),
            processes: Processes::default(),
        }
    }

    fn push(&mut self, owner: Owner, key: KeyId, operation: Operation) {
        let process = self.processes.named(ProcessName::Owner(owner.0, owner.1));
        let index = *self.index_of.entry(key).or_insert_with(|| {
            let name = self.names.get(&key).cloned();
            let name = name.unwrap_or_else(|| format!("key#{}", key.0));
            self.objects.push(Object { name, operations: Vec::new() });
            self.objects.len() - 1
        });
        self.objects[index].operations.push(Operation { process, ..operation });
    }

    fn loaded(
        mut self,
        specification: Specification,
        values: Values,
        contradictions: Contradictions,
    ) -> Loaded {
        for object in &mut self.objects {
            object.operations.sort_by_key(|operation| operation.invoke);
        }
        Loaded {
            objects: self.objects,
            values,
            processes: self.processes,
            specification,
            stamps: Stamps::Nanoseconds,
            skipped: contradictions.skipped,
            whole_until: contradictions.whole_until,
        }
    }

    fn push_tenure(&mut self, tenure: &Tenure, has_denials: bool) {
        let action = match tenure.is_try {
            true => Action::TryAcquire(tenure.token),
            false => Action::Acquire(tenure.token),
        };
        let (outcome, complete) = match tenure.answer {
            Answer::Granted(ns) => (Outcome::Ok, ns),
            Answer::Denied(ns) => (Outcome::Fail, ns),
            Answer::Unknown(_) if has_denials => (Outcome::Info, NEVER),
            Answer::Unknown(_) | Answer::Failed(_) => return,
        };
        let acquire = Operation { invoke: tenure.invoke_ns, complete, action, process: 0, outcome };
        self.push(tenure.owner, tenure.key, acquire);
        let end = match tenure.answer {
            Answer::Granted(_) => tenure.end,
            Answer::Unknown(_) => Some(End { begin_ns: tenure.invoke_ns, ok_ns: None }),
            Answer::Denied(_) | Answer::Failed(_) => None,
        };
        if let Some(end) = end {
            let release = Operation {
                invoke: end.begin_ns,
                complete: end.ok_ns.unwrap_or(NEVER),
                action: Action::Release,
                process: 0,
                outcome: if end.ok_ns.is_some() { Outcome::Ok } else { Outcome::Info },
            };
            self.push(tenure.owner, tenure.key, release);
        }
    }
}

/// An operation's two ends.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'h> {
    pub(crate) invoke: &'h Event,
    pub(crate) completion: Option<&'h Event>,
}

impl Pair<'_> {
    fn phase(&self) -> Phase {
        self.completion.map_or(Phase::Info, |event| event.phase)
    }

    fn ok_ns(&self) -> Option<u64> {
        self.completion.filter(|event| event.phase == Phase::Ok).map(|event| event.time_ns)
    }

    fn answer(&self) -> Answer {
        let Some(event) = self.completion else { return Answer::Unknown(None) };
        match (event.phase, &event.detail) {
            (Phase::Ok, _) => Answer::Granted(event.time_ns),
            (Phase::Fail, Detail::NotAsked(_)) => Answer::Failed(event.time_ns),
            (Phase::Fail, _) if event.function == Function::TryAcquire => {
                Answer::Denied(event.time_ns)
            }
            (Phase::Fail, _) => Answer::Failed(event.time_ns),
            _ => Answer::Unknown(Some(event.time_ns)),
        }
    }
}

/// What contradicts itself in a history: an error, or, if it is read leniently, what is left out.
pub(crate) struct Contradictions {
    lenient: bool,
    pub(crate) skipped: Skipped,
    whole_until: u64,
}

impl Contradictions {
    pub(crate) fn new(history: &History, lenient: bool) -> Result<Contradictions, FormatError> {
        let mut skipped = Skipped::default();
        for what in &history.damage {
            if !lenient {
                return Err(FormatError::Damaged { what: what.clone() });
            }
            skipped.add(|| what.clone());
        }
        Ok(Contradictions { lenient, skipped, whole_until: whole_until(history) })
    }

    fn add(&mut self, number: u64, problem: Problem) -> Result<(), FormatError> {
        // As the lines of its export are counted, the first of which is the run itself.
        let place = Place { line: number + 1, event: Some(number) };
        if !self.lenient {
            return Err(problem.at(place));
        }
        self.skipped.add(|| format!("{place}: {problem}"));
        // Which operation is missing, and since when, cannot be told.
        self.whole_until = 0;
        Ok(())
    }
}

/// The events of a run with their numbers, in order of time.
pub(crate) fn events(history: &History) -> Vec<(u64, &Event)> {
    let records = (1u64..).zip(&history.records);
    let mut events: Vec<(u64, &Event)> = records
        .filter_map(|(number, record)| match record {
            Record::Event(event) => Some((number, event)),
            _ => None,
        })
        .collect();
    events.sort_by_key(|(_, event)| (event.time_ns, event.phase != Phase::Invoke));
    events
}

/// What the clients of a run believed, and what they did to the fenced resource.
pub(crate) fn beliefs(history: &History, lenient: bool) -> Result<Beliefs, FormatError> {
    let mut found = Beliefs {
        tenures: Vec::new(),
        accesses: Vec::new(),
        contradictions: Contradictions::new(history, lenient)?,
    };
    let contradictions = &mut found.contradictions;
    let (pairs, losses) = pair(&events(history), contradictions)?;
    let exits = exits(history);
    let tokens = Tokens::new(&pairs);
    let mut index_of: HashMap<Owner, usize> = HashMap::new();
    for (number, pair) in &pairs {
        let Event { client, attempt, function, key, time_ns, .. } = *pair.invoke;
        let owner = (client, attempt);
        match function {
            Function::Acquire | Function::TryAcquire => {
                if index_of.contains_key(&owner) {
                    let what = "it is its attempt's second acquire";
                    contradictions.add(*number, Problem::malformed(what))?;
                    continue;
                }
                index_of.insert(owner, found.tenures.len());
                let lost = [losses.get(&owner), exits.get(&client)].into_iter().flatten().min();
                found.tenures.push(Tenure {
                    owner,
                    key,
                    is_try: function == Function::TryAcquire,
                    invoke_ns: time_ns,
                    answer: pair.answer(),
                    token: tokens.of(owner),
                    end: lost.map(|ns| End { begin_ns: *ns, ok_ns: None }),
                });
            }
            Function::Release => {
                let Some(index) = index_of.get(&owner) else {
                    contradictions.add(*number, Problem::malformed("it belongs to no acquire"))?;
                    continue;
                };
                let tenure = &mut found.tenures[*index];
                if tenure.key != key {
                    let what = "it names another key than its acquire";
                    contradictions.add(*number, Problem::malformed(what))?;
                    continue;
                }
                if tenure.end.is_none_or(|end| time_ns < end.begin_ns) {
                    tenure.end = Some(End { begin_ns: time_ns, ok_ns: pair.ok_ns() });
                }
            }
            Function::Read | Function::Write => found.accesses.extend(access(pair, &tokens)),
            Function::Renew
            | Function::Validate
            | Function::Lost
            | Function::Cas
            | Function::Round => {}
        }
    }
    Ok(found)
}

pub(crate) type Numbered<'h> = (u64, Pair<'h>);

/// Joins invokes and completions, in order of the invokes; and when each owner noticed its loss.
pub(crate) fn pair<'h>(
    events: &[(u64, &'h Event)],
    contradictions: &mut Contradictions,
) -> Result<(Vec<Numbered<'h>>, HashMap<Owner, u64>), FormatError> {
    let mut pairs: Vec<Numbered<'h>> = Vec::with_capacity(events.len() / 2 + 1);
    let mut index_of: HashMap<(ClientId, u64), usize> = HashMap::with_capacity(events.len() / 2);
    let mut losses = HashMap::new();
    for (number, event) in events {
        let operation = (event.client, event.op);
        if event.function == Function::Lost {
            losses.entry((event.client, event.attempt)).or_insert(event.time_ns);
            continue;
        }
        // It says nothing that its operation does not.
        if event.function == Function::Round {
            continue;
        }
        if event.phase == Phase::Invoke {
            if index_of.insert(operation, pairs.len()).is_some() {
                contradictions.add(*number, Problem::malformed("it was invoked before"))?;
            }
            pairs.push((*number, Pair { invoke: event, completion: None }));
            continue;
        }
        let index = index_of.get(&operation).copied();
        let Some((_, pair)) = index.and_then(|index| pairs.get_mut(index)) else {
            contradictions.add(*number, Problem::malformed("it was never invoked"))?;
            continue;
        };
        let same =
            |a: &Event, b: &Event| (a.attempt, a.key, a.function) == (b.attempt, b.key, b.function);
        if pair.completion.is_some() {
            contradictions.add(*number, Problem::malformed("it was completed before"))?;
        } else if !same(pair.invoke, event) {
            contradictions.add(*number, Problem::malformed("it is not what was invoked"))?;
        } else {
            pair.completion = Some(event);
        }
    }
    Ok((pairs, losses))
}

/// When each client's process ended.
fn exits(history: &History) -> HashMap<ClientId, u64> {
    let exits = history.records.iter().filter_map(|record| match record {
        Record::ClientExit(exit) => Some((exit.client, exit.time_ns)),
        _ => None,
    });
    exits.collect()
}

/// Until when every client's events are there. A client is known to its end by its own exit, not by
/// that of the run.
fn whole_until(history: &History) -> u64 {
    let plan = &history.run.plan;
    let stamped_by_the_resource = |event: &Event| {
        matches!(event.function, Function::Read | Function::Write)
            && event.phase != Phase::Invoke
            && !plan.workload.keeps_values_in_store()
    };
    let clients = (0u32..).take(plan.client_seeds.len()).map(ClientId);
    let mut known_until: HashMap<ClientId, u64> = clients.map(|client| (client, 0)).collect();
    for record in &history.records {
        let (client, time_ns) = match record {
            // The resource stamps its answers, ahead of what the client does.
            Record::Event(event) if stamped_by_the_resource(event) => continue,
            Record::Event(event) => (event.client, event.time_ns),
            // All that it wrote has been read.
            Record::ClientExit(exit) => (exit.client, NEVER),
            _ => continue,
        };
        let known_until = known_until.entry(client).or_default();
        *known_until = time_ns.max(*known_until);
    }
    known_until.into_values().min().unwrap_or(NEVER)
}

/// Tokens as numbers above zero: as the store gave them, or, if they are pairs, by their order.
struct Tokens {
    all: Vec<locktest_history::Token>,
    are_numbers: bool,
    of: HashMap<Owner, locktest_history::Token>,
}

impl Tokens {
    fn new(pairs: &[Numbered<'_>]) -> Tokens {
        let mut of = HashMap::new();
        let mut all = BTreeSet::new();
        for (_, pair) in pairs {
            let validated = pair.completion.filter(|event| event.phase == Phase::Ok);
            match (&pair.invoke.detail, validated.map(|event| &event.detail)) {
                (_, Some(Detail::Entry { ours: true, token: Some(token), .. })) => {
                    of.entry((pair.invoke.client, pair.invoke.attempt)).or_insert(*token);
                    all.insert(*token);
                }
                (Detail::Access { token, .. }, _) => all.extend(*token),
                _ => {}
            }
        }
        let are_numbers = all.iter().all(|token| token.major > 0 && token.minor == 0);
        Tokens { all: all.into_iter().collect(), are_numbers, of }
    }

    fn number(&self, token: locktest_history::Token) -> Token {
        if self.are_numbers {
            return token.major;
        }
        self.all.binary_search(&token).map_or(0, |index| index as u64 + 1)
    }

    fn of(&self, owner: Owner) -> Token {
        self.of.get(&owner).map_or(0, |token| self.number(*token))
    }
}

/// An access to the fenced copy. One without a token is smaller than any.
fn access(pair: &Pair<'_>, tokens: &Tokens) -> Option<Access> {
    let Detail::Access { resource: Resource::Fenced, token, .. } = pair.invoke.detail else {
        return None;
    };
    let token = token.map_or(0, |token| tokens.number(token));
    let completion = pair.completion.map(|event| (event.time_ns, &event.detail));
    let (complete, outcome) = match (pair.phase(), completion) {
        (Phase::Ok, Some((time_ns, _))) => (time_ns, Outcome::Ok),
        (Phase::Fail, Some((time_ns, Detail::Access { .. }))) => (time_ns, Outcome::Fail),
        (Phase::Fail, _) => return None,
        _ => (NEVER, Outcome::Info),
    };
    let action = match pair.invoke.function {
        Function::Read => Action::GuardedRead(token),
        _ => Action::GuardedWrite(token),
    };
    let operation =
        Operation { invoke: pair.invoke.time_ns, complete, action, process: 0, outcome };
    let owner = (pair.invoke.client, pair.invoke.attempt);
    Some(Access { owner, key: pair.invoke.key, operation })
}
