//! The search says what trying every order says, for every model: whether there is a linearization,
//! and if not, where the shortest bad prefix ends.

use std::cell::Cell;
use std::collections::HashSet;

use locktest_checker::model::*;
use locktest_checker::*;
use proptest::prelude::*;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const PROCESSES: u32 = 5;
const OPERATIONS: usize = 10;
const LEASE_NS: u64 = 7;
/// The texts of the key-value histories; some begin with others and some are made of others.
const TEXTS: [&str; 4] = ["", "a", "b", "ab"];

/// One key of a store as one would write it down, to compare with the model that forgets.
#[derive(Debug)]
struct PlainKeyValue(Values);

impl Model for PlainKeyValue {
    type State = String;

    fn initial(&self) -> String {
        String::new()
    }

    fn step(&self, text: &String, operation: &Operation) -> Option<String> {
        match operation.action {
            Action::Get(value) => (self.0.text(value) == Some(text)).then(|| text.clone()),
            Action::Put(value) => self.0.text(value).map(str::to_owned),
            Action::Append(value) => self.0.text(value).map(|more| format!("{text}{more}")),
            _ => None,
        }
    }

    fn is_read_only(&self, operation: &Operation) -> bool {
        matches!(operation.action, Action::Get(_))
    }

    fn knows(&self, action: Action) -> bool {
        matches!(action, Action::Get(_) | Action::Put(_) | Action::Append(_))
    }

    fn effect_depends_on(&self) -> DependsOn {
        DependsOn::Action
    }
}

/// Tries every order.
struct BruteForce<'a, M: Model> {
    model: &'a M,
    operations: &'a [Operation],
    tried: HashSet<(u32, M::State)>,
}

impl<M: Model> BruteForce<'_, M> {
    fn linearizable(model: &M, operations: &[Operation]) -> bool {
        let mut brute = BruteForce { model, operations, tried: HashSet::new() };
        brute.try_from(0, model.initial())
    }

    fn try_from(&mut self, ordered: u32, state: M::State) -> bool {
        if !self.tried.insert((ordered, state.clone())) {
            return false;
        }
        let operations = self.operations;
        let left: Vec<usize> =
            (0..operations.len()).filter(|index| ordered & (1 << index) == 0).collect();
        let constrains = |operation: &Operation| match operation.outcome {
            Outcome::Ok => true,
            Outcome::Fail => operation.action.refusal_tells(),
            Outcome::Info => false,
        };
        let required: Vec<usize> =
            left.iter().copied().filter(|index| constrains(&operations[*index])).collect();
        if required.is_empty() {
            return true;
        }
        let first_complete =
            required.iter().map(|index| operations[*index].complete).min().expect("one is left");
        left.into_iter().any(|index| {
            let operation = &operations[index];
            (operation.outcome == Outcome::Info || constrains(operation))
                && operation.invoke <= first_complete
                && self
                    .model
                    .step(&state, operation)
                    .is_some_and(|next| self.try_from(ordered | (1 << index), next))
        })
    }
}

/// What one knew at `stamp`.
fn prefix(operations: &[Operation], stamp: u64) -> Vec<Operation> {
    let begun = operations.iter().filter(|operation| operation.invoke <= stamp);
    begun
        .map(|operation| {
            if operation.complete <= stamp || operation.outcome == Outcome::Info {
                return *operation;
            }
            let action = match operation.action {
                Action::Acquire(_) => Action::Acquire(0),
                Action::TryAcquire(_) => Action::TryAcquire(0),
                action => action,
            };
            Operation { action, outcome: Outcome::Info, complete: NEVER, ..*operation }
        })
        .collect()
}

/// Replays a certificate.
fn assert_linearization<M: Model>(model: &M, operations: &[Operation], order: &[u32]) {
    let mut state = model.initial();
    let mut latest_invoke = 0;
    for index in order {
        let operation = &operations[*index as usize];
        assert!(latest_invoke <= operation.complete, "{operation:?} comes too late: {order:?}");
        latest_invoke = latest_invoke.max(operation.invoke);
        state = model.step(&state, operation).unwrap_or_else(|| {
            panic!("{operation:?} is not legal in {state:?}: {order:?}");
        });
    }
    for (index, operation) in operations.iter().enumerate() {
        let times = order.iter().filter(|other| **other as usize == index).count();
        let expected = match operation.outcome {
            Outcome::Ok => 1..=1,
            Outcome::Fail => {
                let tells = usize::from(operation.action.refusal_tells());
                tells..=tells
            }
            Outcome::Info => 0..=1,
        };
        assert!(expected.contains(&times), "{operation:?} is there {times} times: {order:?}");
    }
}

/// A random action of the object; which it is going to be is up to the state.
fn candidates(
    specification: Specification,
    values: &Values,
    rng: &mut impl Rng,
) -> Vec<(Action, Outcome)> {
    let ok = |action| (action, Outcome::Ok);
    let value = |rng: &mut _| Value(RngExt::random_range(rng, 0..3));
    let numbers = 0..;
    match specification {
        Specification::CasRegister => match rng.random_range(0..3) {
            0 => (0..3).map(|number| ok(Action::Read(Value(number)))).collect(),
            1 => vec![ok(Action::Write(value(rng)))],
            _ => {
                let cas = Action::Cas { expected: value(rng), new: value(rng) };
                vec![ok(cas), (cas, Outcome::Fail)]
            }
        },
        Specification::KeyValue => match rng.random_range(0..5) {
            0 | 1 => {
                let all = numbers.map(Value).take_while(|value| values.text(*value).is_some());
                all.map(|value| ok(Action::Get(value))).collect()
            }
            2 => vec![ok(Action::Put(Value(rng.random_range(0..TEXTS.len() as u32))))],
            _ => vec![ok(Action::Append(Value(rng.random_range(0..TEXTS.len() as u32))))],
        },
        Specification::FencedResource => {
            let token = rng.random_range(0..4);
            let action = *[Action::GuardedRead(token), Action::GuardedWrite(token)]
                .choose(rng)
                .expect("there are some");
            vec![ok(action), (action, Outcome::Fail)]
        }
        _ => {
            let token = match specification {
                Specification::FencedMutex => rng.random_range(0..6),
                _ => 0,
            };
            let mut kinds = vec![
                vec![ok(Action::Acquire(token))],
                vec![ok(Action::TryAcquire(token)), (Action::TryAcquire(token), Outcome::Fail)],
                vec![ok(Action::Release)],
                vec![ok(Action::Release)],
            ];
            if specification == Specification::ReadWriteLock {
                kinds.push(vec![ok(Action::AcquireShared)]);
                kinds.push(vec![
                    ok(Action::TryAcquireShared),
                    (Action::TryAcquireShared, Outcome::Fail),
                ]);
                kinds.push(vec![ok(Action::ReleaseShared)]);
            }
            if let Specification::LeaseMutex { .. } = specification {
                kinds.push(vec![ok(Action::Renew)]);
            }
            kinds.choose(rng).expect("there are some").clone()
        }
    }
}

/// An operation before it is known what is asked and what comes of it.
struct Span {
    effect: u64,
    invoke: u64,
    complete: u64,
    process: u32,
    is_info: bool,
}

/// In order of their effects.
fn spans(rng: &mut ChaCha8Rng) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut clocks = vec![0u64; PROCESSES as usize];
    let mut owners: Vec<u32> = (0..PROCESSES).collect();
    for _ in 0..rng.random_range(OPERATIONS / 2..=OPERATIONS) {
        let client = rng.random_range(0..clocks.len());
        let invoke = clocks[client] + rng.random_range(0..4);
        let complete = invoke + rng.random_range(0..9);
        let (process, is_info) = (owners[client], rng.random_bool(0.2));
        let effect = rng.random_range(invoke..=complete);
        spans.push(Span { effect, invoke, complete, process, is_info });
        clocks[client] = complete + 1;
        if is_info {
            owners[client] += PROCESSES;
        }
    }
    spans.sort_by_key(|span| span.effect);
    spans
}

impl Span {
    fn operation(&self, action: Action, outcome: Outcome) -> Operation {
        let (outcome, complete) =
            if self.is_info { (Outcome::Info, NEVER) } else { (outcome, self.complete) };
        Operation { invoke: self.invoke, complete, action, process: self.process, outcome }
    }
}

/// A history of an object that works, with up to four things changed in it.
fn history<M: Model>(
    specification: Specification,
    model: &M,
    values: &Values,
    rng: &mut ChaCha8Rng,
) -> Vec<Operation> {
    let mut state = model.initial();
    let mut operations = Vec::new();
    for span in spans(rng) {
        let mut candidates = candidates(specification, values, rng);
        if rng.random_bool(0.3) {
            candidates.shuffle(rng);
        }
        let (invoke, complete, process) = (span.effect, span.effect, span.process);
        let legal = candidates.into_iter().find_map(|(action, outcome)| {
            let operation = Operation { invoke, complete, action, process, outcome };
            model.step(&state, &operation).map(|next| (action, outcome, next))
        });
        let Some((action, outcome, next)) = legal else { continue };
        if !span.is_info || rng.random_bool(0.5) {
            state = next;
        }
        operations.push(span.operation(action, outcome));
    }
    mutated(operations, rng)
}

/// The same of a key whose every write has a letter of its own.
fn history_of_letters(rng: &mut ChaCha8Rng) -> (Vec<Operation>, Values) {
    let mut values = Values::default();
    let mut text = String::new();
    let mut operations = Vec::new();
    for (span, letter) in spans(rng).into_iter().zip('a'..) {
        let written = values.number(&letter.to_string());
        let happens = !span.is_info || rng.random_bool(0.5);
        let action = match rng.random_range(0..6) {
            0 => Action::Put(written),
            1 | 2 => Action::Append(written),
            _ => Action::Get(values.number(&text)),
        };
        match action {
            Action::Put(_) if happens => text = letter.to_string(),
            Action::Append(_) if happens => text.push(letter),
            _ => {}
        }
        operations.push(span.operation(action, Outcome::Ok));
    }
    (mutated(operations, rng), values)
}

fn mutated(mut operations: Vec<Operation>, rng: &mut ChaCha8Rng) -> Vec<Operation> {
    for _ in 0..rng.random_range(0..=4) {
        mutate(&mut operations, rng);
    }
    operations.sort_by_key(|operation| operation.invoke);
    operations
}

fn mutate(operations: &mut Vec<Operation>, rng: &mut ChaCha8Rng) {
    if operations.is_empty() {
        return;
    }
    let (first, second) =
        (rng.random_range(0..operations.len()), rng.random_range(0..operations.len()));
    match rng.random_range(0..4) {
        0 => {
            let action = operations[first].action;
            operations[first].action = operations[second].action;
            operations[second].action = action;
        }
        1 => {
            let shift = rng.random_range(0..6);
            let operation = &mut operations[first];
            operation.invoke += shift;
            operation.complete = operation.complete.saturating_add(shift);
        }
        2 => {
            operations.remove(first);
        }
        _ => {
            let operation = &mut operations[first];
            let refusable = operation.action.refusal_tells();
            operation.outcome = match operation.outcome {
                Outcome::Ok if refusable => Outcome::Fail,
                Outcome::Fail => Outcome::Ok,
                outcome => outcome,
            };
        }
    }
}

const OPTIONS: Options<'static> =
    Options { certificate: true, time_is_up: &|| false, memory_limit_bytes: usize::MAX };

/// Compares a decision on one history, and says whether it is linearizable.
fn compare<M: Model>(model: &M, operations: &[Operation], decision: Decision) -> bool {
    let good = BruteForce::linearizable(model, operations);
    match decision {
        Decision::Linearizable(Some(order)) => {
            assert!(good, "there is no order: {operations:#?}");
            assert_linearization(model, operations, &order);
        }
        Decision::NotLinearizable(Counterexample { at, shortest, conflict }) => {
            assert!(shortest, "the search tries every prefix");
            assert!(!good, "there is an order: {operations:#?}");
            let mut stamps: Vec<u64> =
                operations.iter().map(|operation| operation.complete).collect();
            stamps.sort_unstable();
            let first_bad = stamps
                .into_iter()
                .find(|stamp| !BruteForce::linearizable(model, &prefix(operations, *stamp)));
            assert_eq!(Some(at), first_bad, "{operations:#?}");
            let Conflict::NoOrder { stuck, open } = conflict else { panic!("{conflict:?}") };
            assert_eq!(stuck.operation.complete, at);
            assert!(open.iter().all(|involved| {
                operations[involved.index as usize] == involved.operation
                    && involved.operation.invoke <= at
                    && involved.operation.complete > at
            }));
        }
        decision => panic!("{decision:?}"),
    }
    good
}

/// Compares on many histories, each made from a seed, of which enough have each verdict.
fn fuzz(name: &str, is_good: impl Fn(&mut ChaCha8Rng) -> bool) {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) };
    let (cases, good) = (Cell::new(0), Cell::new(0));
    proptest!(config, |(seed in any::<u64>())| {
        let is_good = is_good(&mut ChaCha8Rng::seed_from_u64(seed));
        cases.set(cases.get() + 1);
        good.set(good.get() + u32::from(is_good));
    });
    let (cases, good) = (cases.get(), good.get());
    assert!((cases / 10..cases * 9 / 10).contains(&good), "{name}: {good} of {cases} are good");
}

fn search_is_right<M: Model>(specification: Specification, model: M, values: &Values) {
    fuzz(&specification.to_string(), |rng| {
        let operations = history(specification, &model, values, rng);
        let decision = search_one(specification, &operations, values, &OPTIONS);
        compare(&model, &operations, decision)
    });
}

macro_rules! models {
    ($($name:ident: $specification:expr, $model:expr;)*) => {
        $(#[test]
        fn $name() {
            search_is_right($specification, $model, &Values::default());
        })*
    };
}

models! {
    every_order_of_a_mutex: Specification::Mutex, Mutex;
    every_order_of_an_owner_mutex: Specification::OwnerMutex, OwnerMutex;
    every_order_of_a_reentrant_mutex:
        Specification::ReentrantMutex { depth: 2 }, ReentrantMutex { depth: 2 };
    every_order_of_a_fenced_mutex: Specification::FencedMutex, FencedMutex;
    every_order_of_a_semaphore: Specification::Semaphore { permits: 2 }, Semaphore { permits: 2 };
    every_order_of_a_read_write_lock: Specification::ReadWriteLock, ReadWriteLock;
    every_order_of_a_lease_mutex:
        Specification::LeaseMutex { lease_ns: LEASE_NS }, LeaseMutex { lease_ns: LEASE_NS };
    every_order_of_a_fenced_resource: Specification::FencedResource, FencedResource;
    every_order_of_a_cas_register: Specification::CasRegister, CasRegister;
}

#[test]
fn every_order_of_a_key() {
    let mut values = Values::default();
    for first in TEXTS {
        for second in TEXTS {
            for third in TEXTS {
                values.number(&format!("{first}{second}{third}"));
            }
        }
    }
    search_is_right(Specification::KeyValue, PlainKeyValue(values.clone()), &values);
}

#[test]
fn every_order_of_a_key_whose_values_tell_who_wrote_them() {
    fuzz("kv with letters", |rng| {
        let (operations, values) = history_of_letters(rng);
        let specification = Specification::KeyValue;
        let object = Object { name: String::new(), operations: operations.clone() };
        let [checked] = check(specification, &[object], &values, &OPTIONS).try_into().unwrap();
        let searched = search_one(specification, &operations, &values, &OPTIONS);
        let model = PlainKeyValue(values);
        let good = compare(&model, &operations, checked.decision);
        assert_eq!(good, compare(&model, &operations, searched));
        assert_eq!(checked.algorithm, Algorithm::Decider);
        good
    });
}
