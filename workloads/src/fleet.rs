//! The control node's side of the clients: starts them, takes their events, serves the protected
//! resource, and stops them.

use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use locktest_history::{
    ClientExit, ClientId, Detail, Event, ExitCause, Function, Outcome, Phase, Record,
};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::clock::RunClock;
use crate::protocol::{ClientConfig, FromClient, ToClient};
use crate::resource::ProtectedResources;

/// A client that was asked to stop may take this long to release what it holds.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A client that was killed may take this long to be gone.
const DEATH_LIMIT: Duration = Duration::from_secs(5);

/// A line longer than this is no event.
const LONGEST_LINE: usize = 64 * 1024;

/// Why a client could not be started.
#[derive(Debug, Error)]
#[error("cannot start client {client}: {error}")]
pub struct StartError {
    /// Which.
    pub client: ClientId,
    /// What the operating system says.
    pub error: io::Error,
}

/// What arrives at the control node. From one client it arrives in time order, but for the
/// completions of accesses to the protected resource, which the control node stamps itself.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// Something for the history.
    Record(Record),
    /// Every event that the client stamped before this instant has arrived.
    Watermark {
        /// Who.
        client: ClientId,
        /// In nanoseconds of the run's clock.
        time_ns: u64,
    },
}

impl From<Record> for Arrival {
    fn from(record: Record) -> Arrival {
        Arrival::Record(record)
    }
}

/// The running clients of one run.
pub struct Fleet {
    clients: Vec<Running>,
}

struct Running {
    /// Words for the client's standard input; closing it tells the client that we are gone.
    words: mpsc::UnboundedSender<ToClient>,
    kill: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Fleet {
    /// Starts one process for each command; its configuration goes to its standard input. What
    /// they say goes to `arrivals`.
    pub fn start(
        clients: impl IntoIterator<Item = (Command, ClientConfig)>,
        clock: RunClock,
        arrivals: &mpsc::Sender<Arrival>,
    ) -> Result<Fleet, StartError> {
        let resources = Arc::new(Mutex::new(ProtectedResources::default()));
        let mut fleet = Fleet { clients: Vec::new() };
        for (mut command, config) in clients {
            let client = config.client;
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                // Ctrl-C in a terminal goes to the whole foreground group; only the control node
                // may act on it.
                .process_group(0)
                .kill_on_drop(true)
                .spawn()
                .map_err(|error| StartError { client, error })?;
            let missing = || StartError { client, error: io::Error::other("it has no pipe") };
            let stdin = child.stdin.take().ok_or_else(missing)?;
            let stdout = child.stdout.take().ok_or_else(missing)?;
            let (words, heard) = mpsc::unbounded_channel();
            let serving = Serving {
                client,
                clock,
                resources: resources.clone(),
                arrivals: arrivals.clone(),
                words: words.downgrade(),
                kill: Arc::new(Notify::new()),
            };
            let kill = serving.kill.clone();
            tokio::spawn(speak(stdin, config, heard));
            let task = tokio::spawn(serving.run(child, stdout));
            fleet.clients.push(Running { words, kill, task });
        }
        Ok(fleet)
    }

    /// Whether some client still runs.
    pub fn is_running(&self) -> bool {
        self.clients.iter().any(|client| !client.task.is_finished())
    }

    /// Asks every client to release what it holds and to end; kills those that do not in time.
    pub async fn stop(self) {
        self.stop_within(STOP_LIMIT).await;
    }

    async fn stop_within(self, limit: Duration) {
        for client in &self.clients {
            // A client that has ended hears nothing and need not.
            let _ = client.words.send(ToClient::Stop);
        }
        let deadline = Instant::now() + limit;
        let mut alive = Vec::new();
        for client in self.clients {
            let Running { words, kill, mut task } = client;
            if timeout_at(deadline, &mut task).await.is_err() {
                kill.notify_one();
                alive.push((words, task));
            }
        }
        let deadline = Instant::now() + DEATH_LIMIT;
        for (_words, mut task) in alive {
            if timeout_at(deadline, &mut task).await.is_err() {
                // What cannot be seen dead has no exit on record, since it may still do something.
                task.abort();
                let _ = task.await;
            }
        }
    }
}

/// Writes the configuration and then every word to a client's standard input.
async fn speak(
    mut stdin: ChildStdin,
    config: ClientConfig,
    mut heard: mpsc::UnboundedReceiver<ToClient>,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(&config)?;
    line.push(b'\n');
    stdin.write_all(&line).await?;
    while let Some(word) = heard.recv().await {
        let mut line = serde_json::to_vec(&word)?;
        line.push(b'\n');
        stdin.write_all(&line).await?;
    }
    Ok(())
}

struct Serving {
    client: ClientId,
    clock: RunClock,
    resources: Arc<Mutex<ProtectedResources>>,
    arrivals: mpsc::Sender<Arrival>,
    words: mpsc::WeakUnboundedSender<ToClient>,
    /// Asks for the end of a client that does not end by itself.
    kill: Arc<Notify>,
}

impl Serving {
    async fn run(self, mut child: Child, stdout: ChildStdout) {
        let mut lines = BufReader::with_capacity(LONGEST_LINE, stdout).lines();
        loop {
            let line = tokio::select! {
                line = lines.next_line() => line,
                () = self.kill.notified() => {
                    // What it has said is still read. An error means that it has ended already.
                    let _ = child.start_kill();
                    continue;
                }
            };
            let Ok(Some(line)) = line else { break };
            let (arrival, answer) = match FromClient::parse(&line) {
                Some(FromClient::Event(event)) => {
                    let answer = self.serve(&event);
                    (Record::Event(event).into(), answer)
                }
                Some(FromClient::Watermark { time_ns }) => {
                    (Arrival::Watermark { client: self.client, time_ns }, None)
                }
                None => continue,
            };
            if self.arrivals.send(arrival).await.is_err() {
                break;
            }
            if let Some(completion) = answer
                && self.arrivals.send(Record::Event(completion).into()).await.is_err()
            {
                break;
            }
        }
        if self.arrivals.is_closed() {
            // Nothing that it does is recorded any more. An error means that it has ended already.
            let _ = child.start_kill();
        }
        let status = tokio::select! {
            status = child.wait() => status,
            () = self.kill.notified() => {
                let _ = child.start_kill();
                child.wait().await
            }
        };
        let cause = match status {
            Ok(status) => exit_cause(status),
            Err(_) => ExitCause::Failed(-1),
        };
        let exit = ClientExit { time_ns: self.clock.now_ns(), client: self.client, cause };
        let _ = self.arrivals.send(Record::ClientExit(exit).into()).await;
    }

    /// Serves an access to the protected resource; its completion is stamped here, by the owner of
    /// the resource, within the lock that orders the accesses.
    fn serve(&self, event: &Event) -> Option<Event> {
        let Detail::Access { resource, token, value } = event.detail else { return None };
        if event.phase != Phase::Invoke
            || !matches!(event.function, Function::Read | Function::Write)
        {
            return None;
        }
        let (answer, time_ns) = {
            let mut resources =
                self.resources.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let answer = resources.access(event.key, resource, event.function, token, value);
            (answer, self.clock.now_ns())
        };
        if let Some(words) = self.words.upgrade() {
            let _ = words.send(ToClient::Access {
                op: event.op,
                accepted: answer.accepted,
                value: answer.value,
            });
        }
        let outcome = if answer.accepted { Outcome::Ok } else { Outcome::Fail };
        Some(Event {
            time_ns,
            phase: outcome.into(),
            detail: Detail::Access { resource, token, value: answer.value },
            ..event.clone()
        })
    }
}

fn exit_cause(status: std::process::ExitStatus) -> ExitCause {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => ExitCause::Finished,
        (Some(code), _) => ExitCause::Failed(code),
        (None, Some(signal)) => ExitCause::Killed(signal),
        (None, None) => ExitCause::Failed(-1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;

    /// What is recorded of a shell that speaks as a client does.
    async fn recorded(script: &str, limit: Duration) -> Vec<Record> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let (arrivals, mut arrived) = mpsc::channel(16);
        let clock = RunClock::start();
        let fleet = Fleet::start([(command, config())], clock, &arrivals).expect("a shell");
        drop(arrivals);
        fleet.stop_within(limit).await;
        let mut records = Vec::new();
        while let Some(arrival) = arrived.recv().await {
            match arrival {
                Arrival::Record(record) => records.push(record),
                Arrival::Watermark { .. } => {}
            }
        }
        records
    }

    fn config() -> ClientConfig {
        ClientConfig {
            client: ClientId(0),
            origin_monotonic_ns: 0,
            servers: Vec::new(),
            sentinels: Vec::new(),
            plan: plan(),
        }
    }

    fn exit(record: &Record) -> Option<ExitCause> {
        match record {
            Record::ClientExit(exit) => Some(exit.cause.clone()),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_stop_in_time_is_killed_and_its_exit_recorded() {
        // The second has closed its standard output, so that nothing but its death can be seen.
        for script in ["exec sleep 1000", "exec sleep 1000 >&-"] {
            let records = recorded(script, Duration::from_millis(100)).await;
            let exits: Vec<_> = records.iter().map(exit).collect();
            assert_eq!(exits, [Some(ExitCause::Killed(9))], "{script}");
        }
    }

    #[tokio::test]
    async fn a_client_that_stops_when_asked_is_not_killed() {
        let script = "read config; read stop; test \"$stop\" = '\"stop\"'";
        let records = recorded(script, Duration::from_secs(600)).await;
        assert_eq!(records.iter().map(exit).collect::<Vec<_>>(), [Some(ExitCause::Finished)]);
    }
}
