//! How long a verdict takes: over a run of 60 s, and over one with a hundred thousand acquires.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::time::Instant;

use locktest_analyzer::analyze;
use locktest_history::*;

const CLIENTS: u32 = 5;
const SERVERS: u16 = 5;
const MS: u64 = 1_000_000;
/// So short that every acquire is renewed while it waits.
const LEASE_TTL_MS: u64 = 600;
/// From one grant to the next.
const GRANT_INTERVAL_MS: u64 = 60;
const PROBE_INTERVAL_MS: u64 = 500;
const FAULT_MS: u64 = 10_000;
/// Odd, so that the median is a run's own.
const RUNS: usize = 15;

fn main() {
    // Without it this is a test run, which wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("analysis, the median of {RUNS} runs each; a run of 60 s may take 200 ms\n");
    println!(
        "{:<18}{:>9}{:>9}{:>10}   {:<16}{:>11}",
        "", "acquires", "records", "ms", "min..max", "ns/record"
    );
    measure("a run of 60 s", 1000);
    measure("1e5 acquires", 100_000);
}

fn measure(name: &str, holds: u64) {
    let history = history(holds);
    let verdict = analyze(&history);
    assert!(
        verdict.counts.acquires_ok == holds && verdict.violations.is_empty(),
        "the history is of a service that works: {}",
        verdict.summary
    );
    let mut times_ms: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begin = Instant::now();
            black_box(analyze(black_box(&history)));
            begin.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times_ms.sort_unstable_by(f64::total_cmp);
    let (median, records) = (times_ms[RUNS / 2], history.records.len());
    let spread = format!("{:.2}..{:.2}", times_ms[0], times_ms[RUNS - 1]);
    let ns_per_record = median * 1e6 / records as f64;
    println!("{name:<18}{holds:>9}{records:>9}{median:>10.2}   {spread:<16}{ns_per_record:>11.0}");
}

/// A run in which the clients take the lock in turn, three faults come, and all is well.
fn history(holds: u64) -> History {
    let mut story = Story::default();
    story.add(0, Record::Milestone { time_ns: 0, what: Milestone::ClusterReady });
    let mut asked_ms = [1; CLIENTS as usize];
    for hold in 0..holds {
        let client = (hold % u64::from(CLIENTS)) as u32;
        let granted_ms = 50 + hold * GRANT_INTERVAL_MS;
        story.hold(client, hold, asked_ms[client as usize], granted_ms);
        asked_ms[client as usize] = granted_ms + GRANT_INTERVAL_MS - 2;
    }
    let end_ms = 100 + holds * GRANT_INTERVAL_MS;
    for time_ms in (0..end_ms).step_by(PROBE_INTERVAL_MS as usize) {
        for node in (0..SERVERS).map(NodeId) {
            let end_ns = (time_ms + 3) * MS;
            let probe = Probe { begin_ns: time_ms * MS, end_ns, node, error: None };
            story.add(end_ns, Record::Probe(probe));
        }
    }
    for id in 1..=3 {
        story.fault(id, u64::from(id) * end_ms / 4);
    }
    for client in (0..CLIENTS).map(ClientId) {
        let time_ns = end_ms * MS;
        let exit = ClientExit { time_ns, client, cause: ExitCause::Finished };
        story.add(time_ns, Record::ClientExit(exit));
    }
    story.add(end_ms * MS, Record::Milestone { time_ns: end_ms * MS, what: Milestone::End });
    story.into_history(end_ms)
}

/// Records with the times at which they arrive.
#[derive(Default)]
struct Story {
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
            plan: plan(end_ms),
        };
        let records = self.records.into_iter().map(|(_, record)| record).collect();
        History { run, records, damage: Vec::new() }
    }

    /// An acquire that waits from `asked_ms` to `granted_ms`, renewed every third of the lease, and
    /// all that a client does with the lock.
    fn hold(&mut self, client: u32, hold: u64, asked_ms: u64, granted_ms: u64) {
        let attempt = hold / u64::from(CLIENTS) + 1;
        let mut lease_start_ms = asked_ms;
        let lease = |start_ms: u64| Detail::Lease {
            lease_start_ns: start_ms * MS,
            lease_ttl_ms: LEASE_TTL_MS,
            revision: None,
            session_ns: MS,
            wait_ns: 0,
        };
        let mut operation = |function, begin_ms, end_ms, invoke, completion| {
            self.next_op += 1;
            for (time_ms, phase, detail) in
                [(begin_ms, Phase::Invoke, invoke), (end_ms, Phase::Ok, completion)]
            {
                let event = Event {
                    time_ns: time_ms * MS,
                    client: ClientId(client),
                    attempt,
                    op: self.next_op,
                    key: KeyId(0),
                    server: Some(NodeId((client % u32::from(SERVERS)) as u16)),
                    function,
                    phase,
                    detail,
                };
                self.records.push((event.time_ns, Record::Event(event)));
            }
        };
        let mut renew_ms = asked_ms + LEASE_TTL_MS / 3;
        while renew_ms < granted_ms {
            operation(Function::Renew, renew_ms, renew_ms + 1, Detail::None, lease(renew_ms));
            lease_start_ms = renew_ms;
            renew_ms += LEASE_TTL_MS / 3;
        }
        let acquired = lease(lease_start_ms);
        let intended = Detail::Intended { start_ns: asked_ms * MS - MS / 2 };
        operation(Function::Acquire, asked_ms, granted_ms, intended, acquired);
        let token = Some(Token { major: hold + 1, minor: 0 });
        let entry = Detail::Entry { ours: true, token, at_revision: None };
        operation(Function::Validate, granted_ms, granted_ms + 1, Detail::None, entry);
        let (read_ms, write_ms) = (granted_ms + 2, granted_ms + GRANT_INTERVAL_MS - 5);
        for resource in [Resource::Unfenced, Resource::Fenced] {
            let access = |value| Detail::Access { resource, token, value };
            operation(Function::Read, read_ms, read_ms + 1, access(0), access(hold));
            operation(Function::Write, write_ms, write_ms + 1, access(hold), access(hold));
        }
        let release_ms = granted_ms + GRANT_INTERVAL_MS - 4;
        operation(Function::Release, release_ms, release_ms + 2, Detail::None, Detail::None);
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

fn plan(end_ms: u64) -> Plan {
    Plan {
        version: "3.4.23".into(),
        nodes: (1..=SERVERS).map(|n| format!("n{n}")).collect(),
        client_seeds: (0..CLIENTS).map(u64::from).collect(),
        lease_ttl_ms: LEASE_TTL_MS,
        time_limit_ms: end_ms,
        nemesis_interval_ms: FAULT_MS,
        bounds: Bounds { lease_bound_ms: LEASE_TTL_MS, recovery_bound_ms: 10_000 },
        ..Plan::of(Backend::Etcd)
    }
}
