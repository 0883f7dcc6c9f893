//! When something happened on a host, by the run's clock, though the host only knows its own.
//!
//! A command tells when it began and when its change was made, by the host's clock. It cannot have
//! begun before it was sent, nor ended after it was answered, so each command bounds how far apart
//! the two clocks are, from both sides; all of them together bound it far better than any (after
//! Marzullo and Owicki). A host whose clock is set in between, or drifts, contradicts older commands,
//! which then count no more.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use locktest_cluster::{NowNs, Remote, RemoteCommand, RemoteError, RemoteOutput};
use locktest_history::TookEffect;

use crate::script::{Took, read_took};

/// So many commands of a host count.
const REMEMBERED: usize = 32;

/// The run's clock less a host's is between these.
type Offset = (i128, i128);

/// What is known of the hosts' clocks.
pub(crate) struct Clocks {
    now_ns: NowNs,
    /// The control node's kernel, as it names its boots; `None` if it does not.
    kernel: Option<String>,
    offsets: Mutex<HashMap<String, VecDeque<Offset>>>,
}

impl Clocks {
    pub(crate) fn new(now_ns: NowNs) -> Clocks {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let kernel = kernel.map(|kernel| kernel.trim().to_owned());
        Clocks { now_ns, kernel, offsets: Mutex::default() }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        (self.now_ns)()
    }

    /// Runs a command, and tells when its change was made.
    pub(crate) async fn timed(
        &self,
        remote: &impl Remote,
        host: &str,
        command: &RemoteCommand,
    ) -> (Result<RemoteOutput, RemoteError>, TookEffect) {
        let sent_ns = self.now_ns();
        let result = remote.run_ok(host, command).await;
        let answered_ns = self.now_ns();
        let took = result.as_ref().ok().and_then(|output| read_took(&output.stdout));
        let (from_ns, until_ns) = match took {
            Some(took) => {
                let own = Some(&took.kernel) == self.kernel.as_ref();
                let own = own.then(|| self.own_offset());
                let offset = own.unwrap_or_else(|| self.learn(host, (sent_ns, answered_ns), &took));
                let at = |host_ns: u64, offset: i128| {
                    let ns = u64::try_from(i128::from(host_ns) + offset).unwrap_or(0);
                    ns.clamp(sent_ns, answered_ns)
                };
                (at(took.changing, offset.0), at(took.end, offset.1))
            }
            None => (sent_ns, answered_ns),
        };
        (result, TookEffect { host: host.to_owned(), from_ns, until_ns })
    }

    /// The run's clock less the control node's wall clock.
    fn own_offset(&self) -> Offset {
        let before_ns = i128::from(self.now_ns());
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_ns = i128::try_from(wall.as_nanos()).unwrap_or(0);
        (before_ns - wall_ns, i128::from(self.now_ns()) - wall_ns)
    }

    /// Takes in when a command says that it began and ended, and tells how far apart the clocks
    /// are.
    fn learn(&self, host: &str, (sent_ns, answered_ns): (u64, u64), took: &Took) -> Offset {
        let offset: Offset = (
            i128::from(sent_ns) - i128::from(took.begin),
            i128::from(answered_ns) - i128::from(took.end),
        );
        let mut offsets = self.offsets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = offsets.entry(host.to_owned()).or_default();
        known.push_front(offset);
        known.truncate(REMEMBERED);
        let mut best = offset;
        let mut agreeing = 0;
        for other in &*known {
            let both = (best.0.max(other.0), best.1.min(other.1));
            if both.0 > both.1 {
                break;
            }
            best = both;
            agreeing += 1;
        }
        known.truncate(agreeing.max(1));
        best
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use locktest_cluster::{AuditLog, CONTROL, SshCluster};

    use super::*;
    use crate::script;

    const MS: i128 = 1_000_000;

    /// A command on a host whose clock is ahead by `ahead`: when it was sent, began, ended, and was
    /// answered, by the run's clock, all in milliseconds. Tells between which the clocks are known
    /// to be apart.
    fn learn(clocks: &Clocks, ahead: u64, [sent, begin, end, answered]: [u64; 4]) -> (i128, i128) {
        let ns = |ms: u64| ms * 1_000_000;
        let (begin, end) = (ns(begin + ahead), ns(end + ahead));
        let took = Took { begin, changing: begin, end, kernel: "another".into() };
        let (from, until) = clocks.learn("n1", (ns(sent), ns(answered)), &took);
        (from / MS, until / MS)
    }

    fn clocks() -> Clocks {
        Clocks::new(Arc::new(|| 0))
    }

    #[test]
    fn one_command_tells_as_much_as_its_way_there_and_back_is_short() {
        // It took 5 ms, and 3 and 4 ms more on its way.
        assert_eq!(learn(&clocks(), 777, [100, 103, 108, 112]), (-780, -773));
    }

    #[test]
    fn commands_with_a_short_way_there_and_others_with_a_short_way_back_help_all() {
        let clocks = clocks();
        learn(&clocks, 777, [100, 101, 105, 130]);
        learn(&clocks, 777, [200, 230, 235, 236]);
        assert_eq!(learn(&clocks, 777, [300, 320, 325, 350]), (-778, -776));
    }

    #[test]
    fn a_clock_that_was_set_is_known_anew() {
        let clocks = clocks();
        learn(&clocks, 777, [100, 101, 105, 106]);
        assert_eq!(learn(&clocks, 5000, [200, 203, 205, 210]), (-5003, -4995));
        learn(&clocks, 5000, [300, 301, 305, 306]);
        assert_eq!(learn(&clocks, 5000, [400, 420, 425, 450]), (-5001, -4999));
    }

    #[tokio::test]
    async fn a_change_on_the_control_nodes_own_kernel_is_known_as_exactly_as_it_was_made() {
        let origin = std::time::Instant::now();
        let clocks = Clocks::new(Arc::new(move || origin.elapsed().as_nanos() as u64));
        let folder = tempfile::tempdir().expect("a folder");
        let control = SshCluster::new(&[], folder.path(), AuditLog::none());
        // What it does before and after its change is none of it.
        let script = script::look(&format!("sleep 0.2\n{}", script::MARK)) + "sleep 0.2\n";
        let command = RemoteCommand::new("change nothing", script);
        let (result, took) = clocks.timed(&control, CONTROL, &command).await;
        result.expect("it ran");
        assert!(took.from_ns >= 200_000_000, "{took:?}");
        assert!(clocks.now_ns() - took.until_ns >= 200_000_000, "{took:?}");
        assert!(took.from_ns <= took.until_ns, "{took:?}");
    }
}
