//! Health probes: a real write through each server, all the time, and its view of the leader.

use std::time::Duration;

use locktest_history::{LeaderView, NodeId, Probe, Record};
use locktest_workloads::clock::RunClock;
use locktest_workloads::fleet::Arrival;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::target::Target;

const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// When the last answered write through each server began.
type Answered = Vec<Option<u64>>;

/// Probes every server until it is dropped.
pub struct Prober {
    answered: watch::Receiver<Answered>,
    _tasks: JoinSet<()>,
}

impl Prober {
    /// Starts to probe; every result goes to `arrivals`.
    pub fn start(target: &Target, clock: RunClock, arrivals: &mpsc::Sender<Arrival>) -> Prober {
        let servers = target.servers();
        let (sender, answered) = watch::channel(vec![None; servers]);
        let mut tasks = JoinSet::new();
        for index in 0..servers {
            let Ok(node) = u16::try_from(index).map(NodeId) else { continue };
            let (target, arrivals, sender) = (target.clone(), arrivals.clone(), sender.clone());
            tasks.spawn(async move {
                let mut leader = None;
                let mut tick = tokio::time::interval(PROBE_INTERVAL);
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    tick.tick().await;
                    let begin_ns = clock.now_ns();
                    let error = target.probe(node).await.err();
                    if error.is_none() {
                        sender.send_modify(|answered| answered[index] = Some(begin_ns));
                    }
                    let probe = Probe { begin_ns, end_ns: clock.now_ns(), node, error };
                    if arrivals.send(Record::Probe(probe).into()).await.is_err() {
                        return;
                    }
                    let view = target.leader_view(node).await;
                    if view != leader {
                        leader = view;
                        let view = LeaderView { time_ns: clock.now_ns(), node, leader };
                        if arrivals.send(Record::Leader(view).into()).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
        Prober { answered, _tasks: tasks }
    }

    /// The servers that have not answered a write that began after `since_ns`.
    pub fn silent_since(&self, since_ns: u64) -> Vec<NodeId> {
        let answered = self.answered.borrow();
        let silent = answered
            .iter()
            .zip(0..)
            .filter(|(begin_ns, _)| begin_ns.is_none_or(|begin_ns| begin_ns < since_ns));
        silent.map(|(_, node)| NodeId(node)).collect()
    }

    /// Waits until every server has answered a write that began after `since_ns`.
    pub async fn all_answered_since(&self, since_ns: u64) {
        let all = |answered: &Answered| {
            answered.iter().all(|begin_ns| begin_ns.is_some_and(|begin_ns| begin_ns >= since_ns))
        };
        let mut answered = self.answered.clone();
        if answered.wait_for(all).await.is_err() {
            // The probes have ended; nobody will answer any more.
            std::future::pending::<()>().await;
        }
    }
}
