//! One JSON object a line: either an end of an operation, or the lines of an exported run.

use std::io::Read;

use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use crate::asked::{Asker, Dialect, Fields};
use crate::datum::Datum;
use crate::error::{phase, quoted};
use crate::lines::Lines;
use crate::pairing::Pairing;
use crate::processes::ProcessName;
use crate::{FormatError, Place, Problem};

/// An end of an operation.
#[derive(Debug, Deserialize)]
struct OperationLine {
    process: Json,
    #[serde(rename = "type")]
    phase: String,
    f: String,
    #[serde(default)]
    key: Json,
    /// An absent value is not a null.
    #[serde(default, deserialize_with = "present")]
    value: Option<Json>,
    #[serde(default)]
    token: Option<u64>,
    #[serde(default)]
    time_ns: Option<i64>,
    #[serde(default)]
    error: Json,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// Reads a whole history of operations.
pub(crate) fn read(source: impl Read, pairing: &mut Pairing) -> Result<(), FormatError> {
    let mut lines = Lines::new(source);
    let mut asker = Asker::new(Dialect::Jsonl);
    while let Some(line) = lines.next()? {
        if line.bytes.trim_ascii().is_empty() {
            continue;
        }
        let place = Place::line(line.number);
        let parsed = serde_json::from_slice::<OperationLine>(line.bytes);
        let problem = match parsed {
            Ok(parsed) => match fields(&parsed, place) {
                Ok(Some(fields)) => {
                    asker.ask(pairing, &fields)?;
                    continue;
                }
                Ok(None) => continue,
                Err(problem) => problem,
            },
            Err(error) if error.is_eof() && !line.ended => Problem::Truncated,
            Err(error) => Problem::malformed(format!("it is no operation in JSON: {error}")),
        };
        asker.unreadable(pairing, place, problem)?;
    }
    Ok(())
}

/// The event; `None` if it is none of a client.
fn fields(line: &OperationLine, place: Place) -> Result<Option<Fields<'_>>, Problem> {
    let process = match &line.process {
        Json::String(word) if word == "nemesis" => return Ok(None),
        Json::String(word) => ProcessName::Word(word.as_str().into()),
        other => match other.as_i64() {
            Some(number) => ProcessName::Number(number),
            None => {
                return Err(Problem::Process {
                    found: quoted(other.to_string().as_bytes()),
                    expected: "a process is an integer or a string",
                });
            }
        },
    };
    Ok(Some(Fields {
        place,
        phase: phase(line.phase.as_bytes())?,
        process,
        function: line.f.as_bytes(),
        key: Some(datum(&line.key)?).filter(|key| *key != Datum::Nil),
        value: line.value.as_ref().map(datum).transpose()?,
        token: line.token,
        time_ns: line.time_ns,
        index: None,
        has_error: !line.error.is_null(),
    }))
}

fn datum(json: &Json) -> Result<Datum<'_>, Problem> {
    Ok(match json {
        Json::Null => Datum::Nil,
        Json::Bool(yes) => Datum::Plain(if *yes { "true" } else { "false" }.into()),
        Json::Number(number) if number.is_f64() => {
            // Several long numbers may have been read as this one.
            return Err(Problem::malformed(format!(
                "{number} is no integer of 64 bits; write such a value as a string"
            )));
        }
        Json::Number(number) => Datum::Integer(number.to_string().into()),
        Json::String(text) => Datum::Text(text.as_str().into()),
        Json::Array(items) => Datum::Sequence(items.iter().map(datum).collect::<Result<_, _>>()?),
        Json::Object(_) => Datum::Unordered,
    })
}
