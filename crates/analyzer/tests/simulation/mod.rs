//! A lock service with its clients, simulated in milliseconds, that records a history.

mod world;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use locktest_analyzer::Verdict;
use locktest_history::Resource::{Fenced, Unfenced};
use locktest_history::{
    Backend, Bounds, Detail, ExitCause, FaultKind, Function, Milestone, Phase, Recipe, Resource,
    Token,
};

use crate::common::*;
use world::*;
pub use world::{Bug, World};

/// What the service knows of an attempt.
struct Lease {
    owner: Owner,
    expires_ms: u64,
    renewed: u64,
}

/// Where a client's attempt stands.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Waiting,
    Holding,
    Done,
}

struct Try {
    /// Whether the service had the request for its lease.
    has_lease: bool,
    owner: Owner,
    acquire_op: u64,
    stage: Stage,
    lease_start_ms: u64,
    stalled: bool,
    values: [u64; 2],
    token: u64,
}

/// What happens at an instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Begin(u32),
    Arrive(usize),
    Expire(usize, u64),
    Granted(usize),
    GiveUp(usize),
    Renew(usize),
    RenewArrives(usize, u64, u64),
    RenewAnswered(usize, u64, u64, bool),
    RenewTimesOut(usize, u64),
    Enter(usize),
    Write(usize),
    Leave(usize),
    ReleaseArrives(usize, u64),
    ReleaseAnswered(usize, u64, bool),
    /// What was held up, and is answered to nobody.
    RenewArrivesLate(usize),
    ReleaseArrivesLate(usize),
    Kill(usize),
    Pause(usize),
}

/// The service, its clients and the network between them, one step after the other.
pub struct Simulation {
    world: World,
    random: Random,
    story: Story,
    steps: BinaryHeap<Reverse<(u64, u64, Step)>>,
    order: u64,
    tries: Vec<Try>,
    leases: Vec<Option<Lease>>,
    queue: VecDeque<usize>,
    holder: Option<usize>,
    granted: u64,
    tokens: Vec<u64>,
    dead: Vec<u32>,
    /// Who is paused, and when it goes on.
    paused: Option<(u32, u64)>,
    resource: [u64; 2],
    newest: u64,
    op: u64,
}

impl Simulation {
    /// A run from its seed, and the verdict over its history.
    pub fn run(seed: u64, world: World) -> Verdict {
        let mut story = Story::new();
        story.on(Backend::Sim, Recipe::Sim);
        story.plan().op_timeout_ms = OP_TIMEOUT_MS;
        story.plan().bounds =
            Bounds { lease_bound_ms: TTL_MS + EXPIRY_LAG_MS, recovery_bound_ms: 500 };
        let mut simulation = Simulation {
            world,
            random: Random(seed),
            story,
            steps: BinaryHeap::new(),
            order: 0,
            tries: vec![],
            leases: vec![],
            queue: VecDeque::new(),
            holder: None,
            granted: 0,
            tokens: vec![],
            dead: vec![],
            paused: None,
            resource: [0; 2],
            newest: 0,
            op: 1_000_000,
        };
        let stalls = world.bug == Some(Bug::Stall);
        for (during, answered) in
            [(0..STALL.start, true), (STALL, !stalls), (STALL.end..RUN_MS + 5000, true)]
        {
            simulation.story.probes(0..5, during, answered);
        }
        // From then on a death is no sign of trouble from outside, and excuses nothing.
        if world.kills > 0 {
            simulation.story.milestone(0, Milestone::TimeUp);
        }
        if world.faults {
            let [first, second] = FAULTS;
            simulation.story.fault(1, first);
            simulation.story.leader(3000, 1, 1);
            simulation.story.leader(4700, 3, 3);
            simulation.story.in_force(2, second, done_to(FaultKind::Pause, &[1, 2]));
        }
        if world.pauses {
            (0..PAUSES.len()).for_each(|n| simulation.at(PAUSES[n].start, Step::Pause(n)));
        }
        for client in 1..=world.clients {
            let at = simulation.random.below(50);
            simulation.at(at, Step::Begin(client));
        }
        let mut now = 0;
        while let Some(Reverse((ms, _, step))) = simulation.steps.pop() {
            now = ms;
            simulation.step(ms, step);
        }
        for client in 4..=world.clients {
            if !simulation.dead.contains(&client) {
                simulation.story.exit(client, now + 1, ExitCause::Finished);
            }
        }
        simulation.story.end(now + 1)
    }

    fn at(&mut self, ms: u64, step: Step) {
        let reaches_the_service =
            matches!(step, Step::Arrive(_) | Step::RenewArrives(..) | Step::ReleaseArrives(..));
        let stalled = self.world.bug == Some(Bug::Stall) && STALL.contains(&ms);
        let ms = if stalled && reaches_the_service { STALL.end } else { ms };
        self.order += 1;
        self.steps.push(Reverse((ms, self.order, step)));
    }

    fn latency(&mut self) -> u64 {
        1 + self.random.below(30)
    }

    fn next_op(&mut self) -> u64 {
        self.op += 1;
        self.op
    }

    fn reply_is_lost(&mut self) -> bool {
        let lost = self.world.lost_replies;
        self.random.percent(lost)
    }

    fn event(&mut self, id: usize, op: u64, ms: u64, f: Function, p: Phase, d: Detail) {
        let owner = self.tries[id].owner;
        self.story.event(owner, op, ms, f, p, d);
    }

    fn step(&mut self, ms: u64, step: Step) {
        if let Some(client) = self.does(step)
            && let Some((_, resumes)) = self.paused.filter(|(paused, _)| *paused == client)
            && ms < resumes
        {
            return self.at(resumes, step);
        }
        match step {
            Step::Begin(client) => self.begin(ms, client),
            Step::Arrive(id) if let Some(late) = self.held_up_until(id, ms) => {
                self.at(late, step);
            }
            Step::RenewArrives(id, op, sent_ms) if let Some(late) = self.held_up_until(id, ms) => {
                self.at(sent_ms + OP_TIMEOUT_MS, Step::RenewTimesOut(id, op));
                self.at(late, Step::RenewArrivesLate(id));
            }
            Step::ReleaseArrives(id, op) if let Some(late) = self.held_up_until(id, ms) => {
                self.at(ms + OP_TIMEOUT_MS, Step::ReleaseAnswered(id, op, false));
                self.at(late, Step::ReleaseArrivesLate(id));
            }
            Step::Arrive(id) => {
                self.tries[id].has_lease = true;
                let expires_ms = ms + TTL_MS;
                self.leases[id] =
                    Some(Lease { owner: self.tries[id].owner, expires_ms, renewed: 0 });
                self.watch_expiry(id);
                self.queue.push_back(id);
                self.grant(ms);
            }
            Step::Expire(id, renewed) => {
                let immortal = self.world.bug == Some(Bug::Immortal) && ms > 3000;
                if !immortal
                    && self.leases[id].as_ref().is_some_and(|lease| lease.renewed == renewed)
                {
                    self.drop_lease(ms, id);
                }
            }
            Step::GiveUp(id) => {
                if self.alive(id, Stage::Waiting) {
                    self.tries[id].stage = Stage::Done;
                    let op = self.tries[id].acquire_op;
                    self.event(id, op, ms, Function::Acquire, Phase::Info, Detail::None);
                    self.release(ms, id);
                }
            }
            Step::Granted(id) => self.told(ms, id),
            Step::Renew(id) => self.renew(ms, id),
            Step::RenewArrives(id, op, sent_ms) => {
                let lives = self.leases[id].is_some();
                if let Some(lease) = &mut self.leases[id] {
                    lease.expires_ms = lease.expires_ms.max(ms + TTL_MS);
                    lease.renewed += 1;
                    self.watch_expiry(id);
                }
                if !self.reply_is_lost() {
                    let back = ms + self.latency();
                    self.at(back, Step::RenewAnswered(id, op, sent_ms, lives));
                } else {
                    self.at(sent_ms + OP_TIMEOUT_MS, Step::RenewTimesOut(id, op));
                }
            }
            Step::RenewAnswered(id, op, sent_ms, lives) => {
                if self.done(id) {
                    return;
                }
                if lives {
                    let start = sent_ms.max(self.tries[id].lease_start_ms);
                    self.tries[id].lease_start_ms = start;
                    let detail = lease(sent_ms, TTL_MS, None);
                    self.event(id, op, ms, Function::Renew, Phase::Ok, detail);
                    self.at(ms + TTL_MS / 3, Step::Renew(id));
                } else {
                    let gone = Detail::Reason("the lease is gone".into());
                    self.event(id, op, ms, Function::Renew, Phase::Fail, gone);
                    self.lose(ms, id);
                }
            }
            Step::RenewTimesOut(id, op) => {
                if !self.done(id) {
                    self.event(id, op, ms, Function::Renew, Phase::Info, Detail::None);
                    self.at(ms + 20, Step::Renew(id));
                }
            }
            Step::Enter(id) => self.enter(ms, id),
            Step::Write(id) => self.write(ms, id),
            Step::Leave(id) => {
                if self.alive(id, Stage::Holding) {
                    self.tries[id].stage = Stage::Done;
                    self.release(ms, id);
                }
            }
            Step::ReleaseArrives(id, op) => {
                let is_lost = self.world.bug == Some(Bug::LostRelease) && ms > 3000;
                if !is_lost {
                    self.drop_lease(ms, id);
                } else {
                    // Its lease is gone, and its lock stays taken.
                    self.leases[id] = None;
                    self.queue.retain(|waiting| *waiting != id);
                }
                let (lost, back) = (self.reply_is_lost(), self.latency());
                self.at(
                    ms + if lost { OP_TIMEOUT_MS } else { back },
                    Step::ReleaseAnswered(id, op, !lost),
                );
            }
            Step::ReleaseAnswered(id, op, ok) => {
                if self.gone(id) {
                    return;
                }
                let phase = if ok { Phase::Ok } else { Phase::Info };
                self.event(id, op, ms, Function::Release, phase, Detail::None);
                let client = self.tries[id].owner.client;
                let pause = 1 + self.random.below(20);
                self.at(ms + pause, Step::Begin(client));
            }
            Step::RenewArrivesLate(id) => {
                if let Some(lease) = &mut self.leases[id] {
                    lease.expires_ms = lease.expires_ms.max(ms + TTL_MS);
                    lease.renewed += 1;
                    self.watch_expiry(id);
                }
            }
            Step::ReleaseArrivesLate(id) => self.drop_lease(ms, id),
            Step::Pause(n) => self.pause(ms, n),
            Step::Kill(id) => {
                if self.alive(id, Stage::Holding) {
                    let client = self.tries[id].owner.client;
                    self.dead.push(client);
                    self.story.killed(client, ms);
                }
            }
        }
    }

    /// Who does it, if a client does.
    fn does(&self, step: Step) -> Option<u32> {
        match step {
            Step::Begin(client) => Some(client),
            Step::GiveUp(id)
            | Step::Granted(id)
            | Step::Renew(id)
            | Step::RenewAnswered(id, ..)
            | Step::RenewTimesOut(id, _)
            | Step::Enter(id)
            | Step::Write(id)
            | Step::Leave(id)
            | Step::ReleaseAnswered(id, ..) => Some(self.tries[id].owner.client),
            _ => None,
        }
    }

    /// Pauses somebody who holds.
    fn pause(&mut self, ms: u64, n: usize) {
        let holds = (0..self.tries.len()).find(|id| self.alive(*id, Stage::Holding));
        let Some(id) = holds else {
            if ms + 100 < PAUSES[n].end {
                self.at(ms + 1, Step::Pause(n));
            }
            return;
        };
        let client = self.tries[id].owner.client;
        let fault = done_to_clients(FaultKind::ClientPause, &[client]);
        self.story.in_force(3 + n as u32, ms..PAUSES[n].end, fault);
        self.paused = Some((client, PAUSES[n].end - 5));
    }

    /// When a request arrives that a server's pause holds up.
    fn held_up_until(&mut self, id: usize, ms: u64) -> Option<u64> {
        let [_, pause] = FAULTS;
        let server = server_of(self.tries[id].owner.client);
        let held_up = self.world.faults && server < CUT_OFF && pause.contains(&ms);
        held_up.then(|| pause.end + self.latency())
    }

    fn gone(&self, id: usize) -> bool {
        self.dead.contains(&self.tries[id].owner.client)
    }

    fn done(&self, id: usize) -> bool {
        self.gone(id) || self.tries[id].stage == Stage::Done
    }

    fn alive(&self, id: usize, stage: Stage) -> bool {
        !self.gone(id) && self.tries[id].stage == stage
    }

    fn begin(&mut self, ms: u64, client: u32) {
        if ms > RUN_MS || self.dead.contains(&client) {
            return;
        }
        let (owner, acquire_op) = self.story.asks_through((client, server_of(client)), ms);
        let id = self.tries.len();
        let (values, token) = ([0; 2], 0);
        let (stage, lease_start_ms, stalled) = (Stage::Waiting, ms, false);
        let has_lease = false;
        self.tries.push(Try {
            has_lease,
            owner,
            acquire_op,
            stage,
            lease_start_ms,
            stalled,
            values,
            token,
        });
        self.leases.push(None);
        self.tokens.push(0);
        let there = ms + self.latency();
        self.at(there, Step::Arrive(id));
        self.at(ms + TTL_MS / 3, Step::Renew(id));
        self.at(ms + ACQUIRE_TIMEOUT_MS, Step::GiveUp(id));
    }

    /// The service drops a lease some time after its end, unless it was renewed before.
    fn watch_expiry(&mut self, id: usize) {
        let lag = self.random.below(EXPIRY_LAG_MS);
        let early = self.world.bug == Some(Bug::EarlyExpiry) && self.random.percent(50);
        let Some(lease) = &self.leases[id] else { return };
        let (expires_ms, renewed) = (lease.expires_ms, lease.renewed);
        let at = if early { expires_ms - TTL_MS + TTL_MS / 5 } else { expires_ms + lag };
        self.at(at, Step::Expire(id, renewed));
    }

    fn drop_lease(&mut self, ms: u64, id: usize) {
        self.leases[id] = None;
        self.queue.retain(|waiting| *waiting != id);
        if self.holder == Some(id) {
            self.holder = None;
            self.grant(ms);
        }
    }

    fn grant(&mut self, ms: u64) {
        let double = self.world.bug == Some(Bug::DoubleGrant) && self.random.percent(20);
        let stuck = self.world.bug == Some(Bug::Deadlock) && ms > 3000;
        if stuck || (self.holder.is_some() && !double) {
            return;
        }
        let Some(id) = self.queue.pop_front() else { return };
        self.holder = Some(id);
        self.granted += 1;
        let backwards = self.world.bug == Some(Bug::Tokens);
        self.tokens[id] = if backwards { 1_000_000 - self.granted } else { self.granted };
        assert!(
            self.leases[id]
                .as_ref()
                .is_some_and(|l| l.owner.attempt == self.tries[id].owner.attempt)
        );
        let back = ms + self.latency();
        if let Some(healed) = self.cut_off_until(id, back) {
            let back = healed + self.latency();
            self.at(back, Step::Granted(id));
        } else if !self.reply_is_lost() {
            self.at(back, Step::Granted(id));
        } else if !self.world.faults || !unsettled(ms, back) {
            // A connection that loses a reply on a settled cluster is one that breaks.
            self.at(back, Step::GiveUp(id));
        }
    }

    /// The end of the fault that holds up replies to this attempt.
    fn cut_off_until(&self, id: usize, ms: u64) -> Option<u64> {
        let owner = self.tries[id].owner;
        let cut_off = self.world.faults && server_of(owner.client) < CUT_OFF;
        FAULTS.iter().find(|fault| cut_off && fault.contains(&ms)).map(|fault| fault.end)
    }

    fn told(&mut self, ms: u64, id: usize) {
        if !self.alive(id, Stage::Waiting) {
            return;
        }
        self.tries[id].stage = Stage::Holding;
        let (op, start) = (self.tries[id].acquire_op, self.tries[id].lease_start_ms);
        self.event(id, op, ms, Function::Acquire, Phase::Ok, lease(start, TTL_MS, None));
        let there = ms + self.latency();
        self.at(there, Step::Enter(id));
        if self.world.kills > 0 && self.random.percent(self.world.kills) {
            let at = ms + self.random.below(100);
            self.at(at, Step::Kill(id));
        }
    }

    /// The entry is read back, then both copies of the resource.
    fn enter(&mut self, ms: u64, id: usize) {
        if !self.alive(id, Stage::Holding) {
            return;
        }
        let (op, ours) = (self.next_op(), self.holder == Some(id));
        let token = ours.then_some(Token { major: self.tokens[id], minor: 0 });
        let detail = Detail::Entry { ours, token, at_revision: None };
        self.event(id, op, ms, Function::Validate, Phase::Invoke, Detail::None);
        self.event(id, op, ms, Function::Validate, Phase::Ok, detail);
        if !ours {
            return self.lose(ms, id);
        }
        self.tries[id].token = self.tokens[id];
        for (copy, resource) in [Unfenced, Fenced].into_iter().enumerate() {
            if !self.access(ms, id, (copy, resource), Function::Read) {
                return self.lose(ms, id);
            }
            self.tries[id].values[copy] = self.resource[copy];
        }
        let stalls = self.random.percent(self.world.stalls);
        self.tries[id].stalled = stalls;
        let length = match self.random.below(5) {
            _ if stalls => TTL_MS + self.random.below(TTL_MS),
            0 => TTL_MS / 2 + self.random.below(TTL_MS / 2),
            _ => self.random.below(80),
        };
        self.at(ms + length, Step::Write(id));
    }

    fn write(&mut self, ms: u64, id: usize) {
        if !self.alive(id, Stage::Holding) {
            return;
        }
        for (copy, resource) in [Unfenced, Fenced].into_iter().enumerate() {
            if self.access(ms, id, (copy, resource), Function::Write) {
                self.resource[copy] = self.tries[id].values[copy] + 1;
            }
        }
        self.at(ms + 1, Step::Leave(id));
    }

    /// Whether the resource took it.
    fn access(
        &mut self,
        ms: u64,
        id: usize,
        (copy, resource): (usize, Resource),
        f: Function,
    ) -> bool {
        let major = self.tries[id].token;
        let accepted = resource == Unfenced || major >= self.newest;
        if accepted && resource == Fenced {
            self.newest = major;
        }
        let op = self.next_op();
        let token = Some(Token { major, minor: 0 });
        let (read, held) = (self.tries[id].values[copy], self.resource[copy]);
        let detail = |value| Detail::Access { resource, token, value };
        let phase = if accepted { Phase::Ok } else { Phase::Fail };
        self.event(id, op, ms, f, Phase::Invoke, detail(read));
        self.event(id, op, ms, f, phase, detail(held));
        accepted
    }

    fn renew(&mut self, ms: u64, id: usize) {
        if self.done(id) || self.tries[id].stalled {
            return;
        }
        if !self.tries[id].has_lease {
            return self.at(ms + TTL_MS / 3, Step::Renew(id));
        }
        let op = self.next_op();
        self.event(id, op, ms, Function::Renew, Phase::Invoke, Detail::None);
        let there = ms + self.latency();
        self.at(there, Step::RenewArrives(id, op, ms));
    }

    /// The client learns that it holds no longer, or that it waits in vain.
    fn lose(&mut self, ms: u64, id: usize) {
        if self.tries[id].stage == Stage::Waiting {
            let op = self.tries[id].acquire_op;
            self.event(id, op, ms, Function::Acquire, Phase::Info, Detail::None);
        } else {
            let owner = self.tries[id].owner;
            self.story.lost(owner, ms);
        }
        self.tries[id].stage = Stage::Done;
        self.release(ms + 1, id);
    }

    fn release(&mut self, ms: u64, id: usize) {
        let op = self.next_op();
        self.event(id, op, ms, Function::Release, Phase::Invoke, Detail::None);
        let there = ms + self.latency();
        self.at(there, Step::ReleaseArrives(id, op));
    }
}

/// The server that a client speaks to.
fn server_of(client: u32) -> u16 {
    ((client - 1) % 5) as u16
}

/// Whether a fault comes or goes within these instants.
fn unsettled(from: u64, to: u64) -> bool {
    let mut turns = FAULTS
        .iter()
        .flat_map(|fault| [fault.start..=fault.start + 10, fault.end - 10..=fault.end]);
    turns.any(|turn| *turn.start() <= to && from <= *turn.end())
}
