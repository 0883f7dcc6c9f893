//! Plain numbers in Consul, and those that a lock guards.
//!
//! A number is kept in its key's flags, 64 bits that Consul leaves to its clients and changes with the
//! key: so it is a number in every request and answer, and no text in base64.

use reqwest::StatusCode;
use serde_json::json;

use super::{Consul, checked, sent_or_not};
use crate::recipes::{CallError, Grant, GuardedValues, Values};

impl Values for Consul {
    async fn read(&self, server: usize, name: &str) -> Result<Option<u64>, CallError> {
        let (pair, _index) = self.read_key(server, &key_of(name), self.query_of_mode()).await?;
        Ok(pair.map(|pair| pair.flags))
    }

    async fn write(&self, server: usize, name: &str, value: u64) -> Result<(), CallError> {
        match self.put_key(server, &key_of(name), &format!("flags={value}")).await? {
            true => Ok(()),
            false => Err(CallError::Unknown("a plain write was refused".into())),
        }
    }

    /// Consul compares versions: the value is read first, consistently whatever the read mode, and
    /// written only over what was read.
    async fn cas(
        &self,
        server: usize,
        name: &str,
        expected: Option<u64>,
        value: u64,
    ) -> Result<bool, CallError> {
        let key = key_of(name);
        let (pair, _index) = self.read_key(server, &key, "consistent").await.map_err(|error| {
            // The write was never sent.
            CallError::NotAsked(format!("cannot read what is to be replaced: {error}"))
        })?;
        if pair.as_ref().map(|pair| pair.flags) != expected {
            return Ok(false);
        }
        // Zero stands for a key that is not there.
        let version = pair.map_or(0, |pair| pair.modify_index);
        self.put_key(server, &key, &format!("flags={value}&cas={version}")).await
    }
}

impl GuardedValues for Consul {
    async fn write_guarded(
        &self,
        server: usize,
        session: &String,
        key: &str,
        _grant: &Grant,
        name: &str,
        value: u64,
    ) -> Result<(), CallError> {
        let body = json!([
            { "KV": { "Verb": "check-session", "Key": key, "Session": session } },
            { "KV": { "Verb": "set", "Key": key_of(name), "Flags": value } },
        ]);
        let request = self.http.put(self.url(server, "txn")).json(&body);
        let response = request.send().await.map_err(sent_or_not)?;
        // The committed answer to a transaction one of whose checks failed.
        if response.status() == StatusCode::CONFLICT {
            return Err(CallError::Refused("the lock is not held by this session".into()));
        }
        checked(response).await.map(drop)
    }
}

/// Apart from the locks' keys.
fn key_of(name: &str) -> String {
    format!("values/{name}")
}
