//! What a report tells beyond the verdict: the commands of the faults, the run's files, and what the
//! analysis cost.

use std::fs;
use std::time::{Duration, Instant};

use locktest_analyzer::{Step, Verdict, analyze_by_steps};
use locktest_cluster::read_audit_log;
use locktest_history::{History, RunDir};
use locktest_nemesis::FaultTag;
use locktest_reports::{AnalysisCost, Background, FaultCommand};

/// The steps that change something on a host; the others only look.
const CHANGING: [&str; 3] = ["prepare", "apply", "undo"];

/// Decides a history, and measures what that costs.
pub fn measured_analysis(history: &History) -> (Verdict, AnalysisCost) {
    forget_peak_resident();
    let mut steps: Vec<(Step, Duration)> = Vec::new();
    let mut last = Instant::now();
    let verdict = analyze_by_steps(history, &mut |step| {
        steps.push((step, last.elapsed()));
        last = Instant::now();
    });
    (verdict, AnalysisCost { steps, peak_resident_bytes: peak_resident_bytes() })
}

/// What the other files of a run directory tell. What cannot be read is left out: the page is no worse
/// for it than the run is.
pub fn background(run_dir: &RunDir, analysis: AnalysisCost) -> Background {
    Background {
        commands: fault_commands(run_dir),
        analysis: Some(analysis),
        files: files(run_dir),
    }
}

fn fault_commands(run_dir: &RunDir) -> Vec<FaultCommand> {
    let Ok(sent) = read_audit_log(&run_dir.audit_log()) else { return Vec::new() };
    let of_faults = sent.filter_map(|command| {
        let (step, fault) = FaultTag::of_purpose(&command.purpose)?;
        CHANGING.contains(&step).then(|| FaultCommand {
            fault,
            host: command.node,
            step: step.to_owned(),
            script: command.script,
        })
    });
    of_faults.collect()
}

/// The files that every run ends with, and those that this one has, too.
fn files(run_dir: &RunDir) -> Vec<String> {
    const ALWAYS: [&str; 7] = [
        "history",
        "junit.xml",
        "plan.json",
        "run.json",
        "schedule.json",
        "summary.md",
        "verdict.json",
    ];
    let also = ["audit.jsonl", "faults.jsonl"];
    let also = also.into_iter().filter(|name| run_dir.path().join(name).is_file());
    let mut logs: Vec<String> = fs::read_dir(run_dir.logs())
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .map(|name| format!("logs/{name}"))
        .collect();
    logs.sort_unstable();
    ALWAYS.into_iter().chain(also).map(str::to_owned).chain(logs).collect()
}

/// From now on the kernel counts the peak anew. Where it does not, the peak is of all the time.
fn forget_peak_resident() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn peak_resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
