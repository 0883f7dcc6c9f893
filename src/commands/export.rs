//! `locktest export`: a history for other tools.

use std::io::{self, BufWriter, Write};

use anyhow::Context;
use locktest_formats::{FormatError, write_jepsen_edn};
use locktest_history::{History, export_json_lines};

use crate::cli::{ExportArgs, ExportFormat};
use crate::exit::{Exit, Failure};
use crate::terminal::Terminal;

/// Prints a run's history.
pub fn export(args: &ExportArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let run_dir = super::open_run_dir(&args.run_dir)?;
    let history =
        run_dir.read_history().context("cannot read the history").map_err(Failure::usage)?;
    let mut out = BufWriter::new(io::stdout().lock());
    match write(args.format, &history, &mut out, terminal) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Ok),
        result => result.context("cannot write the history").map_err(Failure::set_up)?,
    }
    for damage in &history.damage {
        terminal.warning(format_args!("part of the history is lost: {damage}"));
    }
    Ok(Exit::Ok)
}

fn write(
    format: ExportFormat,
    history: &History,
    out: &mut impl Write,
    terminal: &Terminal,
) -> io::Result<()> {
    match format {
        ExportFormat::Jsonl => export_json_lines(history, out)?,
        ExportFormat::JepsenEdn => {
            let skipped = write_jepsen_edn(history, out).map_err(|error| match error {
                FormatError::Io(error) => error,
                error => io::Error::other(error),
            })?;
            for what in &skipped.first {
                terminal.warning(format_args!("left out: {what}"));
            }
            if skipped.count > skipped.first.len() as u64 {
                terminal.warning(format_args!("{} records were left out in all", skipped.count));
            }
        }
    }
    out.flush()
}
