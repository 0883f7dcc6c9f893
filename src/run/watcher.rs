//! Looks for violations while the run goes on.
//!
//! The recording raises an alarm as soon as the evidence of one is complete, for the classes whose
//! evidence is in single events. Now and then the whole analysis looks at what is recorded so far,
//! for all other classes. It also has to agree with an alarm before that counts.

use std::time::{Duration, Instant};

use locktest_analyzer::{Alarm, Heard, Verdict, Violation, ViolationClass, analyze_so_far};
use locktest_history::{Milestone, Record, RunDir};
use locktest_workloads::clock::RunClock;
use locktest_workloads::fleet::Arrival;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::recording::{Known, Recording};
use super::stop::Stop;
use crate::exit::Exit;
use crate::terminal::Terminal;

/// The least time between two looks at everything.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// So many times as long as a look took is none taken: the cluster needs the processor.
const REST_PER_LOOK: u32 = 19;

/// What there is to do when a violation shows.
pub struct Orders {
    /// Whether the run is to end at the first.
    pub stop_on_violation: bool,
    /// Whether an overrun of a lease counts as one.
    pub fail_on_overrun: bool,
}

/// A watch over a run, until it is dropped.
pub struct Watcher(JoinHandle<()>);

impl Watcher {
    /// Starts to watch what is recorded, and tells of the first violation.
    pub fn start(
        orders: Orders,
        recording: &mut Recording,
        run_dir: RunDir,
        clock: RunClock,
        stop: Stop,
        terminal: Terminal,
    ) -> Watcher {
        let alarms = recording.alarms();
        let (known, arrivals) = (recording.known(), recording.sender());
        let mut watching = Watching { orders, known, arrivals, run_dir, clock, stop, terminal };
        Watcher(tokio::spawn(async move { watching.tell_of_the_first(alarms).await }))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Watching {
    orders: Orders,
    known: Known,
    arrivals: mpsc::Sender<Arrival>,
    run_dir: RunDir,
    clock: RunClock,
    stop: Stop,
    terminal: Terminal,
}

impl Watching {
    async fn tell_of_the_first(&mut self, alarms: Option<mpsc::UnboundedReceiver<Alarm>>) {
        let violation = tokio::select! {
            violation = self.first_confirmed(alarms) => violation,
            violation = self.first_looked_for() => violation,
        };
        let now_ns = self.clock.now_ns();
        if self.orders.stop_on_violation {
            let what = Milestone::ViolationFound;
            // Before the stop, which ends this watch. An error means that the recording has ended,
            // and the run with it.
            let _ = self.arrivals.send(Record::Milestone { time_ns: now_ns, what }.into()).await;
            self.stop.on_violation();
        }
        let Violation { class, key, time_ns, .. } = violation;
        let on_key = if key.is_empty() { String::new() } else { format!(" on {key}") };
        let stopping = if self.orders.stop_on_violation { "; stopping" } else { "" };
        self.terminal.step(format_args!(
            "{:>6.2} s  violation: {class}{on_key} at {:.3} s{stopping}",
            now_ns as f64 / 1e9,
            time_ns as f64 / 1e9,
        ));
        self.terminal.detail(format_args!(
            "known {:.1} ms after it happened",
            now_ns.saturating_sub(time_ns) as f64 / 1e6
        ));
    }

    /// The first alarm with which the analysis of all that is recorded agrees.
    async fn first_confirmed(&self, alarms: Option<mpsc::UnboundedReceiver<Alarm>>) -> Violation {
        let Some(mut alarms) = alarms else { return std::future::pending().await };
        let mut unconfirmed = 0;
        while let Some(alarm) = alarms.recv().await {
            let verdict = loop {
                match self.look(self.known.of_all_records()).await {
                    Some(verdict) => break verdict,
                    None => sleep(LOOK_INTERVAL).await,
                }
            };
            if let Some(found) = first_of(verdict, |class| class == alarm.class) {
                return found;
            }
            unconfirmed += 1;
            self.terminal.warning(format_args!(
                "alarm {unconfirmed} that the analysis does not confirm: {} at {:.3} s; this is a bug in locktest",
                alarm.class,
                alarm.time_ns as f64 / 1e9
            ));
        }
        std::future::pending().await
    }

    /// The first violation that the whole analysis finds in what is complete so far.
    async fn first_looked_for(&self) -> Violation {
        let mut rest = LOOK_INTERVAL;
        loop {
            sleep(rest).await;
            let begin = Instant::now();
            let verdict = self.look(self.known.of_what_is_complete()).await;
            rest = LOOK_INTERVAL.max(begin.elapsed() * REST_PER_LOOK);
            let Some(verdict) = verdict else { continue };
            if Exit::of_verdict(&verdict, self.orders.fail_on_overrun) != Exit::Violation {
                continue;
            }
            // What a lease led to may stand before it, and is a violation only if nothing else is.
            let of_lease = [ViolationClass::LeaseOverrun, ViolationClass::LostUpdate];
            let by_service = first_of(verdict.clone(), |class| !of_lease.contains(&class));
            if let Some(violation) = by_service.or_else(|| first_of(verdict, |_| true)) {
                return violation;
            }
        }
    }

    /// The verdict over the history file as it is. `None` if it cannot be read just now.
    async fn look(&self, heard: Heard) -> Option<Verdict> {
        let run_dir = self.run_dir.clone();
        let look = move || Some(analyze_so_far(&run_dir.read_history().ok()?, &heard));
        tokio::task::spawn_blocking(look).await.ok()?
    }
}

fn first_of(verdict: Verdict, wanted: impl Fn(ViolationClass) -> bool) -> Option<Violation> {
    verdict.violations.into_iter().find(|violation| wanted(violation.class))
}
