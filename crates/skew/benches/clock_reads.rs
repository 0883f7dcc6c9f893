//! What a look at a clock costs a program in C, with the clock of the machine and with one of its
//! own: right, wrong by an offset, and wrong by a rate, which each look notes anew. Needs a C
//! compiler, and to be allowed to trace.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::path::Path;
use std::process::{Command, Output};

/// The machine's own noise comes in spells, so each round has all of them.
const ROUNDS: usize = 15;

const LOOKS: &str = "20000";

const LIMIT_NS: u64 = 300;

fn main() -> Result<(), Box<dyn Error>> {
    // Without it this is a test run, which wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("clocks");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/clocks.c");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wno-nonnull", "-pthread", "-o"]).arg(&program).arg(source);
    check(cc.output()?)?;

    let launch = |setting: &Path| {
        let mut launch = Command::new(env!("CARGO_BIN_EXE_locktest-clock"));
        launch.arg("launch").arg("--file").arg(setting).arg("--").arg(&program);
        launch
    };
    let wrong = |offset_ns: &str, rate_ppm: &str| -> Result<Command, Box<dyn Error>> {
        let setting = folder.path().join(format!("{offset_ns}-{rate_ppm}"));
        let mut set = Command::new(env!("CARGO_BIN_EXE_locktest-clock"));
        set.arg("set").arg("--file").arg(&setting).args(["--class", "wall"]);
        set.args(["--offset-ns", offset_ns, "--rate-ppm", rate_ppm, "--strobe-ns", "0"]);
        check(set.args(["--expires-in-ms", "3600000"]).output()?)?;
        Ok(launch(&setting))
    };
    let mut programs = [
        ("the machine's clock", Command::new(&program)),
        ("its own, right", launch(&folder.path().join("none"))),
        ("its own, an hour ahead", wrong("3600000000000", "0")?),
        ("its own, twice as fast", wrong("0", "1000000")?),
    ];
    let mut figures = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        for ((_, program), figures) in programs.iter_mut().zip(&mut figures) {
            let output = check(program.args(["time", LOOKS]).output()?)?;
            figures.push(String::from_utf8(output.stdout)?.trim_end().parse::<u64>()?);
        }
    }
    println!("ns for a look at the wall clock, the median of {ROUNDS} processes");
    for ((name, _), figures) in programs.iter().zip(&mut figures) {
        figures.sort_unstable();
        let [least, median, most] = [figures[0], figures[ROUNDS / 2], figures[ROUNDS - 1]];
        println!("{name:24} {median:4}   ({least} to {most})");
        if median >= LIMIT_NS {
            return Err(format!("{name}: a look takes more than {LIMIT_NS} ns").into());
        }
    }
    Ok(())
}

fn check(output: Output) -> Result<Output, Box<dyn Error>> {
    if output.status.success() { Ok(output) } else { Err(format!("{output:?}").into()) }
}
