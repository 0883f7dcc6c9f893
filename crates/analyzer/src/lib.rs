//! Verdicts and latency: pure functions of a history.
//!
//! This crate knows no network, no clock, no file and no async runtime, and so it cannot fail:
//! [`analyze`] gives a verdict for every history, and says what it could not decide.
//!
//! A history is first put in order (`observed`, `operation`). Each rule then reads it and adds what
//! it found to the `findings`: mutual exclusion (`overlap`), what the service itself admits
//! (`evidence`), `tokens`, the protected `resource` or values in the store (`store_resource`), every
//! `register`, `liveness` and `availability`. The last two rest on what the `faults` left: which
//! `servers` count, and what `reach`es them. The `outcome` of the run and of its four rows follows
//! from those. Every rule is near-linear in the history but for the search of a register's order,
//! which has a budget.

mod availability;
mod clock;
mod cost;
mod evidence;
mod fault_summary;
mod faults;
mod findings;
mod hold;
mod latency;
mod liveness;
mod load;
mod missing;
mod observed;
mod operation;
mod outcome;
mod overlap;
mod possession;
mod promised;
mod reach;
mod register;
mod resource;
mod servers;
mod step;
mod store_resource;
mod time;
mod tokens;
mod verdict;
mod watch;

use locktest_history::History;

pub use hold::{Hold, holds};
pub use observed::Heard;
pub use promised::promised;
pub use register::registers;
pub use step::Step;
pub use verdict::*;
pub use watch::{Alarm, Watch};

use crate::faults::Faults;
use crate::findings::Findings;
use crate::hold::Tenure;
use crate::observed::Observed;
use crate::outcome::Evidence;
use crate::reach::Reach;
use crate::servers::Servers;

/// Decides a history.
pub fn analyze(history: &History) -> Verdict {
    analyze_by_steps(history, &mut |_| {})
}

/// The same, and tells of each step when it is done. Only the caller has a clock.
pub fn analyze_by_steps(history: &History, done: &mut dyn FnMut(Step)) -> Verdict {
    verdict_of(history, &Observed::new(history), done)
}

/// Decides what is known of a run that goes on. Whatever it calls a violation is one, whatever else
/// happens; what it calls held may still be violated.
pub fn analyze_so_far(history: &History, heard: &Heard) -> Verdict {
    verdict_of(history, &Observed::so_far(history, heard), &mut |_| {})
}

fn verdict_of<'h>(
    history: &'h History,
    observed: &Observed<'h>,
    done: &mut dyn FnMut(Step),
) -> Verdict {
    let faults = Faults::new(observed);
    let servers = Servers::new(observed, &faults);
    let reach = Reach::new(observed, &faults, &servers);
    let tenures = hold::tenures(observed);
    let by_key = overlap::by_key(&tenures);
    let leader_changes = faults::leader_changes(observed);
    let served_ns = served_ns(observed, &tenures);
    let restarts = liveness::restarts(&faults, &leader_changes);
    let unsettled = liveness::unsettled(observed, &faults, &servers, &leader_changes);
    let possessions = possession::possessions(observed, &reach, &unsettled);
    done(Step::Order);

    let mut findings = Findings::new(observed, &faults);
    overlap::overlaps(observed, &by_key, &mut findings);
    done(Step::MutualExclusion);
    evidence::stale_grants(observed, &tenures, &mut findings);
    evidence::early_expiries(observed, &tenures, &mut findings);
    done(Step::Evidence);
    let tokens = tokens::monotone(observed, &by_key, &mut findings);
    done(Step::Tokens);
    let resource = match observed.plan.workload.keeps_values_in_store() {
        true => store_resource::lost_updates(observed, &tenures, &mut findings),
        false => resource::lost_updates(observed, &tenures, &mut findings),
    };
    done(Step::Resource);
    let registers = register::not_linearizable(observed, &mut findings);
    done(Step::Registers);
    let liveness =
        liveness::deadlocks(observed, (&servers, &reach), &restarts, &possessions, &mut findings);
    done(Step::Liveness);
    availability::outages(observed, &servers, &restarts, &served_ns, &mut findings);
    done(Step::Availability);

    let longest_gap_ns = latency::longest_gap_ns(observed, &tenures);
    let contention = overlap::contention(observed, &by_key);
    let evidence = Evidence {
        observed,
        faults: &faults,
        findings: &findings,
        counts: Counts {
            contended: contention.total(),
            spurious_denials: possession::spurious_denials(observed, &possessions),
            fenced_rejections: resource.rejections,
            registers: registers.counts,
            ..outcome::counts(observed)
        },
        tokens,
        resource,
        registers,
        contention,
        liveness,
        longest_gap_ns: longest_gap_ns.unwrap_or(0),
        served_under_faults: outcome::served_under_faults(observed, &faults, &served_ns),
        unrecovered: faults.unrecovered(&servers, observed.end_ns, liveness::bound_ns(observed)),
    };
    let properties = evidence.properties();
    let outcome = evidence.run(&properties);
    let run = &history.run;
    let summaries = fault_summary::summaries(observed, &faults, &servers, &tenures, &served_ns);
    let verdict = Verdict {
        schema_version: VERDICT_SCHEMA_VERSION,
        outcome,
        summary: evidence.summary(outcome, &properties),
        backend: run.plan.backend,
        recipe: run.plan.recipe,
        workload: run.plan.workload,
        read_mode: run.plan.read_mode,
        version: run.plan.version.clone(),
        seed: run.plan.seed,
        run_id: run.id.clone(),
        command: run.command.clone(),
        nodes: run.plan.nodes.clone(),
        end_ns: observed.end_ns,
        warnings: evidence.warnings(&history.damage),
        not_tested: evidence.not_tested(&properties, leader_changes.len()),
        properties,
        counts: evidence.counts,
        fault_timing: fault_summary::timing(&summaries),
        faults: summaries,
        faults_skipped: fault_summary::skipped(observed),
        leader_changes,
        elections: fault_summary::elections(observed),
        election_count: observed.elections.len() as u64,
        latency: latency::latency(observed, &faults, &servers),
        cost: cost::cost(observed),
        load: load::load(observed),
        longest_gap_ms: longest_gap_ns.map(time::ns_to_ms),
        violation_counts: findings.counts().clone(),
        violations: findings.into_shown(),
        known_bugs: Vec::new(),
    };
    done(Step::Figures);
    verdict
}

/// When the service did something for somebody that it can only do while it works: grants, and
/// writes of registers; in time order.
fn served_ns(observed: &Observed, tenures: &[Tenure]) -> Vec<u64> {
    let granted = tenures.iter().map(|tenure| tenure.hold.ok_ns);
    let mut served_ns: Vec<u64> = granted.chain(register::updates_ns(observed)).collect();
    served_ns.sort_unstable();
    served_ns
}
