//! One attempt: its session, its node, and its place in the queue of a lock.

use std::cell::{Cell, OnceCell};
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::sleep;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error, StateWatcher};

use super::super::CallError;
use super::{LOCKS, call_error, is_unknown};

/// A pause after a connection broke, before the same is asked through the next.
const PAUSE_BEFORE_ASKING_AGAIN: Duration = Duration::from_millis(20);

/// A sequence number, as servers append it to a name.
const SEQUENCE_DIGITS: usize = 10;

pub(super) const PERSISTENT: CreateOptions<'static> =
    CreateMode::Persistent.with_acls(Acls::anyone_all());

const EPHEMERAL: CreateOptions<'static> =
    CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());

pub(super) struct Attempt {
    /// Closes the session when it is dropped.
    pub client: Client,
    /// The session's states since it was opened.
    states: StateWatcher,
    /// The path of the node, once it is known.
    node: OnceCell<String>,
    /// Whether the node was asked to be deleted. From then on its absence proves nothing.
    pub deleting: Cell<bool>,
}

impl Attempt {
    pub fn new(client: Client) -> Attempt {
        let states = client.state_watcher();
        Attempt { client, states, node: OnceCell::new(), deleting: Cell::new(false) }
    }

    /// Follows the session's states without keeping it open.
    pub fn states(&self) -> StateWatcher {
        self.states.clone()
    }

    pub fn session(&self) -> i64 {
        self.client.session_id().0
    }

    /// The path of the node, once it is known.
    pub fn node(&self) -> Option<&str> {
        self.node.get().map(String::as_str)
    }

    /// The number of the server that serves the session, counted from one. A session has that of
    /// the server that made it in its upper byte; who serves it after a connection broke, the
    /// library does not tell.
    pub fn server_id(&self) -> Option<u8> {
        let mut states = self.states();
        let changed = pin!(states.changed());
        let has_changed =
            std::future::Future::poll(changed, &mut Context::from_waker(Waker::noop())).is_ready();
        (!has_changed).then(|| self.session().to_be_bytes()[0])
    }

    /// Asks until there is an answer: for what may be asked more than once.
    async fn until_answered<T>(
        &self,
        request: impl AsyncFn(&Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            match request(&self.client).await {
                Err(error) if self.may_ask_again(&error) => sleep(PAUSE_BEFORE_ASKING_AGAIN).await,
                result => return result,
            }
        }
    }

    /// Whether an error is that of a connection, and the session goes on.
    fn may_ask_again(&self, error: &Error) -> bool {
        is_unknown(error) && !self.client.state().is_terminated()
    }

    /// Makes the node, below that of the lock.
    ///
    /// Its name begins with the session's number, which no other attempt has: when the answer is
    /// lost, the node is looked for by that name before it is made again, as Curator does.
    pub async fn enqueue(&self, key: &str) -> Result<(), CallError> {
        let parent = format!("{LOCKS}/{key}");
        let name = format!("_c_{:016x}-lock-", self.session());
        let mut answer_was_lost = false;
        loop {
            let prefix = format!("{parent}/{name}");
            let error = match self.client.create(&prefix, b"", &EPHEMERAL).await {
                Ok((_, sequence)) => {
                    self.node.get_or_init(|| format!("{prefix}{sequence}"));
                    return Ok(());
                }
                Err(Error::NoNode) => self.make_parents(&parent).await.err(),
                Err(error) => Some(error),
            };
            match error {
                None => continue,
                Some(error) if self.may_ask_again(&error) => {}
                Some(error) if answer_was_lost => {
                    return Err(CallError::Unknown(error.to_string()));
                }
                Some(error) => return Err(call_error(error)),
            }
            answer_was_lost = true;
            sleep(PAUSE_BEFORE_ASKING_AGAIN).await;
            let found = self.find(&parent, &name).await.map_err(unknown)?;
            if let Some(found) = found {
                self.node.get_or_init(|| format!("{parent}/{found}"));
                return Ok(());
            }
        }
    }

    async fn make_parents(&self, parent: &str) -> Result<(), Error> {
        self.until_answered(async |client| client.mkdir(parent, &PERSISTENT).await).await
    }

    /// Looks for the node of this attempt. The session may have moved to a server that has not seen
    /// the node yet, hence the `sync`.
    async fn find(&self, parent: &str, name: &str) -> Result<Option<String>, Error> {
        let children = self.until_answered(async |client| {
            client.sync(parent).await?;
            client.list_children(parent).await
        });
        match children.await {
            Ok(children) => Ok(children.into_iter().find(|child| child.starts_with(name))),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The path of the node that the attempt has to wait for; `None` if its own is the lowest.
    pub async fn predecessor(&self) -> Result<Option<String>, CallError> {
        let Some((parent, own)) = self.node().and_then(|path| path.rsplit_once('/')) else {
            return Err(CallError::NotAsked("the lock node is not there yet".into()));
        };
        let children = self.until_answered(async |client| client.list_children(parent).await);
        match children.await {
            Ok(children) => match place(&children, own) {
                Place::Lowest => Ok(None),
                Place::Behind(name) => Ok(Some(format!("{parent}/{name}"))),
                Place::Missing => Err(CallError::Refused("the lock node is gone".into())),
            },
            Err(error) => Err(unknown(error)),
        }
    }

    /// Waits until something happens to a node. A watch for data and not for existence, as Curator
    /// sets it: on a node that is gone it leaves no watch behind.
    pub async fn wait_for_change(&self, path: &str) -> Result<(), CallError> {
        match self.client.get_and_watch_data(path).await {
            Ok((_, _, watcher)) => {
                watcher.changed().await;
                Ok(())
            }
            Err(Error::NoNode) => Ok(()),
            Err(error) if self.may_ask_again(&error) => {
                sleep(PAUSE_BEFORE_ASKING_AGAIN).await;
                Ok(())
            }
            Err(error) => Err(unknown(error)),
        }
    }

    /// Leaves the queue without the lock.
    pub async fn withdraw(&self, reason: &str) -> CallError {
        let Some(path) = self.node() else { return CallError::Refused(reason.to_owned()) };
        self.deleting.set(true);
        match self.until_answered(async |client| client.delete(path, None).await).await {
            Ok(()) | Err(Error::NoNode) => CallError::Refused(reason.to_owned()),
            Err(error) => {
                CallError::Unknown(format!("{reason}, and the lock node may be left: {error}"))
            }
        }
    }
}

/// For an attempt that may have a node: whatever the error was, the node may come to hold the lock.
fn unknown(error: Error) -> CallError {
    CallError::Unknown(error.to_string())
}

#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    Lowest,
    Behind(&'a str),
    Missing,
}

/// Where `own` stands among the children of a lock, by their sequence numbers.
fn place<'a>(children: &'a [String], own: &str) -> Place<'a> {
    let Some(own_sequence) = sequence(own).filter(|_| children.iter().any(|name| name == own))
    else {
        return Place::Missing;
    };
    let before = children.iter().filter_map(|name| Some((sequence(name)?, name.as_str())));
    match before.filter(|(sequence, _)| *sequence < own_sequence).max() {
        None => Place::Lowest,
        Some((_, name)) => Place::Behind(name),
    }
}

fn sequence(name: &str) -> Option<u64> {
    name.get(name.len().checked_sub(SEQUENCE_DIGITS)?..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_in_the_order_of_sequence_numbers_whatever_the_names_begin_with() {
        let children = ["_c_03-lock-0000000009", "_c_01-lock-0000000011", "_c_02-lock-0000000010"]
            .map(String::from);
        assert_eq!(place(&children, "_c_03-lock-0000000009"), Place::Lowest);
        assert_eq!(
            place(&children, "_c_01-lock-0000000011"),
            Place::Behind("_c_02-lock-0000000010")
        );
        assert_eq!(
            place(&children, "_c_02-lock-0000000010"),
            Place::Behind("_c_03-lock-0000000009")
        );
    }

    #[test]
    fn a_node_that_is_not_listed_has_no_place_and_one_without_a_number_takes_none() {
        let children = ["_c_01-lock-0000000001".to_owned(), "configuration".to_owned()];
        assert_eq!(place(&children, "_c_02-lock-0000000002"), Place::Missing);
        assert_eq!(place(&children, "_c_01-lock-0000000001"), Place::Lowest);
    }
}
