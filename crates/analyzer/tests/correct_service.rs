//! Histories of a lock service that does what it promises, over a network that delays and loses
//! replies, with clients that stall and die: none of them may raise an alarm. The same service with
//! a bug must.

mod common;
mod simulation;

use std::collections::BTreeSet;

use common::*;
use locktest_analyzer::{PropertyOutcome, RunOutcome, Verdict, ViolationClass};
use locktest_history::Resource::Fenced;
use proptest::prelude::*;
use simulation::{Bug, Simulation, World};

/// Nothing goes wrong.
const KIND: World = World {
    clients: 3,
    lost_replies: 0,
    stalls: 0,
    kills: 0,
    faults: false,
    pauses: false,
    bug: None,
};

fn worlds() -> impl Strategy<Value = World> {
    (2..6u32, 0..12u64, 0..10u64, 0..3u64, any::<bool>(), any::<bool>()).prop_map(
        |(clients, lost_replies, stalls, kills, faults, pauses)| World {
            clients,
            lost_replies,
            stalls,
            kills,
            faults,
            pauses,
            bug: None,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_correct_service_is_never_blamed(seed in any::<u64>(), world in worlds()) {
        let verdict = Simulation::run(seed, world);
        let blamed: Vec<_> = verdict
            .violations
            .iter()
            .filter(|v| blames_the_service(v.class) || v.resource == Some(Fenced))
            .collect();
        prop_assert!(blamed.is_empty(), "{blamed:#?}");
        prop_assert_ne!(verdict.outcome, RunOutcome::Violated);
        prop_assert!(verdict.counts.acquires_ok > 0);
    }

    #[test]
    fn a_correct_service_with_punctual_clients_shows_nothing_at_all(seed in any::<u64>(), clients in 2..6u32) {
        let verdict = Simulation::run(seed, World { clients, ..KIND });
        prop_assert_eq!(found(&verdict), nothing());
        prop_assert_eq!(verdict.properties.deadlock_free.outcome, PropertyOutcome::Held);
        prop_assert!(verdict.counts.contended > 20);
    }
}

/// In how many of twenty runs with a bug its class is found.
fn caught(bug: Bug, class: ViolationClass) -> usize {
    let world = World { stalls: 3, lost_replies: 2, bug: Some(bug), ..KIND };
    let verdicts = (0..20).map(|seed| Simulation::run(seed, world));
    verdicts.filter(|verdict| verdict.violation_counts.contains_key(&class)).count()
}

#[test]
fn every_bug_of_the_service_is_caught_in_every_run() {
    assert_eq!(caught(Bug::DoubleGrant, ViolationClass::DoubleGrant), 20);
    assert_eq!(caught(Bug::EarlyExpiry, ViolationClass::EarlyExpiry), 20);
    assert_eq!(caught(Bug::Tokens, ViolationClass::TokenNotMonotone), 20);
    assert_eq!(caught(Bug::Deadlock, ViolationClass::Deadlock), 20);
    assert_eq!(caught(Bug::LostRelease, ViolationClass::Deadlock), 20);
    assert_eq!(caught(Bug::Stall, ViolationClass::Unavailable), 20);
}

#[test]
fn a_lock_that_a_paused_holder_keeps_for_ever_is_a_deadlock() {
    for (bug, expected) in [(Some(Bug::Immortal), 20), (None, 0)] {
        let world = World { pauses: true, bug, ..KIND };
        let verdicts = (0..20).map(|seed| Simulation::run(seed, world));
        let has_deadlock =
            |verdict: &Verdict| verdict.violation_counts.contains_key(&ViolationClass::Deadlock);
        assert_eq!(verdicts.filter(has_deadlock).count(), expected, "{bug:?}");
    }
}

/// The classes that blame the service, over twenty runs with a bug and with punctual clients.
fn blamed(bug: Bug) -> BTreeSet<ViolationClass> {
    let verdicts = (0..20).map(|seed| Simulation::run(seed, World { bug: Some(bug), ..KIND }));
    let classes = verdicts.flat_map(|verdict| verdict.violation_counts.into_keys());
    classes.filter(|class| blames_the_service(*class)).collect()
}

#[test]
fn a_bug_is_called_by_its_name_and_by_what_it_leads_to() {
    use ViolationClass::*;
    // The second owner takes the place of the first, who reads that the lock is no longer its own.
    assert_eq!(blamed(Bug::DoubleGrant), [DoubleGrant, EarlyExpiry].into());
    // Whoever is next is granted the lock while the one before was promised it.
    assert_eq!(blamed(Bug::EarlyExpiry), [DoubleGrant, EarlyExpiry].into());
    assert_eq!(blamed(Bug::Tokens), [TokenNotMonotone].into());
    assert_eq!(blamed(Bug::LostRelease), [Deadlock].into());
    assert_eq!(blamed(Bug::Stall), [Unavailable].into());
}

#[test]
fn stalling_clients_of_a_correct_service_need_fencing() {
    let world = World { stalls: 10, ..KIND };
    let outcomes = (0..20).map(|seed| Simulation::run(seed, world).properties.safety.outcome);
    assert!(outcomes.into_iter().all(|outcome| outcome == PropertyOutcome::NeedsFencing));
}
