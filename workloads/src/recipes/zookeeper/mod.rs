//! ZooKeeper: the recipe of kazoo and Curator. An ephemeral sequential node for each attempt; the
//! lowest holds the lock, every other one waits for its predecessor to go.
//!
//! Each attempt has a session of its own, which any server may serve: the client library knows them
//! all, tries them in random order as the Java client and kazoo do, and moves to another when a
//! connection breaks. Plain values go through one session a server, so that it is known which server
//! answered.
//!
//! Two things are no word of the service's:
//! - The library's own conclusion that a session is over. It draws it by its own clock and tells it
//!   like the word of a server, so neither is believed before a quorum was asked for the node.
//! - What a server reads, for "it is not there". The server's state may be old, and after a `sync`
//!   still be that of a deposed leader. Only the answer to a write, be it nothing but a check, is a
//!   quorum's.

mod lock;
mod queue;
mod session;
mod values;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use locktest_history::ReadMode;
use zookeeper_client::Error;

use self::queue::Attempt;
use self::session::Sessions;
use super::CallError;
use crate::protocol::ClientConfig;

/// ZooKeeper as a lock, and as a store of plain values.
pub struct Zookeeper {
    sessions: Sessions,
    read_mode: ReadMode,
    /// The attempts under way, by the number of their session.
    attempts: RefCell<HashMap<i64, Rc<Attempt>>>,
}

impl Zookeeper {
    /// Connects to nothing yet. Fails if the configuration has no server.
    pub fn new(config: &ClientConfig) -> Result<Zookeeper, CallError> {
        if config.servers.is_empty() {
            return Err(CallError::NotAsked("no server is configured".into()));
        }
        Ok(Zookeeper {
            sessions: Sessions::new(config),
            read_mode: config.plan.read_mode,
            attempts: RefCell::default(),
        })
    }
}

/// Below it, one node for each lock, with the nodes of its attempts.
const LOCKS: &str = "/locktest/locks";

/// Below it, one node for each plain value.
const VALUES: &str = "/locktest/values";

/// What an error means to whoever sent one request, once.
fn call_error(error: Error) -> CallError {
    let text = error.to_string();
    match error {
        // The answers of a leader that judged the request and changed nothing.
        Error::NoNode
        | Error::NodeExists
        | Error::NotEmpty
        | Error::BadVersion
        | Error::NoAuth
        | Error::InvalidAcl
        | Error::NoChildrenForEphemerals
        | Error::QuotaExceeded => CallError::Refused(text),
        // The answers of a server that did not try; `BadArguments` may be the library's own, before
        // it sends anything. After `SessionMoved` another server serves the session.
        Error::BadArguments(_)
        | Error::MarshallingError
        | Error::Unimplemented
        | Error::NotReadOnly
        | Error::SessionMoved
        | Error::Throttled => CallError::NotAsked(text),
        // All others leave it open: the connection broke or the session ended while the request was
        // under way, or the server failed half-way (its own timeout, for one, has a number that the
        // library has no name for).
        _ => CallError::Unknown(text),
    }
}

fn is_unknown(error: &Error) -> bool {
    matches!(call_error(error.clone()), CallError::Unknown(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_judgement_is_a_refusal_and_a_broken_connection_is_never_a_failure() {
        assert_eq!(call_error(Error::NoNode), CallError::Refused("node not exists".into()));
        for not_tried in [Error::Throttled, Error::SessionMoved, Error::Unimplemented] {
            assert!(matches!(call_error(not_tried), CallError::NotAsked(_)));
        }
        for open in [
            Error::ConnectionLoss,
            Error::SessionExpired,
            Error::ClientClosed,
            Error::Timeout,
            // The server's own timeout.
            Error::UnexpectedErrorCode(-7),
        ] {
            assert!(is_unknown(&open), "{open:?}");
        }
    }
}
