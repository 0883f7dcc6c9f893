//! What each node cost during the workload's time.

mod common;

use common::{MS, Story};
use locktest_analyzer::{NodeCost, Verdict};
use locktest_history::{Milestone, NodeId, ProcessUsage, Record, Usage};

const MB: u64 = 1_000_000;

/// One look at the second server: each process by its id, processor milliseconds and memory in MB. It
/// writes a byte for each of its milliseconds, and the node receives two and sends three for each
/// millisecond of the run.
fn look(s: &mut Story, ms: u64, processes: &[(u32, u64, u64)]) {
    look_at(s, 1, ms, processes);
}

fn look_at(s: &mut Story, node: u16, ms: u64, processes: &[(u32, u64, u64)]) {
    let process = |&(pid, cpu_ms, resident_mb): &(u32, u64, u64)| ProcessUsage {
        pid,
        cpu_ms,
        resident_bytes: resident_mb * MB,
        written_bytes: cpu_ms,
    };
    s.record(Record::Usage(Usage {
        time_ns: ms * MS,
        node: NodeId(node),
        processes: processes.iter().map(process).collect(),
        received_bytes: 5000 + 2 * ms,
        sent_bytes: 9000 + 3 * ms,
    }));
}

fn only(verdict: &Verdict) -> &NodeCost {
    let [cost] = &verdict.cost[..] else { panic!("one node: {:?}", verdict.cost) };
    cost
}

#[test]
fn a_node_costs_what_its_counters_grew_by_between_ready_and_time_up() {
    let mut s = Story::new();
    s.milestone(500, Milestone::ClusterReady);
    look(&mut s, 1000, &[(7, 4000, 80)]);
    look(&mut s, 2000, &[(7, 4300, 95)]);
    look(&mut s, 5000, &[(7, 5000, 90)]);
    s.milestone(5500, Milestone::TimeUp);
    look(&mut s, 6000, &[(7, 9000, 300)]);
    let verdict = s.end(7000);
    let expected = NodeCost {
        node: "n2".into(),
        sampled_s: 4.0,
        cpu_s: 1.0,
        cpu_percent_of_one_core: 25.0,
        peak_resident_bytes: 95 * MB,
        written_bytes: 1000,
        received_bytes: 8000,
        sent_bytes: 12_000,
    };
    assert_eq!(only(&verdict), &expected);
}

#[test]
fn a_server_that_was_restarted_begins_again_at_zero() {
    let mut s = Story::new();
    look(&mut s, 1000, &[(7, 4000, 80)]);
    look(&mut s, 2000, &[(7, 4300, 80)]);
    look(&mut s, 3000, &[]);
    look(&mut s, 4000, &[(9, 200, 40)]);
    look(&mut s, 5000, &[(9, 500, 50)]);
    let verdict = s.end(6000);
    assert_eq!((only(&verdict).cpu_s, only(&verdict).written_bytes), (0.8, 800));
    assert_eq!(only(&verdict).peak_resident_bytes, 80 * MB);
}

#[test]
fn a_process_with_the_id_of_one_that_is_gone_is_another() {
    let mut s = Story::new();
    look(&mut s, 1000, &[(7, 4000, 80)]);
    look(&mut s, 2000, &[(7, 30, 80)]);
    assert_eq!(only(&s.end(3000)).cpu_s, 0.03);
}

#[test]
fn the_processes_of_a_node_count_together_and_their_memory_at_one_instant() {
    let mut s = Story::new();
    look(&mut s, 1000, &[(7, 0, 80), (8, 0, 5)]);
    look(&mut s, 2000, &[(7, 100, 20), (8, 10, 30)]);
    let verdict = s.end(3000);
    assert_eq!((only(&verdict).cpu_s, only(&verdict).peak_resident_bytes), (0.11, 85 * MB));
}

#[test]
fn a_node_that_was_looked_at_less_than_twice_is_missing() {
    let mut s = Story::new();
    assert_eq!(s.cut().cost, []);
    look_at(&mut s, 0, 1000, &[(7, 4000, 80)]);
    assert_eq!(s.cut().cost, []);
    look_at(&mut s, 2, 1000, &[(7, 4000, 80)]);
    look_at(&mut s, 2, 2000, &[(7, 4000, 80)]);
    assert_eq!(only(&s.end(3000)).node, "n3");
}

#[test]
fn looks_that_arrive_at_one_instant_cost_no_share_of_it() {
    let mut s = Story::new();
    look(&mut s, 1000, &[(7, 4000, 80)]);
    look(&mut s, 1000, &[(7, 4100, 80)]);
    assert_eq!(only(&s.end(3000)).cpu_percent_of_one_core, 0.0);
}
