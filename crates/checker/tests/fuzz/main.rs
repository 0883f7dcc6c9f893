//! Compares the checker with the truth about many small histories, good and bad.
//!
//! `LOCKTEST_FUZZ_HISTORIES` says how many for each specification, `LOCKTEST_FUZZ_SEED` which. What
//! fails is shrunk and printed as a seed, to be kept in `tests/seeds`.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![expect(clippy::print_stdout, reason = "shares of verdicts are worth a look")]

mod history;
mod judge;
mod mutate;
mod oracle;
mod simulate;

use std::env;
use std::fs;
use std::path::Path;

use history::{History, Seed};
use judge::Tally;
use locktest_checker::{NEVER, Specification, verify};
use mutate::{mutate, obscure, random_history};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use simulate::good_history;

/// A number from the environment, for runs by hand.
fn setting(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default,
    }
}

/// The `number`-th history of a specification; its parameter may vary.
fn made_up(specifications: &[Specification], number: u64) -> History {
    let mut rng = ChaCha8Rng::seed_from_u64(setting("LOCKTEST_FUZZ_SEED", 1));
    rng.set_stream(number);
    let specification = specifications[rng.random_range(0..specifications.len())];
    if rng.random_bool(0.15) {
        return random_history(specification, &mut rng);
    }
    let size = rng.random_range(3..=12);
    let mut history = good_history(specification, size, &mut rng);
    if rng.random_bool(0.85) {
        mutate(&mut history, &mut rng);
    }
    history
}

/// Whom the checker has to ask about a specification.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decider {
    Exists,
    DoesNot,
}

fn fuzz(specifications: &[Specification], decider: Decider) {
    fuzz_with(specifications, decider, |_, _| {});
}

/// The same of histories that are changed once more.
fn fuzz_with(
    specifications: &[Specification],
    decider: Decider,
    change: fn(&mut History, &mut ChaCha8Rng),
) {
    let histories = setting("LOCKTEST_FUZZ_HISTORIES", 20_000);
    let mut tally = Tally::default();
    for number in 0..histories {
        let mut history = made_up(specifications, number);
        change(&mut history, &mut ChaCha8Rng::seed_from_u64(number));
        if let Err(first) = judge::judge(&history, &mut tally) {
            let (shrunk, why) = judge::shrink(history, first);
            let seed = judge::seed(&shrunk, &why);
            panic!("history {number}; keep this in tests/seeds:\n{seed}");
        }
    }
    println!("{}: {tally}", specifications[0]);
    let share = |count: u64| count as f64 / histories as f64;
    assert!(share(tally.good) >= 0.2, "too few good histories: {tally}");
    assert!(share(tally.bad) >= 0.2, "too few bad histories: {tally}");
    let share_of_bad = |count: u64| count as f64 / tally.bad as f64;
    assert!(share_of_bad(tally.not_shortest) <= 0.01, "often not the shortest: {tally}");
    assert!(
        share_of_bad(tally.not_shortest_by_decider) <= 0.33,
        "the decider often needs the search to find the shortest: {tally}"
    );
    match decider {
        Decider::Exists => {
            assert!(share(tally.decided) >= 0.2, "the decider hardly ever applies: {tally}");
        }
        Decider::DoesNot => assert_eq!(tally.decided, 0, "there is a decider now: {tally}"),
    }
}

#[test]
fn mutex_histories_have_the_right_verdict() {
    fuzz(&[Specification::Mutex], Decider::Exists);
}

#[test]
fn owner_mutex_histories_have_the_right_verdict() {
    fuzz(&[Specification::OwnerMutex], Decider::Exists);
}

#[test]
fn reentrant_mutex_histories_of_depth_2_have_the_right_verdict() {
    fuzz(&[Specification::ReentrantMutex { depth: 2 }], Decider::Exists);
}

#[test]
fn reentrant_mutex_histories_of_depth_3_have_the_right_verdict() {
    fuzz(&[Specification::ReentrantMutex { depth: 3 }], Decider::Exists);
}

#[test]
fn fenced_mutex_histories_have_the_right_verdict() {
    fuzz(&[Specification::FencedMutex], Decider::Exists);
}

#[test]
fn semaphore_histories_with_1_permit_have_the_right_verdict() {
    fuzz(&[Specification::Semaphore { permits: 1 }], Decider::Exists);
}

#[test]
fn semaphore_histories_with_2_permits_have_the_right_verdict() {
    fuzz(&[Specification::Semaphore { permits: 2 }], Decider::Exists);
}

#[test]
fn semaphore_histories_with_3_permits_have_the_right_verdict() {
    fuzz(&[Specification::Semaphore { permits: 3 }], Decider::Exists);
}

#[test]
fn read_write_lock_histories_have_the_right_verdict() {
    fuzz(&[Specification::ReadWriteLock], Decider::Exists);
}

#[test]
fn lease_mutex_histories_have_the_right_verdict() {
    fuzz(&LEASES, Decider::Exists);
}

#[test]
fn fenced_resource_histories_have_the_right_verdict() {
    fuzz(&[Specification::FencedResource], Decider::Exists);
}

#[test]
fn cas_register_histories_have_the_right_verdict() {
    fuzz(&[Specification::CasRegister], Decider::DoesNot);
}

#[test]
fn cas_register_histories_with_many_unknown_outcomes_have_the_right_verdict() {
    fuzz_with(&[Specification::CasRegister], Decider::DoesNot, obscure);
}

#[test]
fn key_value_histories_have_the_right_verdict() {
    fuzz(&[Specification::KeyValue], Decider::Exists);
}

/// Leases shorter and longer than what else takes time.
const LEASES: [Specification; 4] = [
    Specification::LeaseMutex { lease_ns: 2 },
    Specification::LeaseMutex { lease_ns: 5 },
    Specification::LeaseMutex { lease_ns: 12 },
    Specification::LeaseMutex { lease_ns: 25 },
];

fn every_specification() -> Vec<Specification> {
    let mut specifications = vec![
        Specification::Mutex,
        Specification::OwnerMutex,
        Specification::ReentrantMutex { depth: 2 },
        Specification::ReentrantMutex { depth: 3 },
        Specification::FencedMutex,
        Specification::Semaphore { permits: 1 },
        Specification::Semaphore { permits: 2 },
        Specification::Semaphore { permits: 3 },
        Specification::ReadWriteLock,
        Specification::FencedResource,
        Specification::CasRegister,
        Specification::KeyValue,
    ];
    specifications.extend(LEASES);
    specifications
}

#[test]
fn every_seed_keeps_its_verdict() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds");
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension() != Some("txt".as_ref()) {
            continue;
        }
        let name = path.display();
        let seed: Seed = fs::read_to_string(&path)
            .unwrap()
            .parse()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let truth = oracle::linearization(&seed.history).is_some();
        assert_eq!(truth, seed.linearizable, "{name}: the oracle says otherwise");
        if let Err(why) = judge::judge(&seed.history, &mut Tally::default()) {
            panic!("{name}: {why}");
        }
        replayed += 1;
    }
    assert!(replayed > 0, "there are no seeds in {}", folder.display());
}

#[test]
fn a_seed_is_read_as_it_was_written() {
    for specification in every_specification() {
        for number in 0..100 {
            let history = made_up(&[specification], number);
            let text = judge::seed(&history, "a test");
            let again: Seed = text.parse().unwrap();
            assert_eq!(again.history.specification, specification);
            assert_eq!(judge::seed(&again.history, "a test"), text);
        }
    }
}

/// What is too long for the oracle: the decider and the search against each other.
#[test]
fn the_decider_and_the_search_agree_on_longer_histories() {
    for specification in every_specification() {
        let (mut good, mut bad) = (0, 0);
        for number in 0..setting("LOCKTEST_FUZZ_HISTORIES", 20_000) / 20 {
            let mut rng = ChaCha8Rng::seed_from_u64(number);
            let size = rng.random_range(15..=40);
            let mut history = good_history(specification, size, &mut rng);
            for _ in 0..rng.random_range(0..4) {
                mutate(&mut history, &mut rng);
            }
            match judge::compare_decider_and_search(&history) {
                Ok(None) => {}
                Ok(Some(true)) => good += 1,
                Ok(Some(false)) => bad += 1,
                Err(why) => panic!("{why}\n{history}"),
            }
        }
        println!("{specification}: both decided {good} good, {bad} bad longer histories");
        // Registers and keys have too little for a decider to go by.
        if !matches!(specification, Specification::CasRegister | Specification::KeyValue) {
            assert!(good > 0, "{specification}: nothing was compared");
        }
    }
}

/// The oracle's shortcuts against no shortcut at all.
#[test]
fn the_oracle_agrees_with_writing_down_every_order() {
    for specification in every_specification() {
        let (mut good, mut bad) = (0, 0);
        for number in 0.. {
            let mut history = made_up(&[specification], number);
            history.operations.truncate(5);
            let truth = oracle::some_order_explains(&history);
            assert_eq!(oracle::linearization(&history).is_some(), truth, "{history}");
            *if truth { &mut good } else { &mut bad } += 1;
            if good.min(bad) >= 40 {
                break;
            }
        }
    }
}

/// The verifier against the definition, on orders that are nearly right.
#[test]
fn the_verifier_accepts_what_the_definition_does_and_nothing_else() {
    for specification in every_specification() {
        let (mut accepted, mut rejected) = (0, 0);
        for number in 0..2_000 {
            let history = made_up(&[specification], number);
            let mut rng = ChaCha8Rng::seed_from_u64(number);
            let Some(order) = oracle::linearization(&history) else { continue };
            let mut orders = vec![order.clone()];
            for _ in 0..3 {
                orders.push(disturbed(&order, history.operations.len(), &mut rng));
            }
            for order in orders {
                let truth = oracle::explains(&history, &order);
                let verified = verify(specification, &history.operations, &history.values, &order);
                assert_eq!(verified.is_ok(), truth, "{order:?} {verified:?}\n{history}");
                *if truth { &mut accepted } else { &mut rejected } += 1;
            }
        }
        assert!(accepted > 500 && rejected > 500, "{specification}: {accepted} {rejected}");
    }
}

/// An order with a few changes.
fn disturbed(order: &[u32], operations: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
    let mut order = order.to_vec();
    match rng.random_range(0..5) {
        0 => order.shuffle(rng),
        1 if !order.is_empty() => {
            order.remove(rng.random_range(0..order.len()));
        }
        2 => {
            let any = u32::try_from(rng.random_range(0..=operations)).unwrap();
            order.insert(rng.random_range(0..=order.len()), any);
        }
        _ if order.len() > 1 => {
            let first = rng.random_range(0..order.len() - 1);
            order.swap(first, first + 1);
        }
        _ => {}
    }
    order
}

#[test]
fn histories_that_nobody_changed_are_good() {
    for specification in every_specification() {
        for number in 0..1_000 {
            let mut rng = ChaCha8Rng::seed_from_u64(number);
            let history = good_history(specification, 12, &mut rng);
            assert!(oracle::linearization(&history).is_some(), "{history}");
        }
    }
}

#[test]
fn histories_meet_infos_denials_and_ties_often() {
    for specification in every_specification() {
        let (mut infos, mut fails, mut ties) = (0, 0, 0);
        for number in 0..500 {
            let operations = made_up(&[specification], number).operations;
            infos += usize::from(operations.iter().any(|operation| operation.complete == NEVER));
            fails += usize::from(
                operations
                    .iter()
                    .any(|operation| operation.outcome == locktest_checker::Outcome::Fail),
            );
            ties += usize::from(
                operations
                    .iter()
                    .any(|first| operations.iter().any(|second| first.complete == second.invoke)),
            );
        }
        assert!(infos > 100 && ties > 100, "{specification}: {infos} {ties}");
        let never_refuses = specification == Specification::KeyValue;
        assert!(fails > 100 || never_refuses, "{specification}: {fails}");
    }
}
