//! Recorded runs without locks, and what else the workloads leave in a history.

use locktest_checker::{Decision, NEVER, Options as Budget, Specification, search_one};
use locktest_formats::{
    Contents, Format, FormatError, Loaded, Options, decide_run, load_run, read,
};
use locktest_history::{
    Answer, ClientExit, ClientId, Detail, Event, ExitCause, Function, History, HistoryWriter,
    KeyId, NodeId, Phase, Record, Resource, Round, RoundPurpose, Vote, Workload, export_json_lines,
};
use proptest::prelude::*;

use crate::render::{options, rendered};
use crate::run::{jepsen_edn, run};

/// A run of a register, from lines `INVOKE COMPLETE CLIENT OUTCOME FUNCTION EXPECTED VALUE`, where
/// `-` is nothing. An outcome `error` is a fail that tells nothing.
fn history(text: &str) -> History {
    let mut run = run();
    run.plan.workload = Workload::Register;
    let mut records = Vec::new();
    for (op, line) in (1..).zip(text.lines().map(str::trim).filter(|line| !line.is_empty())) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| word.parse::<u64>().ok();
        let client = ClientId(words[2].parse::<u32>().expect("a client") - 1);
        let function = match words[4] {
            "read" => Function::Read,
            "write" => Function::Write,
            _ => Function::Cas,
        };
        let (expected, value) = (number(words[5]), number(words[6]));
        let told = Detail::Register { expected, value };
        let asked = match function {
            Function::Read => Detail::Register { expected: None, value: None },
            _ => told.clone(),
        };
        let reason = || Detail::Reason("why".into());
        let (phase, detail) = match words[3] {
            "ok" => (Phase::Ok, told),
            "fail" => (Phase::Fail, told),
            "error" => (Phase::Fail, reason()),
            _ => (Phase::Info, reason()),
        };
        let mut event = |time_ns, phase, detail| {
            let (key, server) = (KeyId(0), None);
            let attempt = op;
            records.push(Record::Event(Event {
                time_ns,
                client,
                attempt,
                op,
                key,
                server,
                function,
                phase,
                detail,
            }));
        };
        event(number(words[0]).expect("a time"), Phase::Invoke, asked);
        event(number(words[1]).expect("a time"), phase, detail);
    }
    for client in (0..3).map(ClientId) {
        let cause = ExitCause::Finished;
        records.push(Record::ClientExit(ClientExit { time_ns: 10_000, client, cause }));
    }
    History { run, records, damage: vec![] }
}

const TEXT: &str = "10 20 1 ok write - 1
    30 40 2 ok read - 1
    35 50 3 ok cas 1 2
    60 70 1 fail cas 1 3
    60 70 2 error cas 1 4
    80 90 1 info write - 5
    80 90 2 info read - -
    80 90 3 error write - 6
    95 99 1 ok read - -";

#[test]
fn a_run_without_locks_is_its_registers() {
    let loaded = load_run(&history(TEXT), &Options::default()).expect("a run");
    assert_eq!(loaded.specification, Specification::CasRegister);
    assert_eq!(loaded.whole_until, NEVER);
    let expected = [
        "lock-0:",
        "c1's attempt 1 write(1) 10..20 ok",
        "c2's attempt 2 read(1) 30..40 ok",
        "c3's attempt 3 cas(1,2) 35..50 ok",
        "c1's attempt 4 cas(1,3) 60..70 fail",
        "c1's attempt 6 write(5) 80.. info",
        "c1's attempt 9 read(nil) 95..99 ok",
    ];
    assert_eq!(rendered(&loaded), expected.join("\n"));
}

#[test]
fn a_model_that_the_run_knows_nothing_of_is_refused() {
    let refused = |workload: Workload, model: &str| {
        let mut history = history("");
        history.run.plan.workload = workload;
        matches!(load_run(&history, &options(model)), Err(FormatError::NotOfRuns { .. }))
    };
    for model in ["owner-mutex", "fenced-mutex", "fenced-resource", "kv", "lease-mutex:2s"] {
        assert!(refused(Workload::Register, model), "{model}");
    }
    assert!(!refused(Workload::Register, "cas-register"));
    assert!(refused(Workload::Mutex, "cas-register"));
    assert!(refused(Workload::CriticalSection, "fenced-resource"));
    assert!(!refused(Workload::Mutex, "fenced-resource"));
    assert!(!refused(Workload::CriticalSection, "owner-mutex"));
}

#[test]
fn an_answer_that_a_client_stamped_is_its_word_and_one_of_the_resource_is_not() {
    for (workload, whole_until) in
        [(Workload::Register, 99), (Workload::CriticalSection, 99), (Workload::Mutex, 80)]
    {
        let mut history = history("80 99 1 ok read - 1");
        history.run.plan.workload = workload;
        history.run.plan.client_seeds.truncate(1);
        history.records.truncate(2);
        let options = Options { lenient: true, specification: None };
        let loaded = load_run(&history, &options).expect("a run");
        assert_eq!(loaded.whole_until, whole_until, "{workload}");
    }
}

#[test]
fn what_workloads_add_to_a_history_of_locks_leaves_the_locks_alone() {
    let mut history = history("");
    history.run.plan.workload = Workload::CriticalSection;
    let mut event = |time_ns, op, function, phase, detail| {
        let (client, attempt, key, server) = (ClientId(0), 1, KeyId(0), None);
        let event = Event { time_ns, client, attempt, op, key, server, function, phase, detail };
        history.records.insert(history.records.len() - 3, Record::Event(event));
    };
    let vote = Vote { server: NodeId(0), answer: Answer::Yes, elapsed_ns: 1 };
    let round = Round {
        purpose: RoundPurpose::Acquire,
        begin_ns: 11,
        elapsed_ns: 5,
        validity_left_ns: Some(9),
        votes: vec![vote],
    };
    let access = || Detail::Access { resource: Resource::Fenced, token: None, value: 3 };
    event(10, 1, Function::Acquire, Phase::Invoke, Detail::None);
    event(17, 2, Function::Round, Phase::Ok, Detail::Round(round));
    event(20, 1, Function::Acquire, Phase::Ok, Detail::None);
    event(30, 3, Function::Write, Phase::Invoke, access());
    event(40, 3, Function::Write, Phase::Ok, access());
    event(50, 4, Function::Release, Phase::Invoke, Detail::None);
    event(60, 4, Function::Release, Phase::Ok, Detail::None);
    let loaded = load_run(&history, &Options::default()).expect("a run");
    let expected =
        ["lock-0:", "c1's attempt 1 acquire 10..20 ok", "c1's attempt 1 release 50..60 ok"];
    assert_eq!(rendered(&loaded), expected.join("\n"));
    assert_eq!(jepsen_edn(&history).lines().count(), 4);
    let mut exported = Vec::new();
    export_json_lines(&history, &mut exported).expect("writes to memory");
    match read(Format::Jsonl, &exported[..], &Options::default()) {
        Ok(Contents::Run(imported)) => assert_eq!(imported.records, history.records),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_of_registers_is_written_for_jepsens_tools() {
    let text = jepsen_edn(&history(TEXT));
    assert_eq!(text.lines().count(), 18);
    assert!(text.contains(":time 40, :process 1, :type :ok, :f :read, :value 1, :key \"lock-0\"}"));
    assert!(text.contains(":type :invoke, :f :cas, :value [1 2]"));
    assert!(
        text.contains(":time 70, :process 0, :type :fail, :f :cas, :value [1 3], :key \"lock-0\"}")
    );
    assert!(
        text.contains(":type :fail, :f :cas, :value [1 4], :key \"lock-0\", :error :not-done}")
    );
    // After an info a client goes on as another process.
    assert!(text.contains(":time 95, :process 3, :type :invoke, :f :read, :value nil"));
}

#[test]
fn no_stream_decides_a_run_of_registers_or_one_whose_clients_are_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    for (workload, streams) in
        [(Workload::Register, false), (Workload::Crash, false), (Workload::Mutex, true)]
    {
        let mut history = history("");
        history.run.plan.workload = workload;
        let path = folder.path().join(workload.name());
        let mut writer = HistoryWriter::create(&path, &history.run).expect("a file");
        for record in &history.records {
            writer.append(record).expect("a record");
        }
        writer.finish().expect("a history");
        let decided = decide_run(&path, Specification::OwnerMutex).expect("a history");
        assert_eq!(decided.is_some(), streams, "{workload}");
    }
}

fn is_good(loaded: &Loaded) -> bool {
    let budget =
        Budget { certificate: false, time_is_up: &|| false, memory_limit_bytes: usize::MAX };
    loaded.objects.iter().all(|object| {
        let (operations, values) = (&object.operations, &loaded.values);
        let decision = search_one(Specification::CasRegister, operations, values, &budget);
        matches!(decision, Decision::Linearizable(_))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// In Jepsen's form a refused cas tells nothing; all else is the same.
    #[test]
    fn a_run_of_registers_has_the_same_decision_in_jepsens_form(
        choices in prop::collection::vec((0..3usize, 0..9u64, 1..9u64, 0..7usize, 0..4u64), 1..9),
    ) {
        let mut text = String::new();
        let mut busy_until = [0; 3];
        let mut refusals = 0;
        for (next, (client, wait, took, how, value)) in (1u64..).zip(&choices) {
            let begin = busy_until[*client] + 1 + wait;
            busy_until[*client] = begin + took;
            let number = |value: u64| if value == 0 { "-".to_owned() } else { value.to_string() };
            let what = match how {
                0 => format!("ok read - {}", number(*value)),
                1 => format!("ok write - {next}"),
                2 => format!("info write - {next}"),
                3 => format!("error write - {next}"),
                4 => format!("ok cas {} {next}", number(*value)),
                5 => format!("info cas {} {next}", number(*value)),
                _ => format!("fail cas {} {next}", number(*value)),
            };
            refusals += u64::from(*how == 6);
            text += &format!("{begin} {} {} {what}\n", begin + took, client + 1);
        }
        let history = history(&text);
        let direct = load_run(&history, &Options::default()).expect("a run");
        let edn = jepsen_edn(&history);
        let contents = read(Format::JepsenEdn, edn.as_bytes(), &options("cas-register"));
        let exported = contents.expect(&edn).operations(&options("cas-register")).expect(&edn);
        if refusals == 0 {
            prop_assert_eq!(is_good(&direct), is_good(&exported), "{}", edn);
        } else {
            prop_assert!(is_good(&exported) || !is_good(&direct), "{}", edn);
        }
    }
}
