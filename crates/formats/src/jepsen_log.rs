//! The operations in Jepsen's log: `INFO  jepsen.util - PROCESS<tab>:TYPE<tab>:F<tab>VALUE`, with
//! whatever else was logged between them, and without the first words in its `history.txt`.

use std::io::Read;

use crate::asked::{Asker, Dialect, Fields};
use crate::datum::Datum;
use crate::edn::EdnReader;
use crate::error::{phase, quoted};
use crate::lines::Lines;
use crate::pairing::Pairing;
use crate::processes::ProcessName;
use crate::{FormatError, Place, Problem};

/// Who logs the operations.
const LOGGER: &[u8] = b"jepsen.util";

/// Reads a whole history.
pub(crate) fn read(source: impl Read, pairing: &mut Pairing) -> Result<(), FormatError> {
    let mut lines = Lines::new(source);
    let mut asker = Asker::new(Dialect::JepsenLog);
    while let Some(line) = lines.next()? {
        let place = Place::line(line.number);
        let Some(text) = operation(line.bytes) else { continue };
        // Without its end a line may lack the last digits of its value.
        let fields = if line.ended { fields(text, place) } else { Err(Problem::Truncated) };
        match fields {
            Ok(Some(fields)) => asker.ask(pairing, &fields)?,
            Ok(None) => {}
            Err(problem) => asker.unreadable(pairing, place, problem)?,
        }
    }
    Ok(())
}

/// The part of a line that is an operation; `None` if it is something else.
pub(crate) fn operation(line: &[u8]) -> Option<&[u8]> {
    let message = memchr::memmem::find(line, LOGGER).map(|at| &line[at + LOGGER.len()..]);
    let message = message
        .and_then(|rest| rest.strip_prefix(b" - ").or_else(|| rest.strip_prefix(b": ")))
        .map(<[u8]>::trim_ascii_start);
    // Whoever logs operations logs a few other messages, too. Elsewhere nothing looks like this.
    let text = message.unwrap_or(line);
    let begins = match message {
        Some(message) => {
            message.first().is_some_and(|first| first.is_ascii_digit() || *first == b':')
        }
        None => begins_as_operation(text),
    };
    (begins || memchr::memmem::find(text, b"\t:").is_some()).then_some(text)
}

/// Whether it is a number and a keyword.
fn begins_as_operation(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = &text[digits..];
    let keyword = rest.trim_ascii_start();
    digits > 0 && keyword.len() < rest.len() && keyword.first() == Some(&b':')
}

/// The event; `None` if it is none of a client.
fn fields(text: &[u8], place: Place) -> Result<Option<Fields<'_>>, Problem> {
    let mut rest = text;
    let process = column(&mut rest);
    if process == b":nemesis" {
        return Ok(None);
    }
    let (type_name, function) = (column(&mut rest), column(&mut rest));
    let digits = std::str::from_utf8(process).ok();
    let Some(number) = digits.and_then(|digits| digits.parse::<u32>().ok()) else {
        let expected = "a process is a number";
        return Err(Problem::Process { found: quoted(process), expected });
    };
    let (value, has_error) = value(rest)?;
    Ok(Some(Fields {
        place,
        phase: phase(unprefixed(type_name))?,
        process: ProcessName::Number(i64::from(number)),
        function: unprefixed(function),
        key: None,
        value: Some(value),
        token: None,
        time_ns: None,
        index: None,
        has_error,
    }))
}

/// The next column. Between columns there is a tab, or spaces if somebody expanded it.
fn column<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let text = rest.trim_ascii_start();
    let length = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    *rest = &text[length..];
    &text[..length]
}

fn unprefixed(column: &[u8]) -> &[u8] {
    column.strip_prefix(b":").unwrap_or(column)
}

/// The value, and whether an error follows it in a column of its own.
fn value(text: &[u8]) -> Result<(Datum<'_>, bool), Problem> {
    let mut reader = EdnReader::new(text, true);
    match reader.peek() {
        Ok(Some(_)) => {}
        _ => {
            return Err(Problem::malformed(
                "an operation has four columns: process, type, function, value",
            ));
        }
    }
    let datum = reader.datum();
    let rest = &text[reader.position()..];
    let has_error = rest.first() == Some(&b'\t');
    match datum {
        Ok(datum) if has_error || rest.trim_ascii().is_empty() => Ok((datum, has_error)),
        _ => Err(Problem::malformed(format!("`{}` is no value", quoted(text.trim_ascii())))),
    }
}
