//! The layout of one violation: who waited, held and overran when. The terminal draws it in
//! characters, the page in SVG.

use std::ops::Range;

use locktest_analyzer::{FaultSummary, Involved, Violation, ViolationClass};
use locktest_history::{Function, Outcome};

use crate::text::{seconds, visible};

/// Beyond this many lanes a drawing explains nothing.
const MAX_LANES: usize = 8;

/// Beyond this many operations a lane's marks only hide each other.
const MAX_OPERATIONS: usize = 200;

/// A name in a drawing is cut to this length.
const MAX_NAME: usize = 24;

/// One violation, laid out.
pub(crate) struct Drawing {
    /// The instants that are shown.
    pub window_ns: Range<u64>,
    /// One for each owner concerned.
    pub lanes: Vec<Lane>,
    /// When two lanes held at once, in the view that makes the violation.
    pub overlaps_ns: Vec<Range<u64>>,
    /// The faults that were in force inside the window.
    pub faults: Vec<FaultBand>,
    /// The instant that made it a violation.
    pub time_ns: u64,
}

/// One owner: a client in one attempt.
pub(crate) struct Lane {
    /// The client's name.
    pub label: String,
    /// What it did when, in time order.
    pub spans: Vec<Span>,
    /// Its single operations inside the window, in time order.
    pub marks: Vec<Mark>,
    /// The lane in words.
    pub note: String,
}

/// A stretch of a lane.
pub(crate) struct Span {
    /// What it is.
    pub kind: SpanKind,
    /// When; never empty.
    pub time_ns: Range<u64>,
}

/// What a stretch of a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanKind {
    /// The client asked and had no answer.
    Waiting,
    /// The client believed that it held, and the lease was valid.
    Held,
    /// The client believed that it held, and the lease was over.
    Overrun,
    /// The client had stopped, and the lease ran on.
    LeaseOnly,
}

/// A single operation on a lane.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    /// Its sign.
    pub sign: char,
    /// What the sign stands for.
    pub meaning: &'static str,
    /// When.
    pub time_ns: u64,
}

/// A fault behind the lanes.
pub(crate) struct FaultBand {
    /// Such as `fault 1`.
    pub label: String,
    /// When.
    pub time_ns: Range<u64>,
}

/// Lays a violation out.
pub(crate) fn lay_out(violation: &Violation, faults: &[FaultSummary]) -> Drawing {
    let operations = &violation.operations[..violation.operations.len().min(MAX_OPERATIONS)];
    let owners = owners(operations);
    let window_ns = window(&owners, violation.time_ns);
    let holds: Vec<Range<u64>> =
        owners.iter().filter_map(|owner| owner.hold(violation.class)).collect();
    let faults = faults
        .iter()
        .map(|fault| FaultBand {
            label: format!("fault {}", fault.id),
            time_ns: fault.begin_ns..fault.end_ns,
        })
        .filter(|band| band.time_ns.start < window_ns.end && band.time_ns.end > window_ns.start)
        .take(MAX_LANES)
        .collect();
    Drawing {
        lanes: owners.iter().map(|owner| lane(owner, &owners, &window_ns)).collect(),
        overlaps_ns: overlaps(holds),
        faults,
        time_ns: violation.time_ns,
        window_ns,
    }
}

/// The operations of one (client, attempt).
struct Owner<'a> {
    acquire: Option<&'a Involved>,
    others: Vec<&'a Involved>,
}

impl<'a> Owner<'a> {
    fn all(&self) -> impl Iterator<Item = &'a Involved> {
        self.acquire.into_iter().chain(self.others.iter().copied())
    }

    fn client(&self) -> &'a str {
        self.all().next().map_or("", |operation| &operation.client)
    }

    fn attempt(&self) -> u64 {
        self.all().next().map_or(0, |operation| operation.attempt)
    }

    /// The grant and its instant, if the acquire was granted.
    fn granted(&self) -> Option<(&'a Involved, u64)> {
        let acquire = self.acquire.filter(|acquire| acquire.outcome == Outcome::Ok)?;
        Some((acquire, acquire.complete_ns?))
    }

    /// The hold, in the view that makes a violation of this class; `None` if it is empty.
    fn hold(&self, class: ViolationClass) -> Option<Range<u64>> {
        let (acquire, ok_ns) = self.granted()?;
        let end_ns = match class {
            ViolationClass::DoubleGrant => acquire.contract_end_ns,
            _ => acquire.belief_end_ns,
        }?;
        (ok_ns < end_ns).then_some(ok_ns..end_ns)
    }
}

fn owners(operations: &[Involved]) -> Vec<Owner<'_>> {
    let mut owners: Vec<Owner> = Vec::new();
    for operation in operations {
        let same = |owner: &Owner| {
            (owner.client(), owner.attempt()) == (operation.client.as_str(), operation.attempt)
        };
        let known = owners.iter().position(same);
        if known.is_none() && owners.len() == MAX_LANES {
            continue;
        }
        let index = known.unwrap_or_else(|| {
            owners.push(Owner { acquire: None, others: Vec::new() });
            owners.len() - 1
        });
        let owner = &mut owners[index];
        let acquires = matches!(operation.function, Function::Acquire | Function::TryAcquire);
        if acquires && owner.acquire.is_none() {
            owner.acquire = Some(operation);
        } else {
            owner.others.push(operation);
        }
    }
    owners
}

/// From a little before the first grant, or the end of a lease that ended during the wait for it,
/// to a little after the last belief. Waits reach back without limit and a dead client's lease may
/// run on for long: both would crush the rest, so the former are cut off and the latter gets at most
/// as much room again.
fn window(owners: &[Owner], time_ns: u64) -> Range<u64> {
    let mut begin_ns = time_ns;
    let mut end_ns = time_ns;
    let mut lease_end_ns = time_ns;
    let nothing_granted = owners.iter().all(|owner| owner.granted().is_none());
    for owner in owners {
        if let Some((acquire, ok_ns)) = owner.granted() {
            let lease_over_ns = acquire.contract_end_ns.map(|end_ns| end_ns.max(acquire.invoke_ns));
            begin_ns = begin_ns.min(ok_ns).min(lease_over_ns.unwrap_or(ok_ns));
            end_ns = end_ns.max(ok_ns).max(acquire.belief_end_ns.unwrap_or(0));
            lease_end_ns = lease_end_ns.max(acquire.contract_end_ns.unwrap_or(0));
        } else if let Some(acquire) = owner.acquire.filter(|_| nothing_granted) {
            begin_ns = begin_ns.min(acquire.invoke_ns);
            end_ns = end_ns.max(acquire.complete_ns.unwrap_or(0));
        }
        for operation in &owner.others {
            begin_ns = begin_ns.min(instant(operation));
            end_ns = end_ns.max(instant(operation));
        }
    }
    let span_ns = end_ns.saturating_sub(begin_ns);
    end_ns = end_ns.max(lease_end_ns.min(end_ns.saturating_add(span_ns)));
    let margin_ns = (end_ns.saturating_sub(begin_ns) / 12).max(1_000_000);
    begin_ns.saturating_sub(margin_ns)..end_ns.saturating_add(margin_ns)
}

fn lane(owner: &Owner, owners: &[Owner], window_ns: &Range<u64>) -> Lane {
    let twice = owners.iter().filter(|other| other.client() == owner.client()).count() > 1;
    let name = visible(owner.client(), MAX_NAME);
    let mut spans = Vec::new();
    let mut add = |kind, from_ns: u64, to_ns: u64| {
        let time_ns = from_ns.max(window_ns.start)..to_ns.min(window_ns.end);
        if time_ns.start < time_ns.end {
            spans.push(Span { kind, time_ns });
        }
    };
    match (owner.acquire, owner.granted()) {
        (_, Some((acquire, ok_ns))) => {
            let (contract_end_ns, belief_end_ns) = ends(acquire);
            add(SpanKind::Waiting, acquire.invoke_ns, ok_ns);
            add(SpanKind::Held, ok_ns, contract_end_ns.min(belief_end_ns));
            add(SpanKind::Overrun, contract_end_ns.max(ok_ns), belief_end_ns);
            add(SpanKind::LeaseOnly, belief_end_ns.max(ok_ns), contract_end_ns);
        }
        (Some(acquire), None) => {
            add(SpanKind::Waiting, acquire.invoke_ns, acquire.complete_ns.unwrap_or(u64::MAX));
        }
        (None, None) => {}
    }
    let mut marks: Vec<Mark> =
        owner.others.iter().filter_map(|operation| mark(operation)).collect();
    marks.sort_by_key(|mark| mark.time_ns);
    Lane {
        label: if twice { format!("{name}/{}", owner.attempt()) } else { name },
        spans,
        marks,
        note: note(owner),
    }
}

/// The contract's and the belief's end. One that is unknown is taken to be the other, and a hold
/// without any to last for ever.
fn ends(acquire: &Involved) -> (u64, u64) {
    let belief_end_ns = acquire.belief_end_ns.or(acquire.contract_end_ns).unwrap_or(u64::MAX);
    (acquire.contract_end_ns.unwrap_or(belief_end_ns), belief_end_ns)
}

fn instant(operation: &Involved) -> u64 {
    operation.complete_ns.unwrap_or(operation.invoke_ns)
}

fn mark(operation: &Involved) -> Option<Mark> {
    let (sign, meaning) = match operation.function {
        Function::Read => ('R', "read"),
        Function::Write => ('W', "write"),
        Function::Cas => ('C', "compare-and-set"),
        Function::Renew => ('N', "renew"),
        Function::Validate => ('V', "read the lock's entry back"),
        Function::Lost => ('L', "noticed the loss"),
        // The end of the bar already shows it.
        Function::Release | Function::Round => return None,
        Function::Acquire | Function::TryAcquire => ('A', "acquire again"),
    };
    Some(Mark { sign, meaning, time_ns: instant(operation) })
}

fn note(owner: &Owner) -> String {
    let mut parts = Vec::new();
    match (owner.acquire, owner.granted()) {
        (_, Some((acquire, ok_ns))) => {
            let (_, belief_end_ns) = ends(acquire);
            parts.push(format!("acquire ok {}", seconds(ok_ns)));
            match acquire.contract_end_ns {
                Some(end_ns) if end_ns < ok_ns => {
                    parts.push(format!("but its lease had ended {}", seconds(end_ns)));
                }
                // Equal ends mean that the release cut the lease short, which is said below.
                Some(end_ns) if end_ns != belief_end_ns => {
                    parts.push(format!("lease to {}", seconds(end_ns)));
                }
                _ => {}
            }
            let release =
                owner.others.iter().find(|operation| operation.function == Function::Release);
            match (release, acquire.belief_end_ns) {
                (Some(release), _) => {
                    parts.push(format!("release {}", seconds(release.invoke_ns)));
                }
                (None, Some(end_ns)) => {
                    let overran = acquire.contract_end_ns.is_some_and(|lease_ns| lease_ns < end_ns);
                    let verb = if overran { "acted" } else { "held" };
                    parts.push(format!("{verb} until {}", seconds(end_ns)));
                }
                (None, None) => {}
            }
            if let Some(token) = &acquire.token {
                parts.push(format!("token {}", visible(token, MAX_NAME)));
            }
        }
        (Some(acquire), None) => {
            parts.push(format!("asked {}", seconds(acquire.invoke_ns)));
            parts.push(match (acquire.outcome, acquire.complete_ns) {
                (Outcome::Fail, Some(end_ns)) => format!("denied {}", seconds(end_ns)),
                (_, Some(end_ns)) => format!("gave up {}", seconds(end_ns)),
                (_, None) => "no answer".to_owned(),
            });
        }
        (None, None) => {}
    }
    for operation in &owner.others {
        let verb = match operation.function {
            Function::Read => "read",
            Function::Write => "write",
            Function::Cas => "compare-and-set",
            Function::Renew => "renew",
            _ => continue,
        };
        let outcome = match operation.outcome {
            Outcome::Ok => "ok",
            Outcome::Fail => "refused",
            Outcome::Info => "unknown",
        };
        parts.push(format!("{verb} {outcome} {}", seconds(instant(operation))));
    }
    if let Some(server) = owner.all().find_map(|operation| operation.server.as_deref()) {
        parts.push(format!("by {}", visible(server, MAX_NAME)));
    }
    parts.join(", ")
}

/// The instants that at least two of the ranges cover, merged.
pub(crate) fn overlaps(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut overlaps: Vec<Range<u64>> = Vec::new();
    let mut reach_ns = 0;
    for range in ranges {
        let overlap = range.start..range.end.min(reach_ns);
        reach_ns = reach_ns.max(range.end);
        if overlap.start >= overlap.end {
            continue;
        }
        match overlaps.last_mut() {
            Some(last) if overlap.start <= last.end => last.end = last.end.max(overlap.end),
            _ => overlaps.push(overlap),
        }
    }
    overlaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_what_two_ranges_cover_and_touching_ranges_cover_nothing() {
        assert_eq!(overlaps(vec![0..5, 5..9]), []);
        assert_eq!(overlaps(vec![3..9, 0..5, 8..12]), [3..5, 8..9]);
        assert_eq!(overlaps(vec![0..10, 2..4, 6..8, 7..12]), [2..4, 6..10]);
        assert_eq!(overlaps(vec![0..4, 1..6, 2..3, 5..7]), [1..4, 5..6]);
    }
}
