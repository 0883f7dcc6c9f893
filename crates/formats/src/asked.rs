//! From the fields of one event, as Jepsen's formats and JSON lines have them, to the event.

use locktest_checker::{Action, Token, Value};
use locktest_history::Phase;

use crate::datum::Datum;
use crate::error::quoted;
use crate::pairing::{End, Event, Kind, Pairing};
use crate::processes::ProcessName;
use crate::{FormatError, Place, Problem, Stamps};

/// How a format writes what the others write differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A fail says only that nothing happened, but for a try. A key may stand beside the value.
    JepsenEdn,
    /// The same, but a failed cas with its arguments and no error is the register's answer.
    JepsenLog,
    /// A fail without an error is the object's answer.
    Jsonl,
}

/// The fields of one event.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) place: Place,
    pub(crate) phase: Phase,
    pub(crate) process: ProcessName,
    pub(crate) function: &'a [u8],
    pub(crate) key: Option<Datum<'a>>,
    pub(crate) value: Option<Datum<'a>>,
    pub(crate) token: Option<Token>,
    pub(crate) time_ns: Option<i64>,
    pub(crate) index: Option<i64>,
    pub(crate) has_error: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Acquire,
    TryAcquire,
    Release,
    Renew,
    AcquireShared,
    TryAcquireShared,
    ReleaseShared,
    Read,
    Write,
    Cas,
    Get,
    Put,
    Append,
}

const FUNCTIONS: &str = "acquire, try, release and renew; acquire-read, try-read and release-read; \
                         read, write and cas; get, put and append";

impl Function {
    fn named(name: &[u8]) -> Result<Function, Problem> {
        Ok(match name {
            b"acquire" | b"acquire-write" => Function::Acquire,
            b"try" | b"try-acquire" | b"try-write" | b"try-acquire-write" => Function::TryAcquire,
            b"release" | b"release-write" => Function::Release,
            b"renew" => Function::Renew,
            b"acquire-read" | b"acquire-shared" => Function::AcquireShared,
            b"try-read" | b"try-shared" | b"try-acquire-read" | b"try-acquire-shared" => {
                Function::TryAcquireShared
            }
            b"release-read" | b"release-shared" => Function::ReleaseShared,
            b"read" => Function::Read,
            b"write" => Function::Write,
            b"cas" => Function::Cas,
            b"get" => Function::Get,
            b"put" => Function::Put,
            b"append" => Function::Append,
            _ => return Err(Problem::Function { found: quoted(name), known: FUNCTIONS }),
        })
    }

    fn is_of_a_lock(self) -> bool {
        !matches!(
            self,
            Function::Read
                | Function::Write
                | Function::Cas
                | Function::Get
                | Function::Put
                | Function::Append
        )
    }
}

/// How a history names its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    /// There is one object.
    None,
    /// In a field of their own.
    Field,
    /// In front of the value: `[key value]`.
    Tuple,
}

/// Turns fields into events.
pub(crate) struct Asker {
    dialect: Dialect,
    keys: Option<Keys>,
    times: Rising,
    indices: Rising,
}

/// What events happen to say of their order beside standing in it.
#[derive(Debug, Default)]
struct Rising {
    largest: Option<i64>,
    /// Each event that says more than all before it, with the earliest stamp of whatever belongs
    /// right before it.
    steps: Vec<(i64, u64)>,
}

impl Rising {
    /// Notes an event that is not out of order.
    fn note(&mut self, found: i64, since: u64, keep: bool) {
        if keep && self.largest.is_none_or(|largest| largest < found) {
            self.steps.push((found, since));
        }
        self.largest = self.largest.max(Some(found));
    }

    /// The earliest stamp of an event that says `found` and stands behind one that says more.
    fn place_of(&self, found: i64) -> u64 {
        let step = self.steps.partition_point(|(said, _)| *said < found);
        self.steps.get(step).map_or(0, |(_, since)| *since)
    }
}

impl Asker {
    pub(crate) fn new(dialect: Dialect) -> Asker {
        Asker { dialect, keys: None, times: Rising::default(), indices: Rising::default() }
    }

    /// Hands an event that can be read to the pairing.
    pub(crate) fn ask(
        &mut self,
        pairing: &mut Pairing,
        fields: &Fields<'_>,
    ) -> Result<(), FormatError> {
        if !self.order(pairing, fields)? {
            return Ok(());
        }
        let event = stamp(pairing.stamps, fields).and_then(|stamp| {
            let event = self.event(pairing, fields)?;
            Ok(Event { stamp, ..event })
        });
        match event {
            Ok(event) => pairing.event(event),
            Err(problem) => self.unreadable(pairing, fields.place, problem),
        }
    }

    /// Reports an event that cannot be read.
    pub(crate) fn unreadable(
        &self,
        pairing: &mut Pairing,
        place: Place,
        problem: Problem,
    ) -> Result<(), FormatError> {
        pairing.unreadable(place, self.earliest(pairing.stamps, place), problem)
    }

    /// The earliest stamp of what stands at this place: in a history of times it happened no
    /// earlier than what stands before it.
    fn earliest(&self, stamps: Stamps, place: Place) -> u64 {
        match stamps {
            Stamps::Nanoseconds => {
                self.times.largest.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0)
            }
            Stamps::Lines | Stamps::Events => position(place),
        }
    }

    /// Looks whether an event's index and time agree with its place, and tells whether it can be
    /// read there.
    fn order(&mut self, pairing: &mut Pairing, fields: &Fields<'_>) -> Result<bool, FormatError> {
        let Fields { place, .. } = *fields;
        let earliest = self.earliest(pairing.stamps, place);
        let keep = pairing.is_lenient();
        if let Some(found) = fields.index {
            if let Some(before) = self.indices.largest.filter(|before| found <= *before) {
                let problem = Problem::Backwards { what: "index", found, before };
                let since = self.indices.place_of(found);
                pairing.misplaced(place, since, problem, "it is read where it stands")?;
            }
            self.indices.note(found, earliest, keep);
        }
        let Some(found) = fields.time_ns else { return Ok(true) };
        let Some(before) = self.times.largest.filter(|before| found < *before) else {
            self.times.note(found, earliest, keep);
            return Ok(true);
        };
        let problem = Problem::Backwards { what: "time", found, before };
        if pairing.stamps == Stamps::Nanoseconds {
            let since = u64::try_from(found).unwrap_or(0);
            pairing.misplaced(place, since, problem, "it is left out")?;
            return Ok(false);
        }
        let since = self.times.place_of(found);
        pairing.misplaced(place, since, problem, "it is read where it stands")?;
        Ok(true)
    }

    /// The event, but for its stamp.
    fn event(&mut self, pairing: &mut Pairing, fields: &Fields<'_>) -> Result<Event, Problem> {
        let function = Function::named(fields.function)?;
        let (key, value) = self.addressed(function, fields)?;
        let (action, argued) = action(pairing, function, fields, value)?;
        let end = match fields.phase {
            Phase::Invoke => End::Invoke,
            Phase::Ok => End::Ok,
            Phase::Info => End::Info,
            Phase::Fail if self.is_refusal(action, fields, value) => End::Refused,
            Phase::Fail => End::Failed,
        };
        let object = match key {
            Key::OfInvoke => None,
            Key::Only => Some(pairing.object("", "")),
            Key::Named(key) => {
                let (Some(identity), Some(name)) = (key.identity(), key.label()) else {
                    return Err(Problem::malformed("a map or a set is no key"));
                };
                Some(pairing.object(&identity, &name))
            }
        };
        let process = match &fields.process {
            ProcessName::Number(number) => pairing.processes.numbered(*number),
            name => pairing.processes.named(name.clone()),
        };
        Ok(Event { place: fields.place, stamp: 0, process, object, action, argued, end })
    }

    /// Which key an event is of, and its value without it.
    fn addressed<'f, 'a>(
        &mut self,
        function: Function,
        fields: &'f Fields<'a>,
    ) -> Result<(Key<'f, 'a>, Option<&'f Datum<'a>>), Problem> {
        let value = fields.value.as_ref();
        if fields.phase == Phase::Invoke {
            let keys = self.keys_of(function, fields);
            if *self.keys.get_or_insert(keys) != keys {
                return Err(Problem::malformed(
                    "some operations name a key and others do not; \
                     name all keys, in a field `key` or as `[key value]`",
                ));
            }
        }
        match (self.keys, &fields.key) {
            (_, Some(key)) => Ok((Key::Named(key), value)),
            (Some(Keys::None), None) => Ok((Key::Only, value)),
            (Some(Keys::Tuple), None) => match (value.and_then(Datum::pair), fields.phase) {
                (Some((key, value)), Phase::Invoke | Phase::Ok) => {
                    Ok((Key::Named(key), Some(value)))
                }
                (Some((_, value)), _) => Ok((Key::OfInvoke, Some(value))),
                (None, Phase::Ok) if !function.is_of_a_lock() => {
                    Err(Problem::malformed("its value is not `[key value]`, as that of its invoke"))
                }
                (None, _) => Ok((Key::OfInvoke, value)),
            },
            (Some(Keys::Field) | None, None) => Ok((Key::OfInvoke, value)),
        }
    }

    fn keys_of(&self, function: Function, fields: &Fields<'_>) -> Keys {
        if fields.key.is_some() {
            return Keys::Field;
        }
        if self.dialect == Dialect::Jsonl {
            return Keys::None;
        }
        let pair = fields.value.as_ref().and_then(Datum::pair);
        match (function, pair) {
            (_, None) => Keys::None,
            (Function::Cas, Some((_, new))) if new.pair().is_none() => Keys::None,
            // Where there are no keys, a pair is a value like any other.
            (Function::Write | Function::Cas | Function::Put | Function::Append, _)
                if self.keys == Some(Keys::None) =>
            {
                Keys::None
            }
            _ => Keys::Tuple,
        }
    }

    /// Whether a fail is the object's own answer.
    fn is_refusal(&self, action: Action, fields: &Fields<'_>, value: Option<&Datum>) -> bool {
        match action {
            Action::Cas { .. } => match self.dialect {
                Dialect::JepsenEdn => false,
                Dialect::JepsenLog => !fields.has_error && value.and_then(Datum::pair).is_some(),
                Dialect::Jsonl => !fields.has_error,
            },
            Action::TryAcquire(_) | Action::TryAcquireShared => {
                // Whatever stands in place of a value is a reason.
                !fields.has_error && value.is_none_or(|value| *value == Datum::Nil)
            }
            Action::GuardedRead(_) | Action::GuardedWrite(_) => !fields.has_error,
            _ => false,
        }
    }
}

fn stamp(stamps: Stamps, fields: &Fields<'_>) -> Result<u64, Problem> {
    if stamps != Stamps::Nanoseconds {
        return Ok(position(fields.place));
    }
    let time_ns = fields.time_ns.ok_or(Problem::NoTime)?;
    u64::try_from(time_ns)
        .map_err(|_| Problem::malformed(format!("its time {time_ns} is below zero")))
}

fn position(place: Place) -> u64 {
    place.event.unwrap_or(place.line)
}

#[derive(Clone, Copy, Debug)]
enum Key<'f, 'a> {
    /// There is but one object.
    Only,
    Named(&'f Datum<'a>),
    /// A completion that leaves it to its invoke.
    OfInvoke,
}

/// The action, and whether its arguments are in it.
fn action(
    pairing: &mut Pairing,
    function: Function,
    fields: &Fields<'_>,
    value: Option<&Datum<'_>>,
) -> Result<(Action, bool), Problem> {
    // What a fail or an info has for a value may be its reason.
    let says = matches!(fields.phase, Phase::Invoke | Phase::Ok);
    if function.is_of_a_lock() {
        if says && value.is_some_and(|value| *value != Datum::Nil) {
            return Err(Problem::malformed(
                "its value is neither a key nor a token that can be told; \
                 name it in a field `key` or `token`",
            ));
        }
        if fields.token == Some(0) {
            return Err(Problem::malformed("tokens count from 1"));
        }
        let token = fields.token.unwrap_or(0);
        let action = match function {
            Function::Acquire => Action::Acquire(token),
            Function::TryAcquire => Action::TryAcquire(token),
            Function::Release => Action::Release,
            Function::Renew => Action::Renew,
            Function::AcquireShared => Action::AcquireShared,
            Function::TryAcquireShared => Action::TryAcquireShared,
            _ => Action::ReleaseShared,
        };
        return Ok((action, true));
    }
    let guarded = fields.token.is_some() || pairing.kind() == Some(Kind::FencedResource);
    if guarded && matches!(function, Function::Read | Function::Write) {
        if fields.token.is_none() && fields.phase == Phase::Invoke {
            return Err(Problem::malformed("an access to a fenced resource needs its token"));
        }
        let token = fields.token.unwrap_or(0);
        let action = match function {
            Function::Read => Action::GuardedRead(token),
            _ => Action::GuardedWrite(token),
        };
        return Ok((action, fields.token.is_some()));
    }
    let mut number = |datum: &Datum<'_>| match function {
        Function::Read | Function::Write | Function::Cas => register_value(pairing, datum),
        _ => text_value(pairing, datum),
    };
    match (function, value) {
        (Function::Read | Function::Get, value) => {
            let read = match (fields.phase, value) {
                (Phase::Ok, Some(value)) => number(value)?,
                (Phase::Ok, None) => {
                    return Err(Problem::malformed(
                        "it does not say what it read; it needs a value",
                    ));
                }
                (Phase::Invoke, Some(value)) if *value != Datum::Nil => {
                    return Err(Problem::malformed(
                        "it has a value before it has read one; a key belongs in a field `key`",
                    ));
                }
                _ => Value::NIL,
            };
            match function {
                Function::Read => Ok((Action::Read(read), true)),
                _ => Ok((Action::Get(read), true)),
            }
        }
        (Function::Cas, Some(value)) if says => {
            let Some((expected, new)) = value.pair() else {
                return Err(Problem::malformed("a cas needs a value `[expected new]`"));
            };
            Ok((Action::Cas { expected: number(expected)?, new: number(new)? }, true))
        }
        (_, None) if fields.phase == Phase::Invoke => {
            Err(Problem::malformed("it does not say what it writes; it needs a value"))
        }
        (function, value) => {
            let argument = match value {
                Some(value) if says => Some(number(value)?),
                _ => None,
            };
            let written = argument.unwrap_or(Value::NIL);
            let action = match function {
                Function::Write => Action::Write(written),
                Function::Put => Action::Put(written),
                Function::Append => Action::Append(written),
                _ => Action::Cas { expected: written, new: written },
            };
            Ok((action, argument.is_some()))
        }
    }
}

fn register_value(pairing: &mut Pairing, datum: &Datum<'_>) -> Result<Value, Problem> {
    if *datum == Datum::Nil {
        return Ok(Value::NIL);
    }
    match datum.identity() {
        Some(text) => Ok(pairing.values.number(&text)),
        None => Err(Problem::malformed(
            "a map or a set can be written in several ways; a register's value has to be plain",
        )),
    }
}

/// In a key-value store everything is text; a number is its digits, and nothing is no text.
fn text_value(pairing: &mut Pairing, datum: &Datum<'_>) -> Result<Value, Problem> {
    match datum {
        Datum::Nil => Ok(Value::NIL),
        Datum::Text(text) | Datum::Integer(text) => Ok(pairing.values.number(text)),
        _ => Err(Problem::malformed("the value of a key has to be a string or an integer")),
    }
}
