//! The servers' logs: fetched when the run is over, kept in its directory, and read for elections.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use futures_util::future::join_all;
use locktest_cluster::{Cluster, Member, elections};
use locktest_history::{Election, RunDir};
use locktest_workloads::clock::RunClock;

use crate::terminal::Terminal;

/// Writes every server's log into the run directory, and tells of the elections in them. The logs
/// begin with the run: a lab is new, or was cleared of what an earlier run left.
pub async fn keep(
    cluster: &Cluster,
    run_dir: &RunDir,
    clock: RunClock,
    terminal: &Terminal,
) -> Vec<Election> {
    let origin_unix_ns = origin_unix_ns(clock);
    let fetch = cluster.members().map(|member| async move {
        match keep_those_of(cluster, member, run_dir).await {
            Ok(logs) => {
                let logs = logs.iter().map(|(server, log)| (*server, log.as_str()));
                elections(member.id, logs, |unix_ns| unix_ns.checked_sub(origin_unix_ns))
            }
            Err(error) => {
                terminal.warning(format_args!("no log of {}: {error}", member.name));
                Vec::new()
            }
        }
    });
    join_all(fetch).await.into_iter().flatten().collect()
}

/// The log of a node's first server has the node's name; that of another one its own, too.
async fn keep_those_of(
    cluster: &Cluster,
    member: &Member,
    run_dir: &RunDir,
) -> Result<Vec<(&'static str, String)>> {
    let logs = cluster.logs(member.id, None).await?;
    for (index, (server, log)) in logs.iter().enumerate() {
        let node = &member.name;
        let name = if index == 0 { node.clone() } else { format!("{node}-{server}") };
        std::fs::write(run_dir.logs().join(format!("{name}.log")), log)?;
    }
    Ok(logs)
}

/// The run's origin on the wall clock, by which servers write their logs.
fn origin_unix_ns(clock: RunClock) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).saturating_sub(clock.now_ns())
}
