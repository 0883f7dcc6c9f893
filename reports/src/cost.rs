//! The table of what each node cost, cell by cell, for every report that shows it.

use locktest_analyzer::NodeCost;

use crate::text::bytes;

/// The columns after the node's name.
pub(crate) const COLUMNS: [&str; 6] =
    ["CPU s", "CPU % of one core", "peak memory", "disk written", "network in", "network out"];

/// The same in few letters.
pub(crate) const SHORT_COLUMNS: [&str; 6] =
    ["CPU s", "% core", "memory", "to disk", "net in", "net out"];

/// What the network's columns count.
pub(crate) const NETWORK_NOTE: &str = "the network includes replication and the control path";

/// A cell for each of [`COLUMNS`].
pub(crate) fn cells(cost: &NodeCost) -> [String; 6] {
    [
        format!("{:.2}", cost.cpu_s),
        format!("{:.1}", cost.cpu_percent_of_one_core),
        bytes(cost.peak_resident_bytes),
        bytes(cost.written_bytes),
        bytes(cost.received_bytes),
        bytes(cost.sent_bytes),
    ]
}
