//! The single writer of the history, which also watches what it writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// How far the run is known by what the history file holds.
#[derive(Clone)]
pub struct Known(Arc<Mutex<Written>>);

/// What was written.
struct Written {
    watch: Watch,
    /// When a fault began to be applied whose record is not written yet.
    fault_from_ns: Option<u64>,
}

impl Known {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a verdict over every record so far.
    pub fn of_all_records(&self) -> Heard {
        Heard { clients: self.written().watch.clients_heard(), cut_ns: None }
    }

    /// For a verdict over as much as is complete.
    pub fn of_what_is_complete(&self) -> Heard {
        let written = self.written();
        let complete_ns = written.watch.complete_until_ns();
        let cut_ns = complete_ns.min(written.fault_from_ns.unwrap_or(u64::MAX));
        Heard { clients: written.watch.clients_heard(), cut_ns: Some(cut_ns) }
    }

    /// A fault is applied from now on. What happens until its record is written is not known.
    pub fn expect_fault(&self, time_ns: u64) {
        self.written().fault_from_ns.get_or_insert(time_ns);
    }
}

impl Recording {
    /// Starts to write. What arrives is handed to the operating system as soon as nothing more
    /// waits, so a killed control node loses next to nothing.
    pub fn start(mut writer: HistoryWriter, plan: &Plan) -> Recording {
        let (arrivals, mut queue) = mpsc::channel::<Arrival>(QUEUE);
        let (counted, counts) = watch::channel(Counts::default());
        let (raised, alarms) = mpsc::unbounded_channel();
        let written = Written { watch: Watch::new(plan), fault_from_ns: None };
        let known = Known(Arc::new(Mutex::new(written)));
        let (shared, workload) = (known.clone(), plan.workload);
        let thread = std::thread::spawn(move || {
            let mut totals = Counts::default();
            while let Some(first) = queue.blocking_recv() {
                // Until the file holds what the watch has seen.
                let mut written = shared.written();
                let mut found = Vec::new();
                let waiting = std::iter::from_fn(|| queue.try_recv().ok());
                for arrival in std::iter::once(first).chain(waiting).take(BATCH) {
                    match arrival {
                        Arrival::Record(record) => {
                            totals.add(&record, workload);
                            writer.append(&record)?;
                            found.extend(written.watch.record(&record));
                            if matches!(record, Record::FaultBegun(_) | Record::FaultSkipped(_)) {
                                written.fault_from_ns = None;
                            }
                        }
                        Arrival::Watermark { client, time_ns } => {
                            found.extend(written.watch.heard(client, time_ns));
                        }
                    }
                }
                writer.flush()?;
                drop(written);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use locktest_history::{Aim, Backend, ClientId, FaultKind, FaultSkipped, Run, RunDir, Target};
    use tokio::time::{sleep, timeout};

    use super::*;

    async fn complete_until(known: &Known, expected_ns: u64) {
        let reached = async {
            while known.of_what_is_complete().cut_ns != Some(expected_ns) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(20), reached).await.expect("what was sent is written");
    }

    #[tokio::test]
    async fn nothing_is_complete_from_the_begin_of_a_fault_until_its_record_is_written() {
        let store = tempfile::tempdir().expect("a folder");
        let run_dir = RunDir::create(store.path(), "run").expect("a run directory");
        let run = Run {
            id: "0a1b2c".into(),
            started_at_unix_s: 1,
            origin_monotonic_ns: 2,
            command: "locktest".into(),
            lab: None,
            plan: Plan::of(Backend::Sim),
        };
        let writer = run_dir.begin(&run).expect("a history");
        let recording = Recording::start(writer, &run.plan);
        let known = recording.known();
        let heard = Arrival::Watermark { client: ClientId(0), time_ns: 50 };
        recording.sender().send(heard).await.expect("a writer");
        complete_until(&known, 50).await;
        known.expect_fault(20);
        assert_eq!(known.of_what_is_complete().cut_ns, Some(20));
        let skipped = FaultSkipped {
            time_ns: 40,
            kind: FaultKind::Kill,
            aim: Aim::Target(Target::One),
            reason: "nobody is there".into(),
        };
        recording.add(Record::FaultSkipped(skipped)).await.expect("a writer");
        complete_until(&known, 50).await;
        recording.finish().await.expect("written");
    }
}
