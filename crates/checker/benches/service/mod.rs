//! A simulated lock service and its clients, which writes down what the clients see.
//!
//! Requests take a while each way and take effect when they arrive. One of ten has no answer: a
//! request to acquire was lost on the way, of any other the reply. The client goes on under a new
//! name, as one does that uses a fresh session after a doubt.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use locktest_checker::{Action, NEVER, Operation, Outcome, Process, Specification};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The lease of the service whose locks have one.
pub const LEASE_NS: u64 = 5_000_000;
const SEED: u64 = 7;
const LATENCY_NS: std::ops::Range<u64> = 20_000..150_000;
const PAUSE_NS: std::ops::Range<u64> = 0..1_000_000;
const HOLD_NS: std::ops::Range<u64> = 0..100_000;
const INFO_SHARE: f64 = 0.1;
/// Of the holders whose locks have a lease.
const CRASH_SHARE: f64 = 0.02;

/// So many operations of so many clients, in order of their invokes.
pub fn history(specification: Specification, operations: usize, clients: u32) -> Vec<Operation> {
    let mut simulation = Simulation {
        specification,
        rng: ChaCha8Rng::seed_from_u64(SEED),
        operations: Vec::with_capacity(operations),
        events: BinaryHeap::new(),
        clients: (0..clients).map(Client::new).collect(),
        lock: Lock::default(),
        next_process: clients,
    };
    for client in 0..clients {
        simulation.wake(client, 0, PAUSE_NS);
    }
    while simulation.operations.len() < operations
        && let Some(Reverse((now_ns, client))) = simulation.events.pop()
    {
        simulation.step(client, now_ns);
    }
    simulation.operations
}

struct Simulation {
    specification: Specification,
    rng: ChaCha8Rng,
    operations: Vec<Operation>,
    events: BinaryHeap<Reverse<(u64, u32)>>,
    clients: Vec<Client>,
    lock: Lock,
    next_process: Process,
}

#[derive(Default)]
struct Lock {
    /// How many permits are taken.
    holders: u32,
    readers: u32,
    /// Those that wait, in order.
    queue: VecDeque<u32>,
    token: u64,
    /// The holder whose lease runs, and until when.
    lease: Option<(Process, u64)>,
}

struct Client {
    process: Process,
    phase: Phase,
    /// The operation that is open.
    operation: usize,
    /// Of its last grant, if tokens are given.
    token: u64,
    holds: u32,
}

#[derive(Clone, Copy)]
enum Phase {
    Idle,
    /// The request is on its way.
    Sent,
    /// The reply is.
    Answered(Outcome),
}

impl Client {
    fn new(process: Process) -> Client {
        Client { process, phase: Phase::Idle, operation: 0, token: 0, holds: 0 }
    }
}

impl Simulation {
    fn wake(&mut self, client: u32, now_ns: u64, after_ns: std::ops::Range<u64>) {
        let time_ns = now_ns + 1 + self.rng.random_range(after_ns);
        self.events.push(Reverse((time_ns, client)));
    }

    fn step(&mut self, client: u32, now_ns: u64) {
        match self.clients[client as usize].phase {
            Phase::Idle => self.ask(client, now_ns),
            Phase::Sent => self.arrive(client, now_ns),
            Phase::Answered(outcome) => self.answer(client, now_ns, outcome),
        }
    }

    fn ask(&mut self, client: u32, now_ns: u64) {
        let holds = self.clients[client as usize].holds;
        let tries = self.rng.random_bool(0.5);
        let again = self.rng.random_bool(0.3);
        let action = match self.specification {
            Specification::FencedResource => {
                let token = (self.lock.token + self.rng.random_range(0..4)).saturating_sub(2);
                Action::GuardedWrite(token)
            }
            Specification::ReadWriteLock if holds == 0 && tries => Action::AcquireShared,
            Specification::ReadWriteLock if self.reads(client) => Action::ReleaseShared,
            Specification::ReentrantMutex { depth } if holds > 0 && holds < depth && again => {
                Action::Acquire(0)
            }
            Specification::LeaseMutex { .. } if holds > 0 && again => Action::Renew,
            _ if holds > 0 => Action::Release,
            // Of the others a denial has no fast rule.
            Specification::OwnerMutex
            | Specification::ReentrantMutex { .. }
            | Specification::FencedMutex
                if tries =>
            {
                Action::TryAcquire(0)
            }
            _ => Action::Acquire(0),
        };
        let asking = &mut self.clients[client as usize];
        asking.operation = self.operations.len();
        asking.phase = Phase::Sent;
        self.operations.push(Operation {
            invoke: now_ns,
            complete: NEVER,
            action,
            process: asking.process,
            outcome: Outcome::Info,
        });
        self.wake(client, now_ns, LATENCY_NS);
    }

    /// Whether the client has the read side.
    fn reads(&self, client: u32) -> bool {
        let Client { holds, operation, .. } = self.clients[client as usize];
        holds > 0 && self.operations[operation].action == Action::AcquireShared
    }

    fn arrive(&mut self, client: u32, now_ns: u64) {
        let Client { process, operation, holds, .. } = self.clients[client as usize];
        let action = self.operations[operation].action;
        let is_outermost = match action {
            Action::Release => holds == 1,
            Action::Renew => false,
            _ => holds == 0,
        };
        let has_no_answer = is_outermost && self.rng.random_bool(INFO_SHARE);
        let outcome = match action {
            Action::Acquire(_) | Action::TryAcquire(_) | Action::AcquireShared if has_no_answer => {
                self.go_on(client, now_ns);
                return;
            }
            Action::Acquire(_) | Action::TryAcquire(_) | Action::AcquireShared => {
                if holds > 0 || self.is_free(action, now_ns) {
                    self.grant(client, now_ns);
                    Outcome::Ok
                } else if matches!(self.specification, Specification::LeaseMutex { .. })
                    || matches!(action, Action::TryAcquire(_))
                {
                    Outcome::Fail
                } else {
                    self.lock.queue.push_back(client);
                    return;
                }
            }
            Action::Release | Action::ReleaseShared => self.release(client, action, now_ns),
            Action::Renew => match &mut self.lock.lease {
                Some((owner, deadline_ns)) if *owner == process => {
                    *deadline_ns = now_ns + LEASE_NS;
                    Outcome::Ok
                }
                _ => Outcome::Fail,
            },
            Action::GuardedWrite(token) if token >= self.lock.token => {
                self.lock.token = token;
                Outcome::Ok
            }
            _ => Outcome::Fail,
        };
        if has_no_answer {
            self.go_on(client, now_ns);
            return;
        }
        self.clients[client as usize].phase = Phase::Answered(outcome);
        self.wake(client, now_ns, LATENCY_NS);
    }

    fn is_free(&self, action: Action, now_ns: u64) -> bool {
        let Lock { holders, readers, lease, .. } = &self.lock;
        match self.specification {
            Specification::Semaphore { permits } => *holders < permits,
            Specification::ReadWriteLock if action == Action::AcquireShared => *holders == 0,
            Specification::LeaseMutex { .. } => {
                lease.is_none_or(|(_, deadline_ns)| deadline_ns <= now_ns)
            }
            _ => *holders == 0 && *readers == 0,
        }
    }

    fn grant(&mut self, client: u32, now_ns: u64) {
        let granted = &mut self.clients[client as usize];
        granted.holds += 1;
        if self.operations[granted.operation].action == Action::AcquireShared {
            self.lock.readers += 1;
        } else {
            self.lock.holders += 1;
        }
        if self.specification == Specification::FencedMutex {
            self.lock.token += 1;
            granted.token = self.lock.token;
        }
        self.lock.lease = Some((granted.process, now_ns + LEASE_NS));
    }

    fn release(&mut self, client: u32, action: Action, now_ns: u64) -> Outcome {
        self.clients[client as usize].holds -= 1;
        if matches!(self.specification, Specification::LeaseMutex { .. }) {
            let process = self.clients[client as usize].process;
            let is_held = self.lock.lease.is_some_and(|(owner, _)| owner == process);
            if is_held {
                self.lock.lease = None;
            }
            return if is_held { Outcome::Ok } else { Outcome::Fail };
        }
        match action {
            Action::ReleaseShared => self.lock.readers -= 1,
            _ => self.lock.holders -= 1,
        }
        while let Some(&next) = self.lock.queue.front() {
            let action = self.operations[self.clients[next as usize].operation].action;
            if !self.is_free(action, now_ns) {
                break;
            }
            self.lock.queue.pop_front();
            self.grant(next, now_ns);
            self.clients[next as usize].phase = Phase::Answered(Outcome::Ok);
            self.wake(next, now_ns, LATENCY_NS);
        }
        Outcome::Ok
    }

    fn answer(&mut self, client: u32, now_ns: u64, outcome: Outcome) {
        let answered = &mut self.clients[client as usize];
        let operation = &mut self.operations[answered.operation];
        (operation.complete, operation.outcome) = (now_ns, outcome);
        if let (Action::Acquire(token) | Action::TryAcquire(token), Outcome::Ok) =
            (&mut operation.action, outcome)
        {
            *token = answered.token;
        }
        answered.phase = Phase::Idle;
        let crashes = matches!(self.specification, Specification::LeaseMutex { .. })
            && answered.holds > 0
            && self.rng.random_bool(CRASH_SHARE);
        if crashes {
            self.clients[client as usize].holds = 0;
            self.go_on(client, now_ns);
        } else if self.clients[client as usize].holds > 0 {
            self.wake(client, now_ns, HOLD_NS);
        } else {
            self.wake(client, now_ns, PAUSE_NS);
        }
    }

    /// The client goes on under a new name.
    fn go_on(&mut self, client: u32, now_ns: u64) {
        let renamed = &mut self.clients[client as usize];
        renamed.process = self.next_process;
        renamed.phase = Phase::Idle;
        self.next_process += 1;
        self.wake(client, now_ns, PAUSE_NS);
    }
}
