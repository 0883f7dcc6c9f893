//! The schedule that a seed draws.

use locktest_history::{ClockShape, FaultKind, PlannedFault};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::menu::{Chance, Menu, Way};

/// The faults of a run, the same for the same arguments.
///
/// Each round has every kind once, in random order, so that a short run meets all of them; the ways
/// in which a kind can be aimed come in such rounds too. What the menu leaves no way to aim does not
/// come at all.
pub fn plan_schedule(seed: u64, menu: &Menu, faults: usize) -> Vec<PlannedFault> {
    // One stream says what comes next, the other whom it meets: who asks for one shape alone gets
    // the servers that the mix would have had.
    let mut turns_rng = ChaCha8Rng::seed_from_u64(seed);
    let mut chance_rng = turns_rng.clone();
    chance_rng.set_stream(1);
    // And one for clocks alone, so that the other kinds meet whom they met when there were none.
    let mut clock_rng = turns_rng.clone();
    clock_rng.set_stream(2);
    let mut clocks = Vec::new();
    let mut turns = Turns::of(menu);
    let drawn = (0..faults).map_while(|_| {
        let (kind, way) = turns.next(&mut turns_rng)?;
        let mut chance = Chance::draw(menu.parties, &mut chance_rng);
        if kind.moves_clocks() {
            let only = way.only_clock();
            let clock = only.unwrap_or_else(|| next_shape(kind, &mut clocks, &mut clock_rng));
            chance = chance.of_clocks(clock, &mut clock_rng);
        }
        Some(PlannedFault::Drawn(menu.drawn(kind, &way, chance)))
    });
    drawn.collect()
}

/// The ways in which clocks of a kind go wrong, in rounds.
fn next_shape(kind: FaultKind, round: &mut Vec<ClockShape>, rng: &mut impl Rng) -> ClockShape {
    let suits = |shape: &ClockShape| kind == FaultKind::Clock || shape.ends_ahead();
    loop {
        if let Some(found) = round.iter().rposition(suits) {
            return round.remove(found);
        }
        let mut shapes = ClockShape::ALL.to_vec();
        shapes.shuffle(rng);
        round.splice(0..0, shapes);
    }
}

/// The kinds in rounds.
struct Turns {
    kinds: Vec<Kind>,
    round: Vec<usize>,
}

/// The ways of one kind, in rounds.
struct Kind {
    kind: FaultKind,
    ways: Vec<Way>,
    /// What comes before each of them.
    before_each: Option<Way>,
    round: Vec<Way>,
}

impl Turns {
    fn of(menu: &Menu) -> Turns {
        let kinds = menu.kinds.iter().map(|kind| Kind {
            kind: *kind,
            ways: menu.ways(*kind),
            before_each: menu.bare_majority(*kind),
            round: Vec::new(),
        });
        Turns { kinds: kinds.filter(|kind| !kind.ways.is_empty()).collect(), round: Vec::new() }
    }

    fn next(&mut self, rng: &mut impl Rng) -> Option<(FaultKind, Way)> {
        if self.round.is_empty() {
            self.round = (0..self.kinds.len()).collect();
            self.round.shuffle(rng);
        }
        let kind = &mut self.kinds[self.round.pop()?];
        Some((kind.kind, kind.next(rng)?))
    }
}

impl Kind {
    fn next(&mut self, rng: &mut impl Rng) -> Option<Way> {
        if self.round.is_empty() {
            let mut ways = self.ways.clone();
            ways.shuffle(rng);
            // The last comes first.
            let with_what_is_before =
                ways.into_iter().flat_map(|way| [Some(way), self.before_each.clone()]);
            self.round = with_what_is_before.flatten().collect();
        }
        self.round.pop()
    }
}

#[cfg(test)]
mod tests {
    use locktest_history::{
        Aim, Between, Direction, DrawnFault, NodeId, PacketFate, PartitionShape, Skew, Target,
    };

    use super::super::Parties;
    use super::super::testing::{FIVE, REDLOCK, cluster, drawn, menu};
    use super::*;

    const PARTITION: &[FaultKind] = &[FaultKind::Partition];

    fn aims(schedule: &[DrawnFault]) -> Vec<&Aim> {
        schedule.iter().map(|drawn| &drawn.aim).collect()
    }

    /// Of so many faults of one kind, the names of their aims, each once, sorted.
    fn names(parties: Parties, kind: FaultKind, faults: usize) -> Vec<&'static str> {
        let drawn = drawn(5, &menu(parties, &[kind]), faults);
        let names: std::collections::BTreeSet<_> = drawn.iter().map(|d| d.aim.name()).collect();
        names.into_iter().collect()
    }

    #[test]
    fn a_seed_decides_the_whole_schedule() {
        let menu = menu(FIVE, &FaultKind::ALL);
        assert_eq!(drawn(1, &menu, 40), drawn(1, &menu, 40));
        assert_ne!(drawn(1, &menu, 40), drawn(2, &menu, 40));
    }

    #[test]
    fn a_seed_keeps_its_meaning_from_version_to_version() {
        let schedule = drawn(1, &menu(FIVE, &[FaultKind::Partition, FaultKind::Kill]), 4);
        let first: Vec<_> = schedule
            .iter()
            .map(|drawn| {
                let order: Vec<u16> = drawn.order.iter().map(|node| node.0).collect();
                (drawn.kind, drawn.aim.name(), order, drawn.servers, drawn.direction, drawn.packets)
            })
            .collect();
        let (partition, kill) = (FaultKind::Partition, FaultKind::Kill);
        let (both, out) = (Direction::Both, Direction::Out);
        let (drop, reject) = (PacketFate::Drop, PacketFate::Reject);
        assert_eq!(
            first,
            [
                (partition, "bridge", vec![1, 4, 2, 3, 0], 2, both, reject),
                (kill, "majority", vec![3, 1, 2, 0, 4], 3, both, drop),
                (kill, "all", vec![0, 3, 4, 2, 1], 5, both, drop),
                (partition, "majority-ring", vec![3, 0, 4, 2, 1], 0, out, drop),
            ]
        );
    }

    #[test]
    fn a_longer_schedule_begins_with_the_shorter_one() {
        let menu = menu(FIVE, &FaultKind::ALL);
        assert_eq!(drawn(7, &menu, 29)[..4], drawn(7, &menu, 4));
    }

    #[test]
    fn each_round_has_every_kind_once() {
        for seed in 0..20 {
            for round in drawn(seed, &menu(FIVE, &FaultKind::ALL), 36).chunks(9) {
                let mut kinds: Vec<FaultKind> = round.iter().map(|drawn| drawn.kind).collect();
                kinds.sort_unstable();
                assert_eq!(kinds, FaultKind::ALL, "seed {seed}");
            }
        }
    }

    #[test]
    fn a_kind_meets_each_of_its_ways_in_a_round_of_its_own() {
        for seed in 0..50 {
            // One third of five servers is one server, so that shape comes to the same as `one`.
            for round in drawn(seed, &menu(FIVE, PARTITION), 10).chunks(5) {
                for shape in PartitionShape::ALL {
                    let expected = shape != PartitionShape::MinorityThird;
                    let found = aims(round).contains(&&Aim::Shape(shape));
                    assert_eq!(found, expected, "seed {seed}: {shape:?}");
                }
            }
            for round in drawn(seed, &menu(FIVE, &[FaultKind::Pause]), 10).chunks(5) {
                for target in [Target::One, Target::Minority, Target::Majority, Target::All] {
                    assert!(aims(round).contains(&&Aim::Target(target)), "seed {seed}");
                }
                assert!(aims(round).contains(&&Aim::Target(Target::Leader)), "seed {seed}");
            }
        }
    }

    #[test]
    fn ways_that_come_to_the_same_come_once() {
        let names = |servers, kind| names(cluster(servers), kind, 30);
        assert_eq!(names(1, FaultKind::Kill), ["one"]);
        assert_eq!(names(2, FaultKind::Kill), ["leader", "majority", "one"]);
        assert_eq!(names(3, FaultKind::Kill), ["all", "leader", "majority", "one"]);
        assert_eq!(names(3, FaultKind::Partition), ["bridge", "halves", "leader"]);
        let all = ["bridge", "halves", "leader", "majority-ring", "minority-third", "one"];
        assert_eq!(names(7, FaultKind::Partition), all);
    }

    #[test]
    fn one_server_of_a_cluster_is_cut_off_from_clients_alone() {
        let alone = drawn(1, &menu(cluster(1), PARTITION), 4);
        assert!(alone.iter().all(|drawn| drawn.between == Between::Clients));
        let between = Some(Between::Servers);
        assert_eq!(drawn(1, &Menu { between, ..menu(cluster(1), PARTITION) }, 4), []);
    }

    #[test]
    fn independent_servers_have_no_leader_and_no_links_of_their_own() {
        assert_eq!(names(REDLOCK, FaultKind::Partition, 30), ["halves", "one"]);
        let kills = names(REDLOCK, FaultKind::Kill, 30);
        assert_eq!(kills, ["all", "bare majority", "majority", "minority", "one"]);
        for drawn in drawn(1, &menu(REDLOCK, PARTITION), 20) {
            assert_eq!(drawn.between, Between::Clients);
            assert!((1..=3).contains(&drawn.clients), "{drawn:?}");
        }
    }

    #[test]
    fn every_second_kill_of_independent_servers_is_aimed_at_a_bare_majority() {
        for seed in 0..20 {
            for pair in drawn(seed, &menu(REDLOCK, &[FaultKind::Kill]), 16).chunks(2) {
                assert_eq!(pair[0].aim, Aim::BareMajority);
                assert_ne!(pair[1].aim, Aim::BareMajority);
            }
        }
        let few = |servers, clients| Parties::Independent { servers, clients };
        for parties in [few(1, 4), few(5, 1)] {
            let drawn = drawn(1, &menu(parties, &[FaultKind::Kill]), 8);
            assert!(!aims(&drawn).contains(&&Aim::BareMajority));
        }
        let target = Some(Target::One);
        let aimed = Menu { target, ..menu(REDLOCK, &[FaultKind::Kill]) };
        assert!(!aims(&drawn(1, &aimed, 8)).contains(&&Aim::BareMajority));
    }

    #[test]
    fn a_named_shape_is_the_only_one_and_has_the_same_orders_as_the_mix() {
        let mixed = drawn(3, &menu(FIVE, PARTITION), 9);
        let shape = Some(PartitionShape::Leader);
        let leader = drawn(3, &Menu { shape, ..menu(FIVE, PARTITION) }, 9);
        for (a, b) in mixed.iter().zip(&leader) {
            assert_eq!(b.aim, Aim::Shape(PartitionShape::Leader));
            assert_eq!((&a.order, &a.client_order), (&b.order, &b.client_order));
        }
    }

    #[test]
    fn what_is_asked_for_is_met_and_the_rest_is_drawn() {
        let mixed = drawn(1, &menu(FIVE, PARTITION), 60);
        for direction in Direction::ALL {
            assert!(mixed.iter().any(|drawn| drawn.direction == direction), "{direction:?}");
        }
        for packets in PacketFate::ALL {
            assert!(mixed.iter().any(|drawn| drawn.packets == packets), "{packets:?}");
        }
        for between in [Between::Servers, Between::Clients] {
            assert!(mixed.iter().any(|drawn| drawn.between == between), "{between:?}");
        }
        let asked_for = Menu {
            direction: Some(Direction::In),
            packets: Some(PacketFate::Reject),
            between: Some(Between::Servers),
            ..menu(FIVE, PARTITION)
        };
        for drawn in drawn(1, &asked_for, 20) {
            assert_eq!(drawn.direction, Direction::In);
            assert_eq!(drawn.packets, PacketFate::Reject);
            assert_eq!((drawn.between, drawn.clients), (Between::Servers, 0));
        }
    }

    #[test]
    fn a_ring_and_a_bridge_are_of_servers() {
        for drawn in drawn(1, &menu(FIVE, PARTITION), 60) {
            if matches!(&drawn.aim, Aim::Shape(shape) if !shape.has_two_sides()) {
                assert_eq!(drawn.between, Between::Servers);
            }
        }
        let between = Some(Between::Clients);
        let of_clients = drawn(1, &Menu { between, ..menu(FIVE, PARTITION) }, 60);
        assert!(!aims(&of_clients).contains(&&Aim::Shape(PartitionShape::Bridge)));
        assert!(!aims(&of_clients).contains(&&Aim::Shape(PartitionShape::MajorityRing)));
    }

    #[test]
    fn clocks_go_wrong_in_every_way_in_rounds_and_by_more_than_a_lease() {
        let shape = |skew| match skew {
            Skew::Jump { offset_ms } if offset_ms > 0 => ClockShape::Forward,
            Skew::Jump { .. } => ClockShape::Back,
            Skew::Strobe { .. } => ClockShape::Strobe,
            Skew::Rate { gain_ppm } if gain_ppm > 0 => ClockShape::Fast,
            Skew::Rate { .. } => ClockShape::Slow,
        };
        let mut offsets = std::collections::BTreeSet::new();
        for seed in 0..20 {
            for round in drawn(seed, &menu(FIVE, &[FaultKind::Clock]), 10).chunks(5) {
                let skews: Vec<Skew> = round.iter().filter_map(|drawn| drawn.skew).collect();
                for expected in ClockShape::ALL {
                    assert!(skews.iter().any(|skew| shape(*skew) == expected), "{skews:?}");
                }
                offsets.extend(skews.iter().filter_map(|skew| match skew {
                    Skew::Jump { offset_ms } => Some(offset_ms.abs()),
                    _ => None,
                }));
            }
        }
        assert_eq!(offsets.into_iter().collect::<Vec<_>>(), [3000, 6000, 12_000, 24_000, 48_000]);
    }

    #[test]
    fn a_monotonic_clock_is_never_set_back_at_the_end() {
        for drawn in drawn(1, &menu(FIVE, &[FaultKind::ClockMonotonic, FaultKind::Clock]), 40) {
            let ahead = match drawn.skew {
                Some(Skew::Jump { offset_ms }) => offset_ms > 0,
                Some(Skew::Rate { gain_ppm }) => gain_ppm > 0,
                _ => true,
            };
            assert!(drawn.kind == FaultKind::Clock || !ahead, "{drawn:?}");
        }
    }

    #[test]
    fn clocks_go_wrong_as_they_are_asked_to_and_no_other_kind_has_any() {
        let asked_for = Menu {
            clock: Some(ClockShape::Back),
            clock_offset_ms: Some(1500),
            ..menu(FIVE, &FaultKind::ALL)
        };
        for drawn in drawn(1, &asked_for, 20) {
            let expected = drawn.kind.moves_clocks().then_some(Skew::Jump { offset_ms: -1500 });
            assert_eq!(drawn.skew, expected, "{drawn:?}");
        }
    }

    #[test]
    fn every_second_clock_of_independent_servers_jumps_ahead_to_free_a_bare_majority() {
        let menu = menu(REDLOCK, &[FaultKind::Clock]);
        for pair in drawn(1, &menu, 10).chunks(2) {
            assert_eq!(pair[0].aim, Aim::BareMajority);
            assert!(matches!(pair[0].skew, Some(Skew::Jump { offset_ms: 3000.. })), "{pair:?}");
            assert_ne!(pair[1].aim, Aim::BareMajority);
        }
        let back = Menu { clock: Some(ClockShape::Back), ..menu.clone() };
        assert!(!aims(&drawn(1, &back, 10)).contains(&&Aim::BareMajority));
        // Nothing is known to forget by a monotonic clock.
        let monotonic = Menu { kinds: vec![FaultKind::ClockMonotonic], ..menu };
        assert!(!aims(&drawn(1, &monotonic, 10)).contains(&&Aim::BareMajority));
    }

    #[test]
    fn an_order_has_every_server_once() {
        for drawn in drawn(1, &menu(FIVE, &FaultKind::ALL), 30) {
            let mut order = drawn.order.clone();
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4].map(NodeId));
        }
    }
}
