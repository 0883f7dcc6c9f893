//! A server process on a node: started, stopped and killed by its pid file, never by name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::installation::Installation;
use crate::remote::RemoteCommand;

/// Where a node keeps what belongs to locktest.
#[derive(Clone, Debug)]
pub struct NodeLayout {
    base: PathBuf,
}

impl NodeLayout {
    /// A layout below `base`, an absolute path on the node.
    pub fn new(base: impl Into<PathBuf>) -> NodeLayout {
        NodeLayout { base: base.into() }
    }

    /// The servers' data.
    pub fn data(&self) -> PathBuf {
        self.base.join("data")
    }

    /// Pid files, configuration, and the scripts of dead-man timers.
    pub fn run(&self) -> PathBuf {
        self.base.join("run")
    }

    /// The servers' logs.
    pub fn log(&self) -> PathBuf {
        self.base.join("log")
    }

    /// Binaries that the user named.
    pub fn bin(&self) -> PathBuf {
        self.base.join("bin")
    }
}

/// How to run one server on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Names the data folder, the log and the pid file.
    pub name: &'static str,
    /// The program on the node.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables that the program needs.
    pub environment: Vec<(String, String)>,
    /// Files that it reads, by their names in the data folder; each text ends with a line feed.
    /// They are written where they are not: some servers keep what they learn in them.
    pub files: Vec<(&'static str, String)>,
    /// Its data folder.
    pub data: PathBuf,
    /// Its log.
    pub log: PathBuf,
    /// Holds the process id and its start time, so that a reused id is never taken for the server.
    pub pid_file: PathBuf,
    /// Where it tells the time to whoever asks, if it does.
    pub tells_time: Option<TellsTime>,
    /// The clock that it has apart from the machine's, if it has one.
    pub clock: Option<ServiceClock>,
}

/// How a server is asked for the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TellsTime {
    /// By Redis' `TIME`, at `address:port`.
    Redis(String),
    /// By the `Date` header of an HTTP answer, at `address:port`.
    Http(String),
}

/// A clock that the servers of one node share, and nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceClock {
    /// The program on the node that gives a server this clock when it starts it, and sets it; its
    /// first argument is `clock`.
    pub launcher: PathBuf,
    /// How the clock is set, for servers that start while it is wrong.
    pub setting: PathBuf,
}

impl ServiceClock {
    /// The clock of a node with this layout.
    pub fn new(launcher: PathBuf, layout: &NodeLayout) -> ServiceClock {
        ServiceClock { launcher, setting: layout.run().join("clock") }
    }

    /// The words before a use of the clock, such as `set` or `read`.
    pub fn command(&self) -> String {
        format!("{} clock", quote_path(&self.launcher))
    }

    /// Its setting as one word.
    pub fn setting(&self) -> String {
        quote_path(&self.setting)
    }
}

/// A function for scripts: `state PID` prints a process's state letter and start time, and nothing if
/// there is no such process. It starts no program, since a fault waits for it.
pub const STATE_FUNCTION: &str = r"state() {
read -r stat < /proc/$1/stat || return 0
set -- ${stat##*) }
echo $1 ${20}
} 2>/dev/null
";

/// A pause between two looks at a process that is about to end.
const POLL_S: &str = "0.02";

impl Service {
    /// A server without arguments and files of its own.
    pub fn new(name: &'static str, installation: &Installation, layout: &NodeLayout) -> Service {
        Service {
            name,
            program: installation.program.clone(),
            arguments: installation.leading_arguments.clone(),
            environment: installation.environment.clone(),
            files: Vec::new(),
            data: layout.data().join(name),
            log: layout.log().join(format!("{name}.log")),
            pid_file: layout.run().join(format!("{name}.pid")),
            tells_time: None,
            clock: None,
        }
    }

    /// The same with further arguments.
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = String>) -> Service {
        self.arguments.extend(arguments);
        self
    }

    /// The same with another file.
    pub fn file(mut self, name: &'static str, text: impl Into<String>) -> Service {
        self.files.push((name, text.into()));
        self
    }

    /// Starts the server unless it runs.
    pub fn start(&self) -> RemoteCommand {
        let folders: Vec<String> =
            [Some(self.data.as_path()), self.log.parent(), self.pid_file.parent()]
                .into_iter()
                .flatten()
                .map(quote_path)
                .collect();
        let mut script =
            format!("{}\nalive && exit 0\nmkdir -p {}\n", self.functions(), folders.join(" "));
        for (name, text) in &self.files {
            let path = quote_path(&self.data.join(name));
            script.push_str(&format!(
                "[ -e {path} ] || {{ cat > {path}.new && mv {path}.new {path}; }} <<'EOF'\n{text}EOF\n"
            ));
        }
        // Some servers log local time without a word on what that is.
        let mut command = String::from("env TZ=UTC ");
        for (name, value) in &self.environment {
            command.push_str(&format!("{name}={} ", quote(value)));
        }
        if let Some(clock) = &self.clock {
            command.push_str(&format!("{} launch --file {} -- ", clock.command(), clock.setting()));
        }
        command.push_str(&quote_path(&self.program));
        for argument in &self.arguments {
            command.push(' ');
            command.push_str(&quote(argument));
        }
        script.push_str(&format!(
            "setsid nohup {command} >> {log} 2>&1 < /dev/null &\n\
             pid=$!\n\
             {{ echo $pid $(state $pid | cut -d' ' -f2) > {pid_file}.new && mv {pid_file}.new {pid_file}; }} \\\n\
             || {{ kill -KILL $pid; exit 1; }}\n",
            log = quote_path(&self.log),
            pid_file = quote_path(&self.pid_file),
        ));
        RemoteCommand::new(format!("start {}", self.name), script)
    }

    /// Asks the server to end, and kills it if it has not after ten seconds.
    pub fn stop(&self) -> RemoteCommand {
        let script = format!(
            "{functions}\nalive || exit 0\nkill -TERM $pid\n\
             read now idle < /proc/uptime\nend=$((${{now%.*}} + 10))\n\
             while alive; do\n\
             read now idle < /proc/uptime\n\
             [ ${{now%.*}} -lt $end ] || kill -KILL $pid\n\
             sleep {POLL_S}\n\
             done\n",
            functions = self.functions()
        );
        RemoteCommand::new(format!("stop {}", self.name), script).timeout(Duration::from_secs(15))
    }

    /// Kills the server by SIGKILL and waits until it is gone.
    pub fn kill(&self) -> RemoteCommand {
        let script = format!(
            "{functions}\nalive || exit 0\nkill -KILL $pid\nwhile alive; do sleep {POLL_S}; done\n",
            functions = self.functions()
        );
        RemoteCommand::new(format!("kill {}", self.name), script)
    }

    /// Succeeds if the server runs.
    pub fn check_alive(&self) -> RemoteCommand {
        RemoteCommand::new(
            format!("see whether {} runs", self.name),
            format!("{}\nalive", self.functions()),
        )
    }

    /// Deletes the data and the log of a server that does not run, so that its next log tells of
    /// nothing but its next life.
    pub fn wipe(&self) -> RemoteCommand {
        let script = format!(
            "{functions}\nif alive; then echo 'it runs' >&2; exit 1; fi\nrm -rf {data} {log}\n",
            functions = self.functions(),
            data = quote_path(&self.data),
            log = quote_path(&self.log)
        );
        RemoteCommand::new(format!("wipe the data and the log of {}", self.name), script)
    }

    /// Prints the log, or its last `lines` lines.
    pub fn read_log(&self, lines: Option<u32>) -> RemoteCommand {
        let log = quote_path(&self.log);
        let script = match lines {
            Some(lines) => format!("[ ! -e {log} ] || tail -n {lines} {log}"),
            None => format!("[ ! -e {log} ] || cat {log}"),
        };
        RemoteCommand::new(format!("read the log of {}", self.name), script)
    }

    /// Two functions for scripts on the node, to stand before whatever uses them.
    ///
    /// `state` is [`STATE_FUNCTION`]; `alive` sets `pid` and tells
    /// whether the process of the pid file is that very process and not a zombie. A server that
    /// ended before its start time was read has none in its pid file.
    pub fn functions(&self) -> String {
        format!(
            "{STATE_FUNCTION}\
             alive() {{\n\
             read pid start < {pid_file} || return 1\n\
             case $(state $pid) in [ZX]*) return 1;; ?\" $start\") return 0;; esac\n\
             return 1\n\
             }} 2>/dev/null",
            pid_file = quote_path(&self.pid_file)
        )
    }
}

#[cfg(test)]
impl Service {
    /// A server whose files are below `/node`.
    pub(crate) fn for_tests(name: &'static str) -> Service {
        Service::new(name, &Installation::of_binary("/bin/server"), &NodeLayout::new("/node"))
    }
}

/// Quotes a word for `sh`.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

pub(crate) fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// As a node runs it.
    fn run(command: &RemoteCommand) -> i32 {
        let seconds = command.timeout.as_secs().to_string();
        let mut timeout = Command::new("timeout");
        let status = timeout.args(["-k", "1", &seconds, "sh", "-c", &command.script]).status();
        status.expect("timeout runs").code().expect("no signal ended it")
    }

    fn sleeper(dir: &Path) -> Service {
        Service {
            name: "sleeper",
            program: "/bin/sleep".into(),
            arguments: vec!["60".into()],
            environment: Vec::new(),
            files: Vec::new(),
            data: dir.join("data"),
            log: dir.join("log/sleeper.log"),
            pid_file: dir.join("run/sleeper.pid"),
            tells_time: None,
            clock: None,
        }
    }

    #[test]
    fn a_service_that_was_started_twice_runs_once_and_a_kill_ends_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let service = sleeper(dir.path());
        assert_ne!(run(&service.check_alive()), 0);
        assert_eq!(run(&service.start()), 0);
        let first = std::fs::read_to_string(&service.pid_file).expect("a pid file");
        assert_eq!(run(&service.start()), 0);
        assert_eq!(std::fs::read_to_string(&service.pid_file).expect("a pid file"), first);
        assert_eq!(run(&service.check_alive()), 0);
        assert_ne!(run(&service.wipe()), 0, "what a running server has must not be deleted");
        assert_eq!(run(&service.kill()), 0);
        assert_ne!(run(&service.check_alive()), 0);
        assert!(service.data.exists() && service.log.exists());
        assert_eq!(run(&service.wipe()), 0);
        assert!(!service.data.exists() && !service.log.exists());
    }

    #[test]
    fn a_server_logs_in_utc_whatever_its_node_thinks() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut service = sleeper(dir.path());
        service.program = "/bin/sh".into();
        service.arguments = vec!["-c".into(), "date +%z; exec sleep 60".into()];
        let mut start = service.start();
        start.script = format!("export TZ=JST-9\n{}", start.script);
        assert_eq!(run(&start), 0);
        let log = || std::fs::read_to_string(&service.log).expect("a log");
        while !log().ends_with('\n') {
            std::thread::yield_now();
        }
        assert_eq!(log(), "+0000\n");
        assert_eq!(run(&service.kill()), 0);
    }

    #[test]
    fn a_stopped_service_is_gone_and_stopping_it_again_is_fine() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let service = sleeper(dir.path());
        assert_eq!(run(&service.start()), 0);
        assert_eq!(run(&service.stop()), 0);
        assert_ne!(run(&service.check_alive()), 0);
        assert_eq!(run(&service.stop()), 0);
    }

    #[test]
    fn a_service_that_does_not_react_to_a_stop_is_killed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let service = sleeper(dir.path());
        assert_eq!(run(&service.start()), 0);
        let pid_file = std::fs::read_to_string(&service.pid_file).expect("a pid file");
        let (pid, _start) = pid_file.split_once(' ').expect("an id and a start time");
        let pause = Command::new("kill").args(["-STOP", pid]).status().expect("kill runs");
        assert!(pause.success());
        assert_eq!(run(&service.check_alive()), 0, "a paused process is not gone");
        assert_eq!(run(&service.stop()), 0);
        assert_ne!(run(&service.check_alive()), 0);
    }

    #[test]
    fn a_service_that_ended_before_its_start_time_was_read_does_not_run() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let service = sleeper(dir.path());
        std::fs::create_dir_all(dir.path().join("run")).expect("a folder");
        // Beyond the largest process id of Linux.
        std::fs::write(&service.pid_file, "4194305\n").expect("write");
        assert_ne!(run(&service.check_alive()), 0);
        assert_eq!(run(&service.kill()), 0);
        assert_eq!(run(&service.start()), 0);
        assert_eq!(run(&service.check_alive()), 0);
        assert_eq!(run(&service.kill()), 0);
    }

    #[test]
    fn a_pid_file_of_another_process_is_not_believed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let service = sleeper(dir.path());
        std::fs::create_dir_all(dir.path().join("run")).expect("a folder");
        std::fs::write(&service.pid_file, format!("{} 1\n", std::process::id())).expect("write");
        assert_ne!(run(&service.check_alive()), 0);
        assert_eq!(run(&service.kill()), 0, "killing must not touch a process that is not ours");
    }

    #[test]
    fn a_server_with_a_clock_of_its_own_is_started_by_the_one_who_gives_it() {
        let mut service = Service::for_tests("etcd").arguments(["--name".into()]);
        assert!(service.start().script.contains("nohup env TZ=UTC /bin/server --name >>"));
        let clock = ServiceClock::new("/node/bin/locktest".into(), &NodeLayout::new("/node"));
        service.clock = Some(clock);
        let expected = "nohup env TZ=UTC /node/bin/locktest clock launch --file /node/run/clock \
                        -- /bin/server --name >>";
        assert!(service.start().script.contains(expected), "{}", service.start().script);
    }

    #[test]
    fn words_are_quoted_so_that_the_shell_sees_one_word() {
        assert_eq!(quote("plain-1.2/x"), "plain-1.2/x");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's"), r"'it'\''s'");
    }
}
