//! The sentences that the terminal and the page share.

use std::collections::BTreeSet;

use locktest_analyzer::{
    Counts, ElectionSeen, FaultSummary, FaultTiming, LeaderChange, PropertyOutcome, RoundShown,
    RunOutcome, SkippedFault, Verdict, ViolationClass, Warning,
};
use locktest_history::{
    Aim, Answer, CasWait, ElectionStep, FaultKind, History, Plan, PlannedFault, Recipe,
    RedlockRequests, RoundPurpose, SessionBehavior,
};

use crate::text::{count, duration, duration_ns, seconds};

/// How a line is to be taken. Only `Good` may be green.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Something is broken.
    Bad,
    /// Something calls for a decision or a second look.
    Doubt,
    /// Tested, and nothing found.
    Good,
    /// Not tested, or not applicable.
    Quiet,
}

/// The first line of every report.
pub(crate) struct Headline {
    /// The word that stands out; empty when nothing was found.
    pub word: &'static str,
    /// The rest of the line.
    pub rest: String,
    /// How to take it.
    pub tone: Tone,
}

/// What a person must know if they read one line only.
pub(crate) fn headline(verdict: &Verdict) -> Headline {
    let safety = verdict.properties.safety.outcome;
    match verdict.outcome {
        RunOutcome::Violated => {
            Headline { word: "VIOLATED", rest: found(verdict), tone: Tone::Bad }
        }
        RunOutcome::Undecided => {
            Headline { word: "UNDECIDED", rest: verdict.summary.clone(), tone: Tone::Doubt }
        }
        RunOutcome::Held if safety == PropertyOutcome::NeedsFencing => {
            Headline { word: "NEEDS FENCING", rest: found(verdict), tone: Tone::Doubt }
        }
        RunOutcome::Held => Headline {
            word: "",
            rest: format!("no violation found in {}", amount(verdict)),
            tone: if safety == PropertyOutcome::Held { Tone::Good } else { Tone::Doubt },
        },
    }
}

/// The verdict's summary, where it says something that neither the headline nor a row does.
pub(crate) fn summary(verdict: &Verdict) -> Option<&str> {
    let rest = beyond_headline(verdict, &verdict.summary);
    let said = rows(verdict).iter().any(|row| row.why.contains(rest));
    (!said).then_some(&verdict.summary)
}

/// What a sentence says beyond the headline. One that lists only some of the findings keeps its
/// list, which tells whose they are.
fn beyond_headline<'a>(verdict: &Verdict, sentence: &'a str) -> &'a str {
    if sentence == headline(verdict).rest {
        return "";
    }
    let mut unlisted = findings(verdict);
    let mut rest = sentence;
    while let Some((n, after)) = unlisted
        .iter()
        .enumerate()
        .find_map(|(n, finding)| rest.strip_prefix(finding).map(|after| (n, after)))
    {
        unlisted.swap_remove(n);
        rest = after.strip_prefix(", ").unwrap_or(after);
    }
    if unlisted.is_empty() { rest.trim_start_matches([':', ';', ' ']) } else { sentence }
}

/// Such as `double-grant x7, lost-update x2`.
fn found(verdict: &Verdict) -> String {
    let findings = findings(verdict);
    if findings.is_empty() { verdict.summary.clone() } else { findings.join(", ") }
}

fn findings(verdict: &Verdict) -> Vec<String> {
    let found = verdict.violation_counts.iter().filter(|(_, n)| **n > 0);
    found.map(|(class, n)| format!("{class} x{n}")).collect()
}

/// How much the run tried: `812 acquires, 700 contended, 3 faults that bit`.
fn amount(verdict: &Verdict) -> String {
    let bit = verdict.faults.iter().filter(|fault| fault.bit).count();
    let faults = count(bit as u64, "fault");
    format!("{}, {faults} that bit", verdict.counts.in_words(verdict.workload))
}

/// What the clients did, with how they read where that bears on the verdict: `mutex`,
/// `register, serializable reads`.
pub(crate) fn workload(verdict: &Verdict) -> String {
    let strongest = verdict.backend.read_modes().first();
    let matters = verdict.workload.keeps_values_in_store() || strongest != Some(&verdict.read_mode);
    match matters {
        true => format!("{}, {} reads", verdict.workload, verdict.read_mode),
        false => verdict.workload.to_string(),
    }
}

/// What was tested, in one line: `consul 1.8.7 (session), mutex, 5 nodes, 5 clients, 1 key, 60.02 s,
/// seed 1`. A workload without locks has no recipe.
pub(crate) fn subject(verdict: &Verdict, history: &History) -> String {
    let plan = &history.run.plan;
    let recipe = match verdict.workload.takes_locks() {
        true => format!(" ({})", verdict.recipe),
        false => String::new(),
    };
    let cut_short = match verdict.warnings.contains(&Warning::Interrupted) {
        true => " of a run that was cut short",
        false => "",
    };
    format!(
        "{} {}{recipe}, {}, {}, {}, {}, {}{cut_short}, seed {}",
        verdict.backend,
        verdict.version,
        workload(verdict),
        count(verdict.nodes.len() as u64, "node"),
        count(plan.client_seeds.len() as u64, "client"),
        count(plan.keys.len() as u64, "key"),
        seconds(verdict.end_ns),
        verdict.seed
    )
}

/// The kinds of faults that were asked for: `partition`, `kill+pause`, or `none`.
pub(crate) fn nemesis(plan: &Plan) -> String {
    let kinds = plan.schedule.iter().map(|planned| match planned {
        PlannedFault::Drawn(drawn) => drawn.kind,
        PlannedFault::Fixed(fixed) => fixed.fault.kind,
    });
    let names: Vec<&str> =
        kinds.collect::<BTreeSet<_>>().into_iter().map(FaultKind::name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join("+") }
}

/// The options of the plan's recipe that the user can choose, by name.
pub(crate) fn recipe_options(plan: &Plan) -> Vec<(&'static str, String)> {
    let mut options = Vec::new();
    if let Some(behavior) = plan.session_behavior {
        options.push(("lock-delay", duration(plan.lock_delay_ms as f64)));
        let what = match behavior {
            SessionBehavior::Release => "releases its keys",
            SessionBehavior::Delete => "deletes its keys",
        };
        options.push(("the end of a session", what.to_owned()));
    }
    if let Some(wait) = plan.cas_wait {
        let how = match wait {
            CasWait::Watch => "for a watch to tell that the key is gone",
            CasWait::Poll => "by trying again and again",
        };
        options.push(("waits", how.to_owned()));
    }
    if let Some(redis) = plan.redis {
        if plan.recipe == Recipe::Redlock {
            let order = match redis.requests {
                RedlockRequests::Parallel => "all at once",
                RedlockRequests::Sequential => "one after the other",
            };
            let limit = duration(redis.node_timeout_ms as f64);
            options.push(("asks its servers", format!("{order}, each for {limit} at most")));
        }
        let pause = format!("at most {}", duration(redis.retry_pause_ms as f64));
        options.push(("pause before trying again", pause));
    }
    options
}

/// What became of the acquires, or of what was asked of registers, and of the health probes.
pub(crate) fn answers(counts: &Counts) -> String {
    let Counts { acquires_ok, acquires_denied, acquires_unknown, acquires_cancelled, .. } = counts;
    let mut answers = match &counts.registers {
        Some(registers) => format!(
            "{} answered, {} failed, {} of unknown outcome",
            registers.in_words(),
            registers.failed,
            registers.unknown
        ),
        None => format!(
            "{acquires_ok} granted, {acquires_denied} denied, {acquires_unknown} of unknown outcome"
        ),
    };
    if *acquires_cancelled > 0 {
        answers += &format!(", {acquires_cancelled} of them given up by choice");
    }
    let probes = counts.probes_ok.saturating_add(counts.probes_failed);
    if probes > 0 {
        answers += &format!("; {} of {} answered", counts.probes_ok, count(probes, "health probe"));
    }
    answers
}

/// The longest time in which some client waited for a lock and none was granted it.
pub(crate) fn longest_gap(gap_ms: f64) -> String {
    format!(
        "longest wait with no grant to anyone: {} (a holder may have kept the lock)",
        duration(gap_ms)
    )
}

/// One of the four rows.
pub(crate) struct Row<'a> {
    /// The property's name.
    pub name: &'static str,
    /// Its outcome.
    pub outcome: PropertyOutcome,
    /// Why; what the property asks for, where the headline has said why.
    pub why: &'a str,
}

/// The four rows, in the order in which every report shows them.
pub(crate) fn rows(verdict: &Verdict) -> [Row<'_>; 4] {
    let properties = &verdict.properties;
    [
        (
            "SAFETY",
            &properties.safety,
            match verdict.workload.takes_locks() {
                true => "only one client may hold a lock at any moment",
                false => "reads and writes must be as if they came one after the other",
            },
        ),
        (
            "DEADLOCK-FREE",
            &properties.deadlock_free,
            "a lock must become free again, whatever became of its holder",
        ),
        (
            "FAULT TOLERANCE",
            &properties.fault_tolerance,
            "a majority of the servers must suffice to acquire and release locks",
        ),
        ("FENCING", &properties.fencing, "each grant must carry a larger token than the last"),
    ]
    .map(|(name, property, demand)| Row {
        name,
        outcome: property.outcome,
        why: match beyond_headline(verdict, &property.why) {
            "" => demand,
            why => why,
        },
    })
}

/// A row's outcome in words; capitals where somebody has to act.
pub(crate) fn outcome_word(outcome: PropertyOutcome) -> &'static str {
    match outcome {
        PropertyOutcome::Held => "held",
        PropertyOutcome::Violated => "VIOLATED",
        PropertyOutcome::NeedsFencing => "NEEDS FENCING",
        PropertyOutcome::Undecided => "UNDECIDED",
        PropertyOutcome::NotTested => "not tested",
        PropertyOutcome::Unsupported => "none",
    }
}

/// How to take a row's outcome.
pub(crate) fn outcome_tone(outcome: PropertyOutcome) -> Tone {
    match outcome {
        PropertyOutcome::Held => Tone::Good,
        PropertyOutcome::Violated => Tone::Bad,
        PropertyOutcome::NeedsFencing | PropertyOutcome::Undecided => Tone::Doubt,
        PropertyOutcome::NotTested | PropertyOutcome::Unsupported => Tone::Quiet,
    }
}

/// What a class means, for a reader who meets it for the first time.
pub(crate) fn class_meaning(class: ViolationClass) -> &'static str {
    match class {
        ViolationClass::DoubleGrant => {
            "The service granted one lock to two owners whose leases were both valid."
        }
        ViolationClass::StaleGrant => {
            "The service said that the lock was granted when its own entry was already gone."
        }
        ViolationClass::EarlyExpiry => {
            "The service dropped a lease before the time that it had promised."
        }
        ViolationClass::TokenNotMonotone => {
            "A later grant carries a fencing token that is not larger than an earlier one."
        }
        ViolationClass::LeaseOverrun => {
            "A client went on acting after its lease had ended, while another one held the lock."
        }
        ViolationClass::LostUpdate => {
            "Two writers were inside the critical section; one overwrote what the other wrote."
        }
        ViolationClass::Deadlock => {
            "The store answered, yet nobody who asked for the lock was granted it."
        }
        ViolationClass::Unavailable => {
            "The store did not answer although a healthy, connected majority was up."
        }
        ViolationClass::StaleRead => {
            "A read returned a value that had been overwritten before the read began."
        }
        ViolationClass::NotLinearizable => {
            "No order of the operations, one at a time, explains what the clients saw."
        }
    }
}

/// A fault's kind and aim: `partition (leader)`, `kill (majority)`, and where links of clients are cut
/// `partition of clients from servers (halves)`.
pub(crate) fn fault_kind(fault: &FaultSummary) -> String {
    kind_and_aim(fault.kind, &fault.aim, fault.splits_clients)
}

fn kind_and_aim(kind: FaultKind, aim: &Aim, splits_clients: bool) -> String {
    let what = match kind {
        FaultKind::Partition if splits_clients => "partition of clients from servers",
        _ => kind.name(),
    };
    format!("{what} ({})", aim.name())
}

/// A fault that was not applied, when and why: `kill (leader) at 12.00 s: there was no leader`.
pub(crate) fn skipped(skipped: &SkippedFault, recipe: Recipe) -> String {
    let fault = kind_and_aim(skipped.kind, &skipped.aim, recipe.has_independent_servers());
    format!("{fault} at {}: {}", seconds(skipped.time_ns), skipped.reason)
}

/// How well the faults were timed and aimed: `in force on all hosts within about 12.0 ms of each other
/// (median of 20 faults), begin and end known to 8.0 ms (median); 9 of 10 faults aimed at a holder
/// hit a client that still held`.
pub(crate) fn fault_timing(timing: &FaultTiming) -> String {
    let spread = timing.median_spread_ms.map(|ms| {
        let (ms, faults) = (duration(ms), count(timing.faults, "fault"));
        format!("in force on all hosts within about {ms} of each other (median of {faults})")
    });
    let uncertainty = timing
        .median_uncertainty_ms
        .map(|ms| format!("begin and end known to {} (median)", duration(ms)));
    let times: Vec<String> = spread.into_iter().chain(uncertainty).collect();
    let times = (!times.is_empty()).then(|| times.join(", "));
    let aimed = (timing.aimed_at_holder > 0).then(|| {
        let aimed = count(timing.aimed_at_holder, "fault");
        format!("{} of {aimed} aimed at a holder hit a client that still held", timing.hit_holder)
    });
    times.into_iter().chain(aimed).collect::<Vec<_>>().join("; ")
}

/// A step of an election: `n3 won at 13.19 s: became leader at term 4`.
pub(crate) fn election(election: &ElectionSeen) -> String {
    format!(
        "{} {} at {}: {}",
        election.node,
        election_step(election.step),
        seconds(election.time_ns),
        election.line
    )
}

/// What a server did in an election.
pub(crate) fn election_step(step: ElectionStep) -> &'static str {
    match step {
        ElectionStep::Called => "called for votes",
        ElectionStep::Won => "won",
        ElectionStep::SteppedDown => "stepped down",
    }
}

/// What independent servers said: `acquire at 13.360 s: n1 yes 1.0 ms, n2 no 2.0 ms; 51.0 ms in all,
/// valid for 1.93 s more`.
pub(crate) fn round(round: &RoundShown) -> String {
    let purpose = match round.purpose {
        RoundPurpose::Acquire => "acquire",
        RoundPurpose::Extend => "extend",
        RoundPurpose::Release => "release",
        RoundPurpose::Read => "read",
    };
    let votes = round.votes.iter().map(|vote| {
        let answer = match &vote.answer {
            Answer::Yes => "yes",
            Answer::No => "no",
            Answer::Unknown(_) => "no answer",
        };
        format!("{} {answer} {}", vote.server, duration_ns(vote.elapsed_ns))
    });
    let validity = match round.validity_left_ns {
        Some(left_ns) => format!(", valid for {} more", duration_ns(left_ns)),
        None => String::new(),
    };
    format!(
        "{purpose} at {:.3} s: {}; {} in all{validity}",
        round.begin_ns as f64 / 1e9,
        votes.collect::<Vec<_>>().join(", "),
        duration_ns(round.elapsed_ns),
    )
}

/// Who led from when on: `n3 from 13.19 s (told by n1)`.
pub(crate) fn leader_change(change: &LeaderChange) -> String {
    format!("{} from {} (told by {})", change.leader, seconds(change.time_ns), change.told_by)
}

/// What came after a fault: `all servers wrote again after 3.20 s, next grant after 412.0 ms`. Where
/// there are no locks, the next write; after what was done to the processes of clients no server has
/// to recover.
pub(crate) fn recovery(fault: &FaultSummary, takes_locks: bool) -> String {
    let next = if takes_locks { "grant" } else { "write" };
    let concerns_servers = !matches!(fault.kind, FaultKind::ClientPause | FaultKind::ClientKill);
    let servers = match fault.servers_recovered_ms {
        Some(ms) => format!("all servers wrote again after {}, ", duration(ms)),
        None if concerns_servers => "not all servers were seen to write again, ".to_owned(),
        None => String::new(),
    };
    let grant = match fault.next_grant_ms {
        Some(ms) => format!("next {next} after {}", duration(ms)),
        None => format!("no {next} was seen after it"),
    };
    servers + &grant
}

#[cfg(test)]
mod tests {
    use locktest_history::{Backend, PartitionShape, Target};

    use super::*;
    use crate::testing;

    #[test]
    fn a_run_that_was_cut_short_is_told_where_one_looks_first() {
        let history = testing::history(5);
        let mut verdict = testing::held();
        assert!(!subject(&verdict, &history).contains("cut short"));
        verdict.warnings.push(Warning::Interrupted);
        let told = subject(&verdict, &history);
        assert!(told.contains("64.02 s of a run that was cut short, seed 1"), "{told}");
    }

    #[test]
    fn what_the_headline_says_no_row_says_again() {
        for verdict in [testing::held(), testing::violated(), testing::needs_fencing()] {
            let headline = headline(&verdict).rest;
            for row in rows(&verdict) {
                assert!(!row.why.contains(&headline), "{}: {}", row.name, row.why);
            }
            assert_eq!(summary(&verdict), None);
        }
    }

    #[test]
    fn a_row_says_how_much_was_tried_where_the_headline_has_the_findings() {
        let why = |verdict| rows(&verdict)[0].why.to_owned();
        assert_eq!(why(testing::violated()), "in 812 acquires, 790 contended, 1 fault that bit");
        assert!(why(testing::needs_fencing()).starts_with("holders acted after"));
    }

    #[test]
    fn the_findings_of_the_headline_are_known_again_in_any_order() {
        let mut verdict = testing::violated();
        verdict.properties.safety.why = "lost-update x2, double-grant x7: two at once".into();
        assert_eq!(rows(&verdict)[0].why, "two at once");
    }

    #[test]
    fn a_row_that_has_some_of_the_findings_says_which() {
        let mut verdict = testing::violated();
        verdict.violation_counts.insert(ViolationClass::Deadlock, 1);
        assert_eq!(rows(&verdict)[0].why, verdict.properties.safety.why);
    }

    #[test]
    fn a_summary_that_says_something_new_is_shown() {
        let mut verdict = testing::violated();
        verdict.summary = "double-grant x7, lost-update x2 in 3 acquires".into();
        assert_eq!(summary(&verdict), Some(verdict.summary.as_str()));
    }

    #[test]
    fn each_recipe_is_shown_with_its_own_options_and_no_others() {
        let names = |plan: &Plan| -> Vec<&str> {
            recipe_options(plan).into_iter().map(|(name, _)| name).collect()
        };
        let mut redis = Plan::of(Backend::Redis);
        assert_eq!(names(&redis), ["asks its servers", "pause before trying again"]);
        redis.recipe = Recipe::Single;
        assert_eq!(names(&redis), ["pause before trying again"]);
        assert_eq!(names(&Plan::of(Backend::Consul)), ["lock-delay", "the end of a session"]);
        assert_eq!(names(&Plan::of(Backend::Zookeeper)), [""; 0]);
        let etcd = Plan { cas_wait: Some(CasWait::Poll), ..Plan::of(Backend::Etcd) };
        assert_eq!(recipe_options(&etcd), [("waits", "by trying again and again".to_owned())]);
    }

    #[test]
    fn a_fault_is_named_by_its_kind_its_aim_and_whether_it_splits_clients() {
        let fault = |kind, aim, splits_clients| {
            fault_kind(&FaultSummary { kind, aim, splits_clients, ..testing::fault(1, 1.0, 2.0) })
        };
        let halves = || Aim::Shape(PartitionShape::Halves);
        assert_eq!(fault(FaultKind::Partition, halves(), false), "partition (halves)");
        assert_eq!(
            fault(FaultKind::Partition, halves(), true),
            "partition of clients from servers (halves)"
        );
        let (majority, holder) = (Aim::Target(Target::Majority), Aim::Target(Target::Holder));
        assert_eq!(fault(FaultKind::Kill, majority, false), "kill (majority)");
        assert_eq!(fault(FaultKind::ClientPause, holder.clone(), false), "client-pause (holder)");
        assert_eq!(fault(FaultKind::ClientPartition, holder, true), "client-partition (holder)");
    }

    #[test]
    fn the_timing_of_faults_is_told_as_far_as_it_is_known() {
        let timing = FaultTiming {
            faults: 20,
            median_spread_ms: Some(12.0),
            median_uncertainty_ms: Some(8.0),
            aimed_at_holder: 10,
            hit_holder: 9,
        };
        assert_eq!(
            fault_timing(&timing),
            "in force on all hosts within about 12.0 ms of each other (median of 20 faults), begin and end known to 8.0 ms (median); 9 of 10 faults aimed at a holder hit a client that still held"
        );
        let no_spread = FaultTiming { faults: 0, median_spread_ms: None, ..timing.clone() };
        assert!(fault_timing(&no_spread).starts_with("begin and end known to 8.0 ms (median); "));
        let aimed = FaultTiming { median_uncertainty_ms: None, aimed_at_holder: 1, ..no_spread };
        let aimed = FaultTiming { hit_holder: 0, ..aimed };
        assert_eq!(
            fault_timing(&aimed),
            "0 of 1 fault aimed at a holder hit a client that still held"
        );
        let timed = FaultTiming { aimed_at_holder: 0, ..timing };
        assert!(fault_timing(&timed).ends_with("known to 8.0 ms (median)"));
    }

    #[test]
    fn no_server_has_to_recover_from_what_was_done_to_clients() {
        let fault = |kind, ms| FaultSummary {
            kind,
            servers_recovered_ms: ms,
            ..testing::fault(1, 1.0, 2.0)
        };
        let next = "next grant after 412.0 ms";
        assert_eq!(recovery(&fault(FaultKind::ClientKill, None), true), next);
        let unseen = format!("not all servers were seen to write again, {next}");
        assert_eq!(recovery(&fault(FaultKind::Kill, None), true), unseen);
    }

    #[test]
    fn probes_are_counted_only_where_there_are_any() {
        let mut counts = testing::held().counts;
        assert_eq!(
            answers(&counts),
            "812 granted, 4 denied, 9 of unknown outcome; 570 of 612 health probes answered"
        );
        (counts.probes_ok, counts.probes_failed) = (0, 0);
        assert_eq!(answers(&counts), "812 granted, 4 denied, 9 of unknown outcome");
    }
}
