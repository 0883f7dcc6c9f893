//! The end of a run before its time: by Ctrl-C, SIGTERM or the end of the terminal, or by its first
//! violation.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Why a run ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Signal,
    Violation,
}

/// Tells whether the run is to end early. Clones tell the same.
#[derive(Clone)]
pub struct Stop {
    reason: watch::Sender<Option<Reason>>,
}

impl Stop {
    /// From now on these signals end the run in order instead of ending the process.
    pub fn on_signals() -> io::Result<Stop> {
        let stop = Stop { reason: watch::Sender::new(None) };
        let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
            .into_iter()
            .map(signal)
            .collect::<io::Result<Vec<_>>>()?;
        let listener = stop.clone();
        tokio::spawn(async move {
            std::future::poll_fn(|context| {
                let any = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
                if any { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
            listener.request(Reason::Signal);
            // Kept alive, so that a second signal does not end the process while it heals.
            let _kept = signals;
            std::future::pending::<()>().await;
        });
        Ok(stop)
    }

    /// For one run of several: what its own violation ends is this run alone, a signal ends all.
    pub fn of_one_run(&self) -> Stop {
        let (all, one) = (self.clone(), Stop { reason: watch::Sender::new(None) });
        let listener = one.clone();
        tokio::spawn(async move {
            all.requested().await;
            listener.request(Reason::Signal);
        });
        one
    }

    /// Ends the run because it has shown a violation.
    pub fn on_violation(&self) {
        self.request(Reason::Violation);
    }

    /// The first reason counts.
    fn request(&self, reason: Reason) {
        self.reason.send_if_modified(|before| {
            let first = before.is_none();
            before.get_or_insert(reason);
            first
        });
    }

    /// Whether the run is to end early.
    pub fn is_requested(&self) -> bool {
        self.reason.borrow().is_some()
    }

    /// Whether a signal ends it.
    pub fn is_interrupted(&self) -> bool {
        *self.reason.borrow() == Some(Reason::Signal)
    }

    /// Waits until the run is to end early.
    pub async fn requested(&self) {
        let mut reason = self.reason.subscribe();
        // There is a sender as long as there is a `Stop`.
        let _ = reason.wait_for(Option::is_some).await;
    }
}
