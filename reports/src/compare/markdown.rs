//! A comparison in Markdown, for a page or a job's summary.

use std::fmt::Write;

use super::{Comparison, Table};
use crate::markdown::escaped;

/// Who is compared, what differs, and every table.
pub fn render_comparison_markdown(comparison: &Comparison) -> String {
    let mut text = format!("# locktest compare: {}\n\n", comparison.of.noun());
    for subject in &comparison.subjects {
        let (name, what) = (escaped(&subject.name), escaped(&subject.what));
        let _ = writeln!(text, "- **{}** {name}: {what}", subject.letter);
        for difference in &subject.differences {
            let _ = writeln!(text, "  - {}", escaped(difference));
        }
    }
    for table in &comparison.tables {
        render(comparison, table, &mut text);
    }
    for (title, entries) in [("Notes", &comparison.notes), ("Regressions", &comparison.regressions)]
    {
        if !entries.is_empty() {
            let _ = writeln!(text, "\n## {title}\n");
        }
        for entry in entries {
            let _ = writeln!(text, "- {}", escaped(entry));
        }
    }
    text
}

fn render(comparison: &Comparison, table: &Table, text: &mut String) {
    let _ = writeln!(text, "\n## {}\n", escaped(&table.title));
    if let Some(note) = &table.note {
        let _ = writeln!(text, "{}\n", escaped(note));
    }
    let letters: Vec<&str> =
        comparison.subjects.iter().map(|subject| subject.letter.as_str()).collect();
    let _ = writeln!(text, "| | {} |", letters.join(" | "));
    let _ = writeln!(text, "|---|{}", "--:|".repeat(letters.len()));
    for row in &table.rows {
        let cells: Vec<String> = row.cells.iter().map(|cell| escaped(&cell.whole_text())).collect();
        let _ = writeln!(text, "| {} | {} |", escaped(&row.name), cells.join(" | "));
    }
}
