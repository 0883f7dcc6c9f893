//! What a run is about to do, in one block.

use std::path::Path;
use std::time::Duration;

use locktest_history::{FaultKind, Plan, PlannedFault, Run, RunDir};

/// The block. `faults_of` is the run whose faults come again.
pub fn announcement(run: &Run, faults_of: Option<&Path>, run_dir: &RunDir) -> String {
    let plan = &run.plan;
    let faults = match faults_of {
        Some(path) => {
            format!("the {} of {}, at the same times", plan.schedule.len(), path.display())
        }
        None => faults_in_words(plan),
    };
    let (recipe, locks, lease) = if plan.workload.takes_locks() {
        (format!(", recipe {}", plan.recipe), "lock", format!(", lease {} ms", plan.lease_ttl_ms))
    } else {
        (format!(", {} reads", plan.read_mode), "register", String::new())
    };
    format!(
        "run {id}: {backend} {version}{recipe}, workload {workload}\n  \
         nodes     {nodes}\n  \
         clients   {clients}{owners} on {keys} {locks}{s}{lease}{rate}\n  \
         faults    {faults}\n  \
         time      {time}\n  \
         seed      {seed}\n  \
         directory {directory}",
        id = run.id,
        backend = plan.backend,
        version = plan.version,
        workload = plan.workload,
        nodes = plan.nodes.join(" "),
        clients = plan.client_seeds.len(),
        owners = match plan.owners_per_client {
            1 => String::new(),
            owners => format!(" of {owners} owners"),
        },
        rate = plan.rate_per_s.map(|rate| format!(", {rate} acquires/s")).unwrap_or_default(),
        keys = plan.keys.len(),
        s = if plan.keys.len() == 1 { "" } else { "s" },
        time = time(plan.time_limit_ms),
        seed = plan.seed,
        directory = run_dir.path().display(),
    )
}

/// Such as `quiet for 10s, then kill or pause for 10s, in turn`.
fn faults_in_words(plan: &Plan) -> String {
    let mut kinds: Vec<(FaultKind, u64)> = Vec::new();
    for planned in &plan.schedule {
        let PlannedFault::Drawn(drawn) = planned else { continue };
        if !kinds.iter().any(|(kind, _)| *kind == drawn.kind) {
            kinds.push((drawn.kind, drawn.length_ms));
        }
    }
    kinds.sort_unstable();
    let mut words: Vec<String> = Vec::new();
    for (at, (kind, length_ms)) in kinds.iter().enumerate() {
        // Kinds of one length share its words.
        let next = kinds.get(at + 1).map(|(_, length_ms)| length_ms);
        let has_words = *length_ms > 0 && next != Some(length_ms);
        let length = if has_words { format!(" for {}", time(*length_ms)) } else { String::new() };
        words.push(format!("{kind}{length}"));
    }
    let Some((last, rest)) = words.split_last() else { return "none".into() };
    let or = if rest.is_empty() { "" } else { " or " };
    let quiet = time(plan.nemesis_interval_ms);
    format!("quiet for {quiet}, then {}{or}{last}, in turn", rest.join(", "))
}

fn time(ms: u64) -> String {
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

#[cfg(test)]
mod tests {
    use locktest_history::Backend;
    use locktest_nemesis::{Menu, Parties, plan_schedule};

    use super::*;

    fn words(kinds: &[FaultKind]) -> String {
        let plan = Plan::of(Backend::Etcd);
        let menu = Menu {
            kinds: kinds.to_vec(),
            parties: Parties::of(&plan),
            has_holders: true,
            shape: None,
            target: None,
            direction: None,
            packets: None,
            between: None,
            clock: None,
            clock_offset_ms: None,
            max_affected: None,
            interval_ms: plan.nemesis_interval_ms,
            lease_bound_ms: 10_000,
        };
        faults_in_words(&Plan { schedule: plan_schedule(1, &menu, 10), ..plan })
    }

    #[test]
    fn the_kinds_that_come_are_told_with_their_lengths() {
        use FaultKind::{ClientKill, ClientPause, Kill, Partition, Pause, RestartAll};
        for (kinds, expected) in [
            (&[][..], "none"),
            (&[Partition], "quiet for 10s, then partition for 10s, in turn"),
            (&[Pause, Kill], "quiet for 10s, then kill or pause for 10s, in turn"),
            (
                &[Kill, Pause, RestartAll, ClientPause],
                "quiet for 10s, then kill, pause for 10s, restart-all or client-pause for 21s, in turn",
            ),
            (&[ClientKill], "quiet for 10s, then client-kill, in turn"),
        ] {
            assert_eq!(words(kinds), expected);
        }
    }
}
