//! The flags of a run that say what the nemesis does.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::TypedValueParser;
use locktest_history::{
    Between, ClockShape, Direction, FaultKind, PacketFate, PartitionShape, Target,
};

use super::choices::{Mixed, one_of, one_of_or_mixed};
use crate::plan::Earlier;

/// The flags that say what the nemesis does.
#[derive(Clone, Debug, Args)]
pub struct FaultArgs {
    /// The faults to inject: none, all that this run can have but for clock-monotonic, or a list
    /// such as kill,pause; see below.
    #[arg(
        long,
        env = "LOCKTEST_NEMESIS",
        default_value = "none",
        value_delimiter = ',',
        value_name = "FAULT,..",
        value_parser = nemesis_words(),
        help_heading = "Faults"
    )]
    pub nemesis: Vec<NemesisWord>,
    /// The shape of partitions: see below [default: each in turn, in an order that the seed
    /// chooses].
    #[arg(long, env = "LOCKTEST_PARTITION", value_name = "SHAPE", value_parser = shapes(), help_heading = "Faults")]
    pub partition: Option<Mixed<PartitionShape>>,
    /// Which way partitions lose packets: both, in to the smaller side, or out of it [default:
    /// both].
    #[arg(long, env = "LOCKTEST_PARTITION_DIRECTION", value_name = "WAY", value_parser = directions(), help_heading = "Faults")]
    pub partition_direction: Option<Mixed<Direction>>,
    /// What becomes of those packets: dropped, rejected by ICMP, or their connections are reset
    /// [default: drop].
    #[arg(long, env = "LOCKTEST_PARTITION_PACKETS", value_name = "FATE", value_parser = fates(), help_heading = "Faults")]
    pub partition_packets: Option<Mixed<PacketFate>>,
    /// Whose links partitions cut: servers from servers, or clients from servers [default: servers;
    /// redlock and single clients].
    #[arg(long, env = "LOCKTEST_PARTITION_BETWEEN", value_name = "WHOM", value_parser = betweens(), help_heading = "Faults")]
    pub partition_between: Option<Mixed<Between>>,
    /// How clocks go wrong: see below [default: each in turn, in an order that the seed chooses].
    #[arg(long, env = "LOCKTEST_CLOCK", value_name = "HOW", value_parser = clock_shapes(), help_heading = "Faults")]
    pub clock: Option<Mixed<ClockShape>>,
    /// How far clocks jump [default: a random time, from one and a half leases to a minute].
    #[arg(long, env = "LOCKTEST_CLOCK_OFFSET", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Faults")]
    pub clock_offset: Option<Duration>,
    /// Whom faults are aimed at: one, minority, majority, all, leader (or primary), holder,
    /// holder-server, or names such as n1,n2 or c1 [default: by fault, each in turn].
    #[arg(long, env = "LOCKTEST_TARGET", value_name = "WHOM", value_parser = target, help_heading = "Faults")]
    pub target: Option<TargetChoice>,
    /// The most servers that a fault may kill, pause, cut off from the majority or give a wrong clock:
    /// a number, minority, or none for no limit [default: none].
    #[arg(long, env = "LOCKTEST_MAX_AFFECTED", value_name = "N", value_parser = limit, help_heading = "Faults")]
    pub max_affected: Option<Limit>,
    /// Quiet for this long, then a fault for this long, alternating; faults of clients last longer
    /// than the lease, and some faults are over at once.
    #[arg(long, env = "LOCKTEST_NEMESIS_INTERVAL", default_value = "10s", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Faults")]
    pub nemesis_interval: Duration,
    /// Inject the faults that an earlier run had, at the same times, instead of those of --nemesis;
    /// to repeat a whole run use `locktest replay`.
    #[arg(long, env = "LOCKTEST_FAULTS_OF", value_name = "RUN", help_heading = "Faults")]
    pub faults_of: Option<PathBuf>,

    /// Those faults, once they are read.
    #[arg(skip)]
    pub earlier: Option<Earlier>,
}

impl FaultArgs {
    /// The faults in a word, as they are in the name of the run directory.
    pub fn name(&self) -> String {
        if self.faults_of.is_some() {
            return "replay".into();
        }
        let mut names: Vec<&str> = Vec::new();
        for word in &self.nemesis {
            if !names.contains(&word.name()) {
                names.push(word.name());
            }
        }
        names.join("+")
    }
}

/// A word of `--nemesis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NemesisWord {
    /// No fault.
    None,
    /// Every kind that the run can have.
    All,
    /// Faults of this kind.
    Kind(FaultKind),
}

impl NemesisWord {
    fn name(self) -> &'static str {
        match self {
            NemesisWord::None => "none",
            NemesisWord::All => "all",
            NemesisWord::Kind(kind) => kind.name(),
        }
    }
}

/// What `--target` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetChoice {
    /// Whoever this is when the fault comes.
    Word(Target),
    /// Servers or clients by their names, which only the plan knows.
    Names(Vec<String>),
}

impl TargetChoice {
    /// Every word; what is no word is a name.
    pub const WORDS: [(&'static str, Target); 8] = [
        ("one", Target::One),
        ("minority", Target::Minority),
        ("majority", Target::Majority),
        ("all", Target::All),
        ("leader", Target::Leader),
        ("primary", Target::Leader),
        ("holder", Target::Holder),
        ("holder-server", Target::HolderServer),
    ];
}

impl fmt::Display for TargetChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetChoice::Word(target) => f.write_str(target.name()),
            TargetChoice::Names(names) => f.write_str(&names.join(",")),
        }
    }
}

/// What `--max-affected` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many servers.
    Servers(u16),
    /// As many as a majority can do without.
    Minority,
    /// Any number.
    None,
}

fn nemesis_words() -> impl TypedValueParser<Value = NemesisWord> {
    let kinds = FaultKind::ALL.map(NemesisWord::Kind);
    let words = [NemesisWord::None, NemesisWord::All].into_iter().chain(kinds);
    one_of(words.map(|word| (word.name(), word)))
}

fn shapes() -> impl TypedValueParser<Value = Mixed<PartitionShape>> {
    one_of_or_mixed(PartitionShape::ALL.map(|shape| (shape.name(), shape)))
}

fn directions() -> impl TypedValueParser<Value = Mixed<Direction>> {
    one_of_or_mixed(Direction::ALL.map(|direction| (direction.name(), direction)))
}

fn fates() -> impl TypedValueParser<Value = Mixed<PacketFate>> {
    one_of_or_mixed(PacketFate::ALL.map(|fate| (fate.name(), fate)))
}

fn betweens() -> impl TypedValueParser<Value = Mixed<Between>> {
    one_of_or_mixed([("servers", Between::Servers), ("clients", Between::Clients)])
}

fn clock_shapes() -> impl TypedValueParser<Value = Mixed<ClockShape>> {
    one_of_or_mixed(ClockShape::ALL.map(|shape| (shape.name(), shape)))
}

fn target(text: &str) -> Result<TargetChoice, String> {
    let word = |text: &str| TargetChoice::WORDS.into_iter().find(|(name, _)| *name == text);
    if let Some((_, target)) = word(text) {
        return Ok(TargetChoice::Word(target));
    }
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err("give one word, or names with commas between them, such as n1,n2".into());
    }
    if let Some((name, _)) = names.iter().find_map(|name| word(name)) {
        return Err(format!("'{name}' stands alone; a list has names, such as n1,n2"));
    }
    Ok(TargetChoice::Names(names))
}

fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "minority" => Ok(Limit::Minority),
        "none" => Ok(Limit::None),
        _ => {
            let servers = text.parse().map(Limit::Servers);
            servers.map_err(|_| "give a number of servers, minority or none".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_one_word_or_a_list_of_names() {
        assert_eq!(target("holder"), Ok(TargetChoice::Word(Target::Holder)));
        assert_eq!(target("primary"), target("leader"));
        let names = ["n1", "c2"].map(str::to_owned).into();
        assert_eq!(target("n1, c2"), Ok(TargetChoice::Names(names)));
        for wrong in ["", "n1,", "n1,leader"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_limit_is_a_number_or_a_word() {
        assert_eq!(limit("2"), Ok(Limit::Servers(2)));
        assert_eq!(limit("minority"), Ok(Limit::Minority));
        assert_eq!(limit("none"), Ok(Limit::None));
        assert!(limit("-1").is_err() && limit("half").is_err());
    }
}
