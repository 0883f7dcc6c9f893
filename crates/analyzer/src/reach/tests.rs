//! Reach against its definition, looked at in the middle of each millisecond: all times are whole ones.

use locktest_history::*;
use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;
const END_MS: u64 = 60;

/// A fault and how it ended: when, if it did, and whether it was shown to be gone.
#[derive(Clone, Debug)]
struct Drawn {
    begin: u64,
    fault: locktest_history::Fault,
    end: Option<(u64, bool)>,
}

#[derive(Clone, Debug)]
struct World {
    recipe: Recipe,
    servers: u16,
    faults: Vec<Drawn>,
    /// Per server the begins of writes that it answered, a millisecond each.
    answered: Vec<Vec<u64>>,
}

const CLIENTS: u32 = 3;

fn drawn_fault() -> impl Strategy<Value = locktest_history::Fault> {
    let nodes = || proptest::collection::vec((0..5u16).prop_map(NodeId), 0..3);
    let clients = || proptest::collection::vec((0..CLIENTS).prop_map(ClientId), 0..2);
    let party = || {
        prop_oneof![
            3 => (0..5u16).prop_map(|node| Party::Server(NodeId(node))),
            1 => (0..CLIENTS).prop_map(|client| Party::Client(ClientId(client))),
        ]
    };
    let parties = move || proptest::collection::vec(party(), 1..4);
    let cuts = (parties(), parties(), any::<bool>()).prop_map(|(from, to, both)| {
        let cuts: Vec<Cut> = Cut::both_ways(&from, &to).into();
        if both { cuts } else { cuts[..1].to_vec() }
    });
    let fault = |kind| locktest_history::Fault::new(kind, Aim::Target(Target::One), 10);
    prop_oneof![
        1 => nodes().prop_map(move |servers| locktest_history::Fault {
            servers,
            ..fault(FaultKind::Kill)
        }),
        1 => clients().prop_map(move |clients| locktest_history::Fault {
            clients,
            ..fault(FaultKind::ClientPause)
        }),
        2 => cuts.prop_map(move |cuts| locktest_history::Fault {
            cuts,
            ..fault(FaultKind::Partition)
        }),
    ]
}

fn worlds() -> impl Strategy<Value = World> {
    let end = proptest::option::weighted(0.9, (1..20u64, prop::bool::weighted(0.9)));
    let drawn = (0..40u64, drawn_fault(), end).prop_map(|(begin, fault, end)| Drawn {
        begin,
        fault,
        end: end.map(|(length, undone)| (begin + length, undone)),
    });
    let recipes = vec![Recipe::LockRpc, Recipe::Redlock, Recipe::Sentinel];
    let begins = proptest::collection::btree_set(0..END_MS, 5..20);
    (
        proptest::sample::select(recipes),
        1..6u16,
        proptest::collection::vec(drawn, 0..5),
        proptest::collection::vec(begins.prop_map(|set| set.into_iter().collect()), 5),
    )
        .prop_map(|(recipe, servers, faults, answered)| World {
            recipe,
            servers,
            faults,
            answered,
        })
}

/// The definition. `t` stands for the middle of a millisecond, half a one later.
impl World {
    fn nodes(&self) -> impl Iterator<Item = u16> + Clone {
        0..self.servers
    }

    fn independent(&self) -> bool {
        self.recipe == Recipe::Redlock
    }

    fn in_force(&self, t: u64) -> impl Iterator<Item = &Drawn> {
        self.faults.iter().filter(move |drawn| {
            let until = drawn.end.filter(|(_, undone)| *undone).map_or(u64::MAX, |(end, _)| end);
            drawn.begin <= t && t < until
        })
    }

    /// Whether a server answered a write that began at `since` or later, and had by `t`.
    fn has_answered(&self, server: u16, since: u64, t: u64) -> bool {
        self.answered[usize::from(server)].iter().any(|begin| since <= *begin && *begin < t)
    }

    /// Whether the faults in force have a server down or outside the majority.
    fn is_out(&self, server: u16, t: u64) -> bool {
        let down = |node: u16| self.in_force(t).any(|drawn| drawn.fault.takes_down(NodeId(node)));
        if self.independent() {
            return down(server);
        }
        let linked = |a: u16, b: u16| {
            let (a, b) = (Party::Server(NodeId(a)), Party::Server(NodeId(b)));
            !self.in_force(t).any(|drawn| drawn.fault.separates(a, b))
        };
        let groups: Vec<u32> = (0..1u32 << self.servers)
            .filter(|group| {
                let inside = |node: &u16| group & (1 << node) != 0;
                let all = || self.nodes().filter(inside);
                all().all(|a| !down(a) && all().all(|b| a == b || linked(a, b)))
            })
            .collect();
        let largest = |group: &&u32| !groups.iter().any(|g| g != *group && g & **group == **group);
        let is_majority = |group: &u32| group.count_ones() * 2 > u32::from(self.servers);
        let majorities = groups.iter().filter(largest).copied().filter(is_majority);
        let common = majorities.reduce(|a, b| a & b).filter(is_majority).unwrap_or(0);
        common & (1 << server) == 0
    }

    /// The servers that count at `t`, if every one was out at the times that `out` tells.
    fn counting(&self, out: &[Vec<u16>], t: u64) -> Vec<u16> {
        let now = usize::try_from(t).expect("a time is small");
        let counts = |server: &u16| {
            let last_out = out[..=now].iter().rposition(|out| out.contains(server));
            last_out.is_none_or(|last| last < now && self.has_answered(*server, last as u64 + 1, t))
        };
        let counting: Vec<u16> = self.nodes().filter(counts).collect();
        let is_majority = counting.len() * 2 > usize::from(self.servers);
        if self.independent() || is_majority { counting } else { Vec::new() }
    }

    fn is_linked(&self, client: u32, server: u16, t: u64) -> bool {
        let ends = (Party::Client(ClientId(client % CLIENTS)), Party::Server(NodeId(server)));
        !self.faults.iter().any(|drawn| {
            let (end, undone) = drawn.end.unwrap_or((u64::MAX, false));
            let over = undone && end <= t && self.has_answered(server, end, t);
            drawn.fault.separates(ends.0, ends.1) && drawn.begin <= t && !over
        })
    }

    fn reaches(&self, client: u32, server: Option<u16>, t: u64, counting: &[u16]) -> bool {
        if self.in_force(t).any(|drawn| drawn.fault.pauses(ClientId(client))) {
            return false;
        }
        let linked = |node: u16| self.is_linked(client, node, t);
        let all_linked = self.recipe != Recipe::Sentinel || self.nodes().all(linked);
        match server {
            Some(server) => counting.contains(&server) && linked(server) && all_linked,
            None => {
                let reached = counting.iter().filter(|node| linked(**node)).count();
                match self.recipe {
                    Recipe::Sentinel => reached == usize::from(self.servers),
                    _ => reached * 2 > usize::from(self.servers),
                }
            }
        }
    }

    fn asked(&self) -> Vec<(u32, Option<u16>)> {
        let servers = || self.nodes().map(Some).chain([None]);
        (0..2 * CLIENTS).flat_map(|client| servers().map(move |server| (client, server))).collect()
    }

    fn history(&self) -> History {
        let backend = if self.recipe == Recipe::LockRpc { Backend::Etcd } else { Backend::Redis };
        let plan = Plan {
            recipe: self.recipe,
            client_seeds: (0..CLIENTS).map(u64::from).collect(),
            nodes: self.nodes().map(|node| format!("n{}", node + 1)).collect(),
            ..Plan::of(backend)
        };
        let run = Run {
            id: "0a1b2c".into(),
            started_at_unix_s: 1,
            origin_monotonic_ns: 2,
            command: "locktest".into(),
            lab: None,
            plan,
        };
        let mut records = vec![Record::Milestone { time_ns: 0, what: Milestone::ClusterReady }];
        for (id, drawn) in (1..).zip(&self.faults) {
            records.push(Record::FaultBegun(Box::new(FaultBegun {
                id,
                fault: drawn.fault.clone(),
                begin_ns: drawn.begin * MS,
                in_force_ns: drawn.begin * MS,
                hosts: vec![],
            })));
            let ended = drawn.end.map(|(end, undone)| FaultEnded {
                id,
                heal_begin_ns: end * MS,
                end_ns: end * MS,
                hosts: vec![],
                bit: true,
                proof: vec![],
                undone,
                undo_proof: vec![],
            });
            records.extend(ended.map(Record::FaultEnded));
        }
        for (node, begins) in (0..self.servers).zip(&self.answered) {
            records.extend(begins.iter().map(|begin| {
                let (begin_ns, end_ns) = (begin * MS, (begin + 1) * MS);
                Record::Probe(Probe { begin_ns, end_ns, node: NodeId(node), error: None })
            }));
        }
        records.extend(self.asked().into_iter().zip(1..).map(|((client, server), op)| {
            Record::Event(Event {
                time_ns: 0,
                client: ClientId(client),
                attempt: op,
                op,
                key: KeyId(0),
                server: server.map(NodeId),
                function: Function::Acquire,
                phase: Phase::Invoke,
                detail: Detail::None,
            })
        }));
        History { run, records, damage: vec![] }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn reach_is_what_its_definition_says(world in worlds()) {
        let history = world.history();
        let observed = Observed::new(&history);
        let faults = Faults::new(&observed);
        let servers = Servers::new(&observed, &faults);
        let reach = Reach::new(&observed, &faults, &servers);
        let out: Vec<Vec<u16>> = (0..END_MS)
            .map(|t| world.nodes().filter(|node| world.is_out(*node, t)).collect())
            .collect();
        for t in 0..END_MS {
            let counting = world.counting(&out, t);
            for attempt in &observed.attempts {
                let invoke = attempt.acquire.invoke;
                let out_of_reach = reach.out_of_reach(invoke);
                let server = invoke.server.map(|node| node.0);
                let reaches = world.reaches(invoke.client.0, server, t, &counting);
                prop_assert_eq!(
                    !out_of_reach.contains(t * MS + MS / 2),
                    reaches,
                    "{} through {:?} at {} ms", invoke.client, invoke.server, t
                );
            }
        }
    }
}
