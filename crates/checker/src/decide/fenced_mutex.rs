//! A fenced mutex: an owner mutex whose holds, in their order, have growing tokens. A token that is
//! not known may be any.

use super::cores::Holds;
use super::owner_mutex;
use super::prefix::Prefix;
use crate::decision::{Conflict, Counterexample, Decision};
use crate::operation::{Action, Outcome, Token};

/// Decides in linear time: the cores give the order of the holds, and one scan compares tokens.
pub(super) fn decide(prefix: &Prefix<'_>, certificate: bool) -> Result<Decision, String> {
    // The deciders of mutexes let an info acquire take effect wherever that helps, which a token
    // may forbid.
    for (index, operation) in prefix.iter() {
        if operation.outcome == Outcome::Info && token(operation.action) != 0 {
            return Err(format!("operation {index} is an info acquire with a token"));
        }
    }
    owner_mutex::decide_with(prefix, certificate, |prefix, holds| {
        tokens_out_of_order(prefix, holds).and_then(|_| {
            // Cores that are one and the same instant can come in any order.
            holds.cores.sort_unstable_by_key(|core| {
                (core.start, core.end, token(prefix.get(core.acquire).action))
            });
            tokens_out_of_order(prefix, holds)
        })
    })
}

/// The first hold whose token is not larger than all before, and the hold before with the largest.
fn tokens_out_of_order(prefix: &Prefix<'_>, holds: &Holds) -> Option<Counterexample> {
    let mut largest = None;
    for core in &holds.cores {
        let acquire = prefix.get(core.acquire);
        let token = token(acquire.action);
        if token == 0 {
            continue;
        }
        if let Some((before, largest)) = largest.replace((core, token))
            && token <= largest
        {
            let [larger, smaller] = [before, core].map(|core| prefix.involved(core.acquire));
            return Some(Counterexample::new(core.start, Conflict::Tokens(larger, smaller)));
        }
    }
    None
}

fn token(action: Action) -> Token {
    match action {
        Action::Acquire(token) | Action::TryAcquire(token) => token,
        _ => 0,
    }
}
