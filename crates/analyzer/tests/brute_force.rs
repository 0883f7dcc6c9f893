//! The sweep over overlapping holds against the definition, and against senseless histories.

mod common;

use common::*;
use locktest_analyzer::{ViolationClass, analyze, holds, promised, registers};
use locktest_checker::{Checked, Decision, Object, Options, Specification, Values, check, verify};
use locktest_history::*;
use proptest::prelude::*;

/// A hold in milliseconds.
#[derive(Clone, Debug)]
struct Drawn {
    ok: u64,
    release: Option<u64>,
    lost: Option<u64>,
    lease_start: u64,
    ttl: u64,
    /// Ok renewals: invoke and completion.
    renewals: Vec<(u64, u64)>,
}

/// When every client exits.
const EXIT: u64 = 60;

fn drawn() -> impl Strategy<Value = Drawn> {
    let renewal = (0..40u64, 0..15u64).prop_map(|(invoke, took)| (invoke, invoke + took));
    (
        (5..30u64, 0..6u64, 1..20u64),
        proptest::option::weighted(0.8, 1..20u64),
        proptest::option::weighted(0.2, 1..20u64),
        proptest::collection::vec(renewal, 0..4),
    )
        .prop_map(|((ok, start, ttl), release, lost, renewals)| Drawn {
            ok,
            release: release.map(|after| ok + after),
            lost: lost.map(|after| ok + after),
            lease_start: ok - start.min(ok),
            ttl,
            renewals,
        })
}

/// The definition, looked at in the middle of each millisecond: all times are whole ones, so that
/// two holds that share more than an end share such an instant.
impl Drawn {
    fn promised_at(&self, middle: f64) -> bool {
        let within = |from: u64, to: u64| (from as f64) < middle && middle < to as f64;
        let held = within(self.ok, self.release.unwrap_or(1000));
        let starts = self.renewals.iter().map(|(invoke, _)| *invoke).chain([self.lease_start]);
        held && starts.into_iter().any(|start| within(start, start + self.ttl))
    }

    fn believed_at(&self, middle: f64) -> bool {
        let ends = [self.release, self.lost, Some(EXIT)];
        ends.into_iter().flatten().all(|end| middle < end as f64) && (self.ok as f64) < middle
    }
}

fn both(a: &Drawn, b: &Drawn, at: impl Fn(&Drawn, f64) -> bool) -> bool {
    (0..100).map(|ms| f64::from(ms) + 0.5).any(|middle| at(a, middle) && at(b, middle))
}

/// Whether the checker finds an order of all promises, and its verifier agrees.
fn promises_are_proven(history: &History) -> bool {
    let (values, objects) = (Values::default(), promised(history));
    let options =
        Options { certificate: true, time_is_up: &|| false, memory_limit_bytes: usize::MAX };
    let decisions = check(Specification::OwnerMutex, &objects, &values, &options);
    let proven = |(object, checked): (&Object, Checked)| match checked.decision {
        Decision::Linearizable(Some(order)) => {
            verify(Specification::OwnerMutex, &object.operations, &values, &order)
                .expect("a proof");
            true
        }
        Decision::NotLinearizable(_) => false,
        decision => panic!("{decision:?}"),
    };
    objects.iter().zip(decisions).all(proven)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_sweep_finds_exactly_the_pairs_that_overlap(drawn in proptest::collection::vec(drawn(), 0..6)) {
        let mut s = Story::new();
        for (index, hold) in drawn.iter().enumerate() {
            let client = index as u32 + 1;
            let detail = lease(hold.lease_start, hold.ttl, None);
            let owner = s.granted_with(client, 0..hold.ok, detail);
            for (n, (invoke, complete)) in hold.renewals.iter().enumerate() {
                let op = 1000 + n as u64;
                let detail = lease(*invoke, hold.ttl, None);
                s.event(owner, op, *invoke, Function::Renew, Phase::Invoke, Detail::None);
                s.event(owner, op, *complete, Function::Renew, Phase::Ok, detail);
            }
            if let Some(lost) = hold.lost {
                s.lost(owner, lost);
            }
            if let Some(release) = hold.release {
                s.release(owner, release..release + 1);
            }
            if client > 3 {
                s.exit(client, EXIT, ExitCause::Finished);
            }
        }
        let verdict = s.end(EXIT);
        let (mut double_grants, mut overruns) = (0, 0);
        for (index, a) in drawn.iter().enumerate() {
            for b in &drawn[..index] {
                if both(a, b, Drawn::promised_at) {
                    double_grants += 1;
                } else if both(a, b, Drawn::believed_at) {
                    overruns += 1;
                }
            }
        }
        let count = |class| verdict.violation_counts.get(&class).copied().unwrap_or(0);
        prop_assert_eq!(count(ViolationClass::DoubleGrant), double_grants);
        prop_assert_eq!(promises_are_proven(&s.history), double_grants == 0);
        prop_assert_eq!(count(ViolationClass::LeaseOverrun), overruns);
    }
}

/// Mostly small numbers, so that records meet; sometimes the largest.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0..12u64, 4 => (0..40u64).prop_map(|ms| ms * 100 * MS), 1 => Just(u64::MAX)]
}

fn small() -> impl Strategy<Value = u16> {
    prop_oneof![20 => 0..6u16, 1 => Just(u16::MAX)]
}

fn any_token() -> impl Strategy<Value = Option<Token>> {
    proptest::option::of((number(), 0..2u64).prop_map(|(major, minor)| Token { major, minor }))
}

fn any_detail() -> impl Strategy<Value = Detail> {
    let resource = prop_oneof![Just(Resource::Fenced), Just(Resource::Unfenced)];
    prop_oneof![
        Just(Detail::None),
        Just(Detail::Reason("why".into())),
        number().prop_map(|start_ns| Detail::Intended { start_ns }),
        (number(), number(), proptest::option::of(number())).prop_map(
            |(lease_start_ns, lease_ttl_ms, revision)| Detail::Lease {
                lease_start_ns,
                lease_ttl_ms,
                revision,
                session_ns: 0,
                wait_ns: 0
            }
        ),
        (any::<bool>(), any_token(), proptest::option::of(number()))
            .prop_map(|(ours, token, at_revision)| Detail::Entry { ours, token, at_revision }),
        (resource, any_token(), number()).prop_map(|(resource, token, value)| Detail::Access {
            resource,
            token,
            value
        }),
        (proptest::option::of(0..4u64), proptest::option::of(0..4u64))
            .prop_map(|(expected, value)| Detail::Register { expected, value }),
        any_round().prop_map(Detail::Round),
        Just(Detail::Cancelled),
    ]
}

fn any_round() -> impl Strategy<Value = Round> {
    let purpose = proptest::sample::select(vec![
        RoundPurpose::Acquire,
        RoundPurpose::Extend,
        RoundPurpose::Release,
        RoundPurpose::Read,
    ]);
    let answer =
        proptest::sample::select(vec![Answer::Yes, Answer::No, Answer::Unknown("cut".into())]);
    let vote = (small(), answer, number()).prop_map(|(server, answer, elapsed_ns)| Vote {
        server: NodeId(server),
        answer,
        elapsed_ns,
    });
    (purpose, number(), number(), proptest::collection::vec(vote, 0..6)).prop_map(
        |(purpose, begin_ns, elapsed_ns, votes)| Round {
            purpose,
            begin_ns,
            elapsed_ns,
            validity_left_ns: None,
            votes,
        },
    )
}

fn any_event() -> impl Strategy<Value = Event> {
    let function = proptest::sample::select(vec![
        Function::Acquire,
        Function::Acquire,
        Function::TryAcquire,
        Function::Renew,
        Function::Validate,
        Function::Release,
        Function::Lost,
        Function::Read,
        Function::Write,
        Function::Cas,
        Function::Round,
    ]);
    let phase = proptest::sample::select(vec![Phase::Invoke, Phase::Ok, Phase::Fail, Phase::Info]);
    let who = (0..3u32, 0..3u64, 0..100u64, prop_oneof![9 => Just(0u16), 1 => small()]);
    (number(), who, proptest::option::of(small()), function, phase, any_detail()).prop_map(
        |(time_ns, (client, attempt, op, key), server, function, phase, detail)| Event {
            time_ns,
            client: ClientId(client),
            attempt,
            op,
            key: KeyId(u32::from(key)),
            server: server.map(NodeId),
            function,
            phase,
            detail,
        },
    )
}

/// An invoke and, mostly, what may be its completion.
fn any_operation() -> impl Strategy<Value = Vec<Record>> {
    (any_event(), any_event(), 0..10u8).prop_map(|(invoke, end, kind)| {
        let completion = Event { time_ns: end.time_ns, phase: end.phase, ..invoke.clone() };
        let completion = Event { detail: end.detail, ..completion };
        match kind {
            0 => vec![Record::Event(invoke)],
            1 => vec![Record::Event(completion)],
            _ => vec![
                Record::Event(Event { phase: Phase::Invoke, ..invoke }),
                Record::Event(completion),
            ],
        }
    })
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let party = || {
        prop_oneof![
            small().prop_map(|node| Party::Server(NodeId(node))),
            (0..5u32).prop_map(|client| Party::Client(ClientId(client))),
        ]
    };
    let parties = move || proptest::collection::vec(party(), 0..4);
    let cut = (parties(), parties()).prop_map(|(from, to)| Cut { from, to });
    (
        proptest::sample::select(FaultKind::ALL.to_vec()),
        proptest::option::of((0..5u32).prop_map(ClientId)),
        proptest::collection::vec(small().prop_map(NodeId), 0..3),
        proptest::collection::vec((0..5u32).prop_map(ClientId), 0..3),
        proptest::collection::vec(cut, 0..3),
    )
        .prop_map(|(kind, holder, servers, clients, cuts)| Fault {
            holder,
            servers,
            clients,
            cuts,
            ..fault(kind)
        })
}

fn any_other() -> impl Strategy<Value = Record> {
    let milestone = proptest::sample::select(vec![
        Milestone::ClusterReady,
        Milestone::TimeUp,
        Milestone::Interrupted,
        Milestone::End,
    ]);
    prop_oneof![
        (number(), milestone).prop_map(|(time_ns, what)| Record::Milestone { time_ns, what }),
        (number(), 0..3u32).prop_map(|(time_ns, client)| {
            let cause = ExitCause::Killed(9);
            Record::ClientExit(ClientExit { time_ns, client: ClientId(client), cause })
        }),
        (number(), number(), small(), any::<bool>()).prop_map(|(begin_ns, end_ns, node, ok)| {
            let error = (!ok).then(String::new);
            Record::Probe(Probe { begin_ns, end_ns, node: NodeId(node), error })
        }),
        (number(), small(), proptest::option::of(small())).prop_map(|(time_ns, node, leader)| {
            Record::Leader(LeaderView { time_ns, node: NodeId(node), leader: leader.map(NodeId) })
        }),
        (0..3u32, number(), number(), any_fault()).prop_map(
            |(id, begin_ns, in_force_ns, fault)| {
                let hosts = vec![TookEffect { host: "n1".into(), from_ns: begin_ns, until_ns: 7 }];
                Record::FaultBegun(Box::new(FaultBegun { id, fault, begin_ns, in_force_ns, hosts }))
            }
        ),
        (number(), small()).prop_map(|(time_ns, node)| {
            let (node, step) = (NodeId(node), ElectionStep::Won);
            Record::Election(Election { time_ns, node, step, line: "became leader".into() })
        }),
        (0..3u32, number(), number(), any::<bool>()).prop_map(
            |(id, heal_begin_ns, end_ns, bit)| {
                let (proof, undo_proof) = (vec![], vec![]);
                let undone = !bit;
                Record::FaultEnded(FaultEnded {
                    id,
                    heal_begin_ns,
                    end_ns,
                    hosts: vec![],
                    bit,
                    proof,
                    undone,
                    undo_proof,
                })
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_history_makes_the_analyzer_panic(
        records in proptest::collection::vec(
            prop_oneof![3 => any_operation(), 1 => any_other().prop_map(|other| vec![other])],
            0..80,
        ),
        bounds in (number(), number(), number(), number(), 0..4usize),
        recipe in proptest::sample::select(Recipe::ALL.to_vec()),
        workload in proptest::sample::select(Workload::ALL.to_vec()),
    ) {
        let mut s = Story::new();
        let (lease_bound_ms, recovery_bound_ms, op_timeout_ms, lock_delay_ms, nodes) = bounds;
        s.plan().bounds = Bounds { lease_bound_ms, recovery_bound_ms };
        s.plan().op_timeout_ms = op_timeout_ms;
        s.plan().lock_delay_ms = lock_delay_ms;
        s.plan().nodes.truncate(nodes);
        s.on(store_of(recipe), recipe);
        s.plan().workload = workload;
        s.history.records = records.concat();
        let verdict = analyze(&s.history);
        let holds = holds(&s.history);
        promised(&s.history);
        registers(&s.history);
        prop_assert_eq!(verdict.counts.acquires_ok, holds.len() as u64);
        prop_assert!(holds.iter().all(|hold| hold.invoke_ns <= hold.ok_ns));
        prop_assert!(holds.iter().all(|hold| hold.ok_ns <= hold.belief_end_ns));
        let counted: u64 = verdict.violation_counts.values().sum();
        prop_assert!(verdict.violations.len() as u64 <= counted);
        prop_assert!(serde_json::to_string(&verdict).is_ok());
    }
}
