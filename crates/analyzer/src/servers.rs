//! The servers: which of them answered writes, and which count towards a healthy majority.

use locktest_history::{NodeId, Plan};

use crate::faults::{Faults, Stretch};
use crate::observed::Observed;
use crate::time::Spans;

/// What the health probes and the faults say of each server.
#[derive(Debug)]
pub(crate) struct Servers {
    /// Per server the begin and end of each write that it answered, in order of the begins.
    answered: Vec<Vec<(u64, u64)>>,
    /// Per server when it does not count.
    uncounted: Vec<Spans>,
    /// When so few count that no majority is healthy. Never, where servers know nothing of each
    /// other: there each speaks for itself.
    without_majority: Spans,
    /// When the store as a whole begins (`true`) and ceases to answer writes, in time order.
    pub(crate) store_answers: Vec<(u64, bool)>,
}

impl Servers {
    /// A server counts once the cluster is ready. While faults have it down, or leave it outside the
    /// majority that is up and connected, it does not, and after that it counts again from the first
    /// write that it answered. The majority counts throughout: the liveness clock starts again at
    /// each fault's begin, and its bound gives the majority the time to recover.
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
            without_majority: Spans::default(),
            store_answers: store_answers(turns, count, needed),
        };
        let mut uncounted: Vec<Vec<(u64, u64)>> = (0..count)
            .map(|index| {
                let first_answer = servers.answered[index].first().map(|(_, end_ns)| *end_ns);
                let from_ns = [observed.ready_ns, first_answer].into_iter().flatten().min();
                vec![(0, from_ns.unwrap_or(u64::MAX))]
            })
            .collect();
        for stretch in faults.stretches() {
            let counting = counting(&stretch, observed.plan);
            for (node, uncounted) in servers.nodes().zip(&mut uncounted) {
                if !counting.contains(&node) {
                    let back = servers.answered_after(node, stretch.to_ns);
                    uncounted.push((stretch.from_ns, back.unwrap_or(u64::MAX)));
                }
            }
        }
        servers.uncounted = uncounted.into_iter().map(Spans::union).collect();
        if !independent {
            servers.without_majority = Spans::shared(&servers.uncounted, count - count / 2);
        }
        servers
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.answered.len()
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.count()).filter_map(|index| u16::try_from(index).ok().map(NodeId))
    }

    /// When each server does not count.
    pub(crate) fn uncounted(&self) -> impl Iterator<Item = &Spans> {
        self.uncounted.iter()
    }

    /// When one server does not count, or not enough others do for it to be of use.
    pub(crate) fn useless(&self, node: NodeId) -> impl Iterator<Item = (u64, u64)> + '_ {
        let uncounted = self.uncounted.get(usize::from(node.0));
        uncounted.into_iter().chain([&self.without_majority]).flat_map(|spans| spans.iter())
    }

    /// When the server had answered a write that began at or after `time_ns`.
    pub(crate) fn answered_after(&self, node: NodeId, time_ns: u64) -> Option<u64> {
        let answered = self.answered.get(usize::from(node.0))?;
        let first = answered.partition_point(|(begin_ns, _)| *begin_ns < time_ns);
        answered.get(first).map(|(_, end_ns)| *end_ns)
    }
}

/// Which servers count while faults are in force.
///
/// Servers that need each other count if they are in the one majority that is up and connected. A
/// ring and a bridge have none: every server reaches a majority, but a leader cannot be followed by
/// all that are connected to its followers, and no such store promises anything then. Servers that
/// know nothing of each other count if they are up.
fn counting(stretch: &Stretch, plan: &Plan) -> Vec<NodeId> {
    let count = plan.nodes.len();
    if plan.recipe.has_independent_servers() {
        let nodes = (0..count).filter_map(|index| u16::try_from(index).ok().map(NodeId));
        return nodes.filter(|node| !stretch.together.takes_down(*node)).collect();
    }
    stretch.together.connected_majority(count).unwrap_or_default()
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
