//! JUnit XML, as CI servers read it: a suite for the run, a case for each property.

#[cfg(test)]
mod tests;

use std::io;

use locktest_analyzer::{PropertyOutcome, Verdict, Violation};
use locktest_history::History;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use crate::findings::{self, Finding};
use crate::text::{utc, visible};
use crate::wording;

/// A text is cut to this length.
const MAX_TEXT: usize = 2000;

/// The verdict as a JUnit report. A violated property is a failure, an undecided one an error, one
/// that was not put to the test is skipped; one that needs fencing passes with a note.
pub fn render_junit(verdict: &Verdict, history: &History) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    document(&mut writer, verdict, history).expect("writing to memory cannot fail");
    let mut xml = String::from_utf8(writer.into_inner()).expect("only strings were written");
    xml.push('\n');
    xml
}

type Xml = Writer<Vec<u8>>;

fn document(xml: &mut Xml, verdict: &Verdict, history: &History) -> io::Result<()> {
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let totals = totals(verdict);
    let totals = totals.iter().map(|(name, value)| (*name, value.as_str()));
    let report = xml.create_element("testsuites").with_attribute(("name", "locktest"));
    report
        .with_attributes(totals.clone())
        .write_inner_content(|xml| suite(xml, totals, verdict, history))?;
    Ok(())
}

/// The attributes that the report and its one suite share.
fn totals(verdict: &Verdict) -> [(&'static str, String); 5] {
    let outcomes = findings::by_property(verdict).map(|finding| finding.property.outcome);
    let number = |wanted: &[PropertyOutcome]| {
        outcomes.iter().filter(|outcome| wanted.contains(outcome)).count().to_string()
    };
    [
        ("tests", outcomes.len().to_string()),
        ("failures", number(&[PropertyOutcome::Violated])),
        ("errors", number(&[PropertyOutcome::Undecided])),
        ("skipped", number(&[PropertyOutcome::NotTested, PropertyOutcome::Unsupported])),
        ("time", time_s(verdict)),
    ]
}

fn suite<'a>(
    xml: &mut Xml,
    totals: impl Iterator<Item = (&'a str, &'a str)>,
    verdict: &Verdict,
    history: &History,
) -> io::Result<()> {
    let name = visible(&format!("{} {}", verdict.backend, verdict.version), MAX_TEXT);
    // An instant in UTC, as the format has it: without a zone.
    let started = utc(history.run.started_at_unix_s);
    let started = started.trim_end_matches(" UTC").replacen(' ', "T", 1);
    let class = format!("{}.{}", verdict.backend, wording::nemesis(&history.run.plan));
    let suite = xml.create_element("testsuite").with_attribute(("name", name.as_str()));
    suite
        .with_attributes(totals)
        .with_attribute(("timestamp", started.as_str()))
        .write_inner_content(|xml| {
            xml.create_element("properties").write_inner_content(|xml| properties(xml, verdict))?;
            for finding in findings::by_property(verdict) {
                case(xml, &class, &finding, verdict)?;
            }
            if !verdict.warnings.is_empty() {
                let warnings: Vec<String> =
                    verdict.warnings.iter().map(|warning| format!("warning: {warning}")).collect();
                text(xml, "system-out", &warnings.join("; "))?;
            }
            Ok(())
        })?;
    Ok(())
}

fn properties(xml: &mut Xml, verdict: &Verdict) -> io::Result<()> {
    let values = [
        ("seed", verdict.seed.to_string()),
        ("command", verdict.command.clone()),
        ("run_id", verdict.run_id.clone()),
    ];
    for (name, value) in values {
        xml.create_element("property")
            .with_attributes([("name", name), ("value", visible(&value, MAX_TEXT).as_str())])
            .write_empty()?;
    }
    Ok(())
}

fn case(xml: &mut Xml, class: &str, finding: &Finding, verdict: &Verdict) -> io::Result<()> {
    let time_s = time_s(verdict);
    let attributes = [("name", finding.name), ("classname", class), ("time", time_s.as_str())];
    let case = xml.create_element("testcase").with_attributes(attributes);
    let why = visible(&finding.property.why, MAX_TEXT);
    let message = ("message", why.as_str());
    match finding.property.outcome {
        PropertyOutcome::Held => case.write_empty()?,
        PropertyOutcome::Violated => case.write_inner_content(|xml| {
            let class = finding.first.map_or("violated", |first| first.class.name());
            let failure = xml.create_element("failure").with_attributes([message, ("type", class)]);
            match finding.first {
                Some(first) => failure.write_text_content(BytesText::new(&sentence(first)))?,
                None => failure.write_empty()?,
            };
            Ok(())
        })?,
        PropertyOutcome::Undecided => case.write_inner_content(|xml| {
            let error = xml.create_element("error");
            error.with_attributes([message, ("type", "undecided")]).write_empty()?;
            Ok(())
        })?,
        PropertyOutcome::NotTested | PropertyOutcome::Unsupported => {
            case.write_inner_content(|xml| {
                xml.create_element("skipped").with_attribute(message).write_empty()?;
                Ok(())
            })?
        }
        PropertyOutcome::NeedsFencing => case
            .write_inner_content(|xml| text(xml, "system-out", &format!("needs fencing: {why}")))?,
    };
    Ok(())
}

/// A violation in one sentence, with the fault that was in force.
fn sentence(violation: &Violation) -> String {
    let during = violation.during.as_ref().map(|fault| format!(" (during {fault})"));
    let during = during.unwrap_or_default();
    visible(&format!("{}: {}{during}", findings::title(violation), violation.why), MAX_TEXT)
}

fn text(xml: &mut Xml, element: &str, text: &str) -> io::Result<()> {
    let text = visible(text, MAX_TEXT);
    xml.create_element(element).write_text_content(BytesText::new(&text))?;
    Ok(())
}

/// Every property is decided over the whole run, so the run's time is that of each case.
fn time_s(verdict: &Verdict) -> String {
    format!("{:.3}", verdict.end_ns as f64 / 1e9)
}
