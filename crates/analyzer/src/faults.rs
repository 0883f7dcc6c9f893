//! Faults: when they were in force, what came of them, and the changes of leader beside them.

use locktest_history::{ClientId, FaultBegun, FaultEnded, NodeId, Plan, Side};

use crate::observed::Observed;
use crate::servers::Servers;
use crate::time::{Spans, ns_to_ms};
use crate::verdict::{FaultSummary, LeaderChange, SkippedFault};

/// One fault that was applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault<'h> {
    pub(crate) begun: &'h FaultBegun,
    /// `None` if the history ends before.
    pub(crate) ended: Option<&'h FaultEnded>,
    /// When it ended, or the end of the history.
    pub(crate) end_ns: u64,
}

impl Fault<'_> {
    pub(crate) fn bit(&self) -> bool {
        self.ended.is_some_and(|ended| ended.bit)
    }

    /// The side that has more than half of all `servers`.
    pub(crate) fn majority_side(&self, servers: usize) -> Option<&Side> {
        self.begun.sides.iter().find(|side| side.servers.len() * 2 > servers)
    }

    /// Whether it comes between clients and servers.
    fn splits_clients(&self) -> bool {
        self.begun.sides.iter().any(|side| !side.clients.is_empty())
    }

    /// Whether a client cannot reach a majority of all servers. One that took the place of a dead one
    /// is where that one was; of one on no side nobody knows what it reaches.
    pub(crate) fn cuts_off(&self, client: ClientId, plan: &Plan) -> bool {
        let clients = u32::try_from(plan.client_seeds.len()).unwrap_or(u32::MAX).max(1);
        let place = ClientId(client.0 % clients);
        let majority = self.majority_side(plan.nodes.len());
        self.splits_clients() && !majority.is_some_and(|side| side.clients.contains(&place))
    }

    /// Whether it leaves some client a majority of all `servers`.
    pub(crate) fn leaves_a_majority(&self, servers: usize) -> bool {
        let majority = self.majority_side(servers);
        majority.is_some_and(|side| !self.splits_clients() || !side.clients.is_empty())
    }

    /// When it comes into force and when it is undone.
    pub(crate) fn turns(&self) -> impl Iterator<Item = (u64, u64)> {
        let undone = self.ended.map(|ended| (ended.heal_begin_ns, ended.end_ns));
        std::iter::once((self.begun.begin_ns, self.begun.in_force_ns)).chain(undone)
    }

    /// From its end until its servers had recovered, or for ever.
    pub(crate) fn recovery(&self, servers: &Servers) -> (u64, u64) {
        (self.end_ns, recovered_ns(self, servers).unwrap_or(u64::MAX))
    }

    /// Such as `n1 n2 | n3 n4 n5`, or `n1 c1 c3 | n2 n3 c2`.
    fn description(&self, observed: &Observed) -> String {
        let sides = self.begun.sides.iter().map(|side| names(side, observed).join(" "));
        sides.collect::<Vec<_>>().join(" | ")
    }
}

/// The servers of a side, then its clients.
fn names(side: &Side, observed: &Observed) -> Vec<String> {
    let servers = side.servers.iter().map(|node| observed.plan.node_name(*node));
    servers.chain(side.clients.iter().map(ClientId::to_string)).collect()
}

/// Every fault that was applied, in order of their begins.
#[derive(Debug)]
pub(crate) struct Faults<'h>(Vec<Fault<'h>>);

impl<'h> Faults<'h> {
    pub(crate) fn new(observed: &Observed<'h>) -> Faults<'h> {
        let faults = observed.faults_begun.iter().map(|&begun| {
            let ended = observed.faults_ended.get(&begun.id).copied();
            let end_ns = ended.map_or(observed.end_ns, |ended| ended.end_ns).max(begun.begin_ns);
            Fault { begun, ended, end_ns }
        });
        Faults(faults.collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Fault<'h>> {
        self.0.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bit(&self) -> u64 {
        self.0.iter().filter(|fault| fault.bit()).count() as u64
    }

    /// The fault that was in force, in words.
    pub(crate) fn during(&self, observed: &Observed, time_ns: u64) -> Option<String> {
        let in_force = |fault: &&Fault| (fault.begun.begin_ns..=fault.end_ns).contains(&time_ns);
        let fault = self.0.iter().rev().find(in_force)?;
        let partition = observed.plan.partition_in_words(&fault.begun.sides);
        Some(format!("fault {}: {partition}", fault.begun.id))
    }

    /// When faults were in force.
    pub(crate) fn in_force(&self) -> Spans {
        Spans::union(self.0.iter().map(|fault| (fault.begun.begin_ns, fault.end_ns)).collect())
    }

    /// When faults had ended and their servers had not recovered.
    pub(crate) fn recovering(&self, servers: &Servers) -> Spans {
        Spans::union(self.0.iter().map(|fault| fault.recovery(servers)).collect())
    }

    pub(crate) fn summaries(
        &self,
        observed: &Observed,
        servers: &Servers,
        served_ns: &[u64],
    ) -> Vec<FaultSummary> {
        let served_after = |time_ns: u64| {
            served_ns.get(served_ns.partition_point(|served_ns| *served_ns < time_ns))
        };
        let summary = |fault: &Fault<'h>| {
            let begun = fault.begun;
            let unknown = || {
                let rest = if observed.cut_short {
                    "the run was cut short"
                } else {
                    "its end was not recorded"
                };
                vec![format!("the history ends while the fault is in force: {rest}")]
            };
            let ended = fault.ended;
            FaultSummary {
                id: begun.id,
                kind: begun.kind,
                shape: begun.shape,
                targets: begun.sides.first().map_or(vec![], |side| names(side, observed)),
                description: fault.description(observed),
                begin_ns: begun.begin_ns,
                in_force_ns: begun.in_force_ns,
                end_ns: fault.end_ns,
                bit: fault.bit(),
                proof: ended.map_or_else(unknown, |ended| ended.proof.clone()),
                undone: ended.is_some_and(|ended| ended.undone),
                undo_proof: ended.map_or_else(unknown, |ended| ended.undo_proof.clone()),
                servers_recovered_ms: ended
                    .and_then(|_| recovered_ns(fault, servers))
                    .map(|time_ns| ns_to_ms(time_ns - fault.end_ns)),
                next_grant_ms: ended
                    .and_then(|_| served_after(fault.end_ns))
                    .map(|served_ns| ns_to_ms(served_ns - fault.end_ns)),
            }
        };
        self.0.iter().map(summary).collect()
    }
}

/// When every server of the sides had answered a write that began after the end.
fn recovered_ns(fault: &Fault, servers: &Servers) -> Option<u64> {
    let nodes = fault.begun.sides.iter().flat_map(|side| &side.servers);
    nodes
        .map(|node| servers.answered_after(*node, fault.end_ns))
        .try_fold(fault.end_ns, |latest, answered| Some(latest.max(answered?)))
}

pub(crate) fn skipped(observed: &Observed) -> Vec<SkippedFault> {
    let skipped = observed.faults_skipped.iter().map(|fault| SkippedFault {
        kind: fault.kind,
        shape: fault.shape,
        time_ns: fault.time_ns,
        reason: fault.reason.clone(),
    });
    skipped.collect()
}

/// The changes of leader: each time a server names another leader than the last that any named.
pub(crate) fn leader_changes(observed: &Observed) -> Vec<LeaderChange> {
    let mut known: Option<NodeId> = None;
    let mut changes = Vec::new();
    for view in &observed.leader_views {
        let Some(leader) = view.leader else { continue };
        if known.is_some_and(|known| known != leader) {
            changes.push(LeaderChange {
                time_ns: view.time_ns,
                leader: observed.plan.node_name(leader),
                told_by: observed.plan.node_name(view.node),
            });
        }
        known = Some(leader);
    }
    changes
}
