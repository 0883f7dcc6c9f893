use locktest_analyzer::Warning;

use super::*;
use crate::testing;

fn run(name: &str, started_at_unix_s: u64, state: RunState) -> StoreRun {
    let mut run = testing::history(5).run;
    run.started_at_unix_s = started_at_unix_s;
    StoreRun::of(OsStr::new(name), &run, state)
}

fn runs() -> Vec<StoreRun> {
    vec![
        run("held", 1_760_000_000, RunState::of(&testing::held())),
        run("violated", 1_760_000_100, RunState::of(&testing::violated())),
        run("running", 1_760_000_200, RunState::Running { elapsed_s: 12.0, granted: 345 }),
        run("broken", 1_760_000_300, RunState::BrokenOff),
        StoreRun::unreadable(OsStr::new("<b>bad</b>"), "it is <i>empty</i>".into()),
    ]
}

/// The names of the runs in the order in which the table has them.
fn order(page: &str) -> Vec<&'static str> {
    let table = page.split("<tbody>").nth(1).expect("a table");
    let names = ["held", "violated", "running", "broken", "&lt;b&gt;bad"];
    let mut found: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|name| Some((table.find(&format!(">{name}"))?, name)))
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, name)| name).collect()
}

#[test]
fn the_newest_run_comes_first_and_sorting_puts_violations_first() {
    let page = |sort: Option<&str>| {
        let selection = Selection { sort: sort.map(str::to_owned), ..Selection::default() };
        render_store_html("store", &runs(), &selection)
    };
    assert_eq!(order(&page(None)), ["broken", "running", "violated", "held", "&lt;b&gt;bad"]);
    assert_eq!(order(&page(Some("state")))[0], "violated");
    assert_eq!(order(&page(Some("nonsense"))).len(), 5);
}

#[test]
fn filters_leave_out_what_was_not_asked_for() {
    let selection = Selection { state: Some("violated".into()), ..Selection::default() };
    assert_eq!(order(&render_store_html("store", &runs(), &selection)), ["violated"]);
    let selection = Selection { backend: Some("etcd".into()), ..Selection::default() };
    let page = render_store_html("store", &runs(), &selection);
    assert!(page.contains("No run is like that."), "{page}");
}

#[test]
fn a_run_that_goes_on_shows_how_far_it_is_and_the_page_comes_again_for_who_follows() {
    let comes_again = |page: &str| page.contains("http-equiv=\"refresh\"");
    let page = render_store_html("store", &runs(), &Selection::default());
    assert!(page.contains("12 s of 60 s") && page.contains("345 acquires granted"), "{page}");
    assert!(!comes_again(&page), "nobody is moved who did not ask");
    assert!(page.contains("<a href=\"/?live=1\">follow it</a>"), "{page}");
    let follows = Selection { live: true, sort: Some("seed".into()), ..Selection::default() };
    let page = render_store_html("store", &runs(), &follows);
    assert!(comes_again(&page));
    assert!(page.contains("<a href=\"/?sort=seed\">hold this page still</a>"), "{page}");
    let ended = render_store_html("store", &runs()[..2], &follows);
    assert!(!comes_again(&ended), "there is nothing to follow");
}

#[test]
fn a_verdict_that_comes_with_doubts_says_how_many() {
    let mut doubted = testing::held();
    doubted.warnings = vec![Warning::Interrupted];
    let page = |verdict: &_| {
        let runs = [run("held", 1_760_000_000, RunState::of(verdict))];
        render_store_html("store", &runs, &Selection::default())
    };
    assert!(page(&doubted).contains("1 warning<"));
    doubted.warnings.clear();
    assert!(!page(&doubted).contains("warning"));
}

#[test]
fn nothing_from_outside_is_markup() {
    let evil = "\"><script>alert(1)</script>";
    let selection = Selection {
        backend: Some(evil.into()),
        faults: Some(evil.into()),
        state: Some(evil.into()),
        sort: Some(evil.into()),
        live: true,
    };
    let mut runs = runs();
    runs.push(run("<script>x</script>", 1, RunState::of(&testing::held())));
    let page = render_store_html(evil, &runs, &selection);
    assert!(!page.contains("<script"), "{page}");
    let page = render_store_html(evil, &runs, &Selection::default());
    assert!(!page.contains("<script") && !page.contains("<i>"), "{page}");
    assert!(page.contains("/runs/%3Cscript%3Ex%3C%2Fscript%3E/report.html"), "{page}");
}
