//! A program in Java, launched with clocks of its own. Needs Java.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use locktest_skew::Class;
use support::{NodeClock, Process, ahead_s, due_and_seen};

struct Java {
    process: Process,
    question: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Java {
    fn start(clock: &NodeClock) -> Java {
        let class_path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
        let mut command = clock.launch("java");
        command.arg("-cp").arg(class_path).arg("Clocks");
        let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let question = process.child.stdin.take().expect("a pipe");
        let answer = BufReader::new(process.child.stdout.take().expect("a pipe"));
        Java { process, question, answer }
    }

    /// By how many milliseconds its wall clock is ahead.
    fn ahead_ms(&mut self) -> i64 {
        self.question.write_all(b"\n").expect("a question");
        let mut line = String::new();
        self.answer.read_line(&mut line).expect("an answer");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let (wall_ms, _monotonic_ns) = line.split_once(' ').expect("two clocks");
        let now_ms = i64::try_from(now.as_millis()).expect("milliseconds");
        wall_ms.parse::<i64>().expect("a number") - now_ms
    }
}

#[test]
fn the_wall_clock_of_java_goes_wrong_and_right_again() {
    let clock = NodeClock::new();
    clock.set(Class::Wall, ahead_s(-60), &[]);
    let mut java = Java::start(&clock);
    let near = |ahead_ms: i64, expected_ms: i64| (ahead_ms - expected_ms).abs() < 1000;
    assert!(near(java.ahead_ms(), -60_000), "it starts with the clock of its node");
    let pid = java.process.pid();
    clock.set(Class::Wall, ahead_s(3600), &[pid]);
    assert!(near(java.ahead_ms(), 3_600_000));
    assert_eq!(due_and_seen(Class::Wall, pid), (3_600_000_000_000, Some(3_600_000_000_000)));
    clock.clear(&[pid]);
    assert!(near(java.ahead_ms(), 0));
}

#[test]
fn the_monotonic_clock_of_java_is_left_alone_and_it_is_said_why() {
    let clock = NodeClock::new();
    let mut java = Java::start(&clock);
    java.ahead_ms();
    let output = clock.try_set(Class::Monotonic, ahead_s(5), 60_000, &[java.process.pid()]);
    assert_eq!(output.status.code(), Some(1));
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(problem.contains("is a Java VM"), "{problem}");
    assert!(!clock.file().exists(), "what is refused is not written");
    assert_eq!(due_and_seen(Class::Monotonic, java.process.pid()).0, 0);
}
