//! Which clients hold a lock and plan to keep it for a while, as they say themselves.

use locktest_history::{ClientId, Event, Function, KeyId, NodeId, Phase};
use tokio::sync::watch;

use crate::protocol::Holding;

/// A client that holds a lock and plans to keep it for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub client: ClientId,
    /// Which lock.
    pub key: KeyId,
    /// By which of its attempts.
    pub attempt: u64,
    /// The server that granted it; `None` if many did together.
    pub server: Option<NodeId>,
    /// When it means to give the lock up, on the run's clock. Beyond that this is stale: the client
    /// is on its way out, or stuck.
    pub until_ns: u64,
}

/// All of them.
pub(super) struct Holders(watch::Sender<Vec<Holder>>);

impl Default for Holders {
    fn default() -> Holders {
        Holders(watch::Sender::new(Vec::new()))
    }
}

impl Holders {
    pub(super) fn watch(&self) -> watch::Receiver<Vec<Holder>> {
        self.0.subscribe()
    }

    /// What is known of one client's process, which is about to begin.
    pub(super) fn of(&self, client: ClientId) -> Grip<'_> {
        Grip { holders: self, client, granted: None, is_listed: false }
    }

    fn remove(&self, client: ClientId) {
        self.0.send_modify(|holders| holders.retain(|holder| holder.client != client));
    }
}

/// What one client's process has in its hands. Nothing, once this is dropped.
pub(super) struct Grip<'a> {
    holders: &'a Holders,
    client: ClientId,
    /// The latest attempt that was granted, and the server that did.
    granted: Option<(u64, Option<NodeId>)>,
    /// Whether the client is among the holders: those who only watch them need not be woken for
    /// any other.
    is_listed: bool,
}

impl Grip<'_> {
    /// Takes note of what the client recorded.
    pub(super) fn note(&mut self, event: &Event) {
        match (event.function, event.phase) {
            (Function::Acquire | Function::TryAcquire, Phase::Ok) => {
                self.granted = Some((event.attempt, event.server));
            }
            (Function::Release, Phase::Invoke) | (Function::Lost, _) => self.let_go(),
            _ => {}
        }
    }

    /// Takes note of what the client plans.
    pub(super) fn keep(&mut self, holding: Holding) {
        let Holding { attempt, key, until_ns } = holding;
        let granted = self.granted.filter(|(granted, _server)| *granted == attempt);
        let server = granted.and_then(|(_attempt, server)| server);
        let client = self.client;
        let holder = Holder { client, key, attempt, server, until_ns };
        self.let_go();
        self.is_listed = true;
        self.holders.0.send_modify(|holders| holders.push(holder));
    }

    fn let_go(&mut self) {
        if std::mem::take(&mut self.is_listed) {
            self.holders.remove(self.client);
        }
    }
}

impl Drop for Grip<'_> {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[cfg(test)]
mod tests {
    use locktest_history::Detail;

    use super::*;

    const C1: ClientId = ClientId(0);
    const HOLDING: Holding = Holding { attempt: 3, key: KeyId(1), until_ns: 900 };

    fn event(function: Function, phase: Phase, attempt: u64) -> Event {
        Event {
            time_ns: 1,
            client: C1,
            attempt,
            op: 1,
            key: KeyId(1),
            server: Some(NodeId(4)),
            function,
            phase,
            detail: Detail::None,
        }
    }

    #[test]
    fn a_holder_is_one_that_said_so_and_its_server_is_that_which_granted() {
        for function in [Function::Acquire, Function::TryAcquire] {
            let holders = Holders::default();
            let watch = holders.watch();
            let mut grip = holders.of(C1);
            grip.note(&event(function, Phase::Ok, 3));
            assert!(watch.borrow().is_empty(), "a short hold is nobody's aim");
            grip.keep(HOLDING);
            let (server, until_ns) = (Some(NodeId(4)), 900);
            let holder = Holder { client: C1, key: KeyId(1), attempt: 3, server, until_ns };
            assert_eq!(*watch.borrow(), [holder]);
        }
    }

    #[test]
    fn the_server_of_an_earlier_attempt_is_not_taken_for_that_of_a_later_one() {
        let holders = Holders::default();
        let mut grip = holders.of(C1);
        grip.note(&event(Function::Acquire, Phase::Ok, 2));
        grip.keep(HOLDING);
        assert_eq!(holders.watch().borrow()[0].server, None);
    }

    #[test]
    fn whoever_begins_to_release_or_has_lost_the_lock_or_has_ended_is_no_holder() {
        let ends = [
            Some(event(Function::Release, Phase::Invoke, 3)),
            Some(event(Function::Lost, Phase::Ok, 3)),
            None,
        ];
        for end in ends {
            let holders = Holders::default();
            let watch = holders.watch();
            let mut others = holders.of(ClientId(1));
            others.keep(HOLDING);
            let mut grip = holders.of(C1);
            grip.keep(HOLDING);
            grip.note(&event(Function::Renew, Phase::Ok, 3));
            assert_eq!(watch.borrow().len(), 2);
            match &end {
                Some(event) => grip.note(event),
                None => drop(grip),
            }
            let left: Vec<ClientId> = watch.borrow().iter().map(|holder| holder.client).collect();
            assert_eq!(left, [ClientId(1)], "{end:?}");
        }
    }

    #[test]
    fn whoever_watches_is_not_woken_by_short_holds() {
        let holders = Holders::default();
        let mut watch = holders.watch();
        watch.mark_unchanged();
        let mut grip = holders.of(C1);
        grip.note(&event(Function::Acquire, Phase::Ok, 1));
        grip.note(&event(Function::Release, Phase::Invoke, 1));
        drop(grip);
        assert!(!watch.has_changed().expect("the holders are there"));
    }
}
