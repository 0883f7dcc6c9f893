//! The pages in a real browser: what a reader sees in every look, by keyboard alone, and on paper.
//! Here the pages are made; `tests/browser` looks at them.

#![expect(clippy::print_stdout, reason = "how fast and how large the pages are")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Bench, Ran};

const HELD: &str = "--backend sim --lease-ttl 500ms --hold 5ms --time-limit 3s --seed 1 -q";
const VIOLATED: &str =
    "--backend sim --sim-bug double-grant --lease-ttl 500ms --time-limit 5s --seed 1 -q";
/// Its page is as large as pages get: thousands of violations, and more bars than can be drawn.
const HUGE: &str = "--backend sim --sim-bug double-grant --clients 16 --keys 4 --hold 0s \
                    --time-limit 10s --seed 1 -q";
const OVERRUN: &str = "--backend sim --overrun --lease-ttl 300ms --nemesis client-pause \
                       --nemesis-interval 1s --time-limit 6s --seed 1 -q";
const TO_BE_KILLED: &str = "--backend sim --lease-ttl 500ms --hold 5ms --time-limit 60s --seed 1";

/// Runs a program that not every machine has to its end.
fn run(program: &str, arguments: &[&str], folder: &Path) -> Ran {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    Ran::of(output.unwrap_or_else(|error| {
        panic!("{program} does not start: {error}; `make test` installs it")
    }))
}

/// A copy of the driver with what it needs from npm, so that the tree stays as it is.
fn driver() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
        fs::create_dir_all(&folder).expect("a folder");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
        for entry in fs::read_dir(source).expect("the driver") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                fs::copy(&path, folder.join(path.file_name().expect("a name"))).expect("a copy");
            }
        }
        run("npm", &["ci", "--prefer-offline"], &folder).expect_code(0);
        folder
    })
}

/// Looks at pages one after another. Pictures of them stay in a folder `name` beside the driver.
#[track_caller]
fn audit(name: &str, cases: Vec<Value>) {
    let file = format!("{name}.json");
    fs::write(driver().join(&file), Value::Array(cases).to_string()).expect("write");
    let ran = run("node", &["audit.mjs", &file, name], driver()).expect_code(0);
    println!("{}", ran.stdout);
}

/// Gives the latest run a name of its own.
fn keep_as(bench: &Bench, name: &str) -> PathBuf {
    let path = bench.path().join("store").join(name);
    fs::rename(bench.latest().canonicalize().expect("a run"), &path).expect("a new name");
    path
}

/// The case of the latest run: a reader sees what its verdict.json has.
fn case(bench: &Bench, name: &str, verdict: &str, overlap: bool) -> Value {
    let path = keep_as(bench, name);
    let told = fs::read_to_string(path.join("verdict.json")).expect("a verdict");
    let told: Value = serde_json::from_str(&told).expect("valid JSON");
    let row = |name: &str, key: &str| {
        let outcome = told["properties"][key]["outcome"].as_str().expect("an outcome");
        json!([name, outcome.replace('_', " ")])
    };
    json!({
        "name": name,
        "address": format!("file://{}/report.html", path.display()),
        "verdict": verdict,
        "rows": [
            row("SAFETY", "safety"),
            row("DEADLOCK-FREE", "deadlock_free"),
            row("FAULT TOLERANCE", "fault_tolerance"),
            row("FENCING", "fencing"),
        ],
        "why": told["violations"][0]["why"],
        "overlap": overlap,
    })
}

/// Cuts a history off after its header, where nothing was granted yet.
fn cut_to_header(history: &Path) {
    let whole = fs::read(history).expect("a history");
    let length = u32::from_le_bytes(whole[12..16].try_into().expect("four bytes")) as usize;
    fs::write(history, &whole[..20 + length]).expect("write");
}

/// Kills the control node when it has recorded a part of a run.
fn run_half(bench: &Bench) {
    let mut run = bench.start(TO_BE_KILLED);
    run.wait_for("answered a write", Duration::from_secs(10));
    let history = bench.latest().join("history");
    support::wait_until("a history", Duration::from_secs(20), || {
        fs::metadata(&history).is_ok_and(|file| file.len() > 20_000)
    });
    run.signal("-KILL");
    run.wait(Duration::from_secs(5));
}

#[test]
fn a_report_of_each_outcome_is_read_in_every_look_without_scripts_and_without_a_mouse() {
    let bench = Bench::new();
    let mut cases = Vec::new();
    for (name, line, code, verdict, overlap) in [
        ("held", HELD, 0, "no violation found", false),
        ("violated", VIOLATED, 1, "VIOLATED", true),
        ("huge", HUGE, 1, "VIOLATED", true),
        ("needs-fencing", OVERRUN, 0, "NEEDS FENCING", false),
    ] {
        bench.run(line).expect_code(code);
        cases.push(case(&bench, name, verdict, overlap));
    }

    bench.run(HELD).expect_code(0);
    cut_to_header(&bench.latest().join("history"));
    bench.run("report store/latest").expect_code(0);
    cases.push(case(&bench, "undecided", "UNDECIDED", false));

    run_half(&bench);
    bench.run("report store/latest").expect_code(0);
    cases.push(case(&bench, "killed", "no violation found", false));

    audit("reports", cases);
}

#[test]
fn the_served_pages_are_read_in_every_look_without_scripts_and_without_a_mouse() {
    let bench = Bench::new();
    for (name, line, code) in [("held", HELD, 0), ("violated", VIOLATED, 1)] {
        bench.run(line).expect_code(code);
        keep_as(&bench, name);
    }
    let mut going_on = bench.start("--backend sim --time-limit 10m --seed 3");
    going_on.wait_for("answered a write", Duration::from_secs(10));
    let mut running = bench.start("serve --bind 127.0.0.1:0");
    running.wait_for(", until Ctrl-C", Duration::from_secs(10));
    let stderr = running.stderr();
    let site = stderr.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    let site = site.expect("an address");
    let page =
        |name: &str, path: &str| json!({"name": name, "address": format!("http://{site}{path}")});
    audit(
        "served",
        vec![
            page("index", "/"),
            page("filtered", "/?state=violated&sort=seed"),
            page("matrix", "/runs/"),
            page("run", "/runs/violated/report.html"),
        ],
    );
    going_on.signal("-INT");
    assert_eq!(going_on.wait(Duration::from_secs(20)), Some(130));
}
