//! When a client means to begin its acquires.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use locktest_history::{ClientId, Phase};

use super::*;
use crate::clock::RunClock;
use crate::protocol::{FromClient, ToClient};
use crate::testing::plan;

/// A store that denies its first locks, and says stop at the last that it is asked for.
struct Store<'a> {
    denials: usize,
    asked: Cell<usize>,
    stop_at: Option<(usize, &'a Control)>,
}

impl LockRecipe for Store<'_> {
    type LeaseId = ();

    async fn open(&self, _: usize) -> Result<Lease<()>, CallError> {
        Ok(Lease { id: (), ttl_ms: 2000 })
    }

    async fn lock(&self, _: usize, (): &(), _: &str, _: Instant) -> Result<Grant, CallError> {
        self.asked.update(|asked| asked + 1);
        if let Some((last, control)) = self.stop_at
            && self.asked.get() == last
        {
            control.hear(ToClient::Stop);
        }
        if self.asked.get() <= self.denials {
            return Err(CallError::Refused("held".into()));
        }
        Ok(Grant { entry: Vec::new(), revision: None, waited: Duration::ZERO, lease_start: None })
    }

    async fn try_lock(&self, server: usize, lease: &(), key: &str) -> Result<Grant, CallError> {
        self.lock(server, lease, key, Instant::now()).await
    }

    async fn renew(&self, _: usize, (): &(), _: &str) -> Result<Renewal, CallError> {
        Ok(Renewal::Renewed)
    }

    async fn entry(&self, _: usize, (): &(), _: &str, _: &Grant) -> Result<Entry, CallError> {
        Ok(Entry { ours: true, token: None, at_revision: None })
    }

    async fn unlock(&self, _: usize, (): &(), _: &str, _: &Grant) -> Result<(), CallError> {
        Ok(())
    }

    async fn revoke(&self, _: usize, (): &(), _: &str) -> Result<(), CallError> {
        Ok(())
    }
}

/// What has left the process.
#[derive(Clone, Default)]
struct Sent(Rc<RefCell<Vec<u8>>>);

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sent {
    /// The details of the acquires' invokes, and when something of `function` came to `phase`.
    fn acquires_and(&self, function: Function, phase: Phase) -> (Vec<Detail>, Vec<u64>) {
        let sent = self.0.borrow();
        let (mut acquires, mut times_ns) = (Vec::new(), Vec::new());
        for line in std::str::from_utf8(&sent).expect("lines are text").lines() {
            let FromClient::Event(event) = FromClient::parse(line).expect("a whole line") else {
                continue;
            };
            if (event.function, event.phase) == (Function::Acquire, Phase::Invoke) {
                if let Detail::Intended { start_ns } = event.detail {
                    assert!(start_ns <= event.time_ns, "{event:?}");
                }
                acquires.push(event.detail);
            } else if (event.function, event.phase) == (function, phase) {
                times_ns.push(event.time_ns);
            }
        }
        (acquires, times_ns)
    }
}

#[tokio::test]
async fn the_next_acquire_is_meant_to_begin_when_the_release_is_known_and_not_once_the_lease_is_gone()
 {
    let (plan, control, sent) = (plan(), Control::default(), Sent::default());
    let recorder = Recorder::new(ClientId(0), RunClock::start(), sent.clone());
    let store = Store { denials: 0, asked: Cell::new(0), stop_at: None };
    let client = MutexClient::new(store, &plan, &recorder, &control);
    let two_attempts = async {
        for attempt in 1..=2 {
            let owner = Owner { attempt, key: KeyId(0) };
            let held = client.acquire(owner).await.expect("the store grants every lock");
            client.release(owner, &held).await;
        }
    };
    recorder.attend(two_attempts).await;
    let (acquires, released_ns) = sent.acquires_and(Function::Release, Phase::Ok);
    assert_eq!(acquires, [Detail::None, Detail::Intended { start_ns: released_ns[0] }]);
}

#[tokio::test]
async fn after_a_denial_the_next_acquire_is_meant_to_begin_one_pause_later() {
    let (plan, control, sent) = (plan(), Control::default(), Sent::default());
    let recorder = Recorder::new(ClientId(0), RunClock::start(), sent.clone());
    let store = Store { denials: 2, asked: Cell::new(0), stop_at: Some((2, &control)) };
    let client = MutexClient::new(store, &plan, &recorder, &control);
    recorder.attend(client.run(1)).await;
    let (acquires, denied_ns) = sent.acquires_and(Function::Acquire, Phase::Fail);
    let start_ns = denied_ns[0] + PAUSE_AFTER_FAILURE.as_nanos() as u64;
    assert_eq!(acquires, [Detail::None, Detail::Intended { start_ns }]);
}
