//! etcd servers: arguments, probe write, leader.

use std::path::Path;
use std::time::Duration;

use locktest_history::NodeId;
use serde::Deserialize;
use serde_json::json;

use crate::member::Member;

pub(crate) const SETTINGS: &[&str] = &["heartbeat-interval = 100ms", "election-timeout = 1000ms"];

/// `locktest/probe` and `1` in the base64 of etcd's JSON gateway.
const PROBE_KEY: &str = "bG9ja3Rlc3QvcHJvYmU=";
const PROBE_VALUE: &str = "MQ==";

pub(crate) fn launch(member: &Member, members: &[Member], data: &Path) -> Vec<String> {
    let peer_url = |member: &Member| format!("http://{}:2380", member.address);
    let cluster: Vec<String> =
        members.iter().map(|member| format!("{}={}", member.name, peer_url(member))).collect();
    let client_url = format!("http://{}:2379", member.address);
    [
        ("name", member.name.clone()),
        ("data-dir", data.display().to_string()),
        ("listen-peer-urls", peer_url(member)),
        ("initial-advertise-peer-urls", peer_url(member)),
        ("listen-client-urls", format!("{client_url},http://127.0.0.1:2379")),
        ("advertise-client-urls", client_url),
        ("initial-cluster", cluster.join(",")),
        ("initial-cluster-state", "new".into()),
        ("initial-cluster-token", "locktest".into()),
        ("heartbeat-interval", "100".into()),
        ("election-timeout", "1000".into()),
        ("logger", "zap".into()),
    ]
    .into_iter()
    .map(|(flag, value)| format!("--{flag}={value}"))
    .collect()
}

pub(crate) async fn write(http: &reqwest::Client, base: &str) -> Result<(), reqwest::Error> {
    let body = json!({ "key": PROBE_KEY, "value": PROBE_VALUE });
    http.post(format!("{base}/v3/kv/put")).json(&body).send().await?.error_for_status()?;
    Ok(())
}

/// The gateway prints 64-bit numbers as strings, and leaves zero out.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    leader: String,
}

#[derive(Deserialize)]
struct MemberList {
    #[serde(default)]
    members: Vec<ListedMember>,
}

#[derive(Deserialize)]
struct ListedMember {
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(default)]
    name: String,
}

pub(crate) async fn leader(
    http: &reqwest::Client,
    base: &str,
    members: &[Member],
) -> Result<Option<NodeId>, reqwest::Error> {
    let status: Status = post(http, format!("{base}/v3/maintenance/status")).await?;
    if status.leader.is_empty() {
        return Ok(None);
    }
    let list: MemberList = post(http, format!("{base}/v3/cluster/member/list")).await?;
    let name = list.members.iter().find(|member| member.id == status.leader);
    Ok(name.and_then(|listed| {
        members.iter().find(|member| member.name == listed.name).map(|member| member.id)
    }))
}

async fn post<T: serde::de::DeserializeOwned>(
    http: &reqwest::Client,
    url: String,
) -> Result<T, reqwest::Error> {
    let request = http.post(url).json(&json!({})).timeout(Duration::from_secs(1));
    request.send().await?.error_for_status()?.json().await
}
