//! Whether a partition took effect: decided by what was observed while it was in force.

use std::collections::{BTreeMap, BTreeSet};

use locktest_history::NodeId;

use crate::probe::Probed;

/// A direction between two nodes on different sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
}

/// What one node said of its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// So many packets of the other sides.
    Packets(u64),
    /// It has no chain of the fault.
    NoChain,
    /// It could not be asked.
    Unknown(String),
}

/// One look at every node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    pub(crate) probes: Vec<(Link, Probed)>,
    pub(crate) dropped: BTreeMap<NodeId, Dropped>,
}

impl Look {
    fn crossed(&self) -> Option<Link> {
        self.probes.iter().find(|(_, probed)| probed.crossed()).map(|(link, _)| *link)
    }
}

/// Everything observed of one fault.
#[derive(Debug)]
pub(crate) struct Evidence {
    connected_before: BTreeSet<Link>,
    /// The most that each node said it dropped.
    packets: BTreeMap<NodeId, u64>,
    /// The connections that a look found cut, in a look that found none across.
    cut: Option<Vec<Link>>,
    last: Option<Look>,
}

impl Evidence {
    pub(crate) fn new(before: &[(Link, Probed)]) -> Evidence {
        let connected = before.iter().filter(|(_, probed)| *probed == Probed::Connected);
        Evidence {
            connected_before: connected.map(|(link, _)| *link).collect(),
            packets: BTreeMap::new(),
            cut: None,
            last: None,
        }
    }

    /// Whether any connection across worked before the fault.
    pub(crate) fn has_baseline(&self) -> bool {
        !self.connected_before.is_empty()
    }

    /// A connection that worked before the fault and whose packets cross now.
    pub(crate) fn works_again(&self, now: &[(Link, Probed)]) -> Option<Link> {
        let again = |(link, probed): &&(Link, Probed)| {
            probed.crossed() && self.connected_before.contains(link)
        };
        now.iter().find(again).map(|(link, _)| *link)
    }

    pub(crate) fn record(&mut self, look: Look) {
        for (node, dropped) in &look.dropped {
            if let Dropped::Packets(packets) = dropped {
                let most = self.packets.entry(*node).or_default();
                *most = (*most).max(*packets);
            }
        }
        let cut: Vec<Link> = look
            .probes
            .iter()
            .filter(|(link, probed)| {
                *probed == Probed::TimedOut && self.connected_before.contains(link)
            })
            .map(|(link, _)| *link)
            .collect();
        if !cut.is_empty() && look.crossed().is_none() {
            self.cut = Some(cut);
        }
        self.last = Some(look);
    }

    /// Whether the fault is known to have bitten, and the observations behind that, a sentence
    /// each.
    ///
    /// It has if nodes dropped packets of the other sides, and a look found a connection cut that
    /// had worked before while nothing got across.
    pub(crate) fn judge(&self, name: impl Fn(NodeId) -> String) -> (bool, Vec<String>) {
        let Some(last) = &self.last else {
            return (false, vec!["nobody looked while the fault was in force".into()]);
        };
        let total: u64 = self.packets.values().sum();
        let words = |link: &Link| format!("{} to {}", name(link.from), name(link.to));
        let mut proof = Vec::new();
        if total == 0 {
            proof.push("no packet between the sides is known to have been dropped".into());
        } else {
            let nodes: Vec<String> = self
                .packets
                .iter()
                .map(|(node, packets)| format!("{} {packets}", name(*node)))
                .collect();
            proof.push(format!(
                "{total} packets between the sides were dropped ({})",
                nodes.join(", ")
            ));
        }
        match &self.cut {
            Some(cut) => {
                let cut: Vec<String> = cut.iter().map(words).collect();
                proof.push(format!(
                    "{} connections across had worked before the fault and timed out during it, \
                     and nothing got across ({})",
                    cut.len(),
                    cut.join(", ")
                ));
            }
            None if !self.has_baseline() => {
                proof.push("no connection across worked before the fault".into());
            }
            None if last.crossed().is_none() => {
                proof.push("no connection that had worked before the fault timed out".into());
            }
            None => {}
        }
        if let Some(link) = last.crossed() {
            proof.push(format!("at the last look {} got across", words(&link)));
        }
        for (node, dropped) in &last.dropped {
            match dropped {
                Dropped::Packets(_) => {}
                Dropped::NoChain => {
                    proof.push(format!("at the last look {} had none of the rules", name(*node)));
                }
                Dropped::Unknown(reason) => {
                    proof.push(format!("at the last look {} told nothing: {reason}", name(*node)));
                }
            }
        }
        (total > 0 && self.cut.is_some(), proof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: Link = Link { from: NodeId(0), to: NodeId(1) };
    const BACK: Link = Link { from: NodeId(1), to: NodeId(0) };

    fn look(there: Probed, back: Probed, packets: u64) -> Look {
        Look {
            probes: vec![(THERE, there), (BACK, back)],
            dropped: BTreeMap::from([(NodeId(0), Dropped::Packets(packets))]),
        }
    }

    fn judge(before: &[(Link, Probed)], looks: Vec<Look>) -> (bool, String) {
        let mut evidence = Evidence::new(before);
        for look in looks {
            evidence.record(look);
        }
        let (bit, proof) = evidence.judge(|node| format!("n{}", node.0 + 1));
        assert!(!proof.is_empty());
        (bit, proof.join("; "))
    }

    const BOTH: [(Link, Probed); 2] = [(THERE, Probed::Connected), (BACK, Probed::Connected)];

    #[test]
    fn dropped_packets_and_a_cut_connection_are_a_bite() {
        let (bit, proof) = judge(&BOTH, vec![look(Probed::TimedOut, Probed::TimedOut, 4)]);
        assert!(bit);
        assert!(proof.contains("4 packets between the sides were dropped (n1 4)"), "{proof}");
        assert!(proof.contains("(n1 to n2, n2 to n1)"), "{proof}");
    }

    #[test]
    fn a_cut_connection_without_a_dropped_packet_is_no_bite() {
        assert!(!judge(&BOTH, vec![look(Probed::TimedOut, Probed::TimedOut, 0)]).0);
    }

    #[test]
    fn dropped_packets_without_a_cut_connection_are_no_bite() {
        assert!(!judge(&BOTH, vec![look(Probed::Connected, Probed::Connected, 9)]).0);
        assert!(!judge(&BOTH, vec![look(Probed::Failed, Probed::Failed, 9)]).0);
    }

    #[test]
    fn a_connection_that_never_worked_proves_nothing() {
        for before in [vec![], vec![(THERE, Probed::TimedOut), (BACK, Probed::Refused)]] {
            let (bit, proof) = judge(&before, vec![look(Probed::TimedOut, Probed::TimedOut, 4)]);
            assert!(!bit);
            assert!(proof.contains("no connection across worked before"), "{proof}");
        }
    }

    #[test]
    fn a_partition_with_a_hole_is_no_bite() {
        for hole in [Probed::Connected, Probed::Refused] {
            let (bit, proof) = judge(&BOTH, vec![look(Probed::TimedOut, hole, 4)]);
            assert!(!bit);
            assert!(proof.contains("n2 to n1 got across"), "{proof}");
        }
    }

    #[test]
    fn nobody_looking_is_no_bite() {
        assert!(!judge(&BOTH, vec![]).0);
    }

    #[test]
    fn a_fault_that_vanished_early_has_bitten_and_its_end_is_told() {
        let mut gone = look(Probed::Connected, Probed::Connected, 0);
        gone.dropped.insert(NodeId(0), Dropped::NoChain);
        let (bit, proof) = judge(&BOTH, vec![look(Probed::TimedOut, Probed::TimedOut, 4), gone]);
        assert!(bit);
        assert!(proof.contains("at the last look n1 had none of the rules"), "{proof}");
        assert!(proof.contains("at the last look n1 to n2 got across"), "{proof}");
    }

    #[test]
    fn a_refused_connection_shows_that_packets_cross_again() {
        let evidence = Evidence::new(&BOTH);
        assert_eq!(evidence.works_again(&[(BACK, Probed::Refused)]), Some(BACK));
        assert_eq!(evidence.works_again(&[(BACK, Probed::TimedOut)]), None);
        assert_eq!(Evidence::new(&[]).works_again(&[(BACK, Probed::Connected)]), None);
    }
}
