//! An owner mutex: linearizable iff the cores of its holds are disjoint and each denied try finds
//! somebody who may have had the lock.
//!
//! Every hold contains its core, and holds exclude each other, so disjoint cores are necessary. They
//! suffice: let each acquire take effect at its completion and each release at its invoke. An info
//! release may do so too, and an info acquire that nothing speaks of later is left out.
//!
//! A denial `[l, u]` is explained iff it meets a core, or one of its neighbours can be stretched to
//! meet it: the release before it was open until `l` or longer, or the acquire after it was open
//! from `u` or earlier; after the last core any info acquire will do. The holds are in the order of
//! the cores, so nobody else can have had the lock. Denials do not compete: let the release take
//! effect at the latest `l` that it can explain, and the acquire at the earliest `u` of the others.
//! Those others begin after the release was over, so the release stays before the acquire.

use super::cores::{Core, Float, Holds};
use super::prefix::Prefix;
use crate::decision::{Certificate, Conflict, Counterexample, Decision};
use crate::operation::{Action, NEVER, Operation, Outcome};

/// Decides in linear time.
pub(super) fn decide(prefix: &Prefix<'_>, certificate: bool) -> Result<Decision, String> {
    decide_with(prefix, certificate, |_, _| None)
}

/// The same with one more rule that the order of the holds may break.
pub(super) fn decide_with(
    prefix: &Prefix<'_>,
    certificate: bool,
    more: impl FnOnce(&Prefix<'_>, &mut Holds) -> Option<Counterexample>,
) -> Result<Decision, String> {
    let mut holds = Holds::collect(prefix)?;
    if let Some(index) = holds.not_held {
        let at = prefix.get(index).complete;
        let conflict = Conflict::NotHeld(prefix.involved(index));
        return holds.reject(Counterexample::new(at, conflict));
    }
    if let Some(counterexample) = holds.sort(prefix) {
        return holds.reject(counterexample);
    }
    if let Some(counterexample) = more(prefix, &mut holds) {
        return holds.reject_order(counterexample);
    }
    let floats = match place_floats(prefix, &holds) {
        Ok(floats) => floats,
        Err(counterexample) => return holds.reject(*counterexample),
    };
    if holds.has_denials {
        holds.add_last_acquire(prefix);
    }
    let mut order = Order::new(prefix, &holds, floats, certificate);
    if holds.has_denials {
        if let Err(denial) = order.explain_denials() {
            return holds.reject_denial(order.unexplained(denial));
        }
        order.check_floats()?;
    }
    Ok(Decision::Linearizable(order.finish()))
}

/// A floating hold, in a gap between cores.
struct Placed {
    /// The position of the core after the gap.
    gap: usize,
    acquire: u32,
    release: u32,
}

/// Finds a gap for each floating hold, or one that has none. They do not compete: one after the
/// other they can happen at one instant. In order of the gaps, and in one gap of their invokes.
fn place_floats(prefix: &Prefix<'_>, holds: &Holds) -> Result<Vec<Placed>, Box<Counterexample>> {
    let mut placed = Vec::with_capacity(holds.floats.len());
    for &Float { acquire, release } in &holds.floats {
        let Operation { invoke, complete, .. } = prefix.get(release);
        let gap = holds.cores.partition_point(|core| core.start < invoke);
        if let Some(core) = gap.checked_sub(1).map(|before| &holds.cores[before])
            && core.end > complete
        {
            let both = vec![
                prefix.hold(core.acquire, core.release()),
                prefix.hold(acquire, Some(release)),
            ];
            let conflict = Conflict::Overlap(both);
            return Err(Box::new(Counterexample::new(complete, conflict)));
        }
        placed.push(Placed { gap, acquire, release });
    }
    placed.sort_unstable_by_key(|float| (float.gap, float.release));
    Ok(placed)
}

/// How far a hold is stretched beyond its core.
#[derive(Clone, Copy)]
struct Stretch {
    /// The instant at which the acquire takes effect at the latest.
    acquire_by: u64,
    /// The instant from which on the release may take effect.
    release_from: u64,
}

/// The linearization: hold after hold, and in each the denials that it explains, which turn up in
/// the order of their invokes.
struct Order<'a> {
    prefix: &'a Prefix<'a>,
    holds: &'a Holds,
    floats: Vec<Placed>,
    /// By core; empty if there is no floating hold to be in the way.
    stretches: Vec<Stretch>,
    certificate: Option<Certificate>,
    /// How many holds, and how many floats, the certificate has.
    begun: usize,
    floated: usize,
}

impl<'a> Order<'a> {
    fn new(
        prefix: &'a Prefix<'a>,
        holds: &'a Holds,
        floats: Vec<Placed>,
        certificate: bool,
    ) -> Order<'a> {
        let stretch = |core: &Core| Stretch { acquire_by: core.start, release_from: core.end };
        let cores = if floats.is_empty() { &[] } else { &holds.cores[..] };
        Order {
            prefix,
            holds,
            floats,
            stretches: cores.iter().map(stretch).collect(),
            certificate: certificate.then(|| Vec::with_capacity(prefix.len())),
            begun: 0,
            floated: 0,
        }
    }

    /// Gives each denial a hold that explains it.
    fn explain_denials(&mut self) -> Result<(), Unexplained> {
        let (prefix, cores) = (self.prefix, &self.holds.cores);
        // The first core that does not end before the denial.
        let mut near = 0;
        for (index, denial) in prefix.iter() {
            if !is_denial(&denial) {
                continue;
            }
            while cores.get(near).is_some_and(|core| core.end < denial.invoke) {
                near += 1;
            }
            let next = cores.get(near);
            let meets = next.is_some_and(|next| next.start <= denial.invoke);
            let hold = if meets {
                near
            } else if near > 0 && prefix.get(cores[near - 1].release).complete >= denial.invoke {
                if let Some(stretch) = self.stretches.get_mut(near - 1) {
                    stretch.release_from = stretch.release_from.max(denial.invoke);
                }
                near - 1
            } else if next.is_some_and(|next| prefix.get(next.acquire).invoke <= denial.complete) {
                if let Some(stretch) = self.stretches.get_mut(near) {
                    stretch.acquire_by = stretch.acquire_by.min(denial.complete);
                }
                near
            } else {
                return Err(Unexplained { index, near });
            };
            if self.certificate.is_some() {
                self.begin(hold + 1);
                self.certificate.as_mut().into_iter().for_each(|order| order.push(index));
            }
        }
        Ok(())
    }

    /// Appends all up to the acquire of the last of so many holds.
    fn begin(&mut self, holds: usize) {
        while self.begun < holds {
            self.end();
            let acquire = self.holds.cores[self.begun].acquire;
            self.certificate.as_mut().into_iter().for_each(|order| order.push(acquire));
            self.begun += 1;
        }
    }

    /// Appends the end of the last hold, and what floats after it.
    fn end(&mut self) {
        let Some(order) = &mut self.certificate else { return };
        if let Some(last) = self.begun.checked_sub(1) {
            order.extend(self.holds.cores[last].release());
        }
        while let Some(float) =
            self.floats.get(self.floated).filter(|float| float.gap <= self.begun)
        {
            order.extend([float.acquire, float.release]);
            self.floated += 1;
        }
    }

    /// Makes sure that each floating hold still fits between the holds around it, now that denials
    /// have stretched them.
    fn check_floats(&self) -> Result<(), String> {
        for float in &self.floats {
            let Operation { invoke, complete, process, .. } = self.prefix.get(float.release);
            let before = float.gap.checked_sub(1).map(|before| self.stretches[before]);
            let after = self.stretches.get(float.gap);
            let from = before.map_or(invoke, |before| invoke.max(before.release_from));
            let by = after.map_or(complete, |after| complete.min(after.acquire_by));
            if from > by {
                return Err(format!(
                    "process {process} released what an info of it acquired, and denied tries \
                     around leave no obvious room for that hold"
                ));
            }
        }
        Ok(())
    }

    /// The certificate, with all that no denial has made it begin.
    fn finish(mut self) -> Option<Certificate> {
        let holds = self.holds.sure().len();
        if self.certificate.is_some() && self.begun <= holds {
            self.begin(holds);
            self.end();
        }
        self.certificate
    }

    /// The counterexample of a denial that no hold explains.
    fn unexplained(&self, denial: Unexplained) -> Counterexample {
        let Unexplained { index, near } = denial;
        let (prefix, cores) = (self.prefix, self.holds.sure());
        let next = cores.get(near);
        let denied_at = prefix.get(index).complete;
        let next_at = next.map_or(NEVER, |next| next.start);
        let failed_at = no_longer_possible_at(prefix, denied_at, next_at);
        let at = failed_at.min(next_at.max(denied_at));
        let hold = |core: &Core| prefix.hold(core.acquire, core.release());
        let conflict = Conflict::UnexplainedDenial {
            denial: prefix.involved(index),
            before: near.checked_sub(1).map(|before| hold(&cores[before])),
            after: next.map(hold),
        };
        Counterexample::new(at, conflict)
    }
}

/// When a denial returned, others were open that might have had the lock, had they gone well; they
/// surely had not when they failed, or when the next hold had begun. The stamp at which the last
/// of them is out of the question.
pub(super) fn no_longer_possible_at(prefix: &Prefix<'_>, denied_at: u64, next_at: u64) -> u64 {
    let mut at = denied_at;
    for (_, operation) in prefix.iter() {
        if operation.invoke > denied_at {
            break;
        }
        if matches!(operation.action, Action::Acquire(_) | Action::TryAcquire(_))
            && operation.complete > denied_at
        {
            at = at.max(match operation.outcome {
                Outcome::Fail => operation.complete,
                Outcome::Ok | Outcome::Info => next_at,
            });
        }
    }
    at
}

/// A denial that no hold explains, and the position of the first core that does not end before it.
struct Unexplained {
    index: u32,
    near: usize,
}

fn is_denial(operation: &Operation) -> bool {
    operation.outcome == Outcome::Fail && matches!(operation.action, Action::TryAcquire(_))
}
