//! The times of log lines.

const NS_PER_S: u64 = 1_000_000_000;
const S_PER_DAY: i64 = 24 * 60 * 60;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// When a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// In nanoseconds since the Unix epoch.
    wall_ns: u64,
    /// Whether that is only the begin of the second in which it was.
    whole_second: bool,
}

impl Stamp {
    /// The time, as near as it is known: a line was not written before the one above it, which
    /// tells more if both are of the same second.
    pub(super) fn not_before(&self, above_ns: u64) -> u64 {
        if self.whole_second && above_ns / NS_PER_S == self.wall_ns / NS_PER_S {
            above_ns.max(self.wall_ns)
        } else {
            self.wall_ns
        }
    }
}

/// That of a line which begins with it, as in `2026-11-27T00:23:08.552Z [INFO]`.
pub(super) fn at_begin(line: &str) -> Option<Stamp> {
    let (date, rest) = date(line.trim_start())?;
    time(date, rest.strip_prefix(['T', ' '])?)
}

/// etcd's own lines begin with it, or have it in JSON under `ts`; those of its Raft library begin
/// with the library's name, and tell whole seconds.
pub(super) fn of_etcd(line: &str) -> Option<Stamp> {
    if line.starts_with('{') {
        let (_, ts) = line.split_once("\"ts\":\"")?;
        return at_begin(ts);
    }
    at_begin(line.strip_prefix("raft").unwrap_or(line))
}

/// As in `36:X 27 Nov 2026 00:24:45.659 # +monitor`.
pub(super) fn of_redis(line: &str) -> Option<Stamp> {
    let (_process_and_role, rest) = line.split_once(' ')?;
    let (day, rest) = number(rest, 2)?;
    let (month, rest) = rest.strip_prefix(' ')?.split_once(' ')?;
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let (year, rest) = number(rest, 4)?;
    let month = i64::try_from(month).ok()?;
    time(days_since_epoch(year, month, day)?, rest.strip_prefix(' ')?)
}

/// The days since the epoch of `2026-11-27` or `2026/11/27`, and what comes after.
fn date(text: &str) -> Option<(i64, &str)> {
    let (year, rest) = number(text, 4)?;
    let (month, rest) = number(rest.strip_prefix(['-', '/'])?, 2)?;
    let (day, rest) = number(rest.strip_prefix(['-', '/'])?, 2)?;
    Some((days_since_epoch(year, month, day)?, rest))
}

/// A time of that day, such as `00:24:45.659`, with or without an offset from UTC behind it.
fn time(days: i64, text: &str) -> Option<Stamp> {
    let (hours, rest) = number(text, 2)?;
    let (minutes, rest) = number(rest.strip_prefix(':')?, 2)?;
    let (seconds, rest) = number(rest.strip_prefix(':')?, 2)?;
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
        None => ("", rest),
    };
    let fraction_ns: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let local_s = days * S_PER_DAY + (hours * 60 + minutes) * 60 + seconds;
    let wall_s = u64::try_from(local_s - offset_s(rest).unwrap_or(0)).ok()?;
    let wall_ns = wall_s.checked_mul(NS_PER_S)?.checked_add(fraction_ns)?;
    Some(Stamp { wall_ns, whole_second: fraction.is_empty() })
}

/// `+0900` or `+09:00`. Neither `Z` nor nothing is one.
fn offset_s(text: &str) -> Option<i64> {
    let sign = match text.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let (hours, rest) = number(&text[1..], 2)?;
    let (minutes, _) = number(rest.strip_prefix(':').unwrap_or(rest), 2)?;
    Some(sign * (hours * 60 + minutes) * 60)
}

/// A number of exactly so many digits, and what comes after.
fn number(text: &str, digits: usize) -> Option<(i64, &str)> {
    let (number, rest) = text.split_at_checked(digits)?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    Some((number.parse().ok().filter(|_| is_number)?, rest))
}

/// In the Gregorian calendar. Years are counted from March, so that a leap day is the last of one.
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let years = if month > 2 { year } else { year - 1 };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let leap_days = years / 4 - years / 100 + years / 400;
    // The days from the first of March of the year 0 to the epoch.
    Some(years * 365 + leap_days + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_795_738_916;

    fn at(seconds: u64, fraction_ns: u64) -> Option<Stamp> {
        let wall_ns = seconds * NS_PER_S + fraction_ns;
        Some(Stamp { wall_ns, whole_second: false })
    }

    #[test]
    fn every_way_to_write_a_time_is_read() {
        let of_consul = at_begin;
        assert_eq!(of_etcd("2026-11-27 00:21:56.220033 I | raft: x"), at(SECOND, 220_033_000));
        assert_eq!(
            of_etcd("raft2026/11/27 00:21:56 INFO: x"),
            Some(Stamp { wall_ns: SECOND * NS_PER_S, whole_second: true })
        );
        let json = |ts| of_etcd(&format!(r#"{{"level":"info","ts":"{ts}","msg":"x"}}"#));
        assert_eq!(json("2026-11-27T00:21:56.094750Z"), at(SECOND, 94_750_000));
        assert_eq!(json("2026-11-27T09:21:56.094750+0900"), at(SECOND, 94_750_000));
        assert_eq!(json("2026-11-26T20:51:56.094-0330"), at(SECOND, 94_000_000));
        assert_eq!(of_consul("    2026-11-27T00:21:56.552Z [INFO]  x"), at(SECOND, 552_000_000));
        assert_eq!(at_begin("2026-11-27T01:21:56.9+01:00 [main] INFO x"), at(SECOND, 900_000_000));
        assert_eq!(of_redis("36:X 27 Nov 2026 00:21:56.659 # x"), at(SECOND, 659_000_000));
    }

    #[test]
    fn what_is_no_time_is_not_taken_for_one() {
        for line in [
            "",
            "[WARNING] Deprecated '--logger=capnslog' flag is set",
            "java.net.SocketTimeoutException: Read timed out",
            "\tat java.base/java.lang.Thread.run(Thread.java:840)",
            "00:23:32.950 [main] INFO x",
            "2026-13-27 00:21:56.2 x",
            "2026-11-27 24:21:56.2 x",
            "2026-11-27",
            "+026-11-27 00:21:56.2 x",
            "{\"level\":\"info\"}",
            "1965-11-27 00:21:56.2 x",
            "äöü",
        ] {
            assert_eq!(of_etcd(line), None, "{line}");
            assert_eq!(of_redis(line), None, "{line}");
        }
        assert_eq!(of_redis("36:X 27 Nob 2026 00:24:45.659 # x"), None);
    }

    #[test]
    fn days_are_counted_through_leap_years() {
        for (date, days) in [
            ((1970, 1, 1), 0),
            ((1970, 3, 1), 59),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2024, 2, 29), 19_782),
            ((2024, 12, 31), 20_088),
            ((2025, 1, 1), 20_089),
            ((2100, 3, 1), 47_541),
        ] {
            let (year, month, day) = date;
            assert_eq!(days_since_epoch(year, month, day), Some(days), "{date:?}");
        }
    }

    #[test]
    fn a_whole_second_is_told_more_closely_by_the_line_above_it() {
        let coarse = Stamp { wall_ns: 7 * NS_PER_S, whole_second: true };
        assert_eq!(coarse.not_before(7 * NS_PER_S + 5), 7 * NS_PER_S + 5);
        assert_eq!(coarse.not_before(6 * NS_PER_S + 5), 7 * NS_PER_S);
        // A clock that was set back.
        assert_eq!(coarse.not_before(8 * NS_PER_S), 7 * NS_PER_S);
        let fine = Stamp { wall_ns: 7 * NS_PER_S + 1, whole_second: false };
        assert_eq!(fine.not_before(7 * NS_PER_S + 5), 7 * NS_PER_S + 1);
    }
}
