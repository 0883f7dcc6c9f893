//! Latency by phase, by fault and by client, and the longest wait.

mod handover;
mod samples;

use std::collections::BTreeMap;

use locktest_history::{ClientId, Detail, Function, KeyId, Outcome};

use handover::Handovers;

use crate::faults::{Fault, Faults};
use crate::hold::Tenure;
use crate::latency::samples::Samples;
use crate::observed::Observed;
use crate::operation::{Attempt, Operation};
use crate::servers::Servers;
use crate::time::Spans;
use crate::verdict::{ClientLatency, FaultLatency, Latency, Phases};

/// Latency of the ok acquires and releases, and of what was asked of values in the store.
pub(crate) fn latency(observed: &Observed, faults: &Faults, servers: &Servers) -> Latency {
    // The events lie far apart in memory, so each is visited once.
    let handovers = Handovers::new(observed);
    let acquires: Vec<Acquire> =
        observed.attempts.iter().map(|attempt| Acquire::new(attempt, &handovers)).collect();
    let spans = FaultSpans { in_force: faults.in_force(), recovering: faults.recovering(servers) };
    let releases = observed.attempts.iter().flat_map(|attempt| &attempt.releases);
    let of_kind = |tries: bool| acquires.iter().filter(move |acquire| acquire.is_try == tries);
    let says_when = of_kind(false).any(|acquire| acquire.intended_ns.is_some());
    let any_tries = of_kind(true).next().is_some();
    let of_values = |function| {
        let waits: Vec<Wait> = values(observed, function).filter_map(Wait::for_answer).collect();
        (!waits.is_empty()).then(|| spans.phases(waits.into_iter()))
    };
    Latency {
        acquire: spans.phases(of_kind(false).filter_map(Acquire::wait)),
        try_acquire: any_tries.then(|| spans.phases(of_kind(true).filter_map(Acquire::wait))),
        read: of_values(Function::Read),
        write: of_values(Function::Write),
        cas: of_values(Function::Cas),
        acquire_intended: says_when
            .then(|| spans.phases(of_kind(false).filter_map(Acquire::intended_wait))),
        acquire_alone: spans.phases(of_kind(false).filter_map(Acquire::attempt_alone)),
        acquires_that_waited: of_kind(false)
            .filter(|acquire| acquire.ok_ns.is_some() && acquire.waited_ns > 0)
            .count() as u64,
        acquire_by_fault: by_fault(&acquires, faults, servers, &spans.in_force),
        acquire_by_client: by_client(&acquires),
        release: spans.phases(releases.filter_map(|release| {
            Some(Wait { begin_ns: release.invoke_ns(), end_ns: release.ok_ns()? })
        })),
    }
}

/// What latency knows of an acquire.
struct Acquire {
    client: ClientId,
    is_try: bool,
    intended_ns: Option<u64>,
    invoke_ns: u64,
    ok_ns: Option<u64>,
    /// How much of it the lock was another owner's, or was not asked for again.
    waited_ns: u64,
}

/// From when until when an ok operation was waited for.
struct Wait {
    begin_ns: u64,
    end_ns: u64,
}

impl Acquire {
    fn new(attempt: &Attempt, handovers: &Handovers) -> Acquire {
        let acquire = &attempt.acquire;
        Acquire {
            client: attempt.client(),
            is_try: acquire.invoke.function == Function::TryAcquire,
            intended_ns: acquire.intended_ns(),
            invoke_ns: acquire.invoke_ns(),
            ok_ns: acquire.ok_ns(),
            waited_ns: handovers.waited_ns(attempt),
        }
    }

    fn wait(&self) -> Option<Wait> {
        Some(Wait { begin_ns: self.invoke_ns, end_ns: self.ok_ns? })
    }

    /// As long as it would have taken if nobody else had held the lock.
    fn attempt_alone(&self) -> Option<Wait> {
        let begin_ns = self.invoke_ns;
        Some(Wait { begin_ns, end_ns: self.ok_ns?.saturating_sub(self.waited_ns).max(begin_ns) })
    }

    /// A client's first acquire was meant to begin when it did.
    fn intended_wait(&self) -> Option<Wait> {
        let begin_ns = self.intended_ns.unwrap_or(self.invoke_ns);
        Some(Wait { begin_ns, end_ns: self.ok_ns? })
    }
}

/// The operations of this kind on values that are kept in the store.
fn values<'o, 'h>(
    observed: &'o Observed<'h>,
    function: Function,
) -> impl Iterator<Item = &'o Operation<'h>> {
    let in_store = observed.plan.workload.keeps_values_in_store();
    let accesses = observed.accesses.iter().filter(move |_| in_store);
    let all = observed.registers.iter().chain(accesses);
    all.filter(move |operation| operation.invoke.function == function)
}

impl Wait {
    /// An ok operation, or a compare-and-set that was told of another value.
    fn for_answer(operation: &Operation) -> Option<Wait> {
        let completion = operation.completion?;
        let answered = match operation.outcome() {
            Outcome::Ok => true,
            Outcome::Fail => {
                operation.invoke.function == Function::Cas
                    && matches!(completion.detail, Detail::Register { .. })
            }
            Outcome::Info => false,
        };
        answered.then_some(Wait { begin_ns: operation.invoke_ns(), end_ns: completion.time_ns })
    }

    fn length_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.begin_ns)
    }
}

/// When faults were in force, and when their servers had not recovered from them.
struct FaultSpans {
    in_force: Spans,
    recovering: Spans,
}

impl FaultSpans {
    fn phases(&self, waits: impl Iterator<Item = Wait>) -> Phases {
        let (mut quiet, mut fault, mut recovery) =
            (Samples::default(), Samples::default(), Samples::default());
        for wait in waits {
            let samples = if self.in_force.contains(wait.begin_ns) {
                &mut fault
            } else if self.recovering.contains(wait.begin_ns) {
                &mut recovery
            } else {
                &mut quiet
            };
            samples.add(wait.length_ns());
        }
        Phases {
            quiet: quiet.percentiles(),
            fault: fault.percentiles(),
            recovery: recovery.percentiles(),
        }
    }
}

/// `acquires` are in order of their invokes.
fn by_fault(
    acquires: &[Acquire],
    faults: &Faults,
    servers: &Servers,
    in_force: &Spans,
) -> Vec<FaultLatency> {
    let invoked_within = |(begin_ns, end_ns): (u64, u64)| {
        let from = acquires.partition_point(|acquire| acquire.invoke_ns < begin_ns);
        let invoked = acquires[from..].iter();
        invoked.take_while(move |acquire| acquire.invoke_ns < end_ns).filter_map(Acquire::wait)
    };
    // It ends where the next fault begins, even if that is before its servers had recovered.
    let recovery_of = |fault: &Fault| {
        let (begin_ns, end_ns) = fault.recovery(servers);
        (begin_ns, in_force.first_inside(begin_ns, end_ns).unwrap_or(end_ns))
    };
    let of_fault = |fault: &Fault| {
        let mut during = Samples::default();
        for wait in invoked_within((fault.begun.begin_ns, fault.end_ns)) {
            during.add(wait.length_ns());
        }
        let mut recovery = Samples::default();
        for wait in invoked_within(recovery_of(fault)) {
            recovery.add(wait.length_ns());
        }
        FaultLatency {
            fault: fault.begun.id,
            in_force: during.percentiles(),
            recovery: recovery.percentiles(),
        }
    };
    faults.iter().map(of_fault).collect()
}

fn by_client(acquires: &[Acquire]) -> Vec<ClientLatency> {
    let mut samples_of: BTreeMap<ClientId, Samples> = BTreeMap::new();
    for acquire in acquires {
        let samples = samples_of.entry(acquire.client).or_default();
        if let Some(wait) = acquire.wait() {
            samples.add(wait.length_ns());
        }
    }
    let of_client = |(client, samples): (ClientId, Samples)| ClientLatency {
        client: client.to_string(),
        whole_run: samples.percentiles(),
    };
    samples_of.into_iter().map(of_client).collect()
}

/// The longest that somebody waited for a key while nobody was granted it.
pub(crate) fn longest_gap_ns(observed: &Observed, tenures: &[Tenure]) -> Option<u64> {
    let mut waits_of: BTreeMap<KeyId, Vec<(u64, u64)>> = BTreeMap::new();
    for attempt in observed.attempts.iter().filter(|attempt| attempt.waits()) {
        let wait = (attempt.acquire.invoke_ns(), attempt.asked_until_ns());
        waits_of.entry(attempt.key()).or_default().push(wait);
    }
    let mut grants_of: BTreeMap<KeyId, Vec<u64>> = BTreeMap::new();
    for tenure in tenures {
        grants_of.entry(tenure.hold.key).or_default().push(tenure.hold.ok_ns);
    }
    let gap_of = |(key, waits): (KeyId, Vec<(u64, u64)>)| {
        let grants = grants_of.get(&key).map_or(&[][..], Vec::as_slice);
        let gap = |(begin_ns, end_ns): (u64, u64)| {
            let inside = &grants[grants.partition_point(|grant| *grant <= begin_ns)..];
            let inside = inside.iter().copied().take_while(|grant| *grant < end_ns);
            let (mut longest_ns, mut from_ns) = (0, begin_ns);
            for to_ns in inside.chain([end_ns]) {
                longest_ns = longest_ns.max(to_ns - from_ns);
                from_ns = to_ns;
            }
            longest_ns
        };
        Spans::union(waits).iter().map(gap).max()
    };
    waits_of.into_iter().filter_map(gap_of).max()
}
