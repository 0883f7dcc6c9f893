//! Critical sections over values of the store, with whatever it answers.

use std::time::Duration;

use locktest_history::{ClientId, Detail, KeyId, Phase};

use super::*;
use crate::clock::RunClock;
use crate::control::Control;
use crate::protocol::{FromClient, ToClient};
use crate::recipes::CallError;
use crate::recorder::Recorder;
use crate::testing::{FakeStore, Sent, plan};

const OWNER: Owner = Owner { attempt: 1, key: KeyId(0) };

/// What is recorded of the accesses of one hold, with these errors of the store in order.
async fn accesses(
    store: &FakeStore,
    errors: impl IntoIterator<Item = Option<CallError>>,
) -> Vec<(Function, Phase, Detail)> {
    store.value_errors.borrow_mut().extend(errors);
    let (plan, control, sent) = (plan(), Control::default(), Sent::default());
    let recorder = Recorder::new(ClientId(0), RunClock::start(), sent.clone());
    let client = LockClient::new(store, &plan, &recorder, &control);
    let held = client.acquire(OWNER, None).await.map_err(|_| "denied").expect("a grant");
    let hold = HoldPlan::for_tests(Duration::ZERO, false);
    let end = section(&client, &InStore(&client), OWNER, &held, hold).await;
    assert_eq!(end, HoldEnd::Done);
    recorder.attend(async {}).await;
    let events = sent.events().into_iter();
    let accesses =
        events.filter(|event| matches!(event.function, Function::Read | Function::Write));
    accesses.map(|event| (event.function, event.phase, event.detail)).collect()
}

fn access(resource: Resource, value: u64) -> Detail {
    Detail::Access { resource, token: None, value }
}

use Function::{Read, Write as Written};
use Phase::{Fail, Info, Invoke, Ok as Yes};
use Resource::{Fenced, Unfenced};

#[tokio::test]
async fn each_copy_is_read_and_then_written_with_one_more() {
    let store = FakeStore::new();
    store.values.borrow_mut().insert("lock-0-fenced".into(), 7);
    let expected = [
        (Read, Invoke, access(Unfenced, 0)),
        // Nobody wrote it.
        (Read, Yes, access(Unfenced, 0)),
        (Read, Invoke, access(Fenced, 0)),
        (Read, Yes, access(Fenced, 7)),
        (Written, Invoke, access(Unfenced, 0)),
        (Written, Yes, access(Unfenced, 0)),
        (Written, Invoke, access(Fenced, 7)),
        (Written, Yes, access(Fenced, 7)),
    ];
    assert_eq!(accesses(&store, []).await, expected);
    let values = store.values.borrow();
    assert_eq!((values["lock-0-unfenced"], values["lock-0-fenced"]), (1, 8));
}

#[tokio::test]
async fn a_long_hold_is_announced_between_the_last_read_and_the_first_write() {
    let (plan, control, sent) = (plan(), Control::default(), Sent::default());
    let (store, recorder) =
        (FakeStore::new(), Recorder::new(ClientId(0), RunClock::start(), sent.clone()));
    let client = LockClient::new(&store, &plan, &recorder, &control);
    let held = client.acquire(OWNER, None).await.map_err(|_| "denied").expect("a grant");
    // So that it does not wait.
    control.hear(ToClient::Stop);
    let hold = HoldPlan::for_tests(Duration::from_secs(600), false);
    recorder.attend(section(&client, &InStore(&client), OWNER, &held, hold)).await;
    let lines = sent.lines();
    let announced = lines.iter().position(|line| matches!(line, FromClient::Holding(_)));
    let (before, after) = lines.split_at(announced.expect("a holder's plan"));
    let step = |line: &FromClient| match line {
        FromClient::Event(event) => Some((event.function, event.phase)),
        _ => None,
    };
    assert_eq!(before.iter().rev().find_map(step), Some((Read, Yes)));
    assert_eq!(after.iter().find_map(step), Some((Written, Invoke)));
}

#[tokio::test]
async fn a_write_whose_answer_is_missing_is_unknown_and_one_that_the_guard_refused_has_failed() {
    let unknown = CallError::Unknown("no answer".into());
    let refused = CallError::Refused("the entry is another's".into());
    let errors = [None, None, Some(unknown), Some(refused)];
    let accesses = accesses(&FakeStore::new(), errors).await;
    assert_eq!(accesses[5], (Written, Info, Detail::Reason("no answer".into())));
    assert_eq!(accesses[7], (Written, Fail, Detail::Reason("the entry is another's".into())));
}

#[tokio::test]
async fn a_copy_that_could_not_be_read_is_not_written() {
    let errors = [Some(CallError::NotAsked("no connection".into()))];
    let accesses = accesses(&FakeStore::new(), errors).await;
    assert_eq!(accesses[1], (Read, Fail, Detail::NotAsked("no connection".into())));
    let written: Vec<_> = accesses.iter().filter(|(function, ..)| *function == Written).collect();
    let fenced = [(Written, Invoke, access(Fenced, 0)), (Written, Yes, access(Fenced, 0))];
    assert_eq!(written, [&fenced[0], &fenced[1]]);
}
