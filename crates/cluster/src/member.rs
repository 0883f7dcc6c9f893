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

#[cfg(test)]
impl Member {
    /// `n1` at `10.0.0.1`, and so on.
    pub(crate) fn for_tests(count: u16) -> Vec<Member> {
        let member = |n: u16| Member {
            id: NodeId(n),
            name: format!("n{}", n + 1),
            address: format!("10.0.0.{}", n + 1),
        };
        (0..count).map(member).collect()
    }
}
