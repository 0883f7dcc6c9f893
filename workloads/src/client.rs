//! The client process: one lock owner after another, in a process of its own.
//!
//! It takes its own timestamps and decides everything by its own seed, so that it can be paused,
//! killed or cut off like any client of a lock service.

use std::io::{self, Write};
use std::os::fd::AsFd;

use locktest_history::{Backend, Plan};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe;

use crate::clock::RunClock;
use crate::control::Control;
use crate::mutex::MutexClient;
use crate::protocol::{ClientConfig, ToClient};
use crate::recipes::{CallError, ConsulSession, EtcdLockRpc, LockRecipe, SimLock};
use crate::recorder::Recorder;

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
    /// The process has no runtime or no standard input.
    #[error("cannot start the client: {0}")]
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
    let backend = config.plan.backend;
    let setup = |error: CallError| ClientError::Setup { backend, reason: error.to_string() };
    let (servers, plan) = (&config.servers, &config.plan);
    match backend {
        Backend::Consul => {
            let recipe = ConsulSession::new(servers, plan.lease_ttl_ms, plan.lock_delay_ms);
            run_with(recipe.map_err(setup)?, &config, words).await
        }
        Backend::Etcd => {
            run_with(EtcdLockRpc::new(servers, plan.lease_ttl_ms), &config, words).await
        }
        Backend::Sim => {
            let recipe = SimLock::new(servers, plan.lease_ttl_ms);
            run_with(recipe.map_err(setup)?, &config, words).await
        }
        Backend::Redis | Backend::Zookeeper => {
            return Err(setup(CallError::NotAsked("not there yet".into())));
        }
    }
    Ok(())
}

async fn run_with<R: LockRecipe>(recipe: R, config: &ClientConfig, words: Words) {
    let plan: &Plan = &config.plan;
    let clock = RunClock::from_origin(config.origin_monotonic_ns);
    let recorder = Recorder::new(config.client, clock, io::stdout());
    let control = Control::default();
    let client = MutexClient::new(recipe, plan, &recorder, &control);
    let seed = plan.client_seeds.get(config.client.0 as usize).copied().unwrap_or(plan.seed);
    tokio::select! {
        () = recorder.attend(client.run(seed)) => {}
        () = listen(words, &control) => {}
    }
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
