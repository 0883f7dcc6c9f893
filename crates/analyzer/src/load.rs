//! Whether the clients kept the rate at which they were to begin.

use crate::observed::Observed;
use crate::verdict::Load;

/// Fewer than this share of the intended acquires is a rate that was not kept.
const KEPT_SHARE: f64 = 0.95;

/// Random arrivals vary by the root of their number; three times that is chance.
const CHANCE: f64 = 3.0;

/// The rate that was asked for and the one that was, over the workload's time.
pub(crate) fn load(observed: &Observed) -> Option<Load> {
    let intended_per_s = f64::from(observed.plan.rate_per_s?);
    let (seconds, begun) = begun(observed)?;
    Some(Load { intended_per_s, begun_per_s: begun / seconds })
}

/// That rate, if the clients fell behind by more than chance.
pub(crate) fn behind(observed: &Observed) -> Option<Load> {
    let load = load(observed)?;
    let (seconds, begun) = begun(observed)?;
    let intended = load.intended_per_s * seconds;
    let is_behind = begun < intended * KEPT_SHARE && begun < intended - CHANCE * intended.sqrt();
    is_behind.then_some(load)
}

/// How long the workload ran, in seconds, and how many acquires began.
fn begun(observed: &Observed) -> Option<(f64, f64)> {
    let stop_ns = observed.time_up_ns.unwrap_or(observed.end_ns);
    let length_ns = stop_ns.checked_sub(observed.ready_ns?).filter(|length_ns| *length_ns > 0)?;
    let begun = observed.attempts.iter().filter(|attempt| attempt.acquire.invoke_ns() < stop_ns);
    Some((length_ns as f64 / 1e9, begun.count() as f64))
}
