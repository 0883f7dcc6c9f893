//! The control node's side of the clients: starts them, takes their events, serves the protected
//! resource, replaces those that are to die, and stops them. It knows their processes, and which of
//! them hold a lock for a while, for those who aim at them.

mod holders;
mod processes;
#[cfg(test)]
mod tests;

use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use locktest_history::{
    ClientExit, ClientId, Detail, Event, ExitCause, FaultKind, Function, Outcome, Phase, Plan,
    PlannedFault, Record, Workload,
};
use serde::Serialize;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::clock::RunClock;
use crate::protocol::{ClientConfig, FromClient, ToClient};
use crate::resource::ProtectedResources;

pub use holders::Holder;
use holders::Holders;
pub use processes::ClientProcess;
use processes::Processes;

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

/// What a client's process is to be: the command, without its pipes, and what it is told first.
pub type Launch = (Command, ClientConfig);

/// The running clients of one run.
pub struct Fleet {
    shared: Arc<Shared>,
    orders: watch::Sender<Order>,
    places: Vec<JoinHandle<Result<(), StartError>>>,
}

/// What every client is to do. Without anybody to give orders clients end, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Work,
    /// Release what is held and end.
    Stop,
    /// There is no more time for that.
    Die,
}

impl Fleet {
    /// Starts one process for each client of the plan, by the command and the configuration that
    /// `launch` makes for it. What they say goes to `arrivals`.
    ///
    /// Where clients are to die, in the workload `crash` or by a fault of the plan, one that was
    /// killed is replaced at once. The replacements of client i are the clients i + n, i + 2n and so
    /// on, for a plan of n clients.
    pub fn start(
        plan: &Plan,
        launch: impl Fn(ClientId) -> io::Result<Launch> + Send + Sync + 'static,
        clock: RunClock,
        arrivals: &mpsc::Sender<Arrival>,
    ) -> Result<Fleet, StartError> {
        let (orders, heard) = watch::channel(Order::Work);
        let places = u32::try_from(plan.client_seeds.len()).unwrap_or(u32::MAX);
        let shared = Arc::new(Shared {
            launch: Box::new(launch),
            clock,
            resources: Mutex::new(ProtectedResources::default()),
            keeps_resources: !plan.workload.keeps_values_in_store(),
            holders: Holders::default(),
            processes: Processes::new(places),
            places,
            replaces: clients_die(plan),
        });
        let mut fleet = Fleet { shared: shared.clone(), orders, places: Vec::new() };
        for client in (0..places).map(ClientId) {
            let process = shared.spawn(client, &heard)?;
            let place =
                Place { shared: shared.clone(), arrivals: arrivals.clone(), orders: heard.clone() };
            fleet.places.push(tokio::spawn(place.run(process)));
        }
        Ok(fleet)
    }

    /// The clients that hold a lock and plan to keep it for a while; one that holds it only shortly
    /// never comes here. Whoever reads them leaves those out whose time is over.
    pub fn holders(&self) -> watch::Receiver<Vec<Holder>> {
        self.shared.holders.watch()
    }

    /// The process of each place, in their order, without places where none runs.
    pub fn processes(&self) -> Vec<ClientProcess> {
        self.shared.processes.living()
    }

    /// Whether some client still runs.
    pub fn is_running(&self) -> bool {
        self.places.iter().any(|place| !place.is_finished())
    }

    /// Asks every client to release what it holds and to end; kills those that do not in time. The
    /// error is a client that was to replace another one and could not be started.
    pub async fn stop(self) -> Result<(), StartError> {
        self.stop_within(STOP_LIMIT).await
    }

    async fn stop_within(self, limit: Duration) -> Result<(), StartError> {
        let Fleet { shared: _, orders, mut places } = self;
        let mut result = Ok(());
        for (order, limit) in [(Order::Stop, limit), (Order::Die, DEATH_LIMIT)] {
            orders.send_replace(order);
            let deadline = Instant::now() + limit;
            let mut alive = Vec::new();
            for mut place in places {
                match timeout_at(deadline, &mut place).await {
                    // One that panicked has no more to say.
                    Ok(ended) => result = result.and(ended.unwrap_or(Ok(()))),
                    Err(_) => alive.push(place),
                }
            }
            places = alive;
        }
        for place in places {
            // What cannot be seen dead has no exit on record, since it may still do something.
            place.abort();
            let _ = place.await;
        }
        result
    }
}

/// What all places share.
struct Shared {
    launch: Box<dyn Fn(ClientId) -> io::Result<Launch> + Send + Sync>,
    clock: RunClock,
    resources: Mutex<ProtectedResources>,
    /// Whether the protected resource is here, and not in the store under test.
    keeps_resources: bool,
    holders: Holders,
    processes: Processes,
    places: u32,
    /// Whether a client that was killed is replaced.
    replaces: bool,
}

/// Whether a client's death is a part of the plan.
fn clients_die(plan: &Plan) -> bool {
    let kind = |fault: &PlannedFault| match fault {
        PlannedFault::Drawn(drawn) => drawn.kind,
        PlannedFault::Fixed(fixed) => fixed.fault.kind,
    };
    plan.workload == Workload::Crash
        || plan.schedule.iter().any(|fault| kind(fault) == FaultKind::ClientKill)
}

/// A client's process that has been started.
struct Process {
    client: ClientId,
    child: Child,
    stdout: ChildStdout,
    /// Words for the client's standard input, beside orders.
    words: mpsc::UnboundedSender<ToClient>,
}

impl Shared {
    fn spawn(
        &self,
        client: ClientId,
        orders: &watch::Receiver<Order>,
    ) -> Result<Process, StartError> {
        let start = || {
            let (mut command, config) = (self.launch)(client)?;
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                // Ctrl-C in a terminal goes to the whole foreground group; only the control node
                // may act on it.
                .process_group(0)
                .kill_on_drop(true)
                .spawn()?;
            let missing = || io::Error::other("it has no pipe");
            let pid = child.id().ok_or_else(|| io::Error::other("it has no process id"))?;
            self.processes.begins(ClientProcess::of(client, pid)?);
            let stdin = child.stdin.take().ok_or_else(missing)?;
            let stdout = child.stdout.take().ok_or_else(missing)?;
            let (words, heard) = mpsc::unbounded_channel();
            tokio::spawn(speak(stdin, config, heard, orders.clone()));
            Ok(Process { client, child, stdout, words })
        };
        start().map_err(|error| StartError { client, error })
    }
}

/// Writes the configuration and then every word to a client's standard input. It is closed with the
/// fleet, which tells the client that the control node is gone.
async fn speak(
    mut stdin: ChildStdin,
    config: ClientConfig,
    mut words: mpsc::UnboundedReceiver<ToClient>,
    mut orders: watch::Receiver<Order>,
) -> io::Result<()> {
    say(&mut stdin, &config).await?;
    loop {
        tokio::select! {
            word = words.recv() => match word {
                Some(word) => say(&mut stdin, &word).await?,
                None => return Ok(()),
            },
            told = told(&mut orders, Order::Stop) => match told {
                true => break,
                false => return Ok(()),
            },
        }
    }
    say(&mut stdin, &ToClient::Stop).await?;
    while let Some(word) = words.recv().await {
        say(&mut stdin, &word).await?;
    }
    Ok(())
}

async fn say(stdin: &mut ChildStdin, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    stdin.write_all(&line).await
}

/// Where one client runs, and those that replace it.
struct Place {
    shared: Arc<Shared>,
    arrivals: mpsc::Sender<Arrival>,
    orders: watch::Receiver<Order>,
}

impl Place {
    async fn run(mut self, mut process: Process) -> Result<(), StartError> {
        loop {
            let client = process.client;
            let cause = self.serve(process).await;
            self.shared.processes.ended(client);
            // What starting another process takes is no part of this one's life.
            let time_ns = self.shared.clock.now_ns();
            let replacement = self.replace(client, &cause).await;
            let exit = ClientExit { time_ns, client, cause };
            let _ = self.arrivals.send(Record::ClientExit(exit).into()).await;
            match replacement? {
                Some(replacement) => process = replacement,
                None => return Ok(()),
            }
        }
    }

    /// Serves a client to its end.
    async fn serve(&mut self, process: Process) -> ExitCause {
        let Process { client, mut child, stdout, words } = process;
        let mut lines = BufReader::with_capacity(LONGEST_LINE, stdout).lines();
        let shared = self.shared.clone();
        let mut grip = shared.holders.of(client);
        let mut is_killed = false;
        loop {
            let line = tokio::select! {
                line = lines.next_line() => line,
                () = told_to_die(&mut self.orders), if !is_killed => {
                    // What it has said is still read. An error means that it has ended already.
                    let _ = child.start_kill();
                    is_killed = true;
                    continue;
                }
            };
            let Ok(Some(line)) = line else { break };
            let (arrival, answer) = match FromClient::parse(&line) {
                Some(FromClient::Event(event)) => {
                    grip.note(&event);
                    let answer = self.shared.access(&event, &words);
                    (Record::Event(event).into(), answer)
                }
                Some(FromClient::Watermark { time_ns }) => {
                    (Arrival::Watermark { client, time_ns }, None)
                }
                Some(FromClient::Holding(holding)) => {
                    grip.keep(holding);
                    continue;
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
            () = told_to_die(&mut self.orders) => {
                let _ = child.start_kill();
                child.wait().await
            }
        };
        status.map_or(ExitCause::Failed(-1), exit_cause)
    }

    /// Starts the client that takes the place of one that was killed, unless the run is stopping.
    async fn replace(
        &self,
        client: ClientId,
        cause: &ExitCause,
    ) -> Result<Option<Process>, StartError> {
        let was_killed = matches!(cause, ExitCause::Killed(_));
        if !(self.shared.replaces && was_killed && *self.orders.borrow() == Order::Work) {
            return Ok(None);
        }
        let client = ClientId(client.0.saturating_add(self.shared.places));
        let time_ns = self.shared.clock.now_ns();
        let process = self.shared.spawn(client, &self.orders)?;
        // Before the exit of the one before it: at no time is it unknown that there is another client,
        // of which nothing is known yet.
        let _ = self.arrivals.send(Arrival::Watermark { client, time_ns }).await;
        Ok(Some(process))
    }
}

/// Waits for an order, or for one beyond it. `false` if nobody is left to give it.
async fn told(orders: &mut watch::Receiver<Order>, order: Order) -> bool {
    orders.wait_for(|now| *now >= order).await.is_ok()
}

async fn told_to_die(orders: &mut watch::Receiver<Order>) {
    if !told(orders, Order::Die).await {
        std::future::pending().await
    }
}

impl Shared {
    /// Serves an access to the protected resource; its completion is stamped here, by the owner of
    /// the resource, within the lock that orders the accesses.
    fn access(&self, event: &Event, words: &mpsc::UnboundedSender<ToClient>) -> Option<Event> {
        let Detail::Access { resource, token, value } = event.detail else { return None };
        if !self.keeps_resources
            || event.phase != Phase::Invoke
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
        // A client that has ended hears nothing and need not.
        let _ = words.send(ToClient::Access {
            op: event.op,
            accepted: answer.accepted,
            value: answer.value,
        });
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
