//! Lock files between the locktest processes of one machine.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::LabError;
use crate::error::io_at;

const POLL: Duration = Duration::from_millis(10);

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
        let file = open.map_err(io_at("open", path))?;
        let deadline = Instant::now() + limit;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(LockFile { _file: file }),
                Err(TryLockError::Error(error)) => return Err(io_at("lock", path)(error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    let path = path.to_owned();
                    return Err(LabError::LockTimeout { path, limit_s: limit.as_secs() });
                }
                Err(TryLockError::WouldBlock) => sleep(POLL).await,
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
}
