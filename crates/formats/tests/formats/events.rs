//! `<process> <invoke|ok|fail|info> <acquire|try|release>`.

use locktest_checker::Specification;
use locktest_formats::Format;
use locktest_formats::events::{EventReader, Function};
use locktest_history::Phase;

use crate::render;

fn check(text: &str, expected: &str) {
    render::check(Format::Events, "", text, expected);
}

#[test]
fn each_operation_lasts_from_the_line_of_its_invoke_to_that_of_its_completion() {
    check(
        "7 invoke acquire\n9 invoke try\n7 ok acquire\n9 fail try\n7 invoke release\n7 info release\n",
        "7 acquire 1..3 ok
         9 try 2..4 fail
         7 release 5.. info",
    );
}

#[test]
fn blank_lines_and_comments_count_as_lines_and_as_nothing_else() {
    check("# a history\n\n  1\tinvoke   acquire \r\n#\n1 ok acquire", "1 acquire 3..5 ok");
}

#[test]
fn a_failed_acquire_says_nothing_and_a_failed_try_is_a_denial() {
    check("1 invoke acquire\n1 fail acquire\n1 invoke try\n1 fail try\n", "1 try 3..4 fail");
}

#[test]
fn what_was_never_completed_is_of_unknown_outcome() {
    check("1 invoke acquire\n2 invoke try\n", "1 acquire 1.. info\n2 try 2.. info");
}

#[test]
fn a_process_may_go_on_after_an_info() {
    check(
        "1 invoke acquire\n1 info acquire\n1 invoke acquire\n1 ok acquire\n",
        "1 acquire 1.. info\n1 acquire 3..4 ok",
    );
}

#[test]
fn every_contradiction_is_named_with_its_line() {
    for (text, expected) in [
        (
            "1 invoke acquire\n1 invoke release\n",
            "error: line 2: process 1 begins `release` while its `acquire` is open",
        ),
        ("1 ok acquire\n", "error: line 1: process 1 completes `acquire`, which it has not begun"),
        (
            "1 invoke acquire\n1 ok acquire\n1 ok acquire\n",
            "error: line 3: process 1 completes `acquire`, which it has not begun",
        ),
        (
            "1 invoke acquire\n1 ok try\n",
            "error: line 2: process 1 completes `try` although it began `acquire`",
        ),
        ("1 invoke acquire\n1 ok\n", "error: line 2: the operation `` is unknown"),
        (
            "1 invoke lock\n",
            "error: line 1: the operation `lock` is unknown; known here are acquire",
        ),
        ("1 begin acquire\n", "error: line 1: `begin` is no type of an event; it is invoke, ok"),
        ("c1 invoke acquire\n", "error: line 1: `c1` is no process"),
        ("-1 invoke acquire\n", "error: line 1: `-1` is no process"),
        ("99999999999999999999 invoke acquire\n", "error: line 1: `99999999999999999999` is no"),
        ("1 invoke acquire now\n", "error: line 1: `now` is one word too many"),
        ("1 invoke acquire\n1 ok acqu", "error: line 2: the input ends within it"),
        ("1 invoke acquire\n1 o", "error: line 2: the input ends within it"),
        ("", "error: there is no operation in it; is it really in the format events?"),
        ("# nothing\n", "error: there is no operation in it"),
    ] {
        check(text, expected);
    }
}

#[test]
fn a_lease_cannot_be_checked_without_times() {
    let text = "1 invoke acquire\n1 ok acquire\n";
    let expected = "error: the model lease-mutex:1s needs times, which the format events does not";
    render::check(Format::Events, "lease-mutex:1s", text, expected);
}

#[test]
fn a_lock_history_is_no_register() {
    let expected = "error: line 1: `acquire` is no operation of the model cas-register";
    render::check(Format::Events, "cas-register", "1 invoke acquire\n", expected);
}

#[test]
fn a_lock_history_speaks_of_an_owner_mutex() {
    let loaded =
        render::load(Format::Events, "1 invoke try\n", &render::options("")).expect("good");
    assert_eq!(loaded.specification, Specification::OwnerMutex);
}

#[test]
fn the_stream_yields_what_stands_in_each_line() {
    let text = b"5 invoke release\n# note\n900000 invoke try\n900000 ok try\n5 info release\n";
    let events: Vec<_> = EventReader::new(&text[..])
        .map(|event| event.map(|e| (e.line, e.process, e.phase, e.function)).expect("good"))
        .collect();
    assert_eq!(
        events,
        [
            (1, 5, Phase::Invoke, Function::Release),
            (3, 900_000, Phase::Invoke, Function::Try),
            (4, 900_000, Phase::Ok, Function::Try),
            (5, 5, Phase::Info, Function::Release),
        ]
    );
}

#[test]
fn the_stream_goes_on_after_a_line_that_it_cannot_read() {
    let reader = EventReader::new(&b"1 invoke acquire\nnonsense\n1 ok acquire\n"[..]);
    let read: Vec<bool> = reader.map(|event| event.is_ok()).collect();
    assert_eq!(read, [true, false, true]);
}

#[test]
fn the_stream_refuses_what_does_not_fit_together() {
    for (text, line) in [
        ("1 invoke acquire\n2 invoke try\n1 invoke acquire\n", 3),
        ("1 invoke acquire\n1 info acquire\n1 ok acquire\n", 3),
        ("1 invoke acquire\n1 ok release\n", 2),
        ("1 ok release\n", 1),
    ] {
        let mut reader = EventReader::new(text.as_bytes());
        let error = reader.find_map(Result::err).expect(text).to_string();
        assert!(error.starts_with(&format!("line {line}: process 1 ")), "{text}: {error}");
    }
    let large = "4294967301 invoke try\n5 ok try\n4294967301 invoke try\n";
    let errors: Vec<_> = EventReader::new(large.as_bytes()).filter_map(Result::err).collect();
    let [never_invoked, still_open] = &errors[..] else { panic!("{errors:?}") };
    assert!(never_invoked.to_string().starts_with("line 2: process 5 completes"));
    assert!(still_open.to_string().starts_with("line 3: process 4294967301 begins"));
    let good = "1 invoke acquire\n2 invoke try\n2 fail try\n1 ok acquire\n1 invoke release\n";
    assert_eq!(EventReader::new(good.as_bytes()).filter(Result::is_ok).count(), 5);
}
