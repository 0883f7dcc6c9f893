//! The search for a linearization, for what no decider decides.
//!
//! The algorithm is that of Wing and Gong (Testing and verifying concurrent objects, 1993) with the
//! memoisation of Lowe (Testing for linearizability, 2017): operations are put in order one by one,
//! and a configuration (which of them are in, and the state that they lead to) is visited once.
//!
//! A history: what is asked, arranged for speed. A configuration: what was visited. Passages: what is
//! known of the states of a register before one goes there. The explorer goes from one configuration
//! to the next. An inquiry makes a decision out of explorations.

mod configuration;
mod explorer;
mod history;
mod inquiry;
mod passages;

use crate::decision::{Decision, Exhausted};
use crate::model::Model;
use crate::options::Options;

pub use inquiry::Inquiry;

/// Configurations that an object may visit in the first round; twice as many in the next.
const FIRST_ROUND: u64 = 1 << 10;

/// Configurations between two looks at the time and the memory.
const LOOK_INTERVAL: u64 = 1 << 8;

/// Decides the objects in turns, each with the same budget, which doubles from round to round: one
/// object that is not linearizable is found in a time that depends little on the others, and ends
/// the search. `found_one` says that one was found before.
pub fn search<M: Model>(
    inquiries: Vec<Inquiry<M>>,
    options: &Options,
    found_one: bool,
) -> Vec<Decision> {
    let memory_bytes = vec![0; inquiries.len()];
    let decisions = vec![None; inquiries.len()];
    let mut rounds = Rounds { inquiries, decisions, memory_bytes, found_one };
    let why = rounds.run(options);
    let decided = rounds.decisions.into_iter().zip(&rounds.inquiries);
    decided.map(|(decision, inquiry)| decision.unwrap_or_else(|| inquiry.given_up(why))).collect()
}

struct Rounds<M: Model> {
    inquiries: Vec<Inquiry<M>>,
    decisions: Vec<Option<Decision>>,
    /// What each takes.
    memory_bytes: Vec<usize>,
    found_one: bool,
}

impl<M: Model> Rounds<M> {
    /// Runs until all is decided or nothing more is to be; then why the rest is not.
    fn run(&mut self, options: &Options) -> Exhausted {
        let mut budget = FIRST_ROUND;
        let mut total_bytes = 0;
        loop {
            for turn in 0..self.inquiries.len() {
                let mut left = budget;
                while self.decisions[turn].is_none() && left > 0 {
                    if (options.time_is_up)() {
                        return Exhausted::Time;
                    }
                    let steps = left.min(LOOK_INTERVAL);
                    left -= steps;
                    self.advance(turn, steps);
                    let before = self.memory_bytes[turn];
                    self.memory_bytes[turn] = self.inquiries[turn].memory_bytes(LOOK_INTERVAL);
                    total_bytes = total_bytes - before + self.memory_bytes[turn];
                    while total_bytes > options.memory_limit_bytes
                        && let Some(freed_bytes) = self.give_up_the_largest()
                    {
                        total_bytes -= freed_bytes;
                    }
                }
            }
            if self.found_one || self.decisions.iter().all(Option::is_some) {
                return Exhausted::Abandoned;
            }
            budget = budget.saturating_mul(2);
        }
    }

    fn advance(&mut self, turn: usize, steps: u64) {
        self.decisions[turn] = self.inquiries[turn].advance(steps);
        self.found_one |= matches!(self.decisions[turn], Some(Decision::NotLinearizable(_)));
        if self.decisions[turn].is_some() {
            self.inquiries[turn].free();
        }
    }

    /// Gives up the object that takes most memory, and returns how much that was.
    fn give_up_the_largest(&mut self) -> Option<usize> {
        let undecided_turns =
            (0..self.inquiries.len()).filter(|turn| self.decisions[*turn].is_none());
        let largest = undecided_turns.max_by_key(|turn| self.memory_bytes[*turn])?;
        self.inquiries[largest].free();
        self.decisions[largest] = Some(self.inquiries[largest].given_up(Exhausted::Memory));
        Some(std::mem::take(&mut self.memory_bytes[largest]))
    }
}
