//! Good histories: concurrent processes around an object that does what it should.

use locktest_checker::{Action, NEVER, Operation, Outcome, Process, Specification, Value, Values};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::history::History;
use crate::oracle::World;

/// One operation on its way.
struct Running {
    operation: Operation,
    /// Whether it has taken effect.
    done: bool,
}

struct Simulation<'a> {
    rng: &'a mut ChaCha8Rng,
    specification: Specification,
    values: Values,
    world: World,
    now: u64,
    /// How likely an answer is lost, or a process loses its patience.
    loss: f64,
    /// What each process waits for.
    running: Vec<Option<Running>>,
    /// Operations that their processes gave up, and that may still happen.
    orphans: Vec<Running>,
    /// How often each process believes to hold the lock, and its read side.
    believes: Vec<(u32, u32)>,
    finished: Vec<Operation>,
}

/// A history of so many operations that is linearizable by construction.
pub fn good_history(specification: Specification, size: usize, rng: &mut ChaCha8Rng) -> History {
    let processes = rng.random_range(2..=5_usize);
    let loss = [0.0, 0.05, 0.15, 0.3][rng.random_range(0..4)];
    let mut simulation = Simulation {
        rng,
        specification,
        values: values(),
        world: World::default(),
        now: 1,
        loss,
        running: (0..processes).map(|_| None).collect(),
        orphans: Vec::new(),
        believes: vec![(0, 0); processes],
        finished: Vec::new(),
    };
    let mut invoked = 0;
    // Some histories are nearly sequential, others a heap.
    let stays = simulation.rng.random_range(0.0..0.9);
    let mut process = 0;
    // A process that waits for ever gives up in the end, so this ends.
    while invoked < size || simulation.running.iter().any(Option::is_some) {
        // Ties are frequent.
        simulation.now += [0, 0, 1, 1, 2][simulation.rng.random_range(0..5)];
        if !simulation.rng.random_bool(stays) {
            process = simulation.rng.random_range(0..processes);
        }
        match simulation.running[process].take() {
            None if invoked < size => {
                simulation.invoke(process);
                invoked += 1;
            }
            None => {
                // The history ends while some are still waiting.
                if simulation.rng.random_bool(0.05) {
                    break;
                }
            }
            Some(running) => simulation.advance(process, running),
        }
        simulation.let_an_orphan_happen();
    }
    let Simulation { running, mut finished, values, .. } = simulation;
    // What is open at the end of the history may have happened or not.
    for running in running.into_iter().flatten() {
        finished.extend(open(running.operation));
    }
    finished.sort_by_key(|operation| operation.invoke);
    History { specification, operations: finished, values }
}

/// The words that registers and keys of these histories hold. Concatenations come on top.
pub fn values() -> Values {
    let mut values = Values::default();
    for word in ["a", "b", "c"] {
        values.number(word);
    }
    values
}

/// An operation without an answer; a read without an answer is none.
fn open(operation: Operation) -> Option<Operation> {
    let is_read = matches!(operation.action, Action::Read(_) | Action::Get(_));
    (!is_read).then_some(Operation { complete: NEVER, outcome: Outcome::Info, ..operation })
}

/// An action that suits the object; what it returns is still open.
pub fn random_action(specification: Specification, rng: &mut ChaCha8Rng) -> Action {
    let value = Value(rng.random_range(0..4));
    let token = if rng.random_bool(0.3) { rng.random_range(1..6) } else { 0 };
    let choices: &[Action] = match specification {
        Specification::Mutex
        | Specification::OwnerMutex
        | Specification::ReentrantMutex { .. }
        | Specification::FencedMutex
        | Specification::Semaphore { .. } => {
            &[Action::Acquire(token), Action::TryAcquire(token), Action::Release]
        }
        Specification::LeaseMutex { .. } => {
            &[Action::Acquire(0), Action::TryAcquire(0), Action::Release, Action::Renew]
        }
        Specification::ReadWriteLock => &[
            Action::Acquire(token),
            Action::TryAcquire(token),
            Action::Release,
            Action::AcquireShared,
            Action::TryAcquireShared,
            Action::ReleaseShared,
        ],
        Specification::FencedResource => &[
            Action::GuardedRead(rng.random_range(0..6)),
            Action::GuardedWrite(rng.random_range(0..6)),
        ],
        Specification::CasRegister => &[
            Action::Read(value),
            Action::Read(value),
            Action::Write(value),
            Action::Cas { expected: Value(rng.random_range(0..3)), new: value },
        ],
        Specification::KeyValue => &[
            Action::Get(value),
            Action::Get(value),
            Action::Put(value),
            Action::Append(Value(rng.random_range(1..4))),
        ],
    };
    choices[rng.random_range(0..choices.len())]
}

impl Simulation<'_> {
    fn invoke(&mut self, process: usize) {
        let action = self.action(process);
        let operation = Operation {
            invoke: self.now,
            complete: NEVER,
            action,
            process: Process::try_from(process).unwrap(),
            outcome: Outcome::Ok,
        };
        self.running[process] = Some(Running { operation, done: false });
    }

    /// What a client would do next: mostly give back what it has and take what it has not.
    fn action(&mut self, process: usize) -> Action {
        let (held, shared) = self.believes[process];
        let renews = matches!(self.specification, Specification::LeaseMutex { .. });
        let deep = matches!(
            self.specification,
            Specification::ReentrantMutex { .. } | Specification::Semaphore { .. }
        );
        if held > 0 && renews && self.rng.random_bool(0.35) {
            Action::Renew
        } else if held > 0 && !self.rng.random_bool(if deep { 0.45 } else { 0.1 }) {
            Action::Release
        } else if shared > 0 && !self.rng.random_bool(0.15) {
            Action::ReleaseShared
        } else {
            let action = random_action(self.specification, self.rng);
            match action {
                // Rarely does one release what it does not have.
                Action::Release | Action::ReleaseShared | Action::Renew
                    if !self.rng.random_bool(0.1) =>
                {
                    Action::Acquire(0)
                }
                Action::GuardedRead(_) | Action::GuardedWrite(_) => self.guarded(action),
                action => action,
            }
        }
    }

    /// Tokens of a resource grow with time, more or less.
    fn guarded(&mut self, action: Action) -> Action {
        let least = self.world.token.saturating_sub(1);
        let token = self.rng.random_range(least..=self.world.token + 2);
        match action {
            Action::GuardedRead(_) => Action::GuardedRead(token),
            _ => Action::GuardedWrite(token),
        }
    }

    /// Lets an operation take effect, complete, or wait on.
    fn advance(&mut self, process: usize, mut running: Running) {
        if !running.done {
            running = self.take_effect(running);
            if !running.done && self.rng.random_bool(0.02 + self.loss) {
                if self.rng.random_bool(0.3) {
                    // It gives up and takes back its request.
                    running.operation.outcome = Outcome::Fail;
                    running.operation.complete = self.now;
                    self.finished.push(running.operation);
                } else {
                    self.finished.extend(open(running.operation));
                    self.orphans.push(running);
                }
                return;
            }
            self.running[process] = Some(running);
            return;
        }
        let held = running.operation.outcome == Outcome::Ok;
        if self.rng.random_bool(self.loss) {
            // The answer is lost; the process goes on, and may believe what is not.
            if held || self.rng.random_bool(0.3) {
                self.believe(process, running.operation.action);
            }
            let hides_its_token = self.rng.random_bool(0.8);
            running.operation.action = match running.operation.action {
                Action::Acquire(_) if hides_its_token => Action::Acquire(0),
                Action::TryAcquire(_) if hides_its_token => Action::TryAcquire(0),
                action => action,
            };
            self.finished.extend(open(running.operation));
            return;
        }
        if held {
            self.believe(process, running.operation.action);
        }
        running.operation.complete = self.now;
        self.finished.push(running.operation);
    }

    fn believe(&mut self, process: usize, action: Action) {
        let (held, shared) = &mut self.believes[process];
        match action {
            Action::Acquire(_) | Action::TryAcquire(_) => *held += 1,
            Action::Release => *held = held.saturating_sub(1),
            Action::AcquireShared | Action::TryAcquireShared => *shared += 1,
            Action::ReleaseShared => *shared = shared.saturating_sub(1),
            _ => {}
        }
    }

    /// Asks the object. What it refuses and does not say so waits on.
    fn take_effect(&mut self, mut running: Running) -> Running {
        let mut operation = Operation { complete: self.now, ..running.operation };
        operation.action = match operation.action {
            Action::Read(_) => Action::Read(Value(self.world.value)),
            Action::Get(_) => Action::Get(self.values.number(&self.world.text)),
            action => action,
        };
        if self.specification == Specification::FencedMutex {
            let knows_its_token = self.rng.random_bool(0.85);
            let token = self.world.token + self.rng.random_range(1..=2);
            let token = if knows_its_token { token } else { 0 };
            operation.action = match operation.action {
                Action::Acquire(_) => Action::Acquire(token),
                Action::TryAcquire(_) => Action::TryAcquire(token),
                action => action,
            };
        }
        // A lease that is over may end now or later.
        let mut world = self.world.clone();
        world.now = self.now;
        let is_held = world.held.iter().any(|count| *count > 0);
        if is_held && self.rng.random_bool(0.5) {
            world.deadline = world.deadline.max(self.now + 1);
        }
        if let Some(next) = world.after(self.specification, &operation, &self.values) {
            self.world = next;
            running.done = true;
        } else {
            operation.outcome = Outcome::Fail;
            let refused = self.world.after(self.specification, &operation, &self.values);
            let gives_up =
                matches!(operation.action, Action::Release | Action::ReleaseShared | Action::Renew);
            running.done = refused.is_some() || gives_up;
            if !running.done {
                operation.outcome = Outcome::Ok;
            }
        }
        running.operation = Operation { complete: NEVER, ..operation };
        running
    }

    /// A request that was given up arrives late.
    fn let_an_orphan_happen(&mut self) {
        if self.orphans.is_empty() || !self.rng.random_bool(0.2) {
            return;
        }
        let orphan = self.orphans.swap_remove(0);
        let operation = Operation { complete: self.now, ..orphan.operation };
        let world = World { now: self.now, ..self.world.clone() };
        if let Some(next) = world.after(self.specification, &operation, &self.values) {
            self.world = next;
        }
    }
}
