use super::*;
use crate::testing;

fn summary(verdict: &Verdict) -> String {
    let text = render_markdown(verdict, &testing::history(5));
    tables_are_whole(&text);
    text
}

/// Every row of a table has as many cells as the line below its heading.
fn tables_are_whole(text: &str) {
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let mut columns = None;
    for line in text.lines() {
        match (line.starts_with('|'), columns) {
            (false, _) => columns = None,
            (true, None) => columns = Some(cells(line)),
            (true, Some(columns)) => assert_eq!(cells(line), columns, "{line}"),
        }
    }
}

#[test]
fn a_violated_run() {
    insta::assert_snapshot!("violated", summary(&testing::violated()));
}

#[test]
fn a_held_run() {
    insta::assert_snapshot!("held", summary(&testing::held()));
}

#[test]
fn a_run_without_locks_has_the_latency_of_what_it_did() {
    let text = summary(&testing::stale_read());
    for operation in ["read", "write", "cas"] {
        assert!(text.contains(&format!("| {operation} | quiet |")), "{text}");
    }
    assert!(!text.contains("| acquire |"), "{text}");
}

#[test]
fn a_run_that_decided_nothing_has_no_table_of_faults() {
    let text = summary(&testing::undecided());
    assert!(text.starts_with("## locktest: UNDECIDED: "), "{text}");
    assert!(!text.contains("### Faults") && text.contains("### Warnings"), "{text}");
}

#[test]
fn at_most_twenty_faults_are_shown_and_first_those_that_are_in_doubt() {
    let mut verdict = testing::held();
    verdict.faults = (1..=30).map(|id| testing::fault(id, 1.0, 2.0)).collect();
    verdict.faults[28].bit = false;
    let text = summary(&verdict);
    let rows = text.lines().filter(|line| line.contains("partition (leader)")).count();
    assert_eq!(rows, 20, "{text}");
    assert!(text.contains("| 29 | ") && text.contains("**NO**"), "{text}");
    assert!(text.contains("10 more faults in verdict.json"), "{text}");
}

#[test]
fn nothing_from_outside_is_markup() {
    let hostile = "<script>alert(1)</script> | [x](y)\n# z `a` ```";
    let mut verdict = testing::violated();
    verdict.version = hostile.into();
    verdict.command = hostile.into();
    verdict.properties.fencing.why = hostile.into();
    verdict.not_tested = vec![hostile.into()];
    verdict.violations[0].key = hostile.into();
    verdict.violations[0].why = hostile.into();
    verdict.violations[0].during = Some(hostile.into());
    verdict.faults[0].description = hostile.into();
    let text = summary(&verdict);
    let (shown, command) = text.split_once("````sh\n").expect("a longer fence");
    assert!(!shown.contains("<script") && !shown.contains("[x]"), "{shown}");
    assert_eq!(shown.lines().filter(|line| line.starts_with("# ")).count(), 0, "{shown}");
    assert!(command.ends_with("```\n````\n"), "{command}");
}

#[test]
fn the_longest_summary_fits_a_job() {
    let mut verdict = testing::violated();
    verdict.faults = (1..=500).map(|id| testing::fault(id, 1.0, 2.0)).collect();
    for fault in &mut verdict.faults {
        fault.description = "&".repeat(5000);
    }
    verdict.not_tested = vec!["|".repeat(5000); 100];
    verdict.command = "x".repeat(100_000);
    assert!(summary(&verdict).len() < 200_000);
}
