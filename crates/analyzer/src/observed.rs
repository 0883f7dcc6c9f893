//! The history, put in order: what every rule reads.

use std::collections::{BTreeMap, HashMap};

use locktest_history::{
    ClientExit, ClientId, Election, Event, ExitCause, FaultBegun, FaultEnded, FaultKind,
    FaultSkipped, Function, History, LeaderView, Milestone, NodeId, Outcome, Phase, Plan, Probe,
    Record, Round, RoundPurpose, Usage, Workload,
};

use crate::operation::{Attempt, ClientEnd, Malformed, Operation, Operations};
use crate::time::seconds;
use crate::verdict::{Involved, RoundShown, VoteShown};

/// How far the clients of a run that goes on are known, beyond their recorded events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Every event of the client before this instant has been recorded.
    pub clients: BTreeMap<ClientId, u64>,
    /// Records from this instant on are left out, so that none is looked at before one that came
    /// earlier. Without it every record counts: the time of a violation of safety is exact, but a
    /// lost update may lack the record that explains it.
    pub cut_ns: Option<u64>,
}

/// The signal that cannot be caught.
const SIGKILL: i32 = 9;

/// So many rounds of an attempt are shown, the last of those that concern its hold.
const ROUNDS_SHOWN: usize = 4;

/// Everything that a history holds, by kind and in time order.
#[derive(Debug)]
pub(crate) struct Observed<'h> {
    pub(crate) plan: &'h Plan,
    /// In order of their acquires' invokes.
    pub(crate) attempts: Vec<Attempt<'h>>,
    /// See [`Operations::accesses`].
    pub(crate) accesses: Vec<Operation<'h>>,
    /// Operations of registers, in order of their invokes.
    pub(crate) registers: Vec<Operation<'h>>,
    /// In order of their begins.
    pub(crate) probes: Vec<&'h Probe>,
    pub(crate) leader_views: Vec<&'h LeaderView>,
    /// By the servers' own clocks and in their words: they explain, and no rule rests on them.
    pub(crate) elections: Vec<&'h Election>,
    /// In order of their times, node by node.
    pub(crate) usages: Vec<&'h Usage>,
    pub(crate) faults_begun: Vec<&'h FaultBegun>,
    pub(crate) faults_ended: HashMap<u32, &'h FaultEnded>,
    pub(crate) faults_skipped: Vec<&'h FaultSkipped>,
    /// When every server had answered a real write.
    pub(crate) ready_ns: Option<u64>,
    /// When the clients were told to stop.
    pub(crate) time_up_ns: Option<u64>,
    /// When a violation had been found and the run was to end at the first.
    pub(crate) stopped_ns: Option<u64>,
    /// The first client that died before its time, unless its workload or a fault killed it. Then
    /// something outside the run did, such as somebody who removed its lab; what else it did to the
    /// cluster is unknown.
    disturbed: Option<&'h ClientExit>,
    /// Whether the run or its history ends before its end.
    pub(crate) cut_short: bool,
    /// The last instant that the history knows of.
    pub(crate) end_ns: u64,
    /// Before this instant the history lacks no event of any client.
    pub(crate) whole_until_ns: u64,
    pub(crate) malformed: Malformed,
}

impl<'h> Observed<'h> {
    pub(crate) fn new(history: &'h History) -> Observed<'h> {
        Observed::so_far(history, &Heard::default())
    }

    /// What the history of a run that goes on holds, and what is known beyond it: nothing else
    /// happened as far as each client was heard.
    pub(crate) fn so_far(history: &'h History, heard: &Heard) -> Observed<'h> {
        let mut observed = Observed {
            plan: &history.run.plan,
            attempts: Vec::new(),
            accesses: Vec::new(),
            registers: Vec::new(),
            probes: Vec::new(),
            leader_views: Vec::new(),
            elections: Vec::new(),
            usages: Vec::new(),
            faults_begun: Vec::new(),
            faults_ended: HashMap::new(),
            faults_skipped: Vec::new(),
            ready_ns: None,
            time_up_ns: None,
            stopped_ns: None,
            disturbed: None,
            cut_short: false,
            end_ns: 0,
            whole_until_ns: 0,
            malformed: Malformed::default(),
        };
        let mut events: Vec<&Event> = Vec::with_capacity(history.records.len());
        let unknown = ClientEnd { time_ns: 0, exited: false };
        let planned = (0u32..).take(observed.plan.client_seeds.len());
        let mut clients: HashMap<ClientId, ClientEnd> =
            planned.map(|client| (ClientId(client), unknown)).collect();
        let mut deaths: Vec<&ClientExit> = Vec::new();
        let (mut ended, mut interrupted_ns) = (false, None);
        let cut_ns = heard.cut_ns.unwrap_or(u64::MAX);
        for record in &history.records {
            if heard.cut_ns.is_some_and(|cut_ns| end_of(record) >= cut_ns) {
                continue;
            }
            observed.end_ns = observed.end_ns.max(end_of(record));
            match record {
                Record::Milestone { time_ns, what } => match what {
                    Milestone::ClusterReady => {
                        observed.ready_ns = observed.ready_ns.or(Some(*time_ns));
                    }
                    Milestone::TimeUp => {
                        observed.time_up_ns = observed.time_up_ns.or(Some(*time_ns));
                    }
                    Milestone::Interrupted => {
                        interrupted_ns = interrupted_ns.or(Some(*time_ns));
                    }
                    Milestone::End => ended = true,
                    Milestone::ViolationFound => {
                        observed.stopped_ns = observed.stopped_ns.or(Some(*time_ns));
                    }
                },
                Record::Event(event) => {
                    events.push(event);
                    if is_stamped_by_the_resource(event, observed.plan.workload) {
                        continue;
                    }
                    let end = clients.entry(event.client).or_insert(unknown);
                    if !end.exited {
                        end.time_ns = end.time_ns.max(event.time_ns);
                    }
                }
                Record::ClientExit(exit) => {
                    if !is_orderly(exit, observed.plan.workload) {
                        deaths.push(exit);
                    }
                    let end = ClientEnd { time_ns: exit.time_ns, exited: true };
                    if clients.insert(exit.client, end).is_some_and(|before| before.exited) {
                        observed.malformed.add(|| format!("{} exits twice", exit.client));
                    }
                }
                Record::Probe(probe) => observed.probes.push(probe),
                Record::Leader(view) => observed.leader_views.push(view),
                Record::FaultBegun(fault) => observed.faults_begun.push(fault),
                Record::FaultEnded(fault) => {
                    if observed.faults_ended.insert(fault.id, fault).is_some() {
                        observed.malformed.add(|| format!("fault {} ends twice", fault.id));
                    }
                }
                Record::FaultSkipped(fault) => observed.faults_skipped.push(fault),
                Record::Election(election) => observed.elections.push(election),
                Record::Usage(usage) => observed.usages.push(usage),
            }
        }
        for (client, heard_ns) in &heard.clients {
            let end = clients.entry(*client).or_insert(unknown);
            if !end.exited {
                end.time_ns = end.time_ns.max((*heard_ns).min(cut_ns));
            }
        }
        let stops = [observed.time_up_ns, interrupted_ns].into_iter().flatten();
        let stop_ns = stops.min().unwrap_or(u64::MAX);
        deaths.retain(|exit| exit.time_ns < stop_ns && !observed.is_killed_by_a_fault(exit));
        observed.disturbed = deaths.into_iter().min_by_key(|exit| (exit.time_ns, exit.client));
        observed.cut_short = interrupted_ns.is_some() || !ended || !history.damage.is_empty();
        observed.probes.sort_by_key(|probe| (probe.begin_ns, probe.node));
        observed.leader_views.sort_by_key(|view| view.time_ns);
        observed.elections.sort_by_key(|election| (election.time_ns, election.node));
        observed.usages.sort_by_key(|usage| (usage.node, usage.time_ns));
        observed.faults_begun.sort_by_key(|fault| (fault.begin_ns, fault.id));
        let known_until = clients.values().filter(|end| !end.exited).map(|end| end.time_ns);
        observed.whole_until_ns = known_until.chain([cut_ns]).min().unwrap_or(cut_ns);
        let client_end = |client| clients.get(&client).copied().unwrap_or(unknown);
        let operations = Operations::pair(events, client_end, &mut observed.malformed);
        observed.attempts = operations.attempts;
        observed.accesses = operations.accesses;
        observed.registers = operations.registers;
        observed
    }

    fn is_killed_by_a_fault(&self, exit: &ClientExit) -> bool {
        let kills = |begun: &&'h FaultBegun| {
            begun.fault.kind == FaultKind::ClientKill
                && begun.fault.clients.contains(&exit.client)
                && begun.begin_ns <= exit.time_ns
        };
        exit.cause == ExitCause::Killed(SIGKILL) && self.faults_begun.iter().any(kills)
    }

    /// When something outside the run first disturbed it, as far as is known. A grant or an answer that
    /// is missing from then on is no evidence.
    pub(crate) fn undisturbed_until_ns(&self) -> u64 {
        self.disturbed.map_or(u64::MAX, |exit| exit.time_ns)
    }

    /// What shows that something outside the run disturbed it.
    pub(crate) fn disturbance(&self) -> Option<String> {
        let exit = self.disturbed?;
        let end = match exit.cause {
            ExitCause::Killed(signal) => format!("was killed by signal {signal}"),
            ExitCause::Failed(code) => format!("ended with exit code {code}"),
            ExitCause::Finished => return None,
        };
        let when = seconds(exit.time_ns);
        Some(format!("client {} {end} at {when}, which no fault explains", exit.client))
    }

    /// How many acquires of unknown outcome say nothing of the service: the end of the run cut them
    /// off, or their clients chose to give up.
    pub(crate) fn unfinished_acquires(&self) -> u64 {
        let time_up_ns = self.time_up_ns.unwrap_or(u64::MAX);
        let unfinished = |attempt: &&Attempt| {
            let acquire = &attempt.acquire;
            acquire.outcome() == Outcome::Info
                && (attempt.asked_until_ns() >= time_up_ns || acquire.is_cancelled())
        };
        self.attempts.iter().filter(unfinished).count() as u64
    }

    pub(crate) fn server_name(&self, server: Option<NodeId>) -> String {
        server.map_or_else(|| "the service".to_owned(), |node| self.plan.node_name(node))
    }

    /// An operation as the verdict shows it.
    pub(crate) fn involved(&self, operation: &Operation) -> Involved {
        let event = operation.invoke;
        let server = operation.completion.and_then(|event| event.server).or(event.server);
        Involved {
            client: event.client.to_string(),
            attempt: event.attempt,
            function: event.function,
            server: server.map(|node| self.plan.node_name(node)),
            invoke_ns: event.time_ns,
            complete_ns: operation.complete_ns(),
            outcome: operation.outcome(),
            token: None,
            contract_end_ns: None,
            belief_end_ns: None,
            rounds: Vec::new(),
        }
    }

    /// What independent servers said to an attempt, as far as it bears on its hold: the round that
    /// won it, and those after.
    pub(crate) fn rounds(&self, attempt: &Attempt) -> Vec<RoundShown> {
        let rounds = &attempt.rounds;
        let won = rounds.iter().rposition(|round| round.purpose == RoundPurpose::Acquire);
        let Some(won) = won else { return Vec::new() };
        let later = &rounds[won + 1..];
        let later = &later[later.len().saturating_sub(ROUNDS_SHOWN - 1)..];
        rounds[won..=won].iter().chain(later).map(|round| self.round(round)).collect()
    }

    fn round(&self, round: &Round) -> RoundShown {
        let votes = round.votes.iter().map(|vote| VoteShown {
            server: self.plan.node_name(vote.server),
            answer: vote.answer.clone(),
            elapsed_ns: vote.elapsed_ns,
        });
        RoundShown {
            purpose: round.purpose,
            begin_ns: round.begin_ns,
            elapsed_ns: round.elapsed_ns,
            validity_left_ns: round.validity_left_ns,
            votes: votes.collect(),
        }
    }
}

/// Whether the owner of the protected resource stamped it, ahead of what the client does.
pub(crate) fn is_stamped_by_the_resource(event: &Event, workload: Workload) -> bool {
    matches!(event.function, Function::Read | Function::Write)
        && event.phase != Phase::Invoke
        && !workload.keeps_values_in_store()
}

/// Whether a client ended as it was meant to: when it was told, or by the workload that kills.
fn is_orderly(exit: &ClientExit, workload: Workload) -> bool {
    match exit.cause {
        ExitCause::Finished => true,
        ExitCause::Killed(SIGKILL) => workload == Workload::Crash,
        ExitCause::Killed(_) | ExitCause::Failed(_) => false,
    }
}

fn end_of(record: &Record) -> u64 {
    match record {
        Record::Milestone { time_ns, .. } => *time_ns,
        Record::Event(event) => event.time_ns,
        Record::ClientExit(exit) => exit.time_ns,
        Record::Probe(probe) => probe.end_ns,
        Record::Leader(view) => view.time_ns,
        Record::FaultBegun(fault) => fault.in_force_ns,
        Record::FaultEnded(fault) => fault.end_ns,
        Record::FaultSkipped(fault) => fault.time_ns,
        // Of another clock, and read when the run was over.
        Record::Election(_) => 0,
        Record::Usage(usage) => usage.time_ns,
    }
}
