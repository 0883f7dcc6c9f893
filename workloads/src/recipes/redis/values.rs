//! Plain numbers beside the locks of one server, or of the primary that the sentinels name.

use std::rc::Rc;

use redis::{Cmd, FromRedisValue};

use super::super::{CallError, Grant, GuardedValues, LockRecipe, Values};
use super::attempt::Attempt;
use super::single::RedisLock;
use super::{lock_key, script, value_key};

impl RedisLock {
    async fn send<T: FromRedisValue>(&self, preferred: usize, cmd: &Cmd) -> Result<T, CallError> {
        let (answer, _server) = self
            .ask(preferred, async |server, deadline| {
                server.connection(deadline).await?.ask(cmd, deadline).await
            })
            .await?;
        Ok(answer)
    }
}

impl Values for RedisLock {
    async fn read(&self, server: usize, name: &str) -> Result<Option<u64>, CallError> {
        let mut command = redis::cmd("GET");
        command.arg(value_key(name));
        self.send(server, &command).await
    }

    async fn write(&self, server: usize, name: &str, value: u64) -> Result<(), CallError> {
        let mut command = redis::cmd("SET");
        command.arg(value_key(name)).arg(value);
        self.send(server, &command).await
    }

    async fn cas(
        &self,
        server: usize,
        name: &str,
        expected: Option<u64>,
        value: u64,
    ) -> Result<bool, CallError> {
        let command = script::compare_and_set(&value_key(name), expected, value);
        self.send(server, &command).await
    }

    fn server_of_value(&self, server: usize) -> Option<usize> {
        self.server_of(server)
    }
}

impl GuardedValues for RedisLock {
    async fn write_guarded(
        &self,
        server: usize,
        attempt: &Rc<Attempt>,
        key: &str,
        _grant: &Grant,
        name: &str,
        value: u64,
    ) -> Result<(), CallError> {
        let target = value_key(name);
        let command = script::write_guarded(&lock_key(key), &attempt.value(), &target, value);
        match self.send::<u64>(server, &command).await? {
            1 => Ok(()),
            _ => Err(CallError::Refused("the key is not there or another's".into())),
        }
    }
}
