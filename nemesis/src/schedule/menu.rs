//! What faults a run can have: the ways in which each kind can be aimed.

use std::iter;

use locktest_history::{
    Aim, Between, ClientId, ClockShape, Direction, DrawnFault, FaultKind, NodeId, PacketFate,
    PartitionShape, Party, Skew, Target,
};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::{Parties, Situation, affected, resolve};

/// A client that is to miss its lease is paused or cut off for this much longer than two leases.
const BEYOND_THE_LEASE_MS: u64 = 1000;

/// A clock that strobes is right and wrong for so long in turn.
const STROBE_PERIOD_MS: u64 = 200;

/// Clocks jump by more than a lease, and by no more than this unless a lease is longer.
const FARTHEST_JUMP_MS: u64 = 60_000;

const TWICE_AS_FAST: Skew = Skew::Rate { gain_ppm: 1_000_000 };

const HALF_AS_FAST: Skew = Skew::Rate { gain_ppm: -500_000 };

/// The faults that a run may have, and what is asked of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu {
    /// The kinds, each once.
    pub kinds: Vec<FaultKind>,
    /// Who takes part.
    pub parties: Parties,
    /// Whether clients hold locks, so that a fault can be aimed at the holder.
    pub has_holders: bool,
    /// The shape of partitions; `None` for each in turn, unless a target is given.
    pub shape: Option<PartitionShape>,
    /// Whom faults are aimed at; `None` for what suits the kind. A kind that cannot be aimed so has
    /// no way to be aimed.
    pub target: Option<Target>,
    /// Which way partitions lose packets; `None` for a random one each time.
    pub direction: Option<Direction>,
    /// What becomes of those packets; `None` for a random fate each time.
    pub packets: Option<PacketFate>,
    /// Whose links partitions cut; `None` for a random choice each time.
    pub between: Option<Between>,
    /// How clocks go wrong; `None` for each way in turn.
    pub clock: Option<ClockShape>,
    /// How far they jump; `None` for a random time beyond the lease bound.
    pub clock_offset_ms: Option<u64>,
    /// The most servers that a fault may [affect](affected).
    pub max_affected: Option<u16>,
    /// How long faults of servers last.
    pub interval_ms: u64,
    /// The longest that the service may keep the lock of a silent holder.
    pub lease_bound_ms: u64,
}

/// A way to aim a kind of fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    aim: Aim,
    /// Whose links it may cut, if it is a partition; one of them at least.
    between: Vec<Between>,
}

impl Way {
    /// The way in which clocks have to go wrong, if there is only one.
    pub fn only_clock(&self) -> Option<ClockShape> {
        // What is to be forgotten has to be over.
        (self.aim == Aim::BareMajority).then_some(ClockShape::Forward)
    }
}

/// What chance says of one fault, whatever its kind.
pub(super) struct Chance {
    order: Vec<NodeId>,
    client_order: Vec<ClientId>,
    /// How many clients are with the smaller side.
    split: u16,
    between: Between,
    direction: Direction,
    packets: PacketFate,
    /// How clocks go wrong.
    clock: ClockShape,
    /// How often the least offset is doubled, once it is known how often it can be.
    doublings: u32,
}

impl Chance {
    /// Takes as much from `rng` each time.
    pub fn draw(parties: Parties, rng: &mut impl Rng) -> Chance {
        let mut chance = Chance::none(parties);
        chance.order.shuffle(rng);
        chance.client_order.shuffle(rng);
        if parties.clients() > 1 {
            chance.split = rng.random_range(1..parties.clients());
        }
        if rng.random() {
            chance.between = Between::Clients;
        }
        chance.direction = Direction::ALL[rng.random_range(0..Direction::ALL.len())];
        chance.packets = PacketFate::ALL[rng.random_range(0..PacketFate::ALL.len())];
        chance
    }

    /// The same, with clocks that go wrong in this way.
    pub fn of_clocks(self, clock: ClockShape, rng: &mut impl Rng) -> Chance {
        Chance { clock, doublings: rng.random(), ..self }
    }

    /// Nothing is left to chance.
    fn none(parties: Parties) -> Chance {
        Chance {
            order: (0..parties.servers()).map(NodeId).collect(),
            client_order: (0..parties.clients().into()).map(ClientId).collect(),
            split: parties.clients().min(1),
            between: Between::Servers,
            direction: Direction::Both,
            packets: PacketFate::Drop,
            clock: ClockShape::Forward,
            doublings: 0,
        }
    }
}

impl Menu {
    /// How long faults of a kind are in force; zero for those that are undone as soon as they were
    /// seen.
    pub fn length_ms(&self, kind: FaultKind) -> u64 {
        match kind {
            FaultKind::Partition
            | FaultKind::Kill
            | FaultKind::Pause
            | FaultKind::Clock
            | FaultKind::ClockMonotonic => self.interval_ms,
            FaultKind::ClientPause | FaultKind::ClientPartition => {
                let beyond_the_lease =
                    self.lease_bound_ms.saturating_mul(2).saturating_add(BEYOND_THE_LEASE_MS);
                self.interval_ms.max(beyond_the_lease)
            }
            FaultKind::RestartAll | FaultKind::ClientKill => 0,
        }
    }

    /// How many servers a fault of this kind affects at the least, whatever is allowed; `None` if
    /// there is no way to have one.
    pub fn least_affected(&self, kind: FaultKind) -> Option<u16> {
        let affected = self.aims(kind).into_iter().flat_map(|aim| {
            let links = self.links(kind, &aim).into_iter();
            links.filter_map(move |between| self.affected_by(kind, &aim, between))
        });
        affected.min()
    }

    /// The ways to aim faults of a kind, no two of which come to the same.
    pub(super) fn ways(&self, kind: FaultKind) -> Vec<Way> {
        let mut ways: Vec<Way> = Vec::new();
        for aim in self.aims(kind) {
            let comes_to_the_same = |other: &Way| {
                let count = self.servers_of(&aim);
                count == self.servers_of(&other.aim)
                    && (is_at_random(&aim) && is_at_random(&other.aim)
                        || count == self.parties.servers())
            };
            let between = self.allowed_links(kind, &aim);
            if !between.is_empty() && !ways.iter().any(comes_to_the_same) {
                ways.push(Way { aim, between });
            }
        }
        ways
    }

    /// The other way to make a server forget, where locks are granted by majorities of servers that
    /// know nothing of each other: every second fault of such a kind is one.
    pub(super) fn bare_majority(&self, kind: FaultKind) -> Option<Way> {
        let forgets = match kind {
            FaultKind::Kill => true,
            FaultKind::Clock => self.clock.is_none_or(|clock| clock == ClockShape::Forward),
            _ => false,
        };
        let is_asked_for = self.parties.links() == [Between::Clients] && self.target.is_none();
        let aim = Aim::BareMajority;
        let between = self.allowed_links(kind, &aim);
        (forgets && is_asked_for && !between.is_empty()).then_some(Way { aim, between })
    }

    /// A fault of a kind, aimed in one of its ways.
    pub(super) fn drawn(&self, kind: FaultKind, way: &Way, chance: Chance) -> DrawnFault {
        let between = match way.between.contains(&chance.between) {
            true => chance.between,
            false => way.between[0],
        };
        let cuts_links = kind.cuts_links();
        let direction = self.direction.unwrap_or(chance.direction);
        let packets = self.packets.unwrap_or(chance.packets);
        let clock = self.clock.unwrap_or(chance.clock);
        DrawnFault {
            kind,
            aim: way.aim.clone(),
            servers: self.servers_of(&way.aim),
            clients: self.clients_of(kind, &way.aim, between, chance.split),
            order: chance.order,
            client_order: chance.client_order,
            between,
            direction: if cuts_links { direction } else { Direction::Both },
            packets: if cuts_links { packets } else { PacketFate::Drop },
            skew: kind.moves_clocks().then(|| self.skew(clock, chance.doublings)),
            length_ms: self.length_ms(kind),
        }
    }

    /// A clock that goes wrong in this way.
    fn skew(&self, clock: ClockShape, doublings: u32) -> Skew {
        let least_ms = self.lease_bound_ms.saturating_mul(3) / 2;
        let most = (FARTHEST_JUMP_MS / least_ms.max(1)).checked_ilog2().unwrap_or(0);
        let drawn_ms = least_ms.saturating_mul(1 << (doublings % (most + 1)));
        let offset_ms = i64::try_from(self.clock_offset_ms.unwrap_or(drawn_ms)).unwrap_or(i64::MAX);
        match clock {
            ClockShape::Forward => Skew::Jump { offset_ms },
            ClockShape::Back => Skew::Jump { offset_ms: -offset_ms },
            ClockShape::Strobe => Skew::Strobe { offset_ms, period_ms: STROBE_PERIOD_MS },
            ClockShape::Fast => TWICE_AS_FAST,
            ClockShape::Slow => HALF_AS_FAST,
        }
    }

    /// How a kind may be aimed, if it turns out that there is somebody to aim at.
    fn aims(&self, kind: FaultKind) -> Vec<Aim> {
        let of_servers =
            [Target::One, Target::Minority, Target::Majority, Target::All, Target::Leader];
        let by_default = match kind {
            FaultKind::Partition => match self.shape {
                Some(shape) => return vec![Aim::Shape(shape)],
                None if self.target.is_none() => return PartitionShape::ALL.map(Aim::Shape).into(),
                None => Vec::new(),
            },
            FaultKind::Kill | FaultKind::Pause | FaultKind::Clock | FaultKind::ClockMonotonic => {
                of_servers.into()
            }
            FaultKind::RestartAll => match self.target {
                None | Some(Target::All) => vec![Target::All],
                Some(_) => return Vec::new(),
            },
            FaultKind::ClientPause | FaultKind::ClientKill | FaultKind::ClientPartition => {
                vec![if self.has_holders { Target::Holder } else { Target::One }]
            }
        };
        let targets = self.target.clone().map_or(by_default, |target| vec![target]);
        targets.into_iter().map(Aim::Target).collect()
    }

    /// The links that a fault so aimed may cut within the limit.
    fn allowed_links(&self, kind: FaultKind, aim: &Aim) -> Vec<Between> {
        let limit = self.max_affected.unwrap_or(u16::MAX);
        let is_allowed = |between: &Between| {
            self.affected_by(kind, aim, *between).is_some_and(|affected| affected <= limit)
        };
        self.links(kind, aim).into_iter().filter(is_allowed).collect()
    }

    /// The links that a fault so aimed could cut. For what is no partition that choice means nothing.
    fn links(&self, kind: FaultKind, aim: &Aim) -> Vec<Between> {
        if kind != FaultKind::Partition {
            return vec![Between::Servers];
        }
        let has_two_sides = !matches!(aim, Aim::Shape(shape) if !shape.has_two_sides());
        let links = self.parties.links().iter().copied();
        links
            .filter(|between| self.between.is_none_or(|asked_for| asked_for == *between))
            .filter(|between| has_two_sides || *between == Between::Servers)
            .collect()
    }

    /// How many servers a fault so aimed affects: it is tried out on parties of whom everything is
    /// known. `None` if it finds nobody.
    fn affected_by(&self, kind: FaultKind, aim: &Aim, between: Between) -> Option<u16> {
        let way = Way { aim: aim.clone(), between: vec![between] };
        let drawn = self.drawn(kind, &way, Chance::none(self.parties));
        let resolved = resolve(&drawn, &Situation::supposed(self.parties), 0).ok()?;
        let faults = iter::once(resolved.fault).chain(resolved.then);
        faults.map(|fault| affected(&fault, self.parties)).max()
    }

    /// How many servers a fault so aimed takes from the front of the order.
    fn servers_of(&self, aim: &Aim) -> u16 {
        let (servers, minority) = (self.parties.servers(), self.parties.minority());
        match aim {
            // A lone server is with the larger side, cut off from the clients of the smaller one.
            Aim::Shape(shape) if shape.has_two_sides() && servers == 1 => 0,
            Aim::Shape(PartitionShape::Halves | PartitionShape::Leader) => minority.max(1),
            Aim::Shape(PartitionShape::One) => 1,
            Aim::Shape(PartitionShape::MinorityThird) => (servers.saturating_sub(1) / 3).max(1),
            Aim::Shape(PartitionShape::Bridge) | Aim::BareMajority => minority,
            Aim::Shape(PartitionShape::MajorityRing) => 0,
            Aim::Target(Target::One | Target::Leader | Target::HolderServer) => 1,
            Aim::Target(Target::Minority) => minority,
            Aim::Target(Target::Majority) => servers / 2 + 1,
            Aim::Target(Target::All) => servers,
            Aim::Target(Target::Holder) => 0,
            Aim::Target(Target::Named(parties)) => {
                count(parties, |party| matches!(party, Party::Server(_)))
            }
        }
    }

    /// How many clients it takes, or how many are with the smaller side.
    fn clients_of(&self, kind: FaultKind, aim: &Aim, between: Between, split: u16) -> u16 {
        let clients = self.parties.clients();
        match (kind, aim) {
            (FaultKind::Partition, _) if between == Between::Clients => split,
            (_, Aim::BareMajority) => (clients / 2).max(1),
            _ if !kind.is_of_clients() => 0,
            (_, Aim::Target(Target::One | Target::Holder)) => 1,
            (_, Aim::Target(Target::All)) => clients,
            (_, Aim::Target(Target::Named(parties))) => {
                count(parties, |party| matches!(party, Party::Client(_)))
            }
            _ => 0,
        }
    }
}

/// Whether a fault so aimed is done to as many random servers as it takes.
fn is_at_random(aim: &Aim) -> bool {
    match aim {
        Aim::Shape(PartitionShape::Leader) => false,
        Aim::Shape(shape) => shape.has_two_sides(),
        Aim::Target(target) => {
            matches!(target, Target::One | Target::Minority | Target::Majority | Target::All)
        }
        Aim::BareMajority => false,
    }
}

fn count(parties: &[Party], which: impl Fn(&&Party) -> bool) -> u16 {
    u16::try_from(parties.iter().filter(which).count()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{FIVE, REDLOCK, cluster, drawn, menu};
    use super::*;

    #[test]
    fn servers_are_down_for_an_interval_and_clients_beyond_their_lease() {
        let menu = menu(FIVE, &FaultKind::ALL);
        for (kind, of_short_leases, of_long_ones) in [
            (FaultKind::Partition, 10_000, 10_000),
            (FaultKind::Kill, 10_000, 10_000),
            (FaultKind::Pause, 10_000, 10_000),
            (FaultKind::RestartAll, 0, 0),
            (FaultKind::ClientPause, 10_000, 31_000),
            (FaultKind::ClientKill, 0, 0),
            (FaultKind::ClientPartition, 10_000, 31_000),
            (FaultKind::Clock, 10_000, 10_000),
            (FaultKind::ClockMonotonic, 10_000, 10_000),
        ] {
            assert_eq!(menu.length_ms(kind), of_short_leases, "{kind}");
            let menu = Menu { lease_bound_ms: 15_000, ..menu.clone() };
            assert_eq!(menu.length_ms(kind), of_long_ones, "{kind}");
        }
    }

    #[test]
    fn faults_of_clients_are_aimed_at_the_holder_if_there_is_one() {
        for kind in FaultKind::ALL.into_iter().filter(|kind| kind.is_of_clients()) {
            let menu = menu(FIVE, &[kind]);
            assert_eq!(drawn(1, &menu, 1)[0].aim, Aim::Target(Target::Holder));
            let menu = Menu { has_holders: false, ..menu };
            assert_eq!(drawn(1, &menu, 1)[0].aim, Aim::Target(Target::One));
        }
    }

    #[test]
    fn no_fault_affects_more_servers_than_it_may() {
        for parties in [FIVE, REDLOCK, cluster(4), cluster(7)] {
            for limit in 0..5 {
                let menu = Menu { max_affected: Some(limit), ..menu(parties, &FaultKind::ALL) };
                for drawn in drawn(1, &menu, 40) {
                    let resolved = resolve(&drawn, &Situation::supposed(parties), 2000);
                    let resolved = resolved.expect("everything is known");
                    for fault in iter::once(resolved.fault).chain(resolved.then) {
                        assert!(affected(&fault, parties) <= limit, "{limit}: {fault:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_a_limit_leaves_of_a_kind_still_comes_in_rounds() {
        let menu = Menu { max_affected: Some(2), ..menu(FIVE, &[FaultKind::Kill]) };
        let mut aims: Vec<&str> = drawn(1, &menu, 3).iter().map(|drawn| drawn.aim.name()).collect();
        aims.sort_unstable();
        assert_eq!(aims, ["leader", "minority", "one"]);
    }

    #[test]
    fn what_a_kind_affects_at_the_least_is_known() {
        let menu = menu(FIVE, &[]);
        for (kind, expected) in [
            (FaultKind::Partition, 0),
            (FaultKind::Kill, 1),
            (FaultKind::Clock, 1),
            (FaultKind::RestartAll, 5),
            (FaultKind::ClientPause, 0),
        ] {
            assert_eq!(menu.least_affected(kind), Some(expected), "{kind}");
        }
        let between = Some(Between::Servers);
        let of_servers = Menu { between, ..menu.clone() };
        assert_eq!(of_servers.least_affected(FaultKind::Partition), Some(1));
        let shape = Some(PartitionShape::MajorityRing);
        assert_eq!(Menu { shape, ..of_servers }.least_affected(FaultKind::Partition), Some(5));
    }

    #[test]
    fn a_kind_that_has_nobody_to_be_aimed_at_cannot_be_had() {
        let aimed = |target, kind| {
            let menu = Menu { target: Some(target), ..menu(REDLOCK, &[kind]) };
            (menu.least_affected(kind), drawn(1, &menu, 3))
        };
        for (target, kind) in [
            (Target::Leader, FaultKind::Kill),
            (Target::Holder, FaultKind::Pause),
            (Target::Holder, FaultKind::Clock),
            (Target::Minority, FaultKind::ClientPause),
            (Target::All, FaultKind::Partition),
            (Target::One, FaultKind::RestartAll),
            (Target::Named(vec![Party::Server(NodeId(5))]), FaultKind::Kill),
            (Target::Named(vec![Party::Client(ClientId(4))]), FaultKind::ClientKill),
        ] {
            assert_eq!(aimed(target, kind), (None, vec![]), "{kind}");
        }
        let shape = Some(PartitionShape::MajorityRing);
        let of_three = Menu { shape, ..menu(cluster(3), &[FaultKind::Partition]) };
        assert_eq!(of_three.least_affected(FaultKind::Partition), None);
        assert_eq!(drawn(1, &of_three, 3), []);
    }
}
