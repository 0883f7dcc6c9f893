//! Jepsen's own histories: a vector of operation maps, or one map after the other.

use std::io::Read;

use locktest_history::Phase;

use crate::asked::{Asker, Dialect, Fields};
use crate::datum::Datum;
use crate::edn::{EdnError, EdnReader};
use crate::error::{phase, quoted};
use crate::lines::Window;
use crate::pairing::Pairing;
use crate::processes::ProcessName;
use crate::{FormatError, Place, Problem};

/// Reads a whole history.
pub(crate) fn read(source: impl Read, pairing: &mut Pairing) -> Result<(), FormatError> {
    let mut reader = JepsenReader {
        window: Window::new(source),
        asker: Asker::new(Dialect::JepsenEdn),
        event: 0,
        closing: None,
    };
    while reader.step(pairing)? {}
    Ok(())
}

struct JepsenReader<R> {
    window: Window<R>,
    asker: Asker,
    /// How many operation maps have begun.
    event: u64,
    /// What ends the vector around the operations, if there is one.
    closing: Option<u8>,
}

impl<R: Read> JepsenReader<R> {
    /// Reads one operation. Tells whether there may be another.
    fn step(&mut self, pairing: &mut Pairing) -> Result<bool, FormatError> {
        let first = match self.skip_to_form() {
            Ok(first) => first,
            Err(Stop::Input(error)) => return Err(error),
            Err(Stop::Form(problem)) => return self.give_up(pairing, problem),
        };
        match (first, self.closing) {
            (None, None) => Ok(false),
            (None, Some(_)) => self.give_up(pairing, Problem::Truncated),
            (Some(first), closing) if Some(first) == closing => {
                self.window.advance(1);
                match self.skip_to_form() {
                    Ok(None) => Ok(false),
                    Err(Stop::Input(error)) => Err(error),
                    _ => {
                        let what = "something follows the end of the history";
                        self.give_up(pairing, Problem::malformed(what))
                    }
                }
            }
            (Some(first @ (b'[' | b'(')), None) if self.event == 0 => {
                self.closing = Some(if first == b'[' { b']' } else { b')' });
                self.window.advance(1);
                Ok(true)
            }
            (Some(_), _) => {
                self.event += 1;
                self.operation(pairing)
            }
        }
    }

    /// Moves to the next form and tells its first byte.
    fn skip_to_form(&mut self) -> Result<Option<u8>, Stop> {
        loop {
            let mut reader = EdnReader::new(self.window.visible(), self.window.is_last());
            match reader.peek() {
                Ok(first) => {
                    let length = reader.position();
                    self.window.advance(length);
                    return Ok(first);
                }
                Err(error) => self.more(error)?,
            }
        }
    }

    fn operation(&mut self, pairing: &mut Pairing) -> Result<bool, FormatError> {
        let place = self.place();
        loop {
            let mut reader = EdnReader::new(self.window.visible(), self.window.is_last());
            match read_map(&mut reader) {
                Ok(map) => {
                    match map.and_then(|map| map.fields(place)) {
                        Ok(Some(fields)) => self.asker.ask(pairing, &fields)?,
                        Ok(None) => {}
                        Err(problem) => self.asker.unreadable(pairing, place, problem)?,
                    }
                    let length = reader.position();
                    self.window.advance(length);
                    return Ok(true);
                }
                Err(error) => match self.more(error) {
                    Ok(()) => {}
                    Err(Stop::Input(error)) => return Err(error),
                    Err(Stop::Form(Problem::Truncated)) => {
                        return self.give_up(pairing, Problem::Truncated);
                    }
                    Err(Stop::Form(problem)) => {
                        self.asker.unreadable(pairing, place, problem)?;
                        return self.skip_line();
                    }
                },
            }
        }
    }

    /// Nothing after this can be read.
    fn give_up(&mut self, pairing: &mut Pairing, problem: Problem) -> Result<bool, FormatError> {
        self.asker.unreadable(pairing, self.place(), problem)?;
        Ok(false)
    }

    fn place(&self) -> Place {
        Place { line: self.window.line(), event: Some(self.event) }
    }

    /// Makes sure that twice as much is visible, so that what is read again and again does not add
    /// up.
    fn more(&mut self, error: EdnError) -> Result<(), Stop> {
        match error {
            EdnError::Malformed(problem) => Err(Stop::Form(problem)),
            EdnError::Incomplete if self.window.is_last() => Err(Stop::Form(Problem::Truncated)),
            EdnError::Incomplete => {
                let wanted = self.window.visible().len() * 2;
                loop {
                    self.window.grow().map_err(Stop::Input)?;
                    if self.window.is_last() || self.window.visible().len() > wanted {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// After a form whose end cannot be told, the next line is the best place to go on.
    fn skip_line(&mut self) -> Result<bool, FormatError> {
        loop {
            let visible = self.window.visible();
            let (length, found) = match memchr::memchr(b'\n', visible) {
                Some(at) => (at + 1, true),
                None => (visible.len(), false),
            };
            self.window.advance(length);
            if found || self.window.is_last() {
                return Ok(true);
            }
            self.window.grow()?;
        }
    }
}

/// Why a form was not read.
enum Stop {
    /// The input could not be read.
    Input(FormatError),
    /// The form is wrong.
    Form(Problem),
}

/// The fields of an operation map that bear on its meaning.
#[derive(Default)]
struct Map<'a> {
    phase: Option<Datum<'a>>,
    function: Option<Datum<'a>>,
    process: Option<Datum<'a>>,
    value: Option<Datum<'a>>,
    key: Option<Datum<'a>>,
    token: Option<Datum<'a>>,
    time: Option<Datum<'a>>,
    index: Option<Datum<'a>>,
    error: Option<Datum<'a>>,
}

/// Reads an operation map to its end, even if a field stands there twice; or another form.
fn read_map<'a>(reader: &mut EdnReader<'a>) -> Result<Result<Map<'a>, Problem>, EdnError> {
    if !matches!(reader.peek()?, Some(b'{' | b'#')) {
        reader.pass()?;
        return Ok(Err(Problem::malformed("it is not a map of an operation")));
    }
    let mut map = Map::default();
    let mut twice = None;
    reader.open_map()?;
    while let Some(key) = reader.map_key()? {
        let slot = match key {
            b"type" => &mut map.phase,
            b"f" => &mut map.function,
            b"process" => &mut map.process,
            b"value" => &mut map.value,
            b"key" => &mut map.key,
            b"token" => &mut map.token,
            b"time" => &mut map.time,
            b"index" => &mut map.index,
            b"error" => {
                // It may be an exception with all its causes.
                map.error = Some(reader.presence()?);
                continue;
            }
            _ => {
                reader.pass()?;
                continue;
            }
        };
        if slot.replace(reader.datum()?).is_some() {
            twice = Some(quoted(key));
        }
    }
    Ok(match twice {
        Some(key) => Err(Problem::malformed(format!("it has two fields `:{key}`"))),
        None => Ok(map),
    })
}

impl<'a> Map<'a> {
    /// The event; `None` if it is none of a client.
    fn fields(self, place: Place) -> Result<Option<Fields<'a>>, Problem> {
        let process = match self.process {
            Some(Datum::Keyword("nemesis")) => return Ok(None),
            Some(Datum::Integer(digits)) => {
                let number = digits.parse().map_err(|_| Problem::Process {
                    found: quoted(digits.as_bytes()),
                    expected: "the number of a process has at most 18 digits",
                })?;
                ProcessName::Number(number)
            }
            Some(Datum::Keyword(word)) => ProcessName::Word(word.into()),
            Some(Datum::Text(word)) => ProcessName::Word(word.into()),
            other => {
                let found =
                    other.and_then(|datum| datum.identity().map(|text| quoted(text.as_bytes())));
                return Err(Problem::Process {
                    found: found.unwrap_or_else(|| "nil".into()),
                    expected: "an operation has a `:process`, a number or a keyword",
                });
            }
        };
        let keyword = |datum: Option<Datum<'a>>, field: &str| match datum {
            Some(Datum::Keyword(word)) => Ok(word),
            _ => Err(Problem::malformed(format!("its `:{field}` has to be a keyword"))),
        };
        let phase: Phase = phase(keyword(self.phase, "type")?.as_bytes())?;
        let token = integer(self.token, "token")?.map(u64::try_from).transpose();
        Ok(Some(Fields {
            place,
            phase,
            process,
            function: keyword(self.function, "f")?.as_bytes(),
            key: self.key.filter(|key| *key != Datum::Nil),
            value: self.value,
            token: token.map_err(|_| Problem::malformed("a token is not below zero"))?,
            time_ns: integer(self.time, "time")?,
            index: integer(self.index, "index")?,
            has_error: self.error.is_some_and(|error| error != Datum::Nil),
        }))
    }
}

fn integer(datum: Option<Datum<'_>>, field: &str) -> Result<Option<i64>, Problem> {
    match datum {
        None | Some(Datum::Nil) => Ok(None),
        Some(Datum::Integer(digits)) if digits.len() <= 18 => {
            digits.parse().map(Some).map_err(|_| Problem::malformed("it is no number"))
        }
        _ => Err(Problem::malformed(format!(
            "its `:{field}` has to be an integer of at most 18 digits"
        ))),
    }
}
