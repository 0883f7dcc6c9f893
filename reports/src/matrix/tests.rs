use locktest_analyzer::{Latency, Phases, Verdict};
use locktest_history::{Aim, FixedFault, History, PlannedFault, Recipe, Workload};

use super::*;
use crate::terminal::Style;
use crate::testing::{self, on_terminals, percentiles};

/// A run of the verdict's store, with each of these kinds planned once.
fn run(name: &str, started_at_unix_s: u64, kinds: &[FaultKind], verdict: &Verdict) -> MatrixRun {
    let History { mut run, .. } = testing::history(5);
    run.started_at_unix_s = started_at_unix_s;
    run.plan.schedule = kinds.iter().map(|kind| planned(*kind)).collect();
    MatrixRun::of(OsStr::new(name), true, &run, verdict)
}

fn planned(kind: FaultKind) -> PlannedFault {
    let fault = locktest_history::Fault {
        kind,
        aim: Aim::Shape(locktest_history::PartitionShape::Halves),
        holder: None,
        servers: vec![],
        clients: vec![],
        cuts: vec![],
        packets: locktest_history::PacketFate::Drop,
        clocks: vec![],
        skew: None,
        length_ms: 1000,
    };
    PlannedFault::Fixed(FixedFault { at_ms: 0, fault })
}

fn etcd(verdict: Verdict, version: &str) -> Verdict {
    let (version, recipe) = (version.to_owned(), Recipe::LockRpc);
    Verdict { backend: Backend::Etcd, recipe, version, ..verdict }
}

fn matrix() -> Matrix {
    const T: u64 = 1_760_000_000;
    let kinds = [FaultKind::Partition, FaultKind::Kill, FaultKind::ClientPause, FaultKind::Clock];
    let slow = |verdict: Verdict| {
        let quiet = percentiles(100, 700.0);
        let acquire =
            Phases { quiet, fault: percentiles(2000, 3.5), recovery: percentiles(9, 1.0) };
        Verdict { latency: Latency { acquire, ..verdict.latency.clone() }, ..verdict }
    };
    let runs = [
        run("1-consul", T, &kinds[..1], &testing::held()),
        run("2-consul", T + 60, &kinds[..1], &testing::violated()),
        run("3-consul", T + 120, &kinds[..1], &slow(testing::held())),
        run("4-consul", T + 180, &[], &testing::undecided()),
        run("5-etcd", T + 240, &kinds, &etcd(testing::needs_fencing(), "3.10.1")),
        run("6-etcd", T + 300, &[], &etcd(testing::held(), "3.9.4")),
        run(
            "7-etcd",
            T + 360,
            &[],
            &Verdict { workload: Workload::Register, ..etcd(testing::stale_read(), "3.9.4") },
        ),
    ];
    let reason = "/s/8: it has no <history>".to_owned();
    let unreadable = UnreadableRun::of(OsStr::new("8-<b>broken"), reason);
    Matrix::of("store", &runs, vec![unreadable])
}

fn terminal(matrix: &Matrix) -> String {
    let text = render_matrix(matrix, Style { width: 160, colour: false });
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    text
}

#[test]
fn the_terminal_shows_every_store_with_its_worst_verdicts() {
    let matrix = matrix();
    for (name, text) in on_terminals("terminal", |style| render_matrix(&matrix, style)) {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn a_cell_has_its_worst_verdict_the_figures_of_its_newest_run_and_a_link_to_the_violated_one() {
    let matrix = matrix();
    let consul = &matrix.stores[0];
    assert_eq!(matrix.faults[..2], ["none", "partition"]);
    let cell = consul.cells[1].as_ref().expect("three runs");
    assert_eq!((cell.standing, cell.runs, cell.violated), (Standing::Violated, 3, 1));
    assert_eq!(cell.page.as_deref(), Some("./2-consul/report.html"));
    assert_eq!(cell.quiet_p99.ms, percentiles(100, 700.0).p99_ms);
    assert_eq!(consul.cells[2], None);
}

#[test]
fn stores_are_in_order_the_newest_version_first_and_a_register_is_no_lock() {
    let names: Vec<String> = matrix().stores.iter().map(Store::name).collect();
    let expected = [
        "consul 1.8.7, session",
        "etcd 3.10.1, lock-rpc",
        "etcd 3.9.4, lock-rpc",
        "etcd 3.9.4, register",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_run_whose_faults_did_not_bite_is_not_tested_and_hides_no_run_that_is() {
    let spared = Verdict { faults: vec![], ..testing::held() };
    let spared = run("spared", 1, &[FaultKind::Kill], &spared);
    assert_eq!(spared.standing, Standing::NotTested);
    let tested = run("tested", 2, &[FaultKind::Kill], &testing::held());
    let cell = Cell::of(vec![&spared, &tested]).expect("two runs");
    assert_eq!(cell.standing, Standing::Held);
}

#[test]
fn the_page_says_in_words_and_links_what_the_terminal_does() {
    let page = render_matrix_html(&matrix());
    for part in ["VIOLATED", "NEEDS FENCING", "UNDECIDED", "no violation", "1 of 3 runs violated"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains(r#"<a href="./2-consul/report.html">2-consul</a>"#));
    for absent in ["<script", "http://", "https://", "<link", "<img", "<b>broken", "<history>"] {
        assert!(!page.contains(absent), "{absent}");
    }
}

#[test]
fn a_directory_with_a_hostile_name_stays_one_link_and_no_markup() {
    let name = "javascript:a/../\"><script>\u{202e}%00";
    let hostile = run(name, 1, &[], &testing::held());
    let page = render_matrix_html(&Matrix::of("<store>", &[hostile], vec![]));
    assert!(!page.contains("<script>") && !page.contains("<store>"), "{page}");
    assert!(!page.contains('\u{202e}'));
    let link = r#"href="./javascript%3Aa%2F..%2F%22%3E%3Cscript%3E%E2%80%AE%2500/report.html""#;
    assert!(page.contains(link), "{page}");
}

#[test]
fn a_folder_of_which_nothing_could_be_read_has_a_page_that_says_so() {
    let unreadable = UnreadableRun::of(OsStr::new("x"), "why".into());
    let matrix = Matrix::of("s", &[], vec![unreadable]);
    assert!(render_matrix_html(&matrix).contains("<b>x</b>: why"));
    assert!(terminal(&matrix).contains("- x: why"));
}
