//! The runs of a bench, one after the other.

use std::path::PathBuf;

use anyhow::anyhow;
use locktest_cluster::Store;
use locktest_lab::LabDirs;
use locktest_reports::{Bench, Contender, Measurement, progress_line};

use super::cells::{CellPlan, Turn, command};
use crate::cli::{BenchArgs, ContenderArg, run_args_of};
use crate::exit::{Exit, Failure};
use crate::run::{BUILT_IN, Stop, find_program, one_run};
use crate::terminal::Terminal;

/// Measures, and keeps what is known so far.
pub struct Measure {
    /// What is known, also when it was cut short.
    pub bench: Bench,
    /// The folder of the run directories.
    pub runs: PathBuf,
    /// Whether it is to end.
    pub stop: Stop,
    /// Where progress goes.
    pub terminal: Terminal,
}

impl Measure {
    /// Gets the servers of every store before the first run, so that no cell waits for a mirror. A store
    /// that is not to be had is left out, with the reason.
    pub async fn find_servers(&mut self, contenders: &[ContenderArg]) {
        let dirs = LabDirs::from_env();
        for contender in contenders {
            let backend = contender.backend;
            let found = match Store::of(backend) {
                None => Ok(BUILT_IN.to_owned()),
                Some(store) => {
                    let mut line = format!("locktest run --backend {backend}");
                    if let Some(version) = &contender.version {
                        line += &format!(" --version {version}");
                    }
                    match run_args_of(&line) {
                        Ok(args) => find_program(&args, store, &dirs, &self.terminal)
                            .await
                            .map(|(_, version)| version)
                            .map_err(|error| format!("{error:#}")),
                        Err(error) => Err(error.to_string()),
                    }
                }
            };
            let asked = contender.version.clone().unwrap_or_default();
            let (version, unobtainable) = match found {
                Ok(version) => (version, None),
                Err(why) => {
                    self.terminal.warning(format_args!("{contender} is left out: {why}"));
                    (asked, Some(why))
                }
            };
            self.bench.contenders.push(Contender {
                name: contender.to_string(),
                backend,
                recipe: contender.recipe.unwrap_or(backend.recipes()[0]),
                version,
                unobtainable,
            });
        }
    }

    /// Runs every turn in order.
    ///
    /// # Errors
    /// Nothing more may run: it was interrupted, or a fault was left behind.
    pub async fn turns(
        &mut self,
        plans: &[CellPlan],
        turns: &[Turn],
        args: &BenchArgs,
    ) -> Result<(), Failure> {
        let contenders = self.bench.contenders.clone();
        let to_be_had = |turn: &&Turn| {
            let name = plans[turn.cell].contender.to_string();
            contenders.iter().any(|one| one.name == name && one.unobtainable.is_none())
        };
        let turns: Vec<&Turn> = turns.iter().filter(to_be_had).collect();
        for (turn, number) in turns.iter().zip(1..) {
            let plan = &plans[turn.cell];
            let place = format!(
                "{number} of {}: {}, {}, {} client{}",
                turns.len(),
                plan.contender,
                plan.keys.words(),
                plan.processes,
                if plan.processes == 1 { "" } else { "s" }
            );
            self.terminal.live(&place);
            let outcome = self.turn(plan, turn, args).await;
            self.terminal.end_live();
            let cell = &mut self.bench.cells[turn.cell];
            match outcome {
                Ok((measurement, problem)) => {
                    let line = progress_line(&measurement);
                    self.terminal.step(format_args!("{place}: {line}"));
                    cell.measurements.push(measurement);
                    cell.problems.extend(problem);
                }
                Err(failure) if failure.exit == Exit::Interrupted => {
                    self.bench.interrupted = true;
                    return Err(failure);
                }
                Err(failure) if failure.exit == Exit::FaultLeft => return Err(failure),
                Err(failure) => {
                    self.terminal.warning(format_args!("{place}: {failure}"));
                    cell.problems.push(failure.to_string());
                }
            }
        }
        Ok(())
    }

    /// What a run measured, and what went wrong all the same.
    async fn turn(
        &self,
        plan: &CellPlan,
        turn: &Turn,
        args: &BenchArgs,
    ) -> Result<(Measurement, Option<String>), Failure> {
        let line = command(plan, args, turn.seed);
        let mut run = run_args_of(&line).map_err(Failure::internal)?;
        run.store = self.runs.clone();
        self.terminal.detail(&line);
        let outcome = one_run(&run, turn.seed, &self.stop, &self.terminal.of_a_part()).await;
        if self.stop.is_requested() {
            return Err(Failure { exit: Exit::Interrupted, error: anyhow!("interrupted") });
        }
        let run = outcome?;
        let problem = match run.exit {
            Err(failure) if failure.exit == Exit::FaultLeft => return Err(failure),
            Err(failure) => Some(failure.to_string()),
            Ok(_) => None,
        };
        let dir = run.run_dir.path().display().to_string();
        let limit_ms = self.bench.time_limit_ms;
        Ok((Measurement::of(&run.verdict, turn.repeat, dir, limit_ms), problem))
    }
}
