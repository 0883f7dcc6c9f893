use super::*;
use crate::terminal::Style;
use crate::testing::{on_terminals, percentiles};

fn phases(n: u64, median_ms: f64) -> Phases {
    let quiet = percentiles(n, median_ms);
    Phases { quiet: quiet.clone(), fault: quiet.clone(), recovery: quiet }
}

fn measurement(repeat: u32, clients: u32, alone_ms: f64, whole_ms: f64) -> Measurement {
    let granted = 1000 * u64::from(clients);
    Measurement {
        repeat,
        run_dir: format!("store/bench/runs/{repeat}"),
        outcome: RunOutcome::Held,
        violations: BTreeMap::new(),
        wait_included: phases(granted, whole_ms),
        attempt_alone: phases(granted, alone_ms),
        intended: None,
        granted,
        waited: granted / 4,
        given_up: granted / 100,
        per_s: granted as f64 / 10.0,
        grants_by_client: (0..clients).map(|client| 990 + u64::from(client)).collect(),
        longest_wait_ms: Some(whole_ms * 21.0),
        load: None,
        cost: Vec::new(),
    }
}

/// Two repeats of every cell; the store that could not be had has none.
pub(crate) fn bench() -> Bench {
    let contender = |name: &str, backend: Backend, version: &str, unobtainable: Option<&str>| {
        let recipe = backend.recipes()[0];
        let (name, version) = (name.to_owned(), version.to_owned());
        Contender { name, backend, recipe, version, unobtainable: unobtainable.map(str::to_owned) }
    };
    let contenders = vec![
        contender("etcd", Backend::Etcd, "3.5.16", None),
        contender("redis", Backend::Redis, "8.0.2", None),
        contender("consul@9.9", Backend::Consul, "9.9", Some("no suite has <it>")),
    ];
    let mut cells = Vec::new();
    for (contender, base_ms) in [("etcd", 4.0), ("redis", 0.25)] {
        for (keys, processes) in [(Keys::Different, 1), (Keys::Different, 5), (Keys::Same, 5)] {
            let wait_ms = if keys == Keys::Same { 30.0 } else { 0.0 };
            let of = |repeat: u32, factor: f64| {
                let alone_ms = base_ms * factor;
                measurement(repeat, processes, alone_ms, alone_ms + wait_ms)
            };
            cells.push(Cell {
                contender: contender.into(),
                keys,
                processes,
                command: format!("locktest run --backend {contender} --steady"),
                measurements: vec![of(1, 1.0), of(2, 1.2)],
                problems: Vec::new(),
            });
        }
    }
    Bench {
        schema_version: BENCH_SCHEMA_VERSION,
        locktest_version: "0.1.0".into(),
        kernel: "Linux 6.18.0".into(),
        processors: 2,
        started_at_unix_s: 1_760_000_000,
        command: "locktest bench --seed 7".into(),
        seed: 7,
        nodes: 3,
        hold_ms: 5,
        time_limit_ms: 10_000,
        repeats: 2,
        rate_per_s: None,
        owners_per_client: 1,
        under: None,
        processes: vec![1, 5],
        keys: vec![Keys::Different, Keys::Same],
        contenders,
        cells,
        interrupted: false,
    }
}

/// A bench of as many numbers of clients as no terminal has room for, and what the servers cost.
fn many_columns() -> Bench {
    let bench = bench();
    let processes = [1, 2, 3, 4, 5, 8, 16, 32];
    let example = bench.cells[1].clone();
    let cost = crate::testing::held().cost;
    let cells = processes.map(|processes| {
        let measured = measurement(1, processes, 123_456.7, 98_765.4);
        let measurements = vec![Measurement { cost: cost.clone(), ..measured }];
        Cell { processes, measurements, ..example.clone() }
    });
    let keys = vec![Keys::Different];
    Bench { processes: processes.into(), keys, cells: cells.into(), ..bench }
}

fn terminal(bench: &Bench) -> String {
    let text = render_bench(bench, Style { width: 100, colour: false });
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    text
}

#[test]
fn the_tables_have_the_papers_figures_beside_them() {
    let bench = bench();
    for (name, text) in on_terminals("terminal", |style| render_bench(&bench, style)) {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn columns_for_which_there_is_no_room_stand_below() {
    let bench = many_columns();
    for (name, text) in on_terminals("many_columns", |style| render_bench(&bench, style)) {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn markdown_has_the_same_tables() {
    insta::assert_snapshot!("markdown", render_bench_markdown(&bench()));
}

#[test]
fn under_faults_each_phase_has_its_tables_and_the_paper_stands_aside() {
    let text = terminal(&Bench { under: Some("kill".into()), ..bench() });
    for title in ["acquire ms, quiet", "acquire ms, fault in force", "acquire ms, recovery"] {
        assert!(text.contains(&format!("Table 1. Different keys, {title}")), "{text}");
    }
    assert!(!text.contains("the paper\n"), "{text}");
}

#[test]
fn an_open_loop_has_tables_from_the_intended_start_and_says_what_rate_was_kept() {
    let mut bench = Bench { rate_per_s: Some(100), ..bench() };
    for measurement in bench.cells.iter_mut().flat_map(|cell| &mut cell.measurements) {
        measurement.intended = Some(phases(100, 400.0));
        measurement.load = Some(Load { intended_per_s: 100.0, begun_per_s: 61.0 });
    }
    let text = terminal(&bench);
    assert!(text.contains("Table 3. From the intended start, same key"), "{text}");
    assert!(text.contains("100 acquires a second were to begin and 61 did"), "{text}");
}

#[test]
fn a_violation_and_a_run_that_failed_are_remarked() {
    let mut bench = bench();
    bench.cells[0].measurements[0].violations = BTreeMap::from([(ViolationClass::DoubleGrant, 2)]);
    bench.cells[1].problems = vec!["no lab".into()];
    let text = terminal(&bench);
    assert!(
        text.contains("etcd, different keys, 1 client: double-grant x2 (store/bench"),
        "{text}"
    );
    assert!(text.contains("etcd, different keys, 5 clients: no lab"), "{text}");
}

#[test]
fn a_single_client_of_the_same_key_is_that_of_different_keys() {
    let bench = bench();
    let cell = bench.cell(&bench.contenders[0], Keys::Same, 1).expect("a cell");
    assert_eq!(cell.keys, Keys::Different);
    assert!(bench.cell(&bench.contenders[0], Keys::Same, 3).is_none());
}

#[test]
fn no_name_from_outside_is_markup_in_the_page() {
    let mut bench = bench();
    bench.contenders[2].unobtainable = Some("<script>alert(1)</script> | [x](y)".into());
    bench.command = "locktest bench '<b>'".into();
    let page = render_bench_html(&bench);
    assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
    let markdown = render_bench_markdown(&bench);
    assert!(!markdown.contains("<script") && markdown.contains(r"\| \[x\]"), "{markdown}");
}

#[test]
fn a_bench_without_any_cell_has_a_page() {
    let empty = Bench { cells: Vec::new(), contenders: Vec::new(), ..bench() };
    assert!(render_bench_html(&empty).contains("locktest bench"));
    assert!(terminal(&empty).contains("Acquires a second"));
}
