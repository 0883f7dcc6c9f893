//! What the servers' own logs tell of elections, in the words of every version that is run.
//!
//! Raft and ZooKeeper's servers tell all of it themselves. Where sentinels choose the primary, a
//! sentinel's log tells that a failover is called for, and the servers' logs tell who became the
//! primary and who no longer is; independent Redis servers elect nobody.

mod stamp;
#[cfg(test)]
mod tests;

use locktest_history::{Election, ElectionStep, NodeId};

use crate::sentinel;
use crate::store::Store;
use stamp::Stamp;

/// A longer line is cut.
const LONGEST_LINE: usize = 300;

/// The steps of elections that a node's logs tell of, in time order. Each log comes with its
/// server's name. `to_run_ns` tells what a time of the node's wall clock, in nanoseconds since the
/// Unix epoch, is on the run's clock; `None` if that is before the run.
///
/// A time without an offset from UTC is one of UTC, which every server is told to log in. A death
/// is in no log: a leader that was killed has not stepped down.
pub fn elections<'a>(
    node: NodeId,
    logs: impl IntoIterator<Item = (&'a str, &'a str)>,
    to_run_ns: impl Fn(u64) -> Option<u64>,
) -> Vec<Election> {
    let mut elections = Vec::new();
    for (server, log) in logs {
        let Some(words) = Words::of(server) else { continue };
        for (wall_ns, step, line) in words.steps(log) {
            let Some(time_ns) = to_run_ns(wall_ns) else { continue };
            let line = line.trim().chars().take(LONGEST_LINE).collect();
            elections.push(Election { time_ns, node, step, line });
        }
    }
    elections.sort_by_key(|election| election.time_ns);
    elections
}

/// What a line says of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// The process is new, and leads nobody yet.
    Started,
    /// It leads, and nobody had to elect it.
    BornLeader,
    /// It asks for votes, or finds the leader gone.
    Called,
    /// It leads.
    Leads,
    /// It does not lead.
    Follows,
}

/// The words of one kind of server.
struct Words {
    /// When a line was written.
    stamp: fn(&str) -> Option<Stamp>,
    /// Parts of a line, all of which it has, and what they say; the first that fit decide.
    signs: &'static [(&'static [&'static str], Sign)],
}

/// A pre-vote is called in the same words as a vote.
const ETCD: Words = Words {
    stamp: stamp::of_etcd,
    signs: &[
        (&["etcdmain: etcd Version: "], Sign::Started),
        (&["\"msg\":\"starting an etcd server\""], Sign::Started),
        (&[" is starting a new election at term "], Sign::Called),
        (&[" became leader at term "], Sign::Leads),
        (&[" stepped down to follower since "], Sign::Follows),
        (&[" became follower at term "], Sign::Follows),
    ],
};

const CONSUL: Words = Words {
    stamp: stamp::at_begin,
    signs: &[
        (&["==> Starting Consul agent"], Sign::Started),
        (&["raft: heartbeat timeout reached, starting election"], Sign::Called),
        (&["raft: Election timeout reached, restarting election"], Sign::Called),
        (&["raft: entering leader state"], Sign::Leads),
        (&["raft: failed to contact quorum of nodes, stepping down"], Sign::Follows),
        (&["raft: entering follower state"], Sign::Follows),
    ],
};

/// A server that only means to lead says `LEADING`; it may still fail to be followed.
const ZOOKEEPER: Words = Words {
    stamp: stamp::at_begin,
    signs: &[
        (&["quorum.QuorumPeerMain - Starting quorum peer"], Sign::Started),
        (&["quorum.QuorumPeer - LOOKING"], Sign::Called),
        (&["quorum.Leader - Have quorum of supporters"], Sign::Leads),
        (&["quorum.Leader - Shutdown called"], Sign::Follows),
    ],
};

/// Before the date stands whether the process is a primary (`M`), a replica or a child. Valkey
/// says primary where Redis says master.
const REDIS: Words = Words {
    stamp: stamp::of_redis,
    signs: &[
        (&[" is starting oO0OoO0OoO0Oo"], Sign::Started),
        (&[":M ", " Server initialized"], Sign::BornLeader),
        (&[" MASTER MODE enabled"], Sign::Leads),
        (&[" PRIMARY MODE enabled"], Sign::Leads),
        (&[" Before turning into a replica"], Sign::Follows),
    ],
};

/// Which server becomes the primary is told by its own log.
const SENTINEL: Words =
    Words { stamp: stamp::of_redis, signs: &[(&[" +try-failover master "], Sign::Called)] };

impl Words {
    /// Those of a server by its name.
    fn of(server: &str) -> Option<&'static Words> {
        if server == sentinel::SERVICE {
            return Some(&SENTINEL);
        }
        let store = Store::ALL.into_iter().find(|store| store.name() == server)?;
        Some(match store {
            Store::Consul => &CONSUL,
            Store::Etcd => &ETCD,
            Store::Redis => &REDIS,
            Store::Zookeeper => &ZOOKEEPER,
        })
    }

    fn sign(&self, line: &str) -> Option<Sign> {
        let fits = |parts: &[&str]| parts.iter().all(|part| line.contains(part));
        self.signs.iter().find(|(parts, _)| fits(parts)).map(|(_, sign)| *sign)
    }

    /// The steps in the order of the log, with the wall clock's time and the line. A new leader
    /// steps down once, in whatever words come first.
    fn steps<'a>(&self, log: &'a str) -> Vec<(u64, ElectionStep, &'a str)> {
        let mut steps = Vec::new();
        let (mut leads, mut latest_ns) = (false, 0);
        for line in log.lines() {
            let stamp = (self.stamp)(line);
            if let Some(stamp) = &stamp {
                latest_ns = stamp.not_before(latest_ns);
            }
            let step = match self.sign(line) {
                Some(Sign::Started) => {
                    leads = false;
                    continue;
                }
                Some(Sign::BornLeader) => {
                    leads = true;
                    continue;
                }
                Some(Sign::Called) => ElectionStep::Called,
                Some(Sign::Leads) if !leads => ElectionStep::Won,
                Some(Sign::Follows) if leads => ElectionStep::SteppedDown,
                _ => continue,
            };
            match step {
                ElectionStep::Called => {}
                ElectionStep::Won => leads = true,
                ElectionStep::SteppedDown => leads = false,
            }
            if stamp.is_some() {
                steps.push((latest_ns, step, line));
            }
        }
        steps
    }
}
