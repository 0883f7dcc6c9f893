//! The catalogue for people: a line an entry, or one entry in full.

use std::fmt::Write;

use crate::catalog::{Entry, Unshowable};

/// A line an entry, within 100 columns.
pub fn table(entries: &[Entry]) -> String {
    let mut text = line(["id", "backend", "class", "affected -> fixed", "shown"]);
    for entry in entries {
        let versions = format!("{} -> {}", entry.affected, entry.fixed);
        let shown = match &entry.unshowable {
            Some(Unshowable { why, .. }) => format!("no: {why}"),
            None => "yes".into(),
        };
        let backend = entry.backend.to_string();
        text += &line([&entry.id, &backend, entry.class.name(), &versions, &shown]);
    }
    text += "`locktest catalog show ID` has the commands, `locktest catalog run ID` runs them\n";
    text
}

fn line([id, backend, class, versions, shown]: [&str; 5]) -> String {
    format!("{id:<17} {backend:<9} {class:<13} {versions:<35} {shown}\n")
}

/// Everything about an entry, with its commands for one seed.
pub fn details(entry: &Entry, seed: u64) -> String {
    let Entry { id, title, what, source, affected, fixed, class, .. } = entry;
    let mut text = format!("{id}: {title}\n\n{what}\n\n");
    let url = entry.url.as_ref().map(|url| format!(", {url}")).unwrap_or_default();
    let _ = writeln!(text, "source    {source}{url}");
    let _ = writeln!(text, "versions  {affected} -> {fixed}");
    let _ = writeln!(text, "class     {class}");
    if let Some(Unshowable { why, tried }) = &entry.unshowable {
        let _ = writeln!(text, "shown     no: {why}\n\n{tried}");
    }
    for variant in &entry.variants {
        let command = entry.command(variant, seed);
        let _ = write!(text, "\n# shows it: {}\n{command}\n", variant.name);
    }
    if let Some(twin) = &entry.twin {
        let command = entry.twin_command(twin, seed);
        let fenced = if twin.fenced { " by its fencing token" } else { "" };
        let _ = write!(text, "\n# passes{fenced}: {}\n{command}\n", twin.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn every_entry_fits_its_columns_and_a_line_of_100() {
        let entries = Catalog::load().expect("a valid catalogue").entries;
        for line in table(&entries).lines() {
            assert!(line.chars().count() <= 100, "{}: {line}", line.chars().count());
        }
        for entry in &entries {
            let versions = entry.affected.len() + " -> ".len() + entry.fixed.len();
            assert!(entry.id.len() <= 17 && versions <= 35, "{}", entry.id);
        }
    }

    #[test]
    fn the_details_of_an_entry_have_its_commands() {
        let catalog = Catalog::load().expect("a valid catalogue");
        for entry in &catalog.entries {
            let text = details(entry, 7);
            let commands = text.lines().filter(|line| line.starts_with("locktest run --backend"));
            let expected = entry.variants.len() + usize::from(entry.twin.is_some());
            assert_eq!(commands.count(), expected, "{text}");
        }
    }
}
