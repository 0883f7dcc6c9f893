//! A server node of a cluster.

use locktest_history::NodeId;

/// A server node as the other servers and the clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its index in the plan.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
}
