//! Consul: a session with a TTL and no checks, `?acquire` on a key, a blocking query to wait.

use std::cell::OnceCell;
use std::time::Duration;

use locktest_history::Token;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::{CallError, Entry, Grant, Lease, LockRecipe, Renewal};

/// A pause before the next try when the key has no session and was refused all the same, as it is
/// during a lock-delay.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The longest that one blocking query may take; a change answers it at once.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What a blocking query may take beyond the wait that it asks for.
const WAIT_MARGIN: Duration = Duration::from_millis(500);

pub(crate) struct ConsulSession {
    http: Client,
    base_urls: Vec<String>,
    ttl_ms: u64,
    lock_delay_ms: u64,
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
    lock_index: u64,
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

impl ConsulSession {
    pub(crate) fn new(
        servers: &[String],
        ttl_ms: u64,
        lock_delay_ms: u64,
    ) -> Result<ConsulSession, CallError> {
        let http = Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(1))
            .build()
            .map_err(|error| CallError::NotAsked(error.to_string()))?;
        let base_urls = servers.iter().map(|server| format!("http://{server}/v1")).collect();
        Ok(ConsulSession {
            http,
            base_urls,
            ttl_ms,
            lock_delay_ms,
            granted_ttl_ms: OnceCell::new(),
        })
    }

    fn url(&self, server: usize, path: &str) -> String {
        format!("{}/{path}", self.base_urls[server % self.base_urls.len()])
    }

    /// The key's entry and the index to wait on for a change.
    async fn read(
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

    /// An acquire is refused for certain only by the `false` of a committed answer.
    async fn acquire(&self, server: usize, session: &str, key: &str) -> Result<bool, CallError> {
        let url = self.url(server, &format!("kv/{key}?acquire={session}"));
        let response = checked(self.http.put(url).send().await.map_err(sent_or_not)?).await?;
        match response.text().await.map_err(sent_or_not)?.trim() {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(CallError::Unknown(format!("unexpected answer {other:?}"))),
        }
    }

    /// Waits until the key has no session. Returns early when a query is not answered in its time,
    /// as happens to those that wait on a leader which was cut off.
    async fn wait_until_free(
        &self,
        server: usize,
        key: &str,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let mut query = "consistent".to_owned();
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining <= WAIT_MARGIN {
                return Err(CallError::Refused("not granted in time".into()));
            }
            // The server adds up to a sixteenth to the wait that it is asked for.
            let limit = remaining.min(LONGEST_WAIT);
            let wait = (limit - WAIT_MARGIN.min(limit)) * 16 / 17;
            let Ok(answer) = timeout(limit, self.read(server, key, &query)).await else {
                return Ok(());
            };
            let (pair, index) =
                answer.map_err(|error| CallError::Refused(format!("cannot wait: {error}")))?;
            if pair.is_none_or(|pair| pair.session.is_none()) {
                return Ok(());
            }
            query = format!("consistent&index={index}&wait={}ms", wait.as_millis().max(1));
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

impl LockRecipe for ConsulSession {
    type LeaseId = String;

    async fn open(&self, server: usize) -> Result<Lease<String>, CallError> {
        // The default would bind the session to the health of the server's node, so that a
        // partition ends it early. `Checks` is the older name of `NodeChecks`.
        let body = json!({
            "Name": "locktest",
            "TTL": format!("{}ms", self.ttl_ms),
            "LockDelay": format!("{}ms", self.lock_delay_ms),
            "Behavior": "release",
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
        let (pair, _index) = self.read(server, key, "consistent").await?;
        let ours = pair.filter(|pair| pair.session.as_ref() == Some(session));
        Ok(Entry {
            ours: ours.is_some(),
            token: ours.map(|pair| Token { major: pair.create_index, minor: pair.lock_index }),
            at_revision: None,
        })
    }

    async fn unlock(
        &self,
        server: usize,
        session: &String,
        key: &str,
        _grant: &Grant,
    ) -> Result<(), CallError> {
        let url = self.url(server, &format!("kv/{key}?release={session}"));
        let response = self.http.put(url).send().await.map_err(sent_or_not)?;
        match checked(response).await?.text().await.map_err(sent_or_not)?.trim() {
            "true" => Ok(()),
            _ => Err(CallError::Refused("the lock is not held by this session".into())),
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

/// Reads a duration as Go prints it, such as `2s`, `1.5s`, `1m0s` or `800ms`.
fn parse_duration_ms(text: &str) -> Option<u64> {
    let mut total_ms = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total_ms += number
            * match &rest[..letters] {
                "ms" => 1.0,
                "s" => 1000.0,
                "m" => 60_000.0,
                "h" => 3_600_000.0,
                _ => return None,
            };
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(total_ms as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_prints_them() {
        assert_eq!(parse_duration_ms("2s"), Some(2000));
        assert_eq!(parse_duration_ms("2000ms"), Some(2000));
        assert_eq!(parse_duration_ms("1m0s"), Some(60_000));
        assert_eq!(parse_duration_ms("1.5s"), Some(1500));
        for bad in ["", "s", "2", "2 s", "2w"] {
            assert_eq!(parse_duration_ms(bad), None, "{bad:?}");
        }
    }
}
