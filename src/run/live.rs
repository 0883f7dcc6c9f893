//! What is known of the run while it goes on: for the live line, and for whoever waits for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use locktest_history::{Event, Function, Phase, Record, Workload};
use locktest_reports::{Progress, live_line};
use locktest_workloads::clock::RunClock;
use tokio::sync::watch;

use crate::terminal::Terminal;

const REFRESH: Duration = Duration::from_millis(250);

/// Counts over the records so far, of what a workload is about: acquires, or, if it takes no locks,
/// operations of registers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Those that succeeded.
    pub ok: u64,
    /// Those that surely had no effect.
    pub failed: u64,
    /// Those of unknown outcome.
    pub unknown: u64,
}

impl Counts {
    /// Takes a record of a run of `workload` into account.
    pub fn add(&mut self, record: &Record, workload: Workload) {
        let Record::Event(Event { function, phase, .. }) = record else { return };
        let counts = match function {
            Function::Acquire | Function::TryAcquire => true,
            Function::Read | Function::Write | Function::Cas => !workload.takes_locks(),
            _ => false,
        };
        if !counts {
            return;
        }
        match phase {
            Phase::Invoke => {}
            Phase::Ok => self.ok += 1,
            Phase::Fail => self.failed += 1,
            Phase::Info => self.unknown += 1,
        }
    }
}

/// Refreshes the live line until it is dropped.
pub struct LiveLine {
    fault: Arc<Mutex<Option<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl LiveLine {
    /// Shows `counts`, and the run's time against its end, `limit` from now.
    pub fn start(
        terminal: &Terminal,
        counts: watch::Receiver<Counts>,
        clock: RunClock,
        limit: Duration,
    ) -> LiveLine {
        let fault = Arc::new(Mutex::new(None::<String>));
        let (shown, terminal) = (fault.clone(), terminal.clone());
        let end_s = clock.now_ns() as f64 / 1e9 + limit.as_secs_f64();
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(REFRESH);
            loop {
                tick.tick().await;
                let Counts { ok, failed, unknown } = *counts.borrow();
                let fault = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let elapsed_s = clock.now_ns() as f64 / 1e9;
                let progress = Progress { elapsed_s, end_s, ok, failed, unknown, fault };
                terminal.live(&live_line(&progress, terminal.style()));
            }
        });
        LiveLine { fault, task }
    }

    /// Names what is in force, or nothing.
    pub fn set_fault(&self, fault: Option<String>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        self.task.abort();
    }
}
