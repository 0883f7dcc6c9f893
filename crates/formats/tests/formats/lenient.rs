//! What a lenient reader skips, and that skipping accuses nobody.

use locktest_checker::NEVER;
use locktest_formats::{Format, Loaded, Options};
use proptest::prelude::*;

use crate::brute::first_conflict;
use crate::render::{load, rendered};

const LENIENT: Options = Options { lenient: true, specification: None };

fn skipping(format: Format, text: &str) -> Loaded {
    load(format, text, &LENIENT).expect(text)
}

/// What is left, what was skipped, and until when it is whole.
fn check(format: Format, text: &str, expected: &str, skipped: &[&str], whole_until: u64) {
    assert!(load(format, text, &Options::default()).is_err(), "{text}");
    let loaded = skipping(format, text);
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    assert_eq!(rendered(&loaded), expected.join("\n"), "{text}");
    assert_eq!(loaded.skipped.count, skipped.len() as u64, "{:?}", loaded.skipped);
    for (found, expected) in loaded.skipped.first.iter().zip(skipped) {
        assert!(found.starts_with(expected), "{found}");
    }
    assert_eq!(loaded.whole_until, whole_until, "{text}");
}

#[test]
fn a_completion_without_an_invoke_may_have_happened_since_its_process_was_last_heard_of() {
    check(
        Format::Events,
        "1 invoke acquire\n1 ok acquire\n2 invoke try\n1 ok release\n2 ok try\n",
        "1 acquire 1..2 ok\n1 release 2.. info\n2 try 3..5 ok",
        &["line 4: process 1 completes `release`, which it has not begun"],
        NEVER,
    );
}

#[test]
fn a_fail_without_an_invoke_is_dropped() {
    let text = "1 fail try\n1 invoke try\n1 ok try\n";
    check(Format::Events, text, "1 try 2..3 ok", &["line 1"], NEVER);
}

#[test]
fn a_second_invoke_leaves_the_first_one_open_and_may_be_answered_in_its_stead() {
    check(
        Format::Events,
        "1 invoke acquire\n2 invoke try\n1 invoke acquire\n1 ok acquire\n",
        "1 acquire 1.. info\n1 acquire 1..4 ok\n2 try 2.. info",
        &["line 3: process 1 begins `acquire` while its `acquire` is open"],
        NEVER,
    );
}

#[test]
fn a_completion_of_something_else_leaves_both_open() {
    check(
        Format::Events,
        "1 invoke acquire\n1 ok release\n",
        "1 acquire 1.. info\n1 release 1.. info",
        &["line 2: process 1 completes `release` although it began `acquire`"],
        NEVER,
    );
}

#[test]
fn from_the_first_unreadable_line_on_an_operation_may_be_missing() {
    check(
        Format::Events,
        "1 invoke acquire\n1 ok acquire\n1 invoke rel\u{e9}ase\nnonsense\n2 invoke acquire\n2 ok acquire\n",
        "1 acquire 1..2 ok\n2 acquire 5..6 ok",
        &["line 3: the operation `rel", "line 4: `nonsense` is no process"],
        3,
    );
}

#[test]
fn a_tail_that_is_cut_short_leaves_its_operation_open() {
    check(
        Format::Events,
        "1 invoke acquire\n1 ok acq",
        "1 acquire 1.. info",
        &["line 2: the input ends within it"],
        2,
    );
    check(
        Format::JepsenLog,
        "0\t:invoke\t:write\t12\n1\t:invoke\t:read\tnil\n1\t:ok\t:read\t1",
        "0 write(12) 1.. info",
        &["line 3: the input ends within it"],
        3,
    );
    check(
        Format::JepsenEdn,
        "[{:process 0 :type :invoke :f :acquire}\n{:process 0 :type :ok :f :acq",
        "0 acquire 1.. info",
        &["event 2 (line 2): the input ends within it"],
        2,
    );
    check(
        Format::Jsonl,
        "{\"process\":0,\"type\":\"invoke\",\"f\":\"acquire\"}\n{\"process\":0,\"ty",
        "0 acquire 1.. info",
        &["line 2: the input ends within it"],
        2,
    );
}

#[test]
fn a_read_whose_invoke_is_lost_is_left_out() {
    check(
        Format::JepsenEdn,
        "{:process 1 :type :invoke :f :read}{:process 0 :type :ok :f :read :value 1}{:process 0 :type :ok :f :write :value 2}",
        "0 write(2) 2.. info",
        &["event 2", "event 3"],
        NEVER,
    );
}

#[test]
fn a_write_whose_key_is_lost_leaves_a_gap() {
    check(
        Format::JepsenEdn,
        "{:process 0 :type :invoke :f :read :key 1}{:process 0 :type :ok :f :read :value 1}
         {:process 0 :type :ok :f :write :value 2}",
        "1:\n0 read(1) 1..2 ok",
        &["event 3"],
        2,
    );
}

#[test]
fn from_where_a_time_belongs_that_contradicts_the_order_nothing_is_proven() {
    check(
        Format::JepsenEdn,
        "{:process 0 :type :invoke :f :acquire :time 5}{:process 0 :type :ok :f :acquire :time 4}",
        "0 acquire 1..2 ok",
        &[
            "event 2 (line 1): its time 4 is not after 5, that of the event before it; events stand in \
           the order in which they happened; it is read where it stands, and no conflict from \
           event 1 on is proven",
        ],
        1,
    );
}

/// A write of 1, a read of 2, and the write of 2 that belongs before it.
fn misplaced(field: &str) -> String {
    let event = |says: u64, process: u64, what: &str| {
        format!("{{{field} {says}, :process {process}, {what}}}\n")
    };
    [
        event(0, 0, ":type :invoke, :f :write, :value 1"),
        event(1, 0, ":type :ok, :f :write, :value 1"),
        event(4, 1, ":type :invoke, :f :read, :value nil"),
        event(5, 1, ":type :ok, :f :read, :value 2"),
        event(2, 0, ":type :invoke, :f :write, :value 2"),
        event(3, 0, ":type :ok, :f :write, :value 2"),
        event(6, 0, ":type :invoke, :f :write, :value 3"),
    ]
    .concat()
}

#[test]
fn an_event_that_stands_behind_its_place_puts_all_since_then_in_doubt() {
    for field in [":index", ":time"] {
        check(
            Format::JepsenEdn,
            &misplaced(field),
            "0 write(1) 1..2 ok\n1 read(2) 3..4 ok\n0 write(2) 5..6 ok\n0 write(3) 7.. info",
            &["event 5 (line 5): its", "event 6 (line 6): its"],
            3,
        );
    }
}

#[test]
fn two_events_of_one_index_may_belong_either_way() {
    let text = "{:index 0 :process 0 :type :invoke :f :acquire}
        {:index 1 :process 0 :type :ok :f :acquire}
        {:index 1 :process 1 :type :invoke :f :acquire}";
    let rendered = "0 acquire 1..2 ok\n1 acquire 3.. info";
    check(Format::JepsenEdn, text, rendered, &["event 3 (line 3): its index 1 is not after 1"], 2);
}

#[test]
fn a_lease_is_not_judged_from_the_time_on_that_a_late_line_tells() {
    let line = |process: u64, what: &str, time_ns: u64| {
        let (phase, f) = what.split_once(' ').expect("two words");
        format!(
            "{{\"process\":{process},\"type\":\"{phase}\",\"f\":\"{f}\",\"time_ns\":{time_ns}}}\n"
        )
    };
    let text = [
        line(0, "invoke acquire", 0),
        line(0, "ok acquire", 1),
        line(1, "invoke acquire", 100),
        line(1, "ok acquire", 110),
        line(0, "invoke release", 10),
        line(0, "ok release", 20),
    ]
    .concat();
    let specification = Some("lease-mutex:1s".parse().expect("a model"));
    let options = Options { specification, ..LENIENT };
    let loaded = load(Format::Jsonl, &text, &options).expect("something");
    assert_eq!(rendered(&loaded), "0 acquire 0..1 ok\n1 acquire 100..110 ok");
    assert_eq!((loaded.skipped.count, loaded.whole_until), (2, 10));
    let words = &loaded.skipped.first[0];
    assert!(
        words.ends_with("; it is left out, and no conflict from 10 ns on is proven"),
        "{words}"
    );
}

#[test]
fn an_index_that_contradicts_the_times_puts_the_times_in_doubt() {
    let text = "{:index 0 :time 5 :process 0 :type :invoke :f :acquire}
        {:index 7 :time 9 :process 0 :type :ok :f :acquire}
        {:index 3 :time 20 :process 1 :type :invoke :f :acquire}";
    let specification = Some("lease-mutex:1s".parse().expect("a model"));
    let options = Options { specification, ..LENIENT };
    let loaded = load(Format::JepsenEdn, text, &options).expect("something");
    assert_eq!((loaded.skipped.count, loaded.whole_until), (1, 5));
}

#[test]
fn an_answer_from_where_nothing_is_proven_does_not_undo_what_began_before() {
    // The ok of the first write and the invoke of the second cannot be read.
    let unreadable = "0\t:invoke\t:write\t1
1\t:invoke\t:read\tnil
1\t:ok\t:read\t1
0\t:0k\t:write\t1
0\t:inv0ke\t:write\t1
0\t:fail\t:write\t1
";
    let open = "0 write(1) 1.. info\n1 read(1) 2..3 ok";
    check(Format::JepsenLog, unreadable, open, &["line 4", "line 5"], 4);
    // The fail is that of the second write.
    let misplaced = "{:index 0 :process 0 :type :invoke :f :write :value 1}
        {:index 1 :process 1 :type :invoke :f :read}
        {:index 2 :process 1 :type :ok :f :read :value 1}
        {:index 5 :process 0 :type :fail :f :write :value 1}
        {:index 3 :process 0 :type :ok :f :write :value 1}
        {:index 4 :process 0 :type :invoke :f :write :value 1}";
    let loaded = skipping(Format::JepsenEdn, misplaced);
    assert_eq!(loaded.whole_until, 4);
    let open = "0 write(1) 1.. info\n1 read(1) 2..3 ok\n0 write(1) 4.. info\n0 write(1) 6.. info";
    assert_eq!(rendered(&loaded), open);
    let denied = "0 invoke try\n1 invoke try\n1 fail try\n0 0k try\n0 inv0ke try\n0 fail try\n";
    let open = "0 try 1.. info\n1 try 2..3 fail";
    check(Format::Events, denied, open, &["line 4", "line 5"], 4);
}

#[test]
fn where_times_are_the_order_an_event_that_contradicts_it_is_dropped() {
    let text =
        "{:process 0 :type :invoke :f :acquire :time 5}{:process 0 :type :ok :f :acquire :time 4}";
    let options =
        Options { specification: Some("lease-mutex:1s".parse().expect("a model")), ..LENIENT };
    let loaded = load(Format::JepsenEdn, text, &options).expect("something");
    assert_eq!(rendered(&loaded), "0 acquire 5.. info");
    assert_eq!((loaded.skipped.count, loaded.whole_until), (1, 4));
}

#[test]
fn an_unreadable_form_costs_no_more_than_its_line() {
    check(
        Format::JepsenEdn,
        "{:process 0 :type :invoke :f :acquire}\n{:process 0 :type :ok :f ]}\n{:process 1 :type :invoke :f :acquire}\n",
        "0 acquire 1.. info\n1 acquire 3.. info",
        &["event 2 (line 2): a bracket closes"],
        2,
    );
    check(
        Format::JepsenEdn,
        "[{:process 0 :type :invoke :f :acquire} 7 {:process 0 :type :maybe :f :acquire} {:process 1 :type :invoke :f :acquire}]",
        "0 acquire 1.. info\n1 acquire 4.. info",
        &["event 2 (line 1): it is not a map", "event 3 (line 1): `maybe` is no type"],
        2,
    );
}

#[test]
fn operations_of_another_object_are_left_out() {
    check(
        Format::JepsenEdn,
        "{:process 0 :type :invoke :f :acquire}{:process 1 :type :invoke :f :read}{:process 1 :type :ok :f :read :value 1}",
        "0 acquire 1.. info",
        &["event 2", "event 3"],
        2,
    );
}

#[test]
fn only_the_first_few_are_kept_in_words() {
    let text = format!("1 invoke acquire\n{}", "nonsense\n".repeat(100));
    let loaded = skipping(Format::Events, &text);
    assert_eq!((loaded.skipped.count, loaded.skipped.first.len()), (100, 5));
}

#[test]
fn a_file_with_nothing_but_what_is_skipped_is_no_history() {
    let error = load(Format::Events, "nonsense\nnonsense\n", &LENIENT).expect_err("nothing");
    assert!(error.to_string().starts_with("there is no operation in it"), "{error}");
}

/// The events of a lock that works, as lines.
fn good_history(choices: &[u8]) -> Vec<String> {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        Idle,
        Asking(&'static str),
        Answered(&'static str, &'static str),
        Holding,
    }
    let mut lines = Vec::new();
    let mut owner = None;
    let mut processes = [At::Idle; 3];
    for choice in choices {
        let process = usize::from(choice % 3);
        let luck = choice / 3 % 4;
        let at = &mut processes[process];
        *at = match *at {
            At::Idle => {
                let what = if luck < 2 { "acquire" } else { "try" };
                lines.push(format!("{process} invoke {what}"));
                At::Asking(what)
            }
            At::Asking("release") => {
                owner = None;
                At::Answered("release", "ok")
            }
            At::Asking(what) if owner.is_none() => {
                owner = Some(process);
                At::Answered(what, "ok")
            }
            At::Asking("try") => At::Answered("try", "fail"),
            At::Asking(what) => At::Asking(what),
            At::Answered(what, outcome) => {
                lines.push(format!("{process} {outcome} {what}"));
                match (what, outcome) {
                    ("release", _) | (_, "fail") => At::Idle,
                    _ => At::Holding,
                }
            }
            At::Holding => {
                lines.push(format!("{process} invoke release"));
                At::Asking("release")
            }
        };
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_good_history_stays_good_whatever_becomes_of_its_lines(
        choices in proptest::collection::vec(any::<u8>(), 1..45),
        garbled in proptest::collection::vec((any::<proptest::sample::Index>(), 0u8..5), 0..4),
        lost in proptest::option::of(any::<proptest::sample::Index>()),
        doubled in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let mut lines = good_history(&choices);
        let whole = format!("{}\n", lines.join("\n"));
        if let Ok(loaded) = load(Format::Events, &whole, &Options::default()) {
            let operations = &loaded.objects[0].operations;
            prop_assume!(operations.len() < 20);
            prop_assert_eq!(first_conflict(operations), None);
        }
        let is_readable = garbled.is_empty();
        for (index, how) in garbled {
            if !lines.is_empty() {
                let line = index.get_mut(&mut lines);
                *line = match how {
                    0 => "garbage".into(),
                    1 => line.replace("release", "rel"),
                    2 => line.replace("ok", "0k"),
                    3 => line.replace("invoke", ""),
                    _ => String::from("\u{fffd}\0"),
                };
            }
        }
        if let Some(index) = doubled.filter(|_| !lines.is_empty()) {
            // An invoke that stands there twice. A completion that does is a claim of its own.
            let at = index.index(lines.len());
            if lines[at].contains("invoke") {
                lines.insert(at, lines[at].clone());
            }
        }
        if let Some(index) = lost.filter(|_| !lines.is_empty() && is_readable) {
            // Nobody can miss an operation of which there is nothing.
            let at = index.index(lines.len());
            let is_of_same = |line: &String| line.starts_with(&lines[at][..1]);
            if !lines[at].contains("invoke") || lines[at + 1..].iter().any(is_of_same) {
                lines.remove(at);
            }
        }
        let text = format!("{}\n", lines.join("\n"));
        if let Ok(loaded) = load(Format::Events, &text, &LENIENT) {
            let operations = &loaded.objects[0].operations;
            prop_assume!(operations.len() < 20);
            let accused = first_conflict(operations).filter(|at| *at < loaded.whole_until);
            prop_assert_eq!(accused, None, "{}\n{}", text, rendered(&loaded));
        }
    }
}
