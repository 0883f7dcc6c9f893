//! Which server a client speaks to.

use std::cell::Cell;

use locktest_history::{ClientId, NodeId, Plan};

/// The server that a client prefers: at first that of its own number, the next one after each
/// failure.
pub(crate) struct PreferredServer {
    index: Cell<usize>,
    count: usize,
}

impl PreferredServer {
    pub(crate) fn of(client: ClientId, plan: &Plan) -> PreferredServer {
        let count = plan.nodes.len().max(1);
        PreferredServer { index: Cell::new(client.0 as usize % count), count }
    }

    pub(crate) fn index(&self) -> usize {
        self.index.get()
    }

    /// The one to turn to when `index` has failed.
    pub(crate) fn after(&self, index: usize) -> usize {
        (index + 1) % self.count
    }

    pub(crate) fn rotate(&self) {
        self.index.set(self.after(self.index.get()));
    }
}

/// A server as the history names it.
pub(crate) fn node(index: usize) -> Option<NodeId> {
    u16::try_from(index).ok().map(NodeId)
}
