//! A table as every renderer shows it.

use super::summary::Figure;

/// What stands in place of the figures of a store that could not be had.
pub(super) const NOT_MEASURED: &str = "not measured, see the remarks";

/// Columns of figures in groups of rows.
pub(super) struct Table {
    pub(super) title: String,
    /// What it counts, or where it comes from.
    pub(super) note: Option<String>,
    /// What the columns' headings are.
    pub(super) columns_are: &'static str,
    pub(super) columns: Vec<String>,
    /// Beside them, those of the paper; empty if there are none.
    pub(super) paper_columns: Vec<String>,
    pub(super) groups: Vec<Group>,
}

/// The rows of one store.
pub(super) struct Group {
    pub(super) name: String,
    /// Whether the store could not be had. The remarks say why.
    pub(super) is_missing: bool,
    pub(super) rows: Vec<Row>,
}

/// One figure by column.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) cells: Vec<Entry>,
    pub(super) paper: Vec<Option<f64>>,
}

/// What stands in a place.
pub(super) enum Entry {
    /// Nothing was measured.
    None,
    /// A figure with its unit's number of decimals.
    Figure(Figure, usize),
    /// Words.
    Text(String),
}

impl Entry {
    pub(super) fn of(figure: Option<Figure>) -> Entry {
        figure.map_or(Entry::None, |figure| Entry::Figure(figure, 2))
    }

    pub(super) fn with_decimals(figure: Option<Figure>, decimals: usize) -> Entry {
        figure.map_or(Entry::None, |figure| Entry::Figure(figure, decimals))
    }

    /// The figure itself.
    pub(super) fn value(&self) -> String {
        match self {
            Entry::None => "-".into(),
            Entry::Figure(figure, decimals) => number(figure.median, *decimals),
            Entry::Text(text) => text.clone(),
        }
    }

    /// How far its repeats lie apart, such as `±4%`.
    pub(super) fn spread(&self) -> String {
        match self {
            Entry::Figure(figure, _) => {
                figure.spread_percent().map(|percent| format!("±{percent:.0}%")).unwrap_or_default()
            }
            Entry::None | Entry::Text(_) => String::new(),
        }
    }

    /// The extremes, in words; empty of a single repeat.
    pub(super) fn range(&self) -> String {
        match self {
            Entry::Figure(figure, decimals) if figure.repeats > 1 => format!(
                "{} to {} in {} repeats",
                number(figure.least, *decimals),
                number(figure.greatest, *decimals),
                figure.repeats
            ),
            _ => String::new(),
        }
    }
}

/// With no decimals from a thousand on, where they are noise.
pub(super) fn number(value: f64, decimals: usize) -> String {
    let decimals = if value.abs() >= 1000.0 { 0 } else { decimals };
    format!("{value:.decimals$}")
}
