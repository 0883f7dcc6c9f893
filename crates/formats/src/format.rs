//! The formats and their names.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::jepsen_log;

/// How a history is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The history file of a run of locktest.
    Locktest,
    /// One event of a lock a line: `<process> <invoke|ok|fail|info> <acquire|try|release>`.
    Events,
    /// Operation maps in EDN, as Jepsen stores them.
    JepsenEdn,
    /// Operations in Jepsen's log.
    JepsenLog,
    /// One JSON object a line: operations, or an exported run.
    Jsonl,
}

/// A name that no format has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no history format `{name}`; the formats are {}", Format::ALL.map(Format::name).join(", "))]
pub struct UnknownFormat {
    name: String,
}

impl Format {
    /// Every format, in the order in which help lists them.
    pub const ALL: [Format; 5] =
        [Format::Locktest, Format::Events, Format::JepsenEdn, Format::JepsenLog, Format::Jsonl];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Locktest => "locktest",
            Format::Events => "events",
            Format::JepsenEdn => "jepsen-edn",
            Format::JepsenLog => "jepsen-log",
            Format::Jsonl => "jsonl",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Format, UnknownFormat> {
        Format::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| UnknownFormat { name: name.to_owned() })
    }
}

/// The format that a history seems to have, by its first bytes; `None` if it seems to have none.
///
/// A few kilobytes are enough, more if a log begins with other messages.
pub fn detect(begin: &[u8]) -> Option<Format> {
    if begin.starts_with(b"LOCKTEST") {
        return Some(Format::Locktest);
    }
    for line in begin.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        let rest = line.get(1..).unwrap_or_default().trim_ascii_start();
        match line.first() {
            None | Some(b';') => {}
            Some(b'#')
                if rest.first().is_some_and(u8::is_ascii_alphabetic) && is_tagged_map(line) =>
            {
                return Some(Format::JepsenEdn);
            }
            Some(b'#') => {}
            Some(b'[' | b'(') => return Some(Format::JepsenEdn),
            Some(b'{') => match rest.first() {
                Some(b'"') => return Some(Format::Jsonl),
                _ => return Some(Format::JepsenEdn),
            },
            Some(_) if jepsen_log::operation(line).is_some() => return Some(Format::JepsenLog),
            Some(digit) if digit.is_ascii_digit() && is_event(line) => return Some(Format::Events),
            Some(_) => {}
        }
    }
    None
}

/// Such as `#jepsen.history.Op{`, which a comment of the events format is not.
fn is_tagged_map(line: &[u8]) -> bool {
    let tag = line.iter().position(|byte| matches!(byte, b'{' | b' ' | b'\t'));
    tag.is_some_and(|end| line[end] == b'{')
}

fn is_event(line: &[u8]) -> bool {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.next().is_some_and(|word| word.iter().all(u8::is_ascii_digit))
        && matches!(words.next(), Some(b"invoke" | b"ok" | b"fail" | b"info"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_parsed_from_its_own_name_and_from_nothing_else() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert!("edn".parse::<Format>().expect_err("no name").to_string().contains("jepsen-edn"));
    }

    #[test]
    fn a_format_is_told_by_its_first_bytes() {
        for (begin, format) in [
            (&b"LOCKTEST\x01\0\0\0"[..], Some(Format::Locktest)),
            (b"# a comment\n\n 12 invoke acquire\n", Some(Format::Events)),
            (b"#comment {braces}\n1\tok\ttry", Some(Format::Events)),
            (b"{:type :invoke", Some(Format::JepsenEdn)),
            (b"; a comment\n[{:type", Some(Format::JepsenEdn)),
            (b"#jepsen.history.Op{:index 0", Some(Format::JepsenEdn)),
            (b"{\"process\": 0", Some(Format::Jsonl)),
            (b"{ \"record\":\"run\"", Some(Format::Jsonl)),
            (b"INFO  jepsen.util - 0\t:invoke\t:read\tnil\n", Some(Format::JepsenLog)),
            (b"INFO  jepsen.core - starting\nINFO  jepsen.util - 0\t:ok", Some(Format::JepsenLog)),
            (b"0\t:invoke\t:read\tnil\n", Some(Format::JepsenLog)),
            (b"", None),
            (b"time,process,what\n1,2,acquire\n", None),
            (b"\x7fELF\0\0", None),
        ] {
            assert_eq!(detect(begin), format, "{}", String::from_utf8_lossy(begin));
        }
    }
}
