//! The flags of `bench`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use locktest_history::{Backend, Recipe};
use locktest_reports::Keys;

use super::choices::one_of;

const BENCH_HELP: &str = "\
Examples:
  locktest bench                                       the paper's tables, about 12 minutes
  locktest bench --repeat 1 --processes 1,5            a first look
  locktest bench --backends etcd@3.4.23,etcd@3.5.16    two versions beside each other
  locktest bench --backends etcd/cas-ttl,etcd          two recipes
  locktest bench --rate 50 --owners-per-client 20      an open loop, with intended starts
  locktest bench --under kill                          the same tables under a fault, by phase

Tables 1 and 2 are those of the paper, beside its figures. Those of the same key come twice: with
the wait for the holder, and of the attempt that was granted alone. Every cell is a run of its own,
whose verdict counts too; `--dry-run` prints their commands.

Exit codes:
  0 measured    1 a lock was no lock    2 usage    5 nothing could be measured
  6 a fault was left behind    130 interrupted: what was measured is shown";

/// The flags of `bench`.
#[derive(Clone, Debug, Args)]
#[command(after_help = BENCH_HELP)]
pub struct BenchArgs {
    /// The stores: NAME, with a recipe NAME/RECIPE, with a version NAME@VERSION.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "etcd,consul,zookeeper,redis",
        value_name = "STORE,.."
    )]
    pub backends: Vec<ContenderArg>,
    /// How many client processes: a column each.
    #[arg(long, value_delimiter = ',', default_value = "1,3,5", value_name = "N,..")]
    pub processes: Vec<u32>,
    /// Whether clients have a lock each, or compete for one.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "different,same",
        value_name = "KEYS,..",
        value_parser = one_of([("different", Keys::Different), ("same", Keys::Same)])
    )]
    pub keys: Vec<Keys>,
    /// How long each cell is measured [default: 10s, under faults 30s].
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub time_limit: Option<Duration>,
    /// How often each cell is measured: the figures are medians, with their spread.
    #[arg(long, default_value_t = 3, value_name = "K")]
    pub repeat: u32,
    /// How long each lock is held.
    #[arg(long, default_value = "5ms", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub hold: Duration,
    /// The lease's time to live [default: 10s, under faults 2s].
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub lease_ttl: Option<Duration>,
    /// How many servers each store has.
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub nodes_count: u16,
    /// Begin so many acquires a second, all clients together, whatever becomes of those before: an
    /// open loop.
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
    /// How many owners contend in each client process.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub owners_per_client: u32,
    /// Inject these faults meanwhile; the tables are by phase.
    #[arg(long, value_name = "FAULT,..")]
    pub under: Option<String>,
    /// Quiet for this long, then a fault for this long, alternating.
    #[arg(long, default_value = "5s", requires = "under", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub nemesis_interval: Duration,
    /// The seed of the order of cells, and of every run [default: a random one, printed].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// The folder of the bench's directory.
    #[arg(long, env = "LOCKTEST_STORE", default_value = "store", value_name = "DIR")]
    pub store: PathBuf,
    /// How the tables are printed.
    #[arg(long, default_value = "human", value_name = "FORMAT")]
    pub format: BenchFormat,
    /// The same as --format json.
    #[arg(long)]
    pub json: bool,
    /// Print the command of every cell in their order, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// How tables are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchFormat {
    /// For people.
    Human,
    /// All of bench.json, and nothing else.
    Json,
    /// Tables for a page or a job's summary.
    Markdown,
}

/// A store, as it is to be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContenderArg {
    /// The store.
    pub backend: Backend,
    /// How it is used as a lock, if not by its first recipe.
    pub recipe: Option<Recipe>,
    /// The server's version, if not the newest.
    pub version: Option<String>,
}

impl FromStr for ContenderArg {
    type Err = String;

    fn from_str(text: &str) -> Result<ContenderArg, String> {
        let (text, version) = match text.split_once('@') {
            Some((text, version)) => (text, Some(version.to_owned())),
            None => (text, None),
        };
        let (backend, recipe) = match text.split_once('/') {
            Some((backend, recipe)) => (backend, Some(recipe)),
            None => (text, None),
        };
        let known = |names: Vec<&str>| format!("known are {}", names.join(", "));
        let backend =
            Backend::ALL.into_iter().find(|known| known.name() == backend).ok_or_else(|| {
                let names = Backend::ALL.iter().map(|backend| backend.name()).collect();
                format!("no store is named '{backend}'; {}", known(names))
            })?;
        let recipe = recipe.map(|name| {
            let recipes = backend.recipes();
            recipes.iter().find(|recipe| recipe.name() == name).copied().ok_or_else(|| {
                let names = recipes.iter().map(|recipe| recipe.name()).collect();
                format!("{backend} has no recipe '{name}'; {}", known(names))
            })
        });
        if version.as_ref().is_some_and(String::is_empty) {
            return Err(format!("'{text}@' lacks a version; see `locktest versions`"));
        }
        Ok(ContenderArg { backend, recipe: recipe.transpose()?, version })
    }
}

impl fmt::Display for ContenderArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.backend.name())?;
        if let Some(recipe) = self.recipe {
            write!(f, "/{recipe}")?;
        }
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_with_its_recipe_and_version() {
        for name in ["etcd", "etcd/cas-ttl", "redis@7.0.15", "etcd/election-key@3.4.23"] {
            assert_eq!(name.parse::<ContenderArg>().expect(name).to_string(), name);
        }
        for (name, hint) in [
            ("etcdd", "known are consul, etcd"),
            ("etcd/redlock", "known are lock-rpc"),
            ("etcd@", "lacks a version"),
        ] {
            let error = name.parse::<ContenderArg>().expect_err(name);
            assert!(error.contains(hint), "{error}");
        }
    }
}
