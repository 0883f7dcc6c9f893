//! Fencing tokens: a later grant has a larger one.

use std::collections::HashMap;

use locktest_history::Token;

use crate::findings::{Finding, Findings};
use crate::hold::Tenure;
use crate::observed::Observed;
use crate::overlap::ByKey;
use crate::time::seconds;
use crate::verdict::ViolationClass;

/// What the tokens of a run amount to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TokensSeen {
    /// Grants whose token is known.
    pub(crate) tokens: u64,
    /// Those of them that have another of their key to compare with.
    pub(crate) compared: u64,
}

/// Reports each grant whose token is not larger than that of a grant which surely precedes it, or
/// equal to that of any other.
///
/// One grant surely precedes another if it had returned before the other was invoked. Under mutual
/// exclusion it also does if the service promised both at their grants and its promise had ended by
/// the other's grant: had the other come first, it would still have held when this one was granted.
/// The grants of one key are swept twice, with the largest token so far: O(n log n).
pub(crate) fn monotone(observed: &Observed, by_key: &ByKey, findings: &mut Findings) -> TokensSeen {
    let mut seen = TokensSeen::default();
    for tenures in by_key.values() {
        let grants: Vec<Grant> = tenures.iter().copied().filter_map(Grant::new).collect();
        seen.tokens += grants.len() as u64;
        if grants.len() < 2 {
            continue;
        }
        seen.compared += grants.len() as u64;
        let conflicts = [returned_before(&grants), promised_before(&grants), same_token(&grants)];
        for (index, later) in grants.iter().enumerate() {
            let before = conflicts.iter().filter_map(|before| before[index]);
            let before = before.filter(|earlier| grants[*earlier].token >= later.token);
            let Some(earlier) = before.max_by_key(|earlier| grants[*earlier].token) else {
                continue;
            };
            let earlier = &grants[earlier];
            let time_ns = earlier.known_ns.max(later.known_ns);
            let (class, hold) = (ViolationClass::TokenNotMonotone, &later.tenure.hold);
            findings.add(class, time_ns, hold.key, later.tenure.owner(), || Finding {
                why: format!(
                    "{} was granted {} at {} with token {}, yet {}, granted at {}, has token {}",
                    hold.client,
                    observed.plan.key_name(hold.key),
                    seconds(hold.ok_ns),
                    later.token,
                    earlier.tenure.hold.client,
                    seconds(earlier.tenure.hold.ok_ns),
                    earlier.token,
                ),
                resource: None,
                operations: vec![
                    earlier.tenure.involved(observed),
                    later.tenure.involved(observed),
                ],
            });
        }
    }
    seen
}

struct Grant<'t, 'a, 'h> {
    tenure: &'t Tenure<'a, 'h>,
    token: Token,
    known_ns: u64,
}

impl<'t, 'a, 'h> Grant<'t, 'a, 'h> {
    fn new(tenure: &'t Tenure<'a, 'h>) -> Option<Grant<'t, 'a, 'h>> {
        let (token, known_ns) = tenure.attempt.token()?;
        Some(Grant { tenure, token, known_ns })
    }
}

/// For each grant the one with the largest token among those that returned before its invoke.
fn returned_before(grants: &[Grant]) -> Vec<Option<usize>> {
    let all = 0..grants.len();
    sweep(
        grants,
        all.clone().map(|index| (grants[index].tenure.hold.ok_ns, index)).collect(),
        // An invoke comes before a completion of the same instant.
        all.filter_map(|index| Some((grants[index].tenure.hold.invoke_ns.checked_sub(1)?, index)))
            .collect(),
    )
}

/// For each promised grant the one with the largest token among the promised ones whose promise had
/// ended by then.
fn promised_before(grants: &[Grant]) -> Vec<Option<usize>> {
    let ended = |(index, grant): (usize, &Grant)| {
        let hold = &grant.tenure.hold;
        let lasted = !grant.tenure.contract.is_empty() && hold.contract_end_ns > hold.ok_ns;
        lasted.then_some((hold.contract_end_ns, index))
    };
    let granted = |(index, grant): (usize, &Grant)| {
        (!grant.tenure.contract.is_empty()).then_some((grant.tenure.hold.ok_ns, index))
    };
    sweep(
        grants,
        grants.iter().enumerate().filter_map(ended).collect(),
        grants.iter().enumerate().filter_map(granted).collect(),
    )
}

/// For each grant of `asked` the one with the largest token among those of `done` at or before it.
fn sweep(
    grants: &[Grant],
    mut done: Vec<(u64, usize)>,
    mut asked: Vec<(u64, usize)>,
) -> Vec<Option<usize>> {
    done.sort_unstable();
    asked.sort_unstable();
    let mut done = done.into_iter().peekable();
    let mut largest: Option<usize> = None;
    let mut answers = vec![None; grants.len()];
    for (time_ns, index) in asked {
        while let Some((_, other)) = done.next_if(|(other_ns, _)| *other_ns <= time_ns) {
            if largest.is_none_or(|largest| grants[largest].token < grants[other].token) {
                largest = Some(other);
            }
        }
        answers[index] = largest;
    }
    answers
}

/// For each grant the first one that has the same token.
fn same_token(grants: &[Grant]) -> Vec<Option<usize>> {
    let mut first: HashMap<Token, usize> = HashMap::with_capacity(grants.len());
    grants
        .iter()
        .enumerate()
        .map(|(index, grant)| {
            let first = *first.entry(grant.token).or_insert(index);
            (first != index).then_some(first)
        })
        .collect()
}
