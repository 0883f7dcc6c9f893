//! Asking a store for the time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::{Class, Reading};

/// An answer that takes longer says nothing about the time.
const PATIENCE: Duration = Duration::from_secs(1);

/// A header is no longer than this.
const MOST_BYTES: usize = 16 * 1024;

/// How a store is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// `TIME` of Redis.
    Redis,
    /// The `Date` of an HTTP answer.
    Http,
}

impl Protocol {
    fn question(self) -> &'static [u8] {
        match self {
            Protocol::Redis => b"*1\r\n$4\r\nTIME\r\n",
            Protocol::Http => b"GET / HTTP/1.0\r\n\r\n",
        }
    }

    fn resolution_ns(self) -> u64 {
        match self {
            Protocol::Redis => 1000,
            Protocol::Http => 1_000_000_000,
        }
    }

    /// The time since the Unix epoch that an answer tells; `None` if it is not complete.
    fn read(self, answer: &str) -> Option<i64> {
        match self {
            Protocol::Redis => {
                let mut lines = answer.strip_prefix("*2\r\n")?.split_inclusive("\r\n");
                let mut word = || {
                    let size: usize = lines.next()?.trim_end().strip_prefix('$')?.parse().ok()?;
                    lines.next()?.strip_suffix("\r\n").filter(|word| word.len() == size)
                };
                let (seconds, micros): (i64, i64) = (word()?.parse().ok()?, word()?.parse().ok()?);
                seconds.checked_mul(1_000_000_000)?.checked_add(micros.checked_mul(1000)?)
            }
            Protocol::Http => {
                let header = answer.split_inclusive("\r\n").find_map(|line| {
                    let (name, value) = line.strip_suffix("\r\n")?.split_once(':')?;
                    name.eq_ignore_ascii_case("date").then_some(value.trim())
                })?;
                http_date_s(header)?.checked_mul(1_000_000_000)
            }
        }
    }
}

/// What a store tells, less the true time; a reason in words if it does not.
pub(crate) fn ask(protocol: Protocol, address: SocketAddr) -> Reading {
    match try_ask(protocol, address) {
        Ok(offset_ns) => Reading::Store { offset_ns, resolution_ns: protocol.resolution_ns() },
        Err(error) => Reading::Silent { reason: error.to_string() },
    }
}

fn try_ask(protocol: Protocol, address: SocketAddr) -> io::Result<i64> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let now_ns = || Class::Wall.now_ns().map_err(io::Error::other);
    let asked_ns = now_ns()?;
    stream.write_all(protocol.question())?;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // A limit of zero would be none.
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let length = match stream.read(&mut part) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            length => length?,
        };
        let answered_ns = now_ns()?;
        answer.extend_from_slice(&part[..length]);
        if let Some(told_ns) = protocol.read(&String::from_utf8_lossy(&answer)) {
            return Ok(told_ns.saturating_sub(asked_ns.midpoint(answered_ns)));
        }
        if length == 0 || answer.len() > MOST_BYTES {
            return Err(io::Error::other("the answer tells no time"));
        }
    }
}

/// Seconds since the Unix epoch of a date such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110).
fn http_date_s(date: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = date.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { return None };
    let (day, year): (i64, i64) = (day.parse().ok()?, year.parse().ok()?);
    let month = MONTHS.iter().position(|name| *name == month)?;
    let month = i64::try_from(month).ok()? + 1;
    let mut clock = time.split(':').map(|part| part.parse::<i64>().ok());
    let mut next = || clock.next().flatten();
    let (hours, minutes, seconds) = (next()?, next()?, next()?);
    if !(1970..10_000).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since the epoch of a date in the Gregorian calendar, with years that begin in March, so
    // that a leap day is a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn the_time_of_redis_is_read_once_it_is_complete() {
        let answer = "*2\r\n$10\r\n1700000000\r\n$6\r\n123456\r\n";
        assert_eq!(Protocol::Redis.read(answer), Some(1_700_000_000_123_456_000));
        for end in 0..answer.len() {
            assert_eq!(Protocol::Redis.read(&answer[..end]), None, "{:?}", &answer[..end]);
        }
        assert_eq!(Protocol::Redis.read("-NOAUTH Authentication required.\r\n"), None);
    }

    #[test]
    fn the_date_of_an_http_answer_is_read() {
        let answer = "HTTP/1.0 404 Not Found\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
        assert_eq!(Protocol::Http.read(answer), Some(784_111_777_000_000_000));
        assert_eq!(Protocol::Http.read("HTTP/1.0 200 OK\r\nDate: Sun, 06 Nov"), None);
    }

    #[test]
    fn dates_around_leap_days_are_told_apart() {
        let at = |date: &str| http_date_s(&format!("Thu, {date} 00:00:00 GMT"));
        assert_eq!(at("01 Jan 1970"), Some(0));
        assert_eq!(at("29 Feb 2000"), Some(951_782_400));
        assert_eq!(at("01 Mar 2000"), Some(951_868_800));
        assert_eq!(at("01 Mar 2023"), Some(1_677_628_800));
        for nonsense in ["", "Thu, 01 Foo 1970 00:00:00 GMT", "Thu, 01 Jan 1970 00:00 GMT"] {
            assert_eq!(http_date_s(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_store_is_asked_over_a_connection_and_one_that_does_not_answer_gives_a_reason() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let store = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a question");
            let mut question = [0; 18];
            stream.read_exact(&mut question).expect("a question");
            assert_eq!(question, *b"GET / HTTP/1.0\r\n\r\n");
            let answer = b"HTTP/1.0 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
            // In two parts.
            stream.write_all(&answer[..30]).expect("written");
            thread::sleep(Duration::from_millis(20));
            stream.write_all(&answer[30..]).expect("written");
        });
        let Reading::Store { offset_ns, resolution_ns: 1_000_000_000 } =
            ask(Protocol::Http, address)
        else {
            panic!("no answer");
        };
        assert!(offset_ns < -900_000_000 * 1_000_000_000, "{offset_ns}");
        store.join().expect("asked");
        assert!(matches!(ask(Protocol::Redis, address), Reading::Silent { .. }));
    }
}
