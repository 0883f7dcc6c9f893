//! Histories that show one rule each.

use super::listed;
use crate::decide::decide;
use crate::decision::{Conflict, Counterexample, Decision};
use crate::operation::Action::{self, *};
use crate::operation::Outcome::{self, *};
use crate::operation::{NEVER, Operation, Process};
use crate::specification::Specification::{self, *};
use crate::values::Values;
use crate::verify;

type Line = (Process, u64, u64, Action, Outcome);

fn operations(lines: &[Line]) -> Vec<Operation> {
    let operation = |&(process, invoke, complete, action, outcome): &Line| Operation {
        invoke,
        complete,
        action,
        process,
        outcome,
    };
    lines.iter().map(operation).collect()
}

fn decided(specification: Specification, lines: &[Line]) -> Result<Decision, String> {
    decide(specification, &operations(lines), true).expect("it has a decider")
}

/// The certificate of a good history, which is verified.
fn good(specification: Specification, lines: &[Line]) -> Vec<u32> {
    let operations = operations(lines);
    let Result::Ok(Decision::Linearizable(Some(order))) = decided(specification, lines) else {
        panic!("{:?}: {}", decided(specification, lines), listed(&operations));
    };
    assert_eq!(verify(specification, &operations, &Values::default(), &order), Result::Ok(()));
    order
}

/// Where the shortest bad prefix ends, the kind of the conflict, and the indices that it names.
fn bad(specification: Specification, lines: &[Line]) -> (u64, &'static str, Vec<u64>) {
    let Result::Ok(Decision::NotLinearizable(Counterexample { at, conflict, .. })) =
        decided(specification, lines)
    else {
        panic!("{:?}: {}", decided(specification, lines), listed(&operations(lines)));
    };
    let (kind, holds, others) = match conflict {
        Conflict::Overlap(holds) => ("overlap", holds, vec![]),
        Conflict::UnexplainedDenial { denial, before, after } => {
            ("denial", before.into_iter().chain(after).collect(), vec![denial])
        }
        Conflict::NotHeld(release) => ("not held", vec![], vec![release]),
        Conflict::Tokens(first, second) => ("tokens", vec![], vec![first, second]),
        Conflict::UnexplainedRefusal(refusal) => ("refusal", vec![], vec![refusal]),
        Conflict::Leases { chain, .. } => ("leases", chain, vec![]),
        Conflict::NoOrder { .. } => panic!("a decider names the conflict"),
    };
    let holds = holds.into_iter().map(|hold| hold.acquire);
    (at, kind, others.into_iter().chain(holds).map(|involved| involved.index).collect())
}

fn undecided(specification: Specification, lines: &[Line], words: &str) {
    let why = decided(specification, lines).expect_err("an assumption fails");
    assert!(why.contains(words), "{why}");
}

const TRY: Action = TryAcquire(0);
const ACQUIRE: Action = Acquire(0);

#[test]
fn registers_have_no_decider_here() {
    assert_eq!(decide(CasRegister, &[], true), None);
    assert_eq!(decide(KeyValue, &[], true), None);
}

#[test]
fn nothing_is_linearizable() {
    assert_eq!(good(OwnerMutex, &[]), []);
}

#[test]
fn holds_may_touch_at_one_stamp() {
    good(OwnerMutex, &[(0, 1, 2, ACQUIRE, Ok), (1, 3, 5, ACQUIRE, Ok), (0, 5, 6, Release, Ok)]);
}

#[test]
fn holds_that_overlap_are_named_with_the_later_grant() {
    let lines = [
        (0, 1, 2, ACQUIRE, Ok),
        (1, 3, 5, ACQUIRE, Ok),
        (0, 6, 7, Release, Ok),
        (1, 8, 9, Release, Ok),
        (2, 10, 11, ACQUIRE, Ok),
        (3, 12, 13, ACQUIRE, Ok),
    ];
    assert_eq!(bad(OwnerMutex, &lines), (5, "overlap", vec![0, 1]));
}

#[test]
fn who_acquires_twice_overlaps_with_itself() {
    let lines = [(0, 1, 2, ACQUIRE, Ok), (0, 3, 4, TRY, Ok), (0, 5, 6, Release, Ok)];
    assert_eq!(bad(OwnerMutex, &lines), (4, "overlap", vec![0, 1]));
}

#[test]
fn who_never_acquired_has_nothing_to_release() {
    let lines = [(0, 1, 2, ACQUIRE, Ok), (1, 3, 4, Release, Ok)];
    assert_eq!(bad(OwnerMutex, &lines), (4, "not held", vec![1]));
    assert_eq!(good(Mutex, &lines), [0, 1]);
}

#[test]
fn a_denial_between_two_holds_is_explained_by_neither() {
    let lines = |release_complete, denied_at, acquire_invoke| {
        let mut lines = [
            (0, 1, 2, ACQUIRE, Ok),
            (0, 3, release_complete, Release, Ok),
            (1, 6, denied_at, TRY, Fail),
            (2, acquire_invoke, 12, ACQUIRE, Ok),
        ];
        lines.sort_by_key(|line| line.1);
        lines
    };
    assert_eq!(bad(OwnerMutex, &lines(5, 7, 8)), (7, "denial", vec![2, 0, 3]));
    // Of equal stamps the invoke is the earlier, so these were open together.
    good(OwnerMutex, &lines(6, 7, 8));
    good(OwnerMutex, &lines(5, 8, 8));
}

#[test]
fn denials_in_one_gap_can_need_the_hold_before_and_the_one_after() {
    let order = good(
        OwnerMutex,
        &[
            (0, 1, 2, ACQUIRE, Ok),
            (0, 3, 10, Release, Ok),
            (1, 4, 5, TRY, Fail),
            (2, 8, 9, TRY, Fail),
            (3, 11, 30, ACQUIRE, Ok),
            (1, 12, 13, TRY, Fail),
            (2, 20, 21, TRY, Fail),
        ],
    );
    assert_eq!(order, [0, 2, 3, 1, 4, 5, 6]);
}

#[test]
fn a_denial_after_all_holds_needs_an_info_acquire_that_was_asked_by_then() {
    let lines = |invoke| {
        let mut lines = [(0, 5, 6, TRY, Fail), (1, invoke, NEVER, ACQUIRE, Info)];
        lines.sort_by_key(|line| line.1);
        lines
    };
    assert_eq!(good(OwnerMutex, &lines(6)), [1, 0]);
    assert_eq!(bad(OwnerMutex, &lines(7)), (6, "denial", vec![0]));
}

#[test]
fn a_denial_stays_possible_until_what_may_have_held_turns_out_otherwise() {
    let failed = [(0, 1, 9, ACQUIRE, Fail), (1, 2, 3, TRY, Fail)];
    assert_eq!(bad(OwnerMutex, &failed), (9, "denial", vec![1]));
    let overtaken = [
        (0, 1, NEVER, ACQUIRE, Info),
        (1, 2, 3, TRY, Fail),
        (2, 4, 7, ACQUIRE, Ok),
        (2, 8, 9, Release, Ok),
    ];
    assert_eq!(bad(OwnerMutex, &overtaken), (7, "denial", vec![1, 2]));
}

#[test]
fn an_ok_release_shows_that_the_info_before_it_had_not_ended_the_hold() {
    let lines = [
        (0, 1, 2, ACQUIRE, Ok),
        (0, 3, NEVER, Release, Info),
        (1, 5, 6, ACQUIRE, Ok),
        (1, 7, 8, Release, Ok),
        (0, 10, 11, Release, Ok),
    ];
    good(OwnerMutex, &lines[..4]);
    assert_eq!(bad(OwnerMutex, &lines), (11, "overlap", vec![0, 2]));
}

#[test]
fn an_ok_release_of_an_info_acquire_needs_one_free_instant() {
    let lines = |release_complete| {
        [
            (0, 1, NEVER, ACQUIRE, Info),
            (1, 2, 3, ACQUIRE, Ok),
            (0, 4, release_complete, Release, Ok),
            (1, 8, 9, Release, Ok),
        ]
    };
    assert_eq!(good(OwnerMutex, &lines(8)), [1, 3, 0, 2]);
    assert_eq!(bad(OwnerMutex, &lines(7)), (7, "overlap", vec![1, 0]));
}

#[test]
fn a_process_may_go_on_after_an_info_acquire() {
    let lines = [
        (0, 1, NEVER, ACQUIRE, Info),
        (0, 2, 3, ACQUIRE, Ok),
        (0, 4, 5, Release, Ok),
        (1, 6, 7, TRY, Ok),
    ];
    assert_eq!(good(OwnerMutex, &lines), [1, 2, 3]);
}

#[test]
fn what_infos_may_have_done_in_many_ways_is_left_to_the_search() {
    // The info release may end the second hold before its acquire returns.
    let spare_release =
        [(0, 1, NEVER, Release, Info), (0, 2, 9, ACQUIRE, Ok), (1, 3, 4, ACQUIRE, Ok)];
    undecided(OwnerMutex, &spare_release, "process 0 may have ended");
    // What it acquired it may have released, so it may have held in the gap.
    let pair = [
        (0, 1, NEVER, ACQUIRE, Info),
        (0, 2, NEVER, Release, Info),
        (1, 3, 4, TRY, Fail),
        (2, 5, 6, ACQUIRE, Ok),
    ];
    undecided(OwnerMutex, &pair, "info of process 0 acquired");
    // The two at stamp 5 may have come in either order. In one of them the release ended what the
    // info acquired, which explains the denial.
    let tied = [
        (0, 1, NEVER, ACQUIRE, Info),
        (1, 2, 3, TRY, Fail),
        (0, 4, 5, ACQUIRE, Ok),
        (0, 5, 6, Release, Ok),
    ];
    undecided(OwnerMutex, &tied, "the stamp at which its last one ended");
}

#[test]
fn what_is_no_history_of_a_lock_is_left_to_the_search() {
    undecided(OwnerMutex, &[(0, 1, 5, ACQUIRE, Ok), (0, 3, 6, Release, Ok)], "two operations");
    undecided(OwnerMutex, &[(0, 3, 5, ACQUIRE, Ok), (1, 1, 6, TRY, Ok)], "not in order");
    undecided(OwnerMutex, &[(0, 3, NEVER, ACQUIRE, Ok)], "stamps of operation 0");
    undecided(OwnerMutex, &[(0, 3, 4, ACQUIRE, Info)], "stamps of operation 0");
    undecided(OwnerMutex, &[(0, 1, 2, Renew, Ok)], "does not know Renew");
}

#[test]
fn processes_may_have_any_numbers() {
    let lines = [
        (Process::MAX, 1, 2, ACQUIRE, Ok),
        (Process::MAX, 3, 4, Release, Ok),
        (Process::MAX - 1, 5, 6, ACQUIRE, Ok),
        (7, 7, 8, TRY, Fail),
    ];
    assert_eq!(good(OwnerMutex, &lines), [0, 1, 2, 3]);
}

#[test]
fn tokens_have_to_grow_from_hold_to_hold() {
    let lines = |first, second, third| {
        [
            (0, 1, 2, Acquire(first), Ok),
            (0, 3, 4, Release, Ok),
            (1, 5, 6, Acquire(second), Ok),
            (1, 7, 8, Release, Ok),
            (2, 9, 10, Acquire(third), Ok),
        ]
    };
    good(FencedMutex, &lines(1, 0, 2));
    assert_eq!(bad(FencedMutex, &lines(2, 0, 2)), (10, "tokens", vec![0, 4]));
    assert_eq!(bad(FencedMutex, &lines(2, 1, 3)), (6, "tokens", vec![0, 2]));
    assert_eq!(bad(FencedMutex, &lines(5, 3, 4)), (6, "tokens", vec![0, 2]));
    undecided(FencedMutex, &[(0, 1, NEVER, Acquire(4), Info)], "an info acquire with a token");
}

#[test]
fn holds_of_one_and_the_same_instant_are_in_the_order_of_their_tokens() {
    let order = good(
        FencedMutex,
        &[
            (0, 1, 5, Acquire(2), Ok),
            (1, 1, 5, Acquire(1), Ok),
            (0, 5, 6, Release, Ok),
            (1, 5, 7, Release, Ok),
        ],
    );
    assert_eq!(order, [1, 3, 0, 2]);
}

#[test]
fn a_reentrant_mutex_is_held_from_the_outermost_acquire_to_the_last_release() {
    let lines = [
        (0, 1, 2, ACQUIRE, Ok),
        (0, 3, 4, ACQUIRE, Ok),
        (0, 5, 6, Release, Ok),
        (1, 7, 8, ACQUIRE, Ok),
        (0, 9, 10, Release, Ok),
    ];
    assert_eq!(bad(ReentrantMutex { depth: 2 }, &lines), (8, "overlap", vec![0, 3]));
    assert_eq!(good(ReentrantMutex { depth: 2 }, &lines[..3]), [0, 1, 2]);
    let mut later = lines;
    later[3].2 = 9;
    assert_eq!(good(ReentrantMutex { depth: 2 }, &later), [0, 1, 2, 4, 3]);
}

#[test]
fn a_reentrant_mutex_goes_as_deep_as_it_may_and_then_denies_its_owner() {
    let twice = [(0, 1, 2, ACQUIRE, Ok), (0, 3, 4, ACQUIRE, Ok), (0, 5, 6, TRY, Fail)];
    assert_eq!(good(ReentrantMutex { depth: 2 }, &twice), [0, 1, 2]);
    assert_eq!(bad(ReentrantMutex { depth: 3 }, &twice), (6, "denial", vec![2, 0]));
    let thrice = [(0, 1, 2, ACQUIRE, Ok), (0, 3, 4, ACQUIRE, Ok), (0, 5, 6, ACQUIRE, Ok)];
    assert_eq!(bad(ReentrantMutex { depth: 2 }, &thrice), (6, "overlap", vec![0, 1, 2]));
}

#[test]
fn one_hold_more_than_there_are_permits_is_too_many() {
    let lines = [
        (0, 1, 2, ACQUIRE, Ok),
        (1, 3, 4, ACQUIRE, Ok),
        (1, 5, 6, Release, Ok),
        (0, 7, 8, ACQUIRE, Ok),
        (2, 9, 10, ACQUIRE, Ok),
    ];
    assert_eq!(bad(Semaphore { permits: 2 }, &lines), (10, "overlap", vec![0, 3, 4]));
    good(Semaphore { permits: 3 }, &lines);
    undecided(Semaphore { permits: 3 }, &[(0, 1, 2, TRY, Fail)], "denied tries");
}

#[test]
fn readers_share_and_a_writer_is_alone() {
    let lines = [
        (0, 1, 2, AcquireShared, Ok),
        (1, 3, 4, AcquireShared, Ok),
        (0, 5, 6, ReleaseShared, Ok),
        (2, 7, 8, ACQUIRE, Ok),
        (3, 9, 10, TryAcquireShared, Fail),
    ];
    good(ReadWriteLock, &lines[..3]);
    assert_eq!(bad(ReadWriteLock, &lines), (8, "overlap", vec![1, 3]));
    let mut exclusive = lines;
    exclusive[1].3 = TRY;
    assert_eq!(bad(ReadWriteLock, &exclusive), (4, "overlap", vec![0, 1]));
    let denied = [lines[0], (2, 3, 4, TRY, Fail), (0, 5, 6, ReleaseShared, Ok)];
    assert_eq!(good(ReadWriteLock, &denied), [0, 1, 2]);
    let shared = [lines[0], (2, 3, 4, TryAcquireShared, Fail)];
    undecided(ReadWriteLock, &shared, "denied try 1");
    assert_eq!(bad(ReadWriteLock, &[(0, 1, 2, ReleaseShared, Ok)]), (2, "not held", vec![0]));
}

#[test]
fn leases_that_cannot_all_be_served_are_a_chain() {
    let lines =
        |third| [(0, 0, 10, ACQUIRE, Ok), (1, 90, 110, ACQUIRE, Ok), (2, 180, third, ACQUIRE, Ok)];
    let lease = LeaseMutex { lease_ns: 100 };
    good(lease, &lines(200));
    assert_eq!(bad(lease, &lines(199)), (199, "leases", vec![0, 1, 2]));
    let slow = [(0, 0, 100, ACQUIRE, Ok)];
    undecided(lease, &slow, "took 100 ns, no less than the lease");
}

#[test]
fn a_renewal_makes_a_lease_longer_once_it_returned() {
    let lines = |acquire_complete| {
        [(0, 0, 10, ACQUIRE, Ok), (0, 50, 130, Renew, Ok), (1, 90, acquire_complete, TRY, Ok)]
    };
    let lease = LeaseMutex { lease_ns: 100 };
    assert_eq!(good(lease, &lines(150)), [0, 1, 2]);
    assert_eq!(bad(lease, &lines(120)), (130, "leases", vec![0, 2]));
    assert_eq!(bad(lease, &lines(140)), (140, "leases", vec![0, 2]));
    assert_eq!(bad(lease, &[(0, 0, 1, Renew, Ok)]), (1, "not held", vec![0]));
}

#[test]
fn an_ok_release_shows_that_the_lease_had_not_ended() {
    let lines = [(0, 0, 10, ACQUIRE, Ok), (1, 150, 160, ACQUIRE, Ok), (0, 200, 210, Release, Ok)];
    let lease = LeaseMutex { lease_ns: 100 };
    good(lease, &lines[..2]);
    assert_eq!(bad(lease, &lines), (210, "overlap", vec![0, 1]));
}

#[test]
fn the_resource_accepts_no_smaller_token_after_a_larger_one() {
    let lines = |invoke| {
        let mut lines = [(0, 1, 5, GuardedRead(2), Ok), (1, invoke, 9, GuardedWrite(1), Ok)];
        lines.sort_by_key(|line| line.1);
        lines
    };
    assert_eq!(good(FencedResource, &lines(5)), [1, 0]);
    assert_eq!(bad(FencedResource, &lines(6)), (9, "tokens", vec![0, 1]));
    good(FencedResource, &[(0, 1, 2, GuardedRead(0), Ok), (1, 3, 4, GuardedWrite(0), Ok)]);
}

#[test]
fn a_refusal_needs_a_larger_token_that_may_have_come_before() {
    let lines = |token, outcome, complete| {
        [(0, 1, complete, GuardedWrite(token), outcome), (1, 3, 4, GuardedWrite(2), Fail)]
    };
    assert_eq!(good(FencedResource, &lines(3, Ok, 9)), [0, 1]);
    assert_eq!(good(FencedResource, &lines(3, Info, NEVER)), [0, 1]);
    assert_eq!(bad(FencedResource, &lines(2, Ok, 9)), (4, "refusal", vec![1]));
    // The larger one was open and might have been accepted, until a smaller one was.
    let limited = [
        (0, 1, NEVER, GuardedWrite(5), Info),
        (1, 3, 4, GuardedWrite(2), Fail),
        (2, 6, 7, GuardedWrite(1), Ok),
    ];
    assert_eq!(bad(FencedResource, &limited), (7, "refusal", vec![1]));
}
