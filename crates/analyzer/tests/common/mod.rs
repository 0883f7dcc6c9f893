//! A small language for histories. Times are milliseconds; clients count from 1, as reports do.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::ops::Range;

use locktest_analyzer::{Hold, Verdict, ViolationClass, analyze, holds};
use locktest_history::*;

pub const MS: u64 = 1_000_000;

/// How long a lease lasts unless a story says otherwise.
pub const TTL_MS: u64 = 1000;

/// The liveness bound of a story: the TTL plus 2 s to recover.
pub const BOUND_MS: u64 = 3000;

/// The store's word.
pub fn refused() -> Detail {
    Detail::Reason("the store says no".into())
}

/// The store had no say.
pub fn not_asked() -> Detail {
    Detail::NotAsked("connection refused".into())
}

/// One attempt of one client.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    pub client: u32,
    pub attempt: u64,
    pub key: u32,
    pub server: u16,
}

/// A history in the making.
pub struct Story {
    pub history: History,
    attempts: u64,
    op: u64,
    exited: Vec<u32>,
}

pub fn plan() -> Plan {
    Plan {
        seed: 7,
        version: "3.4.23".into(),
        client_seeds: vec![1, 2, 3],
        keys: vec!["lock-0".into(), "lock-1".into()],
        lease_ttl_ms: TTL_MS,
        op_timeout_ms: 500,
        bounds: Bounds { lease_bound_ms: TTL_MS, recovery_bound_ms: BOUND_MS - TTL_MS },
        ..Plan::of(Backend::Etcd)
    }
}

/// The store that a recipe is for.
pub fn store_of(recipe: Recipe) -> Backend {
    let owner = Backend::ALL.into_iter().find(|backend| backend.recipes().contains(&recipe));
    owner.expect("every recipe has a store")
}

pub fn lease(start_ms: u64, ttl_ms: u64, revision: Option<u64>) -> Detail {
    Detail::Lease {
        lease_start_ns: start_ms * MS,
        lease_ttl_ms: ttl_ms,
        revision,
        session_ns: 0,
        wait_ns: 0,
    }
}

/// A server by its number, from 1.
pub fn server(n: u16) -> Party {
    Party::Server(NodeId(n - 1))
}

/// A client by its number, from 1.
pub fn client(n: u32) -> Party {
    Party::Client(ClientId(n - 1))
}

/// A fault of a kind that does nothing yet.
pub fn fault(kind: FaultKind) -> Fault {
    Fault::new(kind, Aim::Target(Target::One), 10_000)
}

/// Two sides that cannot reach each other: servers and clients, counted from 1.
pub fn partition(sides: [(&[u16], &[u32]); 2]) -> Fault {
    let [one, other] = sides.map(|(servers, clients)| {
        let clients = clients.iter().map(|n| client(*n));
        servers.iter().map(|n| server(*n)).chain(clients).collect::<Vec<_>>()
    });
    let aim = Aim::Shape(PartitionShape::Halves);
    Fault { aim, cuts: Cut::both_ways(&one, &other).into(), ..fault(FaultKind::Partition) }
}

/// Something that is done to the processes of servers, counted from 1.
pub fn done_to(kind: FaultKind, servers: &[u16]) -> Fault {
    Fault { servers: servers.iter().map(|n| NodeId(n - 1)).collect(), ..fault(kind) }
}

/// Something that is done to the processes of clients, counted from 1.
pub fn done_to_clients(kind: FaultKind, clients: &[u32]) -> Fault {
    Fault { clients: clients.iter().map(|n| ClientId(n - 1)).collect(), ..fault(kind) }
}

/// Clients, counted from 1, that cannot reach any of five servers.
pub fn cut_off(clients: &[u32]) -> Fault {
    Fault {
        kind: FaultKind::ClientPartition,
        ..partition([(&[], clients), (&[1, 2, 3, 4, 5], &[])])
    }
}

fn token(major: u64) -> Option<Token> {
    Some(Token { major, minor: 0 })
}

impl Story {
    /// A cluster that is ready at 0.
    pub fn new() -> Story {
        let run = Run {
            id: "0a1b2c".into(),
            started_at_unix_s: 1,
            origin_monotonic_ns: 2,
            command: "locktest --backend etcd".into(),
            lab: None,
            plan: plan(),
        };
        let history = History { run, records: vec![], damage: vec![] };
        let mut story = Story { history, attempts: 0, op: 0, exited: vec![] };
        story.milestone(0, Milestone::ClusterReady);
        story
    }

    pub fn plan(&mut self) -> &mut Plan {
        &mut self.history.run.plan
    }

    /// The same run on another store.
    pub fn on(&mut self, backend: Backend, recipe: Recipe) {
        let plan = self.plan();
        plan.backend = backend;
        plan.recipe = recipe;
        plan.read_mode = backend.read_modes()[0];
    }

    pub fn record(&mut self, record: Record) {
        self.history.records.push(record);
    }

    pub fn milestone(&mut self, ms: u64, what: Milestone) {
        self.record(Record::Milestone { time_ns: ms * MS, what });
    }

    pub fn event(&mut self, owner: Owner, op: u64, ms: u64, f: Function, p: Phase, d: Detail) {
        let asks_one = self.plan().recipe != Recipe::Redlock;
        self.record(Record::Event(Event {
            time_ns: ms * MS,
            client: ClientId(owner.client - 1),
            attempt: owner.attempt,
            op,
            key: KeyId(owner.key),
            // Redlock asks all of them.
            server: asks_one.then_some(NodeId(owner.server)),
            function: f,
            phase: p,
            detail: d,
        }));
    }

    pub fn operation(&mut self, o: Owner, at: Range<u64>, f: Function, p: Phase, d: Detail) {
        self.op += 1;
        self.event(o, self.op, at.start, f, Phase::Invoke, Detail::None);
        self.event(o, self.op, at.end, f, p, d);
    }

    /// A fresh attempt of `client` on the first key.
    pub fn owner(&mut self, client: u32) -> Owner {
        self.attempts += 1;
        Owner { client, attempt: self.attempts, key: 0, server: 0 }
    }

    /// An acquire that was granted, with a lease from its invoke.
    pub fn granted(&mut self, client: u32, at: Range<u64>) -> Owner {
        let start_ms = at.start;
        self.granted_with(client, at, lease(start_ms, TTL_MS, None))
    }

    pub fn granted_with(&mut self, client: u32, at: Range<u64>, detail: Detail) -> Owner {
        let owner = self.owner(client);
        self.operation(owner, at, Function::Acquire, Phase::Ok, detail);
        owner
    }

    /// A grant through server `server`, with a lease from `lease_start`.
    pub fn granted_through(
        &mut self,
        (client, server): (u32, u16),
        at: Range<u64>,
        lease_start: u64,
    ) -> Owner {
        let owner = Owner { server, ..self.owner(client) };
        let detail = lease(lease_start, TTL_MS, None);
        self.operation(owner, at, Function::Acquire, Phase::Ok, detail);
        owner
    }

    /// A grant, a token read back, and an orderly release.
    pub fn held(&mut self, client: u32, at: Range<u64>, release: Range<u64>, token: u64) -> Owner {
        let ok = at.end;
        let owner = self.granted(client, at);
        self.ours(owner, ok..ok, token);
        self.release(owner, release);
        owner
    }

    /// An acquire that is still pending.
    pub fn asks(&mut self, client: u32, ms: u64) -> (Owner, u64) {
        self.asks_through((client, 0), ms)
    }

    pub fn asks_through(&mut self, (client, server): (u32, u16), ms: u64) -> (Owner, u64) {
        let owner = Owner { server, ..self.owner(client) };
        self.op += 1;
        self.event(owner, self.op, ms, Function::Acquire, Phase::Invoke, Detail::None);
        (owner, self.op)
    }

    pub fn unknown(&mut self, client: u32, at: Range<u64>) -> Owner {
        let owner = self.owner(client);
        let detail = Detail::Reason("timeout".into());
        self.operation(owner, at, Function::Acquire, Phase::Info, detail);
        owner
    }

    /// A blocking acquire that failed for the reason that `detail` gives.
    pub fn failed(&mut self, client: u32, at: Range<u64>, detail: Detail) -> Owner {
        let owner = self.owner(client);
        self.operation(owner, at, Function::Acquire, Phase::Fail, detail);
        owner
    }

    pub fn denied(&mut self, client: u32, at: Range<u64>) -> Owner {
        let owner = self.owner(client);
        self.operation(owner, at, Function::TryAcquire, Phase::Fail, Detail::Reason("held".into()));
        owner
    }

    pub fn renew(&mut self, owner: Owner, at: Range<u64>) {
        let detail = lease(at.start, TTL_MS, None);
        self.operation(owner, at, Function::Renew, Phase::Ok, detail);
    }

    pub fn renew_refused(&mut self, owner: Owner, at: Range<u64>) {
        let detail = Detail::Reason("requested lease not found".into());
        self.operation(owner, at, Function::Renew, Phase::Fail, detail);
    }

    pub fn ours(&mut self, owner: Owner, at: Range<u64>, major: u64) {
        let detail = Detail::Entry { ours: true, token: token(major), at_revision: None };
        self.operation(owner, at, Function::Validate, Phase::Ok, detail);
    }

    pub fn not_ours(&mut self, owner: Owner, at: Range<u64>, at_revision: Option<u64>) {
        let detail = Detail::Entry { ours: false, token: None, at_revision };
        self.operation(owner, at, Function::Validate, Phase::Ok, detail);
    }

    pub fn release(&mut self, owner: Owner, at: Range<u64>) {
        self.operation(owner, at, Function::Release, Phase::Ok, Detail::None);
    }

    pub fn release_unknown(&mut self, owner: Owner, at: Range<u64>) {
        let detail = Detail::Reason("timeout".into());
        self.operation(owner, at, Function::Release, Phase::Info, detail);
    }

    pub fn release_failed(&mut self, owner: Owner, at: Range<u64>, detail: Detail) {
        self.operation(owner, at, Function::Release, Phase::Fail, detail);
    }

    pub fn lost(&mut self, owner: Owner, ms: u64) {
        self.op += 1;
        self.event(owner, self.op, ms, Function::Lost, Phase::Ok, Detail::None);
    }

    /// A read that sees `value`.
    pub fn read(&mut self, owner: Owner, at: Range<u64>, copy: Resource, major: u64, value: u64) {
        let detail = Detail::Access { resource: copy, token: token(major), value };
        self.operation(owner, at, Function::Read, Phase::Ok, detail);
    }

    /// A write by a writer that had read `read`, to a copy that held `held`.
    pub fn write(
        &mut self,
        owner: Owner,
        at: Range<u64>,
        copy: Resource,
        major: u64,
        (read, held): (u64, u64),
    ) {
        self.access(owner, at, (copy, token(major)), (read, held), Phase::Ok);
    }

    pub fn write_refused(&mut self, owner: Owner, at: Range<u64>, major: u64, value: u64) {
        let copy = (Resource::Fenced, token(major));
        self.access(owner, at, copy, (value, value + 1), Phase::Fail);
    }

    fn access(
        &mut self,
        owner: Owner,
        at: Range<u64>,
        (resource, token): (Resource, Option<Token>),
        (read, held): (u64, u64),
        phase: Phase,
    ) {
        self.op += 1;
        let detail = |value| Detail::Access { resource, token, value };
        self.event(owner, self.op, at.start, Function::Write, Phase::Invoke, detail(read));
        self.event(owner, self.op, at.end, Function::Write, phase, detail(held));
    }

    pub fn exit(&mut self, client: u32, ms: u64, cause: ExitCause) {
        self.exited.push(client);
        let client = ClientId(client - 1);
        self.record(Record::ClientExit(ClientExit { time_ns: ms * MS, client, cause }));
    }

    pub fn killed(&mut self, client: u32, ms: u64) {
        self.exit(client, ms, ExitCause::Killed(9));
    }

    pub fn probe(&mut self, node: u16, at: Range<u64>, ok: bool) {
        self.record(Record::Probe(Probe {
            begin_ns: at.start * MS,
            end_ns: at.end * MS,
            node: NodeId(node),
            error: (!ok).then(|| "deadline exceeded".into()),
        }));
    }

    /// Probes through `nodes` every 100 ms.
    pub fn probes(&mut self, nodes: Range<u16>, during: Range<u64>, ok: bool) {
        for ms in during.step_by(100) {
            for node in nodes.clone() {
                self.probe(node, ms..ms + 5, ok);
            }
        }
    }

    pub fn leader(&mut self, ms: u64, told_by: u16, leader: u16) {
        let (node, leader) = (NodeId(told_by), Some(NodeId(leader)));
        self.record(Record::Leader(LeaderView { time_ns: ms * MS, node, leader }));
    }

    /// A fault that is in force 10 ms after its begin.
    pub fn begins(&mut self, id: u32, ms: u64, fault: Fault) {
        self.record(Record::FaultBegun(Box::new(FaultBegun {
            id,
            fault,
            begin_ns: ms * MS,
            in_force_ns: (ms + 10) * MS,
            hosts: vec![],
        })));
    }

    /// n1 and n2 against n3, n4 and n5.
    pub fn fault_begins(&mut self, id: u32, ms: u64) {
        self.begins(id, ms, partition([(&[1, 2], &[]), (&[3, 4, 5], &[])]));
    }

    /// Its undo began 10 ms before.
    pub fn fault_ends(&mut self, id: u32, ms: u64, (bit, undone): (bool, bool)) {
        self.record(Record::FaultEnded(FaultEnded {
            id,
            heal_begin_ns: (ms - 10) * MS,
            end_ns: ms * MS,
            hosts: vec![],
            bit,
            proof: vec!["packets were dropped".into()],
            undone,
            undo_proof: vec!["no rule is left".into()],
        }));
    }

    /// A fault that bit and was undone.
    pub fn in_force(&mut self, id: u32, during: Range<u64>, fault: Fault) {
        self.begins(id, during.start, fault);
        self.fault_ends(id, during.end, (true, true));
    }

    /// Splits clients, too: each side has servers and clients, counted from 1.
    pub fn split(&mut self, id: u32, during: Range<u64>, sides: [(&[u16], &[u32]); 2]) {
        self.in_force(id, during, partition(sides));
    }

    /// A round of requests to all servers within another operation: `votes` has `y` for yes, `n` for
    /// no, and `?` for no answer.
    pub fn round(&mut self, owner: Owner, ms: u64, purpose: RoundPurpose, votes: &str) {
        let votes = (0..).zip(votes.chars()).map(|(server, vote)| Vote {
            server: NodeId(server),
            answer: match vote {
                'y' => Answer::Yes,
                'n' => Answer::No,
                _ => Answer::Unknown("no answer".into()),
            },
            elapsed_ns: MS,
        });
        let round = Round {
            purpose,
            begin_ns: ms * MS,
            elapsed_ns: MS,
            validity_left_ns: None,
            votes: votes.collect(),
        };
        self.op += 1;
        let detail = Detail::Round(round);
        self.event(owner, self.op, ms + 1, Function::Round, Phase::Ok, detail);
    }

    /// One operation of a register, by its two values; `what` is the function and how it ended.
    pub fn register(
        &mut self,
        client: u32,
        at: Range<u64>,
        what: (Function, Phase),
        (expected, value): (Option<u64>, Option<u64>),
    ) {
        let (function, phase) = what;
        let owner = self.owner(client);
        self.op += 1;
        let asked = match function {
            Function::Read => Detail::Register { expected: None, value: None },
            _ => Detail::Register { expected, value },
        };
        self.event(owner, self.op, at.start, function, Phase::Invoke, asked);
        let detail = match phase {
            Phase::Info => Detail::Reason("timeout".into()),
            _ => Detail::Register { expected, value },
        };
        self.event(owner, self.op, at.end, function, phase, detail);
    }

    /// n1 and n2 against n3, n4 and n5, for a while.
    pub fn fault(&mut self, id: u32, during: Range<u64>) {
        self.fault_begins(id, during.start);
        self.fault_ends(id, during.end, (true, true));
    }

    /// Every client that has not exited does so at `ms`, and the run is over.
    pub fn end(&mut self, ms: u64) -> Verdict {
        self.finish(ms);
        analyze(&self.history)
    }

    pub fn finish(&mut self, ms: u64) {
        for client in 1..=3 {
            if !self.exited.contains(&client) {
                self.exit(client, ms, ExitCause::Finished);
            }
        }
        self.milestone(ms, Milestone::End);
    }

    /// The verdict over a history that stops here: no exits, no end.
    pub fn cut(&self) -> Verdict {
        analyze(&self.history)
    }

    pub fn holds(&self) -> Vec<Hold> {
        holds(&self.history)
    }
}

/// The classes found, each with its count, such as `double-grant x1`.
pub fn found(verdict: &Verdict) -> Vec<String> {
    let counts = verdict.violation_counts.iter();
    counts.map(|(class, count)| format!("{class} x{count}")).collect()
}

pub fn nothing() -> Vec<String> {
    Vec::new()
}

/// Whether a class blames the service rather than a holder that overran its lease.
pub fn blames_the_service(class: ViolationClass) -> bool {
    !matches!(class, ViolationClass::LeaseOverrun | ViolationClass::LostUpdate)
}
