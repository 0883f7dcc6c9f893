//! The page itself. It needs no script: filters are a form, sorting is by links.

use std::collections::{BTreeMap, BTreeSet};

use maud::{DOCTYPE, Markup, html};

use super::{About, RunState, Selection, StoreRun};
use crate::html::parts::{badge, head, sign, tone_class};
use crate::text::{count, percent_encoded, utc, visible};

/// More runs than this are reached by filters.
const MAX_RUNS: usize = 500;

/// So many runs of a cell are its trend.
const TREND: usize = 30;

/// While something runs, the page comes again after this many seconds.
const REFRESH_S: u32 = 3;

/// The columns that sort, by their names in the address.
const COLUMNS: [(&str, &str); 7] = [
    ("time", "started"),
    ("store", "store"),
    ("faults", "faults"),
    ("seed", "seed"),
    ("length", "length"),
    ("state", "verdict"),
    ("name", "run"),
];

/// The page of a store's runs. `folder` is where they are.
pub fn render_store_html(folder: &str, runs: &[StoreRun], selection: &Selection) -> String {
    page(folder, runs, selection).into_string()
}

fn page(folder: &str, runs: &[StoreRun], selection: &Selection) -> Markup {
    let mut selected: Vec<&StoreRun> =
        runs.iter().filter(|run| run.is_selected(selection)).collect();
    sort(&mut selected, selection.sort.as_deref());
    let is_live = runs.iter().any(|run| matches!(run.state, RunState::Running { .. }));
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("locktest: {}", visible(folder, 120)), include_str!("store.css"), (is_live && selection.live).then_some(REFRESH_S)))
            body {
                header {
                    h1 { "locktest runs" }
                    p.subject {
                        (count(runs.len() as u64, "run")) " in " (visible(folder, 200)) ". "
                        a href="/runs/" { "Stores under faults, as a matrix" } "."
                        @if is_live {
                            " A run goes on: "
                            a href=(address(&Selection { live: !selection.live, ..selection.clone() })) {
                                @if selection.live { "hold this page still" } @else { "follow it" }
                            } "."
                        }
                    }
                }
                main {
                    (filters(runs, selection))
                    (table(&selected, selection))
                    (trends(runs))
                }
            }
        }
    }
}

fn sort(runs: &mut [&StoreRun], by: Option<&str>) {
    // The newest first, whatever else.
    let started = |run: &&StoreRun| run.about.as_ref().map_or(0, |about| about.started_at_unix_s);
    runs.sort_by_key(|run| std::cmp::Reverse(started(run)));
    match by {
        Some("store") => runs.sort_by_key(|run| run.about.as_ref().map(store_of)),
        Some("faults") => {
            runs.sort_by_key(|run| run.about.as_ref().map(|about| about.faults.clone()))
        }
        Some("seed") => runs.sort_by_key(|run| run.about.as_ref().map(|about| about.seed)),
        Some("length") => runs.sort_by(|a, b| length_s(b).total_cmp(&length_s(a))),
        Some("state") => runs.sort_by_key(|run| rank(&run.state)),
        Some("name") => runs.sort_by(|a, b| a.name.cmp(&b.name)),
        _ => {}
    }
}

/// What somebody has to look at comes first.
fn rank(state: &RunState) -> usize {
    const ORDER: [&str; 7] = [
        "violated",
        "undecided",
        "needs fencing",
        "running",
        "broken off",
        "unreadable",
        "no violation",
    ];
    ORDER.iter().position(|word| *word == state.word()).unwrap_or(ORDER.len())
}

fn store_of(about: &About) -> (String, String) {
    (format!("{} {}", about.backend, about.version), about.used_as.clone())
}

fn length_s(run: &StoreRun) -> f64 {
    match run.state {
        RunState::Ended { length_s, .. } => length_s,
        RunState::Running { elapsed_s, .. } => elapsed_s,
        RunState::BrokenOff | RunState::Unreadable(_) => 0.0,
    }
}

fn filters(runs: &[StoreRun], selection: &Selection) -> Markup {
    let of = |value: fn(&StoreRun) -> Option<String>| -> BTreeSet<String> {
        runs.iter().filter_map(value).collect()
    };
    let backends = of(|run| Some(run.about.as_ref()?.backend.to_string()));
    let faults = of(|run| Some(run.about.as_ref()?.faults.clone()));
    let states = of(|run| Some(run.state.word().into()));
    html! {
        form.filters method="get" action="/" {
            (choice("backend", "Store", &backends, selection.backend.as_deref()))
            (choice("faults", "Faults", &faults, selection.faults.as_deref()))
            (choice("state", "Verdict", &states, selection.state.as_deref()))
            @if let Some(sort) = &selection.sort {
                input type="hidden" name="sort" value=(visible(sort, 20));
            }
            @if selection.live { input type="hidden" name="live" value="1"; }
            button { "Show" }
            " " a href="/" { "all" }
        }
    }
}

fn choice(name: &str, label: &str, values: &BTreeSet<String>, chosen: Option<&str>) -> Markup {
    html! {
        label {
            (label) " "
            select name=(name) {
                option value="" { "any" }
                @for value in values {
                    option value=(value) selected[chosen == Some(value.as_str())] { (value) }
                }
            }
        }
        " "
    }
}

fn table(runs: &[&StoreRun], selection: &Selection) -> Markup {
    html! {
        section {
            div.scroll tabindex="0" role="region" aria-label="Runs" {
                table {
                    thead { tr { @for (key, heading) in COLUMNS {
                        @let sorted = Selection { sort: Some(key.into()), ..selection.clone() };
                        th.n[key == "seed"] scope="col" { a href=(address(&sorted)) { (heading) } }
                    } } }
                    tbody { @for run in runs.iter().take(MAX_RUNS) { (row(run)) } }
                }
            }
            @if runs.is_empty() { p { "No run is like that." } }
            @if runs.len() > MAX_RUNS {
                p.note { (runs.len() - MAX_RUNS) " more; filters reach them." }
            }
        }
    }
}

/// Where a selection is shown. What it says may come from outside.
fn address(selection: &Selection) -> String {
    let mut words = Vec::new();
    if selection.live {
        words.push("live=1".to_owned());
    }
    for (name, value) in [
        ("sort", &selection.sort),
        ("backend", &selection.backend),
        ("faults", &selection.faults),
        ("state", &selection.state),
    ] {
        if let Some(value) = value {
            words.push(format!("{name}={}", percent_encoded(value.as_ref())));
        }
    }
    format!("/?{}", words.join("&"))
}

fn row(run: &StoreRun) -> Markup {
    let StoreRun { name, href, about, state } = run;
    html! {
        tr {
            @match about {
                Some(about) => {
                    td { (utc(about.started_at_unix_s)) }
                    td { (about.backend) " " (about.version) br; span.note { (about.used_as) } }
                    td { (about.faults) }
                    td.n { (about.seed) }
                }
                None => { td {} td {} td {} td {} }
            }
            td { (length(run)) }
            td { (badge(state.tone(), state.word())) (detail(state)) }
            td {
                @if matches!(state, RunState::Ended { .. }) {
                    a href=(format!("/runs/{href}/report.html")) { (name) }
                } @else { (name) }
            }
        }
    }
}

fn length(run: &StoreRun) -> Markup {
    match (&run.state, &run.about) {
        (RunState::Ended { length_s, .. }, _) => html! { (format!("{length_s:.0} s")) },
        (RunState::Running { elapsed_s, .. }, Some(about)) => html! {
            progress max=(about.limit_s) value=(elapsed_s.min(about.limit_s)) {}
            br;
            (format!("{elapsed_s:.0} s of {:.0} s", about.limit_s))
        },
        _ => html! {},
    }
}

fn detail(state: &RunState) -> Markup {
    match state {
        RunState::Ended { violations, warnings, .. } => {
            let found = violations.iter().map(|(class, count)| format!("{class} x{count}"));
            let doubts = (*warnings > 0).then(|| count(*warnings as u64, "warning"));
            let details: Vec<String> = found.chain(doubts).collect();
            html! { @if !details.is_empty() { br; span.note { (details.join(", ")) } } }
        }
        RunState::Running { granted, .. } => {
            html! { br; span.note { (granted) " acquires granted" } }
        }
        RunState::Unreadable(why) => html! { br; span.note { (visible(why, 300)) } },
        _ => html! {},
    }
}

/// How the runs of each store under each kind of fault went, the oldest first.
fn trends(runs: &[StoreRun]) -> Markup {
    let mut cells: BTreeMap<(String, String), Vec<&StoreRun>> = BTreeMap::new();
    for run in runs {
        if let Some(about) =
            run.about.as_ref().filter(|_| matches!(run.state, RunState::Ended { .. }))
        {
            let store = format!("{} {}, {}", about.backend, about.version, about.used_as);
            cells.entry((store, about.faults.clone())).or_default().push(run);
        }
    }
    for runs in cells.values_mut() {
        runs.sort_by_key(|run| run.about.as_ref().map_or(0, |about| about.started_at_unix_s));
    }
    let trend = |runs: &[&StoreRun]| {
        let shown = &runs[runs.len().saturating_sub(TREND)..];
        html! {
            @for run in shown {
                a.beat class=(tone_class(run.state.tone())) href=(format!("/runs/{}/report.html", run.href))
                    title=(format!("{}: {}", run.name, run.state.word())) {
                    (sign(run.state.tone()))
                }
            }
        }
    };
    html! {
        @if !cells.is_empty() {
            section {
                h2 { "Trends" }
                p.note { "The last " (TREND) " verdicts of each store under each kind of fault, the newest at the right." }
                table {
                    thead { tr { th scope="col" { "store" } th scope="col" { "faults" } th scope="col" { "verdicts" } } }
                    tbody {
                        @for ((store, faults), runs) in &cells {
                            tr { th scope="row" { (store) } td { (faults) } td { (trend(runs)) } }
                        }
                    }
                }
            }
        }
    }
}
