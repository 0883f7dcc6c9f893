//! How many servers a fault takes away, or gives a wrong clock.

use locktest_history::{Fault, NodeId};

use super::Parties;

/// How many servers a fault kills, pauses, or cuts off from the majority of the others: all of them
/// if no majority is left that everybody agrees on. Of servers that know nothing of each other only
/// those count that are down. A fault of clocks affects the servers that have them.
pub fn affected(fault: &Fault, parties: Parties) -> u16 {
    let servers = parties.servers();
    let left = match parties {
        Parties::Cluster { .. } => {
            fault.connected_majority(servers.into()).map_or(0, |majority| majority.len())
        }
        Parties::Independent { .. } => {
            (0..servers).filter(|server| !fault.takes_down(NodeId(*server))).count()
        }
    };
    let taken = servers.saturating_sub(u16::try_from(left).unwrap_or(u16::MAX));
    taken.max(u16::try_from(fault.clocks.len()).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use locktest_history::{Aim, Cut, FaultKind, PartitionShape, Party, Target};

    use super::super::testing::{FIVE, REDLOCK};
    use super::*;

    fn kill(servers: &[u16]) -> Fault {
        let servers = servers.iter().copied().map(NodeId).collect();
        Fault { servers, ..Fault::new(FaultKind::Kill, Aim::Target(Target::One), 1) }
    }

    fn partition(one: &[Party], other: &[Party]) -> Fault {
        let cuts = Cut::both_ways(one, other).into();
        let aim = Aim::Shape(PartitionShape::Halves);
        Fault { cuts, ..Fault::new(FaultKind::Partition, aim, 1) }
    }

    #[test]
    fn a_cluster_that_has_lost_its_majority_is_affected_as_a_whole() {
        assert_eq!(affected(&kill(&[]), FIVE), 0);
        assert_eq!(affected(&kill(&[1, 4]), FIVE), 2);
        assert_eq!(affected(&kill(&[0, 1, 4]), FIVE), 5);
    }

    #[test]
    fn those_who_are_cut_off_are_affected_and_a_lost_client_affects_no_server() {
        let [one, two, three, four, five] = [0, 1, 2, 3, 4].map(|n| Party::Server(NodeId(n)));
        assert_eq!(affected(&partition(&[one], &[two, three, four, five]), FIVE), 1);
        let client = Party::Client(locktest_history::ClientId(0));
        assert_eq!(affected(&partition(&[client], &[one, two, three]), FIVE), 0);
    }

    #[test]
    fn of_independent_servers_those_count_that_are_down() {
        assert_eq!(affected(&kill(&[0, 1, 4]), REDLOCK), 3);
        let [one, two] = [0, 1].map(|n| Party::Server(NodeId(n)));
        assert_eq!(affected(&partition(&[one], &[two]), REDLOCK), 0);
    }

    #[test]
    fn a_wrong_clock_affects_its_server_alone() {
        let fault = Fault::new(FaultKind::Clock, Aim::Target(Target::Majority), 1);
        let clocks = Fault { clocks: [0, 1, 4].map(NodeId).into(), ..fault };
        assert_eq!((affected(&clocks, FIVE), affected(&clocks, REDLOCK)), (3, 3));
    }
}
