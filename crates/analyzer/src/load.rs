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
    let begin_ns = observed.ready_ns?;
    let stop_ns = observed.time_up_ns.unwrap_or(observed.end_ns);
    let seconds = stop_ns.saturating_sub(begin_ns) as f64 / 1e9;
    let begun = observed.attempts.iter().filter(|attempt| attempt.acquire.invoke_ns() < stop_ns);
    let begun_per_s = if seconds > 0.0 { begun.count() as f64 / seconds } else { 0.0 };
    Some(Load { intended_per_s, begun_per_s })
}

/// Whether the clients fell behind by more than chance.
pub(crate) fn is_behind(load: &Load, observed: &Observed) -> bool {
    let (Some(begin_ns), Some(stop_ns)) = (observed.ready_ns, observed.time_up_ns) else {
        return false;
    };
    let seconds = stop_ns.saturating_sub(begin_ns) as f64 / 1e9;
    let (intended, begun) = (load.intended_per_s * seconds, load.begun_per_s * seconds);
    begun < intended * KEPT_SHARE && begun < intended - CHANCE * intended.sqrt()
}
