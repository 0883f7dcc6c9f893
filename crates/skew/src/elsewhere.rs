//! Where no server can have a clock of its own.

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::{Class, Error, Reading, Setting};

/// Whether servers can have clocks of their own on this machine.
pub fn check_support() -> Result<(), Error> {
    Err(Error::Unsupported)
}

/// Becomes the program, with clocks of its own.
pub fn launch(_setting: &Path, _program: &Path, _args: &[OsString]) -> Result<Infallible, Error> {
    Err(Error::Unsupported)
}

/// A process with a clock of its own.
#[derive(Debug)]
pub struct Patched(Infallible);

impl Patched {
    /// Finds the clocks of a process.
    pub fn find(_pid: i32) -> Result<Patched, Error> {
        Err(Error::Unsupported)
    }

    /// The same, but waits for a process that is just being launched.
    pub fn find_within(_pid: i32, _patience: Duration) -> Result<Patched, Error> {
        Err(Error::Unsupported)
    }

    /// Sets one of its clocks.
    pub fn set(&self, _class: Class, _setting: &Setting) -> Result<(), Error> {
        match self.0 {}
    }

    /// Sets both of its clocks right.
    pub fn clear(&self) -> Result<(), Error> {
        match self.0 {}
    }

    /// Reads one of its clocks back.
    pub fn read(&self, _class: Class, _patience: Duration) -> Result<Reading, Error> {
        match self.0 {}
    }

    /// What is not right with its clocks, a line each.
    pub fn remains(&self, _patience: Duration) -> Result<Vec<String>, Error> {
        match self.0 {}
    }

    /// Whether it is a Java VM.
    pub fn is_jvm(&self) -> Result<bool, Error> {
        match self.0 {}
    }
}
