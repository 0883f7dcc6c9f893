//! Faults: when they were in force, what they amounted to together, and the changes of leader beside
//! them.

use locktest_history::{ClientId, FaultBegun, FaultEnded, NodeId, Party, Plan};

use crate::observed::Observed;
use crate::servers::Servers;
use crate::time::Spans;
use crate::verdict::LeaderChange;

/// One fault that was applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault<'h> {
    pub(crate) begun: &'h FaultBegun,
    /// `None` if the history ends before.
    pub(crate) ended: Option<&'h FaultEnded>,
    /// When it ended, or the end of the history.
    pub(crate) end_ns: u64,
}

impl<'h> Fault<'h> {
    pub(crate) fn bit(&self) -> bool {
        self.ended.is_some_and(|ended| ended.bit)
    }

    /// What was done to whom.
    pub(crate) fn done(&self) -> &'h locktest_history::Fault {
        &self.begun.fault
    }

    /// Until when it may be in force: for ever, if it could not be shown to be gone.
    pub(crate) fn until_ns(&self) -> u64 {
        let is_gone = self.ended.is_some_and(|ended| ended.undone);
        if is_gone { self.end_ns } else { u64::MAX }
    }

    /// When it comes into force and when it is undone.
    pub(crate) fn turns(&self) -> impl Iterator<Item = (u64, u64)> {
        let undone = self.ended.map(|ended| (ended.heal_begin_ns, ended.end_ns));
        std::iter::once((self.begun.begin_ns, self.begun.in_force_ns)).chain(undone)
    }

    /// Whether some server has to recover from it. From what was done to the processes of clients
    /// alone, none has to.
    pub(crate) fn concerns_servers(&self) -> bool {
        let done = self.done();
        !done.servers.is_empty() || !done.cuts.is_empty() || !done.clocks.is_empty()
    }

    /// When every server had answered a write that began after the end.
    pub(crate) fn recovered_ns(&self, servers: &Servers) -> Option<u64> {
        let nodes = servers.nodes().filter(|_| self.concerns_servers());
        nodes
            .map(|node| servers.answered_after(node, self.end_ns))
            .try_fold(self.end_ns, |latest, answered| Some(latest.max(answered?)))
    }

    /// From its end until its servers had recovered, or for ever.
    pub(crate) fn recovery(&self, servers: &Servers) -> (u64, u64) {
        (self.end_ns, self.recovered_ns(servers).unwrap_or(u64::MAX))
    }
}

/// A time in which the same faults are in force, and what they amount to together.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    /// All that they do to servers and to links.
    pub(crate) together: locktest_history::Fault,
    paused: Vec<ClientId>,
}

impl Stretch {
    /// Whether some client is left that runs and reaches a majority of the servers.
    pub(crate) fn leaves_a_majority(&self, plan: &Plan) -> bool {
        let count = plan.nodes.len();
        let majority = if plan.recipe.has_independent_servers() {
            None
        } else {
            match self.together.connected_majority(count) {
                Some(majority) => Some(majority),
                None => return false,
            }
        };
        let paused: Vec<ClientId> = self.paused.iter().map(|client| place(*client, plan)).collect();
        let planned = (0u32..).take(plan.client_seeds.len()).map(ClientId);
        planned.filter(|client| !paused.contains(client)).any(|client| match &majority {
            Some(majority) => majority.iter().any(|node| self.together.reaches(client, *node)),
            None => {
                let nodes = (0u16..).take(count).map(NodeId);
                nodes.filter(|node| self.together.reaches(client, *node)).count() * 2 > count
            }
        })
    }
}

/// Where a client is: the one that it took the place of, if that one died, had the same address.
pub(crate) fn place(client: ClientId, plan: &Plan) -> ClientId {
    let clients = u32::try_from(plan.client_seeds.len()).unwrap_or(u32::MAX).max(1);
    ClientId(client.0 % clients)
}

/// A fault that is gone, and servers that did not answer again as far as is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unrecovered {
    /// Its id.
    pub(crate) fault: u32,
    /// From its end to the end of the history.
    pub(crate) silent_ns: u64,
    /// Whether a majority of the servers answered.
    pub(crate) has_majority: bool,
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

    /// The faults that were in force, in words.
    pub(crate) fn during(&self, observed: &Observed, time_ns: u64) -> Option<String> {
        let in_force =
            |fault: &&Fault| (fault.begun.begin_ns..=fault.until_ns()).contains(&time_ns);
        let words = self.0.iter().filter(in_force).map(|fault| {
            format!("fault {}: {}", fault.begun.id, observed.plan.fault_in_words(fault.done()))
        });
        words.reduce(|words, next| format!("{words}, and {next}"))
    }

    /// When faults were in force.
    pub(crate) fn in_force(&self) -> Spans {
        Spans::union(self.0.iter().map(|fault| (fault.begun.begin_ns, fault.until_ns())).collect())
    }

    /// When faults had ended and their servers had not recovered.
    pub(crate) fn recovering(&self, servers: &Servers) -> Spans {
        Spans::union(self.0.iter().map(|fault| fault.recovery(servers)).collect())
    }

    /// What was in force when, cut wherever a fault begins or ends. Faults that overlap have to be
    /// looked at together: each alone may leave a majority, and all of them none.
    pub(crate) fn stretches(&self) -> Vec<Stretch> {
        let begins_and_ends =
            self.0.iter().flat_map(|fault| [fault.begun.begin_ns, fault.until_ns()]);
        let mut times: Vec<u64> = begins_and_ends.collect();
        times.sort_unstable();
        times.dedup();
        let mut coming = self.0.iter().peekable();
        let mut in_force: Vec<&Fault> = Vec::new();
        let mut stretches = Vec::new();
        for (&from_ns, &to_ns) in times.iter().zip(times.iter().skip(1)) {
            while let Some(fault) = coming.next_if(|fault| fault.begun.begin_ns <= from_ns) {
                in_force.push(fault);
            }
            in_force.retain(|fault| fault.until_ns() > from_ns);
            let Some((first, others)) = in_force.split_first() else { continue };
            let mut together = first.done().clone();
            for other in others {
                together.servers.extend(&other.done().servers);
                together.cuts.extend_from_slice(&other.done().cuts);
            }
            let paused = in_force.iter().map(|fault| fault.done()).flat_map(|done| {
                done.clients.iter().copied().filter(|client| done.pauses(*client))
            });
            stretches.push(Stretch { from_ns, to_ns, paused: paused.collect(), together });
        }
        stretches
    }

    /// Those that bit and were aimed at servers or their links: a store that serves others while one
    /// client is paused, dead or cut off shows nothing that it does not show without a fault.
    pub(crate) fn that_servers_felt(&self) -> impl Iterator<Item = &Fault<'h>> {
        self.0.iter().filter(|fault| fault.bit() && !fault.done().kind.is_of_clients())
    }

    /// The fault after whose undo servers were silent for the longest time, until the end of the
    /// history, if that was longer than `bound_ns`.
    pub(crate) fn unrecovered(
        &self,
        servers: &Servers,
        end_ns: u64,
        bound_ns: u64,
    ) -> Option<Unrecovered> {
        let longest = (self.0.iter())
            .filter(|fault| fault.ended.is_some_and(|ended| ended.undone))
            .filter(|fault| fault.recovered_ns(servers).is_none())
            .filter(|fault| end_ns.saturating_sub(fault.end_ns) > bound_ns)
            .min_by_key(|fault| fault.end_ns)?;
        let answered = |node: &NodeId| servers.answered_after(*node, longest.end_ns).is_some();
        Some(Unrecovered {
            fault: longest.begun.id,
            silent_ns: end_ns.saturating_sub(longest.end_ns),
            has_majority: servers.nodes().filter(answered).count() * 2 > servers.count(),
        })
    }

    /// When faults that servers felt were in force and left a majority; `None` if none did.
    pub(crate) fn left_a_majority(&self, plan: &Plan) -> Option<Spans> {
        let bit = self
            .that_servers_felt()
            .filter_map(|fault| Some((fault.begun.in_force_ns, fault.ended?.heal_begin_ns)));
        let bit = Spans::union(bit.collect());
        let left = self.stretches().into_iter().filter(|stretch| stretch.leaves_a_majority(plan));
        let left = Spans::union(left.map(|stretch| (stretch.from_ns, stretch.to_ns)).collect());
        let both = Spans::shared([&bit, &left], 2);
        (!both.is_empty()).then_some(both)
    }
}

/// Whether the fault cuts a link between a client and a server.
pub(crate) fn separates(done: &locktest_history::Fault, place: ClientId, node: NodeId) -> bool {
    done.separates(Party::Client(place), Party::Server(node))
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
