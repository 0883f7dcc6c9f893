//! Excerpts of real logs, each of one server that is made the leader or no longer is one.

use super::*;

/// Midnight of the day on which the excerpts were written.
const MIDNIGHT_NS: u64 = 1_795_737_600_000_000_000;

const N1: NodeId = NodeId(0);

fn told(server: &str, log: &str) -> Vec<Election> {
    elections(N1, [(server, log)], |wall_ns| wall_ns.checked_sub(MIDNIGHT_NS))
}

/// The minute, second and millisecond of each step.
fn steps(server: &str, log: &str) -> Vec<(ElectionStep, String)> {
    let step = |election: Election| {
        let ms = election.time_ns / 1_000_000;
        let time = format!("{:02}:{:02}.{:03}", ms / 60_000, ms / 1000 % 60, ms % 1000);
        (election.step, time)
    };
    told(server, log).into_iter().map(step).collect()
}

use ElectionStep::{Called, SteppedDown, Won};

/// Compares the steps in a log with those that it is known to have.
macro_rules! assert_steps {
    ($server:literal, $file:literal, $($step:ident $time:literal),* $(,)?) => {{
        let log = include_str!(concat!("excerpts/", $file, ".log"));
        let expected: Vec<(ElectionStep, String)> = vec![$(($step, $time.into())),*];
        assert_eq!(steps($server, log), expected, "{}", $file);
    }};
}

#[test]
fn etcd_tells_its_elections_in_words_that_never_changed_and_in_three_formats() {
    assert_steps!(
        "etcd", "etcd-3.3.25", Called "22:01.669", Won "22:01.671", SteppedDown "22:10.669",
        Called "22:11.669",
    );
    // Its Raft library tells whole seconds.
    assert_steps!(
        "etcd", "etcd-3.4.23", Called "22:25.000", Won "22:25.000", SteppedDown "22:34.000",
        Called "22:36.000",
    );
    assert_steps!(
        "etcd", "etcd-3.5.16", Called "22:50.513", Won "22:50.515", SteppedDown "22:59.513",
        Called "23:00.513", Called "23:01.513",
    );
}

#[test]
fn consul_tells_its_elections() {
    assert_steps!(
        "consul", "consul-1.8.7", Called "23:15.463", Called "23:17.011", Won "23:17.014",
        SteppedDown "23:22.746", Called "23:23.774", Called "23:25.705",
    );
}

#[test]
fn a_zookeeper_server_leads_once_a_quorum_supports_it() {
    assert_steps!(
        "zookeeper", "zookeeper-3.4.13", Called "23:32.926", Won "23:33.268",
        SteppedDown "23:41.292", Called "23:41.301",
    );
    assert_steps!(
        "zookeeper", "zookeeper-3.8.0", Called "23:57.241", Won "23:57.599",
        SteppedDown "24:04.662", Called "24:04.672",
    );
    assert_steps!(
        "zookeeper", "zookeeper-3.9.3", Called "24:21.418", Won "24:21.855",
        SteppedDown "24:29.410", Called "24:29.421",
    );
}

#[test]
fn a_sentinel_calls_for_a_failover_and_the_servers_tell_who_is_the_primary_now() {
    assert_steps!("sentinel", "sentinel-7.0.15", Called "24:54.046");
    assert_steps!("sentinel", "sentinel-valkey-8.1.1", Called "26:10.576");
    assert_steps!("redis", "redis-6.0.16-new-primary", Won "25:19.459");
    assert_steps!("redis", "redis-7.0.15-old-primary", SteppedDown "25:05.983");
    assert_steps!("redis", "redis-8.0.2-new-primary", Won "25:44.482");
    assert_steps!("redis", "valkey-8.1.1-new-primary", Won "26:10.790");
    assert_steps!("redis", "valkey-8.1.1-old-primary", SteppedDown "26:21.738");
}

const ETCD_LOG: &str = include_str!("excerpts/etcd-3.5.16.log");

#[test]
fn a_leader_that_was_killed_has_not_stepped_down_when_it_comes_back() {
    let (life, _) = ETCD_LOG.split_once("stepped down").expect("it does so once");
    let (life, _half_a_line) = life.rsplit_once('\n').expect("more than a line");
    let lives = format!("{life}\n{life}\n");
    let found: Vec<ElectionStep> =
        steps("etcd", &lives).into_iter().map(|(step, _)| step).collect();
    assert_eq!(found.iter().filter(|step| **step == Won).count(), 2);
    assert!(!found.contains(&SteppedDown), "{found:?}");
}

#[test]
fn a_replica_that_starts_with_what_it_had_on_disk_gives_nothing_up() {
    let line = "30:S 27 Nov 2026 00:25:05.983 * Before turning into a replica, using my own";
    assert_eq!(steps("redis", line), []);
}

#[test]
fn a_whole_second_is_no_earlier_than_the_line_above_it() {
    let log = "2026-11-27 00:22:25.700000 I | rafthttp: peer became inactive\n\
               raft2026/11/27 00:22:25 INFO: d07 is starting a new election at term 2\n";
    assert_eq!(steps("etcd", log), [(Called, "22:25.700".into())]);
}

#[test]
fn what_was_before_the_run_is_left_out() {
    let all = told("etcd", ETCD_LOG);
    let origin_ns = MIDNIGHT_NS + all[1].time_ns;
    let of_run = elections(N1, [("etcd", ETCD_LOG)], |ns| ns.checked_sub(origin_ns));
    assert_eq!(of_run.len(), all.len() - 1);
    assert_eq!((of_run[0].time_ns, of_run[0].step), (0, Won));
}

#[test]
fn the_logs_of_a_node_are_told_in_one_order_and_with_their_own_words() {
    let logs = [
        ("redis", include_str!("excerpts/redis-8.0.2-new-primary.log")),
        ("sentinel", include_str!("excerpts/sentinel-7.0.15.log")),
        ("something else", ETCD_LOG),
    ];
    let told = elections(NodeId(4), logs, Some);
    let lines: Vec<&str> = told.iter().map(|election| election.line.as_str()).collect();
    let [called, won] = lines[..] else { panic!("two steps: {lines:?}") };
    assert!(called.ends_with("# +try-failover master locktest 10.213.0.1 6379"), "{called}");
    assert!(won.starts_with("31:M 27 Nov 2026 00:25:44.482 * MASTER MODE enabled ("), "{won}");
    assert!(told.iter().all(|election| election.node == NodeId(4)));
}

#[test]
fn a_long_line_is_cut_between_two_letters() {
    let log = format!("    2026-11-27T00:23:15Z [WARN] {}", "ä".repeat(LONGEST_LINE));
    let log =
        log.replacen("[WARN] ", "[WARN] raft: heartbeat timeout reached, starting election ", 1);
    let told = told("consul", &log);
    assert_eq!(told[0].line.chars().count(), LONGEST_LINE);
    assert!(told[0].line.starts_with("2026-11-27T00:23:15Z [WARN] raft: "));
}
