//! The client's side of the history: every event leaves the process before what it announces.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};

use locktest_history::{ClientId, Detail, Event, Function, KeyId, NodeId, Outcome, Phase};

use crate::clock::RunClock;

/// Streams a client's events to the control node.
pub(crate) struct Recorder<W> {
    client: ClientId,
    clock: RunClock,
    out: RefCell<W>,
    next_op: Cell<u64>,
    closed: Cell<bool>,
}

/// Who does something to which lock: the part that the events of one attempt share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) attempt: u64,
    pub(crate) key: KeyId,
}

/// An operation that was invoked and has not completed.
#[derive(Debug)]
#[must_use = "an operation without a completion counts as one of unknown outcome"]
pub(crate) struct Open {
    pub(crate) op: u64,
    pub(crate) invoke_ns: u64,
    owner: Owner,
    function: Function,
    server: Option<NodeId>,
}

impl<W: Write> Recorder<W> {
    pub(crate) fn new(client: ClientId, clock: RunClock, out: W) -> Recorder<W> {
        Recorder {
            client,
            clock,
            out: RefCell::new(out),
            next_op: Cell::new(1),
            closed: Cell::new(false),
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// Whether the control node has gone away.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Records that an operation begins now. The caller sends its request after this returns.
    pub(crate) fn invoke(
        &self,
        owner: Owner,
        function: Function,
        server: Option<NodeId>,
        detail: Detail,
    ) -> Open {
        let op = self.next_op.replace(self.next_op.get() + 1);
        let invoke_ns = self.now_ns();
        self.write(owner, op, function, server, Phase::Invoke, invoke_ns, detail);
        Open { op, invoke_ns, owner, function, server }
    }

    /// Records that an operation completed now; the server is the one that answered.
    pub(crate) fn complete(
        &self,
        open: Open,
        outcome: Outcome,
        server: Option<NodeId>,
        detail: Detail,
    ) -> u64 {
        let now_ns = self.now_ns();
        let server = server.or(open.server);
        self.write(open.owner, open.op, open.function, server, outcome.into(), now_ns, detail);
        now_ns
    }

    /// Records that the client noticed that it no longer holds.
    pub(crate) fn lost(&self, owner: Owner, reason: String) {
        let op = self.next_op.replace(self.next_op.get() + 1);
        let now_ns = self.now_ns();
        self.write(owner, op, Function::Lost, None, Phase::Ok, now_ns, Detail::Reason(reason));
    }

    #[expect(clippy::too_many_arguments, reason = "they are the fields of an event")]
    fn write(
        &self,
        owner: Owner,
        op: u64,
        function: Function,
        server: Option<NodeId>,
        phase: Phase,
        time_ns: u64,
        detail: Detail,
    ) {
        let event = Event {
            time_ns,
            client: self.client,
            attempt: owner.attempt,
            op,
            key: owner.key,
            server,
            function,
            phase,
            detail,
        };
        if self.send(&event).is_err() {
            self.closed.set(true);
        }
    }

    fn send(&self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let mut out = self.out.borrow_mut();
        out.write_all(&line)?;
        out.flush()
    }
}
