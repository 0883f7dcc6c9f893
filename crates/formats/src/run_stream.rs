//! Decides the locks of a run while its history is read: in one pass, and with memory for the
//! clients instead of the operations.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use locktest_checker::stream::{
    Decider, Kind, Merge, Source, Step, StreamDecision, StreamEvent, StreamVerdict,
};
use locktest_checker::{Conflict, Outcome, Process, Specification};
use locktest_history::{ClientId, HistoryError, HistoryReader, KeyId, Plan, Workload};

use crate::run_attempts::{Asked, Attempts, LockEvent, Told};

/// More than this waits only if a client was silent while the others went on for very long.
const MAX_BUFFERED: usize = 2 << 20;

/// How many items the thread that reads hands over at once, and how many times it may be ahead.
const BATCH: usize = 2048;
const BATCHES_AHEAD: usize = 8;

/// What one pass over a run's history says of its locks.
#[derive(Clone, Debug)]
pub struct RunDecision {
    /// Of each key, in the order of the plan.
    pub keys: Vec<StreamDecision>,
    /// If the history breaks off: until when it is known whole, in nanoseconds of the run's clock.
    /// Nothing after that was looked at, since a client may have done more than was recorded.
    pub until_ns: Option<u64>,
    /// What could not be read, in words.
    pub damage: Option<String>,
    attempts: Attempts,
}

impl RunDecision {
    /// Whose attempt a process of a counterexample is.
    pub fn owner(&self, process: Process) -> (ClientId, u64) {
        self.attempts.owner(process)
    }
}

/// Reads a history file and decides the locks in it. The reading has a thread of its own.
///
/// `None` if there is no online decider of the specification, or if it is for a run as a whole: one
/// without locks, or one whose clients are not all in its plan, since dead ones are replaced.
///
/// # Errors
/// The file cannot be read, or is no history.
pub fn decide_run(
    history: &Path,
    specification: Specification,
) -> Result<Option<RunDecision>, HistoryError> {
    let reader = HistoryReader::open(history)?;
    if matches!(reader.run().plan.workload, Workload::Register | Workload::Crash) {
        return Ok(None);
    }
    let Some(mut stream) = RunStream::new(&reader.run().plan, specification) else {
        return Ok(None);
    };
    let mut attempts = stream.attempts.clone();
    let (send, receive) = sync_channel(BATCHES_AHEAD);
    let damage = thread::scope(|scope| {
        let reading = scope.spawn(move || read(reader, &mut attempts, &send));
        stream.take_all(receive);
        reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    Ok(Some(stream.finish(damage)))
}

/// Hands over what the records mean until the file ends, or the other side has heard enough. Gives
/// the damage, if that is what ended it.
fn read<R: std::io::Read>(
    mut reader: HistoryReader<R>,
    attempts: &mut Attempts,
    send: &SyncSender<Vec<Told>>,
) -> Result<Option<String>, HistoryError> {
    let mut batch = Vec::with_capacity(BATCH + 1);
    for record in reader.by_ref() {
        attempts.tell(&record?, &mut batch);
        if batch.len() >= BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH + 1));
            if send.send(full).is_err() {
                return Ok(None);
            }
        }
    }
    // If nobody listens any more, nobody needs the rest.
    let _ = send.send(batch);
    Ok(reader.damage().map(str::to_owned))
}

/// Brings what the clients did into one time order and feeds it to the deciders.
struct RunStream {
    attempts: Attempts,
    clients: Vec<Source>,
    merge: Merge<LockEvent>,
    keys: Vec<Key>,
}

struct Key {
    decider: Decider,
    /// How many acquires are open or of unknown outcome. Each may have held the lock for a while,
    /// since a lease ends by itself.
    unknown: u64,
}

impl RunStream {
    fn new(plan: &Plan, specification: Specification) -> Option<RunStream> {
        let mut merge = Merge::new();
        let clients = plan.client_seeds.iter().map(|_| merge.add_source(0)).collect();
        let key = || Some(Key { decider: Decider::new(specification)?, unknown: 0 });
        let keys = plan.keys.iter().map(|_| key()).collect::<Option<_>>()?;
        Some(RunStream { attempts: Attempts::new(plan.client_seeds.len()), clients, merge, keys })
    }

    fn take_all(&mut self, batches: Receiver<Vec<Told>>) {
        for batch in batches {
            if let Err(because) = self.take(batch) {
                for key in &mut self.keys {
                    key.decider.need_whole_history(&because);
                }
                return;
            }
        }
    }

    fn take(&mut self, batch: Vec<Told>) -> Result<(), String> {
        for told in batch {
            match told {
                Told::Event(event) => {
                    let kind = match event.step {
                        Step::Invoke => Kind::Invoke,
                        Step::Complete(_) => Kind::Completion,
                    };
                    let source = self.source(event.client)?;
                    self.merge.push(source, event.time_ns, kind, event);
                }
                Told::Watermark { client, time_ns } => {
                    let source = self.source(client)?;
                    self.merge.watermark(source, time_ns);
                }
                Told::Ended { client } => {
                    let source = self.source(client)?;
                    self.merge.end(source);
                }
                Told::Broken(because) => return Err(because),
            }
        }
        self.decide()?;
        if self.merge.buffered() <= MAX_BUFFERED {
            return Ok(());
        }
        let silent = self.merge.holding_back().next();
        let client = self.clients.iter().position(|source| Some(*source) == silent).unwrap_or(0);
        let client = ClientId(client as u32);
        Err(format!("{client} was silent while the others did {MAX_BUFFERED} things"))
    }

    fn decide(&mut self) -> Result<(), String> {
        while let Some(merged) = self.merge.pop() {
            let LockEvent { client, key, process, asked, step, .. } = merged.item;
            let stamp = merged.stamp;
            if merged.late {
                return Err(format!("{client}'s records are not in order of time at {stamp} ns"));
            }
            let key = self.key(key)?;
            let event = StreamEvent { stamp, process, action: asked.into(), step };
            match (asked, step) {
                (Asked::Release, _) | (_, Step::Complete(Outcome::Info)) => {}
                (_, Step::Invoke) => key.unknown += 1,
                (_, Step::Complete(Outcome::Ok | Outcome::Fail)) => {
                    key.unknown = key.unknown.saturating_sub(1);
                }
            }
            // The caller has them all at the end.
            let _ = key.decider.event(&event);
        }
        Ok(())
    }

    fn source(&self, client: ClientId) -> Result<Source, String> {
        let source = self.clients.get(client.0 as usize).copied();
        source.ok_or_else(|| format!("the plan does not know {client}"))
    }

    fn key(&mut self, key: KeyId) -> Result<&mut Key, String> {
        let count = self.keys.len();
        let key_of_plan = self.keys.get_mut(key.0 as usize);
        key_of_plan.ok_or_else(|| format!("the plan has {count} keys, and none of index {}", key.0))
    }

    fn finish(self, damage: Option<String>) -> RunDecision {
        let until_ns = Some(self.merge.least_watermark()).filter(|least| *least != u64::MAX);
        let keys = self.keys.into_iter().map(|key| {
            let mut decision = key.decider.finish();
            if key.unknown > 0 && is_denial(&decision.verdict) {
                decision.verdict = StreamVerdict::NeedsWholeHistory(
                    "an acquire of unknown outcome may explain a denied try".into(),
                );
            }
            decision
        });
        RunDecision { keys: keys.collect(), until_ns, damage, attempts: self.attempts }
    }
}

fn is_denial(verdict: &StreamVerdict) -> bool {
    matches!(
        verdict,
        StreamVerdict::NotLinearizable(alarm)
            if matches!(alarm.conflict, Conflict::UnexplainedDenial { .. })
    )
}
