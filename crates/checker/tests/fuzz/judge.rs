//! Compares what the checker says of a history with the truth.

use std::cell::Cell;
use std::fmt;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use locktest_checker::{
    Algorithm, Checked, Conflict, Decision, Hold, Involved, NEVER, Object, Options, Process,
    Specification, check, decide, search_one, verify,
};

use crate::history::History;
use crate::oracle;

/// What was met on the way.
#[derive(Default)]
pub struct Tally {
    /// Histories that are linearizable.
    pub good: u64,
    /// Histories that are not.
    pub bad: u64,
    /// Those that the decider decided.
    pub decided: u64,
    /// Those that the decider left to the search, because of an assumption of its own.
    pub left_to_the_search: u64,
    /// Bad ones whose shortest bad prefix the decider does not know.
    pub not_shortest_by_decider: u64,
    /// Bad ones whose shortest bad prefix is not known even with the help of the search.
    pub not_shortest: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { good, bad, decided, left_to_the_search, .. } = self;
        let Tally { not_shortest_by_decider, not_shortest, .. } = self;
        write!(
            f,
            "{good} good, {bad} bad; {decided} by the decider, {left_to_the_search} left by it to \
             the search; the shortest bad prefix is not known of {not_shortest}, by the decider \
             alone of {not_shortest_by_decider}"
        )
    }
}

/// Asks everyone about a history.
///
/// # Errors
/// Who is wrong, and how.
pub fn judge(history: &History, tally: &mut Tally) -> Result<(), String> {
    let truth = oracle::linearization(history).is_some();
    *if truth { &mut tally.good } else { &mut tally.bad } += 1;
    let History { specification, operations, values } = history;
    let opinion = guarded(|| search_one(*specification, operations, values, &options()))
        .map_err(|panic| format!("the search panics: {panic}"))?;
    compare(history, truth, &opinion).map_err(|why| format!("the search: {why}"))?;

    let decided = guarded(|| decide::decide(*specification, operations, true))
        .map_err(|panic| format!("the decider panics: {panic}"))?;
    let checked = checked(history, &options())?;
    match &checked.algorithm {
        Algorithm::Decider => tally.decided += 1,
        Algorithm::Search { because: Some(_) } => tally.left_to_the_search += 1,
        Algorithm::Search { because: None } => {}
    }
    compare(history, truth, &checked.decision).map_err(|why| format!("the dispatcher: {why}"))?;
    tally.not_shortest += u64::from(is_not_shortest(&checked.decision));
    let by = match decided {
        Some(Ok(opinion)) => {
            compare(history, truth, &opinion).map_err(|why| format!("the decider: {why}"))?;
            tally.not_shortest_by_decider += u64::from(is_not_shortest(&opinion));
            Algorithm::Decider
        }
        Some(Err(because)) => Algorithm::Search { because: Some(because) },
        // The decider of keys is not to be had by itself: it needs their values as well.
        None if *specification == Specification::KeyValue => checked.algorithm.clone(),
        None => Algorithm::Search { because: None },
    };
    if checked.algorithm != by {
        return Err(format!("the dispatcher: {:?} instead of {by:?}", checked.algorithm));
    }

    let (disguised, later) = disguise(history);
    let again = self::checked(&disguised, &options())?.decision;
    match (&checked.decision, &again) {
        (Decision::Linearizable(_), _) => compare(&disguised, truth, &again),
        (Decision::NotLinearizable(first), Decision::NotLinearizable(second))
            if first.at + later == second.at =>
        {
            Ok(())
        }
        (first, _) => Err(format!("{again:?} instead of {first:?}")),
    }
    .map_err(|why| format!("with stamps {later} later and other processes: {why}"))
}

/// Whether a decision is negative and may not say when it became so.
fn is_not_shortest(decision: &Decision) -> bool {
    matches!(decision, Decision::NotLinearizable(counterexample) if !counterexample.shortest)
}

fn options() -> Options<'static> {
    Options { certificate: true, time_is_up: &|| false, memory_limit_bytes: usize::MAX }
}

/// What the dispatcher says.
fn checked(history: &History, options: &Options) -> Result<Checked, String> {
    let object = Object { name: "key".to_owned(), operations: history.operations.clone() };
    let mut checked = guarded(|| check(history.specification, &[object], &history.values, options))
        .map_err(|panic| format!("the dispatcher panics: {panic}"))?;
    match (checked.pop(), checked.len()) {
        (Some(checked), 0) => Ok(checked),
        (_, more) => Err(format!("the dispatcher: {more} more answers than objects")),
    }
}

/// The same history as late as it can be, of processes with numbers far apart. Neither matters.
fn disguise(history: &History) -> (History, u64) {
    let mut disguised = history.clone();
    let ends =
        history.operations.iter().flat_map(|operation| [operation.invoke, operation.complete]);
    let last = ends.filter(|stamp| *stamp != NEVER).max().unwrap_or(0);
    let later = NEVER - 1 - last;
    for operation in &mut disguised.operations {
        operation.invoke += later;
        operation.complete = operation.complete.saturating_add(later);
        operation.process = Process::MAX - operation.process * 500_000_000;
    }
    (disguised, later)
}

/// Compares the decider with the search, where both decide and the search does not take for ever;
/// `None` where they do not, else what both say.
///
/// # Errors
/// In what they differ.
pub fn compare_decider_and_search(history: &History) -> Result<Option<bool>, String> {
    let History { specification, operations, values } = history;
    let looks = Cell::new(0);
    let time_is_up = || looks.replace(looks.get() + 1) > 100;
    let options = Options { time_is_up: &time_is_up, ..options() };
    let decided = checked(history, &options)?;
    if decided.algorithm != Algorithm::Decider {
        return Ok(None);
    }
    match (&decided.decision, &search_one(*specification, operations, values, &options)) {
        (_, Decision::Undecided(_)) => Ok(None),
        (Decision::Linearizable(Some(one)), Decision::Linearizable(Some(other))) => {
            for certificate in [one, other] {
                verify(*specification, operations, values, certificate)
                    .map_err(|error| format!("{error}, in {certificate:?}"))?;
            }
            Ok(Some(true))
        }
        (Decision::NotLinearizable(one), Decision::NotLinearizable(other))
            if one.at == other.at || !one.shortest && one.at > other.at =>
        {
            Ok(Some(false))
        }
        (one, other) => Err(format!("the decider: {one:?}\nthe search: {other:?}")),
    }
}

fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => match panic.downcast::<&str>() {
            Ok(message) => (*message).to_owned(),
            Err(_) => "without a message".to_owned(),
        },
    })
}

/// Whether a decision is true, and its proof a proof.
fn compare(history: &History, truth: bool, decision: &Decision) -> Result<(), String> {
    let History { specification, operations, values } = history;
    match decision {
        Decision::Linearizable(_) if !truth => Err("linearizable, but it is not".to_owned()),
        Decision::Linearizable(None) => Err("no certificate".to_owned()),
        Decision::Linearizable(Some(certificate)) => {
            verify(*specification, operations, values, certificate)
                .map_err(|error| format!("{error}, in {certificate:?}"))
        }
        Decision::NotLinearizable(_) if truth => Err("not linearizable, but it is".to_owned()),
        Decision::NotLinearizable(counterexample) => {
            let at = counterexample.at;
            let is_good = |inclusive| {
                oracle::linearization(&oracle::prefix(history, at, inclusive)).is_some()
            };
            if is_good(true) {
                return Err(format!("the prefix up to {at} is good: {counterexample:?}"));
            }
            if counterexample.shortest && !is_good(false) {
                return Err(format!("a prefix before {at} is bad already: {counterexample:?}"));
            }
            match involved(&counterexample.conflict).into_iter().find(|involved| {
                usize::try_from(involved.index).ok().and_then(|index| operations.get(index))
                    != Some(&involved.operation)
            }) {
                None => Ok(()),
                Some(stranger) => Err(format!("{stranger:?} is not in the history")),
            }
        }
        Decision::Undecided(undecided) => Err(format!("undecided: {undecided:?}")),
    }
}

/// Every operation that a conflict names.
fn involved(conflict: &Conflict) -> Vec<Involved> {
    fn of_hold(hold: &Hold) -> impl Iterator<Item = Involved> {
        [Some(hold.acquire), hold.release].into_iter().flatten()
    }
    match conflict {
        Conflict::Overlap(holds) | Conflict::Leases { chain: holds, .. } => {
            holds.iter().flat_map(of_hold).collect()
        }
        Conflict::UnexplainedDenial { denial, before, after } => {
            let holds = before.iter().chain(after).flat_map(of_hold);
            holds.chain([*denial]).collect()
        }
        Conflict::NotHeld(involved) | Conflict::UnexplainedRefusal(involved) => vec![*involved],
        Conflict::Tokens(first, second) => vec![*first, *second],
        Conflict::NoOrder { stuck, open } => {
            let mut involved = open.clone();
            involved.push(*stuck);
            involved
        }
    }
}

/// Drops operations as long as somebody stays wrong. Returns what is left, and who is wrong.
pub fn shrink(mut history: History, mut why: String) -> (History, String) {
    let mut index = 0;
    while index < history.operations.len() {
        let mut smaller = history.clone();
        smaller.operations.remove(index);
        match judge(&smaller, &mut Tally::default()) {
            Ok(()) => index += 1,
            Err(still) => {
                (history, why) = (smaller, still);
                index = 0;
            }
        }
    }
    (history, why)
}

/// The text of a seed.
pub fn seed(history: &History, why: &str) -> String {
    let verdict = match oracle::linearization(history) {
        Some(_) => "linearizable",
        None => "not-linearizable",
    };
    let mut text = String::new();
    for line in why.lines() {
        writeln!(text, "# {line}").expect("a string takes everything");
    }
    write!(text, "verdict {verdict}\n{history}").expect("a string takes everything");
    text
}
