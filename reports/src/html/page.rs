//! The page from top to bottom: verdict, violations, timeline, numbers, appendix.

use locktest_analyzer::{Hold, Verdict, holds};
use locktest_history::{History, Milestone, Record};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::commands::Commands;
use super::lanes::Lanes;
use super::parts::{MAX_SENTENCE, badge, head, list, sentence_case, sign, tone_class};
use super::{checks, cost, latency, script, sections, timeline};
use crate::background::Background;
use crate::text::{count, seconds, utc, visible};
use crate::wording;

/// The page. It is at most 2 MB, however long the run was: what is too short to draw is merged,
/// and long lists are cut with the number of what is left out.
pub fn render_html(verdict: &Verdict, history: &History, background: &Background) -> String {
    page(verdict, history, &holds(history), background).into_string()
}

/// The page for holds that are already known.
pub(crate) fn page(
    verdict: &Verdict,
    history: &History,
    holds: &[Hold],
    background: &Background,
) -> Markup {
    let headline = wording::headline(verdict);
    let lanes = Lanes::new(verdict, history, holds);
    let title = format!(
        "locktest: {} {}: {} {}",
        verdict.backend,
        visible(&verdict.version, 40),
        headline.word,
        visible(&headline.rest, 120)
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&title, "", None))
            body {
                (patterns())
                header {
                    h1 { "locktest report" }
                    (verdict_card(verdict, history))
                }
                main {
                    (doubts(verdict))
                    (sections::violations(verdict, history, &lanes))
                    (sections::known_bugs(verdict))
                    section {
                        h2 { @if verdict.workload.takes_locks() { "Who held when" } @else { "Faults and servers" } }
                        (timeline::timeline(verdict, history, &lanes))
                    }
                    (latency::latency(verdict))
                    (sections::faults(verdict, &Commands::new(&background.commands)))
                    (sections::elections(verdict))
                    (sections::all_violations(verdict))
                    (checks::checks(verdict, background.analysis.as_ref()))
                    (cost::cost(verdict))
                    (sections::appendix(verdict, history, &background.files))
                }
                footer { p { "Made by locktest " (visible(&history.run.plan.locktest_version, 40))
                    " from the run's history. " code { "locktest check" } " repeats the analysis." } }
                script { (PreEscaped(script::TIMELINE)) }
            }
        }
    }
}

/// Hatches, so that no meaning rests on colour alone.
fn patterns() -> Markup {
    html! {
        svg.defs aria-hidden="true" {
            defs {
                pattern id="overrun" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect width="6" height="6" style="fill:var(--over-bg)" {}
                    rect width="3" height="6" style="fill:var(--over)" {}
                }
                pattern id="unused" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)" {
                    rect width="1.5" height="6" style="fill:var(--held)" {}
                }
                pattern id="failed" width="4" height="4" patternUnits="userSpaceOnUse" {
                    rect width="1.2" height="4" style="fill:var(--failed)" {}
                }
                pattern id="overlap" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect width="5" height="5" style="fill:var(--bad)" {}
                    rect width="1.5" height="5" style="fill:var(--card)" {}
                    rect width="5" height="1.5" style="fill:var(--card)" {}
                }
            }
        }
    }
}

fn verdict_card(verdict: &Verdict, history: &History) -> Markup {
    let headline = wording::headline(verdict);
    let rest = visible(&headline.rest, MAX_SENTENCE);
    let plan = &history.run.plan;
    html! {
        div class={ "card " (tone_class(headline.tone)) } {
            p.headline {
                b { (sign(headline.tone)) " " (headline.word) } " "
                @if headline.word.is_empty() { (sentence_case(&rest)) } @else { (rest) }
            }
            @if let Some(summary) = wording::summary(verdict) { p { (visible(summary, MAX_SENTENCE)) } }
            p.subject { (visible(&wording::subject(verdict, history), 300)) }
            table.rows {
                tbody {
                    @for row in wording::rows(verdict) {
                        tr {
                            th scope="row" { (row.name) }
                            td { (badge(wording::outcome_tone(row.outcome), wording::outcome_word(row.outcome))) }
                            td { (visible(row.why, MAX_SENTENCE)) }
                        }
                    }
                }
            }
        }
        dl.facts {
            dt { "started" } dd { (utc(history.run.started_at_unix_s)) ", " (span(verdict, history)) }
            dt { "server" } dd { (verdict.backend) " " (visible(&verdict.version, 80))
                @if verdict.workload.takes_locks() { ", recipe " (verdict.recipe) ", lease TTL " (plan.lease_ttl_ms) " ms" } }
            dt { "workload" } dd { (wording::workload(verdict)) }
            dt { "tried" } dd { (tried(verdict)) }
            dt { "seed" } dd { (verdict.seed) ", run " (visible(&verdict.run_id, 80)) }
        }
        p.note { "Run it again with the same plan:" }
        pre { code { (visible(&verdict.command, 2000)) } }
    }
}

fn span(verdict: &Verdict, history: &History) -> String {
    let milestone = |wanted: Milestone| {
        history.records.iter().find_map(|record| match record {
            Record::Milestone { time_ns, what } if *what == wanted => Some(*time_ns),
            _ => None,
        })
    };
    let recorded = format!("{} recorded", seconds(verdict.end_ns));
    match (milestone(Milestone::ClusterReady), milestone(Milestone::TimeUp)) {
        (Some(ready_ns), Some(up_ns)) if ready_ns <= up_ns => format!(
            "{recorded}: the cluster was ready at {}, the workload ran for {}",
            seconds(ready_ns),
            seconds(up_ns - ready_ns)
        ),
        _ => recorded,
    }
}

fn tried(verdict: &Verdict) -> String {
    let counts = &verdict.counts;
    if counts.registers.is_some() {
        return wording::answers(counts);
    }
    format!(
        "acquires: {}; {}, {}, {} refused by the fence",
        wording::answers(counts),
        count(counts.releases_ok, "release"),
        count(counts.renewals_ok, "renewal"),
        counts.fenced_rejections,
    )
}

/// What weakens the verdict, right under it.
fn doubts(verdict: &Verdict) -> Markup {
    let warnings: Vec<String> = verdict.warnings.iter().map(ToString::to_string).collect();
    html! {
        @if !warnings.is_empty() || !verdict.not_tested.is_empty() {
            section.columns {
                @if !warnings.is_empty() { div { h2 { "Warnings" } (list(&warnings)) } }
                @if !verdict.not_tested.is_empty() {
                    div { h2 { "Not tested" } (list(&verdict.not_tested)) }
                }
            }
        }
    }
}
