//! One run from its cluster to the last record of its history.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use locktest_cluster::{
    AuditLog, Cluster, Deployment, Installation, Member, NodeLayout, SshCluster, SshTarget, upload,
};
use locktest_history::{ClientId, Milestone, NodeId, Record, Run, RunDir};
use locktest_lab::{Lab, LabDirs, LabSpec, NODE_BASE, Subnet};
use locktest_nemesis::{ClientEndpoint, Endpoint, HealedRun, HostUndone, Nemesis, NemesisSetting};
use locktest_workloads::ClientConfig;
use locktest_workloads::clock::RunClock;
use locktest_workloads::fleet::Fleet;
use locktest_workloads::sim::{SimBug, SimServer};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::faults::{Injection, Progress, RECOVERY_LIMIT, fault_timers};
use super::live::LiveLine;
use super::logs;
use super::prober::Prober;
use super::recording::Recording;
use super::sampler::Sampler;
use super::servers::Program;
use super::stop::Stop;
use super::target::Target;
use super::watcher::{Orders, Watcher};
use crate::commands::{heal_open, lab_failure, ssh_target};
use crate::exit::{Exit, Failure};
use crate::terminal::Terminal;

/// How long a cluster may take to answer its first write.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// How often the clients are looked after.
const CLIENT_CHECK: Duration = Duration::from_secs(1);

/// How a session ended.
#[derive(Default)]
pub struct Ended {
    /// Whether a signal cut it short.
    pub interrupted: bool,
    /// What stands in the way of saying that no fault is left.
    pub fault_left: Option<String>,
    /// What went wrong. What was recorded until then is judged all the same.
    pub problem: Option<Failure>,
    /// Whether the servers' logs are in the run directory.
    pub logs_are_kept: bool,
}

/// One run, with everything that outlives its cluster.
pub struct Session {
    pub run: Run,
    pub clock: RunClock,
    pub run_dir: RunDir,
    pub dirs: LabDirs,
    pub stop: Stop,
    pub terminal: Terminal,
    /// The addresses of a lab of the run's own.
    pub subnet: Option<Subnet>,
    /// Whether the lab is the run's own, to be raised and removed.
    pub own_lab: bool,
    pub sim_bug: Option<SimBug>,
    /// Whether the run is to end at its first violation.
    pub stop_on_violation: bool,
    /// Whether an overrun of a lease counts as one.
    pub fail_on_overrun: bool,
}

/// The nemesis, and the cluster that it works on, if there is one.
type Injector<'a> = (&'a Nemesis<SshCluster>, Option<&'a Arc<Cluster>>);

/// The command that starts the client of a place.
type ClientCommand<'a> = &'a (dyn Fn(usize) -> Result<Command> + Sync);

/// A lab with the cluster that is to run in it.
struct Assembled {
    lab: Lab,
    ssh: Arc<SshCluster>,
    cluster: Arc<Cluster>,
    servers: Vec<Endpoint>,
}

impl Session {
    /// Runs against real servers. However the run ends, its servers are stopped and a lab of its
    /// own is removed.
    pub async fn run_on_lab(self, program: Program) -> Result<Ended, Failure> {
        let lab = self.open_lab().await?;
        let _claim = lab.claim().await.map_err(lab_failure)?;
        let assembled = self.assemble(lab, program).await.map_err(Failure::set_up)?;
        let mut ended = Ended::default();
        if let Err(failure) = self.run_on(&assembled, &mut ended).await {
            ended.problem = Some(failure);
        }
        if !ended.logs_are_kept {
            logs::keep(&assembled.cluster, &self.run_dir, self.clock, &self.terminal).await;
        }
        let removed = self.dismantle(assembled).await;
        if self.own_lab && removed.is_ok() {
            // A fault is gone with its lab.
            ended.fault_left = None;
        }
        if let Err(error) = removed {
            ended.problem.get_or_insert(Failure::set_up(error));
        }
        Ok(ended)
    }

    async fn run_on(&self, assembled: &Assembled, ended: &mut Ended) -> Result<(), Failure> {
        let cluster = &assembled.cluster;
        if !self.own_lab {
            heal_earlier_runs().await?;
            let reset = cluster.reset().await.context("cannot clear the lab of an earlier run");
            reset.map_err(Failure::set_up)?;
        }
        cluster.start().await.map_err(Failure::set_up)?;
        tokio::select! {
            ready = cluster.wait_ready(READY_LIMIT) => ready.map_err(Failure::set_up)?,
            () = self.stop.requested() => {
                return Err(Failure::set_up(anyhow!("interrupted before the cluster was ready")));
            }
        }
        let lab = &assembled.lab;
        let clients = (lab.client_addresses().into_iter().enumerate())
            .take(self.run.plan.client_seeds.len())
            .map(|(client, address)| ClientEndpoint {
                address,
                enter: lab.client_entry(client).into(),
            })
            .collect();
        let nemesis = self.nemesis(assembled.servers.clone(), clients, assembled.ssh.clone())?;
        let kinds = self.run.plan.fault_kinds();
        let able = nemesis.preflight(&kinds).await.map_err(|lacking| {
            let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            anyhow!("cannot inject {}: {lacking}", kinds.join(", "))
        });
        able.map_err(Failure::set_up)?;
        let client = |index| {
            let mut command = assembled.lab.client_command(index, &own_binary()?);
            command.arg("client");
            Ok(command)
        };
        let injector = Some((&nemesis, Some(cluster)));
        self.record(&Target::Cluster(cluster.clone()), &client, injector, ended).await
    }

    /// A nemesis for these servers and clients.
    fn nemesis(
        &self,
        servers: Vec<Endpoint>,
        clients: Vec<ClientEndpoint>,
        ssh: Arc<SshCluster>,
    ) -> Result<Nemesis<SshCluster>, Failure> {
        let setting = NemesisSetting {
            run_id: self.run.id.clone(),
            lab_id: self.run.lab.clone(),
            servers,
            clients,
            node_run_dir: NodeLayout::new(NODE_BASE).run(),
            control_run_dir: fault_timers(&self.dirs).map_err(Failure::set_up)?,
            journal: self.run_dir.fault_journal(),
            state_dir: self.dirs.state.clone(),
        };
        let clock = self.clock;
        Nemesis::new(setting, ssh, Arc::new(move || clock.now_ns()))
            .context("cannot start the undo journal")
            .map_err(Failure::set_up)
    }

    /// Runs against the sim.
    pub async fn run_on_sim(self) -> Result<Ended, Failure> {
        let sim = SimServer::start(self.sim_bug)
            .await
            .context("cannot start the sim")
            .map_err(Failure::set_up)?;
        let client = |_index| {
            let mut command = Command::new(own_binary()?);
            command.arg("client");
            Ok(command)
        };
        // Its clients can be paused and killed like any others.
        let nemesis = match self.run.plan.schedule.is_empty() {
            true => None,
            false => {
                let audit = self.audit_log().map_err(Failure::set_up)?;
                let ssh = Arc::new(SshCluster::new(&[], self.run_dir.path(), audit));
                Some(self.nemesis(Vec::new(), Vec::new(), ssh)?)
            }
        };
        let injector = nemesis.as_ref().map(|nemesis| (nemesis, None));
        let mut ended = Ended::default();
        let target = Target::Sim(Arc::new(sim));
        ended.problem = self.record(&target, &client, injector, &mut ended).await.err();
        Ok(ended)
    }

    /// Raises a lab of the run's own, or takes the standing one that was named.
    async fn open_lab(&self) -> Result<Lab, Failure> {
        let plan = &self.run.plan;
        let (servers, clients) = (plan.nodes.len(), plan.client_seeds.len());
        let id = self.run.lab.clone().unwrap_or_default();
        if self.own_lab {
            let spec = LabSpec {
                id: Some(id),
                servers: u16::try_from(servers).map_err(Failure::internal)?,
                clients: u16::try_from(clients).map_err(Failure::internal)?,
                subnet: self.subnet,
            };
            return Lab::up(&self.dirs, &spec).await.map_err(lab_failure);
        }
        let lab = Lab::open(&self.dirs, &id).map_err(lab_failure)?;
        let (has_servers, has_clients) = (lab.nodes().len(), lab.client_addresses().len());
        if has_servers < servers || has_clients < clients {
            return Err(Failure::usage(anyhow!(
                "lab {id} has {has_servers} servers and {has_clients} clients; the run needs {servers} and {clients}"
            )));
        }
        Ok(lab)
    }

    async fn assemble(&self, lab: Lab, program: Program) -> Result<Assembled> {
        self.terminal.detail(format_args!("lab {} is up at {}", lab.id(), lab.subnet()));
        let nodes = &lab.nodes()[..self.run.plan.nodes.len()];
        let targets: Vec<SshTarget> = nodes.iter().map(ssh_target).collect();
        let audit = self.audit_log()?;
        let ssh = Arc::new(SshCluster::new(&targets, &lab.ssh_control_dir(), audit));
        let members: Vec<Member> = nodes
            .iter()
            .zip(0..)
            .map(|(node, index)| Member {
                id: NodeId(index),
                name: node.name.clone(),
                address: node.address.to_string(),
            })
            .collect();
        let layout = NodeLayout::new(NODE_BASE);
        let installation = match program {
            Program::OnNodes(installation) => installation,
            Program::Upload(path) => {
                Installation::of_binary(upload(&ssh, &members, &path, &layout).await?)
            }
        };
        let mut deployment = Deployment::of(&self.run.plan, installation)
            .ok_or_else(|| anyhow!("{} has no servers", self.run.plan.backend))?;
        if self.run.plan.moves_clocks() {
            let launcher = upload(&ssh, &members, &own_binary()?, &layout).await?;
            deployment.clock_launcher = Some(launcher);
        }
        let cluster = Arc::new(Cluster::new(&deployment, &members, &layout, ssh.clone())?);
        let servers = (nodes.iter().zip(targets).zip(&members))
            .map(|((node, ssh), member)| Endpoint {
                ssh,
                address: node.address,
                probe_port: deployment.store.peer_port(),
                services: cluster.services(member.id).to_vec(),
            })
            .collect();
        Ok(Assembled { lab, ssh, cluster, servers })
    }

    fn audit_log(&self) -> Result<AuditLog> {
        let clock = self.clock;
        AuditLog::open(&self.run_dir.audit_log(), Arc::new(move || clock.now_ns()))
            .context("cannot start the audit log")
    }

    /// Runs the clients and the nemesis, and records. Whatever happens, no fault is left in force
    /// without `ended` saying so, and what was recorded is on disk.
    async fn record(
        &self,
        target: &Target,
        client: ClientCommand<'_>,
        nemesis: Option<Injector<'_>>,
        ended: &mut Ended,
    ) -> Result<(), Failure> {
        let history = self.run_dir.begin(&self.run).map_err(Failure::set_up)?;
        let mut recording = Recording::start(history, &self.run.plan);
        let worked = self.work(target, client, nemesis, &mut recording).await;
        self.terminal.end_live();
        if let Some((nemesis, _cluster)) = nemesis {
            ended.fault_left = fault_left(&nemesis.heal_all_open().await);
        }
        if let Some((_nemesis, Some(cluster))) = nemesis {
            for election in logs::keep(cluster, &self.run_dir, self.clock, &self.terminal).await {
                // If the writer has ended, that is told below.
                let _ = recording.add(Record::Election(election)).await;
            }
            ended.logs_are_kept = true;
        }
        ended.interrupted = self.stop.is_interrupted();
        // If the disk is full the writer knows why; the others only know that it has ended.
        recording.finish().await.map_err(Failure::set_up)?;
        worked
    }

    async fn work(
        &self,
        target: &Target,
        client: ClientCommand<'_>,
        nemesis: Option<Injector<'_>>,
        recording: &mut Recording,
    ) -> Result<(), Failure> {
        let ready_ns = self.clock.now_ns();
        self.milestone(recording, Milestone::ClusterReady).await.map_err(Failure::set_up)?;
        self.terminal.step(format_args!("{:>6.2} s  every server answered a write", self.now_s()));
        let prober = Prober::start(target, self.clock, &recording.sender());
        let limit = Duration::from_millis(self.run.plan.time_limit_ms);
        let sampler = Sampler::start(target, limit, self.clock, &recording.sender());
        let fleet = self.start_fleet(target, client, recording).map_err(Failure::set_up)?;
        let watcher = self.watch(recording);
        let result = self.contend(&fleet, &prober, nemesis, ready_ns, recording).await;
        drop(watcher);
        let stopped = fleet.stop().await;
        drop(prober);
        sampler.stop().await;
        result?;
        stopped.map_err(Failure::set_up)?;
        self.milestone(recording, Milestone::End).await.map_err(Failure::set_up)
    }

    fn watch(&self, recording: &mut Recording) -> Watcher {
        let orders = Orders {
            stop_on_violation: self.stop_on_violation,
            fail_on_overrun: self.fail_on_overrun,
        };
        let (run_dir, stop, terminal) =
            (self.run_dir.clone(), self.stop.clone(), self.terminal.clone());
        Watcher::start(orders, recording, run_dir, self.clock, stop, terminal)
    }

    /// The workload's time, and the recovery after it.
    async fn contend(
        &self,
        fleet: &Fleet,
        prober: &Prober,
        nemesis: Option<Injector<'_>>,
        ready_ns: u64,
        recording: &Recording,
    ) -> Result<(), Failure> {
        let plan = &self.run.plan;
        let limit = Duration::from_millis(plan.time_limit_ms);
        let end = Instant::now() + limit;
        let live = LiveLine::start(&self.terminal, recording.counts(), self.clock, limit);
        let nemesis = nemesis.filter(|_| !plan.schedule.is_empty());
        let time = async {
            let Some((nemesis, cluster)) = nemesis else {
                tokio::time::sleep_until(end).await;
                return Ok(());
            };
            let injection = Injection {
                plan,
                nemesis,
                cluster,
                fleet,
                clock: self.clock,
                recording,
                prober,
                live: &live,
                stop: &self.stop,
                terminal: &self.terminal,
                progress: Progress::default(),
            };
            injection.run(ready_ns, end).await
        };
        let clients_ended = tokio::select! {
            result = time => {
                result.map_err(Failure::set_up)?;
                false
            }
            () = self.stop.requested(), if nemesis.is_none() => false,
            () = all_ended(fleet) => true,
        };
        if clients_ended {
            self.milestone(recording, Milestone::Interrupted).await.map_err(Failure::set_up)?;
            return Err(Failure::set_up(anyhow!(
                "every client ended before its time; their words are in {}",
                self.run_dir.logs().display()
            )));
        }
        if self.stop.is_interrupted() {
            self.terminal.step("interrupted: stopping in order");
            return self
                .milestone(recording, Milestone::Interrupted)
                .await
                .map_err(Failure::set_up);
        }
        self.milestone(recording, Milestone::TimeUp).await.map_err(Failure::set_up)?;
        if nemesis.is_some() && !self.stop.is_requested() {
            self.wait_for_recovery(prober, recording).await;
        }
        Ok(())
    }

    /// After the last fault the clients go on until every server answers and some operation has
    /// succeeded again, so that the recovery is part of the history.
    async fn wait_for_recovery(&self, prober: &Prober, recording: &Recording) {
        let since_ns = self.clock.now_ns();
        let mut counts = recording.counts();
        let ok = counts.borrow().ok;
        let recovered = async {
            prober.all_answered_since(since_ns).await;
            // An error means that the recording has ended, and with it what is waited for.
            let _ = counts.wait_for(|counts| counts.ok > ok).await;
        };
        tokio::select! {
            result = timeout(RECOVERY_LIMIT, recovered) => {
                if result.is_err() {
                    self.terminal.warning(format_args!(
                        "the servers had not recovered {} s after the last fault",
                        RECOVERY_LIMIT.as_secs()
                    ));
                }
            }
            () = self.stop.requested() => {}
        }
    }

    fn start_fleet(
        &self,
        target: &Target,
        client: ClientCommand<'_>,
        recording: &Recording,
    ) -> Result<Fleet> {
        let plan = &self.run.plan;
        let places: Vec<Command> =
            (0..plan.client_seeds.len()).map(client).collect::<Result<_>>()?;
        let logs = self.run_dir.logs();
        let config = ClientConfig {
            client: ClientId(0),
            origin_monotonic_ns: self.run.origin_monotonic_ns,
            servers: target.client_addresses(),
            sentinels: target.sentinel_addresses(),
            plan: plan.clone(),
        };
        let launch = move |client: ClientId| {
            let log = logs.join(format!("{client}.log"));
            let log = File::create(&log).map_err(|error| {
                io::Error::other(format!("cannot make {}: {error}", log.display()))
            })?;
            // One that replaces another runs where that one ran.
            let mut command = again(&places[client.0 as usize % places.len()]);
            command.stderr(log);
            Ok((command, ClientConfig { client, ..config.clone() }))
        };
        Ok(Fleet::start(plan, launch, self.clock, &recording.sender())?)
    }

    async fn dismantle(&self, assembled: Assembled) -> Result<()> {
        if !self.own_lab {
            assembled.cluster.reset().await.context("cannot stop the servers")?;
        }
        assembled.ssh.close().await;
        if self.own_lab {
            let id = assembled.lab.id().to_owned();
            assembled.lab.down().await.with_context(|| {
                format!("cannot remove lab {id}; to try again: locktest lab down {id}")
            })?;
        }
        Ok(())
    }

    async fn milestone(&self, recording: &Recording, what: Milestone) -> Result<()> {
        recording.add(Record::Milestone { time_ns: self.clock.now_ns(), what }).await
    }

    fn now_s(&self) -> f64 {
        self.clock.now_ns() as f64 / 1e9
    }
}

/// Undoes what killed runs left behind: their rules would come between this run's servers and
/// clients, and their timers start servers of theirs.
async fn heal_earlier_runs() -> Result<(), Failure> {
    let healed = heal_open(None).await?;
    if healed.is_clean() {
        return Ok(());
    }
    let error = anyhow!("an earlier run left a fault behind; `locktest heal` tells where");
    Err(Failure { exit: Exit::FaultLeft, error })
}

/// What is known of faults that could not be undone.
fn fault_left(healed: &HealedRun) -> Option<String> {
    let mut left: Vec<String> = healed.problems.clone();
    for fault in healed.faults.iter().filter(|fault| !fault.undone()) {
        let by_hand = |host: &HostUndone| {
            let command = host.by_hand.as_ref()?;
            Some(format!("{}; to undo it by hand:\n{command}", host.account))
        };
        let accounts: Vec<String> = fault.hosts.iter().filter_map(by_hand).collect();
        left.push(format!("fault {}: {}", fault.fault, accounts.join("\n")));
    }
    (!left.is_empty()).then(|| format!("{}\nor try again: locktest heal", left.join("\n")))
}

fn own_binary() -> Result<PathBuf> {
    std::env::current_exe().context("cannot find locktest's own binary")
}

/// The same program with the same arguments.
fn again(command: &Command) -> Command {
    let command = command.as_std();
    let mut again = Command::new(command.get_program());
    again.args(command.get_args());
    again
}

async fn all_ended(fleet: &Fleet) {
    while fleet.is_running() {
        sleep(CLIENT_CHECK).await;
    }
}
