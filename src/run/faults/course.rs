//! The course of one fault: begun, looked at, ended, and recorded.

use std::time::Duration;

use anyhow::Result;
use locktest_history::{Aim, ClientId, Fault, FaultEnded, FaultKind, Party, Record};
use locktest_nemesis::ActiveFault;
use tokio::time::{Instant, sleep};

use super::{DEADLINE_MARGIN, Injection};

/// The last look at a fault in force begins this long before its end.
const LAST_LOOK: Duration = Duration::from_millis(900);

/// A client that was killed has another in its place within this time.
const REPLACEMENT_LIMIT: Duration = Duration::from_secs(5);

const REPLACEMENT_POLL: Duration = Duration::from_millis(20);

/// A fault in force, and when it is to end.
pub(super) struct Running {
    fault: Box<ActiveFault>,
    end: Instant,
}

impl Injection<'_> {
    /// Injects one fault from its begin to its end; tells whether it came to be.
    pub(super) async fn inject(&self, fault: Fault, end: Instant) -> Result<bool> {
        match self.begin(fault).await? {
            Some(running) => self.see_through(running, end).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Cuts some clients off, makes a server forget once one of them holds a lock that it was granted
    /// without the servers that it misses, and undoes that soon.
    pub(super) async fn inject_within(
        &self,
        cut: Fault,
        forget: Fault,
        end: Instant,
    ) -> Result<bool> {
        let Some(running) = self.begin(cut.clone()).await? else { return Ok(false) };
        let last_look = running.end - LAST_LOOK - Duration::from_millis(forget.length_ms);
        let patience = last_look.saturating_duration_since(Instant::now());
        let is_cut_off = |client| {
            let place = Party::Client(ClientId(self.place_of(client)));
            cut.cuts.iter().any(|cut| cut.from.contains(&place) || cut.to.contains(&place))
        };
        match self.holder_since_cut(&forget, patience, end, is_cut_off).await {
            Some(holder) => {
                let forget = Fault { holder: Some(holder.client), ..forget };
                self.inject(forget, end).await?;
            }
            None => {
                let reason = "no client that was cut off got a lock for long enough".to_owned();
                self.skip(forget.kind, &forget.aim, reason).await?;
            }
        }
        self.see_through(running, end).await.map(|()| true)
    }

    /// Begins a fault, and records it. `None` if it could not be, which is recorded, too.
    pub(super) async fn begin(&self, fault: Fault) -> Result<Option<Running>> {
        let id = self.progress.next_id();
        let length = Duration::from_millis(fault.length_ms);
        let deadline = length + DEADLINE_MARGIN;
        let (kind, aim) = (fault.kind, fault.aim.clone());
        let words = self.plan.fault_in_words(&fault);
        self.recording.known().expect_fault(self.clock.now_ns());
        let fault = match self.nemesis.begin(id, fault, &self.processes(), deadline).await {
            Ok(fault) => fault,
            Err(given_up) => {
                let undone = given_up.undone();
                let reason = given_up.reason;
                let Some((begun, ended)) = given_up.in_force else {
                    self.progress.ended(0, undone);
                    self.skip(kind, &aim, reason).await?;
                    return Ok(None);
                };
                self.terminal
                    .step(format_args!("{:>6.2} s  fault {id} given up: {reason}", self.now_s()));
                self.progress.ended(ended.end_ns, undone);
                self.recording.add(Record::FaultBegun(begun.into())).await?;
                self.recording.add(Record::FaultEnded(ended)).await?;
                return Ok(None);
            }
        };
        let end = Instant::now() + length;
        if aim == Aim::BareMajority && kind.cuts_links() {
            self.progress.done().holders_before = self.fleet.holders().borrow().clone();
        }
        self.recording.add(Record::FaultBegun(fault.begun.clone().into())).await?;
        let begin_s = fault.begun.begin_ns as f64 / 1e9;
        self.terminal.step(format_args!("{begin_s:>6.2} s  fault {id} begins: {words}"));
        self.in_force(id, Some(words));
        Ok(Some(Running { fault: Box::new(fault), end }))
    }

    /// Lets a fault last, looks at it, and ends it: at its time, at `end`, or at a signal.
    pub(super) async fn see_through(&self, running: Running, end: Instant) -> Result<()> {
        let Running { mut fault, end: own_end } = running;
        let end = end.min(own_end);
        // Processes are dead or stopped from the begin on; links show it best once packets met them.
        if fault.begun.fault.kind.cuts_links() {
            let left = end.saturating_duration_since(Instant::now());
            self.wait_for(end - LAST_LOOK.min(left / 2), std::future::pending()).await;
        }
        self.nemesis.observe(&mut fault).await;
        self.wait_for(end, std::future::pending()).await;
        let ended = self.end(*fault).await;
        self.progress.ended(ended.end_ns, ended.undone);
        self.recording.add(Record::FaultEnded(ended)).await
    }

    async fn end(&self, fault: ActiveFault) -> FaultEnded {
        let begun = fault.begun.clone();
        let id = begun.id;
        let mut ended = self.nemesis.end(fault).await;
        if begun.fault.kind == FaultKind::ClientKill {
            self.see_replaced(&begun.fault, &mut ended).await;
        }
        self.in_force(id, None);
        let bit = if ended.bit { "it bit" } else { "IT SHOWED NO EFFECT" };
        let undone = if ended.undone { "undone" } else { "NOT UNDONE" };
        self.terminal
            .step(format_args!("{:>6.2} s  fault {id} ends: {bit}, {undone}", self.now_s()));
        ended
    }

    /// The death of a client is undone once another has its place.
    async fn see_replaced(&self, fault: &Fault, ended: &mut FaultEnded) {
        let deadline = Instant::now() + REPLACEMENT_LIMIT;
        for dead in &fault.clients {
            let place = self.place_of(*dead);
            let successor = loop {
                let living = self.fleet.processes().into_iter().map(|process| process.client);
                let mut there = living.filter(|client| self.place_of(*client) == place);
                match there.find(|client| client != dead) {
                    Some(client) => break Some(client),
                    None if Instant::now() >= deadline => break None,
                    None => sleep(REPLACEMENT_POLL).await,
                }
            };
            ended.undo_proof.push(match successor {
                Some(successor) => format!("{successor} took the place of {dead}"),
                None => format!("nobody took the place of {dead}"),
            });
            // A run that is over needs no replacement.
            ended.undone &= successor.is_some() || self.stop.is_requested();
        }
    }
}
