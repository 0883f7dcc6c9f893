//! Looking at all hosts of a fault at once, and putting together what they say.

use futures_util::future::join_all;
use locktest_cluster::{CONTROL, Remote};

use super::Nemesis;
use crate::commands::{FaultCommands, HostCommands, Seen};
use crate::evidence::{Look, Stopped};
use crate::links::Link;
use crate::partition::read_counters;
use crate::probe::read_probes;
use crate::process::read_states;
use crate::skew::read_clocks;

impl<R: Remote> Nemesis<R> {
    /// One look at every host. A host that does not answer adds nothing but that.
    pub(super) async fn look(&self, commands: &FaultCommands) -> Look {
        // The clients come first: the servers are to count what they stop of their packets.
        let mut look = Look::default();
        if let Some(observer) = &commands.observer {
            match self.remote.run_ok(CONTROL, &observer.look).await {
                Ok(output) => look.add_probes(&output.stdout, &observer.tries),
                Err(error) => look.unseen = Some(error.to_string()),
            }
        }
        let looks = commands.hosts.iter().map(|host| async move {
            let (answer, _) = self.clocks.timed(&*self.remote, &host.host, &host.look).await;
            (host, answer.map(|output| output.stdout).map_err(|error| error.to_string()))
        });
        for (host, answer) in join_all(looks).await {
            look.add(host, answer);
        }
        look.probes.sort_unstable_by_key(|(link, _)| *link);
        look
    }
}

impl Look {
    fn add_probes(&mut self, answer: &str, tries: &[Link]) {
        let probes = read_probes(answer).into_iter();
        let of_links = |(number, probed)| tries.get(number).map(|link: &Link| (*link, probed));
        self.probes.extend(probes.filter_map(of_links));
    }

    fn add(&mut self, host: &HostCommands, answer: Result<String, String>) {
        match &host.seen {
            Seen::Links { node, tries } => {
                let stopped = match answer {
                    Err(reason) => Stopped::Unknown(reason),
                    Ok(answer) => {
                        self.add_probes(&answer, tries);
                        // The counters are read when all connections were tried.
                        let other = ["try ", "took "];
                        let of_rules =
                            |line: &&str| !other.iter().any(|word| line.starts_with(word));
                        let counters: Vec<&str> = answer.lines().filter(of_rules).collect();
                        match read_counters(&host.tag, &counters.join("\n")) {
                            Some(Some(packets)) => Stopped::Packets(packets.values().sum()),
                            Some(None) => Stopped::NoChain,
                            None => Stopped::Unknown("the answer is no list of rules".into()),
                        }
                    }
                };
                self.stopped.insert(*node, stopped);
            }
            Seen::Processes(names) => {
                let found = by_name(host, names, answer, |answer| {
                    let states = read_states(answer).into_iter();
                    states.map(|(index, pid, state)| (index, (pid, state))).collect()
                });
                self.processes.extend(found);
            }
            Seen::Clocks(names) => self.clocks.extend(by_name(host, names, answer, read_clocks)),
        }
    }
}

/// What an answer says of each of these, by host and name; why it says nothing, of the others.
fn by_name<T: Clone>(
    host: &HostCommands,
    names: &[String],
    answer: Result<String, String>,
    read: impl Fn(&str) -> Vec<(usize, T)>,
) -> Vec<((String, String), Result<T, String>)> {
    let answer = answer.map(|answer| read(&answer));
    let found = names.iter().enumerate().map(|(number, name)| {
        let found = match &answer {
            Err(reason) => Err(reason.clone()),
            Ok(found) => (found.iter().find(|(index, _)| *index == number))
                .map(|(_, found)| found.clone())
                .ok_or_else(|| "the answer does not name it".to_owned()),
        };
        ((host.host.clone(), name.clone()), found)
    });
    found.collect()
}
