//! The flags of `run`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use locktest_history::{
    Backend, CasWait, HolderPolicy, ReadMode, Recipe, RedisPersistence, RedlockRequests,
    SessionBehavior, Workload,
};
use locktest_workloads::sim::SimBug;

use super::choices::{
    backends, cas_waits, holders, persistences, read_modes, recipes, redlock_requests,
    session_behaviors, sim_bugs, workloads,
};
use super::{FailOn, FaultArgs};

const RUN_HELP: &str = "\
Workloads:
  mutex             acquire, hold, release; again and again
  different-keys    the same, with a lock of its own for each client
  try               acquires that do not wait
  crash             one hold in fifteen ends with the client's death, by SIGKILL
  cancel            half of the acquires give up after a random time up to --hold
  critical-section  the lock protects values in the store under test: one written plainly, one in a
                    transaction that checks the lock
  register          reads, writes and compare-and-sets of a plain value, checked for linearizability

Recipes:
  etcd       lock-rpc (its own Lock RPC), cas-ttl (create if absent, under a lease),
             election-key (lowest create revision)
  consul     session (a TTL and no checks)
  zookeeper  ephemeral-sequential (wait for the predecessor)
  redis      redlock (majority of independent servers), single (one server),
             sentinel (the primary that sentinels name)

Faults:
  partition         servers are cut off from each other; servers that know nothing of each other,
                    from clients
  kill              servers die by SIGKILL, and start again after the interval; of Redlock every
                    second time one without which a lock has no majority
  pause             servers stop by SIGSTOP, and go on after the interval
  restart-all       all servers die at once and start again at once, as by a power cut
  client-pause      the holder of the lock stops for longer than its lease
  client-kill       the holder of the lock dies, and another client takes its place
  client-partition  the holder of the lock is cut off from all servers for longer than its lease
  clock             the wall clocks of servers go wrong; of Redlock every second time that of one
                    without which a lock has no majority
  clock-monotonic   their monotonic clocks do, which no machine's should; back or slow only

Shapes of partitions:
  halves            a random minority, as large as it can be, against the rest
  one               one random server against the rest
  leader            the leader, in a minority, against the rest
  minority-third    fewer than a third of the servers against the rest
  majority-ring     each server reaches a majority, and no two reach the same one
  bridge            two halves, and one server that reaches both

Clocks:
  forward           ahead by --clock-offset, and right again at the end
  back              behind by --clock-offset
  strobe            ahead by --clock-offset and right, in turns of 200 ms
  fast              twice as fast
  slow              half as fast";

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Human,
    /// The verdict as JSON, and nothing else.
    Json,
}

impl OutputFormat {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            OutputFormat::Human => "human",
            OutputFormat::Json => "json",
        }
    }
}

/// The flags of a run.
#[derive(Clone, Debug, Args)]
#[command(after_help = RUN_HELP, allow_negative_numbers = true)]
pub struct RunArgs {
    /// The store under test.
    #[arg(long, env = "LOCKTEST_BACKEND", value_parser = backends(), help_heading = "Cluster")]
    pub backend: Backend,
    /// How the store is used as a lock: see below [default: the store's first].
    #[arg(long, env = "LOCKTEST_RECIPE", value_parser = recipes(), help_heading = "Cluster")]
    pub recipe: Option<Recipe>,
    /// The server's version, such as 3.5.16; see `locktest versions` [default: the newest there].
    #[arg(
        long,
        env = "LOCKTEST_VERSION",
        value_name = "VERSION",
        conflicts_with = "server_binary",
        help_heading = "Cluster"
    )]
    pub version: Option<String>,
    /// How many servers [default: 5; sentinel 3, single and sim 1].
    #[arg(long, env = "LOCKTEST_NODES_COUNT", value_name = "N", help_heading = "Cluster")]
    pub nodes_count: Option<u16>,
    /// Use this server binary instead of the distribution's package.
    #[arg(long, env = "LOCKTEST_SERVER_BINARY", value_name = "PATH", help_heading = "Cluster")]
    pub server_binary: Option<PathBuf>,
    /// Use a lab that stands already (see `locktest lab up`) and leave it standing.
    #[arg(long, env = "LOCKTEST_LAB", value_name = "ID", help_heading = "Cluster")]
    pub lab: Option<String>,
    /// The addresses of the run's own lab, such as 10.213.7.0/24 [default: a free range].
    #[arg(
        long,
        env = "LOCKTEST_LAB_SUBNET",
        value_name = "CIDR",
        conflicts_with = "lab",
        help_heading = "Cluster"
    )]
    pub lab_subnet: Option<String>,

    /// Consul's lock-delay [default: 0s].
    #[arg(long, env = "LOCKTEST_LOCK_DELAY", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Options of one store")]
    pub lock_delay: Option<Duration>,
    /// What the end of a Consul session does to the lock's key [default: release].
    #[arg(long, env = "LOCKTEST_SESSION_BEHAVIOR", value_name = "WHAT", value_parser = session_behaviors(), help_heading = "Options of one store")]
    pub session_behavior: Option<SessionBehavior>,
    /// How etcd's cas-ttl waits for a held lock [default: watch].
    #[arg(long, env = "LOCKTEST_CAS_WAIT", value_name = "HOW", value_parser = cas_waits(), help_heading = "Options of one store")]
    pub cas_wait: Option<CasWait>,
    /// When Redis writes to disk [default: none].
    #[arg(long, env = "LOCKTEST_REDIS_PERSISTENCE", value_name = "WHEN", value_parser = persistences(), help_heading = "Options of one store")]
    pub redis_persistence: Option<RedisPersistence>,
    /// How Redlock asks its servers [default: parallel].
    #[arg(long, env = "LOCKTEST_REDLOCK_REQUESTS", value_name = "HOW", value_parser = redlock_requests(), help_heading = "Options of one store")]
    pub redlock_requests: Option<RedlockRequests>,
    /// How long Redlock waits for one server's answer [default: 50ms].
    #[arg(long, env = "LOCKTEST_REDLOCK_NODE_TIMEOUT", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Options of one store")]
    pub redlock_node_timeout: Option<Duration>,
    /// The longest pause before Redis is asked again for a held lock [default: 100ms].
    #[arg(long, env = "LOCKTEST_REDIS_RETRY_PAUSE", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Options of one store")]
    pub redis_retry_pause: Option<Duration>,
    /// How registers are read, and on Consul also a lock's entry [default: the store's strongest].
    #[arg(long, env = "LOCKTEST_READ_MODE", value_name = "MODE", value_parser = read_modes(), help_heading = "Options of one store")]
    pub read_mode: Option<ReadMode>,
    /// A bug for the sim backend to have.
    #[arg(long, env = "LOCKTEST_SIM_BUG", value_name = "BUG", value_parser = sim_bugs(), help_heading = "Options of one store")]
    pub sim_bug: Option<SimBug>,

    /// What the nemesis does.
    #[command(flatten)]
    pub faults: FaultArgs,

    /// What the clients do: see below.
    #[arg(
        long,
        env = "LOCKTEST_WORKLOAD",
        default_value = "mutex",
        value_name = "WORKLOAD",
        value_parser = workloads(),
        help_heading = "Workload"
    )]
    pub workload: Workload,
    /// How many client processes contend.
    #[arg(
        long,
        env = "LOCKTEST_CLIENTS",
        default_value_t = 5,
        value_name = "N",
        help_heading = "Workload"
    )]
    pub clients: u32,
    /// For how many locks, or registers [default: 1; different-keys has one for each client].
    #[arg(long, env = "LOCKTEST_KEYS", value_name = "N", help_heading = "Workload")]
    pub keys: Option<u32>,
    /// The lease's time to live; on ZooKeeper the session timeout.
    #[arg(long, env = "LOCKTEST_LEASE_TTL", default_value = "2s", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Workload")]
    pub lease_ttl: Duration,
    /// The mean time that a lock is held; one hold in five is 0.5 to 0.9 of the lease, unless this is
    /// zero or the workload is crash.
    #[arg(long, env = "LOCKTEST_HOLD", default_value = "50ms", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Workload")]
    pub hold: Duration,
    /// Hold every lock for just --hold, do nothing else meanwhile, and never rest: what `locktest
    /// bench` measures.
    #[arg(long, env = "LOCKTEST_STEADY", conflicts_with = "overrun", help_heading = "Workload")]
    pub steady: bool,
    /// Begin so many acquires a second, all clients together, at random times that do not wait for
    /// those before: an open loop [default: each begins when the one before is over].
    #[arg(long, env = "LOCKTEST_RATE", value_name = "N", help_heading = "Workload")]
    pub rate: Option<u32>,
    /// How many owners contend in each client process, each with connections of its own.
    #[arg(
        long,
        env = "LOCKTEST_OWNERS_PER_CLIENT",
        default_value_t = 1,
        value_name = "N",
        help_heading = "Workload"
    )]
    pub owners_per_client: u32,
    /// Let one hold in five outlive its lease, without renewal.
    #[arg(long, env = "LOCKTEST_OVERRUN", help_heading = "Workload")]
    pub overrun: bool,
    /// What holders do about their lease's deadline: trusting ones never look at the clock, careful
    /// ones check it before each write.
    #[arg(
        long,
        env = "LOCKTEST_HOLDER",
        default_value = "trusting",
        value_name = "POLICY",
        value_parser = holders(),
        help_heading = "Workload"
    )]
    pub holder: HolderPolicy,
    /// Renew the lease while waiting for the lock [default: true on etcd, consul and sim; elsewhere
    /// there is no choice].
    #[arg(long, env = "LOCKTEST_RENEW_WHILE_WAITING", action = ArgAction::Set, value_name = "BOOL", help_heading = "Workload")]
    pub renew_while_waiting: Option<bool>,
    /// An acquire gives up after this long.
    #[arg(long, env = "LOCKTEST_ACQUIRE_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Workload")]
    pub acquire_timeout: Duration,
    /// Every other operation gives up after this long.
    #[arg(long, env = "LOCKTEST_OP_TIMEOUT", default_value = "1s", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Workload")]
    pub op_timeout: Duration,

    /// How long the workload runs once the cluster is ready.
    #[arg(long, env = "LOCKTEST_TIME_LIMIT", default_value = "60s", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Run")]
    pub time_limit: Duration,
    /// The seed of every random choice [default: a random one, printed].
    #[arg(long, env = "LOCKTEST_SEED", value_name = "N", help_heading = "Run")]
    pub seed: Option<u64>,
    /// How long the store may keep the lock of a holder that went silent [default: by store].
    #[arg(long, env = "LOCKTEST_LEASE_BOUND", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Run")]
    pub lease_bound: Option<Duration>,
    /// How long the store may take to recover from a fault [default: by store].
    #[arg(long, env = "LOCKTEST_RECOVERY_BOUND", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Run")]
    pub recovery_bound: Option<Duration>,
    /// End the run at its first violation: heal, and judge what was recorded.
    #[arg(long, env = "LOCKTEST_STOP_ON_VIOLATION", help_heading = "Run")]
    pub stop_on_violation: bool,
    /// Also exit with 1 for CLASS.
    #[arg(long, env = "LOCKTEST_FAIL_ON", value_name = "CLASS", help_heading = "Run")]
    pub fail_on: Option<FailOn>,
    /// The folder of the run directories.
    #[arg(
        long,
        env = "LOCKTEST_STORE",
        default_value = "store",
        value_name = "DIR",
        help_heading = "Run"
    )]
    pub store: PathBuf,
    /// How the verdict is printed.
    #[arg(
        long,
        env = "LOCKTEST_FORMAT",
        default_value = "human",
        value_name = "FORMAT",
        help_heading = "Run"
    )]
    pub format: OutputFormat,
    /// The same as --format json.
    #[arg(long, env = "LOCKTEST_JSON", help_heading = "Run")]
    pub json: bool,
    /// Also write the verdict as metrics, for node_exporter's textfile collector.
    #[arg(long, env = "LOCKTEST_PROMETHEUS", value_name = "FILE", help_heading = "Run")]
    pub prometheus: Option<PathBuf>,
    /// Print the plan and every command of set-up and faults, and do nothing.
    #[arg(long, env = "LOCKTEST_DRY_RUN", help_heading = "Run")]
    pub dry_run: bool,

    /// Those of the flags above that bear on the plan and were given, as they were given.
    #[arg(skip)]
    pub given: String,
}

impl RunArgs {
    /// Whether standard output is for machines.
    pub fn wants_json(&self) -> bool {
        self.json || self.format == OutputFormat::Json
    }
}
