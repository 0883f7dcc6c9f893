//! The schedule that ran: what a history says of its faults, to be run again.

use std::collections::HashMap;

use crate::{Fault, FixedFault, History, Milestone, Record};

const NS_IN_A_MS: u64 = 1_000_000;

/// Every fault that was applied, with all choices resolved, in the order of their begins. Their
/// lengths are those that they had; one whose end is not recorded keeps the length that it was to
/// have.
pub fn executed(history: &History) -> Vec<FixedFault> {
    let mut ready_ns = None;
    let mut heal_begins = HashMap::new();
    for record in &history.records {
        match record {
            Record::Milestone { time_ns, what: Milestone::ClusterReady } => {
                ready_ns = ready_ns.or(Some(*time_ns));
            }
            Record::FaultEnded(ended) => {
                heal_begins.insert(ended.id, ended.heal_begin_ns);
            }
            _ => {}
        }
    }
    let ready_ns = ready_ns.unwrap_or(0);
    let mut begun: Vec<_> = (history.records.iter())
        .filter_map(|record| match record {
            // One that was given up half-way is known to have come into force nowhere.
            Record::FaultBegun(begun) if !begun.hosts.is_empty() => Some(begun),
            _ => None,
        })
        .collect();
    begun.sort_by_key(|begun| (begun.begin_ns, begun.id));
    let fixed = begun.into_iter().map(|begun| {
        let length_ms = match heal_begins.get(&begun.id) {
            Some(heal_begin_ns) => heal_begin_ns.saturating_sub(begun.in_force_ns) / NS_IN_A_MS,
            None => begun.fault.length_ms,
        };
        let fault = Fault { length_ms, ..begun.fault.clone() };
        FixedFault { at_ms: begun.begin_ns.saturating_sub(ready_ns) / NS_IN_A_MS, fault }
    });
    fixed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::run_for_tests;
    use crate::{Aim, FaultBegun, FaultEnded, FaultKind, NodeId, Target, TookEffect};

    const SECOND_NS: u64 = 1_000_000_000;

    fn begun(id: u32, begin_s: u64) -> Record {
        let servers = vec![NodeId(2)];
        let fault = Fault::new(FaultKind::Kill, Aim::Target(Target::One), 10_000);
        let begin_ns = begin_s * SECOND_NS;
        let fault = Fault { servers, ..fault };
        Record::FaultBegun(Box::new(FaultBegun {
            id,
            fault,
            begin_ns,
            in_force_ns: begin_ns,
            hosts: vec![TookEffect { host: "n3".into(), from_ns: begin_ns, until_ns: begin_ns }],
        }))
    }

    fn ended(id: u32, heal_begin_s: u64) -> Record {
        Record::FaultEnded(FaultEnded {
            id,
            heal_begin_ns: heal_begin_s * SECOND_NS,
            end_ns: (heal_begin_s + 1) * SECOND_NS,
            hosts: vec![],
            bit: true,
            proof: vec![],
            undone: true,
            undo_proof: vec![],
        })
    }

    #[test]
    fn faults_come_back_in_order_at_their_times_since_the_cluster_was_ready() {
        let ready = Record::Milestone { time_ns: 2 * SECOND_NS, what: Milestone::ClusterReady };
        let records = vec![ready, begun(2, 30), begun(1, 12), ended(1, 19), ended(2, 31)];
        let history = History { run: run_for_tests(), records, damage: vec![] };
        let times: Vec<_> =
            executed(&history).iter().map(|fixed| (fixed.at_ms, fixed.fault.length_ms)).collect();
        assert_eq!(times, [(10_000, 7_000), (28_000, 1_000)]);
    }

    #[test]
    fn a_fault_that_was_given_up_half_way_did_not_run() {
        let mut given_up = begun(1, 3);
        if let Record::FaultBegun(begun) = &mut given_up {
            begun.hosts.clear();
        }
        let history = History { run: run_for_tests(), records: vec![given_up], damage: vec![] };
        assert_eq!(executed(&history), []);
    }

    #[test]
    fn a_fault_whose_end_is_not_recorded_keeps_the_length_that_it_was_to_have() {
        let history = History { run: run_for_tests(), records: vec![begun(1, 3)], damage: vec![] };
        assert_eq!(executed(&history)[0].fault.length_ms, 10_000);
    }
}
