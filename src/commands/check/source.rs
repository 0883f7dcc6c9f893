//! Where a history is, and what it is written in.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use locktest_formats::{Format, detect};
use locktest_history::RunDir;

use crate::commands::open_run_dir;
use crate::exit::Failure;

/// So much of a history is looked at to see its format.
const BEGIN_BYTES: u64 = 64 * 1024;

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
    /// It can be read once.
    Pipe(RefCell<Option<Box<dyn Read>>>),
}

impl Source {
    /// Looks at what is there.
    pub fn find(path: &Path, format: Option<Format>) -> Result<Source, Failure> {
        let name = path.display().to_string();
        if path == Path::new("-") {
            return Source::pipe("standard input".into(), Box::new(io::stdin().lock()), format);
        }
        if path.is_dir() {
            if let Some(format) = format.filter(|format| *format != Format::Locktest) {
                let problem = anyhow!("{name} is a directory, and {format} is a file's format");
                return Err(Failure::usage(problem));
            }
            let run_dir = open_run_dir(path)?;
            return Ok(Source { name, format: Format::Locktest, place: Place::RunDir(run_dir) });
        }
        let mut file = open(path)?;
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Source::pipe(name, Box::new(file), format);
        }
        let format = match format {
            Some(format) => format,
            None => begin(&mut file, &name)?.1.ok_or_else(|| unknown(&name))?,
        };
        Ok(Source { name, format, place: Place::File(path.to_owned()) })
    }

    fn pipe(
        name: String,
        mut reader: Box<dyn Read>,
        format: Option<Format>,
    ) -> Result<Source, Failure> {
        let (format, reader) = match format {
            Some(format) => (format, reader),
            None => {
                let (bytes, format) = begin(&mut reader, &name)?;
                let whole: Box<dyn Read> = Box::new(io::Cursor::new(bytes).chain(reader));
                (format.ok_or_else(|| unknown(&name))?, whole)
            }
        };
        Ok(Source { name, format, place: Place::Pipe(RefCell::new(Some(reader))) })
    }

    /// The file with the records of a run, if it is one.
    pub fn history_file(&self) -> Option<PathBuf> {
        match &self.place {
            Place::RunDir(run_dir) => Some(run_dir.history()),
            Place::File(path) if self.format == Format::Locktest => Some(path.clone()),
            _ => None,
        }
    }

    /// Whether its format can hold a run.
    pub fn may_be_a_run(&self) -> bool {
        matches!(self.format, Format::Locktest | Format::Jsonl)
    }

    /// Whether it can be read a second time.
    pub fn is_lasting(&self) -> bool {
        !matches!(self.place, Place::Pipe(_))
    }

    /// Its bytes, from the beginning.
    pub fn open(&self) -> Result<Box<dyn Read>, Failure> {
        Ok(match &self.place {
            Place::RunDir(run_dir) => Box::new(open(&run_dir.history())?),
            Place::File(path) => Box::new(open(path)?),
            Place::Pipe(reader) => reader
                .take()
                .ok_or_else(|| Failure::internal(anyhow!("{} was read twice", self.name)))?,
        })
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(Failure::usage)
}

/// The first bytes, no more than it takes to see the format, and the format.
fn begin(reader: &mut dyn Read, name: &str) -> Result<(Vec<u8>, Option<Format>), Failure> {
    let (mut bytes, mut taken) = (Vec::new(), 1);
    let mut format = None;
    while taken > 0 && format.is_none() && (bytes.len() as u64) < BEGIN_BYTES {
        // A pipe gives what it has; a line that is cut there is seen whole the next time.
        taken = reader
            .take(4096)
            .read_to_end(&mut bytes)
            .with_context(|| format!("cannot read {name}"))
            .map_err(Failure::usage)?;
        format = detect(&bytes);
    }
    Ok((bytes, format))
}

fn unknown(name: &str) -> Failure {
    let names = Format::ALL.map(Format::name).join(", ");
    Failure::usage(anyhow!(
        "{name} does not look like a history; say what it is with --format ({names})"
    ))
}
