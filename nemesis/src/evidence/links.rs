//! Evidence that links were cut: servers stopped packets, and connections that had worked did not.

use std::collections::{BTreeMap, BTreeSet};

use locktest_history::{NodeId, PacketFate, Party};

use super::Look;
use crate::links::Link;
use crate::probe::Probed;

/// What one server said of its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// It stopped so many packets of the links that are cut.
    Packets(u64),
    /// It has no chain of the fault.
    NoChain,
    /// It could not be asked.
    Unknown(String),
}

/// Everything observed of links that a fault cuts.
#[derive(Debug)]
pub(crate) struct LinkEvidence {
    fate: PacketFate,
    worked_before: BTreeSet<Link>,
    /// The most that each server said it stopped.
    packets: BTreeMap<NodeId, u64>,
    /// The connections that a look found cut, in a look that found none across.
    cut: Option<Vec<Link>>,
    last: Option<Look>,
}

impl LinkEvidence {
    pub(super) fn new(fate: PacketFate, before: &[(Link, Probed)]) -> LinkEvidence {
        let worked = before.iter().filter(|(_, probed)| *probed == Probed::Connected);
        LinkEvidence {
            fate,
            worked_before: worked.map(|(link, _)| *link).collect(),
            packets: BTreeMap::new(),
            cut: None,
            last: None,
        }
    }

    /// Whether any link worked before the fault.
    pub(crate) fn has_baseline(&self) -> bool {
        !self.worked_before.is_empty()
    }

    /// A link that worked before the fault and works now.
    pub(crate) fn works_again(&self, now: &[(Link, Probed)]) -> Option<Link> {
        let again = |(link, probed): &&(Link, Probed)| {
            *probed == Probed::Connected && self.worked_before.contains(link)
        };
        now.iter().find(again).map(|(link, _)| *link)
    }

    /// Whether packets went there and back. Where packets are dropped, a refusal is the word of the
    /// other host; where they are rejected, it is that of the rules.
    fn crossed(&self, probed: Probed) -> bool {
        probed == Probed::Connected || (probed == Probed::Refused && self.fate == PacketFate::Drop)
    }

    fn first_across(&self, look: &Look) -> Option<Link> {
        look.probes.iter().find(|(_, probed)| self.crossed(*probed)).map(|(link, _)| *link)
    }

    pub(super) fn record(&mut self, look: Look) {
        for (node, stopped) in &look.stopped {
            if let Stopped::Packets(packets) = stopped {
                let most = self.packets.entry(*node).or_default();
                *most = (*most).max(*packets);
            }
        }
        let is_cut = |probed: Probed| {
            probed == Probed::TimedOut
                || (probed == Probed::Refused && self.fate != PacketFate::Drop)
        };
        let cut = look
            .probes
            .iter()
            .filter(|(link, probed)| is_cut(*probed) && self.worked_before.contains(link));
        let cut: Vec<Link> = cut.map(|(link, _)| *link).collect();
        if !cut.is_empty() && self.first_across(&look).is_none() {
            self.cut = Some(cut);
        }
        self.last = Some(look);
    }

    /// It has bitten if servers stopped packets of the links that are cut, and a look found a link
    /// cut that had worked before, while nothing got across.
    pub(super) fn judge(&self, name: impl Fn(Party) -> String) -> (bool, Vec<String>) {
        let Some(last) = &self.last else {
            return (false, vec!["nobody looked while the fault was in force".into()]);
        };
        let server = |node: NodeId| name(Party::Server(node));
        let total: u64 = self.packets.values().sum();
        let mut proof = Vec::new();
        let done = match self.fate {
            PacketFate::Drop => "dropped",
            PacketFate::Reject => "rejected",
            PacketFate::Reset => "answered with a reset, or dropped",
        };
        if total == 0 {
            proof.push(format!("no packet of the cut links is known to have been {done}"));
        } else {
            let nodes: Vec<String> = (self.packets.iter())
                .map(|(node, packets)| format!("{} {packets}", server(*node)))
                .collect();
            proof.push(format!(
                "{total} packets of the cut links were {done} ({})",
                nodes.join(", ")
            ));
        }
        match &self.cut {
            Some(cut) => {
                proof.push(format!(
                    "{} connections had worked before the fault and failed during it, and none \
                     got across ({})",
                    cut.len(),
                    links(cut, &name)
                ));
            }
            None if !self.has_baseline() => {
                proof.push("no connection across worked before the fault".into());
            }
            None if self.first_across(last).is_none() => {
                proof.push("no connection that worked before the fault failed during it".into());
            }
            None => {}
        }
        if let Some(link) = self.first_across(last) {
            proof.push(format!("at the last look {} got across", link.words(&name)));
        }
        if let Some(reason) = &last.unseen {
            proof.push(format!("at the last look the clients could not try: {reason}"));
        }
        for (node, stopped) in &last.stopped {
            match stopped {
                Stopped::Packets(_) => {}
                Stopped::NoChain => {
                    proof.push(format!("at the last look {} had none of the rules", server(*node)));
                }
                Stopped::Unknown(reason) => {
                    proof
                        .push(format!("at the last look {} told nothing: {reason}", server(*node)));
                }
            }
        }
        (total > 0 && self.cut.is_some(), proof)
    }
}

/// Such as `n1 to n2 n3, c2 to n1`.
fn links(links: &[Link], name: impl Fn(Party) -> String) -> String {
    let words = links.chunk_by(|one, next| one.from == next.from).map(|chunk| {
        let to: Vec<String> = chunk.iter().map(|link| name(Party::Server(link.to))).collect();
        format!("{} to {}", name(chunk[0].from), to.join(" "))
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use locktest_history::{Backend, ClientId, Plan};

    use super::*;

    const THERE: Link = Link { from: Party::Server(NodeId(0)), to: NodeId(1) };
    const BACK: Link = Link { from: Party::Server(NodeId(1)), to: NodeId(0) };

    fn look(there: Probed, back: Probed, packets: u64) -> Look {
        Look {
            probes: vec![(THERE, there), (BACK, back)],
            stopped: BTreeMap::from([(NodeId(0), Stopped::Packets(packets))]),
            ..Look::default()
        }
    }

    fn judge_fate(fate: PacketFate, before: &[(Link, Probed)], looks: Vec<Look>) -> (bool, String) {
        let mut evidence = LinkEvidence::new(fate, before);
        looks.into_iter().for_each(|look| evidence.record(look));
        let plan = Plan::of(Backend::Etcd);
        let (bit, proof) = evidence.judge(|party| plan.party_name(party));
        assert!(!proof.is_empty());
        (bit, proof.join("; "))
    }

    fn judge(before: &[(Link, Probed)], looks: Vec<Look>) -> (bool, String) {
        judge_fate(PacketFate::Drop, before, looks)
    }

    const BOTH: [(Link, Probed); 2] = [(THERE, Probed::Connected), (BACK, Probed::Connected)];

    #[test]
    fn dropped_packets_and_a_cut_connection_are_a_bite() {
        let (bit, proof) = judge(&BOTH, vec![look(Probed::TimedOut, Probed::TimedOut, 4)]);
        assert!(bit);
        assert!(proof.contains("4 packets of the cut links were dropped (n1 4)"), "{proof}");
        assert!(proof.contains("(n1 to n2, n2 to n1)"), "{proof}");
    }

    #[test]
    fn a_cut_connection_without_a_stopped_packet_is_no_bite() {
        assert!(!judge(&BOTH, vec![look(Probed::TimedOut, Probed::TimedOut, 0)]).0);
    }

    #[test]
    fn stopped_packets_without_a_cut_connection_are_no_bite() {
        assert!(!judge(&BOTH, vec![look(Probed::Connected, Probed::Connected, 9)]).0);
        assert!(!judge(&BOTH, vec![look(Probed::Failed, Probed::Failed, 9)]).0);
    }

    #[test]
    fn a_refusal_is_a_cut_where_packets_are_rejected_and_the_other_hosts_word_where_dropped() {
        let refused = || vec![look(Probed::Refused, Probed::Refused, 4)];
        assert!(judge_fate(PacketFate::Reject, &BOTH, refused()).0);
        assert!(judge_fate(PacketFate::Reset, &BOTH, refused()).0);
        assert!(!judge(&BOTH, refused()).0);
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
    fn a_client_that_had_reached_a_server_and_does_not_any_more_is_cut_off() {
        let from = |client| Link { from: Party::Client(ClientId(client)), to: NodeId(0) };
        let before = [(from(0), Probed::Connected), (from(2), Probed::Connected)];
        let during = Look {
            probes: vec![(from(0), Probed::TimedOut), (from(2), Probed::TimedOut)],
            stopped: BTreeMap::from([(NodeId(0), Stopped::Packets(2))]),
            ..Look::default()
        };
        let (bit, proof) = judge(&before, vec![during]);
        assert!(bit, "{proof}");
        assert!(proof.contains("(c1 to n1, c3 to n1)"), "{proof}");
    }

    #[test]
    fn a_partition_with_a_hole_is_no_bite() {
        let (bit, proof) = judge(&BOTH, vec![look(Probed::TimedOut, Probed::Connected, 4)]);
        assert!(!bit);
        assert!(proof.contains("n2 to n1 got across"), "{proof}");
    }

    #[test]
    fn nobody_looking_is_no_bite() {
        assert!(!judge(&BOTH, vec![]).0);
    }

    #[test]
    fn a_fault_that_vanished_early_has_bitten_and_its_end_is_told() {
        let mut gone = look(Probed::Connected, Probed::Connected, 0);
        gone.stopped.insert(NodeId(0), Stopped::NoChain);
        let (bit, proof) = judge(&BOTH, vec![look(Probed::TimedOut, Probed::TimedOut, 4), gone]);
        assert!(bit);
        assert!(proof.contains("at the last look n1 had none of the rules"), "{proof}");
        assert!(proof.contains("at the last look n1 to n2 got across"), "{proof}");
    }

    #[test]
    fn a_link_that_worked_before_and_works_again_shows_that_the_fault_is_gone() {
        let evidence = LinkEvidence::new(PacketFate::Drop, &BOTH);
        assert_eq!(evidence.works_again(&[(BACK, Probed::Connected)]), Some(BACK));
        assert_eq!(evidence.works_again(&[(BACK, Probed::TimedOut)]), None);
        let nothing = LinkEvidence::new(PacketFate::Drop, &[]);
        assert_eq!(nothing.works_again(&[(BACK, Probed::Connected)]), None);
    }
}
