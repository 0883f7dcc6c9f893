use std::io::Write;
use std::process::{Command, Stdio};

use locktest_history::{
    Aim, Between, Direction, DrawnFault, FaultKind, PacketFate, PlannedFault, Target,
};
use roxmltree::{Document, Node};

use super::*;
use crate::testing;

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/junit.xsd");

fn junit(verdict: &Verdict) -> String {
    let xml = render_junit(verdict, &testing::history(5));
    is_valid(&xml);
    xml
}

/// What the schema says, checked without it: xmllint is not everywhere.
fn is_valid(xml: &str) {
    let document = Document::parse(xml).unwrap_or_else(|error| panic!("{error}\n{xml}"));
    check(document.root_element(), None).unwrap_or_else(|error| panic!("{error}\n{xml}"));
    let has_xmllint = Command::new("xmllint").arg("--version").output().is_ok();
    if has_xmllint {
        by_schema(xml).unwrap_or_else(|errors| panic!("{errors}\n{xml}"));
    }
}

/// What xmllint says against a document.
fn by_schema(xml: &str) -> Result<(), String> {
    let mut lint = Command::new("xmllint")
        .args(["--noout", "--nonet", "--schema", SCHEMA, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("xmllint starts");
    let mut input = lint.stdin.take().expect("it is piped");
    input.write_all(xml.as_bytes()).expect("xmllint reads");
    drop(input);
    let output = lint.wait_with_output().expect("xmllint ends");
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// An element: its parent, the attributes that it must have, and those that it may have.
type Rule = (&'static str, Option<&'static str>, &'static [&'static str], &'static [&'static str]);

const COUNTS: [&str; 4] = ["tests", "failures", "errors", "skipped"];

const RULES: [Rule; 10] = [
    ("testsuites", None, &["tests", "failures", "errors"], &["name", "skipped", "time"]),
    (
        "testsuite",
        Some("testsuites"),
        &["name", "tests", "failures", "errors"],
        &["skipped", "time", "timestamp"],
    ),
    ("properties", Some("testsuite"), &[], &[]),
    ("property", Some("properties"), &["name", "value"], &[]),
    ("testcase", Some("testsuite"), &["name", "classname"], &["time"]),
    ("failure", Some("testcase"), &["message", "type"], &[]),
    ("error", Some("testcase"), &["message", "type"], &[]),
    ("skipped", Some("testcase"), &["message"], &[]),
    ("system-out", Some("testcase"), &[], &[]),
    ("system-out", Some("testsuite"), &[], &[]),
];

/// The first thing that is wrong with an element or with what is in it.
fn check(element: Node, parent: Option<&str>) -> Result<(), String> {
    let name = element.tag_name().name();
    let rule = RULES.into_iter().find(|(known, of, ..)| *known == name && *of == parent);
    let (_, _, required, optional) = rule.ok_or(format!("{name} in {parent:?}"))?;
    for attribute in element.attributes() {
        let (attribute, value) = (attribute.name(), attribute.value());
        if !required.contains(&attribute) && !optional.contains(&attribute) {
            return Err(format!("{name} has {attribute}"));
        }
        if COUNTS.contains(&attribute) && value.parse::<u32>().is_err() {
            return Err(format!("{attribute} is {value}"));
        }
    }
    if let Some(missing) = required.iter().find(|name| !element.has_attribute(**name)) {
        return Err(format!("{name} lacks {missing}"));
    }
    if name == "testsuite" {
        for (total, child) in [("failures", "failure"), ("errors", "error"), ("tests", "testcase")]
        {
            let found = element.descendants().filter(|node| node.has_tag_name(child)).count();
            if element.attribute(total) != Some(found.to_string().as_str()) {
                return Err(format!("{found} of {child}, {total} says otherwise"));
            }
        }
    }
    element.children().filter(Node::is_element).try_for_each(|child| check(child, Some(name)))
}

/// What became of each case: the name of its first child, `pass` if it has none.
fn cases(xml: &str) -> Vec<(String, String)> {
    let document = Document::parse(xml).expect("well-formed");
    let cases = document.descendants().filter(|node| node.has_tag_name("testcase"));
    let result = |case: Node| {
        case.first_element_child().map_or("pass", |child| child.tag_name().name()).to_owned()
    };
    cases.map(|case| (case.attribute("name").expect("a name").to_owned(), result(case))).collect()
}

fn results(verdict: &Verdict) -> [String; 4] {
    let cases = cases(&junit(verdict));
    let names: Vec<&str> = cases.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["safety", "deadlock-free", "fault-tolerance", "fencing"]);
    [0, 1, 2, 3].map(|n| cases[n].1.clone())
}

#[test]
fn a_violated_run_has_a_failure_with_its_first_violation() {
    insta::assert_snapshot!("violated", junit(&testing::violated()));
}

#[test]
fn a_case_is_of_the_store_and_of_the_faults_that_were_asked_for() {
    let drawn = |kind| {
        PlannedFault::Drawn(DrawnFault {
            kind,
            aim: Aim::Target(Target::One),
            order: Vec::new(),
            servers: 1,
            client_order: Vec::new(),
            clients: 0,
            between: Between::Servers,
            direction: Direction::Both,
            packets: PacketFate::Drop,
            skew: None,
            length_ms: 1000,
        })
    };
    let mut history = testing::history(5);
    history.run.plan.schedule =
        [FaultKind::Pause, FaultKind::Kill, FaultKind::Pause].map(drawn).into();
    let xml = render_junit(&testing::held(), &history);
    assert!(xml.contains(r#"classname="consul.kill+pause""#), "{xml}");
}

#[test]
fn each_outcome_has_its_kind_of_case() {
    assert_eq!(results(&testing::held()), ["pass"; 4]);
    assert_eq!(results(&testing::violated()), ["failure", "pass", "pass", "skipped"]);
    assert_eq!(results(&testing::undecided()), ["error", "skipped", "skipped", "skipped"]);
    assert_eq!(results(&testing::stale_read()), ["failure", "skipped", "pass", "skipped"]);
}

#[test]
fn what_needs_fencing_passes_with_a_note_and_overruns_fail_where_they_violate() {
    assert_eq!(results(&testing::needs_fencing()), ["system-out", "pass", "pass", "pass"]);
    let mut verdict = testing::needs_fencing();
    verdict.properties.safety.outcome = PropertyOutcome::Violated;
    assert_eq!(results(&verdict)[0], "failure");
    assert!(junit(&verdict).contains(r#"type="lease-overrun""#));
}

#[test]
fn words_from_outside_are_neither_markup_nor_forbidden_characters() {
    let hostile = "]]></failure>\u{0}\u{1b}[2J<b a=\"'&\u{fffe}\u{ffff}\u{202e}\r\n\t";
    let mut verdict = testing::violated();
    verdict.version = hostile.into();
    verdict.command = hostile.into();
    verdict.run_id = hostile.into();
    verdict.properties.safety.why = hostile.into();
    verdict.properties.deadlock_free =
        locktest_analyzer::Property { outcome: PropertyOutcome::Undecided, why: hostile.into() };
    for violation in &mut verdict.violations {
        violation.key = hostile.into();
        violation.why = hostile.into();
        violation.during = Some(hostile.into());
    }
    let xml = junit(&verdict);
    let document = Document::parse(&xml).expect("well-formed");
    let failure = document.descendants().find(|node| node.has_tag_name("failure"));
    let message = failure.and_then(|failure| failure.attribute("message")).expect("a message");
    let shown = "]]></failure>\u{fffd}\u{fffd}[2J<b a=\"'&\u{fffd}\u{fffd}\u{fffd}   ";
    assert_eq!(message, shown);
}

#[test]
fn the_schema_refuses_what_is_no_report() {
    let xml = junit(&testing::held());
    let refused = [
        xml.replace("testcase", "case"),
        xml.replace("errors=\"0\"", ""),
        xml.replace("tests=\"4\"", "tests=\"four\""),
    ];
    let has_xmllint = Command::new("xmllint").arg("--version").output().is_ok();
    for wrong in refused {
        let document = Document::parse(&wrong).expect("well-formed");
        assert!(check(document.root_element(), None).is_err(), "{wrong}");
        assert!(!has_xmllint || by_schema(&wrong).is_err(), "{wrong}");
    }
}
