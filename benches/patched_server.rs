//! What the patch for a clock of its own costs a server that nobody disturbs: the time of an acquire at
//! a patched server against one without the patch. A second server without it shows the noise. Needs
//! root, and a processor that the patch is for.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::path::Path;

use anyhow::Result;
use locktest_cluster::Store;
use locktest_history::Plan;
use locktest_lab::preflight;
use locktest_workloads::ClientConfig;
use locktest_workloads::recipes::{CallError, Consul, Etcd, LockRecipe, Redlock, Zookeeper};

use support::{Servers, bare_acquires, quantile_ms, spread};

/// Odd, so that the median is a turn's own.
const TURNS: usize = 31;
const ACQUIRES_A_SIDE: usize = 40;

fn main() -> Result<()> {
    // Without it this is a test run, which wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    preflight()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("median acquire at one server, {TURNS} turns of {ACQUIRES_A_SIDE} acquires a side");
    println!("{:<11}{:<26}{:>9}   min..max", "", "", "median");
    for store in Store::ALL {
        runtime.block_on(async {
            match store {
                Store::Consul => measure(store, Consul::new).await,
                Store::Etcd => measure(store, Etcd::new).await,
                Store::Redis => measure(store, Redlock::new).await,
                Store::Zookeeper => measure(store, Zookeeper::new).await,
            }
        })?;
    }
    Ok(())
}

async fn measure<R: LockRecipe>(
    store: Store,
    recipe: fn(&ClientConfig) -> Result<R, CallError>,
) -> Result<()> {
    let plan = Plan { nodes: vec!["n1".into()], ..Plan::of(store.backend()) };
    let launcher = Path::new(env!("CARGO_BIN_EXE_locktest"));
    let mut sides = Vec::new();
    let mut result = Ok(());
    for launcher in [None, None, Some(launcher)] {
        match Servers::start(&plan, launcher).await {
            Ok(servers) => sides.push(servers),
            Err(error) => result = Err(error),
        }
    }
    if result.is_ok() {
        result = turns(&plan, &sides, recipe).await.map(|turns| report(store, &turns));
    }
    for servers in sides {
        servers.stop().await?;
    }
    result
}

/// The median acquire at each server, turn by turn.
async fn turns<R: LockRecipe>(
    plan: &Plan,
    sides: &[Servers],
    recipe: fn(&ClientConfig) -> Result<R, CallError>,
) -> Result<Vec<[f64; 3]>> {
    let recipes = sides.iter().map(|servers| recipe(&servers.config(plan)));
    let recipes: Vec<R> = recipes.collect::<Result<_, _>>()?;
    let mut turns = Vec::with_capacity(TURNS);
    // The first turn warms up, and each next one begins with another server.
    for turn in 0..=TURNS {
        let mut medians = [0.0; 3];
        for place in 0..recipes.len() {
            let side = (turn + place) % recipes.len();
            let mut times = bare_acquires(&recipes[side], ACQUIRES_A_SIDE).await?;
            medians[side] = quantile_ms(&mut times, 0.5);
        }
        if turn > 0 {
            turns.push(medians);
        }
    }
    Ok(turns)
}

fn report(store: Store, turns: &[[f64; 3]]) {
    let rows = [
        ("unpatched ms", spread(turns.iter().map(|[plain, ..]| *plain))),
        ("patched ms", spread(turns.iter().map(|[.., patched]| *patched))),
        ("patched / unpatched", spread(turns.iter().map(|[plain, _, patched]| patched / plain))),
        ("unpatched / unpatched", spread(turns.iter().map(|[plain, other, _]| other / plain))),
    ];
    for (name, figures) in rows {
        println!("{:<11}{name:<26}{figures}", store.name());
    }
}
