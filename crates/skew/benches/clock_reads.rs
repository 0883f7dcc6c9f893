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

/// For a look of a single thread.
const LIMIT_NS: u64 = 300;

/// The kinds of clocks that are compared: the offset and the rate of those that are not the
/// machine's.
const CLOCKS: [(&str, Option<(&str, &str)>); 4] = [
    ("the machine's", None),
    ("its own, right", Some(("0", "0"))),
    ("its own, an hour ahead", Some(("3600000000000", "0"))),
    ("its own, twice as fast", Some(("0", "1000000"))),
];

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
    let settings = ["0", "1", "2", "3"].map(|number| folder.path().join(number));
    for ((_, skew), setting) in CLOCKS.iter().zip(&settings) {
        if let Some((offset_ns, rate_ppm)) = skew {
            set(setting, offset_ns, rate_ppm)?;
        }
    }
    for (class, number) in [("wall", "0"), ("monotonic", "1")] {
        for threads in ["1", "2"] {
            let mut figures = [const { Vec::new() }; CLOCKS.len()];
            for _ in 0..ROUNDS {
                for (((_, skew), setting), figures) in
                    CLOCKS.iter().zip(&settings).zip(&mut figures)
                {
                    let mut command = match skew {
                        None => Command::new(&program),
                        Some(_) => launch(setting, &program),
                    };
                    let output = check(command.args(["time", LOOKS, number, threads]).output()?)?;
                    figures.push(String::from_utf8(output.stdout)?.trim_end().parse::<u64>()?);
                }
            }
            println!(
                "ns for a look at the {class} clock, threads at once: {threads}, the median of \
                 {ROUNDS} processes"
            );
            tell(figures, threads == "1")?;
        }
    }
    Ok(())
}

/// Prints the figures of each kind of clock.
fn tell(figures: [Vec<u64>; CLOCKS.len()], is_limited: bool) -> Result<(), Box<dyn Error>> {
    let mut of_machine = None;
    for ((name, _), mut figures) in CLOCKS.iter().zip(figures) {
        figures.sort_unstable();
        let [least, median, most] = [figures[0], figures[ROUNDS / 2], figures[ROUNDS - 1]];
        let ratio = median as f64 / *of_machine.get_or_insert(median) as f64;
        println!("  {name:24} {median:4}  x {ratio:4.1}  ({least} to {most})");
        if is_limited && median >= LIMIT_NS {
            return Err(format!("{name}: a look takes more than {LIMIT_NS} ns").into());
        }
    }
    Ok(())
}

fn launch(setting: &Path, program: &Path) -> Command {
    let mut launch = Command::new(env!("CARGO_BIN_EXE_locktest-clock"));
    launch.arg("launch").arg("--file").arg(setting).arg("--").arg(program);
    launch
}

/// Writes the setting of a node of which both clocks are wrong.
fn set(setting: &Path, offset_ns: &str, rate_ppm: &str) -> Result<(), Box<dyn Error>> {
    for class in ["wall", "monotonic"] {
        let mut set = Command::new(env!("CARGO_BIN_EXE_locktest-clock"));
        set.arg("set").arg("--file").arg(setting).args(["--class", class]);
        set.args(["--offset-ns", offset_ns, "--rate-ppm", rate_ppm, "--strobe-ns", "0"]);
        check(set.args(["--expires-in-ms", "3600000"]).output()?)?;
    }
    Ok(())
}

fn check(output: Output) -> Result<Output, Box<dyn Error>> {
    if output.status.success() { Ok(output) } else { Err(format!("{output:?}").into()) }
}
