//! What a run's clients ask of their locks, told while its records come in.
//!
//! It is read as by [`load_run`](crate::load_run): the owner is a client's attempt, and holds from
//! its acquire's ok until it begins to release, notices that it lost the lock, or its process ends.
//! Of its releases only the first counts, and only if it is ok is it known to have happened.

use locktest_checker::stream::Step;
use locktest_checker::{Action, Outcome, Process};
use locktest_history::{ClientExit, ClientId, Detail, Event, Function, KeyId, Phase, Record};

/// What a record means for the locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Something happened to a lock.
    Event(LockEvent),
    /// A client has nothing more to tell of the time before this.
    Watermark { client: ClientId, time_ns: u64 },
    /// A client has nothing more to tell.
    Ended { client: ClientId },
    /// The records contradict each other, in words.
    Broken(String),
}

/// One end of an operation on a lock: a
/// [`StreamEvent`](locktest_checker::stream::StreamEvent) in less space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LockEvent {
    pub(crate) time_ns: u64,
    pub(crate) client: ClientId,
    pub(crate) key: KeyId,
    pub(crate) process: Process,
    pub(crate) asked: Asked,
    pub(crate) step: Step,
}

/// What a run asks of its locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Acquire,
    TryAcquire,
    Release,
}

impl From<Asked> for Action {
    fn from(asked: Asked) -> Action {
        match asked {
            Asked::Acquire => Action::Acquire(0),
            Asked::TryAcquire => Action::TryAcquire(0),
            Asked::Release => Action::Release,
        }
    }
}

/// Follows the attempts of all clients. Takes the records in the order of the file, in which those
/// of one client are in time order.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    clients: Vec<Client>,
}

/// The attempt that a client is at.
#[derive(Clone, Copy, Debug)]
struct Client {
    attempt: u64,
    key: KeyId,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// With the number of the operation that is open.
    Asking {
        op: u64,
        asked: Asked,
    },
    Holding,
    Releasing {
        op: u64,
    },
    /// It holds nothing, or does not believe so any more.
    Done,
}

/// The end of a hold that its owner did not ask for: it may come true at any later time.
const GIVEN_UP: [Step; 2] = [Step::Invoke, Step::Complete(Outcome::Info)];

impl Attempts {
    pub(crate) fn new(clients: usize) -> Attempts {
        let none = Client { attempt: 0, key: KeyId(0), stage: Stage::Done };
        Attempts { clients: vec![none; clients] }
    }

    /// The process of an attempt; `None` if there are too many to number.
    fn process(&self, client: ClientId, attempt: u64) -> Option<Process> {
        let first = attempt.checked_mul(self.clients.len() as u64)?;
        Process::try_from(first.checked_add(u64::from(client.0))?).ok()
    }

    /// Whose attempt a process is.
    pub(crate) fn owner(&self, process: Process) -> (ClientId, u64) {
        let clients = (self.clients.len() as u32).max(1);
        (ClientId(process % clients), u64::from(process / clients))
    }

    /// Says what a record means, if it means anything.
    pub(crate) fn tell(&mut self, record: &Record, told: &mut Vec<Told>) {
        match record {
            Record::Event(event) => {
                if let Err(because) = self.event(event, told) {
                    let Event { client, attempt, time_ns, .. } = event;
                    told.push(Told::Broken(format!(
                        "{client}'s attempt {attempt} {because} at {time_ns} ns"
                    )));
                }
            }
            Record::ClientExit(exit) => self.exit(exit, told),
            _ => {}
        }
    }

    fn exit(&mut self, exit: &ClientExit, told: &mut Vec<Told>) {
        let ClientExit { client: id, time_ns, .. } = *exit;
        if let Some(Client { attempt, key, stage: Stage::Holding }) =
            self.clients.get(id.0 as usize).copied()
            && let Some(process) = self.process(id, attempt)
        {
            told.extend(GIVEN_UP.map(|step| {
                let asked = Asked::Release;
                Told::Event(LockEvent { time_ns, client: id, key, process, asked, step })
            }));
        }
        told.push(Told::Ended { client: id });
    }

    fn event(&mut self, event: &Event, told: &mut Vec<Told>) -> Result<(), &'static str> {
        let Event { time_ns, client: id, attempt, key, .. } = *event;
        let process = self.process(id, attempt).ok_or("is one of too many")?;
        let client = self.clients.get_mut(id.0 as usize).ok_or("is of an unknown client")?;
        let before = told.len();
        let mut say = |asked, step| {
            told.push(Told::Event(LockEvent { time_ns, client: id, key, process, asked, step }));
        };
        match event.function {
            Function::Acquire => client.acquire(event, Asked::Acquire, &mut say)?,
            Function::TryAcquire => client.acquire(event, Asked::TryAcquire, &mut say)?,
            Function::Release => client.release(event, &mut say)?,
            Function::Lost => client.lost(event, &mut say)?,
            Function::Renew | Function::Validate => {}
            // The protected resource notes their completions, with delays of its own.
            Function::Read | Function::Write => return Ok(()),
            Function::Cas | Function::Round => return Ok(()),
        }
        if told.len() == before {
            told.push(Told::Watermark { client: id, time_ns });
        }
        Ok(())
    }
}

impl Client {
    fn acquire(
        &mut self,
        event: &Event,
        asked: Asked,
        say: &mut impl FnMut(Asked, Step),
    ) -> Result<(), &'static str> {
        let Event { attempt, key, op, .. } = *event;
        let Some(outcome) = outcome(event.phase) else {
            if attempt <= self.attempt {
                return Err("asks for its lock twice");
            }
            if self.stage != Stage::Done {
                return Err("begins before the one before it is done");
            }
            *self = Client { attempt, key, stage: Stage::Asking { op, asked } };
            say(asked, Step::Invoke);
            return Ok(());
        };
        self.check_is_at(event)?;
        if self.stage != (Stage::Asking { op, asked }) {
            return Err("has an answer to what it did not ask");
        }
        self.stage = if outcome == Outcome::Ok { Stage::Holding } else { Stage::Done };
        // A try that the store never judged tells nothing of the lock.
        let judged = !matches!(event.detail, Detail::NotAsked(_));
        say(if judged { asked } else { Asked::Acquire }, Step::Complete(outcome));
        Ok(())
    }

    fn release(
        &mut self,
        event: &Event,
        say: &mut impl FnMut(Asked, Step),
    ) -> Result<(), &'static str> {
        self.check_is_at(event)?;
        match (self.stage, outcome(event.phase)) {
            (Stage::Holding, None) => {
                self.stage = Stage::Releasing { op: event.op };
                say(Asked::Release, Step::Invoke);
            }
            (Stage::Releasing { op }, Some(outcome)) if op == event.op => {
                self.stage = Stage::Done;
                let known = if outcome == Outcome::Ok { outcome } else { Outcome::Info };
                say(Asked::Release, Step::Complete(known));
            }
            // It revokes what may be left.
            (Stage::Done, _) => {}
            _ => return Err("releases out of turn"),
        }
        Ok(())
    }

    fn lost(
        &mut self,
        event: &Event,
        say: &mut impl FnMut(Asked, Step),
    ) -> Result<(), &'static str> {
        self.check_is_at(event)?;
        match self.stage {
            Stage::Holding => {
                self.stage = Stage::Done;
                GIVEN_UP.into_iter().for_each(|step| say(Asked::Release, step));
            }
            Stage::Releasing { .. } | Stage::Done => {}
            Stage::Asking { .. } => return Err("loses what it has not got"),
        }
        Ok(())
    }

    fn check_is_at(&self, event: &Event) -> Result<(), &'static str> {
        if (event.attempt, event.key) == (self.attempt, self.key) {
            Ok(())
        } else {
            Err("is not the one that its client is at")
        }
    }
}

fn outcome(phase: Phase) -> Option<Outcome> {
    match phase {
        Phase::Invoke => None,
        Phase::Ok => Some(Outcome::Ok),
        Phase::Fail => Some(Outcome::Fail),
        Phase::Info => Some(Outcome::Info),
    }
}

#[cfg(test)]
mod tests {
    use locktest_history::ExitCause;

    use super::Function::{Acquire, Lost, Release, Renew, TryAcquire};
    use super::Phase::{Fail, Info, Invoke, Ok as Happened};
    use super::*;

    type Told = (Function, Phase, u64);

    /// What the locks see of one client's attempts, each a list of events, and of its exit.
    fn seen(attempts: &[&[Told]]) -> Vec<String> {
        let mut follow = Attempts::new(2);
        let (client, key) = (ClientId(1), KeyId(0));
        let mut told = Vec::new();
        let mut time_ns = 0;
        for (attempt, events) in (1..).zip(attempts) {
            for (function, phase, op) in events.iter().copied() {
                time_ns += 1;
                let detail = Detail::None;
                let server = None;
                let event =
                    Event { time_ns, client, attempt, op, key, server, function, phase, detail };
                follow.tell(&Record::Event(event), &mut told);
            }
        }
        let exit = ClientExit { time_ns: time_ns + 1, client, cause: ExitCause::Finished };
        follow.tell(&Record::ClientExit(exit), &mut told);
        let seen = told.into_iter().filter_map(|told| match told {
            super::Told::Event(LockEvent { time_ns, process, asked, step, .. }) => {
                assert_eq!(follow.owner(process).0, client);
                Some(format!("{time_ns}: {} {asked:?} {step:?}", follow.owner(process).1))
            }
            super::Told::Broken(because) => Some(because),
            _ => None,
        });
        seen.collect()
    }

    #[test]
    fn of_the_releases_of_a_hold_the_first_counts() {
        for (outcome, seen_as) in [(Happened, "Ok"), (Fail, "Info"), (Info, "Info")] {
            let events = [
                (Acquire, Invoke, 1),
                (Renew, Invoke, 2),
                (Acquire, Happened, 1),
                (Release, Invoke, 3),
                (Release, outcome, 3),
                (Release, Invoke, 4),
                (Release, Happened, 4),
            ];
            let expected = [
                "1: 1 Acquire Invoke".to_owned(),
                "3: 1 Acquire Complete(Ok)".to_owned(),
                "4: 1 Release Invoke".to_owned(),
                format!("5: 1 Release Complete({seen_as})"),
            ];
            assert_eq!(seen(&[&events]), expected);
        }
    }

    #[test]
    fn a_hold_ends_when_its_owner_notices_or_its_process_ends() {
        let lost = [
            (Acquire, Invoke, 1),
            (Acquire, Happened, 1),
            (Lost, Happened, 2),
            (Release, Invoke, 3),
            (Release, Happened, 3),
        ];
        let ended = ["3: 1 Release Invoke", "3: 1 Release Complete(Info)"];
        assert_eq!(seen(&[&lost])[2..], ended);
        assert_eq!(seen(&[&lost[..2]])[2..], ended, "the process ended");
    }

    #[test]
    fn a_revoke_of_what_was_never_granted_is_no_release() {
        for outcome in [Fail, Info] {
            let events = [
                (TryAcquire, Invoke, 1),
                (TryAcquire, outcome, 1),
                (Release, Invoke, 2),
                (Release, Happened, 2),
            ];
            let seen = seen(&[&events]);
            assert_eq!(seen.len(), 2, "{seen:?}");
            assert!(seen[1].contains("TryAcquire"), "{seen:?}");
        }
    }

    #[test]
    fn what_no_client_does_is_named() {
        let granted = [(Acquire, Invoke, 1), (Acquire, Happened, 1)];
        let lost = [granted[0], granted[1], (Lost, Happened, 2)];
        for (events, why) in [
            (&[(Release, Invoke, 2)][..], "is not the one that its client is at"),
            (&[(Acquire, Invoke, 2), (Release, Invoke, 3)], "releases out of turn"),
            (&[(Acquire, Invoke, 2), (Lost, Happened, 3)], "loses what it has not got"),
            (&[(Acquire, Invoke, 2), (Acquire, Happened, 3)], "what it did not ask"),
            (&[(Acquire, Invoke, 2), (TryAcquire, Happened, 2)], "what it did not ask"),
            (&[(Acquire, Invoke, 2), (Acquire, Invoke, 3)], "asks for its lock twice"),
        ] {
            let seen = seen(&[&lost, events]);
            assert!(seen.iter().any(|seen| seen.contains(why)), "{why}: {seen:?}");
        }
        let releasing = [granted[0], granted[1], (Release, Invoke, 2)];
        for unfinished in [&granted[..1], &granted, &releasing] {
            let seen = seen(&[unfinished, &granted]);
            let why = "begins before the one before it is done";
            assert!(seen.iter().any(|seen| seen.contains(why)), "{seen:?}");
        }
    }
}
