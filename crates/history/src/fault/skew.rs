//! How clocks go wrong.

use std::fmt;

use serde::{Deserialize, Serialize};

/// In which way a clock goes wrong; [`Skew`] says also by how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockShape {
    /// It jumps ahead, and back at the end.
    Forward,
    /// It jumps back, and ahead at the end.
    Back,
    /// It jumps ahead and back, again and again.
    Strobe,
    /// It runs twice as fast.
    Fast,
    /// It runs half as fast.
    Slow,
}

impl ClockShape {
    /// Every shape, in the order in which help lists them.
    pub const ALL: [ClockShape; 5] = [
        ClockShape::Forward,
        ClockShape::Back,
        ClockShape::Strobe,
        ClockShape::Fast,
        ClockShape::Slow,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ClockShape::Forward => "forward",
            ClockShape::Back => "back",
            ClockShape::Strobe => "strobe",
            ClockShape::Fast => "fast",
            ClockShape::Slow => "slow",
        }
    }

    /// Whether a clock that went wrong so is set ahead when it is set right, and never back.
    ///
    /// Only such faults of a monotonic clock can be undone: a server that armed timers while it was
    /// ahead would wait out the whole jump once it is back.
    pub fn ends_ahead(self) -> bool {
        matches!(self, ClockShape::Back | ClockShape::Slow)
    }

    /// Whether it takes an offset.
    pub fn jumps(self) -> bool {
        matches!(self, ClockShape::Forward | ClockShape::Back | ClockShape::Strobe)
    }
}

/// How a clock goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skew {
    /// It is off by so much, ahead if that is positive.
    Jump {
        /// The clock less the true time.
        offset_ms: i64,
    },
    /// It is off by so much for a period, right for a period, and so on.
    Strobe {
        /// The clock less the true time, in the first period.
        offset_ms: i64,
        /// How long it is either.
        period_ms: u64,
    },
    /// It gains so many parts per million, or loses them.
    Rate {
        /// A million is twice as fast.
        gain_ppm: i64,
    },
}

impl fmt::Display for Skew {
    /// Such as `by +30 s`, `by +2.5 s every 200 ms` or `2 times as fast`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: i64| ms as f64 / 1000.0;
        match *self {
            Skew::Jump { offset_ms } => write!(f, "by {:+} s", seconds(offset_ms)),
            Skew::Strobe { offset_ms, period_ms } => {
                write!(f, "by {:+} s every {period_ms} ms", seconds(offset_ms))
            }
            Skew::Rate { gain_ppm } => {
                write!(f, "{} times as fast", 1.0 + gain_ppm as f64 / 1e6)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skew_says_by_how_much_and_which_way() {
        for (skew, words) in [
            (Skew::Jump { offset_ms: 30_000 }, "by +30 s"),
            (Skew::Jump { offset_ms: -2500 }, "by -2.5 s"),
            (Skew::Strobe { offset_ms: 3000, period_ms: 200 }, "by +3 s every 200 ms"),
            (Skew::Rate { gain_ppm: 1_000_000 }, "2 times as fast"),
            (Skew::Rate { gain_ppm: -500_000 }, "0.5 times as fast"),
        ] {
            assert_eq!(skew.to_string(), words);
        }
    }
}
