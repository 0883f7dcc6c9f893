//! What the servers cost, looked at all the time.

use std::time::Duration;

use locktest_history::Record;
use locktest_workloads::clock::RunClock;
use locktest_workloads::fleet::Arrival;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::target::Target;

/// A node looks for this much longer than the workload runs: for the last undo and the recovery.
const MARGIN: Duration = Duration::from_secs(120);

/// A pause before a node that could not be asked any more is asked again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Looks once a second at what the servers of each node cost, until it is dropped. A node that cannot
/// be looked at has no records, and the run goes on.
pub struct Sampler {
    tasks: JoinSet<()>,
}

impl Sampler {
    /// Starts to look; what it sees goes to `arrivals`. The sim costs nothing of its own.
    pub fn start(
        target: &Target,
        time_limit: Duration,
        clock: RunClock,
        arrivals: &mpsc::Sender<Arrival>,
    ) -> Sampler {
        let mut tasks = JoinSet::new();
        let Target::Cluster(cluster) = target else { return Sampler { tasks } };
        for member in cluster.members() {
            let (node, cluster, arrivals) = (member.id, cluster.clone(), arrivals.clone());
            tasks.spawn(async move {
                loop {
                    if let Ok(mut usages) = cluster.usages(node, time_limit + MARGIN).await {
                        while let Some(usage) = usages.next(|| clock.now_ns()).await {
                            if arrivals.send(Record::Usage(usage).into()).await.is_err() {
                                return;
                            }
                        }
                    }
                    sleep(RETRY_PAUSE).await;
                }
            });
        }
        Sampler { tasks }
    }

    /// Stops to look, and waits until no connection is in use any more.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}
