//! Arithmetic on the run's clock: nothing overflows, whatever a history says.

/// Milliseconds as nanoseconds.
pub(crate) fn ms_to_ns(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

/// Nanoseconds as milliseconds.
pub(crate) fn ns_to_ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Nanoseconds as people read them: `7.021 s`.
pub(crate) fn seconds(ns: u64) -> String {
    format!("{:.3} s", ns as f64 / 1e9)
}

/// When `length_ns` have passed by a clock that runs fast by `drift_ppm`.
pub(crate) fn fast_clock_end_ns(start_ns: u64, length_ns: u64, drift_ppm: u32) -> u64 {
    const MILLION: u128 = 1_000_000;
    let kept_ppm = MILLION.saturating_sub(u128::from(drift_ppm));
    let kept_ns = u128::from(length_ns) * kept_ppm / MILLION;
    start_ns.saturating_add(u64::try_from(kept_ns).unwrap_or(u64::MAX))
}

/// A union of half-open intervals: sorted, disjoint, none empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans(Vec<(u64, u64)>);

impl Spans {
    /// The union of `intervals`; those that end before they begin are empty.
    pub(crate) fn union(mut intervals: Vec<(u64, u64)>) -> Spans {
        intervals.retain(|(begin, end)| begin < end);
        intervals.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(intervals.len());
        for (begin, end) in intervals {
            match merged.last_mut() {
                Some(last) if begin <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((begin, end)),
            }
        }
        Spans(merged)
    }

    /// When at least `least` of the unions hold at once.
    pub(crate) fn shared<'s>(unions: impl IntoIterator<Item = &'s Spans>, least: usize) -> Spans {
        let spans = unions.into_iter().flat_map(|union| union.iter());
        let mut turns: Vec<(u64, bool)> =
            spans.flat_map(|(begin, end)| [(begin, true), (end, false)]).collect();
        turns.sort_unstable();
        let (mut held, mut from) = (0, 0);
        let mut shared = Vec::new();
        for (time, begins) in turns {
            let enough = held >= least;
            held = if begins { held + 1 } else { held - 1 };
            if !enough && held >= least {
                from = time;
            } else if enough && held < least {
                shared.push((from, time));
            }
        }
        Spans::union(shared)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, time_ns: u64) -> bool {
        let after = self.0.partition_point(|(begin, _)| *begin <= time_ns);
        after > 0 && time_ns < self.0[after - 1].1
    }

    /// The first instant of `[begin, end)` that lies inside.
    pub(crate) fn first_inside(&self, begin: u64, end: u64) -> Option<u64> {
        let first = self.0.partition_point(|(_, span_end)| *span_end <= begin);
        let (span_begin, _) = self.0.get(first)?;
        Some(begin.max(*span_begin)).filter(|time_ns| *time_ns < end)
    }

    /// The parts of `[begin, end)` that lie inside.
    pub(crate) fn inside(&self, begin: u64, end: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let first = self.0.partition_point(|(_, span_end)| *span_end <= begin);
        let met = self.0[first..].iter().take_while(move |(span_begin, _)| *span_begin < end);
        let parts =
            met.map(move |(span_begin, span_end)| (begin.max(*span_begin), end.min(*span_end)));
        parts.filter(|(begin, end)| begin < end)
    }

    /// The parts of `[begin, end)` that lie outside.
    pub(crate) fn outside(&self, begin: u64, end: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let first = self.0.partition_point(|(_, span_end)| *span_end <= begin);
        let mut from = begin;
        let mut rest = self.0[first..].iter();
        std::iter::from_fn(move || {
            while from < end {
                let (span_begin, span_end) = rest.next().copied().unwrap_or((end, end));
                let free = (from, span_begin.min(end));
                from = span_end.max(from);
                if free.0 < free.1 {
                    return Some(free);
                }
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_touch_are_one() {
        let spans = Spans::union(vec![(5, 7), (1, 3), (3, 4), (9, 9), (6, 8)]);
        assert_eq!(spans.iter().collect::<Vec<_>>(), [(1, 4), (5, 8)]);
        assert_eq!(
            [0, 1, 3, 4, 5, 7, 8].map(|t| spans.contains(t)),
            [false, true, true, false, true, true, false]
        );
    }

    #[test]
    fn what_lies_outside_is_cut_at_every_span() {
        let spans = Spans::union(vec![(2, 4), (6, 8)]);
        let outside = |begin, end| spans.outside(begin, end).collect::<Vec<_>>();
        assert_eq!(outside(0, 10), [(0, 2), (4, 6), (8, 10)]);
        assert_eq!(outside(3, 7), [(4, 6)]);
        assert_eq!(outside(2, 4), []);
        assert_eq!(outside(4, 5), [(4, 5)]);
        assert_eq!(outside(9, 9), []);
    }

    #[test]
    fn what_lies_inside_is_what_lies_not_outside() {
        let spans = Spans::union(vec![(2, 4), (6, 8)]);
        let inside = |begin, end| spans.inside(begin, end).collect::<Vec<_>>();
        assert_eq!(inside(0, 10), [(2, 4), (6, 8)]);
        assert_eq!(inside(3, 7), [(3, 4), (6, 7)]);
        assert_eq!(inside(4, 6), []);
        assert_eq!(inside(3, 3), []);
    }

    #[test]
    fn what_unions_share_is_where_enough_of_them_hold_at_once() {
        let unions = [vec![(0, 4), (6, 9)], vec![(2, 7)], vec![(3, 4), (8, 9)]].map(Spans::union);
        let shared = |least| Spans::shared(&unions, least).iter().collect::<Vec<_>>();
        assert_eq!(shared(1), [(0, 9)]);
        assert_eq!(shared(2), [(2, 4), (6, 7), (8, 9)]);
        assert_eq!(shared(3), [(3, 4)]);
        assert_eq!(shared(4), []);
    }

    #[test]
    fn the_first_instant_inside_is_where_a_span_begins_or_is_met() {
        let spans = Spans::union(vec![(2, 4), (6, 8)]);
        let first = |begin, end| spans.first_inside(begin, end);
        assert_eq!([first(0, 3), first(3, 9), first(5, 7)], [Some(2), Some(3), Some(6)]);
        assert_eq!([first(0, 2), first(4, 6), first(8, 9), first(3, 3)], [None; 4]);
    }

    #[test]
    fn a_drifting_clock_shortens_the_promise_and_nothing_overflows() {
        assert_eq!(fast_clock_end_ns(5, 2_000_000_000, 0), 2_000_000_005);
        assert_eq!(fast_clock_end_ns(0, 2_000_000_000, 1000), 1_998_000_000);
        assert_eq!(fast_clock_end_ns(7, 2_000_000_000, u32::MAX), 7);
        assert_eq!(fast_clock_end_ns(u64::MAX, u64::MAX, 0), u64::MAX);
    }
}
