//! Registers: whether some order of their reads, writes and compare-and-sets explains what the
//! clients saw.
//!
//! Each register is decided by itself, in two steps. A read is stale if what it returned had been
//! overwritten before it began: one pass with what was written last, O(n log n). No two writes of a
//! run write the same value, so that is known for certain. A register without stale reads goes to
//! the checker's search, which has a budget; where that ends, the run is undecided.

mod history;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use locktest_checker::{
    Conflict, Decision, Exhausted, Object, Options, Specification, Values, check,
};
use locktest_history::{Detail, Function, History, KeyId, Outcome};

use crate::findings::{Finding, Findings};
use crate::observed::Observed;
use crate::operation::Operation;
use crate::time::seconds;
use crate::verdict::{RegisterCounts, ViolationClass};
use history::{Found, asked, checkable, found, written};

/// How often the search may ask whether its time is up. It asks every few hundred steps, and so the
/// budget is some eight million of them, the same on every machine. A register that works takes few
/// more steps than it has operations.
const LOOKS: u64 = 1 << 15;

/// What the search may keep in mind.
const MEMORY_LIMIT_BYTES: usize = 1 << 30;

/// So many of the operations that were open at a violation are shown.
const OPEN_SHOWN: usize = 10;

/// What the registers of a run amount to.
#[derive(Debug, Default)]
pub(crate) struct RegistersSeen {
    /// `None` if the run has no registers.
    pub(crate) counts: Option<RegisterCounts>,
    /// Why not every register was decided.
    pub(crate) undecided: Option<String>,
}

/// The registers of a run as the checker takes them, with the texts of their values: what a proof of
/// the verdict has to be about.
pub fn registers(history: &History) -> (Vec<Object>, Values) {
    let observed = Observed::new(history);
    let mut values = Values::default();
    let registers = by_key(&observed).into_iter().map(|(key, operations)| Object {
        name: observed.plan.key_name(key),
        operations: checkable(&operations, &mut values).0,
    });
    (registers.collect(), values)
}

fn by_key<'o, 'h>(observed: &'o Observed<'h>) -> BTreeMap<KeyId, Vec<&'o Operation<'h>>> {
    let mut by_key: BTreeMap<KeyId, Vec<&Operation>> = BTreeMap::new();
    for operation in &observed.registers {
        by_key.entry(operation.invoke.key).or_default().push(operation);
    }
    by_key
}

/// When writes and compare-and-sets took effect that were answered, in time order.
pub(crate) fn updates_ns(observed: &Observed) -> Vec<u64> {
    let updates = observed.registers.iter().filter(|operation| written(operation).is_some());
    let mut updates_ns: Vec<u64> = updates.filter_map(|operation| operation.ok_ns()).collect();
    updates_ns.sort_unstable();
    updates_ns
}

/// Reports the stale reads, and what else no order explains.
pub(crate) fn not_linearizable(observed: &Observed, findings: &mut Findings) -> RegistersSeen {
    if observed.registers.is_empty() && observed.plan.workload.takes_locks() {
        return RegistersSeen::default();
    }
    let by_key = by_key(observed);
    let mut stale = 0;
    let mut rest: Vec<(KeyId, Vec<&Operation>)> = Vec::new();
    for (key, operations) in by_key {
        let found = report_stale_reads(observed, key, &operations, findings);
        stale += found;
        if found == 0 {
            rest.push((key, operations));
        }
    }
    let undecided = if stale > 0 { None } else { search(observed, &rest, findings) };
    RegistersSeen { counts: Some(counts(observed)), undecided }
}

fn counts(observed: &Observed) -> RegisterCounts {
    let mut counts = RegisterCounts::default();
    for operation in &observed.registers {
        let count = match (operation.outcome(), operation.invoke.function) {
            (Outcome::Ok, Function::Read) => &mut counts.reads_ok,
            (Outcome::Ok, Function::Cas) => &mut counts.cas_ok,
            (Outcome::Ok, _) => &mut counts.writes_ok,
            (Outcome::Fail, Function::Cas) if found(operation) == Found::Another => {
                &mut counts.cas_refused
            }
            (Outcome::Fail, _) => &mut counts.failed,
            (Outcome::Info, _) => &mut counts.unknown,
        };
        *count += 1;
    }
    counts
}

/// How many ok reads returned a value that had been overwritten before they began.
///
/// Let W be the write of the value, answered, and O an answered write that began after that and was
/// answered before the read began. In every order W comes before O and O before the read, and nobody
/// writes W's value again. A value that nobody wrote was there before all writes.
fn report_stale_reads(
    observed: &Observed,
    key: KeyId,
    operations: &[&Operation],
    findings: &mut Findings,
) -> u64 {
    let mut writers: HashMap<Option<u64>, Vec<&Operation>> = HashMap::new();
    let mut updates: Vec<&Operation> = Vec::new();
    for &operation in operations {
        let Some(value) = written(operation) else { continue };
        writers.entry(value).or_default().push(operation);
        if operation.ok_ns().is_some() {
            updates.push(operation);
        }
    }
    updates.sort_by_key(|update| update.complete_ns());
    let mut reads: Vec<(&Operation, Option<u64>)> = operations
        .iter()
        .filter_map(|read| match found(read) {
            Found::Value(value) => Some((*read, value)),
            Found::Another | Found::Nothing => None,
        })
        .collect();
    reads.sort_by_key(|(read, _)| read.invoke_ns());
    let mut updates = updates.into_iter().peekable();
    // Of the updates that were answered before the read began, the one that began last.
    let mut newest: Option<&Operation> = None;
    let mut stale = 0;
    for (read, value) in reads {
        while let Some(update) =
            updates.next_if(|update| update.complete_ns() < Some(read.invoke_ns()))
        {
            if newest.is_none_or(|newest| newest.invoke_ns() <= update.invoke_ns()) {
                newest = Some(update);
            }
        }
        let Some(newest) = newest else { continue };
        let writer = match (value, writers.get(&value).map(Vec::as_slice)) {
            (None, None) => None,
            (Some(_), Some([writer])) => Some(*writer),
            _ => continue,
        };
        // Nothing is known of when a write of unknown outcome took effect.
        let until_ns = match writer.map(|writer| writer.ok_ns()) {
            None => None,
            Some(Some(ok_ns)) => Some(ok_ns),
            Some(None) => continue,
        };
        if until_ns.is_some_and(|until_ns| newest.invoke_ns() <= until_ns) {
            continue;
        }
        stale += 1;
        let time_ns = read.complete_ns().unwrap_or(read.invoke_ns());
        findings.add(ViolationClass::StaleRead, time_ns, key, read.owner(), || {
            let origin = match (value, writer) {
                (Some(value), Some(writer)) => format!(
                    "{value}, which {} had written by {}",
                    writer.invoke.client,
                    seconds(writer.complete_ns().unwrap_or(0)),
                ),
                _ => "that nobody had written it".to_owned(),
            };
            let (newest_ns, read_ns) = (newest.complete_ns().unwrap_or(0), read.invoke_ns());
            let new = written(newest).flatten().map(|value| value.to_string());
            Finding {
                why: format!(
                    "{} read {} through {} from {} to {} and found {origin}; {} had since written {}, which was answered at {}, before the read began",
                    read.invoke.client,
                    observed.plan.key_name(key),
                    observed.server_name(read.invoke.server),
                    seconds(read_ns),
                    seconds(time_ns),
                    newest.invoke.client,
                    new.unwrap_or_default(),
                    seconds(newest_ns),
                ),
                resource: None,
                operations: writer
                    .into_iter()
                    .chain([newest, read])
                    .map(|operation| observed.involved(operation))
                    .collect(),
            }
        });
    }
    stale
}

/// Has the checker decide the registers; why not all were decided, if so.
fn search(
    observed: &Observed,
    registers: &[(KeyId, Vec<&Operation>)],
    findings: &mut Findings,
) -> Option<String> {
    let mut values = Values::default();
    let (mut objects, mut origins) = (Vec::new(), Vec::new());
    for (key, operations) in registers {
        let (checkable, origin) = checkable(operations, &mut values);
        objects.push(Object { name: observed.plan.key_name(*key), operations: checkable });
        origins.push(origin);
    }
    let looks = Cell::new(0);
    let time_is_up = || {
        looks.set(looks.get() + 1);
        looks.get() > LOOKS
    };
    let options = Options {
        certificate: false,
        time_is_up: &time_is_up,
        memory_limit_bytes: MEMORY_LIMIT_BYTES,
    };
    let decisions = check(Specification::CasRegister, &objects, &values, &options);
    let mut undecided = None;
    for (((key, operations), origin), checked) in registers.iter().zip(&origins).zip(decisions) {
        let name = observed.plan.key_name(*key);
        match checked.decision {
            Decision::Linearizable(_) => {}
            Decision::Undecided(given_up) => {
                let why = match given_up.why {
                    Exhausted::Memory => "its memory was full",
                    Exhausted::Abandoned => continue,
                    _ => "its budget was spent",
                };
                undecided.get_or_insert(format!(
                    "the search for an order of {name}'s {} operations ended when {why}; until {} there is one",
                    operations.len(),
                    seconds(given_up.decided_until),
                ));
            }
            Decision::NotLinearizable(counterexample) => {
                let (time_ns, whole_ns) = (counterexample.at, observed.whole_until_ns);
                // An event that the history lacks may explain it.
                if time_ns >= whole_ns || observed.malformed.first.is_some() {
                    undecided.get_or_insert(format!(
                        "no order explains what was seen of {name} until {}, but the history lacks events that might",
                        seconds(time_ns),
                    ));
                    continue;
                }
                let involved = involved(&counterexample.conflict);
                let involved: Vec<&Operation> = involved
                    .iter()
                    .filter_map(|index| origin.get(*index as usize))
                    .map(|index| operations[*index])
                    .collect();
                let Some((stuck, open)) = involved.split_first() else { continue };
                let (class, owner) = (ViolationClass::NotLinearizable, stuck.owner());
                findings.add(class, time_ns, *key, owner, || Finding {
                    why: format!(
                        "no order of what was asked of {name} until {} explains that {}; {} other operations were open then",
                        seconds(time_ns),
                        words(stuck),
                        open.len(),
                    ),
                    resource: None,
                    operations: involved
                        .iter()
                        .take(OPEN_SHOWN)
                        .map(|operation| observed.involved(operation))
                        .collect(),
                });
            }
        }
    }
    undecided
}

/// The operation that has no place in any order, then those that were open.
fn involved(conflict: &Conflict) -> Vec<u64> {
    match conflict {
        Conflict::NoOrder { stuck, open } => {
            let open = open.iter().filter(|other| other.index != stuck.index);
            [stuck].into_iter().chain(open).map(|involved| involved.index).collect()
        }
        // No other conflict is one of a register.
        _ => Vec::new(),
    }
}

/// Such as `c1 read 5`.
fn words(operation: &Operation) -> String {
    let client = operation.invoke.client;
    let text = |value: Option<u64>| value.map_or("nothing".to_owned(), |value| value.to_string());
    let Detail::Register { expected, value } = asked(operation) else {
        return format!("{client} was answered");
    };
    match (operation.invoke.function, found(operation)) {
        (Function::Read, Found::Value(value)) => format!("{client} read {}", text(value)),
        (Function::Cas, Found::Another) => {
            format!("{client} found another value than {}", text(*expected))
        }
        (Function::Cas, _) => format!("{client} replaced {} by {}", text(*expected), text(*value)),
        _ => format!("{client} wrote {}", text(*value)),
    }
}
