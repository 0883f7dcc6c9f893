//! Faults in words.

use std::fmt;

use super::{Aim, Cut, Fault, FaultKind, PacketFate, Party, Target};
use crate::Plan;

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Aim {
    /// How a fault was aimed, in a word or two, such as `bridge` or `holder`.
    pub fn name(&self) -> &'static str {
        match self {
            Aim::Shape(shape) => shape.name(),
            Aim::Target(target) => target.name(),
            Aim::BareMajority => "bare majority",
        }
    }
}

impl Target {
    /// The name on the command line; `named` for those that were named.
    pub fn name(&self) -> &'static str {
        match self {
            Target::One => "one",
            Target::Minority => "minority",
            Target::Majority => "majority",
            Target::All => "all",
            Target::Leader => "leader",
            Target::Holder => "holder",
            Target::HolderServer => "holder-server",
            Target::Named(_) => "named",
        }
    }
}

impl Plan {
    /// Such as `n1` or `c1`.
    pub fn party_name(&self, party: Party) -> String {
        match party {
            Party::Server(node) => self.node_name(node),
            Party::Client(client) => client.to_string(),
        }
    }

    /// What a fault is done to, such as `n1 n2 | n3 n4 n5`, `n3` or `c2`. Of links that lose packets
    /// one way the senders come first: `n1 > n2 n3`. Of clocks it says how wrong they are:
    /// `n1 by +30 s`.
    pub fn targets_in_words(&self, fault: &Fault) -> String {
        let servers = fault.servers.iter().map(|node| Party::Server(*node));
        let clients = fault.clients.iter().map(|client| Party::Client(*client));
        let processes: Vec<Party> = servers.chain(clients).collect();
        let processes = (!processes.is_empty()).then(|| self.names(&processes));
        let clocks: Vec<Party> = fault.clocks.iter().map(|node| Party::Server(*node)).collect();
        let clocks = fault.skew.map(|skew| format!("{} {skew}", self.names(&clocks)));
        let cuts = self.cuts_in_words(&fault.cuts);
        processes.into_iter().chain(cuts).chain(clocks).collect::<Vec<_>>().join("; ")
    }

    /// A fault in words, such as `partition n1 n2 | n3 n4 n5` or `pause of client c3`.
    pub fn fault_in_words(&self, fault: &Fault) -> String {
        let targets = self.targets_in_words(fault);
        let packets = match fault.packets {
            PacketFate::Drop => "",
            PacketFate::Reject => " (packets rejected)",
            PacketFate::Reset => " (connections reset)",
        };
        match fault.kind {
            FaultKind::Partition if fault.splits_clients() => {
                format!("partition of clients from servers: {targets}{packets}")
            }
            FaultKind::Partition => format!("partition {targets}{packets}"),
            FaultKind::Kill => format!("kill of {targets}"),
            FaultKind::Pause => format!("pause of {targets}"),
            FaultKind::RestartAll => format!("restart of all servers: {targets}"),
            FaultKind::ClientPause => format!("pause of client {targets}"),
            FaultKind::ClientKill => format!("kill of client {targets}"),
            FaultKind::ClientPartition => format!("partition of client {targets}{packets}"),
            FaultKind::Clock => format!("clock of {targets}"),
            FaultKind::ClockMonotonic => format!("monotonic clock of {targets}"),
        }
    }

    fn names(&self, parties: &[Party]) -> String {
        parties.iter().map(|party| self.party_name(*party)).collect::<Vec<_>>().join(" ")
    }

    /// Each cut, or each pair of cuts that is one both ways.
    fn cuts_in_words(&self, cuts: &[Cut]) -> Vec<String> {
        let mut left: Vec<&Cut> = cuts.iter().collect();
        let mut words = Vec::new();
        while !left.is_empty() {
            let cut = left.remove(0);
            let back = left.iter().position(|other| other.from == cut.to && other.to == cut.from);
            let sign = match back {
                Some(back) => {
                    left.remove(back);
                    "|"
                }
                None => ">",
            };
            words.push(format!("{} {sign} {}", self.names(&cut.from), self.names(&cut.to)));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fault, servers};
    use super::*;
    use crate::{Backend, ClientId, NodeId, Skew};

    fn words(fault: &Fault) -> String {
        Plan::of(Backend::Redis).fault_in_words(fault)
    }

    fn cut(from: Vec<Party>, to: Vec<Party>) -> Cut {
        Cut { from, to }
    }

    #[test]
    fn a_partition_names_its_sides_and_says_if_it_is_one_way() {
        let partition = |cuts| Fault { cuts, ..fault(FaultKind::Partition) };
        let both = Cut::both_ways(&servers([0, 1]), &servers([2, 3])).into();
        assert_eq!(words(&partition(both)), "partition n1 n2 | n3 n4");
        let one_way = vec![cut(servers([0]), servers([1, 2]))];
        let rejected = Fault { packets: PacketFate::Reject, ..partition(one_way) };
        assert_eq!(words(&rejected), "partition n1 > n2 n3 (packets rejected)");
        let ring = [([0], [2, 3]), ([1], [3, 4])]
            .map(|(one, others)| Cut::both_ways(&servers(one), &servers(others)));
        assert_eq!(words(&partition(ring.concat())), "partition n1 | n3 n4; n2 | n4 n5");
    }

    #[test]
    fn a_partition_that_splits_clients_says_so_and_names_them() {
        let mut other = servers([2, 3]);
        other.extend([0, 2].map(|client| Party::Client(ClientId(client))));
        let cuts = Cut::both_ways(&servers([0, 1]), &other).into();
        let fault = Fault { cuts, ..fault(FaultKind::Partition) };
        assert_eq!(words(&fault), "partition of clients from servers: n1 n2 | n3 n4 c1 c3");
    }

    #[test]
    fn what_is_done_to_processes_names_them() {
        let servers = vec![NodeId(1), NodeId(4)];
        assert_eq!(words(&Fault { servers, ..fault(FaultKind::Kill) }), "kill of n2 n5");
        let clocks = vec![NodeId(0), NodeId(2)];
        let skew = Some(Skew::Jump { offset_ms: -30_000 });
        let clock = Fault { clocks, skew, ..fault(FaultKind::Clock) };
        assert_eq!(words(&clock), "clock of n1 n3 by -30 s");
        let clients = vec![ClientId(2)];
        let paused = Fault { clients, ..fault(FaultKind::ClientPause) };
        assert_eq!(words(&paused), "pause of client c3");
    }
}
