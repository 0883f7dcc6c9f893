//! [`Remote`] by SSH: one multiplexed connection a node, made again when it breaks. The control
//! node's own host needs none.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openssh::{KnownHosts, OwningCommand, Session, SessionBuilder, Stdio};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::audit::AuditLog;
use crate::local;
use crate::remote::{CONTROL, GRACE, Remote, RemoteCommand, RemoteError, RemoteOutput, SshTarget};
use crate::stream::LineStream;

/// sshd refuses the eleventh session of a connection by default; eight leave room for a person.
const SESSIONS_PER_NODE: usize = 8;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Three missed replies end a connection, so a stalled node is noticed after three seconds.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// The nodes of a cluster, reached by SSH, and the control node's own host.
pub struct SshCluster {
    links: HashMap<String, Link>,
    control_dir: PathBuf,
    audit: AuditLog,
}

struct Link {
    target: SshTarget,
    permits: Semaphore,
    session: Mutex<Option<Arc<Session>>>,
}

impl SshCluster {
    /// Nodes are connected to when the first command is run on them. The sockets of the connections
    /// live in `control_dir`, which must exist and be private.
    pub fn new(targets: &[SshTarget], control_dir: &Path, audit: AuditLog) -> SshCluster {
        let links = targets
            .iter()
            .map(|target| {
                let link = Link {
                    target: target.clone(),
                    permits: Semaphore::new(SESSIONS_PER_NODE),
                    session: Mutex::new(None),
                };
                (target.name.clone(), link)
            })
            .collect();
        SshCluster { links, control_dir: control_dir.to_owned(), audit }
    }

    /// Ends every connection.
    pub async fn close(&self) {
        for link in self.links.values() {
            let session = link.session.lock().await.take();
            if let Some(session) = session.and_then(Arc::into_inner) {
                // A connection that is already gone is as closed as it can be.
                let _ = timeout(GRACE, session.close()).await;
            }
        }
    }

    /// Starts `command` on a server node and hands out what it prints, line by line. The caller is
    /// the one who tries again.
    pub async fn stream(
        &self,
        node: &str,
        command: &RemoteCommand,
    ) -> Result<LineStream<'_>, RemoteError> {
        let (link, permit) = self.admit(node, command).await?;
        let entry = self.audit.begin_stream(node, command);
        let session = match self.connect(link, command).await {
            Ok(session) => session,
            Err(error) => return Err(entry.fail(error)),
        };
        let mut remote = on_node(session.clone(), command);
        remote.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        match remote.spawn().await {
            Ok(child) => Ok(LineStream::new(child, permit, entry)),
            Err(error) => {
                self.forget(link, &session).await;
                Err(entry.fail(lost(link, command, with_causes(&error))))
            }
        }
    }

    /// The link to a node, and one of its sessions.
    async fn admit(
        &self,
        node: &str,
        command: &RemoteCommand,
    ) -> Result<(&Link, SemaphorePermit<'_>), RemoteError> {
        let unreachable = |reason: &str| RemoteError::Unreachable {
            node: node.to_owned(),
            purpose: command.purpose.clone(),
            reason: reason.to_owned(),
        };
        let link =
            self.links.get(node).ok_or_else(|| unreachable("the cluster has no such node"))?;
        let permit =
            link.permits.acquire().await.map_err(|_| unreachable("the cluster was closed"))?;
        Ok((link, permit))
    }

    async fn connect(
        &self,
        link: &Link,
        command: &RemoteCommand,
    ) -> Result<Arc<Session>, RemoteError> {
        self.session(link).await.map_err(|reason| RemoteError::Unreachable {
            node: link.target.name.clone(),
            purpose: command.purpose.clone(),
            reason,
        })
    }

    async fn session(&self, link: &Link) -> Result<Arc<Session>, String> {
        let mut slot = link.session.lock().await;
        if let Some(session) = &*slot {
            return Ok(session.clone());
        }
        let mut builder = SessionBuilder::default();
        builder
            .known_hosts_check(KnownHosts::Strict)
            .connect_timeout(CONNECT_TIMEOUT)
            .server_alive_interval(ALIVE_INTERVAL)
            .control_directory(&self.control_dir)
            .user(link.target.user.clone())
            .port(link.target.port);
        if let Some(key) = &link.target.identity_file {
            builder.keyfile(key);
        }
        if let Some(known_hosts) = &link.target.known_hosts_file {
            builder.user_known_hosts_file(known_hosts);
        }
        let session = Arc::new(
            builder.connect_mux(&link.target.host).await.map_err(|error| with_causes(&error))?,
        );
        *slot = Some(session.clone());
        Ok(session)
    }

    /// Forgets a broken connection, unless somebody has replaced it already.
    async fn forget(&self, link: &Link, broken: &Arc<Session>) {
        let mut slot = link.session.lock().await;
        if slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, broken)) {
            *slot = None;
        }
    }

    async fn attempt(
        &self,
        link: &Link,
        command: &RemoteCommand,
    ) -> Result<RemoteOutput, RemoteError> {
        let session = self.connect(link, command).await?;
        let result = timeout(command.timeout + GRACE, execute(session.clone(), command)).await;
        let reason = match result {
            Ok(Ok(output)) => return Ok(output),
            Ok(Err(error)) => with_causes(&error),
            Err(_) => format!("no answer within {:?}", command.timeout + GRACE),
        };
        self.forget(link, &session).await;
        Err(lost(link, command, reason))
    }
}

impl Remote for SshCluster {
    async fn run(&self, node: &str, command: &RemoteCommand) -> Result<RemoteOutput, RemoteError> {
        if node == CONTROL {
            let entry = self.audit.begin(node, command);
            let result = local::run(command).await;
            self.audit.end(entry, &result);
            return result;
        }
        let (link, _permit) = self.admit(node, command).await?;
        let entry = self.audit.begin(node, command);
        let mut result = self.attempt(link, command).await;
        // A connection that broke while idle fails the first command that uses it. Commands are
        // idempotent, so a second try over a fresh connection is safe.
        if matches!(result, Err(RemoteError::Lost { .. })) {
            result = self.attempt(link, command).await;
        }
        self.audit.end(entry, &result);
        result
    }
}

fn lost(link: &Link, command: &RemoteCommand, reason: String) -> RemoteError {
    RemoteError::Lost { node: link.target.name.clone(), purpose: command.purpose.clone(), reason }
}

/// What the node is to run, without its streams.
fn on_node(session: Arc<Session>, command: &RemoteCommand) -> OwningCommand<Arc<Session>> {
    // Dropping what was started does not stop the remote process; the node's own `timeout` does. When
    // a signal ends it or the script, the outer shell makes a status of that: no status at all means
    // that the connection broke. The `exit` keeps that shell from becoming `timeout` itself.
    let seconds = format!("{:.3}", command.timeout.as_secs_f64());
    let outer = "timeout -k 1 \"$0\" sh -c \"$1\"; exit $?";
    let mut remote = session.arc_command("sh");
    remote.args(["-c", outer, &seconds, &command.script]);
    remote
}

async fn execute(
    session: Arc<Session>,
    command: &RemoteCommand,
) -> Result<RemoteOutput, openssh::Error> {
    let mut child = on_node(session, command)
        .stdin(if command.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .await?;
    let stdin = child.stdin().take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read its input ends the pipe; its status tells the rest.
            let _ = stdin.write_all(&command.stdin).await;
        }
    };
    let (stdout, stderr) = (child.stdout().take(), child.stderr().take());
    let ((), stdout, stderr) = tokio::join!(feed, local::read_all(stdout), local::read_all(stderr));
    let stdout = stdout.map_err(openssh::Error::ChildIo)?;
    let stderr = stderr.map_err(openssh::Error::ChildIo)?;
    let status = match child.wait().await {
        Ok(status) => status.code().unwrap_or(255),
        // What openssh makes of a status of 127, and of nothing else.
        Err(openssh::Error::Remote(_)) => 127,
        Err(error) => return Err(error),
    };
    Ok(RemoteOutput { status, stdout, stderr })
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
