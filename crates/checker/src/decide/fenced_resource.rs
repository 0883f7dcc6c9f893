//! A fenced resource: what it accepted took effect in the order of the tokens.
//!
//! Accepted operations are linearizable iff none was over before one with a smaller token was
//! invoked: sorted by token, then by invoke, they are in an order that agrees with time.
//!
//! A refusal of `f`, open during `[l, u]`, needs a larger token `h` before it. Whatever was invoked
//! after `u` comes after the refusal, so `h` can be no larger than the least token `t` of those,
//! and it has to be of an operation that was invoked by `u`. That is enough: let the refusal come
//! as late as it can, just before the first operation in the order that was invoked after `u`.
//!
//! If none of the accepted will do, an info may have been accepted: one with such a token, unless a
//! larger one was accepted before it was invoked. It takes its place in the order of the tokens,
//! for the refusals to come as well. Taken in order of the completions of the refusals, it harms
//! none before: it could only come too early for a refusal that has a larger token `h'` before it,
//! but then `h'` would do for this refusal too.

use std::collections::BTreeSet;

use super::prefix::Prefix;
use crate::decision::{Conflict, Counterexample, Decision};
use crate::operation::{Action, Operation, Outcome, Token};

/// An operation that was or may have been accepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Access {
    token: Token,
    invoke: u64,
    complete: u64,
    index: u32,
}

/// Decides in O(n log n) time.
pub(super) fn decide(prefix: &Prefix<'_>, certificate: bool) -> Result<Decision, String> {
    let mut accepted: Vec<Access> = Vec::new();
    let mut infos: Vec<Access> = Vec::new();
    let mut refused: Vec<Access> = Vec::new();
    for (index, operation) in prefix.iter() {
        let list = match (operation.action, operation.outcome) {
            (Action::GuardedRead(_) | Action::GuardedWrite(_), Outcome::Ok) => &mut accepted,
            (Action::GuardedRead(_) | Action::GuardedWrite(_), Outcome::Info) => &mut infos,
            (Action::GuardedRead(_) | Action::GuardedWrite(_), Outcome::Fail) => &mut refused,
            (action, Outcome::Fail) if !action.refusal_tells() => continue,
            (action, _) => return Err(format!("a fenced resource does not know {action:?}")),
        };
        list.push(access(index, &operation));
    }
    if !accepted.is_sorted() {
        accepted.sort_unstable();
    }
    if let Some(counterexample) = tokens_out_of_order(prefix, &accepted) {
        return Ok(Decision::NotLinearizable(counterexample));
    }
    refused.sort_unstable_by_key(|refusal| (refusal.complete, refusal.index));
    let needed = match needed_infos(&accepted, &infos, &refused) {
        Ok(needed) => needed,
        Err(refusal) => {
            // What limits the tokens before it has to be over, and so has whatever might have been
            // accepted at the time but was refused.
            let least_later = accepted.iter().find(|later| later.invoke > refusal.complete);
            let at = refused
                .iter()
                .filter(|other| other.invoke <= refusal.complete && other.token > refusal.token)
                .map(|other| other.complete)
                .chain(least_later.map(|later| later.complete))
                .fold(refusal.complete, u64::max);
            let conflict = Conflict::UnexplainedRefusal(prefix.involved(refusal.index));
            return Ok(Decision::NotLinearizable(Counterexample::new(at, conflict)));
        }
    };
    let order = certificate.then(|| order(accepted, needed, &refused));
    Ok(Decision::Linearizable(order))
}

fn access(index: u32, operation: &Operation) -> Access {
    let token = match operation.action {
        Action::GuardedRead(token) | Action::GuardedWrite(token) => token,
        _ => 0,
    };
    Access { token, invoke: operation.invoke, complete: operation.complete, index }
}

/// Of the operations that were accepted after a larger token was, the first to return; and one of
/// those larger tokens.
fn tokens_out_of_order(prefix: &Prefix<'_>, accepted: &[Access]) -> Option<Counterexample> {
    let mut last: Option<&Access> = None;
    let mut worst: Option<(&Access, &Access)> = None;
    let mut smaller = 0;
    for (position, larger) in accepted.iter().enumerate() {
        // Only those of tokens that are really smaller.
        while accepted[smaller].token < larger.token {
            let access = &accepted[smaller];
            if last.is_none_or(|last| access.invoke > last.invoke) {
                last = Some(access);
            }
            smaller += 1;
        }
        debug_assert!(smaller <= position);
        if let Some(last) = last
            && last.invoke > larger.complete
            && worst.is_none_or(|(_, worst)| last.complete < worst.complete)
        {
            worst = Some((larger, last));
        }
    }
    let (larger, smaller) = worst?;
    let conflict = Conflict::Tokens(prefix.involved(larger.index), prefix.involved(smaller.index));
    Some(Counterexample::new(smaller.complete, conflict))
}

/// The infos that have to be accepted to explain the refusals, which are in order of completion; or
/// the first refusal that nothing explains.
fn needed_infos(
    accepted: &[Access],
    infos: &[Access],
    refused: &[Access],
) -> Result<BTreeSet<Access>, Access> {
    let mut needed = BTreeSet::new();
    if refused.is_empty() {
        return Ok(needed);
    }
    let mut last_invoke = 0;
    let last_invokes: Vec<u64> = accepted
        .iter()
        .map(|access| {
            last_invoke = access.invoke.max(last_invoke);
            last_invoke
        })
        .collect();
    let mut possible = Possible::default();
    for &refusal in refused {
        let before = last_invokes.partition_point(|invoke| *invoke <= refusal.complete);
        let token = before.checked_sub(1).map(|last| accepted[last].token);
        if token.is_some_and(|token| token > refusal.token) {
            continue;
        }
        let limit = accepted.get(before).map_or(Token::MAX, |later| later.token);
        if between(&needed, refusal.token, limit).is_none() {
            possible.invoke_until(refusal.complete, accepted, infos);
            needed.insert(between(&possible.by_token, refusal.token, limit).ok_or(refusal)?);
        }
    }
    Ok(needed)
}

/// The infos that were invoked so far and may have been accepted.
#[derive(Default)]
struct Possible {
    by_token: BTreeSet<Access>,
    invoked: usize,
    /// The accepted, in order of completion; made when it is needed first.
    by_complete: Option<Vec<(u64, Token)>>,
    completed: usize,
    largest_completed: Option<Token>,
}

impl Possible {
    fn invoke_until(&mut self, stamp: u64, accepted: &[Access], infos: &[Access]) {
        let by_complete = self.by_complete.get_or_insert_with(|| {
            let mut list: Vec<_> =
                accepted.iter().map(|access| (access.complete, access.token)).collect();
            list.sort_unstable();
            list
        });
        while let Some(info) = infos.get(self.invoked).filter(|info| info.invoke <= stamp) {
            while let Some((_, token)) =
                by_complete.get(self.completed).filter(|(complete, _)| *complete < info.invoke)
            {
                self.largest_completed = self.largest_completed.max(Some(*token));
                self.completed += 1;
            }
            if self.largest_completed.is_none_or(|largest| largest <= info.token) {
                self.by_token.insert(*info);
            }
            self.invoked += 1;
        }
    }
}

/// One with a token larger than `above` and no larger than `limit`.
fn between(accesses: &BTreeSet<Access>, above: Token, limit: Token) -> Option<Access> {
    let least = Access { token: above.checked_add(1)?, invoke: 0, complete: 0, index: 0 };
    accesses.range(least..).next().filter(|access| access.token <= limit).copied()
}

/// The accepted and the needed infos in order of their tokens, and each refusal, in order of
/// completion, before the first of them that was invoked after it.
fn order(mut accepted: Vec<Access>, needed: BTreeSet<Access>, refused: &[Access]) -> Vec<u32> {
    accepted.extend(needed);
    accepted.sort_unstable();
    let mut order = Vec::with_capacity(accepted.len() + refused.len());
    let mut refused = refused.iter().peekable();
    for access in accepted {
        while let Some(refusal) = refused.next_if(|refusal| refusal.complete < access.invoke) {
            order.push(refusal.index);
        }
        order.push(access.index);
    }
    order.extend(refused.map(|refusal| refusal.index));
    order
}
