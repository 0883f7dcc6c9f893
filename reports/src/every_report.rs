//! What holds for the reports of all formats: they can be read whatever the run was, and text from
//! outside is nothing but text.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use locktest_analyzer::{ClientLatency, Verdict, Violation};
use locktest_history::{ClientExit, ClientId, ExitCause, History, NodeId, Probe, Record, Run};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use pulldown_cmark::{Event, Options, Parser};
use scraper::{ElementRef, Html};

use crate::background::{Background, FaultCommand};
use crate::testing::{self, Form};

/// A page may have this size, whatever the run was.
const MAX_PAGE: usize = 2_000_000;

/// A run, as reports are made of it.
struct Case {
    verdict: Verdict,
    history: History,
    background: Background,
}

impl Case {
    fn of(verdict: Verdict) -> Case {
        let (mut history, _) = testing::run(5, &verdict, 500);
        let error = Some("no cluster leader".to_owned());
        let probe =
            Probe { begin_ns: testing::at(1.0), end_ns: testing::at(1.1), node: NodeId(0), error };
        let exit = ClientExit {
            time_ns: testing::at(30.0),
            client: ClientId(1),
            cause: ExitCause::Killed(9),
        };
        history.records.extend([Record::Probe(probe), Record::ClientExit(exit)]);
        Case { verdict, history, background: background(&|n| format!("word {n}")) }
    }

    fn page(&self) -> String {
        crate::render_html(&self.verdict, &self.history, &self.background)
    }

    fn block(&self) -> String {
        let style = crate::Style { width: 80, colour: false };
        crate::render_verdict(&self.verdict, &self.history, None, style)
    }

    fn summary(&self) -> String {
        crate::render_markdown(&self.verdict, &self.history)
    }

    fn junit(&self) -> String {
        crate::render_junit(&self.verdict, &self.history)
    }

    fn metrics(&self) -> String {
        crate::render_prometheus(&self.verdict, &self.history)
    }

    fn json(&self) -> String {
        crate::render_json(&self.verdict)
    }

    /// All of them can be read by what reads their format.
    fn can_be_read(&self) {
        let (page, junit, metrics, json) = (self.page(), self.junit(), self.metrics(), self.json());
        assert_eq!(Html::parse_document(&page).errors, [""; 0]);
        assert!(page.len() <= MAX_PAGE, "{} bytes", page.len());
        roxmltree::Document::parse(&junit).unwrap_or_else(|error| panic!("{error}\n{junit}"));
        crate::prometheus::tests::parse(&metrics).expect("metrics");
        let read: Verdict = serde_json::from_str(&json).expect("a verdict");
        assert_eq!(read.summary, self.verdict.summary);
        assert_eq!(read.violations, self.verdict.violations);
        for text in [page, junit, metrics, json, self.block(), self.summary()] {
            shows_all_that_is_in_it(&text);
            assert!(!text.contains("NaN"), "{text}");
        }
    }
}

/// A run with places for words.
struct CaseForm {
    verdict: Form<Verdict>,
    run: Form<Run>,
    records: Vec<Form<Record>>,
}

impl CaseForm {
    fn of(verdict: Verdict) -> CaseForm {
        let Case { verdict, history, .. } = Case::of(verdict);
        let has_words = |record: &&Record| !matches!(record, Record::Event(_));
        CaseForm {
            verdict: Form::of(&verdict),
            run: Form::of(&history.run),
            records: history.records.iter().filter(has_words).map(Form::of).collect(),
        }
    }

    fn filled(&self, text: &dyn Fn(usize) -> String) -> Case {
        let records = self.records.iter().map(|record| record.filled(text)).collect();
        Case {
            verdict: self.verdict.filled(text),
            history: History { run: self.run.filled(text), records, damage: vec![] },
            background: background(text),
        }
    }
}

/// Two commands of each fault of a verdict, and a file.
fn background(text: &dyn Fn(usize) -> String) -> Background {
    let command = |n| {
        let fault = n as u32 / 2 + 1;
        FaultCommand { fault, host: text(n), step: text(n + 1), script: text(n + 2) }
    };
    // No file's name is longer.
    let file = text(0).chars().take(60).collect();
    Background { commands: (0..4).map(command).collect(), analysis: None, files: vec![file] }
}

/// No character moves a cursor or reorders a line.
#[track_caller]
fn shows_all_that_is_in_it(text: &str) {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if let Some((at, hidden)) = text.char_indices().find(|(_, c)| hidden(*c)) {
        let before: String = text[..at].chars().rev().take(60).collect();
        panic!("{hidden:?} after {:?}", before.chars().rev().collect::<String>());
    }
}

/// Every element with its parent and each of its attributes. Words may stand only in those attributes
/// that a browser takes for words.
fn elements(page: &str) -> BTreeSet<String> {
    let page = Html::parse_document(page);
    let elements = page.root_element().descendants().filter_map(ElementRef::wrap);
    let described = elements.flat_map(|element| {
        let parent = element.parent().and_then(ElementRef::wrap);
        let place = format!(
            "{} in {}",
            element.value().name(),
            parent.map_or("", |parent| parent.value().name())
        );
        let attributes = element.value().attrs().map(|(name, value)| match name {
            "href" => {
                // It has no scheme, so it is an address beside the page.
                assert!(
                    !value.contains(|c: char| !c.is_ascii() || ":\\ <\"'".contains(c)),
                    "{value}"
                );
                name.to_owned()
            }
            "class" | "role" | "style" | "id" => format!("{name}={value}"),
            name => name.to_owned(),
        });
        let attributes: Vec<String> =
            attributes.map(|attribute| format!("{place}: {attribute}")).collect();
        attributes.into_iter().chain([place])
    });
    described.collect()
}

/// What a text in Markdown is made of, but for its words.
fn markup(text: &str) -> Vec<String> {
    let extensions =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES;
    let parts = Parser::new_ext(text, extensions).filter_map(|event| match event {
        Event::Text(_) | Event::SoftBreak => None,
        Event::Code(_) => Some("code".into()),
        Event::Start(tag) => Some(format!("{tag:?}")),
        Event::End(tag) => Some(format!("end {tag:?}")),
        event => Some(format!("{event:?}")),
    });
    parts.collect()
}

/// A harmless word for each of the texts. What was one name twice stays one.
fn harmless(text: &dyn Fn(usize) -> String) -> impl Fn(usize) -> String {
    let known = RefCell::new(BTreeMap::new());
    move |n| {
        let mut known = known.borrow_mut();
        let next = known.len();
        format!("word {}", known.entry(text(n)).or_insert(next))
    }
}

fn no_page_has_more(known: &str, found: &str) {
    let (known, found) = (elements(known), elements(found));
    assert_eq!(found.difference(&known).collect::<Vec<_>>(), [""; 0]);
}

fn same_markup(known: &str, found: &str) {
    let (known, parts) = (markup(known), markup(found));
    let differs = known.iter().zip(&parts).position(|(known, part)| known != part);
    assert_eq!((differs, parts.len()), (None, known.len()), "{found}");
}

/// Reports with these words have nothing that the same reports with harmless words have not.
fn text_is_nothing_but_text(form: &CaseForm, text: &dyn Fn(usize) -> String) {
    let (harmless, hostile) = (form.filled(&harmless(text)), form.filled(text));
    hostile.can_be_read();
    no_page_has_more(&harmless.page(), &hostile.page());
    same_markup(&harmless.summary(), &hostile.summary());
    let shape = |xml: &str| -> Vec<String> {
        let document = roxmltree::Document::parse(xml).expect("well-formed");
        document
            .descendants()
            .filter(|node| node.is_element())
            .map(|node| node.tag_name().name().to_owned())
            .collect()
    };
    assert_eq!(shape(&hostile.junit()), shape(&harmless.junit()));
    let samples = |text: &str| text.lines().count();
    assert_eq!(samples(&hostile.metrics()), samples(&harmless.metrics()));
}

#[test]
fn the_reports_of_every_verdict_can_be_read() {
    for verdict in testing::verdicts() {
        Case::of(verdict).can_be_read();
    }
}

#[test]
fn a_run_without_faults_has_every_report() {
    let mut verdict = testing::held();
    verdict.faults.clear();
    verdict.fault_timing = None;
    let case = Case::of(verdict);
    case.can_be_read();
    assert!(case.page().contains("No fault was applied."));
}

#[test]
fn what_the_analyzer_says_of_a_history_without_an_acquire_has_every_report() {
    let mut history = testing::history(5);
    let nothing = locktest_analyzer::analyze(&history);
    let background = Background::default();
    Case { verdict: nothing, history: history.clone(), background }.can_be_read();
    history.records = Case::of(testing::undecided()).history.records;
    history.records.retain(|record| !matches!(record, Record::Event(_)));
    let verdict = locktest_analyzer::analyze(&history);
    assert_eq!(verdict.counts.acquires_ok, 0);
    Case { verdict, history, background: Background::default() }.can_be_read();
}

#[test]
fn a_run_of_five_hundred_clients_has_every_report() {
    let mut verdict = testing::violated();
    let (history, holds) = testing::run(500, &verdict, 5);
    verdict.latency.acquire_by_client = (1..=500)
        .map(|n| ClientLatency {
            client: format!("c{n}"),
            whole_run: testing::percentiles(n, 150.0),
        })
        .collect();
    assert!(holds.len() > 1000, "{}", holds.len());
    Case { verdict, history, background: Background::default() }.can_be_read();
}

#[test]
fn ten_thousand_violations_have_every_report() {
    let mut verdict = testing::violated();
    let examples = verdict.violations.clone();
    verdict.violations = (0..10_000)
        .map(|n| Violation {
            key: format!("lock-{n}"),
            time_ns: testing::at(n as f64 / 200.0),
            ..examples[n % 2].clone()
        })
        .collect();
    for count in verdict.violation_counts.values_mut() {
        *count = 5000;
    }
    let mut case = Case::of(verdict);
    case.history.run.plan.keys = (0..10_000).map(|n| format!("lock-{n}")).collect();
    case.can_be_read();
    assert!(case.block().lines().count() < 100, "{}", case.block());
}

const HOSTILE: [&str; 14] = [
    "<script>alert(1)</script></title></style></textarea></svg><img src=x onerror=alert(1)>",
    "\" onmouseover=\"alert(1)\" x='y' ' onfocus='alert(2)",
    "]]></failure></testsuite><testsuite name=\"x\"/>",
    "<!-- --!> <![CDATA[ <?xml version=\"1.0\"?> <!DOCTYPE x> &lt; &#60; &amp &nbsp",
    "\u{202e}\u{2066}gnihton\u{2069}\u{200f}\u{200b}\u{2028}\u{feff}",
    "\u{0}\u{1}\u{7f}\u{85}\u{9b}31m\u{1b}[2J\u{1b}]0;title\u{7}\r\n\t\u{b}\u{c}",
    "| a | b |\n|---|---|\n| `c` ``` ~~~ |",
    "# heading\n\n- item\n\n> quote\n\n    code\n\n---\n\n***\n\n===",
    "- item",
    "> quote",
    "1. one",
    "    code",
    "[x](javascript:alert(1)) ![y](z) <https://example.org> **b** _i_ ~~s~~ [^1]\n\n[^1]: note",
    "a\"} 1\nlocktest_run_info{x=\"y\\",
];

#[test]
fn whatever_is_said_from_outside_is_nothing_but_text_in_every_report() {
    let form = CaseForm::of(testing::split_redlock());
    for text in HOSTILE {
        text_is_nothing_but_text(&form, &|_| text.to_owned());
    }
    for verdict in testing::verdicts() {
        let form = CaseForm::of(verdict);
        text_is_nothing_but_text(&form, &|n| HOSTILE[n % HOSTILE.len()].to_owned());
    }
}

#[test]
fn whatever_a_bench_was_told_is_nothing_but_text() {
    let form = Form::of(&crate::bench::tests::bench());
    for first in 0..HOSTILE.len() {
        let mixed = |n: usize| HOSTILE[(first + n) % HOSTILE.len()].to_owned();
        let (harmless, hostile) = (form.filled(&harmless(&mixed)), form.filled(&mixed));
        let style = crate::Style { width: 80, colour: false };
        shows_all_that_is_in_it(&crate::render_bench(&hostile, style));
        let (page, markdown) =
            (crate::render_bench_html(&hostile), crate::render_bench_markdown(&hostile));
        shows_all_that_is_in_it(&page);
        shows_all_that_is_in_it(&markdown);
        no_page_has_more(&crate::render_bench_html(&harmless), &page);
        same_markup(&crate::render_bench_markdown(&harmless), &markdown);
    }
}

#[test]
fn whatever_the_runs_of_a_comparison_or_a_folder_say_is_nothing_but_text() {
    let forms = [testing::held(), testing::violated()].map(CaseForm::of);
    let reports = |text: &dyn Fn(usize) -> String| {
        let cases = || forms.iter().map(|form| form.filled(text)).enumerate();
        let runs = cases().map(|(n, Case { verdict, history, .. })| crate::RunToCompare {
            name: text(n),
            run: history.run,
            verdict,
            differences: vec![text(n + 1)],
        });
        let comparison = crate::compare_runs(&runs.collect::<Vec<_>>(), Some(1.0));
        let runs = cases().map(|(n, Case { verdict, history, .. })| {
            crate::MatrixRun::of(OsStr::new(&text(n)), true, &history.run, &verdict)
        });
        let unreadable = crate::UnreadableRun::of(OsStr::new(&text(4)), text(5));
        let matrix = crate::Matrix::of(&text(6), &runs.collect::<Vec<_>>(), vec![unreadable]);
        let style = crate::Style { width: 80, colour: false };
        let blocks =
            [crate::render_comparison(&comparison, style), crate::render_matrix(&matrix, style)];
        let pages =
            [crate::render_comparison_html(&comparison), crate::render_matrix_html(&matrix)];
        (blocks, pages, crate::render_comparison_markdown(&comparison))
    };
    for first in 0..HOSTILE.len() {
        let mixed = |n: usize| HOSTILE[(first + n) % HOSTILE.len()].to_owned();
        let (_, known_pages, known_markdown) = reports(&harmless(&mixed));
        let (blocks, pages, markdown) = reports(&mixed);
        for text in blocks.iter().chain(&pages).chain([&markdown]) {
            shows_all_that_is_in_it(text);
        }
        for (known, found) in known_pages.iter().zip(&pages) {
            no_page_has_more(known, found);
        }
        same_markup(&known_markdown, &markdown);
    }
}

#[test]
fn words_of_a_megabyte_are_cut() {
    // Not all of them are that long, so that the test needs no gigabytes.
    let long = |n| match n % 40 {
        0 => "\u{1d54f} &<".repeat(140_000),
        20 => "x".repeat(1_000_000),
        _ => "\"> ".repeat(5000),
    };
    CaseForm::of(testing::violated()).filled(&long).can_be_read();
}

#[test]
fn no_mix_of_signs_is_more_than_text() {
    let form = CaseForm::of(testing::split_redlock());
    let piece = prop_oneof![
        proptest::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
        "[-<>&\"'`|*_#~=+.:!()0-9 \\[\\]\\\\\n\t]{1,6}",
        any::<String>(),
    ];
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) };
    let found = TestRunner::new(config).run(&proptest::collection::vec(piece, 1..6), |pieces| {
        text_is_nothing_but_text(&form, &|n| {
            let (before, after) = pieces.split_at(n % pieces.len());
            [after, before].concat().concat()
        });
        Ok(())
    });
    found.unwrap_or_else(|error| panic!("{error}"));
}
