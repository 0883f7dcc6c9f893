//! Recorded runs.

use locktest_checker::{NEVER, Specification};
use locktest_formats::{
    Contents, Format, FormatError, Loaded, Options, load_run, read, write_jepsen_edn,
};
use locktest_history::{
    Backend, ClientExit, ClientId, Detail, Event, ExitCause, Function, History, HistoryWriter,
    KeyId, Milestone, Phase, Plan, Record, Resource, Run, Token, export_json_lines,
};
use proptest::prelude::*;

use crate::brute::first_conflict;
use crate::render::{options, rendered};

pub(crate) fn run() -> Run {
    Run {
        id: "0a1b2c".into(),
        started_at_unix_s: 1,
        origin_monotonic_ns: 2,
        command: "locktest --backend sim".into(),
        lab: None,
        plan: Plan {
            seed: 7,
            version: "built-in".into(),
            client_seeds: vec![1, 2, 3],
            keys: vec!["lock-0".into(), "lock-1".into()],
            ..Plan::of(Backend::Sim)
        },
    }
}

/// A history of one lock, from lines `TIME CLIENT.ATTEMPT OP PHASE FUNCTION [DETAIL]` and
/// `TIME CLIENT exit`.
fn history(text: &str) -> History {
    let mut records = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let time_ns = words[0].parse().expect("a time");
        let (client, attempt) = words[1].split_once('.').unwrap_or((words[1], "0"));
        let client = ClientId(client.parse::<u32>().expect("a client") - 1);
        if words[2] == "exit" {
            records.push(Record::ClientExit(ClientExit {
                time_ns,
                client,
                cause: ExitCause::Killed(9),
            }));
            continue;
        }
        let parse = |word: &str| serde_json::from_value(word.into());
        let phase: Phase = parse(words[3]).expect("a phase");
        let function: Function = serde_json::from_value(words[4].into()).expect("a function");
        let token = |text: &str| {
            let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
            let number = |text: &str| text.parse().expect("a token");
            Some(Token { major: number(major), minor: number(minor) })
        };
        let detail = match words.get(5).copied().unwrap_or_default().split_once(':') {
            Some(("token", major)) => {
                Detail::Entry { ours: true, token: token(major), at_revision: None }
            }
            Some(("fenced", major)) => {
                Detail::Access { resource: Resource::Fenced, token: token(major), value: 0 }
            }
            Some(("unfenced", major)) => {
                Detail::Access { resource: Resource::Unfenced, token: token(major), value: 0 }
            }
            Some(("not-asked", why)) => Detail::NotAsked(why.into()),
            _ if phase == Phase::Fail => Detail::Reason("held".into()),
            _ => Detail::None,
        };
        records.push(Record::Event(Event {
            time_ns,
            client,
            attempt: attempt.parse().expect("an attempt"),
            op: words[2].parse().expect("an operation"),
            key: KeyId(0),
            server: None,
            function,
            phase,
            detail,
        }));
    }
    records.push(Record::Milestone { time_ns: 1000, what: Milestone::End });
    History { run: run(), records, damage: vec![] }
}

fn loaded(text: &str, model: &str) -> Loaded {
    load_run(&history(text), &options(model)).expect(text)
}

fn check(text: &str, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    assert_eq!(rendered(&loaded(text, "")), expected.join("\n"), "{text}");
}

#[test]
fn an_attempt_is_an_owner_and_its_token_comes_from_reading_back() {
    let text = "10 1.1 1 invoke acquire
        20 1.1 1 ok acquire
        21 1.1 2 invoke validate
        25 1.1 2 ok validate token:77
        25 1.1 3 invoke renew
        26 1.1 3 ok renew
        30 1.1 4 invoke release
        31 2.1 1 invoke acquire
        35 1.1 4 ok release
        36 2.1 1 ok acquire
        37 2.1 2 invoke validate
        38 2.1 2 ok validate token:90
        40 1 exit
        40 2 exit
        40 3 exit";
    check(
        text,
        "lock-0:
         c1's attempt 1 acquire#77 10..20 ok
         c1's attempt 1 release 30..35 ok
         c2's attempt 1 acquire#90 31..36 ok
         c2's attempt 1 release 40.. info",
    );
    let loaded = loaded(text, "");
    assert_eq!(loaded.specification, Specification::FencedMutex);
    assert_eq!(loaded.whole_until, NEVER);
}

#[test]
fn tokens_that_are_pairs_are_numbered_in_their_order() {
    let text = "10 1.1 1 invoke acquire
        20 1.1 1 ok acquire
        21 1.1 2 invoke validate
        25 1.1 2 ok validate token:77.3
        30 1.1 4 invoke release
        35 1.1 4 ok release
        36 2.1 1 invoke acquire
        37 2.1 1 ok acquire
        38 2.1 2 invoke validate
        39 2.1 2 ok validate token:77.2
        40 1 exit
        40 2 exit
        40 3 exit";
    check(
        text,
        "lock-0:
         c1's attempt 1 acquire#2 10..20 ok
         c1's attempt 1 release 30..35 ok
         c2's attempt 1 acquire#1 36..37 ok
         c2's attempt 1 release 40.. info",
    );
}

#[test]
fn a_hold_ends_when_its_owner_releases_notices_its_loss_or_dies() {
    check(
        "10 1.1 1 invoke acquire
         11 1.1 1 ok acquire
         12 1.1 2 ok lost
         13 1.1 3 invoke release
         14 1.1 3 ok release
         20 2.1 1 invoke acquire
         21 2.1 1 ok acquire
         22 2 exit
         30 3.1 1 invoke acquire
         31 3.1 1 ok acquire
         32 3.1 2 invoke release
         33 3.1 2 fail release
         34 3.1 3 invoke release
         35 3.1 3 ok release",
        "lock-0:
         c1's attempt 1 acquire 10..11 ok
         c1's attempt 1 release 12.. info
         c2's attempt 1 acquire 20..21 ok
         c2's attempt 1 release 22.. info
         c3's attempt 1 acquire 30..31 ok
         c3's attempt 1 release 32.. info",
    );
}

const UNKNOWN: &str = "10 1.1 1 invoke acquire
    19 1.1 1 info acquire
    20 1.1 2 invoke release
    21 1.1 2 ok release
    30 2.1 1 invoke acquire
    31 2.1 1 fail acquire not-asked:nobody
    32 2.1 2 invoke release
    33 2.1 2 ok release
    40 3.1 1 invoke acquire
    41 3.1 1 ok acquire
    42 3.1 2 invoke release
    43 3.1 2 ok release";

#[test]
fn an_acquire_that_was_not_granted_is_left_out_with_its_release() {
    check(
        UNKNOWN,
        "lock-0:
         c3's attempt 1 acquire 40..41 ok
         c3's attempt 1 release 42..43 ok",
    );
}

#[test]
fn where_tries_are_denied_an_acquire_of_unknown_outcome_may_be_why() {
    check(
        &format!("{UNKNOWN}\n12 2.2 3 invoke try-acquire\n15 2.2 3 fail try-acquire"),
        "lock-0:
         c1's attempt 1 acquire 10.. info
         c1's attempt 1 release 10.. info
         c2's attempt 2 try 12..15 fail
         c3's attempt 1 acquire 40..41 ok
         c3's attempt 1 release 42..43 ok",
    );
}

#[test]
fn a_try_that_never_reached_the_store_is_no_denial() {
    let text = "10 1.1 1 invoke try-acquire
        11 1.1 1 fail try-acquire not-asked:nobody
        12 1.2 2 invoke acquire
        13 1.2 2 fail acquire";
    assert_eq!(rendered(&loaded(text, "")), "");
}

#[test]
fn the_fenced_resource_is_what_saw_the_tokens() {
    let text = "10 1.1 1 invoke read fenced:5
        11 1.1 1 ok read fenced:5
        12 1.1 2 invoke read unfenced:5
        13 1.1 2 ok read unfenced:5
        14 2.1 1 invoke write fenced:9
        15 2.1 1 ok write fenced:9
        16 1.1 3 invoke write fenced:5
        17 1.1 3 fail write fenced:5
        18 1.1 4 invoke write fenced:5";
    assert_eq!(
        rendered(&loaded(text, "fenced-resource")),
        "lock-0:
c1's attempt 1 guarded-read#5 10..11 ok
c2's attempt 1 guarded-write#9 14..15 ok
c1's attempt 1 guarded-write#5 16..17 fail
c1's attempt 1 guarded-write#5 18.. info"
    );
}

#[test]
fn a_run_is_no_register_and_has_no_simple_leases() {
    for model in ["lease-mutex:2s", "cas-register", "kv"] {
        let error = load_run(&history(UNKNOWN), &options(model)).expect_err(model);
        assert!(matches!(error, FormatError::NotOfRuns { .. }), "{error}");
    }
}

#[test]
fn a_contradiction_is_an_error_or_takes_all_certainty_away() {
    for (text, expected) in [
        ("10 1.1 1 ok acquire", "event 1 (line 2): it was never invoked"),
        (
            "10 1.1 1 invoke acquire\n11 1.1 1 invoke acquire",
            "event 2 (line 3): it was invoked before",
        ),
        (
            "10 1.1 1 invoke acquire\n11 1.1 1 ok acquire\n12 1.1 1 ok acquire",
            "event 3 (line 4): it was completed before",
        ),
        (
            "10 1.1 1 invoke acquire\n11 1.1 1 ok release",
            "event 2 (line 3): it is not what was invoked",
        ),
        ("10 1.1 1 invoke release", "event 1 (line 2): it belongs to no acquire"),
        (
            "10 1.1 1 invoke acquire\n11 1.1 2 invoke try-acquire",
            "event 2 (line 3): it is its attempt's second acquire",
        ),
    ] {
        let history = history(text);
        let error = load_run(&history, &Options::default()).expect_err(text);
        assert_eq!(error.to_string(), expected);
        let lenient = Options { lenient: true, specification: None };
        let loaded = load_run(&history, &lenient).expect(text);
        assert!(loaded.skipped.first.contains(&expected.to_owned()), "{:?}", loaded.skipped);
        assert_eq!(loaded.whole_until, 0);
    }
}

#[test]
fn a_release_after_a_second_acquire_belongs_to_the_first() {
    let text = "10 1.1 1 invoke acquire
        11 1.1 1 ok acquire
        12 1.1 2 invoke acquire
        13 1.1 3 invoke release
        14 1.1 3 ok release";
    let lenient = Options { lenient: true, specification: None };
    let loaded = load_run(&history(text), &lenient).expect("something");
    assert_eq!(
        rendered(&loaded),
        "lock-0:\nc1's attempt 1 acquire 10..11 ok\nc1's attempt 1 release 13..14 ok"
    );
}

#[test]
fn a_release_of_another_key_is_none_of_its_attempt() {
    let mut history =
        history("10 1.1 1 invoke acquire\n11 1.1 1 ok acquire\n12 1.1 2 invoke release");
    if let Record::Event(event) = &mut history.records[2] {
        event.key = KeyId(1);
    }
    let error = load_run(&history, &Options::default()).expect_err("another key");
    let expected = "event 3 (line 4): it names another key than its acquire";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_history_that_stops_is_whole_until_the_first_client_falls_silent() {
    let mut history = history(
        "10 1.1 1 invoke acquire
         11 1.1 1 ok acquire
         50 2.1 1 invoke acquire
         60 3.1 1 invoke acquire
         61 3 exit",
    );
    let loaded = load_run(&history, &Options::default()).expect("readable");
    assert_eq!(loaded.whole_until, 11, "the end of the run is no end of its clients");
    history.records.pop();
    let loaded = load_run(&history, &Options::default()).expect("readable");
    assert_eq!(loaded.whole_until, 11);
    history.damage.push("the block at byte 9 is damaged".into());
    let error = load_run(&history, &Options::default()).expect_err("damaged");
    assert!(error.to_string().ends_with("the block at byte 9 is damaged"), "{error}");
    let lenient = Options { lenient: true, specification: None };
    let loaded = load_run(&history, &lenient).expect("readable");
    assert_eq!((loaded.skipped.count, loaded.whole_until), (1, 11));
}

#[test]
fn what_the_resource_answered_is_no_word_of_its_client() {
    let text = "10 1.1 1 invoke acquire
         11 1.1 1 ok acquire
         12 1.1 2 invoke read fenced:5
         90 1.1 2 ok read fenced:5
         50 2 exit
         60 3 exit";
    assert_eq!(loaded(text, "").whole_until, 12);
}

#[test]
fn a_run_reads_the_same_from_its_file_and_from_its_export() {
    let history = history(UNKNOWN);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("history");
    let mut writer = HistoryWriter::create(&path, &history.run).expect("a new file");
    history.records.iter().for_each(|record| writer.append(record).expect("append"));
    writer.finish().expect("finish");
    let mut lines = Vec::new();
    export_json_lines(&history, &mut lines).expect("writes to memory");
    let file = std::fs::read(&path).expect("the file");
    for (format, bytes) in [(Format::Locktest, file), (Format::Jsonl, lines)] {
        match read(format, &bytes[..], &Options::default()).expect("a run") {
            Contents::Run(read) => {
                assert_eq!(read.run, history.run);
                assert_eq!(read.records, history.records);
                assert!(read.damage.is_empty());
            }
            Contents::Operations(_) => panic!("{format} is read as operations"),
        }
    }
}

pub(crate) fn jepsen_edn(history: &History) -> String {
    let mut out = Vec::new();
    write_jepsen_edn(history, &mut out).expect("writes to memory");
    String::from_utf8(out).expect("EDN is UTF-8")
}

#[test]
fn jepsen_sees_a_client_go_on_as_another_process_after_an_info() {
    let text = "10 1.1 1 invoke acquire
        19 1.1 1 info acquire
        20 1.1 2 invoke release
        21 1.1 2 ok release
        30 1.2 3 invoke try-acquire
        31 1.2 3 ok try-acquire
        32 1.2 4 invoke validate
        33 1.2 4 ok validate token:4
        34 1.2 5 invoke release
        35 1.2 5 ok release
        40 1.3 6 invoke acquire
        41 1.3 6 fail acquire
        50 2.1 1 invoke try-acquire
        51 2.1 1 fail try-acquire
        60 1.4 7 invoke acquire
        61 1.4 7 ok acquire
        62 1 exit";
    assert_eq!(
        jepsen_edn(&history(text)),
        r#"{:index 0, :time 10, :process 0, :type :invoke, :f :acquire, :value nil, :key "lock-0"}
{:index 1, :time 19, :process 0, :type :info, :f :acquire, :value nil, :key "lock-0"}
{:index 2, :time 30, :process 2, :type :invoke, :f :acquire, :value nil, :key "lock-0"}
{:index 3, :time 31, :process 2, :type :ok, :f :acquire, :value nil, :key "lock-0", :token 4}
{:index 4, :time 34, :process 2, :type :invoke, :f :release, :value nil, :key "lock-0"}
{:index 5, :time 35, :process 2, :type :ok, :f :release, :value nil, :key "lock-0"}
{:index 6, :time 40, :process 2, :type :invoke, :f :acquire, :value nil, :key "lock-0"}
{:index 7, :time 41, :process 2, :type :fail, :f :acquire, :value nil, :key "lock-0", :error :not-granted}
{:index 8, :time 50, :process 1, :type :invoke, :f :try-acquire, :value nil, :key "lock-0"}
{:index 9, :time 51, :process 1, :type :fail, :f :try-acquire, :value nil, :key "lock-0", :error :not-granted}
{:index 10, :time 60, :process 2, :type :invoke, :f :acquire, :value nil, :key "lock-0"}
{:index 11, :time 61, :process 2, :type :ok, :f :acquire, :value nil, :key "lock-0"}
{:index 12, :time 62, :process 2, :type :invoke, :f :release, :value nil, :key "lock-0"}
"#
    );
}

#[test]
fn a_key_of_any_name_survives_jepsens_form() {
    let mut history = history("10 1.1 1 invoke acquire\n11 1.1 1 ok acquire");
    history.run.plan.keys[0] = "a \"b\\\n\tc{}".into();
    let text = jepsen_edn(&history);
    let options = Options::default();
    let contents = read(Format::JepsenEdn, text.as_bytes(), &options).expect(&text);
    let loaded = contents.operations(&options).expect("operations");
    assert_eq!(loaded.objects[0].name, history.run.plan.keys[0]);
}

/// Attempts of three clients, each with its times and outcomes at random.
fn random_run(choices: &[(u8, u8, u8, u8)]) -> String {
    let mut text = String::new();
    let mut busy_until = [0u64; 3];
    for (attempt, (client, wait, length, how)) in choices.iter().enumerate() {
        let index = usize::from(client % 3);
        let (client, op) = (index + 1, attempt * 2);
        let invoke = busy_until[index] + 1 + u64::from(*wait % 16);
        let answer = invoke + 1 + u64::from(*length % 8);
        let release = answer + u64::from(*length / 8 % 4);
        let over = release + 1 + u64::from(*length / 32);
        let function = if how & 1 == 0 { "acquire" } else { "try-acquire" };
        let mut line = |time: u64, op: usize, what: &str| {
            text.push_str(&format!("{time} {client}.{attempt} {op} {what}\n"));
        };
        line(invoke, op, &format!("invoke {function}"));
        let outcome =
            ["ok", "ok", "ok", "ok", "fail", "fail", "info", "none"][usize::from(how / 2 % 8)];
        if outcome != "none" {
            line(answer, op, &format!("{outcome} {function}"));
        }
        if how / 16 % 4 != 3 {
            line(release, op + 1, "invoke release");
            let end = ["ok", "ok", "fail", "info"][usize::from(how / 64)];
            line(over, op + 1, &format!("{end} release"));
        } else if outcome == "ok" {
            line(over, op + 1, "ok lost");
        }
        busy_until[index] = over;
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_run_in_jepsens_form_has_the_same_decision(choices in proptest::collection::vec(any::<(u8, u8, u8, u8)>(), 1..7)) {
        let history = history(&random_run(&choices));
        let options = options("owner-mutex");
        let direct = load_run(&history, &options).expect("a run");
        let text = jepsen_edn(&history);
        let contents = read(Format::JepsenEdn, text.as_bytes(), &options).expect(&text);
        let exported = contents.operations(&options).expect("operations");
        let conflict = |loaded: &Loaded| {
            loaded.objects.first().and_then(|object| first_conflict(&object.operations)).is_some()
        };
        let excused = text.contains(":f :try-acquire") && text.contains(":type :fail, :f :try-acquire, :value nil, :key \"lock-0\", :error");
        if excused {
            // A denial that Jepsen's form cannot explain accuses nobody.
            prop_assert!(conflict(&direct) || !conflict(&exported), "{}", text);
        } else {
            prop_assert_eq!(conflict(&direct), conflict(&exported), "{}\n{}\n{}", text, rendered(&direct), rendered(&exported));
        }
    }

    #[test]
    fn a_damaged_export_is_survived(at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<proptest::sample::Index>()) {
        let history = history(UNKNOWN);
        let mut bytes = Vec::new();
        export_json_lines(&history, &mut bytes).expect("writes to memory");
        bytes.truncate(cut.index(bytes.len()) + 1);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(Contents::Run(read)) = read(Format::Jsonl, &bytes[..], &Options::default()) {
            prop_assert!(read.records.len() <= history.records.len());
        }
    }
}
