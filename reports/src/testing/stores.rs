//! Verdicts on what only some stores and workloads have.

use super::*;

/// A register whose reads are of the past.
pub(crate) fn stale_read() -> Verdict {
    let registers = RegisterCounts {
        reads_ok: 9100,
        writes_ok: 4210,
        cas_ok: 1800,
        cas_refused: 2400,
        failed: 12,
        unknown: 31,
    };
    let summary =
        "stale-read x4 in 9100 reads, 4210 writes, 4200 compare-and-sets, 2 faults that bit";
    let no_locks = || property(PropertyOutcome::NotTested, "the workload takes no locks");
    let mut read = access("c1", 71, Function::Read, 15.10, Outcome::Ok);
    read.server = Some("n1".into());
    Verdict {
        outcome: RunOutcome::Violated,
        summary: summary.into(),
        backend: Backend::Etcd,
        recipe: Recipe::LockRpc,
        workload: Workload::Register,
        read_mode: ReadMode::Serializable,
        version: "3.5.16".into(),
        properties: Properties {
            safety: property(PropertyOutcome::Violated, summary),
            deadlock_free: no_locks(),
            fencing: no_locks(),
            fault_tolerance: property(
                PropertyOutcome::Held,
                "1205 writes answered while faults left a majority up and connected; no write was without an answer for longer than 12.000 s",
            ),
        },
        counts: Counts {
            registers: Some(registers),
            probes_ok: 570,
            probes_failed: 42,
            ..Counts::default()
        },
        latency: Latency {
            read: Some(Phases { quiet: percentiles(7100, 0.61), ..undecided().latency.acquire }),
            write: Some(Phases { quiet: percentiles(3100, 3.4), ..undecided().latency.acquire }),
            cas: Some(Phases { quiet: percentiles(3000, 3.6), ..undecided().latency.acquire }),
            ..undecided().latency
        },
        longest_gap_ms: None,
        violations: vec![Violation {
            class: ViolationClass::StaleRead,
            key: "register-0".into(),
            time_ns: at(15.10),
            why: "c1 read register-0 through n1 from 15.099 s to 15.100 s and found 4711, which c2 had written by 14.100 s; c3 had since written 4712, which was answered at 15.000 s, before the read began".into(),
            during: Some("fault 1: partition n1 n2 | n3 n4 n5".into()),
            resource: None,
            operations: vec![
                access("c2", 70, Function::Write, 14.1, Outcome::Ok),
                access("c3", 69, Function::Cas, 15.0, Outcome::Ok),
                read,
            ],
        }],
        violation_counts: [(ViolationClass::StaleRead, 4)].into(),
        ..held()
    }
}

/// A majority of independent servers that granted a lock twice, since one of them forgot it.
pub(crate) fn split_redlock() -> Verdict {
    let vote =
        |server: &str, answer, elapsed_ns| VoteShown { server: server.into(), answer, elapsed_ns };
    let round = |begin_s: f64, votes| RoundShown {
        purpose: RoundPurpose::Acquire,
        begin_ns: at(begin_s),
        elapsed_ns: 51 * MS,
        validity_left_ns: Some(1927 * MS),
        votes,
    };
    let mut verdict = violated();
    verdict.backend = Backend::Redis;
    verdict.recipe = Recipe::Redlock;
    verdict.read_mode = ReadMode::Plain;
    verdict.version = "7.0.15".into();
    let cut = FaultSummary {
        aim: Aim::BareMajority,
        splits_clients: true,
        targets: vec!["n4".into(), "n5".into()],
        description: "n4 n5 | c1".into(),
        ..fault(1, 12.0, 22.31)
    };
    let kill = FaultSummary {
        kind: FaultKind::Kill,
        aim: Aim::BareMajority,
        targets: vec!["n3".into()],
        description: "n3".into(),
        spread_ms: None,
        hit_holder: Some(true),
        proof: vec!["n3 answered no probe, and then another process did".into()],
        ..fault(2, 13.5, 14.1)
    };
    verdict.faults = vec![cut, kill];
    verdict.fault_timing = Some(FaultTiming {
        faults: 1,
        median_spread_ms: Some(11.4),
        median_uncertainty_ms: Some(7.9),
        aimed_at_holder: 1,
        hit_holder: 1,
    });
    verdict.warnings.clear();
    verdict.known_bugs = vec![KnownBug {
        id: "redlock-crash".into(),
        title: "a server that dies and starts again has forgotten its vote".into(),
        class: ViolationClass::DoubleGrant,
        source: "Redis documentation, distributed locks".into(),
        url: Some("https://redis.io/docs/".into()),
        fixed: "by fsync always".into(),
    }];
    let operations = &mut verdict.violations[0].operations;
    let silent = || Answer::Unknown("no answer within 50 ms".into());
    operations[0].rounds = vec![round(
        13.36,
        vec![
            vote("n1", Answer::Yes, MS),
            vote("n2", Answer::Yes, 2 * MS),
            vote("n3", Answer::Yes, MS),
            vote("n4", silent(), 50 * MS),
            vote("n5", silent(), 50 * MS),
        ],
    )];
    operations[1].rounds = vec![round(
        14.26,
        vec![
            vote("n1", Answer::No, MS),
            vote("n2", Answer::No, MS),
            vote("n3", Answer::Yes, MS),
            vote("n4", Answer::Yes, MS),
            vote("n5", Answer::Yes, 2 * MS),
        ],
    )];
    verdict
}
