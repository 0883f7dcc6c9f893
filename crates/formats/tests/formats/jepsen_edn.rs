//! Jepsen's operation maps.

use locktest_checker::Specification;
use locktest_formats::{Format, Stamps};

use crate::render;

fn check(text: &str, expected: &str) {
    render::check(Format::JepsenEdn, "", text, expected);
}

const REGISTER: &str = "0 write(3) 1..3 ok\n1 read(3) 2..4 ok";

#[test]
fn a_vector_lines_and_records_read_the_same() {
    for text in [
        "{:type :invoke, :f :write, :value 3, :process 0, :time 10, :index 0}
         {:type :invoke, :f :read, :value nil, :process 1, :time 11, :index 1}
         {:type :ok, :f :write, :value 3, :process 0, :time 12, :index 2}
         {:type :ok, :f :read, :value 3, :process 1, :time 13, :index 3}",
        "[{:process 0 :type :invoke :f :write :value 3} {:process 1 :type :invoke :f :read :value nil}
         {:process 0 :type :ok :f :write :value 3}{:process 1 :type :ok :f :read :value 3}]",
        "; a comment\n#jepsen.history.Op{:index 0, :time 1, :type :invoke, :process 0, :f :write, :value 3}
         #jepsen.history.Op {:index 1, :time 1, :type :invoke, :process 1, :f :read, :value nil}
         #jepsen.history.Op{:index 2, :time 2, :type :ok, :process 0, :f :write, :value 3}
         #_ {:ignored true}
         #jepsen.history.Op{:index 3, :time 2, :type :ok, :process 1, :f :read, :value 3}",
    ] {
        check(text, REGISTER);
    }
}

#[test]
fn the_nemesis_counts_as_events_and_as_nothing_else() {
    check(
        "{:type :info, :f :start, :process :nemesis, :value {:a #{1}}}
         {:type :invoke, :f :acquire, :process 4, :value nil}
         {:type :info, :f :start, :process :nemesis, :value \"cut off [n1 n2}\"}
         {:type :ok, :f :acquire, :process 4, :value nil}",
        "4 acquire 2..4 ok",
    );
}

#[test]
fn a_fail_says_that_nothing_happened_and_a_try_that_it_was_denied() {
    check(
        "{:process 0 :type :invoke :f :acquire}{:process 0 :type :fail :f :acquire}
         {:process 0 :type :invoke :f :try}{:process 0 :type :fail :f :try}
         {:process 0 :type :invoke :f :try-acquire}{:process 0 :type :fail :f :try-acquire :error [:timeout {:via 1}]}
         {:process 0 :type :invoke :f :try-acquire}{:process 0 :type :fail :f :try-acquire :value :timeout}
         {:process 0 :type :invoke :f :try-acquire}{:process 0 :type :fail :f :try-acquire :error nil}",
        "0 try 3..4 fail\n0 try 9..10 fail",
    );
    check(
        "{:process 0 :type :invoke :f :cas :value [1 2]}{:process 0 :type :fail :f :cas :value [1 2]}
         {:process 0 :type :invoke :f :read}{:process 0 :type :ok :f :read :value nil}",
        "0 read(nil) 3..4 ok",
    );
}

#[test]
fn an_info_is_open_for_ever_whatever_its_value() {
    check(
        "{:process 0 :type :invoke :f :write :value 1}{:process 0 :type :info :f :write :value :timed-out :error :x}
         {:process 1 :type :invoke :f :read}{:process 1 :type :info :f :read}",
        "0 write(1) 1.. info",
    );
}

#[test]
fn keys_stand_in_front_of_the_value_or_in_a_field() {
    let expected = "x:\n0 write(1) 1..3 ok\ny:\n1 cas(nil,2) 2..4 ok";
    check(
        "{:process 0 :type :invoke :f :write :value [\"x\" 1]}
         {:process 1 :type :invoke :f :cas :value [\"y\" [nil 2]]}
         {:process 0 :type :ok :f :write :value [\"x\" 1]}
         {:process 1 :type :ok :f :cas :value [\"y\" [nil 2]]}",
        expected,
    );
    check(
        "{:process 0 :type :invoke :f :write :key \"x\" :value 1}
         {:process 1 :type :invoke :f :cas :key \"y\" :value [nil 2]}
         {:process 0 :type :ok :f :write :value 1}
         {:process 1 :type :ok :f :cas :key \"y\"}",
        expected,
    );
    check(
        "{:process 0 :type :invoke :f :acquire :value [7 nil]}{:process 0 :type :ok :f :acquire :value nil}",
        "7:\n0 acquire 1..2 ok",
    );
}

#[test]
fn a_number_and_a_string_are_different_keys_and_values() {
    let text = "{:process 0 :type :invoke :f :write :key 1 :value 1}{:process 0 :type :ok :f :write}
                {:process 0 :type :invoke :f :read :key \"1\"}{:process 0 :type :ok :f :read :value \"1\"}";
    check(text, "1:\n0 write(1) 1..2 ok\n1:\n0 read(\"1\") 3..4 ok");
}

#[test]
fn a_pair_is_a_value_where_there_are_no_keys() {
    check(
        "{:process 0 :type :invoke :f :read}{:process 0 :type :ok :f :read :value [1 2]}
         {:process 0 :type :invoke :f :write :value [3 4]}{:process 0 :type :ok :f :write :value [3 4]}",
        "0 read([1 2]) 1..2 ok\n0 write([3 4]) 3..4 ok",
    );
}

#[test]
fn a_key_value_store_holds_text() {
    check(
        "{:process 0, :type :invoke, :f :put, :key \"a\", :value \"x\"}{:process 0, :type :ok, :f :put, :key \"a\", :value \"x\"}
         {:process 0, :type :invoke, :f :append, :key \"a\", :value 7}{:process 0, :type :ok, :f :append, :key \"a\", :value 7}
         {:process 0, :type :invoke, :f :get, :key \"a\", :value nil}{:process 0, :type :ok, :f :get, :key \"a\", :value \"x7\"}
         {:process 0, :type :invoke, :f :get, :key \"b\", :value nil}{:process 0, :type :ok, :f :get, :key \"b\", :value \"\"}",
        "a:\n0 put(x) 1..2 ok\n0 append(7) 3..4 ok\n0 get(x7) 5..6 ok\nb:\n0 get(nil) 7..8 ok",
    );
}

#[test]
fn locks_are_called_by_several_names() {
    check(
        "{:process :a :type :invoke :f :acquire-shared}{:process :a :type :ok :f :acquire-shared}
         {:process :a :type :invoke :f :release-read}{:process :a :type :ok :f :release-read}
         {:process :a :type :invoke :f :acquire-write}{:process :a :type :ok :f :acquire-write}
         {:process :a :type :invoke :f :release-write}{:process :a :type :ok :f :release-write}
         {:process :a :type :invoke :f :try-read}{:process :a :type :fail :f :try-read}",
        "a acquire-read 1..2 ok\na release-read 3..4 ok\na acquire 5..6 ok\na release 7..8 ok\na try-read 9..10 fail",
    );
}

#[test]
fn a_history_speaks_of_the_object_that_its_operations_are_of() {
    for (events, expected) in [
        (":f :acquire", Specification::OwnerMutex),
        (":f :acquire :token 4", Specification::FencedMutex),
        (":f :acquire-read", Specification::ReadWriteLock),
        (":f :write :value 1", Specification::CasRegister),
        (":f :append :value 1", Specification::KeyValue),
        (":f :write :token 1", Specification::FencedResource),
    ] {
        let text =
            format!("{{:process 0 :type :invoke {events}}}{{:process 0 :type :ok {events}}}");
        let loaded = render::load(Format::JepsenEdn, &text, &render::options("")).expect(&text);
        assert_eq!(loaded.specification, expected, "{text}");
        assert_eq!(loaded.stamps, Stamps::Events);
    }
}

const LEASE: &str =
    "{:process 0 :type :invoke :f :acquire :time 5}{:process 0 :type :ok :f :acquire :time 9}
    {:process 0 :type :invoke :f :renew :time 9}{:process 0 :type :ok :f :renew :time 12}";

#[test]
fn a_lease_is_checked_by_the_clock_and_only_a_lease_is_renewed() {
    let model = "lease-mutex:1s";
    render::check(Format::JepsenEdn, model, LEASE, "0 acquire 5..9 ok\n0 renew 9..12 ok");
    render::check(Format::JepsenEdn, "owner-mutex", LEASE, "0 acquire 1..2 ok");
    let timeless = LEASE.replace(":time 9}", "}");
    let expected = "error: event 2 (line 1): it has no time, which the model needs";
    render::check(Format::JepsenEdn, model, &timeless, expected);
}

#[test]
fn every_contradiction_is_named_with_its_event() {
    for (text, expected) in [
        (
            "{:process 0 :type :invoke :f :txn}",
            "error: event 1 (line 1): the operation `txn` is unknown",
        ),
        ("{:process 0 :type :begin :f :read}", "error: event 1 (line 1): `begin` is no type"),
        (
            "{:process 0 :type invoke :f :read}",
            "error: event 1 (line 1): its `:type` has to be a keyword",
        ),
        ("{:type :invoke :f :read}", "error: event 1 (line 1): `nil` is no process"),
        ("{:process 1.5 :type :invoke :f :read}", "error: event 1 (line 1): `1.5` is no process"),
        (
            "{:process 0 :process 0 :type :invoke :f :read}",
            "error: event 1 (line 1): it has two fields `:process`",
        ),
        (
            "{:process 0 :type :invoke :f :read}\n\n{:process 0 :type :invoke :f :read}",
            "error: event 2 (line 3): process 0 begins `read` while its `read` is open",
        ),
        (
            "{:process 0 :type :ok :f :read :value 1}",
            "error: event 1 (line 1): process 0 completes `read`, which",
        ),
        (
            "{:process 0 :type :invoke :f :cas :value [1 2]}{:process 0 :type :ok :f :cas :value [1 3]}",
            "error: event 2 (line 1): process 0 completes `cas [1 3]` although it began `cas [1 2]`",
        ),
        (
            "{:process 0 :type :invoke :f :write :key 1 :value 1}{:process 0 :type :ok :f :write :key 2 :value 1}",
            "error: event 2 (line 1): process 0 completes `write 1` of key 2 although it began `write 1` of key 1",
        ),
        (
            "{:process 0 :type :invoke :f :read :time 5}{:process 1 :type :invoke :f :read :time 4}",
            "error: event 2 (line 1): its time 4 is not after 5",
        ),
        (
            "{:process 0 :type :invoke :f :read :index 5}{:process 1 :type :invoke :f :read :index 5}",
            "error: event 2 (line 1): its index 5 is not after 5",
        ),
        (
            "{:process 0 :type :invoke :f :acquire}{:process 1 :type :invoke :f :read}",
            "error: event 2 (line 1): `read` is no operation of a lock; check one kind of object",
        ),
        (
            "{:process 0 :type :invoke :f :read}{:process 1 :type :invoke :f :read :key 1}",
            "error: event 2 (line 1): some operations name a key and others do not",
        ),
        (
            "{:process 0 :type :invoke :f :write :value [1 2]}{:process 1 :type :invoke :f :read :value nil}",
            "error: event 2 (line 1): some operations name a key and others do not",
        ),
        (
            "{:process 0 :type :invoke :f :acquire :value 5}",
            "error: event 1 (line 1): its value is neither a key",
        ),
        (
            "{:process 0 :type :invoke :f :acquire :token 0}",
            "error: event 1 (line 1): tokens count from 1",
        ),
        (
            "{:process 0 :type :invoke :f :acquire :token -1}",
            "error: event 1 (line 1): a token is not below zero",
        ),
        (
            "{:process 0 :type :invoke :f :write}",
            "error: event 1 (line 1): it does not say what it writes",
        ),
        (
            "{:process 0 :type :invoke :f :write :value {:a 1}}",
            "error: event 1 (line 1): a map or a set can be",
        ),
        (
            "{:process 0 :type :invoke :f :put :value [1]}",
            "error: event 1 (line 1): the value of a key has to be",
        ),
        (
            "{:process 0 :type :invoke :f :get :value \"k\"}",
            "error: event 1 (line 1): it has a value before it has",
        ),
        (
            "{:process 0 :type :invoke :f :read}{:process 0 :type :ok :f :read}",
            "error: event 2 (line 1): it does not say what it read",
        ),
        ("{:process 0 :type :invoke :f :read", "error: event 1 (line 1): the input ends within it"),
        (
            "[{:process 0 :type :invoke :f :read}\n",
            "error: event 1 (line 2): the input ends within it",
        ),
        (
            "[{:process 0 :type :invoke :f :read}] 7",
            "error: event 1 (line 1): something follows the end",
        ),
        ("[1 2]", "error: event 1 (line 1): it is not a map of an operation"),
        ("{\"process\" 0}", "error: event 1 (line 1): an operation's fields are named by keywords"),
        ("[]", "error: there is no operation in it"),
        ("", "error: there is no operation in it"),
    ] {
        check(text, expected);
    }
}

#[test]
fn an_exception_is_passed_over_however_long_it_is() {
    let causes = "{:type java.net.ConnectException, :message \"no\\\"\"} ".repeat(50_000);
    let text = format!(
        "{{:process 0 :type :invoke :f :acquire}}{{:process 0 :type :info :f :acquire \
         :exception {{:via [{causes}] :trace [#object[Foo 0x1f \"}}]\"] \\a \\newline]}}}}"
    );
    assert!(text.len() < 4 << 20);
    check(&text, "0 acquire 1.. info");
}

#[test]
fn a_form_beyond_the_limit_is_an_error_of_its_own() {
    let text = format!("{{:process 0 :value \"{}\"}}", "x".repeat(5 << 20));
    check(&text, "error: line 1: it is longer than 4194304 bytes, which no event is");
}
