//! verdict.json, which docs/verdict.schema.json describes.

#[cfg(test)]
mod schema;

use locktest_analyzer::Verdict;
use serde::Serialize;

use crate::text::is_invisible;

/// The verdict as indented JSON, with a newline at the end.
pub fn render_json(verdict: &Verdict) -> String {
    as_json(verdict)
}

/// Indented JSON with a newline at the end, in which nothing moves a cursor or reorders a line.
///
/// # Panics
/// If the value's serializer fails, or a map of it has a key that is not a string.
pub fn as_json<T: Serialize + ?Sized>(value: &T) -> String {
    let json = serde_json::to_string_pretty(value)
        .expect("what is reported has string keys, and its derived serializers cannot fail");
    let mut out = String::with_capacity(json.len() + 1);
    for letter in json.chars() {
        // Outside of strings there are no others than line feeds.
        match is_invisible(letter) && letter != '\n' {
            true => out.extend(
                letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")),
            ),
            false => out.push(letter),
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_json_is_the_verdict_with_a_newline_at_the_end() {
        for verdict in [testing::held(), testing::violated(), testing::undecided()] {
            let json = render_json(&verdict);
            assert!(json.ends_with("}\n"));
            let read: Verdict = serde_json::from_str(&json).expect("a verdict");
            assert_eq!((read.outcome, read.properties), (verdict.outcome, verdict.properties));
            assert_eq!(read.violations, verdict.violations);
            assert_eq!(read.violation_counts, verdict.violation_counts);
        }
    }

    #[test]
    fn what_would_reorder_a_line_is_escaped_and_comes_back() {
        let verdict =
            Verdict { summary: "\u{202e}\u{9b}\u{e0001}\u{7f}é".into(), ..testing::held() };
        let json = render_json(&verdict);
        assert!(json.contains(r#""\u202e\u009b\udb40\udc01\u007fé""#), "{json}");
        let read: Verdict = serde_json::from_str(&json).expect("a verdict");
        assert_eq!(read.summary, verdict.summary);
    }

    #[test]
    fn classes_are_kebab_case_as_values_and_as_keys() {
        let json = render_json(&testing::violated());
        assert!(json.contains(r#""class": "double-grant""#));
        assert!(json.contains(r#""lost-update": 2"#));
    }
}
