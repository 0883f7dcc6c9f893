//! What a register client asks and records, whatever the store answers.

use std::collections::HashSet;

use locktest_history::{Event, Phase};

use super::*;
use crate::clock::RunClock;
use crate::protocol::ToClient;
use crate::testing::{FakeStore, Sent, plan};

/// The loop until the store was asked `requests` times.
async fn looped(client: u32, store: &FakeStore, requests: usize) -> Vec<Event> {
    let (control, sent) = (Control::default(), Sent::default());
    let nodes = ["n1", "n2", "n3"].map(String::from).to_vec();
    let plan = Plan { nodes, keys: vec!["lock-0".into(), "lock-1".into()], ..plan() };
    let recorder = Recorder::new(ClientId(client), RunClock::start(), sent.clone());
    let client = RegisterClient::new(store, &plan, &recorder, &control);
    let stop = async {
        while store.calls.borrow().len() < requests {
            tokio::task::yield_now().await;
        }
        control.hear(ToClient::Stop);
    };
    recorder.attend(async { tokio::join!(client.run(1), stop) }).await;
    sent.events()
}

/// The operations' invokes, each with its completion.
fn operations(events: &[Event]) -> Vec<(&Event, &Event)> {
    let pairs = events.chunks(2).map(|pair| (&pair[0], &pair[1]));
    let pairs: Vec<(&Event, &Event)> = pairs.collect();
    for (invoke, completion) in &pairs {
        assert_eq!((invoke.phase, invoke.op), (Phase::Invoke, completion.op));
        assert_eq!(invoke.function, completion.function);
    }
    pairs
}

fn register(event: &Event) -> (Option<u64>, Option<u64>) {
    match event.detail {
        Detail::Register { expected, value } => (expected, value),
        _ => panic!("{event:?}"),
    }
}

#[tokio::test]
async fn a_client_reads_writes_and_compares_with_what_it_last_saw() {
    let events = looped(0, &FakeStore::new(), 200).await;
    let mut seen = [None; 2];
    let mut written = HashSet::new();
    let mut counts = [0; 3];
    for (nth, (invoke, completion)) in operations(&events).into_iter().enumerate() {
        assert_eq!(invoke.attempt, nth as u64 + 1);
        // It is the only client, so it sees everything.
        assert_eq!(completion.phase, Phase::Ok, "{completion:?}");
        let seen = &mut seen[invoke.key.0 as usize];
        match invoke.function {
            Function::Read => {
                counts[0] += 1;
                assert_eq!(register(invoke), (None, None));
                assert_eq!(register(completion), (None, *seen));
                continue;
            }
            Function::Write => {
                counts[1] += 1;
                assert_eq!(register(invoke).0, None);
            }
            _ => {
                counts[2] += 1;
                assert_eq!(register(invoke).0, *seen);
            }
        }
        assert_eq!(register(completion), register(invoke));
        *seen = register(invoke).1;
        assert!(written.insert(register(invoke).1), "a value is written once");
    }
    assert!(counts.iter().all(|count| *count >= 10), "{counts:?}");
}

#[tokio::test]
async fn answers_are_recorded_as_what_they_prove_and_the_next_server_is_asked_after_none() {
    let store = FakeStore::new();
    let errors = [
        CallError::Unknown("no answer".into()),
        CallError::NotAsked("no connection".into()),
        CallError::Refused("not allowed".into()),
    ];
    store.value_errors.borrow_mut().extend(errors.map(Some));
    let events = looped(1, &store, 5).await;
    let operations = operations(&events);
    let outcomes: Vec<_> =
        operations.iter().map(|(_, end)| (end.phase, end.detail.clone())).collect();
    assert_eq!(outcomes[0], (Phase::Info, Detail::Reason("no answer".into())));
    assert_eq!(outcomes[1], (Phase::Fail, Detail::NotAsked("no connection".into())));
    assert_eq!(outcomes[2], (Phase::Fail, Detail::Reason("not allowed".into())));
    let servers = operations.iter().filter_map(|(invoke, _)| Some(invoke.server?.0)).take(5);
    assert_eq!(servers.collect::<Vec<_>>(), [1, 2, 0, 1, 1]);
}

#[tokio::test]
async fn a_cas_that_found_another_value_has_failed_and_says_what_it_tried() {
    let (control, sent, plan, store) =
        (Control::default(), Sent::default(), plan(), FakeStore::new());
    store.values.borrow_mut().insert("lock-0".into(), 99);
    let recorder = Recorder::new(ClientId(0), RunClock::start(), sent.clone());
    let client = RegisterClient::new(&store, &plan, &recorder, &control);
    let owner = Owner { attempt: 5, key: KeyId(0) };
    let answered = recorder.attend(client.cas(owner, &client.last_seen[0])).await;
    assert!(answered, "it is an answer");
    let events = sent.events();
    assert_eq!(events[1].phase, Phase::Fail);
    assert_eq!(register(&events[1]), (None, Some(5)));
    assert_eq!(client.last_seen[0].get(), None);
}

#[test]
fn clients_write_values_of_their_own_that_json_keeps() {
    let clients = [0, 1, 2_000_000];
    let attempts = [1, 2, u64::from(u32::MAX)];
    let values: HashSet<u64> = clients
        .iter()
        .flat_map(|client| attempts.map(|attempt| unique_value(ClientId(*client), attempt)))
        .collect();
    assert_eq!(values.len(), 9);
    assert!(values.iter().all(|value| *value < 1 << 53));
}
