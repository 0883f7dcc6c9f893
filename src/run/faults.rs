//! The nemesis at work: quiet for an interval, a fault for an interval, until the time is over.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use locktest_cluster::{Cluster, SshCluster};
use locktest_history::{FaultEnded, FaultSkipped, PartitionShape, Plan, PlannedFault, Record};
use locktest_nemesis::{ActiveFault, Nemesis, resolve};
use locktest_workloads::clock::RunClock;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::live::LiveLine;
use super::prober::Prober;
use super::recording::Recording;
use super::stop::Stop;
use crate::terminal::Terminal;

/// How long a fault waits for the servers of the last one.
pub const RECOVERY_LIMIT: Duration = Duration::from_secs(60);

/// A node undoes a fault itself this long after its planned end.
pub const DEADLINE_MARGIN: Duration = Duration::from_secs(20);

/// The last look at a fault in force begins this long before its end.
const LAST_LOOK: Duration = Duration::from_millis(900);

/// A fault that could last no longer than this is not begun.
const SHORTEST_FAULT: Duration = Duration::from_secs(1);

/// All that the nemesis needs of the run.
pub struct Injection<'a> {
    pub plan: &'a Plan,
    pub nemesis: &'a Nemesis<SshCluster>,
    pub cluster: &'a Arc<Cluster>,
    pub clock: RunClock,
    pub recording: &'a Recording,
    pub prober: &'a Prober,
    pub live: &'a LiveLine,
    pub stop: &'a Stop,
    pub terminal: &'a Terminal,
}

/// What became of a fault that was to begin.
enum Begun {
    InForce(Box<ActiveFault>),
    /// It is not in force; if a part of it ever was, until then.
    GivenUp {
        end_ns: Option<u64>,
    },
}

impl Injection<'_> {
    /// Injects the schedule's faults until `end`. The last one is undone when this returns, also
    /// after a signal. What could not be undone, or an error interrupted, stays open with the
    /// nemesis.
    pub async fn run(&self, end: Instant) -> Result<()> {
        let mut last_end_ns = None;
        let interval = Duration::from_millis(self.plan.nemesis_interval_ms);
        if !self.wait_for(end, self.first_success()).await {
            return Ok(());
        }
        for (index, planned) in self.plan.schedule.iter().cycle().enumerate() {
            let id = u32::try_from(index + 1).unwrap_or(u32::MAX);
            if !self.wait_for(end, sleep(interval)).await {
                break;
            }
            if let Some(since_ns) = last_end_ns {
                let answered = timeout(RECOVERY_LIMIT, self.prober.all_answered_since(since_ns));
                if !self.wait_for(end, async { drop(answered.await) }).await {
                    break;
                }
            }
            if end.saturating_duration_since(Instant::now()) < SHORTEST_FAULT {
                break;
            }
            let mut fault = match self.begin(id, planned, interval).await? {
                Begun::InForce(fault) => fault,
                Begun::GivenUp { end_ns } => {
                    last_end_ns = end_ns.or(last_end_ns);
                    continue;
                }
            };
            let fault_end = end.min(Instant::now() + interval);
            self.wait_for(fault_end - LAST_LOOK.min(interval / 2), std::future::pending()).await;
            self.nemesis.observe(&mut fault).await;
            self.wait_for(fault_end, std::future::pending()).await;
            let ended = self.end(*fault).await;
            last_end_ns = Some(ended.end_ns);
            self.recording.add(Record::FaultEnded(ended)).await?;
        }
        self.wait_for(end, std::future::pending()).await;
        Ok(())
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

    async fn begin(&self, id: u32, planned: &PlannedFault, length: Duration) -> Result<Begun> {
        let shape = planned.partition.shape;
        let leader = match shape {
            PartitionShape::Leader => self.cluster.leader().await,
            PartitionShape::Halves | PartitionShape::One => None,
        };
        let sides = match resolve(planned, leader) {
            Ok(sides) => sides,
            Err(reason) => {
                let time_ns = self.clock.now_ns();
                let (kind, reason) = (planned.kind, reason.to_string());
                self.skip(id, FaultSkipped { time_ns, kind, shape, reason }).await?;
                return Ok(Begun::GivenUp { end_ns: None });
            }
        };
        let begun = self.nemesis.begin(id, shape, sides, length + DEADLINE_MARGIN).await;
        let fault = match begun {
            Ok(fault) => fault,
            Err(given_up) => {
                let Some((begun, ended)) = given_up.in_force else {
                    self.skip(id, given_up.skipped).await?;
                    return Ok(Begun::GivenUp { end_ns: None });
                };
                self.terminal.step(format_args!(
                    "{:>6.2} s  fault {id} given up: {}",
                    self.now_s(),
                    given_up.skipped.reason
                ));
                let end_ns = Some(ended.end_ns);
                self.recording.add(Record::FaultBegun(begun)).await?;
                self.recording.add(Record::FaultEnded(ended)).await?;
                return Ok(Begun::GivenUp { end_ns });
            }
        };
        self.recording.add(Record::FaultBegun(fault.begun.clone())).await?;
        let text = self.plan.partition_in_words(&fault.begun.sides);
        let begin_s = fault.begun.begin_ns as f64 / 1e9;
        self.terminal.step(format_args!("{begin_s:>6.2} s  fault {id} begins: {text}"));
        self.live.set_fault(Some(text));
        Ok(Begun::InForce(Box::new(fault)))
    }

    async fn skip(&self, id: u32, skipped: FaultSkipped) -> Result<()> {
        self.terminal.step(format_args!(
            "{:>6.2} s  fault {id} skipped: {}",
            self.now_s(),
            skipped.reason
        ));
        self.recording.add(Record::FaultSkipped(skipped)).await
    }

    async fn end(&self, fault: ActiveFault) -> FaultEnded {
        let id = fault.begun.id;
        let ended = self.nemesis.end(fault).await;
        self.live.set_fault(None);
        let bit = if ended.bit { "it bit" } else { "IT SHOWED NO EFFECT" };
        let undone = if ended.undone { "undone" } else { "NOT UNDONE" };
        self.terminal
            .step(format_args!("{:>6.2} s  fault {id} ends: {bit}, {undone}", self.now_s()));
        ended
    }

    fn now_s(&self) -> f64 {
        self.clock.now_ns() as f64 / 1e9
    }
}
