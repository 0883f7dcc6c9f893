//! The protected values that are kept in the store under test: updates that were lost.
//!
//! Here the clients stamp both ends, a write may have an unknown outcome, and the store does not tell
//! which value a write replaced. What is known is what each writer had read: it writes that plus one.
//!
//! Two rules, sound whatever else happened. Let X be an ok write that replaced v by v+1.
//!
//! 1. *Another owner's ok write replaced v, too.* Had its writer read after X took effect, the value
//!    had fallen back from v+1 to v. Look at the first write after X that left the value at v or
//!    below. Its writer had read less than v, and so before X took effect, since from X on until
//!    that write all values were larger. So some write that came after X had not seen it: X, or what
//!    X itself would have destroyed, is lost. If no write lowered the value, the store forgot X.
//! 2. *A read that began after X was answered saw v or less.* By the same argument a write that had
//!    not seen X came after it, or the store forgot X, or it answered with a value of the past. The
//!    last is no loss, so the rule holds only where reads are linearizable (see
//!    [`reads_are_linearizable`]).
//!
//! The first write after X that had not seen X is one whose owner was inside before X took effect and
//! whose write took effect after it: the stays of the two overlap, where a stay lasts until its write
//! is over, and for ever if its outcome is unknown. If no stay like that is on record, the clients'
//! records do not explain the loss.

use std::collections::{BTreeMap, HashMap, HashSet};

use locktest_history::{
    ClientId, Detail, Event, Function, KeyId, Outcome, Phase, Plan, ReadMode, Recipe, Resource,
};

use crate::findings::{Finding, Findings};
use crate::hold::Tenure;
use crate::observed::Observed;
use crate::operation::{Operation, Owner};
use crate::resource::{Cause, ResourceSeen, involved_access};
use crate::time::seconds;
use crate::verdict::ViolationClass;

/// A write that happened or may have happened.
#[derive(Clone, Copy)]
struct Write<'h> {
    operation: Operation<'h>,
    /// The value that it replaced, as far as its writer knew.
    read: u64,
}

impl Write<'_> {
    fn is_ok(&self) -> bool {
        self.operation.outcome() == Outcome::Ok
    }

    /// Names it within the run.
    fn id(&self) -> (ClientId, u64) {
        (self.operation.invoke.client, self.operation.invoke.op)
    }

    /// Until when it can have taken effect: for ever, if its outcome is unknown.
    fn over_ns(&self) -> u64 {
        self.operation.ok_ns().unwrap_or(u64::MAX)
    }
}

/// One copy under one key: what was done to it, in order of the completions.
#[derive(Default)]
struct Copy<'h> {
    writes: Vec<Write<'h>>,
    /// Ok reads: what was found.
    reads: Vec<(Operation<'h>, u64)>,
}

/// A write that is lost, and the operation that shows it.
struct Loss<'h> {
    lost: Write<'h>,
    shown_by: Operation<'h>,
    /// What a read found in place of the lost value; `None` if two writes replaced one value.
    found: Option<u64>,
}

/// Reports each lost update.
pub(crate) fn lost_updates(
    observed: &Observed,
    tenures: &[Tenure],
    findings: &mut Findings,
) -> ResourceSeen {
    let tenure_of: HashMap<Owner, &Tenure> = tenures.iter().map(|t| (t.owner(), t)).collect();
    let mut seen = ResourceSeen::default();
    let mut copies: BTreeMap<(KeyId, bool), Copy> = BTreeMap::new();
    for access in &observed.accesses {
        let Detail::Access { resource, value, .. } = access.invoke.detail else { continue };
        let fenced = resource == Resource::Fenced;
        let copy = copies.entry((access.invoke.key, fenced)).or_default();
        let writes = access.invoke.function == Function::Write;
        match (access.outcome(), found_value(access)) {
            (Outcome::Fail, _) => {
                seen.rejections += u64::from(fenced && writes && !access.not_asked());
            }
            (Outcome::Ok | Outcome::Info, _) if writes => {
                seen.guarded += u64::from(fenced && access.ok_ns().is_some());
                copy.writes.push(Write { operation: *access, read: value });
            }
            (Outcome::Ok, Some(found)) => copy.reads.push((*access, found)),
            _ => {}
        }
    }
    let linearizable = reads_are_linearizable(observed.plan);
    for ((key, fenced), copy) in &copies {
        let mut losses = copy.replaced_twice();
        if linearizable {
            losses.extend(copy.fallen_behind(&losses));
        }
        let resource = if *fenced { Resource::Fenced } else { Resource::Unfenced };
        for loss in &losses {
            let cause = match resource {
                Resource::Fenced => Cause::BehindFence,
                Resource::Unfenced => match copy.explanation(&loss.lost, &tenure_of) {
                    Some(stays) => Cause::Overlap(stays),
                    None => Cause::Unexplained,
                },
            };
            seen.add(&cause);
            let time_ns = loss.shown_by.complete_ns().unwrap_or(loss.shown_by.invoke_ns());
            let owner = loss.shown_by.owner();
            findings.add(ViolationClass::LostUpdate, time_ns, *key, owner, || Finding {
                why: format!("{}; {}", loss.describe(resource), cause.of_a_store(observed.plan)),
                resource: Some(resource),
                operations: [loss.lost.operation, loss.shown_by]
                    .iter()
                    .map(|operation| {
                        let tenure = tenure_of.get(&operation.owner()).copied();
                        involved_access(observed, operation, tenure)
                    })
                    .collect(),
            });
        }
    }
    seen
}

/// Whether every ok read saw all writes that had been answered before it began.
///
/// ZooKeeper's `sync` asks no majority: a leader that was deposed and has not noticed answers it. A
/// primary that its sentinels have replaced answers reads, too.
fn reads_are_linearizable(plan: &Plan) -> bool {
    match plan.recipe {
        Recipe::LockRpc | Recipe::CasTtl | Recipe::ElectionKey => {
            plan.read_mode == ReadMode::Linearizable
        }
        Recipe::Session => plan.read_mode == ReadMode::Consistent,
        Recipe::Single | Recipe::Sim => true,
        Recipe::EphemeralSequential | Recipe::Sentinel | Recipe::Redlock => false,
    }
}

/// What an ok access found.
fn found_value(access: &Operation) -> Option<u64> {
    match access.completion? {
        Event { phase: Phase::Ok, detail: Detail::Access { value, .. }, .. } => Some(*value),
        _ => None,
    }
}

impl<'h> Copy<'h> {
    fn ok_writes(&self) -> impl Iterator<Item = &Write<'h>> {
        self.writes.iter().filter(|write| write.is_ok())
    }

    /// Rule 1: each ok write that replaced what another owner's ok write had replaced before.
    fn replaced_twice(&self) -> Vec<Loss<'h>> {
        let mut last: HashMap<u64, Write<'h>> = HashMap::new();
        let mut losses = Vec::new();
        for write in self.ok_writes() {
            let before = last.insert(write.read, *write);
            // A writer that overwrites its own value destroys nobody's.
            if let Some(lost) = before.filter(|b| b.operation.owner() != write.operation.owner()) {
                losses.push(Loss { lost, shown_by: write.operation, found: None });
            }
        }
        losses
    }

    /// Rule 2: each read of a value that is smaller than what an ok write had left before. Of the
    /// reads that show one loss only the first counts, and none that rule 1 has shown.
    fn fallen_behind(&self, known: &[Loss<'h>]) -> Vec<Loss<'h>> {
        let mut shown: HashSet<(ClientId, u64)> = HashSet::new();
        // Per value that was replaced twice, until when the last of its writes can have landed.
        let mut landed_by: BTreeMap<u64, u64> = BTreeMap::new();
        for loss in known {
            let over_ns = loss.shown_by.ok_ns().unwrap_or(u64::MAX);
            let landed_by = landed_by.entry(loss.lost.read).or_default();
            *landed_by = over_ns.max(*landed_by);
        }
        let mut reads: Vec<&(Operation, u64)> = self.reads.iter().collect();
        reads.sort_by_key(|(read, _)| read.invoke_ns());
        let mut writes = self.ok_writes().peekable();
        let mut largest: Option<Write<'h>> = None;
        let mut losses = Vec::new();
        for (read, found) in reads {
            while let Some(write) = writes.next_if(|write| write.over_ns() < read.invoke_ns()) {
                if largest.is_none_or(|largest| largest.read <= write.read) {
                    largest = Some(*write);
                }
            }
            let Some(lost) = largest.filter(|largest| *found <= largest.read) else { continue };
            if !shown.insert(lost.id()) {
                continue;
            }
            // The value was replaced by one that had been replaced before: the same incident, unless
            // that was all over when this write began.
            let incident = found.saturating_sub(1)..=lost.read;
            let mut landed_by = landed_by.range(incident);
            if !landed_by.any(|(_, landed_by)| *landed_by >= lost.operation.invoke_ns()) {
                losses.push(Loss { lost, shown_by: *read, found: Some(*found) });
            }
        }
        losses
    }

    /// Another owner whose stay overlapped that of the lost write, in words, and who had not seen it.
    fn explanation(&self, lost: &Write, tenure_of: &HashMap<Owner, &Tenure>) -> Option<String> {
        let stay = |write: &Write| {
            let tenure = tenure_of.get(&write.operation.owner())?;
            let hold = &tenure.hold;
            Some((hold.ok_ns, hold.belief_end_ns.max(write.over_ns())))
        };
        let (from_ns, until_ns) = stay(lost)?;
        let mut others = self.writes.iter().filter_map(|write| {
            let (other_from_ns, other_until_ns) = stay(write)?;
            let overlaps = other_from_ns < until_ns && from_ns < other_until_ns;
            let is_other = write.operation.owner() != lost.operation.owner();
            (is_other && overlaps && write.read <= lost.read).then_some((write, other_from_ns))
        });
        let (write, other_from_ns) = others.next()?;
        let end = if write.is_ok() {
            format!("its write was answered at {}", seconds(write.over_ns()))
        } else {
            "what became of its write is unknown".to_owned()
        };
        Some(format!(
            "{} was inside from {}, {} from {}, and {end}",
            lost.operation.invoke.client,
            seconds(from_ns),
            write.operation.invoke.client,
            seconds(other_from_ns),
        ))
    }
}

impl Loss<'_> {
    fn describe(&self, resource: Resource) -> String {
        let copy = match resource {
            Resource::Unfenced => "unfenced",
            Resource::Fenced => "guarded",
        };
        let lost = &self.lost;
        let (by, at) = (lost.operation.invoke.client, seconds(lost.over_ns()));
        let (other, time_ns) = (self.shown_by.invoke.client, self.shown_by.complete_ns());
        let time = seconds(time_ns.unwrap_or(self.shown_by.invoke_ns()));
        match self.found {
            None => format!(
                "{by} at {at} and {other} at {time} each replaced {} in the {copy} value: one of the two updates is lost",
                lost.read
            ),
            Some(found) => format!(
                "{by}'s write of {} to the {copy} value was answered at {at}, yet {other} read {found} from it at {time}: that update is lost",
                lost.read.saturating_add(1)
            ),
        }
    }
}

impl Cause {
    fn of_a_store(&self, plan: &Plan) -> String {
        match self {
            Cause::BehindFence if reads_are_linearizable(plan) => {
                "the store should have refused the write of whoever no longer held the lock".to_owned()
            }
            Cause::BehindFence => format!(
                "the store checked the lock's entry with each write; a read ({}) may have been of the past",
                plan.read_mode
            ),
            Cause::Overlap(stays) => stays.clone(),
            Cause::Unexplained => "by the clients' records nobody who had not seen it was inside at that time: the store lost a write, let in an owner that the history does not show, or answered a read from the past".to_owned(),
        }
    }
}
