use std::time::Duration;

use locktest_analyzer::{Hold, Property, PropertyOutcome, Step, Verdict};
use locktest_history::{ExitCause, History, Record};

use super::page::page;
use super::script;
use crate::background::{AnalysisCost, Background, FaultCommand};
use crate::testing;

fn render(verdict: &Verdict, history: &History, holds: &[Hold]) -> String {
    let html = page(verdict, history, holds, &Background::default()).into_string();
    // Where LOCKTEST_PAGES names a folder, the pages are kept there to be looked at.
    if let Some(folder) = std::env::var_os("LOCKTEST_PAGES") {
        let test = std::thread::current().name().unwrap_or("page").replace("::", "-");
        let path = std::path::Path::new(&folder)
            .join(format!("{test}-{:?}.html", verdict.properties.safety.outcome));
        std::fs::write(path, &html).expect("the folder can be written");
    }
    html
}

/// Every tag that is opened is closed in order, no stray `>` is left in text, and a drawing holds
/// nothing but SVG: an HTML element would make the browser leave the drawing.
fn assert_well_formed(html: &str) {
    const VOID: [&str; 3] = ["meta", "br", "!DOCTYPE"];
    const SVG: [&str; 8] = ["circle", "defs", "line", "path", "pattern", "rect", "text", "title"];
    let mut open: Vec<&str> = Vec::new();
    let (before, rest) = html.split_once("<style>").expect("a style");
    let (_, after) = rest.split_once("</style>").expect("the style's end");
    let after = after.replace(script::TIMELINE, "");
    for part in [before, after.as_str()] {
        for tag in part.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').expect("a tag ends");
            assert!(!text.contains('>'), "stray > in {text:?}");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "</{name}>");
                continue;
            }
            let name = tag.split_whitespace().next().expect("a tag has a name");
            if open.contains(&"svg") {
                assert!(SVG.contains(&name), "<{name}> inside a drawing");
            }
            if !VOID.contains(&name) {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_page_of_a_register_speaks_of_reads_and_writes_and_of_no_lock() {
    let verdict = testing::stale_read();
    let page = page(&verdict, &testing::history(5), &[], &Background::default()).into_string();
    for part in ["register, serializable reads", "Read, by the phase", "Cas, by the phase"] {
        assert!(page.contains(part), "{part}");
    }
    for part in ["Acquire", "Who held when", "Release, by", "holds, lease valid", "lease TTL"] {
        assert!(!page.contains(part), "{part}");
    }
}

#[test]
fn the_page_says_what_each_server_of_a_redlock_said() {
    let page = page(&testing::split_redlock(), &testing::history(5), &[], &Background::default())
        .into_string();
    let said = "c1: acquire at 13.360 s: n1 yes 1.0 ms, n2 yes 2.0 ms, n3 yes 1.0 ms, n4 no answer 50.0 ms";
    assert!(page.contains(said));
    assert!(page.contains("51.0 ms in all, valid for 1.93 s more"));
}

#[test]
fn the_page_says_which_published_bug_a_violation_looks_like_and_no_more() {
    let html = page(&testing::split_redlock(), &testing::history(5), &[], &Background::default())
        .into_string();
    assert!(html.contains("Match with known bugs"));
    assert!(html.contains("Double-grant looks like redlock-crash: a server that dies"));
    let html =
        page(&testing::violated(), &testing::history(5), &[], &Background::default()).into_string();
    assert!(!html.contains("known bugs"));
}

#[test]
fn each_verdict_makes_one_well_formed_page_that_stands_alone() {
    let verdicts =
        [testing::held(), testing::violated(), testing::needs_fencing(), testing::undecided()];
    for verdict in verdicts {
        let (history, holds) = testing::run(5, &verdict, 50);
        let html = render(&verdict, &history, &holds);
        assert_well_formed(&html);
        assert_eq!(html.matches("<script").count(), 1);
        assert!(!script::TIMELINE.contains("</") && !script::TIMELINE.contains("<!--"));
        for absent in ["http://", "https://", "@import", "<link", "<img", " src="] {
            assert!(!html.contains(absent), "{absent}");
        }
        for row in crate::wording::rows(&verdict) {
            assert!(html.contains(row.why), "{}", row.why);
        }
        assert!(html.contains(&verdict.command));
        for warning in &verdict.warnings {
            assert!(html.contains(&warning.to_string()));
        }
    }
}

#[test]
fn what_the_analyzer_finds_in_a_history_has_a_page_with_its_holds() {
    let (history, holds) = testing::run(3, &testing::held(), 500);
    let verdict = locktest_analyzer::analyze(&history);
    let html = crate::render_html(&verdict, &history, &Background::default());
    assert_well_formed(&html);
    assert_eq!(verdict.counts.acquires_ok, holds.len() as u64);
    assert!(html.contains(&format!("{} held lock-0 from", holds[0].client)), "no hold is drawn");
}

#[test]
fn a_page_shows_the_first_violation_of_each_class_and_counts_them_all() {
    let verdict = testing::violated();
    let (history, holds) = testing::run(5, &verdict, 50);
    let html = render(&verdict, &history, &holds);
    for text in [
        "both, 14.31 s to 15.10 s",
        "double-grant \u{d7} 7",
        "lost-update \u{d7} 2",
        "did not bite",
    ] {
        assert!(html.contains(text), "{text}");
    }
}

#[test]
fn a_hold_that_a_violation_concerns_is_drawn_however_short_it_is() {
    let mut verdict = testing::violated();
    let (history, mut holds) = testing::run(500, &verdict, 5);
    // The last client of all: without the violation it would have no lane.
    holds[2000].client = locktest_history::ClientId(499);
    let hold = holds[2000].clone();
    let mut concerned = testing::acquired("c500", hold.attempt, [1.0, 2.0, 3.0, 3.0], 1);
    concerned.complete_ns = Some(hold.ok_ns);
    verdict.violations[0].operations = vec![concerned];
    let html = render(&verdict, &history, &holds);
    let token = hold.token.expect("a token");
    assert!(html.contains(&format!("token {token}; part of a violation")));
}

#[test]
fn ten_thousand_holds_of_five_hundred_clients_fit_into_two_megabytes() {
    let mut verdict = testing::violated();
    let (history, holds) = testing::run(500, &verdict, 1);
    assert!(holds.len() >= 10_000, "{}", holds.len());
    let few = testing::fault(1, 3.0, 3.4);
    verdict.faults = (0..60)
        .map(|n| {
            let mut fault = few.clone();
            fault.id = n + 1;
            fault.begin_ns += u64::from(n) * 1_000_000_000;
            fault.end_ns += u64::from(n) * 1_000_000_000;
            fault
        })
        .collect();
    let election = verdict.elections[0].clone();
    verdict.elections = (0..200)
        .map(|n| locktest_analyzer::ElectionSeen {
            time_ns: testing::at(f64::from(n) * 0.3),
            line: "x".repeat(300),
            ..election.clone()
        })
        .collect();
    verdict.election_count = 3000;
    let latency = &mut verdict.latency;
    let by_fault = latency.acquire_by_fault[0].clone();
    latency.acquire_by_fault = (1..=200)
        .map(|fault| locktest_analyzer::FaultLatency { fault, ..by_fault.clone() })
        .collect();
    let by_client = latency.acquire_by_client[0].clone();
    latency.acquire_by_client = vec![by_client; 500];
    let html = render(&verdict, &history, &holds);
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
    assert!(html.contains("more clients"));
    assert!(html.contains("140 more faults in verdict.json"));
    assert!(html.contains("440 more clients in verdict.json"));
    assert!(html.contains("2960 more steps in the logs of the run"));
}

#[test]
fn latency_is_shown_by_phase_fault_and_client_and_a_number_from_few_samples_is_marked() {
    let verdict = testing::held();
    let (history, holds) = testing::run(5, &verdict, 50);
    let html = render(&verdict, &history, &holds);
    let row = |name: &str| {
        let (_, row) = html.split_once(&format!("<th scope=\"row\">{name}</th>")).expect(name);
        row.split_once("</tr>").expect("a row ends").0
    };
    assert!(row("fault 1").starts_with("<td class=\"n\">68</td>"));
    assert!(row("recovery 1").starts_with("<td class=\"n\">62</td>"));
    assert!(!html.contains("recovery 2"), "nothing began in it");
    assert!(row("c5").starts_with("<td class=\"n\">165</td>"));
    assert!(row("c5").ends_with("<td class=\"n low\">635.5*</td><td class=\"n low\">3100*</td>"));
    assert!(html.contains("from when its client meant to begin"));
}

#[test]
fn what_each_node_cost_is_shown_and_nothing_of_a_run_that_was_not_sampled() {
    let mut verdict = testing::held();
    let (history, holds) = testing::run(5, &verdict, 50);
    let html = render(&verdict, &history, &holds);
    let cells = ["23.60", "40.0", "82.2 MB", "1.2 GB", "12.3 MB", "987.7 kB"];
    let cells: String = cells.map(|cell| format!("<td class=\"n\">{cell}</td>")).concat();
    assert!(html.contains(&format!("<th scope=\"row\">n1</th>{cells}</tr>")));
    assert!(html.contains("The network includes replication and the control path."));
    verdict.cost[0].node = "<b>\u{202e}".into();
    assert!(!render(&verdict, &history, &holds).contains("<b>\u{202e}"));
    verdict.cost = vec![verdict.cost[1].clone(); 70];
    assert!(render(&verdict, &history, &holds).contains("10 more nodes in verdict.json"));
    verdict.cost.clear();
    assert!(!render(&verdict, &history, &holds).contains("Cost per node"));
}

#[test]
fn elections_are_marked_on_the_lanes_of_their_servers_and_listed() {
    let mut verdict = testing::held();
    let (history, holds) = testing::run(5, &verdict, 50);
    let html = render(&verdict, &history, &holds);
    assert!(html.contains("<title>n4 won at 14.30 s</title>"));
    assert!(html.contains("n4 called for votes at 14.20 s: starting a pre-vote at term 2"));
    assert!(html.contains("step of an election"));
    verdict.elections.clear();
    verdict.election_count = 0;
    let html = render(&verdict, &history, &holds);
    assert!(!html.contains("<h2>Elections</h2>") && !html.contains("step of an election"));
}

#[test]
fn the_page_says_how_well_faults_were_timed_and_why_some_were_not_applied() {
    let mut verdict = testing::split_redlock();
    verdict.faults_skipped = testing::undecided().faults_skipped;
    let (history, holds) = testing::run(5, &verdict, 50);
    let html = render(&verdict, &history, &holds);
    for text in [
        "In force on all hosts within about 11.4 ms of each other (median of 1 fault)",
        "1 of 1 fault aimed at a holder hit a client that still held",
        "kill (bare majority)",
        "partition of clients from servers (halves) at 12.00 s: no acquire was granted before",
    ] {
        assert!(html.contains(text), "{text}");
    }
}

#[test]
fn the_worst_mix_of_bars_fits_into_two_megabytes() {
    let verdict = testing::violated();
    let (history, mut holds) = testing::run(24, &verdict, 1);
    for (n, hold) in holds.iter_mut().enumerate() {
        // A third each is valid, overrun, and left by its client early.
        hold.contract_end_ns = match n % 3 {
            0 => hold.belief_end_ns,
            1 => hold.ok_ns,
            _ => hold.belief_end_ns + 2_000_000,
        };
    }
    let html = render(&verdict, &history, &holds);
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
}

#[test]
fn text_from_outside_is_escaped_cut_and_cannot_reorder_the_page() {
    let hostile = format!(
        "</title></text><script>alert(1)</script>\"'&\u{202e}evil\u{0}\u{1b}[2J{}",
        "x".repeat(10_000)
    );
    let mut verdict = testing::violated();
    let (mut history, holds) = testing::run(5, &verdict, 50);
    verdict.summary = hostile.clone();
    verdict.version = hostile.clone();
    verdict.run_id = hostile.clone();
    verdict.command = hostile.clone();
    verdict.not_tested = vec![hostile.clone(); 100];
    verdict.properties.safety.why = hostile.clone();
    verdict.nodes = vec![hostile.clone(); 50];
    history.run.plan.keys = vec![hostile.clone()];
    history.run.plan.nodes = verdict.nodes.clone();
    history.run.plan.server_settings = vec![hostile.clone(); 100];
    history.run.plan.server_binary = Some(hostile.clone());
    history.run.plan.kernel = hostile.clone();
    history.run.lab = Some(hostile.clone());
    for change in &mut verdict.leader_changes {
        change.leader = hostile.clone();
        change.told_by = hostile.clone();
    }
    for election in &mut verdict.elections {
        election.line = hostile.clone();
        election.node = hostile.clone();
    }
    for fault in &mut verdict.faults {
        fault.description = hostile.clone();
        fault.proof = vec![hostile.clone(); 100];
        fault.undo_proof = vec![hostile.clone(); 100];
    }
    for violation in &mut verdict.violations {
        violation.key = hostile.clone();
        violation.why = hostile.clone();
        violation.during = Some(hostile.clone());
        for operation in &mut violation.operations {
            operation.client.push_str(&hostile);
            operation.server = Some(hostile.clone());
            operation.token = Some(hostile.clone());
        }
    }
    let html = render(&verdict, &history, &holds);
    assert_well_formed(&html);
    assert_eq!(html.matches("<script").count(), 1);
    assert!(!html.contains(['\u{202e}', '\u{0}', '\u{1b}']));
    assert!(!html.contains(&"x".repeat(2100)));
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
}

#[test]
fn an_empty_history_and_times_that_make_no_sense_have_a_page() {
    let mut verdict = testing::undecided();
    verdict.end_ns = 0;
    assert_well_formed(&render(&verdict, &testing::history(0), &[]));

    let mut verdict = testing::violated();
    let (mut history, mut holds) = testing::run(3, &verdict, 500);
    verdict.end_ns = u64::MAX;
    for (n, hold) in holds.iter_mut().enumerate() {
        (hold.ok_ns, hold.belief_end_ns, hold.contract_end_ns) = match n % 3 {
            0 => (u64::MAX, 0, 5),
            1 => (0, u64::MAX, u64::MAX),
            _ => (9, 9, 9),
        };
    }
    for fault in &mut verdict.faults {
        fault.begin_ns = u64::MAX;
        fault.servers_recovered_ms = Some(f64::INFINITY);
    }
    for violation in &mut verdict.violations {
        violation.time_ns = u64::MAX;
        for operation in &mut violation.operations {
            operation.invoke_ns = u64::MAX;
            operation.complete_ns = Some(0);
        }
    }
    history.records.reverse();
    assert_well_formed(&render(&verdict, &history, &holds));
}

#[test]
fn a_client_that_died_is_marked_and_one_that_finished_is_not() {
    let verdict = testing::held();
    let (mut history, holds) = testing::run(2, &verdict, 50);
    let exit = |cause| {
        Record::ClientExit(locktest_history::ClientExit {
            time_ns: testing::at(30.0),
            client: locktest_history::ClientId(1),
            cause,
        })
    };
    history.records.push(exit(ExitCause::Finished));
    assert!(!render(&verdict, &history, &holds).contains("c2 died"));
    history.records.pop();
    history.records.push(exit(ExitCause::Killed(9)));
    assert!(render(&verdict, &history, &holds).contains("c2 died at 30.00 s"));
}

#[test]
fn every_lock_that_a_violation_concerns_has_a_lane_even_if_it_was_never_granted() {
    let mut verdict = testing::violated();
    let (mut history, mut holds) = testing::run(5, &verdict, 50);
    history.run.plan.keys = (0..8).map(|n| format!("lock-{n}")).collect();
    for (n, hold) in holds.iter_mut().enumerate() {
        // The last lock is held by nobody.
        hold.key = locktest_history::KeyId(n as u32 % 7);
    }
    let example = verdict.violations[0].clone();
    verdict.violations = [1, 2, 4, 5, 7]
        .map(|n| locktest_analyzer::Violation { key: format!("lock-{n}"), ..example.clone() })
        .into();
    let html = render(&verdict, &history, &holds);
    let has_lane = |n: &u32| html.contains(&format!("text-anchor=\"end\">lock-{n}</text>"));
    assert_eq!((0..8).filter(has_lane).collect::<Vec<_>>(), [1, 2, 4, 5, 7]);
    assert!(html.contains("3 more locks not drawn"));
}

#[test]
fn forty_violated_locks_with_room_for_every_name_fit_into_two_megabytes() {
    let mut verdict = testing::violated();
    let (mut history, some) = testing::run(5, &verdict, 50);
    history.run.plan.keys = (0..40).map(|n| format!("lock-{n}")).collect();
    let example = verdict.violations[0].clone();
    verdict.violations = (0..40)
        .map(|n| locktest_analyzer::Violation { key: format!("lock-{n}"), ..example.clone() })
        .collect();
    // Faults so far apart that each has a close-up of its own, filled with short holds.
    verdict.end_ns = testing::at(200.0);
    verdict.faults = (1..15)
        .map(|id| testing::fault(id, f64::from(id) * 13.0, f64::from(id) * 13.0 + 1.0))
        .collect();
    let hold = |key, n| Hold {
        key: locktest_history::KeyId(key),
        attempt: n,
        ok_ns: n * 250_000_000,
        belief_end_ns: n * 250_000_000 + 240_000_000,
        contract_end_ns: n * 250_000_000 + 240_000_000,
        ..some[0].clone()
    };
    let holds: Vec<Hold> = (0..40)
        .flat_map(|key| (0..800).map(move |n| (key, n)))
        .map(|(key, n)| hold(key, n))
        .collect();
    let html = render(&verdict, &history, &holds);
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
}

#[test]
fn each_check_tells_its_method_what_it_found_and_how_long_it_took() {
    let cost = AnalysisCost {
        steps: vec![(Step::MutualExclusion, Duration::from_micros(12_300))],
        peak_resident_bytes: Some(84_000_000),
    };
    let background = Background { analysis: Some(cost), ..Background::default() };
    let html = page(&testing::violated(), &testing::history(5), &[], &background).into_string();
    assert_well_formed(&html);
    let (_, section) = html.split_once("<h2>Checks run</h2>").expect("the section");
    let (_, row) = section.split_once("mutual exclusion</th>").expect("its row");
    let (row, _) = row.split_once("</tr>").expect("its end");
    assert!(row.contains("O(n log n)") && row.contains("12.3 ms"), "{row}");
    assert!(!row.contains("nothing"), "{row}");
    assert!(!section.contains("registers</th>"), "locks have no registers");
    assert!(section.contains("at most 84.0 MB of memory resident"), "{section}");
    assert!(section.contains("Nothing that was checked was left undecided"), "{section}");
}

#[test]
fn what_was_left_undecided_is_told_with_the_reason() {
    let mut verdict = testing::held();
    verdict.properties.safety =
        Property { outcome: PropertyOutcome::Undecided, why: "the budget was spent".to_owned() };
    let html = render(&verdict, &testing::history(5), &[]);
    let (_, section) = html.split_once("<h3>Left undecided</h3>").expect("the list");
    assert!(section.contains("SAFETY: the budget was spent"), "{section}");
}

fn sent(fault: u32, host: &str, script: &str) -> FaultCommand {
    let (host, script) = (host.to_owned(), script.to_owned());
    FaultCommand { fault, host, step: "apply".to_owned(), script }
}

#[test]
fn the_exact_commands_of_a_fault_are_with_it_and_cannot_break_out() {
    let verdict = testing::violated();
    let fault = verdict.faults[0].id;
    let commands = vec![
        sent(fault, "n1", "set -eu\niptables -A LT-1 -j DROP"),
        sent(fault, "n2", "</pre><script>alert(1)</script>\u{202e}"),
        sent(fault + 1000, "n3", "of a fault that the verdict does not know"),
    ];
    let background = Background { commands, ..Background::default() };
    let html = page(&verdict, &testing::history(5), &[], &background).into_string();
    assert_well_formed(&html);
    assert!(html.contains("<summary>2 commands that applied and undid fault "), "{html}");
    assert!(html.contains("set -eu\niptables -A LT-1 -j DROP"), "{html}");
    assert!(!html.contains("<script>alert") && !html.contains('\u{202e}'), "{html}");
    assert!(!html.contains("that the verdict does not know"), "{html}");
}

#[test]
fn commands_beyond_the_room_for_them_are_left_to_the_audit_log() {
    let verdict = testing::violated();
    let fault = verdict.faults[0].id;
    let commands = vec![sent(fault, "n1", &"x\n".repeat(1000)); 1000];
    let background = Background { commands, ..Background::default() };
    let html = page(&verdict, &testing::history(5), &[], &background).into_string();
    assert!(html.len() < 1_000_000, "{} bytes", html.len());
    assert!(html.contains("more commands in <a href=\"audit.jsonl\">"), "{html}");
}

#[test]
fn the_files_of_the_run_are_linked_by_addresses_that_mean_nothing_else() {
    let files = ["history", "logs/n1.log", "logs/a b\"><b>", "logs/javascript:x"];
    let files = files.map(str::to_owned).to_vec();
    let background = Background { files, ..Background::default() };
    let html = page(&testing::held(), &testing::history(5), &[], &background).into_string();
    assert_well_formed(&html);
    for address in ["history", "logs/n1.log", "logs/a%20b%22%3E%3Cb%3E", "logs/javascript%3Ax"] {
        assert!(html.contains(&format!("href=\"{address}\"")), "{address}");
    }
}
