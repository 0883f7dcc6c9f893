//! What the reports of a run of a million operations cost: how long each takes, how large it is, and the
//! memory that it needs besides the history's.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs;
use std::time::Instant;

use locktest_analyzer::{Verdict, analyze};
use locktest_history::*;
use locktest_reports::{
    Background, Style, render_html, render_json, render_junit, render_markdown, render_prometheus,
    render_verdict,
};

const SERVERS: u16 = 5;
const KEYS: u32 = 4;
const OPERATIONS: u64 = 1_000_000;
/// An acquire, a read, a write, and a release.
const OPERATIONS_A_HOLD: u64 = 4;
const MS: u64 = 1_000_000;
const LEASE_TTL_MS: u64 = 2000;
/// From one grant of a lock to its next.
const GRANT_INTERVAL_MS: u64 = 10;
/// One hold of so many is granted while the one before still holds.
const HOLDS_A_VIOLATION: u64 = 997;
const PROBE_INTERVAL_MS: u64 = 500;
const FAULT_INTERVAL_MS: u64 = 20_000;
const FAULT_MS: u64 = 5000;
/// Odd, so that the median is a run's own.
const RUNS: usize = 5;

fn main() {
    // Without it this is a test run, which wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!(
        "reports of a run of {OPERATIONS} operations, the median of {RUNS} renderings each; the page \
         may take 2 s, 300 MB besides the history, and 2 MB on disk\n"
    );
    for clients in [16, 500] {
        measure(clients);
    }
}

fn measure(clients: u32) {
    let history = history(clients);
    let verdict = analyze(&history);
    let found: u64 = verdict.violation_counts.values().sum();
    assert!(
        found > 100 && verdict.counts.acquires_ok * OPERATIONS_A_HOLD == OPERATIONS,
        "the history is of a service that fails now and then: {}",
        verdict.summary
    );
    println!(
        "{clients} clients, {KEYS} locks, {} faults, {found} violations: {} records",
        verdict.faults.len(),
        history.records.len()
    );
    type Renderer<'a> = (&'a str, &'a dyn Fn(&Verdict, &History) -> String);
    let renderers: [Renderer; 6] = [
        ("report.html", &|verdict, history| render_html(verdict, history, &Background::default())),
        ("terminal", &|verdict, history| {
            render_verdict(verdict, history, None, Style { width: 80, colour: true })
        }),
        ("verdict.json", &|verdict, _| render_json(verdict)),
        ("junit.xml", &|verdict, history| render_junit(verdict, history)),
        ("Markdown", &|verdict, history| render_markdown(verdict, history)),
        ("Prometheus", &|verdict, history| render_prometheus(verdict, history)),
    ];
    for (name, render) in renderers {
        forget_peak();
        let before = resident_bytes("VmRSS");
        let size = render(&verdict, &history).len();
        let grown = resident_bytes("VmHWM").saturating_sub(before);
        let mut times_ms: Vec<f64> = (0..RUNS)
            .map(|_| {
                let begin = Instant::now();
                std::hint::black_box(render(&verdict, &history));
                begin.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times_ms.sort_unstable_by(f64::total_cmp);
        println!(
            "  {name:<13}{:>9.2} ms  {:<18}{:>8.1} kB{:>8.1} MB more memory",
            times_ms[RUNS / 2],
            format!("{:.2}..{:.2}", times_ms[0], times_ms[RUNS - 1]),
            size as f64 / 1e3,
            grown as f64 / 1e6
        );
    }
    println!();
}

/// Makes the kernel count the peak of resident memory from now on.
fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("the kernel counts a process's memory");
}

fn resident_bytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the kernel tells of a process");
    let line = status.lines().find(|line| line.starts_with(field)).expect("it is counted");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    kib.expect("it is a number") * 1024
}

/// A run in which the clients of each lock take it in turn, and now and then one gets it too early.
fn history(clients: u32) -> History {
    let mut story = Story { clients, ..Story::default() };
    story.add(0, Record::Milestone { time_ns: 0, what: Milestone::ClusterReady });
    let holds = OPERATIONS / OPERATIONS_A_HOLD / u64::from(KEYS);
    for key in 0..KEYS {
        for hold in 0..holds {
            story.hold(key, hold);
        }
    }
    let end_ms = 200 + holds * GRANT_INTERVAL_MS;
    for time_ms in (0..end_ms).step_by(PROBE_INTERVAL_MS as usize) {
        for node in (0..SERVERS).map(NodeId) {
            let end_ns = (time_ms + 3) * MS;
            let in_fault = time_ms % FAULT_INTERVAL_MS < FAULT_MS && node.0 < 2;
            let error = in_fault.then(|| "no leader".to_owned());
            story.add(end_ns, Record::Probe(Probe { begin_ns: time_ms * MS, end_ns, node, error }));
        }
    }
    for (id, begin_ms) in
        (1..).zip((FAULT_INTERVAL_MS..end_ms - FAULT_MS).step_by(FAULT_INTERVAL_MS as usize))
    {
        story.fault(id, begin_ms);
    }
    let end_ns = end_ms * MS;
    for client in (0..clients).map(ClientId) {
        story.add(
            end_ns,
            Record::ClientExit(ClientExit { time_ns: end_ns, client, cause: ExitCause::Finished }),
        );
    }
    story.add(end_ns, Record::Milestone { time_ns: end_ns, what: Milestone::End });
    story.into_history(end_ms)
}

/// Records with the times at which they arrive.
#[derive(Default)]
struct Story {
    clients: u32,
    records: Vec<(u64, Record)>,
    next_op: u64,
}

impl Story {
    fn add(&mut self, time_ns: u64, record: Record) {
        self.records.push((time_ns, record));
    }

    fn into_history(mut self, end_ms: u64) -> History {
        self.records.sort_by_key(|(time_ns, _)| *time_ns);
        let run = Run {
            id: "0a1b2c".into(),
            started_at_unix_s: 0,
            origin_monotonic_ns: 0,
            command: "locktest --backend etcd".into(),
            lab: None,
            plan: plan(self.clients, end_ms),
        };
        let records = self.records.into_iter().map(|(_, record)| record).collect();
        History { run, records, damage: Vec::new() }
    }

    /// All that a client does with a lock, from its wish for it.
    fn hold(&mut self, key: u32, hold: u64) {
        // The clients of a lock are those whose number leaves `key` when divided by the locks.
        let owners = u64::from(self.clients / KEYS);
        let client = ClientId((hold % owners) as u32 * KEYS + key);
        let attempt = hold / owners + 1;
        let granted_ms = 100 + hold * GRANT_INTERVAL_MS;
        let is_early = hold % HOLDS_A_VIOLATION == HOLDS_A_VIOLATION - 1;
        let granted_ms = if is_early { granted_ms - 4 } else { granted_ms };
        // It asks as soon as it has released the lock.
        let asked_ms =
            (granted_ms + 1).saturating_sub(owners * GRANT_INTERVAL_MS - 9).min(granted_ms - 1);
        let lease = Detail::Lease {
            lease_start_ns: asked_ms.max(granted_ms - 3) * MS,
            lease_ttl_ms: LEASE_TTL_MS,
            revision: None,
            session_ns: MS,
            wait_ns: 0,
        };
        let token = Some(Token { major: hold + 1, minor: 0 });
        let access = |value| Detail::Access { resource: Resource::Fenced, token, value };
        let mut operation = |function, begin_ms: u64, end_ms: u64, invoke, completion| {
            self.next_op += 1;
            for (time_ms, phase, detail) in
                [(begin_ms, Phase::Invoke, invoke), (end_ms, Phase::Ok, completion)]
            {
                let event = Event {
                    // Events of a real run share no instant.
                    time_ns: time_ms * MS + self.next_op % 900_000,
                    client,
                    attempt,
                    op: self.next_op,
                    key: KeyId(key),
                    server: Some(NodeId((client.0 % u32::from(SERVERS)) as u16)),
                    function,
                    phase,
                    detail,
                };
                self.records.push((event.time_ns, Record::Event(event)));
            }
        };
        operation(Function::Acquire, asked_ms, granted_ms, Detail::None, lease);
        operation(Function::Read, granted_ms + 1, granted_ms + 2, access(0), access(hold));
        operation(Function::Write, granted_ms + 3, granted_ms + 4, access(hold), access(hold));
        operation(Function::Release, granted_ms + 7, granted_ms + 8, Detail::None, Detail::None);
    }

    fn fault(&mut self, id: u32, begin_ms: u64) {
        let end_ns = (begin_ms + FAULT_MS) * MS;
        let [minority, majority] =
            [0..2, 2..5].map(|side| side.map(|n| Party::Server(NodeId(n))).collect::<Vec<_>>());
        let aim = Aim::Shape(PartitionShape::Halves);
        let fault = Fault {
            cuts: Cut::both_ways(&minority, &majority).into(),
            ..Fault::new(FaultKind::Partition, aim, FAULT_MS)
        };
        let begun = FaultBegun {
            id,
            fault,
            begin_ns: begin_ms * MS,
            in_force_ns: (begin_ms + 60) * MS,
            hosts: vec![],
        };
        let ended = FaultEnded {
            id,
            heal_begin_ns: end_ns - 60 * MS,
            end_ns,
            hosts: vec![],
            bit: true,
            proof: vec!["1234 packets from n3 were dropped at n1".into()],
            undone: true,
            undo_proof: vec!["no rule of the run is left".into()],
        };
        self.add(begun.in_force_ns, Record::FaultBegun(begun.into()));
        self.add(end_ns, Record::FaultEnded(ended));
    }
}

fn plan(clients: u32, end_ms: u64) -> Plan {
    Plan {
        version: "3.4.23".into(),
        nodes: (1..=SERVERS).map(|n| format!("n{n}")).collect(),
        client_seeds: (0..clients).map(u64::from).collect(),
        keys: (0..KEYS).map(|n| format!("lock-{n}")).collect(),
        lease_ttl_ms: LEASE_TTL_MS,
        time_limit_ms: end_ms,
        nemesis_interval_ms: FAULT_MS,
        bounds: Bounds { lease_bound_ms: LEASE_TTL_MS, recovery_bound_ms: 10_000 },
        ..Plan::of(Backend::Etcd)
    }
}
