//! The line that a run refreshes while it goes on.

use super::block::{MAX_WIDTH, MIN_WIDTH, Style};
use crate::text::ascii;

/// The spinner before the line.
const SPINNER_WIDTH: usize = 2;

/// What tells that a text was cut.
const ELLIPSIS: usize = 3;

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// The run's time, in seconds.
    pub elapsed_s: f64,
    /// When its workload ends.
    pub end_s: f64,
    /// Operations that succeeded.
    pub ok: u64,
    /// Those that surely had no effect.
    pub failed: u64,
    /// Those of unknown outcome.
    pub unknown: u64,
    /// The fault in force, in words.
    pub fault: Option<String>,
}

/// One line without colour. The fault gets the room that is left.
pub fn live_line(progress: &Progress, style: Style) -> String {
    let Progress { elapsed_s, end_s, ok, failed, unknown, fault } = progress;
    let counts = format!(
        "{elapsed_s:.0} of {end_s:.0} s   ok {ok}   failed {failed}   unknown {unknown}   "
    );
    let width = style.width.clamp(MIN_WIDTH, MAX_WIDTH) - SPINNER_WIDTH;
    let fault = fault.as_deref().unwrap_or("quiet");
    let room = width.saturating_sub(counts.len());
    match fault.chars().count() <= room {
        true => counts + &ascii(fault, room),
        false => (counts + &ascii(fault, room.saturating_sub(ELLIPSIS))).trim_end().to_owned(),
    }
}
