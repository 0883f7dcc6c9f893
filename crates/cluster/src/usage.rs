//! What the servers of a node cost: one shell loop, which looks once a second.

use std::time::Duration;

use locktest_history::{NodeId, ProcessUsage, Usage};

use crate::remote::RemoteCommand;
use crate::service::{Service, quote_path};
use crate::stream::LineStream;

/// Before the loop: what a tick of processor time and a page of memory are, where the node can tell.
const UNITS: &str = "\
exec 2> /dev/null
ticks=$(getconf CLK_TCK) || ticks=100
page=$(getconf PAGESIZE) || page=4096
";

/// One process of the loop's turn. Its pid file is read anew each time, since servers restart.
const PROCESS: &str = "\
read -r pid start < $file || continue
read -r stat < /proc/$pid/stat || continue
while read -r name written && [ $name != write_bytes: ]; do :; done < /proc/$pid/io || written=
seen=\"${seen}process $start ${written:-0} $stat
\"
";

/// The end of the loop's turn. It starts the turn's only program, and it ends the loop once nobody
/// reads.
const NETWORK: &str = "\
received=0 sent=0
while read -r name got x x x x x x x gave x; do
case $name in lo:) ;; *:) received=$((received + got)) sent=$((sent + gave)) ;; esac
done < /proc/net/dev
printf '%snode %s %s %s %s\\n' \"$seen\" $ticks $page $received $sent || exit
sleep 1
";

/// The command that tells once a second what these servers of one node cost. It ends when nobody
/// reads what it prints, and after `limit` in any case.
pub(crate) fn watch(services: &[Service], limit: Duration) -> RemoteCommand {
    let files: Vec<String> = services.iter().map(|service| quote_path(&service.pid_file)).collect();
    let files = files.join(" ");
    let script = format!(
        "{UNITS}while :; do\nseen=\nfor file in {files}; do\n{PROCESS}done\n{NETWORK}done\n"
    );
    RemoteCommand::new("watch what the servers cost", script).timeout(limit)
}

/// What the servers of a node cost, once a second, for as long as the connection holds.
pub struct Usages<'s> {
    node: NodeId,
    lines: LineStream<'s>,
    turn: Turn,
}

impl<'s> Usages<'s> {
    pub(crate) fn new(node: NodeId, lines: LineStream<'s>) -> Usages<'s> {
        Usages { node, lines, turn: Turn::default() }
    }

    /// The next look, with its time of arrival by `now_ns`; `None` once there will be none.
    pub async fn next(&mut self, now_ns: impl Fn() -> u64) -> Option<Usage> {
        loop {
            let line = self.lines.next().await?;
            if let Some(usage) = self.turn.read(&line, self.node, &now_ns) {
                return Some(usage);
            }
        }
    }
}

/// A turn of the loop, as far as it was read.
#[derive(Debug, Default)]
struct Turn {
    processes: Vec<Process>,
}

/// What the loop tells of one process.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    cpu_ticks: u64,
    resident_pages: u64,
    written_bytes: u64,
}

/// What the loop tells of the node.
#[derive(Debug, PartialEq, Eq)]
struct Network {
    ticks_per_s: u64,
    page_bytes: u64,
    received_bytes: u64,
    sent_bytes: u64,
}

impl Turn {
    /// Takes a line, and returns what the turn told if that was its last. A line that makes no sense
    /// is left out.
    fn read(&mut self, line: &str, node: NodeId, now_ns: impl Fn() -> u64) -> Option<Usage> {
        if let Some(process) = line.strip_prefix("process ") {
            self.processes.extend(process_of(process));
            return None;
        }
        let network = network_of(line.strip_prefix("node ")?)?;
        let usage = |process: Process| ProcessUsage {
            pid: process.pid,
            cpu_ms: process.cpu_ticks.saturating_mul(1000) / network.ticks_per_s,
            resident_bytes: process.resident_pages.saturating_mul(network.page_bytes),
            written_bytes: process.written_bytes,
        };
        Some(Usage {
            time_ns: now_ns(),
            node,
            processes: self.processes.drain(..).map(usage).collect(),
            received_bytes: network.received_bytes,
            sent_bytes: network.sent_bytes,
        })
    }
}

/// `START WRITTEN` and the line of `/proc/PID/stat`; `None` too if that process started at another
/// time, since it only has the server's id then.
fn process_of(text: &str) -> Option<Process> {
    let (start, rest) = text.split_once(' ')?;
    let (written_bytes, stat) = rest.split_once(' ')?;
    let start: u64 = start.parse().ok()?;
    let pid = stat.split_once(' ')?.0.parse().ok()?;
    // The name may hold anything; what follows its parenthesis are field 3 and those after it.
    let (_name, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    if field(22)? != start {
        return None;
    }
    Some(Process {
        pid,
        cpu_ticks: field(14)?.saturating_add(field(15)?),
        resident_pages: field(24)?,
        written_bytes: written_bytes.parse().ok()?,
    })
}

/// `TICKS PAGE RECEIVED SENT`.
fn network_of(text: &str) -> Option<Network> {
    let mut numbers = text.split(' ').map(|number| number.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let network = Network {
        ticks_per_s: next()?,
        page_bytes: next()?,
        received_bytes: next()?,
        sent_bytes: next()?,
    };
    (network.ticks_per_s > 0).then_some(network)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    const STAT: &str = "4211 (a) (b) c) S 1 4211 4211 0 -1 4194560 9 0 0 0 150 37 0 0 20 0 9 0 \
                        7700 1200000 2500 18446744073709551615 1 1 0 0 0 0";

    fn read(lines: &[&str]) -> Option<Usage> {
        let mut turn = Turn::default();
        let usages = lines.iter().filter_map(|line| turn.read(line, NodeId(1), || 5));
        usages.last()
    }

    #[test]
    fn a_turn_tells_of_every_process_and_of_the_network_in_the_nodes_own_units() {
        let process = format!("process 7700 8192 {STAT}");
        let usage = read(&[&process, "node 50 16384 1000 2000"]).expect("a whole turn");
        let expected = ProcessUsage {
            pid: 4211,
            cpu_ms: 3740,
            resident_bytes: 2500 * 16384,
            written_bytes: 8192,
        };
        assert_eq!(usage.processes, [expected]);
        assert_eq!((usage.time_ns, usage.node), (5, NodeId(1)));
        assert_eq!((usage.received_bytes, usage.sent_bytes), (1000, 2000));
    }

    #[test]
    fn a_process_that_only_has_the_servers_id_is_not_the_server() {
        assert_eq!(process_of(&format!("7701 8192 {STAT}")), None);
        let gone = read(&["node 100 4096 1 2"]).expect("a whole turn");
        assert_eq!(gone.processes, []);
    }

    #[test]
    fn a_turn_does_not_tell_of_the_processes_of_the_one_before() {
        let process = format!("process 7700 8192 {STAT}");
        let usage = read(&[&process, "node 100 4096 1 2", "node 100 4096 3 4"]);
        assert_eq!(usage.expect("a whole turn").processes, []);
    }

    #[test]
    fn lines_that_make_no_sense_are_left_out() {
        let cut = format!("process 7700 8192 {}", &STAT[..60]);
        for line in ["", "Welcome!", "process ", "process 1 2 3", &cut, "node 100", "node 0 1 2 3"]
        {
            assert_eq!(read(&[line]), None, "{line}");
        }
        let usage = read(&["Welcome!", &cut, "process", "node 100 4096 1 2"]);
        assert_eq!(usage.expect("a whole turn").processes, []);
    }

    #[test]
    fn the_loop_tells_of_a_running_process_and_ends_when_nobody_reads() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let service = |name: &str| Service {
            pid_file: dir.path().join(name),
            ..Service::for_tests("server")
        };
        let stat = std::fs::read_to_string("/proc/self/stat").expect("a line");
        let start = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(19));
        let own = format!("{} {}\n", std::process::id(), start.expect("a start time"));
        std::fs::write(dir.path().join("own"), own).expect("write");
        // Beyond the largest process id of Linux.
        std::fs::write(dir.path().join("gone"), "4194305 1\n").expect("write");
        let services = ["absent", "own", "gone"].map(service);
        let watch = watch(&services, Duration::from_secs(60));
        let mut shell = Command::new("sh")
            .args(["-c", &watch.script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let mut lines = BufReader::new(shell.stdout.take().expect("a pipe")).lines();
        let mut turn = Turn::default();
        let usage = loop {
            let line = lines.next().expect("a line").expect("text");
            if let Some(usage) = turn.read(&line, NodeId(0), || 0) {
                break usage;
            }
        };
        let [process] = &usage.processes[..] else { panic!("one process: {usage:?}") };
        assert_eq!(process.pid, std::process::id());
        assert!((100_000..10_000_000_000).contains(&process.resident_bytes), "{process:?}");
        drop(lines);
        let status = shell.wait().expect("an end");
        assert!(!status.success(), "a signal ends it, or its last write: {status:?}");
    }
}
