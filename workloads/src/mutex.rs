//! The loop of every workload that takes locks: acquire, hold for a random time, release, rest for a
//! random time; again and again. What the holder does meanwhile is handed in.
//!
//! Every choice comes from the client's seed, and each attempt makes all of its own whether it comes
//! to them or not, so that no answer of the store changes what is chosen later.

mod arrivals;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::time::Duration;

use locktest_history::{ClientId, KeyId, Plan, Workload};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::attempt::{Held, HoldEnd, LockClient, NotGranted, wait};
use crate::recipes::LockRecipe;
use crate::recorder::Owner;

pub(crate) use arrivals::Arrivals;

/// A pause after an attempt that failed, so that a store that answers errors at once is not flooded.
pub(crate) const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// The least pause, in milliseconds, before a lock that was denied is tried again.
const LEAST_PAUSE_MS: u64 = 3;

/// Of so many kinds of holds three are long, three more outlive their lease if they are to, and in
/// the workload `crash` one ends with the client's death.
const KINDS: u32 = 15;

/// Whoever keeps a lock for at least this long tells the control node, which may aim a fault at it.
/// A shorter hold would be over before the fault came, and a line for each would cost the tester
/// speed.
const WORTH_TELLING: Duration = Duration::from_millis(300);

/// How the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The control node said stop, or is gone.
    Stopped,
    /// The client is to die at once, with a lock in its hands.
    Crash,
}

/// How one hold is to be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HoldPlan {
    length: Duration,
    renew: bool,
    /// Whether the client dies in the middle of it.
    crash: bool,
}

/// What one attempt is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AttemptPlan {
    key: KeyId,
    hold: HoldPlan,
    /// How long it waits for the lock, if less than the acquire's timeout.
    patience: Option<Duration>,
    /// How long the client waits if a try is denied.
    pause: Duration,
    /// How long the client does something else once it has given the lock up. Without it nobody else
    /// would get a lock that waiters have to poll: whoever gives it up is the first to ask again.
    rest: Duration,
}

/// Runs until the control node says stop, or goes away, or the client is to die. With arrivals, which
/// all owners of the client share, each acquire begins at the next of them, or as soon after it as its
/// owner is free.
pub(crate) async fn run<R: LockRecipe, W: Write>(
    client: &LockClient<'_, R, W>,
    seed: u64,
    arrivals: Option<&Arrivals>,
    section: impl AsyncFn(Owner, &Held<R::LeaseId>, HoldPlan) -> HoldEnd,
) -> Ended {
    let plan = client.plan();
    let id = client.recorder().client();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    while !client.is_over() {
        let AttemptPlan { key, hold, patience, pause, rest } = plan_attempt(&mut rng, plan, id);
        if let Some(arrivals) = arrivals {
            client.until(arrivals.next_ns()).await;
            if client.is_over() {
                break;
            }
        }
        let owner = Owner { attempt: client.recorder().next_attempt(), key };
        let answer = match plan.workload {
            Workload::Try => client.try_acquire(owner).await,
            _ => client.acquire(owner, patience).await,
        };
        let refusal = match answer {
            Ok(held) => {
                let section = async {
                    match plan.steady {
                        true => hold.stay(client, owner).await,
                        false => section(owner, &held, hold).await,
                    }
                };
                if client.hold(owner, &held, hold.renew, section).await == HoldEnd::Crash {
                    return Ended::Crash;
                }
                if arrivals.is_none() {
                    client.pause(rest).await;
                }
                continue;
            }
            Err(refusal) => refusal,
        };
        if client.is_over() {
            break;
        }
        match refusal {
            // The store does what it should.
            NotGranted::Refused if plan.workload == Workload::Try => client.pause(pause).await,
            NotGranted::GivenUp => client.pause(PAUSE_AFTER_FAILURE).await,
            NotGranted::Refused | NotGranted::Failed => {
                client.rotate();
                client.pause(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
    Ended::Stopped
}

impl HoldPlan {
    #[cfg(test)]
    pub(crate) fn for_tests(length: Duration, crash: bool) -> HoldPlan {
        HoldPlan { length, renew: false, crash }
    }

    /// Stays inside, for the whole of the hold or until the run is over. The client may have to die
    /// halfway.
    pub(crate) async fn stay<R: LockRecipe, W: Write>(
        self,
        client: &LockClient<'_, R, W>,
        owner: Owner,
    ) -> HoldEnd {
        let rest = if self.crash { self.length / 2 } else { self.length };
        if rest >= WORTH_TELLING {
            client.recorder().holds(owner, rest);
        }
        match client.control().until_stop(wait(rest)).await {
            Some(()) if self.crash => HoldEnd::Crash,
            _ => HoldEnd::Done,
        }
    }
}

fn plan_attempt(rng: &mut ChaCha8Rng, plan: &Plan, client: ClientId) -> AttemptPlan {
    let any_key = rng.random_range(0..plan.keys.len().max(1));
    let key = match plan.workload {
        Workload::DifferentKeys => client.0 as usize % plan.keys.len().max(1),
        _ => any_key,
    };
    let hold = plan_hold(rng, plan);
    let gives_up = rng.random_bool(0.5);
    let patience = ms(rng.random_range(0.0..=1.0) * plan.hold_ms as f64);
    let pause_ms = rng.random_range(LEAST_PAUSE_MS..=plan.hold_ms.max(LEAST_PAUSE_MS));
    let rest = usual_hold(rng, plan);
    let rest = if plan.steady { Duration::ZERO } else { rest };
    AttemptPlan {
        key: KeyId(u32::try_from(key).unwrap_or(0)),
        hold,
        patience: (plan.workload == Workload::Cancel && gives_up).then_some(patience),
        pause: Duration::from_millis(pause_ms),
        rest,
    }
}

/// One hold in five is long, 0.5 to 0.9 of the lease; the others are around `hold_ms`. When
/// overruns are asked for, another one in five outlives its lease without renewal. Where clients die,
/// no hold is long for any other reason: the lease of each death already costs its time. Where locks
/// are not to be held, as in a test of the tester's own speed, none is long either. Steady holds all
/// take `hold_ms`.
fn plan_hold(rng: &mut ChaCha8Rng, plan: &Plan) -> HoldPlan {
    let crashes = plan.workload == Workload::Crash;
    let may_be_long = !crashes && plan.hold_ms > 0 && !plan.steady;
    let ttl_ms = plan.lease_ttl_ms as f64;
    let kind = rng.random_range(0..KINDS);
    let overruns = plan.overrun && (3..6).contains(&kind);
    let length = match kind {
        0..3 if may_be_long => ms(rng.random_range(0.5..0.9) * ttl_ms),
        _ if overruns => ms(rng.random_range(1.2..1.8) * ttl_ms),
        _ if plan.steady => ms(plan.hold_ms as f64),
        _ => usual_hold(rng, plan),
    };
    HoldPlan { length, renew: !overruns, crash: crashes && kind == 0 }
}

fn usual_hold(rng: &mut ChaCha8Rng, plan: &Plan) -> Duration {
    ms(rng.random_range(0.0..2.0) * plan.hold_ms as f64)
}

fn ms(ms: f64) -> Duration {
    Duration::from_secs_f64(ms / 1000.0)
}
