//! `locktest export`: a history as JSON lines.

use std::io::{self, BufWriter, Write};

use anyhow::Context;
use locktest_history::export_json_lines;

use crate::cli::ExportArgs;
use crate::exit::{Exit, Failure};
use crate::terminal::Terminal;

/// Prints a run's history.
pub fn export(args: &ExportArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let run_dir = super::open_run_dir(&args.run_dir)?;
    let history =
        run_dir.read_history().context("cannot read the history").map_err(Failure::usage)?;
    let mut out = BufWriter::new(io::stdout().lock());
    match export_json_lines(&history, &mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Ok),
        result => result.context("cannot write the history").map_err(Failure::set_up)?,
    }
    for damage in &history.damage {
        terminal.warning(format_args!("part of the history is lost: {damage}"));
    }
    Ok(Exit::Ok)
}
