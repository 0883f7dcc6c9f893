//! Consul servers: configuration, probe write, leader.

use locktest_history::NodeId;
use serde_json::json;

use crate::member::Member;
use crate::probe::{describe, member_at};
use crate::release::{Launch, PackageFile, Release};
use crate::service::Service;
use crate::store::Store;

/// A dead server is left in the cluster: else a partition would make autopilot remove the cut-off
/// minority, and its sessions with it.
pub(crate) const SETTINGS: &[&str] = &[
    "raft_multiplier = 1",
    "session_ttl_min = 1s (the default floor is 10s)",
    "autopilot.cleanup_dead_servers = false",
];

const PROBE_PATH: &str = "/v1/kv/locktest/probe";

/// Its own package links everything into one program.
pub(crate) const RELEASES: &[Release] = &[Release {
    store: Store::Consul,
    version: "1.8.7",
    suite: "bullseye",
    packages: &["consul"],
    launch: Launch::Program(PackageFile { package: "consul", path: "usr/bin/consul" }),
}];

const CONFIG: &str = "consul.json";

/// The server of `member`.
pub(crate) fn service(base: Service, member: &Member, members: &[Member]) -> Service {
    let addresses: Vec<&str> = members.iter().map(|member| member.address.as_str()).collect();
    let config = json!({
        "server": true,
        "bootstrap_expect": members.len(),
        "node_name": member.name,
        "datacenter": "lab",
        "data_dir": base.data,
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
    let config_file = format!("-config-file={}", base.data.join(CONFIG).display());
    base.arguments(["agent".into(), config_file]).file(CONFIG, format!("{config:#}\n"))
}

/// Asks the server of one member, by HTTP.
pub(crate) struct Probe {
    http: reqwest::Client,
    base: String,
    members: Vec<Member>,
}

impl Probe {
    pub fn new(http: &reqwest::Client, member: &Member, members: &[Member]) -> Probe {
        let base = format!("http://{}:{}", member.address, Store::Consul.client_port());
        Probe { http: http.clone(), base, members: members.to_vec() }
    }

    pub async fn write(&self) -> Result<(), String> {
        let request = self.http.put(format!("{}{PROBE_PATH}", self.base)).body("1");
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        answer.map(|_| ()).map_err(describe)
    }

    /// `/v1/status/leader` is the server's own view, also in a minority.
    pub async fn leader(&self) -> Result<Option<NodeId>, String> {
        let request = self.http.get(format!("{}/v1/status/leader", self.base));
        let answer = async { request.send().await?.error_for_status()?.json::<String>().await };
        let answer = answer.await.map_err(describe)?;
        let (address, _port) = answer.rsplit_once(':').unwrap_or_default();
        Ok(member_at(&self.members, address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_is_told_to_join_all_and_to_wait_for_all() {
        let members = Member::for_tests(3);
        let service = service(Service::for_tests("consul"), &members[1], &members);
        assert_eq!(service.arguments, ["agent", "-config-file=/node/data/consul/consul.json"]);
        let [(name, config)] = &service.files[..] else { panic!("one file: {service:?}") };
        assert_eq!(*name, CONFIG);
        let config: serde_json::Value = serde_json::from_str(config).expect("valid JSON");
        assert_eq!(config["node_name"], "n2");
        assert_eq!(config["bootstrap_expect"], 3);
        assert_eq!(config["retry_join"], json!(["10.0.0.1", "10.0.0.2", "10.0.0.3"]));
        assert_eq!(config["autopilot"]["cleanup_dead_servers"], false);
    }
}
