//! The flags of `compare`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

const COMPARE_HELP: &str = "\
Examples:
  locktest compare store/A store/B                     two runs: plans, verdicts, latency
  locktest compare old/*-bench-7 new/*-bench-7         two benches, cell by cell, with intervals
  locktest compare main pr --fail-above 10             exit with 4 if acquires became 10 % slower
  locktest compare A B C --html compare.html           three, and a page of them

The first is the baseline: every ratio is against it. Of benches a ratio has a 95 % interval from
the repeats, and an asterisk where 1 is outside of it; a single repeat has none.
`--fail-above` looks at the median and the 99th percentile of acquires, waiting included: those that
began without a fault in force, and those that began while one was. A later one that has no acquires
without a fault, where the first has some, is a regression, too.

Exit codes:
  0 compared    2 usage, or nothing that can be compared    4 a regression against the baseline
  5 a page could not be written";

/// The flags of `compare`.
#[derive(Debug, Args)]
#[command(after_help = COMPARE_HELP)]
pub struct CompareArgs {
    /// Two or more run directories, or bench directories; the first is the baseline.
    #[arg(value_name = "PATH", required = true, num_args = 2..)]
    pub paths: Vec<PathBuf>,
    /// Exit with 4 if the median or the 99th percentile of acquires of a later one exceeds the
    /// first's by more than this.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub fail_above: Option<f64>,
    /// How the comparison is printed.
    #[arg(long, default_value = "human", value_name = "FORMAT")]
    pub format: CompareFormat,
    /// The same as --format json.
    #[arg(long)]
    pub json: bool,
    /// Also write it to FILE, as a page.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// How a comparison is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// For people.
    Human,
    /// All of it as data, and nothing else.
    Json,
    /// For a page or a job's summary.
    Markdown,
}

/// `10` or `10%`.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(percent) if percent.is_finite() && percent >= 0.0 => Ok(percent),
        _ => Err("give a percentage from 0 on, such as 10".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_a_number_from_zero_on() {
        assert_eq!(percent("10"), Ok(10.0));
        assert_eq!(percent("2.5%"), Ok(2.5));
        for text in ["", "-1", "inf", "NaN", "ten", "%"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }
}
