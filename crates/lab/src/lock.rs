//! Lock files between the locktest processes of one machine.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::LabError;
use crate::error::io_at;

const POLL: Duration = Duration::from_millis(10);

/// The process that holds a lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// `None` in the instant between its lock and its word of it, or if that could not be written.
    pub pid: Option<i32>,
}

/// Held until it is dropped, or this process ends in whatever way.
#[derive(Debug)]
pub struct LockFile {
    _file: File,
}

impl LockFile {
    /// Waits until no other process holds the lock. The file itself stays for good: removing it
    /// would let two processes hold it at once.
    pub(crate) async fn hold(path: &Path, limit: Duration) -> Result<LockFile, LabError> {
        let open = File::options().create(true).append(true).open(path);
        let mut file = open.map_err(io_at("open", path))?;
        let deadline = Instant::now() + limit;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    // Only messages need it.
                    let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
                    return Ok(LockFile { _file: file });
                }
                Err(TryLockError::Error(error)) => return Err(io_at("lock", path)(error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    let path = path.to_owned();
                    return Err(LabError::LockTimeout { path, limit_s: limit.as_secs() });
                }
                Err(TryLockError::WouldBlock) => sleep(POLL).await,
            }
        }
    }

    /// Who holds the lock, if anybody does. The look is itself a lock for an instant, shared with
    /// other looks; whoever takes the lock must be ready to try more than once.
    pub(crate) fn holder(path: &Path) -> Result<Option<Holder>, LabError> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(io_at("open", path))?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io_at("look at the lock", path)(error)),
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(io_at("read", path))?;
                Ok(Some(Holder { pid: pid.parse().ok() }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_is_held_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = LockFile::hold(&path, Duration::ZERO).await.unwrap();
        let error = LockFile::hold(&path, Duration::ZERO).await.unwrap_err();
        assert!(matches!(error, LabError::LockTimeout { .. }), "{error}");
        drop(held);
        LockFile::hold(&path, Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn a_held_lock_names_its_holder_and_a_free_one_names_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(LockFile::holder(&path).unwrap(), None);
        assert!(!path.exists());
        std::fs::write(&path, "99999999999 an earlier holder").unwrap();
        let held = LockFile::hold(&path, Duration::ZERO).await.unwrap();
        let this = i32::try_from(std::process::id()).ok();
        assert_eq!(LockFile::holder(&path).unwrap(), Some(Holder { pid: this }));
        std::fs::write(&path, "").unwrap();
        assert_eq!(LockFile::holder(&path).unwrap(), Some(Holder { pid: None }));
        drop(held);
        assert_eq!(LockFile::holder(&path).unwrap(), None);
    }
}
