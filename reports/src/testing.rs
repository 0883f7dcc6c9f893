//! Verdicts and histories made by hand, so that the tests need no analyzer.

mod outside;
mod stores;
mod terminals;

use std::collections::BTreeMap;

use locktest_analyzer::*;
use locktest_history::*;

pub(crate) use outside::Form;
pub(crate) use stores::{split_redlock, stale_read};
pub(crate) use terminals::on_terminals;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

/// An instant from its seconds.
pub(crate) fn at(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

/// A five-node run without records.
pub(crate) fn history(clients: u64) -> History {
    let plan = Plan {
        kernel: "Linux 6.18.0".into(),
        version: "1.8.7".into(),
        server_settings: vec!["raft_multiplier=1".into(), "session_ttl_min=1s".into()],
        client_seeds: (0..clients).collect(),
        bounds: Bounds { lease_bound_ms: 4000, recovery_bound_ms: 15_000 },
        ..Plan::of(Backend::Consul)
    };
    History {
        run: Run {
            id: "lt-5f2a".into(),
            started_at_unix_s: 1_760_000_000,
            origin_monotonic_ns: 0,
            command: "locktest --backend consul --nemesis partition --time-limit 60s --seed 1"
                .into(),
            lab: Some("lab-a".into()),
            plan,
        },
        records: vec![],
        damage: vec![],
    }
}

fn property(outcome: PropertyOutcome, why: &str) -> Property {
    Property { outcome, why: why.into() }
}

pub(crate) fn percentiles(n: u64, median_ms: f64) -> Percentiles {
    let low = [("p90_ms", 100), ("p99_ms", 1000), ("p999_ms", 10_000)];
    Percentiles {
        n,
        avg_ms: Some(median_ms * 1.2),
        median_ms: Some(median_ms),
        min_ms: Some(median_ms * 0.5),
        max_ms: Some(median_ms * 21.0),
        p90_ms: Some(median_ms * 1.8),
        p99_ms: Some(median_ms * 4.1),
        p999_ms: Some(median_ms * 20.0),
        low_n: low.iter().filter(|(_, least)| n < *least).map(|(name, _)| (*name).into()).collect(),
    }
}

/// A partition that bit and was undone.
pub(crate) fn fault(id: u32, begin_s: f64, end_s: f64) -> FaultSummary {
    FaultSummary {
        id,
        kind: FaultKind::Partition,
        aim: Aim::Shape(PartitionShape::Leader),
        splits_clients: false,
        targets: vec!["n1".into(), "n2".into()],
        description: "n1 n2 | n3 n4 n5".into(),
        begin_ns: at(begin_s),
        in_force_ns: at(begin_s + 0.1),
        end_ns: at(end_s),
        spread_ms: Some(11.4),
        uncertainty_ms: Some(7.9),
        hit_holder: None,
        bit: true,
        proof: vec![
            "143 packets were dropped between n1 and n3 while the fault was in force".into(),
            "n1 could not reach n4: the probe got no answer in 1 s".into(),
        ],
        undone: true,
        undo_proof: vec!["the chain is gone from all 5 nodes".into()],
        servers_recovered_ms: Some(3204.0),
        next_grant_ms: Some(412.0),
    }
}

fn election(time_s: f64, node: &str, step: ElectionStep, line: &str) -> ElectionSeen {
    ElectionSeen { time_ns: at(time_s), node: node.into(), step, line: line.into() }
}

fn node_cost(n: u64) -> NodeCost {
    NodeCost {
        node: format!("n{n}"),
        sampled_s: 59.0,
        cpu_s: 23.6 / n as f64,
        cpu_percent_of_one_core: 40.0 / n as f64,
        peak_resident_bytes: 81_234_567 + n * MS,
        written_bytes: 1_250_000_000 / n,
        received_bytes: 12_345_678 / n,
        sent_bytes: 987_654 * n,
    }
}

/// One of each kind.
pub(crate) fn verdicts() -> [Verdict; 6] {
    [held(), violated(), needs_fencing(), undecided(), stale_read(), split_redlock()]
}

/// A run in which nothing was found.
pub(crate) fn held() -> Verdict {
    let row = |why| property(PropertyOutcome::Held, why);
    Verdict {
        schema_version: VERDICT_SCHEMA_VERSION,
        outcome: RunOutcome::Held,
        summary: "no violation found in 812 acquires, 790 contended, 2 faults that bit".into(),
        backend: Backend::Consul,
        recipe: Recipe::Session,
        workload: Workload::Mutex,
        read_mode: ReadMode::Consistent,
        version: "1.8.7".into(),
        seed: 1,
        run_id: "lt-5f2a".into(),
        command: "locktest --backend consul --nemesis partition --time-limit 60s --seed 1".into(),
        nodes: (1..=5).map(|n| format!("n{n}")).collect(),
        end_ns: at(64.02),
        warnings: vec![],
        not_tested: vec![
            "no client was killed or paused, so nothing is known about a holder that dies".into(),
            "no clock was changed".into(),
        ],
        properties: Properties {
            safety: row("no violation found in 812 acquires, 790 contended, 2 faults that bit"),
            deadlock_free: row("longest time to free after a lost holder 3.02 s (bound 4.00 s)"),
            fault_tolerance: row(
                "a majority was up throughout; the longest gap without a grant was 3.15 s (bound 15.00 s)",
            ),
            fencing: row("812 tokens, each larger than the one before"),
        },
        counts: Counts {
            acquires_ok: 812,
            acquires_denied: 4,
            acquires_unknown: 9,
            contended: 790,
            spurious_denials: 1,
            releases_ok: 806,
            renewals_ok: 301,
            fenced_rejections: 0,
            probes_ok: 570,
            probes_failed: 42,
            acquires_cancelled: 0,
            acquires_unfinished: 0,
            registers: None,
        },
        faults: vec![fault(1, 12.0, 22.31), fault(2, 32.4, 42.55)],
        fault_timing: Some(FaultTiming {
            faults: 2,
            median_spread_ms: Some(11.4),
            median_uncertainty_ms: Some(7.9),
            aimed_at_holder: 0,
            hit_holder: 0,
        }),
        faults_skipped: vec![],
        leader_changes: vec![
            LeaderChange { time_ns: at(15.1), leader: "n4".into(), told_by: "n3".into() },
            LeaderChange { time_ns: at(35.6), leader: "n3".into(), told_by: "n5".into() },
        ],
        elections: vec![
            election(14.2, "n4", ElectionStep::Called, "starting a pre-vote at term 2"),
            election(14.3, "n4", ElectionStep::Won, "election won: term=3 tally=3"),
        ],
        election_count: 2,
        latency: Latency {
            acquire: Phases {
                quiet: percentiles(610, 152.14),
                fault: percentiles(140, 171.9),
                recovery: percentiles(62, 160.0),
            },
            try_acquire: None,
            read: None,
            write: None,
            cas: None,
            acquire_intended: Some(Phases {
                quiet: percentiles(610, 152.16),
                fault: percentiles(141, 204.4),
                recovery: percentiles(61, 160.1),
            }),
            acquire_by_fault: vec![
                FaultLatency {
                    fault: 1,
                    in_force: percentiles(68, 169.1),
                    recovery: percentiles(62, 160.0),
                },
                FaultLatency {
                    fault: 2,
                    in_force: percentiles(72, 174.7),
                    recovery: Percentiles::default(),
                },
            ],
            acquire_alone: Phases {
                quiet: percentiles(610, 4.2),
                fault: percentiles(140, 5.1),
                recovery: percentiles(62, 4.4),
            },
            acquires_that_waited: 540,
            acquire_by_client: (1..=5)
                .map(|n| ClientLatency {
                    client: format!("c{n}"),
                    whole_run: percentiles(160 + n, 150.0 + n as f64),
                })
                .collect(),
            release: Phases {
                quiet: percentiles(604, 2.13),
                fault: percentiles(140, 2.6),
                recovery: Percentiles::default(),
            },
        },
        cost: (1..=5).map(node_cost).collect(),
        load: None,
        longest_gap_ms: Some(3150.0),
        violations: vec![],
        violation_counts: BTreeMap::new(),
        known_bugs: vec![],
    }
}

/// An ok acquire with both views of its hold.
pub(crate) fn acquired(
    client: &str,
    attempt: u64,
    [invoke_s, ok_s, contract_end_s, belief_end_s]: [f64; 4],
    token: u64,
) -> Involved {
    Involved {
        client: client.into(),
        attempt,
        function: Function::Acquire,
        server: Some("n1".into()),
        invoke_ns: at(invoke_s),
        complete_ns: Some(at(ok_s)),
        outcome: Outcome::Ok,
        token: Some(token.to_string()),
        contract_end_ns: Some(at(contract_end_s)),
        belief_end_ns: Some(at(belief_end_s)),
        rounds: vec![],
    }
}

fn access(
    client: &str,
    attempt: u64,
    function: Function,
    time_s: f64,
    outcome: Outcome,
) -> Involved {
    Involved {
        client: client.into(),
        attempt,
        function,
        server: None,
        invoke_ns: at(time_s),
        complete_ns: Some(at(time_s)),
        outcome,
        token: None,
        contract_end_ns: None,
        belief_end_ns: None,
        rounds: vec![],
    }
}

/// A service that grants one lock twice during a partition.
pub(crate) fn violated() -> Verdict {
    let mut release = access("c1", 1031, Function::Release, 15.10, Outcome::Ok);
    release.server = Some("n1".into());
    let mut second = acquired("c3", 1028, [12.9, 14.31, 15.9, 15.9], 905);
    second.server = Some("n3".into());
    Verdict {
        outcome: RunOutcome::Violated,
        summary: "double-grant x7, lost-update x2 in 812 acquires, 790 contended, 1 fault that bit".into(),
        properties: Properties {
            safety: property(
                PropertyOutcome::Violated,
                "double-grant x7, lost-update x2 in 812 acquires, 790 contended, 1 fault that bit",
            ),
            fencing: property(PropertyOutcome::Unsupported, "this backend returns no fencing token"),
            ..held().properties
        },
        violations: vec![
            Violation {
                class: ViolationClass::DoubleGrant,
                key: "lock-0".into(),
                time_ns: at(14.31),
                why: "c1 held lock-0 under a lease to 15.90 s, granted by n1; at 14.31 s n3 granted it to c3 as well, under a lease to 16.20 s. Neither client was late: the service promised both.".into(),
                during: Some("fault 1, partition n1 n2 | n3 n4 n5".into()),
                resource: None,
                operations: vec![acquired("c1", 1031, [11.2, 13.42, 15.10, 15.10], 904), second, release],
            },
            Violation {
                class: ViolationClass::LostUpdate,
                key: "lock-0".into(),
                time_ns: at(15.02),
                why: "c1 read 411 at 13.60 s and c3 wrote 412 at 14.80 s; c1 then wrote 412 over it".into(),
                during: Some("fault 1, partition n1 n2 | n3 n4 n5".into()),
                resource: Some(Resource::Fenced),
                operations: vec![
                    acquired("c1", 1031, [11.2, 13.42, 15.10, 15.10], 904),
                    access("c1", 1031, Function::Read, 13.6, Outcome::Ok),
                    acquired("c3", 1028, [12.9, 14.31, 15.9, 15.9], 905),
                    access("c3", 1028, Function::Write, 14.8, Outcome::Ok),
                    access("c1", 1031, Function::Write, 15.02, Outcome::Ok),
                ],
            },
        ],
        violation_counts: [(ViolationClass::DoubleGrant, 7), (ViolationClass::LostUpdate, 2)].into(),
        warnings: vec![Warning::FaultDidNotBite { fault: 2 }],
        faults: vec![
            fault(1, 12.0, 22.31),
            FaultSummary {
                bit: false,
                proof: vec!["no packet was dropped between n1 n2 and n3 n4 n5".into()],
                servers_recovered_ms: None,
                ..fault(2, 32.4, 42.55)
            },
        ],
        ..held()
    }
}

const OVERRUNS: &str = "lease-overrun x3: holders acted after their leases had ended, which a resource that checks the fencing token refuses; no fault of the service found in 812 acquires, 790 contended, 2 faults that bit";

/// Holders that act after their lease, on a service that keeps its word.
pub(crate) fn needs_fencing() -> Verdict {
    Verdict {
        summary: OVERRUNS.into(),
        properties: Properties {
            safety: property(
                PropertyOutcome::NeedsFencing,
                OVERRUNS,
            ),
            ..held().properties
        },
        warnings: vec![Warning::NeedsFencing { overruns: 3 }],
        counts: Counts { fenced_rejections: 3, ..held().counts },
        violations: vec![Violation {
            class: ViolationClass::LeaseOverrun,
            key: "lock-0".into(),
            time_ns: at(7.31),
            why: "c2's lease ended at 7.02 s and c2 went on until 8.40 s; c4 was granted the lock at 7.31 s".into(),
            during: None,
            resource: None,
            operations: vec![
                acquired("c2", 1012, [3.9, 5.02, 7.02, 8.4], 310),
                acquired("c4", 1009, [4.4, 7.31, 7.9, 7.9], 311),
                access("c2", 1012, Function::Write, 8.35, Outcome::Fail),
            ],
        }],
        violation_counts: [(ViolationClass::LeaseOverrun, 3)].into(),
        ..held()
    }
}

/// A run that never got going.
pub(crate) fn undecided() -> Verdict {
    let nothing = |why| property(PropertyOutcome::NotTested, why);
    let phases = Phases {
        quiet: Percentiles::default(),
        fault: Percentiles::default(),
        recovery: Percentiles::default(),
    };
    Verdict {
        outcome: RunOutcome::Undecided,
        summary: "no acquire was granted in 41 attempts, so nothing could be decided".into(),
        properties: Properties {
            safety: property(PropertyOutcome::Undecided, "no acquire was granted"),
            deadlock_free: nothing("no lock was ever held"),
            fault_tolerance: nothing("no fault was applied"),
            fencing: nothing("no token was seen"),
        },
        counts: Counts { acquires_unknown: 41, probes_failed: 12, ..Counts::default() },
        warnings: vec![Warning::ManyUnknown { unknown: 41, acquires: 41 }, Warning::NoFault],
        faults: vec![],
        fault_timing: None,
        faults_skipped: vec![SkippedFault {
            kind: FaultKind::Partition,
            aim: Aim::Shape(PartitionShape::Halves),
            time_ns: at(12.0),
            reason: "no acquire was granted before".into(),
        }],
        leader_changes: vec![],
        elections: vec![],
        election_count: 0,
        latency: Latency {
            acquire: phases.clone(),
            try_acquire: None,
            read: None,
            write: None,
            cas: None,
            acquire_intended: None,
            acquire_by_fault: vec![],
            acquire_alone: phases.clone(),
            acquires_that_waited: 0,
            acquire_by_client: vec![],
            release: phases,
        },
        cost: vec![],
        longest_gap_ms: None,
        ..held()
    }
}

/// A small generator (Steele, Lea and Flood's SplitMix64), so that fixtures repeat.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}

/// A whole run of a lock that is passed round: its history and the holds in it. Nobody is granted
/// the lock for three seconds after each of the verdict's faults begins.
pub(crate) fn run(clients: u64, verdict: &Verdict, mean_hold_ms: u64) -> (History, Vec<Hold>) {
    let mut history = history(clients);
    let mut random = Random(7);
    let mut waiting: Vec<(u64, u64)> =
        (0..clients).map(|client| (2 * SECOND + client * MS, client)).collect();
    let mut attempts = vec![0; clients as usize];
    let mut holds = Vec::new();
    let mut now_ns = 2 * SECOND + 20 * MS;
    let milestone = |time_ns, what| Record::Milestone { time_ns, what };
    history.records.push(milestone(2 * SECOND, Milestone::ClusterReady));
    while now_ns < 62 * SECOND {
        for fault in &verdict.faults {
            if (fault.begin_ns..fault.begin_ns + 3 * SECOND).contains(&now_ns) {
                now_ns = fault.begin_ns + 3 * SECOND;
            }
        }
        let next = random.below(waiting.len() as u64) as usize;
        let (invoke_ns, client) = waiting.swap_remove(next);
        attempts[client as usize] += 1;
        let attempt = attempts[client as usize];
        let ok_ns = now_ns.max(invoke_ns + MS);
        let long = random.below(5) == 0;
        let hold_ns =
            if long { 10 * mean_hold_ms } else { mean_hold_ms } * MS * (50 + random.below(100))
                / 100;
        let end_ns = ok_ns + hold_ns;
        let mut event = |time_ns, function, phase, detail| {
            history.records.push(Record::Event(Event {
                time_ns,
                client: ClientId(client as u32),
                attempt,
                op: 2 * attempt + u64::from(function == Function::Release),
                key: KeyId(0),
                server: Some(NodeId((client % 5) as u16)),
                function,
                phase,
                detail,
            }));
        };
        let lease = Detail::Lease {
            lease_start_ns: invoke_ns,
            lease_ttl_ms: 20_000,
            revision: None,
            session_ns: 0,
            wait_ns: ok_ns - invoke_ns,
        };
        event(invoke_ns, Function::Acquire, Phase::Invoke, Detail::None);
        event(ok_ns, Function::Acquire, Phase::Ok, lease);
        event(end_ns, Function::Release, Phase::Invoke, Detail::None);
        event(end_ns + MS / 2, Function::Release, Phase::Ok, Detail::None);
        holds.push(Hold {
            client: ClientId(client as u32),
            attempt,
            key: KeyId(0),
            server: Some(NodeId((client % 5) as u16)),
            invoke_ns,
            ok_ns,
            release_invoke_ns: Some(end_ns),
            belief_end_ns: end_ns,
            contract_end_ns: end_ns.min(ok_ns + 2 * SECOND),
            lease_start_ns: ok_ns,
            lease_ttl_ms: 2000,
            token: Some(Token { major: 100 + holds.len() as u64, minor: 0 }),
        });
        waiting.push((end_ns + MS, client));
        now_ns = end_ns + 2 * MS;
    }
    let concerned: Vec<Hold> = verdict
        .violations
        .iter()
        .flat_map(|violation| &violation.operations)
        .filter_map(hold)
        .collect();
    let end_ns = |hold: &Hold| hold.belief_end_ns.max(hold.contract_end_ns);
    holds.retain(|hold: &Hold| {
        concerned.iter().all(|other| end_ns(other) <= hold.ok_ns || end_ns(hold) <= other.ok_ns)
    });
    holds.extend(concerned);
    holds.sort_by_key(|hold| hold.ok_ns);
    holds.dedup_by_key(|hold| (hold.client, hold.attempt));
    history.records.push(milestone(62 * SECOND, Milestone::TimeUp));
    servers(&mut history, verdict);
    history.records.push(milestone(verdict.end_ns, Milestone::End));
    (history, holds)
}

/// The hold of an ok acquire; `None` for any other operation.
fn hold(acquire: &Involved) -> Option<Hold> {
    let contract_end_ns = acquire.contract_end_ns?;
    let client: u32 = acquire.client.strip_prefix('c')?.parse().ok()?;
    Some(Hold {
        client: ClientId(client - 1),
        attempt: acquire.attempt,
        key: KeyId(0),
        server: Some(NodeId(0)),
        invoke_ns: acquire.invoke_ns,
        ok_ns: acquire.complete_ns?,
        release_invoke_ns: None,
        belief_end_ns: acquire.belief_end_ns?,
        contract_end_ns,
        lease_start_ns: contract_end_ns - 2 * SECOND,
        lease_ttl_ms: 2000,
        token: acquire.token.as_ref()?.parse().ok().map(|major| Token { major, minor: 0 }),
    })
}

/// Probes twice a second, which fail on a fault's smaller side, and the first leader.
fn servers(history: &mut History, verdict: &Verdict) {
    history.records.push(Record::Leader(LeaderView {
        time_ns: SECOND,
        node: NodeId(0),
        leader: Some(NodeId(0)),
    }));
    for n in 0..verdict.end_ns / (500 * MS) {
        for node in 0..5 {
            let begin_ns = n * 500 * MS;
            let cut_off = node < 2
                && verdict.faults.iter().any(|fault| {
                    fault.bit && (fault.begin_ns..fault.end_ns + SECOND).contains(&begin_ns)
                });
            history.records.push(Record::Probe(Probe {
                begin_ns,
                end_ns: begin_ns + if cut_off { 490 * MS } else { 3 * MS },
                node: NodeId(node),
                error: cut_off.then(|| "no cluster leader".into()),
            }));
        }
    }
}
