//! A key with get, put and append whose values tell which operations made them.
//!
//! If no written text begins with another one, every got text splits in one way only into a put, or
//! none, and the appends since. So each get names the put before it and all that came in between, in
//! order: a *block*, which nothing else can interrupt before the last of its gets. What nobody saw
//! is a block by itself, and may be anywhere between the others.
//!
//! Block A has to come before block B if some operation of A completes before one of B is invoked,
//! which is if the least completion of A is below the greatest invoke of B. If no two blocks have to
//! come before each other, the order of the sums of these two stamps is a good one: from
//! `f(A) < g(B)` and `f(B) >= g(A)` follows `f(A) + g(A) < f(B) + g(B)`. The idea is that of Gibbons
//! and Korach for registers whose writes are known for each read (Testing shared memories, 1997).

use std::collections::HashMap;

use super::check_form;
use super::prefix::Prefix;
use crate::decision::{Conflict, Counterexample, Decision};
use crate::operation::{Action, NEVER, Operation, Outcome};
use crate::values::Values;

/// Decides operations in order of their invokes.
///
/// # Errors
/// In words, if two values are not told apart, or the stamps make no sense.
pub(crate) fn decide(
    operations: &[Operation],
    values: &Values,
    certificate: bool,
) -> Result<Decision, String> {
    check_form(operations)?;
    let texts = Texts::new(operations, values)?;
    if let Some(order) = order(&Prefix::whole(operations), &texts) {
        return Ok(Decision::Linearizable(certificate.then_some(order)));
    }
    let mut completions: Vec<u64> = operations.iter().map(|operation| operation.complete).collect();
    completions.retain(|stamp| *stamp != NEVER);
    completions.sort_unstable();
    completions.dedup();
    let good = completions
        .partition_point(|stamp| order(&Prefix::until(operations, *stamp), &texts).is_some());
    let at = *completions.get(good).ok_or("no prefix of a bad history is bad")?;
    let numbered = || (0..).zip(operations);
    let stuck = numbered().find(|(_, operation)| operation.complete == at);
    let (stuck, _) = stuck.ok_or("no operation completes when the prefix ends")?;
    let whole = Prefix::whole(operations);
    let open = numbered()
        .filter(|(_, operation)| operation.invoke <= at && operation.complete > at)
        .map(|(index, _)| whole.involved(index))
        .collect();
    let conflict = Conflict::NoOrder { stuck: whole.involved(stuck), open };
    Ok(Decision::NotLinearizable(Counterexample { at, shortest: true, conflict }))
}

/// The texts of a history, of which no written one begins with another.
struct Texts<'a> {
    /// By operation.
    of: Vec<&'a [u8]>,
    /// By operation.
    is_put: Vec<bool>,
    /// Those that are written, in order, with the operation.
    written: Vec<(&'a [u8], u32)>,
    /// The gets in order of what they got.
    gets: Vec<u32>,
}

impl<'a> Texts<'a> {
    fn new(operations: &[Operation], values: &'a Values) -> Result<Texts<'a>, String> {
        let mut texts = Texts {
            of: Vec::with_capacity(operations.len()),
            is_put: Vec::with_capacity(operations.len()),
            written: Vec::new(),
            gets: Vec::new(),
        };
        for (index, operation) in (0..).zip(operations) {
            let (Action::Get(value) | Action::Put(value) | Action::Append(value)) =
                operation.action
            else {
                return Err(format!("operation {index} is none of a key-value store"));
            };
            let text = values.text(value).map(str::as_bytes);
            let text =
                text.ok_or_else(|| format!("operation {index} has a value without a text"))?;
            texts.of.push(text);
            texts.is_put.push(matches!(operation.action, Action::Put(_)));
            if let Action::Get(_) = operation.action {
                texts.gets.push(index);
            } else if text.is_empty() {
                return Err(format!("operation {index} writes nothing"));
            } else {
                texts.written.push((text, index));
            }
        }
        texts.written.sort_unstable();
        for pair in texts.written.windows(2) {
            if pair[1].0.starts_with(pair[0].0) {
                let (first, second) = (pair[0].1, pair[1].1);
                return Err(format!(
                    "what operation {second} writes begins with what {first} does"
                ));
            }
        }
        let of = &texts.of;
        texts.gets.sort_by_key(|get| of[*get as usize]);
        Ok(texts)
    }

    /// The write whose text `text` begins with; there is at most one.
    fn first_written(&self, text: &[u8]) -> Option<u32> {
        let after = self.written.partition_point(|(written, _)| *written <= text);
        let (written, index) = self.written[..after].last()?;
        text.starts_with(written).then_some(*index)
    }
}

/// Operations that follow each other without interruption.
#[derive(Default)]
struct Block {
    operations: Vec<u32>,
    /// The last get.
    last_get: Option<u32>,
    /// The least completion, plus one.
    complete: u128,
    /// The greatest invoke, plus one.
    invoke: u128,
}

impl Block {
    /// Adds an operation at the end; false if it has to be before one that is there.
    fn push(&mut self, index: u32, operation: &Operation) -> bool {
        let (invoke, complete) =
            (u128::from(operation.invoke) + 1, u128::from(operation.complete) + 1);
        let fits = complete >= self.invoke;
        self.complete =
            if self.operations.is_empty() { complete } else { self.complete.min(complete) };
        self.invoke = self.invoke.max(invoke);
        self.operations.push(index);
        fits
    }
}

/// A linearization of the prefix; `None` if there is none.
fn order(prefix: &Prefix<'_>, texts: &Texts<'_>) -> Option<Vec<u32>> {
    let happened = |index: u32| {
        let is_known = (index as usize) < prefix.len();
        is_known.then(|| prefix.get(index)).filter(|operation| operation.outcome != Outcome::Fail)
    };
    let mut is_seen = vec![false; prefix.len()];
    // By put; those who get what no put began are in the block of none.
    let mut blocks: HashMap<Option<u32>, Block> = HashMap::new();
    for &get in &texts.gets {
        let Some(operation) = happened(get).filter(|get| get.outcome == Outcome::Ok) else {
            continue;
        };
        let text = texts.of[get as usize];
        let first = texts.first_written(text);
        let put = first.filter(|index| texts.is_put[*index as usize]);
        let block = blocks.entry(put).or_default();
        let known = block.last_get.map_or(&[][..], |get| texts.of[get as usize]);
        let mut rest = text.strip_prefix(known)?;
        while !rest.is_empty() {
            let write = texts.first_written(rest)?;
            let operation = happened(write)?;
            let is_first = rest.len() == text.len();
            let is_misplaced = texts.is_put[write as usize] && !is_first;
            let is_used = std::mem::replace(&mut is_seen[write as usize], true);
            if is_misplaced || is_used || !block.push(write, &operation) {
                return None;
            }
            rest = &rest[texts.of[write as usize].len()..];
        }
        block.last_get = Some(get);
        if !block.push(get, &operation) {
            return None;
        }
    }
    if let Some(block) = blocks.get_mut(&None) {
        // Before everything else.
        block.complete = 0;
    }
    let mut blocks: Vec<Block> = blocks.into_values().collect();
    for (index, operation) in prefix.iter() {
        let is_write = !matches!(operation.action, Action::Get(_));
        if is_write && operation.outcome == Outcome::Ok && !is_seen[index as usize] {
            let mut block = Block::default();
            block.push(index, &operation);
            blocks.push(block);
        }
    }
    blocks.sort_unstable_by_key(|block| (block.complete + block.invoke, block.operations[0]));
    let mut latest_invoke = 0;
    for block in &blocks {
        if block.complete < latest_invoke {
            return None;
        }
        latest_invoke = latest_invoke.max(block.invoke);
    }
    Some(blocks.into_iter().flat_map(|block| block.operations).collect())
}
