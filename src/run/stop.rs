//! The wish to end early: Ctrl-C, SIGTERM, or the end of the terminal.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells whether the run is to end early. Clones tell the same.
#[derive(Clone)]
pub struct Stop {
    requested: watch::Receiver<bool>,
}

impl Stop {
    /// From now on these signals end the run in order instead of ending the process.
    pub fn on_signals() -> io::Result<Stop> {
        let (sender, requested) = watch::channel(false);
        let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
            .into_iter()
            .map(signal)
            .collect::<io::Result<Vec<_>>>()?;
        tokio::spawn(async move {
            std::future::poll_fn(|context| {
                let any = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
                if any { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
            sender.send_replace(true);
            // Kept alive, so that a second signal does not end the process while it heals.
            let _kept = signals;
            std::future::pending::<()>().await;
        });
        Ok(Stop { requested })
    }

    /// Whether it was requested.
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// Waits until it is requested.
    pub async fn requested(&self) {
        let mut requested = self.requested.clone();
        if requested.wait_for(|requested| *requested).await.is_err() {
            // The listener is gone, and with it every signal.
            std::future::pending::<()>().await;
        }
    }
}
