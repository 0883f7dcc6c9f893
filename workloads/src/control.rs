//! What the control node has told a client so far.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;

use tokio::sync::{Notify, oneshot};

use crate::protocol::ToClient;

/// The protected resource's answer: whether the access was accepted, and the value held just
/// before.
type Answer = (bool, u64);

/// A client's view of its control node: the answers it waits for, and whether it is to stop.
#[derive(Debug)]
pub struct Control {
    /// The accesses that wait for an answer, by operation; `None` once nobody will give one.
    pending: RefCell<Option<HashMap<u64, oneshot::Sender<Answer>>>>,
    stopping: Cell<bool>,
    stop: Notify,
}

impl Default for Control {
    fn default() -> Control {
        Control {
            pending: RefCell::new(Some(HashMap::new())),
            stopping: Cell::new(false),
            stop: Notify::new(),
        }
    }
}

impl Control {
    /// Takes a word of the control node's.
    pub(crate) fn hear(&self, word: ToClient) {
        match word {
            ToClient::Access { op, accepted, value } => {
                let waiting = self.pending.borrow_mut().as_mut().and_then(|map| map.remove(&op));
                if let Some(waiting) = waiting {
                    // Whoever asked may have stopped waiting.
                    let _ = waiting.send((accepted, value));
                }
            }
            ToClient::Stop => self.stop(),
        }
    }

    /// Takes note that the control node has gone: nobody will answer.
    pub(crate) fn lose(&self) {
        self.pending.borrow_mut().take();
        self.stop();
    }

    /// The answer to an access that was just sent; `None` if the control node is gone.
    pub(crate) async fn answer(&self, op: u64) -> Option<Answer> {
        let (sender, receiver) = oneshot::channel();
        self.pending.borrow_mut().as_mut()?.insert(op, sender);
        receiver.await.ok()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Ends early when the control node says stop.
    pub(crate) async fn until_stop<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        if self.stopping.get() {
            return None;
        }
        tokio::select! {
            result = work => Some(result),
            () = self.stop.notified() => None,
        }
    }

    fn stop(&self) {
        self.stopping.set(true);
        self.stop.notify_waiters();
    }
}
