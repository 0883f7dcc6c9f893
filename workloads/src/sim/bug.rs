//! The bugs that the sim can be told to have, and when each shows.
//!
//! What a bug does is decided by what the service was asked so far, and by nothing else.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// With the double-grant bug, one in so many contended requests is granted at once.
const CONTENDED_A_DOUBLE_GRANT: u64 = 7;

/// With the early-expiry bug, one in so many grants rests on a lease that is soon dropped.
const GRANTS_AN_EARLY_EXPIRY: u64 = 5;

/// Such a lease lives for this part of its time after the grant, whatever it was promised.
const PART_OF_THE_LEASE: u32 = 100;

/// With the stale-token bug, one in so many grants carries the token of the grant before.
const GRANTS_A_STALE_TOKEN: u64 = 7;

/// With the lost-release bug, one in so many releases is acknowledged and forgotten.
const RELEASES_A_LOSS: u64 = 3;

/// With the stall bug, the service falls silent at this request.
const STALL_AT_REQUEST: u64 = 30;

/// For how long: beyond the bound of a run with the default lease, which is 3 s, and the time until
/// a probe shows it.
const STALL: Duration = Duration::from_secs(6);

/// A bug that the sim can be told to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SimBug {
    /// Now and then a lock is granted while another owner's lease is valid.
    DoubleGrant,
    /// Now and then a lease is dropped long before its time.
    EarlyExpiry,
    /// Now and then a grant carries a token that an earlier one had.
    StaleToken,
    /// Now and then a lock that was given up stays held for ever.
    LostRelease,
    /// Once, the whole service answers nothing for a long time.
    Stall,
}

impl SimBug {
    /// Every bug, in the order in which help lists them.
    pub const ALL: [SimBug; 5] = [
        SimBug::DoubleGrant,
        SimBug::EarlyExpiry,
        SimBug::StaleToken,
        SimBug::LostRelease,
        SimBug::Stall,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            SimBug::DoubleGrant => "double-grant",
            SimBug::EarlyExpiry => "early-expiry",
            SimBug::StaleToken => "stale-token",
            SimBug::LostRelease => "lost-release",
            SimBug::Stall => "stall",
        }
    }
}

/// Counts what the service was asked, and tells when its bug shows.
#[derive(Debug, Default)]
pub(crate) struct Mischief {
    bug: Option<SimBug>,
    contended: u64,
    grants: u64,
    releases: u64,
    requests: u64,
}

impl Mischief {
    pub(crate) fn new(bug: Option<SimBug>) -> Mischief {
        Mischief { bug, ..Mischief::default() }
    }

    /// Whether this request for a lock that is held is granted all the same.
    pub(crate) fn grants_twice(&mut self) -> bool {
        self.contended += 1;
        self.bug == Some(SimBug::DoubleGrant)
            && self.contended.is_multiple_of(CONTENDED_A_DOUBLE_GRANT)
    }

    /// Takes note of a grant.
    pub(crate) fn granted(&mut self) {
        self.grants += 1;
    }

    /// How long the lease of this grant lives on, if it is dropped before its time.
    pub(crate) fn shortens(&self, ttl: Duration) -> Option<Duration> {
        let shows = self.bug == Some(SimBug::EarlyExpiry)
            && self.grants.is_multiple_of(GRANTS_AN_EARLY_EXPIRY);
        shows.then(|| ttl / PART_OF_THE_LEASE)
    }

    /// Whether this grant carries the token of the one before.
    pub(crate) fn repeats_token(&self) -> bool {
        self.bug == Some(SimBug::StaleToken) && self.grants.is_multiple_of(GRANTS_A_STALE_TOKEN)
    }

    /// Whether this release of a held lock is acknowledged and forgotten.
    pub(crate) fn loses_release(&mut self) -> bool {
        self.releases += 1;
        self.bug == Some(SimBug::LostRelease) && self.releases.is_multiple_of(RELEASES_A_LOSS)
    }

    /// How long the service is silent from this request on.
    pub(crate) fn stalls(&mut self) -> Option<Duration> {
        self.requests += 1;
        (self.bug == Some(SimBug::Stall) && self.requests == STALL_AT_REQUEST).then_some(STALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_is_stored_under_its_name() {
        for bug in SimBug::ALL {
            let stored = serde_json::to_string(&bug).expect("a bug can be stored");
            assert_eq!(stored, format!("\"{}\"", bug.name()));
        }
    }
}
