use locktest_analyzer::{Latency, Percentiles, Phases, Verdict};

use super::*;
use crate::bench::{self, Bench};
use crate::terminal::Style;
use crate::testing::{self, on_terminals, percentiles};

fn run(name: &str, verdict: Verdict) -> RunToCompare {
    let differences = match name {
        "store/a" => vec![],
        _ => vec!["hold_ms was 50 and is 7".into(), "schedule is not what it was".into()],
    };
    RunToCompare { name: name.into(), run: testing::history(5).run, verdict, differences }
}

/// A verdict whose acquires take this long in the median.
fn taking(verdict: Verdict, quiet_ms: f64, fault_ms: f64) -> Verdict {
    let fault = percentiles(200, fault_ms);
    let acquire =
        Phases { quiet: percentiles(5000, quiet_ms), fault: fault.clone(), recovery: fault };
    Verdict { latency: Latency { acquire, ..verdict.latency.clone() }, ..verdict }
}

fn two_runs(fail_above_percent: Option<f64>) -> Comparison {
    let runs = [
        run("store/a", taking(testing::held(), 4.0, 30.0)),
        run("store/b", taking(testing::violated(), 4.3, 60.0)),
    ];
    compare_runs(&runs, fail_above_percent)
}

fn terminal(comparison: &Comparison) -> String {
    let text = render_comparison(comparison, Style { width: 160, colour: false });
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    text
}

fn snapshot(name: &str, comparison: &Comparison) {
    for (name, text) in on_terminals(name, |style| render_comparison(comparison, style)) {
        insta::assert_snapshot!(name, text);
    }
}

/// The bench of the tests with every acquire `factor` times as long, and another newest etcd.
fn slower(factor: f64) -> Bench {
    let mut bench = bench::tests::bench();
    let stretch = |percentiles: &mut Percentiles| {
        for ms in [&mut percentiles.median_ms, &mut percentiles.p99_ms].into_iter().flatten() {
            *ms *= factor;
        }
    };
    for measurement in bench.cells.iter_mut().flat_map(|cell| &mut cell.measurements) {
        stretch(&mut measurement.wait_included.quiet);
        stretch(&mut measurement.attempt_alone.quiet);
    }
    bench
}

fn benches(later: Bench, fail_above_percent: Option<f64>) -> Comparison {
    let of = |name: &str, bench| BenchToCompare { name: name.into(), bench, differences: vec![] };
    compare_benches(
        &[of("store/old", bench::tests::bench()), of("store/new", later)],
        fail_above_percent,
    )
}

#[test]
fn two_runs_stand_side_by_side_on_a_terminal() {
    snapshot("runs_terminal", &two_runs(Some(10.0)));
}

#[test]
fn markdown_has_the_same_tables() {
    insta::assert_snapshot!("runs_markdown", render_comparison_markdown(&two_runs(None)));
}

#[test]
fn two_benches_stand_side_by_side_with_intervals() {
    snapshot("benches_terminal", &benches(slower(1.5), Some(10.0)));
}

#[test]
fn a_ratio_is_of_a_figure_and_its_interval_tells_chance_from_cause() {
    let comparison = benches(slower(1.5), None);
    let table = comparison.tables.iter().find(|table| table.title == "Acquire median ms, quiet");
    let cell = &table.expect("the medians").rows[0].cells[1];
    let ratio = cell.ratio.expect("a ratio");
    assert!((ratio.to_first - 1.5).abs() < 1e-9, "{ratio:?}");
    assert!(ratio.interval.expect("two repeats").excludes_one, "{ratio:?}");
    assert_eq!(comparison.regressions, [""; 0]);
}

#[test]
fn a_single_repeat_is_said_to_have_no_interval() {
    let mut later = slower(1.5);
    for cell in &mut later.cells {
        cell.measurements.truncate(1);
    }
    let text = terminal(&benches(later, None));
    assert!(text.contains("B: one repeat: no interval") && !text.contains("[1."), "{text}");
}

#[test]
fn what_is_slower_by_more_than_the_limit_is_a_regression_and_what_is_not_is_none() {
    let found = two_runs(Some(10.0)).regressions;
    assert_eq!(
        found,
        [
            "acquire median ms, fault: 60.00 in B, 100 % more than 30.00 in A",
            "acquire p99 ms, fault: 246.0 in B, 100 % more than 123.0 in A",
        ]
    );
    assert_eq!(two_runs(Some(5.0)).regressions.len(), 4);
    assert_eq!(two_runs(Some(101.0)).regressions, [""; 0]);
    assert_eq!(benches(slower(1.5), Some(60.0)).regressions, [""; 0]);
    // Median and 99th percentile of six cells.
    assert_eq!(benches(slower(1.5), Some(40.0)).regressions.len(), 12);
}

#[test]
fn a_later_run_without_any_acquire_is_a_regression() {
    let runs = [run("store/a", testing::held()), run("store/b", testing::undecided())];
    let found = compare_runs(&runs, Some(1000.0)).regressions;
    assert!(found[0].starts_with("B has no acquire median ms, quiet"), "{found:?}");
}

#[test]
fn a_cell_that_was_asked_for_and_not_measured_is_a_regression_and_one_that_was_not_is_a_note() {
    let mut failed = bench::tests::bench();
    failed.cells[0].measurements.clear();
    let found = benches(failed, Some(1000.0)).regressions;
    assert!(found[0].contains("etcd, different keys, 1 client"), "{found:?}");
    let mut fewer = bench::tests::bench();
    fewer.cells.remove(0);
    let comparison = benches(fewer, Some(1000.0));
    assert_eq!(comparison.regressions, [""; 0]);
    assert!(comparison.notes.iter().any(|note| note.starts_with("not measured in B: etcd,")));
}

#[test]
fn another_version_of_a_store_is_held_against_the_one_before() {
    let mut later = slower(2.0);
    later.contenders[0].name = "etcd@3.9".into();
    later.contenders[0].version = "3.9".into();
    for cell in later.cells.iter_mut().filter(|cell| cell.contender == "etcd") {
        cell.contender = "etcd@3.9".into();
    }
    let text = terminal(&benches(later, None));
    assert!(text.contains("etcd's version was 3.5.16 and is 3.9"), "{text}");
    assert!(text.contains("x2.00"), "{text}");
}

#[test]
fn many_runs_are_shown_a_few_at_a_time_with_the_first_in_each_table() {
    let names = (0..9).map(|n| run(&format!("store/{n}"), testing::violated()));
    let text = terminal(&compare_runs(&names.collect::<Vec<_>>(), None));
    let heads = text.lines().filter(|line| line.trim_start().starts_with("Verdict"));
    let heads: Vec<&str> = heads.collect();
    assert!(heads.len() > 1 && heads.iter().all(|line| line.contains(" A ")), "{text}");
    assert!(heads.last().is_some_and(|line| line.ends_with('I')), "{text}");
}

#[test]
fn a_row_with_the_widest_figures_has_two_columns_and_gives_up_room_for_its_name() {
    let mut comparison = benches(slower(1.5), None);
    for table in &mut comparison.tables {
        table.title = format!("{} of a title that is as long as its row", table.title);
        for row in &mut table.rows {
            row.name = format!("{} of a store with a name that is long", row.name);
            for cell in &mut row.cells {
                cell.text = "1234567890".into();
            }
        }
    }
    snapshot("widest", &comparison);
}

#[test]
fn no_name_from_outside_is_markup() {
    let hostile = "store/<script>alert(1)</script>|[x](y)\u{202e}";
    let runs = [run(hostile, testing::held()), run(hostile, testing::violated())];
    let comparison = compare_runs(&runs, None);
    let page = render_comparison_html(&comparison);
    for absent in ["<script", "http://", "https://", "<link", "\u{202e}"] {
        assert!(!page.contains(absent), "{absent}");
    }
    for part in ["VIOLATED", "double-grant", "hold_ms was 50 and is 7", ">x1.00<"] {
        assert!(page.contains(part), "{part}");
    }
    let markdown = render_comparison_markdown(&comparison);
    assert!(!markdown.contains("<script") && markdown.contains(r"\|\[x\]"), "{markdown}");
}
