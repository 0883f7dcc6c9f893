//! The memory of another process.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;

use crate::Error;

/// The memory of a process that the caller may trace, and of no later process with its id.
#[derive(Debug)]
pub(super) struct Memory {
    pid: i32,
    file: File,
}

/// Keeps everybody else from setting the clocks of a process.
pub(super) struct Alone<'m>(&'m File);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Memory {
    pub(super) fn of(pid: i32) -> Result<Memory, Error> {
        let file = OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"));
        file.map(|file| Memory { pid, file }).map_err(|source| failure(pid, source))
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until nobody else holds this.
    pub(super) fn lock(&self) -> Result<Alone<'_>, Error> {
        self.file.lock().map_err(|source| failure(self.pid, source))?;
        Ok(Alone(&self.file))
    }

    pub(super) fn read<const N: usize>(&self, address: u64) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.read_into(address, &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn read_into(&self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let read = self.file.read_exact_at(bytes, address);
        read.map_err(|source| failure(self.pid, source))
    }

    /// Writes also where the process itself may not.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all_at(bytes, address);
        written.map_err(|source| failure(self.pid, source))
    }

    /// What is mapped where, a line each.
    pub(super) fn maps(&self) -> Result<String, Error> {
        match fs::read_to_string(format!("/proc/{}/maps", self.pid)) {
            // That of a process that has ended and is not waited for.
            Ok(maps) if maps.is_empty() => Err(Error::Gone(self.pid)),
            Ok(maps) => Ok(maps),
            Err(source) => Err(failure(self.pid, source)),
        }
    }
}

fn failure(pid: i32, source: io::Error) -> Error {
    const GONE: [Errno; 2] = [Errno::ENOENT, Errno::ESRCH];
    const ENDED: [io::ErrorKind; 2] = [io::ErrorKind::UnexpectedEof, io::ErrorKind::WriteZero];
    let is_gone = source.raw_os_error().is_some_and(|code| GONE.contains(&Errno::from_raw(code)));
    // The memory of a process that has just ended is empty.
    if is_gone || ENDED.contains(&source.kind()) {
        return Error::Gone(pid);
    }
    Error::Memory { pid, source }
}
