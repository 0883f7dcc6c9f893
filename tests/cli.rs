//! The command line: what is refused, and how.

mod support;

use std::process::Command;

use support::{Bench, Ran};

#[test]
fn without_arguments_a_short_help_shows_examples() {
    let ran = Bench::new().run("").expect_code(2);
    let help = ran.stdout + &ran.stderr;
    assert_eq!(
        help.lines().filter(|line| line.contains("  locktest --backend")).count(),
        4,
        "{help}"
    );
}

#[test]
fn a_misspelt_word_is_refused_with_the_nearest_one() {
    let bench = Bench::new();
    for (line, nearest) in [
        ("--backend consl", "consul"),
        ("--backend consul --nemesis partitoin", "partition"),
        ("--backend consul --nemesis partition --partition leadr", "leader"),
        ("--bakend consul", "--backend"),
        ("--backend etcd --recipe cas-tll", "cas-ttl"),
        ("--backend etcd --workload mutxe", "mutex"),
        ("chekc x", "check"),
        ("lab stats", "status"),
    ] {
        let ran = bench.run(line).expect_code(2);
        let expected = format!("did you mean '{nearest}'?");
        assert!(ran.stderr.contains(&expected), "{line}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{line}");
    }
}

#[test]
fn a_flag_that_makes_no_sense_is_refused_with_the_reason() {
    let bench = Bench::new();
    for (line, reason) in [
        ("--backend sim --nemesis partition", "sim has no servers"),
        ("--backend consul --sim-bug double-grant", "belongs to sim"),
        ("--backend etcd --lease-ttl 1s", "no lease shorter than 2s"),
        ("--backend etcd --lease-ttl 2500ms", "whole seconds"),
        ("--backend zookeeper --lease-ttl 900ms", "1s to 10s"),
        ("--backend zookeeper --lease-ttl 11s", "1s to 10s"),
        ("--backend consul --lease-ttl 900ms", "no session TTL below 1s"),
        ("--backend redis --lease-ttl 50ms", "within 100ms"),
        ("--backend etcd --lock-delay 1s", "belongs to consul"),
        ("--backend etcd --session-behavior delete", "belongs to consul"),
        ("--backend etcd --cas-wait poll", "belongs to recipe cas-ttl"),
        ("--backend zookeeper --redis-persistence always", "belongs to redis"),
        ("--backend redis --recipe single --redlock-requests parallel", "recipe redlock"),
        ("--backend etcd --recipe redlock", "etcd has lock-rpc, cas-ttl and election-key"),
        ("--backend consul --recipe cas-ttl", "consul has session"),
        ("--backend etcd --read-mode stale", "etcd has linearizable and serializable"),
        ("--backend etcd --read-mode serializable", "--workload register"),
        ("--backend consul --workload critical-section --read-mode stale", "critical-section"),
        ("--backend redis --nodes-count 4", "odd number of servers"),
        ("--backend redis --recipe single --nodes-count 3", "has one server"),
        ("--backend redis --recipe sentinel --nodes-count 2", "one for each sentinel"),
        ("--backend redis --renew-while-waiting true", "no lease to renew"),
        ("--backend redis --redlock-node-timeout 2s", "not shorter than the lease"),
        ("--backend redis --nemesis partition --partition leader", "have no leader"),
        ("--backend zookeeper --server-binary /bin/true", "no single program"),
        ("--backend etcd --server-binary /bin/true --version 3.5.16", "cannot be used with"),
        ("--backend etcd --workload register --overrun", "takes no locks"),
        ("--backend etcd --workload different-keys --keys 3", "one lock for each client"),
        ("--backend consul --nemesis partition --nodes-count 2", "at least 3"),
        ("--backend consul --partition leader", "--nemesis partition"),
        ("--backend sim --clients 0", "--clients is 0"),
        ("--backend sim --version 1.0", "part of locktest"),
        ("--backend sim --workload register --sim-bug double-grant", "takes no locks"),
        ("--backend consul --lock-delay 61s", "longer than 60s"),
        ("--backend redis --redlock-node-timeout 500us", "whole milliseconds"),
        ("--backend sim --time-limit 0s", "--time-limit is zero"),
        ("--backend sim --time-limit soon", "--time-limit"),
        ("--backend consul --lab-subnet 8.8.8.0/24", "8.8.8.0/24"),
    ] {
        let ran = bench.run(line).expect_code(2);
        assert!(ran.stderr.contains(reason), "{line}: {}", ran.stderr);
    }
}

#[test]
fn a_version_that_cannot_be_had_is_refused_with_those_that_can() {
    let ran = Bench::with_lab().run("--backend etcd --version 9.9.9").expect_code(5);
    for version in ["9.9.9", "3.3.25", "3.4.23", "3.5.16"] {
        assert!(ran.stderr.contains(version), "{}", ran.stderr);
    }
}

#[test]
fn an_unknown_key_of_the_configuration_file_is_refused_with_the_nearest_one() {
    let bench = Bench::new();
    std::fs::write(bench.path().join("locktest.toml"), "cleints = 3\n").expect("a file");
    let ran = bench.run("--backend sim --dry-run").expect_code(2);
    assert!(ran.stderr.contains("did you mean 'clients'?"), "{}", ran.stderr);
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let bench = Bench::new();
    let text = "backend = \"sim\"\nclients = 3\nkeys = 4\nhold = \"7ms\"\n";
    std::fs::write(bench.path().join("locktest.toml"), text).expect("a file");
    let mut command = bench.locktest("run --clients 9 --dry-run --json");
    command.env("LOCKTEST_KEYS", "2").env("LOCKTEST_CLIENTS", "8");
    let plan = &Ran::of(command.output().expect("it runs")).expect_code(0).json()["plan"];
    assert_eq!(plan["client_seeds"].as_array().expect("a list").len(), 9);
    assert_eq!(plan["keys"].as_array().expect("a list").len(), 2);
    assert_eq!(plan["hold_ms"], 7);
}

#[test]
fn equal_seeds_make_equal_plans_and_other_seeds_make_others() {
    let bench = Bench::new();
    let plan = |seed: u32| {
        let line = format!("--backend consul --nemesis partition --seed {seed} --dry-run --json");
        bench.run(&line).expect_code(0).json()["plan"].clone()
    };
    assert_eq!(plan(1), plan(1));
    assert_ne!(plan(1)["schedule"], plan(2)["schedule"]);
    assert_ne!(plan(1)["client_seeds"], plan(2)["client_seeds"]);
}

#[test]
fn a_dry_run_prints_the_commands_of_lab_servers_and_faults_and_does_nothing() {
    let bench = Bench::new();
    let ran = bench.run("--backend etcd --nemesis partition --seed 1 --dry-run").expect_code(0);
    for part in ["ip netns", "setsid nohup", "--initial-cluster=n1=", "iptables-restore"] {
        assert!(ran.stdout.contains(part), "{part} is not in\n{}", ran.stdout);
    }
    assert!(!bench.path().join("store").exists());
}

#[test]
fn whoever_is_not_root_is_told_what_needs_root_in_one_line() {
    let bench = Bench::new();
    // The binary may live where only root may go.
    let copy = bench.path().join("locktest");
    std::fs::copy(env!("CARGO_BIN_EXE_locktest"), &copy).expect("a copy");
    for path in [bench.path(), &copy] {
        assert!(Command::new("chmod").arg("755").arg(path).status().expect("chmod").success());
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy);
    command.args(["--backend", "consul"]).current_dir(bench.path());
    let ran = Ran::of(command.output().expect("setpriv runs")).expect_code(5);
    assert_eq!(ran.stderr.trim().lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("root") && ran.stderr.contains("sudo"), "{}", ran.stderr);
}

#[test]
fn a_missing_program_is_named_with_the_command_that_installs_it() {
    let bench = Bench::new();
    // A mount namespace of its own, in which the system's programs are hidden.
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", "mount -t tmpfs none /usr/sbin && exec \"$@\"", "sh"]);
    command.arg(env!("CARGO_BIN_EXE_locktest")).args(["--backend", "consul"]);
    command.current_dir(bench.path());
    let ran = Ran::of(command.output().expect("unshare runs")).expect_code(5);
    assert!(ran.stderr.contains("apt-get install"), "{}", ran.stderr);
    assert!(ran.stderr.contains("openssh-server"), "{}", ran.stderr);
}

#[test]
fn a_server_binary_that_is_none_is_refused_by_its_path() {
    let bench = Bench::new();
    for binary in ["/nowhere/consul", "/bin/true"] {
        let line = format!("--backend consul --server-binary {binary}");
        let ran = bench.run(&line).expect_code(5);
        assert!(ran.stderr.contains(binary), "{}", ran.stderr);
    }
}

#[test]
fn nothing_to_heal_is_fine() {
    let ran = Bench::new().run("heal").expect_code(0);
    assert!(ran.stdout.contains("nothing to heal"), "{}", ran.stdout);
    let json = Bench::new().run("heal --json").expect_code(0).json();
    assert_eq!(json["runs"].as_array().map(Vec::len), Some(0));
}
