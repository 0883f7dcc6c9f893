//! When something happened on a host, by the run's clock, though the host only knows its own.
//!
//! A command tells when it began and when its change was made, by the host's clock. It cannot have
//! begun before it was sent, nor ended after it was answered, so each command bounds how far apart
//! the two clocks are, from both sides; all of them together bound it far better than any (after
//! Marzullo and Owicki). A host whose clock is set in between, or drifts, contradicts older commands,
//! which then count no more.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use locktest_cluster::{NowNs, Remote, RemoteCommand, RemoteError, RemoteOutput};
use locktest_history::TookEffect;

use crate::script::read_took;

/// So many commands of a host count.
const REMEMBERED: usize = 32;

/// The run's clock less a host's is between these.
type Offset = (i128, i128);

/// What is known of the hosts' clocks.
pub(crate) struct Clocks {
    now_ns: NowNs,
    offsets: Mutex<HashMap<String, VecDeque<Offset>>>,
}

impl Clocks {
    pub(crate) fn new(now_ns: NowNs) -> Clocks {
        Clocks { now_ns, offsets: Mutex::default() }
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
            Some(took) => self.learn(host, (sent_ns, answered_ns), took),
            None => (sent_ns, answered_ns),
        };
        (result, TookEffect { host: host.to_owned(), from_ns, until_ns })
    }

    /// Takes in what a command says that began and ended at such times of the host's, and tells
    /// between which times of the run's it ended.
    fn learn(&self, host: &str, sent_answered: (u64, u64), (begin, end): (u64, u64)) -> (u64, u64) {
        let (sent_ns, answered_ns) = sent_answered;
        let offset: Offset =
            (i128::from(sent_ns) - i128::from(begin), i128::from(answered_ns) - i128::from(end));
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
        let at = |offset: i128| {
            u64::try_from(i128::from(end) + offset).unwrap_or(0).clamp(sent_ns, answered_ns)
        };
        (at(best.0), at(best.1))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const MS: u64 = 1_000_000;

    /// A command on a host whose clock is ahead by `ahead`: when it was sent, began, ended, and was
    /// answered, by the run's clock, all in milliseconds. Tells between which it is known to have
    /// ended.
    fn learn(clocks: &Clocks, ahead: u64, [sent, begin, end, answered]: [u64; 4]) -> (u64, u64) {
        let took = ((begin + ahead) * MS, (end + ahead) * MS);
        let (from, until) = clocks.learn("n1", (sent * MS, answered * MS), took);
        (from / MS, until / MS)
    }

    fn clocks() -> Clocks {
        Clocks::new(Arc::new(|| 0))
    }

    #[test]
    fn one_command_is_known_as_well_as_its_way_there_and_back_is_short() {
        // It took 5 ms, and 3 and 4 ms more on its way.
        assert_eq!(learn(&clocks(), 777, [100, 103, 108, 112]), (105, 112));
    }

    #[test]
    fn commands_with_a_short_way_there_and_others_with_a_short_way_back_help_all() {
        let clocks = clocks();
        learn(&clocks, 777, [100, 101, 105, 130]);
        learn(&clocks, 777, [200, 230, 235, 236]);
        assert_eq!(learn(&clocks, 777, [300, 320, 325, 350]), (324, 326));
    }

    #[test]
    fn a_clock_that_was_set_is_known_anew() {
        let clocks = clocks();
        learn(&clocks, 777, [100, 101, 105, 106]);
        assert_eq!(learn(&clocks, 5000, [200, 203, 205, 210]), (202, 210));
        learn(&clocks, 5000, [300, 301, 305, 306]);
        assert_eq!(learn(&clocks, 5000, [400, 420, 425, 450]), (424, 426));
    }

    #[test]
    fn nothing_is_known_to_be_before_it_was_sent_or_after_it_was_answered() {
        // The host's clock was set while the command ran.
        assert_eq!(learn(&clocks(), 777, [100, 200, 150, 101]), (100, 101));
    }
}
