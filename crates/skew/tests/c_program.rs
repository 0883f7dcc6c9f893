//! A C program, launched with clocks of its own. Needs a C compiler, and to be allowed to trace.

mod support;

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use locktest_skew::{Class, Patched, Reading, Setting, Skew};
use support::{
    Clocks, Look, NodeClock, Process, ahead_s, clocks_program, due_and_seen, launch_clocks, read,
    text, wait_for,
};

const NS_PER_S: i64 = 1_000_000_000;

/// A busy machine lets so much time pass between a look and the kernel's own answer.
const LATE_NS: i64 = 500_000_000;
const LATE_S: f64 = 0.5;

/// A clock that tells whole seconds is behind by no more than this.
const SECOND_BEGUN_NS: i64 = NS_PER_S + LATE_NS;

/// The years since 1970 and more, in seconds.
const BEFORE_ZERO_S: i64 = 100 * 366 * 86_400;

const WALL: &[&str] =
    &["0", "5", "11", "gettimeofday", "gettimeofday_no_zone", "time", "time_no_place"];
const MONOTONIC: &[&str] = &["1", "4", "6", "7"];

/// Asserts by how many nanoseconds the clocks with these names are ahead. Coarse clocks and `time`
/// are behind by themselves.
fn assert_ahead(looks: &[Look], names: &[&str], ahead_ns: i64) {
    for look in looks.iter().filter(|look| names.contains(&look.name.as_str())) {
        let behind_ns = if look.name.starts_with("time") { SECOND_BEGUN_NS } else { LATE_NS };
        let range = ahead_ns - behind_ns..=ahead_ns + 20_000_000;
        assert!(range.contains(&look.ahead_ns), "{look:?} is not ahead by {ahead_ns} ns");
        assert!(look.is_tidy && look.result == 0, "{look:?}");
    }
}

/// Asserts that no other clock is moved than those with these names.
fn assert_others_right(looks: &[Look], names: &[&str]) {
    let other = |look: &&Look| look.result == 0 && !names.contains(&look.name.as_str());
    for look in looks.iter().filter(other) {
        assert!((-SECOND_BEGUN_NS..20_000_000).contains(&look.ahead_ns), "{look:?} is moved");
    }
}

/// What this process is told is what a program with the machine's clock is told.
fn assert_this_process_right() {
    let machine = text(&Command::new("date").arg("+%s").output().expect("date"));
    let machine_s: u64 = machine.trim_end().parse().expect("seconds");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    assert!(now.as_secs().abs_diff(machine_s) <= 1, "{machine_s} s and {now:?}");
}

#[test]
fn what_a_launched_program_gets_is_what_any_program_gets() {
    let clock = NodeClock::new();
    let launched = launch_clocks(&clock).ask();
    let plain = Clocks::start(Command::new(clocks_program()).arg("ask")).ask();
    assert_eq!(launched.len(), plain.len());
    for (launched, plain) in launched.iter().zip(&plain) {
        assert_eq!(launched.name, plain.name);
        let got = |look: &Look| (look.result, look.errno, look.is_tidy);
        assert_eq!(got(launched), got(plain), "clock {}", plain.name);
    }
    assert_others_right(&launched, &[]);
}

#[test]
fn an_offset_moves_one_class_of_clocks_and_nobody_else() {
    let clock = NodeClock::new();
    let mut launched = launch_clocks(&clock);
    let mut sibling = Clocks::start(Command::new(clocks_program()).arg("ask"));
    let mut patched_sibling = launch_clocks(&NodeClock::new());
    for (class, moved) in [(Class::Wall, WALL), (Class::Monotonic, MONOTONIC)] {
        for seconds in [3600, -1, 1_000_000] {
            clock.set(class, ahead_s(seconds), &[launched.pid()]);
            let looks = launched.ask();
            assert_ahead(&looks, moved, seconds * NS_PER_S);
            assert_others_right(&looks, moved);
            assert_others_right(&sibling.ask(), &[]);
            assert_others_right(&patched_sibling.ask(), &[]);
            assert_this_process_right();
            let expected = (seconds * NS_PER_S, Some(seconds * NS_PER_S));
            assert_eq!(due_and_seen(class, launched.pid()), expected);
        }
        clock.clear(&[launched.pid()]);
        assert_others_right(&launched.ask(), &[]);
        assert_eq!(due_and_seen(class, launched.pid()), (0, Some(0)));
    }
}

#[test]
fn a_process_that_does_not_look_is_seen_to_have_seen_nothing() {
    let clock = NodeClock::new();
    let mut clocks = launch_clocks(&clock);
    clocks.ask();
    clock.set(Class::Wall, ahead_s(5), &[clocks.pid()]);
    let seen = |wait_ms: &str| {
        let flags = ["--class", "wall", "--wait-ms", wait_ms];
        match read(&flags, &[clocks.pid()])[..] {
            [Reading::Process { seen_ns, due_ns, .. }] => (due_ns, seen_ns),
            ref readings => panic!("{readings:?}"),
        }
    };
    let begin = Instant::now();
    assert_eq!(seen("100"), (5 * NS_PER_S, None));
    assert!(begin.elapsed() >= Duration::from_millis(100));
    clocks.ask();
    assert_eq!(due_and_seen(Class::Wall, clocks.pid()), (5 * NS_PER_S, Some(5 * NS_PER_S)));
}

#[test]
fn a_clock_that_several_set_at_once_is_set_as_one_of_them_wants() {
    let clock = NodeClock::new();
    let mut clocks = launch_clocks(&clock);
    let pid = clocks.pid();
    for _ in 0..10 {
        std::thread::scope(|scope| {
            for seconds in 1..=8 {
                let clock = &clock;
                // Two of them may write the same new file.
                scope.spawn(move || clock.try_set(Class::Wall, ahead_s(seconds), 60_000, &[pid]));
            }
        });
        clocks.ask();
        let (due_ns, seen_ns) = due_and_seen(Class::Wall, pid);
        assert!((1..=8).contains(&(due_ns / NS_PER_S)), "{due_ns}");
        assert_eq!(seen_ns, Some(due_ns));
        clock.clear(&[pid]);
        assert_others_right(&clocks.ask(), &[]);
        assert_eq!(due_and_seen(Class::Wall, pid), (0, Some(0)));
    }
}

#[test]
fn both_classes_can_be_wrong_at_once_and_each_changes_alone() {
    let clock = NodeClock::new();
    let mut clocks = launch_clocks(&clock);
    clock.set(Class::Wall, ahead_s(50), &[clocks.pid()]);
    clock.set(Class::Monotonic, ahead_s(700), &[clocks.pid()]);
    let looks = clocks.ask();
    assert_ahead(&looks, WALL, 50 * NS_PER_S);
    assert_ahead(&looks, MONOTONIC, 700 * NS_PER_S);
    clock.set(Class::Wall, Skew::default(), &[clocks.pid()]);
    let monotonic = read(&["--class", "monotonic"], &[clocks.pid()]);
    let [Reading::Process { seen_ns: Some(seen_ns), .. }] = monotonic[..] else {
        panic!("{monotonic:?}: what was seen of the one clock is lost by a change of the other");
    };
    assert_eq!(seen_ns, 700 * NS_PER_S);
    let looks = clocks.ask();
    assert_ahead(&looks, MONOTONIC, 700 * NS_PER_S);
    assert_others_right(&looks, MONOTONIC);
}

#[test]
fn a_clock_runs_faster_or_slower_by_its_rate() {
    let clock = NodeClock::new();
    let mut clocks = launch_clocks(&clock);
    let rates = [(1_000_000, 1.0), (-500_000, -0.5)];
    for (class, (rate_ppm, rate)) in
        Class::ALL.into_iter().flat_map(|class| rates.map(|rate| (class, rate)))
    {
        let skew = Skew { rate_ppm, ..Skew::default() };
        let begin = Instant::now();
        clock.set(class, skew, &[clocks.pid()]);
        let set = Instant::now();
        sleep(Duration::from_millis(400));
        let least_s = set.elapsed().as_secs_f64();
        let (wall_s, monotonic_s) = clocks.ahead_s();
        let most_s = begin.elapsed().as_secs_f64();
        let (ahead_s, other_s) = match class {
            Class::Wall => (wall_s, monotonic_s),
            Class::Monotonic => (monotonic_s, wall_s),
        };
        assert!(other_s.abs() < LATE_S);
        let readings = read(&["--class", class.name()], &[clocks.pid()]);
        let [Reading::Process { skew: found, due_ns, seen_ns: Some(seen_ns), .. }] = readings[..]
        else {
            panic!("{readings:?}");
        };
        let seen_s = seen_ns as f64 / 1e9;
        let since_s = seen_s / rate;
        assert!(least_s - 0.001 < since_s && since_s < most_s + 0.001, "{since_s} s at {rate_ppm}");
        assert!(
            (seen_s - LATE_S..seen_s + 0.001).contains(&ahead_s),
            "{ahead_s} s is not {seen_s} s"
        );
        assert_eq!(found, skew);
        assert!(seen_ns.signum() == due_ns.signum() && seen_ns.abs() < due_ns.abs());
        clock.clear(&[clocks.pid()]);
    }
}

#[test]
fn a_strobe_is_wrong_in_every_second_period() {
    let clock = NodeClock::new();
    let mut clocks = launch_clocks(&clock);
    let period = Duration::from_millis(100);
    let strobe_period_ns = u64::try_from(period.as_nanos()).expect("small");
    let skew = Skew { strobe_period_ns, ..ahead_s(5) };
    let begin = Instant::now();
    clock.set(Class::Wall, skew, &[clocks.pid()]);
    let set = Instant::now();
    // When the strobe began is known to a few milliseconds only.
    let (mut wrong, mut right) = (0, 0);
    while set.elapsed() < 12 * period {
        let earliest = set.elapsed();
        let is_wrong = clocks.ahead_s().0 > 2.5;
        let latest = begin.elapsed();
        let phases = [earliest, latest].map(|at| at.as_nanos() / period.as_nanos());
        if phases[0] == phases[1] {
            assert_eq!(is_wrong, phases[0] % 2 == 0, "{earliest:?} to {latest:?}");
        }
        *if is_wrong { &mut wrong } else { &mut right } += 1;
        sleep(Duration::from_millis(3));
    }
    assert!(wrong > 5 && right > 5, "{wrong} wrong, {right} right");
}

#[test]
fn a_skew_ends_by_itself() {
    let clock = NodeClock::new();
    let mut clocks = launch_clocks(&clock);
    for class in Class::ALL {
        clock.set_for(class, ahead_s(60), 300, &[clocks.pid()]);
        let set = Instant::now();
        let ahead = |clocks: &mut Clocks| {
            let (wall_s, monotonic_s) = clocks.ahead_s();
            if class == Class::Wall { wall_s } else { monotonic_s }
        };
        assert!(ahead(&mut clocks) > 59.0 || set.elapsed() > Duration::from_millis(200));
        sleep(Duration::from_millis(300).saturating_sub(set.elapsed()));
        assert!(ahead(&mut clocks).abs() < LATE_S);
        let readings = read(&["--class", class.name()], &[clocks.pid()]);
        let [Reading::Process { is_expired: true, due_ns: 0, seen_ns: Some(0), .. }] = readings[..]
        else {
            panic!("{readings:?}");
        };
    }
    clock.clear(&[clocks.pid()]);
    assert_eq!(clock.remains(&[clocks.pid()]), "");
}

#[test]
fn a_wall_clock_before_its_zero_stands_there() {
    let clock = NodeClock::new();
    let mut clocks = launch_clocks(&clock);
    clock.set(Class::Wall, ahead_s(-BEFORE_ZERO_S), &[clocks.pid()]);
    let looks = clocks.ask();
    for look in looks.iter().filter(|look| WALL.contains(&look.name.as_str())) {
        assert_eq!((look.told_ns, look.result, look.is_tidy), (0, 0, true), "{look:?}");
    }
    assert_others_right(&looks, WALL);
}

#[test]
fn a_monotonic_clock_is_not_set_to_before_its_zero() {
    let clock = NodeClock::new();
    let clocks = launch_clocks(&clock);
    let skew = ahead_s(-BEFORE_ZERO_S);
    let output = clock.try_set(Class::Monotonic, skew, 1000, &[clocks.pid()]);
    assert_eq!(output.status.code(), Some(1));
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(problem.contains("cannot be set back further"), "{problem}");
    assert!(!clock.file().exists(), "what is refused is not written");
}

#[test]
fn a_child_follows_the_clock_of_its_parent() {
    let clock = NodeClock::new();
    let mut child = Clocks::start(clock.launch(clocks_program()).arg("fork"));
    child.process.wait_patched();
    assert_others_right(&child.ask(), &[]);
    clock.set(Class::Wall, ahead_s(30), &[child.pid()]);
    assert_ahead(&child.ask(), WALL, 30 * NS_PER_S);
    clock.clear(&[child.pid()]);
    assert_others_right(&child.ask(), &[]);
}

#[test]
fn a_program_that_starts_while_its_node_is_wrong_starts_with_the_wrong_clock() {
    let clock = NodeClock::new();
    clock.set(Class::Wall, ahead_s(3600), &[]);
    let mut clocks = launch_clocks(&clock);
    let looks = clocks.ask();
    assert_ahead(&looks, WALL, 3600 * NS_PER_S);
    assert_others_right(&looks, WALL);
    drop(clocks);
    clock.clear(&[]);
    let mut clocks = launch_clocks(&clock);
    assert_others_right(&clocks.ask(), &[]);
    clock.set_for(Class::Wall, ahead_s(3600), 1, &[]);
    sleep(Duration::from_millis(1));
    let mut later = launch_clocks(&clock);
    let readings = read(&["--class", "wall"], &[later.pid()]);
    let [Reading::Process { skew, .. }] = readings[..] else { panic!("{readings:?}") };
    assert_eq!(skew, Skew::default(), "a setting that is over is not taken over");
    assert_others_right(&later.ask(), &[]);
}

#[test]
fn what_remains_of_a_wrong_clock_is_named_until_it_is_cleared() {
    let clock = NodeClock::new();
    let mut clocks = launch_clocks(&clock);
    let pid = clocks.pid();
    assert_eq!(clock.remains(&[pid]), "");
    clock.set(Class::Monotonic, ahead_s(5), &[pid]);
    clocks.ask();
    let remains = clock.remains(&[pid]);
    assert!(remains.contains("says how wrong the clock is"), "{remains}");
    assert!(remains.contains(&format!("the monotonic clock of process {pid} is set wrong")));
    for _ in 0..2 {
        clock.clear(&[pid]);
        assert_eq!(clock.remains(&[pid]), "");
    }
    let plain = Clocks::start(Command::new(clocks_program()).arg("ask"));
    let remains = clock.remains(&[plain.pid()]);
    assert!(remains.contains("has no clock of its own"), "nothing is known of it: {remains}");
}

#[test]
fn one_process_that_cannot_be_set_keeps_none_of_the_others_from_being_set() {
    let clock = NodeClock::new();
    let mut clocks = launch_clocks(&clock);
    let plain = Clocks::start(Command::new(clocks_program()).arg("ask"));
    // Beyond the largest process id of Linux.
    let gone = 4_194_305;
    let pids = [gone, plain.pid(), clocks.pid()];
    let output = clock.try_set(Class::Wall, ahead_s(9), 60_000, &pids);
    assert_eq!(output.status.code(), Some(1));
    let problems = format!(
        "process {gone} is gone\nprocess {} has no clock of its own; it was not started with one\n",
        plain.pid()
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), problems);
    assert_ahead(&clocks.ask(), WALL, 9 * NS_PER_S);
    let readings = read(&["--class", "wall"], &[gone, plain.pid()]);
    assert_eq!(readings, [Reading::Gone { pid: gone }, Reading::Unpatched { pid: plain.pid() }]);
    clock.clear(&[gone, clocks.pid()]);
    assert_others_right(&clocks.ask(), &[]);
}

#[test]
fn a_process_that_has_ended_is_gone_even_before_its_parent_knows() {
    let clock = NodeClock::new();
    let mut clocks = launch_clocks(&clock);
    clocks.process.child.kill().expect("a signal");
    wait_for("the end", || read(&[], &[clocks.pid()]) == [Reading::Gone { pid: clocks.pid() }]);
    clock.clear(&[clocks.pid()]);
}

/// A program with threads that look at both clocks all the time.
struct Storm {
    process: Process,
}

impl Storm {
    fn start(clock: &NodeClock) -> Storm {
        let mut command = clock.launch(clocks_program());
        command.args(["storm", "8", "3600", "-1800"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let process = Process::start(&mut command);
        process.wait_patched();
        Storm { process }
    }

    /// Ends it, and asserts that many looks were off the true time and none was off by what nobody
    /// set.
    fn assert_none_wrong(mut self) {
        drop(self.process.child.stdin.take());
        let mut told = String::new();
        let mut answer = self.process.child.stdout.take().expect("a pipe");
        answer.read_to_string(&mut told).expect("an answer");
        let numbers = told.split_whitespace().map(|word| word.parse().expect("a number"));
        let [looks, wrong, off]: [u64; 3] =
            numbers.collect::<Vec<_>>().try_into().expect("three numbers");
        assert!(off > 1000 && looks > off, "{told}");
        assert_eq!(wrong, 0, "{told}");
    }
}

/// The monotonic clock of a machine that was just started cannot be set back.
fn behind_if_possible(class: Class) -> Skew {
    match class {
        Class::Wall => ahead_s(-1800),
        Class::Monotonic => ahead_s(3600),
    }
}

#[test]
fn threads_that_look_all_the_time_are_never_told_what_nobody_set() {
    const CYCLES: u32 = 200;
    let clock = NodeClock::new();
    let storm = Storm::start(&clock);
    let pids = [storm.process.pid()];
    for cycle in 0..CYCLES {
        let class = Class::ALL[cycle as usize % 2];
        let skew = match cycle / 2 % 4 {
            0 => ahead_s(3600),
            1 => Skew { strobe_period_ns: 1_000_000, ..behind_if_possible(class) },
            2 => Skew { rate_ppm: 1_000_000, ..Skew::default() },
            _ => Skew { strobe_period_ns: 50_000, ..ahead_s(3600) },
        };
        clock.set(class, skew, &pids);
        if cycle % 8 > 3 {
            clock.clear(&pids);
        }
    }
    clock.clear(&pids);
    storm.assert_none_wrong();
}

#[test]
fn nor_are_they_if_the_clock_is_set_faster_than_a_thread_looks_at_it() {
    const SETS: u32 = 200_000;
    let storm = Storm::start(&NodeClock::new());
    let patched = Patched::find(storm.process.pid()).expect("a clock");
    // Each is wrong if a number of the next but one gets into it: what is over shows then.
    let settings = Class::ALL.map(|class| {
        let with = |skew, lasts_ms| Setting::RIGHT.with(class, skew, lasts_ms).expect("a setting");
        let over = with(ahead_s(7777), 1);
        let long = |skew| with(skew, support::LONG_MS);
        [over, long(ahead_s(3600)), long(Skew::default()), long(behind_if_possible(class))]
    });
    // Also for a thread that has read the true time and has to wait for its processor.
    sleep(Duration::from_millis(500));
    for number in 0..SETS as usize {
        for (class, settings) in Class::ALL.into_iter().zip(&settings) {
            patched.set(class, &settings[number % settings.len()]).expect("set");
        }
    }
    patched.clear().expect("set right");
    storm.assert_none_wrong();
}
