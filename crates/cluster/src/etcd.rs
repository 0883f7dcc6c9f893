//! etcd servers: arguments, probe write, leader.

use std::sync::atomic::{AtomicBool, Ordering};

use locktest_history::NodeId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::member::Member;
use crate::probe::describe;
use crate::release::{Launch, PackageFile, Release};
use crate::service::Service;
use crate::store::Store;

pub(crate) const SETTINGS: &[&str] = &["heartbeat-interval = 100ms", "election-timeout = 1000ms"];

/// `locktest/probe` and `1` in the base64 of etcd's JSON gateway.
const PROBE_KEY: &str = "bG9ja3Rlc3QvcHJvYmU=";
const PROBE_VALUE: &str = "MQ==";

const PROGRAM: PackageFile = PackageFile { package: "etcd-server", path: "usr/bin/etcd" };

/// Its own package links everything into one program.
const fn release(version: &'static str, suite: &'static str) -> Release {
    Release {
        store: Store::Etcd,
        version,
        suite,
        packages: &["etcd-server"],
        launch: Launch::Program(PROGRAM),
    }
}

pub(crate) const RELEASES: &[Release] =
    &[release("3.5.16", "trixie"), release("3.4.23", "bookworm"), release("3.3.25", "bullseye")];

/// The server of `member`.
pub(crate) fn service(base: Service, member: &Member, members: &[Member]) -> Service {
    let peer_url = |member: &Member| format!("http://{}:2380", member.address);
    let cluster: Vec<String> =
        members.iter().map(|member| format!("{}={}", member.name, peer_url(member))).collect();
    let client_url = format!("http://{}:2379", member.address);
    let flags = [
        ("name", member.name.clone()),
        ("data-dir", base.data.display().to_string()),
        ("listen-peer-urls", peer_url(member)),
        ("initial-advertise-peer-urls", peer_url(member)),
        ("listen-client-urls", format!("{client_url},http://127.0.0.1:2379")),
        ("advertise-client-urls", client_url),
        ("initial-cluster", cluster.join(",")),
        ("initial-cluster-state", "new".into()),
        ("initial-cluster-token", "locktest".into()),
        ("heartbeat-interval", "100".into()),
        ("election-timeout", "1000".into()),
    ];
    base.arguments(flags.map(|(flag, value)| format!("--{flag}={value}")))
}

/// The gateway's prefix, and that of versions before 3.4, which do not know it.
const PREFIXES: [&str; 2] = ["v3", "v3beta"];

/// Asks the server of one member, through its JSON gateway.
pub(crate) struct Probe {
    http: reqwest::Client,
    base: String,
    members: Vec<Member>,
    /// Whether the server has turned out to be an old one.
    is_old: AtomicBool,
}

impl Probe {
    pub fn new(http: &reqwest::Client, member: &Member, members: &[Member]) -> Probe {
        let base = format!("http://{}:{}", member.address, Store::Etcd.client_port());
        let (http, members) = (http.clone(), members.to_vec());
        Probe { http, base, members, is_old: AtomicBool::new(false) }
    }

    pub async fn write(&self) -> Result<(), String> {
        let body = json!({ "key": PROBE_KEY, "value": PROBE_VALUE });
        self.post("kv/put", &body).await.map(|_: serde_json::Value| ())
    }

    pub async fn leader(&self) -> Result<Option<NodeId>, String> {
        let status: Status = self.post("maintenance/status", &json!({})).await?;
        if status.leader.is_empty() {
            return Ok(None);
        }
        let list: MemberList = self.post("cluster/member/list", &json!({})).await?;
        let name = list.members.iter().find(|member| member.id == status.leader);
        Ok(name.and_then(|listed| {
            self.members.iter().find(|member| member.name == listed.name).map(|member| member.id)
        }))
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<T, String> {
        let answer = async {
            let request = |is_old| {
                let prefix = PREFIXES[usize::from(is_old)];
                self.http.post(format!("{}/{prefix}/{path}", self.base)).json(body).send()
            };
            let is_old = self.is_old.load(Ordering::Relaxed);
            let mut response = request(is_old).await?;
            if response.status() == reqwest::StatusCode::NOT_FOUND {
                response = request(!is_old).await?;
                self.is_old.store(!is_old, Ordering::Relaxed);
            }
            response.error_for_status()?.json().await
        };
        answer.await.map_err(describe)
    }
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
