//! A connection to one Redis server or sentinel, made when it is needed and again after an error.

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo,
    RedisError, RedisResult,
};
use tokio::sync::Mutex;

/// Whoever asks bounds the time, by dropping the future.
pub(crate) struct Connection {
    address: ConnectionAddr,
    open: Mutex<Option<MultiplexedConnection>>,
}

impl Connection {
    /// Nothing is connected to yet.
    pub fn new(address: &str, port: u16) -> Connection {
        let address = ConnectionAddr::Tcp(address.to_owned(), port);
        Connection { address, open: Mutex::new(None) }
    }

    /// Sends one command and waits for its answer; the error is in words.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, String> {
        let mut slot = self.open.lock().await;
        // Out of the slot while it is used: a question that fails or is given up half-way takes its
        // connection with it.
        let kept = slot.take();
        let answer = async {
            let mut open = match kept {
                Some(open) => open,
                None => self.connect().await?,
            };
            let answer = command.query_async(&mut open).await?;
            *slot = Some(open);
            Ok(answer)
        };
        answer.await.map_err(|error: RedisError| error.to_string())
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let client = Client::open(self.address.clone().into_connection_info()?)?;
        let unlimited =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        client.get_multiplexed_async_connection_with_config(&unlimited).await
    }
}
