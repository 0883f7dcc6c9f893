//! Words and numbers as every report shows them, and strings from outside made harmless.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Replaces what could move a cursor or reorder a line, and cuts what is too long.
///
/// Line breaks and tabs become spaces. Other control characters, direction marks and zero-width
/// characters become U+FFFD, so that one sees that something was there.
pub(crate) fn visible(text: &str, max_chars: usize) -> String {
    let mut chars = text.chars().map(|c| match c {
        '\n' | '\r' | '\t' => ' ',
        c if is_invisible(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    });
    let mut out: String = chars.by_ref().take(max_chars).collect();
    if chars.next().is_some() {
        out.push_str("...");
    }
    out
}

/// The same in ASCII, one column per character; anything else becomes `?`.
pub(crate) fn ascii(text: &str, max_chars: usize) -> String {
    visible(text, max_chars).chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

/// A path without what could move a cursor or reorder a line, uncut, so that it can be copied.
pub fn visible_path(path: &Path) -> String {
    visible(&path.display().to_string(), usize::MAX)
}

/// A directory's name in a link: of its bytes, only those stay that mean nothing in an address.
pub(crate) fn percent_encoded(name: &OsStr) -> String {
    let mut out = String::new();
    for byte in name.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(*byte));
            }
            byte => out += &format!("%{byte:02X}"),
        }
    }
    out
}

/// Whether a character could move a cursor or reorder a line, or hides.
pub(crate) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Breaks a text into lines of at most `width` characters, at spaces where it has any.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + word.len() > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        while word.len() > width {
            let rest = word.split_off(width);
            lines.push(word.into_iter().collect());
            word = rest;
        }
        used += word.len();
        line.extend(word);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// An instant of the run: `4.31 s`.
pub(crate) fn seconds(ns: u64) -> String {
    format!("{:.2} s", ns as f64 / 1e9)
}

/// A length of time: `412.3 ms`, or `3.02 s` from one second on.
pub(crate) fn duration(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.1} ms") } else { format!("{:.2} s", ms / 1000.0) }
}

/// The same of nanoseconds.
pub(crate) fn duration_ns(ns: u64) -> String {
    duration(ns as f64 / 1e6)
}

/// A cell of a table whose heading says milliseconds: one decimal below 1000, none above.
pub(crate) fn milliseconds(ms: Option<f64>) -> String {
    match ms {
        Some(ms) if ms.is_finite() && ms < 1000.0 => format!("{ms:.1}"),
        Some(ms) if ms.is_finite() => format!("{ms:.0}"),
        _ => "-".to_owned(),
    }
}

/// An amount of data: `812 B`, `4.1 kB`, `81.2 MB`; a kB is 1000 bytes.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let (mut amount, mut unit) = (bytes as f64, "B");
    for larger in UNITS {
        // What would be rounded to 1000.0 is the next unit's 1.0.
        if amount < 999.95 {
            break;
        }
        (amount, unit) = (amount / 1000.0, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{amount:.1} {unit}") }
}

/// `1 acquire`, `2 acquires`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// A date and time of day in UTC, from seconds since the Unix epoch.
///
/// The calendar is Howard Hinnant's `civil_from_days`.
pub(crate) fn utc(unix_s: u64) -> String {
    let days = unix_s / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let second = unix_s % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_hides_or_reorders_shows_that_it_did() {
        assert_eq!(
            visible("a\u{202e}b\u{1b}[2J\nc\u{200b}", 80),
            "a\u{fffd}b\u{fffd}[2J c\u{fffd}"
        );
        assert_eq!(ascii("n\u{e9}\u{202e}1", 80), "n??1");
    }

    #[test]
    fn a_long_text_is_cut_and_a_text_that_just_fits_is_not() {
        assert_eq!(visible("abcdef", 5), "abcde...");
        assert_eq!(visible("abcde", 5), "abcde");
    }

    #[test]
    fn lines_break_at_spaces_and_a_word_that_is_too_long_is_split() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a abcdefgh b", 3), ["a", "abc", "def", "gh", "b"]);
        assert_eq!(wrap("abc def", 3), ["abc", "def"]);
        assert_eq!(wrap("", 3), [""]);
    }

    #[test]
    fn times_have_the_decimals_that_their_size_calls_for() {
        assert_eq!(seconds(4_310_000_000), "4.31 s");
        assert_eq!(duration(412.34), "412.3 ms");
        assert_eq!(duration(3020.0), "3.02 s");
        assert_eq!(milliseconds(Some(999.94)), "999.9");
        assert_eq!(milliseconds(Some(1234.5)), "1234");
        assert_eq!(milliseconds(Some(f64::NAN)), "-");
        assert_eq!(milliseconds(None), "-");
    }

    #[test]
    fn an_amount_of_data_has_the_unit_that_its_size_calls_for() {
        assert_eq!([0, 999, 1000].map(bytes), ["0 B", "999 B", "1.0 kB"]);
        assert_eq!([4_140, 999_949, 999_950].map(bytes), ["4.1 kB", "999.9 kB", "1.0 MB"]);
        assert_eq!([81_234_567, 1_500_000_000].map(bytes), ["81.2 MB", "1.5 GB"]);
        assert_eq!(bytes(u64::MAX), "18446744.1 TB");
    }

    #[test]
    fn the_calendar_knows_leap_days() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(1_709_210_096), "2024-02-29 12:34:56 UTC");
        assert_eq!(utc(4_107_542_399), "2100-02-28 23:59:59 UTC");
        assert_eq!(utc(4_107_542_400), "2100-03-01 00:00:00 UTC");
    }
}
