//! Which infos are worth a try, and which states are not to be left, of an object of which every
//! operation leads to one state wherever it is legal.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash};

use super::configuration::Fingerprinter;
use super::history::{Classes, Timeline, is_required};
use crate::model::{Model, Needs, Passage};
use crate::operation::Operation;

/// The states by numbers, and what the operations that are not in order yet make of them.
pub struct Passages<S> {
    numbers: HashMap<S, u32, BuildHasherDefault<Fingerprinter>>,
    /// By operation.
    of: Vec<Passage<u32>>,
    required: Vec<bool>,
    /// By state: how many required operations are left that are legal there and nowhere else.
    needed_by: Vec<u32>,
    /// By state: how many operations are left that lead there.
    led_to_by: Vec<u32>,
    /// By state: the classes with infos that lead there, as positions in [`Classes::infos`].
    infos_to: Vec<Vec<u32>>,
    /// By state: those that are legal there and nowhere else.
    infos_from: Vec<Vec<u32>>,
    /// Those that are legal everywhere.
    infos_from_anywhere: Vec<u32>,
    /// By position: what the infos of the class need.
    infos_need: Vec<Needs<u32>>,
    wanted: Wanted,
}

/// What is looked for at one configuration.
#[derive(Default)]
struct Wanted {
    states: Vec<u32>,
    is_wanted: Vec<bool>,
    classes: Vec<u32>,
    is_listed: Vec<bool>,
}

impl<S: Eq + Hash> Passages<S> {
    /// Those of these operations; `None` if the object is not of this kind.
    pub fn new<M: Model<State = S>>(
        model: &M,
        operations: &[Operation],
        classes: &Classes,
    ) -> Option<Passages<S>> {
        let mut numbers = HashMap::from_iter([(model.initial(), 0)]);
        let mut number = |state: S| {
            let next = numbers.len() as u32;
            *numbers.entry(state).or_insert(next)
        };
        let passage = |operation| {
            let Passage { needs, leads_to } = model.passage(operation)?;
            let needs = match needs {
                Needs::Anything => Needs::Anything,
                Needs::Only(state) => Needs::Only(number(state)),
                Needs::AnythingBut(state) => Needs::AnythingBut(number(state)),
            };
            Some(Passage { needs, leads_to: leads_to.map(&mut number) })
        };
        let of: Vec<Passage<u32>> = operations.iter().map(passage).collect::<Option<_>>()?;
        let states = numbers.len();
        let mut passages = Passages {
            numbers,
            required: operations.iter().map(is_required).collect(),
            needed_by: vec![0; states],
            led_to_by: vec![0; states],
            infos_to: vec![Vec::new(); states],
            infos_from: vec![Vec::new(); states],
            infos_from_anywhere: Vec::new(),
            infos_need: Vec::with_capacity(classes.infos.len()),
            wanted: Wanted {
                is_wanted: vec![false; states],
                is_listed: vec![false; classes.infos.len()],
                ..Wanted::default()
            },
            of,
        };
        for number in 0..operations.len() {
            passages.put_back(number as u32);
        }
        for (position, (_, infos)) in (0..).zip(&classes.infos) {
            let Passage { needs, leads_to } = passages.of[infos[0] as usize];
            if let Some(state) = leads_to {
                passages.infos_to[state as usize].push(position);
            }
            passages.infos_need.push(needs);
            match needs {
                Needs::Only(state) => passages.infos_from[state as usize].push(position),
                _ => passages.infos_from_anywhere.push(position),
            }
        }
        Some(passages)
    }

    /// An operation is in order now.
    pub fn take(&mut self, number: u32) {
        let Passage { needs, leads_to } = self.of[number as usize];
        if let Needs::Only(state) = needs {
            self.needed_by[state as usize] -= u32::from(self.required[number as usize]);
        }
        if let Some(state) = leads_to {
            self.led_to_by[state as usize] -= 1;
        }
    }

    /// An operation is not in order any more.
    pub fn put_back(&mut self, number: u32) {
        let Passage { needs, leads_to } = self.of[number as usize];
        if let Needs::Only(state) = needs {
            self.needed_by[state as usize] += u32::from(self.required[number as usize]);
        }
        if let Some(state) = leads_to {
            self.led_to_by[state as usize] += 1;
        }
    }

    fn number(&self, state: &S) -> u32 {
        *self.numbers.get(state).expect("some operation leads to each state but the first")
    }

    /// Whether an operation that is legal in `state` would leave something undone for good: another
    /// is left that needs the state, and nothing leads back.
    pub fn ends_too_early(&self, state: &S, number: u32) -> bool {
        let state = self.number(state);
        let Passage { needs, leads_to } = self.of[number as usize];
        let is_one_of_them = self.required[number as usize]
            && matches!(needs, Needs::Only(needed) if needed == state);
        leads_to.is_some()
            && self.led_to_by[state as usize] == 0
            && self.needed_by[state as usize] > u32::from(is_one_of_them)
    }

    /// Whether an info that is legal now never will be again, since nothing leads back to the state
    /// that it needs. Once that state is left, it does not matter whether the info is in order: a
    /// configuration that lacks it but has the same required operations in order, the same state and
    /// no fewer other infos cannot use it either, as all that led to the state it needs is in order
    /// there too, or is by the same argument of no use.
    pub fn is_last_chance(&self, number: u32) -> bool {
        match self.of[number as usize].needs {
            Needs::Only(state) => self.led_to_by[state as usize] == 0,
            _ => false,
        }
    }

    /// The classes with infos of which one may be worth a try in `state`: it leads to where a
    /// required operation is legal that could come next and is not legal now, or to where another
    /// such info is.
    ///
    /// That is enough. Let a linearization put some infos in order between two required operations
    /// and be least in the order of the explorer's measures, and let X be the second of the two. X
    /// needs a state that is not the present one, else the infos could be left out, and the last of
    /// them leads there. If X needs a certain state, each of the infos needs the state that the one
    /// before it leads to, else that could be left out. If X needs any state but this one, the first
    /// info leads to such a one, and X, which is read-only, comes next.
    pub fn worth_a_try(&mut self, state: &S, timeline: &Timeline) -> &[u32] {
        let present = self.number(state);
        let wanted = &mut self.wanted;
        for state in wanted.states.drain(..) {
            wanted.is_wanted[state as usize] = false;
        }
        for class in wanted.classes.drain(..) {
            wanted.is_listed[class as usize] = false;
        }
        let mut anything_else = false;
        let mut entry = timeline.first();
        while let Some(number) = timeline.invoked(entry) {
            entry = timeline.after(entry);
            match self.of[number as usize].needs {
                Needs::Only(state) if state != present => wanted.want(state),
                Needs::AnythingBut(state) if state == present => anything_else = true,
                _ => {}
            }
        }
        let mut next = 0;
        while let Some(&state) = wanted.states.get(next) {
            next += 1;
            for &position in &self.infos_to[state as usize] {
                match self.infos_need[position as usize] {
                    Needs::Only(state) if state != present => wanted.want(state),
                    _ => wanted.list(position),
                }
            }
        }
        if anything_else {
            let from_here = &self.infos_from[present as usize];
            for &position in self.infos_from_anywhere.iter().chain(from_here) {
                wanted.list(position);
            }
        }
        &wanted.classes
    }
}

impl Wanted {
    fn want(&mut self, state: u32) {
        if !std::mem::replace(&mut self.is_wanted[state as usize], true) {
            self.states.push(state);
        }
    }

    fn list(&mut self, class: u32) {
        if !std::mem::replace(&mut self.is_listed[class as usize], true) {
            self.classes.push(class);
        }
    }
}
