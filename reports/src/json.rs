//! verdict.json, which docs/verdict.schema.json describes.

#[cfg(test)]
mod schema;

use locktest_analyzer::Verdict;

/// The verdict as indented JSON, with a newline at the end.
pub fn render_json(verdict: &Verdict) -> String {
    let mut json = serde_json::to_string_pretty(verdict)
        .expect("a verdict has no map key that is not a string, and its serializers cannot fail");
    json.push('\n');
    json
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
    fn classes_are_kebab_case_as_values_and_as_keys() {
        let json = render_json(&testing::violated());
        assert!(json.contains(r#""class": "double-grant""#));
        assert!(json.contains(r#""lost-update": 2"#));
    }
}
