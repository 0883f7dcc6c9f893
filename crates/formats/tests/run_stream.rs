//! A run that is decided while it is read has the verdict of the same run read whole.

use locktest_checker::stream::StreamVerdict;
use locktest_checker::{Decision, NEVER, Object, Options, Specification, Values, search_one};
use locktest_formats::{decide_run, load_run};
use locktest_history::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CLIENTS: usize = 4;
const KEYS: usize = 2;

/// One client of a made-up run, and what it does next.
#[derive(Clone, Copy, Default)]
struct Client {
    attempt: u64,
    op: u64,
    key: u32,
    doing: Doing,
    last_ns: u64,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Doing {
    #[default]
    Nothing,
    Asking(Function),
    Holding,
    Releasing,
    /// An attempt that was not granted, or whose release is not sure, is revoked.
    ToRevoke,
    Gone,
}

/// The records of a run in time order: locks that mostly work, and clients that follow the rules.
fn records(rng: &mut ChaCha8Rng) -> Vec<Record> {
    let mut clients = [Client::default(); CLIENTS];
    let mut holders: [Option<usize>; KEYS] = [None; KEYS];
    let lies = [0.0, 0.2, 0.4][rng.random_range(0..3)];
    let unknown = [0.0, 0.1, 0.3][rng.random_range(0..3)];
    let tries = [0.0, 0.7][rng.random_range(0..2)];
    let mut time_ns = 10;
    let mut records = Vec::new();
    let mut asked = 0;
    for _ in 0..100 {
        let index = rng.random_range(0..CLIENTS);
        let client = &mut clients[index];
        let id = ClientId(index as u32);
        // A tie of one client's own events is more than the stream understands.
        time_ns = time_ns.max(client.last_ns + 1);
        let dice = rng.random_range(0..100);
        let key = client.key as usize;
        let reason = || Detail::Reason("as the store says".into());
        let (function, phase, detail, next) = match client.doing {
            Doing::Gone => continue,
            Doing::Nothing if asked == 10 => continue,
            Doing::Nothing | Doing::Holding if dice < 2 => {
                let cause = ExitCause::Killed(9);
                records.push(Record::ClientExit(ClientExit { time_ns, client: id, cause }));
                client.doing = Doing::Gone;
                holders[key] = holders[key].filter(|holder| *holder != index);
                time_ns += 1;
                continue;
            }
            Doing::Nothing => {
                asked += 1;
                client.attempt += 1;
                client.op += 1;
                client.key = rng.random_range(0..KEYS) as u32;
                let function =
                    if rng.random_bool(tries) { Function::TryAcquire } else { Function::Acquire };
                (function, Phase::Invoke, Detail::None, Doing::Asking(function))
            }
            Doing::Asking(function) => {
                let free = holders[key].is_none();
                if rng.random_bool(unknown) {
                    (function, Phase::Info, reason(), Doing::ToRevoke)
                } else if free != rng.random_bool(lies) {
                    holders[key] = Some(index);
                    (function, Phase::Ok, Detail::None, Doing::Holding)
                } else if function == Function::Acquire && dice < 80 {
                    continue;
                } else {
                    let not_asked = || Detail::NotAsked("there was no connection".into());
                    let detail = if dice % 5 == 0 { not_asked() } else { reason() };
                    (function, Phase::Fail, detail, Doing::ToRevoke)
                }
            }
            Doing::Holding if dice < 10 => {
                client.op += 1;
                holders[key] = None;
                (Function::Lost, Phase::Ok, reason(), Doing::ToRevoke)
            }
            Doing::Holding | Doing::ToRevoke => {
                client.op += 1;
                (Function::Release, Phase::Invoke, Detail::None, Doing::Releasing)
            }
            Doing::Releasing => {
                holders[key] = holders[key].filter(|holder| *holder != index);
                match dice {
                    0..10 => (Function::Release, Phase::Info, reason(), Doing::ToRevoke),
                    10..15 => (Function::Release, Phase::Fail, reason(), Doing::ToRevoke),
                    _ => (Function::Release, Phase::Ok, Detail::None, Doing::Nothing),
                }
            }
        };
        client.doing = next;
        client.last_ns = time_ns;
        let Client { attempt, op, key, .. } = *client;
        let key = KeyId(key);
        let (client, server) = (id, None);
        let event = Event { time_ns, client, attempt, op, key, server, function, phase, detail };
        records.push(Record::Event(event));
        // Now and then two clients do something in the same instant.
        time_ns += u64::from(rng.random_bool(0.9));
    }
    for (client, last) in (0..).map(ClientId).zip(&clients) {
        if last.doing != Doing::Gone {
            let cause = ExitCause::Finished;
            records.push(Record::ClientExit(ClientExit { time_ns: time_ns + 1, client, cause }));
        }
    }
    records.push(Record::Milestone { time_ns: time_ns + 1, what: Milestone::End });
    records
}

/// Another order of arrival: that of each client stays.
fn arrive(rng: &mut ChaCha8Rng, records: &[Record]) -> Vec<Record> {
    let source = |record: &Record| match record {
        Record::Event(event) => event.client.0 as usize,
        Record::ClientExit(exit) => exit.client.0 as usize,
        _ => CLIENTS,
    };
    let mut of_source: Vec<std::collections::VecDeque<&Record>> =
        vec![Default::default(); CLIENTS + 1];
    for record in records {
        of_source[source(record)].push_back(record);
    }
    let mut arrived = Vec::new();
    while of_source[..CLIENTS].iter().any(|records| !records.is_empty()) {
        let burst = rng.random_range(1..6);
        let of_source = &mut of_source[rng.random_range(0..CLIENTS)];
        let burst = burst.min(of_source.len());
        arrived.extend(of_source.drain(..burst).cloned());
    }
    arrived.extend(of_source[CLIENTS].drain(..).cloned());
    arrived
}

/// The verdict of the whole history for each key; an object that nobody asked for has an order.
fn has_an_order(records: &[Record]) -> [bool; KEYS] {
    let history = History { run: run(), records: records.to_vec(), damage: Vec::new() };
    let options = locktest_formats::Options {
        lenient: false,
        specification: Some(Specification::OwnerMutex),
    };
    let loaded = load_run(&history, &options).expect("the clients follow the rules");
    assert_eq!(loaded.whole_until, NEVER);
    let of_key = |key: usize| {
        let name = format!("lock-{key}");
        let object = loaded.objects.iter().find(|object| object.name == name);
        let Some(Object { operations, .. }) = object else { return true };
        let options =
            Options { certificate: false, time_is_up: &|| false, memory_limit_bytes: 1 << 26 };
        let model = Specification::OwnerMutex;
        match search_one(model, operations, &Values::default(), &options) {
            Decision::Linearizable(_) => true,
            Decision::NotLinearizable(_) => false,
            Decision::Undecided(why) => panic!("{why:?}"),
        }
    };
    [of_key(0), of_key(1)]
}

#[test]
fn a_run_that_is_decided_while_it_is_read_has_the_verdict_of_the_whole() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (mut good, mut bad, mut open) = (0, 0, 0);
    for seed in 0..4000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let records = records(&mut rng);
        let arrived = arrive(&mut rng, &records);
        let expected = has_an_order(&records);
        // Now and then the file breaks off.
        let cut = if seed % 4 == 0 { rng.random_range(0..arrived.len()) } else { arrived.len() };
        let path = folder.path().join(format!("{seed}"));
        let mut writer = HistoryWriter::create(&path, &run()).expect("a new file");
        for record in &arrived[..cut] {
            writer.append(record).expect("append");
        }
        writer.flush().expect("flush");
        let decision = decide_run(&path, Specification::OwnerMutex).expect("a history");
        let decision = decision.expect("there is an online decider");
        for (key, expected) in decision.keys.iter().zip(expected) {
            match &key.verdict {
                StreamVerdict::NotLinearizable(alarm) => {
                    assert!(!expected, "seed {seed}: {alarm:#?} {records:#?}");
                    bad += 1;
                }
                StreamVerdict::Linearizable if decision.until_ns.is_none() => {
                    assert!(expected, "seed {seed}: {records:#?}");
                    good += 1;
                }
                StreamVerdict::Linearizable => open += 1,
                StreamVerdict::NeedsWholeHistory(because) => {
                    assert!(because.contains("may explain a denied try"), "{because}: seed {seed}");
                    open += 1;
                }
            }
        }
        std::fs::remove_file(&path).expect("it is there");
    }
    assert!(good > 1000 && bad > 1000 && open < 4000, "{good} good, {bad} bad, {open} open");
}

#[test]
fn a_model_without_an_online_decider_is_left_to_others() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("history");
    HistoryWriter::create(&path, &run()).expect("a new file").flush().expect("flush");
    assert!(decide_run(&path, Specification::FencedMutex).expect("a history").is_none());
}

#[test]
fn a_run_that_breaks_off_is_decided_until_its_least_known_client() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("history");
    let mut writer = HistoryWriter::create(&path, &run()).expect("a new file");
    let mut add = |client, time_ns, phase| {
        let event = Event {
            time_ns,
            client: ClientId(client),
            attempt: 1,
            op: 1,
            key: KeyId(0),
            server: None,
            function: Function::Acquire,
            phase,
            detail: Detail::None,
        };
        writer.append(&Record::Event(event)).expect("append");
    };
    for client in 0..CLIENTS as u32 {
        add(client, 10, Phase::Invoke);
    }
    for client in 1..CLIENTS as u32 {
        add(client, 20, Phase::Ok);
    }
    writer.flush().expect("flush");
    let decision = decide_run(&path, Specification::OwnerMutex).expect("a history").expect("one");
    assert_eq!(decision.until_ns, Some(10), "the first client may have done anything since");
    assert_eq!(decision.keys[0].verdict, StreamVerdict::Linearizable);

    writer.append(&Record::Milestone { time_ns: 30, what: Milestone::End }).expect("append");
    writer.flush().expect("flush");
    let decision = decide_run(&path, Specification::OwnerMutex).expect("a history").expect("one");
    assert_eq!(decision.until_ns, Some(10), "the end of the run is no end of its clients");

    for client in 0..CLIENTS as u32 {
        let cause = ExitCause::Finished;
        let exit = ClientExit { time_ns: 30, client: ClientId(client), cause };
        writer.append(&Record::ClientExit(exit)).expect("append");
    }
    writer.flush().expect("flush");
    let decision = decide_run(&path, Specification::OwnerMutex).expect("a history").expect("one");
    assert_eq!(decision.until_ns, None);
    let StreamVerdict::NotLinearizable(alarm) = &decision.keys[0].verdict else {
        panic!("{:?}", decision.keys[0].verdict)
    };
    assert_eq!(alarm.at, 20);
    let locktest_checker::Conflict::Overlap(holds) = &alarm.conflict else { panic!("{alarm:?}") };
    let owners = holds.iter().map(|hold| decision.owner(hold.acquire.operation.process));
    assert_eq!(owners.collect::<Vec<_>>(), [(ClientId(1), 1), (ClientId(2), 1)]);
}

fn run() -> Run {
    let plan = Plan {
        client_seeds: (0..CLIENTS as u64).collect(),
        keys: (0..KEYS).map(|n| format!("lock-{n}")).collect(),
        ..Plan::of(Backend::Etcd)
    };
    Run {
        id: "0a1b2c".into(),
        started_at_unix_s: 0,
        origin_monotonic_ns: 0,
        command: "locktest --backend etcd".into(),
        lab: None,
        plan,
    }
}
