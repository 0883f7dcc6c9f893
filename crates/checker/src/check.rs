//! The way from a history to decisions: for each object the decider of its specification, and the
//! search where there is none or its assumption fails.

use crate::decide::{self, key_value};
use crate::decision::{Counterexample, Decision};
use crate::model::{
    CasRegister, FencedMutex, FencedResource, KeyValue, LeaseMutex, Model, Mutex, OwnerMutex,
    ReadWriteLock, ReentrantMutex, Semaphore,
};
use crate::operation::{Action, Operation};
use crate::options::Options;
use crate::search::{Inquiry, search};
use crate::specification::Specification;
use crate::values::Values;

/// One object and what was asked of it: a history is local, so each is decided by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Its name; the key.
    pub name: String,
    /// In order of their invokes.
    pub operations: Vec<Operation>,
}

/// How a decision was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// The polynomial decider of the specification.
    Decider,
    /// The search: the specification has no decider, or what the decider assumes does not hold,
    /// in words.
    Search {
        /// The assumption that fails; `None` if there is no decider.
        because: Option<String>,
    },
}

/// The decision for one object, and how it was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What was decided.
    pub decision: Decision,
    /// By what.
    pub algorithm: Algorithm,
}

impl Specification {
    /// Whether the object knows this operation. One that it does not know is never legal.
    pub fn knows(self, action: Action) -> bool {
        match self {
            Specification::Mutex => Mutex.knows(action),
            Specification::OwnerMutex => OwnerMutex.knows(action),
            Specification::ReentrantMutex { depth } => ReentrantMutex { depth }.knows(action),
            Specification::FencedMutex => FencedMutex.knows(action),
            Specification::Semaphore { permits } => Semaphore { permits }.knows(action),
            Specification::ReadWriteLock => ReadWriteLock.knows(action),
            Specification::LeaseMutex { lease_ns } => LeaseMutex { lease_ns }.knows(action),
            Specification::FencedResource => FencedResource.knows(action),
            Specification::CasRegister => CasRegister.knows(action),
            Specification::KeyValue => KeyValue::default().knows(action),
        }
    }
}

/// Decides every object of a history: by the polynomial decider of the specification where it has
/// one whose assumptions hold, by the search otherwise. The decisions are in the order of the
/// objects. Once one is found not linearizable, objects that wait for the search are given up.
///
/// Operations may come in any order; indices in the decisions are those of the objects.
pub fn check(
    specification: Specification,
    objects: &[Object],
    values: &Values,
    options: &Options,
) -> Vec<Checked> {
    let decided: Vec<Result<Decision, Option<String>>> = objects
        .iter()
        .map(|object| decide_one(specification, &object.operations, values, options.certificate))
        .collect();
    let found_one =
        decided.iter().any(|decided| matches!(decided, Ok(Decision::NotLinearizable(_))));
    let rest = objects.iter().zip(&decided).filter(|(_, decided)| decided.is_err());
    let rest: Vec<&[Operation]> = rest.map(|(object, _)| &object.operations[..]).collect();
    let mut searched = search_all(specification, &rest, values, options, found_one).into_iter();
    let checked = decided.into_iter().zip(objects).map(|(decided, object)| match decided {
        Ok(Decision::NotLinearizable(found)) if !found.shortest => Checked {
            decision: shorten(specification, &object.operations, values, options, found),
            algorithm: Algorithm::Decider,
        },
        Ok(decision) => Checked { decision, algorithm: Algorithm::Decider },
        Err(because) => Checked {
            decision: searched.next().expect("what was not decided was searched"),
            algorithm: Algorithm::Search { because },
        },
    });
    checked.collect()
}

/// The decision of the decider; else the assumption that fails, `None` if there is no decider.
fn decide_one(
    specification: Specification,
    operations: &[Operation],
    values: &Values,
    certificate: bool,
) -> Result<Decision, Option<String>> {
    if let Some(unknown) =
        operations.iter().find(|operation| !specification.knows(operation.action))
    {
        return Err(Some(format!("the model {specification} has no {:?}", unknown.action)));
    }
    let decide = |operations: &[Operation]| match specification {
        Specification::KeyValue => Some(key_value::decide(operations, values, certificate)),
        _ => decide::decide(specification, operations, certificate),
    };
    if operations.is_sorted_by_key(|operation| operation.invoke) {
        return decide(operations).ok_or(None)?.map_err(Some);
    }
    let mut indices: Vec<u32> = (0..operations.len() as u32).collect();
    indices.sort_by_key(|index| operations[*index as usize].invoke);
    let ordered: Vec<Operation> = indices.iter().map(|index| operations[*index as usize]).collect();
    let mut decision = decide(&ordered).ok_or(None)?.map_err(Some)?;
    decision.renumber(|index| indices[index as usize]);
    Ok(decision)
}

/// How much memory the search may take to shorten what a decider found, in bytes.
const SHORTEN_MEMORY_BYTES: usize = 16 << 20;

/// Asks the search whether what a decider found is the shortest counterexample. It stands if the
/// budget runs out first.
fn shorten(
    specification: Specification,
    operations: &[Operation],
    values: &Values,
    options: &Options,
    mut found: Counterexample,
) -> Decision {
    let invoked = (0..).zip(operations).filter(|(_, operation)| operation.invoke <= found.at);
    let (indices, prefix): (Vec<u32>, Vec<Operation>) = invoked.unzip();
    let memory_limit_bytes = options.memory_limit_bytes.min(SHORTEN_MEMORY_BYTES);
    let options = Options { memory_limit_bytes, ..*options };
    let mut searched = search_one(specification, &prefix, values, &options);
    match &searched {
        Decision::NotLinearizable(shortest) if shortest.at < found.at => {
            searched.renumber(|index| indices[index as usize]);
            return searched;
        }
        // The decider has more to say of it.
        Decision::NotLinearizable(_) => found.shortest = true,
        _ => {}
    }
    Decision::NotLinearizable(found)
}

/// Decides one object by the search alone.
pub fn search_one(
    specification: Specification,
    operations: &[Operation],
    values: &Values,
    options: &Options,
) -> Decision {
    let decisions = search_all(specification, &[operations], values, options, false);
    decisions.into_iter().next().expect("there is a decision for each object")
}

/// Decides objects by the search, in turns. `found_one` says that another is not linearizable.
fn search_all(
    specification: Specification,
    objects: &[&[Operation]],
    values: &Values,
    options: &Options,
    found_one: bool,
) -> Vec<Decision> {
    fn run<M: Model>(
        objects: &[&[Operation]],
        options: &Options,
        found_one: bool,
        model: impl Fn(&[Operation]) -> M,
    ) -> Vec<Decision> {
        let inquiry = |operations: &&[Operation]| {
            Inquiry::new(model(operations), operations, options.certificate)
        };
        search(objects.iter().map(inquiry).collect(), options, found_one)
    }
    match specification {
        Specification::Mutex => run(objects, options, found_one, |_| Mutex),
        Specification::OwnerMutex => run(objects, options, found_one, |_| OwnerMutex),
        Specification::ReentrantMutex { depth } => {
            run(objects, options, found_one, |_| ReentrantMutex { depth })
        }
        Specification::FencedMutex => run(objects, options, found_one, |_| FencedMutex),
        Specification::Semaphore { permits } => {
            run(objects, options, found_one, |_| Semaphore { permits })
        }
        Specification::ReadWriteLock => run(objects, options, found_one, |_| ReadWriteLock),
        Specification::LeaseMutex { lease_ns } => {
            run(objects, options, found_one, |_| LeaseMutex { lease_ns })
        }
        Specification::FencedResource => run(objects, options, found_one, |_| FencedResource),
        Specification::CasRegister => run(objects, options, found_one, |_| CasRegister),
        Specification::KeyValue => {
            run(objects, options, found_one, |operations| KeyValue::new(operations, values))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::decision::{Conflict, Exhausted, Involved};
    use crate::operation::{NEVER, Outcome, Value};

    const OPTIONS: Options<'static> =
        Options { certificate: true, time_is_up: &|| false, memory_limit_bytes: 1 << 28 };

    fn operation(invoke: u64, complete: u64, process: u32, action: Action) -> Operation {
        let outcome = if complete == NEVER { Outcome::Info } else { Outcome::Ok };
        Operation { invoke, complete, action, process, outcome }
    }

    fn object(operations: Vec<Operation>) -> Object {
        Object { name: String::new(), operations }
    }

    fn check_one(specification: Specification, operations: Vec<Operation>) -> Checked {
        let objects = [object(operations)];
        let mut checked = check(specification, &objects, &Values::default(), &OPTIONS);
        checked.pop().expect("one object")
    }

    /// Two reads that are good, then many concurrent writes and, after them, a refusal for each that
    /// tells that it was not the last.
    fn hard() -> Vec<Operation> {
        let mut operations = vec![
            operation(1, 2, 0, Action::Read(Value::NIL)),
            operation(3, 4, 0, Action::Read(Value::NIL)),
        ];
        for number in 1..=20 {
            operations.push(operation(10, 20, number, Action::Write(Value(number))));
        }
        for number in 1..=20 {
            let action = Action::Cas { expected: Value(number), new: Value::NIL };
            let refused = operation(30, 40, number, action);
            operations.push(Operation { outcome: Outcome::Fail, ..refused });
        }
        operations
    }

    /// The same, and somebody reads what nobody wrote.
    fn hard_but_plainly_bad() -> Vec<Operation> {
        let mut operations = hard();
        operations.insert(22, operation(30, 40, 0, Action::Read(Value(99))));
        operations
    }

    fn bad() -> Vec<Operation> {
        vec![operation(1, 2, 0, Action::Read(Value(99)))]
    }

    fn undecided(decision: &Decision) -> (Exhausted, u64) {
        match decision {
            Decision::Undecided(undecided) => (undecided.why, undecided.decided_until),
            decision => panic!("{decision:?}"),
        }
    }

    #[test]
    fn a_decision_names_operations_as_they_were_given_in_whatever_order() {
        let acquire = operation(1, 2, 0, Action::Acquire(0));
        let release = operation(3, 4, 0, Action::Release);
        let next = operation(5, 6, 1, Action::Acquire(0));
        for specification in [Specification::OwnerMutex, Specification::Mutex] {
            let good = check_one(specification, vec![next, release, acquire]);
            assert_eq!(good.decision, Decision::Linearizable(Some(vec![2, 1, 0])));
            let bad = check_one(specification, vec![next, acquire]);
            let Decision::NotLinearizable(Counterexample { at: 6, mut conflict, .. }) =
                bad.decision
            else {
                panic!("the lock is taken twice: {bad:?}");
            };
            let given = [next, acquire];
            for involved in conflict.involved() {
                assert_eq!(given[involved.index as usize], involved.operation);
            }
        }
        let write = operation(1, 2, 0, Action::Write(Value(1)));
        let read = operation(3, 4, 0, Action::Read(Value(1)));
        let searched = check_one(Specification::CasRegister, vec![read, write]);
        assert_eq!(searched.decision, Decision::Linearizable(Some(vec![1, 0])));
        assert_eq!(searched.algorithm, Algorithm::Search { because: None });
    }

    #[test]
    fn an_operation_that_the_model_does_not_know_is_never_legal() {
        let read = operation(1, 2, 0, Action::Read(Value::NIL));
        let checked = check_one(Specification::OwnerMutex, vec![read]);
        assert!(matches!(checked.decision, Decision::NotLinearizable(_)), "{checked:?}");
        assert!(matches!(checked.algorithm, Algorithm::Search { because: Some(_) }));
        let maybe = operation(1, NEVER, 0, Action::Read(Value::NIL));
        let checked = check_one(Specification::OwnerMutex, vec![maybe]);
        assert_eq!(checked.decision, Decision::Linearizable(Some(vec![])));
    }

    /// A denial that nothing explains, and an overlap that is all that the decider is sure of.
    fn bad_before_its_overlap() -> Vec<Operation> {
        let overlap = [(6, 49, 0), (9, 22, 1)].map(|(invoke, complete, process)| {
            operation(invoke, complete, process, Action::Acquire(0))
        });
        let late = operation(60, 61, 3, Action::Release);
        let denial = operation(2, 5, 3, Action::TryAcquire(0));
        let denial = Operation { outcome: Outcome::Fail, ..denial };
        vec![late, overlap[1], denial, overlap[0]]
    }

    #[test]
    fn where_a_decider_cannot_tell_the_search_finds_the_shortest_counterexample() {
        let given = bad_before_its_overlap();
        let checked = check_one(Specification::Mutex, given.clone());
        assert_eq!(checked.algorithm, Algorithm::Decider);
        let Decision::NotLinearizable(mut found) = checked.decision else {
            panic!("nothing explains the denial: {checked:?}");
        };
        assert_eq!((found.at, found.shortest), (5, true));
        for involved in found.conflict.involved() {
            assert_eq!(given[involved.index as usize], involved.operation);
        }
    }

    #[test]
    fn a_violation_stands_though_no_budget_is_left_to_shorten_it() {
        let objects = [object(bad_before_its_overlap())];
        let values = Values::default();
        for options in [
            Options { time_is_up: &|| true, ..OPTIONS },
            Options { memory_limit_bytes: 0, ..OPTIONS },
        ] {
            let checked = check(Specification::Mutex, &objects, &values, &options);
            let Decision::NotLinearizable(found) = &checked[0].decision else {
                panic!("the violation is lost: {checked:?}");
            };
            assert_eq!((found.at, found.shortest), (49, false));
            assert_eq!(checked[0].algorithm, Algorithm::Decider);
        }
    }

    #[test]
    fn a_bad_object_ends_the_search_of_the_others_wherever_it_is() {
        for position in 0..3 {
            let mut objects = vec![object(hard()), object(hard())];
            objects.insert(position, object(bad()));
            let specification = Specification::CasRegister;
            let checked = check(specification, &objects, &Values::default(), &OPTIONS);
            for (number, checked) in checked.iter().enumerate() {
                if number == position {
                    assert!(matches!(checked.decision, Decision::NotLinearizable(_)));
                } else {
                    assert_eq!(undecided(&checked.decision), (Exhausted::Abandoned, 39));
                }
            }
        }
    }

    #[test]
    fn when_the_time_is_up_it_is_known_up_to_where_all_is_good() {
        for looks in 0..3u32 {
            let left = Cell::new(looks);
            let time_is_up = || left.replace(left.get().saturating_sub(1)) == 0;
            let options = Options { time_is_up: &time_is_up, ..OPTIONS };
            let values = Values::default();
            let decision = search_one(Specification::CasRegister, &hard(), &values, &options);
            let decided_until = if looks == 0 { 1 } else { 39 };
            assert_eq!(undecided(&decision), (Exhausted::Time, decided_until));
        }
    }

    #[test]
    fn an_object_that_takes_too_much_memory_is_given_up_and_the_others_are_decided() {
        let options = Options { memory_limit_bytes: 1 << 20, ..OPTIONS };
        let easy = vec![operation(1, 2, 0, Action::Write(Value(1)))];
        let objects = [object(hard()), object(easy)];
        let checked = check(Specification::CasRegister, &objects, &Values::default(), &options);
        assert_eq!(undecided(&checked[0].decision), (Exhausted::Memory, 39));
        assert_eq!(checked[1].decision, Decision::Linearizable(Some(vec![0])));
    }

    #[test]
    fn a_read_of_what_nobody_wrote_is_refuted_though_much_may_have_come_before_it() {
        let left = Cell::new(8u32);
        let time_is_up = || left.replace(left.get().saturating_sub(1)) == 0;
        let options = Options { time_is_up: &time_is_up, ..OPTIONS };
        let operations = hard_but_plainly_bad();
        let specification = Specification::CasRegister;
        let decision = search_one(specification, &operations, &Values::default(), &options);
        let stuck = Involved { index: 22, operation: operations[22] };
        let conflict = Conflict::NoOrder { stuck, open: Vec::new() };
        let found = Counterexample { at: 40, shortest: true, conflict };
        assert_eq!(decision, Decision::NotLinearizable(found));
    }

    #[test]
    fn what_is_plainly_bad_stands_though_no_budget_is_left_for_what_comes_before_it() {
        let mut operations = hard();
        operations.push(operation(50, 60, 0, Action::Read(Value(99))));
        let objects = [object(operations), object(bad())];
        let values = Values::default();
        let budgets = [
            (Options { time_is_up: &|| true, ..OPTIONS }, &objects[..1]),
            (Options { memory_limit_bytes: 1 << 20, ..OPTIONS }, &objects[..1]),
            // The other object ends the search.
            (OPTIONS, &objects[..]),
        ];
        for (options, objects) in budgets {
            let checked = check(Specification::CasRegister, objects, &values, &options);
            let Decision::NotLinearizable(found) = &checked[0].decision else {
                panic!("nobody wrote it: {checked:?}");
            };
            assert_eq!((found.at, found.shortest), (60, false));
            let Conflict::NoOrder { stuck, .. } = &found.conflict else {
                panic!("the search finds no other conflict");
            };
            assert_eq!(Some(&stuck.operation), objects[0].operations.last());
        }
    }

    #[test]
    fn a_read_of_what_nobody_wrote_hides_no_shorter_counterexample() {
        let mut operations = hard_but_plainly_bad();
        operations.push(operation(5, 6, 30, Action::Write(Value(1))));
        operations.push(operation(7, 8, 30, Action::Read(Value::NIL)));
        let checked = check_one(Specification::CasRegister, operations);
        let Decision::NotLinearizable(found) = checked.decision else {
            panic!("the second read is too late: {checked:?}");
        };
        assert_eq!((found.at, found.shortest), (8, true));
    }

    #[test]
    fn values_of_a_key_that_cannot_be_told_apart_are_left_to_the_search() {
        let mut values = Values::default();
        let mut append = |number: u64, text| {
            operation(number * 2, number * 2 + 1, 0, Action::Append(values.number(text)))
        };
        let mut operations = vec![append(1, "a"), append(2, "ab")];
        operations.push(operation(6, 7, 0, Action::Get(values.number("aab"))));
        let checked = check(Specification::KeyValue, &[object(operations)], &values, &OPTIONS);
        assert_eq!(checked[0].decision, Decision::Linearizable(Some(vec![0, 1, 2])));
        assert!(matches!(checked[0].algorithm, Algorithm::Search { because: Some(_) }));
    }
}
