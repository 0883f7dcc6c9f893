//! Evidence that processes were killed or paused: each ran before, and all were seen dead or stopped.

use std::collections::BTreeMap;

use crate::process::{Deed, ProcessState};

/// By host and name.
type Found = BTreeMap<(String, String), Result<(u32, ProcessState), String>>;

/// Everything observed of processes that a fault was done to.
#[derive(Debug)]
pub(crate) struct ProcessEvidence {
    deed: Deed,
    before: Found,
    /// A look that found every process as the fault is to leave it, else the last one.
    during: Option<Found>,
}

impl ProcessEvidence {
    pub(super) fn new(deed: Deed, before: Found) -> ProcessEvidence {
        ProcessEvidence { deed, before, during: None }
    }

    pub(super) fn record(&mut self, found: Found) {
        if self.during.as_ref().is_none_or(|during| !self.is_done(during)) {
            self.during = Some(found);
        }
    }

    /// Whether each process that ran before is now as the fault is to leave it, and all ran.
    fn is_done(&self, during: &Found) -> bool {
        !self.before.is_empty()
            && self.before.iter().all(|(subject, before)| {
                let Ok((pid, ProcessState::Running)) = before else { return false };
                match during.get(subject) {
                    Some(Ok((now, state))) => now == pid && *state == self.wanted(),
                    _ => false,
                }
            })
    }

    fn wanted(&self) -> ProcessState {
        match self.deed {
            Deed::Kill => ProcessState::Gone,
            Deed::Pause => ProcessState::Stopped,
        }
    }

    pub(super) fn judge(&self) -> (bool, Vec<String>) {
        let Some(during) = &self.during else {
            return (false, vec!["nobody looked while the fault was in force".into()]);
        };
        let sentence = |((host, name), before): (&(String, String), &Result<_, String>)| {
            let now = during.get(&(host.clone(), name.clone()));
            let state = |found: &Result<(u32, ProcessState), String>| match found {
                Ok((pid, ProcessState::Running)) => format!("ran as process {pid}"),
                Ok((pid, ProcessState::Stopped)) => {
                    format!("was process {pid} in state T (stopped)")
                }
                Ok((pid, ProcessState::Gone)) => format!("was gone (process {pid})"),
                Err(reason) => format!("told nothing: {reason}"),
            };
            let now = now.map_or_else(|| "told nothing".to_owned(), state);
            format!("{name} on {host} {} before the fault, and {now} during it", state(before))
        };
        let mut proof: Vec<String> = self.before.iter().map(sentence).collect();
        if proof.is_empty() {
            proof.push("no process was found before the fault".into());
        }
        (self.is_done(during), proof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProcessState::{Gone, Running, Stopped};

    fn found(states: &[(&str, u32, ProcessState)]) -> Found {
        let subject = |(host, pid, state): &(&str, u32, ProcessState)| {
            (((*host).to_owned(), "etcd".to_owned()), Ok((*pid, *state)))
        };
        states.iter().map(subject).collect()
    }

    fn judge(deed: Deed, before: Found, during: Vec<Found>) -> (bool, String) {
        let mut evidence = ProcessEvidence::new(deed, before);
        during.into_iter().for_each(|found| evidence.record(found));
        let (bit, proof) = evidence.judge();
        assert!(!proof.is_empty());
        (bit, proof.join("; "))
    }

    #[test]
    fn a_process_that_ran_and_is_stopped_was_paused() {
        let before = found(&[("n1", 7, Running)]);
        let (bit, proof) = judge(Deed::Pause, before, vec![found(&[("n1", 7, Stopped)])]);
        assert!(bit, "{proof}");
        assert!(proof.contains("etcd on n1 ran as process 7 before"), "{proof}");
        assert!(proof.contains("process 7 in state T"), "{proof}");
    }

    #[test]
    fn a_process_that_goes_on_was_not_paused_and_one_that_died_was_not_either() {
        for during in [Running, Gone] {
            let before = found(&[("n1", 7, Running)]);
            assert!(!judge(Deed::Pause, before, vec![found(&[("n1", 7, during)])]).0);
        }
    }

    #[test]
    fn a_process_that_is_gone_was_killed_and_one_that_is_stopped_or_runs_was_not() {
        for (during, killed) in [(Gone, true), (Stopped, false), (Running, false)] {
            let before = found(&[("n1", 7, Running)]);
            assert_eq!(judge(Deed::Kill, before, vec![found(&[("n1", 7, during)])]).0, killed);
        }
    }

    #[test]
    fn a_process_that_did_not_run_before_proves_nothing() {
        for before in [Gone, Stopped] {
            let before = found(&[("n1", 7, before)]);
            assert!(!judge(Deed::Kill, before.clone(), vec![found(&[("n1", 7, Gone)])]).0);
            assert!(!judge(Deed::Pause, before, vec![found(&[("n1", 7, Stopped)])]).0);
        }
        assert!(!judge(Deed::Kill, Found::new(), vec![Found::new()]).0);
    }

    #[test]
    fn one_of_two_is_no_bite_and_neither_is_another_process_in_its_place() {
        let before = found(&[("n1", 7, Running), ("n2", 8, Running)]);
        let half = found(&[("n1", 7, Stopped), ("n2", 8, Running)]);
        assert!(!judge(Deed::Pause, before.clone(), vec![half]).0);
        let silent = found(&[("n1", 7, Stopped)]);
        assert!(!judge(Deed::Pause, before, vec![silent]).0);
        let before = found(&[("n1", 7, Running)]);
        assert!(!judge(Deed::Pause, before, vec![found(&[("n1", 9, Stopped)])]).0);
    }

    #[test]
    fn a_later_look_does_not_take_a_bite_back() {
        let before = found(&[("n1", 7, Running)]);
        let looks = vec![found(&[("n1", 7, Gone)]), found(&[("n1", 9, Running)])];
        assert!(judge(Deed::Kill, before, looks).0);
    }

    #[test]
    fn nobody_looking_is_no_bite() {
        assert!(!judge(Deed::Kill, found(&[("n1", 7, Running)]), vec![]).0);
    }
}
