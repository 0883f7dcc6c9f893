//! The operations in Jepsen's log.

use locktest_checker::{Outcome, Specification};
use locktest_formats::{Format, Options, detect, read};

use crate::{as_log, render};

fn check(text: &str, expected: &str) {
    render::check(Format::JepsenLog, "", text, expected);
}

#[test]
fn a_register_is_read_written_and_compared() {
    check(
        "INFO  jepsen.util - 0\t:invoke\t:read\tnil
INFO  jepsen.util - 1\t:invoke\t:write\t4
INFO  jepsen.util - 0\t:ok\t:read\tnil
INFO  jepsen.util - :nemesis\t:info\t:start\tnil
INFO  jepsen.core - a message
INFO  jepsen.util - 1\t:ok\t:write\t4
INFO  jepsen.util - 0\t:invoke\t:cas\t[4 2]
INFO  jepsen.util - 0\t:ok\t:cas\t[4 2]
INFO  jepsen.util - 1\t:invoke\t:cas\t[4 3]
INFO  jepsen.util - 1\t:fail\t:cas\t[4 3]
INFO  jepsen.util - 1\t:invoke\t:write\t1
INFO  jepsen.util - 1\t:info\t:write\t:timed-out
",
        "0 read(nil) 1..3 ok
         1 write(4) 2..6 ok
         0 cas(4,2) 7..8 ok
         1 cas(4,3) 9..10 fail
         1 write(1) 11.. info",
    );
}

#[test]
fn a_read_that_timed_out_is_left_out() {
    check(
        "INFO  jepsen.util - 0\t:invoke\t:read\tnil
INFO  jepsen.util - 0\t:fail\t:read\t:timed-out
INFO  jepsen.util - 1\t:invoke\t:read\tnil
INFO  jepsen.util - 1\t:info\t:read\t:timed-out
INFO  jepsen.util - 2\t:invoke\t:read\tnil
INFO  jepsen.util - 3\t:invoke\t:write\t1
",
        "3 write(1) 6.. info",
    );
}

#[test]
fn a_cas_that_failed_for_a_reason_of_its_own_tells_nothing() {
    check(
        "0\t:invoke\t:cas\t[0 1]\n0\t:fail\t:cas\t:refused\n1\t:invoke\t:write\t1\n1\t:ok\t:write\t1\n",
        "1 write(1) 3..4 ok",
    );
    check(
        "0\t:invoke\t:cas\t[0 1]\n0\t:fail\t:cas\t[0 1]\t:connection-refused\n1\t:invoke\t:write\t1\n1\t:ok\t:write\t1\n",
        "1 write(1) 3..4 ok",
    );
}

#[test]
fn newer_logs_and_the_bare_columns_read_the_same() {
    let bare = "3\t:invoke\t:write\t7\n3\t:ok\t:write\t7\n";
    let expanded =
        "INFO  jepsen.util - 3   :invoke :write  7\nINFO  jepsen.util - 3   :ok     :write  7\n";
    let newer =
        "2020-05-01 12:00:00,000{GMT}\tINFO\t[jepsen worker 3] jepsen.util: 3\t:invoke\t:write\t7
2020-05-01 12:00:00,001{GMT}\tINFO\t[jepsen worker 3] jepsen.util: 3\t:ok\t:write\t7\n";
    for text in [bare, expanded, newer] {
        check(text, "3 write(7) 1..2 ok");
    }
}

#[test]
fn keys_in_front_of_the_values_make_objects_of_their_own() {
    check(
        "0\t:invoke\t:write\t[9 1]\n0\t:ok\t:write\t[9 1]\n1\t:invoke\t:read\t[8 nil]\n1\t:ok\t:read\t[8 5]\n",
        "9:
         0 write(1) 1..2 ok
         8:
         1 read(5) 3..4 ok",
    );
}

#[test]
fn every_contradiction_is_named_with_its_line() {
    for (text, expected) in [
        ("0\t:invoke\t:write\n", "error: line 1: an operation has four columns: process"),
        ("jepsen.util - :x\t:invoke\t:write\t1\n", "error: line 1: `:x` is no process"),
        ("0\t:begin\t:write\t1\n", "error: line 1: `begin` is no type of an event"),
        ("0\t:invoke\t:swap\t1\n", "error: line 1: the operation `swap` is unknown"),
        ("0\t:invoke\t:write\t[1\n", "error: line 1: `[1` is no value"),
        ("0\t:invoke\t:cas\t1\n", "error: line 1: a cas needs a value `[expected new]`"),
        (
            "0\t:invoke\t:write\t1\n0\t:ok\t:write\t2\n",
            "error: line 2: process 0 completes `write 2` although it began `write 1`",
        ),
        ("0\t:invoke\t:write\t1\n0\t:ok\t:write\t1", "error: line 2: the input ends within it"),
        ("INFO jepsen.util - 0 :invoke\n", "error: line 1: an operation has four columns"),
        ("oh\t:invoke\t:write\t1\n", "error: line 1: `oh` is no process"),
        ("0\t:invoke\t:write\t1 2\n", "error: line 1: `1 2` is no value"),
        ("INFO  jepsen.core - nothing\n", "error: there is no operation in it"),
    ] {
        check(text, expected);
    }
}

#[test]
fn recorded_logs_are_read_whole() {
    for (name, text) in as_log::logs() {
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let count = |what: &str| words.matches(what).count();
        assert_eq!(detect(text.as_bytes()), Some(Format::JepsenLog));
        let options = Options::default();
        let contents = read(Format::JepsenLog, text.as_bytes(), &options).expect("a good log");
        let loaded = contents.operations(&options).expect("operations");
        assert_eq!(loaded.specification, Specification::CasRegister);
        let operations = &loaded.objects[0].operations;
        let of = |outcome| operations.iter().filter(|o| o.outcome == outcome).count();
        assert_eq!(of(Outcome::Ok), count(" :ok"), "{name}");
        assert_eq!(of(Outcome::Fail), count(" :fail :cas ["), "{name}");
        assert_eq!(operations.len(), count(" :invoke"), "{name}");
    }
}
