//! The steps of an analysis, for whoever tells how it went.

use locktest_history::Workload;

use crate::verdict::ViolationClass;

/// A step of the analysis, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The records become operations, holds, faults, and who reached whom.
    Order,
    /// Two owners of one key at one time.
    MutualExclusion,
    /// What the service itself admits: grants without a lock, leases dropped early.
    Evidence,
    /// A later grant has a larger token.
    Tokens,
    /// Updates of the protected resource that were lost.
    Resource,
    /// The order of each register's operations.
    Registers,
    /// A free key is granted to somebody who asks.
    Liveness,
    /// The store answers writes while a majority is up.
    Availability,
    /// Latency, cost, and the outcome of each property.
    Figures,
}

impl Step {
    /// Every step.
    pub const ALL: [Step; 9] = [
        Step::Order,
        Step::MutualExclusion,
        Step::Evidence,
        Step::Tokens,
        Step::Resource,
        Step::Registers,
        Step::Liveness,
        Step::Availability,
        Step::Figures,
    ];

    /// The classes of what it may find.
    pub fn classes(self) -> &'static [ViolationClass] {
        match self {
            Step::Order | Step::Figures => &[],
            Step::MutualExclusion => &[ViolationClass::DoubleGrant, ViolationClass::LeaseOverrun],
            Step::Evidence => &[ViolationClass::StaleGrant, ViolationClass::EarlyExpiry],
            Step::Tokens => &[ViolationClass::TokenNotMonotone],
            Step::Resource => &[ViolationClass::LostUpdate],
            Step::Registers => &[ViolationClass::StaleRead, ViolationClass::NotLinearizable],
            Step::Liveness => &[ViolationClass::Deadlock],
            Step::Availability => &[ViolationClass::Unavailable],
        }
    }

    /// Whether a run of this workload has what the step looks at.
    pub fn applies_to(self, workload: Workload) -> bool {
        match self {
            Step::Order | Step::Availability | Step::Figures => true,
            Step::Registers => !workload.takes_locks(),
            _ => workload.takes_locks(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_belongs_to_one_step() {
        let mut of_steps: Vec<_> = Step::ALL.iter().flat_map(|step| step.classes()).collect();
        of_steps.sort_unstable();
        assert_eq!(of_steps, ViolationClass::ALL.iter().collect::<Vec<_>>());
    }
}
