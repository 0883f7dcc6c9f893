//! Which entries of the catalogue a run's violations look like.

use locktest_analyzer::{KnownBug, RunOutcome, Verdict};
use locktest_history::Plan;

use super::{Catalog, Entry, Signature};

/// The published bugs that fit a verdict, in the order of the catalogue; none if nothing was violated.
pub fn candidates(catalog: &Catalog, verdict: &Verdict, plan: &Plan) -> Vec<KnownBug> {
    if verdict.outcome != RunOutcome::Violated {
        return Vec::new();
    }
    let fits = |entry: &&Entry| {
        let signature = entry.signature.as_ref();
        entry.backend == verdict.backend
            && signature.is_some_and(|signature| {
                signature.fits_set_up(verdict, plan) && signature.fits_violation(entry, verdict)
            })
    };
    catalog.entries.iter().filter(fits).map(known_bug).collect()
}

fn known_bug(entry: &Entry) -> KnownBug {
    KnownBug {
        id: entry.id.clone(),
        title: entry.title.clone(),
        class: entry.class,
        source: entry.source.clone(),
        url: entry.url.clone(),
        fixed: entry.fixed.clone(),
    }
}

impl Signature {
    fn fits_set_up(&self, verdict: &Verdict, plan: &Plan) -> bool {
        let version = semver::Version::parse(&verdict.version);
        let is_affected =
            version.is_ok_and(|version| self.versions.iter().any(|range| range.matches(&version)));
        let persistence = plan.redis.map(|redis| redis.persistence);
        (self.versions.is_empty() || is_affected)
            && is_among(&self.recipes, Some(&verdict.recipe))
            && is_among(&self.workloads, Some(&verdict.workload))
            && is_among(&self.read_modes, Some(&verdict.read_mode))
            && is_among(&self.persistence, persistence.as_ref())
            && self.servers.is_none_or(|servers| servers == verdict.nodes.len())
    }

    /// Whether a violation of the entry's class came after the begin of a fault that leads to it.
    fn fits_violation(&self, entry: &Entry, verdict: &Verdict) -> bool {
        let mut violations =
            verdict.violations.iter().filter(|violation| violation.class == entry.class);
        violations.any(|violation| {
            let mut faults = verdict.faults.iter().filter(|fault| fault.bit);
            let leads = faults.any(|fault| {
                self.faults.contains(&fault.kind) && fault.begin_ns <= violation.time_ns
            });
            self.faults.is_empty() || leads
        })
    }
}

/// Whether a value is one of those; any is, if there are none.
fn is_among<T: PartialEq>(values: &[T], value: Option<&T>) -> bool {
    values.is_empty() || value.is_some_and(|value| values.contains(value))
}

#[cfg(test)]
mod tests {
    use locktest_analyzer::{FaultSummary, Violation, ViolationClass, analyze};
    use locktest_history::{
        Aim, Backend, FaultKind, History, Recipe, RedisOptions, RedisPersistence, Run, Target,
    };

    use super::*;

    fn plan(backend: Backend, version: &str) -> Plan {
        Plan { version: version.into(), ..Plan::of(backend) }
    }

    /// A verdict on a run of this plan that found one violation, at 10 s, after one fault at 5 s.
    fn verdict(plan: &Plan, class: ViolationClass, fault: Option<FaultKind>) -> Verdict {
        let run = Run {
            id: "0a1b2c".into(),
            started_at_unix_s: 1,
            origin_monotonic_ns: 0,
            command: String::new(),
            lab: None,
            plan: plan.clone(),
        };
        let nothing = analyze(&History { run, records: Vec::new(), damage: Vec::new() });
        let violation = Violation {
            class,
            key: "lock-0".into(),
            time_ns: 10_000_000_000,
            why: "it is a test".into(),
            during: None,
            resource: None,
            operations: Vec::new(),
        };
        Verdict {
            outcome: RunOutcome::Violated,
            violations: vec![violation],
            violation_counts: [(class, 1)].into(),
            faults: fault.map(bite).into_iter().collect(),
            ..nothing
        }
    }

    fn bite(kind: FaultKind) -> FaultSummary {
        FaultSummary {
            id: 1,
            kind,
            aim: Aim::Target(Target::One),
            splits_clients: false,
            targets: vec!["n1".into()],
            description: "n1".into(),
            begin_ns: 5_000_000_000,
            in_force_ns: 5_000_000_000,
            end_ns: 6_000_000_000,
            spread_ms: None,
            uncertainty_ms: None,
            hit_holder: None,
            bit: true,
            proof: Vec::new(),
            undone: true,
            undo_proof: Vec::new(),
            servers_recovered_ms: None,
            next_grant_ms: None,
        }
    }

    fn ids(plan: &Plan, verdict: &Verdict) -> Vec<String> {
        let catalog = Catalog::load().expect("a valid catalogue");
        candidates(&catalog, verdict, plan).into_iter().map(|bug| bug.id).collect()
    }

    fn found(plan: &Plan, class: ViolationClass, fault: Option<FaultKind>) -> Vec<String> {
        ids(plan, &verdict(plan, class, fault))
    }

    #[test]
    fn a_stale_grant_of_an_affected_etcd_looks_like_its_bug_and_of_a_fixed_one_it_does_not() {
        for (version, expected) in [
            ("3.1.20", vec![]),
            ("3.3.25", vec!["etcd-11456"]),
            ("3.4.23", vec!["etcd-11456"]),
            ("3.5.0", vec![]),
            ("3.5.16", vec![]),
            ("unknown", vec![]),
        ] {
            let plan = plan(Backend::Etcd, version);
            assert_eq!(found(&plan, ViolationClass::StaleGrant, None), expected, "{version}");
        }
    }

    #[test]
    fn a_bug_of_one_recipe_is_none_of_another() {
        let etcd = Plan { recipe: Recipe::CasTtl, ..plan(Backend::Etcd, "3.4.23") };
        assert_eq!(found(&etcd, ViolationClass::StaleGrant, None), [""; 0]);
    }

    #[test]
    fn a_double_grant_of_redlock_looks_like_what_the_fault_leads_to() {
        let redis = plan(Backend::Redis, "7.0.15");
        let of = |fault| found(&redis, ViolationClass::DoubleGrant, fault);
        assert_eq!(of(Some(FaultKind::Kill)), ["redlock-crash"]);
        assert_eq!(of(Some(FaultKind::Clock)), ["redlock-clock"]);
        assert_eq!(of(Some(FaultKind::Pause)), [""; 0]);
        assert_eq!(of(None), [""; 0]);
        let both = Verdict {
            faults: vec![bite(FaultKind::Clock), bite(FaultKind::Kill)],
            ..verdict(&redis, ViolationClass::DoubleGrant, None)
        };
        assert_eq!(ids(&redis, &both), ["redlock-clock", "redlock-crash"]);
    }

    #[test]
    fn a_bug_of_every_version_is_one_of_a_version_that_is_no_number() {
        let valkey = plan(Backend::Redis, "valkey-8.1.1");
        let found = found(&valkey, ViolationClass::DoubleGrant, Some(FaultKind::Kill));
        assert_eq!(found, ["redlock-crash"]);
    }

    #[test]
    fn a_server_that_writes_each_vote_to_disk_does_not_forget_it() {
        let redis = RedisOptions { persistence: RedisPersistence::Always, ..RedisOptions::DEFAULT };
        let plan = Plan { redis: Some(redis), ..plan(Backend::Redis, "7.0.15") };
        let found = found(&plan, ViolationClass::DoubleGrant, Some(FaultKind::Kill));
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_fault_that_came_later_or_did_not_bite_led_to_nothing() {
        let redis = plan(Backend::Redis, "7.0.15");
        let mut verdict = verdict(&redis, ViolationClass::DoubleGrant, Some(FaultKind::Kill));
        verdict.faults[0].bit = false;
        assert_eq!(ids(&redis, &verdict), [""; 0]);
        verdict.faults[0] = FaultSummary { begin_ns: 11_000_000_000, ..bite(FaultKind::Kill) };
        assert_eq!(ids(&redis, &verdict), [""; 0]);
    }

    #[test]
    fn where_nothing_is_violated_nothing_is_looked_for() {
        let etcd = plan(Backend::Etcd, "3.4.23");
        for outcome in [RunOutcome::Held, RunOutcome::Undecided] {
            let verdict = Verdict { outcome, ..verdict(&etcd, ViolationClass::StaleGrant, None) };
            assert_eq!(ids(&etcd, &verdict), [""; 0]);
        }
    }

    #[test]
    fn each_entry_is_named_for_its_own_runs() {
        let catalog = Catalog::load().expect("a valid catalogue");
        for entry in &catalog.entries {
            let Some(signature) = &entry.signature else { continue };
            for variant in &entry.variants {
                let command = entry.command(variant, 1);
                let args = crate::cli::run_args_of(&command).expect("a valid command");
                let version = args.version.clone().unwrap_or("1.0.0".into());
                let of_default = args.version.is_none() && !signature.versions.is_empty();
                assert!(!of_default, "{}: {command} has no version", entry.id);
                let plan = crate::plan::plan(&args, 1, version).expect("a valid plan");
                let fault = plan
                    .fault_kinds()
                    .into_iter()
                    .find(|kind| signature.faults.is_empty() || signature.faults.contains(kind));
                let ids = found(&plan, entry.class, fault);
                assert!(ids.contains(&entry.id), "{}: {command}: {ids:?}", entry.id);
            }
        }
    }
}
