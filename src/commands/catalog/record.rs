//! The track record: what came of running entries, as a page in Markdown.

use std::fmt::Write;

use super::outcome::{EntryResult, Finding, Passing};

/// A row a run, with the command that repeats it.
pub fn markdown(results: &[EntryResult]) -> String {
    let mut text = format!(
        "# Track record\n\n\
         What `locktest catalog run` of locktest {} found, and which twins passed. A time is that from \
         the start\nof the run to the event that makes it a violation; it depends on the machine and on \
         chance.\n\n\
         | entry | class | run | server | result | command |\n|---|---|---|---|---|---|\n",
        env!("CARGO_PKG_VERSION")
    );
    for EntryResult { id, class, variants, twin, .. } in results {
        for run in variants {
            let version = match &run.result {
                Finding::Found { version, .. } => version.as_str(),
                Finding::NotFound { .. } | Finding::NotRun { .. } => "-",
            };
            let result = run.result.to_string();
            text += &row([id, class.name(), &run.name, version, &result], &run.command);
        }
        if let Some(run) = twin {
            let version = match &run.result {
                Passing::Passes { version, .. } => version.as_str(),
                _ => "-",
            };
            let name = format!("twin: {}", run.name);
            let result = run.result.to_string();
            text += &row([id, class.name(), &name, version, &result], &run.command);
        }
    }
    let unshowable: Vec<_> = results
        .iter()
        .filter_map(|result| Some((&result.id, result.unshowable.as_ref()?)))
        .collect();
    if !unshowable.is_empty() {
        text += "\nCannot be shown:\n\n";
        for (id, why) in unshowable {
            let _ = writeln!(text, "- `{id}`: {why}");
        }
    }
    text
}

fn row(cells: [&str; 5], command: &str) -> String {
    // A bar would end the cell.
    let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
    format!("| {} | `{command}` |\n", cells.join(" | "))
}
