//! A round of requests: each server's answer, what they amount to, and its record.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::Duration;

use locktest_history::{Answer, NodeId, RoundPurpose, Vote};
use tokio::time::Instant;

use super::super::{CallError, EndedRound};

/// By how much the clocks of servers and client may run apart during a lease: a hundredth of it, and
/// two milliseconds for expiries that are exact to a millisecond.
pub(super) fn drift(ttl: Duration) -> Duration {
    ttl / 100 + Duration::from_millis(2)
}

/// For how long a lease of `ttl` is valid from the end of the round on that took it; `None` if the
/// round took too long.
pub(super) fn validity_left(ttl: Duration, elapsed: Duration) -> Option<Duration> {
    ttl.checked_sub(elapsed.saturating_add(drift(ttl))).filter(|left| !left.is_zero())
}

/// The smallest number of servers of which any two such sets have one in common.
pub(super) fn quorum(servers: usize) -> usize {
    servers / 2 + 1
}

/// What a round that gives or extends a lease has to keep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// The time to live that it asks for.
    pub(super) ttl: Duration,
    /// When the lease ends that it extends.
    pub(super) valid_until: Option<Instant>,
}

impl Terms {
    fn validity_left(self, begin: Instant, elapsed: Duration) -> Option<Duration> {
        let in_time = self.valid_until.is_none_or(|end| begin + elapsed < end);
        validity_left(self.ttl, elapsed).filter(|_| in_time)
    }
}

/// A round that goes on. Its record is kept when it is dropped, so that the answers that did come
/// are in the history also if the round is given up half-way.
pub(super) struct OpenRound<'a> {
    records: &'a RefCell<Vec<EndedRound>>,
    purpose: RoundPurpose,
    begin: Instant,
    heard: RefCell<Vec<Option<Heard>>>,
    result: Cell<Option<RoundResult>>,
}

/// What one server said, and how long after the round's begin.
struct Heard {
    answer: Result<bool, CallError>,
    elapsed: Duration,
}

#[derive(Clone, Copy)]
struct RoundResult {
    elapsed: Duration,
    won: bool,
    validity_left: Option<Duration>,
}

impl<'a> OpenRound<'a> {
    pub(super) fn begin(
        records: &'a RefCell<Vec<EndedRound>>,
        purpose: RoundPurpose,
        servers: usize,
    ) -> OpenRound<'a> {
        OpenRound {
            records,
            purpose,
            begin: Instant::now(),
            heard: RefCell::new((0..servers).map(|_| None).collect()),
            result: Cell::new(None),
        }
    }

    pub(super) fn hear(&self, server: usize, answer: Result<bool, CallError>) {
        let elapsed = self.begin.elapsed();
        self.heard.borrow_mut()[server] = Some(Heard { answer, elapsed });
    }

    /// Counts the answers. Where there are terms, a majority wins only if it keeps them.
    pub(super) fn end(self, terms: Option<Terms>) -> Tally {
        let elapsed = self.begin.elapsed();
        let votes = Votes::count(
            self.heard.borrow().iter().map(|heard| heard.as_ref().map(|heard| &heard.answer)),
        );
        let validity_left = terms
            .and_then(|terms| terms.validity_left(self.begin, elapsed))
            .filter(|_| votes.have_majority());
        let won = votes.have_majority() && (terms.is_none() || validity_left.is_some());
        self.result.set(Some(RoundResult { elapsed, won, validity_left }));
        Tally { begin: self.begin, votes, won }
    }
}

impl Drop for OpenRound<'_> {
    fn drop(&mut self) {
        let given_up =
            || RoundResult { elapsed: self.begin.elapsed(), won: false, validity_left: None };
        let RoundResult { elapsed, won, validity_left } =
            self.result.get().unwrap_or_else(given_up);
        let votes = self.heard.take().into_iter().zip(0..).map(|(heard, index)| Vote {
            server: NodeId(index),
            elapsed_ns: heard.as_ref().map_or(elapsed, |heard| heard.elapsed).as_nanos() as u64,
            answer: match heard.map(|heard| heard.answer) {
                Some(Ok(true)) => Answer::Yes,
                Some(Ok(false)) => Answer::No,
                Some(Err(error)) => Answer::Unknown(error.to_string()),
                None => Answer::Unknown("the round was given up".into()),
            },
        });
        let record = EndedRound {
            purpose: self.purpose,
            begin: self.begin,
            elapsed,
            won,
            validity_left,
            votes: votes.collect(),
        };
        self.records.borrow_mut().push(record);
    }
}

/// How a round ended.
#[derive(Debug)]
pub(super) struct Tally {
    /// Before its first request was sent.
    pub(super) begin: Instant,
    pub(super) votes: Votes,
    /// Whether a majority agreed, and in time.
    pub(super) won: bool,
}

/// The answers of a round, counted.
#[derive(Debug, Default)]
pub(super) struct Votes {
    servers: usize,
    yes: usize,
    no: usize,
    not_asked: usize,
    /// The words of a server that said neither yes nor no.
    trouble: Option<String>,
}

impl Votes {
    fn count<'a>(answers: impl IntoIterator<Item = Option<&'a Result<bool, CallError>>>) -> Votes {
        let mut votes = Votes::default();
        for (index, answer) in answers.into_iter().enumerate() {
            votes.servers += 1;
            match answer {
                Some(Ok(true)) => votes.yes += 1,
                Some(Ok(false)) => votes.no += 1,
                Some(Err(error)) => {
                    if matches!(error, CallError::NotAsked(_)) {
                        votes.not_asked += 1;
                    }
                    votes.trouble.get_or_insert_with(|| format!("server {}: {error}", index + 1));
                }
                None => {}
            }
        }
        votes
    }

    /// Whether a majority said yes.
    pub(super) fn have_majority(&self) -> bool {
        self.yes >= quorum(self.servers)
    }

    /// Whether so many said no that the others are no majority, whatever they would say.
    pub(super) fn rule_majority_out(&self) -> bool {
        self.servers - self.no < quorum(self.servers)
    }

    /// Whether a majority said anything at all.
    pub(super) fn are_of_majority(&self) -> bool {
        self.yes + self.no >= quorum(self.servers)
    }

    /// Why there is no good answer: unknown, unless no request was sent, or none was executed.
    pub(super) fn failure(&self) -> CallError {
        if self.not_asked == self.servers {
            return CallError::NotAsked(self.to_string());
        }
        CallError::Unknown(self.to_string())
    }
}

impl fmt::Display for Votes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Votes { servers, yes, no, .. } = self;
        write!(f, "of {servers} servers {yes} said yes and {no} no")?;
        match &self.trouble {
            Some(trouble) => write!(f, "; {trouble}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_millis(2000);

    fn unknown() -> Result<bool, CallError> {
        Err(CallError::Unknown("no answer in time".into()))
    }

    fn not_asked() -> Result<bool, CallError> {
        Err(CallError::NotAsked("cannot connect".into()))
    }

    fn votes(answers: &[Result<bool, CallError>]) -> Votes {
        Votes::count(answers.iter().map(Some))
    }

    #[test]
    fn the_validity_is_the_ttl_less_the_round_and_the_drift() {
        assert_eq!(drift(TTL), Duration::from_millis(22));
        let left = validity_left(TTL, Duration::from_millis(100));
        assert_eq!(left, Some(Duration::from_millis(1878)));
    }

    #[test]
    fn a_round_that_took_the_whole_lease_gives_no_validity() {
        assert_eq!(validity_left(TTL, Duration::from_millis(1978)), None);
        let left = validity_left(TTL, Duration::from_micros(1_977_999));
        assert_eq!(left, Some(Duration::from_micros(1)));
        assert_eq!(validity_left(TTL, Duration::MAX / 2), None);
        assert_eq!(validity_left(Duration::from_millis(2), Duration::ZERO), None);
    }

    #[test]
    fn the_promise_that_the_verdict_counts_with_is_a_lease_without_the_drift() {
        for ttl_ms in [10, 500, 1999, 2000, 30_000] {
            let ttl = Duration::from_millis(ttl_ms);
            let promised_ns = locktest_history::Recipe::Redlock.promised_ns(ttl_ms);
            assert_eq!((ttl - drift(ttl)).as_nanos() as u64, promised_ns);
        }
    }

    #[test]
    fn any_two_majorities_share_a_server() {
        assert_eq!([1, 3, 5, 7].map(quorum), [1, 2, 3, 4]);
        assert!((1..20).all(|servers| 2 * quorum(servers) > servers));
    }

    #[test]
    fn a_majority_of_yes_is_needed_and_silence_is_neither_yes_nor_no() {
        let three_of_five = votes(&[Ok(true), unknown(), Ok(true), not_asked(), Ok(true)]);
        assert!(three_of_five.have_majority() && !three_of_five.rule_majority_out());
        let two_of_five = votes(&[Ok(true), unknown(), Ok(true), not_asked(), unknown()]);
        assert!(!two_of_five.have_majority() && !two_of_five.rule_majority_out());
        assert!(!two_of_five.are_of_majority());
    }

    #[test]
    fn a_majority_is_ruled_out_only_by_those_who_said_no() {
        let two = votes(&[Ok(false), unknown(), Ok(false), not_asked(), unknown()]);
        assert!(!two.rule_majority_out());
        let three = votes(&[Ok(false), Ok(true), Ok(false), Ok(false), Ok(true)]);
        assert!(three.rule_majority_out());
        let one_of_one = votes(&[Ok(false)]);
        assert!(one_of_one.rule_majority_out());
    }

    #[test]
    fn a_failure_is_certain_only_if_no_server_was_asked() {
        let nobody = votes(&[not_asked(), not_asked(), not_asked()]);
        assert!(matches!(nobody.failure(), CallError::NotAsked(_)));
        let perhaps_one = votes(&[not_asked(), unknown(), not_asked()]);
        assert!(matches!(perhaps_one.failure(), CallError::Unknown(_)));
        let one = votes(&[not_asked(), Ok(true), not_asked()]);
        assert!(matches!(one.failure(), CallError::Unknown(_)));
    }

    #[test]
    fn an_extension_counts_only_while_the_lease_before_it_is_valid() {
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        let terms = |valid_until| Terms { ttl: TTL, valid_until };
        let millisecond = Duration::from_millis(1);
        assert!(terms(Some(begin + second)).validity_left(begin, millisecond).is_some());
        assert!(terms(Some(begin + second)).validity_left(begin, second).is_none());
        assert!(terms(None).validity_left(begin, second).is_some());
    }

    #[test]
    fn a_round_that_is_given_up_is_recorded_with_the_answers_so_far() {
        let records = RefCell::new(Vec::new());
        let round = OpenRound::begin(&records, RoundPurpose::Acquire, 3);
        round.hear(1, Ok(true));
        drop(round);
        let records = records.into_inner();
        let [record] = records.as_slice() else { panic!("{records:?}") };
        assert!(!record.won && record.validity_left.is_none());
        let answers: Vec<_> = record.votes.iter().map(|vote| vote.answer.clone()).collect();
        let silent = Answer::Unknown("the round was given up".into());
        assert_eq!(answers, [silent.clone(), Answer::Yes, silent]);
        assert_eq!(record.votes[2].server, NodeId(2));
    }

    #[test]
    fn a_round_that_ended_is_recorded_once_and_with_its_result() {
        let records = RefCell::new(Vec::new());
        let round = OpenRound::begin(&records, RoundPurpose::Acquire, 3);
        for server in [0, 2] {
            round.hear(server, Ok(true));
        }
        round.hear(1, Ok(false));
        let tally = round.end(Some(Terms { ttl: TTL, valid_until: None }));
        assert!(tally.won);
        let records = records.into_inner();
        let [record] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!((record.begin, record.won), (tally.begin, true));
        let left = record.validity_left.expect("a validity");
        assert_eq!(left, TTL - drift(TTL) - record.elapsed);
        assert_eq!(record.votes[1].answer, Answer::No);
    }
}
