//! How wrong clocks are, and since when.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::{Class, Error};

/// Parts per million in a whole.
const PPM: i128 = 1_000_000;

/// The binary point of a rate.
const RATE_ONE: i128 = 1 << 32;

/// A thousandfold is fast enough, and what is gained stays far from overflow.
const MOST_RATE_PPM: i64 = 1_000_000_000;

const NS_PER_S: i64 = 1_000_000_000;
const NS_PER_MS: i128 = 1_000_000;

/// How wrong a clock is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skew {
    /// It is ahead by so much, in nanoseconds; behind, if that is negative.
    pub offset_ns: i64,
    /// It gains so many parts per million from then on: with a million it is twice as fast, and with
    /// minus a million it would stand still, which is too much. At most a thousand million.
    pub rate_ppm: i64,
    /// If this is not zero the clock is wrong for so long, right for so long, and so on, in
    /// nanoseconds.
    pub strobe_period_ns: u64,
}

impl Skew {
    /// What it makes of a clock that tells `now_ns`, until `end_ns`.
    fn params(self, class: Class, now_ns: i64, end_ns: i64) -> Result<Params, Error> {
        let Skew { offset_ns, rate_ppm, strobe_period_ns } = self;
        let out_of_range = |name, value| Error::OutOfRange { class, name, value };
        match now_ns.checked_add(offset_ns) {
            None => return Err(out_of_range("offset_ns", offset_ns.into())),
            // A wall clock that would be before its zero stands there.
            Some(told_ns) if told_ns < 0 && class == Class::Monotonic => {
                return Err(Error::BeforeZero { now_s: now_ns / NS_PER_S });
            }
            Some(_) => {}
        }
        if !is_rate(rate_ppm) {
            return Err(out_of_range("rate_ppm", rate_ppm.into()));
        }
        let period_ns = i64::try_from(strobe_period_ns);
        let strobe_period_ns =
            period_ns.map_err(|_| out_of_range("strobe_period_ns", strobe_period_ns.into()))?;
        Ok(Params { offset_ns, rate: rate(rate_ppm), begin_ns: now_ns, strobe_period_ns, end_ns })
    }
}

impl From<&Params> for Skew {
    fn from(params: &Params) -> Skew {
        Skew {
            offset_ns: params.offset_ns,
            rate_ppm: rate_ppm(params.rate),
            strobe_period_ns: params.strobe_period_ns.unsigned_abs(),
        }
    }
}

fn is_rate(ppm: i64) -> bool {
    ppm > -1_000_000 && ppm <= MOST_RATE_PPM
}

/// A legal rate with 32 bits after the binary point.
fn rate(ppm: i64) -> i64 {
    i64::try_from((i128::from(ppm) * RATE_ONE).div_euclid(PPM)).unwrap_or(i64::MAX)
}

/// The opposite of [`rate`], which rounds down by less than a part per million.
fn rate_ppm(rate: i64) -> i64 {
    let rounded_up = (i128::from(rate) * PPM + RATE_ONE - 1).div_euclid(RATE_ONE);
    i64::try_from(rounded_up).unwrap_or(i64::MAX)
}

/// A skew from its begin to its end, on its clock's own true time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params {
    pub(crate) offset_ns: i64,
    /// What it gains, as a signed number with 32 bits after the binary point.
    pub(crate) rate: i64,
    pub(crate) begin_ns: i64,
    pub(crate) strobe_period_ns: i64,
    /// Zero if it has no end.
    pub(crate) end_ns: i64,
}

impl Params {
    /// Of a clock that is right.
    const RIGHT: Params =
        Params { offset_ns: 0, rate: 0, begin_ns: 0, strobe_period_ns: 0, end_ns: 0 };

    /// What is added to the true time `now_ns`: the same as the patch computes.
    pub(crate) fn added_ns(&self, now_ns: i64) -> i64 {
        let since = (i128::from(now_ns) - i128::from(self.begin_ns)).max(0);
        let period = i128::from(self.strobe_period_ns);
        if self.is_over(now_ns) || period != 0 && since / period % 2 != 0 {
            return 0;
        }
        let gained = (since * i128::from(self.rate)) >> 32;
        i64::try_from(i128::from(self.offset_ns) + gained).unwrap_or(i64::MAX)
    }

    pub(crate) fn is_over(&self, now_ns: i64) -> bool {
        self.end_ns != 0 && now_ns >= self.end_ns
    }

    /// Whether it adds anything from `now_ns` on.
    pub(crate) fn is_wrong_after(&self, now_ns: i64) -> bool {
        !self.is_over(now_ns) && (self.offset_ns != 0 || self.rate != 0)
    }
}

/// How the clocks of a node are set: what is shared by all of its servers, also those that start
/// later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    wall: Params,
    monotonic: Params,
}

impl Setting {
    /// Both clocks right.
    pub const RIGHT: Setting = Setting { wall: Params::RIGHT, monotonic: Params::RIGHT };

    pub(crate) fn of(&self, class: Class) -> &Params {
        match class {
            Class::Wall => &self.wall,
            Class::Monotonic => &self.monotonic,
        }
    }

    fn of_mut(&mut self, class: Class) -> &mut Params {
        match class {
            Class::Wall => &mut self.wall,
            Class::Monotonic => &mut self.monotonic,
        }
    }

    /// The same with a clock that is wrong from now on, for so long, which cannot be no time.
    pub fn with(mut self, class: Class, skew: Skew, lasts_ms: u64) -> Result<Setting, Error> {
        if lasts_ms == 0 {
            return Err(Error::OutOfRange { class, name: "lasts_ms", value: 0 });
        }
        let now_ns = class.now_ns()?;
        let lasts_ns = i64::try_from(i128::from(lasts_ms) * NS_PER_MS).unwrap_or(i64::MAX);
        *self.of_mut(class) = skew.params(class, now_ns, now_ns.saturating_add(lasts_ns))?;
        Ok(self)
    }

    /// What of it is not over. The monotonic clock starts anew when the machine does, and with that
    /// its setting is over.
    pub fn in_force(mut self) -> Result<Setting, Error> {
        for class in Class::ALL {
            let now_ns = class.now_ns()?;
            let params = self.of_mut(class);
            let is_of_earlier_boot = class == Class::Monotonic && params.begin_ns > now_ns;
            if params.is_over(now_ns) || is_of_earlier_boot {
                *params = Params::RIGHT;
            }
        }
        Ok(self)
    }

    /// The setting in a file. Where there is none, both clocks are right.
    pub fn read(path: &Path) -> Result<Setting, Error> {
        let failure = |source| Error::File { path: path.to_owned(), source };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Setting::RIGHT),
            Err(source) => return Err(failure(source)),
        };
        let mut setting = Setting::RIGHT;
        for line in String::from_utf8_lossy(&bytes).lines() {
            let read = read_line(line);
            let (class, params) =
                read.ok_or_else(|| Error::Setting { path: path.to_owned(), line: line.into() })?;
            *setting.of_mut(class) = params;
        }
        Ok(setting)
    }

    /// Writes the setting, so that a reader finds all of it or what was there before.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let new = path.with_extension("new");
        let write = || {
            let mut file = fs::File::create(&new)?;
            write!(file, "{self}")?;
            fs::rename(&new, path)
        };
        write().map_err(|source| Error::File { path: path.to_owned(), source })
    }

    /// Removes a setting, if there is one.
    pub fn remove(path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::File { path: path.to_owned(), source: error })
            }
            _ => Ok(()),
        }
    }
}

/// As it stands in its file, a line for each clock.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for class in Class::ALL {
            let Params { offset_ns, rate, begin_ns, strobe_period_ns, end_ns } = self.of(class);
            writeln!(
                f,
                "{} offset_ns={offset_ns} rate_ppm={} strobe_ns={strobe_period_ns} \
                 begin_ns={begin_ns} end_ns={end_ns}",
                class.name(),
                rate_ppm(*rate),
            )?;
        }
        Ok(())
    }
}

fn read_line(line: &str) -> Option<(Class, Params)> {
    let mut words = line.split(' ');
    let class = Class::named(words.next()?)?;
    let mut next = |name: &str| words.next()?.strip_prefix(name)?.parse().ok();
    let params = Params {
        offset_ns: next("offset_ns=")?,
        rate: next("rate_ppm=").filter(|ppm| is_rate(*ppm)).map(rate)?,
        strobe_period_ns: next("strobe_ns=").filter(|period| *period >= 0)?,
        begin_ns: next("begin_ns=")?,
        end_ns: next("end_ns=")?,
    };
    words.next().is_none().then_some((class, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        Params { offset_ns: 5, begin_ns: 1000, ..Params::RIGHT }
    }

    #[test]
    fn what_is_added_is_the_offset_and_what_was_gained_until_the_end() {
        assert_eq!(params().added_ns(2000), 5);
        let twice = Params { rate: 1 << 32, ..params() };
        assert_eq!((twice.added_ns(1300), twice.added_ns(900)), (305, 5));
        let half = Params { rate: -(1 << 31), end_ns: 3000, ..params() };
        assert_eq!((half.added_ns(2000), half.added_ns(2999)), (-495, -995));
        assert_eq!(half.added_ns(3000), 0);
    }

    #[test]
    fn a_clock_that_strobes_is_wrong_in_every_second_period() {
        let strobe = Params { strobe_period_ns: 100, ..params() };
        let added = [1000, 1099, 1100, 1199, 1200].map(|now_ns| strobe.added_ns(now_ns));
        assert_eq!(added, [5, 5, 0, 0, 5]);
    }

    #[test]
    fn a_rate_is_the_same_after_a_way_through_binary_fractions() {
        assert_eq!((rate(1_000_000), rate(-500_000)), (1 << 32, -(1 << 31)));
        for ppm in [-999_999, -500_000, -7, -1, 0, 1, 3, 333_333, 1_000_000, MOST_RATE_PPM] {
            assert_eq!(rate_ppm(rate(ppm)), ppm);
        }
    }

    #[test]
    fn a_setting_is_read_as_it_was_written_and_none_is_right() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("clock");
        assert_eq!(Setting::read(&path).expect("none"), Setting::RIGHT);
        let skew = Skew { offset_ns: -5, rate_ppm: 1_000_000, strobe_period_ns: 7 };
        let setting = Setting::RIGHT.with(Class::Wall, skew, 1000).expect("set");
        assert_eq!(Skew::from(&setting.wall), skew);
        assert_eq!(setting.wall.end_ns - setting.wall.begin_ns, NS_PER_S);
        setting.write(&path).expect("written");
        assert_eq!(Setting::read(&path).expect("read"), setting);
        assert_eq!(setting.in_force().expect("a clock"), setting);
        Setting::remove(&path).expect("removed");
        Setting::remove(&path).expect("nothing to remove");
        assert_eq!(Setting::read(&path).expect("none"), Setting::RIGHT);
    }

    #[test]
    fn a_setting_that_is_none_is_refused_with_what_it_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("clock");
        let good = "wall offset_ns=1 rate_ppm=2 strobe_ns=3 begin_ns=4 end_ns=5";
        fs::write(&path, good).expect("written");
        Setting::read(&path).expect("a setting");
        for text in [
            "garbage\n".to_owned(),
            "\n".to_owned(),
            "wall\n".to_owned(),
            format!("{good} more\n"),
            good.replace("wall", "dusk"),
            good.replace("strobe_ns=3", "strobe_ns=-3"),
            good.replace("rate_ppm=2", "rate_ppm=-1000000"),
            good.replace("offset_ns=1", "offset_ns=99999999999999999999"),
        ] {
            fs::write(&path, &text).expect("written");
            let error = Setting::read(&path).expect_err(&text).to_string();
            assert!(error.contains("is none"), "{error}");
        }
        fs::write(&path, [0xff, 0]).expect("written");
        assert!(matches!(Setting::read(&path), Err(Error::Setting { .. })));
    }

    #[test]
    fn a_setting_that_is_over_is_not_in_force() {
        let over = Params { end_ns: 1, ..params() };
        let setting = Setting { wall: over, monotonic: over };
        assert_eq!(setting.in_force().expect("a clock"), Setting::RIGHT);
        let earlier_boot = Params { begin_ns: i64::MAX - 1, end_ns: i64::MAX, ..params() };
        let setting = Setting { wall: Params::RIGHT, monotonic: earlier_boot };
        assert_eq!(setting.in_force().expect("a clock"), Setting::RIGHT);
    }

    #[test]
    fn a_monotonic_clock_is_not_set_to_before_its_zero_but_a_wall_clock_may_stand_there() {
        let skew = Skew { offset_ns: i64::MIN / 2, ..Skew::default() };
        let error = Setting::RIGHT.with(Class::Monotonic, skew, 1).expect_err("before zero");
        assert!(matches!(error, Error::BeforeZero { .. }), "{error}");
        Setting::RIGHT.with(Class::Wall, skew, 1).expect("set");
    }

    #[test]
    fn what_no_clock_can_have_is_refused_by_name() {
        let none = Skew::default();
        for (skew, lasts_ms, named) in [
            (Skew { offset_ns: i64::MAX, ..none }, 1, "offset"),
            (Skew { rate_ppm: -1_000_000, ..none }, 1, "rate"),
            (Skew { rate_ppm: MOST_RATE_PPM + 1, ..none }, 1, "rate"),
            (Skew { strobe_period_ns: u64::MAX, ..none }, 1, "strobe"),
            (none, 0, "lasts_ms"),
        ] {
            let error = Setting::RIGHT.with(Class::Wall, skew, lasts_ms).expect_err(named);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
