//! The flags of `catalog`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

const CATALOG_HELP: &str = "\
Examples:
  locktest catalog list                              the published failures, and which can be shown
  locktest catalog show etcd-11456                   what it is, with every command to copy
  locktest catalog run etcd-11456 redlock-pause      find them, and let their twins pass
  locktest catalog run --all --record track-record.md

Exit codes of `catalog run`:
  0 every entry was found and every twin passes    1 an entry was not found, or a twin does not pass
  2 no such entry                                  3 a twin was inconclusive
  5 a run could not be set up                      6 a fault was left behind
  130 interrupted, after healing";

/// The flags of `catalog`.
#[derive(Debug, Args)]
#[command(after_help = CATALOG_HELP)]
pub struct CatalogArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: CatalogCommand,
}

/// What to do with the catalogue.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// List every entry.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show an entry, with the commands of its runs.
    Show {
        /// Its id, such as etcd-11456.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Find entries, and run the twin of each, which has to pass.
    Run(CatalogRunArgs),
}

/// The flags of `catalog run`.
#[derive(Debug, Args)]
#[command(after_help = CATALOG_HELP)]
pub struct CatalogRunArgs {
    /// The ids of entries, such as etcd-11456.
    #[arg(required_unless_present = "all", value_name = "ID")]
    pub ids: Vec<String>,
    /// Every entry.
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// Only this seed [default: the catalogue's in turn, until one of them shows the entry].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// The folder of the run directories.
    #[arg(long, env = "LOCKTEST_STORE", default_value = "store", value_name = "DIR")]
    pub store: PathBuf,
    /// Also write the results to FILE, as a table in Markdown.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
