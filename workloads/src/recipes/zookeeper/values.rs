//! Plain values: a node each, with the number as decimal digits. A node without data is a value
//! that nobody wrote.

use locktest_history::ReadMode;
use zookeeper_client::{Client, Error, Stat};

use super::super::{CallError, Grant, GuardedValues, LockRecipe, Values};
use super::lock::lock_node;
use super::queue::PERSISTENT;
use super::session::{Failure, Missing};
use super::{VALUES, Zookeeper};

impl Values for Zookeeper {
    async fn read(&self, server: usize, name: &str) -> Result<Option<u64>, CallError> {
        let is_synced = self.read_mode == ReadMode::Sync;
        Ok(self.get(server, &path(name), is_synced).await?.and_then(|(value, _)| value))
    }

    async fn write(&self, server: usize, name: &str, value: u64) -> Result<(), CallError> {
        let path = path(name);
        let data = value.to_string();
        loop {
            match self.set(server, &path, &data, None).await {
                Ok(()) => return Ok(()),
                Err(Failure::Sent(Error::NoNode)) => self.make(server, &path).await?,
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    async fn cas(
        &self,
        server: usize,
        name: &str,
        expected: Option<u64>,
        value: u64,
    ) -> Result<bool, CallError> {
        let path = path(name);
        let data = value.to_string();
        loop {
            let Some((present, stat)) =
                self.get(server, &path, false).await.map_err(not_written)?
            else {
                self.make(server, &path).await?;
                continue;
            };
            if present == expected {
                return match self.set(server, &path, &data, Some(stat.version)).await {
                    Ok(()) => Ok(true),
                    // Another value came since, and no value comes twice.
                    Err(Failure::Sent(Error::BadVersion)) => Ok(false),
                    Err(failure) => Err(failure.into()),
                };
            }
            // What was read may be old, whereas "it is another value" must be true at the time.
            match self.sessions.check(server, &path, stat.version).await {
                Ok(()) => return Ok(false),
                Err(Failure::Sent(Error::BadVersion)) => {}
                Err(failure) => return Err(not_written(failure.into())),
            }
        }
    }
}

impl GuardedValues for Zookeeper {
    async fn write_guarded(
        &self,
        server: usize,
        _lease: &<Zookeeper as LockRecipe>::LeaseId,
        _key: &str,
        grant: &Grant,
        name: &str,
        value: u64,
    ) -> Result<(), CallError> {
        // Renewals change the version of the lock node, but no other session ever has a node of its
        // name: that it exists is all there is to check.
        let (guard, path) = (lock_node(grant)?, path(name));
        let data = value.to_string();
        loop {
            let written =
                self.sessions.write_if_exists(server, guard, &path, data.as_bytes()).await?;
            match written {
                Ok(()) => return Ok(()),
                Err(Missing::Guard) => {
                    return Err(CallError::Refused("the lock node is gone".into()));
                }
                Err(Missing::Value) => self.make(server, &path).await?,
            }
        }
    }
}

impl Zookeeper {
    /// A value and its node's state, if the node exists, as one server has them; after a `sync` if
    /// that is asked for.
    async fn get(
        &self,
        server: usize,
        path: &str,
        is_synced: bool,
    ) -> Result<Option<(Option<u64>, Stat)>, CallError> {
        let read = async |client: &Client| {
            if is_synced {
                client.sync(path).await?;
            }
            client.get_data(path).await
        };
        match self.sessions.ask(server, read).await {
            Ok((data, stat)) => Ok(Some((parse(&data)?, stat))),
            Err(Failure::Sent(Error::NoNode)) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn set(
        &self,
        server: usize,
        path: &str,
        data: &str,
        version: Option<i32>,
    ) -> Result<(), Failure> {
        let write =
            async |client: &Client| client.set_data(path, data.as_bytes(), version).await.map(drop);
        self.sessions.ask(server, write).await
    }

    /// Makes a value's node, as one that nobody wrote; another client may be faster.
    async fn make(&self, server: usize, path: &str) -> Result<(), CallError> {
        let made =
            self.sessions.ask(server, async |client| client.mkdir(path, &PERSISTENT).await).await;
        made.map_err(|failure| not_written(failure.into()))
    }
}

fn path(name: &str) -> String {
    format!("{VALUES}/{name}")
}

/// Whatever became of a request that comes before the write, the write itself was never sent.
fn not_written(error: CallError) -> CallError {
    CallError::NotAsked(format!("not written: {error}"))
}

fn parse(data: &[u8]) -> Result<Option<u64>, CallError> {
    if data.is_empty() {
        return Ok(None);
    }
    let value = std::str::from_utf8(data).ok().and_then(|text| text.parse().ok());
    value.map(Some).ok_or_else(|| {
        CallError::Unknown(format!("the value {:?} is no number", String::from_utf8_lossy(data)))
    })
}
