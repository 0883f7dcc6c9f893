//! Consul: a session with a TTL and no checks, `?acquire` on a key, a blocking query to wait.

mod duration;
mod values;

use std::cell::OnceCell;
use std::time::Duration;

use locktest_history::{ReadMode, Recipe, SessionBehavior, Token};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use self::duration::parse_duration_ms;
use super::{CallError, Entry, Grant, Lease, LockRecipe, Renewal};
use crate::protocol::ClientConfig;

/// A pause before the next try when the key has no session and was refused all the same, as it is
/// during a lock-delay.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The longest that one blocking query may take; a change answers it at once.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What a blocking query may take beyond the wait that it asks for.
const WAIT_MARGIN: Duration = Duration::from_millis(500);

/// How long an entry that is not ours is read again where reads may be old: a server hears of a
/// commit with the leader's next message.
const STALE_READ_PATIENCE: Duration = Duration::from_millis(300);

/// The pause between two such reads.
const STALE_READ_PAUSE: Duration = Duration::from_millis(10);

/// Consul as a lock, by sessions, and as a store of values.
pub struct Consul {
    http: Client,
    base_urls: Vec<String>,
    ttl_ms: u64,
    lock_delay_ms: u64,
    behavior: SessionBehavior,
    read_mode: ReadMode,
    /// The TTL that the server granted, once a session was read back.
    granted_ttl_ms: OnceCell<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SessionCreated {
    #[serde(rename = "ID")]
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KvPair {
    create_index: u64,
    modify_index: u64,
    lock_index: u64,
    flags: u64,
    #[serde(default)]
    session: Option<String>,
}

#[derive(Deserialize)]
struct SessionInfo {
    #[serde(rename = "TTL", default)]
    ttl: String,
    #[serde(rename = "NodeChecks", default)]
    node_checks: Option<Vec<String>>,
    #[serde(rename = "Checks", default)]
    checks: Option<Vec<String>>,
}

impl Consul {
    /// A client with the plan's kind of sessions and reads.
    pub fn new(config: &ClientConfig) -> Result<Consul, CallError> {
        let plan = &config.plan;
        if plan.recipe != Recipe::Session {
            return Err(CallError::NotAsked(format!("Consul has no recipe '{}'", plan.recipe)));
        }
        if config.servers.is_empty() {
            return Err(CallError::NotAsked("no server was named".into()));
        }
        let http = Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(1))
            .build()
            .map_err(|error| CallError::NotAsked(error.to_string()))?;
        let base_urls = config.servers.iter().map(|server| format!("http://{server}/v1"));
        Ok(Consul {
            http,
            base_urls: base_urls.collect(),
            ttl_ms: plan.lease_ttl_ms,
            lock_delay_ms: plan.lock_delay_ms,
            behavior: plan.session_behavior.unwrap_or(SessionBehavior::Release),
            read_mode: plan.read_mode,
            granted_ttl_ms: OnceCell::new(),
        })
    }

    fn url(&self, server: usize, path: &str) -> String {
        format!("{}/{path}", self.base_urls[server % self.base_urls.len()])
    }

    /// A key and the index to wait on for a change.
    async fn read_key(
        &self,
        server: usize,
        key: &str,
        query: &str,
    ) -> Result<(Option<KvPair>, u64), CallError> {
        let url = self.url(server, &format!("kv/{key}?{query}"));
        let response = self.http.get(url).send().await.map_err(sent_or_not)?;
        let index = response
            .headers()
            .get("x-consul-index")
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .unwrap_or(0);
        if response.status() == StatusCode::NOT_FOUND {
            return Ok((None, index));
        }
        let pairs: Vec<KvPair> = checked(response).await?.json().await.map_err(sent_or_not)?;
        Ok((pairs.into_iter().next(), index))
    }

    /// Changes a key; only a committed answer says for certain whether it was done or refused.
    async fn put_key(&self, server: usize, key: &str, query: &str) -> Result<bool, CallError> {
        let url = self.url(server, &format!("kv/{key}?{query}"));
        let response = checked(self.http.put(url).send().await.map_err(sent_or_not)?).await?;
        match response.text().await.map_err(sent_or_not)?.trim() {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(CallError::Unknown(format!("unexpected answer {other:?}"))),
        }
    }

    async fn acquire(&self, server: usize, session: &str, key: &str) -> Result<bool, CallError> {
        self.put_key(server, key, &format!("acquire={session}")).await
    }

    /// Waits until the key has no session, as far as the read mode can tell. Returns early when a
    /// query is not answered in its time, as happens to those that wait on a leader which was cut
    /// off.
    async fn wait_until_free(
        &self,
        server: usize,
        key: &str,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let mode = self.query_of_mode();
        let mut query = mode.to_owned();
        let mut seen = 0;
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining <= WAIT_MARGIN {
                return Err(CallError::Refused("not granted in time".into()));
            }
            // The server adds up to a sixteenth to the wait that it is asked for.
            let limit = remaining.min(LONGEST_WAIT);
            let wait = (limit - WAIT_MARGIN.min(limit)) * 16 / 17;
            let Ok(answer) = timeout(limit, self.read_key(server, key, &query)).await else {
                return Ok(());
            };
            let (pair, index) =
                answer.map_err(|error| CallError::Refused(format!("cannot wait: {error}")))?;
            // An index that went back counts in another history than the one waited in.
            if pair.is_none_or(|pair| pair.session.is_none()) || index < seen {
                return Ok(());
            }
            seen = index;
            query = format!("{mode}&index={index}&wait={}ms", wait.as_millis().max(1));
        }
    }

    /// The part of a query that asks for the plan's kind of read.
    fn query_of_mode(&self) -> &'static str {
        match self.read_mode {
            ReadMode::Default => "",
            ReadMode::Stale => "stale",
            _ => "consistent",
        }
    }

    /// Whether the session exists, as the leader knows after it has made sure that it leads.
    async fn session(
        &self,
        server: usize,
        session: &str,
    ) -> Result<Option<SessionInfo>, CallError> {
        let url = self.url(server, &format!("session/info/{session}?consistent"));
        let response = checked(self.http.get(url).send().await.map_err(sent_or_not)?).await?;
        let info: Vec<SessionInfo> = response.json().await.map_err(sent_or_not)?;
        Ok(info.into_iter().next())
    }

    /// Proves that a session has no checks, and returns the TTL that it was granted.
    async fn read_session_back(&self, server: usize, session: &str) -> Result<u64, CallError> {
        let Some(info) = self.session(server, session).await? else {
            return Err(CallError::NotAsked("the new session is not there".into()));
        };
        if [info.node_checks, info.checks].into_iter().flatten().any(|checks| !checks.is_empty()) {
            return Err(CallError::NotAsked("the new session has health checks".into()));
        }
        parse_duration_ms(&info.ttl).ok_or_else(|| {
            CallError::NotAsked(format!("the new session's TTL {:?} is not readable", info.ttl))
        })
    }
}

impl LockRecipe for Consul {
    type LeaseId = String;

    async fn open(&self, server: usize) -> Result<Lease<String>, CallError> {
        // The default would bind the session to the health of the server's node, so that a
        // partition ends it early. `Checks` is the older name of `NodeChecks`.
        let body = json!({
            "Name": "locktest",
            "TTL": format!("{}ms", self.ttl_ms),
            "LockDelay": format!("{}ms", self.lock_delay_ms),
            "Behavior": self.behavior,
            "NodeChecks": [],
            "Checks": [],
        });
        let request = self.http.put(self.url(server, "session/create")).json(&body);
        let response = checked(request.send().await.map_err(sent_or_not)?).await?;
        let created: SessionCreated = response.json().await.map_err(sent_or_not)?;
        let ttl_ms = match self.granted_ttl_ms.get() {
            Some(ttl_ms) => *ttl_ms,
            None => {
                let ttl_ms = self.read_session_back(server, &created.id).await?;
                *self.granted_ttl_ms.get_or_init(|| ttl_ms)
            }
        };
        Ok(Lease { id: created.id, ttl_ms })
    }

    async fn lock(
        &self,
        server: usize,
        session: &String,
        key: &str,
        deadline: Instant,
    ) -> Result<Grant, CallError> {
        let mut waited = Duration::ZERO;
        loop {
            match self.acquire(server, session, key).await {
                // Whoever was refused before has asked and waited, even if nobody hears it now.
                Err(CallError::NotAsked(reason)) if !waited.is_zero() => {
                    return Err(CallError::Refused(format!("cannot ask again: {reason}")));
                }
                Err(error) => return Err(error),
                Ok(true) => {
                    return Ok(Grant {
                        entry: Vec::new(),
                        revision: None,
                        waited,
                        lease_start: None,
                    });
                }
                Ok(false) => {}
            }
            let begin = Instant::now();
            self.wait_until_free(server, key, deadline).await?;
            if begin.elapsed() < RETRY_PAUSE && !waited.is_zero() {
                sleep(RETRY_PAUSE).await;
            }
            waited += begin.elapsed();
        }
    }

    async fn try_lock(
        &self,
        server: usize,
        session: &String,
        key: &str,
    ) -> Result<Grant, CallError> {
        match self.acquire(server, session, key).await? {
            true => Ok(Grant {
                entry: Vec::new(),
                revision: None,
                waited: Duration::ZERO,
                lease_start: None,
            }),
            false => Err(CallError::Refused("the lock is held or delayed".into())),
        }
    }

    async fn renew(
        &self,
        server: usize,
        session: &String,
        _key: &str,
    ) -> Result<Renewal, CallError> {
        let url = self.url(server, &format!("session/renew/{session}"));
        let response = self.http.put(url).send().await.map_err(sent_or_not)?;
        if response.status() != StatusCode::NOT_FOUND {
            return checked(response).await.map(|_| Renewal::Renewed);
        }
        // A leader that was elected just now answers from a state that may lack the newest
        // sessions; only a consistent read proves that the session is gone.
        match self.session(server, session).await? {
            None => Ok(Renewal::Gone),
            Some(_) => Err(CallError::Unknown("404, yet the session exists".into())),
        }
    }

    async fn entry(
        &self,
        server: usize,
        session: &String,
        key: &str,
        _grant: &Grant,
    ) -> Result<Entry, CallError> {
        let begin = Instant::now();
        loop {
            let (pair, _index) = self.read_key(server, key, self.query_of_mode()).await?;
            let ours = pair.filter(|pair| pair.session.as_ref() == Some(session));
            let may_be_old = self.read_mode != ReadMode::Consistent;
            if ours.is_none() && may_be_old {
                if begin.elapsed() >= STALE_READ_PATIENCE {
                    let text = "the entry is not ours, by a read that may be old";
                    return Err(CallError::Unknown(text.into()));
                }
                sleep(STALE_READ_PAUSE).await;
                continue;
            }
            return Ok(Entry {
                ours: ours.is_some(),
                // A key that was deleted starts again with a lock index of one, and a larger create
                // index.
                token: ours.map(|pair| Token { major: pair.create_index, minor: pair.lock_index }),
                at_revision: None,
            });
        }
    }

    async fn unlock(
        &self,
        server: usize,
        session: &String,
        key: &str,
        _grant: &Grant,
    ) -> Result<(), CallError> {
        match self.put_key(server, key, &format!("release={session}")).await? {
            true => Ok(()),
            false => Err(CallError::Refused("the lock is not held by this session".into())),
        }
    }

    async fn revoke(&self, server: usize, session: &String, _key: &str) -> Result<(), CallError> {
        let url = self.url(server, &format!("session/destroy/{session}"));
        let response = self.http.put(url).send().await.map_err(sent_or_not)?;
        checked(response).await.map(drop)
    }
}

/// A request that found nobody to talk to surely did not happen; every other failure is unknown.
fn sent_or_not(error: reqwest::Error) -> CallError {
    use std::error::Error;
    let never_sent = error.is_connect();
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    if never_sent { CallError::NotAsked(text) } else { CallError::Unknown(text) }
}

/// Consul answers a lost leadership with 500 after it may have committed: unknown. It answers a
/// request that it never tried with 4xx.
async fn checked(response: reqwest::Response) -> Result<reqwest::Response, CallError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.text().await.unwrap_or_default();
    let text = format!("{}: {}", status.as_u16(), body.trim());
    if status.is_client_error() {
        return Err(CallError::NotAsked(text));
    }
    Err(CallError::Unknown(text))
}
