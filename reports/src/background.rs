//! What the page tells beyond the verdict and its history. No verdict rests on any of it.

use std::time::Duration;

use locktest_analyzer::Step;

/// What a run's other files and the analysis itself have to tell.
#[derive(Clone, Debug, Default)]
pub struct Background {
    /// What was sent to the hosts for each fault, in the order in which it was sent.
    pub commands: Vec<FaultCommand>,
    /// What the analysis cost, if anybody measured it.
    pub analysis: Option<AnalysisCost>,
    /// The run's files beside the page, by their names.
    pub files: Vec<String>,
}

/// A script that was sent to a host for a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultCommand {
    /// The fault's number.
    pub fault: u32,
    /// The host.
    pub host: String,
    /// What the script does of it, such as `apply`.
    pub step: String,
    /// The script.
    pub script: String,
}

/// What the analysis cost.
#[derive(Clone, Debug)]
pub struct AnalysisCost {
    /// Each step with how long it took, in the order in which they ran.
    pub steps: Vec<(Step, Duration)>,
    /// The most memory that the process had resident while it judged, the history included.
    pub peak_resident_bytes: Option<u64>,
}
