//! `locktest run`: plan, cluster, clients and nemesis, verdict.

mod announcement;
mod background;
mod conclude;
mod faults;
mod live;
mod logs;
mod prober;
mod recording;
mod sampler;
pub mod servers;
mod session;
mod stop;
mod target;
mod watcher;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use locktest_analyzer::Verdict;
use locktest_cluster::{Store, quote};
use locktest_history::{Backend, History, Plan, Run, RunDir};
use locktest_lab::{LabDirs, Subnet, down_id};
use locktest_workloads::clock::RunClock;

use announcement::announcement;
use conclude::print;
pub use conclude::{Verdicts, conclude, judge, write_prometheus};
pub use faults::{DEADLINE_MARGIN, fault_timers};
use servers::expected_version;
pub use servers::{BUILT_IN, find_program};
use session::{Ended, Session};
pub use stop::Stop;

use crate::cli::{FaultArgs, RunArgs};
use crate::commands::{heal_open, parse_subnet, runtime};
use crate::exit::{Exit, Failure};
use crate::plan::Earlier;
use crate::terminal::Terminal;
use crate::{dry_run, plan};

/// Runs a test to its verdict.
pub fn run(args: &RunArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let args = &with_earlier_faults(args)?;
    let dirs = LabDirs::from_env();
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let store = Store::of(args.backend);
    let subnet = args.lab_subnet.as_deref().map(parse_subnet).transpose()?;
    // Before anything else is looked at: a wrong flag is wrong also for those who may not run a
    // lab.
    plan::plan(args, seed, String::new()).map_err(Failure::usage)?;
    let runtime = runtime()?;
    if args.dry_run {
        let version = runtime.block_on(expected_version(args, store)).map_err(Failure::set_up)?;
        let plan = plan::plan(args, seed, version).map_err(Failure::usage)?;
        let text = dry_run::render(args, &plan, &dirs)?;
        terminal.print(&text).context("cannot print the plan").map_err(Failure::set_up)?;
        return Ok(Exit::Ok);
    }
    if store.is_some() {
        locktest_lab::preflight().map_err(Failure::set_up)?;
    }
    let (ended, run_dir) = runtime.block_on(async {
        let stop = Stop::on_signals();
        let stop = stop.context("cannot listen for signals").map_err(Failure::set_up)?;
        supervise(args, seed, stop, subnet, dirs, terminal).await
    })?;
    let Judged { run_dir, history, verdict, ended, unwritten } = judged(ended, run_dir)?;
    print(&verdict, Some(&run_dir), &history, args.wants_json(), terminal)?;
    let metrics = args.prometheus.as_deref();
    let metrics = metrics.and_then(|file| write_prometheus(file, &verdict, &history).err());
    let unwritten = unwritten.or(metrics);
    let had_faults = !history.run.plan.schedule.is_empty();
    exit_code(args, ended, unwritten, &verdict, had_faults, terminal)
}

/// One run of several, whose verdict is not printed.
pub struct OneRun {
    /// Where it is.
    pub run_dir: RunDir,
    /// What was decided.
    pub verdict: Verdict,
    /// What the run alone would have exited with.
    pub exit: Result<Exit, Failure>,
}

/// Runs a test to its verdict, without a word of it on standard output.
pub async fn one_run(
    args: &RunArgs,
    seed: u64,
    stop: &Stop,
    terminal: &Terminal,
) -> Result<OneRun, Failure> {
    let dirs = LabDirs::from_env();
    let (ended, run_dir) = supervise(args, seed, stop.of_one_run(), None, dirs, terminal).await?;
    let Judged { run_dir, history, verdict, ended, unwritten } = judged(ended, run_dir)?;
    let had_faults = !history.run.plan.schedule.is_empty();
    let exit = exit_code(args, ended, unwritten, &verdict, had_faults, terminal);
    Ok(OneRun { run_dir, verdict, exit })
}

/// A run that has been judged.
struct Judged {
    run_dir: RunDir,
    history: History,
    verdict: Verdict,
    ended: Ended,
    unwritten: Option<anyhow::Error>,
}

fn judged(ended: Ended, run_dir: RunDir) -> Result<Judged, Failure> {
    if !run_dir.history().exists() {
        let problem = ended.problem.unwrap_or_else(|| Failure::internal(anyhow!("no history")));
        let exit = if ended.interrupted { Exit::Interrupted } else { problem.exit };
        return Err(Failure { exit, ..problem });
    }
    let history =
        run_dir.read_history().context("cannot read the history").map_err(Failure::internal)?;
    let Verdicts { verdict, unwritten } = judge(Some(&run_dir), &history);
    Ok(Judged { run_dir, history, verdict, ended, unwritten })
}

/// The flags, and the faults of the run that they name.
fn with_earlier_faults(args: &RunArgs) -> Result<RunArgs, Failure> {
    let earlier = args.faults.faults_of.as_deref().map(Earlier::read).transpose();
    let earlier = earlier.map_err(Failure::usage)?;
    Ok(RunArgs { faults: FaultArgs { earlier, ..args.faults.clone() }, ..args.clone() })
}

/// Runs the session in a task of its own, so that a panic in it is an end like any other: the
/// faults are undone from the journal and the lab is removed.
async fn supervise(
    args: &RunArgs,
    seed: u64,
    stop: Stop,
    subnet: Option<Subnet>,
    dirs: LabDirs,
    terminal: &Terminal,
) -> Result<(Ended, RunDir), Failure> {
    let store = Store::of(args.backend);
    let (program, version) = match store {
        Some(store) => {
            let found = find_program(args, store, &dirs, terminal).await;
            let (program, version) = found.map_err(Failure::set_up)?;
            (Some(program), version)
        }
        None => (None, BUILT_IN.into()),
    };
    let plan = plan::plan(args, seed, version).map_err(Failure::usage)?;
    let clock = RunClock::start();
    let now = SystemTime::now();
    let id = format!("{:06x}", rand::random::<u32>() & 0xff_ffff);
    // A lab of the run's own has the run's id.
    let lab = store.map(|_| args.lab.clone().unwrap_or_else(|| id.clone()));
    let own_lab = lab.clone().filter(|_| args.lab.is_none());
    let run = Run {
        id: id.clone(),
        started_at_unix_s: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        origin_monotonic_ns: clock.origin_monotonic_ns(),
        command: command(args, &plan),
        lab,
        plan,
    };
    let time = humantime::format_rfc3339_seconds(now).to_string().replace([':', '-'], "");
    let name = format!("{time}-{}-{}-{seed}", args.backend, args.faults.name());
    let run_dir = RunDir::create(&args.store, &name)
        .context("cannot make a run directory")
        .map_err(Failure::set_up)?;
    let faults_of = args.faults.earlier.as_ref().map(|earlier| earlier.run_dir.as_path());
    terminal.step(announcement(&run, faults_of, &run_dir));
    let session = Session {
        run,
        clock,
        run_dir: run_dir.clone(),
        dirs: dirs.clone(),
        stop,
        terminal: terminal.clone(),
        subnet,
        own_lab: own_lab.is_some(),
        sim_bug: args.sim_bug,
        stop_on_violation: args.stop_on_violation,
        fail_on_overrun: args.fail_on.is_some(),
    };
    let stop = session.stop.clone();
    let outcome = tokio::spawn(async move {
        match program {
            Some(program) => session.run_on_lab(program).await,
            None => session.run_on_sim().await,
        }
    })
    .await;
    terminal.end_live();
    let problem = match outcome {
        Ok(Ok(ended)) => {
            return Ok((Ended { interrupted: stop.is_interrupted(), ..ended }, run_dir));
        }
        Ok(Err(failure)) => failure,
        Err(panic) => {
            Failure::internal(anyhow!("the run broke off: {panic}; this is a bug in locktest"))
        }
    };
    let fault_left = clean_up(&id, own_lab.as_deref(), &dirs, terminal).await;
    let interrupted = stop.is_interrupted();
    let ended = Ended { interrupted, fault_left, problem: Some(problem), ..Ended::default() };
    Ok((ended, run_dir))
}

/// What an orderly end does itself: for a session that could not. Tells of a fault that may be left.
async fn clean_up(
    run_id: &str,
    own_lab: Option<&str>,
    dirs: &LabDirs,
    terminal: &Terminal,
) -> Option<String> {
    let healed = heal_open(Some(run_id)).await;
    let mut lab_is_gone = false;
    if let Some(id) = own_lab {
        match down_id(dirs, id).await {
            Ok(_) => lab_is_gone = true,
            Err(error) => {
                terminal.warning(format_args!("{error}; run `locktest lab down --all`"));
            }
        }
    }
    let problem = match healed {
        Ok(report) if report.is_clean() => return None,
        Ok(_) => "a fault may be left behind; run `locktest heal`".to_owned(),
        Err(failure) => format!("a fault may be left behind: {failure}; run `locktest heal`"),
    };
    (!lab_is_gone).then_some(problem)
}

/// A fault left behind outranks all, then comes a violation, then whatever else went wrong.
fn exit_code(
    args: &RunArgs,
    ended: Ended,
    unwritten: Option<anyhow::Error>,
    verdict: &Verdict,
    had_faults: bool,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let of_verdict = Exit::of_verdict(verdict, args.fail_on.is_some());
    let problem = ended.problem.or_else(|| unwritten.map(Failure::set_up));
    if ended.fault_left.is_some() || of_verdict == Exit::Violation {
        if let Some(problem) = problem {
            terminal.warning(problem);
        }
        return match ended.fault_left {
            Some(left) => Err(Failure { exit: Exit::FaultLeft, error: anyhow!("{left}") }),
            None => Ok(of_verdict),
        };
    }
    if let Some(problem) = problem {
        let exit = if ended.interrupted { Exit::Interrupted } else { problem.exit };
        return Err(Failure { exit, ..problem });
    }
    if ended.interrupted {
        return Ok(Exit::Interrupted);
    }
    if had_faults && !verdict.faults.iter().any(|fault| fault.bit) {
        return Err(Failure::set_up(anyhow!("no fault took effect; see the warnings above")));
    }
    Ok(of_verdict)
}

/// The command line that makes the same plan again, also when another version has become the default.
fn command(args: &RunArgs, plan: &Plan) -> String {
    let by_default =
        args.backend != Backend::Sim && args.version.is_none() && args.server_binary.is_none();
    let version = if by_default { format!(" --version {}", plan.version) } else { String::new() };
    let faults_of =
        |earlier: &Earlier| format!(" --faults-of {}", quote(&earlier.run_dir.to_string_lossy()));
    let faults = args.faults.earlier.as_ref().map(faults_of).unwrap_or_default();
    format!("locktest {}{version} --seed {}{faults}", args.given, plan.seed)
}
