//! What the timeline's lanes hold: clients, locks and servers over the whole run.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use locktest_analyzer::{Hold, Verdict};
use locktest_history::{
    ClientId, Event, ExitCause, Function, History, KeyId, Milestone, NodeId, Phase, Record,
};

use crate::drawing::overlaps;
use crate::text::visible;

/// More client lanes than this are drawn only for clients that a shown violation concerns.
const MAX_CLIENTS: usize = 24;

/// More lock lanes than this are drawn only for locks that a shown violation concerns.
const MAX_LOCKS: usize = 4;

/// More violations than this get no lanes for what they concern; an analyzer shows fewer.
const MAX_VIOLATIONS: usize = 120;

/// More server lanes than this are not drawn.
const MAX_SERVERS: usize = 15;

/// A name of a lane is cut to this length.
const MAX_NAME: usize = 9;

/// Everything that the timeline draws on lanes.
pub(crate) struct Lanes<'a> {
    /// In order of their numbers.
    pub clients: Vec<ClientLane<'a>>,
    /// Clients without a lane.
    pub clients_left_out: usize,
    /// In order of their numbers.
    pub locks: Vec<LockLane>,
    /// Locks without a lane.
    pub locks_left_out: usize,
    /// Empty if the history has neither probes nor leaders.
    pub servers: Vec<ServerLane>,
    /// In order of arrival.
    pub milestones: Vec<(u64, &'static str)>,
}

/// One client.
pub(crate) struct ClientLane<'a> {
    /// Such as `c1`.
    pub label: String,
    /// In order of their grants.
    pub holds: Vec<&'a Hold>,
    /// Those that a shown violation concerns; they are never merged.
    pub marked: Vec<&'a Hold>,
    /// From an acquire's invoke to its completion, in order.
    pub waits_ns: Vec<Range<u64>>,
    /// When it died, unless it ended as it was told to.
    pub death_ns: Option<u64>,
}

/// One lock.
pub(crate) struct LockLane {
    /// Its name.
    pub label: String,
    /// The leases that the service promised, in order of their grants.
    pub leases_ns: Vec<Range<u64>>,
    /// Who got them.
    pub owners: Vec<ClientId>,
    /// When at least one was valid.
    pub covered_ns: Vec<Range<u64>>,
    /// When at least two were.
    pub overlaps_ns: Vec<Range<u64>>,
}

/// One server.
pub(crate) struct ServerLane {
    /// Its name.
    pub label: String,
    /// When probes through it went unanswered.
    pub failed_ns: Vec<Range<u64>>,
    /// When it was known to lead.
    pub leads_ns: Vec<Range<u64>>,
}

impl<'a> Lanes<'a> {
    /// Gathers the lanes.
    pub(crate) fn new(verdict: &Verdict, history: &History, holds: &'a [Hold]) -> Lanes<'a> {
        let owners: HashSet<(&str, u64)> = verdict
            .violations
            .iter()
            .take(MAX_VIOLATIONS)
            .flat_map(|violation| &violation.operations)
            .map(|operation| (operation.client.as_str(), operation.attempt))
            .collect();
        // Nobody holds a register or waits for one.
        let (clients, clients_left_out, locks, locks_left_out) = if verdict.workload.takes_locks() {
            let (clients, clients_left_out) = client_lanes(verdict, history, holds, &owners);
            let (locks, locks_left_out) = lock_lanes(verdict, history, holds);
            (clients, clients_left_out, locks, locks_left_out)
        } else {
            (Vec::new(), 0, Vec::new(), 0)
        };
        Lanes {
            clients,
            clients_left_out,
            locks,
            locks_left_out,
            servers: server_lanes(verdict, history),
            milestones: milestones(history),
        }
    }

    /// The first grant or the first question.
    pub(crate) fn first_activity_ns(&self) -> Option<u64> {
        let first = |lane: &ClientLane| {
            let holds = lane.holds.iter().chain(&lane.marked).map(|hold| hold.ok_ns);
            lane.waits_ns.iter().map(|wait| wait.start).chain(holds).min()
        };
        self.clients.iter().filter_map(first).min()
    }
}

fn client_lanes<'a>(
    verdict: &Verdict,
    history: &History,
    holds: &'a [Hold],
    owners: &HashSet<(&str, u64)>,
) -> (Vec<ClientLane<'a>>, usize) {
    let all: BTreeSet<ClientId> = (0..history.run.plan.client_seeds.len())
        .filter_map(|n| u32::try_from(n).ok())
        .map(ClientId)
        .chain(holds.iter().map(|hold| hold.client))
        .collect();
    let concerned: HashSet<&str> = owners.iter().map(|(client, _)| *client).collect();
    let labels: BTreeMap<ClientId, String> =
        all.into_iter().map(|client| (client, client.to_string())).collect();
    let (first, rest): (Vec<_>, Vec<_>) =
        labels.iter().partition(|(_, label)| concerned.contains(label.as_str()));
    let room = MAX_CLIENTS.saturating_sub(first.len());
    let drawn: BTreeMap<ClientId, &String> = first
        .into_iter()
        .chain(rest.into_iter().take(room))
        .map(|(c, label)| (*c, label))
        .collect();

    let mut lanes: BTreeMap<ClientId, ClientLane> = drawn
        .iter()
        .map(|(client, label)| {
            let lane = ClientLane {
                label: (*label).clone(),
                holds: Vec::new(),
                marked: Vec::new(),
                waits_ns: Vec::new(),
                death_ns: None,
            };
            (*client, lane)
        })
        .collect();
    for hold in holds {
        let Some(lane) = lanes.get_mut(&hold.client) else { continue };
        if owners.contains(&(lane.label.as_str(), hold.attempt)) {
            lane.marked.push(hold);
        } else {
            lane.holds.push(hold);
        }
    }
    for (client, wait_ns) in waits(verdict, history) {
        if let Some(lane) = lanes.get_mut(&client) {
            lane.waits_ns.push(wait_ns);
        }
    }
    for record in &history.records {
        if let Record::ClientExit(exit) = record
            && exit.cause != ExitCause::Finished
            && let Some(lane) = lanes.get_mut(&exit.client)
        {
            lane.death_ns = Some(exit.time_ns);
        }
    }
    let mut lanes: Vec<ClientLane> = lanes.into_values().collect();
    for lane in &mut lanes {
        lane.holds.sort_by_key(|hold| hold.ok_ns);
        lane.waits_ns.sort_by_key(|wait| wait.start);
    }
    let left_out = labels.len() - lanes.len();
    (lanes, left_out)
}

/// Every acquire from its invoke to its completion, or to the end if it has none.
fn waits(verdict: &Verdict, history: &History) -> Vec<(ClientId, Range<u64>)> {
    let mut open: HashMap<(ClientId, u64), u64> = HashMap::new();
    let mut waits = Vec::new();
    for record in &history.records {
        match record {
            Record::Event(Event {
                client,
                op,
                time_ns,
                phase,
                function: Function::Acquire | Function::TryAcquire,
                ..
            }) => {
                if *phase == Phase::Invoke {
                    open.insert((*client, *op), *time_ns);
                } else if let Some(invoke_ns) = open.remove(&(*client, *op)) {
                    waits.push((*client, invoke_ns..*time_ns));
                }
            }
            Record::ClientExit(exit) => {
                let ended = open.extract_if(|(client, _), _| *client == exit.client);
                waits.extend(
                    ended.map(|((client, _), invoke_ns)| (client, invoke_ns..exit.time_ns)),
                );
            }
            _ => {}
        }
    }
    waits.extend(open.into_iter().map(|((client, _), from_ns)| (client, from_ns..verdict.end_ns)));
    waits
}

fn lock_lanes(verdict: &Verdict, history: &History, holds: &[Hold]) -> (Vec<LockLane>, usize) {
    let plan = &history.run.plan;
    let concerned = verdict.violations.iter().take(MAX_VIOLATIONS);
    let names: HashSet<&str> = concerned.map(|violation| violation.key.as_str()).collect();
    let concerns = |key: &KeyId| names.contains(plan.key_name(*key).as_str());
    // A lock that was never granted has no hold, and a violation may well be about just that.
    let planned = (0..plan.keys.len()).filter_map(|n| u32::try_from(n).ok()).map(KeyId);
    let all: BTreeSet<KeyId> =
        planned.filter(concerns).chain(holds.iter().map(|hold| hold.key)).collect();
    let (first, rest): (Vec<KeyId>, Vec<KeyId>) = all.iter().partition(|key| concerns(key));
    let room = MAX_LOCKS.saturating_sub(first.len());
    let drawn: BTreeSet<KeyId> = first.into_iter().chain(rest.into_iter().take(room)).collect();
    let lanes: Vec<LockLane> = drawn
        .into_iter()
        .map(|key| {
            let mut leases: Vec<(Range<u64>, ClientId)> = holds
                .iter()
                .filter(|hold| hold.key == key && hold.ok_ns < hold.contract_end_ns)
                .map(|hold| (hold.ok_ns..hold.contract_end_ns, hold.client))
                .collect();
            leases.sort_by_key(|(lease_ns, _)| (lease_ns.start, lease_ns.end));
            let (leases_ns, owners): (Vec<Range<u64>>, Vec<ClientId>) = leases.into_iter().unzip();
            LockLane {
                label: visible(&plan.key_name(key), MAX_NAME),
                covered_ns: union(&leases_ns),
                overlaps_ns: overlaps(leases_ns.clone()),
                leases_ns,
                owners,
            }
        })
        .collect();
    let left_out = all.len() - lanes.len();
    (lanes, left_out)
}

/// Merges ranges that are in order of their begin.
fn union(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut union: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match union.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => union.push(range.clone()),
        }
    }
    union
}

fn server_lanes(verdict: &Verdict, history: &History) -> Vec<ServerLane> {
    let mut observed = false;
    let mut failed_ns: BTreeMap<NodeId, Vec<Range<u64>>> = BTreeMap::new();
    let mut failing: HashSet<NodeId> = HashSet::new();
    let mut first_leader: Option<(u64, String)> = None;
    for record in &history.records {
        match record {
            Record::Probe(probe) => {
                observed = true;
                if probe.error.is_none() {
                    failing.remove(&probe.node);
                    continue;
                }
                let spans = failed_ns.entry(probe.node).or_default();
                match spans.last_mut() {
                    Some(last) if failing.contains(&probe.node) => {
                        last.end = last.end.max(probe.end_ns);
                    }
                    _ => spans.push(probe.begin_ns..probe.end_ns),
                }
                failing.insert(probe.node);
            }
            Record::Leader(view) => {
                observed = true;
                if let (None, Some(leader)) = (&first_leader, view.leader) {
                    first_leader = Some((view.time_ns, history.run.plan.node_name(leader)));
                }
            }
            _ => {}
        }
    }
    if !observed {
        return Vec::new();
    }
    let changes =
        verdict.leader_changes.iter().map(|change| (change.time_ns, change.leader.clone()));
    let mut terms: Vec<(u64, String)> = first_leader.into_iter().chain(changes).collect();
    terms.sort_by_key(|(from_ns, _)| *from_ns);
    let mut lanes: Vec<ServerLane> = verdict
        .nodes
        .iter()
        .take(MAX_SERVERS)
        .enumerate()
        .map(|(n, name)| {
            let node = u16::try_from(n).ok().map(NodeId);
            ServerLane {
                label: visible(name, MAX_NAME),
                failed_ns: node.and_then(|node| failed_ns.remove(&node)).unwrap_or_default(),
                leads_ns: Vec::new(),
            }
        })
        .collect();
    for (n, (from_ns, leader)) in terms.iter().enumerate() {
        let to_ns = terms.get(n + 1).map_or(verdict.end_ns, |(next_ns, _)| *next_ns);
        let lane = verdict.nodes.iter().position(|name| name == leader);
        if let Some(lane) = lane.and_then(|n| lanes.get_mut(n)) {
            lane.leads_ns.push(*from_ns..to_ns);
        }
    }
    lanes
}

fn milestones(history: &History) -> Vec<(u64, &'static str)> {
    history
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Milestone { time_ns, what } => {
                let label = match what {
                    Milestone::ClusterReady => "ready",
                    Milestone::TimeUp => "time up",
                    Milestone::Interrupted => "cut short",
                    Milestone::ViolationFound => "violation found",
                    Milestone::End => return None,
                };
                Some((*time_ns, label))
            }
            _ => None,
        })
        .take(8)
        .collect()
}
