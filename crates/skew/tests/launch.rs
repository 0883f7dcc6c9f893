//! What becomes of a program, its surroundings and its helper when it is launched, also if that goes
//! wrong. Needs a C compiler, and to be allowed to trace.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::signal::{SigHandler, SigSet, Signal, kill, killpg, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use locktest_skew::{Class, Patched, Reading};
use support::{
    Clocks, NodeClock, PATIENCE, Process, ahead_s, clocks_program, compile_clocks, due_and_seen,
    locktest_clock, read, text, wait_for,
};

/// The state letter of a process.
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The processes of which a command line has this word.
fn processes_with(word: &str) -> Vec<i32> {
    let has_word = |pid: &i32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|part| part == word.as_bytes())
    };
    let entries = fs::read_dir("/proc").expect("processes");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(has_word).collect()
}

fn launch(clock: &NodeClock, program: &str, args: &[&str]) -> Output {
    clock.launch(program).args(args).output().expect("a command")
}

fn assert_fails(output: &Output, code: i32, problem: &str) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(problem) && stderr.lines().count() == 1, "{stderr}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

fn write_script(path: &Path, script: &str) {
    fs::write(path, script).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("executable");
}

#[test]
fn this_machine_is_checked() {
    let output = locktest_clock().arg("check").output().expect("a command");
    assert_eq!(text(&output), "");
    locktest_skew::check_support().expect("support");
}

#[test]
fn a_program_has_the_process_the_arguments_and_the_surroundings_that_it_was_launched_with() {
    let clock = NodeClock::new();
    let folder = fs::canonicalize(clock.folder.path()).expect("a path");
    let mut command = clock.launch("sh");
    command.args(["-c", "echo $$ \"$0\" \"$1\" $TZ; pwd", "a b", ""]);
    command.env("TZ", "UTC").current_dir(&folder).stdout(Stdio::piped());
    let child = command.spawn().expect("a process");
    let pid = child.id();
    let output = child.wait_with_output().expect("an answer");
    assert_eq!(text(&output), format!("{pid} a b  UTC\n{}\n", folder.display()));
}

#[test]
fn the_exit_of_a_program_is_the_exit_of_its_process() {
    let clock = NodeClock::new();
    assert_eq!(launch(&clock, "sh", &["-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(launch(&clock, "sh", &["-c", "kill -9 $$"]).status.signal(), Some(9));
}

#[test]
fn a_program_has_no_child_that_it_did_not_start_and_no_tracer() {
    let clock = NodeClock::new();
    // The shell itself lists its files: a pipe for that would be one more of them.
    let look = "cat /proc/$$/task/$$/children; echo; grep -e TracerPid -e Threads /proc/$$/status; \
                echo /proc/self/fd/*";
    // The one child that the shell has is the one that looks.
    let plain = Command::new("sh").args(["-c", look]).output().expect("sh");
    let launched = text(&launch(&clock, "sh", &["-c", look]));
    let rest = |answer: &str| answer.split_once('\n').expect("lines").1.to_owned();
    assert_eq!(rest(&launched), rest(&text(&plain)));
    assert!(launched.contains("TracerPid:\t0"), "{launched}");
    let children = launched.lines().next().expect("children").split_whitespace().count();
    assert!(children <= 1, "{launched}");
}

#[test]
fn a_program_has_no_other_signals_blocked_ignored_or_waiting_than_without_a_launch() {
    let clock = NodeClock::new();
    let signals = |mut command: Command, set_up: fn() -> nix::Result<()>| {
        let set_up = move || set_up().map_err(std::io::Error::from);
        #[expect(unsafe_code, reason = "a child sets its own signals up")]
        // SAFETY: it makes one system call, which is allowed between fork and exec.
        let command =
            unsafe { command.args(["-h", "^S[ih][gd]", "/proc/self/status"]).pre_exec(set_up) };
        let status = text(&command.output().expect("a command"));
        // How many wait of all processes of the user is no concern of this one.
        let lines = status.lines().filter(|line| !line.starts_with("SigQ"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let blocked = || SigSet::from(Signal::SIGCHLD).thread_block();
    #[expect(unsafe_code, reason = "signals are ignored by an unsafe call")]
    // SAFETY: no handler is set.
    let ignored = || unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.map(drop);
    for set_up in [|| Ok(()), blocked, ignored] {
        let launched = signals(clock.launch("grep"), set_up);
        assert!(launched.len() >= 5, "{launched:?}");
        assert_eq!(launched, signals(Command::new("grep"), set_up));
    }
}

#[test]
fn a_program_that_is_not_there_or_cannot_run_is_told_by_the_exit_codes_of_a_shell() {
    let clock = NodeClock::new();
    let no_program = clock.folder.path().join("text");
    fs::write(&no_program, "text").expect("written");
    assert_fails(&launch(&clock, "/no/such/program", &[]), 127, "cannot run /no/such/program");
    assert_fails(&launch(&clock, "no-such-program-anywhere", &[]), 127, "no-such-program-anywhere");
    assert_fails(&launch(&clock, "/", &[]), 126, "cannot run /:");
    let path = no_program.to_str().expect("text");
    assert_fails(&launch(&clock, path, &[]), 126, path);
    // No helper is left that waits for them.
    let file = clock.file().display().to_string();
    wait_for("the helpers' end", || processes_with(&file).is_empty());
}

#[test]
fn a_process_with_several_threads_does_not_become_a_server() {
    let clock = NodeClock::new();
    let other = std::thread::spawn(|| std::thread::sleep(Duration::from_millis(200)));
    let error = locktest_skew::launch(&clock.file(), Path::new("true"), &[]).expect_err("threads");
    assert!(matches!(error, locktest_skew::Error::Threads), "{error}");
    other.join().expect("slept");
}

#[test]
fn a_setting_that_is_none_keeps_a_program_from_being_started() {
    let clock = NodeClock::new();
    fs::write(clock.file(), "garbage").expect("written");
    assert_fails(&launch(&clock, "echo", &["started"]), 1, "is none: \"garbage\"");
}

#[test]
fn a_program_that_cannot_be_given_its_clock_does_not_run() {
    let clock = NodeClock::new();
    // No process can be traced by two.
    let mut command = clock.launch("echo");
    command.arg("started").stdout(Stdio::piped()).stderr(Stdio::piped());
    let traced = || ptrace::traceme().map_err(std::io::Error::from);
    #[expect(unsafe_code, reason = "only a child can ask for being traced")]
    // SAFETY: it makes one system call, which is allowed between fork and exec.
    let command = unsafe { command.pre_exec(traced) };
    let mut process = Process::start(command);
    let pid = Pid::from_raw(process.pid());
    let code = loop {
        match waitpid(pid, None).expect("a stop or the end") {
            // That of executing the launcher is none that it should have.
            WaitStatus::Stopped(_, Signal::SIGTRAP) => ptrace::cont(pid, None),
            WaitStatus::Stopped(_, signal) => ptrace::cont(pid, signal),
            WaitStatus::Exited(_, code) => break code,
            status => panic!("{status:?}"),
        }
        .expect("it goes on");
    };
    assert_eq!(code, 1);
    let (mut stdout, mut stderr) = (String::new(), String::new());
    process.child.stdout.take().expect("a pipe").read_to_string(&mut stdout).expect("text");
    process.child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
    // It was waited for, so that its id may be another's by now.
    std::mem::forget(process);
    assert!(stderr.contains("no clock for process") && stderr.contains("trace"), "{stderr}");
    assert_eq!(stdout, "");
}

#[test]
fn a_script_has_the_clock_of_its_node() {
    let clock = NodeClock::new();
    clock.set(Class::Wall, ahead_s(-1_000_000_000), &[]);
    let script = clock.folder.path().join("script");
    write_script(&script, "#!/bin/bash\nprintf '%(%s)T\\n' -1\n");
    let told: u64 = text(&launch(&clock, script.to_str().expect("text"), &[]))
        .trim_end()
        .parse()
        .expect("seconds");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    assert!((now.as_secs() - told).abs_diff(1_000_000_000) < 5, "{told}");
}

#[test]
fn a_static_program_and_one_that_is_started_through_the_loader_have_their_clocks() {
    let clock = NodeClock::new();
    clock.set(Class::Wall, ahead_s(50), &[]);
    let program = compile_clocks(clock.folder.path(), "static", &["-static"]);
    let mut clocks = Clocks::start(clock.launch(program).arg("ask"));
    assert!((clocks.ahead_s().0 - 50.0).abs() < 0.1);
    let mut command = clock.launch("/lib64/ld-linux-x86-64.so.2");
    command.args(["--library-path", "/lib/x86_64-linux-gnu", "--argv0", "clocks"]);
    let mut clocks = Clocks::start(command.arg(clocks_program()).arg("ask"));
    assert!((clocks.ahead_s().0 - 50.0).abs() < 0.1);
    assert_eq!(due_and_seen(Class::Wall, clocks.pid()).1, Some(50_000_000_000));
}

#[test]
fn a_program_that_a_launched_one_executes_has_the_clock_of_the_machine() {
    let clock = NodeClock::new();
    let process = Process::start(clock.launch("sh").args(["-c", "exec sleep 60"]));
    wait_for("sleep", || {
        fs::read_to_string(format!("/proc/{}/comm", process.pid()))
            .is_ok_and(|name| name == "sleep\n")
    });
    assert_eq!(read(&[], &[process.pid()]), [Reading::Unpatched { pid: process.pid() }]);
}

#[test]
fn a_program_that_is_stopped_while_it_starts_stays_stopped_until_it_is_to_go_on() {
    let clock = NodeClock::new();
    for _ in 0..20 {
        let mut clocks = Clocks::start(clock.launch(clocks_program()).arg("ask"));
        let pid = Pid::from_raw(clocks.pid());
        kill(pid, Signal::SIGSTOP).expect("a signal");
        wait_for("the stop", || state(clocks.pid()) == Some('T'));
        kill(pid, Signal::SIGCONT).expect("a signal");
        assert!(clocks.ahead_s().0.abs() < 0.1);
        assert!(Patched::find(clocks.pid()).is_ok());
    }
}

#[test]
fn a_group_of_processes_that_is_stopped_while_one_of_them_starts_goes_on_as_one() {
    let clock = NodeClock::new();
    for delay_us in (0..4000).step_by(100) {
        let mut command = clock.launch(clocks_program());
        let mut clocks = Clocks::start(command.arg("ask").process_group(0));
        std::thread::sleep(Duration::from_micros(delay_us));
        let group = Pid::from_raw(clocks.pid());
        killpg(group, Signal::SIGSTOP).expect("a signal");
        // The program is stopped, or the launch waits for one of the group that is.
        wait_for("the stop", || matches!(state(clocks.pid()), Some('T' | 'S')));
        killpg(group, Signal::SIGCONT).expect("a signal");
        assert!(clocks.ahead_s().0.abs() < 0.1);
        assert!(Patched::find(clocks.pid()).is_ok(), "after {delay_us} us");
    }
}

#[test]
fn a_program_that_is_asked_to_end_while_it_starts_ends() {
    let clock = NodeClock::new();
    for delay_us in (0..4000).step_by(200) {
        let mut process = Process::start(clock.launch("sleep").arg("60"));
        std::thread::sleep(Duration::from_micros(delay_us));
        let pid = Pid::from_raw(process.pid());
        kill(pid, Signal::SIGTERM).expect("a signal");
        assert_eq!(process.child.wait().expect("an end").signal(), Some(15));
    }
    let file = clock.file().display().to_string();
    wait_for("the helpers' end", || processes_with(&file).is_empty());
}

#[test]
fn a_launch_that_is_killed_at_any_time_leaves_nothing_behind() {
    let clock = NodeClock::new();
    let log = clock.folder.path().join("log");
    for delay_us in (0..6000).step_by(150) {
        for kill in [kill::<Signal>, killpg::<Signal>] {
            let mut command = clock.launch("sleep");
            let file = fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log");
            let mut process = Process::start(command.arg("60").process_group(0).stderr(file));
            std::thread::sleep(Duration::from_micros(delay_us));
            kill(Pid::from_raw(process.pid()), Signal::SIGKILL).expect("a signal");
            process.child.wait().expect("an end");
        }
    }
    let file = clock.file().display().to_string();
    wait_for("the helpers' end", || processes_with(&file).is_empty());
    assert_eq!(fs::read_to_string(&log).expect("a log"), "");
}

#[test]
fn the_output_of_a_launched_program_ends_when_it_ends() {
    let clock = NodeClock::new();
    let mut command = clock.launch("sh");
    command.args(["-c", "echo here; exec sleep 60"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::start(&mut command);
    let mut answer = BufReader::new(process.child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    answer.read_line(&mut line).expect("a line");
    process.child.kill().expect("a signal");
    let begin = std::time::Instant::now();
    let mut rest = String::new();
    answer.read_to_string(&mut rest).expect("the end");
    process.child.stderr.take().expect("a pipe").read_to_string(&mut rest).expect("the end");
    assert_eq!((line.as_str(), rest.as_str()), ("here\n", ""));
    assert!(begin.elapsed() < PATIENCE);
}

#[test]
fn a_clock_that_is_set_while_a_program_starts_is_the_clock_that_it_has() {
    let clock = NodeClock::new();
    for delay_us in (0..4000).step_by(100) {
        let process = Process::start(clock.launch("sleep").arg("60"));
        std::thread::sleep(Duration::from_micros(delay_us));
        clock.set(Class::Wall, ahead_s(77), &[process.pid()]);
        let readings = read(&["--class", "wall"], &[process.pid()]);
        let [Reading::Process { due_ns, .. }] = readings[..] else { panic!("{readings:?}") };
        assert_eq!(due_ns, 77_000_000_000, "after {delay_us} us");
        clock.clear(&[process.pid()]);
    }
}

#[test]
fn a_server_that_a_shell_starts_as_a_service_has_its_clock() {
    let clock = NodeClock::new();
    let log = clock.folder.path().join("log");
    let script = format!(
        "setsid nohup env TZ=UTC {} launch --file {} -- sleep 60 >> {} 2>&1 < /dev/null &\necho $!",
        env!("CARGO_BIN_EXE_locktest-clock"),
        clock.file().display(),
        log.display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().expect("sh");
    let pid: i32 = text(&output).trim_end().parse().expect("a process id");
    let found = Patched::find_within(pid, PATIENCE).map(drop);
    let killed = kill(Pid::from_raw(pid), Signal::SIGKILL);
    found.expect("a clock");
    killed.expect("it was there");
    assert_eq!(fs::read_to_string(&log).expect("a log"), "");
}
