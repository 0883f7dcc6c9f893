//! Where a history is, and what it is written in.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use locktest_formats::{Format, detect};
use locktest_history::RunDir;

use crate::exit::Failure;

/// So much of a file is looked at to see its format.
const BEGIN_BYTES: usize = 64 * 1024;

/// A history that can be read.
pub struct Source {
    /// As reports name it.
    pub name: String,
    pub format: Format,
    pub place: Place,
}

/// Where a history is.
pub enum Place {
    RunDir(RunDir),
    File(PathBuf),
    StandardInput,
}

impl Source {
    /// Looks at what is there.
    pub fn find(path: &Path, format: Option<Format>) -> Result<Source, Failure> {
        let name = path.display().to_string();
        if path == Path::new("-") {
            let format = format.ok_or_else(|| {
                Failure::usage(anyhow!("standard input needs --format, such as --format events"))
            })?;
            return Ok(Source {
                name: "standard input".into(),
                format,
                place: Place::StandardInput,
            });
        }
        if path.is_dir() {
            if let Some(format) = format.filter(|format| *format != Format::Locktest) {
                let problem = anyhow!("{name} is a directory, and {format} is a file's format");
                return Err(Failure::usage(problem));
            }
            let run_dir = super::super::open_run_dir(path)?;
            return Ok(Source { name, format: Format::Locktest, place: Place::RunDir(run_dir) });
        }
        let file = open(path)?;
        let format = match format {
            Some(format) => format,
            None => seen(file).with_context(|| format!("cannot read {name}")).map_err(Failure::usage)?.ok_or_else(|| {
                let names = Format::ALL.map(Format::name).join(", ");
                Failure::usage(anyhow!(
                    "{name} does not look like a history; say what it is with --format ({names})"
                ))
            })?,
        };
        Ok(Source { name, format, place: Place::File(path.to_owned()) })
    }

    /// The file with the records of a run, if it is one.
    pub fn history_file(&self) -> Option<PathBuf> {
        match &self.place {
            Place::RunDir(run_dir) => Some(run_dir.history()),
            Place::File(path) if self.format == Format::Locktest => Some(path.clone()),
            _ => None,
        }
    }

    /// Whether it can be read a second time.
    pub fn is_lasting(&self) -> bool {
        !matches!(self.place, Place::StandardInput)
    }

    /// Its bytes, from the beginning.
    pub fn open(&self) -> Result<Box<dyn Read>, Failure> {
        Ok(match &self.place {
            Place::RunDir(run_dir) => Box::new(open(&run_dir.history())?),
            Place::File(path) => Box::new(open(path)?),
            Place::StandardInput => Box::new(io::stdin().lock()),
        })
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(Failure::usage)
}

fn seen(file: File) -> io::Result<Option<Format>> {
    let mut reader = BufReader::with_capacity(BEGIN_BYTES, file);
    Ok(detect(reader.fill_buf()?))
}
