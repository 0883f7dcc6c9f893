use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::testing;

/// Labels by name.
pub(crate) type Labels = BTreeMap<String, String>;

/// Samples by metric, in the order of the text.
pub(crate) type Parsed = BTreeMap<String, Vec<(Labels, f64)>>;

/// Reads the text by the grammar of the format, version 0.0.4, and by what the textfile collector asks
/// for besides: one HELP and one TYPE before the samples of each metric, and no sample twice.
///
/// The parsers on crates.io split labels at every comma, so they cannot tell whether values are
/// escaped.
pub(crate) fn parse(text: &str) -> Result<Parsed, String> {
    let mut parsed = Parsed::new();
    let mut seen = BTreeSet::new();
    let mut current: Option<(String, String)> = None;
    let mut helped: Option<String> = None;
    if !text.ends_with('\n') {
        return Err("the last line has no end".into());
    }
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').ok_or("HELP without words")?;
            if words.is_empty() || words.contains('\\') || parsed.contains_key(name) {
                return Err(line.into());
            }
            helped = Some(name.into());
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').ok_or("TYPE without a type")?;
            if helped.take().as_deref() != Some(name) || !["gauge", "counter"].contains(&kind) {
                return Err(line.into());
            }
            if (kind == "counter") != name.ends_with("_total") {
                return Err(format!("{name} is a {kind}"));
            }
            current = Some((name.into(), kind.into()));
            parsed.insert(name.into(), Vec::new());
        } else {
            let (name, labels, value) = sample(line)?;
            if current.as_ref().map(|(name, _)| name) != Some(&name)
                || !seen.insert((name.clone(), labels.clone()))
            {
                return Err(format!("out of place or twice: {line}"));
            }
            parsed.entry(name).or_default().push((labels, value));
        }
    }
    Ok(parsed)
}

fn sample(line: &str) -> Result<(String, Labels, f64), String> {
    let wrong = || format!("no sample: {line}");
    let end = line.find(|letter| !is_of_name(letter)).ok_or_else(wrong)?;
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(wrong());
    }
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or_else(wrong)?;
            if label.is_empty() || !label.chars().all(is_of_name) {
                return Err(wrong());
            }
            let (value, after) = unquoted(after).ok_or_else(wrong)?;
            if labels.insert(label.into(), value).is_some() {
                return Err(wrong());
            }
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => {
                    rest = after.strip_prefix('}').ok_or_else(wrong)?;
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').ok_or_else(wrong)?;
    let value: f64 = value.parse().map_err(|_| wrong())?;
    Ok((name.into(), labels, value))
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// A label's value up to its quote, and what comes after.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                letter @ ('\\' | '"') => letter,
                _ => return None,
            }),
            letter => value.push(letter),
        }
    }
    None
}

fn metrics(verdict: &Verdict) -> Parsed {
    let text = render_prometheus(verdict, &testing::history(5));
    parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The value of the one sample that has these labels.
fn value(parsed: &Parsed, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let samples = parsed.get(&format!("locktest_{name}"))?;
    let wanted: Labels =
        labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    samples.iter().find(|(labels, _)| *labels == wanted).map(|(_, value)| *value)
}

#[test]
fn a_violated_run() {
    let text = render_prometheus(&testing::violated(), &testing::history(5));
    insta::assert_snapshot!("violated", text);
}

#[test]
fn every_verdict_follows_the_grammar_and_has_one_outcome_a_property() {
    for verdict in testing::verdicts() {
        let parsed = metrics(&verdict);
        let outcomes = &parsed["locktest_property_outcome"];
        assert_eq!(outcomes.len(), 4 * 6);
        assert_eq!(outcomes.iter().map(|(_, value)| value).sum::<f64>(), 4.0);
        let outcome = &verdict.properties.safety.outcome;
        let safety = [("property", "safety"), ("outcome", outcome.name())];
        assert_eq!(value(&parsed, "property_outcome", &safety), Some(1.0));
    }
}

#[test]
fn values_are_in_base_units_and_what_is_unknown_is_missing() {
    let parsed = metrics(&testing::violated());
    let double = [("class", "double-grant")];
    assert_eq!(value(&parsed, "violations_total", &double), Some(7.0));
    assert_eq!(value(&parsed, "violations_total", &[("class", "deadlock")]), Some(0.0));
    assert_eq!(value(&parsed, "acquires_total", &[("outcome", "ok")]), Some(812.0));
    assert_eq!(value(&parsed, "longest_gap_seconds", &[]), Some(3.15));
    assert_eq!(value(&parsed, "faults_total", &[("effect", "bit")]), Some(1.0));
    assert_eq!(value(&parsed, "run_start_timestamp_seconds", &[]), Some(1_760_000_000.0));
    assert_eq!(value(&parsed, "node_cpu_seconds", &[("node", "n1")]), Some(23.6));
    let median = [("phase", "quiet"), ("quantile", "0.5")];
    let median_s = value(&parsed, "acquire_latency_seconds", &median).expect("a median");
    assert!((median_s - 0.15214).abs() < 1e-9, "{median_s}");

    let parsed = metrics(&testing::undecided());
    for missing in ["acquire_latency_seconds", "longest_gap_seconds", "node_cpu_seconds"] {
        assert!(!parsed.contains_key(&format!("locktest_{missing}")), "{missing}");
    }
}

#[test]
fn a_label_comes_back_as_it_was_but_for_what_moves_a_cursor() {
    let (hostile, shown) = ("a\"} 1\nb\\n{x=\"y\",}\\ é\u{0}", "a\"} 1 b\\n{x=\"y\",}\\ é\u{fffd}");
    let mut verdict = testing::held();
    verdict.version = hostile.into();
    verdict.run_id = hostile.into();
    verdict.cost[0].node = hostile.into();
    let parsed = metrics(&verdict);
    let (labels, _) = &parsed["locktest_run_info"][0];
    assert_eq!((labels["version"].as_str(), labels["run_id"].as_str()), (shown, shown));
    assert_eq!(value(&parsed, "node_cpu_seconds", &[("node", shown)]), Some(23.6));
}

#[test]
fn two_nodes_of_one_name_make_one_sample() {
    let mut verdict = testing::held();
    verdict.cost[1].node = verdict.cost[0].node.clone();
    assert_eq!(metrics(&verdict)["locktest_node_cpu_seconds"].len(), 4);
}

#[test]
fn a_value_that_is_no_number_is_left_out() {
    let mut verdict = testing::held();
    verdict.longest_gap_ms = Some(f64::NAN);
    assert!(!metrics(&verdict).contains_key("locktest_longest_gap_seconds"));
}
