//! A double at the trait boundary: it records commands and answers as hosts would.

use std::collections::{BTreeMap, HashSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Mutex;

use locktest_cluster::{
    Installation, NodeLayout, Remote, RemoteCommand, RemoteError, RemoteOutput, Service,
    ServiceClock, SshTarget,
};
use locktest_history::ClientId;
use locktest_nemesis::{ClientEndpoint, ClientProcess, Endpoint, read_journal};

/// What a command is for, by the first words of its purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Arm,
    Prepare,
    Look,
    Apply,
    Undo,
    Check,
    Disarm,
    /// The clients' own look.
    Try,
}

impl Step {
    pub fn of(command: &RemoteCommand) -> Step {
        let steps = [
            ("arm the dead-man timer of ", Step::Arm),
            ("prepare ", Step::Prepare),
            ("look at ", Step::Look),
            ("apply ", Step::Apply),
            ("undo ", Step::Undo),
            ("check the undo of ", Step::Check),
            ("disarm the dead-man timer of ", Step::Disarm),
            ("try connections of the clients of ", Step::Try),
        ];
        let found = steps.iter().find(|(words, _)| command.purpose.starts_with(words));
        found.unwrap_or_else(|| panic!("a command of no known step: {}", command.purpose)).1
    }
}

/// How wrong a clock is told to be while a fault is in force.
pub const CLOCK_JUMP_NS: i64 = -30_000_000_000;

/// Five nodes, and a control node, that know whether a fault is in force on them.
#[derive(Default)]
pub struct FakeRemote {
    /// `(host, step)` that answers "unreachable".
    pub unreachable: HashSet<(&'static str, Step)>,
    /// `(host, step)` that answers "success" and does nothing.
    pub swallowed: HashSet<(&'static str, Step)>,
    /// No connection gets across once a fault was undone.
    pub deaf_after_undo: bool,
    /// Whether this journal has an open fault, asked at every command.
    pub journal: Option<PathBuf>,
    pub log: Mutex<Vec<(String, Step, RemoteCommand)>>,
    pub open_at_command: Mutex<Vec<bool>>,
    pub hosts: Mutex<BTreeMap<String, FakeHost>>,
}

#[derive(Default)]
pub struct FakeHost {
    /// The rules of the fault's chain, as far as they name an address.
    chain: Vec<String>,
    applied: bool,
    undone: bool,
}

impl FakeRemote {
    pub fn steps(&self) -> Vec<(String, Step)> {
        let log = self.log.lock().expect("the log");
        log.iter().map(|(host, step, _)| (host.clone(), *step)).collect()
    }

    /// The hosts that were sent `step`, in order.
    pub fn hosts_of(&self, step: Step) -> Vec<String> {
        self.steps().into_iter().filter(|(_, s)| *s == step).map(|(host, _)| host).collect()
    }

    pub fn any_applied(&self) -> bool {
        self.hosts.lock().expect("the hosts").values().any(|host| host.applied)
    }

    fn answer(&self, name: &str, step: Step, command: &RemoteCommand) -> String {
        let mut hosts = self.hosts.lock().expect("the hosts");
        let is_cut = hosts.values().any(|host| host.applied)
            || (self.deaf_after_undo && hosts.values().any(|host| host.undone));
        let host = hosts.entry(name.to_owned()).or_default();
        // The scripts name their chain; its spelling is part of the contract.
        let tag = command
            .script
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .find(|word| word.starts_with("LT-"))
            .unwrap_or_default();
        match step {
            Step::Prepare => {
                let rules = command.script.lines().filter(|line| line.starts_with("-A LT-"));
                host.chain = rules.map(str::to_owned).collect();
                String::new()
            }
            Step::Apply => {
                host.applied = true;
                "took 1000 1000 1001 another\n".into()
            }
            Step::Undo => {
                (host.applied, host.undone) = (false, true);
                "took 2000 2000 2001 another\n".into()
            }
            Step::Check if host.applied => format!("present {tag}\n-N {tag}\n"),
            Step::Check => format!("absent {tag}\n"),
            Step::Try => tries(command, is_cut),
            Step::Look if command.script.contains("iptables") => {
                let tried = tries(command, is_cut);
                if !host.applied {
                    return format!("{tried}absent {tag}\n");
                }
                let counted = host.chain.iter().map(|rule| rule.replace(" -j", " -c 3 180 -j"));
                let counted: Vec<String> = counted.collect();
                format!("{tried}present {tag}\n{}\n", counted.join("\n"))
            }
            Step::Look if command.script.contains("echo \"clock ") => {
                let off = if host.applied { CLOCK_JUMP_NS } else { 0 };
                let set = format!("offset_ns={off} rate_ppm=0 strobe_ns=0 expired=0 due_ns={off}");
                format!("clock 0 10\n10 wall {set} seen_ns={off}\n")
            }
            Step::Look => {
                let state = if host.applied { "T" } else { "S" };
                let subjects = command.script.matches("echo \"process ").count() as u32;
                (0..subjects)
                    .map(|index| format!("process {index} {} {state}\n", 10 + index))
                    .collect()
            }
            Step::Arm | Step::Disarm => String::new(),
        }
    }
}

fn tries(command: &RemoteCommand, is_cut: bool) -> String {
    let outcome = if is_cut { "timed-out" } else { "connected" };
    let numbers =
        command.script.lines().filter_map(|line| line.strip_prefix("try ")?.split(' ').next());
    numbers.map(|number| format!("try {number} {outcome}\n")).collect()
}

impl Remote for FakeRemote {
    async fn run(&self, host: &str, command: &RemoteCommand) -> Result<RemoteOutput, RemoteError> {
        let step = Step::of(command);
        self.log.lock().expect("the log").push((host.to_owned(), step, command.clone()));
        if let Some(journal) = &self.journal {
            let open = read_journal(journal).is_ok_and(|content| !content.open.is_empty());
            self.open_at_command.lock().expect("the list").push(open);
        }
        let is = |set: &HashSet<(&'static str, Step)>| {
            set.iter().any(|(name, s)| *name == host && *s == step)
        };
        if is(&self.unreachable) {
            return Err(RemoteError::Unreachable {
                node: host.to_owned(),
                purpose: command.purpose.clone(),
                reason: "no route".into(),
            });
        }
        let swallowed = is(&self.swallowed);
        let stdout = if swallowed { String::new() } else { self.answer(host, step, command) };
        Ok(RemoteOutput { status: 0, stdout, stderr: String::new() })
    }
}

pub fn endpoints() -> Vec<Endpoint> {
    let layout = NodeLayout::new("/mnt/lt");
    (1..=5)
        .map(|n| Endpoint {
            ssh: SshTarget {
                name: format!("n{n}"),
                host: format!("10.1.0.{n}"),
                port: 22,
                user: "root".into(),
                identity_file: Some("/keys/id".into()),
                known_hosts_file: None,
            },
            address: Ipv4Addr::new(10, 1, 0, n),
            probe_port: 2380,
            services: vec![Service {
                clock: Some(ServiceClock::new("/bin/locktest".into(), &layout)),
                ..Service::new("server", &Installation::of_binary("/bin/server"), &layout)
            }],
        })
        .collect()
}

pub fn clients() -> Vec<ClientEndpoint> {
    let client = |n: u8| ClientEndpoint {
        address: Ipv4Addr::new(10, 1, 0, 100 + n),
        enter: vec!["enter".into(), format!("c{n}")],
    };
    (1..=2).map(client).collect()
}

pub fn client_processes() -> Vec<ClientProcess> {
    let process = |n| ClientProcess { client: ClientId(n), pid: 4_194_300 + n, start_ticks: 1 };
    (0..2).map(process).collect()
}

pub const NODES: [&str; 5] = ["n1", "n2", "n3", "n4", "n5"];
