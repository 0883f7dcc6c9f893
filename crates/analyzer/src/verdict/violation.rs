//! Violations: what was found, and the operations concerned.

use std::fmt;

use locktest_history::{Answer, Function, Outcome, Resource, RoundPurpose};
use serde::{Deserialize, Serialize};

/// The class of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ViolationClass {
    /// The contract holds of two owners overlap.
    DoubleGrant,
    /// The service said ok for a lock that it no longer had.
    StaleGrant,
    /// The service dropped a lease before its contract end.
    EarlyExpiry,
    /// A later grant has a token that is not larger.
    TokenNotMonotone,
    /// Belief holds overlap, contract holds do not.
    LeaseOverrun,
    /// The protected resource was written by two owners at once.
    LostUpdate,
    /// A key was granted to nobody who asked, while the store answered.
    Deadlock,
    /// The store did not answer, while a healthy majority was connected.
    Unavailable,
    /// A read of a register returned a value that had been overwritten before the read began.
    StaleRead,
    /// No order of a register's operations explains what clients saw.
    NotLinearizable,
}

impl ViolationClass {
    /// Every class.
    pub const ALL: [ViolationClass; 10] = [
        ViolationClass::DoubleGrant,
        ViolationClass::StaleGrant,
        ViolationClass::EarlyExpiry,
        ViolationClass::TokenNotMonotone,
        ViolationClass::LeaseOverrun,
        ViolationClass::LostUpdate,
        ViolationClass::Deadlock,
        ViolationClass::Unavailable,
        ViolationClass::StaleRead,
        ViolationClass::NotLinearizable,
    ];

    /// The kebab-case name of verdict.json.
    pub fn name(self) -> &'static str {
        match self {
            ViolationClass::DoubleGrant => "double-grant",
            ViolationClass::StaleGrant => "stale-grant",
            ViolationClass::EarlyExpiry => "early-expiry",
            ViolationClass::TokenNotMonotone => "token-not-monotone",
            ViolationClass::LeaseOverrun => "lease-overrun",
            ViolationClass::LostUpdate => "lost-update",
            ViolationClass::Deadlock => "deadlock",
            ViolationClass::Unavailable => "unavailable",
            ViolationClass::StaleRead => "stale-read",
            ViolationClass::NotLinearizable => "not-linearizable",
        }
    }
}

impl fmt::Display for ViolationClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One violation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// Its class.
    pub class: ViolationClass,
    /// The lock or register; empty if it concerns none in particular.
    pub key: String,
    /// The instant that made it one: the event that ends the shortest bad prefix.
    pub time_ns: u64,
    /// Why it is one, in terms of clients, servers, leases and tokens.
    pub why: String,
    /// The fault that was in force, in words, if one was.
    pub during: Option<String>,
    /// Which copy of the protected resource, on a lost update: `unfenced` or `fenced`.
    pub resource: Option<Resource>,
    /// The operations concerned, in time order.
    pub operations: Vec<Involved>,
}

/// An operation that a violation concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Involved {
    /// Such as `c1`.
    pub client: String,
    /// The owner is (client, attempt).
    pub attempt: u64,
    /// What was asked.
    pub function: Function,
    /// The server's name.
    pub server: Option<String>,
    /// When.
    pub invoke_ns: u64,
    /// When its outcome was known; `None` if it never was.
    pub complete_ns: Option<u64>,
    /// How it ended; `info` if that never became known.
    pub outcome: Outcome,
    /// The fencing token, if it has one.
    pub token: Option<String>,
    /// For a hold: when the service's promise ended.
    pub contract_end_ns: Option<u64>,
    /// For a hold: when the client stopped believing.
    pub belief_end_ns: Option<u64>,
    /// For an acquire from independent servers: the rounds that tell what they said, in time order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<RoundShown>,
}

/// One round of requests to independent servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundShown {
    /// What it was for.
    pub purpose: RoundPurpose,
    /// Before the first request was sent.
    pub begin_ns: u64,
    /// From its begin to its end.
    pub elapsed_ns: u64,
    /// For how long the client reckoned the lock valid from the end of the round on, if it won.
    pub validity_left_ns: Option<u64>,
    /// What each server said.
    pub votes: Vec<VoteShown>,
}

/// What one server said in a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteShown {
    /// The server's name.
    pub server: String,
    /// What it said.
    pub answer: Answer,
    /// From the begin of the round to its answer.
    pub elapsed_ns: u64,
}
