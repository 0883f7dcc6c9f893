//! Whether a partition took effect: decided by what was observed while it was in force.

use std::collections::{BTreeMap, BTreeSet};

use locktest_history::NodeId;

use crate::probe::Probed;
use crate::sides::Party;

/// A direction from a server to somebody on another side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    pub(crate) from: NodeId,
    pub(crate) to: Party,
}

/// What one node said of its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// So many packets from and to those across.
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
    worked_before: BTreeSet<Link>,
    /// The most that each node said it dropped.
    packets: BTreeMap<NodeId, u64>,
    /// The connections that a look found cut, in a look that found none across.
    cut: Option<Vec<Link>>,
    last: Option<Look>,
}

impl Evidence {
    pub(crate) fn new(before: &[(Link, Probed)]) -> Evidence {
        let worked = before.iter().filter(|(link, probed)| match link.to {
            Party::Server(_) => *probed == Probed::Connected,
            // Nobody listens there, so that a refusal is the answer which shows that packets cross.
            Party::Client(_) => probed.crossed(),
        });
        Evidence {
            worked_before: worked.map(|(link, _)| *link).collect(),
            packets: BTreeMap::new(),
            cut: None,
            last: None,
        }
    }

    /// Whether any link across worked before the fault.
    pub(crate) fn has_baseline(&self) -> bool {
        !self.worked_before.is_empty()
    }

    /// A link that worked before the fault and whose packets cross now.
    pub(crate) fn crosses_again(&self, now: &[(Link, Probed)]) -> Option<Link> {
        let again = |(link, probed): &&(Link, Probed)| {
            probed.crossed() && self.worked_before.contains(link)
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
                *probed == Probed::TimedOut && self.worked_before.contains(link)
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
    /// It has if servers dropped packets of those across, and a look found a link cut that had
    /// worked before, while nothing got across.
    pub(crate) fn judge(&self, name: impl Fn(Party) -> String) -> (bool, Vec<String>) {
        let Some(last) = &self.last else {
            return (false, vec!["nobody looked while the fault was in force".into()]);
        };
        let server = |node: NodeId| name(Party::Server(node));
        let words = |link: &Link| format!("{} to {}", server(link.from), name(link.to));
        let total: u64 = self.packets.values().sum();
        let mut proof = Vec::new();
        if total == 0 {
            proof.push("no packet between the sides is known to have been dropped".into());
        } else {
            let nodes: Vec<String> = self
                .packets
                .iter()
                .map(|(node, packets)| format!("{} {packets}", server(*node)))
                .collect();
            proof.push(format!(
                "{total} packets between the sides were dropped ({})",
                nodes.join(", ")
            ));
        }
        match &self.cut {
            Some(cut) => {
                proof.push(format!(
                    "{} connections across had been answered before the fault and timed out during \
                     it, and nothing got across ({})",
                    cut.len(),
                    links(cut, &name)
                ));
            }
            None if !self.has_baseline() => {
                proof.push("no connection across was answered before the fault".into());
            }
            None if last.crossed().is_none() => {
                proof.push("no connection answered before the fault timed out during it".into());
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
                    proof.push(format!("at the last look {} had none of the rules", server(*node)));
                }
                Dropped::Unknown(reason) => {
                    proof
                        .push(format!("at the last look {} told nothing: {reason}", server(*node)));
                }
            }
        }
        (total > 0 && self.cut.is_some(), proof)
    }
}

/// Such as `n1 to c2 c3, n2 to c1`.
fn links(links: &[Link], name: impl Fn(Party) -> String) -> String {
    let words = links.chunk_by(|one, next| one.from == next.from).map(|chunk| {
        let to: Vec<String> = chunk.iter().map(|link| name(link.to)).collect();
        format!("{} to {}", name(Party::Server(chunk[0].from)), to.join(" "))
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use locktest_history::ClientId;

    use super::*;

    const THERE: Link = Link { from: NodeId(0), to: Party::Server(NodeId(1)) };
    const BACK: Link = Link { from: NodeId(1), to: Party::Server(NodeId(0)) };

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
        let (bit, proof) = evidence.judge(|party| party.name(&[]));
        assert!(!proof.is_empty());
        (bit, proof.join("; "))
    }

    const BOTH: [(Link, Probed); 2] = [(THERE, Probed::Connected), (BACK, Probed::Connected)];

    #[test]
    fn dropped_packets_and_a_cut_connection_are_a_bite() {
        let (bit, proof) = judge(&BOTH, vec![look(Probed::TimedOut, Probed::TimedOut, 4)]);
        assert!(bit);
        assert!(proof.contains("4 packets between the sides were dropped (node#0 4)"), "{proof}");
        assert!(proof.contains("(node#0 to node#1, node#1 to node#0)"), "{proof}");
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
            assert!(proof.contains("no connection across was answered before"), "{proof}");
        }
    }

    #[test]
    fn a_client_that_had_refused_and_then_times_out_is_cut_off() {
        let to = |client| Link { from: NodeId(0), to: Party::Client(ClientId(client)) };
        let before = [(to(0), Probed::Refused), (to(2), Probed::Refused)];
        let during = Look {
            probes: vec![(to(0), Probed::TimedOut), (to(2), Probed::TimedOut)],
            dropped: BTreeMap::from([(NodeId(0), Dropped::Packets(2))]),
        };
        let (bit, proof) = judge(&before, vec![during.clone()]);
        assert!(bit, "{proof}");
        assert!(proof.contains("(node#0 to c1 c3)"), "{proof}");
        let silent = [(to(0), Probed::TimedOut), (to(2), Probed::Failed)];
        assert!(!judge(&silent, vec![during]).0);
    }

    #[test]
    fn a_partition_with_a_hole_is_no_bite() {
        for hole in [Probed::Connected, Probed::Refused] {
            let (bit, proof) = judge(&BOTH, vec![look(Probed::TimedOut, hole, 4)]);
            assert!(!bit);
            assert!(proof.contains("node#1 to node#0 got across"), "{proof}");
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
        assert!(proof.contains("at the last look node#0 had none of the rules"), "{proof}");
        assert!(proof.contains("at the last look node#0 to node#1 got across"), "{proof}");
    }

    #[test]
    fn a_refused_connection_shows_that_packets_cross_again() {
        let evidence = Evidence::new(&BOTH);
        assert_eq!(evidence.crosses_again(&[(BACK, Probed::Refused)]), Some(BACK));
        assert_eq!(evidence.crosses_again(&[(BACK, Probed::TimedOut)]), None);
        assert_eq!(Evidence::new(&[]).crosses_again(&[(BACK, Probed::Connected)]), None);
    }
}
