//! Labs for real: these tests need root, and run one at a time.

mod machine;
mod removal;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use locktest_lab::{Lab, LabError, LabNode, LabSpec, NODE_BASE, down_id};

use crate::machine::{
    assert_gone, machine, processes, spec, ssh, ssh_ok, status_of, stdout_of, this_process, traces,
    up,
};

/// The arguments of ssh-keyscan, which prints the host key of an sshd as known_hosts has it, and
/// nothing if it cannot be reached.
fn scan(address: Ipv4Addr) -> String {
    format!("-t ed25519 -T 2 {address}")
}

async fn scan_from_client(lab: &Lab, address: Ipv4Addr) -> String {
    let mut command = lab.client_command(0, Path::new("/usr/bin/ssh-keyscan"));
    let output = command.args(scan(address).split(' ')).output().await.expect("a client runs");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn known_key(node: &LabNode) -> String {
    let known = fs::read_to_string(&node.known_hosts_file).expect("known hosts");
    let line = known.lines().find(|line| line.starts_with(&format!("{} ", node.address)));
    // Without the comment at its end.
    line.expect("the node's line").split(' ').take(3).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_five_nodes_is_a_host_of_its_own_and_down_leaves_nothing() {
    let machine = machine().await;
    let lab = up(&machine, 5, 2).await;
    let id = lab.id().to_owned();
    let names: Vec<_> = lab.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["n1", "n2", "n3", "n4", "n5"]);
    for node in lab.nodes() {
        let script = "cat /proc/sys/kernel/hostname /etc/hostname /proc/1/comm
            find /root /tmp /run/netns -mindepth 1 2>/dev/null
            iptables -S OUTPUT
            cat /proc/[0-9]*/comm | sort -u";
        let seen = ssh_ok(&lab, &node.name, script);
        let mut seen = seen.lines();
        let first: Vec<_> = seen.by_ref().take(4).collect();
        assert_eq!(first, [&node.name, &node.name, "sshd", "-P OUTPUT ACCEPT"]);
        let programs: Vec<_> = seen.collect();
        let own = |name: &&str| ["bash", "cat", "sh", "sort", "sshd"].contains(name);
        assert!(programs.contains(&"sshd") && programs.iter().all(own), "{programs:?}");
    }

    let running = processes(&id);
    assert!(running.len() >= 10, "an outer process and an sshd for each node: {running:?}");
    assert!(!traces(&machine, &id).is_empty());
    lab.down().await.expect("down");
    assert_gone(&machine, &id, &running).await;
    assert!(!down_id(&machine.dirs, &id).await.expect("down again"), "it was gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_reach_each_other_and_clients_reach_nodes() {
    let machine = machine().await;
    let lab = up(&machine, 2, 1).await;
    let (n1, n2) = (&lab.nodes()[0], &lab.nodes()[1]);
    let by_address = format!("ssh-keyscan {}", scan(n2.address));
    assert_eq!(ssh_ok(&lab, "n1", &by_address), known_key(n2));
    assert!(ssh_ok(&lab, "n1", "ssh-keyscan -t ed25519 -T 2 n2").contains("n2 ssh-ed25519"));
    assert_eq!(scan_from_client(&lab, n1.address).await, known_key(n1));
    assert_eq!(lab.client_addresses().len(), 1);
    lab.down().await.expect("down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_command_is_the_program_itself_at_its_own_address() {
    let machine = machine().await;
    let lab = up(&machine, 1, 2).await;
    let mut command = lab.client_command(1, Path::new("/bin/sh"));
    command.args(["-c", "echo $$; exec ip -o -4 address show dev eth0"]);
    let child = command.stdout(std::process::Stdio::piped()).spawn().expect("a client");
    let pid = child.id().expect("a running child").to_string();
    let output = child.wait_with_output().await.expect("its output");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(text.lines().next(), Some(pid.as_str()));
    assert!(text.contains(&format!("{}/24", lab.client_addresses()[1])), "{text}");

    let missing = lab.client_command(2, Path::new("/bin/true")).status().await.expect("ip runs");
    assert!(!missing.success(), "there is no third client");
    lab.down().await.expect("down");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_node_can_set_the_clock_or_reach_the_machine_itself() {
    const SYS_MODULE: u64 = 1 << 16;
    const SYS_ADMIN: u64 = 1 << 21;
    const SYS_BOOT: u64 = 1 << 22;
    const SYS_TIME: u64 = 1 << 25;
    const NET_ADMIN: u64 = 1 << 12;
    let machine = machine().await;
    let lab = up(&machine, 1, 0).await;
    for process in ["1", "self"] {
        let status = ssh_ok(&lab, "n1", &format!("cat /proc/{process}/status"));
        for set in ["CapBnd:", "CapPrm:", "CapEff:"] {
            let value = status.lines().find_map(|line| line.strip_prefix(set)).expect(set);
            let bits = u64::from_str_radix(value.trim(), 16).expect("a hexadecimal set");
            assert_eq!(bits & (SYS_TIME | SYS_BOOT | SYS_MODULE), 0, "{process} {set} {value}");
            assert_eq!(bits & (NET_ADMIN | SYS_ADMIN), NET_ADMIN | SYS_ADMIN, "{set} {value}");
        }
    }
    lab.down().await.expect("down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_sees_its_data_its_logs_and_packages_that_come_later() {
    let machine = machine().await;
    let lab = up(&machine, 1, 0).await;
    let node = &lab.nodes()[0];
    ssh_ok(&lab, "n1", &format!("echo kept > {NODE_BASE}/data/file; : > {NODE_BASE}/run/x.pid"));
    assert_eq!(fs::read_to_string(node.host_dir.join("data/file")).expect("data"), "kept\n");
    let log = fs::read_to_string(node.host_dir.join("log/sshd.log")).expect("log");
    assert!(log.contains("Server listening"), "{log}");

    fs::create_dir(machine.dirs.package_cache.join("later")).expect("a package");
    assert_eq!(ssh_ok(&lab, "n1", &format!("ls {NODE_BASE}/packages")), "later");
    let write = ssh(&lab, "n1", &format!("touch {NODE_BASE}/packages/x"));
    assert!(String::from_utf8_lossy(&write.stderr).contains("Read-only"), "{write:?}");
    lab.down().await.expect("down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_refuses_another_key_and_ssh_refuses_another_host() {
    let machine = machine().await;
    let lab = up(&machine, 2, 0).await;
    let other = machine.dirs.state.join("other_key");
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&other);
    assert!(keygen.status().expect("ssh-keygen").success());
    let node = &lab.nodes()[0];
    let login = |key: &Path, known_hosts: &Path, options: &[&str]| {
        let known_hosts = format!("UserKnownHostsFile={}", known_hosts.display());
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]).args(options);
        ssh.args(["-o", "StrictHostKeyChecking=yes", "-o", &known_hosts, "-i"]).arg(key);
        ssh.args([&format!("root@{}", node.address), "true"]).output().expect("ssh runs")
    };
    let (own_key, known_hosts) = (&node.identity_file, &node.known_hosts_file);
    assert!(login(own_key, known_hosts, &[]).status.success());

    let refused = login(&other, known_hosts, &[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("Permission denied (publickey)"), "{said}");

    let of_n2 = format!("HostKeyAlias={}", lab.nodes()[1].address);
    let impostor = login(own_key, known_hosts, &["-o", &of_n2]);
    let said = String::from_utf8_lossy(&impostor.stderr);
    assert!(said.contains("Host key verification failed"), "{said}");
    lab.down().await.expect("down");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_labs_stand_side_by_side_and_do_not_meet() {
    let machine = machine().await;
    let (a, b) = tokio::join!(up(&machine, 2, 1), up(&machine, 2, 1));
    assert_ne!(a.id(), b.id());
    assert_ne!(a.subnet(), b.subnet());
    assert_eq!(scan_from_client(&a, a.nodes()[0].address).await, known_key(&a.nodes()[0]));
    assert_eq!(scan_from_client(&a, b.nodes()[0].address).await, "");
    for lab in [&a, &b] {
        let status = status_of(&machine.dirs, lab.id());
        assert_eq!(status.subnet, Some(lab.subnet()));
        assert_eq!((status.nodes.len(), status.clients), (2, 1));
        assert!(status.nodes.iter().all(|node| node.up));
        assert_eq!(status.in_use_by, Some(this_process()));
        assert_eq!(status.problem, None);
    }
    a.down().await.expect("down");
    assert_eq!(ssh_ok(&b, "n2", "cat /etc/hostname"), "n2");
    b.down().await.expect("down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_id_and_a_taken_subnet_are_refused_and_harm_nobody() {
    let machine = machine().await;
    let lab = up(&machine, 1, 0).await;
    let before = traces(&machine, lab.id());
    let same_id = LabSpec { id: Some(lab.id().to_owned()), ..spec(1, 0) };
    let error = Lab::up(&machine.dirs, &same_id).await.expect_err("a taken id");
    assert!(matches!(error, LabError::TakenId { .. }), "{error}");

    // From another state directory, only the kernel knows that the id is taken.
    let error = Lab::up(&machine.elsewhere, &same_id).await.expect_err("a taken id");
    assert!(matches!(error, LabError::TakenId { .. }), "{error}");

    let id = "taken1".to_owned();
    let same_subnet = LabSpec { id: Some(id.clone()), subnet: Some(lab.subnet()), ..spec(1, 0) };
    let error = Lab::up(&machine.dirs, &same_subnet).await.expect_err("a taken subnet");
    assert!(matches!(error, LabError::OverlappingSubnet { .. }), "{error}");
    assert_gone(&machine, &id, &[]).await;

    assert_eq!(traces(&machine, lab.id()), before);
    assert_eq!(ssh_ok(&lab, "n1", "echo alive"), "alive");
    lab.down().await.expect("down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_whose_nodes_cannot_start_says_why_and_leaves_nothing() {
    let mut machine = machine().await;
    // This directory exists here and not in the process tree of a node, so that its mount fails.
    machine.dirs.package_cache = format!("/proc/{}/task", std::process::id()).into();
    let id = "fails1".to_owned();
    let spec = LabSpec { id: Some(id.clone()), ..spec(3, 1) };
    match Lab::up(&machine.dirs, &spec).await {
        Err(LabError::NodeNotReady { node, log, .. }) => {
            assert_eq!(node, "n1");
            assert!(log.contains("mount: "), "{log}");
        }
        other => panic!("the nodes cannot start: {other:?}"),
    }
    assert_gone(&machine, &id, &[]).await;
}

#[test]
fn a_lab_outlives_the_runtime_that_made_it_and_can_be_opened() {
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let first = runtime();
    let machine = first.block_on(machine());
    let lab = first.block_on(up(&machine, 2, 1));
    let (id, nodes) = (lab.id().to_owned(), lab.nodes().to_vec());
    drop(lab);
    drop(first);

    let lab = Lab::open(&machine.dirs, &id).expect("a standing lab");
    assert_eq!(lab.nodes(), nodes);
    assert_eq!(ssh_ok(&lab, "n2", "cat /proc/sys/kernel/hostname"), "n2");
    let error = lab.ssh_command("n3").expect_err("no such node");
    assert!(error.to_string().ends_with("its nodes are n1 n2"), "{error}");
    runtime().block_on(async {
        let running = processes(&id);
        lab.down().await.expect("down");
        assert_gone(&machine, &id, &running).await;
    });
    assert!(matches!(Lab::open(&machine.dirs, &id), Err(LabError::NoSuchLab { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn down_ends_control_masters_and_client_processes() {
    let machine = machine().await;
    let lab = up(&machine, 1, 1).await;
    let id = lab.id().to_owned();
    let folder = lab.ssh_control_dir().join("one");
    fs::create_dir(&folder).expect("a folder for the socket");
    let mut master = lab.ssh_command("n1").expect("a node");
    master.args(["-f", "-N", "-M", "-S"]).arg(folder.join("master"));
    // The master keeps what it inherits.
    let quiet = || std::process::Stdio::null();
    let master = master.stdin(quiet()).stdout(quiet()).stderr(quiet()).status().expect("ssh runs");
    assert!(master.success());
    let mut check = Command::new("ssh");
    check.arg("-S").arg(folder.join("master")).args(["-O", "check", "x"]);
    let said = String::from_utf8(check.output().expect("ssh").stderr).expect("text");
    let pid: String = said.chars().filter(char::is_ascii_digit).collect();
    assert!(said.contains("Master running"), "{said}");

    let mut client = lab.client_command(0, Path::new("/bin/sleep"));
    let mut client = client.arg("600").spawn().expect("a client");
    let mut running = processes(&id);
    running.push(Path::new("/proc").join(pid));
    lab.down().await.expect("down");
    client.wait().await.expect("it ended");
    assert_gone(&machine, &id, &running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_whose_nodes_ended_is_not_opened_and_is_still_removed() {
    let machine = machine().await;
    let lab = up(&machine, 2, 0).await;
    let id = lab.id().to_owned();
    // A kill of the first process ends a node, as a restart of the machine does.
    let pids = stdout_of("ip", &["netns", "pids", &format!("lt-{id}-n2")]);
    assert!(Command::new("kill").arg("-9").args(pids.lines()).status().expect("kill").success());
    let deadline = Instant::now() + Duration::from_secs(10);
    let error = loop {
        match Lab::open(&machine.dirs, &id) {
            Err(error) => break error,
            Ok(_) => assert!(Instant::now() < deadline, "n2 still runs"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(matches!(&error, LabError::NotRunning { nodes, .. } if nodes == &["n2"]), "{error}");
    lab.down().await.expect("down");
    assert_gone(&machine, &id, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_the_commands_and_runs_none() {
    let machine = machine().await;
    let asked = LabSpec { id: Some("dry1".into()), ..spec(2, 1) };
    let commands = Lab::up_commands(&machine.dirs, &asked).expect("commands").join("\n");
    for part in
        ["ip netns add lt-dry1-sw", "netns add lt-dry1-c1", "ssh-keygen", "unshare", "-sys_time"]
    {
        assert!(commands.contains(part), "{part} in {commands}");
    }
    assert_gone(&machine, "dry1", &[]).await;
}
