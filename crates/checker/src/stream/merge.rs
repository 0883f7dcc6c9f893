//! One time order out of several sources, each of which is in time order by itself.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// Which end of an operation an item is: of equal stamps the invokes come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The operation begins.
    Invoke,
    /// It ends; or anything else that must not come before an invoke of its instant.
    Completion,
}

/// A source of a [`Merge`], as [`Merge::add_source`] gives it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(usize);

/// An item in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged<T> {
    /// When.
    pub stamp: u64,
    /// Which end.
    pub kind: Kind,
    /// Whether something later was given out before, so that this is out of order. Only items of a
    /// source that had ended, was added too late, or ran backwards in time are late.
    pub late: bool,
    /// What was pushed.
    pub item: T,
}

/// Merges items of several sources by the least watermark: an item comes out as soon as no source
/// can bring an earlier one. A watermark is a promise of its source that nothing older follows; an
/// item is one for its own stamp.
///
/// What waits is not bounded here: one silent source holds everything back. The caller looks at
/// [`buffered`](Merge::buffered), and ends that source or gives up.
#[derive(Debug)]
pub struct Merge<T> {
    /// What each source has promised; `None` if it has ended, and holds nothing back.
    watermarks: Vec<Option<u64>>,
    /// The least of them, `u64::MAX` if nothing is held back; or less, if no source is at it.
    least: u64,
    /// How many sources are at the least. The others need a look only once none is, and even then
    /// not before an item asks how far it has become.
    at_least: usize,
    /// What came no earlier than its predecessor here. Most items do: sources tell what they did
    /// as they do it.
    in_order: VecDeque<Waiting<T>>,
    out_of_order: BinaryHeap<Waiting<T>>,
    late: VecDeque<Merged<T>>,
    /// The latest that came out.
    released: Option<(u64, Kind)>,
    pushed: u64,
}

impl<T> Default for Merge<T> {
    fn default() -> Merge<T> {
        Merge {
            watermarks: Vec::new(),
            least: u64::MAX,
            at_least: 0,
            in_order: VecDeque::new(),
            out_of_order: BinaryHeap::new(),
            late: VecDeque::new(),
            released: None,
            pushed: 0,
        }
    }
}

impl<T> Merge<T> {
    /// A merge without sources.
    pub fn new() -> Merge<T> {
        Merge::default()
    }

    /// Adds a source that will bring nothing older than `watermark`, and so holds back everything
    /// that is not older either.
    pub fn add_source(&mut self, watermark: u64) -> Source {
        self.watermarks.push(None);
        let source = self.watermarks.len() - 1;
        self.set(source, Some(watermark));
        Source(source)
    }

    /// Takes an item, which is a watermark as well.
    pub fn push(&mut self, source: Source, stamp: u64, kind: Kind, item: T) {
        self.watermark(source, stamp);
        if self.released.is_some_and(|released| (stamp, kind) < released) {
            self.late.push_back(Merged { stamp, kind, late: true, item });
            return;
        }
        let waiting = Waiting { stamp, kind, number: self.pushed, item };
        self.pushed += 1;
        if self.in_order.back().is_some_and(|back| waiting.key() < back.key()) {
            self.out_of_order.push(waiting);
        } else {
            self.in_order.push_back(waiting);
        }
    }

    /// Nothing older than `stamp` follows from this source. One that has ended holds nothing back
    /// even so.
    pub fn watermark(&mut self, source: Source, stamp: u64) {
        if self.watermarks[source.0].is_some() {
            self.set(source.0, Some(stamp));
        }
    }

    /// Nothing at all follows from this source.
    pub fn end(&mut self, source: Source) {
        self.set(source.0, None);
    }

    /// The next item in time order, or one that is late; `None` while a source may bring an earlier
    /// one, and when nothing waits.
    pub fn pop(&mut self) -> Option<Merged<T>> {
        if let Some(late) = self.late.pop_front() {
            return Some(late);
        }
        let (next, is_in_order) = match (self.in_order.front(), self.out_of_order.peek()) {
            (Some(front), Some(early)) if early.key() < front.key() => (early, false),
            (Some(front), _) => (front, true),
            (None, early) => (early?, false),
        };
        let Waiting { stamp, kind, .. } = *next;
        let bound = match kind {
            Kind::Invoke => stamp,
            // An invoke of the same instant may still come.
            Kind::Completion => stamp.saturating_add(1),
        };
        if self.least < bound && self.at_least == 0 {
            (self.least, self.at_least) = self.find_least();
        }
        if self.least < bound {
            return None;
        }
        let next = if is_in_order { self.in_order.pop_front() } else { self.out_of_order.pop() };
        let Waiting { item, .. } = next?;
        self.released = Some((stamp, kind));
        Some(Merged { stamp, kind, late: false, item })
    }

    /// The instant up to which every source has told all; `u64::MAX` if none holds back.
    pub fn least_watermark(&self) -> u64 {
        if self.at_least > 0 { self.least } else { self.find_least().0 }
    }

    /// How many items wait.
    pub fn buffered(&self) -> usize {
        self.in_order.len() + self.out_of_order.len() + self.late.len()
    }

    /// The sources that hold back what waits longest.
    pub fn holding_back(&self) -> impl Iterator<Item = Source> {
        let least = self.least_watermark();
        let sources = self.watermarks.iter().enumerate();
        let holding = sources.filter(move |(_, watermark)| **watermark == Some(least));
        holding.map(|(source, _)| Source(source))
    }

    fn set(&mut self, source: usize, watermark: Option<u64>) {
        let before = std::mem::replace(&mut self.watermarks[source], watermark);
        if before == watermark {
            return;
        }
        if let Some(stamp) = watermark {
            match stamp.cmp(&self.least) {
                Ordering::Less => {
                    self.least = stamp;
                    self.at_least = 1;
                    return;
                }
                Ordering::Equal => self.at_least += 1,
                Ordering::Greater => {}
            }
        }
        if before == Some(self.least) {
            self.at_least -= 1;
        }
    }

    /// The least watermark, and how many sources are at it.
    fn find_least(&self) -> (u64, usize) {
        let (mut least, mut at_least) = (u64::MAX, 0);
        for stamp in self.watermarks.iter().copied().flatten() {
            if stamp < least {
                (least, at_least) = (stamp, 0);
            }
            at_least += usize::from(stamp == least);
        }
        (least, at_least)
    }
}

#[derive(Clone, Copy, Debug)]
struct Waiting<T> {
    stamp: u64,
    kind: Kind,
    /// Breaks ties: in order of arrival.
    number: u64,
    item: T,
}

impl<T> Waiting<T> {
    fn key(&self) -> (u64, Kind, u64) {
        (self.stamp, self.kind, self.number)
    }
}

/// Reversed, since the heap gives out the greatest first.
impl<T> Ord for Waiting<T> {
    fn cmp(&self, other: &Waiting<T>) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl<T> PartialOrd for Waiting<T> {
    fn partial_cmp(&self, other: &Waiting<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Waiting<T> {
    fn eq(&self, other: &Waiting<T>) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Waiting<T> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Kind::{Completion, Invoke};
    use super::*;

    fn drain<T>(merge: &mut Merge<T>) -> Vec<T> {
        std::iter::from_fn(|| merge.pop()).map(|merged| merged.item).collect()
    }

    #[test]
    fn an_item_waits_until_no_source_can_bring_an_earlier_one() {
        let mut merge = Merge::new();
        let (a, b) = (merge.add_source(0), merge.add_source(0));
        merge.push(a, 10, Completion, "a10");
        merge.push(a, 20, Completion, "a20");
        assert!(merge.pop().is_none());
        merge.push(b, 15, Completion, "b15");
        assert_eq!(drain(&mut merge), ["a10"]);
        merge.watermark(b, 30);
        assert_eq!(drain(&mut merge), ["b15"], "a may bring another of 20, an invoke");
        merge.end(a);
        assert_eq!(drain(&mut merge), ["a20"]);
        assert_eq!(merge.buffered(), 0);
    }

    #[test]
    fn of_equal_stamps_the_invokes_come_first_even_from_one_source() {
        let mut merge = Merge::new();
        let (a, b) = (merge.add_source(0), merge.add_source(0));
        merge.push(a, 10, Completion, "a completes");
        merge.push(b, 10, Completion, "b completes");
        assert!(merge.pop().is_none());
        merge.push(a, 10, Invoke, "a invokes");
        merge.push(b, 11, Invoke, "b invokes");
        assert_eq!(drain(&mut merge), ["a invokes"]);
        merge.end(a);
        assert_eq!(drain(&mut merge), ["a completes", "b completes", "b invokes"]);
    }

    #[test]
    fn what_a_source_brings_after_its_end_may_be_late() {
        let mut merge = Merge::new();
        let (a, b) = (merge.add_source(0), merge.add_source(0));
        merge.push(b, 5, Invoke, "b5");
        merge.push(a, 10, Invoke, "a10");
        merge.push(a, 20, Invoke, "a20");
        assert_eq!(drain(&mut merge), ["b5"]);
        merge.end(b);
        assert_eq!(drain(&mut merge), ["a10", "a20"]);
        merge.push(b, 12, Invoke, "b12");
        merge.push(b, 20, Invoke, "b20");
        let out: Vec<_> = std::iter::from_fn(|| merge.pop()).map(|m| (m.item, m.late)).collect();
        assert_eq!(out, [("b12", true), ("b20", false)]);
    }

    #[test]
    fn a_source_that_has_ended_is_never_waited_for_again() {
        let mut merge = Merge::new();
        let (a, b) = (merge.add_source(0), merge.add_source(0));
        merge.end(b);
        merge.push(b, 1, Invoke, "b1");
        merge.watermark(b, 2);
        merge.push(a, 10, Invoke, "a10");
        assert_eq!(drain(&mut merge), ["b1", "a10"]);
    }

    #[test]
    fn a_source_that_is_added_later_holds_back_from_its_own_watermark_on() {
        let mut merge = Merge::new();
        let a = merge.add_source(0);
        merge.push(a, 10, Invoke, "a10");
        merge.push(a, 20, Invoke, "a20");
        let b = merge.add_source(15);
        assert_eq!(drain(&mut merge), ["a10"]);
        merge.end(b);
        assert_eq!(drain(&mut merge), ["a20"]);
    }

    #[test]
    fn the_last_instant_of_all_comes_out_too() {
        let mut merge = Merge::new();
        let a = merge.add_source(0);
        merge.push(a, u64::MAX, Completion, "the end");
        assert_eq!(drain(&mut merge), ["the end"]);
    }

    proptest! {
        #[test]
        fn whatever_the_arrival_the_order_is_that_of_time(
            arrivals in proptest::collection::vec((0usize..4, 0u64..3, any::<bool>()), 0..200)
        ) {
            let mut merge = Merge::new();
            let sources: Vec<Source> = (0..4).map(|_| merge.add_source(0)).collect();
            let mut clocks = [0; 4];
            let mut expected = Vec::new();
            let mut merged = Vec::new();
            for (number, (source, step, invoke)) in arrivals.into_iter().enumerate() {
                clocks[source] += step;
                let kind = if invoke { Invoke } else { Completion };
                merge.push(sources[source], clocks[source], kind, number);
                expected.push((clocks[source], kind, number));
                while let Some(item) = merge.pop() {
                    merged.push((item.stamp, item.kind, item.item));
                    prop_assert!(!item.late);
                }
                let least = clocks.into_iter().min().unwrap_or(0);
                let is_due = |stamp, kind| stamp + u64::from(kind == Completion) <= least;
                let due = expected.iter().filter(|(stamp, kind, _)| is_due(*stamp, *kind)).count();
                prop_assert_eq!(merged.len(), due, "not too early, and not too late");
                prop_assert_eq!(merge.least_watermark(), least);
            }
            for source in sources {
                merge.end(source);
            }
            let rest = std::iter::from_fn(|| merge.pop());
            merged.extend(rest.map(|item| (item.stamp, item.kind, item.item)));
            expected.sort();
            prop_assert_eq!(merged, expected);
        }
    }
}
