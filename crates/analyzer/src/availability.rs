//! Availability: while a healthy, connected majority is up, the store answers writes.

use locktest_history::ClientId;

use crate::findings::{Finding, Findings};
use crate::liveness::bound_ns;
use crate::observed::Observed;
use crate::servers::Servers;
use crate::time::seconds;
use crate::verdict::ViolationClass;

#[derive(Clone, Copy, Debug)]
enum Mark {
    Restart,
    StoreAnswers(bool),
    ServerCounts(bool),
}

/// Reports each time that more than half of the servers counted and no write was answered, by probe,
/// grant or register, for longer than the bound, before the run was disturbed. `served_ns` has the
/// grants and the writes of registers. The clock starts again as that of `liveness` does.
pub(crate) fn outages(
    observed: &Observed,
    servers: &Servers,
    restarts: &[u64],
    served_ns: &[u64],
    findings: &mut Findings,
) {
    let mut marks: Vec<(u64, Mark)> =
        restarts.iter().map(|time_ns| (*time_ns, Mark::Restart)).collect();
    marks.extend(served_ns.iter().map(|time_ns| (*time_ns, Mark::Restart)));
    marks.extend(servers.store_answers.iter().map(|(t, now)| (*t, Mark::StoreAnswers(*now))));
    let mut counting = servers.count();
    for (begin_ns, end_ns) in servers.uncounted().flat_map(|spans| spans.iter()) {
        marks.push((begin_ns, Mark::ServerCounts(false)));
        marks.push((end_ns, Mark::ServerCounts(true)));
    }
    marks.push((observed.end_ns, Mark::Restart));
    marks.sort_by_key(|(time_ns, _)| *time_ns);

    let bound_ns = bound_ns(observed);
    let (mut now_ns, mut clock_ns, mut answers, mut alarmed) = (0, 0, false, false);
    for (time_ns, mark) in marks {
        // Nothing is known of the time beyond the end.
        let time_ns = time_ns.min(observed.end_ns);
        let passed_ns = time_ns - now_ns;
        if !answers && !observed.probes.is_empty() && counting * 2 > servers.count() {
            if !alarmed && clock_ns + passed_ns > bound_ns {
                alarmed = true;
                let passed_ns = now_ns + (bound_ns - clock_ns);
                if passed_ns < observed.undisturbed_until_ns() {
                    findings.add(
                        ViolationClass::Unavailable,
                        passed_ns,
                        None,
                        (ClientId(0), 0),
                        || describe(observed, servers, passed_ns),
                    );
                }
            }
            clock_ns += passed_ns;
        }
        now_ns = time_ns;
        match mark {
            Mark::Restart => (clock_ns, alarmed) = (0, false),
            Mark::StoreAnswers(now) => (answers, clock_ns, alarmed) = (now, 0, false),
            Mark::ServerCounts(true) => counting += 1,
            Mark::ServerCounts(false) => counting -= 1,
        }
    }
}

fn describe(observed: &Observed, servers: &Servers, passed_ns: u64) -> Finding {
    let counted: Vec<String> = (observed.plan.nodes.iter())
        .zip(servers.uncounted())
        .filter(|(_, uncounted)| !uncounted.contains(passed_ns))
        .map(|(name, _)| name.clone())
        .collect();
    // Also those whose lease could not be created: that is a write which was not answered.
    let asking = observed.attempts.iter().filter(|attempt| {
        (attempt.acquire.invoke_ns()..=attempt.asked_until_ns()).contains(&passed_ns)
    });
    Finding {
        why: format!(
            "{} of {} servers ({}) were up and connected, yet no write through any server was answered for more than the bound of {}",
            counted.len(),
            servers.count(),
            counted.join(", "),
            seconds(bound_ns(observed)),
        ),
        resource: None,
        operations: asking.map(|attempt| observed.involved(&attempt.acquire)).collect(),
    }
}
