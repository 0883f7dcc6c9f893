//! From searches to the decision for one object.

use super::configuration::Visited;
use super::explorer::{Explorer, Progress};
use super::history::{
    History, Numbered, begun, in_order, is_open_at, is_required, is_told_more_after, prefix,
};
use crate::decision::{Conflict, Counterexample, Decision, Exhausted, Involved, Undecided};
use crate::model::Model;
use crate::operation::Operation;

/// The decision for one object in the making: first the whole history is searched, and if it is not
/// linearizable its prefixes for the shortest that is not, which at last is searched again without
/// fingerprints. Of a history that is plainly bad only the prefixes before are searched.
pub struct Inquiry<M: Model> {
    model: M,
    certificate: bool,
    visited: fn() -> Visited<M::State>,
    /// In order of invokes.
    operations: Vec<Numbered>,
    /// The stamps at which something completes.
    completions: Vec<u64>,
    /// The operation at whose completion the history is bad, if the model knows without a search.
    plainly_bad: Option<Numbered>,
    /// How many completions end prefixes that are known to be linearizable.
    good: usize,
    stage: Stage,
    /// What is searched in this stage; `None` before the first and after the last.
    explorer: Option<Explorer<M>>,
}

/// What the search that is under way is for. Numbers are positions in the completions.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Whether there is a linearization.
    Whole,
    /// Whether the prefix to `probe` has one; that to `bad` has none. What is probed next, if it
    /// has, is twice as far from what is known.
    Narrow { probe: usize, bad: usize },
    /// Whether the prefix to `bad`, the shortest that has none by the fingerprints, has none.
    Confirm { bad: usize },
}

impl<M: Model> Inquiry<M> {
    /// The inquiry into these operations.
    pub fn new(model: M, operations: &[Operation], certificate: bool) -> Inquiry<M> {
        let plainly_bad = model.plainly_bad(operations);
        let plainly_bad = plainly_bad.map(|index| (index as u32, operations[index]));
        let operations = in_order(operations);
        let required = operations.iter().filter(|(_, operation)| is_required(operation));
        let mut completions: Vec<u64> = required.map(|(_, operation)| operation.complete).collect();
        completions.sort_unstable();
        completions.dedup();
        Inquiry {
            model,
            certificate,
            visited: Visited::fingerprints,
            operations,
            completions,
            plainly_bad,
            good: 0,
            stage: Stage::Whole,
            explorer: None,
        }
    }

    /// The decision if there is nothing left to search with: what is plainly bad stays so.
    pub fn given_up(&self, why: Exhausted) -> Decision {
        if let Some(stuck) = self.plainly_bad {
            let counterexample = self.counterexample(stuck.1.complete, Some(stuck));
            return Decision::NotLinearizable(Counterexample { shortest: false, ..counterexample });
        }
        let decided_until = match self.completions.get(self.good_so_far()) {
            Some(stamp) => stamp.saturating_sub(1),
            None => u64::MAX,
        };
        // No order was found, and it remains to be made sure that there is none.
        let suspected = !matches!(self.stage, Stage::Whole);
        Decision::Undecided(Undecided { why, decided_until, suspected })
    }

    /// What the visited configurations will take after so many more.
    pub fn memory_bytes(&self, more: u64) -> usize {
        self.explorer.as_ref().map_or(0, |explorer| explorer.memory_bytes(more))
    }

    /// Forgets what was visited; the inquiry is over.
    pub fn free(&mut self) {
        self.good = self.good_so_far();
        self.explorer = None;
    }

    /// Visits so many configurations; the decision if that was enough.
    pub fn advance(&mut self, steps: u64) -> Option<Decision> {
        if self.explorer.is_none()
            && let Some(decision) = self.begin()
        {
            return Some(decision);
        }
        let explorer = self.explorer.as_mut()?;
        let progress = explorer.advance(&self.model, steps);
        if progress == Progress::Paused {
            return None;
        }
        let found = progress == Progress::Found;
        let explorer_looks_ahead = explorer.looks_ahead();
        match self.stage {
            Stage::Whole if found => {
                Some(Decision::Linearizable(self.certificate.then(|| explorer.linearization())))
            }
            Stage::Whole => {
                self.good = self.good_so_far();
                // The search of the whole history knows how every operation ends, and may have given
                // up before because of what comes later; who sees the prefix alone does not know, so
                // it may still be good.
                let told_more = explorer_looks_ahead
                    || is_told_more_after(&self.operations, self.completions[self.good]);
                let bad = if told_more { self.completions.len() - 1 } else { self.good };
                self.narrow(self.good, bad)
            }
            Stage::Narrow { probe, bad } if found => {
                let stride = probe + 1 - self.good;
                self.good = probe + 1;
                self.narrow(probe + 2 * stride, bad)
            }
            Stage::Narrow { probe, .. } => {
                self.good = self.good_so_far();
                self.narrow(self.good, probe)
            }
            Stage::Confirm { .. } if found => {
                // Two configurations have one fingerprint.
                self.visited = Visited::exact;
                (self.stage, self.good, self.explorer) = (Stage::Whole, 0, None);
                None
            }
            Stage::Confirm { bad } => {
                let stuck = explorer.stuck().and_then(|index| self.operation(index));
                let at = self.completions[bad];
                Some(Decision::NotLinearizable(self.counterexample(at, stuck)))
            }
        }
    }

    /// Begins with the whole history, or with all that comes before it is plainly bad.
    fn begin(&mut self) -> Option<Decision> {
        if let Some((_, operation)) = self.plainly_bad {
            let bad = self.completions.partition_point(|stamp| *stamp < operation.complete);
            return self.narrow(bad, bad);
        }
        let history = History::new(&self.model, self.operations.iter().copied());
        self.explorer = Some(Explorer::new(&self.model, history, (self.visited)()));
        None
    }

    /// Goes on to the prefix to `probe`, or to the confirmation if nothing is left to probe: the
    /// decision if there is nothing to confirm.
    fn narrow(&mut self, probe: usize, bad: usize) -> Option<Decision> {
        if let Some(stuck) = self.plainly_bad
            && self.good == bad
            && self.completions[bad] == stuck.1.complete
        {
            let counterexample = self.counterexample(stuck.1.complete, Some(stuck));
            return Some(Decision::NotLinearizable(counterexample));
        }
        let (end, visited): (_, fn() -> _) = if self.good == bad {
            self.stage = Stage::Confirm { bad };
            (bad, Visited::exact)
        } else {
            let probe = probe.min(bad - 1);
            self.stage = Stage::Narrow { probe, bad };
            (probe, self.visited)
        };
        let prefix = prefix(&self.operations, self.completions[end]);
        let history = History::new(&self.model, prefix);
        self.explorer = Some(Explorer::new(&self.model, history, visited()));
        None
    }

    /// How many completions are explained by what is known and by the search that is under way.
    fn good_so_far(&self) -> usize {
        let stuck = self.explorer.as_ref().and_then(Explorer::stuck);
        let stuck = stuck.and_then(|index| self.operation(index));
        let explained = stuck.map_or(0, |(_, operation)| {
            self.completions.partition_point(|stamp| *stamp < operation.complete)
        });
        self.good.max(explained)
    }

    /// The operation of this index, as it was given.
    fn operation(&self, index: u32) -> Option<Numbered> {
        self.operations.iter().find(|numbered| numbered.0 == index).copied()
    }

    /// The shortest bad prefix ends at `at`.
    fn counterexample(&self, at: u64, stuck: Option<Numbered>) -> Counterexample {
        let involved = |&(index, operation): &Numbered| Involved { index: index.into(), operation };
        // The furthest order may have stopped before: what it lacks need not be what breaks it.
        let completes_then =
            |(_, operation): &&Numbered| is_required(operation) && operation.complete == at;
        let stuck = stuck.as_ref().filter(completes_then);
        let stuck = stuck.or_else(|| self.operations.iter().find(completes_then));
        let stuck = stuck.map(involved).expect("a bad prefix ends with a completion");
        let open = begun(&self.operations, at).filter(|numbered| is_open_at(numbered, at));
        let open = open.map(involved).collect();
        Counterexample { at, shortest: true, conflict: Conflict::NoOrder { stuck, open } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CasRegister;
    use crate::operation::{Action, NEVER, Outcome, Value};

    fn operation(invoke: u64, complete: u64, action: Action) -> Operation {
        let outcome = if complete == NEVER { Outcome::Info } else { Outcome::Ok };
        Operation { invoke, complete, action, process: invoke as u32, outcome }
    }

    fn decide(mut inquiry: Inquiry<CasRegister>) -> Decision {
        loop {
            if let Some(decision) = inquiry.advance(1) {
                return decision;
            }
        }
    }

    #[test]
    fn what_completes_before_its_invoke_has_no_place_in_any_order() {
        let operations = [
            operation(5, 6, Action::Write(Value(1))),
            operation(9, 7, Action::Read(Value(1))),
            operation(10, 11, Action::Read(Value(2))),
        ];
        match decide(Inquiry::new(CasRegister, &operations, true)) {
            Decision::NotLinearizable(counterexample) => assert_eq!(counterexample.at, 7),
            decision => panic!("{decision:?}"),
        }
    }

    #[test]
    fn a_collision_of_fingerprints_does_not_make_a_history_bad() {
        let operations = [
            operation(0, 10, Action::Write(Value(1))),
            operation(1, 11, Action::Write(Value(2))),
            operation(12, 13, Action::Read(Value(1))),
        ];
        let mut inquiry = Inquiry::new(CasRegister, &operations, true);
        inquiry.visited = || Visited::Colliding;
        assert_eq!(decide(inquiry), Decision::Linearizable(Some(vec![1, 0, 2])));
    }

    #[test]
    fn a_collision_of_fingerprints_does_not_move_the_end_of_the_shortest_bad_prefix() {
        let operations = [
            operation(0, 10, Action::Write(Value(1))),
            operation(1, 11, Action::Write(Value(2))),
            operation(12, 13, Action::Read(Value(1))),
            operation(14, 15, Action::Read(Value(2))),
        ];
        for visited in [|| Visited::Colliding, Visited::fingerprints] {
            let mut inquiry = Inquiry::new(CasRegister, &operations, true);
            inquiry.visited = visited;
            match decide(inquiry) {
                Decision::NotLinearizable(counterexample) => assert_eq!(counterexample.at, 15),
                decision => panic!("{decision:?}"),
            }
        }
    }
}
