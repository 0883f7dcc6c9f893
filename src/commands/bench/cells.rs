//! Which cells a bench has, their commands, and their order.

use std::time::Duration;

use locktest_cluster::quote;
use locktest_reports::Keys;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cli::{BenchArgs, ContenderArg};

/// One store with one number of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellPlan {
    /// The store.
    pub contender: ContenderArg,
    /// What the clients compete for.
    pub keys: Keys,
    /// How many client processes.
    pub processes: u32,
}

/// A run of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Of which cell, by its place in the list.
    pub cell: usize,
    /// From one on.
    pub repeat: u32,
    /// The run's seed.
    pub seed: u64,
}

/// Each cell once. A single client competes with nobody, so it is measured with one kind of key only.
pub fn cells(args: &BenchArgs) -> Vec<CellPlan> {
    let mut cells = Vec::new();
    for contender in &args.backends {
        for keys in &args.keys {
            for processes in &args.processes {
                let is_twin = *processes == 1
                    && *keys == Keys::Same
                    && args.owners_per_client == 1
                    && args.keys.contains(&Keys::Different);
                if !is_twin {
                    let (contender, keys) = (contender.clone(), *keys);
                    cells.push(CellPlan { contender, keys, processes: *processes });
                }
            }
        }
    }
    cells
}

/// Every cell once a repeat, each time in another order: what drifts meanwhile favours nobody.
pub fn turns(cells: usize, repeats: u32, seed: u64) -> Vec<Turn> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut turns = Vec::new();
    for repeat in 1..=repeats {
        let mut order: Vec<usize> = (0..cells).collect();
        order.shuffle(&mut rng);
        turns.extend(order.into_iter().map(|cell| Turn {
            cell,
            repeat,
            // Of a size that people can copy.
            seed: u64::from(rng.random::<u32>()),
        }));
    }
    turns
}

/// How long a cell is measured.
pub fn time_limit(args: &BenchArgs) -> Duration {
    let default_s = if args.under.is_some() { 30 } else { 10 };
    args.time_limit.unwrap_or(Duration::from_secs(default_s))
}

/// The lease's time to live. Under faults a long one would only measure itself: how long the lock of a
/// holder that is gone stays taken.
fn lease_ttl(args: &BenchArgs) -> Duration {
    let default_s = if args.under.is_some() { 2 } else { 10 };
    args.lease_ttl.unwrap_or(Duration::from_secs(default_s))
}

/// The command line of a run of a cell.
pub fn command(cell: &CellPlan, args: &BenchArgs, seed: u64) -> String {
    let CellPlan { contender: ContenderArg { backend, recipe, version }, keys, processes } = cell;
    let time = |time: Duration| humantime::format_duration(time).to_string().replace(' ', "");
    let mut words =
        vec!["locktest".to_owned(), "run".into(), "--backend".into(), backend.to_string()];
    let mut flag = |name: &str, value: String| words.extend([format!("--{name}"), value]);
    if let Some(recipe) = recipe {
        flag("recipe", recipe.to_string());
    }
    if let Some(version) = version {
        flag("version", version.clone());
    }
    // The sim is one server, and so is the recipe of one.
    if !matches!(
        recipe.unwrap_or(backend.recipes()[0]),
        locktest_history::Recipe::Sim | locktest_history::Recipe::Single
    ) {
        flag("nodes-count", args.nodes_count.to_string());
    }
    let workload = match keys {
        Keys::Different => "different-keys",
        Keys::Same => "mutex",
    };
    flag("workload", workload.into());
    flag("clients", processes.to_string());
    if args.owners_per_client > 1 {
        flag("owners-per-client", args.owners_per_client.to_string());
    }
    flag("hold", time(args.hold));
    flag("lease-ttl", time(lease_ttl(args)));
    if let Some(rate) = args.rate {
        flag("rate", rate.to_string());
    }
    if let Some(faults) = &args.under {
        flag("nemesis", faults.clone());
        flag("nemesis-interval", time(args.nemesis_interval));
    }
    flag("time-limit", time(time_limit(args)));
    flag("seed", seed.to_string());
    words.push("--steady".into());
    let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
    words.join(" ")
}
