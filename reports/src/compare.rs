//! Runs or benches side by side: what they were told, what they came to, and how long acquires took
//! against the first.
//!
//! [`Comparison`] is what every renderer shows, and, as JSON, what machines read.

mod benches;
mod bootstrap;
mod html;
mod markdown;
mod runs;
mod terminal;
#[cfg(test)]
mod tests;

use locktest_history::Backend;
use serde::Serialize;

pub use benches::{BenchToCompare, compare_benches};
pub use html::render_comparison_html;
pub use markdown::render_comparison_markdown;
pub use runs::{RunToCompare, compare_runs};
pub use terminal::render_comparison;

use crate::wording::Tone;
use bootstrap::ratio;

/// The version of the comparison as JSON.
const COMPARISON_SCHEMA_VERSION: u32 = 1;

/// Two runs or more, or two benches or more, side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    schema_version: u32,
    of: Kind,
    /// What is compared; the first is the baseline.
    subjects: Vec<Subject>,
    /// One column for each subject.
    tables: Vec<Table>,
    /// What limits the comparison, a sentence each.
    notes: Vec<String>,
    /// What is slower than the baseline by more than was allowed, a sentence each.
    pub regressions: Vec<String>,
    /// How many figures of acquires could be held against the baseline's.
    pub figures_compared: usize,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Runs,
    Benches,
}

/// One of those that are compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Subject {
    /// How tables call it, such as `A`.
    letter: String,
    /// Its directory.
    name: String,
    /// What it is, in a line.
    what: String,
    /// What it was told otherwise than the first.
    differences: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Table {
    title: String,
    note: Option<String>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Row {
    name: String,
    /// One for each subject.
    cells: Vec<Cell>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Cell {
    /// As tables show it.
    text: String,
    /// The figure itself.
    value: Option<f64>,
    /// Against the first; `None` of the first, and where one of the two has no figure.
    ratio: Option<Ratio>,
    #[serde(skip)]
    tone: Option<Tone>,
}

/// A figure against that of the first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Ratio {
    to_first: f64,
    /// 95 %, from the repeats; `None` if one of the two has a single repeat.
    interval: Option<Interval>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Interval {
    from: f64,
    to: f64,
    /// Whether 1 is outside, so that chance alone does not explain the ratio.
    excludes_one: bool,
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Kind::Runs => "runs",
            Kind::Benches => "benches",
        }
    }
}

impl Cell {
    fn words(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), value: None, ratio: None, tone: None }
    }

    fn count(n: u64) -> Cell {
        Cell { value: Some(n as f64), ..Cell::words(n.to_string()) }
    }

    /// A figure and its ratio, such as `4.10 x1.20 [1.10, 1.31]*`.
    fn whole_text(&self) -> String {
        match &self.ratio {
            Some(ratio) => format!("{} {}", self.text, ratio.text()),
            None => self.text.clone(),
        }
    }
}

impl Ratio {
    fn text(&self) -> String {
        let to_first = format!("x{:.2}", self.to_first);
        match self.interval {
            Some(Interval { from, to, excludes_one }) => {
                let mark = if excludes_one { "*" } else { "" };
                format!("{to_first} [{from:.2}, {to:.2}]{mark}")
            }
            None => to_first,
        }
    }
}

/// A row of figures, each in some repeats, against the first.
fn figures(name: String, repeats: &[Vec<f64>]) -> Row {
    let first = repeats.first().map_or(&[][..], Vec::as_slice);
    let cells = repeats.iter().enumerate().map(|(place, values)| {
        let value = bootstrap::median(values);
        let ratio = (place > 0).then(|| ratio(first, values)).flatten();
        let text = value.map_or("-".to_owned(), number);
        Cell { text, value, ratio, tone: None }
    });
    Row { name, cells: cells.collect() }
}

/// Two decimals, one from a hundred on, none from a thousand on.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        1000.0.. => 0,
        100.0.. => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// `A` to `Z`, then `#27`.
fn letter(place: usize) -> String {
    match u8::try_from(place) {
        Ok(place @ 0..26) => char::from(b'A' + place).to_string(),
        _ => format!("#{}", place + 1),
    }
}

/// Holds figures of acquires against a limit.
struct Gate {
    /// By how much a later one may be slower, in percent; `None` if nothing is to fail.
    above_percent: Option<f64>,
    regressions: Vec<String>,
    compared: usize,
}

impl Gate {
    fn new(above_percent: Option<f64>) -> Gate {
        Gate { above_percent, regressions: Vec::new(), compared: 0 }
    }

    /// Looks at a row of figures of which less is better. A later one of which `must_have` is true has
    /// lost something if it has no figure and the first has one.
    fn look(&mut self, what: &str, row: &Row, must_have: impl Fn(usize) -> bool) {
        let Some(above_percent) = self.above_percent else { return };
        let Some(first) = row.cells.first().and_then(|cell| cell.value) else { return };
        for (place, cell) in row.cells.iter().enumerate().skip(1) {
            let letter = letter(place);
            let Some(value) = cell.value else {
                if must_have(place) {
                    self.compared += 1;
                    self.regressions
                        .push(format!("{letter} has no {what}; A has {}", number(first)));
                }
                continue;
            };
            self.compared += 1;
            if value > first * (1.0 + above_percent / 100.0) {
                let more = if first > 0.0 {
                    format!("{:.0} % more than", (value / first - 1.0) * 100.0)
                } else {
                    "more than".to_owned()
                };
                self.regressions.push(format!(
                    "{what}: {} in {letter}, {more} {} in A",
                    number(value),
                    number(first)
                ));
            }
        }
    }
}

/// Such as `etcd 3.5.16, lock-rpc`.
fn store(backend: Backend, version: &str, used_as: &str) -> String {
    format!("{backend} {version}, {used_as}")
}
