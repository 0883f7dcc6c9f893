//! Plain numbers in etcd, in decimal, and those that a lock guards.

use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp};
use locktest_history::ReadMode;

use super::{Etcd, call_error};
use crate::recipes::{CallError, Grant, GuardedValues, Values};

impl Values for Etcd {
    async fn read(&self, server: usize, name: &str) -> Result<Option<u64>, CallError> {
        let mut client = self.client(server).await?;
        let options = match self.read_mode {
            ReadMode::Serializable => Some(GetOptions::new().with_serializable()),
            _ => None,
        };
        let reply = client.get(key_of(name), options).await.map_err(call_error)?;
        let Some(pair) = reply.kvs().first() else { return Ok(None) };
        let number = pair.value_str().ok().and_then(|text| text.parse().ok());
        number.map(Some).ok_or_else(|| CallError::Unknown(format!("{name} holds no number")))
    }

    async fn write(&self, server: usize, name: &str, value: u64) -> Result<(), CallError> {
        let mut client = self.client(server).await?;
        client.put(key_of(name), value.to_string(), None).await.map(drop).map_err(call_error)
    }

    async fn cas(
        &self,
        server: usize,
        name: &str,
        expected: Option<u64>,
        value: u64,
    ) -> Result<bool, CallError> {
        let key = key_of(name);
        let as_expected = match expected {
            Some(expected) => Compare::value(key.as_str(), CompareOp::Equal, expected.to_string()),
            None => Compare::create_revision(key.as_str(), CompareOp::Equal, 0),
        };
        let txn = Txn::new().when([as_expected]).and_then([put(name, value)]);
        self.commit(server, txn).await.map(|reply| reply.succeeded())
    }
}

impl GuardedValues for Etcd {
    async fn write_guarded(
        &self,
        server: usize,
        _lease: &i64,
        _key: &str,
        grant: &Grant,
        name: &str,
        value: u64,
    ) -> Result<(), CallError> {
        let txn = Txn::new().when([self.is_held(grant)]).and_then([put(name, value)]);
        match self.commit(server, txn).await?.succeeded() {
            true => Ok(()),
            false => Err(CallError::Refused("the lock's key is not this owner's".into())),
        }
    }
}

/// Apart from the locks' keys.
fn key_of(name: &str) -> String {
    format!("values/{name}")
}

fn put(name: &str, value: u64) -> TxnOp {
    TxnOp::put(key_of(name), value.to_string(), None)
}
