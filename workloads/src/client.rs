//! The client process: its owners take locks, each one after another, in a process of their own.
//!
//! It takes its own timestamps and decides everything by its own seed, so that it can be paused,
//! killed or cut off like any client of a lock service.

use std::io::{self, Stdout, Write};
use std::os::fd::AsFd;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use locktest_history::{Backend, ClientId, Plan, Recipe, Workload};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, raise};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe;

use crate::attempt::LockClient;
use crate::clock::RunClock;
use crate::control::Control;
use crate::critical_section::{InControlNode, InStore, section};
use crate::mutex::{self, Arrivals, Ended};
use crate::protocol::{ClientConfig, ToClient};
use crate::recipes::{
    CallError, Consul, Etcd, GuardedValues, LockRecipe, RedisLock, Redlock, SimLock, Values,
    Zookeeper,
};
use crate::recorder::Recorder;
use crate::register::RegisterClient;

/// Why a client could not run.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The first line of standard input is not a configuration.
    #[error("a client is started by the control node, which writes its configuration first: {0}")]
    Config(String),
    /// The store's client library could not be set up.
    #[error("cannot set up the {backend} client: {reason}")]
    Setup {
        /// The store.
        backend: Backend,
        /// Why.
        reason: String,
    },
    /// The recipe has nothing that the workload could use.
    #[error("recipe {recipe} cannot run the workload {workload}")]
    Unsupported {
        /// The workload.
        workload: Workload,
        /// The recipe.
        recipe: Recipe,
    },
    /// The process has no runtime or no standard input, or cannot die.
    #[error("the operating system denies the client what it needs: {0}")]
    Io(#[from] io::Error),
}

/// The control node's words.
type Words = Lines<BufReader<pipe::Receiver>>;

/// Runs a client to its end: when the control node says stop, or goes away.
pub fn run_client() -> Result<(), ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        let pipe = pipe::Receiver::from_owned_fd(stdin)
            .map_err(|error| ClientError::Config(error.to_string()))?;
        let mut words: Words = BufReader::new(pipe).lines();
        let line = words.next_line().await?.unwrap_or_default();
        let config =
            serde_json::from_str(&line).map_err(|error| ClientError::Config(error.to_string()))?;
        dispatch(config, words).await
    })
}

async fn dispatch(config: ClientConfig, words: Words) -> Result<(), ClientError> {
    let Plan { backend, recipe, .. } = config.plan;
    let setup = |error: CallError| ClientError::Setup { backend, reason: error.to_string() };
    let process = Process { config: &config, words };
    // Each owner has connections of its own, as if it were alone.
    raise_file_limit();
    match recipe {
        Recipe::LockRpc | Recipe::CasTtl | Recipe::ElectionKey => {
            process.run(|| Etcd::new(&config).map_err(setup)).await
        }
        Recipe::Session => process.run(|| Consul::new(&config).map_err(setup)).await,
        Recipe::EphemeralSequential => process.run(|| Zookeeper::new(&config).map_err(setup)).await,
        Recipe::Redlock => process.run_locks(|| Redlock::new(&config).map_err(setup)).await,
        Recipe::Single | Recipe::Sentinel => {
            process.run(|| RedisLock::new(&config).map_err(setup)).await
        }
        Recipe::Sim => process.run(|| SimLock::new(&config).map_err(setup)).await,
    }
}

/// As many files as this process may have. If it may not have more, connections fail, which is on
/// record.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// A client that knows its store, and is about to begin.
struct Process<'a> {
    config: &'a ClientConfig,
    words: Words,
}

impl Process<'_> {
    /// Runs whatever workload is planned.
    async fn run<R: GuardedValues>(
        self,
        connect: impl Fn() -> Result<R, ClientError>,
    ) -> Result<(), ClientError> {
        match self.config.plan.workload {
            Workload::Register => self.run_registers(connect()?).await,
            Workload::CriticalSection => {
                self.contend(connect, async |client, seed, arrivals| {
                    let copies = &InStore(client);
                    mutex::run(client, seed, arrivals, async |owner, held, hold| {
                        section(client, copies, owner, held, hold).await
                    })
                    .await
                })
                .await
            }
            _ => self.run_locks(connect).await,
        }
    }

    /// Runs a workload that needs nothing of the store but locks.
    async fn run_locks<R: LockRecipe>(
        self,
        connect: impl Fn() -> Result<R, ClientError>,
    ) -> Result<(), ClientError> {
        let Plan { workload, recipe: name, .. } = self.config.plan;
        let cannot_try = workload == Workload::Try && name == Recipe::LockRpc;
        if workload.keeps_values_in_store() || cannot_try {
            return Err(ClientError::Unsupported { workload, recipe: name });
        }
        self.contend(connect, async |client, seed, arrivals| {
            let copies = &InControlNode(client);
            mutex::run(client, seed, arrivals, async |owner, held, hold| {
                section(client, copies, owner, held, hold).await
            })
            .await
        })
        .await
    }

    /// Runs the owners of this process until they stop, or until one of them is to die: then all do.
    async fn contend<R: LockRecipe>(
        self,
        connect: impl Fn() -> Result<R, ClientError>,
        work: impl AsyncFn(&LockClient<'_, R, Stdout>, u64, Option<&Arrivals>) -> Ended,
    ) -> Result<(), ClientError> {
        let plan = &self.config.plan;
        let (recorder, control) = (self.recorder(), Control::default());
        let owners: Vec<LockClient<'_, R, Stdout>> = (0..plan.owners_per_client)
            .map(|_| Ok(LockClient::new(connect()?, plan, &recorder, &control)))
            .collect::<Result<_, ClientError>>()?;
        let seed = seed_of(self.config.client, plan);
        let arrivals = Arrivals::of(plan, seed, recorder.now_ns());
        let mut working: FuturesUnordered<_> = (owners.iter().zip(0..))
            .map(|(owner, number)| work(owner, owner_seed(seed, number), arrivals.as_ref()))
            .collect();
        let any_crash = async {
            while let Some(ended) = working.next().await {
                if ended == Ended::Crash {
                    return Ended::Crash;
                }
            }
            Ended::Stopped
        };
        let ended = tokio::select! {
            ended = recorder.attend(any_crash) => ended,
            () = listen(self.words, &control) => Ended::Stopped,
        };
        match ended {
            Ended::Stopped => Ok(()),
            // Here, while the client still has all its connections: to close them would tell the
            // store. What it recorded has left.
            Ended::Crash => Ok(raise(Signal::SIGKILL).map_err(io::Error::from)?),
        }
    }

    async fn run_registers<V: Values>(self, values: V) -> Result<(), ClientError> {
        let plan = &self.config.plan;
        let (recorder, control) = (self.recorder(), Control::default());
        let client = RegisterClient::new(values, plan, &recorder, &control);
        let seed = seed_of(self.config.client, plan);
        tokio::select! {
            () = recorder.attend(client.run(seed)) => {}
            () = listen(self.words, &control) => {}
        }
        Ok(())
    }

    fn recorder(&self) -> Recorder<Stdout> {
        let clock = RunClock::from_origin(self.config.origin_monotonic_ns);
        Recorder::new(self.config.client, clock, io::stdout())
    }
}

/// The plan has a seed for each client that the run starts with; one that replaces another derives
/// its own.
fn seed_of(client: ClientId, plan: &Plan) -> u64 {
    plan.client_seeds.get(client.0 as usize).copied().unwrap_or_else(|| {
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        rng.set_stream(u64::from(client.0));
        rng.random()
    })
}

/// The first owner has its client's seed.
fn owner_seed(client_seed: u64, owner: u32) -> u64 {
    if owner == 0 {
        return client_seed;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(client_seed);
    rng.set_stream(u64::from(owner));
    rng.random()
}

/// Takes the control node's words. It never ends by itself: the loop ends when it has stopped.
async fn listen(mut words: Words, control: &Control) {
    while let Ok(Some(line)) = words.next_line().await {
        match serde_json::from_str::<ToClient>(&line) {
            Ok(word) => control.hear(word),
            Err(error) => {
                let _ = writeln!(io::stderr(), "not understood: {error}: {line}");
            }
        }
    }
    control.lose();
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::testing::{FakeStore, config_of, plan};

    /// Why a client without values of its own to offer does not run this.
    async fn refusal(workload: Workload, recipe: Recipe) -> Option<String> {
        let config = config_of(&Plan { workload, recipe, ..plan() });
        let (_control_node, words) = pipe::pipe().expect("a pipe");
        let process = Process { config: &config, words: BufReader::new(words).lines() };
        let store = FakeStore::new();
        let result = process.run_locks(|| Ok(&store)).await;
        result.err().map(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_recipe_that_cannot_run_a_workload_says_so() {
        let refused = [
            (Workload::Register, Recipe::Redlock),
            (Workload::CriticalSection, Recipe::Redlock),
            (Workload::Try, Recipe::LockRpc),
        ];
        for (workload, recipe) in refused {
            let reason = format!("recipe {recipe} cannot run the workload {workload}");
            assert_eq!(refusal(workload, recipe).await, Some(reason));
        }
    }

    #[test]
    fn every_owner_of_a_client_has_a_seed_of_its_own_and_the_first_has_the_clients() {
        let seeds: Vec<u64> = (0..100).map(|owner| owner_seed(7, owner)).collect();
        assert_eq!(seeds[0], 7);
        assert_eq!(seeds.iter().collect::<HashSet<_>>().len(), 100);
        assert_ne!(owner_seed(8, 1), seeds[1]);
    }

    #[test]
    fn a_client_that_replaces_another_has_a_seed_of_its_own_that_the_plans_seed_decides() {
        let plan = Plan { client_seeds: vec![11, 12], ..plan() };
        let seeds = |plan: &Plan| (0..20).map(|client| seed_of(ClientId(client), plan)).collect();
        let first: Vec<u64> = seeds(&plan);
        assert_eq!(first[..2], [11, 12]);
        assert_eq!(first.iter().collect::<HashSet<_>>().len(), 20);
        assert_eq!(first, seeds(&plan));
        let other: Vec<u64> = seeds(&Plan { seed: plan.seed + 1, ..plan });
        assert!(first[2..].iter().all(|seed| !other.contains(seed)));
    }
}
