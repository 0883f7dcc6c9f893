//! `locktest report`: pages made again, and the matrix of a folder, from runs against the sim.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Bench, Ran};

const HELD: &str = "--backend sim --lease-ttl 3s --hold 5ms --time-limit 2s --seed 1 -q";
const VIOLATED: &str =
    "--backend sim --sim-bug double-grant --lease-ttl 500ms --time-limit 5s --seed 1 -q";

/// A run under a name of its own in a store.
fn run_as(bench: &Bench, line: &str, code: i32, name: &str) -> PathBuf {
    bench.run(line).expect_code(code);
    let path = bench.path().join("store").join(name);
    fs::rename(bench.latest().canonicalize().expect("a run"), &path).expect("a new name");
    path
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every locktest here runs as root, whom no permission stops; a folder in place of the file does.
fn make_unwritable(page: &Path) {
    let _ = fs::remove_file(page);
    fs::create_dir_all(page.join("in-the-way")).expect("a folder");
}

/// A page without what is measured anew each time that it is made.
fn unmeasured(page: &str) -> String {
    let parts = page.split("took\">");
    parts.map(|part| part.split_once('<').map_or(part, |(_, rest)| rest)).collect()
}

fn cut(history: &Path) {
    let whole = fs::read(history).expect("a history");
    fs::write(history, &whole[..whole.len() * 2 / 3]).expect("write");
}

/// The same history as version 4 had it: another number, and a header without the newer fields.
fn as_version_4(history: &Path) {
    let whole = fs::read(history).expect("a history");
    let length = u32::from_le_bytes(whole[12..16].try_into().expect("four bytes")) as usize;
    let mut run: Value = serde_json::from_slice(&whole[20..20 + length]).expect("a header");
    let plan = run["plan"].as_object_mut().expect("a plan");
    for field in ["steady", "rate_per_s", "owners_per_client"] {
        plan.remove(field).expect(field);
    }
    let header = serde_json::to_vec(&run).expect("JSON");
    let mut bytes = whole[..8].to_vec();
    bytes.extend(4_u32.to_le_bytes());
    bytes.extend((header.len() as u32).to_le_bytes());
    bytes.extend(crc32(&header).to_le_bytes());
    bytes.extend(header);
    bytes.extend(&whole[20 + length..]);
    fs::write(history, bytes).expect("write");
}

/// The checksum of a header, bit by bit: IEEE 802.3's.
fn crc32(bytes: &[u8]) -> u32 {
    let byte = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    };
    !bytes.iter().fold(u32::MAX, byte)
}

#[test]
fn a_report_is_made_again_from_the_history_whatever_the_verdict() {
    let bench = Bench::new();
    for (line, code, outcome) in [(HELD, 0, "held"), (VIOLATED, 1, "violated")] {
        bench.run(line).expect_code(code);
        let names = ["report.html", "verdict.json"];
        let read_all = || names.map(|name| unmeasured(&read(&bench.latest().join(name))));
        let before = read_all();
        assert!(before[0].contains("Checks run"), "{}", before[0]);
        for name in names {
            fs::remove_file(bench.latest().join(name)).expect(name);
        }
        let ran = bench.run("report store/latest").expect_code(0);
        let page = bench.latest().canonicalize().expect("a run").join("report.html");
        assert_eq!(ran.stdout, format!("{}\n", page.display()));
        assert_eq!(read_all(), before);
        let json = bench.run("report store/latest --json").expect_code(0).json();
        assert_eq!(json["outcome"], outcome);
        assert_eq!(json["page"], page.to_string_lossy().as_ref());
    }
}

#[test]
fn a_history_of_version_4_has_a_report_of_today() {
    let bench = Bench::new();
    bench.run(HELD).expect_code(0);
    let page = bench.latest().join("report.html");
    let before = unmeasured(&read(&page));
    as_version_4(&bench.latest().join("history"));
    fs::remove_file(&page).expect("a page");
    bench.run("report store/latest").expect_code(0);
    assert_eq!(unmeasured(&read(&page)), before);
}

#[test]
fn the_report_of_a_run_that_was_cut_short_says_so() {
    let bench = Bench::new();
    bench.run(HELD).expect_code(0);
    cut(&bench.latest().join("history"));
    let ran = bench.run("report store/latest").expect_code(0);
    assert!(ran.stderr.contains("part of the history is lost"), "{}", ran.stderr);
    let page = read(&bench.latest().join("report.html"));
    assert!(page.contains("part of the history could not be read"), "{page}");
    assert!(page.contains("the run was cut short"), "{page}");
}

#[test]
fn every_path_is_done_and_each_that_fails_is_named_by_the_worst_exit_code() {
    let bench = Bench::new();
    let first = run_as(&bench, HELD, 0, "first");
    let second = run_as(&bench, HELD, 0, "second");
    fs::remove_file(first.join("report.html")).expect("a page");
    fs::create_dir(bench.path().join("empty")).expect("a folder");
    let ran = bench.run("report nowhere empty store/first").expect_code(2);
    assert!(ran.stderr.contains("cannot read nowhere"), "{}", ran.stderr);
    assert!(ran.stderr.contains("empty is neither a run directory nor"), "{}", ran.stderr);
    assert!(first.join("report.html").is_file());

    make_unwritable(&second.join("report.html"));
    let ran = bench.run("report nowhere store/second store/first").expect_code(5);
    assert!(ran.stderr.contains("second/report.html"), "{}", ran.stderr);
    assert!(ran.stdout.contains("first/report.html"), "{}", ran.stdout);
    assert!(second.join("report.html/in-the-way").exists(), "what was there still is");
    let names = fs::read_dir(&second).expect("a folder").flatten().map(|entry| entry.file_name());
    let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.starts_with("report.html.")), "{names:?}");
    bench.run("report").expect_code(2);
}

/// The matrix of the store as data.
fn matrix(bench: &Bench) -> Value {
    bench.run("report store --json").expect_code(0).json()
}

fn only_cell(matrix: &Value) -> &Value {
    assert_eq!(matrix["stores"].as_array().map(Vec::len), Some(1), "{matrix:#}");
    assert_eq!(matrix["faults"], serde_json::json!(["none"]));
    &matrix["stores"][0]["cells"][0]
}

#[test]
fn a_folder_of_runs_has_a_matrix_of_their_worst_verdicts_with_a_link_to_the_violated_one() {
    let bench = Bench::new();
    run_as(&bench, VIOLATED, 1, "1-violated");
    run_as(&bench, HELD, 0, "2-held");
    let Ran { stdout, .. } = bench.run("report store").expect_code(0);
    assert!(stdout.contains("VIOLATED") && stdout.contains("1 of 2"), "{stdout}");
    assert!(stdout.lines().all(|line| line.chars().count() <= 100), "{stdout}");
    let page = read(&bench.path().join("store/matrix.html"));
    assert!(page.contains(r#"href="./1-violated/report.html""#), "{page}");
    let matrix = matrix(&bench);
    let cell = only_cell(&matrix);
    assert_eq!((&cell["standing"], &cell["runs"]), (&"violated".into(), &2.into()));
    assert_eq!(cell["violations"]["double-grant"], 1);
    assert!(cell["quiet_p99"]["ms"].as_f64().is_some(), "{cell:#}");
}

#[test]
fn a_matrix_takes_the_verdicts_that_are_there_and_judges_the_runs_that_have_none() {
    let bench = Bench::new();
    let path = run_as(&bench, HELD, 0, "run");
    let file = path.join("verdict.json");
    let edited = read(&file).replacen(r#""outcome": "held""#, r#""outcome": "undecided""#, 1);
    fs::write(&file, &edited).expect("write");
    assert_eq!(only_cell(&matrix(&bench))["standing"], "undecided", "it was not judged again");

    for stale in [
        edited.replacen(r#""schema_version": "#, r#""schema_version": 9"#, 1),
        edited.replacen(r#""run_id": ""#, r#""run_id": "other"#, 1),
        edited[..edited.len() / 2].to_owned(),
    ] {
        assert_ne!(stale, edited);
        fs::write(&file, stale).expect("write");
        assert_eq!(only_cell(&matrix(&bench))["standing"], "held");
        assert!(read(&file).contains(r#""outcome": "held""#));
    }

    fs::write(&file, &edited).expect("write");
    let earlier = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    fs::File::options()
        .write(true)
        .open(&file)
        .and_then(|f| f.set_modified(earlier))
        .expect("a time");
    cut(&path.join("history"));
    assert_ne!(only_cell(&matrix(&bench))["standing"], "undecided", "the history is newer");
}

#[test]
fn a_run_that_cannot_be_read_is_listed_with_the_reason_and_stops_nothing() {
    let bench = Bench::new();
    run_as(&bench, HELD, 0, "good");
    let broken = run_as(&bench, HELD, 0, "broken");
    let no_history = run_as(&bench, HELD, 0, "no-history");
    fs::write(broken.join("history"), b"LOCKTEST\xc8\0\0\0").expect("write");
    fs::remove_file(no_history.join("history")).expect("remove");
    // No run, so nothing is said of it.
    fs::create_dir(bench.path().join("store/notes")).expect("a folder");
    let matrix = matrix(&bench);
    assert_eq!(only_cell(&matrix)["runs"], 1);
    let unreadable = matrix["unreadable"].as_array().expect("a list");
    assert_eq!(unreadable.len(), 2, "{unreadable:#?}");
    assert_eq!(unreadable[0]["name"], "broken");
    assert!(unreadable[0]["reason"].as_str().is_some_and(|why| why.contains("version 200")));
    assert_eq!(unreadable[1]["name"], "no-history");
    let page = read(&bench.path().join("store/matrix.html"));
    assert!(page.contains("Not read") && page.contains("version 200"), "{page}");

    make_unwritable(&bench.path().join("store/matrix.html"));
    let ran = bench.run("report store").expect_code(5);
    assert!(ran.stderr.contains("store/matrix.html"), "{}", ran.stderr);
}

#[test]
fn a_hostile_name_of_a_run_directory_is_neither_markup_nor_another_address() {
    let bench = Bench::new();
    let name = "javascript:alert(1)\"><img src=x>\u{1b}[2J";
    run_as(&bench, HELD, 0, name);
    let ran = bench.run("report store").expect_code(0);
    assert!(!ran.stdout.contains('\u{1b}'), "{}", ran.stdout);
    let page = read(&bench.path().join("store/matrix.html"));
    assert!(!page.contains("<img") && !page.contains('\u{1b}'), "{page}");
    let link = "./javascript%3Aalert%281%29%22%3E%3Cimg%20src%3Dx%3E%1B%5B2J/report.html";
    assert!(page.contains(&format!("href=\"{link}\"")), "{page}");
}
