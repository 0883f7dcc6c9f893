//! What the verdict tells of faults: what came of each, how well they were timed and aimed, and the
//! elections beside them.

use locktest_history::{ClientId, FaultKind, Party, TookEffect};

use crate::faults::{Fault, Faults};
use crate::hold::Tenure;
use crate::observed::Observed;
use crate::servers::Servers;
use crate::time::ns_to_ms;
use crate::verdict::{ElectionSeen, FaultSummary, FaultTiming, SkippedFault};

/// So many steps of elections are shown.
const ELECTIONS_SHOWN: usize = 200;

/// A line of a server's log is cut to so many characters.
const LINE_LENGTH: usize = 300;

/// Every fault that was applied, in order of their begins. `served_ns` has the grants and the writes
/// of registers.
pub(crate) fn summaries(
    observed: &Observed,
    faults: &Faults,
    servers: &Servers,
    tenures: &[Tenure],
    served_ns: &[u64],
) -> Vec<FaultSummary> {
    let served_after =
        |time_ns: u64| served_ns.get(served_ns.partition_point(|served_ns| *served_ns < time_ns));
    let unknown = || {
        let rest = match observed.cut_short {
            true => "the run was cut short",
            false => "its end was not recorded",
        };
        vec![format!("the history ends while the fault is in force: {rest}")]
    };
    let summary = |fault: &Fault| {
        let (begun, done, ended) = (fault.begun, fault.done(), fault.ended);
        let recovered_ns = ended.and_then(|_| fault.recovered_ns(servers));
        FaultSummary {
            id: begun.id,
            kind: done.kind,
            aim: done.aim.clone(),
            splits_clients: done.splits_clients(),
            targets: targets(done).map(|party| observed.plan.party_name(party)).collect(),
            description: observed.plan.targets_in_words(done),
            begin_ns: begun.begin_ns,
            in_force_ns: begun.in_force_ns,
            end_ns: fault.end_ns,
            spread_ms: spread_ns(&begun.hosts).map(ns_to_ms),
            uncertainty_ms: uncertainty_ns(fault).map(ns_to_ms),
            hit_holder: (done.holder)
                .map(|holder| fault.bit() && still_held(fault, holder, tenures)),
            bit: fault.bit(),
            proof: ended.map_or_else(unknown, |ended| ended.proof.clone()),
            undone: ended.is_some_and(|ended| ended.undone),
            undo_proof: ended.map_or_else(unknown, |ended| ended.undo_proof.clone()),
            servers_recovered_ms: recovered_ns
                .filter(|_| fault.concerns_servers())
                .map(|time_ns| ns_to_ms(time_ns - fault.end_ns)),
            next_grant_ms: ended
                .and_then(|_| served_after(fault.end_ns))
                .map(|served_ns| ns_to_ms(served_ns - fault.end_ns)),
        }
    };
    faults.iter().map(summary).collect()
}

fn targets(done: &locktest_history::Fault) -> impl Iterator<Item = Party> + '_ {
    let servers = done.servers.iter().chain(&done.clocks).map(|node| Party::Server(*node));
    let clients = done.clients.iter().map(|client| Party::Client(*client));
    let has_none = done.servers.is_empty() && done.clients.is_empty() && done.clocks.is_empty();
    let cut = done.cuts.first().filter(|_| has_none);
    servers.chain(clients).chain(cut.into_iter().flat_map(|cut| cut.from.iter().copied()))
}

fn middle_ns(host: &TookEffect) -> u64 {
    host.from_ns.midpoint(host.until_ns)
}

fn spread_ns(hosts: &[TookEffect]) -> Option<u64> {
    let (first, last) = (hosts.iter().map(middle_ns).min()?, hosts.iter().map(middle_ns).max()?);
    (hosts.len() > 1).then_some(last - first)
}

fn uncertainty_ns(fault: &Fault) -> Option<u64> {
    let undone = fault.ended.into_iter().flat_map(|ended| &ended.hosts);
    let spans = fault.begun.hosts.iter().chain(undone);
    spans.map(|host| host.until_ns.saturating_sub(host.from_ns)).max()
}

/// Whether a client believed that it held some lock when a fault came into force. A fault that kills
/// it hits a holder if the client died with a lock in its hands.
fn still_held(fault: &Fault, holder: ClientId, tenures: &[Tenure]) -> bool {
    let (begun, kind) = (fault.begun, fault.done().kind);
    let of_holder = tenures.iter().filter(|tenure| tenure.hold.client == holder);
    let mut granted = of_holder.filter(|tenure| tenure.hold.ok_ns <= begun.in_force_ns);
    granted.any(|tenure| match kind {
        FaultKind::ClientKill => {
            let death = tenure.attempt.client_end;
            let gave_up = tenure.hold.release_invoke_ns.or(tenure.attempt.lost_ns).is_some();
            let time_of_fault = begun.begin_ns..=fault.end_ns;
            death.exited && time_of_fault.contains(&death.time_ns) && !gave_up
        }
        _ => begun.in_force_ns < tenure.hold.belief_end_ns,
    })
}

/// How well the faults were timed and aimed, if anything is known of that.
pub(crate) fn timing(faults: &[FaultSummary]) -> Option<FaultTiming> {
    let spreads: Vec<f64> = faults.iter().filter_map(|fault| fault.spread_ms).collect();
    let known: Vec<f64> = faults.iter().filter_map(|fault| fault.uncertainty_ms).collect();
    let aimed: Vec<bool> = faults.iter().filter_map(|fault| fault.hit_holder).collect();
    (!known.is_empty() || !aimed.is_empty()).then(|| FaultTiming {
        faults: spreads.len() as u64,
        aimed_at_holder: aimed.len() as u64,
        hit_holder: aimed.into_iter().filter(|hit| *hit).count() as u64,
        median_spread_ms: median(spreads),
        median_uncertainty_ms: median(known),
    })
}

/// The middle one; of an even number the lower of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

pub(crate) fn skipped(observed: &Observed) -> Vec<SkippedFault> {
    let skipped = observed.faults_skipped.iter().map(|fault| SkippedFault {
        kind: fault.kind,
        aim: fault.aim.clone(),
        time_ns: fault.time_ns,
        reason: fault.reason.clone(),
    });
    skipped.collect()
}

pub(crate) fn elections(observed: &Observed) -> Vec<ElectionSeen> {
    let seen = observed.elections.iter().take(ELECTIONS_SHOWN).map(|election| ElectionSeen {
        time_ns: election.time_ns,
        node: observed.plan.node_name(election.node),
        step: election.step,
        line: election.line.chars().take(LINE_LENGTH).collect(),
    });
    seen.collect()
}
