//! The command line: what is refused, and how.

mod support;

use std::process::Command;

use locktest_history::{
    Aim, ClientId, Fault, FaultBegun, FaultKind, Milestone, Plan, Record, Run, RunDir, Target,
    TookEffect,
};
use serde_json::Value;
use support::{Bench, Ran};

#[test]
fn without_arguments_a_short_help_shows_examples() {
    let ran = Bench::new().run("").expect_code(2);
    let help = ran.stdout + &ran.stderr;
    assert_eq!(
        help.lines().filter(|line| line.contains("  locktest --backend")).count(),
        6,
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
        ("--backend consul --nemesis kill,puase", "pause"),
        ("--backend consul --nemesis kill --target leadr", "leader"),
        ("--backend consul --nemesis partition --partition-packets rejct", "reject"),
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
        ("--backend zookeeper --server-binary /bin/true", "no single program"),
        ("--backend etcd --server-binary /bin/true --version 3.5.16", "cannot be used with"),
        ("--backend etcd --workload register --overrun", "takes no locks"),
        ("--backend etcd --workload different-keys --keys 3", "one lock for each client"),
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
fn a_fault_that_the_run_cannot_have_is_refused_with_the_reason() {
    let bench = Bench::new();
    for (line, reason) in [
        ("--backend sim --nemesis partition", "sim has no servers"),
        ("--backend sim --nemesis client-pause,kill", "it can have client-pause and client-kill"),
        ("--backend sim --nemesis restart-all", "sim has no servers"),
        ("--backend sim --nemesis client-partition", "no network"),
        ("--backend sim --nemesis clock", "sim has no servers"),
        ("--backend zookeeper --nemesis clock-monotonic", "the Java VM of zookeeper"),
        ("--backend etcd --nemesis clock-monotonic --clock forward", "choose --clock back or slow"),
        ("--backend etcd --nemesis kill --clock back", "add --nemesis clock"),
        ("--backend etcd --clock-offset 5s", "add --nemesis clock"),
        ("--backend etcd --nemesis clock --clock fast --clock-offset 5s", "does not jump"),
        ("--backend etcd --nemesis clock --clock-offset 0s", "--clock-offset is zero"),
        ("--backend etcd --nemesis clock --target holder", "holder-server"),
        ("--backend consul --nemesis none,kill", "none stands alone"),
        ("--backend consul --nemesis kill,all", "all stands alone"),
        ("--backend consul --nemesis partition --nodes-count 2", "at least 3"),
        ("--backend consul --partition leader", "--nemesis partition"),
        ("--backend consul --nemesis kill --partition bridge", "--nemesis partition"),
        ("--backend consul --nemesis kill --partition-direction in", "--nemesis partition"),
        ("--backend consul --nemesis client-partition --partition-between clients", "--nemesis"),
        ("--backend consul --partition-packets rst", "--nemesis partition"),
        ("--backend redis --nemesis partition --partition leader", "have no leader"),
        ("--backend redis --nemesis partition --partition bridge", "is between servers"),
        (
            "--backend redis --nemesis partition --partition-between servers",
            "nothing of each other",
        ),
        (
            "--backend etcd --nemesis partition --partition majority-ring --nodes-count 3",
            "needs at least 4",
        ),
        (
            "--backend etcd --nemesis all --partition majority-ring --nodes-count 3",
            "needs at least 4",
        ),
        (
            "--backend etcd --nemesis partition --partition bridge --partition-between clients",
            "is between servers",
        ),
    ] {
        let ran = bench.run(line).expect_code(2);
        assert!(ran.stderr.contains(reason), "{line}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{line}");
    }
}

#[test]
fn a_target_at_which_a_fault_cannot_be_aimed_is_refused_with_those_at_which_it_can() {
    let bench = Bench::new();
    for (line, reason) in [
        ("--backend etcd --target leader", "--nemesis kill"),
        ("--backend etcd --nemesis kill --target holder", "the holder-server"),
        ("--backend etcd --nemesis kill --target c1", "names such as n1,n2"),
        ("--backend etcd --nemesis kill --target n1,c1", "names such as n1,n2"),
        ("--backend etcd --nemesis kill --target n9", "nobody is named 'n9'"),
        ("--backend etcd --nemesis kill --target n9", "n1, n2, n3, n4, n5, c1"),
        ("--backend etcd --nemesis kill --target n1,leader", "'leader' stands alone"),
        ("--backend etcd --nemesis restart-all --target n1", "done to all servers"),
        ("--backend etcd --nemesis client-pause --target n1", "names such as c1"),
        ("--backend etcd --nemesis client-kill --target minority", "one client, all, the holder"),
        ("--backend etcd --nemesis partition --target holder", "client-partition"),
        ("--backend etcd --nemesis partition --target all", "cannot be aimed so"),
        ("--backend etcd --nemesis partition --target n1,n2,n3,n4,n5", "done to nobody"),
        ("--backend etcd --nemesis partition --partition one --target n1", "give one of them"),
        ("--backend etcd --nemesis kill,partition --partition mixed --target n1", "give one of"),
        ("--backend etcd --nemesis kill --target minority --nodes-count 2", "have no minority"),
        ("--backend redis --nemesis kill --target leader", "have no leader"),
        ("--backend redis --nemesis kill --target primary", "have no leader"),
        ("--backend redis --nemesis kill --target holder-server", "talks to all servers"),
        (
            "--backend etcd --workload register --nemesis client-pause --target holder",
            "takes no locks",
        ),
    ] {
        let ran = bench.run(line).expect_code(2);
        assert!(ran.stderr.contains(reason), "{line}: {}", ran.stderr);
    }
}

#[test]
fn a_fault_that_takes_more_servers_than_it_may_is_refused() {
    let bench = Bench::new();
    for (line, reason) in [
        (
            "--nemesis restart-all --max-affected 2",
            "--nemesis restart-all takes all 5 servers from the majority, and --max-affected allows 2",
        ),
        ("--nemesis kill --target majority --max-affected minority", "--max-affected allows 2"),
        ("--nemesis kill --target minority --max-affected 1", "takes 2 of 5 servers"),
        ("--nemesis partition --partition bridge --max-affected 4", "takes all 5 servers"),
        ("--nemesis kill --max-affected few", "a number of servers, minority or none"),
    ] {
        let ran = bench.run(&format!("--backend etcd {line}")).expect_code(2);
        assert!(ran.stderr.contains(reason), "{line}: {}", ran.stderr);
    }
}

/// The drawn faults of the plan that a dry run prints.
fn drawn(bench: &Bench, line: &str) -> Vec<Value> {
    let json = bench.run(&format!("{line} --seed 1 --dry-run --json")).expect_code(0).json();
    let schedule = json["plan"]["schedule"].as_array().expect("a list").clone();
    schedule.into_iter().map(|planned| planned["drawn"].clone()).collect()
}

/// The kinds of these faults, each once, sorted.
fn kinds(faults: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> =
        faults.iter().map(|fault| fault["kind"].as_str().expect("a kind")).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

#[test]
fn a_plan_has_the_kinds_that_were_asked_for_whatever_their_order() {
    let bench = Bench::new();
    let one = drawn(&bench, "--backend consul --nemesis kill,client-pause");
    assert_eq!(kinds(&one), ["client-pause", "kill"]);
    assert_eq!(one, drawn(&bench, "--backend consul --nemesis client-pause,kill,kill"));
}

#[test]
fn all_faults_are_those_that_the_run_can_have() {
    let bench = Bench::new();
    let all = |line: &str| {
        let faults = drawn(&bench, &format!("{line} --nemesis all --time-limit 300s"));
        kinds(&faults).into_iter().map(str::to_owned).collect::<Vec<String>>()
    };
    assert_eq!(all("--backend sim"), ["client-kill", "client-pause"]);
    let etcd = all("--backend etcd");
    assert_eq!(etcd.len(), FaultKind::ALL.len() - 1);
    assert!(!etcd.contains(&"clock-monotonic".to_owned()), "no store promises anything of it");
    let gentle = all("--backend etcd --max-affected minority");
    assert_eq!(gentle.len(), etcd.len() - 1, "{gentle:?}");
    assert!(!gentle.contains(&"restart-all".to_owned()));
    let of_clients = all("--backend etcd --target holder");
    assert_eq!(of_clients, ["client-kill", "client-partition", "client-pause"]);
}

#[test]
fn faults_are_aimed_as_the_flags_say_and_as_the_workload_allows() {
    let bench = Bench::new();
    for (line, aim) in [
        ("--backend etcd --nemesis client-pause", r#"{"target":"holder"}"#),
        ("--backend etcd --workload register --nemesis client-pause", r#"{"target":"one"}"#),
        ("--backend etcd --nemesis kill --target primary", r#"{"target":"leader"}"#),
        (
            "--backend etcd --nemesis pause --target n2,n1",
            r#"{"target":{"named":[{"server":1},{"server":0}]}}"#,
        ),
        ("--backend etcd --nemesis partition --partition bridge", r#"{"shape":"bridge"}"#),
        ("--backend redis --nemesis kill --time-limit 10s", r#""bare-majority""#),
        ("--backend sim --nemesis client-kill --target all", r#"{"target":"all"}"#),
    ] {
        for fault in drawn(&bench, line) {
            assert_eq!(fault["aim"].to_string(), aim, "{line}");
        }
    }
}

#[test]
fn a_partition_is_plain_unless_it_is_told_otherwise() {
    let bench = Bench::new();
    for (line, between, direction, packets) in [
        ("--backend etcd", "servers", "both", "drop"),
        ("--backend redis", "clients", "both", "drop"),
        ("--backend etcd --partition-between clients", "clients", "both", "drop"),
        ("--backend etcd --partition-direction in", "servers", "in", "drop"),
        ("--backend etcd --partition-packets rst", "servers", "both", "reset"),
    ] {
        let faults = drawn(&bench, &format!("{line} --nemesis partition"));
        assert_ne!(faults, Vec::<Value>::new());
        for fault in faults {
            assert_eq!(fault["between"], between, "{line}");
            assert_eq!(fault["direction"], direction, "{line}");
            assert_eq!(fault["packets"], packets, "{line}");
        }
    }
}

#[test]
fn help_has_every_fault_and_every_shape() {
    let help = Bench::new().run("run --help").expect_code(0).stdout;
    for kind in FaultKind::ALL {
        assert!(help.contains(&format!("\n  {kind} ")), "{kind} is not in\n{help}");
    }
    for shape in locktest_history::PartitionShape::ALL {
        assert!(help.contains(&format!("\n  {} ", shape.name())), "{shape:?} is not in\n{help}");
    }
    let replay = Bench::new().run("replay --help").expect_code(0).stdout;
    assert!(replay.contains("locktest replay store/latest"), "{replay}");
}

/// The plan of a line.
fn plan(bench: &Bench, line: &str) -> Value {
    bench.run(&format!("{line} --dry-run --json")).expect_code(0).json()["plan"].clone()
}

/// Writes a run of `line` that paused the second client, as if it had run.
fn write_run(bench: &Bench, line: &str, with_fault: bool) -> RunDir {
    let plan: Plan = serde_json::from_value(plan(bench, line)).expect("a plan");
    let run = Run {
        id: "0a1b2c".into(),
        started_at_unix_s: 1,
        origin_monotonic_ns: 2,
        command: format!("locktest {line}"),
        lab: None,
        plan,
    };
    let run_dir = RunDir::create(&bench.path().join("store"), "a-run").expect("a folder");
    let mut history = run_dir.begin(&run).expect("a history");
    let ready = Record::Milestone { time_ns: 1_000_000, what: Milestone::ClusterReady };
    history.append(&ready).expect("a record");
    if with_fault {
        let aim = Aim::Target(Target::Holder);
        let fault = Fault {
            clients: vec![ClientId(1)],
            holder: Some(ClientId(1)),
            ..Fault::new(FaultKind::ClientPause, aim, 300)
        };
        let (begin_ns, in_force_ns) = (501_000_000, 502_000_000);
        let host = TookEffect { host: "control".into(), from_ns: begin_ns, until_ns: in_force_ns };
        let begun = FaultBegun { id: 1, fault, begin_ns, in_force_ns, hosts: vec![host] };
        history.append(&Record::FaultBegun(begun.into())).expect("a record");
    }
    history.finish().expect("a whole history");
    run_dir
}

const PAUSED: &str = "--backend sim --nemesis client-pause --time-limit 5s --hold 20ms --seed 7";

#[test]
fn a_replay_has_the_plan_of_the_run_and_the_faults_that_it_had() {
    let bench = Bench::new();
    write_run(&bench, PAUSED, true);
    let mut replayed = plan(&bench, "replay store/latest");
    let fixed = replayed["schedule"][0]["fixed"].clone();
    assert_eq!(fixed["at_ms"], 500);
    assert_eq!(fixed["fault"]["kind"], "client-pause");
    assert_eq!(fixed["fault"]["clients"][0], 1);
    let original = plan(&bench, PAUSED);
    replayed["schedule"] = original["schedule"].clone();
    assert_eq!(replayed, original);
}

#[test]
fn a_replay_of_a_replay_has_its_own_faults() {
    let bench = Bench::new();
    let line = format!("{PAUSED} --faults-of '/no longer/there'");
    let run_dir = write_run(&bench, PAUSED, true);
    let mut run: Run =
        serde_json::from_slice(&std::fs::read(run_dir.run()).expect("run.json")).expect("a run");
    run.command = format!("locktest {line}");
    let again = RunDir::create(&bench.path().join("store"), "replay").expect("a folder");
    let records = run_dir.read_history().expect("a history").records;
    let mut history = again.begin(&run).expect("a history");
    for record in &records {
        history.append(record).expect("a record");
    }
    history.finish().expect("a whole history");
    let replayed = plan(&bench, "replay store/replay");
    assert_eq!(replayed["schedule"][0]["fixed"]["at_ms"], 500);
}

#[test]
fn a_run_that_cannot_be_replayed_is_refused_with_the_reason() {
    let bench = Bench::new();
    let ran = bench.run("replay store/latest").expect_code(2);
    assert!(ran.stderr.contains("is not a run directory"), "{}", ran.stderr);
    write_run(&bench, "--backend sim --seed 1", false);
    let ran = bench.run("replay store/latest").expect_code(2);
    assert!(ran.stderr.contains("had no faults"), "{}", ran.stderr);
}

#[test]
fn a_replay_that_would_be_another_run_is_refused_with_what_differs() {
    let bench = Bench::new();
    write_run(&bench, PAUSED, true);
    let mut command = bench.locktest("replay store/latest --dry-run");
    command.env("LOCKTEST_LEASE_TTL", "3s");
    let ran = Ran::of(command.output().expect("it runs")).expect_code(2);
    assert!(ran.stderr.contains("lease_ttl_ms was 2000 and is 3000"), "{}", ran.stderr);
}

#[test]
fn the_faults_of_a_run_need_as_many_servers_and_clients() {
    let bench = Bench::new();
    write_run(&bench, PAUSED, true);
    let ran = bench.run("--backend sim --clients 3 --faults-of store/latest").expect_code(2);
    assert!(ran.stderr.contains("1 servers and 5 clients"), "{}", ran.stderr);
    let faults = "--backend sim --sim-bug stall --faults-of store/latest";
    assert_eq!(plan(&bench, faults)["schedule"][0]["fixed"]["at_ms"], 500);
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
fn the_catalogue_lists_and_shows_every_entry() {
    let bench = Bench::new();
    let entries = bench.run("catalog list --json").expect_code(0).json();
    let entries = entries.as_array().expect("a list");
    let list = bench.run("catalog list").expect_code(0).stdout;
    assert_eq!(list.lines().count(), entries.len() + 2, "{list}");
    for entry in entries {
        let id = entry["id"].as_str().expect("an id");
        assert!(list.lines().any(|line| line.starts_with(&format!("{id} "))), "{list}");
        let shown = bench.run(&format!("catalog show {id}")).expect_code(0).stdout;
        assert!(shown.starts_with(&format!("{id}: ")), "{shown}");
    }
}

#[test]
fn a_command_of_the_catalogue_can_be_copied() {
    let bench = Bench::new();
    let shown = bench.run("catalog show etcd-11456").expect_code(0).stdout;
    let command = shown.lines().find(|line| line.starts_with("locktest run")).expect("a command");
    let line = command.replacen("locktest ", "", 1) + " --dry-run --json";
    let plan = &bench.run(&line).expect_code(0).json()["plan"];
    assert_eq!(plan["renew_while_waiting"], false);
}

#[test]
fn an_unknown_entry_is_refused_with_the_nearest_before_anything_runs() {
    let bench = Bench::new();
    for line in ["catalog show etcd-11465", "catalog run redlock-pause etcd-11465"] {
        let ran = bench.run(line).expect_code(2);
        assert!(ran.stderr.contains("did you mean 'etcd-11456'?"), "{line}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{line}");
    }
    assert!(!bench.path().join("store").exists());
    bench.run("catalog run").expect_code(2);
}

#[test]
fn a_bench_tells_the_command_of_every_cell_which_is_one_of_run() {
    let bench = Bench::new();
    let line = "bench --dry-run --repeat 2 --seed 5 --backends etcd/cas-ttl,sim --processes 1,3";
    let commands = bench.run(line).expect_code(0).stdout;
    // Three cells of each store: one client has a key of its own whatever is asked for.
    assert_eq!(commands.lines().count(), 2 * 2 * 3, "{commands}");
    assert_eq!(bench.run(line).expect_code(0).stdout, commands, "the seed decides the order");
    for command in commands.lines() {
        let run = command.strip_prefix("locktest ").expect("a command line");
        let plan = &bench.run(&format!("{run} --dry-run --json")).expect_code(0).json()["plan"];
        assert_eq!((&plan["steady"], &plan["hold_ms"]), (&true.into(), &5.into()), "{command}");
    }
    assert!(!bench.path().join("store").exists());
}

#[test]
fn a_bench_that_cannot_be_is_refused_before_its_first_run() {
    let bench = Bench::new();
    for (flags, hint) in [
        ("--backends etcdd", "known are consul, etcd"),
        ("--backends etcd/redlock", "etcd has no recipe 'redlock'"),
        ("--backends redis,redis", "redis stands there twice"),
        ("--processes 0", "--clients is 0"),
        ("--processes 100000", "--clients is 100000"),
        ("--processes 3,3", "3 stands there twice"),
        ("--repeat 0", "--repeat is 0"),
        ("--rate 0", "--rate is 0"),
        ("--owners-per-client 5000", "a client has 1 to 1000"),
        ("--nodes-count 4", "redlock needs an odd number"),
        ("--under nonsense", "nonsense"),
        ("--hold 1us", "whole milliseconds"),
    ] {
        let ran = bench.run(&format!("bench {flags}")).expect_code(2);
        assert!(ran.stderr.contains(hint), "{flags}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{flags}");
    }
    assert!(!bench.path().join("store").exists());
}

#[test]
fn nothing_to_heal_is_fine() {
    let ran = Bench::new().run("heal").expect_code(0);
    assert!(ran.stdout.contains("nothing to heal"), "{}", ran.stdout);
    let json = Bench::new().run("heal --json").expect_code(0).json();
    assert_eq!(json["runs"].as_array().map(Vec::len), Some(0));
}
