//! The connection to a server: made when it is first needed, replaced once it has failed.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue,
    IntoConnectionInfo, RedisError,
};
use tokio::time::{Instant, timeout_at};

use super::super::CallError;

/// One server, and the connection to it.
pub(super) struct Server {
    index: usize,
    address: String,
    client: Client,
    connect_limit: Duration,
    current: RefCell<Option<Connection>>,
    made: Cell<u64>,
}

/// A connection. Its server executes what is sent over it in the order of sending, also what was
/// sent before and not answered.
#[derive(Clone)]
pub(super) struct Connection {
    number: u64,
    inner: MultiplexedConnection,
    state: Rc<Cell<State>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    /// Something that was sent was given up before its answer.
    Overdue,
    Broken,
}

impl Server {
    /// The server number `index` at `address`; connecting to it may take `connect_limit`.
    pub(super) fn new(
        index: usize,
        address: &str,
        connect_limit: Duration,
    ) -> Result<Server, CallError> {
        let not_asked = |reason: String| CallError::NotAsked(format!("{address}: {reason}"));
        let socket: SocketAddr = address.parse().map_err(|error| not_asked(format!("{error}")))?;
        let info = ConnectionAddr::Tcp(socket.ip().to_string(), socket.port())
            .into_connection_info()
            .map_err(|error| not_asked(error.to_string()))?
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(info).map_err(|error| not_asked(error.to_string()))?;
        Ok(Server {
            index,
            address: address.to_owned(),
            client,
            connect_limit,
            current: RefCell::new(None),
            made: Cell::new(0),
        })
    }

    /// The servers at `addresses`, in their order.
    pub(super) fn all(
        addresses: &[String],
        connect_limit: Duration,
    ) -> Result<Vec<Server>, CallError> {
        let numbered = addresses.iter().enumerate();
        numbered.map(|(index, address)| Server::new(index, address, connect_limit)).collect()
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The longest that connecting to it may take.
    pub(super) fn connect_limit(&self) -> Duration {
        self.connect_limit
    }

    /// Whether there is a connection that has answered everything so far.
    pub(super) fn is_connected(&self) -> bool {
        self.current.borrow().as_ref().is_some_and(|it| it.state.get() == State::Good)
    }

    /// A connection that has answered everything so far. The error is always
    /// [`CallError::NotAsked`].
    ///
    /// A new one was answered once before it is returned, so that a paused server, whose kernel
    /// still accepts connections, is not sent requests that it would execute when it wakes up.
    pub(super) async fn connection(&self, deadline: Instant) -> Result<Connection, CallError> {
        self.current_or_new(|state| state == State::Good, deadline).await
    }

    /// The connection on which a request may be under way, if it stands, so that what is sent now
    /// is executed after that request.
    pub(super) async fn connection_behind(
        &self,
        deadline: Instant,
    ) -> Result<Connection, CallError> {
        self.current_or_new(|state| state != State::Broken, deadline).await
    }

    async fn current_or_new(
        &self,
        is_usable: impl Fn(State) -> bool,
        deadline: Instant,
    ) -> Result<Connection, CallError> {
        if let Some(connection) = self.current.borrow().as_ref()
            && is_usable(connection.state.get())
        {
            return Ok(connection.clone());
        }
        // Every limit is the caller's: it alone knows whether something was sent.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        let deadline = deadline.min(Instant::now() + self.connect_limit);
        let inner = match timeout_at(deadline, connecting).await {
            Ok(Ok(inner)) => inner,
            Ok(Err(error)) => {
                return Err(CallError::NotAsked(format!("cannot connect: {error}")));
            }
            Err(_) => return Err(CallError::NotAsked("cannot connect in time".into())),
        };
        self.made.update(|made| made + 1);
        let state = Rc::new(Cell::new(State::Good));
        let connection = Connection { number: self.made.get(), inner, state };
        *self.current.borrow_mut() = Some(connection.clone());
        Ok(connection)
    }
}

impl Connection {
    /// Tells it from the other connections to the same server.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Sends a request and waits for its answer. An error of the server's is
    /// [`CallError::NotAsked`]: a command that answers an error, such as `READONLY`, `OOM` or
    /// `NOREPLICAS`, did nothing. Everything else is [`CallError::Unknown`].
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<T, CallError> {
        let unanswered = Unanswered { state: &self.state };
        let mut inner = self.inner.clone();
        let Ok(answer) = timeout_at(deadline, command.query_async(&mut inner)).await else {
            return Err(CallError::Unknown("no answer in time".into()));
        };
        match answer {
            Ok(value) => {
                unanswered.becomes(State::Good);
                Ok(value)
            }
            Err(error) if is_the_servers(&error) => {
                unanswered.becomes(State::Good);
                let words = [error.code(), error.detail()].into_iter().flatten();
                Err(CallError::NotAsked(words.collect::<Vec<_>>().join(" ")))
            }
            Err(error) => {
                unanswered.becomes(State::Broken);
                Err(CallError::Unknown(error.to_string()))
            }
        }
    }
}

fn is_the_servers(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// A request whose answer is not there yet, also when nobody waits for it any more.
struct Unanswered<'a> {
    state: &'a Cell<State>,
}

impl Unanswered<'_> {
    fn becomes(self, state: State) {
        self.state.set(state);
        std::mem::forget(self);
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if self.state.get() == State::Good {
            self.state.set(State::Overdue);
        }
    }
}
