//! `locktest catalog`: the published failures of locks, live.

use std::fmt::Write;
use std::path::{Path, absolute};
use std::process::Stdio;

use anyhow::{Context, anyhow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use serde_json::Value;
use tokio::process::Command;

use crate::catalog::{Entry, entries};
use crate::cli::{CatalogArgs, CatalogCommand, CatalogRunArgs, words_of};
use crate::config::nearest;
use crate::exit::{Exit, Failure};
use crate::run::Stop;
use crate::terminal::Terminal;

/// The seeds that are tried, in this order, until one shows the failure.
const SEEDS: [u64; 3] = [1, 2, 3];

/// Lists entries, or runs them.
pub fn catalog(args: &CatalogArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let all = entries().map_err(Failure::internal)?;
    match &args.command {
        CatalogCommand::List { ids, json } => {
            let chosen = choose(&all, ids)?;
            let text = match (json, ids.is_empty()) {
                (true, _) => as_json(&chosen)?,
                (false, true) => table(&chosen),
                (false, false) => chosen.iter().map(|entry| in_full(entry)).collect(),
            };
            print(terminal, &text)?;
            Ok(Exit::Ok)
        }
        CatalogCommand::Run(run) => {
            let chosen = if run.all { all.iter().collect() } else { choose(&all, &run.ids)? };
            super::runtime()?.block_on(show_all(&chosen, run, terminal))
        }
    }
}

fn print(terminal: &Terminal, text: &str) -> Result<(), Failure> {
    terminal.print(text).context("cannot print").map_err(Failure::set_up)
}

fn as_json(value: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string_pretty(value).context("cannot print the catalogue");
    Ok(json.map_err(Failure::internal)? + "\n")
}

/// Those with these names; all if none is named.
fn choose<'a>(all: &'a [Entry], ids: &[String]) -> Result<Vec<&'a Entry>, Failure> {
    if ids.is_empty() {
        return Ok(all.iter().collect());
    }
    let find = |id: &String| {
        all.iter().find(|entry| entry.id == *id).ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|entry| entry.id.as_str()).collect();
            let hint = nearest(id, &known).map(|id| format!("; did you mean '{id}'?"));
            let hint = hint.unwrap_or_default();
            Failure::usage(anyhow!(
                "the catalogue has no entry '{id}'{hint}\n\n  [entries: {}]",
                known.join(", ")
            ))
        })
    };
    ids.iter().map(find).collect()
}

fn table(entries: &[&Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let Entry { id, class, title, .. } = entry;
        let not_here = if entry.runs().is_some() { "" } else { " (cannot be shown here)" };
        let _ = writeln!(text, "{id:<16}{class:<15}{title}{not_here}");
    }
    text + "\n`locktest catalog list ID` tells all of an entry, `locktest catalog run ID` shows it live.\n"
}

fn in_full(entry: &Entry) -> String {
    let Entry { id, title, about, source, affected, fixed, class, .. } = entry;
    let mut text = format!(
        "{id}: {title}\n  {about}\n  source    {source}\n  affected  {affected}\n  fixed     {fixed}\n  \
         expected  {class}\n"
    );
    match entry.runs() {
        Some((show, twin)) => {
            for flags in show {
                let _ = writeln!(text, "  shows it  locktest {flags}");
            }
            text + &format!("  its twin  locktest {twin}\n\n")
        }
        None => {
            let why = entry.unshowable.as_deref().unwrap_or("no run shows it");
            text + &format!("  not here  {why}\n\n")
        }
    }
}

/// What came of an entry.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    id: &'a str,
    class: &'a str,
    found: Vec<Found>,
    twin: Twin,
}

/// What came of the runs that are to show a failure.
#[derive(Debug, Serialize)]
struct Found {
    version: String,
    flags: String,
    /// The seed that showed it; `None` if none did.
    seed: Option<u64>,
    /// When the first violation of the class came, from the begin of the run.
    after_s: Option<f64>,
    /// What was seen instead, if it was not found.
    instead: Option<String>,
}

/// What came of the run that is to be free of it.
#[derive(Debug, Serialize)]
struct Twin {
    version: String,
    flags: String,
    passes: bool,
    acquires: u64,
    /// What it showed.
    saw: Option<String>,
}

impl Shown<'_> {
    fn is_as_told(&self) -> bool {
        self.twin.passes && self.found.iter().all(|found| found.seed.is_some())
    }
}

async fn show_all(
    entries: &[&Entry],
    args: &CatalogRunArgs,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let stop = Stop::on_signals().context("cannot wait for signals").map_err(Failure::internal)?;
    let store = absolute(&args.store).and_then(|store| {
        std::fs::create_dir_all(&store)?;
        Ok(store)
    });
    let context = || format!("cannot use the folder {}", args.store.display());
    let store = store.with_context(context).map_err(Failure::set_up)?;
    let mut shown = Vec::new();
    for entry in entries {
        terminal.step(format_args!("{}: {}", entry.id, entry.title));
        if let Some(why) = &entry.unshowable {
            terminal.step(format_args!("  cannot be shown here: {why}"));
            continue;
        }
        match show(entry, &store, &stop, terminal).await? {
            Some(one) => shown.push(one),
            None => return Ok(Exit::Interrupted),
        }
    }
    if let Some(path) = &args.record {
        let written = std::fs::write(path, record(&shown));
        let context = || format!("cannot write the track record {}", path.display());
        written.with_context(context).map_err(Failure::set_up)?;
    }
    let text = if args.json { as_json(&shown)? } else { summary(&shown) };
    print(terminal, &text)?;
    let all_as_told = shown.iter().all(Shown::is_as_told);
    Ok(if all_as_told { Exit::Ok } else { Exit::Violation })
}

/// Runs an entry and its twin; `None` after a signal.
async fn show<'a>(
    entry: &'a Entry,
    store: &Path,
    stop: &Stop,
    terminal: &Terminal,
) -> Result<Option<Shown<'a>>, Failure> {
    let (runs, twin) = entry.runs().context("the entry has no run").map_err(Failure::internal)?;
    let mut found = Vec::new();
    for flags in runs {
        let mut last = Found {
            version: String::new(),
            flags: flags.clone(),
            seed: None,
            after_s: None,
            instead: None,
        };
        for seed in SEEDS {
            let Some(verdict) = run(flags, true, seed, store, stop).await? else {
                return Ok(None);
            };
            last.version = text(&verdict["version"]);
            last.instead = Some(classes(&verdict));
            if let Some(time_ns) = first(&verdict, &entry.class) {
                last.seed = Some(seed);
                last.after_s = Some(time_ns as f64 / 1e9);
                last.instead = None;
                break;
            }
        }
        terminal.step(format_args!("  {}", in_words(entry, &last)));
        found.push(last);
    }
    let seed = found.iter().find_map(|found| found.seed).unwrap_or(SEEDS[0]);
    let Some(verdict) = run(twin, false, seed, store, stop).await? else {
        return Ok(None);
    };
    let acquires = verdict["counts"]["acquires_ok"].as_u64().unwrap_or(0);
    let saw = classes(&verdict);
    // What is inherent in leases may be there all the same, and is no fault of the store.
    let is_clean =
        verdict["outcome"] == "held" && verdict["violation_counts"][&entry.class].is_null();
    let twin = Twin {
        version: text(&verdict["version"]),
        flags: twin.to_owned(),
        passes: is_clean,
        acquires,
        saw: (!is_clean).then_some(saw),
    };
    terminal.step(format_args!("  {}", twin_in_words(&twin)));
    Ok(Some(Shown { id: &entry.id, class: &entry.class, found, twin }))
}

/// Runs locktest once, to its verdict. A signal is passed on to it, so that it heals, and `None` is
/// the answer then.
async fn run(
    flags: &str,
    stops: bool,
    seed: u64,
    store: &Path,
    stop: &Stop,
) -> Result<Option<Value>, Failure> {
    let program = std::env::current_exe().context("cannot find locktest's own binary");
    let mut command = Command::new(program.map_err(Failure::internal)?);
    command.arg("run").args(words_of(flags)).args(["--seed", &seed.to_string(), "--json"]);
    command.arg("--store").arg(store).arg("--quiet");
    // The runs are those of the catalogue, whatever the flags of other runs are set to.
    command.current_dir(store);
    for (name, _) in std::env::vars_os() {
        let is_flag = name
            .to_string_lossy()
            .strip_prefix("LOCKTEST_")
            .is_some_and(|rest| !rest.ends_with("_DIR"));
        if is_flag {
            command.env_remove(name);
        }
    }
    if stops {
        command.arg("--stop-on-violation");
    }
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: what the terminal sends to this one must not reach it twice.
    let child = command.process_group(0).spawn().context("cannot start locktest");
    let child = child.map_err(Failure::set_up)?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let output = child.wait_with_output();
    tokio::pin!(output);
    let mut interrupted = false;
    let output = loop {
        tokio::select! {
            output = &mut output => break output,
            () = stop.requested(), if !interrupted => {
                interrupted = true;
                if let Some(pid) = pid {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
                }
            }
        }
    };
    let output = output.context("cannot wait for locktest").map_err(Failure::set_up)?;
    if interrupted {
        return Ok(None);
    }
    let verdict = serde_json::from_slice(&output.stdout);
    match (output.status.code(), verdict) {
        (Some(0 | 1 | 3), Ok(verdict)) => Ok(Some(verdict)),
        (code, _) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let exit = match code {
                Some(6) => Exit::FaultLeft,
                Some(70) | None => Exit::Internal,
                _ => Exit::SetUp,
            };
            let error = anyhow!("locktest {flags} --seed {seed}: {}", stderr.trim());
            Err(Failure { exit, error })
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("unknown").to_owned()
}

/// When the first violation of a class came.
fn first(verdict: &Value, class: &str) -> Option<u64> {
    let violations = verdict["violations"].as_array()?;
    let of_class = violations.iter().filter(|violation| violation["class"] == class);
    of_class.filter_map(|violation| violation["time_ns"].as_u64()).min()
}

/// The classes of the violations that a verdict has, in words.
fn classes(verdict: &Value) -> String {
    let counts = verdict["violation_counts"].as_object();
    let words: Vec<String> =
        (counts.into_iter().flatten()).map(|(class, count)| format!("{class} x{count}")).collect();
    match words.is_empty() {
        true if verdict["outcome"] == "undecided" => "nothing decided".into(),
        true => "no violation".into(),
        false => words.join(", "),
    }
}

fn in_words(entry: &Entry, found: &Found) -> String {
    match (found.seed, found.after_s) {
        (Some(seed), Some(after_s)) => {
            format!("{} on {}: found after {after_s:.1} s, seed {seed}", entry.class, found.version)
        }
        _ => format!(
            "{} on {}: NOT FOUND on seeds 1 to 3; the last showed {}",
            entry.class,
            found.version,
            found.instead.as_deref().unwrap_or("nothing")
        ),
    }
}

fn twin_in_words(twin: &Twin) -> String {
    match &twin.saw {
        None => format!("twin on {}: passes, {} acquires", twin.version, twin.acquires),
        Some(saw) => format!("twin on {}: DOES NOT PASS: {saw}", twin.version),
    }
}

fn summary(shown: &[Shown]) -> String {
    let as_told = shown.iter().filter(|shown| shown.is_as_told()).count();
    let mut text = String::new();
    for one in shown {
        let mark = if one.is_as_told() { "ok" } else { "NOT AS TOLD" };
        for found in &one.found {
            let seconds = found.after_s.map_or("not found".into(), |s| format!("{s:.1} s"));
            let _ = writeln!(
                text,
                "{:<16}{:<15}{:<10}{seconds:<11}{mark}",
                one.id, one.class, found.version
            );
        }
    }
    text + &format!("{as_told} of {} entries found, with a twin that passes\n", shown.len())
}

/// The track record as Markdown.
fn record(shown: &[Shown]) -> String {
    let mut text = "# Track record\n\nMade by `locktest catalog run --all --record \
                    docs/track-record.md`.\n\n\
                    | entry | class | version | found after | seed | twin | its acquires |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    for one in shown {
        for found in &one.found {
            let after = found.after_s.map_or("not found".into(), |s| format!("{s:.1} s"));
            let seed = found.seed.map_or("1 to 3".into(), |seed| seed.to_string());
            let twin = match &one.twin.saw {
                None => format!("{} passes", one.twin.version),
                Some(saw) => format!("{}: {saw}", one.twin.version),
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {after} | {seed} | {twin} | {} |",
                one.id, one.class, found.version, one.twin.acquires
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failure_is_found_by_its_own_class_alone() {
        let verdict = json!({
            "violations": [
                {"class": "lost-update", "time_ns": 1},
                {"class": "double-grant", "time_ns": 7},
                {"class": "double-grant", "time_ns": 5},
            ],
            "violation_counts": {"double-grant": 2, "lost-update": 1},
        });
        assert_eq!(first(&verdict, "double-grant"), Some(5));
        assert_eq!(first(&verdict, "stale-grant"), None);
        assert_eq!(classes(&verdict), "double-grant x2, lost-update x1");
        assert_eq!(classes(&json!({"violation_counts": {}})), "no violation");
    }

    #[test]
    fn an_entry_that_there_is_not_is_refused_with_the_nearest() {
        let all = entries().expect("a catalogue");
        let refused = choose(&all, &["etcd-11465".to_owned()]).expect_err("no such entry");
        assert_eq!(refused.exit, Exit::Usage);
        assert!(refused.to_string().contains("did you mean 'etcd-11456'?"), "{refused}");
    }
}
