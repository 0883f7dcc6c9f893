//! The client's side of the history: every invoke leaves the process before what it announces, and
//! every other event before the client next waits.
//!
//! Each write wakes the control node, which costs the client more than all else that it does here.
//! So an event that announces nothing goes out together with the next invoke if that comes at once.
//!
//! A client that has nothing to record says so, in a watermark: the control node judges the run
//! while it goes on, and has to know how far it knows each client. One that is going to keep a lock
//! for a while says that, too.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use locktest_history::{ClientId, Detail, Event, Function, KeyId, NodeId, Outcome, Phase};
use serde::Serialize;
use tokio::time::sleep;

use crate::clock::RunClock;
use crate::protocol::{Aside, Holding};

/// A client that has recorded nothing for this long says so.
const WATERMARK_INTERVAL: Duration = Duration::from_millis(20);

/// Streams a client's events to the control node.
pub struct Recorder<W> {
    client: ClientId,
    clock: RunClock,
    lines: RefCell<Lines<W>>,
    next_op: Cell<u64>,
    next_attempt: Cell<u64>,
    /// The latest instant that the control node will know of.
    told_ns: Cell<u64>,
    closed: Cell<bool>,
}

/// The events that have not left the process yet, and the way out.
struct Lines<W> {
    waiting: Vec<u8>,
    out: W,
}

/// Who does something to which lock: the part that the events of one attempt share.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// Fresh for each acquire of the client.
    pub attempt: u64,
    /// The lock.
    pub key: KeyId,
}

/// An operation that was invoked and has not completed. If it is dropped, the client gave it up, and
/// it is recorded as one of unknown outcome.
#[must_use = "an operation that is dropped is one of unknown outcome"]
pub(crate) struct Open<'r, W: Write> {
    recorder: &'r Recorder<W>,
    operation: Operation,
    pub(crate) invoke_ns: u64,
    completed: bool,
}

/// What the events of one operation share.
#[derive(Clone, Copy)]
struct Operation {
    op: u64,
    owner: Owner,
    function: Function,
    server: Option<NodeId>,
}

impl<W: Write> Open<'_, W> {
    /// Records that it completed now, and tells when that was. The server is the one that answered.
    pub(crate) fn complete(
        mut self,
        outcome: Outcome,
        server: Option<NodeId>,
        detail: Detail,
    ) -> u64 {
        self.completed = true;
        let server = server.or(self.operation.server);
        self.recorder.add(Operation { server, ..self.operation }, outcome.into(), detail)
    }
}

impl<W: Write> Drop for Open<'_, W> {
    fn drop(&mut self) {
        if !self.completed {
            let reason = Detail::Reason("given up before it was answered".into());
            self.recorder.add(self.operation, Phase::Info, reason);
        }
    }
}

impl<W: Write> Recorder<W> {
    /// Records what `client` does, as lines of JSON to `out`.
    pub fn new(client: ClientId, clock: RunClock, out: W) -> Recorder<W> {
        Recorder {
            client,
            clock,
            lines: RefCell::new(Lines { waiting: Vec::new(), out }),
            next_op: Cell::new(1),
            next_attempt: Cell::new(1),
            told_ns: Cell::new(0),
            closed: Cell::new(false),
        }
    }

    pub(crate) fn client(&self) -> ClientId {
        self.client
    }

    /// A fresh attempt, whichever of the client's owners makes it.
    pub(crate) fn next_attempt(&self) -> u64 {
        let attempt = self.next_attempt.get();
        self.next_attempt.set(attempt + 1);
        attempt
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// Whether the control node has gone away.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Drives the client; whatever it recorded is written out whenever it waits, and at its end.
    pub async fn attend<T>(&self, client: impl Future<Output = T>) -> T {
        let mut client = pin!(client);
        let client = poll_fn(|context| {
            let poll = client.as_mut().poll(context);
            self.flush();
            poll
        });
        tokio::select! {
            biased;
            result = client => result,
            never = self.tell_of_silence() => match never {},
        }
    }

    /// Sends a watermark whenever nothing else was recorded for a while: every event of this client
    /// up to now has been sent.
    async fn tell_of_silence(&self) -> Infallible {
        loop {
            let silence = Duration::from_nanos(self.now_ns().saturating_sub(self.told_ns.get()));
            if let Some(rest) = WATERMARK_INTERVAL.checked_sub(silence).filter(|t| !t.is_zero()) {
                sleep(rest).await;
                continue;
            }
            let now_ns = self.now_ns();
            self.told_ns.set(now_ns);
            // Writing to memory cannot fail.
            let _ = writeln!(self.lines.borrow_mut().waiting, "{now_ns}");
            self.flush();
        }
    }

    /// Records that an operation begins now. The caller sends its request after this returns.
    pub(crate) fn invoke(
        &self,
        owner: Owner,
        function: Function,
        server: Option<NodeId>,
        detail: Detail,
    ) -> Open<'_, W> {
        let operation = self.operation(owner, function, server);
        let invoke_ns = self.add(operation, Phase::Invoke, detail);
        self.flush();
        Open { recorder: self, operation, invoke_ns, completed: false }
    }

    /// The same for an operation that the control node serves, and whose completion it records. Tells
    /// the operation's number.
    pub(crate) fn request(&self, owner: Owner, function: Function, detail: Detail) -> u64 {
        let operation = self.operation(owner, function, None);
        self.add(operation, Phase::Invoke, detail);
        self.flush();
        operation.op
    }

    /// Records something that has no begin of its own.
    pub(crate) fn single(
        &self,
        owner: Owner,
        function: Function,
        outcome: Outcome,
        detail: Detail,
    ) {
        self.add(self.operation(owner, function, None), outcome.into(), detail);
    }

    /// Says that the lock is to be kept for `rest` more. That leaves before the client waits.
    pub(crate) fn holds(&self, owner: Owner, rest: Duration) {
        let until_ns = self.now_ns().saturating_add(rest.as_nanos() as u64);
        let holding = Holding { attempt: owner.attempt, key: owner.key, until_ns };
        self.say(&Aside::Holding(holding));
    }

    fn operation(&self, owner: Owner, function: Function, server: Option<NodeId>) -> Operation {
        Operation { op: self.next_op.replace(self.next_op.get() + 1), owner, function, server }
    }

    fn add(&self, operation: Operation, phase: Phase, detail: Detail) -> u64 {
        let Operation { op, owner, function, server } = operation;
        let time_ns = self.now_ns();
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
        self.told_ns.set(time_ns);
        self.say(&event);
        time_ns
    }

    /// Adds a line to those that have not left yet.
    fn say(&self, what: &impl Serialize) {
        let mut lines = self.lines.borrow_mut();
        match serde_json::to_writer(&mut lines.waiting, what) {
            Ok(()) => lines.waiting.push(b'\n'),
            Err(_) => self.closed.set(true),
        }
    }

    fn flush(&self) {
        if self.lines.borrow_mut().send().is_err() {
            self.closed.set(true);
        }
    }
}

impl<W: Write> Lines<W> {
    fn send(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let sent = self.out.write_all(&self.waiting);
        self.waiting.clear();
        sent.and_then(|()| self.out.flush())
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tokio::task::yield_now;

    use super::*;

    /// What has left the process, a write each.
    #[derive(Clone, Default)]
    struct Sent(Rc<RefCell<Vec<String>>>);

    impl Write for Sent {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().push(String::from_utf8(bytes.to_vec()).expect("lines are text"));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sent {
        /// The phases of the events in each write.
        fn phases(&self) -> Vec<Vec<Phase>> {
            let phase = |line| serde_json::from_str::<Event>(line).expect("an event").phase;
            self.0.borrow().iter().map(|lines| lines.lines().map(phase).collect()).collect()
        }
    }

    const OWNER: Owner = Owner { attempt: 1, key: KeyId(0) };

    fn recorder() -> (Recorder<Sent>, Sent) {
        let sent = Sent::default();
        (Recorder::new(ClientId(0), RunClock::start(), sent.clone()), sent)
    }

    fn begin(recorder: &Recorder<Sent>) -> Open<'_, Sent> {
        recorder.invoke(OWNER, Function::Acquire, None, Detail::None)
    }

    #[test]
    fn an_invoke_has_left_the_process_before_its_request_can_be_sent() {
        let (recorder, sent) = recorder();
        let _open = begin(&recorder);
        assert_eq!(sent.phases(), [[Phase::Invoke]]);
    }

    #[test]
    fn a_completion_leaves_together_with_an_invoke_that_follows_at_once() {
        let (recorder, sent) = recorder();
        begin(&recorder).complete(Outcome::Ok, None, Detail::None);
        let _open = begin(&recorder);
        assert_eq!(sent.phases(), [vec![Phase::Invoke], vec![Phase::Ok, Phase::Invoke]]);
    }

    #[test]
    fn an_operation_that_is_given_up_is_recorded_as_one_of_unknown_outcome() {
        let (recorder, sent) = recorder();
        drop(begin(&recorder));
        let _next = begin(&recorder);
        assert_eq!(sent.phases(), [vec![Phase::Invoke], vec![Phase::Info, Phase::Invoke]]);
    }

    #[tokio::test]
    async fn a_client_never_waits_or_ends_with_an_event_that_has_not_left() {
        let (recorder, sent) = recorder();
        let client = async {
            begin(&recorder).complete(Outcome::Info, None, Detail::None);
            yield_now().await;
            assert_eq!(sent.phases(), [[Phase::Invoke], [Phase::Info]]);
            let reason = Detail::Reason("expired".into());
            recorder.single(OWNER, Function::Lost, Outcome::Ok, reason);
        };
        recorder.attend(client).await;
        assert_eq!(sent.phases(), [[Phase::Invoke], [Phase::Info], [Phase::Ok]]);
    }

    #[tokio::test]
    async fn a_client_that_records_nothing_says_how_far_it_is_known() {
        let (recorder, sent) = recorder();
        let client = async {
            let open = begin(&recorder);
            while sent.0.borrow().len() < 3 {
                sleep(Duration::from_millis(1)).await;
            }
            open.complete(Outcome::Ok, None, Detail::None)
        };
        let completed_ns = recorder.attend(client).await;
        let sent = sent.0.borrow();
        let marks: Vec<u64> =
            sent[1..3].iter().map(|line| line.trim().parse().expect("a time")).collect();
        let invoked_ns = serde_json::from_str::<Event>(&sent[0]).expect("an event").time_ns;
        assert!(invoked_ns < marks[0] && marks[0] < marks[1] && marks[1] <= completed_ns);
    }

    #[test]
    fn a_control_node_that_is_gone_is_noticed() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let recorder = Recorder::new(ClientId(0), RunClock::start(), writer);
        drop(reader);
        assert!(!recorder.is_closed());
        let _open = recorder.invoke(OWNER, Function::Acquire, None, Detail::None);
        assert!(recorder.is_closed());
    }
}
