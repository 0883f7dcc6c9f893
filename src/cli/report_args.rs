//! The flags of `report`.

use std::path::PathBuf;

use clap::Args;

const REPORT_HELP: &str = "\
Examples:
  locktest report store/latest                 its report.html and verdict.json, from its history
  locktest report store/*-redis-*              those of several runs; each that fails is named
  locktest report store                        store/matrix.html: every run, by store and by fault
  locktest report store --json                 the same matrix as data

A run that was killed half way gives a report that says so, and a history of an older version one of
today's. For the matrix, a run that has no verdict of today's version is judged first.

Exit codes:
  0 everything was rendered            2 a path is neither a run nor a folder of runs
  5 a page could not be written: what was there before still is";

/// The flags of `report`.
#[derive(Debug, Args)]
#[command(after_help = REPORT_HELP)]
pub struct ReportArgs {
    /// Run directories, such as store/latest, and folders of them, such as store.
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Print JSON: the matrix of a folder, the outcome and the page of a run.
    #[arg(long)]
    pub json: bool,
}
