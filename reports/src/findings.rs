//! What was found of each property, for reports that show the first finding alone.

use locktest_analyzer::{KnownBug, Properties, Property, Verdict, Violation, ViolationClass};
use locktest_history::Resource;

use crate::text::{seconds, visible};

/// A property with its first violation.
pub(crate) struct Finding<'v> {
    /// The property's name for machines.
    pub name: &'static str,
    /// What was decided of it.
    pub property: &'v Property,
    /// The first violation of it that the verdict shows.
    pub first: Option<&'v Violation>,
}

/// The four properties, in the order of every report.
pub(crate) fn by_property(verdict: &Verdict) -> [Finding<'_>; 4] {
    use ViolationClass::{Deadlock, LostUpdate, TokenNotMonotone, Unavailable};
    let Properties { safety, deadlock_free, fault_tolerance, fencing } = &verdict.properties;
    let unsafe_one = |violation: &Violation| !matches!(violation.class, Deadlock | Unavailable);
    let unfenced = |violation: &Violation| match violation.class {
        TokenNotMonotone => true,
        LostUpdate => violation.resource == Some(Resource::Fenced),
        _ => false,
    };
    [
        Finding { name: "safety", property: safety, first: first_of(verdict, unsafe_one) },
        Finding {
            name: "deadlock-free",
            property: deadlock_free,
            first: first_of(verdict, |violation| violation.class == Deadlock),
        },
        Finding {
            name: "fault-tolerance",
            property: fault_tolerance,
            first: first_of(verdict, |violation| violation.class == Unavailable),
        },
        Finding { name: "fencing", property: fencing, first: first_of(verdict, unfenced) },
    ]
}

/// The first violation that the headline speaks of.
pub(crate) fn first_violation(verdict: &Verdict) -> Option<&Violation> {
    first_of(verdict, |_| true)
}

/// Overruns, and what they did to a resource without a fence, come after the faults of the service.
fn first_of(verdict: &Verdict, is_meant: impl Fn(&Violation) -> bool) -> Option<&Violation> {
    let by_service = |violation: &&Violation| match violation.class {
        ViolationClass::LeaseOverrun => false,
        ViolationClass::LostUpdate => violation.resource == Some(Resource::Fenced),
        _ => true,
    };
    let mut meant = verdict.violations.iter().filter(|violation| is_meant(violation));
    meant.clone().find(by_service).or_else(|| meant.next())
}

/// What, when and of which lock: `double-grant at 14.31 s, key "lock-0"`.
pub(crate) fn title(violation: &Violation) -> String {
    let key = match violation.key.as_str() {
        "" => String::new(),
        key => format!(", key \"{}\"", visible(key, 60)),
    };
    let resource = match violation.resource {
        Some(Resource::Unfenced) => ", resource without a fence",
        Some(Resource::Fenced) => ", fenced resource",
        None => "",
    };
    format!("{} at {}{key}{resource}", violation.class, seconds(violation.time_ns))
}

/// What a published bug has to do with the run: `stale-grant looks like etcd-11456: the Lock RPC
/// grants ... (etcd issue 11456; fixed in 3.5.0)`. It fits, and that is all that is known.
pub(crate) fn likeness(bug: &KnownBug) -> String {
    let KnownBug { id, title, class, source, fixed, .. } = bug;
    let fixed = match fixed.starts_with(|first: char| first.is_ascii_digit()) {
        true => format!("fixed in {fixed}"),
        false => format!("fix: {fixed}"),
    };
    format!("{class} looks like {id}: {title} ({source}; {fixed})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn each_property_has_the_first_violation_of_its_own() {
        let mut verdict = testing::violated();
        let mut deadlock = verdict.violations[0].clone();
        deadlock.class = ViolationClass::Deadlock;
        verdict.violations.push(deadlock);
        let classes = by_property(&verdict).map(|finding| finding.first.map(|first| first.class));
        assert_eq!(
            classes,
            [
                Some(ViolationClass::DoubleGrant),
                Some(ViolationClass::Deadlock),
                None,
                Some(ViolationClass::LostUpdate)
            ]
        );
    }

    #[test]
    fn an_overrun_is_the_first_only_if_the_service_kept_its_word() {
        let mut verdict = testing::needs_fencing();
        let first = |verdict: &Verdict| first_violation(verdict).map(|first| first.class);
        assert_eq!(first(&verdict), Some(ViolationClass::LeaseOverrun));
        verdict.violations.extend(testing::violated().violations);
        assert_eq!(first(&verdict), Some(ViolationClass::DoubleGrant));
    }

    #[test]
    fn a_known_bug_is_said_to_be_looked_like() {
        let redlock = testing::split_redlock().known_bugs.remove(0);
        assert_eq!(
            likeness(&redlock),
            "double-grant looks like redlock-crash: a server that dies and starts again has \
             forgotten its vote (Redis documentation, distributed locks; fix: by fsync always)"
        );
        let fixed = KnownBug { fixed: "3.5.0".into(), ..redlock };
        assert!(likeness(&fixed).ends_with("; fixed in 3.5.0)"), "{}", likeness(&fixed));
    }
}
