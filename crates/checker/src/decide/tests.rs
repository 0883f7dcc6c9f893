//! The deciders against every order of small histories.

mod examples;
mod histories;
mod oracle;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::decide;
use super::prefix::Prefix;
use crate::decision::Decision;
use crate::operation::{NEVER, Operation};
use crate::specification::Specification;

/// How many histories of each object.
const HISTORIES: u64 = 5_000;

/// Compares the decider with the oracle: verdict, certificate and the end of the bad prefix. A
/// fifth of what it decides, or more, has each verdict; no more than `percent_left` of a hundred
/// histories are left to the search.
#[expect(clippy::print_stdout, reason = "the shares tell what the test is worth")]
fn agrees(specification: Specification, percent_left: u64) {
    let (mut good, mut bad, mut left, mut unsure) = (0, 0, 0, 0);
    for seed in 0..HISTORIES {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let operations = histories::history(specification, &mut rng);
        let truth = oracle::is_linearizable(specification, &operations);
        let context = || format!("{specification}, seed {seed}:\n{}", listed(&operations));
        match decide(specification, &operations, true).expect("it has a decider") {
            Ok(Decision::Linearizable(certificate)) => {
                assert!(truth, "wrongly good, {}", context());
                let order = certificate.expect("it was asked for");
                let fault = oracle::fault(specification, &operations, &order);
                assert_eq!(fault, None, "{order:?}, {}", context());
                good += 1;
            }
            Ok(Decision::NotLinearizable(counterexample)) => {
                assert!(!truth, "wrongly bad, {counterexample:?}, {}", context());
                let at = counterexample.at;
                assert!(operations.iter().any(|operation| operation.complete == at));
                let before =
                    at.checked_sub(1).map_or(Vec::new(), |before| prefix(&operations, before));
                assert!(
                    !oracle::is_linearizable(specification, &prefix(&operations, at)),
                    "the prefix is not bad, {counterexample:?}, {}",
                    context()
                );
                if counterexample.shortest {
                    assert!(
                        oracle::is_linearizable(specification, &before),
                        "there is a shorter prefix, {counterexample:?}, {}",
                        context()
                    );
                } else {
                    let decided = decide(specification, &before, false);
                    assert!(
                        matches!(decided, Some(Err(_))),
                        "it is the shortest, {counterexample:?}, {}",
                        context()
                    );
                    unsure += 1;
                }
                bad += 1;
            }
            Ok(Decision::Undecided(undecided)) => panic!("{undecided:?}"),
            Err(_) => left += 1,
        }
    }
    println!(
        "{specification}: {good} good, {bad} bad, {unsure} of these perhaps with a shorter prefix, \
         {left} left to the search"
    );
    let decided = good + bad;
    assert!(good * 5 >= decided, "{good} of {decided} are good");
    assert!(bad * 5 >= decided, "{bad} of {decided} are bad");
    assert!(left * 100 <= percent_left * HISTORIES, "{left} are left to the search");
}

fn listed(operations: &[Operation]) -> String {
    let line = |(index, operation): (usize, &Operation)| {
        let Operation { invoke, complete, action, process, outcome } = operation;
        let complete = if *complete == NEVER { "".to_owned() } else { complete.to_string() };
        format!("{index}: process {process} [{invoke}, {complete}] {action:?} {outcome:?}\n")
    };
    operations.iter().enumerate().map(line).collect()
}

fn prefix(operations: &[Operation], until: u64) -> Vec<Operation> {
    Prefix::until(operations, until).iter().map(|(_, operation)| operation).collect()
}

#[test]
fn an_anonymous_mutex_is_decided_as_by_trying_all_orders() {
    agrees(Specification::Mutex, 30);
}

#[test]
fn an_owner_mutex_is_decided_as_by_trying_all_orders() {
    agrees(Specification::OwnerMutex, 20);
}

#[test]
fn a_reentrant_mutex_is_decided_as_by_trying_all_orders() {
    for depth in [1, 2, 3] {
        agrees(Specification::ReentrantMutex { depth }, 30);
    }
}

#[test]
fn a_fenced_mutex_is_decided_as_by_trying_all_orders() {
    agrees(Specification::FencedMutex, 25);
}

#[test]
fn a_semaphore_is_decided_as_by_trying_all_orders() {
    for permits in [1, 2, 3] {
        agrees(Specification::Semaphore { permits }, 40);
    }
}

#[test]
fn a_read_write_lock_is_decided_as_by_trying_all_orders() {
    agrees(Specification::ReadWriteLock, 30);
}

#[test]
fn a_lease_mutex_is_decided_as_by_trying_all_orders() {
    for lease_ns in [16, 32, 64] {
        agrees(Specification::LeaseMutex { lease_ns }, 60);
    }
}

#[test]
fn a_fenced_resource_is_decided_as_by_trying_all_orders() {
    agrees(Specification::FencedResource, 0);
}
