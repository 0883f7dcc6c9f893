//! The nemesis at work: quiet for an interval, then a fault, until the time is over.

mod aim;
mod course;
mod replay;

use std::collections::BTreeMap;
use std::io;
use std::path::{PathBuf, absolute};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use locktest_cluster::{Cluster, SshCluster};
use locktest_history::{
    Aim, DrawnFault, Fault, FaultKind, FaultSkipped, FixedFault, Plan, PlannedFault, Record,
};
use locktest_lab::LabDirs;
use locktest_nemesis::{ClientProcess, Nemesis, Parties, Resolved};
use locktest_workloads::clock::RunClock;
use locktest_workloads::fleet::{Fleet, Holder};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::live::LiveLine;
use super::prober::Prober;
use super::recording::Recording;
use super::stop::Stop;
use crate::terminal::Terminal;

/// How long a fault waits for the servers of the last one.
pub const RECOVERY_LIMIT: Duration = Duration::from_secs(60);

/// A host undoes a fault itself this long after its planned end.
pub const DEADLINE_MARGIN: Duration = Duration::from_secs(20);

/// No fault that could last no longer than this is begun.
const SHORTEST_FAULT: Duration = Duration::from_secs(1);

/// Where the timers are that let paused clients go on, on the control node.
pub fn fault_timers(dirs: &LabDirs) -> io::Result<PathBuf> {
    Ok(absolute(&dirs.state)?.join("fault-timers"))
}

/// All that the nemesis needs of the run.
pub struct Injection<'a> {
    pub plan: &'a Plan,
    pub nemesis: &'a Nemesis<SshCluster>,
    /// What leads is asked of these; the sim has none.
    pub cluster: Option<&'a Arc<Cluster>>,
    pub fleet: &'a Fleet,
    pub clock: RunClock,
    pub recording: &'a Recording,
    pub prober: &'a Prober,
    pub live: &'a LiveLine,
    pub stop: &'a Stop,
    pub terminal: &'a Terminal,
    pub progress: Progress,
}

/// What the nemesis has done so far.
#[derive(Default)]
pub struct Progress(Mutex<Done>);

#[derive(Default)]
struct Done {
    /// How many faults were begun, or tried to.
    begun: u32,
    last_end_ns: u64,
    /// Whether some fault could not be undone. There are to be no more then.
    is_stuck: bool,
    /// Who held when the links of a [bare majority](Aim::BareMajority) had been cut.
    holders_before: Vec<Holder>,
    /// What is in force, in words.
    in_force: BTreeMap<u32, String>,
}

impl Progress {
    fn done(&self) -> MutexGuard<'_, Done> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the next fault.
    fn next_id(&self) -> u32 {
        let mut done = self.done();
        done.begun += 1;
        done.begun
    }

    fn ended(&self, end_ns: u64, undone: bool) {
        let mut done = self.done();
        done.last_end_ns = done.last_end_ns.max(end_ns);
        done.is_stuck |= !undone;
    }

    fn is_stuck(&self) -> bool {
        self.done().is_stuck
    }
}

/// A fault that could not last so long is not begun: one that is to cost a client its lease would
/// not do so.
fn least_length(drawn: &DrawnFault) -> Duration {
    let length = Duration::from_millis(drawn.length_ms);
    if drawn.kind.is_of_clients() { length.max(SHORTEST_FAULT) } else { SHORTEST_FAULT }
}

impl Injection<'_> {
    /// Injects the schedule's faults until `end`; those of an earlier run are all injected, if that
    /// takes no more than the time of a recovery beyond it. The last one is undone when this
    /// returns, also after a signal. What could not be undone, or an error interrupted, stays open
    /// with the nemesis.
    pub async fn run(&self, ready_ns: u64, end: Instant) -> Result<()> {
        if !self.wait_for(end, self.first_success()).await {
            return Ok(());
        }
        let drawn = self.plan.schedule.iter().filter_map(|planned| match planned {
            PlannedFault::Drawn(drawn) => Some(drawn),
            PlannedFault::Fixed(_) => None,
        });
        let fixed: Vec<&FixedFault> = (self.plan.schedule.iter())
            .filter_map(|planned| match planned {
                PlannedFault::Fixed(fixed) => Some(fixed),
                PlannedFault::Drawn(_) => None,
            })
            .collect();
        if fixed.is_empty() {
            self.inject_drawn(drawn.collect(), end).await?;
        } else {
            self.replay(&fixed, ready_ns, end + RECOVERY_LIMIT).await?;
        }
        if self.progress.is_stuck() {
            self.terminal.warning("a fault could not be undone: the run ends here");
            return Ok(());
        }
        self.wait_for(end, std::future::pending()).await;
        Ok(())
    }

    async fn inject_drawn(&self, schedule: Vec<&DrawnFault>, end: Instant) -> Result<()> {
        let interval = Duration::from_millis(self.plan.nemesis_interval_ms);
        let mut next = 0;
        while let Some(drawn) = schedule.get(next % schedule.len().max(1)) {
            if self.progress.is_stuck() || !self.wait_for(end, sleep(interval)).await {
                break;
            }
            let aimed = match self.recovered(end).await {
                Some(silent) => Err(silent),
                None => self.aim(drawn, end).await,
            };
            let left = end.saturating_duration_since(Instant::now());
            if left < least_length(drawn) || self.stop.is_requested() {
                break;
            }
            // Whoever is not there now may be at the next tick.
            let Resolved { fault, then } = match aimed {
                Ok(resolved) => resolved,
                Err(reason) => {
                    self.skip(drawn.kind, &drawn.aim, reason).await?;
                    continue;
                }
            };
            let begun = match then {
                None => self.inject(fault, end).await?,
                Some(forget) => self.inject_within(fault, forget, end).await?,
            };
            next += usize::from(begun);
        }
        Ok(())
    }

    /// Waits until every server has answered a write since the last fault ended. If they do not in
    /// time, the error tells so.
    async fn recovered(&self, end: Instant) -> Option<String> {
        let since_ns = self.progress.done().last_end_ns;
        let answered = timeout(RECOVERY_LIMIT, self.prober.all_answered_since(since_ns));
        let mut in_time = true;
        self.wait_for(end, async { in_time = answered.await.is_ok() }).await;
        (!in_time).then(|| {
            let silent = self.prober.silent_since(since_ns);
            let names: Vec<String> =
                silent.into_iter().map(|node| self.plan.node_name(node)).collect();
            format!(
                "{} answered no write for {} s since the last fault",
                names.join(", "),
                RECOVERY_LIMIT.as_secs()
            )
        })
    }

    async fn first_success(&self) {
        let mut counts = self.recording.counts();
        if counts.wait_for(|counts| counts.ok > 0).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for something; tells whether it came before `end` and before a signal.
    async fn wait_for(&self, end: Instant, something: impl Future<Output = ()>) -> bool {
        tokio::select! {
            biased;
            () = self.stop.requested() => false,
            () = sleep_until(end) => false,
            () = something => true,
        }
    }

    async fn skip(&self, kind: FaultKind, aim: &Aim, reason: String) -> Result<()> {
        let time_ns = self.clock.now_ns();
        self.terminal.step(format_args!(
            "{:>6.2} s  {kind} ({}) skipped: {reason}",
            time_ns as f64 / 1e9,
            aim.name()
        ));
        let skipped = FaultSkipped { time_ns, kind, aim: aim.clone(), reason };
        self.recording.add(Record::FaultSkipped(skipped)).await
    }

    /// Shows what is in force.
    fn in_force(&self, id: u32, words: Option<String>) {
        let mut done = self.progress.done();
        match words {
            Some(words) => done.in_force.insert(id, words),
            None => done.in_force.remove(&id),
        };
        let words: Vec<&str> = done.in_force.values().map(String::as_str).collect();
        self.live.set_fault((!words.is_empty()).then(|| words.join("; ")));
    }

    fn processes(&self) -> Vec<ClientProcess> {
        let process = |process: locktest_workloads::fleet::ClientProcess| ClientProcess {
            client: process.client,
            pid: process.pid,
            start_ticks: process.start_ticks,
        };
        self.fleet.processes().into_iter().map(process).collect()
    }

    fn parties(&self) -> Parties {
        Parties::of(self.plan)
    }

    /// Why a fault must not be injected, if it would hit more servers than it may.
    fn exceeds_limit(&self, fault: &Fault) -> Option<String> {
        let limit = self.plan.max_affected?;
        let affected = locktest_nemesis::affected(fault, self.parties());
        (affected > limit)
            .then(|| format!("it would take {affected} servers, and --max-affected allows {limit}"))
    }

    fn now_s(&self) -> f64 {
        self.clock.now_ns() as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timers_of_clients_are_found_from_every_folder() {
        let dirs = LabDirs { state: "state".into(), ..LabDirs::from_env() };
        let timers = fault_timers(&dirs).expect("a working folder");
        assert!(timers.is_absolute(), "{timers:?}");
        assert!(timers.ends_with("state/fault-timers"), "{timers:?}");
    }
}
