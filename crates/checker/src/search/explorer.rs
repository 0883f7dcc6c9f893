//! One search through the configurations of a history.
//!
//! Four rules keep it small. None of them loses a linearization, since of all linearizations there
//! is one that is least in the order of these measures, one after the other, and whatever a rule
//! leaves out is not the least:
//!
//! 1. the number of infos that take effect. An info that leads back to a state that was there since
//!    the last required operation is left out, and so is one after which the next operation leads
//!    where it leads without the info.
//! 2. the positions of the read-only operations: each is put in order as soon as it is legal, and is
//!    never a choice.
//! 3. the positions of the infos among the others, late ones first: an info comes right before an
//!    operation that is not the same before it. Of two infos that commute, the order is fixed.
//! 4. of operations with the same effect in every state, the one that ends first comes first.
//!
//! Of a register three more are known ([`Passages`]): which infos can be what comes next in such a
//! linearization, which states are not to be left since something needs them that nothing could come
//! back for, and which infos are of no use to what is left, so that it does not matter whether they
//! are in order.

use std::cmp::Reverse;

use super::configuration::{Configuration, Visited, key};
use super::history::{Classes, History, Timeline, is_required};
use super::passages::Passages;
use crate::model::Model;

/// A search that can be stopped at any configuration and resumed.
pub struct Explorer<M: Model> {
    history: History,
    timeline: Timeline,
    classes: Classes,
    passages: Option<Passages<M::State>>,
    read_only: Vec<bool>,
    keys: Vec<u128>,
    visited: Visited<M::State>,
    /// By operation: its bit among the required ones or among the infos.
    positions: Vec<usize>,
    /// The operations in order so far: as bits, as keys, and as they are.
    required_bits: Vec<u64>,
    info_bits: Vec<u64>,
    key: u128,
    order: Vec<u32>,
    /// By position in the classes with infos: how many of them are in order.
    infos_taken: Vec<usize>,
    state: M::State,
    /// The state before the last operation, if that is an info that nothing has needed so far.
    before_info: Option<M::State>,
    frames: Vec<Frame<M::State>>,
    choices: Vec<Choice<M::State>>,
    /// By class: the choice of it at this configuration, if the number is that of the configuration.
    choice_of_class: Vec<(u64, usize)>,
    configurations: u64,
    /// The furthest entry that was the first completion left.
    furthest: u32,
}

/// A configuration on the way to the present one.
struct Frame<S> {
    /// How many operations are in order.
    length: usize,
    /// Where its choices begin.
    choices: usize,
    state: S,
    before_info: Option<S>,
}

/// An operation that could come next.
struct Choice<S> {
    number: u32,
    /// Where in the timeline it completes; beyond all for an info.
    completion: u32,
    /// The state after it.
    state: S,
}

/// What came of a number of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The steps are used up.
    Paused,
    /// There is a linearization.
    Found,
    /// There is none.
    Exhausted,
}

impl<M: Model> Explorer<M> {
    /// Begins the search.
    pub fn new(model: &M, history: History, visited: Visited<M::State>) -> Explorer<M> {
        let operations = &history.operations;
        let classes = Classes::new(model, operations);
        let passages = Passages::new(model, operations, &classes);
        let (mut required, mut infos) = (0, 0);
        let positions = operations.iter().map(|operation| {
            let count = if is_required(operation) { &mut required } else { &mut infos };
            *count += 1;
            *count - 1
        });
        Explorer {
            positions: positions.collect(),
            required_bits: vec![0; required.div_ceil(64)],
            info_bits: vec![0; infos.div_ceil(64)],
            timeline: Timeline::new(operations),
            read_only: operations.iter().map(|operation| model.is_read_only(operation)).collect(),
            keys: (0..operations.len()).map(key).collect(),
            passages,
            visited,
            key: 0,
            order: Vec::with_capacity(operations.len()),
            infos_taken: vec![0; classes.infos.len()],
            state: model.initial(),
            before_info: None,
            frames: Vec::new(),
            choices: Vec::new(),
            choice_of_class: vec![(0, 0); classes.count],
            configurations: 0,
            furthest: Timeline::END,
            classes,
            history,
        }
    }

    /// The linearization, once it is found: indices in what the caller gave.
    pub fn linearization(&self) -> Vec<u32> {
        self.order.iter().map(|number| self.history.indices[*number as usize]).collect()
    }

    /// The operation whose completion no order found so far has reached, by its index in what the
    /// caller gave; `None` before the first configuration.
    pub fn stuck(&self) -> Option<u32> {
        if self.furthest == Timeline::END {
            return None;
        }
        let number = self.timeline.operation(self.furthest) as usize;
        Some(self.history.indices[number])
    }

    /// Whether it gives up a configuration because of operations that come much later.
    pub fn looks_ahead(&self) -> bool {
        self.passages.is_some()
    }

    /// What the visited configurations will take after so many more.
    pub fn memory_bytes(&self, more: u64) -> usize {
        self.visited.memory_bytes(more)
    }

    /// Visits so many configurations, or fewer if the search ends.
    pub fn advance(&mut self, model: &M, steps: u64) -> Progress {
        for _ in 0..steps {
            if self.visit(model) {
                return Progress::Found;
            }
            if !self.choose() {
                return Progress::Exhausted;
            }
        }
        Progress::Paused
    }

    /// Looks at the present configuration: puts in order what need not be chosen, and, unless it was
    /// visited before, lists the choices in a new frame. True if nothing is left to put in order.
    fn visit(&mut self, model: &M) -> bool {
        self.configurations += 1;
        let head = self.settle(model);
        self.furthest = self.furthest.max(head);
        if head == Timeline::END {
            return true;
        }
        // An info follows a configuration that is visited once, so this one is too.
        if self.before_info.is_none() {
            let configuration = Configuration {
                key: self.key,
                required: &self.required_bits,
                infos: &self.info_bits,
                state: &self.state,
            };
            if !self.visited.insert(configuration) {
                return false;
            }
        }
        let choices = self.choices.len();
        self.list_required(model);
        self.list_infos(model, head);
        // The last is tried first: what has to come first.
        self.choices[choices..].sort_unstable_by_key(|choice| Reverse(choice.completion));
        self.frames.push(Frame {
            length: self.order.len(),
            choices,
            state: self.state.clone(),
            before_info: self.before_info.clone(),
        });
        false
    }

    /// Puts the read-only operations in order that are legal now, and returns the entry of the first
    /// completion that is left.
    fn settle(&mut self, model: &M) -> u32 {
        let mut entry = self.timeline.first();
        while let Some(number) = self.timeline.invoked(entry) {
            let operation = &self.history.operations[number as usize];
            if self.read_only[number as usize] && model.step(&self.state, operation).is_some() {
                self.put_in_order(number);
                self.before_info = None;
            }
            entry = self.timeline.after(entry);
        }
        entry
    }

    fn list_required(&mut self, model: &M) {
        let mut entry = self.timeline.first();
        while let Some(number) = self.timeline.invoked(entry) {
            entry = self.timeline.after(entry);
            if self.read_only[number as usize] {
                continue;
            }
            let completion = self.timeline.completion(number);
            let class = self.classes.of[number as usize] as usize;
            let (configuration, position) = self.choice_of_class[class];
            if configuration == self.configurations {
                // One with the same effect was looked at: the one that ends first comes first.
                let ends_first = |choice: &&Choice<M::State>| choice.completion > completion;
                if self.choices.get(position).filter(ends_first).is_some()
                    && let Some(state) = self.follow(model, number)
                {
                    self.choices[position] = Choice { number, completion, state };
                }
                continue;
            }
            let mut position = usize::MAX;
            if let Some(state) = self.follow(model, number) {
                position = self.choices.len();
                self.choices.push(Choice { number, completion, state });
            }
            self.choice_of_class[class] = (self.configurations, position);
        }
    }

    fn list_infos(&mut self, model: &M, head: u32) {
        let head_stamp = self.history.operations[self.timeline.operation(head) as usize].complete;
        let Some(passages) = &mut self.passages else {
            for position in 0..self.classes.infos.len() {
                self.list_info(model, position, head_stamp);
            }
            return;
        };
        let positions = passages.worth_a_try(&self.state, &self.timeline).to_vec();
        for position in positions {
            self.list_info(model, position as usize, head_stamp);
        }
    }

    fn list_info(&mut self, model: &M, position: usize, head_stamp: u64) {
        let (class, infos) = &self.classes.infos[position];
        let Some(&number) = infos.get(self.infos_taken[position]) else { return };
        let open = self.history.operations[number as usize].invoke <= head_stamp;
        // A required operation with the same effect comes first.
        if !open || self.choice_of_class[*class as usize].0 == self.configurations {
            return;
        }
        if let Some(state) = self.follow(model, number)
            && !self.was_there_since_the_last_required(&state)
        {
            self.choices.push(Choice { number, completion: u32::MAX, state });
        }
    }

    /// The state after an operation, if it is legal now, does need the info before it, and leaves
    /// nothing undone for good.
    fn follow(&self, model: &M, number: u32) -> Option<M::State> {
        let operation = &self.history.operations[number as usize];
        let after = model.step(&self.state, operation)?;
        if let Some(passages) = &self.passages
            && passages.ends_too_early(&self.state, number)
        {
            return None;
        }
        let Some(before) = &self.before_info else { return Some(after) };
        let Some(without) = model.step(before, operation) else { return Some(after) };
        if without == after {
            return None;
        }
        let info = *self.order.last()?;
        let class = |number: u32| self.classes.of[number as usize];
        let info_can_be_later = is_required(operation) || class(number) < class(info);
        let swapped = model.step(&without, &self.history.operations[info as usize]);
        (!info_can_be_later || swapped.as_ref() != Some(&after)).then_some(after)
    }

    fn was_there_since_the_last_required(&self, state: &M::State) -> bool {
        if *state == self.state {
            return true;
        }
        if self.before_info.is_none() {
            return false;
        }
        for frame in self.frames.iter().rev() {
            if frame.state == *state {
                return true;
            }
            if frame.before_info.is_none() {
                break;
            }
        }
        false
    }

    /// Goes on to the next choice, of the last configuration that has one. False if none has.
    fn choose(&mut self) -> bool {
        while let Some(&Frame { length, choices, .. }) = self.frames.last() {
            while self.order.len() > length {
                self.put_back();
            }
            if self.choices.len() > choices
                && let Some(choice) = self.choices.pop()
            {
                let required = is_required(&self.history.operations[choice.number as usize]);
                let before = self.frames.last().filter(|_| !required);
                self.before_info = before.map(|frame| frame.state.clone());
                self.state = choice.state;
                self.put_in_order(choice.number);
                return true;
            }
            self.frames.pop();
        }
        false
    }

    fn put_in_order(&mut self, number: u32) {
        // As long as the passages are those of the state that it is legal in; so too on the way back.
        self.flip(number);
        self.timeline.take(number);
        if let Some(passages) = &mut self.passages {
            passages.take(number);
        }
        self.order.push(number);
        if let Some(position) = self.info_class(number) {
            self.infos_taken[position] += 1;
        }
    }

    fn put_back(&mut self) {
        if let Some(number) = self.order.pop() {
            self.timeline.put_back(number);
            if let Some(passages) = &mut self.passages {
                passages.put_back(number);
            }
            self.flip(number);
            if let Some(position) = self.info_class(number) {
                self.infos_taken[position] -= 1;
            }
        }
    }

    /// Notes whether an operation is in order. Not of an info that can only be taken here: it is of no
    /// use later, in order or not.
    fn flip(&mut self, number: u32) {
        let number = number as usize;
        let (word, bit) = (self.positions[number] / 64, 1 << (self.positions[number] % 64));
        if is_required(&self.history.operations[number]) {
            self.required_bits[word] ^= bit;
            self.key ^= self.keys[number];
        } else if !self
            .passages
            .as_ref()
            .is_some_and(|passages| passages.is_last_chance(number as u32))
        {
            self.info_bits[word] ^= bit;
        }
    }

    /// The position of an info's class among the classes with infos.
    fn info_class(&self, number: u32) -> Option<usize> {
        if is_required(&self.history.operations[number as usize]) {
            return None;
        }
        let class = self.classes.of[number as usize];
        self.classes.infos.binary_search_by_key(&class, |(class, _)| *class).ok()
    }
}
