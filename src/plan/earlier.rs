//! The faults of an earlier run, to be injected again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use locktest_history::{FixedFault, Plan, PlannedFault, RunDir, executed};

/// The faults that an earlier run had, and how many took part in it.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// The run's directory, absolute.
    pub run_dir: PathBuf,
    /// Its faults, in the order of their begins.
    pub faults: Vec<FixedFault>,
    servers: usize,
    clients: usize,
}

impl Earlier {
    /// Reads the faults from a run's history.
    pub fn read(path: &Path) -> Result<Earlier> {
        let run_dir = RunDir::open(path)
            .with_context(|| format!("{} is not a run directory", path.display()))?;
        let history = run_dir.read_history().context("cannot read the history")?;
        let faults = executed(&history);
        ensure!(
            !faults.is_empty(),
            "{} had no faults; give a run that was made with --nemesis",
            path.display()
        );
        let plan = &history.run.plan;
        let (servers, clients) = (plan.nodes.len(), plan.client_seeds.len());
        Ok(Earlier { run_dir: run_dir.path().to_owned(), faults, servers, clients })
    }

    /// They are done to servers and clients by number, so a plan needs as many of both.
    pub fn schedule(&self, plan: &Plan) -> Result<Vec<PlannedFault>> {
        let (servers, clients) = (plan.nodes.len(), plan.client_seeds.len());
        ensure!(
            (servers, clients) == (self.servers, self.clients),
            "--faults-of: that run had {} servers and {} clients, this one has {servers} and \
             {clients}; give --nodes-count and --clients as they were",
            self.servers,
            self.clients
        );
        Ok(self.faults.iter().cloned().map(PlannedFault::Fixed).collect())
    }
}
