//! The servers: which of them answered writes, which count towards a healthy majority, and which
//! clients are cut off from one.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use locktest_history::{ClientId, Event, NodeId};

use crate::faults::{Fault, Faults};
use crate::observed::Observed;
use crate::time::Spans;

/// What the health probes and the faults say of each server.
#[derive(Debug)]
pub(crate) struct Servers {
    /// Per server the begin and end of each write that it answered, in order of the begins.
    answered: Vec<Vec<(u64, u64)>>,
    /// Per server when it does not count.
    uncounted: Vec<Spans>,
    /// Per client that a fault cut off from a majority of the servers: when.
    cut_off: BTreeMap<ClientId, Spans>,
    /// When the store as a whole begins (`true`) and ceases to answer writes, in time order.
    pub(crate) store_answers: Vec<(u64, bool)>,
}

impl Servers {
    /// A server counts once the cluster is ready. While a fault has it on a side without a majority
    /// it does not, and after such a fault it counts again from the first write that it answered.
    /// The side that keeps the majority counts throughout: the liveness clock starts again at the
    /// fault's begin, and its bound gives that side the time to recover.
    pub(crate) fn new(observed: &Observed, faults: &Faults) -> Servers {
        let count = observed.plan.nodes.len();
        let mut answered: Vec<Vec<(u64, u64)>> = vec![Vec::new(); count];
        let mut turns: Vec<(u64, usize, bool)> = Vec::with_capacity(observed.probes.len());
        for probe in &observed.probes {
            let index = usize::from(probe.node.0);
            let Some(answered) = answered.get_mut(index) else { continue };
            let end_ns = probe.end_ns.max(probe.begin_ns);
            if probe.error.is_none() {
                answered.push((probe.begin_ns, end_ns));
                turns.push((end_ns, index, true));
            } else {
                turns.push((probe.begin_ns, index, false));
            }
        }
        // Of servers that know nothing of each other it takes a majority to grant a lock; any other
        // has asked the rest before it answers.
        let independent = observed.plan.recipe.has_independent_servers();
        let needed = if independent { count / 2 + 1 } else { 1 };
        let mut servers = Servers {
            answered,
            uncounted: Vec::new(),
            cut_off: BTreeMap::new(),
            store_answers: store_answers(turns, count, needed),
        };
        let mut uncounted: Vec<Vec<(u64, u64)>> = (0..count)
            .map(|index| {
                let first_answer = servers.answered[index].first().map(|(_, end_ns)| *end_ns);
                let from_ns = [observed.ready_ns, first_answer].into_iter().flatten().min();
                vec![(0, from_ns.unwrap_or(u64::MAX))]
            })
            .collect();
        for fault in faults.iter() {
            let majority = fault.majority_side(count);
            for side in &fault.begun.sides {
                if majority == Some(side) {
                    continue;
                }
                for node in &side.servers {
                    let Some(uncounted) = uncounted.get_mut(usize::from(node.0)) else { continue };
                    let back =
                        fault.ended.and_then(|_| servers.answered_after(*node, fault.end_ns));
                    uncounted.push((fault.begun.begin_ns, back.unwrap_or(u64::MAX)));
                }
            }
        }
        servers.uncounted = uncounted.into_iter().map(Spans::union).collect();
        let clients: BTreeSet<ClientId> =
            observed.attempts.iter().map(|attempt| attempt.client()).collect();
        for client in clients {
            let cuts = faults.iter().filter(|fault| fault.cuts_off(client, observed.plan));
            let until_ns =
                |fault: &Fault| fault.ended.map_or(u64::MAX, |_| fault.recovery(&servers).1);
            let spans: Vec<(u64, u64)> =
                cuts.map(|fault| (fault.begun.begin_ns, until_ns(fault))).collect();
            if !spans.is_empty() {
                servers.cut_off.insert(client, Spans::union(spans));
            }
        }
        servers
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.uncounted.len()
    }

    /// When each server does not count.
    pub(crate) fn uncounted(&self) -> impl Iterator<Item = &Spans> {
        self.uncounted.iter()
    }

    /// When whoever sends this request has no healthy majority behind the server that it asks, or
    /// cannot reach a majority of those that it asks all at once.
    pub(crate) fn out_of_reach(&self, invoke: &Event) -> Cow<'_, Spans> {
        let server = invoke.server.and_then(|node| self.uncounted.get(usize::from(node.0)));
        match (server, self.cut_off.get(&invoke.client)) {
            (Some(server), Some(client)) => {
                Cow::Owned(Spans::union(server.iter().chain(client.iter()).collect()))
            }
            (Some(spans), None) | (None, Some(spans)) => Cow::Borrowed(spans),
            (None, None) => Cow::Owned(Spans::default()),
        }
    }

    /// When the server had answered a write that began at or after `time_ns`.
    pub(crate) fn answered_after(&self, node: NodeId, time_ns: u64) -> Option<u64> {
        let answered = self.answered.get(usize::from(node.0))?;
        let first = answered.partition_point(|(begin_ns, _)| *begin_ns < time_ns);
        answered.get(first).map(|(_, end_ns)| *end_ns)
    }
}

/// When the store answers through at least `needed` servers. A server answers from the end of a write that
/// it answered to the begin of one that it did not.
fn store_answers(
    mut turns: Vec<(u64, usize, bool)>,
    count: usize,
    needed: usize,
) -> Vec<(u64, bool)> {
    turns.sort_unstable();
    let mut answers = vec![false; count];
    let mut answering = 0;
    let mut store = Vec::new();
    for (time_ns, index, now) in turns {
        if answers[index] == now {
            continue;
        }
        answers[index] = now;
        let before = answering;
        answering = if now { answering + 1 } else { answering - 1 };
        if (before < needed) != (answering < needed) {
            store.push((time_ns, now));
        }
    }
    store
}
