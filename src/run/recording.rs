//! The single writer of the history, which also watches what it writes.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use locktest_analyzer::{Alarm, Heard, Watch};
use locktest_history::{HistoryWriter, Plan, Record};
use locktest_workloads::fleet::Arrival;
use tokio::sync::{mpsc, watch};

use super::live::Counts;

/// What waits to be written; whoever makes more waits, too.
const QUEUE: usize = 16 * 1024;

/// So many arrivals are taken before they are handed to the operating system and their alarms told,
/// even if more wait.
const BATCH: usize = 256;

/// A history that is being written by a thread of its own.
pub struct Recording {
    arrivals: mpsc::Sender<Arrival>,
    counts: watch::Receiver<Counts>,
    known: Known,
    alarms: Option<mpsc::UnboundedReceiver<Alarm>>,
    thread: JoinHandle<Result<()>>,
}

/// How far the clients are known by what the history file holds.
#[derive(Clone)]
pub struct Known(Arc<Mutex<Watch>>);

impl Known {
    /// For a verdict over every record so far.
    pub fn of_all_records(&self) -> Heard {
        let watch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Heard { clients: watch.clients_heard(), cut_ns: None }
    }

    /// For a verdict over as much as is complete.
    pub fn of_what_is_complete(&self) -> Heard {
        let watch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Heard { clients: watch.clients_heard(), cut_ns: Some(watch.complete_until_ns()) }
    }
}

impl Recording {
    /// Starts to write. What arrives is handed to the operating system as soon as nothing more
    /// waits, so a killed control node loses next to nothing.
    pub fn start(mut writer: HistoryWriter, plan: &Plan) -> Recording {
        let (arrivals, mut queue) = mpsc::channel::<Arrival>(QUEUE);
        let (counted, counts) = watch::channel(Counts::default());
        let (raised, alarms) = mpsc::unbounded_channel();
        let known = Known(Arc::new(Mutex::new(Watch::new(plan))));
        let (shared, workload) = (known.0.clone(), plan.workload);
        let thread = std::thread::spawn(move || {
            let mut totals = Counts::default();
            while let Some(first) = queue.blocking_recv() {
                // Until the file holds what the watch has seen.
                let mut watch = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let mut found = Vec::new();
                let waiting = std::iter::from_fn(|| queue.try_recv().ok());
                for arrival in std::iter::once(first).chain(waiting).take(BATCH) {
                    match arrival {
                        Arrival::Record(record) => {
                            totals.add(&record, workload);
                            writer.append(&record)?;
                            found.extend(watch.record(&record));
                        }
                        Arrival::Watermark { client, time_ns } => {
                            found.extend(watch.heard(client, time_ns));
                        }
                    }
                }
                writer.flush()?;
                drop(watch);
                counted.send_replace(totals);
                for alarm in found {
                    // Nobody waits for alarms once the run is over.
                    let _ = raised.send(alarm);
                }
            }
            writer.finish().context("cannot finish the history")
        });
        Recording { arrivals, counts, known, alarms: Some(alarms), thread }
    }

    /// For those who have something to record.
    pub fn sender(&self) -> mpsc::Sender<Arrival> {
        self.arrivals.clone()
    }

    /// Records one thing.
    pub async fn add(&self, record: Record) -> Result<()> {
        self.arrivals
            .send(record.into())
            .await
            .map_err(|_| anyhow!("the history's writer has ended"))
    }

    /// Counts over what was written.
    pub fn counts(&self) -> watch::Receiver<Counts> {
        self.counts.clone()
    }

    /// How far the clients are known.
    pub fn known(&self) -> Known {
        self.known.clone()
    }

    /// What the watch finds from now on; for the first who asks.
    pub fn alarms(&mut self) -> Option<mpsc::UnboundedReceiver<Alarm>> {
        self.alarms.take()
    }

    /// Waits until everything is on disk. Every other sender has to be gone.
    pub async fn finish(self) -> Result<()> {
        drop(self.arrivals);
        let thread = self.thread;
        tokio::task::spawn_blocking(move || thread.join())
            .await?
            .map_err(|_| anyhow!("the history's writer panicked"))?
    }
}
