//! Consul servers: configuration, probe write, leader.

use std::path::Path;
use std::time::Duration;

use locktest_history::NodeId;
use serde_json::json;

use crate::member::Member;

/// A dead server is left in the cluster: else a partition would make autopilot remove the cut-off
/// minority, and its sessions with it.
pub(crate) const SETTINGS: &[&str] = &[
    "raft_multiplier = 1",
    "session_ttl_min = 1s (the default floor is 10s)",
    "autopilot.cleanup_dead_servers = false",
];

const PROBE_PATH: &str = "/v1/kv/locktest/probe";

pub(crate) fn launch(
    member: &Member,
    members: &[Member],
    data: &Path,
    config_path: &Path,
) -> (Vec<String>, Option<String>) {
    let addresses: Vec<&str> = members.iter().map(|member| member.address.as_str()).collect();
    let config = json!({
        "server": true,
        "bootstrap_expect": members.len(),
        "node_name": member.name,
        "datacenter": "lab",
        "data_dir": data,
        "bind_addr": member.address,
        "client_addr": format!("{} 127.0.0.1", member.address),
        "retry_join": addresses,
        "retry_interval": "1s",
        "performance": { "raft_multiplier": 1 },
        "session_ttl_min": "1s",
        "autopilot": { "cleanup_dead_servers": false },
        // Nodes of a lab share one host id, which would make their node ids collide.
        "disable_host_node_id": true,
        "disable_update_check": true,
        "leave_on_terminate": false,
        "ports": { "dns": -1, "grpc": -1 },
        "log_level": "INFO",
    });
    let arguments = vec!["agent".into(), format!("-config-file={}", config_path.display())];
    (arguments, Some(format!("{config:#}\n")))
}

pub(crate) async fn write(http: &reqwest::Client, base: &str) -> Result<(), reqwest::Error> {
    http.put(format!("{base}{PROBE_PATH}")).body("1").send().await?.error_for_status()?;
    Ok(())
}

/// `/v1/status/leader` is the server's own view, also in a minority.
pub(crate) async fn leader(
    http: &reqwest::Client,
    base: &str,
    members: &[Member],
) -> Result<Option<NodeId>, reqwest::Error> {
    let request = http.get(format!("{base}/v1/status/leader")).timeout(Duration::from_secs(1));
    let answer: String = request.send().await?.error_for_status()?.json().await?;
    let address = answer.rsplit_once(':').map_or("", |(address, _port)| address);
    Ok(members.iter().find(|member| member.address == address).map(|member| member.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_is_told_to_join_all_and_to_wait_for_all() {
        let members: Vec<Member> = (0..3)
            .map(|n| Member {
                id: NodeId(n),
                name: format!("n{}", n + 1),
                address: format!("10.0.0.{}", n + 1),
            })
            .collect();
        let (arguments, config) =
            launch(&members[1], &members, Path::new("/d"), Path::new("/c.json"));
        assert_eq!(arguments, ["agent", "-config-file=/c.json"]);
        let config: serde_json::Value =
            serde_json::from_str(&config.expect("a configuration")).expect("valid JSON");
        assert_eq!(config["node_name"], "n2");
        assert_eq!(config["bootstrap_expect"], 3);
        assert_eq!(config["retry_join"], json!(["10.0.0.1", "10.0.0.2", "10.0.0.3"]));
        assert_eq!(config["autopilot"]["cleanup_dead_servers"], false);
    }
}
