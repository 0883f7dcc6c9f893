use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::Error;

/// A clock that can be wrong apart from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The time of day: `CLOCK_REALTIME`, its coarse form and `CLOCK_TAI`.
    Wall,
    /// The time since boot: `CLOCK_MONOTONIC`, its raw and coarse forms and `CLOCK_BOOTTIME`.
    ///
    /// When it was ahead and is set right again it goes back, as no such clock does. A program that
    /// puts things off until a time on this clock, as the runtime of Go does, then waits longer by
    /// as much as the clock was ahead; one whose clock was behind does at once what is due.
    Monotonic,
}

impl Class {
    /// Both.
    pub const ALL: [Class; 2] = [Class::Wall, Class::Monotonic];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Class::Wall => "wall",
            Class::Monotonic => "monotonic",
        }
    }

    /// The one with this name.
    pub(crate) fn named(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.name() == name)
    }

    /// What this process is told, which has the machine's clock, in nanoseconds.
    pub(crate) fn now_ns(self) -> Result<i64, Error> {
        let id = match self {
            Class::Wall => ClockId::CLOCK_REALTIME,
            Class::Monotonic => ClockId::CLOCK_MONOTONIC,
        };
        let now = clock_gettime(id).map_err(|errno| Error::Clock(errno.desc()))?;
        Ok(i64::try_from(Duration::from(now).as_nanos()).unwrap_or(i64::MAX))
    }
}
