//! A double at the trait boundary: it records commands and answers as nodes would.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Mutex;

use locktest_cluster::{Remote, RemoteCommand, RemoteError, RemoteOutput, SshTarget};
use locktest_nemesis::{Endpoint, read_journal};

/// What a command is for, by the first words of its purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Arm,
    Probe,
    Apply,
    Counters,
    Undo,
    Check,
    Disarm,
}

impl Step {
    pub fn of(command: &RemoteCommand) -> Step {
        let steps = [
            ("arm ", Step::Arm),
            ("try connections ", Step::Probe),
            ("apply ", Step::Apply),
            ("read the packet counters ", Step::Counters),
            ("undo ", Step::Undo),
            ("check ", Step::Check),
            ("disarm ", Step::Disarm),
        ];
        let found = steps.iter().find(|(words, _)| command.purpose.starts_with(words));
        found.unwrap_or_else(|| panic!("a command of no known step: {}", command.purpose)).1
    }
}

/// Five nodes that keep the rules which they were given.
#[derive(Default)]
pub struct FakeRemote {
    /// `(node, step)` that answers "unreachable".
    pub unreachable: HashSet<(&'static str, Step)>,
    /// `(node, step)` that answers "success" and does nothing.
    pub swallowed: HashSet<(&'static str, Step)>,
    /// No connection gets across once a fault was undone.
    pub deaf_after_undo: bool,
    /// Whether this journal has an open fault, asked at every command.
    pub journal: Option<PathBuf>,
    pub log: Mutex<Vec<(String, Step, RemoteCommand)>>,
    pub open_at_command: Mutex<Vec<bool>>,
    /// The addresses that each node drops; none once the fault was undone.
    pub applied: Mutex<HashMap<String, Vec<String>>>,
}

impl FakeRemote {
    pub fn steps(&self) -> Vec<(String, Step)> {
        let log = self.log.lock().expect("the log");
        log.iter().map(|(node, step, _)| (node.clone(), *step)).collect()
    }

    /// The nodes that were sent `step`, in order.
    pub fn nodes_of(&self, step: Step) -> Vec<String> {
        self.steps().into_iter().filter(|(_, s)| *s == step).map(|(node, _)| node).collect()
    }

    pub fn any_applied(&self) -> bool {
        self.applied.lock().expect("the bits").values().any(|rules| !rules.is_empty())
    }

    fn answer(&self, node: &str, step: Step, command: &RemoteCommand) -> String {
        let mut applied = self.applied.lock().expect("the bits");
        let rules = applied.get(node).cloned().unwrap_or_default();
        // The scripts name their chain; its spelling is part of the contract.
        let chain = command
            .script
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .find(|word| word.starts_with("LT-"))
            .unwrap_or_default();
        match step {
            Step::Apply => {
                let sources = command.script.lines().filter_map(|line| {
                    Some(line.split_once(" -s ")?.1.split(' ').next()?.to_owned())
                });
                applied.insert(node.to_owned(), sources.collect());
                String::new()
            }
            Step::Undo => {
                applied.insert(node.to_owned(), Vec::new());
                String::new()
            }
            Step::Check if !rules.is_empty() => format!("present {chain}\n-N {chain}\n"),
            Step::Counters if !rules.is_empty() => {
                let counted =
                    rules.iter().map(|rule| format!("-A {chain} -s {rule}/32 -c 3 180 -j DROP\n"));
                format!("present {chain}\n{}", counted.collect::<String>())
            }
            Step::Check | Step::Counters => format!("absent {chain}\n"),
            Step::Probe => {
                let was_undone = applied.values().any(Vec::is_empty);
                let cut = applied.values().any(|rules| !rules.is_empty())
                    || (self.deaf_after_undo && was_undone);
                let outcome = if cut { "timed-out" } else { "connected" };
                let probed = command.script.lines().filter_map(|line| {
                    let mut words = line.strip_prefix("probe 10.")?.split(' ');
                    Some(format!("10.{}:{} {outcome}\n", words.next()?, words.next()?))
                });
                probed.collect()
            }
            Step::Arm | Step::Disarm => String::new(),
        }
    }
}

impl Remote for FakeRemote {
    async fn run(&self, node: &str, command: &RemoteCommand) -> Result<RemoteOutput, RemoteError> {
        let step = Step::of(command);
        self.log.lock().expect("the log").push((node.to_owned(), step, command.clone()));
        if let Some(journal) = &self.journal {
            let open = read_journal(journal).is_ok_and(|content| !content.open.is_empty());
            self.open_at_command.lock().expect("the list").push(open);
        }
        let is = |set: &HashSet<(&'static str, Step)>| {
            set.iter().any(|(name, s)| *name == node && *s == step)
        };
        if is(&self.unreachable) {
            return Err(RemoteError::Unreachable {
                node: node.to_owned(),
                purpose: command.purpose.clone(),
                reason: "no route".into(),
            });
        }
        let swallowed = is(&self.swallowed);
        let stdout = if swallowed { String::new() } else { self.answer(node, step, command) };
        Ok(RemoteOutput { status: 0, stdout, stderr: String::new() })
    }
}

pub fn endpoints() -> Vec<Endpoint> {
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
        })
        .collect()
}
