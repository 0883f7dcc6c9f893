//! Clocks of servers that go wrong: the scripts that set them, set them right and look.
//!
//! Every server of a node has the node's clock, which the program that started it set apart from the
//! machine's (see [`ServiceClock`](locktest_cluster::ServiceClock)). What a look finds is what the
//! servers themselves were told when they last asked for the time.

use std::path::Path;

use locktest_cluster::{Service, ServiceClock, TellsTime};
use locktest_history::{FaultKind, Skew};
use locktest_skew::Reading;

use crate::script::{self, MARK, MARK_END, PRELUDE};
use crate::tag::FaultTag;

/// A look waits so long for a server to ask for the time.
const PATIENCE_MS: u32 = 1000;

/// A clock of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Wall,
    Monotonic,
}

impl Clock {
    pub(crate) fn of(kind: FaultKind) -> Clock {
        match kind {
            FaultKind::ClockMonotonic => Clock::Monotonic,
            _ => Clock::Wall,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Clock::Wall => "wall",
            Clock::Monotonic => "monotonic",
        }
    }
}

/// The clock of one node, and the servers that have it.
#[derive(Clone, Debug)]
pub(crate) struct NodeClock<'a> {
    clock: &'a ServiceClock,
    services: Vec<&'a Service>,
}

impl<'a> NodeClock<'a> {
    /// `None` if the servers have no clock but the machine's.
    pub(crate) fn of(services: &'a [Service]) -> Option<NodeClock<'a>> {
        let clock = services.first()?.clock.as_ref()?;
        Some(NodeClock { clock, services: services.iter().collect() })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.services.iter().map(|service| service.name.to_owned()).collect()
    }

    /// Sets `pids` to the processes of the servers that run.
    fn find(&self) -> String {
        let mut script = "pids=''\n".to_owned();
        for service in &self.services {
            script.push_str(&format!(
                "pids=\"$pids $(\n{}\nalive && echo $pid || true\n)\"\n",
                service.functions()
            ));
        }
        script
    }

    /// A use of the node's clock for the processes that were found.
    fn command(&self, what: &str, flags: &str) -> String {
        let (command, setting) = (self.clock.command(), self.clock.setting());
        format!("{command} {what} --file {setting}{flags} $pids\n")
    }
}

/// Sets the clock wrong. It becomes right by itself after `deadline_s`, whoever is left.
pub(crate) fn apply(
    run_dir: &Path,
    tag: &FaultTag,
    node: &NodeClock,
    clock: Clock,
    skew: Skew,
    deadline_s: u64,
) -> String {
    const NS_PER_MS: i64 = 1_000_000;
    let ns = |ms: i64| ms.saturating_mul(NS_PER_MS);
    let (offset_ns, rate_ppm, strobe_ns) = match skew {
        Skew::Jump { offset_ms } => (ns(offset_ms), 0, 0),
        Skew::Strobe { offset_ms, period_ms } => {
            (ns(offset_ms), 0, ns(i64::try_from(period_ms).unwrap_or(i64::MAX)))
        }
        Skew::Rate { gain_ppm } => (0, gain_ppm, 0),
    };
    let flags = format!(
        " --class {} --offset-ns {offset_ns} --rate-ppm {rate_ppm} --strobe-ns {strobe_ns} \
         --expires-in-ms {}",
        clock.name(),
        deadline_s.saturating_mul(1000),
    );
    let set = node.command("set", &flags);
    script::apply(run_dir, tag, "", &format!("{}{MARK}{set}{MARK_END}", node.find()))
}

/// Sets the clock right.
pub(crate) fn undo(run_dir: &Path, tag: &FaultTag, node: &NodeClock) -> String {
    let clear = node.command("clear", "");
    script::undo(run_dir, tag, &format!("{}{MARK}{clear}{MARK_END}", node.find()))
}

/// Reads back whose clock is still wrong, as [`read_remains`](crate::script::read_remains)
/// understands it.
pub(crate) fn check(tag: &FaultTag, node: &NodeClock) -> String {
    let tag = tag.chain();
    format!(
        "{PRELUDE}{}left=$({})\n\
         if [ -n \"$left\" ]; then\n\
         echo 'present {tag}'\n\
         printf '%s\\n' \"$left\"\n\
         else\n\
         echo 'absent {tag}'\n\
         fi\n",
        node.find(),
        node.command("remains", &format!(" --wait-ms {PATIENCE_MS}")).trim_end(),
    )
}

/// Tells what time the servers were told; [`read_clocks`] understands the answer.
pub(crate) fn look(node: &NodeClock, clock: Clock) -> String {
    let looks = node.services.iter().zip(0..).map(|(service, index): (_, u32)| {
        // A store tells the wall clock's time.
        let ask = match (&service.tells_time, clock) {
            (Some(TellsTime::Redis(address)), Clock::Wall) => format!(" --redis {address}"),
            (Some(TellsTime::Http(address)), Clock::Wall) => format!(" --http {address}"),
            _ => String::new(),
        };
        format!(
            "(\nexec 9<&-\n{functions}\npid=0\n\
             if alive; then\necho \"clock {index} $pid\"\n\
             {command} read --class {class} --wait-ms {PATIENCE_MS}{ask} $pid\n\
             else echo \"clock {index} gone\"; fi\n)\n",
            functions = service.functions(),
            command = node.clock.command(),
            class = clock.name(),
        )
    });
    script::look(&looks.collect::<String>())
}

/// Succeeds if the host can give servers clocks of their own, and says why if not.
pub(crate) fn needs(services: &[Service]) -> String {
    match NodeClock::of(services) {
        Some(node) => format!("{} check\n", node.clock.command()),
        None => "echo 'its servers have no clock of their own' >&2\nexit 1\n".to_owned(),
    }
}

/// What a look finds of the clock of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClockSeen {
    /// The server is not there.
    Gone,
    /// It is there.
    Told {
        /// The process.
        pid: u32,
        /// What it was told when it last asked since the clock was set, less the true time; `None`
        /// if it did not ask.
        offset_ns: Option<i64>,
        /// What the store tells others, less the true time, and how finely it does.
        store: Option<(i64, u64)>,
    },
}

/// The answer of [`look`], by the numbers of the servers; what is no such answer is left out.
pub(crate) fn read_clocks(stdout: &str) -> Vec<(usize, ClockSeen)> {
    let mut clocks: Vec<(usize, ClockSeen)> = Vec::new();
    for line in stdout.lines() {
        if let Some(begin) = line.strip_prefix("clock ") {
            let Some((index, pid)) = begin.split_once(' ') else { continue };
            let Ok(index) = index.parse() else { continue };
            let clock = match pid.parse() {
                Ok(pid) => ClockSeen::Told { pid, offset_ns: None, store: None },
                Err(_) => ClockSeen::Gone,
            };
            clocks.push((index, clock));
            continue;
        }
        let Some((_, ClockSeen::Told { offset_ns, store, .. })) = clocks.last_mut() else {
            continue;
        };
        match line.parse() {
            Ok(Reading::Process { seen_ns, .. }) => *offset_ns = seen_ns,
            Ok(Reading::Store { offset_ns, resolution_ns }) => {
                *store = Some((offset_ns, resolution_ns));
            }
            _ => {}
        }
    }
    clocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_and_stores_tell_is_read_and_the_rest_is_left_out() {
        let set = "offset_ns=5 rate_ppm=0 strobe_ns=0 expired=0 due_ns=5";
        let answer = format!(
            "clock 0 12\n12 wall {set} seen_ns=5\ntold_ns=4 resolution_ns=1000\nclock 1 13\n\
             13 wall {set} seen_ns=none\ntold=failed refused\nclock 2 gone\ntook 1 2 3 x\n"
        );
        let told = |pid, offset_ns, store| ClockSeen::Told { pid, offset_ns, store };
        assert_eq!(
            read_clocks(&answer),
            [
                (0, told(12, Some(5), Some((4, 1000)))),
                (1, told(13, None, None)),
                (2, ClockSeen::Gone)
            ]
        );
        assert_eq!(read_clocks("nonsense\n12 wall\nclock\nclock x 1\n"), []);
    }

    #[test]
    fn servers_with_the_clock_of_the_machine_have_none_to_be_set() {
        assert!(NodeClock::of(&[]).is_none());
        assert!(needs(&[]).contains("exit 1"));
    }
}
