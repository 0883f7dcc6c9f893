//! What a holder does with what its lock protects: it reads both copies, holds, and writes each with
//! one more than it read.

#[cfg(test)]
mod tests;

use std::io::Write;

use locktest_history::{Detail, Function, Resource, Token};

use crate::attempt::{Held, HoldEnd, LockClient};
use crate::mutex::HoldPlan;
use crate::recipes::{Entry, GuardedValues, LockRecipe};
use crate::recorder::Owner;

/// Where the two copies are.
pub(crate) trait Copies<Id> {
    /// The value of a copy; `None` if it cannot be read, or is better left alone.
    async fn read(&self, owner: Owner, copy: Resource, token: Option<Token>) -> Option<u64>;

    /// Writes one more than the value that was read.
    async fn write(
        &self,
        owner: Owner,
        held: &Held<Id>,
        copy: Resource,
        token: Option<Token>,
        read: u64,
    );
}

/// The control node has them in memory, so that it needs nothing of the store under test.
pub(crate) struct InControlNode<'c, 'a, R, W>(pub(crate) &'c LockClient<'a, R, W>);

/// The store under test has them.
pub(crate) struct InStore<'c, 'a, R, W>(pub(crate) &'c LockClient<'a, R, W>);

/// One critical section, from the proof that the lock is ours to the last write.
pub(crate) async fn section<R: LockRecipe, W: Write>(
    client: &LockClient<'_, R, W>,
    copies: &impl Copies<R::LeaseId>,
    owner: Owner,
    held: &Held<R::LeaseId>,
    hold: HoldPlan,
) -> HoldEnd {
    let token = match client.validate(owner, held).await {
        Ok(Entry { ours: true, token, .. }) => token,
        Ok(_) => return HoldEnd::Lost("the lock's entry is not ours".into()),
        Err(_) => None,
    };
    let unfenced = copies.read(owner, Resource::Unfenced, token).await;
    let fenced = copies.read(owner, Resource::Fenced, token).await;
    let end = hold.stay(client, owner).await;
    if end != HoldEnd::Done {
        return end;
    }
    for (copy, read) in [(Resource::Unfenced, unfenced), (Resource::Fenced, fenced)] {
        let Some(read) = read else { continue };
        if client.is_too_late(held) {
            return HoldEnd::Lost("the lease's deadline has passed".into());
        }
        copies.write(owner, held, copy, token, read).await;
    }
    HoldEnd::Done
}

impl<R, W: Write> InControlNode<'_, '_, R, W>
where
    R: LockRecipe,
{
    /// The invoke is the request; the control node records the completion. `None` if it is gone.
    async fn access(
        &self,
        owner: Owner,
        function: Function,
        copy: Resource,
        token: Option<Token>,
        value: u64,
    ) -> Option<(bool, u64)> {
        let detail = Detail::Access { resource: copy, token, value };
        let op = self.0.recorder().request(owner, function, detail);
        self.0.control().answer(op).await
    }
}

impl<R: LockRecipe, W: Write> Copies<R::LeaseId> for InControlNode<'_, '_, R, W> {
    async fn read(&self, owner: Owner, copy: Resource, token: Option<Token>) -> Option<u64> {
        if copy == Resource::Fenced && token.is_none() {
            // It could but be refused.
            return None;
        }
        let (accepted, value) = self.access(owner, Function::Read, copy, token, 0).await?;
        accepted.then_some(value)
    }

    async fn write(
        &self,
        owner: Owner,
        _held: &Held<R::LeaseId>,
        copy: Resource,
        token: Option<Token>,
        read: u64,
    ) {
        self.access(owner, Function::Write, copy, token, read).await;
    }
}

impl<R: GuardedValues, W: Write> Copies<R::LeaseId> for InStore<'_, '_, R, W> {
    async fn read(&self, owner: Owner, copy: Resource, token: Option<Token>) -> Option<u64> {
        self.0.read_copy(owner, copy, token).await
    }

    async fn write(
        &self,
        owner: Owner,
        held: &Held<R::LeaseId>,
        copy: Resource,
        token: Option<Token>,
        read: u64,
    ) {
        self.0.write_copy(owner, held, copy, token, read).await;
    }
}
