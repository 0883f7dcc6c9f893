//! The command line: one definition feeds parsing, help and the configuration file.

mod bench_args;
mod catalog_args;
mod choices;
mod compare_args;
mod fault_args;
mod recorded;
mod report_args;
mod run_args;
mod serve_args;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use locktest_checker::Specification;
use locktest_cluster::quote;
use locktest_formats::Format;

pub use bench_args::{BenchArgs, BenchFormat, ContenderArg};
pub use catalog_args::{CatalogArgs, CatalogCommand, CatalogRunArgs};
pub use compare_args::{CompareArgs, CompareFormat};
pub use fault_args::{FaultArgs, Limit, NemesisWord, TargetChoice};
pub use recorded::{parse_run, run_args_of, words_of};
pub use report_args::ReportArgs;
pub use run_args::{OutputFormat, RunArgs};
pub use serve_args::ServeArgs;

use crate::config;
use crate::exit::Exit;
use crate::terminal::Verbosity;

const EXAMPLES: &str = "\
Examples:
  locktest --backend consul --nemesis partition      a partitioned Consul, five clients, 60 s
  locktest --backend redis --recipe sentinel --nemesis partition --partition leader
                                                     what asynchronous replication does to a lock
  locktest --backend etcd --version 3.4.23 --workload crash
                                                     holders that die, on an older server
  locktest --backend redis --nemesis kill            servers of Redlock that die and forget
  locktest --backend etcd --nemesis client-pause     a holder that sleeps longer than its lease
  locktest --backend sim --sim-bug double-grant      see the alarm ring, without root
  locktest replay store/latest                       the same run with the same faults
  locktest report store                              every run so far, by store and by fault
  locktest compare store/A store/B                   two runs side by side
  locktest catalog run etcd-11456                    a published failure, found again

Exit codes:
  0 no violation    1 violation          2 usage            3 inconclusive
  4 a regression against the baseline (compare)
  5 set-up failed, or no fault took effect  6 a fault was left behind
  70 internal error                      130 interrupted, after healing

A flag of `run` can also be set by LOCKTEST_<FLAG> or in ./locktest.toml; flags win over the
environment, which wins over the file.";

/// Live fault-injection tests of distributed locks, with proofs.
#[derive(Debug, Parser)]
#[command(name = "locktest", version, about, after_help = EXAMPLES, max_term_width = 100)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do; `run` may be left out.
    #[command(subcommand)]
    pub command: Command,
    /// Print only the verdict and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print every step.
    #[arg(short, long, global = true)]
    verbose: bool,
}

impl Arguments {
    /// How much to print on standard error.
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a workload against a cluster while the nemesis injects faults, and judge it.
    Run(Box<RunArgs>),
    /// Run a run again, with the faults that it had.
    Replay(ReplayArgs),
    /// The published failures of locks: list them, find them again.
    Catalog(CatalogArgs),
    /// Measure how long acquires take: the paper's tables, on real clusters.
    Bench(Box<BenchArgs>),
    /// Judge a run again, or any history that you have.
    Check(CheckArgs),
    /// Make the pages of runs again, or one page over a folder of runs.
    Report(ReportArgs),
    /// Put runs, or benches, side by side.
    Compare(CompareArgs),
    /// Browse the runs of a store.
    Serve(ServeArgs),
    /// Undo every fault that a killed run left behind.
    Heal(HealArgs),
    /// Raise, list, enter or remove a lab.
    Lab(LabArgs),
    /// Print a run's history for other tools.
    Export(ExportArgs),
    /// List the server versions that are here, and those that can be had.
    Versions(VersionsArgs),
    /// The client process; the control node starts it.
    #[command(hide = true)]
    Client,
}

/// What makes a run fail that would otherwise pass with a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Holders that outlived their lease.
    LeaseOverrun,
}

const REPLAY_HELP: &str = "\
Examples:
  locktest replay store/latest                       the same faults again: does it come back?
  locktest replay store/latest --stop-on-violation   and stop there

The servers, clients, workload and seed are those of the run, and each fault comes at its time and
does the same to the same servers and clients. What servers and clients make of it is up to them: a
violation that depends on their timing may need several replays.";

/// The flags of `replay`.
#[derive(Debug, Args)]
#[command(after_help = REPLAY_HELP)]
pub struct ReplayArgs {
    /// The run's directory, such as store/latest.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// The folder of the new run's directory [default: store].
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Use a lab that stands already, and leave it standing.
    #[arg(long, value_name = "ID")]
    pub lab: Option<String>,
    /// End the run at its first violation: heal, and judge what was recorded.
    #[arg(long)]
    pub stop_on_violation: bool,
    /// How the verdict is printed [default: human].
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<OutputFormat>,
    /// The same as --format json.
    #[arg(long)]
    pub json: bool,
    /// Print the plan and every command of set-up and faults, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  locktest check store/latest                               judge a run again, in full
  locktest check store/latest --verify                      and prove that its promises held
  locktest check history.edn --model cas-register           a Jepsen history
  grep . events.txt | locktest check - --format events      from a pipe, in little memory

Models:
  mutex  owner-mutex  reentrant-mutex[:DEPTH]  fenced-mutex  semaphore:PERMITS  rwlock
  lease-mutex:TTL  fenced-resource  cas-register  kv

Exit codes:
  0 linearizable    1 not linearizable    2 the history cannot be read    3 undecided";

/// The flags of `check`.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct CheckArgs {
    /// A run directory, such as store/latest, or a file with a history; `-` is standard input.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The history's format [default: detected from its beginning].
    #[arg(long, value_name = "FORMAT", value_parser = history_format_parser())]
    pub format: Option<Format>,
    /// The model to check against [default: a run's full verdict; else by the operations].
    #[arg(long, value_name = "MODEL")]
    pub model: Option<Specification>,
    /// Check every linearization with the independent verifier.
    #[arg(long)]
    pub verify: bool,
    /// Skip and count malformed events, instead of refusing the history (with a model).
    #[arg(long)]
    pub lenient: bool,
    /// The search gives up after this long (with a model).
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub budget: Duration,
    /// The search gives up beyond this much memory, in MiB (with a model).
    #[arg(long, default_value_t = 4096, value_name = "MIB")]
    pub memory_limit: usize,
    /// Print the verdict as JSON.
    #[arg(long)]
    pub json: bool,
    /// Also exit with 1 for CLASS (a run's full verdict only).
    #[arg(long, value_name = "CLASS", conflicts_with = "model")]
    pub fail_on: Option<FailOn>,
    /// Also write the verdict as metrics, for node_exporter's textfile collector (a run's full
    /// verdict only).
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub prometheus: Option<PathBuf>,
}

/// The flags of `heal`.
#[derive(Debug, Args)]
pub struct HealArgs {
    /// Only this run, even if it is in progress [default: every run that was cut short].
    #[arg(long, value_name = "RUN_ID")]
    pub run: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// The flags of `versions`.
#[derive(Debug, Args)]
pub struct VersionsArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What a history is exported as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// JSON lines: everything that the history holds.
    Jsonl,
    /// The clients' operations as maps of EDN, as Jepsen's tools read them.
    JepsenEdn,
}

/// The flags of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A run directory, such as store/latest.
    pub run_dir: PathBuf,
    /// What to write.
    #[arg(long, default_value = "jsonl", value_name = "FORMAT")]
    pub format: ExportFormat,
}

/// The flags of `lab`.
#[derive(Debug, Args)]
pub struct LabArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: LabCommand,
}

/// What to do with a lab.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Raise a lab.
    Up {
        /// Its id: 1 to 6 of a-z and 0-9 [default: random].
        id: Option<String>,
        /// How many server nodes.
        #[arg(long, default_value_t = 5, value_name = "N")]
        nodes_count: u16,
        /// How many client namespaces.
        #[arg(long, default_value_t = 5, value_name = "N")]
        clients: u16,
        /// Its addresses, such as 10.213.7.0/24 [default: a free range].
        #[arg(long, value_name = "CIDR")]
        subnet: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a lab, or all labs.
    Down {
        /// Its id.
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// Every lab on this machine, also what a killed control node left.
        #[arg(long, conflicts_with = "id")]
        all: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the labs that stand.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Log in to a node, or run a command on it.
    Ssh {
        /// The node, such as n1.
        node: String,
        /// The lab [default: the only one].
        #[arg(long, value_name = "ID")]
        lab: Option<String>,
        /// The command and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

fn history_format_parser() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name)).try_map(|name| name.parse::<Format>())
}

/// Reads the command line, the environment and the configuration file. Prints what has to be
/// printed; an `Err` is the exit code.
pub fn parse() -> Result<Arguments, Exit> {
    let line = with_default_command(std::env::args_os().collect());
    let command = Arguments::command();
    // The file may hold what the command line lacks, so the first look passes over errors.
    let lenient = command.clone().ignore_errors(true).try_get_matches_from(&line);
    let run = lenient.as_ref().ok().and_then(|matches| matches.subcommand_matches("run"));
    let line = match run {
        Some(run) => config::complete(&line, &command, run).map_err(|error| {
            crate::terminal::print_usage_error(&format!("{error:#}"));
            Exit::Usage
        })?,
        None => line,
    };
    let matches = command.clone().try_get_matches_from(line).map_err(report)?;
    let mut arguments = Arguments::from_arg_matches(&matches).map_err(report)?;
    if let (Command::Run(run), Some(matches)) =
        (&mut arguments.command, matches.subcommand_matches("run"))
    {
        run.given = given_flags(&command, matches);
    }
    Ok(arguments)
}

/// The flags that bear on the plan and were given, wherever they were given.
fn given_flags(command: &clap::Command, matches: &ArgMatches) -> String {
    // The run itself adds the seed, and whose faults it has.
    const NOT_OF_THE_PLAN: [&str; 9] = [
        "seed",
        "store",
        "format",
        "json",
        "prometheus",
        "dry_run",
        "lab",
        "lab_subnet",
        "faults_of",
    ];
    let mut words = Vec::new();
    let run = command.find_subcommand("run").into_iter().flat_map(clap::Command::get_arguments);
    for argument in run {
        let id = argument.get_id().as_str();
        let Some(flag) = argument.get_long() else { continue };
        let source = matches.value_source(id);
        if NOT_OF_THE_PLAN.contains(&id) || !source.is_some_and(config::is_explicit) {
            continue;
        }
        if argument.get_action().takes_values() {
            words.push(format!("--{flag}"));
            let values = matches.get_raw(id).into_iter().flatten();
            let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
            words.push(quote(&values.join(",")));
        } else if matches.get_flag(id) {
            // The environment can also say that a switch is off.
            words.push(format!("--{flag}"));
        }
    }
    words.join(" ")
}

/// `locktest --backend x` means `locktest run --backend x`.
fn with_default_command(mut line: Vec<OsString>) -> Vec<OsString> {
    const OF_LOCKTEST_ITSELF: [&str; 3] = ["-h", "--help", "-V"];
    const GLOBAL: [&str; 4] = ["-q", "--quiet", "-v", "--verbose"];
    let mut words = line.iter().skip(1).filter(|word| !GLOBAL.iter().any(|flag| *word == flag));
    match words.next() {
        // Alone it asks for locktest's own version; with more it is the server's.
        Some(word) if word == "--version" && words.next().is_none() => {}
        Some(word) if OF_LOCKTEST_ITSELF.iter().any(|flag| word == flag) => {}
        Some(word) if word.to_string_lossy().starts_with('-') => line.insert(1, "run".into()),
        // Nothing but global flags asks for nothing.
        None => line.truncate(1),
        Some(_) => {}
    }
    line
}

/// Prints a clap error in one line with a suggestion, or help as it is.
fn report(error: clap::Error) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // A closed pipe is no error: whoever read the help has read enough.
            let _ = error.print();
            return if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                Exit::Usage
            } else {
                Exit::Ok
            };
        }
        _ => {}
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let suggestion =
        [ContextKind::SuggestedArg, ContextKind::SuggestedValue, ContextKind::SuggestedSubcommand]
            .into_iter()
            .find_map(text);
    let rendered = error.render().to_string();
    let mut lines: Vec<&str> = rendered.trim_end().lines().collect();
    if suggestion.is_some() {
        lines.retain(|line| !line.trim_start().starts_with("tip:"));
    }
    let mut message = lines.join("\n").replacen("error: ", "", 1).replace("\n\n\n", "\n\n");
    if let Some(suggestion) = suggestion {
        let end_of_first = message.find('\n').unwrap_or(message.len());
        message.insert_str(end_of_first, &format!("; did you mean '{suggestion}'?"));
    }
    crate::terminal::print_usage_error(&message);
    Exit::Usage
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// A longer line would be broken where nobody meant it to be.
    #[test]
    fn the_examples_of_every_help_fit_into_its_width() {
        for command in Arguments::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines() {
                assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
            }
        }
    }

    #[test]
    fn run_may_be_left_out_before_flags_and_only_there() {
        for (line, expected) in [
            ("locktest --backend sim", "locktest run --backend sim"),
            ("locktest -q --backend sim", "locktest run -q --backend sim"),
            ("locktest run --backend sim", "locktest run --backend sim"),
            ("locktest -v heal", "locktest -v heal"),
            ("locktest --help", "locktest --help"),
            ("locktest --version", "locktest --version"),
            (
                "locktest --version 3.5.16 --backend etcd",
                "locktest run --version 3.5.16 --backend etcd",
            ),
            ("locktest lab up --json", "locktest lab up --json"),
        ] {
            assert_eq!(with_default_command(words(line)), words(expected), "{line}");
        }
    }
}
