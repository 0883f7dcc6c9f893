//! Evidence that clocks went wrong: each server was told the true time before, and the wrong one
//! while the fault was in force.

use std::collections::BTreeMap;

use locktest_history::Skew;

use crate::skew::{Clock, ClockSeen};

/// By host and name; the reason if a host could not be asked.
pub(crate) type Found = BTreeMap<(String, String), Result<ClockSeen, String>>;

/// A store that tells its time needs no longer than this to do so.
const ANSWER_NS: u128 = 500_000_000;

/// Everything observed of clocks that a fault sets wrong.
#[derive(Debug)]
pub(crate) struct SkewEvidence {
    clock: Clock,
    skew: Skew,
    before: Found,
    /// A look that found every clock as the fault is to set it, else the last one.
    during: Option<Found>,
}

impl SkewEvidence {
    pub(super) fn new(clock: Clock, skew: Skew, before: Found) -> SkewEvidence {
        SkewEvidence { clock, skew, before, during: None }
    }

    pub(super) fn record(&mut self, found: Found) {
        if self.during.as_ref().is_none_or(|during| !self.is_done(during)) {
            self.during = Some(found);
        }
    }

    /// Whether each server that was right before is wrong now, as it is to be.
    fn is_done(&self, during: &Found) -> bool {
        !self.before.is_empty()
            && self.before.iter().all(|(server, before)| {
                let Ok(ClockSeen::Told { pid: before_pid, .. }) = before else { return false };
                let Some(Ok(now @ ClockSeen::Told { pid, .. })) = during.get(server) else {
                    return false;
                };
                is_right(before) && pid == before_pid && self.is_wrong_as_planned(now)
            })
    }

    fn is_wrong_as_planned(&self, seen: &ClockSeen) -> bool {
        let ClockSeen::Told { offset_ns: Some(offset_ns), store, .. } = seen else { return false };
        match self.skew {
            Skew::Jump { offset_ms } => {
                let jumped = |ns: i64| i128::from(ns) - i128::from(offset_ms) * 1_000_000;
                let store_agrees = store.is_none_or(|(told_ns, resolution_ns)| {
                    jumped(told_ns).unsigned_abs() <= u128::from(resolution_ns) + ANSWER_NS
                });
                jumped(*offset_ns) == 0 && store_agrees
            }
            Skew::Strobe { offset_ms, .. } => {
                i128::from(*offset_ns) == i128::from(offset_ms) * 1_000_000
            }
            Skew::Rate { gain_ppm } => offset_ns.signum() == gain_ppm.signum(),
        }
    }

    pub(super) fn judge(&self) -> (bool, Vec<String>) {
        let Some(during) = &self.during else {
            return (false, vec!["nobody looked while the fault was in force".into()]);
        };
        let mut proof: Vec<String> = (self.before.iter())
            .map(|((host, name), before)| {
                let now = during.get(&(host.clone(), name.clone()));
                let now = now.map_or_else(|| "told nothing".to_owned(), |now| self.words(now));
                format!(
                    "{name} on {host} {} before the fault, and {now} during it",
                    self.words(before)
                )
            })
            .collect();
        if proof.is_empty() {
            proof.push("no server was found before the fault".into());
        }
        (self.is_done(during), proof)
    }

    /// Whether every server that is there is told the true time again, and what was read back of
    /// each.
    pub(crate) fn judge_undo(&self, after: &Found) -> (bool, Vec<String>) {
        let right =
            after.values().all(|seen| matches!(seen, Ok(ClockSeen::Gone)) || is_right(seen));
        let proof = after.iter().map(|((host, name), seen)| {
            format!("{name} on {host} {} after the undo", self.words(seen))
        });
        (right, proof.collect())
    }

    fn words(&self, seen: &Result<ClockSeen, String>) -> String {
        let clock = self.clock.name();
        match seen {
            Err(reason) => format!("told nothing: {reason}"),
            Ok(ClockSeen::Gone) => "was gone".into(),
            Ok(ClockSeen::Told { pid, offset_ns, store }) => {
                let told = match offset_ns {
                    None => format!("(process {pid}) did not ask for the time"),
                    Some(ns) => format!("(process {pid}) was told {}", off(clock, *ns)),
                };
                match store {
                    None => told,
                    Some(store) => {
                        format!("{told}, and told others {}", told_others(clock, *store))
                    }
                }
            }
        }
    }
}

/// Such as `a wall time 30.000 s ahead`.
fn off(clock: &str, ns: i64) -> String {
    match ns {
        // Asking takes a moment, and some tell whole seconds.
        -999_999..=999_999 => format!("the true {clock} time"),
        _ => {
            let side = if ns > 0 { "ahead" } else { "behind" };
            format!("a {clock} time {:.3} s {side}", ns.unsigned_abs() as f64 / 1e9)
        }
    }
}

/// Whether a server was told the true time, or was told nothing wrong.
fn is_right(seen: &Result<ClockSeen, String>) -> bool {
    matches!(seen, Ok(ClockSeen::Told { offset_ns: None | Some(0), .. }))
}

/// Likewise of a store that tells no finer time than its resolution, and leaves out what is less.
fn told_others(clock: &str, (ns, resolution_ns): (i64, u64)) -> String {
    const FINE_NS: u64 = 1_000_000;
    let resolution = i64::try_from(resolution_ns).unwrap_or(i64::MAX);
    if resolution_ns <= FINE_NS {
        return off(clock, ns);
    }
    if ns <= 0 && ns.saturating_add(resolution) >= 0 {
        return format!("the true {clock} time, to the second");
    }
    let side = if ns > 0 { "ahead" } else { "behind" };
    let middle_ns = ns.saturating_add(resolution / 2);
    format!("a {clock} time about {:.0} s {side}", middle_ns.unsigned_abs() as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUMP: Skew = Skew::Jump { offset_ms: 3000 };

    fn told(pid: u32, offset_ns: Option<i64>, store: Option<(i64, u64)>) -> Found {
        let seen = ClockSeen::Told { pid, offset_ns, store };
        [(("n1".to_owned(), "redis".to_owned()), Ok(seen))].into()
    }

    /// Whether a clock that was right before is taken to have gone wrong as planned.
    fn bit(skew: Skew, during: Found) -> bool {
        let mut evidence =
            SkewEvidence::new(Clock::Wall, skew, told(7, Some(0), Some((-900, 1000))));
        evidence.record(during);
        evidence.judge().0
    }

    #[test]
    fn a_clock_went_wrong_if_its_server_was_told_so_and_the_store_agrees() {
        let three_s = 3_000_000_000;
        assert!(bit(JUMP, told(7, Some(three_s), None)));
        assert!(bit(JUMP, told(7, Some(three_s), Some((three_s - 2_000_000, 1000)))));
        for (wrong, during) in [
            ("nobody asked", told(7, None, None)),
            ("the true time", told(7, Some(0), None)),
            ("another offset", told(7, Some(three_s + 1), None)),
            ("another process", told(8, Some(three_s), None)),
            ("the store disagrees", told(7, Some(three_s), Some((0, 1000)))),
            ("nobody answered", Found::new()),
        ] {
            assert!(!bit(JUMP, during), "{wrong}");
        }
    }

    #[test]
    fn a_clock_that_strobes_or_drifts_was_seen_wrong_the_way_it_is_to_be() {
        let strobe = Skew::Strobe { offset_ms: 3000, period_ms: 200 };
        assert!(bit(strobe, told(7, Some(3_000_000_000), None)));
        assert!(!bit(strobe, told(7, Some(0), None)));
        let fast = Skew::Rate { gain_ppm: 1_000_000 };
        assert!(bit(fast, told(7, Some(5), None)));
        assert!(!bit(fast, told(7, Some(-5), None)) && !bit(fast, told(7, Some(0), None)));
    }

    #[test]
    fn a_clock_that_was_wrong_before_or_unknown_proves_nothing() {
        for before in [told(7, Some(9), None), Found::new()] {
            let mut evidence = SkewEvidence::new(Clock::Wall, JUMP, before);
            evidence.record(told(7, Some(3_000_000_000), None));
            assert!(!evidence.judge().0);
        }
    }

    #[test]
    fn what_a_store_tells_is_told_as_finely_as_it_does() {
        let words = |ns, resolution_ns| told_others("wall", (ns, resolution_ns));
        assert_eq!(words(-700_000, 1000), "the true wall time");
        assert_eq!(words(2_998_400_000, 1000), "a wall time 2.998 s ahead");
        assert_eq!(words(-853_000_000, 1_000_000_000), "the true wall time, to the second");
        assert_eq!(words(23_128_000_000, 1_000_000_000), "a wall time about 24 s ahead");
        assert_eq!(words(-60_923_000_000, 1_000_000_000), "a wall time about 60 s behind");
    }

    #[test]
    fn a_clock_is_right_again_once_its_server_is_told_the_true_time() {
        let evidence = SkewEvidence::new(Clock::Wall, JUMP, told(7, Some(0), None));
        assert!(evidence.judge_undo(&told(7, Some(0), None)).0);
        assert!(!evidence.judge_undo(&told(7, Some(3_000_000_000), None)).0);
        let gone: Found = [(("n1".into(), "redis".into()), Ok(ClockSeen::Gone))].into();
        assert!(evidence.judge_undo(&gone).0);
        let silent: Found = [(("n1".into(), "redis".into()), Err("no answer".into()))].into();
        let (right, proof) = evidence.judge_undo(&silent);
        assert!(!right && proof[0].contains("no answer"), "{proof:?}");
    }
}
