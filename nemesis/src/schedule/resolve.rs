//! Who leads and who holds the lock is known only when a fault comes: it is aimed then.

use locktest_history::{
    Aim, ClientId, Direction, DrawnFault, Fault, FaultKind, NodeId, PacketFate, PartitionShape,
    Party, Skew, Target,
};
use thiserror::Error;

use super::Parties;
use super::cuts::{self, Sides};

/// What a fault may be aimed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The server that leads, if that is known.
    pub leader: Option<NodeId>,
    /// The client that holds the lock and plans to for a while, and the server that it talks to.
    pub holder: Option<(ClientId, Option<NodeId>)>,
    /// The living client of each place. A client that died has left its place to another.
    pub clients: Vec<ClientId>,
}

impl Situation {
    /// One in which everything is known: the first server leads, if any does, and the first client
    /// holds the lock through it. It stands for the real one where there is none yet.
    pub fn supposed(parties: Parties) -> Situation {
        Situation {
            leader: parties.has_leader().then_some(NodeId(0)),
            holder: Some((ClientId(0), Some(NodeId(0)))),
            clients: (0..parties.clients().into()).map(ClientId).collect(),
        }
    }

    fn leader(&self) -> Result<NodeId, ResolveError> {
        self.leader.ok_or(ResolveError::NoLeader)
    }

    fn holder(&self) -> Result<(ClientId, Option<NodeId>), ResolveError> {
        self.holder.ok_or(ResolveError::NoHolder)
    }

    /// The place of a living client, by which links know it.
    fn place_of(&self, client: ClientId) -> Result<ClientId, ResolveError> {
        let place = self.clients.iter().position(|living| *living == client);
        let place = place.and_then(|place| u32::try_from(place).ok());
        place.map(ClientId).ok_or(ResolveError::Gone(client))
    }

    /// The client that lives in a place.
    fn living(&self, place: ClientId) -> Result<ClientId, ResolveError> {
        let index = usize::try_from(place.0).unwrap_or(usize::MAX);
        self.clients.get(index).copied().ok_or(ResolveError::Gone(place))
    }
}

/// A fault with every choice made, and what is to follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The fault.
    pub fault: Fault,
    /// Of [`Aim::BareMajority`]: what makes a server forget once one of the clients that are cut off
    /// holds the lock. Whoever applies it knows who that is.
    pub then: Option<Fault>,
}

/// Why a planned fault finds nobody. The fault is skipped, and the history says so.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// It is aimed by the leader.
    #[error("no server is known to lead")]
    NoLeader,
    /// It is aimed by the holder.
    #[error("no client holds the lock for long enough")]
    NoHolder,
    /// It is aimed by the server that the holder talks to.
    #[error("{0} holds the lock, and it is not known through which server")]
    HolderServerUnknown(ClientId),
    /// It is aimed at a server that the plan does not have.
    #[error("server {} is not among the planned servers", .0.0)]
    UnknownServer(NodeId),
    /// It is aimed at a client that ended, or that the run never had.
    #[error("client {0} is not there")]
    Gone(ClientId),
    /// It would do something to nobody.
    #[error("it has nobody to be done to")]
    Nobody,
    /// Everybody would still reach everybody.
    #[error("it cuts nobody off from anybody")]
    CutsNothing,
}

/// Whether a fault is aimed by the server that leads.
pub fn needs_leader(drawn: &DrawnFault) -> bool {
    matches!(drawn.aim, Aim::Shape(PartitionShape::Leader) | Aim::Target(Target::Leader))
}

/// Whether a fault is aimed by the client that holds the lock.
pub fn needs_holder(drawn: &DrawnFault) -> bool {
    matches!(drawn.aim, Aim::Target(Target::Holder | Target::HolderServer))
}

/// Aims a fault. `lease_ttl_ms` says how long the server of a [bare majority](Aim::BareMajority) is
/// down, or its clock wrong: an eighth of it, so that it is back within a quarter, while the lease
/// lasts that it has forgotten.
pub fn resolve(
    drawn: &DrawnFault,
    situation: &Situation,
    lease_ttl_ms: u64,
) -> Result<Resolved, ResolveError> {
    let order = server_order(drawn, situation)?;
    let places = place_order(drawn, situation)?;
    let (servers, other_servers) = order.split_at(order.len().min(drawn.servers.into()));
    let (clients, other_clients) = places.split_at(places.len().min(drawn.clients.into()));
    let sides = Sides { servers: [servers, other_servers], clients: [clients, other_clients] };
    let mut fault = Fault::new(drawn.kind, drawn.aim.clone(), drawn.length_ms);
    if needs_holder(drawn) {
        fault.holder = Some(situation.holder()?.0);
    }
    if drawn.aim == Aim::BareMajority {
        return bare_majority(fault, drawn.skew, &sides, lease_ttl_ms);
    }
    match drawn.kind {
        FaultKind::Partition => {
            let nobody = servers.is_empty() || other_servers.is_empty() && order.len() > 1;
            fault.cuts = match drawn.aim {
                Aim::Target(_) if nobody => return Err(ResolveError::Nobody),
                Aim::Shape(PartitionShape::MajorityRing) => cuts::ring(&order, drawn.direction),
                Aim::Shape(PartitionShape::Bridge) => {
                    cuts::bridge(&order, drawn.servers.into(), drawn.direction)
                }
                _ => sides.cuts(drawn.between, drawn.direction),
            };
        }
        FaultKind::ClientPartition => {
            fault.cuts = cuts::of_clients(clients, &order, drawn.direction);
        }
        FaultKind::Kill | FaultKind::Pause | FaultKind::RestartAll => {
            fault.servers = sorted(servers);
        }
        FaultKind::Clock | FaultKind::ClockMonotonic => {
            fault.clocks = sorted(servers);
            fault.skew = drawn.skew;
        }
        FaultKind::ClientPause | FaultKind::ClientKill => {
            let living: Result<Vec<ClientId>, _> =
                clients.iter().map(|place| situation.living(*place)).collect();
            fault.clients = sorted(&living?);
        }
    }
    if drawn.kind.cuts_links() {
        fault.packets = drawn.packets;
        if fault.cuts.is_empty() {
            return Err(ResolveError::CutsNothing);
        }
    } else if fault.servers.is_empty() && fault.clients.is_empty() && fault.clocks.is_empty() {
        return Err(ResolveError::Nobody);
    }
    Ok(Resolved { fault, then: None })
}

/// Some clients lose as many servers as can be missing; then one of the servers forgets that such a
/// client still reaches.
fn bare_majority(
    fault: Fault,
    skew: Option<Skew>,
    sides: &Sides,
    lease_ttl_ms: u64,
) -> Result<Resolved, ResolveError> {
    let [missing, [forgets, ..]] = sides.servers else { return Err(ResolveError::Nobody) };
    let [cut_off, others] = sides.clients;
    let cuts = cuts::of_clients(cut_off, missing, Direction::Both);
    if cuts.is_empty() || others.is_empty() {
        return Err(ResolveError::CutsNothing);
    }
    let mut then = Fault { length_ms: lease_ttl_ms / 8, skew, ..fault.clone() };
    match then.kind.moves_clocks() {
        true => then.clocks = vec![*forgets],
        false => then.servers = vec![*forgets],
    }
    let cut = Fault { kind: FaultKind::Partition, cuts, packets: PacketFate::Drop, ..fault };
    Ok(Resolved { fault: cut, then: Some(then) })
}

/// The plan's order, with those in front that the fault is aimed at.
fn server_order(drawn: &DrawnFault, situation: &Situation) -> Result<Vec<NodeId>, ResolveError> {
    let first = match &drawn.aim {
        Aim::Shape(PartitionShape::Leader) | Aim::Target(Target::Leader) => {
            vec![situation.leader()?]
        }
        Aim::Target(Target::HolderServer) => {
            let (holder, server) = situation.holder()?;
            vec![server.ok_or(ResolveError::HolderServerUnknown(holder))?]
        }
        Aim::Target(Target::Named(parties)) => parties.iter().filter_map(server).collect(),
        _ => Vec::new(),
    };
    match first.iter().find(|server| !drawn.order.contains(server)) {
        Some(stranger) => Err(ResolveError::UnknownServer(*stranger)),
        None => Ok(in_front(first, &drawn.order)),
    }
}

/// Likewise of the places of clients.
fn place_order(drawn: &DrawnFault, situation: &Situation) -> Result<Vec<ClientId>, ResolveError> {
    let first = match &drawn.aim {
        Aim::Target(Target::Holder) => vec![situation.place_of(situation.holder()?.0)?],
        Aim::Target(Target::Named(parties)) => parties.iter().filter_map(client).collect(),
        _ => Vec::new(),
    };
    match first.iter().find(|place| !drawn.client_order.contains(place)) {
        Some(stranger) => Err(ResolveError::Gone(*stranger)),
        None => Ok(in_front(first, &drawn.client_order)),
    }
}

fn in_front<T: Copy + PartialEq>(first: Vec<T>, order: &[T]) -> Vec<T> {
    let rest: Vec<T> = order.iter().copied().filter(|one| !first.contains(one)).collect();
    [first, rest].concat()
}

fn server(party: &Party) -> Option<NodeId> {
    match party {
        Party::Server(node) => Some(*node),
        Party::Client(_) => None,
    }
}

fn client(party: &Party) -> Option<ClientId> {
    match party {
        Party::Server(_) => None,
        Party::Client(client) => Some(*client),
    }
}

fn sorted<T: Copy + Ord>(these: &[T]) -> Vec<T> {
    let mut these = these.to_vec();
    these.sort_unstable();
    these
}

#[cfg(test)]
mod tests {
    use locktest_history::{Between, Cut};

    use super::super::testing::{FIVE, REDLOCK, cluster, drawn, menu};
    use super::super::{Menu, affected};
    use super::*;

    const TTL_MS: u64 = 2000;

    fn with_target(parties: Parties, kind: FaultKind, target: Target) -> Menu {
        Menu { target: Some(target), ..menu(parties, &[kind]) }
    }

    fn with_shape(parties: Parties, shape: PartitionShape) -> Menu {
        Menu { shape: Some(shape), ..menu(parties, &[FaultKind::Partition]) }
    }

    /// The first fault of a menu, aimed where everything is known.
    fn first(menu: &Menu) -> Fault {
        let resolved = resolve(&drawn(1, menu, 1)[0], &Situation::supposed(menu.parties), TTL_MS);
        resolved.expect("somebody is there").fault
    }

    fn nodes(nodes: impl IntoIterator<Item = u16>) -> Vec<NodeId> {
        nodes.into_iter().map(NodeId).collect()
    }

    fn clients(clients: impl IntoIterator<Item = u32>) -> Vec<ClientId> {
        clients.into_iter().map(ClientId).collect()
    }

    #[test]
    fn the_smaller_side_is_a_minority_of_at_least_one() {
        for (servers, halves, third) in [
            (2, 1, 1),
            (3, 1, 1),
            (4, 1, 1),
            (5, 2, 1),
            (6, 2, 1),
            (7, 3, 2),
            (9, 4, 2),
            (10, 4, 3),
        ] {
            for (shape, expected) in [
                (PartitionShape::Halves, halves),
                (PartitionShape::One, 1),
                (PartitionShape::Leader, halves),
                (PartitionShape::MinorityThird, third),
            ] {
                let menu = Menu {
                    between: Some(Between::Servers),
                    direction: Some(Direction::Both),
                    ..with_shape(cluster(servers), shape)
                };
                let [cut, back] = first(&menu).cuts.try_into().expect("one cut both ways");
                assert_eq!(cut.from.len(), expected, "{shape:?} of {servers}");
                assert_eq!(cut.to.len(), usize::from(servers) - expected);
                assert_eq!((cut.from, cut.to), (back.to, back.from));
            }
        }
    }

    #[test]
    fn whoever_leads_is_on_the_smaller_side() {
        let menu = Menu {
            between: Some(Between::Servers),
            direction: Some(Direction::Out),
            ..with_shape(FIVE, PartitionShape::Leader)
        };
        for drawn in drawn(9, &menu, 20) {
            assert!(needs_leader(&drawn));
            for leader in nodes(0..5) {
                let situation =
                    Situation { leader: Some(leader), ..Situation::supposed(menu.parties) };
                let fault = resolve(&drawn, &situation, TTL_MS).expect("two sides").fault;
                let [Cut { from, to }] = fault.cuts.try_into().expect("one direction");
                assert_eq!((from.len(), to.len()), (2, 3));
                assert!(from.contains(&Party::Server(leader)), "{from:?} without {leader:?}");
            }
        }
    }

    #[test]
    fn a_fault_that_is_aimed_by_who_is_not_known_is_refused() {
        let resolve_in = |menu: &Menu, situation: &Situation| {
            resolve(&drawn(9, menu, 1)[0], situation, TTL_MS).map(|resolved| resolved.fault)
        };
        let known = Situation::supposed(FIVE);
        let unknown = Situation { leader: None, holder: None, ..known.clone() };
        let leader = with_shape(FIVE, PartitionShape::Leader);
        assert_eq!(resolve_in(&leader, &unknown), Err(ResolveError::NoLeader));
        let stranger = Situation { leader: Some(NodeId(9)), ..known.clone() };
        let refused = Err(ResolveError::UnknownServer(NodeId(9)));
        assert_eq!(resolve_in(&leader, &stranger), refused);
        let holder = menu(FIVE, &[FaultKind::ClientPause]);
        assert_eq!(resolve_in(&holder, &unknown), Err(ResolveError::NoHolder));
        let gone = Situation { holder: Some((ClientId(7), None)), ..known.clone() };
        assert_eq!(resolve_in(&holder, &gone), Err(ResolveError::Gone(ClientId(7))));
        let server = with_target(FIVE, FaultKind::Kill, Target::HolderServer);
        let somewhere = Situation { holder: Some((ClientId(1), None)), ..known.clone() };
        let refused = Err(ResolveError::HolderServerUnknown(ClientId(1)));
        assert_eq!(resolve_in(&server, &somewhere), refused);
        let halves = with_shape(FIVE, PartitionShape::Halves);
        assert!(resolve_in(&halves, &unknown).is_ok());
    }

    #[test]
    fn only_what_is_aimed_by_leader_or_holder_needs_one() {
        for (target, leader, holder) in [
            (Target::Leader, true, false),
            (Target::HolderServer, false, true),
            (Target::Minority, false, false),
        ] {
            let drawn = &drawn(1, &with_target(FIVE, FaultKind::Kill, target), 1)[0];
            assert_eq!((needs_leader(drawn), needs_holder(drawn)), (leader, holder), "{drawn:?}");
        }
        assert!(needs_holder(&drawn(1, &menu(FIVE, &[FaultKind::ClientKill]), 1)[0]));
    }

    #[test]
    fn a_target_is_as_many_servers_as_it_says_and_those_who_are_named_are_they() {
        for (target, expected) in
            [(Target::One, 1), (Target::Minority, 2), (Target::Majority, 3), (Target::All, 5)]
        {
            let fault = first(&with_target(FIVE, FaultKind::Kill, target));
            assert_eq!(fault.servers.len(), expected);
        }
        let named = Target::Named([3, 1].map(|node| Party::Server(NodeId(node))).into());
        assert_eq!(first(&with_target(FIVE, FaultKind::Pause, named)).servers, nodes([1, 3]));
        let leader = first(&with_target(FIVE, FaultKind::Kill, Target::Leader));
        assert_eq!(leader.servers, nodes([0]));
        assert_eq!(leader.holder, None);
        let of_the_holder = first(&with_target(FIVE, FaultKind::Kill, Target::HolderServer));
        assert_eq!(of_the_holder.servers, nodes([0]));
        assert_eq!(of_the_holder.holder, Some(ClientId(0)));
    }

    #[test]
    fn a_partition_with_a_target_separates_it_from_the_rest() {
        let named = Target::Named([4, 2].map(|node| Party::Server(NodeId(node))).into());
        for (target, isolated) in [(named, nodes([2, 4])), (Target::Leader, nodes([0]))] {
            let menu = Menu {
                between: Some(Between::Servers),
                direction: Some(Direction::In),
                ..with_target(FIVE, FaultKind::Partition, target)
            };
            let [Cut { from, to }] = first(&menu).cuts.try_into().expect("one direction");
            assert_eq!(to, isolated.into_iter().map(Party::Server).collect::<Vec<_>>());
            assert_eq!(from.len() + to.len(), 5);
        }
    }

    #[test]
    fn a_partition_from_nobody_is_none() {
        for target in [Target::All, Target::Holder, Target::Named(vec![Party::Client(ClientId(0))])]
        {
            for between in [Between::Servers, Between::Clients] {
                let target = target.clone();
                let menu = Menu {
                    between: Some(between),
                    ..with_target(FIVE, FaultKind::Partition, target)
                };
                assert_eq!(drawn(1, &menu, 1), []);
            }
        }
    }

    #[test]
    fn a_holder_is_found_in_the_place_of_the_client_whose_place_it_took() {
        let situation = Situation {
            leader: None,
            holder: Some((ClientId(6), Some(NodeId(3)))),
            clients: clients([0, 1, 6, 3]),
        };
        let resolve = |kind| {
            let drawn = &drawn(1, &menu(FIVE, &[kind]), 1)[0];
            resolve(drawn, &situation, TTL_MS).expect("somebody holds").fault
        };
        for kind in [FaultKind::ClientPause, FaultKind::ClientKill] {
            assert_eq!(resolve(kind).clients, clients([6]));
            assert_eq!(resolve(kind).holder, Some(ClientId(6)));
        }
        let cut_off = resolve(FaultKind::ClientPartition);
        assert_eq!(cut_off.holder, Some(ClientId(6)));
        assert_eq!(cut_off.clients, []);
        for place in clients(0..4) {
            let reaches = nodes(0..5).iter().any(|server| cut_off.reaches(place, *server));
            assert_eq!(reaches, place != ClientId(2));
        }
    }

    #[test]
    fn clients_that_are_named_and_all_clients_can_be_paused() {
        let named = Target::Named(vec![Party::Client(ClientId(2))]);
        let pause = |target| first(&with_target(FIVE, FaultKind::ClientPause, target)).clients;
        assert_eq!(pause(named), clients([2]));
        assert_eq!(pause(Target::All), clients(0..4));
        assert_eq!(pause(Target::One).len(), 1);
    }

    #[test]
    fn a_split_of_clients_leaves_the_servers_together() {
        for parties in [FIVE, REDLOCK] {
            let menu =
                Menu { between: Some(Between::Clients), ..menu(parties, &[FaultKind::Partition]) };
            for drawn in drawn(3, &menu, 12) {
                let fault = resolve(&drawn, &Situation::supposed(parties), TTL_MS);
                let fault = fault.expect("two sides").fault;
                assert_eq!(affected(&fault, parties), 0);
                assert!(fault.splits_clients());
                for client in clients(0..4) {
                    let reached =
                        nodes(0..5).iter().filter(|node| fault.reaches(client, **node)).count();
                    assert!(0 < reached && reached < 5, "{client} reaches {reached}");
                }
            }
        }
    }

    #[test]
    fn each_of_few_clients_and_servers_is_cut_off_from_some_other() {
        for (servers, clients) in [(1, 1), (1, 2), (1, 5), (2, 1), (3, 1), (5, 1), (2, 2)] {
            let parties = Parties::Independent { servers, clients };
            for drawn in drawn(3, &menu(parties, &[FaultKind::Partition]), 8) {
                let fault = resolve(&drawn, &Situation::supposed(parties), TTL_MS);
                assert!(fault.expect("two sides").fault.splits_clients());
            }
        }
    }

    #[test]
    fn a_bare_majority_is_left_to_some_clients_and_one_of_its_servers_dies() {
        let menu = menu(REDLOCK, &[FaultKind::Kill]);
        let bare = drawn(4, &menu, 1).remove(0);
        assert_eq!(bare.aim, Aim::BareMajority);
        let resolved = resolve(&bare, &Situation::supposed(REDLOCK), TTL_MS).expect("resolves");
        let (cut, kill) = (resolved.fault, resolved.then.expect("a kill"));
        assert_eq!((cut.kind, kill.kind), (FaultKind::Partition, FaultKind::Kill));
        assert_eq!((cut.length_ms, kill.length_ms), (10_000, TTL_MS / 8));
        assert_eq!((cut.servers.len(), kill.servers.len()), (0, 1));
        assert_eq!(kill.cuts, []);
        let reached = |client: ClientId| -> Vec<NodeId> {
            nodes(0..5).into_iter().filter(|node| cut.reaches(client, *node)).collect()
        };
        let places = bare.client_order.clone();
        for cut_off in &places[..2] {
            assert_eq!(reached(*cut_off).len(), 3);
            assert!(reached(*cut_off).contains(&kill.servers[0]));
        }
        for other in &places[2..] {
            assert_eq!(reached(*other), nodes(0..5));
        }
    }

    #[test]
    fn a_server_of_a_bare_majority_also_forgets_by_its_clock() {
        let bare = drawn(4, &menu(REDLOCK, &[FaultKind::Clock]), 1).remove(0);
        let resolved = resolve(&bare, &Situation::supposed(REDLOCK), TTL_MS).expect("resolves");
        let jump = resolved.then.expect("a jump");
        assert_eq!((resolved.fault.kind, resolved.fault.skew), (FaultKind::Partition, None));
        assert_eq!((jump.kind, jump.skew), (FaultKind::Clock, bare.skew));
        assert_eq!((jump.clocks.len(), jump.servers.len(), jump.cuts.len()), (1, 0, 0));
    }

    #[test]
    fn only_links_have_a_fate_of_packets_and_a_direction() {
        let menu = Menu {
            packets: Some(PacketFate::Reset),
            direction: Some(Direction::Out),
            ..menu(FIVE, &FaultKind::ALL)
        };
        for drawn in drawn(2, &menu, 9) {
            let cuts = drawn.kind.cuts_links();
            let fault = resolve(&drawn, &Situation::supposed(FIVE), TTL_MS).expect("known").fault;
            assert_eq!(fault.packets == PacketFate::Reset, cuts, "{fault:?}");
            assert_eq!(!fault.cuts.is_empty(), cuts, "{fault:?}");
        }
    }
}
