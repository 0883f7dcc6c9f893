use locktest_analyzer::PropertyOutcome;

use super::*;
use crate::testing;

fn render(verdict: &Verdict, width: usize, colour: bool) -> String {
    let paths = Paths {
        run_dir: "/home/ops/store/20260801-consul-partition-1".into(),
        report: "/home/ops/store/20260801-consul-partition-1/report.html".into(),
    };
    render_verdict(verdict, &testing::history(5), Some(&paths), Style { width, colour })
}

fn snapshot(name: &str, verdict: &Verdict) {
    let render = |style: Style| render(verdict, style.width, style.colour);
    for (name, text) in testing::on_terminals(name, render) {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn a_held_run() {
    snapshot("held", &testing::held());
}

#[test]
fn a_double_grant() {
    snapshot("violated", &testing::violated());
}

#[test]
fn a_lease_overrun() {
    snapshot("needs_fencing", &testing::needs_fencing());
}

#[test]
fn a_run_that_decided_nothing() {
    snapshot("undecided", &testing::undecided());
}

#[test]
fn a_read_of_the_past() {
    snapshot("stale_read", &testing::stale_read());
}

#[test]
fn what_each_server_said_to_the_owners_of_a_redlock() {
    snapshot("split_redlock", &testing::split_redlock());
}

#[test]
fn more_nodes_than_fit_are_left_to_the_page() {
    let mut verdict = testing::held();
    verdict.cost = vec![verdict.cost[0].clone(); 12];
    let block = render(&verdict, 80, false);
    assert!(block.contains("\n 3 more in the report\n"), "{block}");
    verdict.cost.clear();
    assert!(!render(&verdict, 80, false).contains("memory"));
}

const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const RED: &str = "\u{1b}[31m";

#[test]
fn needs_fencing_is_yellow_and_never_green() {
    let block = render(&testing::needs_fencing(), 80, true);
    let first = block.lines().next().expect("a headline");
    assert!(first.contains("NEEDS FENCING"), "{first:?}");
    assert!(first.contains(YELLOW) && !first.contains(GREEN), "{first:?}");
    let safety = block.lines().find(|line| line.starts_with(" SAFETY")).expect("a safety row");
    assert!(safety.contains(YELLOW) && !safety.contains(GREEN), "{safety:?}");
}

#[test]
fn only_a_held_run_has_a_green_headline() {
    let headline =
        |verdict| render(&verdict, 80, true).lines().next().unwrap_or_default().to_owned();
    assert!(headline(testing::held()).contains(GREEN));
    assert!(headline(testing::violated()).contains(RED));
    assert!(headline(testing::undecided()).contains(YELLOW));
    for verdict in [testing::violated(), testing::undecided()] {
        assert!(!headline(verdict).contains(GREEN));
    }
}

#[test]
fn a_run_that_held_without_testing_safety_is_not_green() {
    let mut verdict = testing::held();
    verdict.properties.safety.outcome = PropertyOutcome::NotTested;
    let block = render(&verdict, 80, true);
    assert!(!block.lines().next().unwrap_or_default().contains(GREEN));
}

#[test]
fn the_violation_that_is_drawn_is_the_services_own() {
    let mut verdict = testing::violated();
    let overrun = testing::needs_fencing().violations.remove(0);
    verdict.violations.insert(0, overrun);
    let block = render(&verdict, 80, false);
    assert!(block.contains("first double-grant at 14.31 s"), "{block}");
}

#[test]
fn of_many_changes_of_leader_the_first_are_shown_and_the_rest_are_counted() {
    let mut verdict = testing::held();
    let change = verdict.leader_changes[0].clone();
    verdict.leader_changes = vec![change; 8];
    let block = render(&verdict, 80, false);
    assert_eq!(block.matches("n4 from 15.10 s (told by n3)").count(), MAX_LEADER_CHANGES);
    assert!(block.contains("   3 more in the report\n"), "{block}");
}

#[test]
fn text_from_outside_can_neither_move_the_cursor_nor_flood_the_screen() {
    let hostile = format!("\u{1b}[2J\u{202e}evil\u{7}\r\n{}", "x".repeat(10_000));
    let mut verdict = testing::violated();
    verdict.summary = hostile.clone();
    verdict.properties.safety.why = hostile.clone();
    verdict.not_tested = vec![hostile.clone(); 100];
    verdict.command = hostile.clone();
    for violation in &mut verdict.violations {
        violation.key = hostile.clone();
        violation.why = hostile.clone();
        violation.during = Some(hostile.clone());
        for operation in &mut violation.operations {
            operation.client.push_str(&hostile);
            operation.token = Some(hostile.clone());
            operation.server = Some(hostile.clone());
        }
    }
    verdict.faults = (1..=300)
        .map(|id| {
            let mut fault = testing::fault(id, f64::from(id), f64::from(id) + 0.5);
            fault.description = hostile.clone();
            fault.proof = vec![hostile.clone(); 20];
            fault
        })
        .collect();
    for change in &mut verdict.leader_changes {
        change.leader = hostile.clone();
    }
    let block = render(&verdict, 80, false);
    assert!(!block.contains(['\u{1b}', '\u{202e}', '\u{7}', '\r']));
    assert!(block.lines().count() < 400, "{} lines", block.lines().count());
}

#[test]
fn times_that_make_no_sense_do_no_harm() {
    let mut verdict = testing::violated();
    for (violation, time_ns) in verdict.violations.iter_mut().zip([0, u64::MAX]) {
        violation.time_ns = time_ns;
        for operation in &mut violation.operations {
            std::mem::swap(&mut operation.invoke_ns, &mut violation.time_ns);
            operation.complete_ns = Some(u64::MAX);
            operation.contract_end_ns = Some(0);
            operation.belief_end_ns = None;
        }
    }
    verdict.faults[0].begin_ns = u64::MAX;
    verdict.longest_gap_ms = Some(f64::NAN);
    assert!(render(&verdict, 0, false).contains("VIOLATED"));
    verdict.violations.swap(0, 1);
    assert!(render(&verdict, usize::MAX, true).contains("VIOLATED"));
}

#[test]
fn the_intended_starts_have_a_table_only_where_the_actual_ones_hide_something() {
    let mut verdict = testing::held();
    assert!(render(&verdict, 80, false).contains("intended ms"));
    verdict.latency.acquire_intended = Some(verdict.latency.acquire.clone());
    assert!(!render(&verdict, 80, false).contains("intended"));
}

fn live(fault: Option<&str>) -> Progress {
    let fault = fault.map(str::to_owned);
    Progress { elapsed_s: 12.4, end_s: 62.0, ok: 345, failed: 6, unknown: 7, fault }
}

#[test]
fn the_live_line_of_a_quiet_run() {
    for (name, text) in testing::on_terminals("live_quiet", |style| live_line(&live(None), style)) {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn the_live_line_names_the_fault_as_far_as_there_is_room() {
    let progress =
        live(Some("partition n5 | n1 n2; n3 | n1 n4; n2 | n4, of clients c1 c2 c3\u{202e}"));
    for (name, text) in testing::on_terminals("live_fault", |style| live_line(&progress, style)) {
        insta::assert_snapshot!(name, text);
    }
    let many = Progress { ok: u64::MAX, failed: u64::MAX, unknown: u64::MAX, ..progress };
    assert!(
        live_line(&many, Style { width: 80, colour: false })
            .ends_with("unknown 18446744073709551615   ...")
    );
}
