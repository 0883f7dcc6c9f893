//! JSON lines of operations.

use locktest_formats::Format;

use crate::render;

fn check(text: &str, expected: &str) {
    render::check(Format::Jsonl, "", text, expected);
}

#[test]
fn each_object_is_one_end_of_an_operation() {
    check(
        r#"{"process":0,"type":"invoke","f":"acquire","key":"k","node":"n1"}
{"process":"c2","type":"invoke","f":"try-acquire","key":"k"}

{"process":0,"type":"ok","f":"acquire","key":"k","token":7}
{"process":"c2","type":"fail","f":"try-acquire"}
{"process":0,"type":"invoke","f":"release","key":"j"}
"#,
        "k:\n0 acquire#7 1..4 ok\nc2 try 2..5 fail\nj:\n0 release 6.. info",
    );
}

#[test]
fn a_fail_without_an_error_is_the_objects_answer() {
    check(
        r#"{"process":0,"type":"invoke","f":"cas","value":[1,2]}
{"process":0,"type":"fail","f":"cas"}
{"process":0,"type":"invoke","f":"cas","value":[1,2]}
{"process":0,"type":"fail","f":"cas","error":"no connection"}
{"process":0,"type":"invoke","f":"write","value":null}
{"process":0,"type":"ok","f":"write"}
"#,
        "0 cas(1,2) 1..2 fail\n0 write(nil) 5..6 ok",
    );
}

#[test]
fn an_access_with_a_token_is_of_a_fenced_resource() {
    check(
        r#"{"process":0,"type":"invoke","f":"read","token":1}
{"process":0,"type":"ok","f":"read","value":5}
{"process":0,"type":"invoke","f":"write","token":1,"value":6}
{"process":0,"type":"fail","f":"write"}
"#,
        "0 guarded-read#1 1..2 ok\n0 guarded-write#1 3..4 fail",
    );
}

#[test]
fn a_lease_is_checked_by_the_clock() {
    let text = r#"{"process":0,"type":"invoke","f":"acquire","time_ns":100}
{"process":0,"type":"ok","f":"acquire","time_ns":100}
"#;
    render::check(Format::Jsonl, "lease-mutex:1s", text, "0 acquire 100..100 ok");
    let text = text.replacen("100", "101", 1);
    let expected = "error: line 2: its time 100 is not after 101";
    render::check(Format::Jsonl, "lease-mutex:1s", &text, expected);
    check(&text, expected);
}

#[test]
fn every_contradiction_is_named_with_its_line() {
    for (text, expected) in [
        ("{\"process\":0}\n", "error: line 1: it is no operation in JSON: missing field `type`"),
        ("nonsense\n", "error: line 1: it is no operation in JSON: expected ident"),
        ("{\"process\":0,\"type\":\"inv", "error: line 1: the input ends within it"),
        (r#"{"process":0.5,"type":"invoke","f":"read"}"#, "error: line 1: `0.5` is no process"),
        (
            r#"{"process":0,"type":"ok","f":"release"}"#,
            "error: line 1: process 0 completes `release`",
        ),
        (
            r#"{"process":0,"type":"invoke","f":"lock"}"#,
            "error: line 1: the operation `lock` is unknown",
        ),
        (r#"{"process":0,"type":"go","f":"read"}"#, "error: line 1: `go` is no type of an event"),
        (
            r#"{"process":0,"type":"invoke","f":"write","value":18446744073709551617}"#,
            "error: line 1: 1.8446744073709552e+19 is no integer of 64 bits",
        ),
        (
            r#"{"process":0,"type":"invoke","f":"write","value":{}}"#,
            "error: line 1: a map or a set can be",
        ),
        (
            r#"{"process":0,"type":"invoke","f":"read","key":{}}"#,
            "error: line 1: a map or a set is no key",
        ),
        (
            "{\"process\":0,\"type\":\"invoke\",\"f\":\"read\",\"value\":[[[[\n",
            "error: line 1: it is no operation in JSON: EOF",
        ),
        ("", "error: there is no operation in it"),
    ] {
        check(text, expected);
    }
}
