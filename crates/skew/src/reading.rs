//! What is read back of clocks, as lines of text: a command on a node writes them, and the control
//! node reads them.
//!
//! ```text
//! PID CLASS offset_ns=N rate_ppm=N strobe_ns=N expired=0|1 due_ns=N seen_ns=N|none
//! PID gone
//! PID unpatched
//! told_ns=N resolution_ns=N
//! told=failed REASON
//! ```

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::{Class, Skew};

/// What is read back, one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A clock of a process.
    Process {
        /// The process.
        pid: i32,
        /// Which clock.
        class: Class,
        /// How it is set.
        skew: Skew,
        /// Whether that is over, so that the clock is right.
        is_expired: bool,
        /// What is added to the true time now, in nanoseconds.
        due_ns: i64,
        /// What was added when the process last asked for the time, in nanoseconds; `None` if it has
        /// not since the clock was set.
        seen_ns: Option<i64>,
    },
    /// There is no such process.
    Gone {
        /// The process.
        pid: i32,
    },
    /// The process has the machine's clock.
    Unpatched {
        /// The process.
        pid: i32,
    },
    /// The time that a store tells whoever asks.
    Store {
        /// That time less the true one, in nanoseconds.
        offset_ns: i64,
        /// The store tells no finer time than this, in nanoseconds, and cuts off what is less: its
        /// clock may be ahead by so much more.
        resolution_ns: u64,
    },
    /// The store did not tell the time, which says nothing about its clock.
    Silent {
        /// Why, in words.
        reason: String,
    },
}

/// A line that is no reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no reading of a clock")]
pub struct NotAReading;

impl Reading {
    /// Reads a line, without its end.
    pub fn parse(line: &str) -> Result<Reading, NotAReading> {
        let (first, rest) = line.split_once(' ').ok_or(NotAReading)?;
        let reading = match first.parse() {
            Ok(pid) if pid > 0 => parse_process(pid, rest),
            _ => parse_store(first, rest),
        };
        reading.ok_or(NotAReading)
    }
}

impl FromStr for Reading {
    type Err = NotAReading;

    fn from_str(line: &str) -> Result<Reading, NotAReading> {
        Reading::parse(line)
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reading::Process { pid, class, skew, is_expired, due_ns, seen_ns } => {
                let Skew { offset_ns, rate_ppm, strobe_period_ns } = skew;
                write!(
                    f,
                    "{pid} {} offset_ns={offset_ns} rate_ppm={rate_ppm} \
                     strobe_ns={strobe_period_ns} expired={} due_ns={due_ns} seen_ns=",
                    class.name(),
                    u8::from(*is_expired),
                )?;
                match seen_ns {
                    Some(seen_ns) => write!(f, "{seen_ns}"),
                    None => f.write_str("none"),
                }
            }
            Reading::Gone { pid } => write!(f, "{pid} gone"),
            Reading::Unpatched { pid } => write!(f, "{pid} unpatched"),
            Reading::Store { offset_ns, resolution_ns } => {
                write!(f, "told_ns={offset_ns} resolution_ns={resolution_ns}")
            }
            Reading::Silent { reason } => {
                write!(f, "told=failed {}", reason.replace(char::is_whitespace, " "))
            }
        }
    }
}

fn parse_process(pid: i32, rest: &str) -> Option<Reading> {
    match rest {
        "gone" => return Some(Reading::Gone { pid }),
        "unpatched" => return Some(Reading::Unpatched { pid }),
        _ => {}
    }
    let mut words = rest.split(' ');
    let class = Class::named(words.next()?)?;
    let mut value = |name: &str| words.next()?.strip_prefix(name);
    let reading = Reading::Process {
        pid,
        class,
        skew: Skew {
            offset_ns: value("offset_ns=")?.parse().ok()?,
            rate_ppm: value("rate_ppm=")?.parse().ok()?,
            strobe_period_ns: value("strobe_ns=")?.parse().ok()?,
        },
        is_expired: match value("expired=")? {
            "0" => false,
            "1" => true,
            _ => return None,
        },
        due_ns: value("due_ns=")?.parse().ok()?,
        seen_ns: match value("seen_ns=")? {
            "none" => None,
            seen_ns => Some(seen_ns.parse().ok()?),
        },
    };
    words.next().is_none().then_some(reading)
}

fn parse_store(first: &str, rest: &str) -> Option<Reading> {
    if first == "told=failed" {
        return Some(Reading::Silent { reason: rest.to_owned() });
    }
    Some(Reading::Store {
        offset_ns: first.strip_prefix("told_ns=")?.parse().ok()?,
        resolution_ns: rest.strip_prefix("resolution_ns=")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings() -> Vec<Reading> {
        let skew = Skew { offset_ns: -5, rate_ppm: 7, strobe_period_ns: 8 };
        let process = |class, is_expired, seen_ns| Reading::Process {
            pid: 12,
            class,
            skew,
            is_expired,
            due_ns: -5,
            seen_ns,
        };
        vec![
            process(Class::Wall, false, Some(-5)),
            process(Class::Monotonic, true, None),
            Reading::Gone { pid: 12 },
            Reading::Unpatched { pid: 12 },
            Reading::Store { offset_ns: 30_000_000_001, resolution_ns: 1000 },
            Reading::Silent { reason: "Connection refused (os error 111)".into() },
        ]
    }

    #[test]
    fn a_reading_is_read_as_it_was_written() {
        for reading in readings() {
            assert_eq!(reading.to_string().parse(), Ok(reading));
        }
    }

    #[test]
    fn what_is_written_stays_as_it_is_for_other_programs() {
        let lines = readings().iter().map(|reading| format!("{reading}\n")).collect::<String>();
        assert_eq!(
            lines,
            "12 wall offset_ns=-5 rate_ppm=7 strobe_ns=8 expired=0 due_ns=-5 seen_ns=-5\n\
             12 monotonic offset_ns=-5 rate_ppm=7 strobe_ns=8 expired=1 due_ns=-5 seen_ns=none\n\
             12 gone\n\
             12 unpatched\n\
             told_ns=30000000001 resolution_ns=1000\n\
             told=failed Connection refused (os error 111)\n"
        );
    }

    #[test]
    fn a_reason_of_several_lines_becomes_one() {
        let reading = Reading::Silent { reason: "no\r\nanswer".into() };
        assert_eq!(reading.to_string(), "told=failed no  answer");
    }

    #[test]
    fn what_is_no_reading_is_not_taken_for_one() {
        let whole = readings()[0].to_string();
        for line in [
            "",
            "12",
            "12 ",
            "-12 gone",
            "12 gone away",
            "12 wall",
            &whole[..whole.len() - 2],
            &format!("{whole} more"),
            &whole.replace("expired=0", "expired=2"),
            &whole.replace("wall", "dusk"),
            &whole.replace("due_ns=-5", "due_ns=x"),
            "told_ns=1",
            "told_ns=1 resolution_ns=1 more",
            "resolution_ns=1 told_ns=1",
        ] {
            assert_eq!(Reading::parse(line), Err(NotAReading), "{line}");
        }
    }
}
