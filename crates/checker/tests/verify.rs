//! What the verifier rejects, rule by rule.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use locktest_checker::{
    Action, NEVER, Operation, Outcome, Process, Specification, Value, Values, VerifyError, verify,
};

use Action::{
    Acquire, AcquireShared, Append, Cas, Get, GuardedRead, GuardedWrite, Put, Read, Release,
    ReleaseShared, Renew, TryAcquire, TryAcquireShared, Write,
};
use Outcome::{Fail, Info};

const A: Value = Value(1);
const B: Value = Value(2);
const AB: Value = Value(3);

fn values() -> Values {
    let mut values = Values::default();
    assert_eq!((values.number("a"), values.number("b"), values.number("ab")), (A, B, AB));
    values
}

fn ok(process: Process, action: Action) -> (Process, Action, Outcome) {
    (process, action, Outcome::Ok)
}

fn refused(process: Process, action: Action) -> (Process, Action, Outcome) {
    (process, action, Fail)
}

fn info(process: Process, action: Action) -> (Process, Action, Outcome) {
    (process, action, Info)
}

fn operation(
    invoke: u64,
    complete: u64,
    (process, action, outcome): (Process, Action, Outcome),
) -> Operation {
    let complete = if outcome == Info { NEVER } else { complete };
    Operation { invoke, complete, action, process, outcome }
}

/// Operations one after the other, each 10 after the one before, in the order of a certificate.
fn replay(
    specification: Specification,
    steps: &[(Process, Action, Outcome)],
) -> Result<(), VerifyError> {
    let stamps = (0..).step_by(10);
    let operations: Vec<Operation> =
        stamps.zip(steps).map(|(invoke, step)| operation(invoke, invoke + 5, *step)).collect();
    let certificate: Vec<u32> = (0..).take(steps.len()).collect();
    verify(specification, &operations, &values(), &certificate)
}

/// The last step is against the rules, and all before it are not.
#[track_caller]
fn rejects_the_last(specification: &str, steps: &[(Process, Action, Outcome)]) {
    let specification = specification.parse().unwrap();
    let last = steps.len() - 1;
    assert_eq!(replay(specification, &steps[..last]), Ok(()), "{specification}");
    match replay(specification, steps) {
        Err(VerifyError::Illegal { position, index, .. }) => {
            assert_eq!((position, index as usize), (last, last), "{specification}");
        }
        other => panic!("{specification}: {other:?}"),
    }
}

#[track_caller]
fn accepts(specification: &str, steps: &[(Process, Action, Outcome)]) {
    let specification = specification.parse().unwrap();
    assert_eq!(replay(specification, steps), Ok(()), "{specification}");
}

/// The locks that one process at a time can have.
const EXCLUSIVE: [&str; 6] =
    ["mutex", "owner-mutex", "fenced-mutex", "semaphore:1", "rwlock", "reentrant-mutex:1"];

#[test]
fn nobody_acquires_a_lock_that_is_held() {
    for specification in EXCLUSIVE {
        for second in [Acquire(0), TryAcquire(0)] {
            for process in [0, 1] {
                rejects_the_last(specification, &[ok(0, Acquire(0)), ok(process, second)]);
                rejects_the_last(specification, &[info(0, TryAcquire(0)), info(process, second)]);
            }
        }
        accepts(specification, &[ok(0, Acquire(0)), ok(0, Release), ok(1, Acquire(0))]);
    }
}

#[test]
fn a_try_at_a_free_lock_is_not_denied() {
    for specification in EXCLUSIVE.into_iter().chain(["lease-mutex:10ns"]) {
        rejects_the_last(specification, &[refused(0, TryAcquire(0))]);
        rejects_the_last(
            specification,
            &[ok(0, Acquire(0)), ok(0, Release), refused(1, TryAcquire(0))],
        );
        accepts(specification, &[ok(0, Acquire(0)), refused(1, TryAcquire(0)), ok(0, Release)]);
        accepts(specification, &[ok(0, Acquire(0)), refused(0, TryAcquire(0))]);
    }
}

#[test]
fn nobody_releases_a_free_lock() {
    for specification in EXCLUSIVE.into_iter().chain(["lease-mutex:10ns"]) {
        rejects_the_last(specification, &[ok(0, Release)]);
        rejects_the_last(specification, &[info(0, Release)]);
        rejects_the_last(specification, &[ok(0, Acquire(0)), ok(0, Release), ok(0, Release)]);
    }
}

#[test]
fn anybody_releases_an_anonymous_mutex_and_only_the_owner_any_other() {
    accepts("mutex", &[ok(0, Acquire(0)), ok(1, Release)]);
    for specification in EXCLUSIVE.into_iter().chain(["lease-mutex:10ns"]) {
        if specification != "mutex" {
            rejects_the_last(specification, &[ok(0, Acquire(0)), ok(1, Release)]);
        }
    }
}

#[test]
fn a_reentrant_mutex_is_taken_only_by_its_owner_and_only_so_often() {
    let twice = [ok(0, Acquire(0)), ok(0, TryAcquire(0))];
    let then = |steps: &[(Process, Action, Outcome)]| [&twice, steps].concat();
    rejects_the_last("reentrant-mutex:2", &then(&[ok(0, Acquire(0))]));
    rejects_the_last("reentrant-mutex:2", &[ok(0, Acquire(0)), ok(1, Acquire(0))]);
    rejects_the_last("reentrant-mutex:2", &then(&[ok(0, Release), ok(1, Acquire(0))]));
    rejects_the_last("reentrant-mutex:2", &then(&[ok(0, Release), ok(1, Release)]));
    accepts("reentrant-mutex:2", &then(&[ok(0, Release), ok(0, Release), ok(1, Acquire(0))]));
    accepts("reentrant-mutex:3", &then(&[ok(0, Acquire(0))]));
    accepts("reentrant-mutex:2", &[ok(1, Acquire(0)), ok(1, Acquire(0)), ok(1, Release)]);
    rejects_the_last("reentrant-mutex:2", &[ok(1, Acquire(0)), ok(0, Acquire(0))]);
}

#[test]
fn a_reentrant_try_of_the_owner_is_denied_only_at_the_full_depth() {
    let once = ok(0, Acquire(0));
    rejects_the_last("reentrant-mutex:2", &[once, refused(0, TryAcquire(0))]);
    accepts("reentrant-mutex:2", &[once, once, refused(0, TryAcquire(0))]);
    accepts("reentrant-mutex:2", &[once, refused(1, TryAcquire(0))]);
}

#[test]
fn tokens_of_a_fenced_mutex_grow_and_unknown_ones_say_nothing() {
    let held_with = |token| vec![ok(0, Acquire(token)), ok(0, Release)];
    let then = |token, process| [held_with(token), vec![ok(process, TryAcquire(5))]].concat();
    rejects_the_last("fenced-mutex", &then(5, 1));
    rejects_the_last("fenced-mutex", &then(6, 1));
    accepts("fenced-mutex", &then(4, 1));
    accepts("fenced-mutex", &then(0, 1));
    // An unknown token between does not make the mutex forget.
    let forgets = [held_with(5), held_with(0), vec![ok(1, Acquire(5))]].concat();
    rejects_the_last("fenced-mutex", &forgets);
    // A denial has no token to compare.
    accepts("fenced-mutex", &[ok(0, Acquire(5)), refused(1, TryAcquire(9))]);
    rejects_the_last("fenced-mutex", &[held_with(5), vec![refused(1, TryAcquire(3))]].concat());
}

#[test]
fn other_locks_do_not_look_at_tokens() {
    for specification in EXCLUSIVE {
        if specification != "fenced-mutex" {
            accepts(specification, &[ok(0, Acquire(5)), ok(0, Release), ok(1, Acquire(5))]);
        }
    }
}

#[test]
fn a_semaphore_has_so_many_permits_and_takes_back_what_it_gave() {
    let three = [ok(0, Acquire(0)), ok(0, TryAcquire(0)), ok(1, Acquire(0))];
    let then = |step| [&three[..], &[step]].concat();
    rejects_the_last("semaphore:3", &then(ok(2, Acquire(0))));
    rejects_the_last("semaphore:4", &then(refused(2, TryAcquire(0))));
    rejects_the_last("semaphore:3", &then(ok(2, Release)));
    rejects_the_last("semaphore:3", &[&then(ok(1, Release))[..], &[ok(1, Release)]].concat());
    accepts("semaphore:3", &then(refused(2, TryAcquire(0))));
    accepts("semaphore:3", &[&then(ok(0, Release))[..], &[ok(2, Acquire(0))]].concat());
}

#[test]
fn a_writer_excludes_everybody_and_readers_exclude_writers() {
    for write in [Acquire(0), TryAcquire(0)] {
        for read in [AcquireShared, TryAcquireShared] {
            for process in [0, 1] {
                rejects_the_last("rwlock", &[ok(0, write), ok(process, read)]);
                rejects_the_last("rwlock", &[ok(0, read), ok(process, write)]);
                accepts("rwlock", &[ok(0, read), ok(process, read)]);
            }
        }
    }
    accepts("rwlock", &[ok(0, Acquire(0)), ok(0, Release), ok(1, AcquireShared)]);
    accepts("rwlock", &[ok(0, AcquireShared), ok(0, ReleaseShared), ok(1, Acquire(0))]);
    rejects_the_last(
        "rwlock",
        &[ok(0, AcquireShared), ok(1, AcquireShared), ok(0, ReleaseShared), ok(2, Acquire(0))],
    );
}

#[test]
fn one_side_of_a_read_write_lock_is_not_released_for_the_other() {
    rejects_the_last("rwlock", &[ok(0, AcquireShared), ok(0, Release)]);
    rejects_the_last("rwlock", &[ok(0, Acquire(0)), ok(0, ReleaseShared)]);
    rejects_the_last("rwlock", &[ok(0, AcquireShared), ok(1, ReleaseShared)]);
    rejects_the_last("rwlock", &[ok(0, ReleaseShared)]);
}

#[test]
fn a_denied_reader_needs_a_writer_and_a_denied_writer_anybody() {
    rejects_the_last("rwlock", &[refused(0, TryAcquireShared)]);
    rejects_the_last("rwlock", &[ok(0, AcquireShared), refused(1, TryAcquireShared)]);
    accepts("rwlock", &[ok(0, Acquire(0)), refused(1, TryAcquireShared)]);
    accepts("rwlock", &[ok(0, AcquireShared), refused(1, TryAcquire(0))]);
}

/// Operations with their stamps, in the order of a certificate, on leases of 100 ns.
fn leases(steps: &[(u64, u64, (Process, Action, Outcome))]) -> Result<(), VerifyError> {
    let operations: Vec<Operation> =
        steps.iter().map(|(invoke, complete, step)| operation(*invoke, *complete, *step)).collect();
    let certificate: Vec<u32> = (0..).take(steps.len()).collect();
    verify(Specification::LeaseMutex { lease_ns: 100 }, &operations, &values(), &certificate)
}

#[track_caller]
fn leases_reject_the_last(steps: &[(u64, u64, (Process, Action, Outcome))]) {
    let last = steps.len() - 1;
    assert_eq!(leases(&steps[..last]), Ok(()));
    match leases(steps) {
        Err(VerifyError::Illegal { position, .. }) => assert_eq!(position, last),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lease_ends_no_earlier_than_it_lasts() {
    let first = (10, 50, ok(0, Acquire(0)));
    leases_reject_the_last(&[first, (60, 109, ok(1, Acquire(0)))]);
    assert_eq!(leases(&[first, (60, 110, ok(1, Acquire(0)))]), Ok(()));
    // The same owner waits as well.
    leases_reject_the_last(&[first, (60, 109, ok(0, Acquire(0)))]);
    // And one after the other: the second begins at 110 at the earliest, and lasts.
    let second = (60, 200, ok(1, TryAcquire(0)));
    leases_reject_the_last(&[first, second, (70, 209, ok(2, Acquire(0)))]);
    assert_eq!(leases(&[first, second, (70, 210, ok(2, Acquire(0)))]), Ok(()));
}

#[test]
fn what_follows_a_late_grant_is_late_too() {
    let grants = [(10, 50, ok(0, Acquire(0))), (60, 200, ok(1, Acquire(0)))];
    let with = |step| [&grants[..], &[step]].concat();
    leases_reject_the_last(&with((70, 109, ok(1, Release))));
    leases_reject_the_last(&with((70, 109, refused(2, TryAcquire(0)))));
    assert_eq!(leases(&with((70, 110, ok(1, Release)))), Ok(()));
}

#[test]
fn a_release_ends_a_lease_at_once_and_a_renewal_makes_it_last() {
    let first = (10, 50, ok(0, Acquire(0)));
    let next = (60, 70, ok(1, Acquire(0)));
    assert_eq!(leases(&[first, (60, 70, ok(0, Release)), next]), Ok(()));
    let renewal = (60, 70, ok(0, Renew));
    leases_reject_the_last(&[first, renewal, (80, 159, ok(1, Acquire(0)))]);
    assert_eq!(leases(&[first, renewal, (80, 160, ok(1, Acquire(0)))]), Ok(()));
}

#[test]
fn only_the_owner_renews_and_a_lease_may_outlast_its_deadline() {
    leases_reject_the_last(&[(10, 50, ok(0, Renew))]);
    leases_reject_the_last(&[(10, 50, ok(0, Acquire(0))), (60, 70, ok(1, Renew))]);
    let grants = [(10, 50, ok(0, Acquire(0))), (60, 120, ok(1, Acquire(0)))];
    leases_reject_the_last(&[&grants[..], &[(130, 140, ok(0, Renew))]].concat());
    leases_reject_the_last(&[&grants[..], &[(130, 140, ok(0, Release))]].concat());
    let late = (900, 910, ok(0, Renew));
    assert_eq!(leases(&[grants[0], late, (920, 930, ok(0, Release))]), Ok(()));
    assert_eq!(leases(&[grants[0], (900, 910, refused(1, TryAcquire(0)))]), Ok(()));
}

#[test]
fn leases_at_the_end_of_time_do_not_overflow() {
    let end = NEVER - 10;
    let first = (end, end + 1, ok(0, Acquire(0)));
    leases_reject_the_last(&[first, (end, NEVER - 1, ok(1, Acquire(0)))]);
    assert_eq!(leases(&[first, (end, 0, info(1, Acquire(0)))]), Ok(()));
}

#[test]
fn a_fenced_resource_refuses_exactly_the_smaller_tokens() {
    for seen in [GuardedRead(5), GuardedWrite(5)] {
        for late in [GuardedRead(4), GuardedWrite(4)] {
            rejects_the_last("fenced-resource", &[ok(0, seen), ok(1, late)]);
            accepts("fenced-resource", &[ok(0, seen), refused(1, late)]);
            accepts("fenced-resource", &[ok(1, late), ok(0, seen)]);
        }
        rejects_the_last("fenced-resource", &[ok(0, seen), refused(1, GuardedWrite(5))]);
        rejects_the_last("fenced-resource", &[ok(0, seen), refused(1, GuardedRead(6))]);
        rejects_the_last("fenced-resource", &[refused(0, seen)]);
        // A refused token leaves nothing behind.
        accepts(
            "fenced-resource",
            &[ok(0, seen), refused(1, GuardedWrite(4)), ok(0, GuardedWrite(5))],
        );
    }
}

#[test]
fn a_register_holds_what_was_written_last() {
    rejects_the_last("cas-register", &[ok(0, Read(A))]);
    rejects_the_last("cas-register", &[ok(0, Write(A)), ok(1, Read(B))]);
    rejects_the_last("cas-register", &[ok(0, Write(A)), ok(1, Read(Value::NIL))]);
    let swap = Cas { expected: A, new: B };
    rejects_the_last("cas-register", &[ok(0, swap)]);
    rejects_the_last("cas-register", &[info(0, swap)]);
    rejects_the_last("cas-register", &[ok(0, Write(A)), refused(1, swap)]);
    rejects_the_last("cas-register", &[ok(0, Write(A)), ok(1, swap), ok(0, Read(A))]);
    accepts(
        "cas-register",
        &[ok(0, Read(Value::NIL)), ok(0, Write(A)), ok(1, swap), ok(0, Read(B))],
    );
    // A compare-and-set that failed changes nothing.
    accepts("cas-register", &[ok(0, Write(B)), refused(1, swap), ok(0, Read(B))]);
}

#[test]
fn a_key_holds_what_was_put_and_appended() {
    rejects_the_last("kv", &[ok(0, Get(A))]);
    rejects_the_last("kv", &[ok(0, Put(A)), ok(1, Get(Value::NIL))]);
    rejects_the_last("kv", &[ok(0, Put(A)), ok(1, Append(B)), ok(0, Get(B))]);
    rejects_the_last("kv", &[ok(0, Put(A)), ok(1, Put(B)), ok(0, Get(AB))]);
    rejects_the_last("kv", &[ok(0, Append(B)), ok(1, Append(A)), ok(0, Get(AB))]);
    accepts("kv", &[ok(0, Get(Value::NIL)), ok(0, Append(A)), ok(1, Append(B)), ok(0, Get(AB))]);
    // What has no text cannot be judged.
    for action in [Get(Value(9)), Put(Value(9)), Append(Value(9))] {
        rejects_the_last("kv", &[ok(0, action)]);
    }
}

#[test]
fn an_object_does_only_what_it_knows() {
    let swap = Cas { expected: A, new: B };
    let locks = EXCLUSIVE.into_iter().chain(["lease-mutex:10ns"]);
    for specification in locks {
        for action in [Read(A), Write(A), swap, Get(A), Put(A), Append(A), GuardedWrite(1)] {
            rejects_the_last(specification, &[ok(0, action)]);
        }
        if specification != "rwlock" {
            rejects_the_last(specification, &[ok(0, AcquireShared)]);
            rejects_the_last(specification, &[refused(0, TryAcquireShared)]);
        }
        if specification != "lease-mutex:10ns" {
            rejects_the_last(specification, &[ok(0, Acquire(0)), ok(0, Renew)]);
        }
    }
    for specification in ["fenced-resource", "cas-register", "kv"] {
        rejects_the_last(specification, &[ok(0, Acquire(0))]);
        rejects_the_last(specification, &[ok(0, Release)]);
    }
    rejects_the_last("fenced-resource", &[ok(0, Write(A))]);
    rejects_the_last("cas-register", &[ok(0, Put(A))]);
    rejects_the_last("cas-register", &[ok(0, GuardedWrite(1))]);
    rejects_the_last("kv", &[ok(0, Write(A))]);
    rejects_the_last("kv", &[ok(0, swap)]);
}

/// Checks a certificate of two writes, the second after the first.
fn two_writes(second: (Process, Action, Outcome), certificate: &[u32]) -> Result<(), VerifyError> {
    let operations = [operation(1, 2, ok(0, Write(A))), operation(3, 4, second)];
    verify(Specification::CasRegister, &operations, &values(), certificate)
}

#[test]
fn everything_that_happened_is_in_its_place_once() {
    let write = ok(1, Write(B));
    assert_eq!(two_writes(write, &[0, 1]), Ok(()));
    assert!(matches!(two_writes(write, &[0]), Err(VerifyError::Missing { index: 1, .. })));
    assert!(matches!(two_writes(write, &[]), Err(VerifyError::Missing { index: 0, .. })));
    assert!(matches!(
        two_writes(write, &[0, 1, 0]),
        Err(VerifyError::Twice { position: 2, index: 0, .. })
    ));
    assert!(matches!(
        two_writes(write, &[0, 2, 1]),
        Err(VerifyError::OutOfRange { position: 1, index: 2, operations: 2 })
    ));
}

#[test]
fn an_info_is_in_the_order_once_or_not_at_all() {
    let write = info(1, Write(B));
    assert_eq!(two_writes(write, &[0]), Ok(()));
    assert_eq!(two_writes(write, &[0, 1]), Ok(()));
    assert!(matches!(two_writes(write, &[0, 1, 1]), Err(VerifyError::Twice { .. })));
}

#[test]
fn a_fail_that_tells_has_to_be_in_the_order_and_any_other_must_not() {
    let swap = refused(1, Cas { expected: B, new: A });
    assert_eq!(two_writes(swap, &[0, 1]), Ok(()));
    assert!(matches!(two_writes(swap, &[0]), Err(VerifyError::Missing { index: 1, .. })));
    let write = refused(1, Write(B));
    assert_eq!(two_writes(write, &[0]), Ok(()));
    assert!(matches!(
        two_writes(write, &[0, 1]),
        Err(VerifyError::DidNotHappen { position: 1, index: 1, .. })
    ));
}

#[test]
fn the_order_agrees_with_time_and_a_tie_leaves_it_open() {
    let stamped = |stamps: [(u64, u64); 3], certificate: &[u32]| {
        let write = ok(0, Write(A));
        let operations = stamps.map(|(invoke, complete)| operation(invoke, complete, write));
        verify(Specification::CasRegister, &operations, &values(), certificate)
    };
    assert!(matches!(
        stamped([(1, 2), (3, 4), (5, 6)], &[1, 0, 2]),
        Err(VerifyError::OutOfTime { position: 1, index: 0, later: 1, .. })
    ));
    // Not only next to each other.
    assert!(matches!(
        stamped([(1, 2), (3, 9), (1, 9)], &[1, 2, 0]),
        Err(VerifyError::OutOfTime { position: 2, index: 0, later: 1, .. })
    ));
    assert_eq!(stamped([(1, 2), (2, 4), (4, 6)], &[1, 0, 2]), Ok(()));
    assert_eq!(stamped([(1, 9), (2, 9), (3, 9)], &[2, 1, 0]), Ok(()));
    // What ends before it begins cannot have happened.
    assert!(matches!(
        stamped([(2, 1), (3, 4), (5, 6)], &[0, 1, 2]),
        Err(VerifyError::OutOfTime { position: 0, index: 0, later: 0, .. })
    ));
}

#[test]
fn an_error_names_the_place_and_the_operation() {
    let error = replay(Specification::OwnerMutex, &[ok(0, Acquire(0)), ok(7, Release)]);
    let text = error.unwrap_err().to_string();
    for part in ["position 1", "operation 1", "does not hold the lock", "Release", "process: 7"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
