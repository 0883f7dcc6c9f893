//! The verdict as metrics, in Prometheus' text format: for node_exporter's textfile collector.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;
use std::fmt::Write;

use locktest_analyzer::{
    NodeCost, Percentiles, PropertyOutcome, RunOutcome, Verdict, ViolationClass,
};
use locktest_history::History;

use crate::findings;
use crate::text::visible;

/// A label is cut to this length.
const MAX_LABEL: usize = 200;

/// Every metric of a run, in base units: seconds and bytes. What is not known has no sample.
pub fn render_prometheus(verdict: &Verdict, history: &History) -> String {
    let mut metrics = Metrics::default();
    run(&mut metrics, verdict, history);
    outcomes(&mut metrics, verdict);
    acquires(&mut metrics, verdict);
    faults(&mut metrics, verdict);
    cost(&mut metrics, &verdict.cost);
    metrics.text
}

fn run(metrics: &mut Metrics, verdict: &Verdict, history: &History) {
    let labels = [
        ("backend", verdict.backend.to_string()),
        ("version", verdict.version.clone()),
        ("recipe", verdict.recipe.to_string()),
        ("workload", verdict.workload.to_string()),
        ("seed", verdict.seed.to_string()),
        ("run_id", verdict.run_id.clone()),
    ];
    metrics.gauge("run_info", "What was tested.", [Sample::of(labels, 1.0)]);
    let started_s = history.run.started_at_unix_s as f64;
    metrics.gauge(
        "run_start_timestamp_seconds",
        "When the run began, in seconds since the Unix epoch.",
        [Sample::of([], started_s)],
    );
    let length_s = verdict.end_ns as f64 / 1e9;
    metrics.gauge("run_seconds", "How long the run was.", [Sample::of([], length_s)]);
}

fn outcomes(metrics: &mut Metrics, verdict: &Verdict) {
    let of_run = RunOutcome::ALL.map(|outcome| {
        Sample::of([("outcome", outcome.name().into())], is(outcome == verdict.outcome))
    });
    metrics.gauge("run_outcome", "1 for the outcome of the run, 0 for the others.", of_run);
    let properties = findings::by_property(verdict).into_iter().flat_map(|finding| {
        PropertyOutcome::ALL.map(|outcome| {
            let labels =
                [("property", finding.name.to_owned()), ("outcome", outcome.name().to_owned())];
            Sample::of(labels, is(outcome == finding.property.outcome))
        })
    });
    metrics.gauge(
        "property_outcome",
        "1 for the outcome of the property, 0 for the others.",
        properties,
    );
    let violations = ViolationClass::ALL.map(|class| {
        let n = verdict.violation_counts.get(&class).copied().unwrap_or(0);
        Sample::of([("class", class.name().into())], n as f64)
    });
    metrics.counter("violations_total", "Violations that were found.", violations);
}

fn acquires(metrics: &mut Metrics, verdict: &Verdict) {
    let counts = &verdict.counts;
    let by_outcome = [
        ("ok", counts.acquires_ok),
        ("denied", counts.acquires_denied),
        ("unknown", counts.acquires_unknown),
    ];
    let by_outcome =
        by_outcome.map(|(outcome, n)| Sample::of([("outcome", outcome.into())], n as f64));
    metrics.counter("acquires_total", "Acquires of locks by how they ended.", by_outcome);
    let acquire = &verdict.latency.acquire;
    let phases =
        [("quiet", &acquire.quiet), ("fault", &acquire.fault), ("recovery", &acquire.recovery)];
    let latency = phases.into_iter().flat_map(|(phase, percentiles)| quantiles(phase, percentiles));
    metrics.gauge(
        "acquire_latency_seconds",
        "How long ok acquires took, waiting included, by the phase of the run.",
        latency,
    );
    let samples = phases
        .map(|(phase, percentiles)| Sample::of([("phase", phase.into())], percentiles.n as f64));
    metrics.gauge(
        "acquire_latency_samples",
        "How many acquires the latency is of, by the phase of the run.",
        samples,
    );
    let gap = verdict.longest_gap_ms.map(|ms| Sample::of([], ms / 1e3));
    metrics.gauge(
        "longest_gap_seconds",
        "The longest time that a client waited for a lock that nobody was granted.",
        gap,
    );
}

fn quantiles(phase: &str, percentiles: &Percentiles) -> Vec<Sample> {
    let Percentiles { min_ms, median_ms, p90_ms, p99_ms, p999_ms, max_ms, .. } = percentiles;
    [
        ("0", min_ms),
        ("0.5", median_ms),
        ("0.9", p90_ms),
        ("0.99", p99_ms),
        ("0.999", p999_ms),
        ("1", max_ms),
    ]
    .into_iter()
    .filter_map(|(quantile, ms)| {
        let labels = [("phase", phase.to_owned()), ("quantile", quantile.to_owned())];
        ms.map(|ms| Sample::of(labels, ms / 1e3))
    })
    .collect()
}

fn faults(metrics: &mut Metrics, verdict: &Verdict) {
    let bit = verdict.faults.iter().filter(|fault| fault.bit).count();
    let effects = [("bit", bit), ("none", verdict.faults.len() - bit)];
    let effects = effects.map(|(effect, n)| Sample::of([("effect", effect.into())], n as f64));
    metrics.counter("faults_total", "Faults that were applied, by whether they bit.", effects);
}

fn cost(metrics: &mut Metrics, nodes: &[NodeCost]) {
    let mut each = |name: &str, help: &str, value: fn(&NodeCost) -> f64| {
        let samples = nodes.iter().map(|cost| {
            let node = ("node", cost.node.clone());
            Sample::of([node], value(cost))
        });
        metrics.gauge(name, help, samples);
    };
    each("node_sampled_seconds", "How long the node's servers were looked at.", |cost| {
        cost.sampled_s
    });
    each("node_cpu_seconds", "Processor time of the node's servers in that time.", |cost| {
        cost.cpu_s
    });
    each("node_peak_resident_bytes", "The most resident memory of the node's servers.", |cost| {
        cost.peak_resident_bytes as f64
    });
    each("node_written_bytes", "What the node's servers wrote to disk.", |cost| {
        cost.written_bytes as f64
    });
    each("node_received_bytes", "What the node received.", |cost| cost.received_bytes as f64);
    each("node_sent_bytes", "What the node sent.", |cost| cost.sent_bytes as f64);
}

fn is(truth: bool) -> f64 {
    if truth { 1.0 } else { 0.0 }
}

/// A value with its labels.
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: f64,
}

impl Sample {
    fn of<const N: usize>(labels: [(&'static str, String); N], value: f64) -> Sample {
        Sample { labels: labels.into(), value }
    }
}

/// The text so far.
#[derive(Default)]
struct Metrics {
    text: String,
}

impl Metrics {
    fn gauge(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample>) {
        self.family("gauge", name, help, samples);
    }

    /// What counts from the begin of the run.
    fn counter(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample>) {
        self.family("counter", name, help, samples);
    }

    fn family(
        &mut self,
        kind: &str,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample>,
    ) {
        let mut samples = samples.into_iter().filter(|sample| sample.value.is_finite()).peekable();
        if samples.peek().is_none() {
            return;
        }
        let _ = writeln!(self.text, "# HELP locktest_{name} {help}");
        let _ = writeln!(self.text, "# TYPE locktest_{name} {kind}");
        let mut seen = BTreeSet::new();
        for Sample { labels, value } in samples {
            let pairs: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
                .collect();
            let labels = match pairs.is_empty() {
                true => String::new(),
                false => format!("{{{}}}", pairs.join(",")),
            };
            // One sample that is there twice and the collector refuses the whole file.
            if seen.insert(labels.clone()) {
                let _ = writeln!(self.text, "locktest_{name}{labels} {value}");
            }
        }
    }
}

/// A label's value as the format wants it: any text on a line but for backslash and quote.
fn escaped(value: &str) -> String {
    visible(value, MAX_LABEL).replace('\\', "\\\\").replace('"', "\\\"")
}
