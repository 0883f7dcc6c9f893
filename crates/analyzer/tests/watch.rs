//! What the watch says while a history arrives, against the verdict over what has arrived.

mod common;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use common::*;
use locktest_analyzer::{Alarm, Heard, Verdict, ViolationClass, Watch, analyze, analyze_so_far};
use locktest_history::*;
use proptest::prelude::*;

/// A run that arrives.
struct Arriving {
    watch: Watch,
    arrived: History,
    alarms: Vec<Alarm>,
}

impl Arriving {
    fn new(story: &Story) -> Arriving {
        let arrived = History { records: vec![], ..story.history.clone() };
        Arriving { watch: Watch::new(&arrived.run.plan), arrived, alarms: vec![] }
    }

    fn record(&mut self, record: Record) {
        self.alarms.extend(self.watch.record(&record));
        self.arrived.records.push(record);
    }

    fn heard(&mut self, client: u32, ns: u64) {
        self.alarms.extend(self.watch.heard(ClientId(client - 1), ns));
    }

    fn verdict_so_far(&self) -> Verdict {
        let heard = Heard { clients: self.watch.clients_heard(), cut_ns: None };
        analyze_so_far(&self.arrived, &heard)
    }

    /// Lets all of a story arrive, in its own order.
    fn all(story: &Story) -> Vec<Alarm> {
        let mut arriving = Arriving::new(story);
        for record in &story.history.records {
            arriving.record(record.clone());
        }
        arriving.alarms
    }
}

fn alarm(class: ViolationClass, ms: u64) -> Alarm {
    Alarm { class, key: KeyId(0), time_ns: ms * MS }
}

#[test]
fn a_second_grant_alone_is_no_alarm_until_the_first_holder_is_heard_of() {
    let mut s = Story::new();
    s.granted(1, 0..10);
    s.granted(2, 15..20);
    let mut run = Arriving::new(&s);
    for record in s.history.records.clone() {
        run.record(record);
    }
    assert_eq!(run.alarms, []);
    run.heard(1, 20 * MS);
    assert_eq!(run.alarms, [], "it may release in this very instant");
    run.heard(1, 20 * MS + 1);
    assert_eq!(run.alarms, [alarm(ViolationClass::DoubleGrant, 20)]);
    assert_eq!(found(&run.verdict_so_far()), ["double-grant x1"]);
    run.heard(1, 21 * MS);
    assert_eq!(run.alarms.len(), 1, "once is enough");
}

#[test]
fn a_release_that_arrives_late_clears_the_service() {
    let mut s = Story::new();
    let first = s.granted(1, 0..10);
    let mut run = Arriving::new(&s);
    let mut rest = Story::new();
    rest.granted(2, 15..20);
    rest.release(Owner { attempt: first.attempt, ..first }, 14..16);
    for record in s.history.records.iter().chain(&rest.history.records[1..]) {
        run.record(record.clone());
    }
    assert_eq!(run.alarms, []);
}

#[test]
fn a_renewal_that_is_answered_late_shows_that_the_lease_had_lived() {
    let mut s = Story::new();
    s.plan().client_seeds = vec![1, 2];
    let first = s.granted(1, 0..10);
    s.event(first, 900, 990, Function::Renew, Phase::Invoke, Detail::None);
    // The first lease is over, as far as anybody knows.
    s.held(2, 1100..1110, 1120..1121, 2);
    // Everything until here is settled, and the second hold was left behind.
    s.unknown(2, 1200..1210);
    let late = Detail::Reason("timeout".into());
    s.event(first, 901, 1205, Function::Renew, Phase::Invoke, Detail::None);
    s.event(first, 901, 1206, Function::Renew, Phase::Info, late);
    s.unknown(2, 1220..1230);
    assert_eq!(Arriving::all(&s), []);
    s.event(first, 900, 1240, Function::Renew, Phase::Ok, lease(990, TTL_MS, None));
    assert_eq!(Arriving::all(&s), [alarm(ViolationClass::DoubleGrant, 1240)]);
}

#[test]
fn what_a_silent_client_did_counts_once_it_is_heard_again() {
    let mut s = Story::new();
    s.plan().client_seeds = vec![1, 2];
    s.granted(1, 0..10);
    s.held(2, 300..310, 320..321, 2);
    // Long enough for the first client to be passed over and for the hold to be left behind.
    s.unknown(2, 500..510);
    s.unknown(2, 600..610);
    let mut run = Arriving::new(&s);
    for record in s.history.records.clone() {
        run.record(record);
    }
    assert_eq!(run.alarms, []);
    run.heard(1, 610 * MS);
    assert_eq!(run.alarms, [alarm(ViolationClass::DoubleGrant, 310)]);
    assert_eq!(found(&run.verdict_so_far()), ["double-grant x1"]);
}

#[test]
fn a_killed_holder_keeps_what_it_was_promised() {
    let mut s = Story::new();
    s.granted(1, 0..10);
    s.granted(2, 15..20);
    assert_eq!(Arriving::all(&s), []);
    s.killed(1, 18);
    assert_eq!(Arriving::all(&s), [alarm(ViolationClass::DoubleGrant, 20)]);
}

#[test]
fn a_token_that_is_not_larger_is_noticed_when_it_is_read() {
    let mut s = Story::new();
    s.held(1, 0..10, 20..21, 7);
    for ms in [100, 200, 300] {
        s.unknown(1, ms..ms + 1);
        s.unknown(3, ms..ms + 1);
    }
    let second = s.granted(2, 300..310);
    s.ours(second, 311..312, 6);
    assert_eq!(Arriving::all(&s), [alarm(ViolationClass::TokenNotMonotone, 312)]);
}

#[test]
fn a_waiter_that_asked_long_before_still_gets_a_larger_token() {
    let mut s = Story::new();
    s.held(1, 0..10, 20..21, 7);
    let second = s.granted_with(2, 5..30, lease(25, TTL_MS, None));
    s.ours(second, 31..32, 7);
    let tokens = [alarm(ViolationClass::TokenNotMonotone, 32)];
    assert_eq!(Arriving::all(&s), tokens);
}

#[test]
fn a_grant_without_an_entry_at_its_own_revision_is_stale_at_once() {
    for (revision, entry_seen, expected) in [(9, false, 1), (8, false, 0), (9, true, 0)] {
        let mut s = Story::new();
        let owner = s.granted_with(1, 0..10, lease(0, TTL_MS, Some(9)));
        if entry_seen {
            s.ours(owner, 11..12, 3);
        }
        s.not_ours(owner, 12..15, Some(revision));
        let alarms = Arriving::all(&s);
        assert_eq!(alarms.len(), expected, "{revision} {entry_seen}");
        assert!(alarms.iter().all(|found| *found == alarm(ViolationClass::StaleGrant, 15)));
    }
}

/// One attempt; times are milliseconds after the one before.
#[derive(Clone, Debug)]
struct Drawn {
    key: u32,
    idle: u64,
    waits: u64,
    /// Whether it is granted; else its outcome is unknown.
    granted: bool,
    lease_age: u64,
    ttl: u64,
    /// Invoke after the acquire's, completion after that, and how it ends.
    renewals: Vec<(u64, u64, Phase)>,
    /// The token, or the revision at which the entry was not there; and when.
    entry: Option<(Result<u64, u64>, u64)>,
    held: u64,
    released: bool,
}

fn drawn(scale: u64) -> impl Strategy<Value = Drawn> {
    let ends = proptest::sample::select(vec![Phase::Ok, Phase::Ok, Phase::Info, Phase::Fail]);
    let renewal = (0..12 * scale, 0..10 * scale, ends);
    let entry = (prop_oneof![4 => (1..9u64).prop_map(Ok), 1 => (1..3u64).prop_map(Err)], 0..4u64);
    (
        (0..2u32, 0..10 * scale, 0..8 * scale, prop::bool::weighted(0.85)),
        (0..4u64, 0..15 * scale, prop::collection::vec(renewal, 0..3)),
        (prop::option::weighted(0.7, entry), 0..12 * scale, prop::bool::weighted(0.85)),
    )
        .prop_map(|((key, idle, waits, granted), (lease_age, ttl, renewals), rest)| {
            let (entry, held, released) = rest;
            let key = u32::from(key == 1 && idle % 3 == 0);
            Drawn { key, idle, waits, granted, lease_age, ttl, renewals, entry, held, released }
        })
}

/// Every client's records in time order.
fn by_client(
    plans: &[(Vec<Drawn>, Option<u64>)],
    recipe: Recipe,
) -> (Story, Vec<VecDeque<Record>>) {
    let mut s = Story::new();
    s.on(store_of(recipe), recipe);
    s.history.records.clear();
    s.plan().client_seeds = vec![0; plans.len()];
    let mut clients = Vec::new();
    for (client, (attempts, killed)) in (1..).zip(plans) {
        let mut now = 0;
        for drawn in attempts {
            let asked = now + drawn.idle;
            let ok = asked + drawn.waits;
            let owner = Owner { key: drawn.key, ..s.owner(client) };
            let phase = if drawn.granted { Phase::Ok } else { Phase::Info };
            let detail = lease(ok.saturating_sub(drawn.lease_age), drawn.ttl, Some(1));
            s.operation(owner, asked..ok, Function::Acquire, phase, detail);
            for (n, (after, took, phase)) in (1..).zip(&drawn.renewals) {
                let (op, begin) = (10_000 * owner.attempt + n, asked + after);
                s.event(owner, op, begin, Function::Renew, Phase::Invoke, Detail::None);
                let detail = match phase {
                    Phase::Ok => lease(begin, drawn.ttl, None),
                    _ => Detail::Reason("no".into()),
                };
                s.event(owner, op, begin + took, Function::Renew, *phase, detail);
            }
            match drawn.entry {
                Some((Ok(token), after)) => s.ours(owner, ok..ok + after, token),
                Some((Err(revision), after)) => s.not_ours(owner, ok..ok + after, Some(revision)),
                None => {}
            }
            now = ok + drawn.held;
            if drawn.released {
                s.release(owner, now..now + 1);
                now += 1;
            }
        }
        let mut records = std::mem::take(&mut s.history.records);
        if let Some(killed) = killed {
            records.retain(|record| time_ns(record) <= killed * MS);
        }
        records.sort_by_key(time_ns);
        let last_ms = records.last().map_or(0, |record| time_ns(record) / MS);
        let cause = if killed.is_some() { ExitCause::Killed(9) } else { ExitCause::Finished };
        s.exit(client, killed.unwrap_or(last_ms + 5).max(1), cause);
        records.append(&mut s.history.records);
        clients.push(records.into());
    }
    (s, clients)
}

fn time_ns(record: &Record) -> u64 {
    match record {
        Record::Event(event) => event.time_ns,
        Record::ClientExit(exit) => exit.time_ns,
        _ => unreachable!("nothing else was drawn"),
    }
}

/// Lets the records arrive in an order that is each client's own, mostly by time, with watermarks
/// in between; `look` is called after each step.
fn arrive(
    story: &Story,
    mut clients: Vec<VecDeque<Record>>,
    choices: &[(usize, u64)],
    mut look: impl FnMut(&Arriving) -> Result<(), TestCaseError>,
) -> Result<Arriving, TestCaseError> {
    let mut run = Arriving::new(story);
    let mut choices = choices.iter().cycle();
    while clients.iter().any(|records| !records.is_empty()) {
        let (choice, part) = *choices.next().expect("a cycle");
        let waiting: Vec<usize> =
            (0..clients.len()).filter(|index| !clients[*index].is_empty()).collect();
        let next = |index: &usize| time_ns(&clients[*index][0]);
        let chosen = match choice {
            0..6 => waiting.iter().copied().min_by_key(next).expect("somebody waits"),
            _ => waiting[choice % waiting.len()],
        };
        let record = clients[chosen].pop_front().expect("it waits");
        let (now_ns, client) = (time_ns(&record), chosen as u32 + 1);
        run.record(record);
        look(&run)?;
        if let Some(next) = clients[chosen].front() {
            run.heard(client, now_ns + (time_ns(next) - now_ns) * part / 4);
            look(&run)?;
        }
    }
    Ok(run)
}

fn keys_of(verdict: &Verdict, class: ViolationClass) -> BTreeSet<String> {
    let of_class = verdict.violations.iter().filter(|violation| violation.class == class);
    of_class.map(|violation| violation.key.clone()).collect()
}

fn alarmed(run: &Arriving, class: ViolationClass) -> BTreeSet<String> {
    let of_class = run.alarms.iter().filter(|alarm| alarm.class == class);
    of_class.map(|alarm| run.arrived.run.plan.key_name(alarm.key)).collect()
}

const CLASSES: [ViolationClass; 3] =
    [ViolationClass::DoubleGrant, ViolationClass::StaleGrant, ViolationClass::TokenNotMonotone];

fn fits_on_the_page(verdict: &Verdict) -> bool {
    CLASSES.iter().all(|class| verdict.violation_counts.get(class).is_none_or(|count| *count <= 5))
}

/// Everything that the watch called a violation is one for the verdict, too.
fn check_alarms(run: &Arriving, verdict: &Verdict) -> Result<(), TestCaseError> {
    for class in CLASSES {
        let (alarmed, found) = (alarmed(run, class), keys_of(verdict, class));
        let count = verdict.violation_counts.get(&class).copied().unwrap_or(0);
        prop_assert!(alarmed.is_empty() || count > 0, "{} at {:?}", class, alarmed);
        prop_assert!(
            alarmed.is_subset(&found) || !fits_on_the_page(verdict),
            "{class}: {alarmed:?} is not in {found:?}"
        );
    }
    Ok(())
}

fn run_of(scale: u64) -> impl Strategy<Value = Vec<(Vec<Drawn>, Option<u64>)>> {
    let killed = prop::option::weighted(0.1, 1..40 * scale);
    let client = (prop::collection::vec(drawn(scale), 1..4), killed);
    prop::collection::vec(client, 2..5)
}

/// One whose leases are promised whole, one that promises less, and one whose grants are never stale.
fn recipes() -> impl Strategy<Value = Recipe> {
    proptest::sample::select(vec![Recipe::LockRpc, Recipe::Redlock, Recipe::Sim])
}

fn choices() -> impl Strategy<Value = Vec<(usize, u64)>> {
    prop::collection::vec((0..10usize, 0..5u64), 40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// No client falls silent: everything happens within the time that one is waited for.
    #[test]
    fn it_knows_of_a_double_grant_as_soon_as_the_verdict_over_what_arrived_does(
        plans in run_of(1),
        choices in choices(),
        recipe in recipes(),
    ) {
        let (story, clients) = by_client(&plans, recipe);
        let run = arrive(&story, clients, &choices, |run| {
            let verdict = run.verdict_so_far();
            check_alarms(run, &verdict)?;
            let class = ViolationClass::DoubleGrant;
            if fits_on_the_page(&verdict) {
                prop_assert_eq!(alarmed(run, class), keys_of(&verdict, class));
            }
            Ok(())
        })?;
        check_alarms(&run, &analyze(&run.arrived))?;
    }

    /// Clients fall silent and are passed over.
    #[test]
    fn it_never_calls_a_violation_what_is_none(
        plans in run_of(30),
        choices in choices(),
        recipe in recipes(),
    ) {
        let (story, clients) = by_client(&plans, recipe);
        let run = arrive(&story, clients, &choices, |_| Ok(()))?;
        check_alarms(&run, &analyze(&run.arrived))?;
    }

    /// The second opinion, too: a cut history is violated only if the whole one is.
    #[test]
    fn the_verdict_so_far_finds_nothing_that_the_whole_history_does_not_show(
        plans in run_of(30),
        choices in choices(),
        recipe in recipes(),
    ) {
        let (story, clients) = by_client(&plans, recipe);
        let mut found_so_far: BTreeMap<ViolationClass, u64> = BTreeMap::new();
        let run = arrive(&story, clients, &choices, |run| {
            let cut_ns = Some(run.watch.complete_until_ns());
            let heard = Heard { clients: run.watch.clients_heard(), cut_ns };
            let verdict = analyze_so_far(&run.arrived, &heard);
            for (class, count) in verdict.violation_counts {
                let before = found_so_far.entry(class).or_default();
                *before = count.max(*before);
            }
            Ok(())
        })?;
        let whole = analyze(&run.arrived).violation_counts;
        for (class, count) in found_so_far {
            if class != ViolationClass::LeaseOverrun && class != ViolationClass::TokenNotMonotone {
                prop_assert!(whole.get(&class).is_some_and(|all| *all >= count), "{}", class);
            }
        }
    }
}

/// A long run with one contended lock and all that a client does.
#[test]
fn the_memory_does_not_grow_with_the_run() {
    let mut s = Story::new();
    s.plan().client_seeds = vec![0; 3];
    let mut sizes = Vec::new();
    let mut run = Arriving::new(&s);
    for turn in 0..3000u64 {
        let (client, at) = (turn as u32 % 3 + 1, turn * 20);
        s.held(client, at..at + 5, at + 10..at + 11, turn + 1);
        for record in std::mem::take(&mut s.history.records) {
            run.watch.record(&record);
        }
        for client in 1..=3 {
            run.heard(client, (at + 15) * MS);
        }
        sizes.push(format!("{:?}", run.watch).len());
    }
    assert_eq!(run.alarms, []);
    let (early, late) = sizes.split_at(100);
    assert!(late.iter().max() < early.iter().max().map(|size| size + size / 4).as_ref());
}
