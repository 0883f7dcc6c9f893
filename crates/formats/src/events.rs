//! The simplest lock history: one event a line, `<process> <invoke|ok|fail|info>
//! <acquire|try|release>`. The order of the lines is the order in real time.

use std::io::Read;

use locktest_checker::{Action, Process};
use locktest_history::Phase;

use crate::error::{phase, quoted};
use crate::lines::{Line, Lines};
use crate::pairing::{End, Pairing};
use crate::processes::Processes;
use crate::turns::{Turns, never_invoked, still_open};
use crate::{FormatError, Place, Problem};

/// What a line asks of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// Take it, and wait for it.
    Acquire,
    /// Take it without waiting.
    Try,
    /// Give it back.
    Release,
}

impl Function {
    fn name(self) -> &'static str {
        match self {
            Function::Acquire => "acquire",
            Function::Try => "try",
            Function::Release => "release",
        }
    }

    /// The same as the checker has it.
    pub fn action(self) -> Action {
        match self {
            Function::Acquire => Action::Acquire(0),
            Function::Try => Action::TryAcquire(0),
            Function::Release => Action::Release,
        }
    }
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// Its number, counted from 1.
    pub line: u64,
    /// Who, numbered from zero in order of the first events.
    pub process: Process,
    /// Which end of the operation.
    pub phase: Phase,
    /// What was asked.
    pub function: Function,
}

/// Reads events one at a time. What it keeps grows with the number of processes and with nothing
/// else.
///
/// After an error of one event ([`FormatError::At`]) it goes on with the next line.
pub struct EventReader<R> {
    lines: Lines<R>,
    processes: Processes,
    turns: Option<Turns<Function>>,
}

impl<R: Read> EventReader<R> {
    /// A reader of events as they stand there; whether they fit together is for others to see.
    pub fn new(source: R) -> EventReader<R> {
        EventReader { lines: Lines::new(source), processes: Processes::default(), turns: None }
    }

    /// A reader that also sees to it that a process has one operation at a time, and that each
    /// completion is of what was begun.
    pub fn paired(source: R) -> EventReader<R> {
        EventReader { turns: Some(Turns::default()), ..EventReader::new(source) }
    }

    /// The processes so far.
    pub fn processes(&self) -> &Processes {
        &self.processes
    }

    /// The next event; `None` after the last.
    pub fn next_event(&mut self) -> Result<Option<Event>, FormatError> {
        while let Some(line) = self.lines.next()? {
            let place = Place::line(line.number);
            let Some((name, phase, function)) = parse(line).map_err(|problem| problem.at(place))?
            else {
                continue;
            };
            let process = self.processes.numbered(name);
            if let Some(turns) = &mut self.turns {
                take_turn(turns, &self.processes, process, phase, function)
                    .map_err(|problem| problem.at(place))?;
            }
            return Ok(Some(Event { line: place.line, process, phase, function }));
        }
        Ok(None)
    }
}

impl<R: Read> Iterator for EventReader<R> {
    type Item = Result<Event, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_event().transpose()
    }
}

fn take_turn(
    turns: &mut Turns<Function>,
    processes: &Processes,
    process: Process,
    phase: Phase,
    function: Function,
) -> Result<(), Problem> {
    let open = turns.open(process);
    match (phase, open) {
        (Phase::Invoke, None) => turns.begin(process, function),
        (Phase::Invoke, Some(open)) => {
            return Err(still_open(processes, process, function.name(), open.name()));
        }
        (_, None) => return Err(never_invoked(processes, process, function.name())),
        (_, Some(open)) if open == function => {
            turns.end(process);
        }
        (_, Some(open)) => {
            let (found, begun) = (format!("`{}`", function.name()), format!("`{}`", open.name()));
            return Err(Problem::Different { process: processes.text(process), found, begun });
        }
    }
    Ok(())
}

type Words = (i64, Phase, Function);

/// What a line says; `None` if it is blank or a comment.
fn parse(line: Line<'_>) -> Result<Option<Words>, Problem> {
    let mut rest = line.bytes;
    let first = word(&mut rest);
    if first.is_empty() || first[0] == b'#' {
        return Ok(None);
    }
    let words = words(first, rest);
    // Whatever a last line without an end lacks may be what is wrong with it.
    if !line.ended && words.is_err() { Err(Problem::Truncated) } else { words.map(Some) }
}

fn words(process: &[u8], mut rest: &[u8]) -> Result<Words, Problem> {
    let process = number(process).ok_or_else(|| Problem::Process {
        found: quoted(process),
        expected: "a line is `<process> <invoke|ok|fail|info> <acquire|try|release>` with a number as process",
    })?;
    let phase = phase(word(&mut rest))?;
    let function = match word(&mut rest) {
        b"acquire" => Function::Acquire,
        b"try" => Function::Try,
        b"release" => Function::Release,
        other => {
            let known = "acquire, try and release";
            return Err(Problem::Function { found: quoted(other), known });
        }
    };
    match word(&mut rest) {
        b"" => Ok((process, phase, function)),
        more => {
            Err(Problem::malformed(format!("`{}` is one word too many for an event", quoted(more))))
        }
    }
}

fn word<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = rest.iter().position(|byte| !is_blank(byte)).unwrap_or(rest.len());
    let text = &rest[begin..];
    let length = text.iter().position(is_blank).unwrap_or(text.len());
    *rest = &text[length..];
    &text[..length]
}

fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0i64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Reads a whole history.
pub(crate) fn read(source: impl Read, pairing: &mut Pairing) -> Result<(), FormatError> {
    let mut lines = Lines::new(source);
    let object = pairing.object("", "");
    while let Some(line) = lines.next()? {
        let place = Place::line(line.number);
        let (name, phase, function) = match parse(line) {
            Ok(Some(words)) => words,
            Ok(None) => continue,
            Err(problem) => {
                pairing.unreadable(place, place.line, problem)?;
                continue;
            }
        };
        let process = pairing.processes.numbered(name);
        let end = match phase {
            Phase::Invoke => End::Invoke,
            Phase::Ok => End::Ok,
            Phase::Fail if function == Function::Try => End::Refused,
            Phase::Fail => End::Failed,
            Phase::Info => End::Info,
        };
        pairing.event(crate::pairing::Event {
            place,
            stamp: place.line,
            process,
            object: Some(object),
            action: function.action(),
            argued: true,
            end,
        })?;
    }
    Ok(())
}
