//! The nemesis at work: quiet for an interval, a fault for an interval, until the time is over.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use locktest_cluster::{Cluster, SshCluster};
use locktest_history::{FaultEnded, FaultSkipped, NodeId, Plan, PlannedFault, Record};
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
const DEADLINE_MARGIN: Duration = Duration::from_secs(20);

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

impl Injection<'_> {
    /// Injects the schedule's faults until `end`, and returns those that could not be undone. The
    /// last fault is undone when this returns, also after a signal.
    pub async fn run(&self, end: Instant) -> Result<Vec<String>> {
        let mut left = Vec::new();
        let mut last_end_ns = None;
        let interval = Duration::from_millis(self.plan.nemesis_interval_ms);
        if !self.wait_for(end, self.first_grant()).await {
            return Ok(left);
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
            let Some(mut fault) = self.begin(id, planned, interval, &mut left).await? else {
                continue;
            };
            let fault_end = end.min(Instant::now() + interval);
            self.wait_for(fault_end - LAST_LOOK.min(interval / 2), std::future::pending()).await;
            self.nemesis.observe(&mut fault).await;
            self.wait_for(fault_end, std::future::pending()).await;
            let ended = self.end(fault, &mut left).await;
            last_end_ns = Some(ended.end_ns);
            self.recording.add(Record::FaultEnded(ended)).await?;
        }
        self.wait_for(end, std::future::pending()).await;
        Ok(left)
    }

    async fn first_grant(&self) {
        let mut counts = self.recording.counts();
        if counts.wait_for(|counts| counts.acquires_ok > 0).await.is_err() {
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

    async fn begin(
        &self,
        id: u32,
        planned: &PlannedFault,
        length: Duration,
        left: &mut Vec<String>,
    ) -> Result<Option<ActiveFault>> {
        let shape = planned.partition.shape;
        let sides = match resolve(planned, self.cluster.leader().await) {
            Ok(sides) => sides,
            Err(reason) => {
                let time_ns = self.clock.now_ns();
                let (kind, reason) = (planned.kind, reason.to_string());
                return self.skip(id, FaultSkipped { time_ns, kind, shape, reason }).await;
            }
        };
        let begun = self.nemesis.begin(id, shape, sides, length + DEADLINE_MARGIN).await;
        let fault = match begun {
            Ok(fault) => fault,
            Err(given_up) => {
                if !given_up.undone() {
                    left.push(format!("fault {id}: {given_up}"));
                }
                return self.skip(id, given_up.skipped).await;
            }
        };
        self.recording.add(Record::FaultBegun(fault.begun.clone())).await?;
        let sides: Vec<String> = fault.begun.sides.iter().map(|side| self.names(side)).collect();
        let text = format!("partition {}", sides.join(" | "));
        self.terminal.step(format_args!("{:>6.2} s  fault {id} begins: {text}", self.now_s()));
        self.live.set_fault(Some(text));
        Ok(Some(fault))
    }

    async fn skip(&self, id: u32, skipped: FaultSkipped) -> Result<Option<ActiveFault>> {
        self.terminal.step(format_args!(
            "{:>6.2} s  fault {id} skipped: {}",
            self.now_s(),
            skipped.reason
        ));
        self.recording.add(Record::FaultSkipped(skipped)).await?;
        Ok(None)
    }

    async fn end(&self, fault: ActiveFault, left: &mut Vec<String>) -> FaultEnded {
        let id = fault.begun.id;
        let ended = self.nemesis.end(fault).await;
        self.live.set_fault(None);
        let bit = if ended.bit { "it bit" } else { "IT SHOWED NO EFFECT" };
        let undone = if ended.undone { "undone" } else { "NOT UNDONE" };
        self.terminal
            .step(format_args!("{:>6.2} s  fault {id} ends: {bit}, {undone}", self.now_s()));
        if !ended.undone {
            left.push(format!("fault {id}: {}", ended.undo_proof.join("; ")));
        }
        ended
    }

    fn names(&self, side: &[NodeId]) -> String {
        side.iter().map(|node| self.plan.node_name(*node)).collect::<Vec<_>>().join(" ")
    }

    fn now_s(&self) -> f64 {
        self.clock.now_ns() as f64 / 1e9
    }
}
