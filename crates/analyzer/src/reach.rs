//! Who reaches whom: when a request could not get through to a healthy majority, and when a client
//! could send nothing at all.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use locktest_history::{ClientId, Event, NodeId, Party, Recipe};

use crate::faults::{Fault, Faults, place, separates};
use crate::observed::Observed;
use crate::operation::Operation;
use crate::servers::Servers;
use crate::time::{Spans, ms_to_ns};

/// What the faults kept clients from.
#[derive(Debug)]
pub(crate) struct Reach {
    /// By client and by the server that it asked, if it was one.
    out: HashMap<(ClientId, Option<NodeId>), Spans>,
    silent: HashMap<ClientId, Spans>,
    nothing: Spans,
}

impl Reach {
    pub(crate) fn new(observed: &Observed, faults: &Faults, servers: &Servers) -> Reach {
        let obstacles = Obstacles { observed, faults, servers };
        let mut out = HashMap::new();
        for attempt in &observed.attempts {
            let (client, server) = (attempt.client(), attempt.acquire.invoke.server);
            out.entry((client, server)).or_insert_with(|| match server {
                Some(server) => obstacles.to_one(client, server),
                None => obstacles.to_many(client),
            });
        }
        Reach { out, silent: silent(observed, faults, servers), nothing: Spans::default() }
    }

    /// When whoever sends this acquire does not reach the server that it asks, or has no healthy
    /// majority behind it, or does not reach a majority of those that it asks all at once; or does
    /// not run.
    pub(crate) fn out_of_reach(&self, acquire: &Event) -> &Spans {
        self.out.get(&(acquire.client, acquire.server)).unwrap_or(&self.nothing)
    }

    /// When nothing that a client sends arrives anywhere, and the last request that it can have sent
    /// before is over, too. Whatever it was granted, it cannot renew.
    pub(crate) fn silent(&self, client: ClientId) -> &Spans {
        self.silent.get(&client).unwrap_or(&self.nothing)
    }
}

/// What comes between clients and servers.
struct Obstacles<'a, 'h> {
    observed: &'a Observed<'h>,
    faults: &'a Faults<'h>,
    servers: &'a Servers,
}

impl Obstacles<'_, '_> {
    fn to_one(&self, client: ClientId, server: NodeId) -> Spans {
        // Sentinels name a server, and no other passes on what it is asked: whoever does not reach
        // all of them may not reach the one that is the primary now.
        let any_may_be_asked = self.observed.plan.recipe == Recipe::Sentinel;
        let others = self.servers.nodes().filter(|_| any_may_be_asked);
        let links = others.chain([server]).flat_map(|node| self.cut_links(client, node));
        let obstacles = self.servers.useless(server).chain(links).chain(self.pauses(client));
        Spans::union(obstacles.collect())
    }

    fn to_many(&self, client: ClientId) -> Spans {
        let count = self.servers.count();
        let unreached: Vec<Spans> = (self.servers.nodes())
            .map(|node| {
                let links = self.cut_links(client, node);
                Spans::union(self.servers.useless(node).chain(links).collect())
            })
            .collect();
        let needs_all = self.observed.plan.recipe == Recipe::Sentinel;
        let too_many = if needs_all { 1 } else { count - count / 2 };
        let too_few_left = Spans::shared(&unreached, too_many);
        Spans::union(too_few_left.iter().chain(self.pauses(client)).collect())
    }

    /// When the link between a client and a server does not work, until that server has recovered.
    fn cut_links(&self, client: ClientId, node: NodeId) -> impl Iterator<Item = (u64, u64)> {
        let place = place(client, self.observed.plan);
        let cuts = self.faults.iter().filter(move |fault| separates(fault.done(), place, node));
        cuts.map(move |fault| {
            let recovered_ns = self.servers.answered_after(node, fault.end_ns).unwrap_or(u64::MAX);
            (fault.begun.begin_ns, fault.until_ns().max(recovered_ns))
        })
    }

    fn pauses(&self, client: ClientId) -> impl Iterator<Item = (u64, u64)> {
        let pauses = self.faults.iter().filter(move |fault| fault.done().pauses(client));
        pauses.map(|fault| (fault.begun.begin_ns, fault.until_ns()))
    }
}

/// A time in which a client can send nothing.
struct Silence {
    from_ns: u64,
    to_ns: u64,
    is_pause: bool,
}

impl Silence {
    /// Whether the client did something that it cannot have done in such a time.
    fn is_broken_by(&self, operation: &Operation) -> bool {
        let within = |time_ns: u64| self.from_ns < time_ns && time_ns < self.to_ns;
        let (begun, complete_ns) = (within(operation.invoke_ns()), operation.complete_ns());
        let answered = operation.ok_ns().or(operation.refused_ns()).is_some();
        match self.is_pause {
            true => begun || complete_ns.is_some_and(within),
            false => begun && answered && complete_ns.is_some_and(within),
        }
    }
}

/// When each client was silent.
///
/// Only faults that are over count: until then nobody knows when their undo began. What the history
/// itself contradicts does not: a client that did something was not paused, and one that got an
/// answer was not cut off.
fn silent(observed: &Observed, faults: &Faults, servers: &Servers) -> HashMap<ClientId, Spans> {
    let mut silences: HashMap<ClientId, Vec<Silence>> = HashMap::new();
    let timeout_ns = ms_to_ns(observed.plan.op_timeout_ms);
    for attempt in &observed.attempts {
        let client = attempt.client();
        let silences = silences.entry(client).or_insert_with(|| {
            let place = place(client, observed.plan);
            let all = faults.iter().filter_map(|fault| {
                let is_pause = fault.done().pauses(client);
                let from_ns = fault.begun.in_force_ns;
                let to_ns = match is_pause {
                    true => silent_pause_until(fault, faults, client, place)?,
                    false => silent_cut_until(fault, place, servers)?,
                };
                Some(Silence { from_ns, to_ns, is_pause })
            });
            all.collect()
        });
        if silences.is_empty() {
            continue;
        }
        let operations = [&attempt.renewals, &attempt.validations, &attempt.releases];
        for operation in operations.into_iter().flatten().chain([&attempt.acquire]) {
            silences.retain(|silence| !silence.is_broken_by(operation));
        }
    }
    silences.retain(|_, silences| !silences.is_empty());
    let spans = |silences: Vec<Silence>| {
        let spans = silences.iter().map(|silence| (silence.from_ns, silence.to_ns));
        let spans = Spans::union(spans.collect());
        let over = spans.iter().map(|(from_ns, to_ns)| (from_ns.saturating_add(timeout_ns), to_ns));
        Spans::union(over.collect())
    };
    silences.into_iter().map(|(client, silences)| (client, spans(silences))).collect()
}

/// Until when a pause keeps its client silent, if it does. The first undo of any pause wakes it. And
/// what it sent before may arrive late where its links were cut: its kernel tries again and again,
/// after pauses that double, so for as long after the cut as that had lasted.
fn silent_pause_until(
    pause: &Fault,
    faults: &Faults,
    client: ClientId,
    place: ClientId,
) -> Option<u64> {
    let from_ns = pause.begun.in_force_ns;
    let until_ns = undo_begins(pause)?;
    let of_same = faults.iter().filter(|other| other.done().pauses(client));
    let woken_ns = of_same.filter_map(undo_begins).filter(|undo_ns| *undo_ns >= from_ns).min();
    let party = Party::Client(place);
    let may_send_late = faults.iter().any(|cut| {
        let (begin_ns, end_ns) = (cut.begun.begin_ns, cut.until_ns());
        let late_until_ns = end_ns.saturating_add(end_ns.saturating_sub(begin_ns));
        let cuts = &cut.done().cuts;
        cuts.iter().any(|cut| cut.from.contains(&party) || cut.to.contains(&party))
            && begin_ns < until_ns
            && from_ns < late_until_ns
    });
    woken_ns.filter(|_| !may_send_late)
}

/// Until when nothing that a client sends reaches any server, if a fault cuts it off like that.
fn silent_cut_until(cut: &Fault, place: ClientId, servers: &Servers) -> Option<u64> {
    let cuts = |node| cut.done().cuts(Party::Client(place), Party::Server(node));
    let until_ns = undo_begins(cut)?;
    (servers.count() > 0 && servers.nodes().all(cuts)).then_some(until_ns)
}

fn undo_begins(fault: &Fault) -> Option<u64> {
    fault.ended.filter(|ended| ended.bit).map(|ended| ended.heal_begin_ns)
}
