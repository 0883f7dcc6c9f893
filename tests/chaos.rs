//! Chaos of the chaos tool: its control node is killed at random moments, nobody comes back, and
//! within the deadline no fault is left anywhere.
//!
//! By default a few moments are tried; `LOCKTEST_CHAOS_MOMENTS` says how many, as in `make soak`.

#![expect(clippy::print_stdout, reason = "the progress and the result of a long test")]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use locktest_history::FaultKind;
use locktest_lab::NODE_BASE;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::{Bench, Ran};

const MOMENTS_BY_DEFAULT: usize = 5;

/// So many labs stand side by side.
const LABS: usize = 5;

const NODES: [&str; 3] = ["n1", "n2", "n3"];

const BACKENDS: [&str; 4] = ["etcd", "redis", "zookeeper", "consul"];

/// From the start of a run until its servers answer, on a slow machine with other labs on it.
const READY: Duration = Duration::from_secs(120);

/// With intervals of a second this is enough for two faults.
const LAST_MOMENT_MS: u64 = 6000;

/// The longest fault lasts nine seconds (a client that is to miss a Consul lease), and its host
/// undoes it twenty seconds after that. The rest is for a slow machine.
const DEADLINE: Duration = Duration::from_secs(9 + 20 + 15);

const SEED: u64 = 20;

#[test]
fn whenever_the_control_node_is_killed_no_fault_is_left_within_the_deadline() {
    let moments = match std::env::var("LOCKTEST_CHAOS_MOMENTS") {
        Ok(moments) => moments.parse().expect("LOCKTEST_CHAOS_MOMENTS is a number"),
        Err(_) => MOMENTS_BY_DEFAULT,
    };
    let next = AtomicUsize::new(0);
    let ended = Mutex::new(Vec::new());
    // Tests with labs of other files take turns with this one.
    let turn = Bench::with_lab();
    std::thread::scope(|scope| {
        for number in 0..LABS.min(moments) {
            let (next, ended) = (&next, &ended);
            scope.spawn(move || {
                let lab = ChaosLab::up(number);
                loop {
                    let moment = next.fetch_add(1, Ordering::Relaxed);
                    if moment >= moments {
                        return;
                    }
                    let result = lab.kill_at(moment);
                    println!("{result}");
                    ended.lock().expect("no thread panicked").push(result);
                }
            });
        }
    });
    drop(turn);
    let ended = ended.into_inner().expect("no thread panicked");
    assert_eq!(ended.len(), moments);
    let in_force = ended.iter().filter(|moment| moment.open_faults > 0).count();
    let slowest = ended.iter().map(|moment| moment.clean_after).max().unwrap_or_default();
    println!(
        "{moments} moments, {in_force} of them with a fault under way; all clean, the last {:.1} s \
         after the kill",
        slowest.as_secs_f64()
    );
}

/// A moment at which the control node was killed, and what came of it.
struct Moment {
    number: usize,
    what: String,
    /// Faults that the journal had and that were not undone.
    open_faults: usize,
    clean_after: Duration,
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "moment {}: {}, {} faults under way, clean after {:.1} s",
            self.number,
            self.what,
            self.open_faults,
            self.clean_after.as_secs_f64()
        )
    }
}

/// A standing lab of its own, with rules of somebody else's.
struct ChaosLab {
    bench: Bench,
    id: String,
    rules: Vec<String>,
}

impl ChaosLab {
    fn up(number: usize) -> ChaosLab {
        let bench = Bench::new();
        let id = format!("chaos{number}");
        bench.run(&format!("lab up {id} --nodes-count 3 --clients 3")).expect_code(0);
        let mut lab = ChaosLab { bench, id, rules: Vec::new() };
        let plant = "iptables -N FOREIGN && iptables -A INPUT -s 192.0.2.1 -j FOREIGN && \
                     iptables -A OUTPUT -p udp --dport 9 -j REJECT && iptables -S";
        lab.rules = NODES.map(|node| lab.on(node, plant)).into();
        lab
    }

    fn on(&self, node: &str, script: &str) -> String {
        let mut command = self.bench.locktest(&format!("lab ssh --lab {} {node}", self.id));
        Ran::of(command.arg(script).output().expect("locktest starts")).expect_code(0).stdout
    }

    /// Runs faults of one kind after another, and kills the control node at a moment that chance
    /// chooses.
    fn kill_at(&self, number: usize) -> Moment {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        rng.set_stream(number as u64);
        // So that the first few moments already meet many ways to leave something behind.
        let kind = FaultKind::ALL[(number * 2 + 7) % FaultKind::ALL.len()];
        let backend = match BACKENDS[number % BACKENDS.len()] {
            // Its Java VM cannot have such a fault.
            "zookeeper" if kind == FaultKind::ClockMonotonic => "etcd",
            backend => backend,
        };
        let delay = Duration::from_millis(rng.random_range(0..LAST_MOMENT_MS));
        let line = format!(
            "--backend {backend} --nodes-count 3 --clients 3 --lab {} --nemesis {kind} \
             --nemesis-interval 1s --time-limit 60s --seed {number}",
            self.id
        );
        let mut run = self.bench.start(&line);
        run.wait_for("answered a write", READY);
        std::thread::sleep(delay);
        run.signal("-KILL");
        let killed = Instant::now();
        run.wait(Duration::from_secs(5));
        let open_faults = open_faults(&self.bench.latest().join("faults.jsonl"));
        let what = format!("{kind} on {backend}, {:.2} s after it was ready", delay.as_secs_f64());
        loop {
            let left = self.left(backend, kind);
            if left.is_empty() {
                break;
            }
            assert!(killed.elapsed() < DEADLINE, "moment {number}, {what}: {}", left.join("\n"));
            std::thread::sleep(Duration::from_millis(200));
        }
        let clean_after = killed.elapsed();
        let checked = self.bench.run("check store/latest --json");
        assert!(matches!(checked.code, Some(0 | 1 | 3)), "{}", checked.stderr);
        let warnings = &checked.json()["warnings"];
        assert!(warnings.to_string().contains("interrupted"), "{warnings}");
        let healed = self.bench.run("heal").expect_code(0);
        assert!(!healed.stdout.contains("STILL"), "{}", healed.stdout);
        assert!(self.bench.run("heal").expect_code(0).stdout.contains("nothing to heal"));
        Moment { number, what, open_faults, clean_after }
    }

    /// Everything that is not as it was before the run, or as a run without faults leaves it.
    fn left(&self, backend: &str, kind: FaultKind) -> Vec<String> {
        let mut left = Vec::new();
        let clock = match kind.moves_clocks() {
            true => {
                "read pid start < $server; ../bin/locktest clock remains --file clock --wait-ms 0 $pid"
            }
            false => "",
        };
        let look = format!(
            "iptables -S; cd {NODE_BASE}/run; server={backend}.pid
             grep -l '^State:.T' /proc/[0-9]*/status
             ls | grep ^LT-
             {clock}
             if read pid start < {backend}.pid && [ -d /proc/$pid ]; then echo its server runs; fi"
        );
        for (node, rules) in NODES.iter().zip(&self.rules) {
            let found = self.on(node, &look);
            if found != format!("{rules}its server runs\n") {
                left.push(format!("{node}: {found}"));
            }
        }
        let timers = std::fs::read_dir(self.bench.path().join("state/fault-timers"));
        for timer in timers.into_iter().flatten().flatten() {
            left.push(format!("the control node has {}", timer.path().display()));
        }
        for client in 1..=NODES.len() {
            let namespace = format!("lt-{}-c{client}", self.id);
            let output = Command::new("ip").args(["netns", "pids", &namespace]).output();
            let output = output.expect("ip runs");
            if !output.stdout.is_empty() {
                let pids = String::from_utf8_lossy(&output.stdout).replace('\n', " ");
                left.push(format!("c{client} still runs as {pids}"));
            }
        }
        left
    }
}

/// How many faults a journal has that were not undone.
fn open_faults(journal: &Path) -> usize {
    let lines = std::fs::read_to_string(journal).unwrap_or_default();
    let count = |what: &str| lines.lines().filter(|line| line.starts_with(what)).count();
    count(r#"{"intent""#) - count(r#"{"undone""#)
}
