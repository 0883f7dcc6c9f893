//! The protected resource that the control node serves: updates that another owner's write destroyed.

use std::collections::HashMap;

use locktest_history::{Detail, Function, KeyId, Outcome, Resource, Token};

use crate::findings::{Finding, Findings};
use crate::hold::Tenure;
use crate::observed::Observed;
use crate::operation::{Operation, Owner};
use crate::time::seconds;
use crate::verdict::{Involved, ViolationClass};

/// What the protected resource saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResourceSeen {
    /// Accesses that the fenced resource refused.
    pub(crate) rejections: u64,
    /// Writes that the store took because the lock's entry was their writer's.
    pub(crate) guarded: u64,
    /// Lost updates although the writer presented a token to the fenced resource.
    pub(crate) lost_behind_fence: u64,
    /// Other lost updates between owners whose recorded stays inside overlap.
    pub(crate) lost_to_overlap: u64,
    /// Other lost updates, which the recorded stays do not explain.
    pub(crate) lost_unexplained: u64,
}

impl ResourceSeen {
    pub(crate) fn add(&mut self, cause: &Cause) {
        match cause {
            Cause::BehindFence => self.lost_behind_fence += 1,
            Cause::Overlap(_) => self.lost_to_overlap += 1,
            Cause::Unexplained => self.lost_unexplained += 1,
        }
    }
}

/// The completed writes of one copy under one key, and where each reader of it stood.
#[derive(Default)]
struct Copy<'h> {
    writes: Vec<Operation<'h>>,
    /// How many writes had completed when the owner last read.
    read_at: HashMap<Owner, usize>,
}

/// Why a lost update could happen.
pub(crate) enum Cause {
    /// Tokens, or a check of the lock's entry, should have prevented it.
    BehindFence,
    /// The stays of the two owners overlap; with the extra sentence.
    Overlap(String),
    /// Nothing in the history explains it.
    Unexplained,
}

/// Reports each write that found another value than its writer had read, one pass over the accesses
/// in the order in which the resource served them.
pub(crate) fn lost_updates(
    observed: &Observed,
    tenures: &[Tenure],
    findings: &mut Findings,
) -> ResourceSeen {
    let tenure_of: HashMap<Owner, &Tenure> = tenures.iter().map(|t| (t.owner(), t)).collect();
    let mut copies: HashMap<(KeyId, Resource), Copy> = HashMap::new();
    let mut seen = ResourceSeen::default();
    for access in &observed.accesses {
        let Some((resource, token, held)) = completed(access) else { continue };
        match access.outcome() {
            Outcome::Ok => {}
            Outcome::Fail => {
                seen.rejections += u64::from(resource == Resource::Fenced);
                continue;
            }
            Outcome::Info => continue,
        }
        let copy = copies.entry((access.invoke.key, resource)).or_default();
        if access.invoke.function == Function::Read {
            copy.read_at.insert(access.owner(), copy.writes.len());
            continue;
        }
        let was_read = match access.invoke.detail {
            Detail::Access { value, .. } => value,
            _ => held,
        };
        let last = copy.writes.len().saturating_sub(1);
        copy.writes.push(*access);
        if held == was_read {
            continue;
        }
        // Without a recorded read, the last write is the one that was missed.
        let since = copy.read_at.get(&access.owner()).map_or(last, |read_at| *read_at);
        let missed = &copy.writes[since..copy.writes.len() - 1];
        let other = missed.iter().rev().find(|write| write.owner() != access.owner()).copied();
        // A writer that overwrites its own value destroys nobody's.
        if other.is_none() && !missed.is_empty() {
            continue;
        }
        let writer = tenure_of.get(&access.owner()).copied();
        let loser = other.and_then(|other| tenure_of.get(&other.owner()).copied());
        let cause = if resource == Resource::Fenced && token.is_some() {
            Cause::BehindFence
        } else {
            let overlap = other.and_then(|other| overlap(writer?, access, loser?, &other));
            overlap.map_or(Cause::Unexplained, Cause::Overlap)
        };
        seen.add(&cause);
        let time_ns = access.complete_ns().unwrap_or(access.invoke_ns());
        let (class, key) = (ViolationClass::LostUpdate, access.invoke.key);
        findings.add(class, time_ns, key, access.owner(), || Finding {
            why: describe(access, other.as_ref(), resource, (was_read, held), token, &cause),
            resource: Some(resource),
            operations: other
                .iter()
                .map(|other| (other, loser))
                .chain([(access, writer)])
                .map(|(operation, tenure)| involved_access(observed, operation, tenure))
                .collect(),
        });
    }
    seen
}

/// The copy, the token and the value held before, of a completed access.
fn completed(access: &Operation) -> Option<(Resource, Option<Token>, u64)> {
    match access.completion?.detail {
        Detail::Access { resource, token, value } => Some((resource, token, value)),
        _ => None,
    }
}

/// Whether two owners were inside at one time, in words. A stay lasts as long as its owner believes,
/// or until its write arrives: a write that was under way when its owner lost the lock lands late.
fn overlap(writer: &Tenure, write: &Operation, loser: &Tenure, lost: &Operation) -> Option<String> {
    let stay_end = |tenure: &Tenure, write: &Operation| {
        tenure.hold.belief_end_ns.max(write.complete_ns().unwrap_or(0))
    };
    let (a, b) = (&writer.hold, &loser.hold);
    let meet = a.ok_ns < stay_end(loser, lost) && b.ok_ns < stay_end(writer, write);
    meet.then(|| {
        format!(
            "{} was inside from {} with a lease to {}, {} from {} with a lease to {}",
            a.client,
            seconds(a.ok_ns),
            seconds(a.contract_end_ns),
            b.client,
            seconds(b.ok_ns),
            seconds(b.contract_end_ns),
        )
    })
}

fn describe(
    write: &Operation,
    lost: Option<&Operation>,
    resource: Resource,
    (was_read, held): (u64, u64),
    token: Option<Token>,
    cause: &Cause,
) -> String {
    let resource = match resource {
        Resource::Unfenced => "unfenced",
        Resource::Fenced => "fenced",
    };
    let lost = match lost {
        Some(lost) => format!(
            "{}'s write at {}",
            lost.invoke.client,
            seconds(lost.complete_ns().unwrap_or(lost.invoke_ns()))
        ),
        None => "a write that the history does not show".to_owned(),
    };
    let token = token.map(|token| format!(" with token {token}")).unwrap_or_default();
    let cause = match cause {
        Cause::BehindFence => {
            "the tokens of the two owners should have made the resource refuse one".to_owned()
        }
        Cause::Overlap(stays) => stays.clone(),
        Cause::Unexplained => "by the clients' records no two of them were inside at that time: the service let in an owner that the history does not show, or the harness is at fault".to_owned(),
    };
    format!(
        "{} read {was_read} and wrote{token} at {}, when the {resource} resource held {held}: {lost} is lost; {cause}",
        write.invoke.client,
        seconds(write.complete_ns().unwrap_or(write.invoke_ns())),
    )
}

pub(crate) fn involved_access(
    observed: &Observed,
    access: &Operation,
    tenure: Option<&Tenure>,
) -> Involved {
    let token = match access.invoke.detail {
        Detail::Access { token, .. } => token,
        _ => None,
    };
    Involved {
        token: token.map(|token| token.to_string()),
        contract_end_ns: tenure.map(|tenure| tenure.hold.contract_end_ns),
        belief_end_ns: tenure.map(|tenure| tenure.hold.belief_end_ns),
        ..observed.involved(access)
    }
}
