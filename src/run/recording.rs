//! The single writer of the history.

use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use locktest_history::{HistoryWriter, Record};
use tokio::sync::{mpsc, watch};

use super::live::Counts;

/// Records that wait to be written; whoever makes more waits, too.
const QUEUE: usize = 16 * 1024;

/// A history that is being written by a thread of its own.
pub struct Recording {
    records: mpsc::Sender<Record>,
    counts: watch::Receiver<Counts>,
    thread: JoinHandle<Result<()>>,
}

impl Recording {
    /// Starts to write. What arrives is handed to the operating system as soon as nothing more
    /// waits, so a killed control node loses next to nothing.
    pub fn start(mut writer: HistoryWriter) -> Recording {
        let (records, mut queue) = mpsc::channel::<Record>(QUEUE);
        let (counted, counts) = watch::channel(Counts::default());
        let thread = std::thread::spawn(move || {
            let mut totals = Counts::default();
            while let Some(first) = queue.blocking_recv() {
                let mut next = Some(first);
                while let Some(record) = next {
                    totals.add(&record);
                    writer.append(&record)?;
                    next = queue.try_recv().ok();
                }
                writer.flush()?;
                counted.send_replace(totals);
            }
            writer.finish().context("cannot finish the history")
        });
        Recording { records, counts, thread }
    }

    /// For those who have something to record.
    pub fn sender(&self) -> mpsc::Sender<Record> {
        self.records.clone()
    }

    /// Records one thing.
    pub async fn add(&self, record: Record) -> Result<()> {
        self.records.send(record).await.map_err(|_| anyhow!("the history's writer has ended"))
    }

    /// Counts over what was written.
    pub fn counts(&self) -> watch::Receiver<Counts> {
        self.counts.clone()
    }

    /// Waits until everything is on disk. Every other sender has to be gone.
    pub async fn finish(self) -> Result<()> {
        drop(self.records);
        let thread = self.thread;
        tokio::task::spawn_blocking(move || thread.join())
            .await?
            .map_err(|_| anyhow!("the history's writer panicked"))?
    }
}
