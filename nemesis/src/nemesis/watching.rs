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
                let states = match &answer {
                    Ok(answer) => read_states(answer),
                    Err(_) => Vec::new(),
                };
                for (number, name) in names.iter().enumerate() {
                    let state = states.iter().find(|(index, ..)| *index == number);
                    let state = match (state, &answer) {
                        (Some((_, pid, state)), _) => Ok((*pid, *state)),
                        (None, Err(reason)) => Err(reason.clone()),
                        (None, Ok(_)) => Err("the answer does not name it".to_owned()),
                    };
                    self.processes.insert((host.host.clone(), name.clone()), state);
                }
            }
        }
    }
}
