//! Why a history is not linearizable, in sentences.

use locktest_checker::{
    Action, Conflict, Counterexample, Exhausted, Hold, Involved, Outcome, Specification, Undecided,
    Value,
};

use super::{CheckOutcome, CheckReport, InvolvedReport, ObjectReport, Stamps, Subject};
use crate::text::{count, duration_ns, visible};

/// A value is cut to this length.
const MAX_VALUE: usize = 40;

/// More operations than this are not listed in a sentence.
const MAX_LISTED: usize = 6;

/// Sentences about one history.
pub(super) struct Wording<'a> {
    pub(super) subject: &'a Subject<'a>,
}

impl Wording<'_> {
    pub(super) fn violated(&self, key: &str, counterexample: &Counterexample) -> ObjectReport {
        let mut involved: Vec<&Involved> = match &counterexample.conflict {
            Conflict::Overlap(holds) | Conflict::Leases { chain: holds, .. } => {
                holds.iter().flat_map(parts).collect()
            }
            Conflict::UnexplainedDenial { denial, before, after } => {
                let around = before.iter().chain(after).flat_map(parts);
                around.chain([denial]).collect()
            }
            Conflict::NotHeld(operation) | Conflict::UnexplainedRefusal(operation) => {
                vec![operation]
            }
            Conflict::Tokens(first, second) => vec![first, second],
            Conflict::NoOrder { stuck, open } => [stuck].into_iter().chain(open).collect(),
        };
        involved.sort_by_key(|involved| (involved.operation.invoke, involved.index));
        involved.dedup_by_key(|involved| involved.index);
        ObjectReport {
            key: key.to_owned(),
            outcome: CheckOutcome::Violated,
            suspected: false,
            violated_at: Some(counterexample.at),
            shortest: Some(counterexample.shortest),
            decided_until: None,
            why: self.why(&counterexample.conflict),
            operations: involved.into_iter().map(|involved| self.involved(involved)).collect(),
        }
    }

    pub(super) fn undecided(&self, key: &str, undecided: &Undecided) -> ObjectReport {
        let what = match undecided.why {
            Exhausted::Time => "the time budget ran out",
            Exhausted::Memory => "the memory limit was reached",
            Exhausted::Abandoned => "another object was found not linearizable first",
            Exhausted::Unread => "what contradicts the model may be owed to what was left out",
            Exhausted::Streamed => {
                "the history has to be looked at as a whole, which a pipe is not; check it as a file, \
                 or with --verify"
            }
        };
        let so_far = match undecided.decided_until {
            0 => "nothing is decided".to_owned(),
            until => format!("everything up to {} is linearizable", self.at(until)),
        };
        let suspicion = if undecided.suspected {
            "; a violation is likely: no order was found, and what ran out was needed to make sure"
        } else {
            ""
        };
        ObjectReport {
            key: key.to_owned(),
            outcome: CheckOutcome::Undecided,
            suspected: undecided.suspected,
            violated_at: None,
            shortest: None,
            decided_until: Some(undecided.decided_until),
            why: format!("{what}; {so_far}{suspicion}"),
            operations: Vec::new(),
        }
    }

    pub(super) fn summary(&self, report: &CheckReport) -> String {
        let amount = format!(
            "{} on {}",
            count(report.operations, "operation"),
            count(report.objects, "object")
        );
        match report.outcome {
            CheckOutcome::Held => format!("every object is linearizable: {amount}"),
            CheckOutcome::Violated => match (report.violated, report.objects) {
                (1, 1) => format!("not linearizable: {amount}"),
                (n, of) => format!("{n} of {of} objects are not linearizable: {amount}"),
            },
            CheckOutcome::Undecided => {
                format!(
                    "no violation was found, and {} could not be decided: {amount}",
                    count(report.undecided, "object")
                )
            }
        }
    }

    fn why(&self, conflict: &Conflict) -> String {
        match conflict {
            Conflict::Overlap(holds) => match &holds[..] {
                [first, second] => self.overlap(first, second),
                holds => format!(
                    "{} had the lock at once: {}",
                    count(holds.len() as u64, "hold"),
                    self.list(holds.iter().map(|hold| self.hold(hold)))
                ),
            },
            Conflict::UnexplainedDenial { denial, before, after } => {
                let mut around = Vec::new();
                if let Some(before) = before {
                    around.push(match before.release {
                        Some(release) if release.operation.outcome == Outcome::Ok => format!(
                            "the release of {} was answered before, at {}",
                            self.who(&release),
                            self.at(release.operation.complete)
                        ),
                        _ => format!("the hold of {} was over before", self.who(&before.acquire)),
                    });
                }
                if let Some(after) = after {
                    around.push(format!(
                        "the next to be granted, {}, asked only at {}",
                        self.who(&after.acquire),
                        self.at(after.acquire.operation.invoke)
                    ));
                }
                if around.is_empty() {
                    around.push("nobody had been granted it, or may have been".to_owned());
                }
                format!(
                    "{} was denied the lock between {} and {}, when nobody can have held it: {}",
                    self.who(denial),
                    self.at(denial.operation.invoke),
                    self.at(denial.operation.complete),
                    around.join("; ")
                )
            }
            Conflict::NotHeld(operation) => format!(
                "{}'s {} succeeded at {}, and it cannot have held the lock then",
                self.who(operation),
                self.action(operation.operation.action),
                self.at(operation.operation.complete)
            ),
            Conflict::Tokens(first, second) => format!(
                "{}'s {} was answered at {}, before {} asked at {} for what became its {}: a later \
                 token has to be larger",
                self.who(first),
                self.action(first.operation.action),
                self.at(first.operation.complete),
                self.who(second),
                self.at(second.operation.invoke),
                self.action(second.operation.action),
            ),
            Conflict::UnexplainedRefusal(operation) => format!(
                "{}'s {} was refused at {}, and the resource cannot have seen a larger token by \
                 then",
                self.who(operation),
                self.action(operation.operation.action),
                self.at(operation.operation.complete)
            ),
            Conflict::Leases { chain, lease_ns } => format!(
                "if a lease lasts {} at least, these cannot all have held, one after the other: {}",
                duration_ns(*lease_ns),
                self.list(chain.iter().map(|hold| self.hold(hold)))
            ),
            Conflict::NoOrder { stuck, open } => {
                let sentence = format!(
                    "no order of the operations explains {}'s {}{}, answered at {}",
                    self.who(stuck),
                    self.action(stuck.operation.action),
                    refused(stuck),
                    self.at(stuck.operation.complete)
                );
                let others: Vec<_> =
                    open.iter().filter(|involved| involved.index != stuck.index).collect();
                if others.is_empty() {
                    return format!("{sentence}; nothing else was open then");
                }
                format!(
                    "{sentence}; open then: {}",
                    self.list(others.iter().map(|involved| format!(
                        "{}'s {}",
                        self.who(involved),
                        self.action(involved.operation.action)
                    )))
                )
            }
        }
    }

    fn overlap(&self, first: &Hold, second: &Hold) -> String {
        let until = match &first.release {
            Some(release) => {
                format!("and asked to release it only at {}", self.at(release.operation.invoke))
            }
            None => "and had not released it by then".to_owned(),
        };
        format!(
            "{} was granted the lock at {} {until}, yet {} was granted it at {}",
            self.who(&first.acquire),
            self.at(first.acquire.operation.complete),
            self.who(&second.acquire),
            self.at(second.acquire.operation.complete)
        )
    }

    fn hold(&self, hold: &Hold) -> String {
        let from = self.at(hold.acquire.operation.complete);
        match &hold.release {
            Some(release) => format!(
                "{} from {from} to {}",
                self.who(&hold.acquire),
                self.at(release.operation.invoke)
            ),
            None => format!("{} from {from} on", self.who(&hold.acquire)),
        }
    }

    fn involved(&self, involved: &Involved) -> InvolvedReport {
        let operation = involved.operation;
        InvolvedReport {
            index: involved.index,
            process: self.who(involved),
            action: self.action(operation.action),
            outcome: match operation.outcome {
                Outcome::Ok => "ok",
                Outcome::Fail => "fail",
                Outcome::Info => "info",
            },
            invoke: operation.invoke,
            complete: (operation.outcome != Outcome::Info).then_some(operation.complete),
        }
    }

    fn who(&self, involved: &Involved) -> String {
        visible(&(self.subject.process)(involved.operation.process), MAX_VALUE)
    }

    /// A stamp: `line 12`, `event 12`, `1.234567 s`.
    pub(super) fn at(&self, stamp: u64) -> String {
        at(self.subject.stamps, stamp)
    }

    /// What was asked, as short as it can be said.
    fn action(&self, action: Action) -> String {
        let with_token = |name: &str, token: u64| match token {
            0 => name.to_owned(),
            token => format!("{name} with token {token}"),
        };
        let shared = self.subject.specification == Specification::ReadWriteLock;
        match action {
            Action::Acquire(_) if shared => "acquire-write".to_owned(),
            Action::Release if shared => "release-write".to_owned(),
            Action::Acquire(token) => with_token("acquire", token),
            Action::TryAcquire(token) => with_token("try", token),
            Action::Release => "release".to_owned(),
            Action::Renew => "renew".to_owned(),
            Action::AcquireShared => "acquire-read".to_owned(),
            Action::TryAcquireShared => "try-read".to_owned(),
            Action::ReleaseShared => "release-read".to_owned(),
            Action::Read(value) => format!("read of {}", self.value(value)),
            Action::Write(value) => format!("write of {}", self.value(value)),
            Action::Cas { expected, new } => {
                format!("cas from {} to {}", self.value(expected), self.value(new))
            }
            Action::Get(value) => format!("get of {}", self.value(value)),
            Action::Put(value) => format!("put of {}", self.value(value)),
            Action::Append(value) => format!("append of {}", self.value(value)),
            Action::GuardedRead(token) => with_token("read", token),
            Action::GuardedWrite(token) => with_token("write", token),
        }
    }

    fn value(&self, value: Value) -> String {
        match self.subject.values.and_then(|values| values.text(value)) {
            None | Some("") => "nil".to_owned(),
            Some(text) => visible(text, MAX_VALUE),
        }
    }

    fn list(&self, entries: impl ExactSizeIterator<Item = String>) -> String {
        let total = entries.len();
        let mut listed: Vec<String> = entries.take(MAX_LISTED).collect();
        if total > listed.len() {
            listed.push(format!("and {} more", total - listed.len()));
        }
        listed.join(", ")
    }
}

/// A stamp in words.
pub(super) fn at(stamps: Stamps, stamp: u64) -> String {
    match stamps {
        Stamps::Line => format!("line {stamp}"),
        Stamps::Event => format!("event {stamp}"),
        Stamps::Nanosecond => format!("{:.6} s", stamp as f64 / 1e9),
    }
}

/// What began a hold, and what ended it.
fn parts(hold: &Hold) -> impl Iterator<Item = &Involved> {
    [&hold.acquire].into_iter().chain(&hold.release)
}

fn refused(involved: &Involved) -> &'static str {
    match involved.operation.outcome {
        Outcome::Fail => " (refused)",
        _ => "",
    }
}
