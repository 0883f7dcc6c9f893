//! From a format's bytes to operations.

use std::io::{BufReader, Read};

use locktest_checker::{Object, Specification, Values};
use locktest_history::{History, HistoryReader, import_json_lines};

use crate::pairing::Pairing;
use crate::processes::Processes;
use crate::run::load_run;
use crate::{Format, FormatError, Skipped, events, jepsen_edn, jepsen_log, jsonl};

/// How to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Skip and count what does not fit together, in place of an error.
    pub lenient: bool,
    /// The model that the history is meant for. `None`: the one that its operations speak of.
    pub specification: Option<Specification>,
}

/// What the stamps of operations count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamps {
    /// Lines of the input, from 1.
    Lines,
    /// Events of the input, from 1.
    Events,
    /// Nanoseconds of the history's clock.
    Nanoseconds,
}

/// A history as the checker takes it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What was asked of each object, in order of the first events.
    pub objects: Vec<Object>,
    /// The values of registers and keys.
    pub values: Values,
    /// What the history calls its processes.
    pub processes: Processes,
    /// The model that was asked for, or else the one that the operations speak of.
    pub specification: Specification,
    /// What the stamps of the operations count.
    pub stamps: Stamps,
    /// What was left out; nothing if the history was read strictly.
    pub skipped: Skipped,
    /// Before this stamp no operation is missing; [`NEVER`](locktest_checker::NEVER) if none is at
    /// all. A conflict whose end ([`Counterexample::at`](locktest_checker::Counterexample::at)) is
    /// not before it may be owed to an operation that could not be read, and proves nothing.
    pub whole_until: u64,
}

/// What a file holds.
#[derive(Debug)]
pub enum Contents {
    /// A whole run; [`load_run`] gives its operations.
    Run(Box<History>),
    /// Operations and nothing else.
    Operations(Box<Loaded>),
}

impl Contents {
    /// The operations, of a run as its clients believed them to be.
    pub fn operations(self, options: &Options) -> Result<Loaded, FormatError> {
        match self {
            Contents::Run(history) => load_run(&history, options),
            Contents::Operations(loaded) => Ok(*loaded),
        }
    }
}

/// How an exported run begins.
const RUN_BEGIN: &[u8] = b"{\"record\"";

/// Reads a whole history.
pub fn read(
    format: Format,
    mut source: impl Read,
    options: &Options,
) -> Result<Contents, FormatError> {
    match format {
        Format::Locktest => {
            let mut reader = HistoryReader::new(BufReader::new(source))?;
            let mut records = Vec::new();
            for record in reader.by_ref() {
                records.push(record?);
            }
            let damage = reader.damage().map(str::to_owned).into_iter().collect();
            let run = reader.run().clone();
            Ok(Contents::Run(Box::new(History { run, records, damage })))
        }
        Format::Jsonl => {
            let mut begin = Vec::new();
            source.by_ref().take(RUN_BEGIN.len() as u64).read_to_end(&mut begin)?;
            let is_run = begin == RUN_BEGIN;
            let whole = begin.chain(source);
            if is_run {
                let history = import_json_lines(BufReader::new(whole))?;
                return Ok(Contents::Run(Box::new(history)));
            }
            operations(format, options, |pairing| jsonl::read(whole, pairing))
        }
        Format::Events => operations(format, options, |pairing| events::read(source, pairing)),
        Format::JepsenEdn => {
            operations(format, options, |pairing| jepsen_edn::read(source, pairing))
        }
        Format::JepsenLog => {
            operations(format, options, |pairing| jepsen_log::read(source, pairing))
        }
    }
}

fn operations(
    format: Format,
    options: &Options,
    read: impl FnOnce(&mut Pairing) -> Result<(), FormatError>,
) -> Result<Contents, FormatError> {
    let mut pairing = Pairing::new(options, stamps(format, options)?);
    read(&mut pairing)?;
    pairing.finish(format).map(|loaded| Contents::Operations(Box::new(loaded)))
}

/// Leases are about time. For everything else the order of the events is what counts, and has no
/// ties.
fn stamps(format: Format, options: &Options) -> Result<Stamps, FormatError> {
    match (format, options.specification) {
        (Format::JepsenEdn | Format::Jsonl, Some(Specification::LeaseMutex { .. })) => {
            Ok(Stamps::Nanoseconds)
        }
        (_, Some(model @ Specification::LeaseMutex { .. })) => {
            Err(FormatError::NoTimes { model: model.to_string(), format })
        }
        (Format::JepsenEdn, _) => Ok(Stamps::Events),
        _ => Ok(Stamps::Lines),
    }
}
