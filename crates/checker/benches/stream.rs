//! How long an online decider takes for a history that no memory would hold.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::Instant;

use locktest_checker::stream::{Decider, Step, StreamDecision, StreamEvent, StreamVerdict};
use locktest_checker::{Action, Outcome, Process, Specification};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How many operations, if another number is wanted.
const OPERATIONS: &str = "LOCKTEST_BENCH_STREAM_OPERATIONS";
const DEFAULT_OPERATIONS: u64 = 100_000_000;
const MEMORY_BOUND_MB: u64 = 200;

fn main() {
    // Without it this is a test run, which wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let operations = std::env::var(OPERATIONS).ok().and_then(|count| count.parse().ok());
    let operations = operations.unwrap_or(DEFAULT_OPERATIONS);
    println!("owner mutex, streamed: half try-locks, 10 % info, generated on the fly\n");
    println!(
        "{:>8}{:>12}{:>9}{:>8}{:>10}   at most {MEMORY_BOUND_MB} MB",
        "clients", "operations", "s", "ns/op", "peak MB"
    );
    for clients in [5, 50, 500] {
        measure(clients, operations / 10);
    }
    measure(50, operations);
}

fn measure(clients: u32, operations: u64) {
    let mut service = Service::new(clients);
    let mut decider = Decider::new(Specification::OwnerMutex).expect("it has an online decider");
    let begin = Instant::now();
    while service.invoked < operations {
        if let Some(event) = service.next_event() {
            decider.event(&event).expect("the service works");
        }
    }
    let StreamDecision { verdict, counts } = decider.finish();
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!(verdict, StreamVerdict::Linearizable);
    assert!(counts.invoked == operations && counts.unknown > operations / 20, "{counts:?}");
    let ns_per_operation = seconds * 1e9 / operations as f64;
    println!(
        "{clients:>8}{operations:>12}{seconds:>9.2}{ns_per_operation:>8.0}{:>10}",
        peak_memory_mb()
    );
}

/// The most memory that this process ever had, in megabytes.
fn peak_memory_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kb.unwrap_or(0) / 1024
}

/// A lock that works, and clients that take turns in no order.
struct Service {
    rng: ChaCha8Rng,
    clients: Vec<Client>,
    holder: Option<usize>,
    next_process: Process,
    stamp: u64,
    invoked: u64,
}

#[derive(Clone, Copy)]
struct Client {
    process: Process,
    open: Option<Action>,
}

impl Service {
    fn new(clients: u32) -> Service {
        Service {
            rng: ChaCha8Rng::seed_from_u64(1),
            clients: (0..clients).map(|process| Client { process, open: None }).collect(),
            holder: None,
            next_process: clients,
            stamp: 0,
            invoked: 0,
        }
    }

    /// What one client does next; `None` if it waits.
    fn next_event(&mut self) -> Option<StreamEvent> {
        let dice = self.rng.random::<u64>();
        let index = (dice % self.clients.len() as u64) as usize;
        let unknown = (dice >> 32).is_multiple_of(10);
        let holds = self.holder == Some(index);
        let Client { process, open } = self.clients[index];
        let Some(action) = open else {
            let action = match (holds, dice >> 63) {
                (true, _) => Action::Release,
                (false, 0) => Action::Acquire(0),
                (false, _) => Action::TryAcquire(0),
            };
            self.clients[index].open = Some(action);
            self.invoked += 1;
            return Some(self.event(process, action, Step::Invoke));
        };
        let outcome = match action {
            // The service is asked once the answer is due; an unknown acquire never happens.
            _ if unknown => Outcome::Info,
            Action::Release => Outcome::Ok,
            _ if self.holder.is_none() => Outcome::Ok,
            Action::TryAcquire(_) => Outcome::Fail,
            _ => return None,
        };
        match (action, outcome) {
            (Action::Release, _) => self.holder = None,
            (_, Outcome::Ok) => self.holder = Some(index),
            _ => {}
        }
        self.clients[index].open = None;
        if outcome == Outcome::Info {
            self.clients[index].process = self.next_process;
            self.next_process += 1;
        }
        Some(self.event(process, action, Step::Complete(outcome)))
    }

    fn event(&mut self, process: Process, action: Action, step: Step) -> StreamEvent {
        self.stamp += 1;
        StreamEvent { stamp: self.stamp, process, action, step }
    }
}
