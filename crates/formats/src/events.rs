//! The simplest lock history: one event a line, `<process> <invoke|ok|fail|info>
//! <acquire|try|release>`. The order of the lines is the order in real time.

use std::collections::hash_map::Entry;
use std::io::Read;

use locktest_checker::stream::ProcessMap;
use locktest_checker::{Action, Process};
use locktest_history::Phase;

use crate::error::{phase, quoted};
use crate::lines::{Line, Lines};
use crate::pairing::{End, Pairing};
use crate::processes::ProcessNumbers;
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
    /// Who: see [`EventReader::process_number`].
    pub process: Process,
    /// Which end of the operation.
    pub phase: Phase,
    /// What was asked.
    pub function: Function,
}

/// Reads events one at a time, and sees to it that a process has one operation at a time and that
/// each completion is of what was begun.
///
/// What it keeps grows with the operations that are open at once, and with the processes that have
/// numbers beyond 2³¹; not with the history.
///
/// After an error of one event ([`FormatError::At`]) it goes on with the next line.
pub struct EventReader<R> {
    lines: Lines<R>,
    numbers: ProcessNumbers,
    open: ProcessMap<Function>,
}

impl<R: Read> EventReader<R> {
    /// A reader from the first line on.
    pub fn new(source: R) -> EventReader<R> {
        EventReader {
            lines: Lines::new(source),
            numbers: ProcessNumbers::default(),
            open: ProcessMap::default(),
        }
    }

    /// The number by which the history calls a process.
    pub fn process_number(&self, process: Process) -> i64 {
        self.numbers.number(process)
    }

    /// The next event; `None` after the last.
    pub fn next_event(&mut self) -> Result<Option<Event>, FormatError> {
        while let Some(line) = self.lines.next()? {
            let place = Place::line(line.number);
            let Some((number, phase, function)) =
                parse(line).map_err(|problem| problem.at(place))?
            else {
                continue;
            };
            let process = self.numbers.process(number);
            take_turn(self.open.entry(process), number, phase, function)
                .map_err(|problem| problem.at(place))?;
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

/// Begins or ends what the process of this number has open.
fn take_turn(
    open: Entry<'_, Process, Function>,
    number: i64,
    phase: Phase,
    function: Function,
) -> Result<(), Problem> {
    let (process, found) = (|| number.to_string(), function.name());
    match (phase, open) {
        (Phase::Invoke, Entry::Vacant(open)) => {
            open.insert(function);
            Ok(())
        }
        (Phase::Invoke, Entry::Occupied(open)) => {
            Err(Problem::StillOpen { process: process(), found, open: open.get().name() })
        }
        (_, Entry::Vacant(_)) => Err(Problem::NeverInvoked { process: process(), found }),
        (_, Entry::Occupied(open)) if *open.get() == function => {
            open.remove();
            Ok(())
        }
        (_, Entry::Occupied(open)) => {
            let (found, begun) = (format!("`{found}`"), format!("`{}`", open.get().name()));
            Err(Problem::Different { process: process(), found, begun })
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_of_processes_that_have_gone() {
        let text: String = (0..100_000)
            .map(|number| {
                let phase = ["ok", "fail", "info"][number % 3];
                format!("{number} invoke try\n{number} {phase} try\n")
            })
            .collect();
        let mut reader = EventReader::new(text.as_bytes());
        assert_eq!(reader.by_ref().filter(Result::is_ok).count(), 200_000);
        assert!(reader.open.capacity() < 16, "{}", reader.open.capacity());
        assert_eq!(reader.numbers.remembered(), 0);
    }
}
