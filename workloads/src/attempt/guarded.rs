//! The two copies of what a lock protects, where the store under test keeps them: one takes every
//! write, the other only those of the lock's holder, by the store's own word.

use std::io::Write;

use locktest_history::{Detail, Function, NodeId, Resource, Token};

use super::{Held, LockClient};
use crate::recipes::GuardedValues;
use crate::recorder::Owner;
use crate::servers::node;

impl<R: GuardedValues, W: Write> LockClient<'_, R, W> {
    /// The value of a copy, zero if nobody wrote it; `None` if it could not be read.
    pub(crate) async fn read_copy(
        &self,
        owner: Owner,
        copy: Resource,
        token: Option<Token>,
    ) -> Option<u64> {
        let detail = |value| Detail::Access { resource: copy, token, value };
        let name = self.copy_name(owner, copy);
        let (server, node) = (self.server.index(), self.value_node());
        let read = self.recorder.invoke(owner, Function::Read, node, detail(0));
        let request = self.recipe.read(server, &name);
        let result = self.request(owner, self.op_timeout(), request).await;
        let result = result.map(Option::unwrap_or_default);
        let value = result.as_ref().ok().copied();
        self.complete_at(self.value_node(), read, result.map(detail));
        value
    }

    /// Writes one more than the value that was read.
    pub(crate) async fn write_copy(
        &self,
        owner: Owner,
        held: &Held<R::LeaseId>,
        copy: Resource,
        token: Option<Token>,
        read: u64,
    ) {
        let Held { live, grant } = held;
        let detail = Detail::Access { resource: copy, token, value: read };
        let (server, name) = (self.server.index(), self.copy_name(owner, copy));
        let value = read.saturating_add(1);
        let node = self.value_node();
        let write = self.recorder.invoke(owner, Function::Write, node, detail.clone());
        let result = match copy {
            Resource::Unfenced => {
                let request = self.recipe.write(server, &name, value);
                self.request(owner, self.op_timeout(), request).await
            }
            Resource::Fenced => {
                let (lease, key) = (&live.lease.id, self.plan.key_name(owner.key));
                let request = self.recipe.write_guarded(server, lease, &key, grant, &name, value);
                self.request(owner, self.op_timeout(), request).await
            }
        };
        self.complete_at(self.value_node(), write, result.map(|()| detail));
    }

    fn value_node(&self) -> Option<NodeId> {
        self.recipe.server_of_value(self.server.index()).and_then(node)
    }

    fn copy_name(&self, owner: Owner, copy: Resource) -> String {
        let key = self.plan.key_name(owner.key);
        match copy {
            Resource::Unfenced => format!("{key}-unfenced"),
            Resource::Fenced => format!("{key}-fenced"),
        }
    }
}
