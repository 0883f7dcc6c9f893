//! The page's sections below the verdict.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use locktest_analyzer::{FaultSummary, Verdict, Violation, ViolationClass};
use locktest_history::{History, HolderPolicy, Resource};
use maud::{Markup, html};

use super::commands::Commands;
use super::figure::{self, Window};
use super::lanes::Lanes;
use super::parts::{MAX_SENTENCE, badge, list, sentence_case};
use super::violation;
use crate::findings;
use crate::text::{count, duration, percent_encoded, seconds, visible};
use crate::wording::{self, Tone};

/// How much is shown around a violation, to either side.
const CONTEXT_NS: u64 = 3_000_000_000;

/// Bars of each kind in the window around a violation.
const CONTEXT_BARS: usize = 150;

/// More faults than this are left to verdict.json.
const MAX_FAULTS: usize = 60;

/// More observations than this of one fault are left to verdict.json.
const MAX_PROOFS: usize = 6;

/// An observation is cut to this length.
const MAX_PROOF: usize = 300;

/// More steps of elections than this are left to verdict.json.
const MAX_ELECTIONS: usize = 40;

/// More files than this are left to the run's folder.
const MAX_FILES: usize = 60;

/// More violations than this of one class are left to verdict.json.
const MAX_OF_CLASS: usize = 10;

/// The first violation of each class, drawn.
pub(crate) fn violations(verdict: &Verdict, history: &History, lanes: &Lanes) -> Markup {
    let mut seen = BTreeSet::new();
    let firsts = verdict.violations.iter().filter(|violation| seen.insert(violation.class));
    html! {
        @if !verdict.violations.is_empty() {
            section {
                h2 { "The first of each kind" }
                @for violation in firsts { (first_of_class(violation, verdict, history, lanes)) }
            }
        }
    }
}

/// The published bugs that the violations look like.
pub(crate) fn known_bugs(verdict: &Verdict) -> Markup {
    html! {
        @if !verdict.known_bugs.is_empty() {
            section {
                h2 { "Match with known bugs" }
                ul {
                    @for bug in &verdict.known_bugs {
                        li { (sentence_case(&visible(&findings::likeness(bug), MAX_SENTENCE))) }
                    }
                }
                p.note { "Store, version, class and faults fit. That does not prove that this is the cause; "
                    code { "locktest catalog show ID" } " tells more." }
            }
        }
    }
}

fn first_of_class(
    violation: &Violation,
    verdict: &Verdict,
    history: &History,
    lanes: &Lanes,
) -> Markup {
    let overrun = violation.class == ViolationClass::LeaseOverrun;
    let class = if overrun { "violation doubt" } else { "violation" };
    html! {
        article class=(class) {
            h3 {
                (badge(if overrun { Tone::Doubt } else { Tone::Bad }, violation.class.name()))
                " at " (seconds(violation.time_ns)) (place(violation))
            }
            p.note { (wording::class_meaning(violation.class)) }
            p.why { (visible(&violation.why, MAX_SENTENCE)) }
            @if let Some(fault) = &violation.during {
                p { "During " (visible(fault, MAX_SENTENCE)) }
            }
            (violation::figure(violation, &verdict.faults))
            (violation::operations(violation))
            details {
                summary { "Everything that happened around it, three seconds to either side" }
                (figure::draw(verdict, history, lanes, &context(violation)))
            }
        }
    }
}

/// The window around a violation: what led to it, and what came of it.
fn context(violation: &Violation) -> Window {
    let from_ns = violation.time_ns.saturating_sub(CONTEXT_NS);
    let to_ns = violation.time_ns.saturating_add(CONTEXT_NS);
    Window { time_ns: from_ns..to_ns, detailed: true, bar_limit: CONTEXT_BARS }
}

fn place(violation: &Violation) -> String {
    let key = match violation.key.as_str() {
        "" => String::new(),
        key => format!(", key \u{201c}{}\u{201d}", visible(key, 60)),
    };
    let resource = match violation.resource {
        Some(Resource::Unfenced) => ", on the resource without a fence",
        Some(Resource::Fenced) => ", on the fenced resource",
        None => "",
    };
    key + resource
}

/// Every class with its count, and the violations that the verdict holds.
pub(crate) fn all_violations(verdict: &Verdict) -> Markup {
    html! {
        @if verdict.violation_counts.values().any(|n| *n > 0) {
            section {
                h2 { "All violations" }
                @for (&class, &n) in verdict.violation_counts.iter().filter(|(_, n)| **n > 0) {
                    (all_of_class(verdict, class, n))
                }
            }
        }
    }
}

fn all_of_class(verdict: &Verdict, class: ViolationClass, n: u64) -> Markup {
    let shown: Vec<&Violation> = verdict
        .violations
        .iter()
        .filter(|violation| violation.class == class)
        .take(MAX_OF_CLASS)
        .collect();
    html! {
        h3 { (class) " \u{d7} " (n) }
        div.scroll tabindex="0" {
            table {
                thead { tr { th.n { "at" } th { "key" } th { "why" } th { "during" } } }
                tbody {
                    @for violation in &shown {
                        tr {
                            td.n { (seconds(violation.time_ns)) }
                            td.key { (visible(&violation.key, 60)) }
                            td { (visible(&violation.why, MAX_SENTENCE)) }
                            td.mid { (violation.during.as_deref().map_or("-".to_owned(), |fault| visible(fault, 200))) }
                        }
                    }
                }
            }
        }
        @if n > shown.len() as u64 { p.note { (n - shown.len() as u64) " more, counted but not shown." } }
    }
}

/// Every fault with what shows that it bit and that it is gone.
pub(crate) fn faults(verdict: &Verdict, commands: &Commands<'_>) -> Markup {
    let left_out = verdict.faults.len().saturating_sub(MAX_FAULTS);
    html! {
        section {
            h2 { "Faults" }
            @if verdict.faults.is_empty() { p { "No fault was applied." } }
            @else {
                div.scroll tabindex="0" {
                    table {
                        thead { tr {
                            th.n { "no." } th { "fault" } th.n { "from" } th.n { "to" } th { "bit" }
                            th { "undone" } th { "afterwards" }
                        } }
                        tbody {
                            @for fault in verdict.faults.iter().take(MAX_FAULTS) { (fault_row(fault, verdict, commands)) }
                        }
                    }
                }
                @if left_out > 0 { p.note { (count(left_out as u64, "more fault")) " in verdict.json." } }
            }
            @if let Some(timing) = &verdict.fault_timing {
                p { (sentence_case(&wording::fault_timing(timing))) "." }
            }
            @if !verdict.faults_skipped.is_empty() {
                h3 { "Not applied" }
                (list(&verdict.faults_skipped.iter()
                    .map(|skipped| wording::skipped(skipped, verdict.recipe)).collect::<Vec<_>>()))
            }
        }
    }
}

fn fault_row(fault: &FaultSummary, verdict: &Verdict, commands: &Commands<'_>) -> Markup {
    let word = |known: bool, word| match known {
        true => badge(Tone::Good, word),
        false => badge(Tone::Doubt, "not shown"),
    };
    html! {
        tr {
            th.n scope="row" { (fault.id) }
            td.mid { (wording::fault_kind(fault)) br; b { (visible(&fault.description, 200)) } }
            td.n { (seconds(fault.begin_ns)) }
            td.n { (seconds(fault.end_ns)) }
            td { (word(fault.bit, "bit")) (proofs(&fault.proof)) }
            td { (word(fault.undone, "undone")) (proofs(&fault.undo_proof)) }
            td { (wording::recovery(fault, verdict.workload.takes_locks())) }
        }
        @if let Some(commands) = commands.of_fault(fault.id) { tr { td colspan="7" { (commands) } } }
    }
}

/// The first observation, and the others on demand.
fn proofs(proofs: &[String]) -> Markup {
    html! {
        @if let Some((first, rest)) = proofs.split_first() {
            p.note { (visible(first, MAX_PROOF)) }
            @if !rest.is_empty() {
                details {
                    summary.note { (rest.len()) " more" }
                    @for proof in rest.iter().take(MAX_PROOFS) { p.note { (visible(proof, MAX_PROOF)) } }
                }
            }
        }
    }
}

/// What the servers' logs tell of elections.
pub(crate) fn elections(verdict: &Verdict) -> Markup {
    let shown: Vec<String> =
        verdict.elections.iter().take(MAX_ELECTIONS).map(wording::election).collect();
    let left_out = verdict.election_count.saturating_sub(shown.len() as u64);
    html! {
        @if !shown.is_empty() {
            section {
                h2 { "Elections" }
                p.note { "As the servers' own logs tell, by their own clocks. No verdict rests on them." }
                (list(&shown))
                @if left_out > 0 { p.note { (count(left_out, "more step")) " in the logs of the run." } }
            }
        }
    }
}

/// A file's address, relative to the page.
fn address(file: &str) -> String {
    file.split('/').map(|part| percent_encoded(OsStr::new(part))).collect::<Vec<_>>().join("/")
}

/// The plan, and what the method cannot see.
pub(crate) fn appendix(verdict: &Verdict, history: &History, files: &[String]) -> Markup {
    let plan = &history.run.plan;
    let holder = match plan.holder {
        HolderPolicy::Trusting => "trusting (never looks at its deadline)",
        HolderPolicy::Careful => "careful (checks its deadline before each write)",
    };
    let yes_no = |yes| if yes { "yes" } else { "no" };
    let nodes: Vec<String> = verdict.nodes.iter().take(40).map(|node| visible(node, 60)).collect();
    html! {
        section {
            h2 { "Appendix" }
            h3 { "Plan" }
            dl.facts {
                dt { "workload" } dd { (plan.workload) }
                dt { "reads" } dd { (plan.read_mode) }
                dt { "servers" } dd { (nodes.join(", ")) }
                @if let Some(lab) = &history.run.lab { dt { "lab" } dd { (visible(lab, 80)) } }
                dt { "kernel" } dd { (visible(&plan.kernel, 120)) }
                @if let Some(binary) = &plan.server_binary { dt { "server binary" } dd { code { (visible(binary, 300)) } } }
                @if verdict.workload.takes_locks() {
                    dt { "clients, locks" } dd { (plan.client_seeds.len()) ", " (plan.keys.len()) }
                    dt { "lease TTL" } dd { (duration(plan.lease_ttl_ms as f64)) }
                    @for (name, value) in wording::recipe_options(plan) { dt { (name) } dd { (value) } }
                    dt { "mean hold" } dd { (duration(plan.hold_ms as f64)) }
                    dt { "holds may outlive the lease" } dd { (yes_no(plan.overrun)) }
                    @if !plan.recipe.lease_begins_with_grant() {
                        dt { "renews while waiting" } dd { (yes_no(plan.renew_while_waiting)) }
                    }
                    dt { "holder" } dd { (holder) }
                    dt { "acquire timeout" } dd { (duration(plan.acquire_timeout_ms as f64)) }
                    dt { "other timeouts" } dd { (duration(plan.op_timeout_ms as f64)) }
                } @else {
                    dt { "clients, registers" } dd { (plan.client_seeds.len()) ", " (plan.keys.len()) }
                    dt { "operation timeout" } dd { (duration(plan.op_timeout_ms as f64)) }
                }
                dt { "time limit" } dd { (duration(plan.time_limit_ms as f64)) }
                dt { "nemesis interval" } dd { (duration(plan.nemesis_interval_ms as f64)) ", "
                    (count(plan.schedule.len() as u64, "fault")) " in the schedule" }
                dt { "clock drift allowed" } dd { (plan.clock_drift_ppm) " parts per million" }
                dt { "liveness bounds" } dd { "lease " (duration(plan.bounds.lease_bound_ms as f64))
                    ", recovery " (duration(plan.bounds.recovery_bound_ms as f64)) }
            }
            @if !plan.server_settings.is_empty() {
                h3 { "Server settings that bear on the verdict" }
                (list(&plan.server_settings))
            }
            @if !files.is_empty() {
                h3 { "Files of the run" }
                ul.files { @for file in files.iter().take(MAX_FILES) {
                    li { a href=(address(file)) { (visible(file, 120)) } }
                } }
                @if files.len() > MAX_FILES { p.note { (files.len() - MAX_FILES) " more in its folder." } }
            }
            h3 { "What the method cannot see" }
            ul {
                li { "A run shows the presence of a fault, never its absence. What did not happen here may happen elsewhere: other versions, other faults, other timing." }
                li { "An operation that timed out may or may not have taken effect, at any later time. It is never counted as a failure." }
                li { "All instants are of one clock, taken by the clients before a request is sent and after its answer came. What happened in between on a server is not seen." }
                li { "A lease counts as valid from the grant until the release was asked for or the time to live, counted from before the request that last renewed it, has passed. The service may well keep it longer." }
                li { "Denied acquires do not decide safety: a store may deny while nobody holds. Denials that no holder explains: " (verdict.counts.spurious_denials) "." }
                @if plan.workload.takes_locks() && !plan.recipe.has_fencing_tokens() { li { "This recipe returns no fencing token, so nothing can stop a holder whose lease is over." } }
            }
        }
    }
}
